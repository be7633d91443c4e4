"""Stub of the compiled media plane. `rust/src/py` is what it describes."""

from typing import Any, final

from trunkline.media.types import Command, EngineSettings

__all__ = ["Engine", "__version__", "is_speex_available"]

__version__: str

def is_speex_available() -> bool:
    """Say whether Speex can be coded: libspeex is installed. It is looked for at the first call."""

@final
class Engine:
    """The media engine: started by its construction, ended by `shutdown`."""

    def __new__(cls, settings: EngineSettings) -> Engine:
        """Start the worker threads. Raises MediaError where sockets, threads or settings do not allow it."""

    def new_call(self) -> int:
        """Name a call, so that a worker that lives will have it."""

    def submit(self, request_id: int, call_id: int, command: Command) -> None:
        """Hand one command to the worker of `call_id`, without waiting.

        Raises CapacityError when that worker has too many waiting, MediaError when the engine is closed or a parameter
        is not understood, ValueError for what is not in `media.types`.
        """

    def poll_events(self, max: int) -> list[tuple[str, dict[str, Any]]]:
        """Take up to `max` events as (name of the dataclass, its fields). Never waits."""

    def event_fd(self) -> int:
        """Return a descriptor that is readable while events wait. It belongs to the engine."""

    def totals(self) -> dict[str, Any]:
        """Counters of all workers since start: the fields of `media.types.Totals`."""

    def shared_sockets(self) -> list[tuple[int, int, int]]:
        """Of the browsers' socket of each worker: bytes of its two kernel buffers, in and out, and its DSCP."""

    def shutdown(self) -> bool:
        """End every endpoint and thread, within a few seconds. Returns whether all threads ended."""
