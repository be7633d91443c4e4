"""Calls that take the place of a far side: INVITE with Replaces.   RFC 3891."""

from functools import partial

import pytest
from test_hold import held
from test_outbound import answered
from world import PATH, World, reason, world

from fakes import browser_offer, phone_answer, phone_offer
from trunkline.calls.legs.sip_party import replace_leg
from trunkline.calls.model import Call, CallState, CallStatus, EndReason
from trunkline.calls.sessions import CallOrder
from trunkline.ids import CallId
from trunkline.sip.types import EndCause, IncomingInvite, InviteConfirmed, InviteEnded, InviteId, InviteProgress

NEWCOMER = InviteId(950)


async def replace(w: World, invite: InviteId, offer: str | None = "", newcomer: InviteId = NEWCOMER) -> None:
    offer = phone_offer(port=21_000) if offer == "" else offer
    w.sessions.otherwise = partial(replace_leg, w.access)  # whoever calls here may
    await w.sip_says(
        IncomingInvite(
            newcomer, None, "sip:200@pbx.example", "", "sip:alice@192.0.2.1", offer, (), PATH, replaces=invite
        )
    )


def joined(w: World) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in w.media.bridges.items()}


async def test_the_browser_goes_on_with_the_newcomer_and_the_former_party_is_let_go():
    async with world() as w:
        session, call, former = await answered(w)
        statuses = w.web.statuses()
        await replace(w, former)
        assert [each[1] for each in w.sip.verbs("answer")] == [NEWCOMER]
        assert [each[1] for each in w.sip.verbs("hangup")] == [former]
        (browser, _), (phone, endpoint) = w.media.endpoint("webrtc"), w.media.endpoint("rtp")
        assert joined(w) == {frozenset((browser, phone))}
        assert endpoint.remote.rtp == ("198.51.100.9", 21_000)
        assert (call.state, call.request.callee) == (CallState.ESTABLISHED, "200")
        assert w.web.statuses() == statuses, "the browser is in the same call"
        session.hold(call.id)
        await w.settle()
        assert w.sip.verbs("reinvite")[-1][1] == NEWCOMER
        await w.sip_says(InviteEnded(NEWCOMER, EndCause.REMOTE_BYE))
        assert reason(call) is EndReason.NORMAL
        w.assert_nothing_left()


async def test_the_former_partys_farewell_is_not_the_end_of_the_call():
    async with world() as w:
        _, call, former = await answered(w)
        await replace(w, former)
        await w.sip_says(InviteEnded(former, EndCause.REMOTE_BYE))
        assert call.state is CallState.ESTABLISHED


async def test_a_newcomer_that_offers_nothing_is_offered_our_codecs():
    async with world() as w:
        _, _, former = await answered(w)
        await replace(w, former, offer=None)
        (_, _, ours) = w.sip.verbs("answer")[-1]
        await w.sip_says(InviteConfirmed(NEWCOMER, phone_answer(ours)))
        assert w.media.endpoint("rtp")[1].remote is not None


async def test_a_newcomer_without_a_common_codec_is_refused_and_the_call_stands():
    async with world() as w:
        session, call, former = await answered(w)
        before = joined(w)
        await replace(w, former, offer=phone_offer().replace(" 0 8 ", " 97 98 ").replace("rtpmap:", "x-rtpmap:"))
        assert w.sip.verbs("hangup") == [("hangup", NEWCOMER, 488, None)]
        assert (call.state, joined(w), len(w.media.live)) == (CallState.ESTABLISHED, before, 2)
        session.hold(call.id)
        await w.settle()
        assert w.sip.verbs("reinvite")[-1][1] == former


async def test_a_held_party_is_replaced_by_one_that_is_not_held():
    async with world() as w:
        _, call, former = await held(w)
        await replace(w, former)
        assert (call.status, call.holder) == (CallStatus.ESTABLISHED, None)
        assert w.web.statuses()[-1] is CallStatus.ESTABLISHED
        assert all(endpoint.source is None for endpoint in w.media.live.values())


@pytest.mark.parametrize("has_early_media", [False, True])
async def test_a_call_that_rings_is_answered_by_who_picks_it_up(has_early_media: bool):
    async with world() as w:
        call: Call = await w.call(w.connect())
        former, offer = w.sent_invite()
        sdp = phone_answer(offer) if has_early_media else None
        await w.sip_says(InviteProgress(former, 180, "Ringing", sdp))
        await replace(w, former)
        assert call.state is CallState.ESTABLISHED
        assert [each[1] for each in w.sip.verbs("hangup")] == [former]
        assert len(joined(w)) == 1
        assert w.web.description(), "the browser has its answer, once"
        assert w.web.statuses()[-1] is CallStatus.ESTABLISHED


async def test_nobody_is_replaced_while_the_call_changes():
    async with world() as w:
        session, call, former = await answered(w)
        session.hold(call.id)
        await w.settle()
        await replace(w, former)
        assert w.sip.verbs("hangup") == [("hangup", NEWCOMER, 491, None)]
        assert call.state is CallState.HOLDING


async def test_a_dialog_that_is_over_or_not_a_legs_cannot_be_replaced():
    async with world() as w:
        w.connect().place_call(CallOrder(call_id=CallId("x"), callee="1", offer=browser_offer()))
        await w.settle()
        await replace(w, InviteId(4711))
        assert w.sip.verbs("hangup") == [("hangup", NEWCOMER, 481, None)]
