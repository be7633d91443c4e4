"""Deadlines of all machines of one user agent, in one queue.

Owns order and cancellation; never reads a clock.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Protocol


class TimerOwner(Protocol):
    """Anything that sets timers. Compared by identity."""

    def handle_timer(self, now: float, name: str) -> None:
        """Act on a timer that is due; it is no longer set."""


_Key = tuple[TimerOwner, str]
_Entry = tuple[float, int, _Key]
"""Deadline, number, whose it is. The number tells entries of one deadline apart before owners are compared."""


class TimerQueue:
    """Timers by owner and name; setting one again replaces it."""

    __slots__ = ("_entries", "_heap", "_serial")

    def __init__(self) -> None:
        self._entries: dict[_Key, _Entry] = {}
        self._heap: list[_Entry] = []
        """What was set; it is live if it is still the entry of its owner and name."""
        self._serial = count()

    def set(self, owner: TimerOwner, name: str, deadline: float) -> None:
        """Make the timer due at deadline. Equal deadlines run in the order of setting."""
        entry = (deadline, next(self._serial), (owner, name))
        self._entries[entry[2]] = entry
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 64 + 4 * len(self._entries):
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)

    def cancel(self, owner: TimerOwner, name: str) -> None:
        """Forget the timer; no error if it is not set."""
        self._entries.pop((owner, name), None)

    def is_set(self, owner: TimerOwner, name: str) -> bool:
        """Whether the timer waits."""
        return (owner, name) in self._entries

    def next_deadline(self) -> float | None:
        """When the earliest timer is due."""
        heap, entries = self._heap, self._entries
        while heap and entries.get(heap[0][2]) is not heap[0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> tuple[TimerOwner, str] | None:
        """Take the earliest timer that is due."""
        deadline = self.next_deadline()
        if deadline is None or deadline > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._entries[key]
        return key

    def __len__(self) -> int:
        return len(self._entries)
