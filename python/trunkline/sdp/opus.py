"""Opus parameters: what a far side is asked to send, in view of who will hear it.   RFC 7587 6.1, 7.

Owns the choice and the check of values; the media plane obeys what a far side asks of us. Must not know m-lines.

Packets that are relayed are meant for the other leg's far side, so its wishes are passed on, and so is what it says of
its own sound. Packets that we decode are asked for as narrow as the codec is that they become, at a fitting bit rate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from trunkline.media.types import Codec
from trunkline.sdp.pairing import traits
from trunkline.sdp.parser import number

Parameters = tuple[tuple[str, str], ...]

OURS: Final[Parameters] = (("minptime", "10"), ("useinbandfec", "1"))
"""Mono is the default; 10 ms is the shortest frame that our side takes; FEC is used when it is there."""

_FLAG: Final = frozenset({"0", "1"})


def _is_flag(value: str) -> bool:
    return value in _FLAG


def _is_rate(value: str) -> bool:
    return number(value, 8_000, 48_000) is not None


def _is_bitrate(value: str) -> bool:
    return number(value, 6_000, 510_000) is not None


_PASSED_ON: Final[dict[str, Callable[[str], bool]]] = {
    "useinbandfec": _is_flag,
    "usedtx": _is_flag,
    "cbr": _is_flag,
    "stereo": _is_flag,
    "sprop-stereo": _is_flag,
    "maxplaybackrate": _is_rate,
    "sprop-maxcapturerate": _is_rate,
    "maxaveragebitrate": _is_bitrate,
}
"""What a far side may say of itself, in the order in which we write it. The rest is our own affair, or nobody's."""

_RATES_HZ: Final = (8_000, 12_000, 16_000, 24_000)
"""Sample rates below the full one (RFC 6716 2)."""


def wanted(partners: tuple[Codec, ...], bitrate_bps: int) -> Parameters:
    """Return what to ask of a far side that may send Opus.

    partners: what the other leg speaks, empty while unknown. bitrate_bps: what suits sound that is coded anew.
    """
    relayed = next((codec for codec in partners if codec.name == "opus"), None)
    if relayed is not None:
        said = dict(relayed.parameters)
        passed = ((name, said[name]) for name, is_valid in _PASSED_ON.items() if is_valid(said.get(name, "")))
        return (OURS[0], *passed)
    widest_hz = 2 * max((traits(codec).bandwidth_hz for codec in partners), default=0)
    rate = next((str(rate) for rate in _RATES_HZ if 0 < widest_hz <= rate), None)
    if rate is None:
        return OURS
    narrowed = (("maxplaybackrate", rate), ("sprop-maxcapturerate", rate), ("maxaveragebitrate", str(bitrate_bps)))
    return (*OURS, *narrowed)
