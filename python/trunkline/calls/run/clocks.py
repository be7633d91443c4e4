"""The clocks of a call.

Owns how long each runs and which are running. What is done when one fires is the machine's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from trunkline.calls.events import CallEvent, Timer, TimerFired
from trunkline.calls.model import HoldPolicy, TransferPolicy
from trunkline.calls.ports import Clock, TimerHandle
from trunkline.calls.run.recording import RecordingSettings
from trunkline.media.types import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Times of a call in seconds, and what is played.

    transfers, holds: what is done about those that far sides ask for, or begin. player_source: to a leg that has nobody
    on the other side. hold_source: to one that is on hold. recording: where that goes.
    """

    ring_timeout_s: float
    setup_timeout_s: float
    max_duration_s: float
    transfers: TransferPolicy
    holds: HoldPolicy
    player_source: Source
    hold_source: Source
    recording: RecordingSettings

    def delay_s(self, timer: Timer) -> float:
        """Return how long a clock runs."""
        match timer:
            case Timer.RING | Timer.SUCCESSOR | Timer.CONSENT:
                return self.ring_timeout_s
            case Timer.SETUP:
                return self.setup_timeout_s
            case Timer.DURATION:
                return self.max_duration_s
        assert_never(timer)


class Clocks:
    """Starts and stops them. post: takes a `TimerFired`."""

    __slots__ = ("_clock", "_post", "_running", "_settings")

    def __init__(self, clock: Clock, settings: RunSettings, post: Callable[[CallEvent], None]) -> None:
        self._clock = clock
        self._settings = settings
        self._post = post
        self._running: dict[Timer, TimerHandle] = {}

    def arm(self, timer: Timer) -> None:
        """Start a clock, anew if it runs."""
        self.disarm(timer)
        delay_s = self._settings.delay_s(timer)
        self._running[timer] = self._clock.call_later(delay_s, lambda: self._post(TimerFired(timer)))

    def disarm(self, timer: Timer) -> None:
        """Stop a clock; nothing if it does not run."""
        handle = self._running.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def disarm_all(self) -> None:
        """Stop them all."""
        for timer in tuple(self._running):
            self.disarm(timer)
