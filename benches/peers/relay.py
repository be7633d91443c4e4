"""What the bench asks of each relay, and the simplest of them: none, and Trunkline."""

from __future__ import annotations

import contextlib
import json
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

from benches.peers.generator import Generator
from benches.peers.process import hear, started, tell
from benches.peers.work import Target, Work

NODE = Path(__file__).with_name("node.py")


class Relay(Protocol):
    """A running relay."""

    @property
    def pid(self) -> int | None:
        """Whose CPU time and memory are measured; None where there is nobody."""

    async def set_up(self, work: Work, generator: Generator) -> list[Target]:
        """Make the calls; returns where the generator's legs should send, in its order, those of the storm last."""

    async def count(self, work: Work) -> dict[str, int]:
        """What the relay itself has counted so far, as far as it is worth a look."""


class Kind(Protocol):
    """A relay that may be started."""

    name: str

    def check(self) -> None:
        """Raise MissingPeerError if it is not installed."""

    def started(self, core: int, host: str) -> contextlib.AbstractAsyncContextManager[Relay]:
        """Run it on this core and this local address."""


class Direct:
    """No relay: the generator's legs send to each other."""

    name = "none"
    pid = None

    def check(self) -> None:
        """Nothing is needed."""

    @contextlib.asynccontextmanager
    async def started(self, core: int, host: str) -> AsyncIterator[Direct]:
        yield self

    async def set_up(self, work: Work, generator: Generator) -> list[Target]:
        return [Target(far) for a, b in generator.calls for far in (b, a)]

    async def count(self, work: Work) -> dict[str, int]:
        return {}


class Trunkline:
    """The package's own media plane with one worker, in a process of its own (node.py)."""

    name = "trunkline"

    def check(self) -> None:
        """It is this checkout's."""

    @contextlib.asynccontextmanager
    async def started(self, core: int, host: str) -> AsyncIterator[RunningNode]:
        async with started([sys.executable, str(NODE)], core=core) as process:
            tell(process, json.dumps(host))
            await hear(process)
            yield RunningNode(process)
            assert process.stdin
            process.stdin.close()


class RunningNode:
    """A running node.py, which is spoken with in lines of JSON."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = process.pid

    async def set_up(self, work: Work, generator: Generator) -> list[Target]:
        identity = generator.identity
        plan: dict[str, Any] = {
            "security": work.security,
            "sound": work.sound,
            "identity": [identity.ufrag, identity.pwd, identity.fingerprint],
            "calls": generator.calls,
            "storm": len(generator.storm_legs),
        }
        tell(self._process, json.dumps(plan))
        return [
            Target((host, port), tuple(security)) for (host, port), *security in json.loads(await hear(self._process))
        ]

    async def count(self, work: Work) -> dict[str, int]:
        tell(self._process, json.dumps({"with_concealed": work.sound.is_timed_by_marks}))
        counts: dict[str, int] = json.loads(await hear(self._process))
        return counts
