"""The table of the machine, and what holds for any order of events."""

import asyncio
import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from world import PATH, World

from fakes import browser_answer, browser_offer, phone_answer, phone_offer
from trunkline.calls.actions import Action
from trunkline.calls.events import ActionFailed, AnswerRequested, CallStarted, Input, LegAnswered, LegRang, input_of
from trunkline.calls.machine import CLOSING, STATUS, TABLE, step
from trunkline.calls.model import CallEnd, CallState, CallStatus, EndReason, TransferPolicy, reason_for_status
from trunkline.calls.run.performer import DEEDS
from trunkline.calls.sessions import CallOrder
from trunkline.errors import CallExists, CallNotFound, InvalidCallState, MediaError
from trunkline.ids import CallId, MediaCallId
from trunkline.media.types import BridgeFailed, Direction, MediaInactive
from trunkline.sip.types import (
    EndCause,
    IncomingInvite,
    InviteAnswered,
    InviteEnded,
    InviteFailed,
    InviteId,
    InviteProgress,
    InviteTrying,
    ReferAnswered,
    ReferId,
    ReferProgress,
    ReferReceived,
    ReinviteAnswered,
    ReinviteFailed,
    ReinviteReceived,
)

END = ActionFailed(CallEnd(EndReason.INTERNAL))


def test_every_action_is_known_how_to_do() -> None:
    assert set(DEEDS) == set(Action)


@pytest.mark.parametrize("state", [state for state in CallState if state is not CallState.ENDED])
def test_every_live_state_can_end_and_closes_everything(state):
    ended = step(state, END)
    assert ended.state is CallState.ENDED
    assert ended.actions == CLOSING


def test_nothing_leads_out_of_the_end():
    assert not [key for key in TABLE if key[0] is CallState.ENDED]


def test_only_the_end_closes_and_the_end_only_closes():
    closing = set(CLOSING)
    for (state, what), row in TABLE.items():
        is_end = row.state is CallState.ENDED
        assert (set(row.actions) == closing) == is_end, (state, what)
        assert is_end or not set(row.actions) & closing, (state, what)


def test_legs_close_before_the_endpoints_and_the_endpoints_before_the_call_is_forgotten():
    order = [CLOSING.index(action) for action in (Action.HANG_UP_A, Action.CLOSE_ENDPOINTS, Action.FORGET)]
    assert order == sorted(order)


def test_every_state_can_be_reached():
    reached = {CallState.NEW} | {row.state for row in TABLE.values()}
    assert reached == set(CallState)


def test_every_live_state_has_a_status_for_clients():
    assert set(STATUS) == set(CallState) - {CallState.ENDED}


def test_late_and_doubled_events_change_nothing():
    assert step(CallState.ESTABLISHED, LegRang()).actions == ()
    assert step(CallState.ESTABLISHED, LegAnswered("")).actions == ()
    assert step(CallState.RINGING, CallStarted()).state is CallState.RINGING
    assert step(CallState.ENDED, END).actions == ()


def test_codes_of_end_reasons_are_unique_and_final():
    codes = [reason.code for reason in EndReason]
    assert len(codes) == len(set(codes))
    assert {reason.value.status for reason in EndReason} <= {CallStatus.FINISH, CallStatus.BUSY, CallStatus.FAILED}


def test_every_sip_status_has_a_reason_and_every_reason_a_refusal():
    for status in range(300, 700):
        assert reason_for_status(status).value.status in {CallStatus.BUSY, CallStatus.FAILED, CallStatus.FINISH}
    assert all(300 <= reason.value.sip_status < 700 for reason in EndReason)
    assert all(1 <= reason.value.q850 <= 127 for reason in EndReason)


def test_inputs_have_rows():
    assert {what for _, what in TABLE} == set(Input)
    assert input_of(CallStarted()) is Input.STARTED


# --- any order of events ---------------------------------------------------------------------------------------------

STEPS = [
    *("trying", "ringing", "early", "early_again", "answered", "bad_answer", "refused", "bye", "cancelled", "reinvite"),
    *("hangup", "answer", "rubbish", "dtmf", "vanish", "ring_time", "setup_time", "silence", "bridge_failed"),
    *("media_fails", "media_heals", "again"),
    *("hold", "unhold", "agreed", "refused_offer", "held_by_phone", "picked_up"),
    *("transfer", "agrees_to_go", "has_arrived", "stays"),
    *("refer", "follow", "do_not_follow", "replaced"),
]


newcomers = itertools.count()


async def act(w: World, session, name: str, *, is_incoming: bool) -> None:
    """Let one thing happen, whether it makes sense now or not."""
    invite = InviteId(900) if is_incoming else w.sip.invites[-1][1] if w.sip.invites else InviteId(1)
    offer = w.sip.invites[-1][0].sdp if w.sip.invites else phone_offer()
    calls = w.controller.registry.live()
    call_id = calls[0].id if calls else CallId("gone")
    sip = {
        "trying": lambda: InviteTrying(invite),
        "ringing": lambda: InviteProgress(invite, 180, "Ringing", None),
        "early": lambda: InviteProgress(invite, 183, "Progress", phone_answer(offer)),
        "early_again": lambda: InviteProgress(invite, 183, "Progress", phone_answer(offer, "PCMA")),
        "answered": lambda: InviteAnswered(invite, phone_answer(offer)),
        "bad_answer": lambda: InviteAnswered(invite, "v=0"),
        "refused": lambda: InviteFailed(invite, 486, "Busy Here"),
        "bye": lambda: InviteEnded(invite, EndCause.REMOTE_BYE),
        "cancelled": lambda: InviteEnded(invite, EndCause.REMOTE_CANCEL),
        "reinvite": lambda: ReinviteReceived(invite, phone_offer("PCMU")),
        "agrees_to_go": lambda: ReferAnswered(invite, ReferId(7), 202, "Accepted", True),
        "has_arrived": lambda: ReferProgress(invite, ReferId(7), 200, "OK", True),
        "stays": lambda: ReferProgress(invite, ReferId(7), 486, "Busy Here", True),
        "refer": lambda: ReferReceived(invite, ReferId(9), "sip:200@pbx.example", None, None, None, True),
        "replaced": lambda: IncomingInvite(
            InviteId(950 + next(newcomers)), None, "sip:c@d", "", "sip:a@b", phone_offer(), (), PATH, replaces=invite
        ),
        "agreed": lambda: ReinviteAnswered(invite, phone_answer(offer)),
        "refused_offer": lambda: ReinviteFailed(invite, 488, "Not Acceptable Here"),
        "held_by_phone": lambda: ReinviteReceived(invite, phone_offer("PCMU", direction=Direction.SENDONLY)),
    }
    try:
        if name in sip:
            w.events.handle(sip[name]())
        elif name == "hangup":
            session.hang_up(call_id)
        elif name == "answer":
            offers = [each[2] for each in w.web.shown if each[0] == "sdp"]
            session.answer(call_id, browser_answer(offers[-1]) if is_incoming and offers else "none")
        elif name == "rubbish":
            session.answer(call_id, "rubbish")
        elif name in {"hold", "unhold"}:
            getattr(session, name)(call_id)
        elif name == "transfer":
            session.transfer(call_id, "200")
        elif name in {"follow", "do_not_follow"}:
            session.follow(call_id, is_accepted=name == "follow")
        elif name == "picked_up":
            w.controller.request(call_id, AnswerRequested(lambda error: None))
        elif name == "dtmf":
            session.send_dtmf(call_id, "1", "rtp")
        elif name == "vanish":
            w.sessions.close(session)
        elif name in {"ring_time", "setup_time"}:
            w.clock.advance(30 if name == "ring_time" else 90)
        elif name == "silence":
            for endpoint, record in list(w.media.live.items()):
                if listener := w.media.listeners.get(record.call):
                    listener(MediaInactive(record.call, endpoint, 60.0))
        elif name == "bridge_failed":
            for listener in list(w.media.listeners.values()):
                listener(BridgeFailed(MediaCallId(1), "panic"))
        elif name == "media_fails":
            w.media.refusals.update(set_remote=MediaError("broken"), bridge=MediaError("broken"))
        elif name == "media_heals":
            w.media.refusals.clear()
        elif name == "again":
            session.place_call(CallOrder(call_id=CallId("call"), callee="100", offer=browser_offer()))
    except (CallNotFound, CallExists, InvalidCallState):
        pass  # what the browser is told, and no more


async def play(script: list[tuple[str, bool]], *, is_incoming: bool, transfers: TransferPolicy) -> None:
    w = World(transfers=transfers)
    async with w.controller:
        session = await w.registered()
        if is_incoming:
            await w.incoming(session, phone_offer())
        else:
            await w.call(session)
        for name, is_settling in script:
            await act(w, session, name, is_incoming=is_incoming)
            if is_settling:
                await w.settle()
        w.media.refusals.clear()
        await w.settle()
        # Whatever happened: the longest a call may live, and it is gone.
        await w.advance(90)
        await w.advance(3600)
        await w.advance(3600)  # a successor's
        for call in w.controller.find():
            assert call.state is CallState.ENDED, script
            assert call.end is not None
        ends = [each for each in w.web.shown if each[0] == "status" and each[1] in ("FINISH", "FAILED", "BUSY")]
        # The first call was the browser's at its beginning, even if the API has taken it since.
        mine = [call for call in w.controller.find() if call.request.session is not None or call.request.parent is None]
        assert len(ends) >= len(mine), "the browser was told of every end"
        w.assert_nothing_left()
        hung_up = [each[1] for each in w.sip.verbs("hangup")]
        assert len(set(hung_up)) == len(hung_up), "each dialog is hung up at most once"


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.booleans()), max_size=12),
    st.booleans(),
    st.sampled_from(TransferPolicy),
)
@example([("picked_up", False), ("refer", False)], True, TransferPolicy.FOLLOW)
def test_no_order_of_events_leaves_a_call_half_open(script, is_incoming, transfers):
    asyncio.run(play(script, is_incoming=is_incoming, transfers=transfers))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.booleans()), max_size=12), st.booleans())
def test_no_order_of_events_leaves_a_transfer_half_followed(script, is_incoming):
    begin = [("answer" if is_incoming else "answered", True), ("refer", True)]
    asyncio.run(play([*begin, *script], is_incoming=is_incoming, transfers=TransferPolicy.FOLLOW))
