"""Phones that say a recording and keep what they hear: many at once, each on a socket of its own, in real time."""

from __future__ import annotations

import itertools
import re
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from harness.codecs.libraries import FRAME_S, Pcm
from harness.codecs.rows import Row
from harness.codecs.sound import voice

HOST: Final = "127.0.0.1"
LEAD_S: Final = 0.4
"""Silence before the voice: what is heard before is set-up."""
TRAIL_S: Final = 1.0
_PAYLOADS: dict[str, list[bytes]] = {}


def payloads(row: Row) -> list[bytes]:
    """Return the voice in a codec, with silence around it; coded once."""
    if row.name not in _PAYLOADS:
        rate_hz = row.coder.rate_hz
        lead, trail = (np.zeros(round(seconds * rate_hz), np.int16) for seconds in (LEAD_S, TRAIL_S))
        _PAYLOADS[row.name] = row.coder.encode(np.concatenate([lead, voice(rate_hz), trail]))
    return _PAYLOADS[row.name]


@dataclass(slots=True)
class Phone:
    """One far side with one codec. gateway: where to send, once a description has said it."""

    row: Row
    socket: socket.socket = field(init=False)
    gateway: tuple[str, int] | None = None
    received: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    """Payload type, timestamp and payload by extended sequence number."""
    _highest: int | None = None
    _arrivals: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((HOST, 0))
        self.socket.setblocking(False)

    def description(self) -> str:
        """Return its SDP: an offer, or the answer to one that has the codec."""
        row, port = self.row, self.socket.getsockname()[1]
        fmtp = (f"a=fmtp:{row.payload_type} {row.fmtp}",) if row.fmtp else ()
        lines = (
            *("v=0", f"o=- 1 1 IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0"),
            *(f"m=audio {port} RTP/AVP {row.payload_type}", f"a=rtpmap:{row.payload_type} {row.rtpmap}"),
            *(*fmtp, "a=ptime:20", "a=sendrecv"),
        )
        return "\r\n".join(lines) + "\r\n"

    def learn(self, description: str) -> None:
        """Take the gateway's description."""
        found = re.search(r"^m=audio (\d+) ", description, re.M)
        assert found, description
        self.gateway = (HOST, int(found[1]))

    def say(self, number: int) -> None:
        """Send one packet of the voice."""
        assert self.gateway is not None
        header = struct.pack("!BBHII", 0x80, self.row.payload_type, number, number * self.row.clock, 7)
        self.socket.sendto(header + payloads(self.row)[number], self.gateway)

    def hear(self) -> None:
        """Take what has arrived."""
        while True:
            try:
                data = self.socket.recv(2_048)
            except (BlockingIOError, ConnectionRefusedError):
                return
            _, kind, seq, timestamp, _ = struct.unpack_from("!BBHII", data)
            last = seq if self._highest is None else self._highest
            extended = last + ((seq - last + 0x8000) & 0xFFFF) - 0x8000
            self._highest = max(last, extended)
            self.received[extended] = (kind & 0x7F, timestamp, data[12:])
            self._arrivals.append((extended, time.monotonic()))

    def unevenness_s(self) -> float:
        """Return by how much the distance between two packets is off in the mean.

        Whoever is late on a machine with too much to do, these phones or the gateway's threads, it shows here.
        """
        pairs = list(itertools.pairwise(self._arrivals))
        off = [abs(later - earlier - (after - before) * FRAME_S) for (before, earlier), (after, later) in pairs]
        return sum(off) / max(len(off), 1)

    def heard(self) -> Pcm:
        """Return all that was heard, in its codec; what is missing is concealed by the decoder."""
        frames: list[bytes | None] = []
        before: int | None = None
        for _, (_, timestamp, payload) in sorted(self.received.items()):
            if before is not None:
                missing = ((timestamp - before) & 0xFFFFFFFF) // self.row.clock - 1
                frames += [None] * min(max(missing, 0), 50)
            frames.append(payload)
            before = timestamp
        return self.row.coder.decode(frames)


def talk(phones: list[Phone]) -> float:
    """Let all phones speak and listen until the voice has been said. Returns the worst `unevenness_s` of them."""
    thread = threading.Thread(target=_talk, args=(phones,))
    thread.start()
    thread.join(timeout=60)
    assert not thread.is_alive()
    return max(phone.unevenness_s() for phone in phones)


def _talk(phones: list[Phone]) -> None:
    with selectors.DefaultSelector() as selector:
        for phone in phones:
            selector.register(phone.socket, selectors.EVENT_READ, phone)
        packets = min(len(payloads(phone.row)) for phone in phones)
        start = time.monotonic()
        for number in range(packets):
            for phone in phones:
                phone.say(number)
            while (left := start + (number + 1) * FRAME_S - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    key.data.hear()
            for phone in phones:
                phone.hear()
