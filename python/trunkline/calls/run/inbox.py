"""What waits to be looked at by one call: events of legs, media and clocks, and requests of clients.

Owns their order and bound. It knows nobody, so that what posts to a call does not keep it alive.
"""

from __future__ import annotations

import asyncio
from typing import Final

from trunkline.calls.events import CallEvent, CallStarted, Input, Request, SuccessorEvent, input_of
from trunkline.errors import CallNotFound, CapacityError
from trunkline.ids import CallId
from trunkline.observability.logging import get_logger

_log = get_logger(__name__)

INBOX_LIMIT: Final = 256
"""Events that may wait. A peer that sends faster loses events, but never one that ends the call."""


class Inbox:
    """Events of one call. call_id: for the log."""

    __slots__ = ("_arrived", "_call_id", "_events", "_is_closed")

    def __init__(self, call_id: CallId) -> None:
        self._call_id = call_id
        self._events: list[CallEvent] = [CallStarted()]
        self._arrived: asyncio.Future[None] | None = None
        self._is_closed = False

    def post(self, event: CallEvent) -> None:
        """Take an event; from the event loop. Those that come after `close` are dropped, and requests refused."""
        if self._is_closed:
            _refuse(event)
            return
        if len(self._events) >= INBOX_LIMIT and not _is_end(event):
            _log.warning("call_event_dropped", call_id=self._call_id, kind=type(event).__name__)
            if isinstance(event, Request):
                event.reply(CapacityError("too much happens in the call"))
            return
        self._events.append(event)
        self._wake()

    def post_first(self, event: CallEvent) -> None:
        """Take an event that must not wait behind others."""
        self._events.insert(0, event)
        self._wake()

    async def next(self) -> CallEvent:
        """Wait for an event. Bounded: until the call ends, SETUP or DURATION is always running."""
        while not self._events:
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        return self._events.pop(0)

    def close(self) -> None:
        """Take nothing more, and refuse the requests that came too late to be looked at."""
        self._is_closed = True
        for event in self._events:
            _refuse(event)
        self._events.clear()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)


def _refuse(event: CallEvent) -> None:
    if isinstance(event, Request):
        event.reply(CallNotFound("the call has ended"))


def _is_end(event: CallEvent) -> bool:
    return input_of(event.event if isinstance(event, SuccessorEvent) else event) is Input.ENDED
