"""The call machine: what a call does about each event, as a table.

Owns call state and nothing else: pure, no clock, no socket, no await, no SIP header. `controller` runs the actions one
by one and comes back with events; an action that fails comes back as `ActionFailed`.

A call is two legs and one question: has the callee answered? After that, what its clients do with it: a request that
waits for a far side has a state of its own, so that the next one is refused and not mixed up with it. Rows keep RFC
3261 section 13's order. Whatever is not in the table is late or doubled and changes nothing, on purpose: a 180 that
overtook its 200, a digit after the hang-up. Every state but `ENDED` has a row for `Input.ENDED`, and no row leads out
of `ENDED`: no order of events leaves a call half open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trunkline.calls.actions import Action
from trunkline.calls.events import CallEvent, Input, input_of
from trunkline.calls.model import CallState, CallStatus


@dataclass(frozen=True, slots=True)
class Step:
    """Where the call is after an event, and what to do, in order."""

    state: CallState
    actions: tuple[Action, ...] = ()


CLOSING: Final = (
    Action.DISARM_TIMERS,
    Action.DROP_NEXT,
    Action.HANG_UP_B,
    Action.HANG_UP_A,
    Action.END_RECORDING,
    Action.CLOSE_ENDPOINTS,
    Action.FORGET,
)
"""The closing order: legs first, so that nobody keeps sending into a closed port; then endpoints, then the call."""

_START: Final = (Action.ARM_SETUP, Action.OPEN_A, Action.OPEN_B, Action.ARM_RING, Action.DIAL_B)
_NOT_NOW: Final = Action.REFUSE_REFERRAL
_RING: Final = (Action.RING_A, Action.REPORT)
_JOIN: Final = (Action.DISARM_RING, Action.ACCEPT_B, Action.DESCRIBE_A, Action.JOIN)
_ANSWER: Final = (Action.EXPECT_MEDIA, Action.ARM_DURATION, Action.CONNECT_A, Action.REPORT)

_NEW, _DIALING, _TRYING, _RINGING, _EARLY, _ESTABLISHED, _HOLDING, _HELD, _RESUMING, *_REST = CallState
_TRANSFERRING, _TRANSFERRING_HELD, _FOLLOWING, _FOLLOWING_HELD, _BRIDGING, _BRIDGING_HELD, _DESERTED, _ENDED = _REST

_SENDING: Final = (_TRANSFERRING, _TRANSFERRING_HELD)
_FOLLOWED: Final = (_FOLLOWING, _FOLLOWING_HELD)
_BRIDGED: Final = (_BRIDGING, _BRIDGING_HELD)
ANSWERED: Final = (_ESTABLISHED, _HOLDING, _HELD, _RESUMING, *_SENDING, *_FOLLOWED, *_BRIDGED)
"""The states of a call whose callee has answered, and is there."""

_BEFORE: Final = {_FOLLOWING: _ESTABLISHED, _FOLLOWING_HELD: _HELD}
"""Where a call was before it followed a transfer, and is again if nobody answers there."""
_ARRIVE: Final = Step(_ESTABLISHED, (Action.ACCEPT_NEXT, Action.TAKE_OVER, Action.EXPECT_MEDIA))

TABLE: Final[dict[tuple[CallState, Input], Step]] = {
    (_NEW, Input.STARTED): Step(_DIALING, _START),
    # RFC 3261 section 13.2.2.1: provisional responses. A description in one starts early media (RFC 3960 section 3).
    (_DIALING, Input.B_TRIED): Step(_TRYING, (Action.REPORT,)),
    (_DIALING, Input.B_RANG): Step(_RINGING, _RING),
    (_TRYING, Input.B_RANG): Step(_RINGING, _RING),
    (_DIALING, Input.B_PROGRESSED): Step(_EARLY, _JOIN + _RING),
    (_TRYING, Input.B_PROGRESSED): Step(_EARLY, _JOIN + _RING),
    (_RINGING, Input.B_PROGRESSED): Step(_EARLY, _JOIN + _RING),
    # A proxy forked the call and another branch plays now: hear the newest (RFC 3261 section 13.2.2.4).
    (_EARLY, Input.B_PROGRESSED): Step(_EARLY, (Action.ACCEPT_B,)),
    # A callee with several places, some of which come later (RFC 3261 section 16.6): the same question once more.
    **{(state, Input.B_DUE): Step(state, (Action.DIAL_B,)) for state in (_DIALING, _TRYING, _RINGING)},
    # RFC 3261 section 13.2.2.4: 2xx. After early media the A-leg has its answer already; only the B-leg may differ.
    (_DIALING, Input.B_ANSWERED): Step(_ESTABLISHED, (*_JOIN, *_ANSWER, Action.SETTLE_B)),
    (_TRYING, Input.B_ANSWERED): Step(_ESTABLISHED, (*_JOIN, *_ANSWER, Action.SETTLE_B)),
    (_RINGING, Input.B_ANSWERED): Step(_ESTABLISHED, (*_JOIN, *_ANSWER, Action.SETTLE_B)),
    (_EARLY, Input.B_ANSWERED): Step(_ESTABLISHED, (Action.ACCEPT_B, *_ANSWER, Action.SETTLE_B)),
    (_RINGING, Input.ANSWER_REQUESTED): Step(
        _ESTABLISHED,
        (Action.DISARM_RING, Action.PICK_UP, Action.DESCRIBE_A, Action.JOIN, *_ANSWER, Action.GRANT),
    ),
    # RFC 3261 section 14: an offer within the dialog. The other leg keeps its description: the media plane adapts.
    # While we wait for an answer to ours, one from the other side of the call has to wait as well.
    (_ESTABLISHED, Input.REOFFERED): Step(_ESTABLISHED, (Action.ANSWER_OFFER, Action.REPORT_CHANGE)),
    (_HELD, Input.REOFFERED): Step(_HELD, (Action.ANSWER_OFFER, Action.REPORT_CHANGE)),
    **{
        (state, Input.REOFFERED): Step(state, (Action.REFUSE_OFFER,))
        for state in (_EARLY, _RINGING, _HOLDING, _RESUMING)
    },
    (_ESTABLISHED, Input.DESCRIBED): Step(_ESTABLISHED, (Action.TAKE_ANSWER, Action.REPORT_CHANGE)),
    (_HELD, Input.DESCRIBED): Step(_HELD, (Action.TAKE_ANSWER,)),
    # Hold: RFC 3264 section 8.4, RFC 5359 section 2.1. A client that asks for what is so already is granted it.
    (_ESTABLISHED, Input.HOLD_REQUESTED): Step(_HOLDING, (Action.HOLD_LEG,)),
    (_HOLDING, Input.DESCRIBED): Step(_HELD, (Action.TAKE_ANSWER, Action.START_MUSIC, Action.REPORT, Action.GRANT)),
    (_HOLDING, Input.REFUSED): Step(_ESTABLISHED, (Action.DENY,)),
    (_HELD, Input.HOLD_REQUESTED): Step(_HELD, (Action.GRANT,)),
    (_HELD, Input.RESUME_REQUESTED): Step(_RESUMING, (Action.RESUME_LEG,)),
    (_RESUMING, Input.DESCRIBED): Step(
        _ESTABLISHED, (Action.TAKE_ANSWER, Action.STOP_MUSIC, Action.REPORT, Action.GRANT)
    ),
    (_RESUMING, Input.REFUSED): Step(_HELD, (Action.DENY,)),
    (_ESTABLISHED, Input.RESUME_REQUESTED): Step(_ESTABLISHED, (Action.GRANT,)),
    # Transfer: RFC 3515, RFC 5589 sections 6 and 7. The call stands until the far side has arrived elsewhere; meanwhile
    # it may put us on hold, as many phones do first.
    (_ESTABLISHED, Input.TRANSFER_REQUESTED): Step(_TRANSFERRING, (Action.SEND_ON,)),
    (_HELD, Input.TRANSFER_REQUESTED): Step(_TRANSFERRING_HELD, (Action.SEND_ON,)),
    (_TRANSFERRING, Input.STAYED): Step(_ESTABLISHED, (Action.DENY,)),
    (_TRANSFERRING_HELD, Input.STAYED): Step(_HELD, (Action.DENY,)),
    **{(state, Input.TRANSFERRED): Step(_ENDED, CLOSING) for state in _SENDING},
    **{
        (state, Input.REOFFERED): Step(state, (Action.ANSWER_OFFER, Action.REPORT_CHANGE))
        for state in (*_SENDING, *_FOLLOWED, *_BRIDGED)
    },
    **{(state, Input.DESCRIBED): Step(state, (Action.TAKE_ANSWER,)) for state in (*_SENDING, *_FOLLOWED, *_BRIDGED)},
    # A far side that takes no REFER: we do what it would have done, with a new offer to whom was consulted (RFC 3725).
    (_TRANSFERRING, Input.UNSENDABLE): Step(_BRIDGING, (Action.MOVE_CONSULTED,)),
    (_TRANSFERRING_HELD, Input.UNSENDABLE): Step(_BRIDGING_HELD, (Action.MOVE_CONSULTED,)),
    (_BRIDGING, Input.NEXT_DESCRIBED): Step(_ESTABLISHED, (Action.ACCEPT_NEXT, Action.JOIN_PARTIES, Action.GRANT)),
    (_BRIDGING_HELD, Input.NEXT_DESCRIBED): Step(
        _RESUMING, (Action.ACCEPT_NEXT, Action.JOIN_PARTIES, Action.RESUME_LEG)
    ),
    (_BRIDGING, Input.NEXT_ENDED): Step(_ESTABLISHED, (Action.LEAVE_APART, Action.DENY)),
    (_BRIDGING_HELD, Input.NEXT_ENDED): Step(_HELD, (Action.LEAVE_APART, Action.DENY)),
    # A transfer that a far side asks for (RFC 3515 section 2.4.2): the call stands until whom it named has answered.
    **{
        (state, Input.REFERRED): Step(state, (Action.CONSIDER if state in (_ESTABLISHED, _HELD) else _NOT_NOW,))
        for state in CallState
        if state is not _ENDED
    },
    (_ESTABLISHED, Input.FOLLOW_ACCEPTED): Step(_FOLLOWING, (Action.CALL_NEXT,)),
    (_HELD, Input.FOLLOW_ACCEPTED): Step(_FOLLOWING_HELD, (Action.CALL_NEXT,)),
    **{(state, Input.FOLLOW_DECLINED): Step(_BEFORE.get(state, state), (Action.GIVE_UP,)) for state in ANSWERED},
    **{(state, Input.NEXT_RANG): Step(state, (Action.TELL_PROGRESS,)) for state in (*_FOLLOWED, _DESERTED)},
    **{
        (state, Input.NEXT_PROGRESSED): Step(state, (Action.HEAR_NEXT, Action.TELL_PROGRESS))
        for state in (*_FOLLOWED, _DESERTED)
    },
    **{(state, Input.NEXT_ANSWERED): _ARRIVE for state in (*_FOLLOWED, _DESERTED)},
    **{(state, Input.NEXT_ENDED): Step(_BEFORE[state], (Action.GIVE_UP,)) for state in _FOLLOWED},
    # Many phones hang up as soon as we have agreed: then there is nothing to go back to.
    **{(state, Input.LEFT): Step(_DESERTED, (Action.WAIT_ALONE,)) for state in (_ESTABLISHED, _HELD, *_FOLLOWED)},
    **{(state, Input.LEFT): Step(_ENDED, CLOSING) for state in (_HOLDING, _RESUMING, *_SENDING, *_BRIDGED)},
    (_DESERTED, Input.FOLLOW_ACCEPTED): Step(_DESERTED, (Action.CALL_NEXT,)),
    (_DESERTED, Input.FOLLOW_DECLINED): Step(_ENDED, CLOSING),
    (_DESERTED, Input.NEXT_ENDED): Step(_ENDED, CLOSING),
    (_DESERTED, Input.MUTE_REQUESTED): Step(_DESERTED, (Action.MUTE,)),
    # Somebody takes the far side's place (RFC 3891 section 3), also of one that still rings: then the call is answered.
    **{
        (state, Input.REPLACED): Step(_ESTABLISHED, (Action.TAKE_PLACE, Action.EXPECT_MEDIA, Action.REPORT_CHANGE))
        for state in (_ESTABLISHED, _HELD)
    },
    **{
        (state, Input.REPLACED): Step(
            _ESTABLISHED, (Action.TAKE_PLACE, Action.DISARM_RING, Action.DESCRIBE_A, Action.JOIN, *_ANSWER)
        )
        for state in (_DIALING, _TRYING, _RINGING)
    },
    (_EARLY, Input.REPLACED): Step(_ESTABLISHED, (Action.TAKE_PLACE, *_ANSWER)),
    **{
        (state, Input.REPLACED): Step(state, (Action.REFUSE_REPLACEMENT,))
        for state in (_NEW, _HOLDING, _RESUMING, *_SENDING, *_FOLLOWED, *_BRIDGED, _DESERTED)
    },
    # Silence before the answer is left to the clocks: many callees play nothing. EXPECT_MEDIA begins the count anew.
    **{(state, Input.MEDIA_SILENT): Step(_ENDED, CLOSING) for state in ANSWERED},
    # Digits pass as soon as media does: menus before the answer are common.
    **{(state, Input.DTMF_REQUESTED): Step(state, (Action.SEND_DTMF,)) for state in (_EARLY, *ANSWERED)},
    **{(state, Input.DTMF_HEARD): Step(state, (Action.NOTE_DTMF,)) for state in (_EARLY, *ANSWERED)},
    **{(state, Input.MUTE_REQUESTED): Step(state, (Action.MUTE,)) for state in (_EARLY, *ANSWERED)},
    **{(state, Input.TEXT_PASSED): Step(state, (Action.TELL,)) for state in ANSWERED},
    **{(state, Input.RECORD_REQUESTED): Step(state, (Action.RECORD,)) for state in (_EARLY, *ANSWERED)},
    # The end, from anywhere: final responses (RFC 3261 section 13.2.2.3), CANCEL (9), BYE (15), time, failure, API.
    **{(state, Input.ENDED): Step(_ENDED, CLOSING) for state in CallState if state is not _ENDED},
}

STATUS: Final[dict[CallState, CallStatus]] = {
    CallState.NEW: CallStatus.PENDING,
    CallState.DIALING: CallStatus.PENDING,
    CallState.TRYING: CallStatus.TRYING,
    CallState.RINGING: CallStatus.RING,
    CallState.EARLY: CallStatus.RING,
    CallState.ESTABLISHED: CallStatus.ESTABLISHED,
    CallState.HOLDING: CallStatus.ESTABLISHED,
    CallState.HELD: CallStatus.HOLD,
    CallState.RESUMING: CallStatus.HOLD,
    CallState.TRANSFERRING: CallStatus.ESTABLISHED,
    CallState.TRANSFERRING_HELD: CallStatus.HOLD,
    CallState.FOLLOWING: CallStatus.ESTABLISHED,
    CallState.FOLLOWING_HELD: CallStatus.HOLD,
    CallState.BRIDGING: CallStatus.ESTABLISHED,
    CallState.BRIDGING_HELD: CallStatus.HOLD,
    CallState.DESERTED: CallStatus.ESTABLISHED,
}
"""What clients are told in each state; `ENDED` takes the status of its end reason.

An established call whose far side holds it is told as `HOLD` as well (`Leg.is_holding`).
"""


def step(state: CallState, event: CallEvent) -> Step:
    """Return what a call in this state does about an event. Total: never fails; what has no row is ignored."""
    return TABLE.get((state, input_of(event)), Step(state))
