"""SHELL: the event loop's side of the SIP user agent.

Owns the clock, the one timer, the course of look-ups and the order in which a user agent's polls are drained;
`transports` own bytes. Knows nothing of dialogs or calls.   RFC 3261 section 18.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from random import Random, SystemRandom

from trunkline.observability.logging import get_logger
from trunkline.sip.finding.targets import Question, Search, Target, target_of_address
from trunkline.sip.resolver import DnsResolver, Resolver
from trunkline.sip.transports.intake import Intake
from trunkline.sip.transports.listening import Listener, StreamLimits
from trunkline.sip.transports.network_watch import NetworkWatch
from trunkline.sip.transports.sockets import Sockets
from trunkline.sip.transports.tls import TlsSettings
from trunkline.sip.types import (
    Account,
    Event,
    HeaderFields,
    IncomingRequestId,
    InviteId,
    InviteRequest,
    MessageId,
    MessageRequest,
    Path,
    ProbeId,
    ReferId,
    ReferRequest,
    RegisterRequest,
    RegistrationId,
    RequestId,
    RouteQuery,
    Transmit,
    Transport,
)
from trunkline.sip.ua import UserAgent

__all__ = ["Listener", "SipShell", "StreamLimits", "TlsSettings"]

_TURN_S = 0.01
"""How long messages are handled before the sockets are looked at again."""
_TIMERS_PER_TURN = 16
"""How many deadlines are served before messages get their turn: bindings that began together are
refreshed together."""
UDP_MAX_BYTES = 1_300
"""RFC 3261 section 18.1.1, for a path whose MTU is not known."""

_log = get_logger(__name__)


class SipShell:
    """Drives one user agent on the running event loop.

    rng: draws among equal servers. udp_max_bytes: a longer request goes by TCP where that works.
    tls: of TLS and WSS, both ways; ConfigError if its files cannot be used. origins: pages that may open a WebSocket.
    on_event: called for each event, in order, from the loop and never from within a verb. It may call any verb.
    """

    _loop: asyncio.AbstractEventLoop
    """The one that `start` ran on. To look it up for every message takes longer than to read its clock."""

    def __init__(
        self,
        ua: UserAgent,
        listeners: Sequence[Listener],
        on_event: Callable[[Event], None],
        *,
        rng: Random | None = None,
        resolver: Resolver | None = None,
        limits: StreamLimits | None = None,
        tls: TlsSettings | None = None,
        origins: Sequence[str] = ("*",),
        udp_max_bytes: int = UDP_MAX_BYTES,
    ) -> None:
        self._ua = ua
        self._on_event = on_event
        self._rng = rng or SystemRandom()
        self._resolver = resolver or DnsResolver()
        self._udp_max_bytes = udp_max_bytes
        self._sockets = Sockets(
            listeners,
            limits or StreamLimits(),
            on_data=self._handle_data,
            on_unreachable=self._handle_unreachable,
            tls=tls,
            origins=origins,
        )
        self._network = NetworkWatch(self._handle_network_change)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._delivery: asyncio.Handle | None = None
        self._reading: asyncio.Handle | None = None
        self._lookups: set[asyncio.Task[None]] = set()
        self._counters: Counter[str] = Counter()
        self._intake = Intake(self._counters, ua.has_taken)
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
        """Bind and listen, on the running loop from now on. ConnectFailed if an address cannot be bound."""
        self._loop = asyncio.get_running_loop()
        await self._sockets.open()
        self._network.start()

    async def stop(self, timeout_s: float = 3.0) -> None:
        """Hang up, de-register, close all sockets; returns within timeout_s."""
        self._is_stopping = True
        self._network.stop()
        self._ua.shutdown(self._now())
        self._drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        for handle in (self._timer, self._delivery, self._reading):
            if handle is not None:
                handle.cancel()
        for task in self._lookups:
            task.cancel()
        await asyncio.gather(*self._lookups, return_exceptions=True)
        await self._resolver.close()
        self._deliver()
        await self._sockets.close()

    # --- verbs of the application ---

    def close(self) -> None:
        """See `UserAgent.close`."""
        self._ua.close()

    def register(self, account: Account, expires_s: int = 600) -> RegistrationId:
        """See `UserAgent.register`."""
        registration = self._ua.register(self._now(), account, expires_s)
        self._drain()
        return registration

    def unregister(self, registration: RegistrationId) -> None:
        """See `UserAgent.unregister`."""
        self._ua.unregister(self._now(), registration)
        self._drain()

    def probe(self, account: Account, timeout_s: float) -> ProbeId:
        """See `UserAgent.probe`."""
        probe = self._ua.probe(self._now(), account, timeout_s)
        self._drain()
        return probe

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

    def refuse(self, invite: InviteId, status: int, reason: str | None = None, headers: HeaderFields = ()) -> None:
        """See `UserAgent.refuse`."""
        self._ua.refuse(self._now(), invite, status, reason, headers)
        self._drain()

    def move(self, invite: InviteId, flow: Path) -> None:
        """See `UserAgent.move`."""
        self._ua.move(invite, flow)

    def reinvite(self, invite: InviteId, sdp: str | None) -> None:
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

    def send_message(self, message: MessageRequest) -> MessageId:
        """See `UserAgent.send_message`."""
        message_id = self._ua.send_message(self._now(), message)
        self._drain()
        return message_id

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

    def forward_register(self, request: RegisterRequest) -> RequestId:
        """See `UserAgent.forward_register`."""
        forwarded = self._ua.forward_register(self._now(), request)
        self._drain()
        return forwarded

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
        return self._loop.time()

    def _handle_data(self, data: bytes, path: Path) -> None:
        """Queue what a socket has read; the turn that takes it comes once all sockets have been looked at."""
        refusal = self._intake.offer(self._now(), data, path)
        if refusal is not None:
            self._sockets.send(Transmit(path, refusal))
        if self._reading is None:
            self._reading = self._loop.call_soon(self._read)

    def _read(self) -> None:
        """Handle what waits, for a bounded time: then the sockets are emptied again, and timers run."""
        self._reading = None
        now = self._now()
        until = now + _TURN_S
        while (taken := self._intake.take(now)) is not None:
            waiting, refusal = taken
            if refusal is not None:
                self._sockets.send(Transmit(waiting.path, refusal))
            else:
                self._guard(partial(self._ua.handle_datagram, now, waiting.data, waiting.path))
            now = self._now()
            if now >= until:
                self._reading = self._loop.call_soon(self._read)
                return

    def _handle_unreachable(self, path: Path, detail: str) -> None:
        self._guard(lambda: self._ua.handle_unreachable(self._now(), path, detail))

    def _handle_network_change(self) -> None:
        self._counters["network_changes"] += 1
        self._guard(lambda: self._ua.handle_network_change(self._now()))

    def _handle_timeout(self) -> None:
        self._timer = None
        self._guard(lambda: self._ua.handle_timeout(self._now(), most=_TIMERS_PER_TURN))

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
            while (alias := self._ua.poll_alias()) is not None:
                self._sockets.note_alias(alias)
            while (transmit := self._ua.poll_transmit()) is not None:
                is_moving = True
                if not self._sockets.send(transmit):
                    self._ua.handle_unreachable(self._now(), transmit.path)
        if self._delivery is None:
            self._delivery = self._loop.call_soon(self._deliver)
        self._arm()
        if self._is_stopping and self._ua.is_idle:
            self._idle.set()

    def _arm(self) -> None:
        """Have the timer go off soon after something is due. One that goes off too early costs less than a new one.

        Most deadlines are far away and withdrawn before they come. What is due within the slack of each other is done
        in one go: every call leaves transactions behind that end one by one, and a wake-up costs more than their end.
        """
        deadline = self._ua.poll_timeout()
        if deadline is None:
            return
        latest = deadline + self._ua.timer_slack_s
        if self._timer is not None and self._timer_at <= latest:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline if deadline <= self._now() else latest
        self._timer = self._loop.call_at(self._timer_at, self._handle_timeout)

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
        """Answer at once for an open flow and for an address, later for a name."""
        flow = query.hop.flow
        if flow is not None:
            is_open = self._sockets.is_open(flow)
            if is_open or flow.transport.is_websocket:  # behind a browser's connection nobody listens
                self._ua.handle_routes(self._now(), query.id, [flow] if is_open else [])
                return
        known = target_of_address(query.hop, self._sockets.usable_transports)
        if known is not None:
            self._ua.handle_routes(self._now(), query.id, self._paths(query, (known,)))
            return
        search = Search(query.hop, self._sockets.usable_transports, self._rng)
        questions = search.poll_questions()
        if not questions:
            self._ua.handle_routes(self._now(), query.id, self._paths(query, search.targets))
            return
        task = self._loop.create_task(self._look_up(query, search, questions))
        self._lookups.add(task)
        task.add_done_callback(self._lookups.discard)

    async def _look_up(self, query: RouteQuery, search: Search, questions: Sequence[Question]) -> None:
        while questions:
            answers = await asyncio.gather(*(self._resolver.look_up(question) for question in questions))
            for question, records in zip(questions, answers, strict=True):
                search.handle_answer(question, records)
            questions = search.poll_questions()
        self._guard(lambda: self._ua.handle_routes(self._now(), query.id, self._paths(query, search.targets)))

    def _paths(self, query: RouteQuery, targets: Sequence[Target]) -> list[Path]:
        """Make paths to the targets that we can reach, in their order.

        What is too long for UDP goes by TCP first; a server without TCP refuses that at once.   RFC 3261 18.1.1.
        """
        found: list[Path] = []
        for target in targets:
            transports = [target.transport]
            if target.transport is Transport.UDP and query.size_bytes > self._udp_max_bytes:
                transports.insert(0, Transport.TCP)
            for transport in transports:
                local = self._sockets.local_address(transport, target.remote)
                if local is not None:
                    name = query.hop.host if transport.is_secure else ""
                    found.append(Path(transport, local, target.remote, server_name=name))
        return found
