"""SIP to browser."""

import pytest
from test_outbound import names
from world import PATH, RING_S, reason, world

from fakes import FakeWeb, browser_answer, phone_answer, phone_offer
from trunkline.calls.events import DtmfMethod
from trunkline.calls.model import CallState, CallStatus, EndReason
from trunkline.media.types import Direction
from trunkline.sdp.parser import parse
from trunkline.sip.types import (
    EndCause,
    IncomingInvite,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteId,
    RegistrationId,
)


def the_call(w):
    (call,) = w.controller.find()
    return call


async def test_the_browser_has_the_offer_before_it_hears_of_the_call_and_rings_after_it():
    # The SDK keeps an offer only for a call it does not know yet, and sends `hangup` only once it has rung.
    async with world() as w:
        session = await w.registered()
        await w.incoming(session, phone_offer())
        assert [each[0] for each in w.web.shown] == ["registered", "sdp", "incoming", "status"]
        assert w.web.statuses() == [CallStatus.RING]
        assert w.web.shown[2][2] == "bob"
        assert [each[2:] for each in w.sip.verbs("ring")] == [(180, None)]


async def test_an_answered_call_is_bridged_and_ends_when_the_phone_hangs_up():
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, phone_offer())
        call = the_call(w)
        session.answer(call.id, browser_answer(w.web.description()))
        await w.settle()
        (_, answered, sdp) = w.sip.verbs("answer")[0]
        assert answered == invite
        assert parse(sdp).media[0].port
        assert len(w.media.bridges) == 1
        assert w.web.statuses()[-1] is CallStatus.ESTABLISHED
        await w.sip_says(InviteEnded(invite, EndCause.REMOTE_BYE))
        assert reason(call) is EndReason.NORMAL
        assert w.web.statuses()[-1] is CallStatus.FINISH
        w.assert_nothing_left()


async def test_the_browser_is_offered_the_phones_codec_first():
    async with world() as w:
        session = await w.registered()
        await w.incoming(session, phone_offer("PCMA"))
        assert names(w.web.description()) == ["PCMA", "PCMU", "opus"]
        session.answer(the_call(w).id, browser_answer(w.web.description()))
        await w.settle()
        assert (the_call(w).a.codec, the_call(w).b.codec) == ("PCMA", "PCMA")


async def test_a_refused_call_is_declined_and_that_is_no_failure_to_the_browser():
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, phone_offer())
        session.hang_up(the_call(w).id)
        await w.settle()
        assert w.sip.verbs("hangup") == [("hangup", invite, 603, None)]
        assert w.web.statuses()[-1] is CallStatus.FINISH
        w.assert_nothing_left()


async def test_a_second_call_refused_during_the_first_is_busy():
    async with world() as w:
        session = await w.registered()
        await w.incoming(session, phone_offer(), 900)
        first = the_call(w)
        session.answer(first.id, browser_answer(w.web.description()))
        await w.settle()
        second = await w.incoming(session, phone_offer(), 901)
        session.hang_up(w.controller.find()[1].id)
        await w.settle()
        assert w.sip.verbs("hangup") == [("hangup", second, 486, None)]
        assert reason(first) is None


async def test_a_caller_that_gives_up_ends_the_ringing():
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, phone_offer())
        await w.sip_says(InviteEnded(invite, EndCause.REMOTE_CANCEL))
        assert reason(w.controller.find()[0]) is EndReason.CANCELLED
        assert w.web.statuses()[-1] is CallStatus.FINISH
        assert not w.sip.verbs("hangup")


@pytest.mark.parametrize(("status", "q850"), [(200, None), (None, 26), (200, 26)])
async def test_a_browser_is_told_that_somebody_else_has_answered(status: int | None, q850: int | None):
    """RFC 3326: a proxy that let several phones ring says so to the others."""
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, phone_offer())
        await w.sip_says(InviteEnded(invite, EndCause.REMOTE_CANCEL, status, q850))
        assert reason(w.controller.find()[0]) is EndReason.ANSWERED_ELSEWHERE
        assert w.web.statuses()[-1] is CallStatus.FINISH


@pytest.mark.parametrize(("status", "q850"), [(None, None), (603, None), (487, 16)])
async def test_a_browser_is_not_told_so_when_the_caller_has_given_up(status: int | None, q850: int | None):
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, phone_offer())
        await w.sip_says(InviteEnded(invite, EndCause.REMOTE_CANCEL, status, q850))
        assert reason(w.controller.find()[0]) is EndReason.CANCELLED


async def test_a_browser_that_does_not_answer_is_unavailable_to_the_caller():
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, phone_offer())
        await w.advance(RING_S)
        assert w.sip.verbs("hangup") == [("hangup", invite, 480, None)]
        assert reason(w.controller.find()[0]) is EndReason.NO_ANSWER


async def test_a_caller_without_a_common_codec_gets_488_and_no_browser_rings():
    offer = phone_offer("PCMU").replace("AVP 0 ", "AVP 3 ").replace("rtpmap:0 PCMU", "rtpmap:3 GSM")
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, offer)
        assert w.sip.verbs("hangup") == [("hangup", invite, 488, None)]
        assert not any(each[0] == "incoming" for each in w.web.shown)
        w.assert_nothing_left()


async def test_malformed_sdp_of_a_caller_gets_400():
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, "v=0\r\nwhat?")
        assert w.sip.verbs("hangup") == [("hangup", invite, 400, None)]


async def test_a_browsers_answer_that_cannot_be_used_refuses_the_caller():
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, phone_offer())
        session.answer(the_call(w).id, "rubbish")
        await w.settle()
        assert w.sip.verbs("hangup") == [("hangup", invite, 400, None)]
        assert w.web.statuses()[-1] is CallStatus.FAILED
        assert reason(w.controller.find()[0]) is EndReason.BAD_DESCRIPTION


async def test_a_call_to_nobody_is_not_found():
    async with world() as w:
        for registration in (None, RegistrationId(77)):
            invite = InviteId(500)
            await w.sip_says(
                IncomingInvite(invite, registration, "sip:b@x", "", "sip:a@192.0.2.1", phone_offer(), (), PATH)
            )
            assert w.sip.done[-1] == ("hangup", invite, 404, None)


async def test_a_full_node_answers_503():
    async with world(max_calls=1) as w:
        session = await w.registered()
        await w.incoming(session, phone_offer(), 900)
        second = await w.incoming(session, phone_offer(), 901)
        assert w.sip.verbs("hangup") == [("hangup", second, 503, None)]


async def test_each_registration_rings_its_own_browser():
    async with world() as w:
        other = FakeWeb()
        await w.registered()
        session = await w.registered(other)
        await w.incoming(session, phone_offer())
        assert not any(each[0] == "incoming" for each in w.web.shown)
        assert any(each[0] == "incoming" for each in other.shown)


async def test_a_late_offer_is_made_by_us_and_its_answer_is_taken_from_the_ack():
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, None)
        session.answer(the_call(w).id, browser_answer(w.web.description()))
        await w.settle()
        offer = w.sip.verbs("answer")[0][2]
        await w.sip_says(InviteConfirmed(invite, phone_answer(offer, "PCMU")))
        endpoint = w.media.endpoint("rtp")[1]
        assert endpoint.remote.rtp == ("198.51.100.9", 20_000)
        assert the_call(w).state is CallState.ESTABLISHED


async def test_a_late_offer_whose_ack_brings_no_answer_is_hung_up():
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, None)
        call = the_call(w)
        session.answer(call.id, browser_answer(w.web.description()))
        await w.settle()
        await w.sip_says(InviteConfirmed(invite, None))
        assert reason(call) is EndReason.BAD_DESCRIPTION
        assert [each[1] for each in w.sip.verbs("hangup")] == [invite]
        assert w.web.statuses()[-1] is CallStatus.FAILED
        w.assert_nothing_left()


async def test_an_ack_without_a_description_is_the_rule_after_an_early_offer():
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, phone_offer())
        session.answer(the_call(w).id, browser_answer(w.web.description()))
        await w.settle()
        await w.sip_says(InviteConfirmed(invite, None))
        assert the_call(w).state is CallState.ESTABLISHED
        assert w.media.endpoint("rtp")[1].remotes_set == 1


async def test_a_caller_that_listens_only_is_answered_as_such():
    async with world() as w:
        session = await w.registered()
        await w.incoming(session, phone_offer(direction=Direction.RECVONLY))
        session.answer(the_call(w).id, browser_answer(w.web.description()))
        await w.settle()
        assert parse(w.sip.verbs("answer")[0][2]).media[0].direction() is Direction.SENDONLY


async def test_digits_of_the_browser_go_to_the_caller():
    async with world() as w:
        session = await w.registered()
        await w.incoming(session, phone_offer())
        session.answer(the_call(w).id, browser_answer(w.web.description()))
        await w.settle()
        session.send_dtmf(the_call(w).id, "5", DtmfMethod.RTP)
        await w.settle()
        assert w.media.endpoint("rtp")[1].digits == "5"


async def test_a_session_may_call_and_be_called_at_once():
    async with world() as w:
        session = await w.registered()
        out = await w.call(session)
        sent, offer = w.sent_invite()
        await w.incoming(session, phone_offer())
        await w.sip_says(InviteAnswered(sent, phone_answer(offer)))
        assert out.state is CallState.ESTABLISHED
        assert w.controller.find()[1].state is CallState.RINGING
