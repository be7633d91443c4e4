"""One trunk at work: its registration, the questions whether it is there, its calls and their counts.

Owns the timers of one trunk. Which call takes it is `fleet`'s and `course`'s.   RFC 3261 sections 10.2, 11.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from functools import partial
from random import Random

from trunkline.calls.legs.sip_party import SipAccess
from trunkline.calls.ports import Clock, TimerHandle
from trunkline.calls.sip_events import RegistrationEvent
from trunkline.errors import ConfigError, LocalProtocolError
from trunkline.observability.logging import get_logger
from trunkline.sip.types import Probed, Registered, RegistrationFailed, RegistrationId
from trunkline.trunks.health import Health, HealthState
from trunkline.trunks.limits import Capacity, Limited, Way
from trunkline.trunks.model import Trunk

_log = get_logger(__name__)


class TrunkState(StrEnum):
    """What a trunk is told as."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"
    RESTING = "resting"
    UNREGISTERED = "unregistered"
    """It is to be registered at, and is not."""


class Outcome(StrEnum):
    """What became of a call attempt at a trunk: label values of its counter."""

    ABANDONED = "abandoned"
    """Its caller gave it up."""
    ANSWERED = "answered"
    FAILED = "failed"
    FAILED_OVER = "failed_over"
    """It failed, and another trunk took the call."""
    LIMITED_CALLS = "limited_calls"
    LIMITED_RATE = "limited_rate"
    SKIPPED = "skipped"
    """It was not there."""
    TAKEN = "taken"
    """Inbound: it had a destination."""
    REFUSED = "refused"
    """Inbound: it had none, or none that took it."""


LIMITED = {Limited.CALLS: Outcome.LIMITED_CALLS, Limited.RATE: Outcome.LIMITED_RATE}


class Line:
    """One trunk. registrations: where the fleet finds whose Contact was called."""

    def __init__(
        self, trunk: Trunk, sip: SipAccess, clock: Clock, rng: Random, registrations: dict[RegistrationId, Line]
    ) -> None:
        self.trunk = trunk
        self.health = Health(trunk.health, rng)
        self.capacity = Capacity(trunk.limits)
        self.counts: Counter[tuple[Way, Outcome]] = Counter()
        self.failed_probes = 0
        self.last_failure = ""
        """What the trunk last failed with, for people."""
        self._sip = sip
        self._clock = clock
        self._rng = rng
        self._registrations = registrations
        self._registration: RegistrationId | None = None
        self._is_registered = False
        self._probe_timer: TimerHandle | None = None
        self._register_timer: TimerHandle | None = None
        self._told = TrunkState.UNKNOWN
        self._is_stopped = False

    def start(self) -> None:
        """Register, and ask from now on. ConfigError if the trunk's texts cannot be put on the wire."""
        try:
            self._register()
        except LocalProtocolError as error:
            raise ConfigError(f"trunks.{self.trunk.name}: {error}") from error
        self.health.start(self._clock.now())
        self._arm()

    def change(self, trunk: Trunk) -> None:
        """Go on with other settings of the same trunk. Calls keep their lines and count against the new limits.

        It is registered at anew if that may lead elsewhere, and what was known of it is forgotten if it is.
        """
        before, self.trunk = self.trunk, trunk
        self.capacity.change(trunk.limits)
        if (before.account, before.register_expires_s) != (trunk.account, trunk.register_expires_s):
            self._cancel(self._register_timer)
            self._unregister()
            self._register()
        if (before.account, before.health) != (trunk.account, trunk.health):
            self._cancel(self._probe_timer)
            self.health = Health(trunk.health, self._rng)
            self.health.start(self._clock.now())
            self._arm()

    def stop(self) -> None:
        """Ask no more, take no more calls, and take the registration back."""
        self._is_stopped = True
        self._cancel(self._probe_timer)
        self._cancel(self._register_timer)
        self._unregister()

    @property
    def state(self) -> TrunkState:
        """What is known now."""
        if self.trunk.register_expires_s is not None and not self._is_registered:
            return TrunkState.UNREGISTERED
        return TrunkState(self.health.state(self._clock.now()))

    @property
    def is_usable(self) -> bool:
        """Whether calls may try it."""
        return not self._is_stopped and self.state in (TrunkState.UNKNOWN, TrunkState.UP)

    def count(self, way: Way, outcome: Outcome) -> None:
        """Count what became of a call attempt."""
        self.counts[way, outcome] += 1

    def note_call(self, status: int, retry_after_s: int | None = None) -> None:
        """Learn from an outbound call. status: SIP's."""
        self.health.handle_call(self._clock.now(), status, retry_after_s)
        self._changed(f"a call got {status}")

    # --- is it there ---

    def _arm(self) -> None:
        due = self.health.poll_timeout()
        if due is not None and not self._is_stopped:
            delay_s = max(0.0, due - self._clock.now())
            self._probe_timer = self._clock.call_later(delay_s, self._ask)

    @staticmethod
    def _cancel(timer: TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()

    def _ask(self) -> None:
        if self.health.handle_timeout(self._clock.now()):
            probe = self._sip.verbs.probe(self.trunk.account, self.trunk.health.timeout_s)
            self._sip.events.bind_probe(probe, partial(self._answered, self.health))
        else:
            self._arm()

    def _answered(self, asked: Health, answer: Probed) -> None:
        if asked is not self.health:
            return  # it was asked as it was before `change`
        before = self.health.state(self._clock.now())
        self.health.handle_answer(self._clock.now(), answer.status, answer.retry_after_s)
        if self.health.state(self._clock.now()) is not HealthState.UP or before is not HealthState.UP:
            self._changed(f"OPTIONS got {answer.status}")
        if self.health.has_failed:
            self.failed_probes += 1
            self.last_failure = f"OPTIONS got {answer.status}"
        self._arm()

    def _changed(self, cause: str) -> None:
        state = self.state
        if state is self._told:
            return
        log = _log.info if self.is_usable else _log.warning
        log("trunk_state_changed", trunk=self.trunk.name, before=self._told.value, after=state.value, cause=cause)
        self._told = state

    # --- registration ---

    def _register(self) -> None:
        if self.trunk.register_expires_s is None:
            return
        self._register_timer = None
        self._registration = self._sip.verbs.register(self.trunk.account, self.trunk.register_expires_s)
        self._registrations[self._registration] = self
        self._sip.events.bind_registration(self._registration, self._registration_changed)

    def _unregister(self) -> None:
        registration, self._registration = self._registration, None
        if registration is not None:
            self._registrations.pop(registration, None)
            self._sip.events.unbind_registration(registration)
            self._sip.verbs.unregister(registration)
        self._is_registered = False

    def _registration_changed(self, event: RegistrationEvent) -> None:
        """Follow the user agent, which refreshes and tries again; what it gives up is begun anew after a long while."""
        match event:
            case Registered():
                self._is_registered = True
                self._changed("registered")
            case RegistrationFailed(_, status, phrase, retry_in_s):
                self._is_registered = False
                self.last_failure = f"REGISTER got {status} {phrase}".rstrip()
                self._changed(self.last_failure)
                if retry_in_s is None:
                    self._unregister()
                    delay_s = self.trunk.register_retry_s * self._rng.uniform(1.0, 1.5)
                    self._register_timer = self._clock.call_later(delay_s, self._register)
