"""What must be reached, what is aimed for, and what came out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benches.peers.rows import CALLS, CURVE, FLOOR_CALLS, OPUS_CALLS, STORM, STORM_CALLS, WEBRTC_CALLS
from benches.peers.search import Capacity
from benches.peers.stats import Spread, ratios
from benches.peers.work import Run, Security, Sound, Work

Figure = Callable[[Run], float]


@dataclass(slots=True)
class Results:
    """Everything that was measured: the repeats of each load by each relay, and of each search."""

    runs: dict[tuple[Work, str], list[Run]]
    capacities: dict[tuple[str, str], list[Capacity]]

    def figures(self, work: Work, relay: str, figure: Figure) -> list[float]:
        return [figure(run) for run in self.runs.get((work, relay), ())]

    def ratios(self, work: Work, relay: str, figure: Figure) -> list[float]:
        """Trunkline's figure by another relay's, for each repeat."""
        return ratios(self.figures(work, "trunkline", figure), self.figures(work, relay, figure))


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of the table of goals. is_more: more is better."""

    name: str
    unit: str
    must: float
    aim: float
    spread: Spread
    is_more: bool = False
    is_bound: bool = False

    @property
    def is_known(self) -> bool:
        return not math.isnan(self.spread.median)

    @property
    def verdict(self) -> str:
        """`aim`, `must` or `missed`: the best that the median reaches."""
        value = self.spread.median
        if not self.is_known:
            return "not measured"
        if value >= self.aim if self.is_more else value <= self.aim:
            return "aim"
        if value >= self.must if self.is_more else value <= self.must:
            return "must"
        return "missed"

    @property
    def used(self) -> float:
        """What part of what is allowed was used: 1 just reaches the goal, less is better."""
        return self.must / self.spread.median if self.is_more else self.spread.median / self.must


def cpu_us(run: Run) -> float:
    return run.cpu_us


def goals(results: Results) -> list[Goal]:
    """Every goal, in the order of the bench; those of parts that were left out are not measured."""
    return [*_cpu_goals(results), *_capacity_goals(results), *_other_goals(results)]


def _cpu_goals(results: Results) -> list[Goal]:
    kinds = (
        ("RTP <-> RTP", Security.NONE, 0.35),
        ("SDES CM-80 <-> RTP", Security.CM_80, 0.4),
        ("SDES GCM <-> RTP", Security.GCM, 0.4),
    )
    found = [
        Goal(
            f"{name}, {calls} calls: CPU a packet / rtpengine",
            "x",
            0.6,
            aim,
            Spread.of(results.ratios(Work(security, Sound.PCMU, calls), "rtpengine", cpu_us)),
        )
        for name, security, aim in kinds
        for calls in CALLS
    ]
    webrtc = Work(Security.WEBRTC, Sound.PCMU, WEBRTC_CALLS)
    floor = Work(Security.NONE, Sound.PCMU, FLOOR_CALLS)
    return [
        *found,
        Goal(
            f"DTLS-SRTP <-> RTP, {WEBRTC_CALLS} calls: CPU a packet / Janus",
            "x",
            0.4,
            0.2,
            Spread.of(results.ratios(webrtc, "janus", cpu_us)),
        ),
        Goal(
            f"RTP <-> RTP, {FLOOR_CALLS} calls: CPU a packet / C forwarder",
            "x",
            1.3,
            1.1,
            Spread.of(results.ratios(floor, "forwarder", cpu_us)),
        ),
    ]


def _capacity_goals(results: Results) -> list[Goal]:
    def goal(part: str, name: str, must: float, aim: float) -> Goal:
        ours, theirs = (results.capacities.get((part, relay), []) for relay in ("trunkline", "rtpengine"))
        spread = Spread.of(ratios([one.calls for one in ours], [one.calls for one in theirs]))
        return Goal(name, "x", must, aim, spread, is_more=True, is_bound=any(one.is_bound for one in ours))

    return [
        goal("capacity", "RTP <-> RTP: calls a core / rtpengine", 2, 3),
        goal("laws", "PCMA <-> PCMU: calls a core / rtpengine", 4, 5),
        goal("opus-calls", "Opus <-> PCMU: calls a core / rtpengine", 4, 6),
        goal("g729-calls", "G.729 <-> PCMU: calls a core / rtpengine", 1.5, 2.2),
    ]


def _other_goals(results: Results) -> list[Goal]:
    rtp = Work(Security.NONE, Sound.PCMU, 500)
    opus = Work(Security.WEBRTC, Sound.OPUS, OPUS_CALLS)
    storm = Work(Security.NONE, Sound.PCMU, STORM_CALLS, STORM)

    def ours(work: Work, figure: Figure) -> Spread:
        return Spread.of(results.figures(work, "trunkline", figure))

    return [
        Goal("RTP <-> RTP, 500 calls: added latency, p50", "ms", 0.5, 0.2, ours(rtp, lambda run: run.p50_us / 1e3)),
        Goal("RTP <-> RTP, 500 calls: added latency, p99", "ms", 1.5, 0.7, ours(rtp, lambda run: run.p99_us / 1e3)),
        Goal("memory a relayed call", "KiB", 24, 12, ours(rtp, lambda run: run.memory_kib)),
        Goal("memory an Opus <-> G.711 call", "KiB", 120, 80, ours(opus, lambda run: run.memory_kib)),
        Goal(
            "CPU a packet, 10 to 2,000 calls: steepest rise",
            "x",
            1.0,
            0.999,
            Spread.of([steepest_rise(curve(results))]),
        ),
        Goal(
            f"{STORM} DTLS handshakes at once: extra p99 of {STORM_CALLS} calls",
            "ms",
            5,
            1,
            ours(storm, lambda run: (run.storm_p99_us - run.p99_us) / 1e3),
        ),
    ]


def curve(results: Results, relay: str = "trunkline") -> list[tuple[int, Spread]]:
    """CPU a packet by the number of calls, as far as it was measured."""
    points = [
        (calls, Spread.of(results.figures(Work(Security.NONE, Sound.PCMU, calls), relay, cpu_us))) for calls in CURVE
    ]
    return [(calls, spread) for calls, spread in points if not math.isnan(spread.median)]


def steepest_rise(points: Sequence[tuple[int, Spread]]) -> float:
    """The largest cost at a number of calls by the smallest at a lower number; below 1 it falls all the way."""
    medians = [spread.median for _, spread in points]
    return max((later / min(medians[:at]) for at, later in enumerate(medians) if at), default=math.nan)
