"""Headers of transfer: Refer-To, Replaces, Event, Subscription-State, and the status line that a NOTIFY carries.

RFC 3515, 3891, 3892, 6665, 3420 (message/sipfrag).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote as percent_quote
from urllib.parse import unquote as percent_unquote

from trunkline._media import is_token, parse_parameters
from trunkline.errors import SipParseError
from trunkline.sip.headers.address import NameAddr
from trunkline.sip.headers.text import Parameterised, Parameters, render_parameters
from trunkline.sip.headers.uri import SipUri, Uri

SIPFRAG = "message/sipfrag"
_STATUS_LINE = re.compile(rb"SIP/2\.0[ \t]+([1-6][0-9]{2})(?:[ \t]+([^\r\n]*))?", re.IGNORECASE)
_CALL_ID = re.compile(r"[!-+\--:<-~]+")  # a Call-ID's characters, less the comma and semicolon that would end the value


@dataclass(frozen=True, slots=True)
class Replaces:
    """The dialog that a new one takes the place of. Tags as its owner sees them: to is local, from remote.

    RFC 3891 section 6.1.
    """

    sip_call_id: str
    to_tag: str
    from_tag: str
    is_early_only: bool = False

    @classmethod
    def parse(cls, text: str) -> Replaces:
        """Read the value; SipParseError without exactly one of each tag."""
        call_id, _, rest = text.strip(" \t").partition(";")
        parameters = parse_parameters(rest)
        names = [name.lower() for name, _ in parameters]
        values = {name.lower(): value or "" for name, value in parameters}
        tags_are_single = names.count("to-tag") == names.count("from-tag") == 1
        if _CALL_ID.fullmatch(call_id.rstrip(" \t")) is None or not tags_are_single:
            raise SipParseError("bad Replaces")
        return cls(call_id.rstrip(" \t"), values["to-tag"], values["from-tag"], "early-only" in values)

    def __str__(self) -> str:
        tail = ";early-only" if self.is_early_only else ""
        return f"{self.sip_call_id};to-tag={self.to_tag};from-tag={self.from_tag}{tail}"


@dataclass(frozen=True, slots=True)
class ReferTo:
    """Whom to call instead. target: without headers. method: INVITE unless the URI says otherwise.   RFC 3515 2.1."""

    target: Uri
    replaces: Replaces | None = None
    method: str = "INVITE"

    @classmethod
    def parse(cls, text: str) -> ReferTo:
        """Read the value; of the URI's headers, Replaces alone counts."""
        uri = NameAddr.parse(text).uri
        if not isinstance(uri, SipUri):
            return cls(uri)
        replaces = None
        for field in (uri.header_text or "").split("&"):
            name, _, value = field.partition("=")
            if name.lower() == "replaces":
                replaces = Replaces.parse(percent_unquote(value))
        method = (uri.parameter("method") or "INVITE").upper()
        kept = tuple((name, value) for name, value in uri.parameters if name.lower() != "method")
        return cls(replace(uri.as_target, parameters=kept), replaces, method)

    def __str__(self) -> str:
        uri = self.target
        if self.replaces is not None and isinstance(uri, SipUri):
            uri = replace(uri, header_text=f"Replaces={percent_quote(str(self.replaces), safe='')}")
        return str(NameAddr(uri))


@dataclass(frozen=True, slots=True)
class EventPackage(Parameterised):
    """An event package and its parameters.   RFC 6665 section 8.2.1. package: in lower case."""

    package: str
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> EventPackage:
        """Read the value."""
        package, _, rest = text.strip(" \t").partition(";")
        package = package.rstrip(" \t")
        if not is_token(package):
            raise SipParseError("bad Event")
        return cls(package.lower(), parse_parameters(rest))

    def __str__(self) -> str:
        return f"{self.package}{render_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True)
class SubscriptionState(Parameterised):
    """Where a subscription stands: `active`, `pending` or `terminated`.   RFC 6665 section 8.2.3."""

    state: str
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> SubscriptionState:
        """Read the value."""
        state, _, rest = text.strip(" \t").partition(";")
        state = state.rstrip(" \t").lower()
        if not is_token(state):
            raise SipParseError("bad Subscription-State")
        return cls(state, parse_parameters(rest))

    @property
    def is_terminated(self) -> bool:
        """Whether this is the last of the subscription."""
        return self.state == "terminated"

    @property
    def expires_s(self) -> int | None:
        """For how long it lasts, None if that is not said."""
        text = self.parameter("expires") or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None

    def __str__(self) -> str:
        return f"{self.state}{render_parameters(self.parameters)}"


def read_sipfrag(body: bytes) -> tuple[int, str] | None:
    """Read status and phrase of the response of which a NOTIFY tells; None if there is no status line."""
    found = _STATUS_LINE.match(body.lstrip(b"\r\n"))
    return None if found is None else (int(found[1]), (found[2] or b"").decode("utf-8", "replace").strip())
