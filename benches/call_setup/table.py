"""What was measured beside what was wanted, as Markdown."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from benches.call_setup.rows import CodecFigures, Lag, Load, Memory
from benches.peers.report import table
from benches.peers.stats import Spread, ratios

PARTS = ("calls", "sippy", "codec", "memory", "registrations")


@dataclass(slots=True)
class Figures:
    """All of a run; what was not measured is empty."""

    codec: CodecFigures | None = None
    paired: dict[str, list[Load]] = field(default_factory=lambda: {"trunkline": [], "sippy": []})
    most: int = 0
    tried: list[Load] = field(default_factory=list)
    half: list[Load] = field(default_factory=list)
    memory: Memory | None = None
    lag: Lag | None = None


Part = dict[str, Any]
"""What one part has given, as it is kept: `heading` (when, where), `goals` and `loads` (rows of the tables)."""


def parts_of(heading: str, figures: Figures) -> dict[str, Part]:
    """Sort the rows by the part that has measured them."""
    loads = {
        "sippy": [(f"beside sippy, {name}", one) for name, found in figures.paired.items() for one in found],
        "calls": [*(("search", one) for one in figures.tried), *(("half load", one) for one in figures.half)],
    }
    return {
        part: {"heading": heading, "goals": goals, "loads": [_load(*each) for each in loads.get(part, ())]}
        for part, goals in _goals(figures).items()
        if goals
    }


def markdown(parts: dict[str, Part]) -> str:
    """One table of goals, one of loads."""
    headings: dict[str, list[str]] = {}
    for name, part in parts.items():
        headings.setdefault(part["heading"], []).append(name)
    text = ["# Call set-up", "Written by `make bench-calls`; `../README.md` says how it is measured."]
    text += [f"{', '.join(names)}: {heading}" for heading, names in headings.items()]
    goals = [row for part in parts.values() for row in part["goals"]]
    text.append(table(["work", "must reach", "aim for", "measured", "reached"], goals))
    loads = [row for part in parts.values() for row in part["loads"]]
    if loads:
        text += ["## Loads", table(LOAD_HEADINGS, loads)]
    return "\n\n".join(text) + "\n"


LOAD_HEADINGS = [
    "load",
    "calls/s",
    "calls",
    "failed",
    "repetitions",
    "CPU a call, ms",
    "delay p50, p99, ms",
    "others, stolen",
]


def _load(name: str, one: Load) -> list[str]:
    return [
        name,
        f"{one.rate:g}",
        str(one.outcome.created),
        str(one.outcome.failed),
        str(one.outcome.retransmissions),
        f"{one.cpu_ms_a_call:.2f}",
        f"{one.delay_ms(0.5):.2f}, {one.delay_ms(0.99):.2f}",
        f"{100 * one.foreign:.0f} %, {100 * one.stolen:.1f} %",
    ]


def _goals(figures: Figures) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {name: [] for name in PARTS}
    if figures.tried:
        found["calls"].append(
            _goal("set-up and tear-down, calls/s", 250, 600, figures.most, f"{figures.most}", is_more=True)
        )
    ratio = Spread.of(
        ratios(
            [one.cpu_ms_a_call for one in figures.paired["sippy"]],
            [one.cpu_ms_a_call for one in figures.paired["trunkline"]],
        )
    )
    if figures.paired["sippy"]:
        shown = f"{ratio.show(2)} x"
        found["sippy"].append(_goal("calls per CPU second / sippy's", 2, 4, ratio.median, shown, is_more=True))
    if figures.half:
        middle = statistics.median(one.delay_ms(0.5) for one in figures.half)
        late = statistics.median(one.delay_ms(0.99) for one in figures.half)
        found["calls"].append(_goal("delay of an INVITE at half load, p50, ms", 3, 1.5, middle, f"{middle:.2f}"))
        found["calls"].append(_goal("delay of an INVITE at half load, p99, ms", 15, 8, late, f"{late:.2f}"))
    if figures.codec is not None:
        parsed = Spread.of(figures.codec.ratios)
        shown = f"{parsed.show(2)} x ({figures.codec.ours_us:.0f} us, sipmessage {figures.codec.theirs_us:.0f} us)"
        found["codec"].append(
            _goal("read, type and write an INVITE / sipmessage's", 2, 20, parsed.median, shown, is_more=True)
        )
    if figures.memory is not None:
        settled = figures.memory.settled_kib
        shown = f"{settled:.1f} ({figures.memory.fresh_kib:.1f} while its transactions live)"
        found["memory"].append(_goal("Python memory an established call, KiB", 40, 20, settled, shown))
    if figures.lag is not None:
        shown = f"{figures.lag.p99_ms:.2f} (worst {figures.lag.worst_ms:.1f}, idle p99 {figures.lag.idle_p99_ms:.2f})"
        found["registrations"].append(
            _goal("10,000 bindings refreshed: loop late, p99, ms", 20, 5, figures.lag.p99_ms, shown)
        )
    return found


def _goal(name: str, must: float, aim: float, value: float, shown: str, *, is_more: bool = False) -> list[str]:
    def meets(limit: float) -> bool:
        return value >= limit if is_more else value <= limit

    verdict = "aim" if meets(aim) else "must" if meets(must) else "missed"
    prefix = "at least " if is_more else "at most "
    return [name, f"{prefix}{must:g}", f"{aim:g}", shown, verdict]
