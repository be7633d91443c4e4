"""SHELL: the event loop's side of the SIP user agent.

Owns the clock, the one timer, name look-ups and the order in which a user agent's polls are drained; `sockets` owns
bytes. Knows nothing of dialogs or calls.   RFC 3261 section 18.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import structlog

from trunkline.sip.resolver import Resolver, SystemResolver, ip_literal
from trunkline.sip.sockets import Listener, Sockets, StreamLimits
from trunkline.sip.types import (
    DEFAULT_PORT,
    Account,
    Address,
    Event,
    HeaderFields,
    Hop,
    IncomingRequestId,
    InviteId,
    InviteRequest,
    Path,
    ReferId,
    ReferRequest,
    RegistrationId,
    RouteQuery,
    Transport,
)
from trunkline.sip.ua import UserAgent

__all__ = ["Listener", "SipShell", "StreamLimits"]

_log = structlog.get_logger(__name__)


class SipShell:
    """Drives one user agent on the running event loop.

    on_event: called for each event, in order, from the loop and never from within a verb. It may call any verb.
    """

    def __init__(
        self,
        ua: UserAgent,
        listeners: Sequence[Listener],
        on_event: Callable[[Event], None],
        *,
        resolver: Resolver | None = None,
        limits: StreamLimits | None = None,
    ) -> None:
        self._ua = ua
        self._on_event = on_event
        self._resolver = resolver or SystemResolver()
        self._sockets = Sockets(
            listeners,
            limits or StreamLimits(),
            on_data=self._handle_data,
            on_unreachable=self._handle_unreachable,
        )
        self._timer: asyncio.TimerHandle | None = None
        self._delivery: asyncio.Handle | None = None
        self._lookups: set[asyncio.Task[None]] = set()
        self._counters: Counter[str] = Counter()
        self._idle = asyncio.Event()
        self._is_stopping = False

    @property
    def listening(self) -> tuple[Listener, ...]:
        """Bound addresses with their real ports, in the order of the listeners given."""
        return self._sockets.listening

    @property
    def counters(self) -> Mapping[str, int]:
        """Counts since start, of the user agent and of the sockets."""
        return self._counters + self._sockets.counters + Counter(self._ua.counters)

    async def start(self) -> None:
        """Bind and listen. ConnectFailed if an address cannot be bound."""
        await self._sockets.open()

    async def stop(self, timeout_s: float = 3.0) -> None:
        """Hang up, de-register, close all sockets; returns within timeout_s."""
        self._is_stopping = True
        self._ua.shutdown(self._now())
        self._drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        for handle in (self._timer, self._delivery):
            if handle is not None:
                handle.cancel()
        for task in self._lookups:
            task.cancel()
        await asyncio.gather(*self._lookups, return_exceptions=True)
        self._deliver()
        await self._sockets.close()

    # --- verbs of the application ---

    def register(self, account: Account, expires_s: int = 600) -> RegistrationId:
        """See `UserAgent.register`."""
        registration = self._ua.register(self._now(), account, expires_s)
        self._drain()
        return registration

    def unregister(self, registration: RegistrationId) -> None:
        """See `UserAgent.unregister`."""
        self._ua.unregister(self._now(), registration)
        self._drain()

    def invite(self, request: InviteRequest) -> InviteId:
        """See `UserAgent.invite`."""
        invite = self._ua.invite(self._now(), request)
        self._drain()
        return invite

    def ring(self, invite: InviteId, status: int = 180, sdp: str | None = None) -> None:
        """See `UserAgent.ring`."""
        self._ua.ring(self._now(), invite, status, sdp)
        self._drain()

    def answer(self, invite: InviteId, sdp: str) -> None:
        """See `UserAgent.answer`."""
        self._ua.answer(self._now(), invite, sdp)
        self._drain()

    def hangup(self, invite: InviteId, status: int | None = None, reason: str | None = None) -> None:
        """See `UserAgent.hangup`."""
        self._ua.hangup(self._now(), invite, status, reason)
        self._drain()

    def reinvite(self, invite: InviteId, sdp: str) -> None:
        """See `UserAgent.reinvite`."""
        self._ua.reinvite(self._now(), invite, sdp)
        self._drain()

    def answer_reinvite(self, invite: InviteId, sdp: str | None = None, status: int = 200) -> None:
        """See `UserAgent.answer_reinvite`."""
        self._ua.answer_reinvite(self._now(), invite, sdp, status)
        self._drain()

    def send_info(self, invite: InviteId, content_type: str, body: bytes) -> None:
        """See `UserAgent.send_info`."""
        self._ua.send_info(self._now(), invite, content_type, body)
        self._drain()

    def refer(self, invite: InviteId, request: ReferRequest) -> ReferId:
        """See `UserAgent.refer`."""
        refer = self._ua.refer(self._now(), invite, request)
        self._drain()
        return refer

    def answer_refer(self, refer: ReferId, status: int = 202, reason: str | None = None) -> None:
        """See `UserAgent.answer_refer`."""
        self._ua.answer_refer(self._now(), refer, status, reason)
        self._drain()

    def notify_refer(self, refer: ReferId, status: int, reason: str | None = None) -> None:
        """See `UserAgent.notify_refer`."""
        self._ua.notify_refer(self._now(), refer, status, reason)
        self._drain()

    def respond(
        self,
        request: IncomingRequestId,
        status: int,
        *,
        reason: str | None = None,
        headers: HeaderFields = (),
        body: bytes = b"",
    ) -> None:
        """See `UserAgent.respond`."""
        self._ua.respond(self._now(), request, status, reason=reason, headers=headers, body=body)
        self._drain()

    # --- what comes in ---

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _handle_data(self, data: bytes, path: Path) -> None:
        self._guard(lambda: self._ua.handle_datagram(self._now(), data, path))

    def _handle_unreachable(self, path: Path) -> None:
        self._guard(lambda: self._ua.handle_unreachable(self._now(), path))

    def _handle_timeout(self) -> None:
        self._timer = None
        self._guard(lambda: self._ua.handle_timeout(self._now()))

    def _guard(self, turn: Callable[[], None]) -> None:
        """Run one turn of the core; an error of ours costs this turn, not the node."""
        try:
            turn()
        except Exception:
            self._counters["internal_errors"] += 1
            _log.exception("sip_turn_failed")
        self._drain()

    # --- what goes out ---

    def _drain(self) -> None:
        """Empty all polls, then arm the one timer."""
        is_moving = True
        while is_moving:
            is_moving = False
            while (query := self._ua.poll_query()) is not None:
                is_moving = True
                self._find_routes(query)
            while (transmit := self._ua.poll_transmit()) is not None:
                is_moving = True
                if not self._sockets.send(transmit):
                    self._ua.handle_unreachable(self._now(), transmit.path)
        if self._delivery is None:
            self._delivery = asyncio.get_running_loop().call_soon(self._deliver)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._ua.poll_timeout()
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._handle_timeout)
        if self._is_stopping and self._ua.is_idle:
            self._idle.set()

    def _deliver(self) -> None:
        self._delivery = None
        while (event := self._ua.poll_event()) is not None:
            try:
                self._on_event(event)
            except Exception:
                self._counters["internal_errors"] += 1
                _log.exception("sip_event_failed", event_type=type(event).__name__)

    # --- routes ---

    def _find_routes(self, query: RouteQuery) -> None:
        """Answer at once for an address, later for a name."""
        literal = ip_literal(query.hop.host)
        if literal is not None:
            self._ua.handle_routes(self._now(), query.id, self._paths(query.hop, [literal]))
            return
        task = asyncio.get_running_loop().create_task(self._look_up(query))
        self._lookups.add(task)
        task.add_done_callback(self._lookups.discard)

    async def _look_up(self, query: RouteQuery) -> None:
        addresses = await self._resolver.addresses(query.hop.host)
        self._guard(lambda: self._ua.handle_routes(self._now(), query.id, self._paths(query.hop, addresses)))

    def _paths(self, hop: Hop, addresses: Sequence[str]) -> list[Path]:
        """Paths to each address that one of our listeners can reach. Without a transport, UDP goes before TCP."""
        transports = [hop.transport] if hop.transport is not None else list(Transport)
        found: list[Path] = []
        for host in addresses:
            remote: Address = (host, hop.port or DEFAULT_PORT)
            locals_ = ((transport, self._sockets.local_address(transport, remote)) for transport in transports)
            usable = next(((transport, local) for transport, local in locals_ if local is not None), None)
            if usable is not None:
                found.append(Path(usable[0], usable[1], remote))
        return found
