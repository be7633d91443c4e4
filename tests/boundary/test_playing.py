"""What a phone hears of the files and tones that are played to it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from harness.audio import judge, tone

from listening import AUDIO, RATE_HZ, Phone, eventually, write_file
from trunkline.errors import CapacityError, MediaError
from trunkline.ids import EndpointId, MediaCallId
from trunkline.media.engine import MediaEngine
from trunkline.media.tones import TONES
from trunkline.media.types import AudioFile, EngineSettings, PlayDone, RtpTransport

HOST = "127.0.9.2"
SETTINGS = EngineSettings(workers=1, webrtc_host=HOST, rtp_host=HOST, rtp_port_min=21_200, rtp_port_max=21_299)


@pytest.fixture
async def media() -> AsyncIterator[MediaEngine]:
    engine = MediaEngine()
    await engine.start(SETTINGS)
    yield engine
    await engine.stop()


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    phone = await Phone.at(HOST)
    yield phone
    phone.transport.close()


async def endpoint_of(media: MediaEngine, phone: Phone) -> tuple[MediaCallId, EndpointId, asyncio.Event]:
    call, done = media.new_call(), asyncio.Event()
    media.subscribe(call, lambda event: done.set() if isinstance(event, PlayDone) else None)
    endpoint, _ = await media.create_endpoint(call, RtpTransport())
    await media.set_remote(call, endpoint, phone.remote, AUDIO)
    return call, endpoint, done


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "channels"),
    [
        ("a.wav", "pcm_s16le", 8_000, 1),
        ("a.wav", "pcm_s24le", 44_100, 2),
        ("a.wav", "pcm_s32le", 48_000, 1),
        ("a.wav", "pcm_u8", 16_000, 1),
        ("a.wav", "pcm_f32le", 48_000, 2),
        ("a.wav", "pcm_alaw", 8_000, 1),
        ("a.wav", "pcm_mulaw", 8_000, 2),
        ("a.ogg", "libopus", 48_000, 2),
        ("a.opus", "libopus", 16_000, 1),
    ],
)
async def test_a_file_of_any_usual_kind_is_heard_whole_and_ends(
    media: MediaEngine, phone: Phone, tmp_path: Path, name: str, codec: str, rate_hz: int, channels: int
) -> None:
    path = write_file(tmp_path / name, codec, rate_hz, (tone(600.0, 0.7, rate_hz),) * channels)
    call, endpoint, done = await endpoint_of(media, phone)
    await media.play(call, endpoint, AudioFile(str(path)))
    await eventually(done.is_set)
    await eventually(lambda: len(phone.heard()) >= 0.68 * RATE_HZ)
    heard = judge(phone.heard(), RATE_HZ, skip_s=0.02)
    assert len(phone.heard()) / RATE_HZ == pytest.approx(0.7, abs=0.021)
    assert heard.frequency_hz == pytest.approx(600.0, rel=0.02)
    assert heard.level_dbfs == pytest.approx(-12.0, abs=1.0)


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
async def test_a_loop_goes_on_without_a_seam_until_it_is_stopped(
    media: MediaEngine, phone: Phone, tmp_path: Path, rate_hz: int
) -> None:
    # Whole periods, so that a seam would be heard as a jump.
    path = write_file(tmp_path / "a.wav", "pcm_s16le", rate_hz, (tone(500.0, 0.3, rate_hz),))
    call, endpoint, done = await endpoint_of(media, phone)
    await media.play(call, endpoint, AudioFile(str(path), loop=True))
    await eventually(lambda: len(phone.heard()) > 1.3 * RATE_HZ)
    await media.stop_play(call, endpoint)
    await asyncio.sleep(0.1)  # for what is under way
    packets = len(phone.received)
    await asyncio.sleep(0.1)
    assert (packets, done.is_set()) == (len(phone.received), False)
    samples = phone.heard()[2 * 160 :]
    assert len(samples) > 1.2 * RATE_HZ
    wave = np.sin(2 * np.pi * 500 * np.arange(len(samples)) / RATE_HZ)
    quadrature = np.cos(2 * np.pi * 500 * np.arange(len(samples)) / RATE_HZ)
    fit = 2 * np.mean(samples * wave) * wave + 2 * np.mean(samples * quadrature) * quadrature
    assert np.abs(samples - fit).max() < 0.02, "one unbroken sine wave, seams and all"


async def test_many_calls_share_one_file_in_memory(phone: Phone, tmp_path: Path) -> None:
    """Eight minutes fit only once into the memory that there is, and a second file not at all while it plays."""
    music = write_file(tmp_path / "music.wav", "pcm_mulaw", 8_000, (tone(500.0, 480.0, 8_000),))
    other = write_file(tmp_path / "other.wav", "pcm_mulaw", 8_000, (tone(500.0, 480.0, 8_000),))
    media = MediaEngine()
    await media.start(
        EngineSettings(workers=1, rtp_host=HOST, rtp_port_min=21_200, rtp_port_max=21_299, clip_memory_mb=8)
    )
    try:
        playing = [await endpoint_of(media, phone) for _ in range(20)]
        for call, endpoint, _ in playing:
            await media.play(call, endpoint, AudioFile(str(music), loop=True))
        with pytest.raises(CapacityError):
            await media.play(playing[0][0], playing[0][1], AudioFile(str(other)))
        for call, endpoint, _ in playing:
            await media.stop_play(call, endpoint)
        await media.play(playing[0][0], playing[0][1], AudioFile(str(other)))
    finally:
        await media.stop()


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("music.mp3", b"ID3\x04" + bytes(100), "neither WAV nor Ogg Opus"),
        ("short.wav", b"RIFF\0\0\0\0WAVE", "no audio"),
        (
            "adpcm.wav",
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x02\0\x01\0\x40\x1f\0\0" + bytes(6) + b"\x04\0",
            "PCM, floating point",
        ),
        ("cut.ogg", b"OggS\0\2" + bytes(10), "no Opus in this Ogg file"),
    ],
)
async def test_a_file_that_cannot_be_played_is_named_with_the_cause(
    media: MediaEngine, phone: Phone, tmp_path: Path, name: str, content: bytes, cause: str
) -> None:
    (tmp_path / name).write_bytes(content)
    call, endpoint, _ = await endpoint_of(media, phone)
    with pytest.raises(MediaError, match=cause) as raised:
        await media.play(call, endpoint, AudioFile(str(tmp_path / name)))
    assert raised.value.kind == "unplayable_source"
    assert str(tmp_path / name) in str(raised.value)


async def test_the_ringback_of_britain_rings_twice(media: MediaEngine, phone: Phone) -> None:
    call, endpoint, _ = await endpoint_of(media, phone)
    await media.play(call, endpoint, TONES["GB"].ringback)
    await eventually(lambda: len(phone.heard()) > 1.2 * RATE_HZ)
    samples = phone.heard()
    sounds = [
        bool(np.abs(samples[round(at * RATE_HZ) :][:400]).max() > 0.05) for at in (0.0, 0.3, 0.45, 0.65, 0.9, 1.1)
    ]
    assert sounds == [True, True, False, True, True, False]


def test_every_country_has_tones_that_can_be_played() -> None:
    for country, tones in TONES.items():
        for each in (tones.dial, tones.ringback, tones.busy, tones.congestion):
            assert 1 <= len(each.frequencies_hz) <= 4, country
            assert len(each.cadence_ms) in (0, 2, 4, 6, 8), country
