"""URIs: text to value and back.

Parsed text is kept as it came, since it will be sent again. Must not decode `%` escapes into anything that is put on
the wire: `SipUri.username` is for people and for comparison only.   RFC 3261 section 19.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import quote as percent_quote
from urllib.parse import unquote as percent_unquote

from trunkline.errors import LocalProtocolError, SipParseError
from trunkline.sip.headers.text import Parameterised, Parameters, render_parameters, split_parameter

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_.])?")
_HOST_PORT = re.compile(rf"({HOST.pattern})(?:[ \t]*:[ \t]*([0-9]{{1,5}}))?")
# `#` is not in the grammar of a user part, but phones send it unescaped when a service code is dialled.
_USER = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/#]|%[0-9A-Fa-f]{2})+")
_PASSWORD = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()&=+$,]|%[0-9A-Fa-f]{2})*")
_URI_TEXT = re.compile(r"(?:[A-Za-z0-9\-_.!~*'()\[\]/?:&+$;=@,|#^{}`]|%[0-9A-Fa-f]{2}|[\x80-\U0010ffff])*")
# What nearly all URIs look like, read at once: no escapes, no password, no headers, no IPv6.
_PLAIN = re.compile(
    r"(sips?):(?:([A-Za-z0-9\-_.!~*'()&=+$,;?/#]++)@)?+([A-Za-z0-9_][A-Za-z0-9_.\-]*+(?<!-))(?::([0-9]{1,5}))?+"
    r"((?:;[A-Za-z0-9\-_.!~*'()+$&]++(?:=[A-Za-z0-9\-_.!~*'()+$&:\[\]/]*+)?+)*+)"
)
LONGEST_REMEMBERED = 256
"""Texts up to this length are read once: a dialog has the same addresses in each of its messages."""
_USER_SAFE = "-_.!~*'()&=+$,;?/"


def parse_port(text: str | None) -> int | None:
    """Read a port; None for none, SipParseError for 0 and above 65,535."""
    if text is None:
        return None
    port = int(text)
    if not 0 < port < 65536:
        raise SipParseError(f"not a port: {text}")
    return port


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
        if HOST.fullmatch(f"[{bare}]" if ":" in bare else bare) is None:
            raise LocalProtocolError(f"not a host: {host!r}")
        escaped = None if user is None else percent_quote(user, safe=_USER_SAFE, errors="surrogateescape")
        if escaped == "":
            raise LocalProtocolError("an empty user part")
        return cls("sip", escaped, bare, port)

    @property
    def username(self) -> str:
        """User part without escapes, for people and comparison; empty if there is none."""
        return percent_unquote(self.user or "", errors="replace")

    def with_parameter(self, name: str, value: str | None) -> SipUri:
        """Return a copy with this parameter set."""
        return replace(self, parameters=self._parameters_with(name, value))

    @property
    def as_target(self) -> SipUri:
        """Return it as it may stand in a request line: without headers.   RFC 3261 table 1."""
        return self if self.header_text is None else replace(self, header_text=None)

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


def parse_uri(text: str) -> Uri:
    """Read a URI that stands alone or between angle brackets."""
    return _parse_known(text) if len(text) <= LONGEST_REMEMBERED else _parse(text)


def _parse(text: str) -> Uri:
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        scheme, user, host, port, parameters = plain.groups()
        return SipUri(
            scheme,
            user,
            host,
            parse_port(port),
            tuple([split_parameter(piece) for piece in parameters[1:].split(";")]) if parameters else (),
        )
    found = _SCHEME.match(text)
    if found is None:
        raise SipParseError("a URI without a scheme")
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme not in ("sip", "sips"):
        if not rest or _URI_TEXT.fullmatch(rest) is None:
            raise SipParseError(f"bad {scheme} URI")
        return OpaqueUri(scheme, rest)
    userinfo, at, tail = rest.rpartition("@")
    user = password = None
    if at:
        user, colon, secret = userinfo.partition(":")
        password = secret if colon else None
        if _USER.fullmatch(user) is None or (password is not None and _PASSWORD.fullmatch(password) is None):
            raise SipParseError("bad user part of a URI")
    tail, question, header_text = tail.partition("?")
    host_port, _, parameter_text = tail.partition(";")
    where = _HOST_PORT.fullmatch(host_port)
    if where is None:
        raise SipParseError("bad host or port of a URI")
    parameters = _uri_parameters(parameter_text)
    if question and _URI_TEXT.fullmatch(header_text) is None:
        raise SipParseError("bad headers of a URI")
    host = where[1].strip("[]")
    return SipUri(scheme, user, host, parse_port(where[2]), parameters, password, header_text if question else None)


_parse_known = lru_cache(maxsize=2_048)(_parse)


def _uri_parameters(text: str) -> Parameters:
    found: list[tuple[str, str | None]] = []
    for piece in text.split(";") if text else ():
        name, equals, value = piece.partition("=")
        if not name or _URI_TEXT.fullmatch(piece) is None:
            raise SipParseError("bad parameter of a URI")
        found.append((name, value if equals else None))
    return tuple(found)
