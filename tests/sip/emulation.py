"""User agents on an emulated network and a virtual clock.

Owns delivery, delay, loss, duplication and the order of time; tests own what the user agents are asked to do.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from itertools import count, pairwise
from random import Random
from typing import TypeVar

from trunkline.errors import SipParseError
from trunkline.sip.message import Message, Request, Response
from trunkline.sip.parser import parse_message
from trunkline.sip.types import Address, Event, Path, RouteQuery, Transport, UaConfig
from trunkline.sip.ua import UserAgent

OFFER = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"
ANSWER = "v=0\r\no=- 2 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 50000 RTP/AVP 0\r\n"

_Event = TypeVar("_Event")


class Host:
    """One party: a user agent or a script, at one address."""

    def __init__(self, network: Network, address: Address) -> None:
        self.network = network
        self.address = address
        network.hosts[address] = self

    def receive(self, data: bytes, path: Path) -> None:
        raise NotImplementedError

    def deadline(self) -> float | None:
        return None

    def run_timers(self) -> None:
        pass


class Agent(Host):
    """A user agent of ours. names: what its resolver knows; events: all it has told, in order."""

    def __init__(
        self, network: Network, host: str, *, config: UaConfig | None = None, accept: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(network, (host, 5060))
        self.ua = UserAgent(config or UaConfig(), Random(host), accept_methods=accept)
        self.events: list[Event] = []
        self.names: dict[str, list[str]] = {}
        self.on_event: Callable[[Event], None] | None = None

    @property
    def now(self) -> float:
        return self.network.now

    def receive(self, data: bytes, path: Path) -> None:
        self.ua.handle_datagram(self.now, data, path)
        self.drain()

    def deadline(self) -> float | None:
        return self.ua.poll_timeout()

    def run_timers(self) -> None:
        self.ua.handle_timeout(self.now)
        self.drain()

    def drain(self) -> None:
        """Empty all polls as a shell does."""
        is_moving = True
        while is_moving:
            is_moving = False
            while (query := self.ua.poll_query()) is not None:
                is_moving = True
                self.ua.handle_routes(self.now, query.id, self._paths(query))
            while (transmit := self.ua.poll_transmit()) is not None:
                is_moving = True
                self.network.send(self, transmit.data, transmit.path)
            while (event := self.ua.poll_event()) is not None:
                is_moving = True
                self.events.append(event)
                if self.on_event is not None:
                    self.on_event(event)

    def _paths(self, query: RouteQuery) -> list[Path]:
        hop = query.hop
        if hop.flow is not None:
            return [hop.flow]
        hosts = self.names.get(hop.host, [hop.host] if hop.host[0].isdigit() else [])
        return [Path(hop.transport or Transport.UDP, self.address, (host, hop.port or 5060)) for host in hosts]

    def got(self, kind: type[_Event]) -> list[_Event]:
        """Events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def last(self, kind: type[_Event]) -> _Event:
        """The newest event of one kind, which must be there."""
        assert self.got(kind), f"no {kind.__name__} among {self.events}"
        return self.got(kind)[-1]


class Peer(Host):
    """A scripted party that keeps what it gets and sends what a test writes. received: what of `raw` can be read."""

    def __init__(self, network: Network, host: str, port: int = 5060) -> None:
        super().__init__(network, (host, port))
        self.raw: list[bytes] = []
        self.received: list[Message] = []
        self.on_message: Callable[[Message], None] | None = None

    def receive(self, data: bytes, path: Path) -> None:
        self.raw.append(data)
        try:
            message = parse_message(data)
        except SipParseError:  # an answer that echoes what could not be read
            return
        self.received.append(message)
        if self.on_message is not None:
            self.on_message(message)

    def send(self, message: Message | bytes, to: Address, transport: Transport = Transport.UDP) -> None:
        data = message if isinstance(message, bytes) else message.to_bytes()
        self.network.send(self, data, Path(transport, self.address, to))

    def requests(self, method: str) -> list[Request]:
        return [message for message in self.received if isinstance(message, Request) and message.method == method]

    def responses(self, method: str | None = None) -> list[Response]:
        return [
            message
            for message in self.received
            if isinstance(message, Response) and method in (None, message.cseq.method)
        ]


class Network:
    """Datagrams between hosts. log: (time, sender, data) of everything sent, lost or not."""

    def __init__(self, *, delay_s: float = 0.01) -> None:
        self.now = 1000.0
        self.hosts: dict[Address, Host] = {}
        self.delay_s = delay_s
        self.fate: Callable[[bytes, Path], Iterator[float]] | None = None
        self.log: list[tuple[float, Address, bytes]] = []
        self.unreachable: set[Address] = set()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()

    def send(self, sender: Host, data: bytes, path: Path) -> None:
        """Deliver once after `delay_s`, or as `fate` says: one delivery for each delay it yields."""
        self.log.append((self.now, sender.address, data))
        if path.remote in self.unreachable and isinstance(sender, Agent):
            agent = sender
            self.at(self.now + self.delay_s, lambda: (agent.ua.handle_unreachable(self.now, path), agent.drain())[-1])
            return
        delays = [self.delay_s] if self.fate is None else list(self.fate(data, path))
        back = Path(path.transport, path.remote, path.local, path.connection)
        for delay in delays:
            self.at(self.now + delay, lambda: self._deliver(data, back))

    def _deliver(self, data: bytes, path: Path) -> None:
        host = self.hosts.get(path.local)
        if host is not None:
            host.receive(data, path)

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._serial), action))

    def run(self, seconds: float = 1.0) -> None:
        """Let this much time pass."""
        end = self.now + seconds
        while (when := self._next()) is not None and when <= end:
            self.now = max(self.now, when)
            if self._queue and self._queue[0][0] <= self.now:
                heapq.heappop(self._queue)[2]()
            else:
                for host in list(self.hosts.values()):
                    deadline = host.deadline()
                    if deadline is not None and deadline <= self.now:
                        host.run_timers()
        self.now = end

    def _next(self) -> float | None:
        times = [self._queue[0][0]] if self._queue else []
        times += [when for host in self.hosts.values() if (when := host.deadline()) is not None]
        return min(times, default=None)

    def sent(self, sender: Host, start: str) -> list[float]:
        """When a host sent messages whose first line begins so."""
        return [
            when for when, address, data in self.log if address == sender.address and data.startswith(start.encode())
        ]

    def messages(self, sender: Host) -> list[Message]:
        """Everything a host sent that is a message."""
        found: list[Message] = []
        for _, address, data in self.log:
            if address == sender.address:
                try:
                    found.append(parse_message(data))
                except SipParseError:
                    continue
        return found


def intervals(times: list[float]) -> list[float]:
    """Gaps between moments, rounded to milliseconds."""
    return [round(later - earlier, 3) for earlier, later in pairwise(times)]
