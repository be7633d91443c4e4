"""Commands that were given to the media plane and have no answer yet.

Owns the pairing of answers with commands, and how long each may take. One timer watches over all of them: nearly every
answer comes within a millisecond. Must not know what a command does.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, NamedTuple

from trunkline.errors import MediaError, TrunklineError
from trunkline.ids import RequestId
from trunkline.media.types import EndpointClosed, EndpointReady, Stats

Answer = EndpointReady | Stats | EndpointClosed | None
"""None: it is done, and there is no more to say."""


class _Waiting(NamedTuple):
    kind: str
    deadline: float
    answer: asyncio.Future[Any]


class Answers:
    """What is waited for, on the running loop. A command nobody waits for any more stays until its answer is there."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._waiting: dict[RequestId, _Waiting] = {}
        self._watch: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Count the commands without an answer."""
        return len(self._waiting)

    def new_request(self) -> RequestId:
        """Name a command whose answer nobody wants."""
        return RequestId(next(self._ids))

    def expect(self, kind: str, timeout_s: float) -> tuple[RequestId, asyncio.Future[Any]]:
        """Name a command, and make what its `Answer` is put into: a MediaError if there is none in time.

        kind: of the command, for people.
        """
        loop = asyncio.get_running_loop()
        request, answer, deadline = RequestId(next(self._ids)), loop.create_future(), loop.time() + timeout_s
        self._waiting[request] = _Waiting(kind, deadline, answer)
        if self._watch is None or deadline < self._watch.when():
            self._look_again_at(deadline)
        return request, answer

    def take(self, request: RequestId, answer: Answer) -> None:
        """Hand over an answer; of a command that nobody waits for, it is dropped."""
        waiting = self._waiting.pop(request, None)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_result(answer)

    def fail(self, request: RequestId, error: TrunklineError) -> None:
        """Hand over that a command was refused."""
        waiting = self._waiting.pop(request, None)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_exception(error)

    def abandon(self, error: TrunklineError) -> None:
        """Fail them all: nothing will be answered any more."""
        for request in tuple(self._waiting):
            self.fail(request, error)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _look_again_at(self, when: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = asyncio.get_running_loop().call_at(when, self._give_up)

    def _give_up(self) -> None:
        """Fail what has waited too long."""
        self._watch = None
        now = asyncio.get_running_loop().time()
        for request, waiting in tuple(self._waiting.items()):
            if waiting.deadline <= now:
                self.fail(request, MediaError("timeout", f"no answer to {waiting.kind}"))
        if self._waiting:
            self._look_again_at(min(waiting.deadline for waiting in self._waiting.values()))
