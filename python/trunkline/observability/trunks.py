"""Metrics of trunks: whether each is there, its calls, and what became of attempts.

Owns names and labels. The figures are read through a function at scrape. A trunk's name is a label: there are few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkFigures:
    """One trunk now. active: calls by direction. attempts: by direction and outcome, since start."""

    name: str
    is_up: bool
    active: Mapping[str, int]
    attempts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    failed_probes: int = 0


class TrunkMetrics(Collector):
    """Reads the trunks at each scrape. read: must be quick and must not raise."""

    def __init__(self, read: Callable[[], Iterable[TrunkFigures]]) -> None:
        self._read = read

    def describe(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Name the metrics without reading anything."""
        yield from self._families()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Read all trunks now."""
        up, active, attempts, probes = families = self._families()
        for trunk in self._read():
            up.add_metric([trunk.name], float(trunk.is_up))
            probes.add_metric([trunk.name], trunk.failed_probes)
            for direction, count in trunk.active.items():
                active.add_metric([trunk.name, direction], count)
            for (direction, outcome), count in trunk.attempts.items():
                attempts.add_metric([trunk.name, direction, outcome], count)
        yield from families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, CounterMetricFamily, CounterMetricFamily]:
        return (
            GaugeMetricFamily("trunkline_trunk_up", "Whether calls may try a trunk: 1 or 0.", labels=["trunk"]),
            GaugeMetricFamily(
                "trunkline_trunk_calls_active", "Calls that a trunk carries.", labels=["trunk", "direction"]
            ),
            CounterMetricFamily(
                "trunkline_trunk_attempts",
                "Call attempts at a trunk, by outcome: answered, abandoned, failed, failed_over, skipped (down), "
                "limited_calls, limited_rate; inbound: taken, refused. Trunk `users`: of inbound users.",
                labels=["trunk", "direction", "outcome"],
            ),
            CounterMetricFamily(
                "trunkline_trunk_probes_failed", "OPTIONS that a trunk failed or left unanswered.", labels=["trunk"]
            ),
        )
