"""The outcome as Markdown and as JSON."""

from __future__ import annotations

import math
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benches.peers.goals import Goal, Results, goals
from benches.peers.rows import ROWS, SEARCHES
from benches.peers.stats import Spread
from benches.peers.work import FOREIGN_LIMIT, STOLEN_LIMIT, Run

PACKAGES = ("rtpengine-daemon", "janus", "gcc")


@dataclass(frozen=True, slots=True)
class Heading:
    """When, where and how it was measured."""

    date: str
    commit: str
    repeats: int
    seconds: float

    def text(self) -> str:
        return (
            f"{self.date}, commit {self.commit}. {machine()}. {versions()}. "
            f"Median (lowest-highest) of {self.repeats} repeats of {self.seconds:g} s."
        )


def markdown(heading: Heading, results: Results) -> str:
    """Three tables: goals, loads, capacities."""
    parts = [
        "# Trunkline beside its peers",
        "Written by `make bench-peers`; `../README.md` says how it is measured and what it does not show.",
        heading.text(),
        "![The goals, and the cost of a packet by the number of calls](peers.svg)",
        "## Goals",
        _goals_table(goals(results)),
        "## Loads",
        _runs_table(results),
        *_storm(results),
        "Latency is from one far side's `send` to the packet's arrival in the other's socket. `others` is the share of "
        "the relay's and of the generator's core that went to anything else, `stolen` how much of either a hypervisor "
        "kept from whoever wanted it, `late` by how much the generator sent too late (p99). `disturbed` counts runs "
        f"in which others had more than {100 * FOREIGN_LIMIT:g} % of a core or more than {100 * STOLEN_LIMIT:g} % of "
        "one was stolen.",
    ]
    if results.capacities:
        parts += [
            "## Calls a core",
            "The most at which less than 0.1 % is lost and the slowest hundredth of the packets is delayed by less "
            "than 5 ms; where a jitter buffer delays on purpose, by less than 5 ms and a frame more than with 50 "
            "calls.",
            _capacity_table(results),
        ]
    return "\n\n".join(parts) + "\n"


def as_json(heading: Heading, results: Results) -> dict[str, Any]:
    """Everything, with each single run."""
    return {
        "heading": asdict(heading) | {"machine": machine(), "versions": versions()},
        "goals": [
            {
                "name": goal.name,
                "unit": goal.unit,
                "must": goal.must,
                "aim": goal.aim,
                "median": _number(goal.spread.median),
                "low": _number(goal.spread.low),
                "high": _number(goal.spread.high),
                "verdict": goal.verdict,
            }
            for goal in goals(results)
        ],
        "loads": [
            {"work": asdict(work), "relay": relay, "runs": [_plain(run) for run in runs]}
            for (work, relay), runs in results.runs.items()
        ],
        "capacities": [
            {
                "part": part,
                "relay": relay,
                "repeats": [
                    {"calls": one.calls, "is_bound": one.is_bound, "steps": [_plain(step) for step in one.steps]}
                    for one in found
                ],
            }
            for (part, relay), found in results.capacities.items()
        ],
    }


def _goals_table(found: Sequence[Goal]) -> str:
    rows = [
        [
            goal.name,
            f"{'at least ' if goal.is_more else ''}{goal.must:g} {goal.unit}",
            f"{goal.aim:g} {goal.unit}" if goal.aim != 0.999 else "falls",
            ("at least " if goal.is_bound else "") + goal.spread.show(2),
            goal.verdict,
        ]
        for goal in found
    ]
    return table(["goal", "must reach", "aim for", "measured", "reached"], rows)


def _runs_table(results: Results) -> str:
    cells = []
    for row in ROWS:
        for kind in row.kinds:
            if runs := results.runs.get((row.work, kind.name)):
                cells.append([row.name, kind.name, str(row.work.calls), *_run_cells(runs)])
    head = ["load", "relay", "calls", "packets/s", "CPU us/packet", "p50 ms", "p99 ms", "max ms"]
    return table([*head, "lost, %", "KiB/call", "others, %", "stolen, %", "late ms", "disturbed", "faults"], cells)


def _run_cells(runs: Sequence[Run]) -> list[str]:
    def show(digits: int, *values: float) -> str:
        return Spread.of(values).show(digits)

    faults = {"wrong": sum(run.wrong for run in runs), "reordered": sum(run.reordered for run in runs)}
    return [
        show(0, *[run.packets_per_s for run in runs]).partition(" ")[0],
        show(2, *[run.cpu_us for run in runs]),
        show(3, *[run.p50_us / 1e3 for run in runs]),
        show(3, *[run.p99_us / 1e3 for run in runs]),
        show(2, *[run.max_us / 1e3 for run in runs]),
        show(3, *[100 * run.loss for run in runs]),
        show(1, *[run.memory_kib for run in runs]),
        " + ".join(
            f"{100 * max(values):.0f}" if not any(map(math.isnan, values)) else "-"
            for values in ([run.relay_foreign for run in runs], [run.generator_foreign for run in runs])
        ),
        show(1, *[100 * run.stolen for run in runs]),
        show(2, *[run.slip_p99_us / 1e3 for run in runs]),
        f"{sum(run.is_disturbed for run in runs)} of {len(runs)}",
        ", ".join(f"{number} {name}" for name, number in faults.items() if number) or "none",
    ]


def _storm(results: Results) -> list[str]:
    """Of the storms: how many connected, how long that took, and what became of the calls meanwhile."""
    cells = []
    for (work, relay), runs in results.runs.items():
        if work.storm:
            cells.append(
                [
                    relay,
                    str(work.calls),
                    f"{min(run.storm_connected for run in runs)} of {work.storm}",
                    Spread.of(run.storm_s for run in runs).show(2),
                    Spread.of(run.p99_us / 1e3 for run in runs).show(3),
                    Spread.of(run.storm_p99_us / 1e3 for run in runs).show(3),
                ]
            )
    if not cells:
        return []
    head = ["while browsers connect", "calls", "connected", "in seconds", "p99 ms before", "p99 ms meanwhile"]
    return [table(head, cells)]


def _capacity_table(results: Results) -> str:
    cells = []
    for search in SEARCHES:
        for kind in search.kinds:
            if found := results.capacities.get((search.part, kind.name)):
                bound = "the generator's limit was met" if any(one.is_bound for one in found) else ""
                cells.append([search.name, kind.name, Spread.of(one.calls for one in found).show(0), bound])
    return table(["load", "relay", "calls", ""], cells)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def machine() -> str:
    """Cores, system and kernel."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    name = re.search(r'^PRETTY_NAME="(.*)"$', Path("/etc/os-release").read_text(), re.MULTILINE)
    parts = [f"{os.cpu_count()} cores {model[1] if model else platform.machine()}", name[1] if name else "Linux"]
    return ", ".join([*parts, f"kernel {platform.release()}", f"Python {platform.python_version()}"])


def versions(packages: Sequence[str] = PACKAGES) -> str:
    """Of the Debian packages that were measured."""

    def version(package: str) -> str:
        command = ["dpkg-query", "--show", "--showformat=${Version}", package]
        shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return f"{package} {shown or 'not from a package'}"

    return ", ".join(map(version, packages))


def commit() -> str:
    """The checkout's commit, with a plus if there is more than that in it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return described.stdout.strip() or "unknown"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _plain(run: Run) -> dict[str, Any]:
    """JSON knows no NaN."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value for name, value in asdict(run).items()
    }
