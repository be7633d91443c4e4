"""What a node needs of a media plane besides what calls need: its life, and the figures that it is watched by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from trunkline.calls.ports import MediaPort
from trunkline.config import MediaConfig


class MediaPlane(MediaPort, Protocol):
    """The media plane with its life cycle."""

    async def start(self, config: MediaConfig) -> None:
        """Start workers and bind their sockets. TransportError or MediaError if that fails."""

    async def stop(self) -> None:
        """End every endpoint and every worker."""

    @property
    def endpoints(self) -> int:
        """Endpoints that exist now."""
        ...

    @property
    def dead_workers(self) -> int:
        """Workers that crashed since start."""
        ...

    @property
    def can_speex(self) -> bool:
        """Whether Speex can be coded on this machine."""
        ...

    @property
    def counters(self) -> Mapping[str, float]:
        """What it counts besides drops, by the names of `media.types.Totals`; nothing when it does not run."""
        ...

    @property
    def drops(self) -> Mapping[str, int]:
        """Packets dropped since start, by reason."""
        ...
