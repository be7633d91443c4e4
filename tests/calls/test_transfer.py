"""Transfers that a client asks for: what the SIP party is sent, and who learns how it went."""

import pytest
from test_hold import agree, held
from test_outbound import answered
from world import World, reason, world

from fakes import ACCOUNT, browser_offer, phone_answer, phone_offer
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.model import CallRequest, CallState, CallStatus, EndReason
from trunkline.calls.player_leg import PlayerLeg
from trunkline.calls.routing import route, transfer_request
from trunkline.calls.sessions import CallOrder
from trunkline.errors import CallNotFound, NoRoute, TrunklineError
from trunkline.ids import CallId, EndpointId
from trunkline.media.types import Direction
from trunkline.sdp.parser import parse
from trunkline.sip.types import (
    EndCause,
    InviteAnswered,
    InviteEnded,
    InviteId,
    ReferAnswered,
    ReferId,
    ReferProgress,
    ReferRequest,
    ReinviteAnswered,
    ReinviteFailed,
    ReinviteReceived,
)

REFER = ReferId(77)


def refer(w: World) -> tuple[InviteId, ReferRequest]:
    (_, invite, request) = w.sip.verbs("refer")[-1]
    return invite, request


async def sent_on(w: World, target: str = "200"):
    """Transfer a call blindly; the phone has agreed."""
    session, call, invite = await answered(w)
    session.transfer(call.id, target)
    await w.settle()
    await w.sip_says(ReferAnswered(invite, REFER, 202, "Accepted", True))
    assert call.state is CallState.TRANSFERRING
    return session, call, invite


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        ("200", "sip:200@sip.example"),
        ("+1 (555) 010-0", "sip:+15550100@sip.example"),
        ("carol@other.example", "sip:carol@other.example"),
        ("sip:carol@other.example;transport=tcp", "sip:carol@other.example;transport=tcp"),
    ],
)
async def test_the_phone_is_sent_to_what_was_dialed(target: str, uri: str):
    async with world() as w:
        _, call, invite = await sent_on(w, target)
        assert refer(w) == (invite, ReferRequest(target_uri=uri))
        assert call.target


async def test_a_transfer_ends_the_call_once_the_phone_has_arrived_and_not_before():
    async with world() as w:
        _, call, invite = await sent_on(w)
        await w.sip_says(ReferProgress(invite, REFER, 180, "Ringing", False))
        assert (call.status, reason(call)) == (CallStatus.ESTABLISHED, None)
        await w.sip_says(ReferProgress(invite, REFER, 200, "OK", True))
        assert reason(call) is EndReason.TRANSFERRED
        assert w.web.shown[-2] == ("transferred", call.id, "200")
        assert w.web.statuses()[-1] is CallStatus.FINISH
        assert [each[1] for each in w.sip.verbs("hangup")] == [invite]
        w.assert_nothing_left()


async def test_a_phone_that_hangs_up_as_soon_as_it_agreed_has_been_transferred():
    async with world() as w:
        _, call, invite = await sent_on(w)
        await w.sip_says(InviteEnded(invite, EndCause.REMOTE_BYE))
        assert reason(call) is EndReason.TRANSFERRED
        assert ("transferred", call.id, "200") in w.web.shown
        assert not w.sip.verbs("hangup")


async def test_a_phone_that_hangs_up_before_it_agreed_has_not():
    async with world() as w:
        session, call, invite = await answered(w)
        session.transfer(call.id, "200")
        await w.settle()
        await w.sip_says(InviteEnded(invite, EndCause.REMOTE_BYE))
        assert reason(call) is EndReason.NORMAL
        assert not [each for each in w.web.shown if each[0] == "transferred"]


async def test_a_phone_that_refuses_or_is_refused_talks_on():
    async with world() as w:
        session, call, invite = await answered(w)
        session.transfer(call.id, "200")
        await w.settle()
        await w.sip_says(ReferAnswered(invite, REFER, 603, "Decline", False))
        assert w.web.shown[-1] == ("failed", "transfer", "603 Decline")
        assert (call.state, call.target) == (CallState.ESTABLISHED, "")
        session.transfer(call.id, "200")
        await w.settle()
        await w.sip_says(ReferAnswered(invite, REFER, 202, "Accepted", True))
        await w.sip_says(ReferProgress(invite, REFER, 486, "Busy Here", True))
        assert w.web.shown[-1] == ("failed", "transfer", "486 Busy Here")
        assert (call.status, reason(call)) == (CallStatus.ESTABLISHED, None)
        # It is an ordinary call again: its hang-up is one.
        await w.sip_says(InviteEnded(invite, EndCause.REMOTE_BYE))
        assert reason(call) is EndReason.NORMAL


async def test_a_held_phone_that_is_refused_stays_on_hold():
    async with world() as w:
        session, call, invite = await held(w)
        session.transfer(call.id, "200")
        await w.settle()
        await w.sip_says(ReferAnswered(invite, REFER, 403, "Forbidden", False))
        assert (call.state, call.status) == (CallState.HELD, CallStatus.HOLD)
        session.unhold(call.id)
        await w.settle()
        await agree(w, invite)
        assert call.status is CallStatus.ESTABLISHED


async def test_a_phone_without_news_counts_as_arrived_when_it_agrees():
    async with world() as w:
        session, call, invite = await answered(w)
        session.transfer(call.id, "200")
        await w.settle()
        await w.sip_says(ReferAnswered(invite, REFER, 200, "OK", False))
        assert reason(call) is EndReason.TRANSFERRED


async def test_a_phone_may_put_us_on_hold_while_it_is_being_transferred():
    async with world() as w:
        _, call, invite = await sent_on(w)
        await w.sip_says(ReinviteReceived(invite, phone_offer("PCMU", direction=Direction.SENDONLY)))
        assert parse(w.sip.verbs("answer_reinvite")[-1][2]).media[0].direction() is Direction.RECVONLY
        await w.sip_says(ReferProgress(invite, REFER, 200, "OK", True))
        assert reason(call) is EndReason.TRANSFERRED


@pytest.mark.parametrize("by_target", [True, False])
async def test_an_attended_transfer_sends_one_phone_to_take_the_place_of_the_call_with_the_other(by_target: bool):
    async with world() as w:
        session, first, invite = await held(w)
        session.place_call(CallOrder(call_id=CallId("second"), callee="200", offer=browser_offer()))
        await w.settle()
        other, offer = w.sent_invite()
        await w.sip_says(InviteAnswered(other, phone_answer(offer)))
        if by_target:
            session.transfer(first.id, "second")
        else:
            session.transfer(first.id, "200", CallId("second"))
        await w.settle()
        assert refer(w) == (invite, ReferRequest(replaces=other))
        await w.sip_says(ReferAnswered(invite, REFER, 202, "Accepted", True))
        await w.sip_says(InviteEnded(other, EndCause.REMOTE_BYE))
        await w.sip_says(ReferProgress(invite, REFER, 200, "OK", True))
        assert reason(first) is EndReason.TRANSFERRED
        w.assert_nothing_left()


async def test_what_cannot_be_a_target_is_refused_at_once():
    async with world() as w:
        session, call, _ = await answered(w)
        with pytest.raises(NoRoute):
            session.transfer(call.id, "  ")
        with pytest.raises(CallNotFound):
            session.transfer(call.id, "200", CallId("none"))
        assert not w.sip.verbs("refer")


async def test_a_call_that_rest_began_is_transferred_too():
    async with world() as w:
        outbound = route("100", ACCOUNT)
        call = w.controller.start(
            CallRequest(id=CallId("rest"), caller="alice", callee="100"),
            PlayerLeg,
            lambda context: SipLeg(context, w.access, outbound),
        )
        await w.settle()
        invite, offer = w.sent_invite()
        await w.sip_says(InviteAnswered(invite, phone_answer(offer)))
        outcome: list[TrunklineError | None] = []
        w.controller.request(call.id, transfer_request(call.client_side, "200", outcome.append, None))
        await w.settle()
        assert refer(w) == (invite, ReferRequest(target_uri="sip:200@sip.example"))
        await w.sip_says(ReferAnswered(invite, REFER, 202, "Accepted", True))
        assert outcome == []
        await w.sip_says(ReferProgress(invite, REFER, 200, "OK", True))
        assert outcome == [None]
        assert reason(call) is EndReason.TRANSFERRED


# --- the phone takes no REFER: the two are joined here ----------------------------------------------------------------


async def consulted(w: World, *, is_held: bool):
    """Have two calls, and transfer the first one to the second; the phone is asked."""
    session, first, invite = await (held(w) if is_held else answered(w))
    session.place_call(CallOrder(call_id=CallId("second"), callee="200", offer=browser_offer()))
    await w.settle()
    other, offer = w.sent_invite()
    await w.sip_says(InviteAnswered(other, phone_answer(offer)))
    session.transfer(first.id, "second")
    await w.settle()
    (second,) = w.controller.find(CallId("second"))
    return session, first, invite, second, other


def rtp(w: World) -> list[EndpointId]:
    return [name for name, endpoint in w.media.live.items() if endpoint.transport.kind == "rtp"]


@pytest.mark.parametrize("status", [403, 405, 501, 603])
async def test_two_phones_are_joined_here_if_the_first_takes_no_refer(status: int):
    async with world() as w:
        _, first, invite, second, other = await consulted(w, is_held=False)
        before = parse(w.sent_invite()[1])
        await w.sip_says(ReferAnswered(invite, REFER, status, "No", False))
        (_, asked, offer) = w.sip.verbs("reinvite")[-1]
        assert asked == other
        new = parse(offer)
        assert new.media[0].port != before.media[0].port
        assert (new.origin.session_id, int(new.origin.version)) == (
            before.origin.session_id,
            int(before.origin.version) + 1,
        )
        assert (first.state, second.state) == (CallState.BRIDGING, CallState.ESTABLISHED)
        await w.sip_says(ReinviteAnswered(other, phone_answer(offer)))
        assert reason(second) is EndReason.NORMAL
        assert first.state is CallState.ESTABLISHED
        assert not w.sip.verbs("hangup"), "nobody hears a farewell"
        assert {frozenset(pair) for pair in w.media.bridges.items()} == {frozenset(rtp(w))}
        assert len(w.media.live) == 2
        # The browser is told that its transfer is done, and is free.
        assert ("transferred", first.id, "second") in w.web.shown
        assert [each[1] for each in w.web.shown if each[0] == "status"][-2:] == [CallStatus.FINISH, CallStatus.FINISH]
        # The call goes on between the two, until one of them hangs up.
        await w.sip_says(InviteEnded(other, EndCause.REMOTE_BYE))
        assert reason(first) is EndReason.NORMAL
        assert [each[1] for each in w.sip.verbs("hangup")] == [invite]
        w.assert_nothing_left()


async def test_a_held_phone_is_resumed_to_talk_to_the_other_one():
    async with world() as w:
        _, first, invite, _, other = await consulted(w, is_held=True)
        await w.sip_says(ReferAnswered(invite, REFER, 405, "Method Not Allowed", False))
        await w.sip_says(ReinviteAnswered(other, phone_answer(w.sip.verbs("reinvite")[-1][2])))
        (_, asked, offer) = w.sip.verbs("reinvite")[-1]
        assert (asked, parse(offer).media[0].direction()) == (invite, Direction.SENDRECV)
        await w.sip_says(ReinviteAnswered(invite, phone_answer(offer)))
        assert (first.state, first.holder) == (CallState.ESTABLISHED, None)
        assert all(endpoint.source is None for endpoint in w.media.live.values())


async def test_both_calls_stand_if_the_other_phone_will_not_be_joined():
    async with world() as w:
        session, first, invite, second, other = await consulted(w, is_held=False)
        await w.sip_says(ReferAnswered(invite, REFER, 405, "Method Not Allowed", False))
        await w.sip_says(ReinviteFailed(other, 488, "Not Acceptable Here"))
        assert w.web.shown[-1] == ("failed", "transfer", "488 Not Acceptable Here")
        assert (first.state, second.state, first.target) == (CallState.ESTABLISHED, CallState.ESTABLISHED, "")
        assert len(w.media.live) == 4
        assert not w.sip.verbs("hangup")
        session.hold(second.id)
        await w.settle()
        assert w.sip.verbs("reinvite")[-1][1] == other
        await agree(w, other)
        assert second.state is CallState.HELD


async def test_the_first_call_stands_if_the_other_phone_hangs_up_meanwhile():
    async with world() as w:
        _, first, invite, second, other = await consulted(w, is_held=False)
        await w.sip_says(ReferAnswered(invite, REFER, 405, "Method Not Allowed", False))
        await w.sip_says(InviteEnded(other, EndCause.REMOTE_BYE))
        assert (first.state, reason(second)) == (CallState.ESTABLISHED, EndReason.NORMAL)
        assert w.web.shown[-1][0] in ("failed", "status")


async def test_the_first_call_stands_if_the_other_one_has_ended_before():
    async with world() as w:
        session, first, invite, second, _ = await consulted(w, is_held=False)
        session.hang_up(second.id)
        await w.settle()
        await w.sip_says(ReferAnswered(invite, REFER, 405, "Method Not Allowed", False))
        assert first.state is CallState.ESTABLISHED
        assert w.web.shown[-1][:2] == ("failed", "transfer")


async def test_a_hang_up_while_they_are_being_joined_leaves_nothing():
    async with world() as w:
        session, first, invite, second, other = await consulted(w, is_held=False)
        await w.sip_says(ReferAnswered(invite, REFER, 405, "Method Not Allowed", False))
        session.hang_up(first.id)
        await w.settle()
        assert {each[1] for each in w.sip.verbs("hangup")} == {invite, other}
        assert reason(second) is EndReason.NORMAL
        w.assert_nothing_left()


async def test_a_blind_transfer_that_is_refused_is_not_done_by_us():
    async with world() as w:
        session, call, invite = await answered(w)
        session.transfer(call.id, "200")
        await w.settle()
        await w.sip_says(ReferAnswered(invite, REFER, 405, "Method Not Allowed", False))
        assert w.web.shown[-1] == ("failed", "transfer", "405 Method Not Allowed")
        assert call.state is CallState.ESTABLISHED
