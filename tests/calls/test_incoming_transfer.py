"""Transfers that the SIP party asks for: whom we call instead, and who learns how it went."""

from typing import Any

import pytest
from test_hold import held
from test_outbound import answered
from world import HOLD_MUSIC, RING_S, World, reason, world

from fakes import ACCOUNT, browser_answer, phone_answer, phone_offer
from trunkline.calls.events import FollowRequested
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.model import (
    Call,
    CallEnd,
    CallRequest,
    CallState,
    CallStatus,
    EndReason,
    TransferPolicy,
    TransferStatus,
)
from trunkline.calls.player_leg import PlayerLeg
from trunkline.calls.routing import route
from trunkline.calls.run.inbox import INBOX_LIMIT
from trunkline.errors import InvalidCallState, MediaError, TrunklineError
from trunkline.ids import CallId
from trunkline.media.types import Direction
from trunkline.sip.types import (
    EndCause,
    InfoReceived,
    InviteAnswered,
    InviteEnded,
    InviteFailed,
    InviteId,
    InviteProgress,
    InviteTrying,
    ReferId,
    ReferReceived,
    ReinviteReceived,
)

REFER = ReferId(77)
TARGET = "sip:200@pbx.example"


async def refer(w: World, invite: InviteId, *, refer: ReferId = REFER, replaces: str | None = None) -> None:
    await w.sip_says(ReferReceived(invite, refer, TARGET, replaces, None, "sip:boss@sip.example", True))


def told(w: World) -> list[int]:
    """Return what the party was told of the call that it wanted."""
    return [status for _, told_of, status, _ in w.sip.verbs("notify_refer") if told_of == REFER]


def shown(w: World) -> list[Any]:
    """Return what the browser was shown of transfers and calls, in order."""
    return [each[2] if each[0] == "transfer" else each[:2] for each in w.web.shown if each[0] != "sdp"]


def successor(w: World) -> Call:
    (found,) = [call for call in w.controller.find() if call.request.parent]
    return found


async def referred(w: World, *, replaces: str | None = None):
    """Let the phone of an answered call transfer us; the target is being called."""
    session, call, invite = await answered(w)
    await refer(w, invite, replaces=replaces)
    return session, call, invite, w.sent_invite()[0]


async def arrive(w: World) -> None:
    invite, offer = w.sent_invite()
    assert offer
    await w.sip_says(InviteAnswered(invite, phone_answer(offer)))


async def test_the_target_is_called_with_the_same_account_and_told_who_wanted_it():
    async with world() as w:
        _, call, first, second = await referred(w, replaces="abc;to-tag=1;from-tag=2")
        assert w.sip.verbs("answer_refer") == [("answer_refer", REFER, 202, None)]
        request, _ = w.sip.invites[-1]
        assert second != first
        assert (request.target_uri, request.account) == (TARGET, ACCOUNT)
        assert request.replaces == "abc;to-tag=1;from-tag=2"
        assert request.extra_headers == (("Referred-By", "<sip:boss@sip.example>"),)
        assert (call.status, call.transfer) == (CallStatus.ESTABLISHED, TransferStatus.PROCESSING)
        assert not w.sip.verbs("hangup"), "the call stands until the other one is answered"


async def test_the_browser_goes_on_with_the_target_once_it_answers_and_the_first_phone_is_let_go():
    async with world() as w:
        session, call, first, second = await referred(w)
        child = successor(w)
        await w.sip_says(InviteTrying(second))
        await w.sip_says(InviteProgress(second, 180, "Ringing", None))
        assert child.status is CallStatus.RING
        browser = w.media.endpoint("webrtc")[0]
        w.web.shown.clear()
        await arrive(w)
        assert told(w)[-2:] == [180, 200]
        assert [each[1] for each in w.sip.verbs("hangup")] == [first]
        new, _ = w.media.endpoint("rtp")
        assert {frozenset(pair) for pair in w.media.bridges.items()} == {frozenset((browser, new))}
        # In this order: WCS's SDK hands its peer connection over at the first, and lets go of it at the second.
        assert shown(w) == [("status", CallStatus.ESTABLISHED), "COMPLETED", ("status", CallStatus.FINISH)]
        assert (reason(call), call.transfer) == (EndReason.TRANSFERRED, TransferStatus.COMPLETED)
        assert (child.state, child.request.parent, child.request.callee) == (CallState.ESTABLISHED, call.id, "200")
        # From now on it is a call like any other, under its own id.
        session.hold(child.id)
        await w.settle()
        assert w.sip.verbs("reinvite")[-1][1] == second
        session.hang_up(child.id)
        await w.settle()
        assert reason(child) is EndReason.NORMAL
        w.assert_nothing_left()


async def test_a_browser_that_was_called_is_transferred_too_and_the_account_of_its_session_calls():
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, phone_offer())
        (call,) = w.controller.find()
        session.answer(call.id, browser_answer(w.web.description()))
        await w.settle()
        await refer(w, invite)
        assert w.sip.invites[-1][0].account == ACCOUNT
        await arrive(w)
        child = successor(w)
        assert (child.request.caller, child.request.callee, child.request.incoming) == ("alice", "200", False)
        assert child.a is not None
        assert child.a.kind == "web"
        await w.sip_says(InviteEnded(w.sent_invite()[0], EndCause.REMOTE_BYE))
        assert reason(child) is EndReason.NORMAL
        w.assert_nothing_left()


async def test_nothing_changes_if_the_target_refuses():
    async with world() as w:
        _session, call, first, second = await referred(w)
        child = successor(w)
        bridges = dict(w.media.bridges)
        w.web.shown.clear()
        await w.sip_says(InviteFailed(second, 486, "Busy Here"))
        assert told(w)[-1] == 486
        assert (call.state, call.transfer, call.target) == (CallState.ESTABLISHED, TransferStatus.FAILED, "")
        assert (w.media.bridges, len(w.media.live)) == (bridges, 2)
        # The end of the successor comes last: that is how WCS's SDK gives the peer connection back.
        assert shown(w) == ["FAILED", ("status", CallStatus.BUSY)]
        assert reason(child) is EndReason.BUSY
        # It may be asked for again, and the call is an ordinary one.
        await refer(w, first, refer=ReferId(78))
        await arrive(w)
        assert reason(call) is EndReason.TRANSFERRED


@pytest.mark.parametrize("how", ["media", "description", "silence", "unroutable"])
async def test_nothing_changes_if_the_target_cannot_be_reached(how: str):
    async with world() as w:
        _session, call, first = await answered(w)
        if how == "media":
            w.media.refusals["create_endpoint"] = MediaError("no_ports", "none left")
        if how == "unroutable":
            w.sip.refusals["invite"] = InvalidCallState("no")
        await refer(w, first)
        if how == "description":
            await w.sip_says(InviteAnswered(w.sent_invite()[0], "rubbish"))
        elif how == "silence":
            await w.advance(RING_S + 1)
        assert (call.state, call.transfer) == (CallState.ESTABLISHED, TransferStatus.FAILED)
        assert told(w)[-1] >= 400
        assert len(w.media.live) == 2
        w.media.refusals.clear()
        w.sip.refusals.clear()


async def test_a_phone_that_hangs_up_as_soon_as_we_agreed_has_still_transferred_us():
    async with world() as w:
        _, call, first, _second = await referred(w)
        await w.sip_says(InviteEnded(first, EndCause.REMOTE_BYE))
        assert call.state is CallState.DESERTED
        assert w.media.endpoint("webrtc")[1].source == HOLD_MUSIC, "who waits alone is not left in silence"
        await arrive(w)
        assert w.media.endpoint("webrtc")[1].source is None
        assert successor(w).state is CallState.ESTABLISHED
        assert told(w)[-1] == 200
        assert not w.sip.verbs("hangup")


async def test_the_call_ends_if_the_phone_has_gone_and_nobody_answers():
    async with world() as w:
        _, call, first, second = await referred(w)
        await w.sip_says(InviteEnded(first, EndCause.REMOTE_BYE))
        await w.sip_says(InviteFailed(second, 404, "Not Found"))
        assert reason(call) is EndReason.NOT_FOUND
        assert told(w)[-1] == 404
        w.assert_nothing_left()


async def test_a_held_phone_that_transfers_us_leaves_a_call_that_is_not_held():
    async with world() as w:
        _session, _call, first = await held(w)
        await refer(w, first)
        await arrive(w)
        child = successor(w)
        assert (child.status, child.holder) == (CallStatus.ESTABLISHED, None)
        assert all(endpoint.source is None for endpoint in w.media.live.values())


async def test_a_held_phone_whose_target_refuses_stays_on_hold():
    async with world() as w:
        _session, call, first = await held(w)
        await refer(w, first)
        await w.sip_says(InviteFailed(w.sent_invite()[0], 603, "Decline"))
        assert (call.state, call.status) == (CallState.HELD, CallStatus.HOLD)


async def test_a_phone_may_put_us_on_hold_while_its_target_rings():
    async with world() as w:
        _, _call, first, _ = await referred(w)
        await w.sip_says(ReinviteReceived(first, phone_offer("PCMU", direction=Direction.SENDONLY)))
        assert w.sip.verbs("answer_reinvite")[-1][3] == 200
        await arrive(w)
        assert successor(w).state is CallState.ESTABLISHED


async def test_early_media_of_the_target_is_taken_and_its_answer_may_come_without_a_description():
    async with world() as w:
        _, _, _, second = await referred(w)
        _, offer = w.sent_invite()
        await w.sip_says(InviteProgress(second, 183, "Session Progress", phone_answer(offer)))
        await w.sip_says(InviteAnswered(second, None))
        assert successor(w).state is CallState.ESTABLISHED


async def test_the_end_of_the_call_ends_the_call_to_the_target():
    async with world() as w:
        session, call, first, second = await referred(w)
        session.hang_up(call.id)
        await w.settle()
        assert {each[1] for each in w.sip.verbs("hangup")} == {first, second}
        assert told(w)[-1] >= 400
        assert successor(w).state is CallState.ENDED
        w.assert_nothing_left()


async def test_a_browser_gives_a_transfer_up_by_hanging_up_its_successor():
    async with world() as w:
        session, call, _first, second = await referred(w)
        session.hang_up(successor(w).id)
        await w.settle()
        assert [each[1] for each in w.sip.verbs("hangup")] == [second]
        assert told(w)[-1] == 603
        assert call.state is CallState.ESTABLISHED


async def test_rest_gives_a_transfer_up_by_ending_its_successor():
    async with world() as w:
        _, call, _, second = await referred(w)
        w.controller.hang_up(successor(w).id, CallEnd(EndReason.TERMINATED))
        await w.settle()
        assert [each[1] for each in w.sip.verbs("hangup")] == [second]
        assert call.state is CallState.ESTABLISHED


async def test_a_successor_can_be_ended_by_its_far_side_however_much_waits():
    async with world() as w:
        await referred(w)
        await arrive(w)
        invite = w.sent_invite()[0]
        for _ in range(INBOX_LIMIT + 5):
            w.events.handle(InfoReceived(invite, "1", 100))
        await w.sip_says(InviteEnded(invite, EndCause.REMOTE_BYE))
        assert reason(successor(w)) is EndReason.NORMAL


async def test_a_second_transfer_is_refused_while_one_is_under_way():
    async with world() as w:
        _, _, first, _ = await referred(w)
        await refer(w, first, refer=ReferId(78))
        assert w.sip.verbs("answer_refer")[-1] == ("answer_refer", ReferId(78), 491, None)


async def test_a_transfer_at_the_wrong_time_is_refused():
    async with world() as w:
        session, call, invite = await answered(w)
        session.hold(call.id)
        await w.settle()
        await refer(w, invite)
        assert w.sip.verbs("answer_refer") == [("answer_refer", REFER, 491, None)]


async def test_none_is_followed_where_the_policy_refuses():
    async with world(transfers=TransferPolicy.REFUSE) as w:
        _, call, invite = await answered(w)
        await refer(w, invite)
        assert w.sip.verbs("answer_refer") == [("answer_refer", REFER, 603, None)]
        assert (len(w.sip.invites), call.transfer) == (1, None)


async def test_the_browser_is_asked_where_the_policy_asks():
    async with world(transfers=TransferPolicy.ASK) as w:
        session, call, first = await answered(w)
        await refer(w, first)
        assert w.sip.verbs("answer_refer") == [("answer_refer", REFER, 202, None)]
        assert (len(w.sip.invites), w.web.asked, call.transfer) == (1, 1, TransferStatus.PENDING)
        session.follow(call.id, is_accepted=False)
        await w.settle()
        assert told(w) == [603]
        assert call.state is CallState.ESTABLISHED
        await refer(w, first)
        session.follow(call.id, is_accepted=True)
        await w.settle()
        await arrive(w)
        assert reason(call) is EndReason.TRANSFERRED


async def test_who_does_not_say_has_refused():
    async with world(transfers=TransferPolicy.ASK) as w:
        _, call, first = await answered(w)
        await refer(w, first)
        await w.advance(RING_S + 1)
        assert told(w)[-1] >= 400
        assert call.state is CallState.ESTABLISHED


async def test_nothing_can_be_followed_that_nobody_asked_for():
    async with world() as w:
        _session, call, _ = await answered(w)
        for is_accepted in (True, False):
            outcome: list[TrunklineError | None] = []
            w.controller.request(call.id, FollowRequested(is_accepted, outcome.append))
            await w.settle()
            assert [type(error) for error in outcome] == [InvalidCallState]
        assert call.state is CallState.ESTABLISHED


async def test_a_call_that_rest_began_is_transferred_too():
    async with world() as w:
        outbound = route("100", ACCOUNT)
        call = w.controller.start(
            CallRequest(id=CallId("rest"), caller="alice", callee="100"),
            PlayerLeg,
            lambda context: SipLeg(context, w.access, outbound),
        )
        await w.settle()
        await arrive(w)
        await refer(w, w.sent_invite()[0])
        await arrive(w)
        child = successor(w)
        assert (child.state, child.request.parent, reason(call)) == (
            CallState.ESTABLISHED,
            call.id,
            EndReason.TRANSFERRED,
        )
        assert w.media.endpoint("rtp")[1].source is not None, "the player speaks to the new party"
