"""SHELL: all sockets of the SIP side.

Owns the listeners, and the choice of the address that a peer sees; `datagrams` and `flows` own what they read and
write. Knows paths and bytes; messages are somebody else's.   RFC 3261 section 18.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter, OrderedDict
from collections.abc import Sequence
from functools import partial

from trunkline.errors import ConfigError, ConnectFailed
from trunkline.sip.transports.datagrams import DatagramSocket
from trunkline.sip.transports.flows import Flows, OnData, OnUnreachable
from trunkline.sip.transports.listening import Listener, StreamLimits, family_of
from trunkline.sip.transports.tls import TlsContexts, TlsSettings
from trunkline.sip.types import Address, Alias, Path, Transmit, Transport

_BACKLOG = 1_024
_ROUTE_CACHE_SIZE = 1_024
_ROUTE_CACHE_S = 30.0
_WILDCARDS = ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound


class Sockets:
    """All sockets of one shell. on_data: one datagram, or one message of a stream.

    dials: transports that may be opened although nobody listens for them; the peer then calls back on the connection.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        limits: StreamLimits,
        *,
        on_data: OnData,
        on_unreachable: OnUnreachable,
        tls: TlsSettings | None = None,
        origins: Sequence[str] = ("*",),
        dials: frozenset[Transport] = frozenset((Transport.TLS, Transport.WS, Transport.WSS)),
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.on_data = on_data
        self._on_unreachable = on_unreachable
        self._wanted = tuple(listeners)
        self._listening: list[Listener] = []
        self._dials = dials
        self._usable = dials
        self._datagram: dict[tuple[socket.AddressFamily, int], DatagramSocket] = {}
        self._servers: list[asyncio.Server] = []
        self._tls = TlsContexts(tls or TlsSettings())
        self._flows = Flows(
            limits, self._tls, self.counters, origins=origins, on_data=on_data, on_unreachable=on_unreachable
        )
        self._routes: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._senders: dict[tuple[Transport, socket.AddressFamily], Listener] = {}
        """By transport and family, as they are asked for; made anew once somebody else listens."""

    @property
    def listening(self) -> tuple[Listener, ...]:
        """Bound addresses with their real ports."""
        return tuple(self._listening)

    @property
    def usable_transports(self) -> frozenset[Transport]:
        """Those by which we can send."""
        return self._usable

    async def open(self) -> None:
        """Bind all listeners. ConnectFailed if one cannot be bound; the others are closed again."""
        if any(each.transport.is_secure for each in self._wanted) and not self._tls.can_serve:
            raise ConfigError("sip.tls: listening for TLS or WSS needs certificate and key")
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
        self._senders.clear()
        self._usable |= {bound.transport}
        if wanted.transport.is_reliable:
            loop, accept = asyncio.get_running_loop(), partial(self._flows.accepted, bound.transport, bound.port)
            self._servers.append(await loop.create_server(accept, sock=sock, backlog=_BACKLOG))
        else:
            self._datagram[(wanted.family, bound.port)] = DatagramSocket(self, sock, bound)

    async def close(self) -> None:
        """Close everything."""
        for server in self._servers:
            server.close()
        await self._flows.close()
        for datagram in self._datagram.values():
            datagram.close()
        self._datagram.clear()
        self._servers.clear()

    # --- sending ---

    def send(self, transmit: Transmit) -> bool:
        """Send, or begin to; False if it is known at once that the peer cannot be reached."""
        path, data = transmit.path, transmit.data
        if path.transport.is_reliable:
            return self._flows.send(path, data)
        family = family_of(path.remote[0])
        datagram = self._datagram.get((family, path.local[1])) or self._any_datagram(family)
        return datagram is not None and datagram.send(data, path.remote)

    def note_alias(self, alias: Alias) -> None:
        """Send requests for a peer on the connection that it opened, if its certificate names it.   RFC 5923."""
        self._flows.note_alias(alias)

    def is_open(self, path: Path) -> bool:
        """Whether bytes can go this way without a connection being opened."""
        return not path.transport.is_reliable or self._flows.is_open(path)

    def on_unreachable(self, path: Path, detail: str = "") -> None:
        """Pass on that a peer cannot be reached."""
        self._on_unreachable(path, detail)

    def _any_datagram(self, family: socket.AddressFamily) -> DatagramSocket | None:
        return next((known for (kind, _), known in self._datagram.items() if kind == family), None)

    # --- addresses ---

    def local_address(self, transport: Transport, remote: Address) -> Address | None:
        """Return the address of ours that a peer sees and can call back; None if we cannot send to it this way."""
        family = family_of(remote[0])
        listener = self._senders.get((transport, family))
        if listener is None:
            listener = self._sender(transport, family)
            if listener is None:
                return None
            self._senders[transport, family] = listener
        host = self.routed_host(listener.host, remote)
        return None if host is None else (host, listener.port)

    def _sender(self, transport: Transport, family: socket.AddressFamily) -> Listener | None:
        """Return the listener whose address we send from, or the one that we would call back if we had it."""
        ours = [each for each in self._listening if each.family == family]
        listener = next((each for each in ours if each.transport is transport), None)
        if listener is None and transport in self._dials and ours:
            return Listener(transport, ours[0].host, transport.default_port)
        return listener

    def routed_host(self, bound_host: str, remote: Address) -> str | None:
        """Return the bound host, or for a wildcard the source address that the system would use."""
        if bound_host not in _WILDCARDS:
            return bound_host
        now = asyncio.get_running_loop().time()
        known = self._routes.get(remote[0])
        if known is not None and known[0] > now:
            return known[1]
        with socket.socket(family_of(remote[0]), socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((remote[0], remote[1] or 1))
            except OSError:
                return None
            host = str(probe.getsockname()[0])
        self._routes[remote[0]] = (now + _ROUTE_CACHE_S, host)
        if len(self._routes) > _ROUTE_CACHE_SIZE:
            self._routes.popitem(last=False)
        return host
