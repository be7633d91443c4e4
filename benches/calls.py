"""`make bench`: what a packet costs, how long it takes, and what a call weighs.

Owns the rows, the two processes of each run (the generator and the relay, on a core each) and the table. README.md
tells the method.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import resource
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NODE = Path(__file__).with_name("node.py")
ANSWER_TIMEOUT_S = 60.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    transport: of leg A, `rtp` or `webrtc`; `direct` is without a relay. sound: as the generator names it.
    """

    name: str
    calls: int
    transport: str
    sound: str

    @property
    def has_relay(self) -> bool:
        return self.transport != "direct"

    @property
    def is_timed_by_sound(self) -> bool:
        return self.sound != "pcmu"


BASELINE = Row("generator alone", 200, "direct", "pcmu")
ROWS = (
    BASELINE,
    Row("RTP <-> RTP, PCMU", 200, "rtp", "pcmu"),
    Row("DTLS-SRTP <-> RTP, PCMU", 200, "webrtc", "pcmu"),
    Row("DTLS-SRTP, Opus <-> RTP, PCMU", 50, "webrtc", "opus-pcmu"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    rows: list[Row]
    runs: int
    warm_up_s: float
    measure_s: float
    generator: str
    relay_core: int
    generator_core: int


@dataclass(frozen=True, slots=True)
class Run:
    """Figures of one run of one row. Delays in microseconds, of the generator and the relay together."""

    cpu_us: float
    kernel_share: float
    others_share: float
    memory_kib: float
    p50_us: float
    p99_us: float
    max_us: float
    loss: float
    packets_per_s: float
    slip_us: float
    faults: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far, and how long its core was busy with anything."""

    cpu_s: float
    user_ticks: int
    kernel_ticks: int
    core_ticks: int
    resident_kib: int

    @classmethod
    def of(cls, pid: int, core: int) -> Usage:
        # Linux numbers the CPU clock of a process so; it counts nanoseconds of all threads (clock_getcpuclockid(3)).
        cpu_s = time.clock_gettime((~pid << 3) | 2)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        core_line = re.search(rf"^cpu{core} (.*)$", Path("/proc/stat").read_text(), re.MULTILINE)
        assert core_line
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, core_line[1].split())
        resident = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        assert resident
        core_ticks = user + nice + system + irq + softirq + steal
        return cls(cpu_s, int(fields[11]), int(fields[12]), core_ticks, int(resident[1]))


@contextlib.asynccontextmanager
async def started(*command: str, core: int, prefer: Callable[[int], None]) -> AsyncIterator[Process]:
    """Run a process on one core, to itself as far as we may: `prefer` is given its id, and is for root only."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, limit=1 << 20, start_new_session=True
    )
    try:
        # Threads that it starts from now on inherit both.
        os.sched_setaffinity(process.pid, {core})
        if os.geteuid() == 0:
            prefer(process.pid)
        yield process
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def prefer_always(pid: int) -> None:
    """Let a process that sleeps between packets go before all others."""
    os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))


def prefer_mostly(pid: int) -> None:
    """Prefer a process that never sleeps, but leave something for the others."""
    os.setpriority(os.PRIO_PROCESS, pid, -20)
    # Where Linux groups processes by session, niceness counts within the session only, and the session has its own.
    with contextlib.suppress(FileNotFoundError):
        Path(f"/proc/{pid}/autogroup").write_text("-20")


async def hear(process: Process) -> str:
    """Read a line of what a process says; raises RuntimeError when it has ended instead."""
    assert process.stdout
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"process {process.pid} ended early")
    return line.decode().strip()


def tell(process: Process, line: str) -> None:
    assert process.stdin
    process.stdin.write(line.encode() + b"\n")


async def run_row(row: Row, plan: Plan) -> Run:
    arguments = [row.calls, row.sound, plan.warm_up_s, plan.measure_s]
    async with started(
        plan.generator, *map(str, arguments), core=plan.generator_core, prefer=prefer_mostly
    ) as generator:
        _, *identity = (await hear(generator)).split()
        pairs = [(await hear(generator)).split()[2:] for _ in range(row.calls)]
        if row.has_relay:
            async with started(sys.executable, str(NODE), core=plan.relay_core, prefer=prefer_always) as relay:
                settings = {"transport": row.transport, "sound": row.sound, "identity": identity}
                tell(relay, json.dumps(settings))
                return await run_relay(row, plan, generator, relay, pairs)
        for a, b in pairs:
            tell(generator, f"{b} {a}")
        figures = await follow(generator, lambda: None)
        return result(row, plan, figures, [], {})


async def run_relay(row: Row, plan: Plan, generator: Process, relay: Process, pairs: list[list[str]]) -> Run:
    await hear(relay)
    usages = [Usage.of(relay.pid, plan.relay_core)]
    tell(relay, json.dumps([[split(address) for address in pair] for pair in pairs]))
    for a, b, *credentials in json.loads(await hear(relay)):
        tell(generator, " ".join([join(a), join(b), *credentials]))
    figures = await follow(generator, lambda: usages.append(Usage.of(relay.pid, plan.relay_core)))
    assert relay.stdin
    relay.stdin.close()
    return result(row, plan, figures, usages, json.loads(await hear(relay)))


async def follow(generator: Process, sample: Callable[[], None]) -> dict[str, float]:
    """Wait for the generator's figures, and take a sample at each end of its window."""
    while not (line := await hear(generator)).startswith("figures"):
        if line in ("measuring", "measured"):
            sample()
    return {name: float(value) for name, value in (word.split("=") for word in line.split()[1:])}


def result(row: Row, plan: Plan, figures: dict[str, float], usages: list[Usage], counts: dict[str, Any]) -> Run:
    cpu_s = kernel_share = others_share = memory_kib = float("nan")
    if usages:
        idle, before, after = usages
        cpu_s = after.cpu_s - before.cpu_s
        kernel = after.kernel_ticks - before.kernel_ticks
        kernel_share = kernel / max(1, kernel + after.user_ticks - before.user_ticks)
        others_share = max(0.0, (after.core_ticks - before.core_ticks) / TICKS_PER_S - cpu_s) / plan.measure_s
        memory_kib = (after.resident_kib - idle.resident_kib) / row.calls
    missing = figures["lost"] if row.is_timed_by_sound else figures["sent"] - figures["received"]
    faults = {"wrong": int(figures["wrong"]), "concealed": counts.get("concealed_frames")} | counts.get("drops", {})
    return Run(
        cpu_us=cpu_s * 1e6 / figures["arrived"],
        kernel_share=kernel_share,
        others_share=others_share,
        memory_kib=memory_kib,
        p50_us=figures["p50"],
        p99_us=figures["p99"],
        max_us=figures["max"],
        loss=missing / figures["sent"],
        packets_per_s=figures["arrived"] / plan.measure_s,
        slip_us=figures["slip"],
        faults=", ".join(f"{name} {number}" for name, number in faults.items() if number),
    )


def split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def join(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


# --- the table -----------------------------------------------------------------------------------------------------


def show(values: list[float], digits: int) -> str:
    """Median and range; a dash where there is nothing to measure."""
    if any(value != value for value in values):
        return "-"
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return middle if low == high else f"{middle} ({low}-{high})"


def table(results: dict[Row, list[Run]]) -> str:
    own_us = statistics.median(run.p50_us for run in results[BASELINE])
    lines = [
        "| | calls | packets/s | CPU us/packet | in kernel, % | added ms p50 | p99 | max | lost, % | KiB/call |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row, runs in results.items():
        base_us = own_us if row.has_relay else 0.0
        cells = [
            row.name,
            str(row.calls),
            f"{statistics.median(run.packets_per_s for run in runs):.0f}",
            show([run.cpu_us for run in runs], 2),
            show([100 * run.kernel_share for run in runs], 0),
            show([(run.p50_us - base_us) / 1e3 for run in runs], 3),
            show([(run.p99_us - base_us) / 1e3 for run in runs], 3),
            show([(run.max_us - base_us) / 1e3 for run in runs], 2),
            show([100 * run.loss for run in runs], 3),
            show([run.memory_kib for run in runs], 0),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine() -> str:
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    name = re.search(r'^PRETTY_NAME="(.*)"$', Path("/etc/os-release").read_text(), re.MULTILINE)
    parts = [f"{os.cpu_count()} cores {model[1] if model else platform.machine()}", name[1] if name else "Linux"]
    return ", ".join([*parts, f"kernel {platform.release()}", f"Python {platform.python_version()}"])


def read_plan() -> Plan:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--generator", required=True, help="the built load generator")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name begins so, and the baseline")
    parser.add_argument("--runs", type=int, default=3, help="of each row (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=5.0, help="seconds before the window (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the window (%(default)s)")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        parser.error("the generator and the relay need a core each")
    rows = [row for row in ROWS if row is BASELINE or row.name.startswith(given.only)]
    return Plan(rows, given.runs, given.warm_up, given.seconds, given.generator, cores[-1], cores[-2])


async def main() -> None:
    plan = read_plan()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    results: dict[Row, list[Run]] = {row: [] for row in plan.rows}
    for number in range(plan.runs):
        # Rows take turns, so that a noisy minute does not fall on one row alone.
        for row in plan.rows:
            run = await run_row(row, plan)
            results[row].append(run)
            note = f"others on the relay's core {100 * run.others_share:.0f} %, " if row.has_relay else ""
            print(f"run {number + 1}, {row.name}: {note}generator late by up to {run.slip_us / 1e3:.1f} ms", end="")
            print(f"; {run.faults}" if run.faults else "", file=sys.stdout, flush=True)
    print(f"\n{machine()}; median (lowest-highest) of {plan.runs} runs of {plan.measure_s:.0f} s\n")
    print(table(results))


if __name__ == "__main__":
    asyncio.run(main())
