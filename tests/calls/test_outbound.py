"""Browser to SIP."""

import asyncio
from collections.abc import Awaitable

import pytest
from world import DURATION_S, RING_S, SETUP_S, World, reason, world

from fakes import FakeMedia, browser_offer, phone_answer, phone_offer
from trunkline.calls.events import DtmfMethod
from trunkline.calls.model import CallState, CallStatus, EndReason
from trunkline.calls.sessions import CallOrder
from trunkline.errors import CapacityError, InvalidCallState
from trunkline.ids import CallId, EndpointId, MediaCallId
from trunkline.media.types import Direction, Local, RtpRemote, Transport
from trunkline.sdp.parser import parse
from trunkline.sip.types import (
    EndCause,
    InfoAnswered,
    InfoReceived,
    InviteAnswered,
    InviteEnded,
    InviteFailed,
    InviteProgress,
    InviteTrying,
    Registered,
    RegistrationFailed,
    ReinviteAnswered,
    ReinviteReceived,
)


def names(sdp: str) -> list[str]:
    """Return the codec names of an SDP's audio, in its order."""
    section = parse(sdp).media[0]
    maps = {value.split()[0]: value.split()[1].split("/")[0] for value in section.values("rtpmap")}
    return [maps[payload_type] for payload_type in section.formats if maps[payload_type] != "telephone-event"]


async def answered(world: World, *codecs: str):
    session = world.connect()
    call = await world.call(session)
    invite, offer = world.sent_invite()
    await world.sip_says(InviteAnswered(invite, phone_answer(offer, *codecs)))
    assert call.state is CallState.ESTABLISHED
    return session, call, invite


async def test_a_call_rings_is_answered_and_is_hung_up_by_the_phone():
    async with world() as w:
        call = await w.call(w.connect())
        invite, offer = w.sent_invite()
        await w.sip_says(InviteTrying(invite))
        await w.sip_says(InviteProgress(invite, 180, "Ringing", None))
        assert w.web.statuses() == [CallStatus.TRYING, CallStatus.RING]
        assert not w.media.bridges
        await w.sip_says(InviteAnswered(invite, phone_answer(offer)))
        assert w.web.statuses()[-1] is CallStatus.ESTABLISHED
        assert len(w.media.bridges) == 1
        assert call.answered_at is not None
        await w.sip_says(InviteEnded(invite, EndCause.REMOTE_BYE))
        assert reason(call) is EndReason.NORMAL
        assert w.web.statuses()[-1] is CallStatus.FINISH
        assert not w.sip.verbs("hangup"), "the phone has hung up itself"
        w.assert_nothing_left()


def slow(media: FakeMedia, verb: str, asked: list[str]) -> asyncio.Event:
    """Have the media plane note a command at once, and answer it when the event is set."""
    answers, carry_out = asyncio.Event(), getattr(media, verb)

    async def answer(outcome: Awaitable[object]) -> object:
        await answers.wait()
        return await outcome

    def begin(*arguments: object) -> Awaitable[object]:
        asked.append(verb)
        return answer(carry_out(*arguments))

    setattr(media, verb, begin)
    return answers


async def test_the_media_plane_is_told_ahead_and_nobody_hears_of_it_before_it_has_answered():
    async with world() as w:
        asked: list[str] = []
        made = slow(w.media, "create_endpoint", asked)
        call = await w.call(w.connect())
        assert asked == ["create_endpoint"] * 2, "both at once"
        assert not w.sip.verbs("invite")
        made.set()
        await w.settle()
        invite, offer = w.sent_invite()
        del asked[:]
        told, joined = slow(w.media, "set_remote", asked), slow(w.media, "bridge", asked)
        joined.set()
        await w.sip_says(InviteAnswered(invite, phone_answer(offer)))
        assert asked == ["set_remote", "set_remote", "bridge"]
        assert call.answered_at is None
        told.set()
        await w.settle()
        assert call.state is CallState.ESTABLISHED
        assert w.web.statuses()[-1] is CallStatus.ESTABLISHED


async def test_an_endpoint_whose_other_one_cannot_be_had_is_closed():
    async with world() as w:
        make, made = w.media.create_endpoint, 0

        async def create(call: MediaCallId, transport: Transport) -> tuple[EndpointId, Local]:
            nonlocal made
            made += 1
            if made == 1:
                raise CapacityError("no free port")
            return await make(call, transport)

        w.media.create_endpoint = create
        call = await w.call(w.connect())
        assert (made, reason(call)) == (2, EndReason.CAPACITY)
        assert not w.sip.verbs("invite")
        w.assert_nothing_left()


async def test_the_browser_hangs_up_an_answered_call():
    async with world() as w:
        session, call, invite = await answered(w)
        session.hang_up(call.id)
        await w.settle()
        assert reason(call) is EndReason.NORMAL
        assert w.sip.verbs("hangup") == [("hangup", invite, None, None)], "a BYE without a failure for its Reason"
        assert w.web.statuses()[-1] is CallStatus.FINISH
        w.assert_nothing_left()


async def test_the_browser_cancels_while_it_rings():
    async with world() as w:
        session = w.connect()
        call = await w.call(session)
        invite, _ = w.sent_invite()
        await w.sip_says(InviteProgress(invite, 180, "Ringing", None))
        session.hang_up(call.id)
        await w.settle()
        assert reason(call) is EndReason.CANCELLED
        assert [each[1] for each in w.sip.verbs("hangup")] == [invite]
        assert w.web.statuses()[-1] is CallStatus.FINISH


async def test_early_media_is_heard_before_the_answer_and_the_browser_gets_one_description():
    async with world() as w:
        call = await w.call(w.connect())
        invite, offer = w.sent_invite()
        answer = phone_answer(offer)
        await w.sip_says(InviteProgress(invite, 183, "Session Progress", answer))
        assert len(w.media.bridges) == 1
        assert w.web.statuses()[-1] is CallStatus.RING
        assert call.has_early_media
        await w.sip_says(InviteAnswered(invite, answer))
        assert w.web.statuses()[-1] is CallStatus.ESTABLISHED
        assert w.web.description()


async def test_a_200_that_repeats_the_early_description_sets_the_far_side_again():
    # A phone behind NAT may send from another port after its answer: the media plane learns it anew only if told.
    async with world() as w:
        await w.call(w.connect())
        invite, offer = w.sent_invite()
        answer = phone_answer(offer)
        await w.sip_says(InviteProgress(invite, 183, "Session Progress", answer))
        assert w.media.endpoint("rtp")[1].remotes_set == 1
        await w.sip_says(InviteAnswered(invite, answer))
        assert w.media.endpoint("rtp")[1].remotes_set == 2


async def test_a_200_without_a_description_keeps_that_of_the_early_media():
    async with world() as w:
        call = await w.call(w.connect())
        invite, offer = w.sent_invite()
        await w.sip_says(InviteProgress(invite, 183, "Session Progress", phone_answer(offer)))
        await w.sip_says(InviteAnswered(invite, None))
        assert call.state is CallState.ESTABLISHED
        assert w.media.endpoint("rtp")[1].remotes_set == 1


async def test_a_200_from_another_branch_than_the_early_media_moves_the_media_there():
    async with world() as w:
        await w.call(w.connect())
        invite, offer = w.sent_invite()
        early = phone_answer(offer)
        await w.sip_says(InviteProgress(invite, 183, "Session Progress", early))
        await w.sip_says(InviteAnswered(invite, early.replace("audio 20000", "audio 24000")))
        remote = w.media.endpoint("rtp")[1].remote
        assert isinstance(remote, RtpRemote)
        assert remote.rtp[1] == 24_000


@pytest.mark.parametrize(
    ("status", "wanted", "shown"),
    [
        (486, EndReason.BUSY, CallStatus.BUSY),
        (600, EndReason.BUSY, CallStatus.BUSY),
        (404, EndReason.NOT_FOUND, CallStatus.FAILED),
        (604, EndReason.NOT_FOUND, CallStatus.FAILED),
        (480, EndReason.UNAVAILABLE, CallStatus.FAILED),
        (603, EndReason.DECLINED, CallStatus.FAILED),
        (403, EndReason.FORBIDDEN, CallStatus.FAILED),
        (401, EndReason.AUTHENTICATION_FAILED, CallStatus.FAILED),
        (407, EndReason.AUTHENTICATION_FAILED, CallStatus.FAILED),
        (410, EndReason.GONE, CallStatus.FAILED),
        (484, EndReason.ADDRESS_INCOMPLETE, CallStatus.FAILED),
        (488, EndReason.NO_COMMON_CODECS, CallStatus.FAILED),
        (415, EndReason.NO_COMMON_CODECS, CallStatus.FAILED),
        (500, EndReason.SERVER_ERROR, CallStatus.FAILED),
        (503, EndReason.SERVER_UNREACHABLE, CallStatus.FAILED),
        (504, EndReason.REQUEST_TIMEOUT, CallStatus.FAILED),
        (302, EndReason.REDIRECTED, CallStatus.FAILED),
        (499, EndReason.REJECTED, CallStatus.FAILED),
    ],
)
async def test_each_refusal_has_its_own_reason(status, wanted, shown):
    async with world() as w:
        call = await w.call(w.connect())
        invite, _ = w.sent_invite()
        await w.sip_says(InviteFailed(invite, status, "Because"))
        assert reason(call) is wanted
        assert w.web.statuses()[-1] is shown
        assert call.end.status == status
        w.assert_nothing_left()


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ([], EndReason.SERVER_UNREACHABLE),
        (["trying"], EndReason.REQUEST_TIMEOUT),
        (["trying", "ringing"], EndReason.NO_ANSWER),
        (["trying", "ringing with media"], EndReason.NO_ANSWER),
    ],
)
async def test_408_means_what_came_before_it(before, wanted):
    async with world() as w:
        call = await w.call(w.connect())
        invite, offer = w.sent_invite()
        if "trying" in before:
            await w.sip_says(InviteTrying(invite))
        if "ringing" in before:
            await w.sip_says(InviteProgress(invite, 180, "Ringing", None))
        if "ringing with media" in before:
            await w.sip_says(InviteProgress(invite, 180, "Ringing", phone_answer(offer)))
        await w.sip_says(InviteFailed(invite, 408, "Request Timeout"))
        assert reason(call) is wanted


async def test_a_callee_that_never_answers_is_cancelled_after_the_ring_time():
    async with world() as w:
        call = await w.call(w.connect())
        invite, _ = w.sent_invite()
        await w.sip_says(InviteProgress(invite, 180, "Ringing", None))
        await w.advance(RING_S - 1)
        assert reason(call) is None
        await w.advance(1)
        assert reason(call) is EndReason.NO_ANSWER
        assert [each[1] for each in w.sip.verbs("hangup")] == [invite]


async def test_early_media_may_outlast_the_ring_time_but_not_the_setup_time():
    async with world() as w:
        call = await w.call(w.connect())
        invite, offer = w.sent_invite()
        await w.sip_says(InviteProgress(invite, 183, "Session Progress", phone_answer(offer)))
        await w.advance(SETUP_S - 1)
        assert reason(call) is None
        await w.advance(1)
        assert reason(call) is EndReason.NO_ANSWER


async def test_an_answered_call_ends_when_its_longest_time_is_over():
    async with world() as w:
        _, call, _ = await answered(w)
        await w.advance(DURATION_S)
        assert reason(call) is EndReason.TERMINATED


async def test_pass_through_is_preferred_when_both_sides_share_a_codec():
    async with world() as w:
        _, call, _ = await answered(w, "PCMA")
        assert names(w.web.description())[0] == "PCMA"
        assert (call.a.codec, call.b.codec) == ("PCMA", "PCMA")


async def test_the_sip_side_is_offered_the_browsers_codecs_first_and_g711_always():
    async with world() as w:
        await w.call(w.connect(), offer=browser_offer("opus"))
        _, offer = w.sent_invite()
        assert names(offer) == ["opus", "PCMU", "PCMA"]


async def test_an_offer_without_a_common_codec_fails_before_anybody_is_called():
    offer = browser_offer("PCMU").replace("SAVPF 0 ", "SAVPF 120 ").replace("rtpmap:0 PCMU", "rtpmap:120 SILK")
    async with world() as w:
        call = await w.call(w.connect(), offer=offer)
        assert reason(call) is EndReason.NO_COMMON_CODECS
        assert call.end.info == "No common codecs"
        assert not w.sip.verbs("invite")
        w.assert_nothing_left()


async def test_an_answer_without_a_common_codec_hangs_up_the_answered_dialog():
    async with world() as w:
        call = await w.call(w.connect())
        invite, offer = w.sent_invite()
        answer = phone_answer(offer, "PCMU").replace("AVP 0 ", "AVP 3 ").replace("rtpmap:0 PCMU", "rtpmap:3 GSM")
        await w.sip_says(InviteAnswered(invite, answer))
        assert reason(call) is EndReason.NO_COMMON_CODECS
        assert [each[1] for each in w.sip.verbs("hangup")] == [invite]


async def test_garbage_instead_of_an_offer_is_a_bad_description():
    async with world() as w:
        call = await w.call(w.connect(), offer="hello")
        assert reason(call) is EndReason.BAD_DESCRIPTION


async def test_a_full_port_range_ends_the_call_for_capacity():
    async with world() as w:
        w.media.refusals["create_endpoint"] = CapacityError("all ports are taken")
        call = await w.call(w.connect())
        assert reason(call) is EndReason.CAPACITY
        assert call.end.status == 503


async def test_a_call_above_the_limit_is_refused_and_the_others_go_on():
    async with world(max_calls=1) as w:
        session, call, _ = await answered(w)
        session.place_call(CallOrder(call_id=CallId("second"), callee="101", offer=browser_offer()))
        await w.settle()
        _, status, end = w.web.shown[-1]
        assert status is CallStatus.FAILED
        assert end.reason is EndReason.CAPACITY
        assert reason(call) is None


@pytest.mark.parametrize(("account", "callee"), [(False, "100"), (True, "   "), (True, "1\r\nX-Injected: 1")])
async def test_what_cannot_be_routed_is_refused(account, callee):
    async with world() as w:
        session = w.connect() if account else w.connect(account=None)
        session.place_call(CallOrder(call_id=CallId("c"), callee=callee, offer=browser_offer()))
        assert w.web.shown[-1][2].reason is EndReason.NO_ROUTE
        assert not w.sip.verbs("invite")


@pytest.mark.parametrize(
    ("dialed", "target"),
    [
        ("+49 (151) 234-567", "+49151234567"),
        ("tel:112", "112"),
        ("bob@example.org", "sip:bob@example.org"),
        ("sip:bob@example.org", "sip:bob@example.org"),
        ("jean-luc", "jean-luc"),
        ("*31#", "*31#"),
    ],
)
async def test_what_was_dialed_becomes_a_target(dialed, target):
    async with world() as w:
        await w.call(w.connect(), callee=dialed)
        assert w.sip.invites[-1][0].target_uri == target


async def test_a_browser_that_vanishes_takes_its_calls_and_its_registration_along():
    async with world() as w:
        session = await w.registered()
        call = await w.call(session)
        invite, offer = w.sent_invite()
        await w.sip_says(InviteAnswered(invite, phone_answer(offer)))
        w.sessions.close(session)
        await w.settle()
        assert reason(call) is EndReason.CLIENT_GONE
        assert [each[1] for each in w.sip.verbs("hangup")] == [invite]
        assert not w.sip.registrations
        w.assert_nothing_left()


async def test_a_new_offer_of_the_phone_moves_its_media_and_keeps_our_ports():
    async with world() as w:
        _, call, invite = await answered(w)
        before = parse(w.sent_invite()[1])
        await w.sip_says(ReinviteReceived(invite, phone_offer("PCMU", direction=Direction.SENDONLY, port=26_000)))
        (_, _, text, status) = w.sip.verbs("answer_reinvite")[-1]
        answer = parse(text)
        assert status == 200
        assert answer.media[0].port == before.media[0].port
        assert answer.media[0].direction() is Direction.RECVONLY
        assert str(answer.origin) != str(before.origin)
        endpoint = w.media.endpoint("rtp")[1]
        assert endpoint.remote.rtp == ("198.51.100.9", 26_000)
        assert endpoint.audio.direction is Direction.RECVONLY
        assert reason(call) is None


async def test_a_new_offer_that_cannot_be_met_is_refused_and_the_call_goes_on():
    async with world() as w:
        _, call, invite = await answered(w)
        await w.sip_says(ReinviteReceived(invite, "v=0\r\nnonsense"))
        assert w.sip.verbs("answer_reinvite")[-1][3] == 488
        assert reason(call) is None


_FAX = (
    "m=image 21000 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n"
    "m=application 21002 UDP/BFCP *\r\nm=video 0 RTP/AVP 31\r\n"
)


async def test_fax_and_unknown_media_beside_audio_are_refused_line_by_line():
    async with world() as w:
        _, call, invite = await answered(w)
        await w.sip_says(ReinviteReceived(invite, phone_offer("PCMU") + _FAX))
        (_, _, answer, status) = w.sip.verbs("answer_reinvite")[-1]
        assert status == 200
        lines = [(each.media, each.protocol, each.port > 0) for each in parse(answer).media]
        assert lines == [
            ("audio", "RTP/AVP", True),
            ("image", "udptl", False),
            ("application", "UDP/BFCP", False),
            ("video", "RTP/AVP", False),
        ]
        assert call.state is CallState.ESTABLISHED


async def test_an_offer_of_nothing_but_fax_is_refused_and_the_call_goes_on_with_its_audio():
    async with world() as w:
        _, call, invite = await answered(w)
        set_before = w.media.endpoint("rtp")[1].remotes_set
        session = phone_offer("PCMU").partition("m=")[0]
        await w.sip_says(ReinviteReceived(invite, session + _FAX))
        assert w.sip.verbs("answer_reinvite")[-1] == ("answer_reinvite", invite, None, 488)
        assert (call.state, w.media.endpoint("rtp")[1].remotes_set) == (CallState.ESTABLISHED, set_before)


async def test_a_reinvite_without_an_offer_gets_ours_and_its_answer_is_taken_from_the_ack():
    async with world() as w:
        _, call, invite = await answered(w)
        await w.sip_says(ReinviteReceived(invite, None))
        (_, _, offer, status) = w.sip.verbs("answer_reinvite")[-1]
        assert status == 200
        assert parse(offer).media[0].port == parse(w.sent_invite()[1]).media[0].port
        answer = phone_answer(offer, "PCMA").replace("audio 20000", "audio 28000")
        await w.sip_says(ReinviteAnswered(invite, answer))
        assert w.media.endpoint("rtp")[1].remote.rtp == ("198.51.100.9", 28_000)
        assert call.b.codec == "PCMA"
        assert reason(call) is None


async def test_a_reinvites_ack_without_an_answer_leaves_the_media_where_it_was():
    async with world() as w:
        _, call, invite = await answered(w)
        await w.sip_says(ReinviteReceived(invite, None))
        await w.sip_says(ReinviteAnswered(invite, None))
        assert w.media.endpoint("rtp")[1].remote.rtp == ("198.51.100.9", 20_000)
        assert reason(call) is None


async def test_a_200_without_any_description_is_hung_up_as_a_bad_one():
    async with world() as w:
        call = await w.call(w.connect())
        invite, _ = w.sent_invite()
        await w.sip_says(InviteAnswered(invite, None))
        assert reason(call) is EndReason.BAD_DESCRIPTION
        assert [each[1] for each in w.sip.verbs("hangup")] == [invite]


async def test_digits_leave_as_events_of_the_sip_sides_endpoint():
    async with world() as w:
        session, call, _ = await answered(w)
        session.send_dtmf(call.id, "12#", DtmfMethod.RTP)
        await w.settle()
        assert w.media.endpoint("rtp")[1].digits == "12#"
        assert w.media.endpoint("webrtc")[1].digits == ""


async def test_digits_as_info_leave_one_after_the_other():
    async with world() as w:
        session, call, invite = await answered(w)
        session.send_dtmf(call.id, "1#", DtmfMethod.INFO)
        await w.settle()
        assert [each[3] for each in w.sip.verbs("send_info")] == [b"Signal=1\r\nDuration=160\r\n"]
        await w.sip_says(InfoAnswered(invite, 200))
        assert w.sip.verbs("send_info")[-1][3] == b"Signal=#\r\nDuration=160\r\n"
        await w.sip_says(InfoAnswered(invite, 200))
        assert len(w.sip.verbs("send_info")) == 2
        assert w.sip.verbs("send_info")[0][2] == "application/dtmf-relay"


async def test_digits_before_any_media_are_refused_and_digits_that_fail_do_not_end_the_call():
    async with world() as w:
        session = w.connect()
        call = await w.call(session)
        session.send_dtmf(call.id, "1", DtmfMethod.RTP)
        await w.settle()
        assert w.web.shown[-1][:2] == ("failed", "sendDtmf")
        invite, offer = w.sent_invite()
        await w.sip_says(InviteProgress(invite, 183, "Session Progress", phone_answer(offer)))
        w.sip.refusals["send_info"] = InvalidCallState("not confirmed")
        session.send_dtmf(call.id, "1", DtmfMethod.INFO)
        await w.settle()
        assert w.web.shown[-1] == ("failed", "sendDtmf", "not confirmed")
        assert reason(call) is None


async def test_a_digit_in_an_info_of_the_phone_reaches_the_browser_and_the_call():
    async with world() as w:
        _, call, invite = await answered(w)
        await w.sip_says(InfoReceived(invite, "7", 100))
        await w.sip_says(InfoReceived(invite, "8", 160))
        assert call.dtmf_received == "78"
        assert w.media.endpoint("webrtc")[1].digits == "78"


async def test_two_calls_of_one_session_live_apart():
    async with world() as w:
        session = w.connect()
        first = await w.call(session, "100")
        second = await w.call(session, "101")
        invite, _ = w.sent_invite()
        await w.sip_says(InviteFailed(invite, 486, "Busy Here"))
        assert reason(second) is EndReason.BUSY
        assert reason(first) is None


async def test_registration_is_reported_once_and_its_failures_each_time():
    async with world() as w:
        session = w.connect(registers=True)
        await w.sip_says(RegistrationFailed(session.registration, 503, "Service Unavailable", 5.0))
        await w.sip_says(Registered(session.registration, 300))
        await w.sip_says(Registered(session.registration, 300))
        await w.sip_says(RegistrationFailed(session.registration, 403, "Forbidden", None))
        assert w.web.shown == [
            ("registration_failed", 503, "Service Unavailable", False),
            ("registered",),
            ("registration_failed", 403, "Forbidden", True),
        ]
        w.sessions.close(session)
        assert not w.sip.registrations


async def test_stopping_hangs_up_and_takes_no_more_calls():
    async with world() as w:
        session, call, invite = await answered(w)
        await w.controller.stop()
        assert reason(call) is EndReason.SHUTDOWN
        assert [each[1] for each in w.sip.verbs("hangup")] == [invite]
        session.place_call(CallOrder(call_id=CallId("late"), callee="101", offer=browser_offer()))
        assert w.web.shown[-1][2].reason is EndReason.CAPACITY


async def test_a_bug_in_one_call_ends_that_call_only():
    async with world() as w:
        session, first, _ = await answered(w)
        w.media.refusals["set_remote"] = ZeroDivisionError("a bug")
        second = await w.call(session, "101")
        invite, offer = w.sent_invite()
        await w.sip_says(InviteAnswered(invite, phone_answer(offer)))
        assert reason(second) is EndReason.INTERNAL
        assert invite in [each[1] for each in w.sip.verbs("hangup")]
        assert reason(first) is None
        assert len(w.media.live) == 2
