"""What waits to be read, bounded: calls that stand before calls that want to begin, and of those each sender in turn.

Owns the order in which messages are taken, and whom it turns away with 503 while there is too much: by how many wait,
in all and of one sender, and by how long a message has waited, so that neither memory nor delay grows with the flood,
and he who floods is the one who waits. It looks at a few bytes of a message only; that is what makes a refusal cheap.
RFC 3261 section 21.5.4; RFC 7339 names the problem.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from trunkline.sip.parser import is_keep_alive
from trunkline.sip.types import Path

MAX_WAITING = 8_192
"""Messages of calls that stand, and as many of calls that want to begin."""
MAX_WAITING_OF_ONE = 1_024
"""Messages of calls that want to begin, of one sender: the others keep their room."""
MAX_WAIT_S = 0.25
"""A new call that has waited longer is refused: its caller would hear nothing for at least that long."""
RETRY_AFTER_S = 5

_CANCEL = b"CANCEL "
_NEW = re.compile(rb"(?:INVITE|REGISTER|OPTIONS|SUBSCRIBE|MESSAGE|PUBLISH|REFER|NOTIFY) ")
_TO_TAG = re.compile(rb"\r\n(?:To|t)[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=", re.IGNORECASE)
_ECHOED = re.compile(
    rb"^(?:Via|v|From|f|To|t|Call-ID|i|CSeq)[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n", re.IGNORECASE | re.MULTILINE
)
_MAX_HEAD_BYTES = 8_192

IsKnown = Callable[[bytes], bool]
"""Whether a request is a copy of one that was taken, so that it must not be refused."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One message. arrived: when it was read from its socket."""

    arrived: float
    data: bytes
    path: Path


class Turns:
    """Messages of several senders, each sender's in their order, and one of each before the second of any.

    A sender is a host: who opens more ports or connections gets no more turns.
    """

    def __init__(self) -> None:
        self._by_sender: dict[str, deque[Waiting]] = {}
        """Never an empty queue; the first is next. Only those are here who wait, so it is as bounded as they are."""
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def has_room(self, path: Path) -> bool:
        """Whether one more message may wait that came by this path."""
        own = self._by_sender.get(path.remote[0], ())
        return self._length < MAX_WAITING and len(own) < MAX_WAITING_OF_ONE

    def append(self, waiting: Waiting) -> None:
        """Put one message behind its sender's others."""
        self._by_sender.setdefault(waiting.path.remote[0], deque()).append(waiting)
        self._length += 1

    def popleft(self) -> Waiting:
        """Take the first message of the sender whose turn it is; IndexError if nobody waits."""
        sender = next(iter(self._by_sender), None)
        if sender is None:
            raise IndexError("nobody waits")
        queue = self._by_sender.pop(sender)
        waiting = queue.popleft()
        if queue:
            self._by_sender[sender] = queue
        self._length -= 1
        return waiting


class Intake:
    """What stands and what is new. Offer what is read; take what is to be handled next."""

    def __init__(self, counters: Counter[str], is_known: IsKnown) -> None:
        self._counters = counters
        self._is_known = is_known
        self._standing: deque[Waiting] = deque()
        self._new = Turns()

    def __len__(self) -> int:
        return len(self._standing) + len(self._new)

    def offer(self, now: float, data: bytes, path: Path) -> bytes | None:
        """Queue one message; None, or the refusal to send back where it is a new request and there is no room."""
        is_new = is_new_request(data)
        # A CANCEL keeps its place behind the INVITE that it means.
        if is_new or data.startswith(_CANCEL):
            if self._new.has_room(path):
                self._new.append(Waiting(now, data, path))
                return None
        elif len(self._standing) < MAX_WAITING:
            self._standing.append(Waiting(now, data, path))
            return None
        self._counters["overload"] += 1
        return refusal(data) if is_new and not self._is_known(data) else None

    def take(self, now: float) -> tuple[Waiting, bytes | None] | None:
        """Return the next message, with a refusal if it has waited too long to be handled; None if none waits."""
        if self._standing:
            return self._standing.popleft(), None
        if not self._new:
            return None
        waiting = self._new.popleft()
        is_late = now - waiting.arrived > MAX_WAIT_S
        if not is_late or waiting.data.startswith(_CANCEL) or self._is_known(waiting.data):
            return waiting, None
        self._counters["overload"] += 1
        return waiting, refusal(waiting.data)


def is_new_request(data: bytes) -> bool:
    """Whether this begins something: a request that belongs to no dialog and no transaction of ours yet."""
    if is_keep_alive(data):
        return False
    return _NEW.match(data) is not None and _TO_TAG.search(data[:_MAX_HEAD_BYTES]) is None


def refusal(data: bytes) -> bytes:
    """Write 503 to a request from its bytes alone, without state. The caller's ACK is absorbed.

    RFC 3261 section 8.2.7: stateless, so every copy of the request gets the same To tag, namely none of ours but a
    fixed one.
    """
    head = data[:_MAX_HEAD_BYTES].partition(b"\r\n\r\n")[0] + b"\r\n"
    lines = [_tagged(line) for line in _ECHOED.findall(head)]
    tail = b"Retry-After: %d\r\nContent-Length: 0\r\n\r\n" % RETRY_AFTER_S
    return b"SIP/2.0 503 Service Unavailable\r\n" + b"".join(lines) + tail


def _tagged(line: bytes) -> bytes:
    name = line.partition(b":")[0].strip().lower()
    return line.rstrip(b"\r\n") + b";tag=busy\r\n" if name in (b"to", b"t") else line
