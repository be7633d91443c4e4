"""Medians and ranges of repeated runs, and how they are shown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, lowest and highest of what was measured; NaN where nothing was."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        known = [value for value in values if not math.isnan(value)]
        if not known:
            return cls(math.nan, math.nan, math.nan)
        return cls(statistics.median(known), min(known), max(known))

    def show(self, digits: int) -> str:
        """`median (low-high)`; the median alone where the others look the same, a dash where there is nothing."""
        if math.isnan(self.median):
            return "-"
        middle, low, high = (f"{value:.{digits}f}" for value in (self.median, self.low, self.high))
        return middle if low == high else f"{middle} ({low}-{high})"


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """One ratio for each repeat: what was measured close together in time is compared with each other."""
    return [a / b for a, b in zip(over, under, strict=False) if b > 0]


async def highest_passing(
    passes: Callable[[int], Awaitable[bool]], guess: int, *, most: int, step: float = 1.25, near: float = 1.05
) -> int:
    """Find the highest number that passes, to within `near`; 0 if none does. What fails at a number fails above it.

    passes: a coroutine function of the number. It is asked from `guess` on in growing strides until one passes and one
    fails, then in between. `most` is never exceeded.
    """
    good, bad = 0, 0
    at, stride = guess, step
    while not (good and bad):
        if await passes(at):
            good = at
            if at >= most:
                return good
            at = min(most, math.ceil(at * stride))
        else:
            bad = at
            if at <= 1:
                return 0
            at = max(1, math.floor(at / stride))
        stride *= step
    while bad / good > near and bad - good > 1:
        middle = round(math.sqrt(good * bad))
        if await passes(middle):
            good = middle
        else:
            bad = middle
    return good
