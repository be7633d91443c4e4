"""SHELL: UDP sockets, TCP listeners and connections of the SIP side.

Owns every socket: reading, writing, framing of streams, reuse of connections, limits on them, and the news that a peer
cannot be reached. Knows paths and bytes; messages are somebody else's.   RFC 3261 sections 18.1, 18.4; RFC 1122 4.1.3.3
(ICMP errors reach the user of UDP).
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import cast

from trunkline.errors import ConnectFailed, SipParseError
from trunkline.sip.parser import StreamFramer
from trunkline.sip.types import Address, Path, Transmit, Transport

OnData = Callable[[bytes, Path], None]
OnUnreachable = Callable[[Path], None]

_IP_RECVERR, _IPV6_RECVERR = 11, 25
"""Linux: keep ICMP errors of an unconnected socket, with the destination they belong to."""
_DATAGRAM_BYTES = 65_536
_READS_PER_TURN = 64
_RECEIVE_BUFFER_BYTES = 1 << 20
_CONNECT_TIMEOUT_S = 5.0
_FIRST_MESSAGE_LIMIT_S = 30.0
_MAX_UNSENT_BYTES = 1 << 20
_ROUTE_CACHE_SIZE = 1_024
_ROUTE_CACHE_S = 30.0
_UNREACHABLE = frozenset((errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPERM, errno.EINVAL))


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen. port 0 takes any free one; `SipShell.listening` tells which."""

    transport: Transport
    host: str
    port: int = 0

    @property
    def family(self) -> socket.AddressFamily:
        """IPv6 for a host with colons."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """What stream connections may cost. max_connections: accepted at once. idle_s: without a byte from the peer."""

    max_connections: int = 1_024
    idle_s: float = 1_800.0


class Sockets:
    """All sockets of one shell. on_data: one datagram, or one frame of a stream."""

    def __init__(
        self, listeners: Sequence[Listener], limits: StreamLimits, *, on_data: OnData, on_unreachable: OnUnreachable
    ) -> None:
        self.limits = limits
        self.counters: Counter[str] = Counter()
        self.on_data = on_data
        self.on_unreachable = on_unreachable
        self._wanted = tuple(listeners)
        self._listening: list[Listener] = []
        self._datagram: dict[tuple[socket.AddressFamily, int], _DatagramSocket] = {}
        self._servers: list[asyncio.Server] = []
        self._connections: dict[int, _Connection] = {}
        self._accepted = 0
        self._by_remote: dict[Address, _Connection] = {}
        self._opening: dict[Address, list[bytes]] = {}
        self._dials: set[asyncio.Task[None]] = set()
        self._ids = count(1)
        self._routes: OrderedDict[str, tuple[float, str]] = OrderedDict()

    @property
    def listening(self) -> tuple[Listener, ...]:
        """Bound addresses with their real ports."""
        return tuple(self._listening)

    async def open(self) -> None:
        """Bind all listeners. ConnectFailed if one cannot be bound; the others are closed again."""
        try:
            for wanted in self._wanted:
                await self._open_one(wanted)
        except OSError as error:
            await self.close()
            raise ConnectFailed(f"cannot listen on {wanted.transport} {wanted.host}:{wanted.port}: {error}") from error

    async def _open_one(self, wanted: Listener) -> None:
        kind = socket.SOCK_STREAM if wanted.transport.is_reliable else socket.SOCK_DGRAM
        sock = socket.socket(wanted.family, kind)
        try:
            sock.setblocking(False)
            if wanted.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if wanted.transport.is_reliable:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((wanted.host, wanted.port))
        except OSError:
            sock.close()
            raise
        bound = Listener(wanted.transport, wanted.host, sock.getsockname()[1])
        self._listening.append(bound)
        if wanted.transport.is_reliable:
            loop = asyncio.get_running_loop()
            self._servers.append(
                await loop.create_server(lambda: _Connection(self, bound.port, is_accepted=True), sock=sock)
            )
        else:
            self._datagram[(wanted.family, bound.port)] = _DatagramSocket(self, sock, bound)

    async def close(self) -> None:
        """Close everything."""
        for task in self._dials:
            task.cancel()
        await asyncio.gather(*self._dials, return_exceptions=True)
        for server in self._servers:
            server.close()
        for connection in list(self._connections.values()):
            connection.close()
        for datagram in self._datagram.values():
            datagram.close()
        self._datagram.clear()
        self._servers.clear()

    # --- sending ---

    def send(self, transmit: Transmit) -> bool:
        """Send, or begin to; False if it is known at once that the peer cannot be reached."""
        path, data = transmit.path, transmit.data
        if not path.transport.is_reliable:
            family = socket.AF_INET6 if ":" in path.remote[0] else socket.AF_INET
            datagram = self._datagram.get((family, path.local[1])) or self._any_datagram(family)
            return datagram is not None and datagram.send(data, path.remote)
        connection = self._connections.get(path.connection) or self._by_remote.get(path.remote)
        if connection is not None:
            connection.send(data)
        elif path.remote in self._opening:
            self._opening[path.remote].append(data)
        else:
            self._opening[path.remote] = [data]
            task = asyncio.get_running_loop().create_task(self._dial(path))
            self._dials.add(task)
            task.add_done_callback(self._dials.discard)
        return True

    def _any_datagram(self, family: socket.AddressFamily) -> _DatagramSocket | None:
        return next((known for (kind, _), known in self._datagram.items() if kind == family), None)

    async def _dial(self, path: Path) -> None:
        """Open a connection and send what waits for it."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self, path.local[1], is_accepted=False), *path.remote
                )
        except (OSError, TimeoutError):
            self.counters["connections_refused"] += 1
            self._opening.pop(path.remote, None)
            self.on_unreachable(path)
            return
        except asyncio.CancelledError:
            self._opening.pop(path.remote, None)
            raise
        for data in self._opening.pop(path.remote, []):
            connection.send(data)

    # --- addresses ---

    def local_address(self, transport: Transport, remote: Address) -> Address | None:
        """Return the address of ours that a peer sees and can call back; None if no listener reaches it."""
        family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
        for listener in self._listening:
            if listener.transport is transport and listener.family == family:
                host = self.routed_host(listener.host, remote)
                if host is not None:
                    return host, listener.port
        return None

    def routed_host(self, bound_host: str, remote: Address) -> str | None:
        """Return the bound host, or for a wildcard the source address that the system would use."""
        if bound_host not in ("0.0.0.0", "::", ""):  # noqa: S104 - compared, not bound
            return bound_host
        now = asyncio.get_running_loop().time()
        known = self._routes.get(remote[0])
        if known is not None and known[0] > now:
            return known[1]
        family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((remote[0], remote[1] or 1))
            except OSError:
                return None
            host = str(probe.getsockname()[0])
        self._routes[remote[0]] = (now + _ROUTE_CACHE_S, host)
        if len(self._routes) > _ROUTE_CACHE_SIZE:
            self._routes.popitem(last=False)
        return host

    # --- connections come and go ---

    def admit(self, connection: _Connection, remote: Address) -> int | None:
        """Take a connection into the books; None if too many were accepted. Ours are few, and calls depend on them."""
        if connection.is_accepted and self._accepted >= self.limits.max_connections:
            self.counters["connections_refused"] += 1
            return None
        self._accepted += connection.is_accepted
        self.counters["connections"] += 1
        number = next(self._ids)
        self._connections[number] = connection
        self._by_remote[remote] = connection
        return number

    def dismiss(self, connection: _Connection, number: int, path: Path) -> None:
        """Strike a closed connection out, and let those know who waited for an answer on it."""
        if self._connections.pop(number, None) is not None:
            self._accepted -= connection.is_accepted
        if self._by_remote.get(path.remote) is connection:
            del self._by_remote[path.remote]
            self.on_unreachable(path)


class _DatagramSocket:
    """One UDP socket with its error queue."""

    def __init__(self, owner: Sockets, sock: socket.socket, bound: Listener) -> None:
        self._owner = owner
        self._sock = sock
        self._bound = bound
        if bound.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        # A poller within the loop's poller: libuv, on which uvloop runs, stops watching a socket that reports an error.
        self._poller = select.epoll()
        self._poller.register(sock.fileno(), select.EPOLLIN)
        asyncio.get_running_loop().add_reader(self._poller.fileno(), self._on_ready)

    def send(self, data: bytes, remote: Address) -> bool:
        """Send one datagram; False if the system knows that it cannot arrive."""
        for _ in range(2):
            try:
                self._sock.sendto(data, remote)
            except BlockingIOError:
                # The transaction sends again; a queue here would only add delay.
                self._owner.counters["send_dropped"] += 1
            except ConnectionRefusedError:
                # The news about an earlier datagram, perhaps to somebody else: read it and try again.
                self._read_errors()
                continue
            except OSError as error:
                self._owner.counters["send_errors"] += 1
                return error.errno not in _UNREACHABLE
            return True
        return True

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._poller.fileno())
        self._poller.close()
        self._sock.close()

    def _on_ready(self) -> None:
        for _ in range(_READS_PER_TURN):
            try:
                data, source = self._sock.recvfrom(_DATAGRAM_BYTES)
            except BlockingIOError:
                break
            except OSError:
                self._read_errors()
                continue
            remote: Address = (source[0], source[1])
            host = self._owner.routed_host(self._bound.host, remote)
            if host is not None and remote[1] != 0:
                self._owner.on_data(data, Path(Transport.UDP, (host, self._bound.port), remote))
        self._read_errors()

    def _read_errors(self) -> None:
        """Take ICMP errors off the queue; each names the peer that our datagram did not reach."""
        for _ in range(_READS_PER_TURN):
            try:
                _, _, _, peer = self._sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return
            if peer:
                self._owner.counters["icmp_errors"] += 1
                self._owner.on_unreachable(Path(Transport.UDP, (self._bound.host, self._bound.port), peer[:2]))


class _Connection(asyncio.Protocol):
    """One TCP connection, accepted or opened. local_port: of our listener, where the peer can call back."""

    def __init__(self, owner: Sockets, local_port: int, *, is_accepted: bool) -> None:
        self.is_accepted = is_accepted
        self._owner = owner
        self._local_port = local_port
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._number: int | None = None
        self._path: Path | None = None
        self._has_spoken = False
        self._last_heard = 0.0
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        peer, ours = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._number = None if not peer or not ours else self._owner.admit(self, peer[:2])
        if self._number is None:
            self._transport.abort()
            return
        self._path = Path(Transport.TCP, (ours[0], self._local_port), peer[:2], self._number)
        self._last_heard = asyncio.get_running_loop().time()
        self._watch_for(self._silence_limit_s())

    def data_received(self, data: bytes) -> None:
        assert self._path is not None
        self._last_heard = asyncio.get_running_loop().time()
        self._framer.feed(data)
        try:
            for frame in self._framer.frames():
                self._has_spoken = True
                self._owner.on_data(frame, self._path)
        except SipParseError:
            self._owner.counters["framing_lost"] += 1
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._number is not None and self._path is not None:
            self._owner.dismiss(self, self._number, self._path)

    def send(self, data: bytes) -> None:
        """Write; a peer that does not read is cut off."""
        if self._transport is None or self._transport.is_closing():
            return
        self._has_spoken = True
        if self._transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            self._owner.counters["slow_readers"] += 1
            self._transport.abort()
            return
        self._transport.write(data)

    def close(self) -> None:
        """Close at once; what is unsent is lost."""
        if self._transport is not None:
            self._transport.abort()

    def _silence_limit_s(self) -> float:
        idle_s = self._owner.limits.idle_s
        return idle_s if self._has_spoken else min(idle_s, _FIRST_MESSAGE_LIMIT_S)

    def _watch_for(self, seconds: float) -> None:
        self._watch = asyncio.get_running_loop().call_later(seconds, self._check)

    def _check(self) -> None:
        """Close a connection that never said anything, or fell silent."""
        silent_s = asyncio.get_running_loop().time() - self._last_heard
        limit_s = self._silence_limit_s()
        if silent_s >= limit_s:
            self._owner.counters["idle_closed"] += 1
            self.close()
        else:
            self._watch_for(limit_s - silent_s)
