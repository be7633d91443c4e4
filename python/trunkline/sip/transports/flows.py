"""SHELL: the connections of all listeners, and those that we open.

Owns their books: how many there may be, which one leads to a peer, and what waits while one is opened. A connection
to a name is used for that name only; one that a peer opened, for that peer, and for the names that its certificate has
proved if it offers that.   RFC 3261 section 18.1.1, RFC 5923, 7118.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

from trunkline.observability.logging import get_logger
from trunkline.sip.transports import websocket
from trunkline.sip.transports.framing import Framing, StreamFraming
from trunkline.sip.transports.listening import StreamLimits
from trunkline.sip.transports.streams import MAX_UNSENT_BYTES, Connection, Key
from trunkline.sip.transports.tls import TlsContexts, TlsFraming
from trunkline.sip.types import Address, Alias, Path, Transport

OnData = Callable[[bytes, Path], None]
OnUnreachable = Callable[[Path, str], None]

_CONNECT_TIMEOUT_S = 5.0
_MAX_DIALS = 512
_MAX_ALIASES = 16
"""Of one connection: a certificate has few names, and a peer listens at one port."""

_log = get_logger(__name__)


class Flows:
    """All connections of one shell. origins: from which pages a WebSocket is taken, `*` for any."""

    def __init__(
        self,
        limits: StreamLimits,
        tls: TlsContexts,
        counters: Counter[str],
        *,
        origins: Sequence[str],
        on_data: OnData,
        on_unreachable: OnUnreachable,
    ) -> None:
        self.limits = limits
        self.counters = counters
        self.on_data = on_data
        self._tls = tls
        self._origins = tuple(origins)
        self._on_unreachable = on_unreachable
        self._connections: dict[int, Connection] = {}
        self._by_key: dict[Key, Connection] = {}
        self._accepted: Counter[str] = Counter()
        self._accepted_total = 0
        self._opening: dict[Key, list[bytes]] = {}
        self._dials: set[asyncio.Task[None]] = set()
        self._ids = count(1)

    def accepted(self, kind: Transport, port: int) -> Connection:
        """Make the protocol of a connection that a listener got."""
        inner: Framing = websocket.served(self._origins) if kind.is_websocket else StreamFraming()
        if kind.is_secure:
            inner = TlsFraming(inner, self._tls.server(self._now()), server_name=None)
        return Connection(self, inner, kind, port, is_accepted=True)

    def send(self, path: Path, data: bytes) -> bool:
        """Send on the connection that leads there, or open one; False if there is none and can be none."""
        connection = self._connections.get(path.connection) or self._find(path)
        if connection is not None:
            connection.send(data)
            return True
        if path.connection and path.transport.is_websocket:
            return False  # a browser's connection has closed, and nobody listens behind it
        waiting = self._opening.get(_key(path))
        if waiting is not None:
            if sum(map(len, waiting)) > MAX_UNSENT_BYTES:
                return False
            waiting.append(data)
            return True
        if len(self._opening) >= _MAX_DIALS:
            self.counters["connections_refused"] += 1
            return False
        self._opening[_key(path)] = [data]
        task = asyncio.get_running_loop().create_task(self._dial(path))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)
        return True

    def is_open(self, path: Path) -> bool:
        """Whether a connection leads there now."""
        return path.connection in self._connections or self._find(path) is not None

    async def close(self) -> None:
        """Close all."""
        for task in self._dials:
            task.cancel()
        await asyncio.gather(*self._dials, return_exceptions=True)
        for connection in list(self._connections.values()):
            connection.close()

    # --- connections come and go ---

    def admit(self, connection: Connection, remote: Address) -> int | None:
        """Take a connection into the books; None if too many were accepted. Ours are few, and calls depend on them."""
        if connection.is_accepted:
            is_full = self._accepted_total >= self.limits.max_connections
            if is_full or self._accepted[remote[0]] >= self.limits.max_per_host:
                self.counters["connections_refused"] += 1
                return None
            self._accepted[remote[0]] += 1
            self._accepted_total += 1
        self.counters["connections"] += 1
        number = next(self._ids)
        self._connections[number] = connection
        return number

    def register(self, connection: Connection, path: Path) -> None:
        """Let requests to this peer find the connection."""
        self._by_key[_key(path)] = connection
        if path.server_name:
            # An address has no name to prove: for it, a connection to whomever we know there is as good.
            self._by_key[_key(replace(path, server_name=""))] = connection

    def note_alias(self, alias: Alias) -> None:
        """Let requests to the port where a peer listens, under a name it has proved, find its connection.

        Not in the place of another connection: that one leads there as well. RFC 5923 sections 8.2, 9.
        """
        connection = self._connections.get(alias.path.connection)
        if connection is None or not connection.is_accepted or connection.path is None:
            return
        address = (connection.path.remote[0], alias.port)
        for name in connection.peer_names:
            key = (connection.path.transport, address, name)
            if len(connection.aliases) < _MAX_ALIASES and self._by_key.setdefault(key, connection) is connection:
                connection.aliases.add(key)

    def dismiss(self, connection: Connection, path: Path, detail: str) -> None:
        """Strike a closed connection out, and let those know who waited for an answer on it."""
        if self._connections.pop(path.connection, None) is not None and connection.is_accepted:
            host = path.remote[0]
            self._accepted_total -= 1
            self._accepted[host] -= 1
            if not self._accepted[host]:
                del self._accepted[host]
        if detail and not connection.is_accepted:
            _log.warning("sip_connection_failed", peer=path.remote, name=path.server_name, error=detail)
        for key in (_key(path), _key(replace(path, server_name="")), *connection.aliases):
            if self._by_key.get(key) is connection:
                del self._by_key[key]
        self._on_unreachable(path, detail)

    def _find(self, path: Path) -> Connection | None:
        """Find the connection to this name; to an address, any that leads there."""
        is_address = not path.server_name or path.server_name == path.remote[0]
        any_name = self._by_key.get((path.transport, path.remote, "")) if is_address else None
        return self._by_key.get(_key(path)) or any_name

    # --- opening ---

    async def _dial(self, path: Path) -> None:
        """Open a connection and send what waits for it."""
        key, loop = _key(path), asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(lambda: self._dialled(path), *path.remote)
        except (OSError, TimeoutError):
            self.counters["connections_refused"] += 1
            self._opening.pop(key, None)
            self._on_unreachable(path, "")
        except asyncio.CancelledError:
            self._opening.pop(key, None)
            raise
        else:
            for data in self._opening.pop(key, []):
                connection.send(data)

    def _dialled(self, path: Path) -> Connection:
        kind, name = path.transport, path.server_name or path.remote[0]
        inner: Framing = StreamFraming()
        if kind.is_websocket:
            inner = websocket.dialled(name, path.remote[1], is_secure=kind.is_secure)
        if kind.is_secure:
            inner = TlsFraming(inner, self._tls.client(self._now()), server_name=name)
        return Connection(self, inner, kind, path.local[1], server_name=path.server_name, is_accepted=False)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _key(path: Path) -> Key:
    return path.transport, path.remote, path.server_name
