"""Holds that a far side begins by itself, in its signalling: what the other side is told of them.

Owns the decision alone; how a leg is put on hold is the machine's. A page by SIP holds the call as a client does: the
other side hears music. Between two SIP sides it is as the policy says.   RFC 3264 section 8.4, RFC 5359 section 2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trunkline.calls.events import CallEvent, HoldRequested, ResumeRequested
from trunkline.calls.model import Call, HoldPolicy, LegKind, Side
from trunkline.calls.ports import LegPort
from trunkline.errors import TrunklineError
from trunkline.observability.logging import get_logger

_log = get_logger(__name__)


class Holds:
    """Passes holds on within one call. legs: as they are at the time. post: takes the wish to hold or resume."""

    __slots__ = ("_legs", "_policy", "_post")

    def __init__(self, legs: Mapping[Side, LegPort], post: Callable[[CallEvent], None], policy: HoldPolicy) -> None:
        self._legs = legs
        self._post = post
        self._policy = policy

    def changed(self, call: Call, side: Side) -> None:
        """Learn that the far side of a leg holds us now, or does not any more."""
        leg = self._legs[side].leg
        if not leg.is_holding:
            # Who did not hold the call does not resume it: both sides may hold each other.
            if call.holder is side:
                self._post(ResumeRequested(side, _note_refusal))
            return
        if leg.kind is LegKind.WEB:
            self._post(HoldRequested(side, _note_refusal))
        elif not self._legs[side.other].hears_of_hold or self._policy is HoldPolicy.KEEP:
            return
        elif self._policy is HoldPolicy.MUSIC:
            self._post(HoldRequested(side, _note_refusal))
        else:
            self._post(HoldRequested(side, _note_refusal, has_music=False, is_silent=not leg.sends_on_hold))

    def ended(self, call: Call) -> None:
        """Learn that nobody holds the call for the other side any more; who was held may hold it as well."""
        for side, leg in self._legs.items():
            if leg.leg.is_holding:
                self.changed(call, side)


def _note_refusal(error: TrunklineError | None) -> None:
    """Note it, no more: who holds does so by itself, whatever the other side says of it."""
    if error is not None:
        _log.info("hold_not_passed_on", error=str(error))
