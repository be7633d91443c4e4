"""What a REGISTER asks for, read and checked as far as one message allows.

Owns its syntax and the rules within it. Knows no user and no binding.   RFC 3261 section 10.3 steps 6 and 7, RFC 5626
sections 4.2 and 6 (reg-id, instances), RFC 7118 section 5 (`.invalid` contacts are as good as any).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from trunkline.errors import SipParseError
from trunkline.sip.headers import CSeq, HeaderList, NameAddr, SipUri, Via, parse_number
from trunkline.sip.types import HeaderFields, IncomingRequest, Path

_MAX_CONTACTS = 16
_MAX_INSTANCE = 256

Q_MOST = 1_000
"""The highest q-value, in thousandths."""

_Q = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a REGISTER changes nothing."""

    status: int
    reason: str | None = None
    headers: HeaderFields = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """One Contact. expires_s: None leaves it to the registrar. instance, reg_id: of an outbound flow, else empty and 0.

    q: how much it is preferred to others of its address, in thousandths (RFC 3261 section 20.10).
    key: what tells it from the others of its address: instance and reg-id where it has both, else the URI.
    """

    contact: NameAddr
    uri: SipUri
    expires_s: int | None
    instance: str
    reg_id: int
    q: int = Q_MOST

    @property
    def key(self) -> str:
        """See the class.   RFC 5626 section 6."""
        return f"{self.instance};{self.reg_id}" if self.is_outbound else str(self.uri)

    @property
    def preference(self) -> tuple[tuple[str, str], ...]:
        """Return `q` as a parameter of Contact; nothing for the highest, which need not be said."""
        return () if self.q == Q_MOST else (("q", written_q(self.q)),)

    @property
    def is_outbound(self) -> bool:
        """Whether it names a flow rather than an address."""
        return bool(self.instance and self.reg_id)


@dataclass(frozen=True, slots=True)
class RegisterForm:
    """One REGISTER. is_all: `Contact: *`, every binding is to go. path: the flow that it came on.

    takes_outbound: the client knows RFC 5626.
    """

    aor: SipUri
    uri: str
    wishes: tuple[Wish, ...]
    is_all: bool
    sip_call_id: str
    cseq: int
    path: Path
    takes_outbound: bool
    credentials: HeaderFields

    @property
    def is_query(self) -> bool:
        """Whether it only asks for the bindings."""
        return not self.wishes and not self.is_all


def read_form(request: IncomingRequest) -> RegisterForm | Refusal:
    """Read a REGISTER; a refusal if it is none that anybody could grant."""
    headers = HeaderList.received(request.headers)
    try:
        aor = headers.one("To", NameAddr.parse).uri
        if not isinstance(aor, SipUri) or not aor.username:
            return Refusal(404)
        expires = headers.get("Expires")
        default_s = None if expires is None else parse_number(expires)
        values = headers.get_all("Contact")
        is_all = any(_is_star(value) for value in values)
        wishes = (
            () if is_all else tuple(_wish(contact, default_s) for contact in headers.many("Contact", NameAddr.parse))
        )
        if is_all and (len(values) != 1 or default_s != 0):
            return Refusal(400, "A star needs Expires: 0 and no other Contact")
        takes_outbound = "outbound" in _tags(headers, "Supported") | _tags(headers, "Require")
        form = RegisterForm(
            aor=aor,
            uri=request.uri,
            wishes=wishes,
            is_all=is_all,
            sip_call_id=headers.one("Call-ID", str),
            cseq=headers.one("CSeq", CSeq.parse).number,
            path=request.path,
            takes_outbound=takes_outbound,
            credentials=tuple(
                (name, value) for name in ("Authorization", "Proxy-Authorization") for value in headers.get_all(name)
            ),
        )
        has_proxy = len(headers.many("Via", Via.parse)) > 1
    except SipParseError:
        return Refusal(400)
    return _misused_outbound(form, has_proxy=has_proxy) or form


def _misused_outbound(form: RegisterForm, *, has_proxy: bool) -> Refusal | None:
    """Judge reg-id.   RFC 5626 section 6."""
    flows = [wish for wish in form.wishes if wish.is_outbound]
    if len(form.wishes) > _MAX_CONTACTS:
        return Refusal(403, "Too many contacts")
    if flows and form.takes_outbound and has_proxy:
        return Refusal(439)
    if len([wish for wish in flows if wish.expires_s != 0]) > 1:
        return Refusal(400, "More than one reg-id")
    return None


def _is_star(value: str) -> bool:
    """Whether it is `*`; JsSIP 3.13 puts parameters behind it."""
    return value.strip().partition(";")[0].strip() == "*"


def _tags(headers: HeaderList, name: str) -> set[str]:
    return {tag.strip().lower() for value in headers.get_all(name) for tag in value.split(",")}


def _wish(contact: NameAddr, default_s: int | None) -> Wish:
    if not isinstance(contact.uri, SipUri):
        raise SipParseError("a Contact that no call can reach")
    asked = contact.parameter("expires")
    instance = (contact.parameter("+sip.instance") or "").strip('"')[:_MAX_INSTANCE]
    reg_id = contact.parameter("reg-id")
    return Wish(
        contact,
        contact.uri,
        default_s if asked is None else parse_number(asked),
        instance,
        0 if reg_id is None else parse_number(reg_id, maximum=2**31 - 1),
        _preference(contact.parameter("q")),
    )


def written_q(q: int) -> str:
    """Write a q-value. q: below the highest, in thousandths."""
    return f"0.{q:03}"


def _preference(text: str | None) -> int:
    """Read a q-value, in thousandths; without one it is the highest.   RFC 3261 section 25.1."""
    if text is None:
        return Q_MOST
    if _Q.fullmatch(text) is None:
        raise SipParseError("a q-value that is none")
    whole, _, decimals = text.partition(".")
    return int(whole) * Q_MOST + int(decimals.ljust(3, "0"))
