"""SHELL: the news that the machine's network has changed: a cable, an address, a route.

Owns one netlink socket and the pause that makes one piece of news of many. What is to be done about it is the user
agent's. Linux tells it to any process; elsewhere there is no news, and back-off alone brings registrations back.
rtnetlink(7).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

_LINK, _IPV4_ADDRESS, _IPV4_ROUTE, _IPV6_ADDRESS, _IPV6_ROUTE = 0x1, 0x10, 0x40, 0x100, 0x400
_GROUPS = _LINK | _IPV4_ADDRESS | _IPV4_ROUTE | _IPV6_ADDRESS | _IPV6_ROUTE
_SETTLE_S = 1.0
"""From the first news to the telling: an interface that comes up makes several, and needs a moment itself."""
_REST_S = 5.0
"""Between two tellings: where containers come and go there is news all the time."""
_READ_BYTES = 65_536


class NetworkWatch:
    """Calls `on_change` from the loop, at most once in `_REST_S`."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._told_at = -_REST_S

    def start(self) -> None:
        """Listen, where the system lets us."""
        family = getattr(socket, "AF_NETLINK", None)
        if family is None:
            return
        try:
            sock = socket.socket(family, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        except OSError:  # not within every sandbox
            return
        try:
            sock.setblocking(False)
            sock.bind((0, _GROUPS))
        except OSError:
            sock.close()
            return
        self._socket = sock
        asyncio.get_running_loop().add_reader(sock.fileno(), self._on_readable)

    def stop(self) -> None:
        """Stop; nothing if it is not running."""
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _on_readable(self) -> None:
        """Throw the messages away: that there are some is all that counts."""
        assert self._socket is not None
        with suppress(OSError):  # ENOBUFS: more came than was read, which is news as well
            self._socket.recv(_READ_BYTES)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time() + _SETTLE_S, self._told_at + _REST_S), self._tell)

    def _tell(self) -> None:
        self._timer = None
        self._told_at = asyncio.get_running_loop().time()
        self._on_change()
