"""Was the machine at fault? A child process wakes every 10 ms on each core and notes when it was woken late.

Audio peers that share two cores with somebody's build stand still now and then, and the gap is nobody's fault. A test
that fails while this witness was kept waiting is worth repeating; one that fails on an attentive machine is not.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

_PERIOD_S = 0.01
_WORTH_NOTING_S = 0.03


class StallWitness:
    """The child and its notes. Runs from construction to `stop`."""

    def __init__(self, notes: Path) -> None:
        notes.parent.mkdir(parents=True, exist_ok=True)
        self._notes = notes
        self._output = notes.open("wb")
        self._child = subprocess.Popen([sys.executable, __file__], stdin=subprocess.DEVNULL, stdout=self._output)

    def worst_s(self, since_s: float) -> float:
        """Return the longest delay noted since then (time.monotonic), in seconds; 0 if there was none."""
        pairs = (line.split() for line in self._notes.read_text().splitlines())
        return max((float(pair[1]) for pair in pairs if len(pair) == 2 and float(pair[0]) >= since_s), default=0.0)

    def stop(self) -> None:
        """End the child."""
        self._child.terminate()
        self._child.wait(5)
        self._output.close()


def _watch(core: int) -> None:
    os.sched_setaffinity(0, {core})
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -10)  # as the peers have it
    wanted = time.monotonic()
    while True:
        wanted += _PERIOD_S
        time.sleep(max(0.0, wanted - time.monotonic()))
        now = time.monotonic()
        if now - wanted > _WORTH_NOTING_S:
            print(f"{now:.3f} {now - wanted:.3f}", flush=True)
            wanted = now


if __name__ == "__main__":
    for each in sorted(os.sched_getaffinity(0)):
        threading.Thread(target=_watch, args=(each,)).start()
