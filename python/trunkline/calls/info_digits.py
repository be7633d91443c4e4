"""Digits that leave by SIP INFO, one after the other, so that they stay in order.   RFC 6086.

Owns the queue of one dialog. Knows no SIP message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from trunkline.calls.events import Reply
from trunkline.errors import CapacityError, InvalidCallState, LegRejected, TransactionTimeout, TrunklineError
from trunkline.observability.logging import get_logger
from trunkline.sip.info import DEFAULT_MS, Digit, write
from trunkline.sip.phrases import reason_phrase

_log = get_logger(__name__)

QUEUED_DIGITS: Final = 64
"""INFOs that may wait for the answer to the one before."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A digit. reply: of the request that it is the last of."""

    digit: Digit
    reply: Reply | None = None


class InfoDigits:
    """send: puts the body of one INFO on its way, or raises InvalidCallState."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._digits: list[_Waiting] = []
        """The one that is under way first."""
        self._refusal: TrunklineError | None = None
        """Of a digit of the request that is under way."""

    def add(self, keys: str, duration_ms: int | None, reply: Reply) -> None:
        """Send digits after those that wait; `reply` gets what the far side says to them, the first refusal if any.

        CapacityError if too many wait, InvalidCallState if none can be sent.
        """
        if len(self._digits) + len(keys) > QUEUED_DIGITS:
            raise CapacityError("too many digits are waiting")
        is_idle = not self._digits
        *others, last = (Digit(key, duration_ms or DEFAULT_MS) for key in keys)
        self._digits.extend((*map(_Waiting, others), _Waiting(last, reply)))
        if is_idle:
            try:
                self._send(write(self._digits[0].digit))
            except InvalidCallState:
                self._digits.clear()
                raise

    def answered(self, status: int) -> None:
        """Take the final status of the INFO that is under way: the next digit goes, whatever it was."""
        if not self._digits:
            return
        if status >= 300:
            _log.warning("dtmf_refused", status=status)
            self._refusal = self._refusal or _error(status)
        reply = self._digits.pop(0).reply
        if reply is not None:
            refusal, self._refusal = self._refusal, None
            reply(refusal)
        if self._digits:
            try:
                self._send(write(self._digits[0].digit))
            except InvalidCallState:  # the call ended: so did the digits
                self.close()

    def close(self) -> None:
        """Send no more: the call is over, and whoever waits is told so."""
        waiting, self._digits = self._digits, []
        for each in waiting:
            if each.reply is not None:
                each.reply(InvalidCallState("the call ended"))


def _error(status: int) -> TrunklineError:
    if status == TransactionTimeout.sip_status:
        return TransactionTimeout("the SIP side did not answer in time")
    return LegRejected(status, reason_phrase(status))
