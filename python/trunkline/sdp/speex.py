"""Speex parameters: what a far side is asked to send, in view of who will hear it.   RFC 5574 3.2.

Owns the choice and the check of values; the media plane obeys what a far side asks of us. Must not know m-lines.
"""

from __future__ import annotations

import re
from typing import Final

from trunkline.media.types import Codec
from trunkline.sdp.pairing import is_same

Parameters = tuple[tuple[str, str], ...]

NAME: Final = "speex"
FRAME_MS: Final = 20
"""A packet holds whole frames."""

_OURS: Final[dict[int, Parameters]] = {
    # An absent mode means 8 kbit/s in narrow band, where 15 sound much better, and 28 in wide band, which are fine.
    8_000: (("mode", '"5,any"'), ("vbr", "vad"), ("cng", "on")),
    16_000: (("vbr", "vad"), ("cng", "on")),
}
"""By clock rate. Silence may be short, or left out: our decoder makes the noise."""

_VALID: Final = {
    "mode": re.compile(r"([0-9]|10|any)(,([0-9]|10|any)){0,11}"),
    "vbr": re.compile(r"on|off|vad"),
    "cng": re.compile(r"on|off"),
}
"""What a far side may say, in the order in which we write it. The rest is our own affair, or nobody's."""


def ours(clock_rate: int) -> Parameters:
    """Return what to ask for when we decode the sound ourselves. clock_rate: 8,000 or 16,000."""
    return _OURS[clock_rate]


def wanted(codec: Codec, partners: tuple[Codec, ...]) -> Parameters:
    """Return what to ask of a far side that may send this codec: what the other leg asks, if it is passed on to that.

    partners: what the other leg speaks, empty while unknown.
    """
    relayed = next((partner for partner in partners if is_same(codec, partner)), None)
    if relayed is None:
        return ours(codec.clock_rate)
    said = {name: value.strip('"').replace(" ", "") for name, value in relayed.parameters}
    passed = ((name, said[name]) for name, valid in _VALID.items() if valid.fullmatch(said.get(name, "")))
    return tuple((name, f'"{value}"' if name == "mode" else value) for name, value in passed)
