"""Whether a trunk is there: one machine a trunk, fed with answers to OPTIONS and with what calls met.

Owns the state and when to ask next; time and random numbers come in. Asking is `calls.trunks.line`'s.
RFC 3261 sections 11, 20.33, 21.5.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

FAILURES: Final = frozenset((408, 500, 502, 503, 504))
"""Answers that say that calls would not be taken. Any other, be it 404 or 405, comes from somebody who is there."""

_MAX_REST_S: Final = 3_600.0
_SPREAD: Final = 0.1
"""Part of the interval by which questions are moved at random, so that many trunks are not asked at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPolicy:
    """interval_s: between questions, 0 for none. down_after, up_after: failures or answers in a row."""

    interval_s: float = 30.0
    timeout_s: float = 4.0
    down_after: int = 2
    up_after: int = 1


class HealthState(StrEnum):
    """What is known of a trunk."""

    UNKNOWN = "unknown"
    """Nothing yet: calls may try."""
    UP = "up"
    DOWN = "down"
    RESTING = "resting"
    """It has said 503 and when to come again (Retry-After)."""


class Health:
    """One trunk's machine. `poll_timeout` tells when `handle_timeout` is due; True of that is to ask now."""

    __slots__ = ("_failures", "_is_asking", "_next", "_policy", "_rest_until", "_rng", "_state", "_successes")

    def __init__(self, policy: HealthPolicy, rng: Random) -> None:
        self._policy = policy
        self._rng = rng
        self._state = HealthState.UNKNOWN
        self._failures = self._successes = 0
        self._rest_until: float | None = None
        self._next: float | None = None
        self._is_asking = False

    def start(self, now: float) -> None:
        """Ask from now on, at a moment of the first interval, or of its first second if that is shorter."""
        if self._policy.interval_s > 0:
            self._next = now + self._rng.uniform(0.0, min(1.0, self._policy.interval_s))

    def state(self, now: float) -> HealthState:
        """Say what is known now. A trunk that is not asked is tried again as soon as it has rested."""
        if self._rest_until is not None and now < self._rest_until:
            return HealthState.RESTING
        if self._state is HealthState.RESTING:
            return HealthState.UNKNOWN
        return self._state

    def is_usable(self, now: float) -> bool:
        """Whether calls may try it."""
        return self.state(now) in (HealthState.UNKNOWN, HealthState.UP)

    @property
    def has_failed(self) -> bool:
        """Whether the newest that is known is a failure."""
        return self._failures > 0

    def poll_timeout(self) -> float | None:
        """When to ask next; None while an answer is awaited, or never."""
        return None if self._is_asking else self._next

    def handle_timeout(self, now: float) -> bool:
        """Say whether it is time to ask; `handle_answer` is to follow."""
        if self._is_asking or self._next is None or now < self._next:
            return False
        self._is_asking = True
        return True

    def handle_answer(self, now: float, status: int, retry_after_s: int | None = None) -> None:
        """Take the answer to a question. status: of any response, 408 for silence."""
        self._is_asking = False
        self._note(now, status, retry_after_s)
        spread = self._rng.uniform(1.0 - _SPREAD, 1.0 + _SPREAD)
        self._next = max(now + self._policy.interval_s * spread, self._rest_until or 0.0)

    def handle_call(self, now: float, status: int, retry_after_s: int | None = None) -> None:
        """Learn from a call that ended with a status, or got any answer (100): it says as much as a question does.

        The failures of calls count only in a row with nothing good between, so that one number that leads nowhere does
        not take down a trunk; a trunk that is never asked cannot come back by itself and is only left to rest.
        """
        if status not in FAILURES:
            self._failures = 0
            if self._state is HealthState.UNKNOWN:
                self._state = HealthState.UP
        elif self._policy.interval_s > 0 or retry_after_s is not None:
            self._note(now, status, retry_after_s)

    def _note(self, now: float, status: int, retry_after_s: int | None) -> None:
        if status not in FAILURES:
            self._rest_until = None
            self._failures = 0
            self._successes += 1
            if self._state in (HealthState.UNKNOWN, HealthState.UP) or self._successes >= self._policy.up_after:
                self._state = HealthState.UP
            return
        self._successes = 0
        self._failures += 1
        if status == 503 and retry_after_s:
            self._rest_until = now + min(float(retry_after_s), _MAX_REST_S)
            self._state = HealthState.RESTING if self._policy.interval_s <= 0 else HealthState.DOWN
        elif self._failures >= self._policy.down_after:
            self._state = HealthState.DOWN
