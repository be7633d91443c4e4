"""When INVITEs come to a port and leave for another, by the kernel's clock.

Owns a packet socket on the loopback device with a filter that lets nothing but INVITEs through. Needs root.
"""

from __future__ import annotations

import asyncio
import ctypes
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

_ETH_P_IP = 0x0800
_PACKET_HOST = 0
_SO_ATTACH_FILTER = 26
_SO_TIMESTAMPNS = 35
_NUMBER = re.compile(rb"INVITE sips?:([^@ ;]+)")
# Classic BPF over an IP packet without options: accept where the UDP payload begins with "INVI".
_FILTER = b"".join(
    struct.pack("HBBI", *line)
    for line in ((0x20, 0, 0, 28), (0x15, 0, 1, 0x494E5649), (0x06, 0, 0, 65_535), (0x06, 0, 0, 0))
)


class Passage:
    """First sight of each INVITE at either port, by the number that it is for."""

    def __init__(self, inner: int, outer: int) -> None:
        self._ports = {inner: {}, outer: {}}
        self._inner, self._outer = inner, outer

    @property
    def delays_s(self) -> list[float]:
        """From an INVITE's coming to its leaving, sorted."""
        came, left = self._ports[self._inner], self._ports[self._outer]
        return sorted(left[number] - at for number, at in came.items() if number in left)

    def read(self, sock: socket.socket) -> None:
        while True:
            try:
                data, extra, _, source = sock.recvmsg(2_048, 64)
            except BlockingIOError:
                return
            seen = self._ports.get(struct.unpack_from("!H", data, 22)[0])
            number = _NUMBER.match(data[28:])
            if source[2] != _PACKET_HOST or seen is None or number is None or not extra:
                continue
            seconds, nanoseconds = struct.unpack("qq", extra[0][2])
            seen.setdefault(number[1], seconds + nanoseconds / 1e9)


@contextmanager
def watched(inner: int, outer: int) -> Iterator[Passage]:
    """Watch while the block runs. inner: port of the B2BUA, outer: port of the callee."""
    passage = Passage(inner, outer)
    loop = asyncio.get_running_loop()
    code = ctypes.create_string_buffer(_FILTER)
    program = struct.pack("HP", len(_FILTER) // 8, ctypes.addressof(code))
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.bind(("lo", _ETH_P_IP))
        sock.setblocking(False)
        loop.add_reader(sock, passage.read, sock)
        try:
            yield passage
        finally:
            loop.remove_reader(sock)
