"""What it costs to carry one codec beside another, and how much of the sound survives.

Owns one table and the order that follows from it: no transcoding, else the widest sound, else the least CPU. Must not
know policies or descriptions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from trunkline.media.types import Codec


@dataclass(frozen=True, slots=True)
class Traits:
    """What a codec does to a call. bandwidth_hz: the highest pitch that it carries.

    cost_us: to encode and to decode 20 ms, beside a partner of 8 kHz or at its own rate if that is higher.
    """

    bandwidth_hz: int
    cost_us: float


_TRAITS: Final = {
    # Costs are measured (`make bench-codecs`: "Each codec by itself" in benches/results/codecs.md), but for those of
    # L16. They only order codecs that carry equal bandwidth.
    ("opus", 48_000): Traits(20_000, 35.0),
    # A resampler stands beside Opus.
    ("L16", 44_100): Traits(20_000, 20.0),
    ("L16", 48_000): Traits(20_000, 0.1),
    ("L16", 16_000): Traits(8_000, 0.1),
    ("speex", 16_000): Traits(7_000, 170.0),
    ("G722", 8_000): Traits(7_000, 28.0),
    # Telephone sound, as it comes from whoever samples at 8 kHz.
    ("L16", 8_000): Traits(3_400, 0.1),
    ("PCMU", 8_000): Traits(3_400, 0.1),
    ("PCMA", 8_000): Traits(3_400, 0.1),
    ("G729", 8_000): Traits(3_400, 50.0),
    ("speex", 8_000): Traits(3_400, 100.0),
}
"""By encoding name and clock rate. What is missing is carried last."""

_UNKNOWN: Final = Traits(0, 1_000.0)

Rank = tuple[bool, int, float]
"""Orders pairings, the best one lowest."""


def traits(codec: Codec) -> Traits:
    """Return what is known of a codec."""
    return _TRAITS.get((codec.name, codec.clock_rate), _UNKNOWN)


def is_same(a: Codec, b: Codec) -> bool:
    """Say whether two payload types mean the same format. Opus has one, however its channels are written (RFC 7587)."""
    return (a.name, a.clock_rate) == (b.name, b.clock_rate) and (a.channels == b.channels or a.name == "opus")


def rank(codec: Codec, partners: Iterable[Codec]) -> Rank:
    """Return how well a codec goes with the best of the other leg's. partners: not empty."""
    return min(_rank(codec, partner) for partner in partners)


def _rank(one: Codec, other: Codec) -> Rank:
    a, b = traits(one), traits(other)
    return not is_same(one, other), -min(a.bandwidth_hz, b.bandwidth_hz), a.cost_us + b.cost_us
