"""SIP over WebSocket without I/O: one message a WebSocket message, subprotocol `sip`, both roles.   RFC 7118, RFC 6455.

Owns the handshake and the assembling of fragments; frames themselves are the library's. Must not look into a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol
from websockets.uri import WebSocketURI

from trunkline.errors import ConnectFailed, SipParseError
from trunkline.sip.parser import MAX_MESSAGE_BYTES
from trunkline.sip.transports.framing import Framing

_SUBPROTOCOL = Subprotocol("sip")
_PATH = "/"

_Peer: TypeAlias = ServerProtocol | ClientProtocol


def served(origins: Sequence[str]) -> WebSocketFraming:
    """Make the server's side. origins: values of Origin that are taken; `*` among them takes any."""
    wanted = None if "*" in origins else [Origin(origin) for origin in origins]
    return WebSocketFraming(
        ServerProtocol(origins=wanted, subprotocols=[_SUBPROTOCOL], max_size=MAX_MESSAGE_BYTES),
    )


def dialled(host: str, port: int, *, is_secure: bool) -> WebSocketFraming:
    """Make the client's side. host: for the Host header."""
    uri = WebSocketURI(is_secure, host, port, _PATH, "")
    return WebSocketFraming(ClientProtocol(uri, subprotocols=[_SUBPROTOCOL], max_size=MAX_MESSAGE_BYTES))


class WebSocketFraming(Framing):
    """One WebSocket connection."""

    def __init__(self, peer: _Peer) -> None:
        self._peer = peer
        self._waiting: list[bytes] = []
        self._parts: list[bytes] = []

    def start(self) -> None:
        """See `Framing`."""
        if isinstance(self._peer, ClientProtocol):
            self._peer.send_request(self._peer.connect())

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `Framing`. Pings and Close frames of the peer are answered here."""
        self._peer.receive_data(data)
        for event in self._peer.events_received():
            if isinstance(event, Frame):
                message = self._take_frame(event)
                if message is not None:
                    yield message
            elif isinstance(event, Request) and isinstance(self._peer, ServerProtocol):
                self._peer.send_response(self._peer.accept(event))
                self._opened()
            else:
                self._opened()
        self._check()

    def send(self, message: bytes) -> None:
        """See `Framing`. A message that is UTF-8 goes as text, any other as binary.   RFC 7118 section 5."""
        if not self.is_open:
            self._waiting.append(message)
            return
        if self._peer.state is not State.OPEN:
            return
        try:
            message.decode()
        except UnicodeDecodeError:
            self._peer.send_binary(message)
        else:
            self._peer.send_text(message)

    def ping(self) -> None:
        """See `Framing`; every WebSocket peer answers."""
        if self._peer.state is State.OPEN:
            self._peer.send_ping(b"")

    def close(self) -> None:
        """See `Framing`."""
        if self._peer.state is State.OPEN:
            self._peer.send_close(1001)

    def take_output(self) -> bytes:
        """See `Framing`."""
        return b"".join(self._peer.data_to_send())

    def _take_frame(self, frame: Frame) -> bytes | None:
        if frame.opcode is Opcode.PONG:
            self.pongs += 1
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return None
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return None
        message = b"".join(self._parts)
        self._parts.clear()
        return message

    def _opened(self) -> None:
        """Let what waits out, if the handshake has not been refused."""
        if self._peer.state is not State.OPEN:
            return
        self.is_open = True
        for message in self._waiting:
            self.send(message)
        self._waiting.clear()

    def _check(self) -> None:
        """Raise what the library notes: a refused handshake, a broken frame; note a goodbye."""
        if self._peer.handshake_exc is not None:
            self.has_ended = True
            raise ConnectFailed(f"WebSocket: {self._peer.handshake_exc}")
        if self._peer.parser_exc is not None:
            raise SipParseError(f"WebSocket: {self._peer.parser_exc}")
        self.has_ended = self.has_ended or self._peer.close_expected()
