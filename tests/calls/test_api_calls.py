"""Calls that only the API knows: a SIP leg, and a player on its other side."""

from world import reason, world

from fakes import ACCOUNT, phone_answer
from trunkline.calls.events import DtmfMethod, DtmfRequested
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.model import CallEnd, CallRequest, CallStatus, EndReason, Side
from trunkline.calls.player_leg import PlayerLeg
from trunkline.calls.routing import route
from trunkline.ids import CallId, MediaCallId
from trunkline.media.types import DtmfReceived, Tone
from trunkline.sip.types import InviteAnswered, InviteProgress, Registered, RegistrationFailed


async def startup(w, register_expires_s=None):
    outbound = route("100", ACCOUNT, register_expires_s=register_expires_s)
    call = w.controller.start(
        CallRequest(id=CallId("rest"), caller="alice", callee="100"),
        PlayerLeg,
        lambda context: SipLeg(context, w.access, outbound),
    )
    await w.settle()
    return call


async def test_the_player_speaks_once_the_party_answers():
    async with world() as w:
        call = await startup(w)
        invite, offer = w.sent_invite()
        await w.sip_says(InviteProgress(invite, 180, "Ringing", None))
        assert call.status is CallStatus.RING
        await w.sip_says(InviteAnswered(invite, phone_answer(offer)))
        assert call.status is CallStatus.ESTABLISHED
        assert w.media.endpoint("rtp")[1].source == Tone((440.0,))
        w.controller.hang_up(call.id, CallEnd(EndReason.TERMINATED))
        await w.settle()
        assert reason(call) is EndReason.TERMINATED
        assert [each[1] for each in w.sip.verbs("hangup")] == [invite]
        w.assert_nothing_left()


async def test_digits_of_the_party_are_seen_in_the_call_and_ours_go_to_it():
    async with world() as w:
        call = await startup(w)
        invite, offer = w.sent_invite()
        await w.sip_says(InviteAnswered(invite, phone_answer(offer)))
        await w.media_says(DtmfReceived(MediaCallId(1), w.media.endpoint("rtp")[0], "5", 120))
        await w.controller.ask(call.id, lambda reply: DtmfRequested(Side.B, "77", DtmfMethod.RTP, reply))
        assert call.dtmf_received == "5"
        assert w.media.endpoint("rtp")[1].digits == "77"


async def test_an_account_that_must_register_does_so_first_and_gives_it_back():
    async with world() as w:
        call = await startup(w, register_expires_s=300)
        assert not w.sip.invites
        (registration,) = w.sip.registrations
        await w.sip_says(Registered(registration, 300))
        assert len(w.sip.invites) == 1
        await w.sip_says(Registered(registration, 300))
        assert len(w.sip.invites) == 1, "a refresh must not call again"
        w.controller.hang_up(call.id, CallEnd(EndReason.TERMINATED))
        await w.settle()
        assert not w.sip.registrations
        assert w.events.bound_registrations == 0


async def test_an_account_that_cannot_register_ends_the_call():
    async with world() as w:
        call = await startup(w, register_expires_s=300)
        (registration,) = w.sip.registrations
        await w.sip_says(RegistrationFailed(registration, 401, "Unauthorized", None))
        assert reason(call) is EndReason.AUTHENTICATION_FAILED
        assert not w.sip.invites
        assert not w.sip.registrations


async def test_an_ended_call_can_be_found_until_its_id_is_used_again():
    async with world() as w:
        call = await startup(w)
        w.controller.hang_up(call.id, CallEnd(EndReason.TERMINATED))
        await w.settle()
        assert w.controller.find(call.id) == (call,)
        again = await startup(w)
        assert w.controller.find(call.id) == (again,)
