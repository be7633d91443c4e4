"""The call machine: what a call does about each event, as a table.

Owns call state and nothing else: pure, no clock, no socket, no await, no SIP header. `controller` runs the actions one
by one and comes back with events; an action that fails comes back as `ActionFailed`.

A call is two legs and one question: has the callee answered? Rows keep RFC 3261 section 13's order. Whatever is not in
the table is late or doubled and changes nothing, on purpose: a 180 that overtook its 200, a digit after the hang-up.
Every state but `ENDED` has a row for `Input.ENDED`, and no row leads out of `ENDED`: no order of events leaves a call
half open.
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
    Action.HANG_UP_B,
    Action.HANG_UP_A,
    Action.PART,
    Action.CLOSE_ENDPOINTS,
    Action.FORGET,
)
"""The closing order: legs first, so that nobody keeps sending into a closed port; then bridge, endpoints, the call."""

_START: Final = (Action.ARM_SETUP, Action.OPEN_A, Action.OPEN_B, Action.ARM_RING, Action.DIAL_B)
_RING: Final = (Action.RING_A, Action.REPORT)
_JOIN: Final = (Action.DISARM_RING, Action.ACCEPT_B, Action.DESCRIBE_A, Action.JOIN)
_ANSWER: Final = (Action.ARM_DURATION, Action.CONNECT_A, Action.EXPECT_MEDIA, Action.REPORT)

_NEW, _DIALING, _TRYING, _RINGING, _EARLY, _ESTABLISHED, _ENDED = CallState

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
    # RFC 3261 section 13.2.2.4: 2xx. After early media the A-leg has its answer already; only the B-leg may differ.
    (_DIALING, Input.B_ANSWERED): Step(_ESTABLISHED, _JOIN + _ANSWER),
    (_TRYING, Input.B_ANSWERED): Step(_ESTABLISHED, _JOIN + _ANSWER),
    (_RINGING, Input.B_ANSWERED): Step(_ESTABLISHED, _JOIN + _ANSWER),
    (_EARLY, Input.B_ANSWERED): Step(_ESTABLISHED, (Action.ACCEPT_B, *_ANSWER)),
    # RFC 3261 section 14: an offer within the dialog. The other leg keeps its description: the media plane adapts.
    (_ESTABLISHED, Input.REOFFERED): Step(_ESTABLISHED, (Action.ANSWER_OFFER,)),
    (_EARLY, Input.REOFFERED): Step(_EARLY, (Action.REFUSE_OFFER,)),
    (_RINGING, Input.REOFFERED): Step(_RINGING, (Action.REFUSE_OFFER,)),
    (_ESTABLISHED, Input.DESCRIBED): Step(_ESTABLISHED, (Action.TAKE_ANSWER,)),
    # Silence before the answer is left to the clocks: many callees play nothing. EXPECT_MEDIA begins the count anew.
    (_ESTABLISHED, Input.MEDIA_SILENT): Step(_ENDED, CLOSING),
    # Digits pass as soon as media does: menus before the answer are common.
    (_EARLY, Input.DTMF_REQUESTED): Step(_EARLY, (Action.SEND_DTMF,)),
    (_ESTABLISHED, Input.DTMF_REQUESTED): Step(_ESTABLISHED, (Action.SEND_DTMF,)),
    (_EARLY, Input.DTMF_HEARD): Step(_EARLY, (Action.NOTE_DTMF,)),
    (_ESTABLISHED, Input.DTMF_HEARD): Step(_ESTABLISHED, (Action.NOTE_DTMF,)),
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
}
"""What clients are told in each state; `ENDED` takes the status of its end reason."""


def step(state: CallState, event: CallEvent) -> Step:
    """Return what a call in this state does about an event. Total: never fails; what has no row is ignored."""
    return TABLE.get((state, input_of(event)), Step(state))
