"""How many calls one core carries: the highest number at which the rule still holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from benches.peers.rows import Search
from benches.peers.stats import highest_passing
from benches.peers.work import TRIES, Run

LOSS_LIMIT = 0.001
P99_LIMIT_US = 5_000.0
FRAME_US = 20_000.0
"""A jitter buffer waits longer or shorter by whole frames."""
BASE_CALLS = 50
MOST_CALLS = 2_600
"""More than that the generator cannot drive from one core."""

Measure = Callable[[int], Awaitable[Run]]


@dataclass(slots=True)
class Capacity:
    """Outcome of a search. steps: the runs that led to it.

    is_bound: where it first failed the generator was late, so it may be more.
    """

    relay: str
    calls: int = 0
    is_bound: bool = False
    steps: list[Run] = field(default_factory=list)


async def find_capacity(search: Search, relay: str, guess: int, measure: Measure) -> Capacity:
    """Search from `guess` on. A step that fails while others had the cores is measured again."""
    found = Capacity(relay)
    # A jitter buffer delays on purpose, so transcoded calls are judged by what load adds to that.
    base = await measure(BASE_CALLS) if search.sound.is_timed_by_marks else None
    failed_at = MOST_CALLS

    async def passes(calls: int) -> bool:
        nonlocal failed_at
        for _ in range(TRIES):
            try:
                run = await measure(calls)
            except (TimeoutError, ExceptionGroup) as failure:
                if isinstance(failure, ExceptionGroup) and failure.split(TimeoutError)[1]:
                    raise
                # A relay that is too busy to answer carries less.
                return False
            if keeps_rule(run, base) or not run.is_disturbed:
                break
        found.steps.append(run)
        if keeps_rule(run, base):
            return True
        if calls <= failed_at:
            failed_at, found.is_bound = calls, run.is_generator_late
        return False

    found.calls = await highest_passing(passes, guess, most=MOST_CALLS)
    found.is_bound = found.is_bound or found.calls >= MOST_CALLS
    return found


def keeps_rule(run: Run, base: Run | None) -> bool:
    """Less than 0.1 % lost, and the slowest hundredth added less than 5 ms.

    base: what the relay does with a few transcoded calls; load may add 5 ms and one frame to that.
    """
    floor_us = base.p99_us + FRAME_US if base else 0.0
    concealed = run.counts.get("concealed", 0) / (run.packets_per_s * run.seconds)
    return run.loss + concealed < LOSS_LIMIT and run.p99_us - floor_us < P99_LIMIT_US
