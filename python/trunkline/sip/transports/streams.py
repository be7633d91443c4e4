"""SHELL: one connection of any kind, accepted or opened.

Owns its reading and writing, its limits and its signs of life. What the bytes mean is the framing's.
RFC 3261 section 18; RFC 5626 section 4.4.1 (keep-alives: no pong within ten seconds ends the flow).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol, cast

from trunkline.errors import ConnectFailed, SipParseError
from trunkline.sip.transports.framing import Framing
from trunkline.sip.transports.listening import StreamLimits
from trunkline.sip.types import Address, Path, Transport

Key = tuple[Transport, Address, str]
"""What leads to a connection: its kind, the peer's address, and the name that the peer must prove, empty for any."""
MAX_UNSENT_BYTES = 1 << 20
_FIRST_MESSAGE_LIMIT_S = 30.0
_HANDSHAKE_LIMIT_S = 10.0
_PONG_LIMIT_S = 10.0


class StreamOwner(Protocol):
    """Who keeps the books of connections and gets their messages."""

    counters: Counter[str]
    limits: StreamLimits

    def on_data(self, data: bytes, path: Path) -> None:
        """Take one message."""

    def admit(self, connection: Connection, remote: Address) -> int | None:
        """Give a new connection its number; None if there are too many."""

    def register(self, connection: Connection, path: Path) -> None:
        """Let requests to this peer find the connection."""

    def dismiss(self, connection: Connection, path: Path, detail: str) -> None:
        """Strike a closed connection out. detail: why it never opened, empty if it did."""


class Connection(asyncio.Protocol):
    """One connection.

    local_port: of our listener, where the peer can call back. server_name: whom we called, empty if accepted.
    aliases: by which other keys the owner finds it.
    """

    def __init__(
        self,
        owner: StreamOwner,
        framing: Framing,
        kind: Transport,
        local_port: int,
        *,
        server_name: str = "",
        is_accepted: bool,
    ) -> None:
        self.is_accepted = is_accepted
        self.path: Path | None = None
        self.aliases: set[Key] = set()
        self._owner = owner
        self._framing = framing
        self._kind = kind
        self._local_port = local_port
        self._server_name = server_name
        self._transport: asyncio.Transport | None = None
        self._is_open = False
        self._has_spoken = False
        self._unsent_bytes = 0
        self._detail = ""
        self._opened_at = self._last_heard = self._last_ping = 0.0
        self._pongs_at_ping: int | None = None
        self._watch: asyncio.TimerHandle | None = None

    # --- of the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if there is room."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        peer, ours = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        number = None if not peer or not ours else self._owner.admit(self, peer[:2])
        if number is None:
            self._transport.abort()
            return
        self.path = Path(self._kind, (ours[0], self._local_port), peer[:2], number, self._server_name)
        self._owner.register(self, self.path)
        self._opened_at = self._last_heard = self._last_ping = self._now()
        self._framing.start()
        self._write_output()
        self._watch_next()

    def data_received(self, data: bytes) -> None:
        """Pass whole messages on; close what cannot be read."""
        assert self.path is not None
        self._last_heard = self._now()
        try:
            for message in self._framing.feed(data):
                self._has_spoken = True
                self._owner.on_data(message, self.path)
        except SipParseError:
            self._owner.counters["framing_lost"] += 1
            self._hang_up()
        except ConnectFailed as error:
            self._owner.counters["handshakes_failed"] += 1
            self._detail = str(error)
            self._hang_up()
        else:
            if self._framing.has_ended:
                self._hang_up()
            else:
                self._write_output()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the books."""
        if self._watch is not None:
            self._watch.cancel()
        if self.path is not None:
            if not self._framing.is_open and not self._detail:
                self._detail = f"{self._kind.upper()}: the peer closed the connection during the handshake"
            self._owner.dismiss(self, self.path, self._detail)

    # --- of the owner ---

    @property
    def peer_names(self) -> frozenset[str]:
        """Names that the peer's certificate has proved; none without TLS, or where no certificate was asked for."""
        return self._framing.peer_names

    def send(self, message: bytes) -> None:
        """Write; a peer that does not read is cut off."""
        if self._transport is None or self._transport.is_closing():
            return
        self._has_spoken = True
        if not self._framing.is_open:
            self._unsent_bytes += len(message)
        if max(self._unsent_bytes, self._transport.get_write_buffer_size()) > MAX_UNSENT_BYTES:
            self._owner.counters["slow_readers"] += 1
            self._transport.abort()
            return
        self._framing.send(message)
        self._write_output()

    def close(self) -> None:
        """Close at once; what is unsent is lost."""
        if self._transport is not None:
            self._transport.abort()

    # --- output ---

    def _write_output(self) -> None:
        assert self._transport is not None
        output = self._framing.take_output()
        if output:
            self._transport.write(output)
        if self._framing.is_open and not self._is_open:
            self._is_open = True
            self._unsent_bytes = 0
            self._watch_next()

    def _hang_up(self) -> None:
        """Say why, as far as the protocol can, and close."""
        assert self._transport is not None
        self._framing.close()
        self._write_output()
        self._transport.close()

    # --- limits and signs of life ---

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _watch_next(self) -> None:
        """Look again at the next moment at which something can be due."""
        if self._watch is not None:
            self._watch.cancel()
        now = self._now()
        due = self._last_heard + self._silence_limit_s()
        if not self._framing.is_open:
            due = min(due, self._opened_at + _HANDSHAKE_LIMIT_S)
        elif self._pongs_at_ping is not None:
            due = min(due, self._last_ping + _PONG_LIMIT_S)
        elif self._keeps_alive:
            due = min(due, self._last_ping + self._owner.limits.keep_alive_s)
        self._watch = asyncio.get_running_loop().call_later(max(0.0, due - now), self._check)

    @property
    def _keeps_alive(self) -> bool:
        return not self.is_accepted or self._kind.is_websocket

    def _silence_limit_s(self) -> float:
        idle_s = self._owner.limits.idle_s
        return idle_s if self._has_spoken else min(idle_s, _FIRST_MESSAGE_LIMIT_S)

    def _check(self) -> None:
        """Close what is too slow, too silent or dead; else ping when that is due."""
        now = self._now()
        if not self._framing.is_open and now - self._opened_at >= _HANDSHAKE_LIMIT_S:
            self._owner.counters["handshakes_failed"] += 1
            self._detail = f"{self._kind.upper()}: the handshake took too long"
            self.close()
        elif now - self._last_heard >= self._silence_limit_s():
            self._owner.counters["idle_closed"] += 1
            self.close()
        elif self._is_dead(now):
            self._owner.counters["flows_lost"] += 1
            self.close()
        else:
            self._ping_if_due(now)
            self._watch_next()

    def _is_dead(self, now: float) -> bool:
        """Whether a ping has stayed unanswered, by a peer that answers pings."""
        if self._pongs_at_ping is None or now - self._last_ping < _PONG_LIMIT_S:
            return False
        is_silent = self._last_heard < self._last_ping
        answers_pings = self._kind.is_websocket or self._pongs_at_ping > 0
        self._pongs_at_ping = None
        return is_silent and answers_pings

    def _ping_if_due(self, now: float) -> None:
        if self._keeps_alive and self._framing.is_open and now - self._last_ping >= self._owner.limits.keep_alive_s:
            self._last_ping = now
            self._pongs_at_ping = self._framing.pongs
            self._framing.ping()
            self._write_output()
