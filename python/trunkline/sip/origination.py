"""How a request of ours begins: whom it is for, as whom, with which headers.   RFC 3261 section 8.1.1."""

from __future__ import annotations

import re

from trunkline.errors import LocalProtocolError, SipParseError
from trunkline.sip.core import Core
from trunkline.sip.headers import NameAddr, Replaces, SipUri, Uri, check_field, parse_uri
from trunkline.sip.message import SDP, HeaderList, Request
from trunkline.sip.types import Account, HeaderFields, InviteRequest

_ROUTING_HEADERS = {"via", "route", "record-route", "max-forwards", "from", "to", "call-id", "cseq", "contact"}
_ABILITY_HEADERS = {"allow", "supported", "require", "proxy-require", "user-agent", "expires"}
_SECRET_HEADERS = {"authorization", "proxy-authorization"}
_BODY_HEADERS = {"content-type", "content-length", "content-encoding"}
_OUR_HEADERS = _ROUTING_HEADERS | _ABILITY_HEADERS | _SECRET_HEADERS | _BODY_HEADERS
_WRITTEN_URI = re.compile(r"(?:sips?|tel):", re.IGNORECASE)


def target_of(text: str, account: Account | None) -> Uri:
    """Complete what a user dialled.   RFC 3261 section 19.1.6 (telephone numbers)."""
    check_field("To", text)
    text = text.strip()
    scheme, _, rest = text.partition(":")
    try:
        if _WRITTEN_URI.match(text) and not (scheme.lower() == "tel" and account is not None):
            return parse_uri(text).as_target
        if "@" in text:
            return parse_uri(f"sip:{text}").as_target
    except SipParseError as error:
        raise LocalProtocolError(f"not a target: {error}") from error
    if account is None:
        raise LocalProtocolError("a number without an account needs a host")
    return SipUri.of(rest if scheme.lower() == "tel" else text, account.domain)


def allowed_headers(extra: HeaderFields) -> HeaderFields:
    """Return the application's headers; LocalProtocolError if one of them is ours to set."""
    for name, _ in extra:
        if name.lower() in _OUR_HEADERS or len(name) == 1:
            raise LocalProtocolError(f"{name} is not the application's to set")
    return extra


def initial_invite(core: Core, request: InviteRequest, target: Uri) -> Request:
    """Build an INVITE without Via, CSeq and Contact; LocalProtocolError if an extra header is not the application's."""
    account = request.account
    if account is not None:
        own = SipUri.of(account.login, account.domain)
    else:
        own = SipUri.of(request.caller or "anonymous", core.config.advertised_host or "anonymous.invalid")
    name = request.display_name or (account.display_name if account is not None else None) or ""
    headers = HeaderList()
    headers.add("Max-Forwards", "70")
    headers.add("From", str(NameAddr(own, name, (("tag", core.token()),))))
    headers.add("To", str(NameAddr(target)))
    headers.add("Call-ID", core.token())
    for field_name, value in (*core.capabilities, *allowed_headers(request.extra_headers)):
        headers.add(field_name, value)
    if request.replaces is not None:
        try:
            headers.add("Replaces", str(Replaces.parse(request.replaces)))
        except SipParseError as error:
            raise LocalProtocolError("bad Replaces") from error
        headers.add("Require", "replaces")
    return Request("INVITE", target, headers).with_body(SDP, request.sdp.encode())
