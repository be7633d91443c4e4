"""Which digits of a far side come twice: one that goes both as a tone and by INFO is meant once.

Owns nothing but the newest digits of one call that have no double yet.
"""

from __future__ import annotations

from typing import Final

from trunkline.calls.model import ReceivedDigit

DOUBLE_S: Final = 1.0
"""The second of a pair comes within so many seconds of the first, and of its length."""

_KEPT: Final = 16


class DoubleFilter:
    """Judges the digits of one call, in the order in which they come."""

    def __init__(self) -> None:
        self._single: list[ReceivedDigit] = []

    def is_double(self, digit: ReceivedDigit) -> bool:
        """Say whether this digit came already, by another kind. Each digit has one double at most."""
        for earlier in self._single:
            window_s = DOUBLE_S + max(earlier.duration_ms, digit.duration_ms) / 1000
            is_same = (earlier.side, earlier.key) == (digit.side, digit.key) and earlier.by is not digit.by
            if is_same and digit.at - earlier.at <= window_s:
                self._single.remove(earlier)
                return True
        self._single.append(digit)
        del self._single[:-_KEPT]
        return False
