"""A voice that belongs to nobody, and how like it a recording is: delay, level, and loudness in the ear's bands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.codecs.libraries import Pcm

Floats = NDArray[np.float64]

RATE_HZ: Final = 16_000
"""At which recordings are compared."""
HOP: Final = RATE_HZ // 125
_WINDOW: Final = 4 * HOP
_SEGMENT: Final = 50
"""Hops that are aligned together, 0.4 s: a jitter buffer stretches and cuts speech between them."""
_WANDER: Final = 12
"""Hops by which such a stretch may be off."""
_EDGES_HZ: Final = (
    200,
    300,
    400,
    510,
    630,
    770,
    920,
    1080,
    1270,
    1480,
    1720,
    2000,
    2320,
    2700,
    3150,
    3700,
    4400,
    5300,
    6400,
)
_DEPTH_DB: Final = 30.0
"""What is quieter than the loudest by this is not compared."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like the original a recording is.

    delay_s: of what came first. level_db: of the whole, against the original. distance_db: mean difference of loudness
    over time and bands. heard: share of the original that was found.
    """

    delay_s: float
    level_db: float
    distance_db: float
    heard: float


@cache
def voice(rate_hz: int, seconds: float = 3.2) -> Pcm:
    """Return the voice: pulses of a wandering pitch through three wandering resonances, hisses, and pauses."""
    rate = 48_000
    times = np.arange(round(seconds * rate)) / rate
    pitch_hz = 125 + 30 * np.sin(2 * np.pi * 0.7 * times) + 8 * np.sin(2 * np.pi * 3.1 * times)
    phase = np.cumsum(pitch_hz) / rate
    pulses = np.diff(np.floor(phase), prepend=0.0) * 14.0
    noise = np.random.default_rng(729).standard_normal(len(times))
    is_hiss = np.mod(times, 0.55) > 0.47
    source = np.where(is_hiss, 0.25 * noise, pulses + 0.02 * noise)
    loudness = np.where(np.mod(times, 1.6) > 1.3, 0.003, 0.25 + 0.75 * np.abs(np.sin(2 * np.pi * 2.1 * times)))
    blocks = []
    # Resonances that stand still for 10 ms each, laid over one another.
    size = rate // 100
    for start in range(0, len(times) - size, size):
        at = start / rate
        centres = (520 + 240 * np.sin(14 * at), 1_500 + 450 * np.cos(11 * at), 2_700 + 300 * np.sin(7 * at), 5_200.0)
        spectrum = np.fft.rfft(source[start : start + 2 * size] * np.hanning(2 * size)[: len(source) - start])
        hz = np.fft.rfftfreq(min(2 * size, len(source) - start), 1 / rate)
        gain = sum(
            weight / (1 + ((hz - centre) / width) ** 2)
            for centre, width, weight in zip(centres, (90, 130, 200, 900), (1.0, 0.6, 0.35, 0.2), strict=True)
        )
        blocks.append((start, np.fft.irfft(spectrum * gain, min(2 * size, len(source) - start))))
    spoken = np.zeros(len(times))
    for start, block in blocks:
        spoken[start : start + len(block)] += block
    spoken *= loudness
    spoken *= 0.08 / np.sqrt(np.mean(spoken**2))
    return np.round(np.clip(resampled(spoken, rate, rate_hz), -0.99, 0.99) * 32_767).astype(np.int16)


def resampled(samples: Floats, rate_hz: int, to_hz: int) -> Floats:
    """Return the sound at another rate, with nothing above half of either."""
    count = round(len(samples) * to_hz / rate_hz)
    spectrum = np.fft.rfft(samples)
    cut = np.zeros(count // 2 + 1, complex)
    both = min(len(cut), len(spectrum)) * 49 // 50
    cut[:both] = spectrum[:both]
    return np.fft.irfft(cut, count) * (to_hz / rate_hz)


def compare(heard: Pcm, rate_hz: int, band_hz: int) -> Likeness:
    """Compare a recording with `voice`, which it says once, after a silence of any length. band_hz: up to where."""
    original = _floats(voice(RATE_HZ))
    recording = resampled(_floats(heard), rate_hz, RATE_HZ)
    said, got = _loudness(original, band_hz), _loudness(recording, band_hz)
    floor = said.max() - _DEPTH_DB
    said, got = np.maximum(said, floor), np.maximum(got, floor)
    first = _delay(said, got, range(max(1, len(got) - len(said) // 2)))
    distances, found = [], 0
    for start in range(0, len(said) - _SEGMENT + 1, _SEGMENT):
        part = said[start : start + _SEGMENT]
        around = range(max(0, first + start - _WANDER), first + start + _WANDER + 1)
        place = _delay(part, got, around)
        there = got[place : place + len(part)]
        if len(there) < len(part):
            continue
        is_loud = (part > floor) | (there > floor)
        distances.append(np.abs(part - there)[is_loud].mean() if is_loud.any() else 0.0)
        found += 1
    end = (first + len(said)) * HOP
    body = recording[first * HOP : end]
    return Likeness(
        delay_s=first * HOP / RATE_HZ,
        level_db=_level_db(body, band_hz) - _level_db(original, band_hz),
        distance_db=float(np.mean(distances)) if distances else 99.0,
        heard=found / (len(said) // _SEGMENT),
    )


def _floats(pcm: Pcm) -> Floats:
    return pcm.astype(np.float64) / 32_768


def _level_db(samples: Floats, band_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(max(len(samples), 1), 1 / RATE_HZ)
    power = spectrum[(hz > _EDGES_HZ[0]) & (hz < band_hz)].sum() / max(len(samples), 1)
    return float(10 * np.log10(power + 1e-12))


def _loudness(samples: Floats, band_hz: int) -> Floats:
    """Return dB by hop and band."""
    count = max(0, (len(samples) - _WINDOW) // HOP + 1)
    frames = np.stack([samples[place * HOP : place * HOP + _WINDOW] for place in range(count)])
    power = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW), axis=1)) ** 2
    hz = np.fft.rfftfreq(_WINDOW, 1 / RATE_HZ)
    edges = [edge for edge in _EDGES_HZ if edge <= band_hz]
    bands = [power[:, (hz >= low) & (hz < high)].sum(axis=1) for low, high in pairwise(edges)]
    return 10 * np.log10(np.stack(bands, axis=1) + 1e-9)


def _delay(part: Floats, got: Floats, places: range) -> int:
    """Return where in the recording a part is most like."""
    best, least = places.start, np.inf
    for place in places:
        there = got[place : place + len(part)]
        if len(there) < len(part) // 2:
            break
        distance = np.abs(part[: len(there)] - there).mean()
        if distance < least:
            best, least = place, distance
    return best
