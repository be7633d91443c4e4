"""The last figures of each leg: kept with the call, logged once, and counted."""

import dataclasses

from test_outbound import answered
from world import world

from logs import lines, logged
from trunkline.calls.model import CallEnd, EndReason
from trunkline.figures import EndpointStats, ReceivedStats, SentStats
from trunkline.ids import MediaCallId
from trunkline.media.types import EndpointClosed

PHONE = EndpointStats(
    received=ReceivedStats(
        codec="PCMU",
        packets=990,
        lost=10,
        discarded=10,
        jitter_mean_ms=4.0,
        mos=4.1,
        r_factor=84.2,
        concealed_ms=400,
        played_ms=20_000,
        playout_delay_ms=60,
        is_silent=True,
        is_clipped=False,
    ),
    sent=SentStats(codec="PCMU", packets=1_000, lost=3, mos=4.3),
    round_trip_ms=80.0,
    local=("192.0.2.1", 31_000),
    remote=("2001:db8::5", 4_000),
    drops={"rtp_payload_type": 2, "late": 10},
)
BROWSER = EndpointStats(received=ReceivedStats(codec="opus", packets=20, mos=4.4), srtp_profile="SRTP_AEAD_AES_128_GCM")


async def ended(w):
    _, call, _ = await answered(w)
    w.media.endpoint("rtp")[1].stats = PHONE
    w.media.endpoint("webrtc")[1].stats = BROWSER
    w.controller.hang_up(call.id, CallEnd(EndReason.NORMAL))
    await w.settle()
    return call


async def test_an_ended_call_keeps_the_figures_of_both_legs():
    async with world() as w:
        call = await ended(w)
        assert (call.a.stats, call.b.stats) == (BROWSER, PHONE)


async def test_one_line_for_each_leg_says_how_it_was():
    with logged() as log:
        async with world() as w:
            call = await ended(w)
    quality = [line for line in lines(log) if line["event"] == "leg_quality"]
    phone, browser = sorted(quality, key=lambda line: -line["lost"])
    assert (phone["level"], phone["leg"], phone["kind"]) == ("info", call.b.id, "sip")
    wanted = {"codec_received": "PCMU", "lost": 10, "discarded": 10, "jitter_mean_ms": 4.0, "mos": 4.1, "drops": 12}
    assert wanted.items() <= phone.items()
    assert (phone["lost_there"], phone["mos_there"], phone["round_trip_ms"]) == (3, 4.3, 80.0)
    assert (phone["local"], phone["remote"]) == ("192.0.2.1:31000", "[2001:db8::5]:4000")
    assert "srtp_profile" not in phone
    assert browser["srtp_profile"] == "SRTP_AEAD_AES_128_GCM"


async def test_legs_are_counted_by_kind_and_one_of_a_few_packets_is_not():
    async with world() as w:
        await ended(w)
        text = w.metrics.render().decode()
    assert 'trunkline_leg_mos_bucket{le="4.0",leg="sip"} 0.0' in text
    assert 'trunkline_leg_mos_bucket{le="4.3",leg="sip"} 1.0' in text
    assert 'trunkline_leg_jitter_seconds_sum{leg="sip"} 0.004' in text
    assert 'trunkline_leg_loss_ratio_sum{leg="sip"} 0.02' in text
    assert 'trunkline_leg_round_trip_seconds_sum{leg="sip"} 0.08' in text
    assert 'trunkline_leg_concealed_ratio_sum{leg="sip"} 0.02' in text
    assert 'trunkline_leg_playout_delay_seconds_sum{leg="sip"} 0.06' in text
    assert 'trunkline_legs_total{codec="PCMU",leg="sip",srtp="none"} 1.0' in text
    assert 'trunkline_leg_packets_total{direction="received",leg="sip"} 990.0' in text
    assert 'trunkline_leg_packets_total{direction="sent",leg="sip"} 1000.0' in text
    assert 'trunkline_legs_flagged_total{flag="silent",leg="sip"} 1.0' in text
    assert 'trunkline_legs_flagged_total{flag="clipped",leg="sip"} 0.0' in text
    assert 'leg="web"' not in text


async def test_an_endpoint_that_ends_by_itself_leaves_its_figures_too():
    async with world() as w:
        _, call, _ = await answered(w)
        endpoint, _ = w.media.endpoint("rtp")
        await w.media_says(EndpointClosed(MediaCallId(1), endpoint, "shutdown", stats=PHONE))
        assert call.b.stats == PHONE


def test_loss_is_of_the_packets_that_were_expected():
    assert PHONE.received.loss_percent == 2.0
    assert ReceivedStats().loss_percent == 0.0
    assert dataclasses.replace(PHONE.received, discarded=10_000).loss_percent == 100.0
