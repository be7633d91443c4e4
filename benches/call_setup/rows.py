"""The rows of the table, each measured by itself; what it gives is figures, not judgement."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from benches.call_setup.passage import watched
from benches.call_setup.phones import Outcome, phones
from benches.call_setup.subjects import HOST, Subject, sippy, trunkline
from benches.peers.process import Cores, Usage, free_port, hear, started
from benches.peers.stats import highest_passing

Maker = Callable[[int, int], AbstractAsyncContextManager[Subject]]
SUBJECTS: dict[str, Maker] = {"trunkline": trunkline, "sippy": sippy}
WARM_UP_CALLS = 60
MOST_CALLS_A_SECOND = 1_500
HELD_CALLS, HOLD_RATE = 500, 40
SETTLED_S = 36.0
"""The transactions of an INVITE live for 32 s after its answer (RFC 6026)."""
BINDINGS, BINDINGS_A_SECOND, EXPIRES_S = 10_000, 500, 60


@dataclass(frozen=True, slots=True)
class Load:
    """One load on one subject. delays_s: from INVITE in to INVITE out, sorted; empty without root."""

    rate: float
    outcome: Outcome
    cpu_s: float
    stolen: float
    foreign: float
    delays_s: list[float] = field(repr=False)

    @property
    def cpu_ms_a_call(self) -> float:
        return 1_000 * self.cpu_s / max(1, self.outcome.successful)

    def delay_ms(self, share: float) -> float:
        return 1_000 * quantile(self.delays_s, share)

    def __str__(self) -> str:
        delays = f", delay p50 {self.delay_ms(0.5):.1f} p99 {self.delay_ms(0.99):.1f} ms" if self.delays_s else ""
        return (
            f"{self.rate:g} calls/s: {self.outcome.successful} of {self.outcome.created}, {self.outcome.failed} "
            f"failed, {self.outcome.retransmissions} repetitions, CPU {self.cpu_ms_a_call:.2f} ms a call{delays}, "
            f"others {100 * self.foreign:.0f} %, stolen {100 * self.stolen:.1f} %"
        )


async def load(subject: str, cores: Cores, rate: float, seconds: float) -> Load:
    """Warm a fresh subject up and place calls at a rate for some seconds."""
    target = free_port(HOST)
    async with phones(cores.generator, target) as both, SUBJECTS[subject](cores.relay, target) as running:
        await both.call(running.port, min(rate, 40), WARM_UP_CALLS, talk_s=0.2)
        pid = running.process.pid
        with contextlib.ExitStack() as stack:
            passage = stack.enter_context(watched(running.port, target)) if os.geteuid() == 0 else None
            before = Usage.of(pid, cores.relay)
            outcome = await both.call(running.port, rate, max(20, round(rate * seconds)))
            after = Usage.of(pid, cores.relay)
        return Load(
            rate,
            outcome,
            after.cpu_s - before.cpu_s,
            before.stolen_share(after),
            before.foreign_share(after),
            passage.delays_s if passage is not None else [],
        )


async def most_calls(place: Callable[[int], Awaitable[Load]], guess: int) -> tuple[int, list[Load]]:
    """Search for the highest rate without a fault. One failure is tried again: it may have been somebody else's.

    place: calls at a rate.
    """
    tried: list[Load] = []

    async def passes(rate: int) -> bool:
        for _ in range(2):
            tried.append(await place(rate))
            print(f"  {tried[-1]}", flush=True)
            if tried[-1].outcome.is_clean:
                return True
        return False

    return await highest_passing(passes, guess, most=MOST_CALLS_A_SECOND, near=1.08), tried


@dataclass(frozen=True, slots=True)
class CodecFigures:
    """Microseconds a message, the fastest of all rounds, and the ratio of each round."""

    ours_us: float
    theirs_us: float
    ratios: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """KiB of Python objects for each established call: soon after the answer, and when its transactions are over."""

    fresh_kib: float
    settled_kib: float


async def memory(cores: Cores) -> Memory:
    target = free_port(HOST)
    async with (
        phones(cores.generator, target) as both,
        trunkline(cores.relay, target, is_traced=True) as node,
    ):
        await both.call(node.port, 20, WARM_UP_CALLS, talk_s=0.2)
        await asyncio.sleep(SETTLED_S)
        idle = await node.ask("traced")
        ramp_s = HELD_CALLS / HOLD_RATE
        calls = asyncio.create_task(both.call(node.port, HOLD_RATE, HELD_CALLS, talk_s=ramp_s + SETTLED_S + 15))
        await asyncio.sleep(ramp_s + 2)
        fresh = await node.ask("traced")
        await asyncio.sleep(SETTLED_S)
        settled = await node.ask("traced")
        outcome = await calls
        if outcome.failed:
            raise RuntimeError(f"{outcome.failed} of the held calls failed")
        return Memory((fresh - idle) / 1_024 / HELD_CALLS, (settled - idle) / 1_024 / HELD_CALLS)


@dataclass(frozen=True, slots=True)
class Lag:
    """How late the event loop was while all bindings were refreshed, in ms."""

    p50_ms: float
    p99_ms: float
    worst_ms: float
    idle_p99_ms: float


async def refreshed(cores: Cores) -> Lag:
    """Take 10,000 bindings, 500 a second, and watch the loop while they are refreshed as fast."""
    target = free_port(HOST)
    command = [sys.executable, "-m", "benches.call_setup.registrar", str(target)]
    async with started(command, core=cores.generator) as registrar:
        await hear(registrar)
        async with trunkline(cores.relay, target) as node:
            await asyncio.sleep(2)
            await node.ask("watch")
            await asyncio.sleep(3)
            idle = await node.ask("lag")
            await node.ask("register", count=BINDINGS, a_second=BINDINGS_A_SECOND, expires_s=EXPIRES_S)
            # A binding is refreshed after 0.8 of its life: the first now has this long to go.
            await asyncio.sleep(max(0.0, 0.8 * EXPIRES_S - BINDINGS / BINDINGS_A_SECOND - 2))
            await node.ask("lag")
            await asyncio.sleep(BINDINGS / BINDINGS_A_SECOND + 4)
            late = await node.ask("lag")
        assert registrar.stdin
        registrar.stdin.close()
    return Lag(*(1_000 * quantile(late, share) for share in (0.5, 0.99, 1.0)), idle_p99_ms=1_000 * quantile(idle, 0.99))


def quantile(values: list[float], share: float) -> float:
    """Value below which this share lies; values: sorted, NaN if there are none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")
