"""Processes on cores of their own, and what they use."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ANSWER_TIMEOUT_S = 60.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class MissingPeerError(Exception):
    """A program that the bench measures is not installed."""


def program(name: str, package: str) -> str:
    """Path of an installed program; MissingPeerError says how to get it."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise MissingPeerError(f"{name} is missing: `scripts/peers.sh bench` installs it (Debian package {package})")
    return path


@dataclass(frozen=True, slots=True)
class Cores:
    """Numbers of the two cores."""

    relay: int
    generator: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far, and how long its core was busy with anything. at_s: when that was looked up.

    stolen_s: how long the core was kept by the hypervisor, if there is one, while something wanted to run on it.
    """

    at_s: float
    cpu_s: float
    user_ticks: int
    kernel_ticks: int
    core_s: float
    stolen_s: float
    resident_kib: int

    @classmethod
    def of(cls, pid: int, core: int) -> Usage:
        # Linux numbers the CPU clock of a process so; it counts nanoseconds of all threads (clock_getcpuclockid(3)).
        cpu_s = time.clock_gettime((~pid << 3) | 2)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        core_line = re.search(rf"^cpu{core} (.*)$", Path("/proc/stat").read_text(), re.MULTILINE)
        assert core_line
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, core_line[1].split())
        resident = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        assert resident
        core_s = (user + nice + system + irq + softirq) / TICKS_PER_S
        return cls(
            at_s=time.monotonic(),
            cpu_s=cpu_s,
            user_ticks=int(fields[11]),
            kernel_ticks=int(fields[12]),
            core_s=core_s,
            stolen_s=steal / TICKS_PER_S,
            resident_kib=int(resident[1]),
        )

    def cpu_share(self, later: Usage) -> float:
        """How much of the time until `later` was used."""
        return (later.cpu_s - self.cpu_s) / (later.at_s - self.at_s)

    def kernel_share(self, later: Usage) -> float:
        """Which part of what was used until `later` was used in the kernel; by ticks, so roughly."""
        kernel = later.kernel_ticks - self.kernel_ticks
        return kernel / max(1, kernel + later.user_ticks - self.user_ticks)

    def foreign_share(self, later: Usage) -> float:
        """How much of the core others had until `later`; by ticks, so roughly."""
        return max(0.0, (later.core_s - self.core_s) / (later.at_s - self.at_s) - self.cpu_share(later))

    def stolen_share(self, later: Usage) -> float:
        """How much of the time until `later` the hypervisor kept the core from whoever wanted it; by ticks."""
        return (later.stolen_s - self.stolen_s) / (later.at_s - self.at_s)


@contextlib.asynccontextmanager
async def started(
    command: Sequence[str], *, core: int, is_busy: bool = False, is_silent: bool = False
) -> AsyncIterator[Process]:
    """Run a process on one core, to itself as far as we may, until its input ends or the block does.

    is_busy: it never sleeps, so it is preferred only mostly; one that sleeps between packets goes before all others.
    is_silent: nothing is read from it, and it does not end by itself.
    """

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        if os.geteuid() == 0:
            _prefer_mostly() if is_busy else os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))

    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=PIPE,
        stdout=DEVNULL if is_silent else PIPE,
        stderr=DEVNULL if is_silent else None,
        limit=1 << 20,
        start_new_session=True,
        preexec_fn=prepare,
    )
    try:
        yield process
        if not is_silent:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def watch_closely() -> None:
    """Let this process, which sleeps unless there is something to read, go before those that it measures."""
    if os.geteuid() == 0:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(2))


def _prefer_mostly() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    # Where Linux groups processes by session, niceness counts within the session only, and the session has its own.
    with contextlib.suppress(FileNotFoundError):
        Path("/proc/self/autogroup").write_text("-20")


async def hear(process: Process) -> str:
    """Read a line of what a process says; RuntimeError when it has ended instead."""
    assert process.stdout
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"process {process.pid} ended early")
    return line.decode().strip()


def tell(process: Process, line: str) -> None:
    assert process.stdin
    process.stdin.write(line.encode() + b"\n")


def free_port(host: str) -> int:
    """A UDP port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
