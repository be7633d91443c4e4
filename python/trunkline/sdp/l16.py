"""L16 in descriptions: at its rates, how long a packet may be is a matter of bytes.   RFC 3551 4.5.11.

Owns the two bounds; the media plane keeps the same ones. Must not know m-lines.
"""

from __future__ import annotations

from typing import Final

NAME: Final = "L16"

_SAMPLE_BYTES: Final = 2
_SENT_BYTES: Final = 1_168
"""What no path breaks up, with RTP and SRTP around it: 1,200 bytes."""
_TAKEN_BYTES: Final = 1_920
"""What a receive buffer of the media plane holds: 20 ms at 48,000 Hz."""
_STEP_MS: Final = 10


def longest_sent_ms(clock_rate: int) -> int:
    """Return the longest packet that we send, in milliseconds."""
    return _milliseconds(_SENT_BYTES, clock_rate)


def longest_taken_ms(clock_rate: int) -> int:
    """Return the longest packet that we can take, in milliseconds."""
    return _milliseconds(_TAKEN_BYTES, clock_rate)


def _milliseconds(size: int, clock_rate: int) -> int:
    exact = size // _SAMPLE_BYTES * 1_000 // clock_rate
    return max(exact - exact % _STEP_MS, _STEP_MS)
