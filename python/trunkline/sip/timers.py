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


class TimerQueue:
    """Timers by owner and name; setting one again replaces it."""

    __slots__ = ("_deadlines", "_heap", "_serial")

    def __init__(self) -> None:
        self._deadlines: dict[tuple[TimerOwner, str], tuple[float, int]] = {}
        self._heap: list[tuple[float, int, TimerOwner, str]] = []
        self._serial = count()

    def set(self, owner: TimerOwner, name: str, deadline: float) -> None:
        """Make the timer due at deadline. Equal deadlines run in the order of setting."""
        serial = next(self._serial)
        self._deadlines[(owner, name)] = (deadline, serial)
        heapq.heappush(self._heap, (deadline, serial, owner, name))
        if len(self._heap) > 64 + 4 * len(self._deadlines):
            self._heap = [entry for entry in self._heap if self._is_live(entry)]
            heapq.heapify(self._heap)

    def cancel(self, owner: TimerOwner, name: str) -> None:
        """Forget the timer; no error if it is not set."""
        self._deadlines.pop((owner, name), None)

    def is_set(self, owner: TimerOwner, name: str) -> bool:
        """Whether the timer waits."""
        return (owner, name) in self._deadlines

    def next_deadline(self) -> float | None:
        """When the earliest timer is due."""
        while self._heap and not self._is_live(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> tuple[TimerOwner, str] | None:
        """Take the earliest timer that is due."""
        deadline = self.next_deadline()
        if deadline is None or deadline > now:
            return None
        _, _, owner, name = heapq.heappop(self._heap)
        del self._deadlines[(owner, name)]
        return owner, name

    def __len__(self) -> int:
        return len(self._deadlines)

    def _is_live(self, entry: tuple[float, int, TimerOwner, str]) -> bool:
        deadline, serial, owner, name = entry
        return self._deadlines.get((owner, name)) == (deadline, serial)
