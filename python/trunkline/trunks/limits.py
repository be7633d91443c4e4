"""How many calls a peer may have at once, and how many it may begin in a second.

Owns the counts of one peer. Time comes in as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TokenBucket:
    """Lets `burst` things happen at once, and `rate_per_s` in the long run."""

    __slots__ = ("_burst", "_filled_at", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = self._burst
        self._filled_at: float | None = None

    def take(self, now: float) -> bool:
        """Take one token; False if there is none. A clock that steps back gives and takes nothing."""
        if self._filled_at is not None and now > self._filled_at:
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate_per_s)
        self._filled_at = now
        if self._tokens < 1.0 - 1e-9:
            return False
        self._tokens -= 1.0
        return True


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
        self._buckets = (
            {} if limits.calls_per_s is None else {way: TokenBucket(limits.calls_per_s, limits.burst) for way in Way}
        )

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
