"""Bytes of one stream to SIP messages and back, without I/O.

Owns what stands between a connection and its messages: Content-Length framing here, `tls` and `websocket` beside it.
They stack: a WSS stream is WebSocket framing within TLS. Must not know sockets, clocks or what a message says.
RFC 3261 section 18.3, RFC 5626 section 3.5.1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from trunkline.sip.parser import PING, PONG, StreamFramer


class Framing(ABC):
    """One stream. Call `start` once; after every call, write what `take_output` gives.

    is_open: whether handshakes are done; messages sent before wait for it. has_ended: the peer said goodbye, or was
    refused; close once the output is written. pongs: answers to `ping` so far. peer_names: that the peer has proved.
    """

    is_open: bool = False
    has_ended: bool = False
    pongs: int = 0
    peer_names: frozenset[str] = frozenset()

    @abstractmethod
    def start(self) -> None:
        """Begin: a client's handshake goes out."""

    @abstractmethod
    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what was read and yield whole messages; exhaust it.

        SipParseError: the stream cannot be read any further. ConnectFailed: a handshake failed, with the reason.
        """

    @abstractmethod
    def send(self, message: bytes) -> None:
        """Put a message into the output, or behind the handshakes."""

    @abstractmethod
    def ping(self) -> None:
        """Ask for a sign of life."""

    @abstractmethod
    def close(self) -> None:
        """Put a goodbye into the output, where the protocol has one."""

    @abstractmethod
    def take_output(self) -> bytes:
        """Return the bytes to write now; empty if there are none."""


class StreamFraming(Framing):
    """Messages one after the other, told apart by Content-Length: TCP, and the inside of TLS."""

    def __init__(self) -> None:
        self.is_open = True
        self._framer = StreamFramer()
        self._output = bytearray()
        self._awaits_pong = False

    def start(self) -> None:
        """See `Framing`; there is no handshake."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Framing`. A `PING` of the peer's comes up as a message."""
        if self._awaits_pong and data == PONG and self._framer.is_empty:
            self._awaits_pong = False
            self.pongs += 1
            return
        self._framer.feed(data)
        yield from self._framer.frames()

    def send(self, message: bytes) -> None:
        """See `Framing`."""
        self._output += message

    def ping(self) -> None:
        """Send a double CRLF. A peer that does not know RFC 5626 skips it.   RFC 3261 section 7.5."""
        self._awaits_pong = True
        self._output += PING

    def close(self) -> None:
        """See `Framing`; a stream has no goodbye."""

    def take_output(self) -> bytes:
        """See `Framing`."""
        output = bytes(self._output)
        self._output.clear()
        return output
