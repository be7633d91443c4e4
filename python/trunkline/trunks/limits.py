"""How many calls a peer may have at once, and how many it may begin in a second.

Owns the counts of one peer. Time comes in as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trunkline.buckets import TokenBucket


class Way(StrEnum):
    """Which way a call goes, as seen from us."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class Limited(StrEnum):
    """Which limit a call met."""

    CALLS = "calls"
    RATE = "rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one peer; None is no limit. calls_per_s, burst: of attempts, each way by itself."""

    calls: int | None = None
    calls_out: int | None = None
    calls_in: int | None = None
    calls_per_s: float | None = None
    burst: int = 10


class Capacity:
    """The calls of one peer, under its limits."""

    __slots__ = ("_buckets", "_limits", "active")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.active = dict.fromkeys(Way, 0)
        self._buckets = _buckets(limits)

    def change(self, limits: Limits) -> None:
        """Go by other limits from now on. Calls above them stay; tokens are kept while the rate is the same."""
        before, self._limits = self._limits, limits
        if (before.calls_per_s, before.burst) != (limits.calls_per_s, limits.burst):
            self._buckets = _buckets(limits)

    def admit(self, now: float, way: Way) -> Limited | None:
        """Count a call that begins; or say which limit it meets, and count nothing.

        A call that finds no line takes no token: the rate is of calls that the peer gets to see.
        """
        limits, active = self._limits, self.active
        own = limits.calls_out if way is Way.OUTBOUND else limits.calls_in
        if (limits.calls is not None and sum(active.values()) >= limits.calls) or (
            own is not None and active[way] >= own
        ):
            return Limited.CALLS
        bucket = self._buckets.get(way)
        if bucket is not None and not bucket.take(now):
            return Limited.RATE
        active[way] += 1
        return None

    def release(self, way: Way) -> None:
        """Count a call that is over."""
        self.active[way] -= 1


def _buckets(limits: Limits) -> dict[Way, TokenBucket]:
    if limits.calls_per_s is None:
        return {}
    return {way: TokenBucket(limits.calls_per_s, limits.burst) for way in Way}
