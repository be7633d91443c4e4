"""The digits of a call: sent for clients, heard from far sides, passed on where the media plane does not.

Owns which heard digits count, and the memory of them in `Call.digits`.   RFC 4733, RFC 6086 (INFO).
"""

from __future__ import annotations

from collections.abc import Mapping

from trunkline.calls.dtmf import DoubleFilter
from trunkline.calls.events import DtmfHeard, DtmfMethod
from trunkline.calls.model import Call, ReceivedDigit, Side
from trunkline.calls.ports import Clock, LegPort
from trunkline.dtmf import DtmfKind
from trunkline.errors import TrunklineError
from trunkline.observability.logging import get_logger

_log = get_logger(__name__)


class Digits:
    """Carries the digits of one call. legs: the call's, as they are at the time."""

    def __init__(self, call: Call, legs: Mapping[Side, LegPort], clock: Clock) -> None:
        self.call = call
        """Which call they belong to; another one after a transfer."""
        self._legs = legs
        self._clock = clock
        self._doubles = DoubleFilter()

    async def send(self, side: Side, digits: str, method: DtmfMethod, duration_ms: int | None = None) -> None:
        """Send digits; what fails is told to the client, and the call goes on."""
        try:
            await self._legs[side].send_dtmf(digits, method=method, duration_ms=duration_ms)
        except (TrunklineError, TimeoutError) as error:
            _log.warning("dtmf_not_sent", count=len(digits), method=method.value, error=str(error))
            self._legs[side.other].dtmf_failed(str(error))
        else:
            _log.info("dtmf_sent", count=len(digits), method=method.value, leg=side.value)

    async def note(self, event: DtmfHeard) -> None:
        """Keep a digit, once, and send it on if the media plane does not."""
        digit = ReceivedDigit(event.side, event.digit, event.duration_ms, event.by, self._clock.now())
        is_double = self._doubles.is_double(digit)
        _log.info(
            "dtmf_received",
            leg=event.side.value,
            by=event.by.value,
            duration_ms=event.duration_ms,
            is_double=is_double,
        )
        if event.by is DtmfKind.INFO:
            await self._ignore_tones(event.side)
        if is_double:
            return
        self.call.digits.append(digit)
        other = self._legs[event.side.other].leg
        if event.by is DtmfKind.INFO or other.dtmf is DtmfKind.INFO:
            await self.send(event.side.other, event.digit, DtmfMethod.RTP, event.duration_ms)

    async def _ignore_tones(self, side: Side) -> None:
        try:
            await self._legs[side].ignore_tones()
        except (TrunklineError, TimeoutError) as error:
            _log.warning("tones_not_ignored", leg=side.value, error=str(error))
