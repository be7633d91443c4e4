"""What the asyncio client makes of a worker that crashed; the compiled side is a stand-in that crashes at will."""

import os

import pytest

from trunkline import _media
from trunkline.config import MediaConfig
from trunkline.media.engine import MediaEngine
from trunkline.media.types import EngineSettings, WorkerDied


class CrashingEngine:
    """Two workers crash at once, one of them is told twice."""

    def __init__(self, settings: EngineSettings) -> None:
        self._fd = os.eventfd(1)
        self._events = [WorkerDied(worker, "a bug") for worker in (0, 1, 1)]

    def event_fd(self) -> int:
        return self._fd

    def poll_events(self, maximum: int) -> list[WorkerDied]:
        os.eventfd_read(self._fd)
        events, self._events = self._events[:maximum], []
        os.eventfd_write(self._fd, 1)
        return events

    def shared_sockets(self) -> list[tuple[int, int, int]]:
        return []

    def shutdown(self) -> bool:
        return True


async def test_dead_workers_are_counted_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_media, "Engine", CrashingEngine)
    engine = MediaEngine()
    assert engine.dead_workers == 0
    await engine.start(MediaConfig())
    await engine.stop()
    assert engine.dead_workers == 2
