"""Was the machine at fault? A child process wakes every 10 ms on each core and notes when it was woken late, and the
kernel counts what a hypervisor took away.

Audio peers that share two cores with somebody's build stand still now and then, and the gap is nobody's fault. A test
that fails while this witness was kept waiting is worth repeating; one that fails on an attentive machine is not.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PERIOD_S = 0.01
_START_S = 10.0
_WORTH_NOTING_S = 0.015


@dataclass(frozen=True, slots=True)
class Moment:
    """When a test began (time.monotonic), and what had been stolen by then, in seconds of all cores since the start."""

    at_s: float
    stolen_s: float


class StallWitness:
    """The child and its notes. Runs from construction to `stop`."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="stalls-")  # noqa: SIM115 - until `stop`
        self._notes = Path(self._file.name)
        self._child = subprocess.Popen([sys.executable, __file__], stdin=subprocess.DEVNULL, stdout=self._file)
        deadline = time.monotonic() + _START_S
        while not self._notes.stat().st_size and time.monotonic() < deadline:
            time.sleep(_PERIOD_S)

    def moment(self) -> Moment:
        """Return what `worst_s` is to look back to."""
        return Moment(time.monotonic(), _stolen_s())

    def worst_s(self, since: Moment) -> float:
        """Return the longest delay noted since then, or what was stolen if that is more, in seconds."""
        time.sleep(5 * _PERIOD_S)  # a child that stands still as well notes it afterwards
        *lines, _ = self._notes.read_text().split("\n")
        notes = (line.split() for line in lines)
        late_s = max((float(late) for at, late in notes if float(at) >= since.at_s), default=0.0)
        return max(late_s, _stolen_s() - since.stolen_s)

    def stop(self) -> None:
        """End the child."""
        self._child.terminate()
        self._child.wait(5)
        self._file.close()


@contextlib.contextmanager
def urgency() -> Iterator[None]:
    """Let this thread, and those that it starts meanwhile, go before somebody's build, as the peers do; if we may."""
    thread = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, thread)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, thread, -10)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, thread, before)


def _stolen_s() -> float:
    """Return how long the machine had something to do and a hypervisor let it not; it counts in steps of 10 ms."""
    total = Path("/proc/stat").read_text().split("\n", 1)[0]
    return int(total.split()[8]) / os.sysconf("SC_CLK_TCK")


def _watch(core: int) -> None:
    os.sched_setaffinity(0, {core})
    wanted = time.monotonic()
    _note(wanted, 0)
    while True:
        wanted += _PERIOD_S
        time.sleep(max(0.0, wanted - time.monotonic()))
        now = time.monotonic()
        if now - wanted > _WORTH_NOTING_S:
            _note(now, now - wanted)
            wanted = now


def _note(at_s: float, late_s: float) -> None:
    """Write a line at once and whole, whoever else writes."""
    os.write(1, f"{at_s:.3f} {late_s:.3f}\n".encode())


if __name__ == "__main__":
    for each in sorted(os.sched_getaffinity(0)):
        threading.Thread(target=_watch, args=(each,)).start()
