"""A limit on how often something may happen.

Owns one count. Time comes in as an argument, in seconds; its beginning does not matter.
"""

from __future__ import annotations

_EMPTY = 1.0 - 1e-9


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
        if self.is_empty(now):
            return False
        self._tokens -= 1.0
        return True

    def is_empty(self, now: float) -> bool:
        """Whether `take` would find none."""
        if self._filled_at is not None and now > self._filled_at:
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate_per_s)
        self._filled_at = now
        return self._tokens < _EMPTY
