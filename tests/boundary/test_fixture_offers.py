"""Offers of browsers that cannot run here go through the compiled media plane's set-up.

Each offer of tests/vectors/sdp/web gets a real endpoint and is answered; the answer must be the golden one beside it
but for what the endpoint brings along. Then the transport is set up for good: the offer's credentials and fingerprints
are those of a live ICE and DTLS of aiortc, and audio leaves or does not, as the directions say.
"""

import asyncio
import difflib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceCandidate, RTCIceGatherer, RTCIceTransport
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcicetransport import RTCIceParameters

from listening import eventually
from trunkline.media.engine import MediaEngine
from trunkline.media.types import (
    Codec,
    Direction,
    DtlsStateChanged,
    EndpointClosed,
    EngineSettings,
    IceStateChanged,
    Tone,
    WebRtcLocal,
    WebRtcTransport,
)
from trunkline.sdp import CodecPolicy, SessionDescription, SessionIdentity, parse, webrtc

ADVERTISED = ("203.0.113.1", "2001:db8::1")
IDENTITY = SessionIdentity(7000, 1, ADVERTISED[0])
SAMPLES = Path(__file__).parents[1] / "vectors/sdp/web"
NAMES = sorted(path.name.removesuffix(".offer.sdp") for path in SAMPLES.glob("*.offer.sdp"))
TIMEOUT_S = 10.0

MIRRORED = {
    Direction.SENDRECV: Direction.SENDRECV,
    Direction.SENDONLY: Direction.RECVONLY,
    Direction.RECVONLY: Direction.SENDONLY,
    Direction.INACTIVE: Direction.INACTIVE,
}


@pytest.fixture
async def media() -> AsyncIterator[MediaEngine]:
    engine = MediaEngine()
    # Every local address for the browser: aiortc gathers none on loopback.
    await engine.start(EngineSettings(workers=1, webrtc_host="0.0.0.0", webrtc_advertised=ADVERTISED))
    yield engine
    await engine.stop()


class Transport:
    """The browser's ICE and DTLS, and how many RTP packets came out of them by payload type.

    Two steps of aiortc's peer connection are done here by hand, for want of a public way: roles are set from the SDP.
    """

    def __init__(self) -> None:
        self._gatherer = RTCIceGatherer(iceServers=[])
        self._ice = RTCIceTransport(self._gatherer)
        self._certificate = RTCCertificate.generateCertificate()
        self._dtls = RTCDtlsTransport(self._ice, [self._certificate])
        self.payload_types: list[int] = []

    async def lend(self, offer: str) -> str:
        """Return the offer with this transport's credentials and fingerprint in place of its own."""
        await self._gatherer.gather()
        ours = self._gatherer.getLocalParameters()
        (fingerprint,) = (each for each in self._dtls.getLocalParameters().fingerprints if each.algorithm == "sha-256")
        offer = re.sub(r"(?m)^(a=ice-ufrag:).*$", rf"\g<1>{ours.usernameFragment}", offer)
        offer = re.sub(r"(?m)^(a=ice-pwd:).*$", rf"\g<1>{ours.password}", offer)
        return re.sub(r"(?mi)^(a=fingerprint:sha-256 ).*$", rf"\g<1>{fingerprint.value}", offer)

    async def connect(self, local: WebRtcLocal, *, is_dtls_client: bool) -> None:
        """Do ICE and DTLS with the media plane, on an address of this machine instead of the advertised ones."""
        host = next(each.ip for each in self._gatherer.getLocalCandidates() if "." in each.ip)
        port = local.candidates[0][1]
        self._ice._connection.ice_controlling = True
        self._dtls._set_role("client" if is_dtls_client else "server")
        self._dtls._handle_rtp_data = self._count
        await self._ice.addRemoteCandidate(RTCIceCandidate(1, "1", host, port, 1, "udp", "host"))
        await self._ice.addRemoteCandidate(None)
        async with asyncio.timeout(TIMEOUT_S):
            await self._ice.start(RTCIceParameters(local.ice_ufrag, local.ice_pwd, iceLite=True))
            fingerprint = RTCDtlsFingerprint("sha-256", local.fingerprint)
            await self._dtls.start(RTCDtlsParameters([fingerprint]))
        assert self._dtls.state == "connected"

    async def close(self) -> None:
        await self._dtls.stop()
        await self._ice.stop()

    async def _count(self, data: bytes, arrival_time_ms: int) -> None:
        self.payload_types.append(data[1] & 0x7F)


@pytest.fixture
async def browser() -> AsyncIterator[Transport]:
    transport = Transport()
    yield transport
    await transport.close()


def _offer(name: str) -> str:
    return (SAMPLES / f"{name}.offer.sdp").read_text()


def _golden(name: str, local: WebRtcLocal) -> list[str]:
    """Return the lines of the expected answer, with what the endpoint brings in place of what the sample invents."""
    port = str(local.candidates[0][1])
    facts = {
        " 40000 ": f" {port} ",
        " 40001 ": f" {port} ",
        "ice-ufrag:ours": f"ice-ufrag:{local.ice_ufrag}",
        "ice-pwd:ourpasswordof24character": f"ice-pwd:{local.ice_pwd}",
        ":".join(["AB"] * 32): local.fingerprint,
        "ssrc:12345 ": f"ssrc:{local.ssrc} ",
        "cname:node1": f"cname:{local.cname}",
    }
    text = (SAMPLES / f"{name}.answer.sdp").read_text()
    for sample, fact in facts.items():
        text = text.replace(sample, fact)
    return text.splitlines()


def _audio_direction(description: SessionDescription) -> Direction:
    (audio,) = (section for section in description.media if section.media == "audio" and section.port != 0)
    return description.direction_of(audio)


@pytest.mark.parametrize("name", NAMES)
async def test_a_browsers_offer_is_answered_and_set_up(media: MediaEngine, browser: Transport, name: str) -> None:
    call = media.new_call()
    told: list[object] = []
    media.subscribe(call, told.append)
    offer = parse(await browser.lend(_offer(name)))

    endpoint, local = await media.create_endpoint(call, WebRtcTransport())
    assert isinstance(local, WebRtcLocal)
    negotiated = webrtc.answer_offer(offer, local, CodecPolicy(), IDENTITY)
    answer = str(negotiated.description).splitlines()
    difference = list(difflib.unified_diff(_golden(name, local), answer, "expected", "answer", lineterm=""))
    assert not difference, "\n" + "\n".join(difference)
    direction = _audio_direction(negotiated.description)
    assert negotiated.audio.direction == direction == MIRRORED[_audio_direction(offer)]

    await media.set_remote(call, endpoint, negotiated.remote, negotiated.audio)
    await browser.connect(local, is_dtls_client=negotiated.remote.is_dtls_client)
    await eventually(lambda: any(isinstance(event, DtlsStateChanged) for event in told))
    assert [event.state for event in told if isinstance(event, IceStateChanged | DtlsStateChanged)] == ["connected"] * 2

    await media.play(call, endpoint, Tone((440.0,)))
    codec: Codec = negotiated.audio.send[0]
    if "send" in direction:
        await eventually(lambda: len(browser.payload_types) >= 5)
        assert set(browser.payload_types) == {codec.payload_type}
        assert (await media.get_stats(call, endpoint)).sent.codec == codec.name
    else:
        await asyncio.sleep(0.3)  # time enough for 15 packets
        assert browser.payload_types == []

    await media.close(call, endpoint)
    assert isinstance(told[-1], EndpointClosed)
    assert told[-1].reason == "closed"
    assert media.endpoints == 0


def test_there_are_offers_of_the_browsers_that_do_not_run_here() -> None:
    assert {"edge15", "safari12_ios", "safari13_ios_recvonly", "safari18_macos_sendonly"} <= set(NAMES)
    directions = {_audio_direction(parse(_offer(name))) for name in NAMES}
    assert {Direction.SENDRECV, Direction.SENDONLY, Direction.RECVONLY} <= directions
