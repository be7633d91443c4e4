"""What a UAS repeats until it is acknowledged: the 2xx of an INVITE, and reliable provisional responses.

RFC 3261 section 13.3.1.4; RFC 3262 section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from weakref import proxy

from trunkline.sip.core import Core
from trunkline.sip.headers import RAck
from trunkline.sip.message import Response
from trunkline.sip.transaction import ServerTransaction
from trunkline.sip.types import EndCause

_REPEAT = "repeat"
_LOST = "lost"


class Call(Protocol):
    """Whose answers these are. It keeps them, not they it."""

    def lose(self, now: float, cause: EndCause, status: int | None = None) -> None:
        """End, since the far side does not show that it is there."""


class RingingCall(Protocol):
    """Whose provisional responses these are. It keeps them, not they it."""

    def lose_prack(self, now: float) -> None:
        """End: the caller acknowledges nothing."""


class RepeatedAnswer:
    """A 2xx, sent again on any transport until its ACK comes. call: is lost if there was none within 64*T1."""

    def __init__(self, core: Core, call: Call) -> None:
        self._core = core
        self._call: Call = proxy(call)
        self._waiting: tuple[ServerTransaction, Response] | None = None
        self._interval_s = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether a 2xx has no ACK yet."""
        return self._waiting is not None

    def send(self, now: float, transaction: ServerTransaction, response: Response) -> None:
        """Send it, for the first time."""
        self._waiting = (transaction, response)
        self._interval_s = self._core.timing.t1
        transaction.respond(now, response)
        self._core.timers.set(self, _REPEAT, now + self._interval_s)
        self._core.timers.set(self, _LOST, now + self._core.time_limit_s)

    def acknowledge(self, cseq: int) -> ServerTransaction | None:
        """Stop at the ACK of this number; returns what was answered, None if nothing waited for it."""
        if self._waiting is None or self._waiting[0].request.cseq.number != cseq:
            return None
        transaction, _ = self._waiting
        self.stop()
        return transaction

    def stop(self) -> None:
        """Repeat no longer."""
        self._waiting = None
        self._core.timers.cancel(self, _REPEAT)
        self._core.timers.cancel(self, _LOST)

    def handle_timer(self, now: float, name: str) -> None:
        """Repeat, or give up."""
        if self._waiting is None:
            return
        if name == _LOST:
            self.stop()
            self._call.lose(now, EndCause.NO_ACK)
            return
        transaction, response = self._waiting
        transaction.respond(now, response)
        self._interval_s = min(2 * self._interval_s, self._core.timing.t2)
        self._core.timers.set(self, _REPEAT, now + self._interval_s)


@dataclass(frozen=True, slots=True)
class _Numbered:
    number: int
    response: Response


class ReliableProvisionals:
    """Reliable 1xx of one INVITE, one after the other.   RFC 3262 section 3.

    call: is told if one had no PRACK within 64*T1.
    """

    def __init__(self, core: Core, transaction: ServerTransaction, call: RingingCall) -> None:
        self._core = core
        self._transaction = transaction
        self._call: RingingCall = proxy(call)
        self._number = 0
        self._queue: list[_Numbered] = []
        self._interval_s = 0.0

    @property
    def holds_description(self) -> bool:
        """Whether a description waits for its PRACK: no 2xx may be sent before.   RFC 3262 section 5."""
        return any(waiting.response.body for waiting in self._queue)

    def send(self, now: float, response: Response) -> None:
        """Send a provisional response, once those before it have their PRACK."""
        self._number = self._number + 1 if self._number else self._core.rng.randrange(1, 2**31)
        response.headers.add("Require", "100rel")
        response.headers.add("RSeq", str(self._number))
        self._queue.append(_Numbered(self._number, response))
        if len(self._queue) == 1:
            self._begin(now)

    def acknowledge(self, now: float, rack: RAck) -> Response | None:
        """Take a PRACK; returns the response that it is for, None if it is for none that waits."""
        if not self._queue or rack.number != self._queue[0].number or rack.cseq != self._transaction.request.cseq:
            return None
        acknowledged = self._queue.pop(0)
        self._cancel()
        if self._queue:
            self._begin(now)
        return acknowledged.response

    def stop(self) -> None:
        """Repeat no longer: the INVITE has its final response."""
        self._queue.clear()
        self._cancel()

    def handle_timer(self, now: float, name: str) -> None:
        """Repeat, or give up. The interval doubles without a ceiling (RFC 3262 section 3)."""
        if name == _LOST:
            self.stop()
            self._call.lose_prack(now)
        elif self._queue:
            self._transaction.respond(now, self._queue[0].response)
            self._interval_s *= 2
            self._core.timers.set(self, _REPEAT, now + self._interval_s)

    def _begin(self, now: float) -> None:
        self._interval_s = self._core.timing.t1
        self._transaction.respond(now, self._queue[0].response)
        self._core.timers.set(self, _REPEAT, now + self._interval_s)
        self._core.timers.set(self, _LOST, now + self._core.time_limit_s)

    def _cancel(self) -> None:
        self._core.timers.cancel(self, _REPEAT)
        self._core.timers.cancel(self, _LOST)
