"""What happens to a call: the words that legs, media and API have for `machine`.

Owns the inputs, in the past tense (`actions` has the answers to them). They are protocol-neutral, so that a SIP leg and
a web leg are interchangeable. Descriptions (SDP) travel as text: only the leg that negotiates reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from trunkline.calls.model import CallEnd, EndReason, ReceivedText, Side
from trunkline.dtmf import DtmfKind
from trunkline.errors import TrunklineError
from trunkline.ids import CallId

Reply = Callable[[TrunklineError | None], None]
"""Takes how a request ended, exactly once: None is success, an error names the cause."""


class DtmfMethod(StrEnum):
    """How digits leave on the SIP leg."""

    RTP = "rtp"
    """In the way that was negotiated: RFC 4733 events, else tones, or INFO where `calls.dtmf` has it so."""
    INFO = "info"
    """SIP INFO with `application/dtmf-relay`, whatever was negotiated."""


# --- inputs --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The A-leg asks for the call; its offer, if it has one, is in the leg."""


@dataclass(frozen=True, slots=True)
class LegTried:
    """The next hop took the request (100)."""


@dataclass(frozen=True, slots=True)
class LegRang:
    """The callee is alerted (180 without a description)."""


@dataclass(frozen=True, slots=True)
class LegProgressed:
    """Early media: a provisional response with a description."""

    description: str


@dataclass(frozen=True, slots=True)
class LegAnswered:
    """The B-leg answered. description: empty if an earlier one stands (RFC 3261 section 13.2.1)."""

    description: str


@dataclass(frozen=True, slots=True)
class PlacesDue:
    """Of a callee's places, those that are to ring first have rung long enough, or have refused: the next ones."""


@dataclass(frozen=True, slots=True)
class LegReoffered:
    """A leg offers a new description within the call (re-INVITE). description: empty asks us to offer."""

    side: Side
    description: str


@dataclass(frozen=True, slots=True)
class LegDescribed:
    """A leg answered an offer that we made after it was answered itself.

    By re-INVITE, or in the ACK of a late offer (RFC 3261 section 13.2.1). description: empty if the last one stands.
    """

    side: Side
    description: str


@dataclass(frozen=True, slots=True)
class LegRefused:
    """A leg refused an offer that we made within the call, and goes on as before (RFC 3261 section 14.1)."""

    side: Side
    status: int
    phrase: str


@dataclass(frozen=True, slots=True)
class LegTransferred:
    """A leg's far side has called who we sent it to, and was answered; or it left us for that."""

    side: Side


@dataclass(frozen=True, slots=True)
class LegStayed:
    """A leg's far side will not be transferred, or was not answered there. status: SIP's, of whichever refused."""

    side: Side
    status: int
    phrase: str


@dataclass(frozen=True, slots=True)
class LegUnsendable:
    """A leg's far side takes no transfer to whom a client has consulted: that must be done without it."""

    side: Side
    status: int
    phrase: str


@dataclass(frozen=True, slots=True)
class LegReferred:
    """A leg's far side wants us to call somebody else in its place (RFC 3515). by: who says so, may be empty."""

    side: Side
    target: str
    by: str


@dataclass(frozen=True, slots=True)
class LegLeft:
    """A leg's far side has hung up after we agreed to call somebody else in its place."""

    side: Side


@dataclass(frozen=True, slots=True)
class LegReplaced:
    """Somebody calls to take the place of a leg's far side (RFC 3891). by: who, for people."""

    side: Side
    by: str


@dataclass(frozen=True, slots=True)
class LegEnded:
    """A leg is over: hung up, refused, cancelled or lost. `end.by` is its side."""

    end: CallEnd


@dataclass(frozen=True, slots=True)
class HangupRequested:
    """The gateway or its API ends the call."""

    end: CallEnd


class Timer(StrEnum):
    """The clocks of a call."""

    RING = "ring"
    """The callee is asked or alerted, and nobody picks up."""
    SETUP = "setup"
    """From start to answer, whatever happens between: bounds early media."""
    DURATION = "duration"
    """An answered call may not last for ever."""
    CONSENT = "consent"
    """A client is to say whether a transfer may be followed."""
    SUCCESSOR = "successor"
    """Who is to take a leg's place is asked or alerted, and does not pick up."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """One of the call's clocks ran out."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class MediaFailed:
    """A leg's media cannot go on."""

    side: Side
    reason: EndReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class MediaMissing:
    """A leg is answered and has never sent RTP, for the configured time."""

    side: Side


@dataclass(frozen=True, slots=True)
class MediaSilent:
    """No RTP from a leg for the configured time."""

    side: Side


@dataclass(frozen=True, slots=True)
class DtmfRequested:
    """A client wants digits sent to the other leg. side: the leg that they go out on.

    reply: gets the outcome once the last is on its way; by INFO, once the far side has taken or refused it.
    """

    side: Side
    digits: str
    method: DtmfMethod
    reply: Reply


@dataclass(frozen=True, slots=True)
class DtmfHeard:
    """A leg's far side pressed a digit, and let go of it.

    by: how it came. The media plane carries across what came as events or tones, but to a leg that is told by INFO.
    """

    side: Side
    digit: str
    duration_ms: int
    by: DtmfKind


@dataclass(frozen=True, slots=True)
class AnswerRequested:
    """The API takes a call that rings: whoever it rings at is let go, and a player speaks."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class HoldRequested:
    """A client puts the other leg on hold. side: the client's. is_for_transfer: it says that a transfer comes next.

    has_music: the held leg hears ours. is_silent: it is not even sent anything.
    """

    side: Side
    reply: Reply
    is_for_transfer: bool = False
    has_music: bool = True
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    """A client takes the other leg off hold again."""

    side: Side
    reply: Reply


@dataclass(frozen=True, slots=True)
class MuteRequested:
    """A client wants a leg's far side not to be heard, or to be heard again."""

    side: Side
    is_muted: bool
    reply: Reply


@dataclass(frozen=True, slots=True)
class TextPassed:
    """One side of a call sends the other a text. side: the sender's."""

    side: Side
    text: ReceivedText
    reply: Reply


@dataclass(frozen=True, slots=True)
class RecordRequested:
    """A client wants the call recorded, or not any longer. name: of the file, empty to end what is being recorded."""

    name: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """A client sends the other leg's far side to somebody else. side: the client's.

    target: a number, user or address; in an attended transfer what to show for it. consulted: the call with whoever
    takes over, None in a blind transfer.
    """

    side: Side
    target: str
    reply: Reply
    consulted: CallId | None = None


@dataclass(frozen=True, slots=True)
class FollowRequested:
    """A client, or our policy, says whether a transfer that a far side asks for is followed.

    False also gives one up that is under way.
    """

    is_accepted: bool
    reply: Reply


Request = (
    AnswerRequested
    | HoldRequested
    | ResumeRequested
    | MuteRequested
    | DtmfRequested
    | TextPassed
    | RecordRequested
    | TransferRequested
    | FollowRequested
)
"""What a client asks for and wants the outcome of."""


@dataclass(frozen=True, slots=True)
class ActionFailed:
    """An action of the controller did not succeed; the rest of its row was not run."""

    end: CallEnd


@dataclass(frozen=True, slots=True)
class SuccessorEvent:
    """Something happened to a leg that is to take the place of another one. key: which, among those of the call."""

    key: int
    event: CallEvent


CallEvent = (
    CallStarted
    | LegTried
    | LegRang
    | LegProgressed
    | LegAnswered
    | PlacesDue
    | LegReoffered
    | LegDescribed
    | LegRefused
    | LegTransferred
    | LegStayed
    | LegUnsendable
    | LegReferred
    | LegLeft
    | LegReplaced
    | LegEnded
    | HangupRequested
    | TimerFired
    | MediaFailed
    | MediaMissing
    | MediaSilent
    | DtmfHeard
    | Request
    | SuccessorEvent
    | ActionFailed
)


# --- the columns of the machine's table -----------------------------------------------------------------------------


class Input(StrEnum):
    """The kind of an event: the columns of the machine's table."""

    STARTED = "started"
    B_TRIED = "b_tried"
    B_RANG = "b_rang"
    B_PROGRESSED = "b_progressed"
    B_ANSWERED = "b_answered"
    B_DUE = "b_due"
    REOFFERED = "reoffered"
    DESCRIBED = "described"
    REFUSED = "refused"
    TRANSFERRED = "transferred"
    STAYED = "stayed"
    UNSENDABLE = "unsendable"
    REFERRED = "referred"
    LEFT = "left"
    REPLACED = "replaced"
    FOLLOW_ACCEPTED = "follow_accepted"
    FOLLOW_DECLINED = "follow_declined"
    NEXT_RANG = "next_rang"
    NEXT_PROGRESSED = "next_progressed"
    NEXT_ANSWERED = "next_answered"
    NEXT_DESCRIBED = "next_described"
    NEXT_ENDED = "next_ended"
    ENDED = "ended"
    MEDIA_SILENT = "media_silent"
    DTMF_REQUESTED = "dtmf_requested"
    DTMF_HEARD = "dtmf_heard"
    ANSWER_REQUESTED = "answer_requested"
    HOLD_REQUESTED = "hold_requested"
    RESUME_REQUESTED = "resume_requested"
    MUTE_REQUESTED = "mute_requested"
    TEXT_PASSED = "text_passed"
    RECORD_REQUESTED = "record_requested"
    TRANSFER_REQUESTED = "transfer_requested"


_NEXT: Final[dict[type[CallEvent], Input]] = {
    LegTried: Input.NEXT_RANG,
    LegRang: Input.NEXT_RANG,
    LegProgressed: Input.NEXT_PROGRESSED,
    LegAnswered: Input.NEXT_ANSWERED,
    LegDescribed: Input.NEXT_DESCRIBED,
    LegEnded: Input.NEXT_ENDED,
}
"""What matters of a leg that is not in its place yet."""


def matters_early(event: CallEvent) -> bool:
    """Whether an event of a leg is of use before the leg is in its place."""
    return type(event) in _NEXT


def input_of(event: CallEvent) -> Input:
    """Return the column an event belongs to. All ways to end a call are one column: `end_of` tells them apart."""
    match event:
        case TimerFired(Timer.CONSENT):
            return Input.FOLLOW_DECLINED
        case TimerFired(Timer.SUCCESSOR):
            return Input.NEXT_ENDED
        case SuccessorEvent(_, of_leg):
            return _NEXT[type(of_leg)]
        case CallStarted():
            return Input.STARTED
        case LegTried():
            return Input.B_TRIED
        case LegRang():
            return Input.B_RANG
        case LegProgressed():
            return Input.B_PROGRESSED
        case LegAnswered():
            return Input.B_ANSWERED
        case PlacesDue():
            return Input.B_DUE
        case LegReoffered():
            return Input.REOFFERED
        case LegDescribed():
            return Input.DESCRIBED
        case LegRefused():
            return Input.REFUSED
        case LegTransferred():
            return Input.TRANSFERRED
        case LegStayed():
            return Input.STAYED
        case LegUnsendable():
            return Input.UNSENDABLE
        case LegReferred():
            return Input.REFERRED
        case LegLeft():
            return Input.LEFT
        case LegReplaced():
            return Input.REPLACED
        case FollowRequested(is_accepted):
            return Input.FOLLOW_ACCEPTED if is_accepted else Input.FOLLOW_DECLINED
        case LegEnded() | HangupRequested() | TimerFired() | MediaFailed() | ActionFailed():
            return Input.ENDED
        case MediaMissing() | MediaSilent():
            return Input.MEDIA_SILENT
        case DtmfRequested():
            return Input.DTMF_REQUESTED
        case DtmfHeard():
            return Input.DTMF_HEARD
        case AnswerRequested():
            return Input.ANSWER_REQUESTED
        case HoldRequested():
            return Input.HOLD_REQUESTED
        case ResumeRequested():
            return Input.RESUME_REQUESTED
        case MuteRequested():
            return Input.MUTE_REQUESTED
        case TextPassed():
            return Input.TEXT_PASSED
        case RecordRequested():
            return Input.RECORD_REQUESTED
        case TransferRequested():
            return Input.TRANSFER_REQUESTED
    assert_never(event)


def end_of(event: CallEvent) -> CallEnd:
    """How the call ends if this event ends it."""
    match event:
        case LegEnded(end) | HangupRequested(end) | ActionFailed(end) | SuccessorEvent(_, LegEnded(end)):
            return end
        case LegLeft(side):
            return CallEnd(EndReason.NORMAL, by=side)
        case FollowRequested():
            return CallEnd(EndReason.CANCELLED)
        case TimerFired(Timer.DURATION):
            return CallEnd(EndReason.TERMINATED, phrase="the longest time a call may last is over")
        case TimerFired():
            return CallEnd(EndReason.NO_ANSWER)
        case LegTransferred(side):
            return CallEnd(EndReason.TRANSFERRED, by=side)
        case MediaFailed(side, reason, detail):
            return CallEnd(reason, by=side, phrase=detail)
        case MediaMissing(side):
            return CallEnd(EndReason.NO_MEDIA, by=side)
        case MediaSilent(side):
            return CallEnd(EndReason.MEDIA_INACTIVE, by=side)
        case _:
            return CallEnd(EndReason.INTERNAL)
