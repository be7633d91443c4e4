"""What a network sounds like, by country: dial, ringback, busy and congestion tones.

Owns the table and nothing else. Frequencies and cadences: ITU-T E.180 Supplement 2 (various tones used in national
networks); levels are ours: comfortable beside speech. Tones that a country modulates or warbles are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trunkline.media.types import Tone

LEVEL_DBM0: Final = -16.0


@dataclass(frozen=True, slots=True)
class NetworkTones:
    """The tones of one country."""

    dial: Tone
    ringback: Tone
    busy: Tone
    congestion: Tone


def _tones(
    dial: tuple[float, ...],
    ringback: tuple[tuple[float, ...], tuple[int, ...]],
    busy: tuple[tuple[float, ...], tuple[int, ...]],
    congestion: tuple[int, ...],
) -> NetworkTones:
    """Congestion sounds like busy, at another pace."""
    return NetworkTones(
        Tone(dial, LEVEL_DBM0),
        Tone(ringback[0], LEVEL_DBM0, ringback[1]),
        Tone(busy[0], LEVEL_DBM0, busy[1]),
        Tone(busy[0], LEVEL_DBM0, congestion),
    )


TONES: Final[dict[str, NetworkTones]] = {
    "AT": _tones((420.0,), ((420.0,), (1000, 5000)), ((420.0,), (400, 400)), (200, 200)),
    "BR": _tones((425.0,), ((425.0,), (1000, 4000)), ((425.0,), (250, 250)), (250, 250, 750, 250)),
    "CH": _tones((425.0,), ((425.0,), (1000, 4000)), ((425.0,), (500, 500)), (200, 200)),
    "CN": _tones((450.0,), ((450.0,), (1000, 4000)), ((450.0,), (350, 350)), (700, 700)),
    "DE": _tones((425.0,), ((425.0,), (1000, 4000)), ((425.0,), (480, 480)), (240, 240)),
    "ES": _tones((425.0,), ((425.0,), (1500, 3000)), ((425.0,), (200, 200)), (200, 200, 200, 200, 200, 600)),
    "FR": _tones((440.0,), ((440.0,), (1500, 3500)), ((440.0,), (500, 500)), (250, 250)),
    "GB": _tones((350.0, 440.0), ((400.0, 450.0), (400, 200, 400, 2000)), ((400.0,), (375, 375)), (400, 350, 225, 525)),
    "NL": _tones((425.0,), ((425.0,), (1000, 4000)), ((425.0,), (500, 500)), (250, 250)),
    "SE": _tones((425.0,), ((425.0,), (1000, 5000)), ((425.0,), (250, 250)), (250, 750)),
    "US": _tones((350.0, 440.0), ((440.0, 480.0), (2000, 4000)), ((480.0, 620.0), (500, 500)), (250, 250)),
}
"""By ISO 3166-1 code."""
