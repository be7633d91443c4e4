"""Which codecs a call runs on, whether its audio is coded anew, and what becomes of it where that is forbidden."""

import pytest
from test_outbound import names
from world import reason, world

from fakes import ACCOUNT, browser_answer, browser_offer, phone_answer, phone_offer
from trunkline.api.schemas_calls import CallObject
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.model import Call, CallRequest, EndReason
from trunkline.calls.player_leg import PlayerLeg
from trunkline.calls.routing import route
from trunkline.ids import CallId
from trunkline.sdp.codecs import CodecPolicy, CodecTerms
from trunkline.sip.types import EndCause, InviteAnswered, InviteEnded, InviteFailed, ReinviteReceived
from trunkline.trunks.model import MediaTerms

FORBIDDEN = CodecPolicy(may_transcode=False)
WITH_G729 = CodecPolicy(("opus", "PCMU", "PCMA", "G729"))


def seen(call: Call) -> tuple[object, ...]:
    shown = CallObject.of(call, "node").to_json()
    return shown["codecCaller"], shown["codecCallee"], shown["transcoded"]


async def test_a_codec_that_both_sides_speak_is_not_transcoded():
    async with world() as w:
        call = await w.call(w.connect())
        assert seen(call) == (None, None, None)
        invite, offer = w.sent_invite()
        await w.sip_says(InviteAnswered(invite, phone_answer(offer, "PCMA")))
        assert seen(call) == ("PCMA", "PCMA", False)
        await w.sip_says(InviteEnded(invite, EndCause.REMOTE_BYE))
        text = w.metrics.render().decode()
        assert 'trunkline_calls_answered_total{callee="PCMA",caller="PCMA",transcoded="no"} 1.0' in text


async def test_a_trunk_of_g729_has_the_browser_speak_what_costs_least_beside_it():
    async with world(codecs=WITH_G729) as w:
        call = await w.call(w.connect(), offer=browser_offer("opus", "PCMU"))
        invite, offer = w.sent_invite()
        assert names(offer) == ["opus", "PCMU", "PCMA", "G729"]
        await w.sip_says(InviteAnswered(invite, phone_answer(offer, "G729")))
        assert seen(call) == ("PCMU", "G729", True)
        await w.sip_says(InviteEnded(invite, EndCause.REMOTE_BYE))
        text = w.metrics.render().decode()
        assert 'trunkline_calls_answered_total{callee="G729",caller="PCMU",transcoded="yes"} 1.0' in text


@pytest.mark.parametrize(
    ("name", "shown", "beside", "ptime_ms"),
    [
        # Wide sound goes with the browser's Opus, narrow sound with what costs least.
        *(("G722", "G722", "opus", 20), ("G729", "G729", "PCMU", 20)),
        *(("speex/8000", "speex", "PCMU", 20), ("speex/16000", "speex", "opus", 20)),
        *(("L16/8000", "L16", "PCMU", 20), ("L16/16000", "L16", "opus", 20)),
        *(("L16/44100", "L16", "opus", 10), ("L16/48000", "L16", "opus", 10)),
    ],
)
async def test_a_trunk_of_any_codec_is_named_by_it_and_called_transcoded(
    name: str, shown: str, beside: str, ptime_ms: int
):
    for may_transcode in (True, False):
        async with world() as w:
            terms = CodecTerms((name,), may_transcode=may_transcode)
            call = w.controller.start(
                CallRequest(id=CallId("transit"), caller="bob", callee="100"),
                lambda context, w=w: SipLeg(context, w.access, w.incoming_invite(phone_offer("PCMU", "opus"))),
                lambda context, w=w, terms=terms: SipLeg(context, w.access, route("100", ACCOUNT, codecs=terms)),
            )
            await w.settle()
            if not may_transcode:
                assert reason(call) is EndReason.TRANSCODING_FORBIDDEN
                assert [each[2] for each in w.sip.verbs("hangup")] == [488]
                assert not w.sip.invites
                continue
            invite, offer = w.sent_invite()
            assert names(offer) == [shown]
            await w.sip_says(InviteAnswered(invite, phone_answer(offer, name)))
            assert seen(call) == (beside, shown, True)
            told = CallObject.of(call, "node")
            assert (told.ptime_caller, told.ptime_callee) == (20, ptime_ms)


async def test_two_rates_of_one_codec_are_transcoded():
    async with world() as w:
        call = w.controller.start(
            CallRequest(id=CallId("transit"), caller="bob", callee="100"),
            lambda context: SipLeg(
                context,
                w.access,
                w.incoming_invite(phone_offer("L16/8000")),
                MediaTerms(codecs=CodecTerms(("L16/8000",))),
            ),
            lambda context: SipLeg(context, w.access, route("100", ACCOUNT, codecs=CodecTerms(("L16/16000",)))),
        )
        await w.settle()
        invite, offer = w.sent_invite()
        await w.sip_says(InviteAnswered(invite, phone_answer(offer, "L16/16000")))
        assert seen(call) == ("L16", "L16", True)


async def test_a_far_side_may_begin_to_leave_out_silence_and_cease_to_within_the_call():
    def said(kind: str) -> list[list[str]]:
        audio = w.media.endpoint(kind)[1].audio
        return [[codec.name for codec in codecs] for codecs in (audio.send, audio.receive)]

    async with world(codecs=CodecPolicy(takes_comfort_noise=True)) as w:
        call = await w.call(w.connect(), offer=browser_offer("PCMU"))
        invite, offer = w.sent_invite()
        assert names(offer) == ["PCMU", "PCMA", "opus", "CN"]
        await w.sip_says(InviteAnswered(invite, phone_answer(offer, "PCMU")))
        without = phone_offer("PCMU")
        noise = without.replace("RTP/AVP 0 101", "RTP/AVP 0 13 101")
        for description, spoken in ((noise, ["PCMU", "CN"]), (without, ["PCMU"])):
            await w.sip_says(ReinviteReceived(invite, description))
            assert names(w.sip.verbs("answer_reinvite")[-1][2]) == spoken
            assert said("rtp") == [[*spoken, "telephone-event"]] * 2
            assert said("webrtc") == [["PCMU", "telephone-event"]] * 2
            assert seen(call) == ("PCMU", "PCMU", False)


async def test_packet_times_that_differ_count_as_transcoding_but_in_opus():
    async with world() as w:
        for number, (codec, is_transcoded) in enumerate((("PCMA", True), ("opus", False))):
            call = await w.call(w.connect(), f"10{number}", browser_offer(codec))
            invite, offer = w.sent_invite()
            answer = phone_answer(offer, codec).replace("a=ptime:20", "a=ptime:40")
            await w.sip_says(InviteAnswered(invite, answer))
            assert seen(call) == (codec, codec, is_transcoded)
            shown = CallObject.of(call, "node")
            assert (shown.ptime_caller, shown.ptime_callee) == (20, 40)


async def test_only_what_the_browser_speaks_is_offered_where_transcoding_is_forbidden():
    async with world(codecs=FORBIDDEN) as w:
        await w.call(w.connect(), offer=browser_offer("PCMA", "opus"))
        invite, offer = w.sent_invite()
        assert names(offer) == ["PCMA", "opus"]
        await w.sip_says(InviteAnswered(invite, phone_answer(offer, "PCMA").replace("a=ptime:20", "a=ptime:30")))
        assert names(w.web.description()) == ["PCMA"]
        (call,) = w.controller.find()
        assert seen(call) == ("PCMA", "PCMA", False), "a packet time is a wish, which relayed packets do not meet"


async def test_a_phone_that_refuses_the_rest_learns_that_transcoding_was_forbidden():
    async with world(codecs=FORBIDDEN) as w:
        call = await w.call(w.connect(), offer=browser_offer("opus"))
        invite, _ = w.sent_invite()
        await w.sip_says(InviteFailed(invite, 488, "Not Acceptable Here"))
        assert reason(call) is EndReason.TRANSCODING_FORBIDDEN
        shown = CallObject.of(call, "node")
        assert (shown.reason, shown.q850, shown.sip_status) == ("transcoding_forbidden", 65, 488)
        assert shown.info == "Transcoding required, but disabled"


async def test_a_caller_whose_codecs_the_trunk_lacks_gets_488_before_anybody_rings():
    async with world(codecs=FORBIDDEN) as w:
        call = w.controller.start(
            CallRequest(id=CallId("transit"), caller="bob", callee="100"),
            lambda context: SipLeg(context, w.access, w.incoming_invite(phone_offer("PCMU"))),
            lambda context: SipLeg(context, w.access, route("100", ACCOUNT, codecs=CodecTerms(("PCMA",)))),
        )
        await w.settle()
        assert reason(call) is EndReason.TRANSCODING_FORBIDDEN
        assert [each[2] for each in w.sip.verbs("hangup")] == [488]
        assert not w.sip.invites


async def test_one_trunk_can_forbid_what_the_node_allows():
    async with world(codecs=WITH_G729) as w:
        terms = CodecTerms(("G729", "PCMA"), may_transcode=False)
        w.controller.start(
            CallRequest(id=CallId("transit"), caller="bob", callee="100"),
            lambda context: SipLeg(
                context, w.access, w.incoming_invite(phone_offer("PCMU", "PCMA")), MediaTerms(codecs=terms)
            ),
            lambda context: SipLeg(context, w.access, route("100", ACCOUNT)),
        )
        await w.settle()
        invite, offer = w.sent_invite()
        assert names(offer) == ["PCMA"], "of the caller's, the trunk allows only this one"
        await w.sip_says(InviteAnswered(invite, phone_answer(offer, "PCMA")))
        (call,) = w.controller.find()
        assert seen(call) == ("PCMA", "PCMA", False)


async def test_a_phone_cannot_leave_the_codec_of_the_call_where_transcoding_is_forbidden():
    async with world(codecs=FORBIDDEN) as w:
        call = await w.call(w.connect(), offer=browser_offer("PCMA", "PCMU"))
        invite, offer = w.sent_invite()
        await w.sip_says(InviteAnswered(invite, phone_answer(offer, "PCMA")))
        await w.sip_says(ReinviteReceived(invite, phone_offer("PCMU")))
        assert w.sip.verbs("answer_reinvite")[-1][-1] == 488
        await w.sip_says(ReinviteReceived(invite, phone_offer("PCMU", "PCMA")))
        assert names(w.sip.verbs("answer_reinvite")[-1][2]) == ["PCMA"]
        assert seen(call) == ("PCMA", "PCMA", False)


async def test_a_call_of_the_api_has_the_codecs_that_it_asked_for():
    async with world() as w:
        outbound = route("100", ACCOUNT, codecs=CodecTerms(("PCMA", "opus"), may_transcode=False))
        w.controller.start(
            CallRequest(id=CallId("rest"), caller="alice", callee="100"),
            PlayerLeg,
            lambda context: SipLeg(context, w.access, outbound),
        )
        await w.settle()
        _, offer = w.sent_invite()
        assert names(offer) == ["PCMA", "opus"], "a player speaks anything, so that nothing is forbidden to it"


async def test_a_browser_that_is_called_is_offered_the_phones_codecs_alone_where_transcoding_is_forbidden():
    async with world(codecs=FORBIDDEN) as w:
        session = await w.registered()
        await w.incoming(session, phone_offer("PCMA"))
        assert names(w.web.description()) == ["PCMA"]
        (call,) = w.controller.find()
        session.answer(call.id, browser_answer(w.web.description()))
        await w.settle()
        assert seen(call) == ("PCMA", "PCMA", False)
