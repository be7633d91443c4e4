"""SIPp at both ends of every call, and what its statistics say."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from benches.call_setup.subjects import HOST
from benches.peers.process import program

SCENARIOS = Path(__file__).parent / "scenarios"
TALK_S = 1.0
MEDIA_PORTS = {"caller": 6_000, "callee": 6_004}
"""Named in SDP; nobody speaks."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What SIPp saw. retransmissions: of either end, which the B2BUA has caused by being late or silent."""

    created: int
    successful: int
    failed: int
    retransmissions: int

    @property
    def is_clean(self) -> bool:
        """Less than 0.1 % failed, and nobody had to repeat anything."""
        return self.created > 0 and self.failed < self.created / 1_000 and self.retransmissions == 0


class Phones:
    """The callee, which stands by, and the callers of one load after another."""

    def __init__(self, core: int, folder: Path, port: int) -> None:
        self._core = core
        self._folder = folder
        self.port = port
        self._loads = 0

    async def call(self, gateway_port: int, rate: float, calls: int, *, talk_s: float = TALK_S) -> Outcome:
        """Place calls at a rate, each of talk_s seconds, and wait for the end of the last."""
        self._loads += 1
        stats = self._folder / f"caller-{self._loads}.csv"
        before = _last(self._folder / "callee.csv")
        limit_s = calls / rate + talk_s + 40
        process = await _sipp(
            self._core,
            self._folder,
            *("-sf", str(SCENARIOS / "caller.xml"), "-r", f"{rate:g}", "-m", str(calls), "-l", "20000"),
            *("-d", str(int(talk_s * 1000)), "-stf", str(stats), "-timeout", f"{limit_s:.0f}", "-p", "0"),
            *("-mp", str(MEDIA_PORTS["caller"]), f"{HOST}:{gateway_port}"),
        )
        await process.wait()
        await asyncio.sleep(1.2)  # the callee writes once a second
        last, after = _last(stats), _last(self._folder / "callee.csv")
        repeated = _number(last, "Retransmissions(C)") + _number(after, "Retransmissions(C)")
        return Outcome(
            created=_number(last, "TotalCallCreated"),
            successful=_number(last, "SuccessfulCall(C)"),
            failed=_number(last, "FailedCall(C)"),
            retransmissions=repeated - _number(before, "Retransmissions(C)"),
        )


@contextlib.asynccontextmanager
async def phones(core: int, port: int) -> AsyncIterator[Phones]:
    """Start the callee; end it with the block."""
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name:
        folder = Path(name)
        callee = await _sipp(
            core,
            folder,
            *("-sf", str(SCENARIOS / "callee.xml"), "-p", str(port), "-stf", str(folder / "callee.csv")),
            *("-mp", str(MEDIA_PORTS["callee"])),
        )
        try:
            await asyncio.sleep(0.5)
            yield Phones(core, folder, port)
        finally:
            if callee.returncode is None:
                callee.kill()
            await callee.wait()


async def _sipp(core: int, folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        if os.geteuid() == 0:  # SIPp is the clock of the load: nobody else's work may hold it up
            os.setpriority(os.PRIO_PROCESS, 0, -20)

    return await asyncio.create_subprocess_exec(
        program("sipp", "sip-tester"),
        *("-i", HOST, "-mi", HOST, "-nostdin", "-trace_stat", "-fd", "1", "-buff_size", "4194304"),
        *arguments,
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        preexec_fn=prepare,
    )


def _last(stats: Path) -> dict[str, str]:
    if not stats.exists():
        return {}
    with stats.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    return rows[-1] if rows else {}


def _number(row: dict[str, str], name: str) -> int:
    return int(row.get(name) or 0)
