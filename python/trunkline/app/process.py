"""SHELL: what a node takes from the process that it runs in: time, and how often memory is tidied up."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Final

_YOUNG: Final = 2_000
"""Objects that may come to live before the collector looks at them: it then stops the loop for about 1 ms."""
_LAST_RESORT: Final = 100_000
"""Passes over the young after which it looks at the others all the same."""
_TIDY_S: Final = 10.0


class LoopClock:
    """Wall-clock time, and delays of the running loop."""

    def now(self) -> float:
        """Return Unix time in seconds."""
        return time.time()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call back after a delay."""
        return asyncio.get_running_loop().call_later(delay_s, callback)


def calm_collector(is_idle: Callable[[], bool]) -> None:
    """Have the collector of reference cycles pass over young objects only while there are calls.   From the event loop.

    A call leaves no cycles, and HTTP requests leave some that die young. Looking at all that lives would stop the loop
    for a second at ten thousand calls, so that is done while `is_idle`; what was there before the first call is never
    looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _LAST_RESORT, _LAST_RESORT)
    loop = asyncio.get_running_loop()

    def tidy() -> None:
        _, passes, _ = gc.get_count()
        if passes and is_idle():
            gc.collect()
        loop.call_later(_TIDY_S, tidy)

    loop.call_later(_TIDY_S, tidy)
