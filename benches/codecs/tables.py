"""What was measured beside what was wanted, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benches.codecs.figures import US, Part
from benches.peers.goals import Goal
from benches.peers.report import table
from benches.peers.stats import Spread

SYSTEM_CALLS_US = 18
"""What receiving and sending the packets of a packet time costs, both ways: `../README.md`, the forwarder's tables."""

PACKET_TIME_US = 20_000


@dataclass(frozen=True, slots=True)
class Limit:
    """What must be reached, and what is aimed for, of all work whose name begins like this. ratio: to a peer's time."""

    part: str
    beginning: str
    must: float
    aim: float
    is_ratio: bool = True


LIMITS = (
    Limit("g729", "G.729A encode and decode", 1.0, 0.6),
    Limit("g711", "PCM", 0.5, 0.2),
    Limit("opus", "Opus", 1.15, 1.05),
    Limit("resampler", "48 to 8 kHz", 0.5, 0.25),
    Limit("gaps", "", 15, 8, is_ratio=False),
)


def markdown(parts: Mapping[str, Part]) -> str:
    """Goals, then every part's own table."""
    headings: dict[str, list[str]] = {}
    for name, part in parts.items():
        headings.setdefault(part.heading, []).append(name)
    text = [
        "# What sound costs",
        "Written by `make bench-codecs`; `../README.md` says how it is measured.",
        *(f"{', '.join(names)}: {heading}" for heading, names in headings.items()),
        "Medians (lowest-highest) of the rounds; in each of them the fastest repetition counts.",
        "## Goals",
        table(["work", "must reach", "aim for", "measured", "reached"], [_goal_cells(one) for one in goals(parts)]),
    ]
    beside = [row for name in ("g729", "g711", "resampler", "opus") if name in parts for row in _beside(parts[name])]
    if beside:
        text += ["## Beside others", table(["work", "ours", "theirs", "", "ratio"], beside)]
    if "coders" in parts:
        text += ["## Each codec by itself", _coders(parts["coders"])]
    if "pairings" in parts:
        text += ["## Calls a core", _pairings(parts["pairings"])]
    if "complexity" in parts:
        text += ["## Opus by complexity", _complexity(parts["complexity"])]
    return "\n\n".join(text) + "\n"


def goals(parts: Mapping[str, Part]) -> list[Goal]:
    """Every goal whose part was measured."""
    return [
        Goal(work, "x" if limit.is_ratio else "us", limit.must, limit.aim, _value(parts[limit.part], limit, work))
        for limit in LIMITS
        if limit.part in parts
        for work in parts[limit.part].rounds
        if work.startswith(limit.beginning)
    ]


def _value(part: Part, limit: Limit, work: str) -> Spread:
    return part.ratio(work) if limit.is_ratio else part.spread(work, US)


def _goal_cells(goal: Goal) -> list[str]:
    name = goal.name.removesuffix(", us") + (": time / peer's" if goal.unit == "x" else "")
    limits = [f"{limit:g} {goal.unit}" for limit in (goal.must, goal.aim)]
    return [name, *limits, goal.spread.show(2), goal.verdict]


def _beside(part: Part) -> list[list[str]]:
    return [
        [work, part.spread(work, US).show(2), part.spread(work, peer).show(2), peer, part.ratio(work).show(2)]
        for work in part.rounds
        if (peer := part.peer(work))
    ]


def _coders(part: Part) -> str:
    text = "Microseconds for 20 ms; Opus at 24 kbit/s and its default complexity, while nothing is lost."
    rows = [[work, *(part.spread(work, way).show(2) for way in ("encode", "decode"))] for work in part.rounds]
    return f"{text}\n\n{table(['codec, sample rate', 'encode', 'decode'], rows)}"


def _pairings(part: Part) -> str:
    text = (
        "Microseconds that 20 ms of a call cost, both directions, without the system calls; and how many such calls "
        f"fill a core, with {SYSTEM_CALLS_US} us for them, which is an estimate, and without."
    )
    rows: list[Sequence[str]] = []
    for work in part.rounds:
        cost = part.spread(work, US)
        calls = [f"{PACKET_TIME_US / (cost.median + more):,.0f}" for more in (SYSTEM_CALLS_US, 0)]
        rows.append([work, cost.show(1), *calls])
    return f"{text}\n\n{table(['pairing', 'us', 'calls a core', 'without system calls'], rows)}"


def _complexity(part: Part) -> str:
    text = (
        "Microseconds to encode 20 ms at 24 kbit/s with FEC, and the signal-to-noise ratio of what comes out (mean "
        "over frames): beside codecs of 8 kHz, of 16 kHz, and for a browser alone."
    )
    rates = list(dict.fromkeys(work.partition(",")[0] for work in part.rounds))
    rows = []
    for complexity in range(11):
        works = [f"{rate}, complexity {complexity}" for rate in rates]
        cells = [(part.spread(work, "us").show(0), part.spread(work, "dB").show(1)) for work in works]
        rows.append([str(complexity), *(cell for pair in cells for cell in pair)])
    head = [cell for rate in rates for cell in (f"{rate}, us", "dB")]
    return f"{text}\n\n{table(['complexity', *head], rows)}"
