"""A phone on loopback that speaks and hears G.711, and audio files made and read by FFmpeg's libraries."""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from harness.audio import Samples, mu_law

from trunkline.media.types import Codec, RtpRemote, StreamParameters

PCMU = Codec(0, "PCMU", 8000)
EVENTS = Codec(101, "telephone-event", 8000)
AUDIO = StreamParameters(receive=(PCMU, EVENTS), send=(PCMU, EVENTS))
RATE_HZ = 8_000
FRAME = 160
PATIENCE_S = 20.0
"""How long what must come is waited for."""


@dataclass(frozen=True)
class Packet:
    payload_type: int
    seq: int
    timestamp: int
    payload: bytes


class Phone(asyncio.DatagramProtocol):
    """Keeps what it receives, and sends what it is given at the pace of speech."""

    def __init__(self) -> None:
        self.received: list[Packet] = []
        self.transport: Any = None
        self.seq = 0
        self.timestamp = 1_000

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        _, kind, seq, timestamp, _ = struct.unpack_from("!BBHII", data)
        self.received.append(Packet(kind & 0x7F, seq, timestamp, data[12:]))

    @classmethod
    async def at(cls, host: str) -> "Phone":
        _, phone = await asyncio.get_running_loop().create_datagram_endpoint(cls, local_addr=(host, 0))
        return phone

    @property
    def remote(self) -> RtpRemote:
        host, port = self.transport.get_extra_info("sockname")
        return RtpRemote(rtp=(host, port), rtcp=(host, port + 1))

    def heard(self) -> Samples:
        """Everything that arrived, joined."""
        return expand(b"".join(packet.payload for packet in self.received if packet.payload_type == 0))

    def send(self, to: tuple[str, int], payload: bytes, *, payload_type: int = 0, timestamp: int | None = None) -> None:
        stamp = self.timestamp if timestamp is None else timestamp
        header = struct.pack("!BBHII", 0x80, payload_type, self.seq % 65_536, stamp, 0xABCD)
        self.seq += 1
        self.transport.sendto(header + payload, to)

    async def talk(self, to: tuple[str, int], samples: Samples) -> None:
        """Say this, a packet each 20 ms."""
        payload = mu_law(samples)
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number, at in enumerate(range(0, len(payload) - FRAME + 1, FRAME)):
            self.send(to, payload[at : at + FRAME])
            self.timestamp += FRAME
            await asyncio.sleep(start + (number + 1) * 0.02 - loop.time())


async def eventually(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 - sockets and the media plane have no event for it
            await asyncio.sleep(0.01)


def expand(payload: bytes) -> Samples:
    """Decode G.711 mu-law; full scale is 1.0."""
    code = ~np.frombuffer(payload, np.uint8) & 0xFF
    magnitude = ((code & 15).astype(np.int64) * 8 + 132 << (code >> 4 & 7)) - 132
    samples: Samples = np.where(code & 0x80, -magnitude, magnitude) / 32_768
    return samples


def write_file(path: Path, codec: str, rate_hz: int, channels: tuple[Samples, ...]) -> Path:
    """Write a file by FFmpeg's encoder of this name; its kind is that of the file's name."""
    layout = "mono" if len(channels) == 1 else "stereo"
    pcm = (np.vstack(channels) * 32_767).astype(np.int16).T.reshape(1, -1).copy()
    frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
    frame.sample_rate = rate_hz
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return path


def read_file(path: Path) -> tuple[list[Samples], int]:
    """Decode a file by FFmpeg: its channels, and their rate."""
    pieces = []
    with av.open(str(path)) as container:
        rate_hz = container.streams.audio[0].rate
        for frame in container.decode(audio=0):
            count = len(frame.layout.channels)
            data = frame.to_ndarray()
            full_scale = 1.0 if data.dtype.kind == "f" else float(np.iinfo(data.dtype).max) + 1
            piece = data if frame.format.is_planar else data.reshape(-1, count).T
            pieces.append(piece / full_scale)
    return list(np.hstack(pieces)), rate_hz
