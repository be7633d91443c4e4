"""The load generator: both far sides of every call, in a process of its own."""

from __future__ import annotations

import contextlib
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from benches.peers.process import hear, started, tell
from benches.peers.work import Address, Identity, Target, Work

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Windows:
    """Seconds before the window that counts, and of it."""

    warm_up_s: float
    measure_s: float


@dataclass(slots=True)
class Generator:
    """A running generator. legs: its sockets, A and B of each call in turn; then those of the storm."""

    process: Process
    identity: Identity
    legs: list[Address]
    storm_legs: list[Address]

    @property
    def calls(self) -> list[tuple[Address, Address]]:
        """Sockets A and B of each call."""
        return list(zip(self.legs[::2], self.legs[1::2], strict=True))

    async def begin(self, targets: Sequence[Target]) -> None:
        """Say where its legs send, and wait until they are connected and sending."""
        for target in targets:
            tell(self.process, str(target))
        while await hear(self.process) != "ready":
            pass

    async def follow(self, sample: Callable[[], None]) -> tuple[Figures, Figures]:
        """Let it measure; `sample` is called at each end of its window. Returns window's and storm's figures."""
        storm: Figures = {}
        figures: Figures = {}
        while True:
            kind, *words = (await hear(self.process)).split()
            if kind in ("measuring", "measured"):
                sample()
            elif kind == "connected":
                storm = {"connected": float(words[0]), "took_s": float(words[1])}
            elif kind == "figures":
                figures = _read(words)
            elif kind == "storm":
                return figures, storm | _read(words)

    async def end(self) -> None:
        """Let it go. Until then its calls last, so that the relay can be asked about them."""
        assert self.process.stdin
        self.process.stdin.close()
        await self.process.wait()


@contextlib.asynccontextmanager
async def generating(path: str, host: str, work: Work, windows: Windows, core: int) -> AsyncIterator[Generator]:
    """Start a generator for this work, on this local address, and learn its sockets."""
    arguments = [host, work.calls, work.sound, windows.warm_up_s, windows.measure_s, work.storm]
    async with started([path, *map(str, arguments)], core=core, is_busy=True) as process:
        _, *identity = (await hear(process)).split()
        sockets = [_address((await hear(process)).split()[1]) for _ in range(2 * work.calls + work.storm)]
        calls_end = 2 * work.calls
        yield Generator(process, Identity(*identity), sockets[:calls_end], sockets[calls_end:])


def ssrc_of_leg(number: int) -> int:
    """SSRC of the generator's n-th leg (generator/leg.rs)."""
    return 0x1000_0000 + number


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _read(words: Sequence[str]) -> Figures:
    return {name: float(value) for name, value in (word.split("=") for word in words)}
