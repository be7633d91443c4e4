"""The codecs of the matrix: how each is written in SDP, who codes it, and how much of the sound it may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.codecs.libraries import Coder, bcg729, ffmpeg, speex


@dataclass(frozen=True, slots=True)
class Row:
    """One codec. name: as `media.sip_codecs` has it. rtpmap: with clock rate. clock: RTP units each 20 ms.

    band_hz: up to where it carries sound. loss_db: how far the loudness of what one pass of it leaves may be from what
    went in, as `sound.compare` has it.
    """

    name: str
    payload_type: int
    rtpmap: str
    clock: int
    coder: Coder
    band_hz: int
    loss_db: float
    fmtp: str = ""


ROWS: Final = (
    Row("opus", 111, "opus/48000/2", 960, ffmpeg("libopus", "libopus", 48_000), 8_000, 1.0, "useinbandfec=1"),
    Row("PCMU", 0, "PCMU/8000", 160, ffmpeg("pcm_mulaw", "pcm_mulaw", 8_000), 3_400, 0.5),
    Row("PCMA", 8, "PCMA/8000", 160, ffmpeg("pcm_alaw", "pcm_alaw", 8_000), 3_400, 0.5),
    Row("G729", 18, "G729/8000", 160, bcg729(), 3_400, 2.5, "annexb=no"),
    Row("G722", 9, "G722/8000", 160, ffmpeg("g722", "g722", 16_000), 7_000, 2.6),
    Row("speex/8000", 97, "speex/8000", 160, speex(8_000), 3_400, 2.0, 'mode="5,any"'),
    Row("speex/16000", 98, "speex/16000", 320, speex(16_000), 7_000, 2.0),
    Row("L16/16000", 100, "L16/16000", 320, ffmpeg("pcm_s16be", "pcm_s16be", 16_000), 8_000, 0.5),
)
"""A further codec is a further line."""

LIBRARIES: Final = ("libbcg729.so.0", "libspeex.so.1")
"""What must be installed besides."""
