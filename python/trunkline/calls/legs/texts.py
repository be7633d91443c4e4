"""Texts within a call: from the far side of one leg to that of the other.   RFC 3428 section 3.

Owns the two translations of a MESSAGE in a dialog, and what its sender is answered. Keeps nothing: who takes the text
is asked, and what it says goes back.
"""

from __future__ import annotations

from functools import partial

from trunkline.calls.events import Reply, TextPassed
from trunkline.calls.legs.sip_party import SipAccess
from trunkline.calls.model import ReceivedText, Side
from trunkline.errors import InvalidCallState, LegRejected, TrunklineError
from trunkline.ids import CallId
from trunkline.sip.types import IncomingRequestId, InviteId, MessageAnswered, MessageReceived, MessageRequest
from trunkline.trunks.identity import user_of

_UNAVAILABLE = 480
_CHALLENGES = (401, 407)


def text_of(message: MessageReceived, call: CallId | None = None) -> ReceivedText:
    """Return a MESSAGE as it is shown to people."""
    return ReceivedText(
        id=f"sip-{message.request}",
        sender=user_of(message.sender),
        recipient=user_of(message.recipient),
        display_name=message.display_name,
        body=message.text,
        content_type=message.content_type,
        call=call,
        uri=message.sender,
    )


def arrived(sip: SipAccess, side: Side, message: MessageReceived, call: CallId) -> TextPassed:
    """Return the wish of a far side that the other one reads its text; the outcome is the MESSAGE's answer."""
    return TextPassed(side, text_of(message, call), partial(_answer, sip, message.request))


def _answer(sip: SipAccess, request: IncomingRequestId, error: TrunklineError | None) -> None:
    match error:
        case None:
            status = 200
        case LegRejected() if error.status in _CHALLENGES:
            status = 403  # whose challenge it is cannot be answered from the other side of a call
        case LegRejected():
            status = error.status
        case InvalidCallState():
            status = _UNAVAILABLE
        case _:
            status = error.sip_status
    sip.verbs.respond(request, status)


def send(sip: SipAccess, invite: InviteId, text: ReceivedText, reply: Reply) -> None:
    """Send a text in the dialog of a call; `reply` gets the outcome. InvalidCallState, LocalProtocolError."""

    def answered(event: MessageAnswered) -> None:
        reply(None if event.status < 300 else LegRejected(event.status, event.reason))

    message = sip.verbs.send_message(MessageRequest(text=text.body, content_type=text.content_type, within=invite))
    sip.events.bind_message(message, answered)
