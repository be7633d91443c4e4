"""The bare C forwarder (forwarder.c), compiled when it is first asked for."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

from benches.peers.generator import Generator
from benches.peers.process import hear, program, started, tell
from benches.peers.work import LOOPBACK, Target, Work

SOURCE = Path(__file__).with_name("forwarder.c")


class Forwarder:
    """What carrying datagrams costs at least."""

    name = "forwarder"

    def check(self) -> None:
        program("cc", "build-essential")

    @contextlib.asynccontextmanager
    async def started(self, core: int, host: str) -> AsyncIterator[RunningForwarder]:
        with tempfile.TemporaryDirectory() as folder:
            async with started([build(folder)], core=core) as process:
                yield RunningForwarder(process)
                process.kill()


def build(folder: str) -> str:
    """Compile it into this folder; returns its path."""
    binary = str(Path(folder, "forwarder"))
    subprocess.run([program("cc", "build-essential"), "-O2", "-o", binary, str(SOURCE)], check=True)
    return binary


class RunningForwarder:
    """A running forwarder, which learns its pairs from its input."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = process.pid

    async def set_up(self, work: Work, generator: Generator) -> list[Target]:
        tell(self._process, str(work.calls))
        targets = [Target((LOOPBACK, int(await hear(self._process)))) for _ in generator.legs]
        for host, port in generator.legs:
            tell(self._process, f"{host} {port}")
        return targets

    async def count(self, work: Work) -> dict[str, int]:
        return {}
