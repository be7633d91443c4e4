"""SHELL: host names to addresses, within a time limit.

Owns name look-ups and nothing else: A and AAAA through the system's resolver.   RFC 3263 section 4.2.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Protocol


class Resolver(Protocol):
    """Finds the addresses of a host."""

    async def addresses(self, host: str) -> list[str]:
        """Return IP literals in the order to try; none if the host has none or no answer came in time."""


class SystemResolver:
    """The system's resolver, so that /etc/hosts and local policy hold. timeout_s: after which a look-up has failed."""

    def __init__(self, timeout_s: float = 5.0) -> None:
        self._timeout_s = timeout_s

    async def addresses(self, host: str) -> list[str]:
        """See `Resolver`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except (OSError, TimeoutError, UnicodeError):
            return []
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def ip_literal(host: str) -> str | None:
    """Return the address in its usual spelling if host is an IP literal."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
