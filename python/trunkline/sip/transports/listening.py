"""Where and within which limits the sockets listen.   Plain data."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from trunkline.sip.types import Transport


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen. port 0 takes any free one; `SipShell.listening` tells which."""

    transport: Transport
    host: str
    port: int = 0

    @property
    def family(self) -> socket.AddressFamily:
        """IPv6 for a host with colons."""
        return family_of(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """What stream connections may cost.

    max_connections: accepted at once. max_per_host: of these, from one address. idle_s: without a byte from the peer.
    keep_alive_s: between our signs of life on connections that we opened, and on every WebSocket.
    """

    max_connections: int = 1_024
    max_per_host: int = 1_024
    idle_s: float = 1_800.0
    keep_alive_s: float = 90.0


def family_of(host: str) -> socket.AddressFamily:
    """IPv6 for a host with colons, else IPv4."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET
