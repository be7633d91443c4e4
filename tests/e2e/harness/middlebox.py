"""A UDP relay between browser and gateway that mistreats the browser's ClientHello, as real networks do.

A ClientHello with a post-quantum key share does not fit one datagram. The relay tells the halves by the DTLS handshake
header (RFC 6347 section 4.2.2) and swaps them, or loses the first half once; all else passes unchanged. A ClientHello
is known by its random: browsers take the port of an earlier call again, and a repeated ClientHello has its random.
"""

import selectors
import socket
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from harness.network import Host

Address = tuple[str, int]

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_RECORD_HEADER_BYTES = 13
_HANDSHAKE_HEADER_BYTES = 12
# Behind both headers and the two bytes of the version.
_RANDOM = slice(_RECORD_HEADER_BYTES + _HANDSHAKE_HEADER_BYTES + 2, _RECORD_HEADER_BYTES + _HANDSHAKE_HEADER_BYTES + 34)


class Mischief(StrEnum):
    """What happens to each ClientHello, the first time that it comes."""

    SWAP_HALVES = "swap_halves"
    LOSE_FIRST_HALF = "lose_first_half"


@dataclass(slots=True)
class _Flow:
    """One browser-side address, with its own socket towards the gateway."""

    browser: Address
    towards_gateway: socket.socket


@dataclass(slots=True)
class Middlebox:
    """Relays between `outside` and `inside` on a host while the context is open. mistreated: hellos that were hit."""

    host: Host
    outside: Address
    inside: Address
    mischief: Mischief
    mistreated: int = 0
    _flows: dict[Address, _Flow] = field(default_factory=dict)
    _hello: bytes | None = None
    _held: tuple[_Flow, bytes] | None = None
    _is_closed: bool = False
    _thread: threading.Thread | None = None
    _listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self._listener = self.host.call(lambda: _bound(self.outside))
        self._thread = threading.Thread(target=self._run, name="middlebox", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        if self._thread is not None:
            self._thread.join(5)

    def _run(self) -> None:
        listener = self._listener
        assert listener is not None
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ, None)
            while not self._is_closed:
                for key, _ in selector.select(0.1):
                    if key.data is None:
                        self._from_browser(listener, selector)
                    else:
                        listener.sendto(key.data.towards_gateway.recv(65536), key.data.browser)
        for flow in self._flows.values():
            flow.towards_gateway.close()
        listener.close()

    def _from_browser(self, listener: socket.socket, selector: selectors.DefaultSelector) -> None:
        data, browser = listener.recvfrom(65536)
        flow = self._flows.get(browser)
        if flow is None:
            flow = _Flow(browser, self.host.call(lambda: _bound((self.inside[0], 0))))
            flow.towards_gateway.connect(self.inside)
            self._flows[browser] = flow
            selector.register(flow.towards_gateway, selectors.EVENT_READ, flow)
        for through, datagram in self._mistreat(flow, data):
            through.towards_gateway.send(datagram)

    def _mistreat(self, flow: _Flow, data: bytes) -> list[tuple[_Flow, bytes]]:
        """What to send on, and through which flow: a browser may change its address between the halves."""
        half = _half_of_client_hello(data)
        if half == "first" and data[_RANDOM] != self._hello:
            self._hello = data[_RANDOM]
            if self.mischief is Mischief.LOSE_FIRST_HALF:
                self.mistreated += 1
            else:
                self._held = (flow, data)
            return []
        if half == "later" and self._held is not None:
            self.mistreated += 1
            swapped = [(flow, data), self._held]
            self._held = None
            return swapped
        return [(flow, data)]


def _bound(address: Address) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(address)
    return opened


def _half_of_client_hello(data: bytes) -> str | None:
    """Tell `first` or `later` for a fragment of a ClientHello that spans datagrams; None for anything else."""
    if (
        len(data) < _RECORD_HEADER_BYTES + _HANDSHAKE_HEADER_BYTES
        or data[0] != _HANDSHAKE
        or data[_RECORD_HEADER_BYTES] != _CLIENT_HELLO
    ):
        return None
    header = data[_RECORD_HEADER_BYTES:]
    length = int.from_bytes(header[1:4], "big")
    offset = int.from_bytes(header[6:9], "big")
    fragment = int.from_bytes(header[9:12], "big")
    if fragment == length:
        return None
    return "first" if offset == 0 else "later"
