"""Where bytes come from and go to: transports, paths, hops.

Plain data, shared by the user agent and the sockets.   RFC 3261 section 18, RFC 3263.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Address = tuple[str, int]
"""IP literal (IPv6 without brackets) and port."""


DEFAULT_PORT = 5060
"""RFC 3261 section 19.1.2."""


class Transport(StrEnum):
    """How a message travels (RFC 3261 section 18, RFC 7118)."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    WS = "ws"
    WSS = "wss"

    @property
    def is_reliable(self) -> bool:
        """Whether the transport retransmits by itself, so that transactions must not."""
        return self is not Transport.UDP

    @property
    def is_secure(self) -> bool:
        """Whether TLS protects it."""
        return self in (Transport.TLS, Transport.WSS)

    @property
    def is_websocket(self) -> bool:
        """Whether messages travel in WebSocket frames: to a browser, only on the connection that it opened."""
        return self in (Transport.WS, Transport.WSS)

    @property
    def secured(self) -> Transport | None:
        """The same under TLS; None for UDP, which we do not secure."""
        return {Transport.TCP: Transport.TLS, Transport.WS: Transport.WSS}.get(self, self if self.is_secure else None)

    @property
    def default_port(self) -> int:
        """Port where a URI names none (RFC 3261 section 19.1.2, RFC 7118 section 5.2.4)."""
        return {Transport.TLS: 5061, Transport.WS: 80, Transport.WSS: 443}.get(self, 5060)

    @property
    def uri_name(self) -> str:
        """Value of the `transport` parameter: a URI says `ws` for WSS too (RFC 7118 section 5.3)."""
        return Transport.WS if self.is_websocket else self


@dataclass(frozen=True, slots=True)
class Path:
    """The way between one of our sockets and one peer.

    local: what Via and Contact name, unless the configuration advertises another host. connection: the shell's number
    of an open stream, 0 for datagrams and for a stream yet to be opened. server_name: whom the peer's certificate must
    name; a connection that was made to one name is not used for another at the same address (RFC 5922).
    """

    transport: Transport
    local: Address
    remote: Address
    connection: int = 0
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Alias:
    """A peer takes requests for its listening port on the connection that it opened, if it can prove who it is.

    path: the connection, as its request came. port: where the peer listens, the sent-by port of its Via.   RFC 5923.
    """

    path: Path
    port: int


@dataclass(frozen=True, slots=True)
class Transmit:
    """Bytes that the shell sends now."""

    path: Path
    data: bytes


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a request goes next, before resolution. port, transport: None when the URI leaves them open.

    is_secure: the URI is `sips`, so that only TLS will do. flow: taken instead for as long as it is open, because the
    peer was heard on it and may not be reachable in any other way (RFC 5626, NATs).
    """

    host: str
    port: int | None = None
    transport: Transport | None = None
    is_secure: bool = False
    flow: Path | None = None


@dataclass(frozen=True, slots=True)
class RouteQuery:
    """The core needs paths to a hop; the shell answers with `UserAgent.handle_routes`.

    size_bytes: about how long the message will be, which decides between UDP and TCP.
    """

    id: int
    hop: Hop
    size_bytes: int = 0
