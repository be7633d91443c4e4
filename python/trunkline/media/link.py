"""SHELL: the link to the compiled media plane: commands go over, answers and events come back.

Owns the threads' life, the pairing of commands with their answers, and the delivery of spontaneous events to whoever
subscribed to a call. Must not know what a command does. The media plane's threads never take the interpreter: one
descriptor wakes the event loop, and one poll returns a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

from trunkline import _media
from trunkline.errors import CapacityError, MediaError
from trunkline.ids import MediaCallId, RequestId
from trunkline.media.answers import Answers
from trunkline.media.types import (
    CallEvent,
    Command,
    CommandDone,
    CommandFailed,
    EndpointClosed,
    EndpointReady,
    EngineSettings,
    Event,
    Stats,
    WorkerDied,
)
from trunkline.observability.logging import get_logger

_log = get_logger(__name__)

EVENTS_PER_POLL: Final = 256
ANSWER_TIMEOUT_S: Final = 5.0
"""A worker answers within a millisecond; after this, something is broken."""

CallListener = Callable[[CallEvent], None]
"""Called from the event loop; must not raise and must not wait."""


class Link:
    """A running media plane, or none yet, or none any more."""

    def __init__(self) -> None:
        self._engine: _media.Engine | None = None
        self._event_fd = -1
        self._answers = Answers()
        self._listeners: dict[MediaCallId, CallListener] = {}
        self._dead_workers: set[int] = set()
        self._is_flush_due = False

    @property
    def is_running(self) -> bool:
        """Whether commands are taken."""
        return self._engine is not None

    @property
    def engine(self) -> _media.Engine:
        """The compiled engine. Raises MediaError when it does not run."""
        if self._engine is None:
            raise MediaError("closed", "the media engine does not run")
        return self._engine

    @property
    def dead_workers(self) -> int:
        """How many worker threads crashed since start."""
        return len(self._dead_workers)

    async def start(self, settings: EngineSettings) -> None:
        """Start the worker threads. Raises MediaError where sockets, threads or settings do not allow it."""
        if self._engine is not None:
            raise MediaError("invalid_state", "the media engine runs already")
        loop = asyncio.get_running_loop()
        self._engine = await asyncio.to_thread(_media.Engine, settings)
        self._dead_workers.clear()
        self._event_fd = self._engine.event_fd()
        loop.add_reader(self._event_fd, self._on_readable)
        for worker, (receive_bytes, send_bytes, dscp) in enumerate(self._engine.shared_sockets()):
            _log.info("media_socket", worker=worker, receive_bytes=receive_bytes, send_bytes=send_bytes, dscp=dscp)

    async def stop(self) -> None:
        """End every endpoint and thread; subscribers hear of each endpoint. Bounded in time; again: nothing."""
        engine = self._engine
        if engine is None:
            return
        have_ended = await asyncio.to_thread(engine.shutdown)
        if not have_ended:
            _log.error("media_worker_did_not_end")
        asyncio.get_running_loop().remove_reader(self._event_fd)
        while self._take_events(engine):
            pass
        self._engine = None
        self._answers.abandon(MediaError("closed", "the media engine stopped"))
        self._listeners.clear()

    def subscribe(self, call: MediaCallId, listener: CallListener) -> None:
        """Have every spontaneous event of a call passed to `listener`, in place of one before."""
        self._listeners[call] = listener

    def unsubscribe(self, call: MediaCallId) -> None:
        """Pass on no more events of a call."""
        self._listeners.pop(call, None)

    def begin(self, call: MediaCallId, command: Command, timeout_s: float = ANSWER_TIMEOUT_S) -> asyncio.Future[Any]:
        """Give a command; whatever becomes of it, the future tells."""
        request, answer = self._answers.expect(command.kind, timeout_s)
        try:
            self._submit(request, call, command)
        except ValueError as error:
            self._answers.fail(request, MediaError("invalid_parameter", str(error)))
        except (MediaError, CapacityError) as error:
            self._answers.fail(request, error)
        return answer

    def give(self, call: MediaCallId, command: Command) -> None:
        """Give a command whose answer nobody wants."""
        with contextlib.suppress(MediaError, CapacityError):
            self._submit(self._answers.new_request(), call, command)

    def _submit(self, request: RequestId, call: MediaCallId, command: Command) -> None:
        """Hand a command over. The worker is woken once for all that it is given in one turn of the loop."""
        self.engine.submit(request, call, command)
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._engine is not None:
            self._engine.flush()

    def _on_readable(self) -> None:
        if self._engine is not None:
            # One batch a wake: the descriptor stays readable while there is more, and others get their turn.
            self._take_events(self._engine)

    def _take_events(self, engine: _media.Engine) -> bool:
        events = engine.poll_events(EVENTS_PER_POLL)
        for event in events:
            self._deliver(event)
        return bool(events)

    def _deliver(self, event: Event) -> None:
        match event:
            case CommandDone():
                self._answers.take(event.request, None)
            case EndpointReady() | Stats():
                self._answers.take(event.request, event)
            case CommandFailed():
                is_full = event.error_kind in ("capacity", "no_free_port")
                error = CapacityError(event.message) if is_full else MediaError(event.error_kind, event.message)
                self._answers.fail(event.request, error)
            case EndpointClosed():
                if event.request is not None:
                    self._answers.take(event.request, event)
                self._tell(event.call, event)
            case WorkerDied():
                self._dead_workers.add(event.worker)
                _log.error("media_worker_died", worker=event.worker, reason=event.reason)
            case _:
                self._tell(event.call, event)

    def _tell(self, call: MediaCallId, event: CallEvent) -> None:
        listener = self._listeners.get(call)
        if listener is None:
            return
        try:
            listener(event)
        except Exception:
            # A task boundary: one call's listener must not keep the others' events from them.
            _log.exception("media_listener_failed", media_call=call)
