"""Audio for the tests: tones into WAV files, and what a recording holds: frequency, level, gaps."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
"""Mono, full scale is 1.0."""

_WINDOW_S = 0.02


@dataclass(frozen=True, slots=True)
class Heard:
    """What a recording holds.

    frequency_hz: of the strongest component. level_dbfs: of the whole, RMS against a full-scale square wave.
    purity: share of the energy within 5 % of the frequency. longest_gap_s: longest stretch more than 20 dB under the
    recording's median level.
    """

    duration_s: float
    frequency_hz: float
    level_dbfs: float
    purity: float
    longest_gap_s: float


def tone(frequency_hz: float, duration_s: float, rate_hz: int, level_dbfs: float = -12.0) -> Samples:
    """Return a sine wave whose RMS is level_dbfs."""
    amplitude = 10 ** (level_dbfs / 20) * np.sqrt(2)
    times = np.arange(round(duration_s * rate_hz)) / rate_hz
    wave_form: Samples = amplitude * np.sin(2 * np.pi * frequency_hz * times)
    return wave_form


def write_wav(path: Path, samples: Samples, rate_hz: int) -> Path:
    """Write 16-bit mono and return the path."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def mu_law(samples: Samples) -> bytes:
    """Encode as G.711 mu-law, a byte a sample (ITU-T G.711, table 2a: eight chords of sixteen steps)."""
    linear = np.clip(samples, -1, 1) * 8159
    magnitude = np.minimum(np.abs(linear) + 33, 8191).astype(np.int64)
    chord = np.floor(np.log2(magnitude)).astype(np.int64) - 5
    step = (magnitude >> (chord + 1)) & 15
    sign = np.where(linear < 0, 0x80, 0)
    return (~(sign | chord << 4 | step) & 0xFF).astype(np.uint8).tobytes()


def read_wav(path: Path) -> tuple[Samples, int]:
    """Return the first channel of a 16-bit file and its rate. Takes files whose header was never finished."""
    data = path.read_bytes()
    if data[:4] != b"RIFF":
        raise ValueError(f"{path} is no WAV file")
    channels = int.from_bytes(data[22:24], "little")
    rate_hz = int.from_bytes(data[24:28], "little")
    start = data.index(b"data") + 8
    whole = (len(data) - start) // (2 * channels) * 2 * channels
    samples = np.frombuffer(data[start : start + whole], "<i2").reshape(-1, channels)[:, 0]
    return samples / 32768, rate_hz


def judge(samples: Samples, rate_hz: int, *, skip_s: float = 1.0) -> Heard:
    """Describe the recording after its first skip_s seconds."""
    body = samples[round(skip_s * rate_hz) :]
    if len(body) < rate_hz // 4:
        raise AssertionError(f"only {len(samples) / rate_hz:.2f} s recorded")
    levels = _levels(body, rate_hz)
    spectrum = np.abs(np.fft.rfft(body * np.hanning(len(body)))) ** 2
    spectrum[0] = 0
    frequencies = np.fft.rfftfreq(len(body), 1 / rate_hz)
    total = float(spectrum.sum())
    strongest = float(frequencies[int(np.argmax(spectrum))])
    near = np.abs(frequencies - strongest) <= 0.05 * strongest
    return Heard(
        duration_s=len(body) / rate_hz,
        frequency_hz=strongest,
        level_dbfs=float(20 * np.log10(np.sqrt(np.mean(body**2)) + 1e-9)),
        purity=float(spectrum[near].sum()) / total if total else 0.0,
        longest_gap_s=_longest_gap(levels),
    )


def _levels(samples: Samples, rate_hz: int) -> Samples:
    size = round(_WINDOW_S * rate_hz)
    windows = samples[: len(samples) // size * size].reshape(-1, size)
    levels: Samples = np.sqrt(np.mean(windows**2, axis=1))
    return levels


def _longest_gap(levels: Samples) -> float:
    quiet = levels < np.median(levels) / 10
    longest = run = 0
    for is_quiet in quiet:
        run = run + 1 if is_quiet else 0
        longest = max(longest, run)
    return longest * _WINDOW_S


def assert_has_tone(heard: Heard, frequency_hz: float) -> None:
    """Fail unless this tone is what the recording holds most of; a busy machine may have torn gaps into it."""
    assert abs(heard.frequency_hz - frequency_hz) <= 0.02 * frequency_hz, heard
    assert heard.purity > 0.5, heard


def assert_tone(heard: Heard, *, frequency_hz: float, level_dbfs: float, tolerance_db: float = 4.0) -> None:
    """Fail unless the recording is this tone, at about this level, without a gap longer than 100 ms."""
    assert abs(heard.frequency_hz - frequency_hz) <= 0.02 * frequency_hz, heard
    assert heard.purity > 0.8, heard
    assert abs(heard.level_dbfs - level_dbfs) <= tolerance_db, heard
    assert heard.longest_gap_s <= 0.1, heard
