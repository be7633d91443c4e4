"""The asyncio client and the compiled media plane together: what the rest of the gateway relies on."""

import asyncio
import contextlib
import dataclasses
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from listening import eventually
from trunkline.config import MediaConfig
from trunkline.errors import CapacityError, MediaError
from trunkline.ids import EndpointId, MediaCallId
from trunkline.media.border import settings_of
from trunkline.media.engine import MediaEngine
from trunkline.media.types import (
    AudioFile,
    Codec,
    Direction,
    DtmfReceived,
    EndpointClosed,
    EngineSettings,
    FirstPacket,
    PlayDone,
    RtcpParameters,
    RtpLocal,
    RtpRemote,
    RtpTransport,
    StreamParameters,
    Tone,
    WebRtcLocal,
    WebRtcRemote,
    WebRtcTransport,
)

HOST = "127.0.9.1"
PCMU = Codec(0, "PCMU", 8000)
EVENTS = Codec(101, "telephone-event", 8000)
AUDIO = StreamParameters(receive=(PCMU, EVENTS), send=(PCMU, EVENTS))
FRAME = b"\x55" * 160


@pytest.fixture
async def media() -> AsyncIterator[MediaEngine]:
    engine = MediaEngine()
    await engine.start(_settings())
    yield engine
    await engine.stop()


def _settings(**changes: Any) -> EngineSettings:
    settings = EngineSettings(workers=2, webrtc_host=HOST, rtp_host=HOST, rtp_port_min=21_000, rtp_port_max=21_199)
    return dataclasses.replace(settings, **changes)


class Phone(asyncio.DatagramProtocol):
    """A UDP peer that keeps what it receives."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.transport: Any = None
        self.seq = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.append(data)

    @property
    def remote(self) -> RtpRemote:
        host, port = self.transport.get_extra_info("sockname")
        return RtpRemote(rtp=(host, port), rtcp=(host, port + 1))

    def send(self, to: tuple[str, int], payload: bytes = FRAME, payload_type: int = 0, timestamp: int = 0) -> None:
        header = struct.pack("!BBHII", 0x80, payload_type, self.seq, timestamp or self.seq * 160, 0xABCD)
        self.seq += 1
        self.transport.sendto(header + payload, to)


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Phone, local_addr=(HOST, 0))
    yield protocol
    transport.close()


async def _rtp_endpoint(
    media: MediaEngine, call: MediaCallId, *, rtcp_mux: bool = False
) -> tuple[EndpointId, RtpLocal]:
    endpoint, local = await media.create_endpoint(call, RtpTransport(rtcp_mux=rtcp_mux))
    assert isinstance(local, RtpLocal)
    return endpoint, local


async def test_an_rtp_endpoint_has_an_even_port_and_the_odd_one_above(media: MediaEngine) -> None:
    _, local = await _rtp_endpoint(media, media.new_call())
    assert local.rtp[0] == HOST
    assert local.rtp[1] % 2 == 0
    assert local.rtcp == (HOST, local.rtp[1] + 1)


async def test_a_multiplexed_endpoint_has_one_port(media: MediaEngine) -> None:
    _, local = await media.create_endpoint(media.new_call(), RtpTransport(rtcp_mux=True))
    assert isinstance(local, RtpLocal)
    assert local.rtcp == local.rtp


async def test_a_browser_endpoint_tells_what_its_sdp_needs(media: MediaEngine) -> None:
    _, local = await media.create_endpoint(media.new_call(), WebRtcTransport())
    assert isinstance(local, WebRtcLocal)
    ((host, port),) = local.candidates
    assert (host, port > 0) == (HOST, True)
    assert len(local.fingerprint.split(":")) == 32
    assert len(local.ice_ufrag) >= 4
    assert len(local.ice_pwd) >= 22


async def test_audio_goes_through_and_events_reach_the_subscriber_of_the_call(media: MediaEngine, phone: Phone) -> None:
    call = media.new_call()
    told: list[object] = []
    media.subscribe(call, told.append)
    endpoint, local = await _rtp_endpoint(media, call)
    await media.set_remote(call, endpoint, phone.remote, AUDIO)
    await media.bridge(call, endpoint, endpoint)
    for _ in range(10):
        phone.send(local.rtp)
    await eventually(lambda: len(phone.received) >= 10)
    assert all(data[12:] == FRAME for data in phone.received)
    for _ in range(3):
        phone.send(local.rtp, struct.pack("!BBH", 5, 0x8A, 800), payload_type=101, timestamp=9_000)
    await eventually(lambda: any(isinstance(event, DtmfReceived) for event in told))

    stats = await media.get_stats(call, endpoint)
    assert (stats.received.codec, stats.sent.codec) == ("PCMU", "PCMU")
    assert stats.received.packets == 13
    assert stats.drops == {}
    await media.close(call, endpoint)
    assert [event for event in told if not isinstance(event, EndpointClosed)] == [
        FirstPacket(call, endpoint),
        DtmfReceived(call, endpoint, "5", 100),
    ]
    assert isinstance(told[-1], EndpointClosed)
    assert told[-1].reason == "closed"


async def test_the_last_figures_come_with_the_end(media: MediaEngine, phone: Phone) -> None:
    call = media.new_call()
    told: list[object] = []
    media.subscribe(call, told.append)
    endpoint, local = await _rtp_endpoint(media, call)
    await media.set_remote(call, endpoint, phone.remote, AUDIO)
    await media.bridge(call, endpoint, endpoint)
    for _ in range(3):
        phone.send(local.rtp)
    phone.seq += 2
    for _ in range(5):
        phone.send(local.rtp)
    await eventually(lambda: len(phone.received) >= 8)
    stats = await media.close(call, endpoint)
    assert stats is not None
    received = stats.received
    assert (received.codec, received.packets, received.bytes, received.lost) == ("PCMU", 8, 8 * 160, 2)
    assert received.mos is not None
    assert 1 < received.mos < 4.4
    assert (received.concealed_ms, received.is_silent) == (None, False), "read, not decoded"
    assert (stats.sent.packets, stats.sent.lost, stats.sent.reported) == (8, None, None)
    assert (stats.local, stats.remote, stats.srtp_profile) == (local.rtp, phone.remote.rtp, None)
    last = told[-1]
    assert isinstance(last, EndpointClosed)
    assert (last.endpoint, last.reason, last.stats) == (endpoint, "closed", stats)
    assert await media.close(call, endpoint) is None


async def test_the_far_sides_view_is_part_of_the_figures(media: MediaEngine, phone: Phone) -> None:
    call = media.new_call()
    endpoint, local = await _rtp_endpoint(media, call, rtcp_mux=True)
    remote = dataclasses.replace(phone.remote, rtcp=phone.remote.rtp, rtcp_mux=True)
    audio = dataclasses.replace(AUDIO, rtcp=RtcpParameters(is_reduced_size=True, sends_voip_metrics=True))
    await media.set_remote(call, endpoint, remote, audio)
    await media.bridge(call, endpoint, endpoint)
    metrics = struct.pack(
        "!IBBBBHHHHbbBBBBBBBxHHH",
        local.ssrc,
        64,
        0,
        128,
        0,
        200,
        900,
        0,
        40,
        -20,
        127,
        127,
        16,
        80,
        127,
        41,
        39,
        0xF0,
        40,
        60,
        400,
    )
    phone.transport.sendto(struct.pack("!BBHI BBH", 0x80, 207, 10, 0xABCD, 7, 0, 8) + metrics, local.rtp)
    phone.send(local.rtp)
    await eventually(lambda: len(phone.received) >= 1)
    stats = await media.get_stats(call, endpoint)
    reported = stats.sent.reported
    assert reported is not None
    assert (reported.loss_rate, reported.burst_density, reported.burst_ms) == (0.25, 0.5, 200)
    assert (reported.signal_dbm0, reported.noise_dbm0) == (-20, None)
    assert (reported.r_factor, reported.mos_listening, reported.mos) == (80, 4.1, 3.9)
    assert stats.sent.mos == 3.9


async def test_events_of_one_call_do_not_reach_another_and_a_bad_listener_harms_nobody(
    media: MediaEngine, phone: Phone
) -> None:
    first, second = media.new_call(), media.new_call()
    told: list[object] = []

    def fail(_event: object) -> None:
        raise RuntimeError("a bug of the listener's")

    media.subscribe(first, fail)
    media.subscribe(second, told.append)
    for call in (first, second):
        endpoint, _ = await _rtp_endpoint(media, call)
        await media.close(call, endpoint)
    assert len(told) == 1


async def test_a_source_plays_and_can_be_stopped(media: MediaEngine, phone: Phone) -> None:
    call = media.new_call()
    told: list[object] = []
    media.subscribe(call, told.append)
    endpoint, _ = await _rtp_endpoint(media, call)
    await media.set_remote(call, endpoint, phone.remote, AUDIO)
    await media.play(call, endpoint, Tone((440.0,)))
    await eventually(lambda: len(phone.received) >= 5)
    await media.stop_play(call, endpoint)
    await media.send_dtmf(call, endpoint, "1")
    await eventually(lambda: any(data[1] & 0x7F == 101 for data in phone.received))
    assert not any(isinstance(event, PlayDone) for event in told), "it was stopped, it did not end"


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (
            lambda media, call, one: media.update_endpoint(call, EndpointId(10**9), Direction.INACTIVE),
            "unknown_endpoint",
        ),
        (lambda media, call, one: media.bridge(call, one, EndpointId(10**9)), "unknown_endpoint"),
        (lambda media, call, one: media.play(call, one, AudioFile("/nowhere.wav")), "unplayable_source"),
        (lambda media, call, one: media.play(call, one, Tone(())), "unplayable_source"),
        (lambda media, call, one: media.send_dtmf(call, one, "12x"), "invalid_parameter"),
        (
            lambda media, call, one: media.set_remote(
                call, one, RtpRemote(("host.example", 4), ("host.example", 5)), AUDIO
            ),
            "invalid_parameter",
        ),
        (
            lambda media, call, one: media.set_remote(call, one, WebRtcRemote("u", "p", (("sha-1", "AB"),)), AUDIO),
            "invalid_parameter",
        ),
        (
            lambda media, call, one: media.set_remote(
                call,
                one,
                RtpRemote((HOST, 4), (HOST, 5)),
                StreamParameters(receive=(Codec(96, "AMR", 8000),), send=(PCMU,)),
            ),
            "unsupported_codec",
        ),
    ],
)
async def test_a_refusal_names_its_kind(media: MediaEngine, command: Callable[..., Any], kind: str) -> None:
    call = media.new_call()
    endpoint, _ = await _rtp_endpoint(media, call)
    with pytest.raises(MediaError) as raised:
        await command(media, call, endpoint)
    assert raised.value.kind == kind


async def test_closing_what_is_gone_is_no_error(media: MediaEngine) -> None:
    call = media.new_call()
    endpoint, _ = await _rtp_endpoint(media, call)
    await media.close(call, endpoint)
    await media.close(call, endpoint)


async def test_a_used_up_port_range_is_a_capacity_error() -> None:
    engine = MediaEngine()
    await engine.start(_settings(workers=1, rtp_host="127.0.9.2", rtp_port_min=21_000, rtp_port_max=21_001))
    call = engine.new_call()
    await engine.create_endpoint(call, RtpTransport())
    with pytest.raises(CapacityError):
        await engine.create_endpoint(call, RtpTransport())
    assert engine.endpoints == 1
    await engine.stop()


async def test_a_creation_that_nobody_waits_for_any_more_leaves_nothing(media: MediaEngine) -> None:
    call = media.new_call()
    task = asyncio.create_task(media.create_endpoint(call, RtpTransport()))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await media.create_endpoint(call, RtpTransport())
    await eventually(lambda: media.endpoints == 1)


async def test_stop_ends_every_endpoint_and_tells_its_subscriber() -> None:
    engine = MediaEngine()
    await engine.start(_settings())
    told: list[object] = []
    for _ in range(4):
        call = engine.new_call()
        engine.subscribe(call, told.append)
        await engine.create_endpoint(call, RtpTransport())
    async with asyncio.timeout(3):
        await engine.stop()
    assert [event.reason for event in told if isinstance(event, EndpointClosed)] == ["shutdown"] * 4
    assert (engine.is_running, engine.endpoints, engine.drops) == (False, 0, {})
    with pytest.raises(MediaError, match="closed"):
        await engine.create_endpoint(engine.new_call(), RtpTransport())
    await engine.stop()


async def test_a_stopped_engine_starts_again() -> None:
    engine = MediaEngine()
    for _ in range(2):
        await engine.start(_settings())
        await engine.create_endpoint(engine.new_call(), WebRtcTransport())
        await engine.stop()


async def test_a_start_that_cannot_work_says_why() -> None:
    engine = MediaEngine()
    with pytest.raises(MediaError) as raised:
        await engine.start(_settings(rtp_port_min=30_000, rtp_port_max=20_000))
    assert raised.value.kind == "invalid_parameter"
    assert not engine.is_running


def test_every_setting_of_the_node_reaches_the_media_plane() -> None:
    config = MediaConfig(
        workers=3,
        webrtc_port=4_000,
        rtp_advertised=("192.0.2.1",),
        inactivity_s=7,
        inactivity_hold_s=70,
        opus_complexity=2,
        silence_suppression=True,
    )
    settings = settings_of(config)
    renamed = {"media_inactivity_s": "inactivity_s", "media_inactivity_hold_s": "inactivity_hold_s"}
    ours = {"command_queue", "event_queue"}
    for field in dataclasses.fields(settings):
        if field.name not in ours:
            assert getattr(settings, field.name) == getattr(config, renamed.get(field.name, field.name)), field.name


async def test_drops_are_counted_by_reason(media: MediaEngine, phone: Phone) -> None:
    endpoint, local = await _rtp_endpoint(media, media.new_call())
    assert endpoint
    phone.transport.sendto(b"not rtp at all", local.rtp)
    await eventually(lambda: media.drops["unclassified"] == 1)
