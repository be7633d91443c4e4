"""What is in the recording of a call, and what happens to the call when it cannot be written."""

import asyncio
import os
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from harness.audio import Samples, judge, tone

from listening import AUDIO, PCMU, RATE_HZ, Phone, read_file
from peers import require
from trunkline.errors import MediaError
from trunkline.ids import EndpointId, MediaCallId
from trunkline.media.engine import MediaEngine
from trunkline.media.types import (
    Codec,
    EngineSettings,
    RecordingFormat,
    RtpLocal,
    RtpTransport,
    StreamParameters,
    TapDone,
    Tone,
    Voice,
)

HOST = "127.0.9.3"
SETTINGS = EngineSettings(workers=1, webrtc_host=HOST, rtp_host=HOST, rtp_port_min=21_300, rtp_port_max=21_399)
PCMA = Codec(8, "PCMA", 8000)


@dataclass
class Scene:
    """Two phones in one call."""

    media: MediaEngine
    call: MediaCallId
    phones: tuple[Phone, Phone]
    ports: tuple[tuple[str, int], tuple[str, int]]
    endpoints: tuple[EndpointId, EndpointId]
    done: "asyncio.Queue[TapDone]"

    async def talk(self, one: Samples, other: Samples) -> None:
        await asyncio.gather(self.phones[0].talk(self.ports[0], one), self.phones[1].talk(self.ports[1], other))

    async def record(self, path: Path, kind: RecordingFormat = RecordingFormat.WAV, **options: bool) -> None:
        await self.media.start_tap(self.call, self.endpoints[0], str(path), kind, **options)

    async def stop(self) -> TapDone:
        await self.media.stop_tap(self.call, self.endpoints[0])
        return await self.ended()

    async def ended(self) -> TapDone:
        async with asyncio.timeout(20):
            return await self.done.get()


@asynccontextmanager
async def scene(media: MediaEngine, *audio: StreamParameters) -> AsyncIterator[Scene]:
    call, done = media.new_call(), asyncio.Queue[TapDone]()
    media.subscribe(call, lambda event: done.put_nowait(event) if isinstance(event, TapDone) else None)
    phones = (await Phone.at(HOST), await Phone.at(HOST))
    endpoints, ports = [], []
    for phone, parameters in zip(phones, audio or (AUDIO, AUDIO), strict=True):
        endpoint, local = await media.create_endpoint(call, RtpTransport())
        assert isinstance(local, RtpLocal)
        await media.set_remote(call, endpoint, phone.remote, parameters)
        endpoints.append(endpoint)
        ports.append(local.rtp)
    await media.bridge(call, *endpoints)
    yield Scene(media, call, phones, (ports[0], ports[1]), (endpoints[0], endpoints[1]), done)
    for phone in phones:
        phone.transport.close()


@pytest.fixture
async def media() -> AsyncIterator[MediaEngine]:
    engine = MediaEngine()
    await engine.start(SETTINGS)
    yield engine
    await engine.stop()


def begins(samples: Samples, rate_hz: int) -> float:
    """Seconds until it is loud."""
    return float(np.argmax(np.abs(samples) > 0.05)) / rate_hz


def after_silence(frequency_hz: float, silence_s: float, tone_s: float) -> Samples:
    return np.concatenate([np.zeros(round(silence_s * RATE_HZ)), tone(frequency_hz, tone_s, RATE_HZ)])


@pytest.mark.parametrize("kind", list(RecordingFormat))
@pytest.mark.parametrize("other", [PCMU, PCMA], ids=["relayed", "transcoded"])
async def test_each_side_is_on_its_own_channel_and_both_are_in_step(
    media: MediaEngine, tmp_path: Path, kind: RecordingFormat, other: Codec
) -> None:
    path = tmp_path / f"call.{kind.value}"
    async with scene(media, AUDIO, StreamParameters((other, PCMU), (other,))) as s:
        await s.record(path, kind)
        assert path.with_name(path.name + ".part").exists()
        assert not path.exists()
        assert media.totals().recordings in (0, 1)
        await s.talk(after_silence(440.0, 0.5, 1.5), after_silence(1_000.0, 0.5, 1.5))
        done = await s.stop()
    assert (done.reason, done.path, done.dropped_ms, done.detail) == ("stopped", str(path), 0, "")
    assert done.bytes == path.stat().st_size
    assert not path.with_name(path.name + ".part").exists()
    (left, right), rate_hz = read_file(path)
    assert len(left) / rate_hz == pytest.approx(done.seconds, abs=0.02)
    assert 1.95 < done.seconds < 3.0, "until the stop, which a busy machine delays"
    for channel, frequency_hz in ((left, 440.0), (right, 1_000.0)):
        heard = judge(channel, rate_hz, skip_s=0.8)
        assert heard.frequency_hz == pytest.approx(frequency_hz, rel=0.02)
        assert heard.level_dbfs == pytest.approx(-12.0, abs=1.5)
        assert heard.purity > 0.95, "nothing of the other channel"
    assert abs(begins(left, rate_hz) - begins(right, rate_hz)) < (0.02 if other is PCMU else 0.1)
    assert begins(left, rate_hz) == pytest.approx(0.5, abs=0.2)


async def test_lost_and_swapped_packets_do_not_move_what_follows(media: MediaEngine, tmp_path: Path) -> None:
    async with scene(media) as s:
        await s.record(tmp_path / "call.wav")
        phone, port = s.phones[0], s.ports[0]
        await phone.talk(port, np.zeros(RATE_HZ // 2))
        phone.seq += 5  # a tenth of a second is lost
        phone.timestamp += 5 * 160
        await asyncio.sleep(0.1)
        for _ in range(5):
            # Each pair in the wrong order.
            phone.seq += 1
            phone.send(port, b"\xff" * 160, timestamp=phone.timestamp + 160)
            phone.seq -= 2
            phone.send(port, b"\xff" * 160)
            phone.seq += 1
            phone.timestamp += 320
            await asyncio.sleep(0.04)
        await phone.talk(port, tone(440.0, 0.5, RATE_HZ))
        await s.stop()
    (left, _), rate_hz = read_file(tmp_path / "call.wav")
    assert begins(left, rate_hz) == pytest.approx(0.8, abs=0.2)


async def test_a_player_is_recorded_as_it_is_heard_and_what_is_muted_is_not(media: MediaEngine, tmp_path: Path) -> None:
    async with scene(media) as s:
        await s.record(tmp_path / "call.wav")
        await media.mute(s.call, s.endpoints[0], Voice.SAYS)
        await media.play(s.call, s.endpoints[0], Tone((700.0,)))
        await s.talk(tone(440.0, 1.0, RATE_HZ), tone(1_000.0, 1.0, RATE_HZ))
        await s.stop()
    (left, right), rate_hz = read_file(tmp_path / "call.wav")
    assert np.abs(left).max() < 0.001
    assert judge(right, rate_hz, skip_s=0.2).frequency_hz == pytest.approx(700.0, rel=0.02)


@pytest.mark.parametrize("plays_digits", [False, True])
async def test_digits_are_silent_unless_they_are_asked_for(
    media: MediaEngine, tmp_path: Path, plays_digits: bool
) -> None:
    async with scene(media) as s:
        await s.record(tmp_path / "call.wav", plays_digits=plays_digits)
        phone, port = s.phones[0], s.ports[0]
        await phone.talk(port, tone(440.0, 0.4, RATE_HZ))
        begin = phone.timestamp
        for number in range(1, 13):
            # This phone goes on sending audio, with the digit's tone in it.
            event = struct.pack("!BBH", 5, 0x8A if number > 10 else 0x0A, min(number, 10) * 160)
            phone.send(port, event, payload_type=101, timestamp=begin)
            await phone.talk(port, tone(770.0, 0.02, RATE_HZ))
        await phone.talk(port, tone(440.0, 0.4, RATE_HZ))
        await s.stop()
    (left, _), rate_hz = read_file(tmp_path / "call.wav")
    digit = left[round(0.46 * rate_hz) : round(0.56 * rate_hz)]
    spectrum = np.abs(np.fft.rfft(digit * np.hanning(len(digit))))
    strongest = {round(float(at)) for at in np.fft.rfftfreq(len(digit), 1 / rate_hz)[spectrum > spectrum.max() / 2]}
    if plays_digits:
        assert any(abs(at - 770) <= 10 for at in strongest)
        assert any(abs(at - 1_336) <= 10 for at in strongest)
    else:
        assert np.abs(digit).max() == 0


async def test_a_leg_that_ends_ends_its_recording_and_another_may_follow(media: MediaEngine, tmp_path: Path) -> None:
    async with scene(media) as s:
        await s.record(tmp_path / "one.wav")
        with pytest.raises(MediaError) as raised:
            await s.record(tmp_path / "two.wav")
        assert raised.value.kind == "invalid_state"
        await s.talk(tone(440.0, 0.3, RATE_HZ), tone(1_000.0, 0.3, RATE_HZ))
        assert (await s.stop()).reason == "stopped"
        await s.record(tmp_path / "two.wav")
        await s.talk(tone(440.0, 0.3, RATE_HZ), tone(1_000.0, 0.3, RATE_HZ))
        await media.close(s.call, s.endpoints[0])
        assert (await s.ended()).reason == "closed"
    assert sorted(os.listdir(tmp_path)) == ["one.wav", "two.wav"]


async def test_a_path_that_cannot_be_written_is_refused_with_the_cause(media: MediaEngine, tmp_path: Path) -> None:
    (tmp_path / "old.wav").write_bytes(b"precious")
    async with scene(media) as s:
        for name, cause in (("old.wav", "exists already"), ("no/where.wav", "No such file"), ("", "exists already")):
            with pytest.raises(MediaError, match=cause) as raised:
                await s.record(tmp_path / name)
            assert raised.value.kind == "unwritable_path"
            assert str(tmp_path / name) in str(raised.value)
    assert (tmp_path / "old.wav").read_bytes() == b"precious"
    assert media.totals().recordings_failed == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(place)], check=False, capture_output=True
    )
    require(mount.returncode == 0 or None, "no right to mount a tmpfs: run as root")
    yield place
    # Lazily: the recorder of a test that failed may still be at it.
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("kind", list(RecordingFormat))
async def test_a_full_disk_ends_the_recording_and_not_the_call(
    media: MediaEngine, small_disk: Path, kind: RecordingFormat
) -> None:
    (small_disk / "ballast").write_bytes(bytes(8_192 if kind is RecordingFormat.OGG_OPUS else 0))
    async with scene(media) as s:
        await s.record(small_disk / "call", kind)
        await s.talk(tone(440.0, 3.0, RATE_HZ), tone(1_000.0, 3.0, RATE_HZ))
        done = await s.ended()
        assert (done.reason, done.path) == ("disk_full", str(small_disk / "call"))
        assert "No space left" in done.detail
        assert [len(phone.received) for phone in s.phones] == [150, 150], "the call has lost nothing"
        assert media.totals().recordings_failed == 1
        os.remove(small_disk / "call.part")
        os.remove(small_disk / "ballast")
        await s.record(small_disk / "call", kind)


async def test_a_node_that_stops_ends_its_recordings(tmp_path: Path) -> None:
    media = MediaEngine()
    await media.start(SETTINGS)
    async with scene(media) as s:
        await s.record(tmp_path / "call.ogg", RecordingFormat.OGG_OPUS)
        await s.talk(tone(440.0, 0.5, RATE_HZ), tone(1_000.0, 0.5, RATE_HZ))
        await media.stop()
        assert (await s.ended()).reason == "closed"
    (left, _), rate_hz = read_file(tmp_path / "call.ogg")
    assert len(left) / rate_hz == pytest.approx(0.5, abs=0.1)
