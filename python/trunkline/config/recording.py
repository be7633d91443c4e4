"""The settings of recordings of calls: where their files go, and what is in them.

Owns names, units, defaults and ranges; must not look at the file system.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from trunkline.config.section import Section


class RecordingConfig(Section):
    """Recordings of calls, begun and ended by REST. In many countries every party must know and agree."""

    directory: Path | None = Field(
        default=None,
        description="Where recordings are written; it must exist and be writable at start. Nobody tidies it up. "
        "Default: calls cannot be recorded.",
    )
    format: Literal["wav", "ogg"] = Field(
        default="wav",
        description="`wav`: 16-bit PCM. `ogg`: Opus, a tenth of the size. Either has two channels: what one side says "
        "and what it hears. A name with the other ending has that format.",
    )
    digits: bool = Field(
        default=False,
        description="Whether DTMF digits are heard in recordings. Card numbers are digits: without need, leave it off.",
    )
