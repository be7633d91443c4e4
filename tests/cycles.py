"""What only the collector of reference cycles would free: it stops all calls for as long as it looks."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cycles() -> Iterator[list[str]]:
    """Give, once left, the names of our types whose objects nobody had any more and which still were there."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        ours = (type(thing) for thing in gc.garbage)
        found += sorted({kind.__qualname__ for kind in ours if kind.__module__.startswith("trunkline.")})
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
