"""URIs as values. `trunkline._media` reads them.

Parsed text is kept as it came, since it will be sent again. Must not decode `%` escapes into anything that is put on
the wire: `SipUri.username` is for people and for comparison only.   RFC 3261 section 19.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote as percent_quote
from urllib.parse import unquote as percent_unquote

from trunkline.errors import LocalProtocolError
from trunkline.sip.headers.text import Parameterised, Parameters, render_parameters

_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_.])?")
_USER_SAFE = "-_.!~*'()&=+$,;?/"
_USER_UNESCAPED = re.compile(rf"[A-Za-z0-9{re.escape(_USER_SAFE)}]+")


def render_host(host: str, port: int | None) -> str:
    """Write host and port; an IPv6 literal gets its brackets."""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


@dataclass(frozen=True, slots=True)
class SipUri(Parameterised):
    """A `sip:` or `sips:` URI.   RFC 3261 section 19.1.

    user: with its `%` escapes, as on the wire; None if there is no `@`. host: without brackets. header_text: what
    follows `?`, never turned into headers.
    """

    scheme: str
    user: str | None
    host: str
    port: int | None = None
    parameters: Parameters = ()
    password: str | None = None
    header_text: str | None = None

    @classmethod
    def of(cls, user: str | None, host: str, port: int | None = None) -> SipUri:
        """Make a `sip:` URI from plain text: escapes the user part. LocalProtocolError if the host is not one."""
        bare = host[1:-1] if host[:1] == "[" else host
        if _HOST.fullmatch(f"[{bare}]" if ":" in bare else bare) is None:
            raise LocalProtocolError(f"not a host: {host!r}")
        if user == "":
            raise LocalProtocolError("an empty user part")
        if user is not None and _USER_UNESCAPED.fullmatch(user) is None:
            user = percent_quote(user, safe=_USER_SAFE, errors="surrogateescape")
        return cls("sip", user, bare, port)

    @property
    def username(self) -> str:
        """User part without escapes, for people and comparison; empty if there is none."""
        user = self.user or ""
        return percent_unquote(user, errors="replace") if "%" in user else user

    def with_parameter(self, name: str, value: str | None) -> SipUri:
        """Return a copy with this parameter set."""
        parameters = self._parameters_with(name, value)
        return SipUri(self.scheme, self.user, self.host, self.port, parameters, self.password, self.header_text)

    @property
    def as_target(self) -> SipUri:
        """Return it as it may stand in a request line: without headers.   RFC 3261 table 1."""
        if self.header_text is None:
            return self
        return SipUri(self.scheme, self.user, self.host, self.port, self.parameters, self.password)

    @property
    def address_of_record(self) -> str:
        """Scheme, user and host only, host in lower case: what identifies a person."""
        user = "" if self.user is None else f"{self.user}@"
        return f"{self.scheme}:{user}{render_host(self.host.lower(), None)}"

    def __str__(self) -> str:
        user = "" if self.user is None else self.user
        if self.password is not None:
            user += f":{self.password}"
        at = "" if self.user is None else "@"
        tail = "" if self.header_text is None else f"?{self.header_text}"
        return f"{self.scheme}:{user}{at}{render_host(self.host, self.port)}{render_parameters(self.parameters)}{tail}"


@dataclass(frozen=True, slots=True)
class OpaqueUri:
    """A URI of any other scheme (`tel:`, `urn:`, `http:`), kept as text."""

    scheme: str
    rest: str

    @property
    def as_target(self) -> OpaqueUri:
        """Return it as it is."""
        return self

    @property
    def address_of_record(self) -> str:
        """The whole URI."""
        return str(self)

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"


Uri = SipUri | OpaqueUri
