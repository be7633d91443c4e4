"""The inspection of requests from outside: where their responses go, and which are refused, with what.

Owns no state. RFC 3261 section 8.2 gives the order; RFC 3581 the addresses.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from trunkline.errors import SipParseError
from trunkline.sip import messaging
from trunkline.sip.core import KNOWN_METHODS, METHODS, OPTION_TAGS, Core
from trunkline.sip.dialog import dialog_id_of
from trunkline.sip.headers import OpaqueUri, Replaces, plain_text
from trunkline.sip.invite.endings import Farewell
from trunkline.sip.invite.session_timer import is_too_brief
from trunkline.sip.invite.usage import InviteUsage
from trunkline.sip.message import SDP, Request, Response
from trunkline.sip.parser import BadRequestError
from trunkline.sip.transaction import BRANCH_COOKIE, ServerTransaction
from trunkline.sip.types import DEFAULT_PORT, Path

_WITHIN = frozenset(METHODS) - {"INVITE", "ACK", "CANCEL", "OPTIONS", messaging.METHOD}
ACCEPTED_BODIES = f"{SDP}, multipart/mixed"
"""Accept, where we say what an INVITE may hold."""
_CLOSED_RETRY_AFTER_S = 60
"""A node that ends its calls is away for at least as long as its restart takes."""
_ECHOED_HEADERS = ("From", "To", "Call-ID", "CSeq")


def refusal(core: Core, transaction: ServerTransaction, *, is_closing: bool) -> Response | None:
    """Inspect a request in the order of RFC 3261 section 8.2; the response if it cannot be taken.

    is_closing: no call may begin, and who asks by OPTIONS whether we are well is told so.
    """
    request, respond = transaction.request, core.response
    method, is_within = request.method, request.to.tag is not None
    if method not in core.allowed_methods:
        return respond(request, 405 if method in KNOWN_METHODS else 501)
    if method == "CANCEL":
        return None
    if isinstance(request.uri, OpaqueUri) and request.uri.scheme != "tel":
        return respond(request, 416)
    if is_within:
        if dialog_id_of(request) not in core.dialogs:
            return respond(request, 481)
    elif method == "REFER" and not core.is_for_application(method):
        return respond(request, 403)
    elif method == "SUBSCRIBE" and not core.is_for_application(method):
        return respond(request, 489)
    elif method in _WITHIN and not core.is_for_application(method):
        return respond(request, 481)
    elif core.transactions.is_merged(transaction):
        return respond(request, 482)
    unknown = [tag for tag in request.option_tags("Require") if tag not in OPTION_TAGS]
    if unknown:
        response = respond(request, 420)
        response.headers.add("Unsupported", ", ".join(unknown))
        return response
    if method == messaging.METHOD:
        return _message_refusal(core, request)
    if is_closing and not is_within and method in ("INVITE", "OPTIONS"):
        response = respond(request, 503)
        response.headers.add("Retry-After", str(_CLOSED_RETRY_AFTER_S))
        return response
    if method == "INVITE":
        return _invite_refusal(core, request, is_within=is_within)
    return None


def _message_refusal(core: Core, request: Request) -> Response | None:
    judged = messaging.refusal(request)
    if judged is None:
        return None
    response = core.response(request, judged[0])
    for name, value in judged[1]:
        response.headers.add(name, value)
    return response


def _invite_refusal(core: Core, request: Request, *, is_within: bool) -> Response | None:
    if request.body and not _can_take_body(request):
        response = core.response(request, 415)
        response.headers.add("Accept", ACCEPTED_BODIES)
        return response
    if request.headers.get("Content-Encoding"):
        response = core.response(request, 415)
        response.headers.add("Accept-Encoding", "identity")
        return response
    if is_within:
        return None
    if (request.headers.get("Max-Forwards") or "").strip() == "0":
        return core.response(request, 483)
    is_old = not (request.top_via.branch or "").startswith(BRANCH_COOKIE)  # RFC 2543 knew INVITEs without a Contact
    if len(request.contacts) > 1 or not (request.contacts or is_old):
        return core.response(request, 400, "An INVITE needs exactly one Contact")
    if is_too_brief(core, request):
        response = core.response(request, 422)
        response.headers.add("Min-SE", str(core.config.session_least_s))
        return response
    return _replaces_refusal(core, request)


def _can_take_body(request: Request) -> bool:
    """Whether a session description is all that we have to understand of a body.

    Beside one, only what says `handling=required` has to be understood. RFC 5621 section 7.3 has it so also where
    nothing is said; but who sends a location or ISUP along, and says nothing, does not mean that the call should fail.
    """
    unread = [part for part in request.parts if part.content_type != SDP]
    if request.sdp is None:
        return bool(unread) and all(part.handling == "optional" for part in unread)
    return not any(part.handling == "required" for part in unread)


def _replaces_refusal(core: Core, request: Request) -> Response | None:
    """Judge a Replaces header.   RFC 3891 section 3."""
    values = request.headers.get_all("Replaces")
    if not values:
        return None
    try:
        replaces = Replaces.parse(values[0])
    except SipParseError:
        return core.response(request, 400, "Bad Replaces")
    if len(values) > 1:
        return core.response(request, 400, "More than one Replaces")
    owner = core.dialogs.get((replaces.sip_call_id, replaces.to_tag, replaces.from_tag))
    if isinstance(owner, Farewell):
        return core.response(request, 603)
    if not isinstance(owner, InviteUsage) or not owner.can_be_replaced:
        return core.response(request, 481)
    if replaces.is_early_only and owner.is_confirmed:
        return core.response(request, 486)
    return None


def answer_bad(core: Core, error: BadRequestError, path: Path) -> tuple[Path, bytes] | None:
    """Write the stateless answer to a request that cannot be taken; None if there is nothing to write it from.

    It goes where the Via says, and where that cannot be read, to where the request came from.   RFC 3261 section 8.2.7.
    """
    request, back = error.request, path
    if request.method == "ACK" or not all(request.headers.get(name) for name in (*_ECHOED_HEADERS, "Via")):
        return None
    with suppress(SipParseError):
        stamp(request, path)
        back = response_path(request, path)
    response = core.response(request, error.status, None if error.status != 400 else _phrase(error))
    return back, response.to_bytes()


def stamp(request: Request, path: Path) -> None:
    """Note in the top Via where the request came from.   RFC 3261 section 18.2.1, RFC 3581 section 4."""
    via, (host, port) = request.top_via, path.remote
    wants_port = via.has_parameter("rport")
    if wants_port or via.host.lower() != host.lower():
        stamped = via.with_parameter("rport", str(port)) if wants_port else via
        request.headers.set_top_via(stamped.with_parameter("received", host))


def response_path(request: Request, path: Path) -> Path:
    """Say where responses go: for a stream that has closed, the sent-by port.   RFC 3261 section 18.2.2."""
    via = request.top_via
    if via.has_parameter("rport") and not path.transport.is_reliable:
        return path
    return replace(path, remote=(path.remote[0], via.port or DEFAULT_PORT))


def _phrase(error: BadRequestError) -> str:
    """Tell the peer what is wrong, in its status line."""
    return f"Bad Request ({plain_text(str(error))[:80]})"
