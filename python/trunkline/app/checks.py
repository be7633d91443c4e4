"""What no model of the settings can know: whether this machine has what they name. Raises ConfigError where not."""

from __future__ import annotations

import os
from pathlib import Path

from trunkline.config import Config
from trunkline.errors import ConfigError


def check_codecs(config: Config, missing: frozenset[str]) -> None:
    """Refuse codecs that need a library that is not installed. missing: their names."""
    named = {
        "media.web_codecs": config.media.web_codecs,
        "media.sip_codecs": config.media.sip_codecs,
        **{f"trunks.{name}.codecs": trunk.codecs for name, trunk in config.trunks.items()},
    }
    for field, codecs in named.items():
        if absent := missing.intersection(codecs):
            names = ", ".join(sorted(absent))
            raise ConfigError(f"{field}: {names} needs libspeex, which is not installed (Debian: libspeex1)")


def check_place(directory: Path | None) -> None:
    """Refuse a place for recordings that cannot be written to; None is no recordings."""
    if directory is not None and not (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
        raise ConfigError(f"recording.directory: {directory} is no directory that can be written to")
