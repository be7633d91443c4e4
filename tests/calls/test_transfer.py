"""Transfers that a client asks for: what the SIP party is sent, and who learns how it went."""

import pytest
from test_hold import agree, held
from test_outbound import answered
from world import World, reason, world

from fakes import ACCOUNT, browser_offer, phone_answer, phone_offer
from trunkline.calls.model import CallRequest, CallState, CallStatus, EndReason
from trunkline.calls.player_leg import PlayerLeg
from trunkline.calls.routing import route, transfer_request
from trunkline.calls.sessions import CallOrder
from trunkline.calls.sip_leg import SipLeg
from trunkline.errors import CallNotFound, NoRoute, TrunklineError
from trunkline.ids import CallId
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
