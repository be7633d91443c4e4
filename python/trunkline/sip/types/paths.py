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
    """How a message travels (RFC 3261 section 18)."""

    UDP = "udp"
    TCP = "tcp"

    @property
    def is_reliable(self) -> bool:
        """Whether the transport retransmits by itself, so that transactions must not."""
        return self is not Transport.UDP


@dataclass(frozen=True, slots=True)
class Path:
    """The way between one of our sockets and one peer.

    local: what Via and Contact name, unless the configuration advertises another host. connection: the shell's number
    of an open stream, 0 for datagrams and for a stream yet to be opened.
    """

    transport: Transport
    local: Address
    remote: Address
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Transmit:
    """Bytes that the shell sends now."""

    path: Path
    data: bytes


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a request goes next, before resolution. port, transport: None when the URI leaves them open."""

    host: str
    port: int | None = None
    transport: Transport | None = None


@dataclass(frozen=True, slots=True)
class RouteQuery:
    """The core needs paths to a hop; the shell answers with `UserAgent.handle_routes`."""

    id: int
    hop: Hop
