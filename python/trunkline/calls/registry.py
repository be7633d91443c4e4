"""Calls by id: the live ones, and for a while the ended ones.

Owns who may have an id and how many calls there are. Decides nothing else: `controller` adds and removes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from trunkline.calls.model import Call
from trunkline.errors import CallExists, CallNotFound
from trunkline.ids import CallId

RETAINED_LIMIT: Final = 10_000
"""Ended calls kept at most, whatever the retention: bounds memory."""


class Registry:
    """Live calls by id. retention_s: how long an ended call can still be found, 0 is not at all."""

    def __init__(self, retention_s: float = 0.0) -> None:
        self._retention_s = retention_s
        self._live: dict[CallId, Call] = {}
        self._ended: OrderedDict[CallId, Call] = OrderedDict()

    def __len__(self) -> int:
        """Count live calls."""
        return len(self._live)

    def add(self, call: Call) -> None:
        """Take a new call. CallExists if a live one has its id; an ended one makes way."""
        if call.id in self._live:
            raise CallExists(f"call {call.id} is alive")
        self._ended.pop(call.id, None)
        self._live[call.id] = call

    def remove(self, call: Call) -> None:
        """Move a call to the ended ones. Nothing if it is not alive."""
        if self._live.get(call.id) is not call:
            return
        del self._live[call.id]
        if self._retention_s > 0:
            self._ended[call.id] = call
            while len(self._ended) > RETAINED_LIMIT:
                self._ended.popitem(last=False)

    def get(self, call_id: CallId) -> Call:
        """Return a live call. CallNotFound if there is none."""
        call = self._live.get(call_id)
        if call is None:
            raise CallNotFound(f"no call {call_id}")
        return call

    def live(self) -> tuple[Call, ...]:
        """Return the live calls, oldest first."""
        return tuple(self._live.values())

    def ended(self, now: float) -> Iterator[Call]:
        """Yield the ended calls that can still be found, oldest first."""
        while self._ended:
            oldest = next(iter(self._ended.values()))
            if oldest.ended_at is not None and now - oldest.ended_at < self._retention_s:
                break
            self._ended.popitem(last=False)
        yield from self._ended.values()
