"""The ways to registrars, kept open: pings through NATs, and the news that a way is lost.

Owns one keep-alive for each way, whatever number of registrations hang on it. A stream's connection watches its own
pongs (`transports.streams`) and pings by itself; here it is pinged only as often as its registrar asks. Over UDP a
registrar that speaks RFC 5626 is asked by STUN, which also shows that a NAT has given us another address; any other
gets CRLFs, which nobody answers.   RFC 5626 sections 4.4, 4.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trunkline.sip.bindings.stun import TRANSACTION_BYTES, binding_request, mapped_address
from trunkline.sip.core import Core
from trunkline.sip.parser import PING
from trunkline.sip.types import Address, Hop, Path, Transport

_PING = "ping"
_SILENCE = "silence"
_FIRST_WAIT_S = 0.5
_TRIES = 5
"""Of one STUN request, each waiting twice as long as the last: 15.5 s in all (RFC 8489 section 6.2.1)."""
_USERS_PER_S = 500
"""Registrations that are told of a loss in a second, so that a server which comes back is not flooded."""
_Key = tuple[Transport, Address, str]


class FlowUser(Protocol):
    """Who hangs on a way to a server."""

    def handle_flow_lost(self, now: float, delay_s: float) -> None:
        """Learn that it is gone; act after the delay."""


class KeepAlive:
    """All ways of one user agent that are kept open."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._flows: dict[_Key, _Flow] = {}
        self._flow_of: dict[FlowUser, _Flow] = {}

    def keep(
        self,
        now: float,
        user: FlowUser,
        hop: Hop,
        path: Path,
        *,
        flow_timer_s: int | None = None,
        is_outbound: bool = False,
    ) -> None:
        """Keep the way to a hop open until `release`, or until it is lost.

        flow_timer_s: how long the server lets it be silent. is_outbound: whether it speaks RFC 5626.
        """
        key = _key(path)
        flow = self._flows.get(key)
        if self._flow_of.get(user) is not flow:
            self.release(user)
        if flow is None:
            flow = self._flows[key] = _Flow(self._core, self, hop, path)
        flow.users[user] = None
        self._flow_of[user] = flow
        flow.agree(now, flow_timer_s, asks_stun=is_outbound and path.transport is Transport.UDP)

    def release(self, user: FlowUser) -> None:
        """Stop for this user; nothing if it keeps none."""
        flow = self._flow_of.pop(user, None)
        if flow is not None:
            del flow.users[user]
            if not flow.users:
                flow.stop()
                self._flows.pop(_key(flow.path), None)

    def handle_unreachable(self, now: float, path: Path) -> None:
        """Learn that the transport could not deliver to this peer, or that its connection has closed."""
        flow = self._flows.get(_key(path))
        if flow is not None:
            self.lose(now, flow)

    def handle_network_change(self, now: float) -> None:
        """Look whether each way still begins at the same address of ours."""
        for flow in self._flows.values():
            flow.check()

    def handle_stun(self, now: float, data: bytes, path: Path) -> None:
        """Take what may be the answer to a ping."""
        flow = self._flows.get(_key(path))
        if flow is not None:
            flow.handle_stun(now, data)

    def lose(self, now: float, flow: _Flow) -> None:
        """Give a way up and tell all who hang on it, one after the other."""
        self._core.counters["registrar_flows_lost"] += 1
        users = tuple(flow.users)
        for user in users:
            self.release(user)
        for number, user in enumerate(users):
            user.handle_flow_lost(now, number / _USERS_PER_S)


class _Flow:
    """One way to a server."""

    def __init__(self, core: Core, keeper: KeepAlive, hop: Hop, path: Path) -> None:
        self.path = path
        self._hop = hop
        self._query: int | None = None
        self.users: dict[FlowUser, None] = {}
        self._core = core
        self._keeper = keeper
        self._limit_s: float | None = None
        self._asks_stun = False
        self._has_answered = False
        self._is_deaf = False
        self._asked: bytes | None = None
        self._tries = 0
        self._mapped: Address | None = None

    def agree(self, now: float, flow_timer_s: int | None, *, asks_stun: bool) -> None:
        """Take the server's terms.   RFC 5626 sections 4.4.1, 4.4.2 (24 to 29 s over UDP where it names none)."""
        is_datagram = not self.path.transport.is_reliable
        before = self._limit_s
        self._limit_s = flow_timer_s or (self._core.config.udp_keep_alive_s or None if is_datagram else None)
        self._asks_stun = asks_stun and not self._is_deaf
        if self._limit_s != before:
            self._core.timers.cancel(self, _PING)
        if self._limit_s is not None and not self._core.timers.is_set(self, _PING):
            self._next_ping(now)

    def stop(self) -> None:
        """Leave no timer and no question behind."""
        if self._query is not None:
            self._core.drop_query(self._query)
        self._core.timers.cancel(self, _PING)
        self._core.timers.cancel(self, _SILENCE)

    def handle_timer(self, now: float, name: str) -> None:
        """Ping, or ask again; a server that has never answered STUN gets CRLFs from then on."""
        if name == _PING:
            self._next_ping(now)
            if not self._asks_stun:
                self._core.transactions.transmit(self.path, PING)
            elif self._asked is None:
                self._asked, self._tries = self._core.rng.randbytes(TRANSACTION_BYTES), 0
                self._ask(now)
        elif self._tries < _TRIES:
            self._ask(now)
        elif self._has_answered:
            self._keeper.lose(now, self)
        else:
            self._asked, self._asks_stun, self._is_deaf = None, False, True

    def check(self) -> None:
        """Ask for the way again: it is lost if it would begin elsewhere now."""
        if self._query is None:
            self._query = self._core.ask_routes(self._hop, self._handle_routes)

    def _handle_routes(self, now: float, paths: Sequence[Path]) -> None:
        self._query = None
        ours = [path.local for path in paths if _key(path) == _key(self.path)]
        if ours and self.path.local not in ours:
            self._keeper.lose(now, self)

    def handle_stun(self, now: float, data: bytes) -> None:
        """Take an answer: whoever sees us at another address than before has lost the way to us."""
        mapped = None if self._asked is None else mapped_address(data, self._asked)
        if mapped is None:
            return
        self._asked, self._has_answered = None, True
        self._core.timers.cancel(self, _SILENCE)
        before, self._mapped = self._mapped, mapped
        if before not in (None, mapped):
            self._keeper.lose(now, self)

    def _ask(self, now: float) -> None:
        assert self._asked is not None
        self._core.transactions.transmit(self.path, binding_request(self._asked))
        self._core.timers.set(self, _SILENCE, now + _FIRST_WAIT_S * (1 << self._tries))
        self._tries += 1

    def _next_ping(self, now: float) -> None:
        assert self._limit_s is not None
        self._core.timers.set(self, _PING, now + self._limit_s * self._core.rng.uniform(0.8, 1.0))


def _key(path: Path) -> _Key:
    return path.transport, path.remote, path.server_name
