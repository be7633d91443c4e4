"""The whole gateway with its real media plane: aiortc calls through WebSocket and SIP, and what it hears is judged."""

import asyncio
import re

import pytest
from node import Browser, Gateway, gateway
from webrtc_peer import WebRtcPeer

from fakes import browser_offer
from trunkline.media.engine import MediaEngine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

OPUS, PCMU = "audio/opus", "audio/PCMU"
SETTLE_S = 1.0
"""What is heard before is set-up: connecting, the jitter buffer's first guesses."""


def _forge(found: re.Match[str]) -> str:
    return found[1] + re.sub("[0-9A-F]", "A", found[2])


async def connected(node: Gateway, browser: Browser, peer: WebRtcPeer, callee: str) -> None:
    """Register, call a number of the test phone, and wait for the answer and the transport."""
    await browser.login(node)
    await browser.expect("registered")
    await browser.call(callee, sdp=await peer.offer())
    _, sdp = await browser.expect_all("setRemoteSDP")
    await peer.take(sdp)
    await browser.expect("talk")
    await peer.connected()


@pytest.mark.parametrize(("codec", "name"), [(OPUS, "opus"), (PCMU, "PCMU")])
async def test_what_the_browser_says_comes_back_from_the_echo(codec, name):
    async with gateway(MediaEngine()) as node, node.browser() as browser, WebRtcPeer(codec, 1000.0) as peer:
        await connected(node, browser, peer, "100")
        await peer.hear(SETTLE_S)
        frequency, share = await peer.hear(1.0)
        assert frequency == pytest.approx(1000.0, abs=5)
        assert share > 0.9
        (call,) = (await node.http.get("/rest-api/call/find_all")).json()
        assert (call["codecCaller"], call["codecCallee"]) == (name, "PCMU")
        await browser.send("hangup", {"callId": "call-1"})
        assert (await browser.expect("finish"))["reason"] == "normal"


@pytest.mark.parametrize("codec", [OPUS, PCMU])
async def test_the_phones_tone_is_heard(codec):
    async with gateway(MediaEngine()) as node, node.browser() as browser, WebRtcPeer(codec) as peer:
        await connected(node, browser, peer, "101")
        await peer.hear(SETTLE_S)
        frequency, share = await peer.hear(1.0)
        assert frequency == pytest.approx(440.0, abs=3)
        assert share > 0.9
        await browser.send("hangup", {"callId": "call-1"})
        await browser.expect("finish")


async def test_digits_reach_the_phone_and_come_back_as_tones():
    async with gateway(MediaEngine()) as node, node.browser() as browser, WebRtcPeer(PCMU) as peer:
        await connected(node, browser, peer, "102")
        await browser.send("sendDtmf", {"callId": "call-1", "dtmf": "555", "type": "RFC2833"})
        heard = [await peer.hear(0.04) for _ in range(3)]
        # 5 is 770 and 1336 Hz; a short piece has either in front.
        assert any(abs(frequency - tone) < 30 for frequency, _ in heard for tone in (770, 1336)), heard
        await browser.send("hangup", {"callId": "call-1"})
        await browser.expect("finish")


async def test_the_phone_calls_the_browser_and_both_hear():
    async with gateway(MediaEngine()) as node, node.browser() as browser:
        await browser.login(node)
        await browser.expect("registered")
        async with WebRtcPeer(PCMU) as first:
            await browser.call("106", sdp=await first.offer())
            _, sdp = await browser.expect_all("setRemoteSDP")
            await first.take(sdp)
            await browser.expect("finish")
        async with WebRtcPeer(OPUS, 700.0) as peer:
            call = await browser.expect("notifyIncomingCall")
            offer = next(data[1] for name, data in reversed(browser.seen) if name == "setRemoteSDP")
            await browser.send("answer", {"callId": call["callId"], "sdp": await peer.answer(offer)})
            await browser.expect("talk")
            frequency, _ = await peer.hear(1.0)
            assert frequency > 0, "the phone says something"
            await browser.send("hangup", {"callId": call["callId"]})
            assert (await browser.expect("finish"))["status"] == "FINISH"


async def test_a_browser_that_vanishes_mid_call_leaves_nothing_and_the_call_beside_it_goes_on():
    async with (
        gateway(MediaEngine()) as node,
        node.browser() as staying,
        WebRtcPeer(OPUS, 600.0) as stays,
        WebRtcPeer(OPUS) as goes,
    ):
        await connected(node, staying, stays, "100")
        held = await node.health()
        async with node.browser() as leaving:
            await leaving.login(node, sipRegisterRequired=False)
            await leaving.call("100", "call-2", sdp=await goes.offer())
            _, sdp = await leaving.expect_all("setRemoteSDP")
            await goes.take(sdp)
            await leaving.expect("talk")
            leaving.socket.transport.abort()
        for _ in range(200):
            now = await node.health()
            if now["calls"] == 1 and now["endpoints"] == held["endpoints"]:
                break
            await asyncio.sleep(0.05)
        assert (now["calls"], now["sessions"], now["endpoints"]) == (1, 1, held["endpoints"])
        await stays.hear(SETTLE_S)
        frequency, share = await stays.hear(0.5)
        assert frequency == pytest.approx(600.0, abs=5)
        assert share > 0.9
        await staying.send("hangup", {"callId": "call-1"})
        await staying.expect("finish")


async def test_a_browser_that_never_connects_fails_by_ice():
    async with gateway(MediaEngine(), media={"dtls_timeout_s": 1}) as node, node.browser() as browser:
        await browser.login(node, sipRegisterRequired=False)
        await browser.call("101", sdp=browser_offer())
        finish = await browser.expect("finish")
        assert (finish["status"], finish["reason"]) == ("FAILED", "ice_failed")
        assert finish["info"] == "Failed by ICE error"


async def test_a_browser_with_another_certificate_than_it_said_fails_by_fingerprint():
    async with gateway(MediaEngine()) as node, node.browser() as browser, WebRtcPeer(PCMU) as peer:
        await browser.login(node, sipRegisterRequired=False)
        offer = await peer.offer()
        forged = re.sub(
            r"(a=fingerprint:\S+ )(\S+)", lambda found: found[1] + ":".join(["AA"] * (len(found[2]) // 3 + 1)), offer
        )
        await browser.call("101", sdp=forged)
        _, sdp = await browser.expect_all("setRemoteSDP")
        await peer.take(sdp)
        finish = await browser.expect("finish")
        assert finish["reason"] == "dtls_fingerprint"
        assert finish["info"] == "Failed by DTLS fingerprint error"


async def test_a_browser_that_falls_silent_fails_by_rtp_activity():
    async with (
        gateway(MediaEngine(), media={"inactivity_s": 1.5}) as node,
        node.browser() as browser,
        WebRtcPeer(PCMU) as peer,
    ):
        await connected(node, browser, peer, "101")
        await peer.hear(SETTLE_S)
        peer.track.stop()
        finish = await browser.expect("finish")
        assert (finish["reason"], finish["info"]) == ("media_inactive", "Failed by RTP activity")


async def test_an_offer_without_a_common_codec_fails_at_once():
    async with gateway(MediaEngine()) as node, node.browser() as browser, WebRtcPeer(OPUS) as peer:
        await browser.login(node, sipRegisterRequired=False)
        await browser.call("101", sdp=(await peer.offer()).replace("opus/48000/2", "SILK/16000"))
        finish = await browser.expect("finish")
        assert (finish["reason"], finish["info"]) == ("no_common_codecs", "No common codecs")


async def test_a_full_port_range_refuses_the_next_call_and_recovers():
    # The phone's leg lives on the same media plane: a call takes two pairs.
    ports = {"rtp_port_min": 34_100, "rtp_port_max": 34_103, "port_quarantine_s": 0}
    async with gateway(MediaEngine(), media=ports) as node, node.browser() as browser:
        await browser.login(node, sipRegisterRequired=False)
        await browser.call("101", "first")
        await browser.expect("talk")
        await browser.call("101", "second")
        finish = await browser.expect("finish")
        assert (finish["callId"], finish["reason"]) == ("second", "capacity")
        await browser.send("hangup", {"callId": "first"})
        assert (await browser.expect("finish"))["callId"] == "first"
        await node.assert_empty(sessions=1)
        await browser.call("101", "third")
        await browser.expect("talk")
        await browser.send("hangup", {"callId": "third"})
        await browser.expect("finish")


@pytest.mark.parametrize("player", ["tone", "silence"])
async def test_a_party_that_only_the_api_called_gets_audio_all_the_time(player):
    plane = MediaEngine()
    async with gateway(plane, calls={"player": player}) as node:
        await node.startup("100")
        await node.until("rest-1", "ESTABLISHED")
        before = plane.totals().datagrams_sent
        await asyncio.sleep(1.0)
        # 50 packets a second from the player, and as many back from the echo.
        assert plane.totals().datagrams_sent - before > 60
        await node.post("terminate", {"callId": "rest-1"})
        await node.assert_empty()
