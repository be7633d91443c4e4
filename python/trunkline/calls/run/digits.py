"""The digits of a call: sent for clients, heard from far sides, passed on where the media plane does not.

Owns which heard digits count, and the memory of them in `Call.digits`.   RFC 4733, RFC 6086 (INFO).
"""

from __future__ import annotations

from collections.abc import Mapping

from trunkline.calls.dtmf import DoubleFilter
from trunkline.calls.events import DtmfHeard, DtmfMethod, DtmfRequested
from trunkline.calls.model import DTMF_KEPT, Call, ReceivedDigit, Side
from trunkline.calls.ports import Clock, LegPort
from trunkline.dtmf import DtmfKind
from trunkline.errors import TrunklineError
from trunkline.observability.logging import get_logger

_log = get_logger(__name__)


class Digits:
    """Carries the digits of one call. legs: the call's, as they are at the time."""

    __slots__ = ("_clock", "_doubles", "_legs", "call")

    def __init__(self, call: Call, legs: Mapping[Side, LegPort], clock: Clock) -> None:
        self.call = call
        """Which call they belong to; another one after a transfer."""
        self._legs = legs
        self._clock = clock
        self._doubles = DoubleFilter()

    async def request(self, event: DtmfRequested) -> None:
        """Send a client's digits. Raises as `LegPort.send_dtmf`; what becomes of them later is the reply's."""
        await self._legs[event.side].send_dtmf(event.digits, method=event.method, reply=event.reply)
        _log.info("dtmf_sent", count=len(event.digits), method=event.method.value, leg=event.side.value)

    async def _pass_on(self, side: Side, digit: str, duration_ms: int | None) -> None:
        """Send what the other far side has pressed; if that fails, its leg is told, and the call goes on."""
        failed = self._legs[side.other].dtmf_failed

        def reply(error: TrunklineError | None) -> None:
            if error is not None:
                failed(str(error))

        try:
            await self._legs[side].send_dtmf(digit, method=DtmfMethod.RTP, duration_ms=duration_ms, reply=reply)
        except (TrunklineError, TimeoutError) as error:
            _log.warning("dtmf_not_sent", leg=side.value, error=str(error))
            failed(str(error))

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
        del self.call.digits[:-DTMF_KEPT]
        other = self._legs[event.side.other].leg
        if event.by is DtmfKind.INFO or other.dtmf is DtmfKind.INFO:
            await self._pass_on(event.side.other, event.digit, event.duration_ms)

    async def _ignore_tones(self, side: Side) -> None:
        try:
            await self._legs[side].ignore_tones()
        except (TrunklineError, TimeoutError) as error:
            _log.warning("tones_not_ignored", leg=side.value, error=str(error))
