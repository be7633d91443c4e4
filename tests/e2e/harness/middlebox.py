"""A UDP relay between browser and gateway that mistreats the browser's ClientHello, as real networks do.

A ClientHello with a post-quantum key share does not fit one datagram. The relay tells the halves by the DTLS handshake
header (RFC 6347 section 4.2.2) and swaps them, or loses the first half once; all else passes unchanged.
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


class Mischief(StrEnum):
    """What happens to the first ClientHello of each flow."""

    SWAP_HALVES = "swap_halves"
    LOSE_FIRST_HALF = "lose_first_half"


@dataclass(slots=True)
class _Flow:
    """One browser-side address, with its own socket towards the gateway."""

    browser: Address
    towards_gateway: socket.socket
    held: bytes | None = None
    is_done: bool = False


@dataclass(slots=True)
class Middlebox:
    """Relays between `outside` and `inside` on a host while the context is open. mistreated: flows that were hit."""

    host: Host
    outside: Address
    inside: Address
    mischief: Mischief
    mistreated: int = 0
    split_hellos: int = 0
    _flows: dict[Address, _Flow] = field(default_factory=dict)
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
        for datagram in self._mistreat(flow, data):
            flow.towards_gateway.send(datagram)

    def _mistreat(self, flow: _Flow, data: bytes) -> list[bytes]:
        half = _half_of_client_hello(data)
        if flow.is_done or half is None:
            return [data]
        if half == "first" and flow.held is None:
            self.split_hellos += 1
            flow.held = data
            if self.mischief is Mischief.LOSE_FIRST_HALF:
                flow.is_done = True
                self.mistreated += 1
            return []
        if half == "later" and flow.held is not None:
            flow.is_done = True
            self.mistreated += 1
            return [data, flow.held]
        return [data]


def _bound(address: Address) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(address)
    return opened


def _half_of_client_hello(data: bytes) -> str | None:
    """Tell `first` or `later` for a fragment of a ClientHello that spans datagrams; None for anything else."""
    if len(data) < _RECORD_HEADER_BYTES + 12 or data[0] != _HANDSHAKE or data[_RECORD_HEADER_BYTES] != _CLIENT_HELLO:
        return None
    header = data[_RECORD_HEADER_BYTES:]
    length = int.from_bytes(header[1:4], "big")
    offset = int.from_bytes(header[6:9], "big")
    fragment = int.from_bytes(header[9:12], "big")
    if fragment == length:
        return None
    return "first" if offset == 0 else "later"
