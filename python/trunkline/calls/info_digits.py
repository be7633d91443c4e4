"""Digits that leave by SIP INFO, one after the other, so that they stay in order.   RFC 6086.

Owns the queue of one dialog. Knows no SIP message.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from trunkline.errors import CapacityError, InvalidCallState
from trunkline.observability.logging import get_logger
from trunkline.sip.info import DEFAULT_MS, Digit, write

_log = get_logger(__name__)

QUEUED_DIGITS: Final = 64
"""INFOs that may wait for the answer to the one before."""


class InfoDigits:
    """send: puts the body of one INFO on its way, or raises InvalidCallState."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._digits: list[Digit] = []
        """The one that is under way first."""

    def add(self, keys: str, duration_ms: int | None) -> None:
        """Send digits after those that wait. CapacityError if too many do, InvalidCallState if none can be sent."""
        if len(self._digits) + len(keys) > QUEUED_DIGITS:
            raise CapacityError("too many digits are waiting")
        is_idle = not self._digits
        self._digits.extend(Digit(key, duration_ms or DEFAULT_MS) for key in keys)
        if is_idle:
            self._send_first()

    def answered(self, status: int) -> None:
        """Take the final status of the INFO that is under way: the next digit goes, whatever it was."""
        if status >= 300:
            _log.warning("dtmf_refused", status=status)
        if self._digits:
            del self._digits[0]
            with suppress(InvalidCallState):  # the call ended: so did the digits
                self._send_first()

    def _send_first(self) -> None:
        if not self._digits:
            return
        try:
            self._send(write(self._digits[0]))
        except InvalidCallState:
            self._digits.clear()
            raise
