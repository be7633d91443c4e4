"""What the media plane reports, and what becomes of the call."""

import pytest
from test_outbound import answered
from world import reason, world

from fakes import phone_answer
from logs import lines, logged
from trunkline.calls.model import EndReason
from trunkline.ids import EndpointId, MediaCallId
from trunkline.media.types import (
    BridgeFailed,
    DtlsStateChanged,
    DtmfReceived,
    EndpointClosed,
    FirstPacket,
    FirstPacketMissing,
    IceStateChanged,
    MediaInactive,
)
from trunkline.sip.types import EndCause, InviteAnswered, InviteEnded, InviteProgress

CALL = MediaCallId(1)


def closed(reason):
    return [lambda endpoint: EndpointClosed(CALL, endpoint, reason)]


@pytest.mark.parametrize(
    ("kind", "events", "wanted", "info"),
    [
        ("webrtc", closed("ice_timeout"), EndReason.ICE_FAILED, "Failed by ICE error"),
        ("webrtc", closed("consent_expired"), EndReason.ICE_FAILED, "Failed by ICE error"),
        ("webrtc", closed("dtls_timeout"), EndReason.DTLS_FAILED, "Failed by DTLS error"),
        ("webrtc", closed("dtls_failed"), EndReason.DTLS_FAILED, "Failed by DTLS error"),
        (
            "webrtc",
            [lambda e: DtlsStateChanged(CALL, e, "failed", "fingerprint_mismatch"), *closed("dtls_failed")],
            EndReason.DTLS_FINGERPRINT,
            "Failed by DTLS fingerprint error",
        ),
        ("webrtc", closed("dtls_closed"), EndReason.NORMAL, "Normal call clearing"),
        ("webrtc", [lambda e: MediaInactive(CALL, e, 60.0)], EndReason.MEDIA_INACTIVE, "Failed by RTP activity"),
        ("rtp", [lambda e: MediaInactive(CALL, e, 60.0)], EndReason.MEDIA_INACTIVE, "Failed by RTP activity"),
        ("webrtc", [lambda e: FirstPacketMissing(CALL, e, 30.0)], EndReason.NO_MEDIA, "Failed by RTP activity"),
        ("rtp", [lambda e: FirstPacketMissing(CALL, e, 30.0)], EndReason.NO_MEDIA, "Failed by RTP activity"),
        ("rtp", closed("worker_died"), EndReason.MEDIA_FAILED, "Failed by error"),
        ("rtp", [lambda _: BridgeFailed(CALL, "panic")], EndReason.MEDIA_FAILED, "Failed by error"),
    ],
)
async def test_media_that_fails_ends_the_call_with_its_own_reason(kind, events, wanted, info):
    async with world() as w:
        _, call, invite = await answered(w)
        endpoint, _ = w.media.endpoint(kind)
        for make in events:
            await w.media_says(make(endpoint))
        assert reason(call) is wanted
        assert w.web.shown[-1][2].info == info
        assert [each[1] for each in w.sip.verbs("hangup")] == [invite]
        w.assert_nothing_left()


async def test_silence_of_a_callee_before_the_answer_is_no_failure():
    async with world() as w:
        call = await w.call(w.connect())
        invite, offer = w.sent_invite()
        await w.sip_says(InviteProgress(invite, 183, "Session Progress", phone_answer(offer)))
        await w.media_says(MediaInactive(CALL, w.media.endpoint("rtp")[0], 60.0))
        await w.media_says(FirstPacketMissing(CALL, w.media.endpoint("rtp")[0], 30.0))
        assert reason(call) is None
        assert "expect_media" not in w.media.log
        await w.sip_says(InviteAnswered(invite, phone_answer(offer)))
        assert w.media.log.count("expect_media") == 2, "the answer begins the count anew, for both legs"


async def test_digits_of_the_phone_are_noted_and_not_sent_twice():
    async with world() as w:
        _, call, _ = await answered(w)
        for digit in "42":
            await w.media_says(DtmfReceived(CALL, w.media.endpoint("rtp")[0], digit, 120))
        await w.media_says(DtmfReceived(CALL, w.media.endpoint("webrtc")[0], "9", 120))
        assert call.dtmf_received == "42"
        assert "send_dtmf" not in w.media.log, "the media plane carries them across by itself"


async def test_events_that_ask_for_nothing_change_nothing():
    async with world() as w:
        _, call, _ = await answered(w)
        endpoint = w.media.endpoint("rtp")[0]
        await w.media_says(FirstPacket(CALL, endpoint))
        await w.media_says(IceStateChanged(CALL, w.media.endpoint("webrtc")[0], "connected"))
        await w.media_says(IceStateChanged(CALL, w.media.endpoint("webrtc")[0], "disconnected"))
        await w.media_says(MediaInactive(CALL, EndpointId(4711), 60.0))
        assert reason(call) is None


async def test_a_media_plane_that_fails_while_closing_does_not_stop_the_teardown():
    async with world() as w:
        session, call, _ = await answered(w)
        w.media.refusals["close"] = TimeoutError()
        session.hang_up(call.id)
        await w.settle()
        assert w.web.statuses()[-1] == "FINISH"
        w.assert_nothing_left()


async def test_an_endpoint_that_went_by_itself_as_the_call_ends_is_no_failure_of_the_teardown():
    with logged() as log:
        async with world() as w:
            _, call, invite = await answered(w)
            browser, _ = w.media.endpoint("webrtc")
            # The page closes DTLS as it hangs up; its BYE is known here first, and the media plane's event comes after.
            del w.media.live[browser], w.media.bridges[browser]
            await w.sip_says(InviteEnded(invite, EndCause.REMOTE_BYE))
            await w.media_says(EndpointClosed(CALL, browser, "dtls_closed"))
            assert reason(call) is EndReason.NORMAL
            w.assert_nothing_left()
    assert "call_ended" in [line["event"] for line in lines(log)]
    assert not [line for line in lines(log) if line["level"] in {"warning", "error"}]
