"""What can be played into a leg."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Tone:
    """One to four sine waves. level_dbm0: of each, 0 dBm0 as in G.711.

    cadence_ms: sound and silence in turn, up to four times, over and over; empty is continuous.
    """

    kind: ClassVar[str] = "tone"
    frequencies_hz: tuple[float, ...]
    level_dbm0: float = -10.0
    cadence_ms: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DtmfTones:
    """In-band DTMF, each digit followed by silence."""

    kind: ClassVar[str] = "dtmf_tones"
    digits: str
    on_ms: int = 120
    off_ms: int = 80


@dataclass(frozen=True, slots=True)
class AudioFile:
    """A WAV file (PCM, floating point or G.711, 8 to 48 kHz) or one of Opus in Ogg, of one or two channels.

    Up to a quarter of an hour. It is kept in memory, decoded, and shared by all who play it; when it has changed on the
    disk, the next `Play` reads it anew. loop: without a seam, until `StopPlay`.
    """

    kind: ClassVar[str] = "file"
    path: str
    loop: bool = False


Source = Tone | DtmfTones | AudioFile
