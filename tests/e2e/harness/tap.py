"""A tap on a host's loopback wire: when each RTP packet towards a port range was delivered, by the kernel's clock."""

import itertools
import socket
import struct
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from harness.network import Host

_ETH_P_IP = 0x0800
_SO_TIMESTAMPNS = 35
_PACKET_OUTGOING = 4
_UDP = 17


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet seen. at_s: kernel time in seconds. payload: all behind the fixed header."""

    at_s: float
    source_port: int
    destination_port: int
    payload_type: int
    seq: int
    timestamp: int
    ssrc: int
    has_marker: bool
    payload: bytes

    @property
    def payload_bytes(self) -> int:
        """Its length."""
        return len(self.payload)


class RtpTap:
    """Collects RTP packets (not RTCP) on one interface of a host while the context is open."""

    def __init__(self, host: Host, interface: str = "lo") -> None:
        self._packets: list[RtpPacket] = []
        self._is_closed = False
        self._socket = host.call(lambda: _open(interface))
        self._thread = threading.Thread(target=self._read, name="rtp-tap", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed = True
        self._thread.join(2)
        self._socket.close()

    def towards(self, ports: range) -> list[RtpPacket]:
        """Return the packets sent to the ports so far, in order of arrival."""
        return [packet for packet in list(self._packets) if packet.destination_port in ports]

    def _read(self) -> None:
        while not self._is_closed:
            try:
                data, ancillary, _, address = self._socket.recvmsg(2048, 64)
            except TimeoutError:
                continue
            if address[2] == _PACKET_OUTGOING:
                continue  # loopback shows every packet twice
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2][:16])
            if packet := _parse(data, seconds + nanoseconds / 1e9):
                self._packets.append(packet)


def _open(interface: str) -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
    tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    tap.bind((interface, _ETH_P_IP))
    tap.settimeout(0.2)
    return tap


def _parse(data: bytes, at_s: float) -> RtpPacket | None:
    if len(data) < 20 or data[9] != _UDP:
        return None
    body = data[(data[0] & 0x0F) * 4 :]
    if len(body) < 20:
        return None
    source, destination = struct.unpack_from("!HH", body)
    first, second, seq, timestamp, ssrc = struct.unpack_from("!BBHII", body, 8)
    if first >> 6 != 2 or 192 <= second <= 223:
        return None
    return RtpPacket(at_s, source, destination, second & 0x7F, seq, timestamp, ssrc, bool(second & 0x80), body[20:])


def longest_gap_s(packets: list[RtpPacket], skip_s: float = 1.0) -> float:
    """Return the longest pause between neighbours, in seconds, leaving the first skip_s seconds out."""
    if not packets:
        raise AssertionError("no RTP packets seen")
    start = packets[0].at_s + skip_s
    times = [packet.at_s for packet in packets if packet.at_s >= start]
    if len(times) < 2:
        raise AssertionError(f"only {len(packets)} RTP packets seen")
    return max(later - earlier for earlier, later in itertools.pairwise(times))
