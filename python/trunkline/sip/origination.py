"""How a request of ours begins: whom it is for, as whom, with which headers.   RFC 3261 section 8.1.1."""

from __future__ import annotations

import re

from trunkline.errors import LocalProtocolError, SipParseError
from trunkline.sip.core import Core
from trunkline.sip.headers import HeaderList, NameAddr, Replaces, SipUri, Uri, check_field, is_token, parse_uri
from trunkline.sip.message import SDP, Request
from trunkline.sip.messaging import METHOD, with_text
from trunkline.sip.types import Account, HeaderFields, Identity, InviteRequest, MessageRequest

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


def initial_invite(core: Core, request: InviteRequest, target: Uri, *, routes: tuple[NameAddr, ...] = ()) -> Request:
    """Build an INVITE without Via, CSeq and Contact; LocalProtocolError if an extra header is not the application's.

    routes: preloaded, as the account's registrar wants them (RFC 3608).
    """
    invite = _opening(core, request, "INVITE", target, routes, core.capabilities)
    if request.max_breadth is not None:
        invite.headers.add("Max-Breadth", str(request.max_breadth))
    if request.replaces is not None:
        try:
            invite.headers.add("Replaces", str(Replaces.parse(request.replaces)))
        except SipParseError as error:
            raise LocalProtocolError("bad Replaces") from error
        invite.headers.add("Require", "replaces")
    return invite if request.sdp is None else invite.with_body(SDP, request.sdp.encode())


def initial_message(core: Core, request: MessageRequest, target: Uri, *, routes: tuple[NameAddr, ...] = ()) -> Request:
    """Build a MESSAGE outside dialogs without Via and CSeq; it has no Contact.   RFC 3428 section 4.

    LocalProtocolError as `initial_invite`, and if the text cannot be sent.
    """
    return with_text(_opening(core, request, METHOD, target, routes), request)


def _opening(
    core: Core,
    request: InviteRequest | MessageRequest,
    method: str,
    target: Uri,
    routes: tuple[NameAddr, ...],
    capabilities: HeaderFields = (),
) -> Request:
    """Build what such requests have in common: who, to whom, by which way."""
    if not 0 < request.max_forwards <= 255:
        raise LocalProtocolError("a request that may take no further hop")
    account = request.account
    own: Uri
    if account is not None:
        own = SipUri.of(account.login, account.domain)
    else:
        own = SipUri.of(request.caller or "anonymous", core.config.advertised_host or "anonymous.invalid")
    if request.from_uri is not None:
        own = target_of(request.from_uri, None)
    name = request.display_name or (account.display_name if account is not None else None) or ""
    identity = request.identity or Identity()
    if identity.is_anonymous:
        own, name = SipUri.of("anonymous", "anonymous.invalid"), "Anonymous"
    check_field("From", name)
    headers = HeaderList()
    headers.add("Max-Forwards", str(request.max_forwards))
    headers.add("From", str(NameAddr(own, name, (("tag", core.token()),))))
    headers.add("To", str(NameAddr(target)))
    headers.add("Call-ID", core.token())
    for field_name, value in (*capabilities, *allowed_headers(request.extra_headers), *_identity_headers(identity)):
        headers.add(field_name, value)
    for route in (*routes, *request.routes):
        check_field("Route", str(route))
        headers.add("Route", str(route))
    for field_name, value in request.credentials:
        check_field(field_name, value)
        headers.add(field_name, value)
    return Request(method, target, headers)


def _identity_headers(identity: Identity) -> HeaderFields:
    """Write P-Asserted-Identity, P-Preferred-Identity and Privacy.   RFC 3325 section 9, RFC 3323 section 4.2."""
    found: list[tuple[str, str]] = []
    for name, text in (
        ("P-Asserted-Identity", identity.asserted),
        ("P-Preferred-Identity", identity.preferred),
    ):
        if text is not None:
            try:
                found.append((name, str(NameAddr(parse_uri(text)))))
            except SipParseError as error:
                raise LocalProtocolError(f"not an identity: {error}") from error
    if not all(is_token(word) for word in identity.privacy):
        raise LocalProtocolError("not a word of Privacy")
    if identity.privacy:
        found.append(("Privacy", ";".join(identity.privacy)))
    return tuple(found)
