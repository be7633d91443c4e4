"""Metrics of the media plane's own counters.

Owns which counter has which name at `/metrics`. The counters live in the media plane and are read at each scrape; must
not import it: what it counts comes as numbers by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Row:
    """One counter. name: as the media plane has it. metric, label: what it is here; scale: to the metric's unit."""

    name: str
    metric: str
    text: str
    label: tuple[str, str] | None = None
    is_gauge: bool = False
    scale: float = 1


_DATAGRAMS: Final = "Datagrams that the media plane's sockets took and gave, by direction."
_PORTS: Final = "Pairs of RTP ports, by state: free, or resting in quarantine."

ROWS: Final = (
    Row("datagrams_received", "trunkline_media_datagrams", _DATAGRAMS, ("direction", "received")),
    Row("datagrams_sent", "trunkline_media_datagrams", _DATAGRAMS, ("direction", "sent")),
    Row("turns", "trunkline_media_turns", "Times that a worker woke and did what there was to do."),
    Row(
        "pause_us",
        "trunkline_media_pause_seconds",
        "How long the busiest worker of the media plane sleeps between turns, to take more packets at a time. Half of "
        "it is added to a packet's way on average.",
        is_gauge=True,
        scale=1e-6,
    ),
    Row(
        "pause_delay_us",
        "trunkline_media_pause_delay_seconds",
        "Delay that such pauses have added, summed over all packets and deadlines.",
        scale=1e-6,
    ),
    Row("endpoints", "trunkline_media_endpoints", "Endpoints alive; a call has two.", is_gauge=True),
    Row("ports_free", "trunkline_media_port_pairs", _PORTS, ("state", "free"), is_gauge=True),
    Row("ports_resting", "trunkline_media_port_pairs", _PORTS, ("state", "resting"), is_gauge=True),
    Row(
        "events_lost", "trunkline_media_events_lost", "Statistics and digits that found no room on their way to Python."
    ),
    Row("bridges_failed", "trunkline_media_bridges_failed", "Calls whose media ended by a bug of ours."),
    Row("recordings", "trunkline_media_recordings", "Recordings that are being written.", is_gauge=True),
    Row("recordings_failed", "trunkline_media_recordings_failed", "Recordings that failed, at their start or later."),
    Row(
        "recording_dropped_ms",
        "trunkline_media_recording_dropped_seconds",
        "Audio that recordings lack because the recorder was too slow.",
        scale=1e-3,
    ),
)


class MediaCounters(Collector):
    """Reads the media plane at each scrape. read: a number for each name of `ROWS`; nothing while it does not run."""

    def __init__(self, read: Callable[[], Mapping[str, float]]) -> None:
        self._read = read

    def describe(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Name the metrics without reading them."""
        return iter(_families().values())

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Read the counters now."""
        families = _families()
        counts = self._read()
        for row in ROWS:
            if row.name in counts:
                families[row.metric].add_metric([row.label[1]] if row.label else [], counts[row.name] * row.scale)
        return iter(families.values())


def _families() -> dict[str, CounterMetricFamily | GaugeMetricFamily]:
    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for row in ROWS:
        kind = GaugeMetricFamily if row.is_gauge else CounterMetricFamily
        families[row.metric] = kind(row.metric, row.text, labels=[row.label[0]] if row.label else [])
    return families
