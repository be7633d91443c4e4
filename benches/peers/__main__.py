"""`make bench-peers`: measure Trunkline and its peers, and write benches/results/peers.{md,json,svg}.

Owns the order of the runs, what happens when one fails, and the files.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benches.peers import report
from benches.peers.generator import Windows
from benches.peers.goals import Results
from benches.peers.process import Cores, MissingPeerError
from benches.peers.relay import Kind
from benches.peers.rows import ROWS, SEARCHES, Row, Search
from benches.peers.run import Bench, measure
from benches.peers.search import find_capacity
from benches.peers.svg import picture
from benches.peers.work import Run, Work

RESULTS = Path(__file__).parent.parent / "results"
TRIES = 2
"""Of a run that is disturbed or breaks."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for. relays: empty is all."""

    bench: Bench
    parts: frozenset[str]
    relays: frozenset[str]
    repeats: int
    windows: Windows
    out: Path | None

    @property
    def rows(self) -> list[tuple[Row, Kind]]:
        return [(row, kind) for row in ROWS if row.part in self.parts for kind in row.kinds if self._has(kind)]

    @property
    def searches(self) -> list[tuple[Search, Kind, int]]:
        return [
            (search, kind, guess)
            for search in SEARCHES
            if search.part in self.parts
            for kind, guess in zip(search.kinds, search.guesses, strict=True)
            if self._has(kind)
        ]

    def _has(self, kind: Kind) -> bool:
        return not self.relays or kind.name in self.relays


def read_plan() -> Plan:
    parts = list(dict.fromkeys([row.part for row in ROWS] + [search.part for search in SEARCHES]))
    parser = argparse.ArgumentParser(prog="python -m benches.peers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--generator", required=True, help="the built load generator")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, metavar="PART", help=" ".join(parts))
    parser.add_argument("--relay", nargs="+", default=[], help="only these: trunkline, rtpengine, janus, forwarder")
    parser.add_argument("--repeats", type=int, default=3, help="of each row (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=1.0, help="seconds before the window (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of the window (%(default)s)")
    parser.add_argument("--out", type=Path, help="where to write, without the suffix; none with --only or --relay")
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        parser.error("the generator and the relay need a core each")
    is_whole = given.only == parts and not given.relay
    return Plan(
        bench=Bench(given.generator, Cores(relay=cores[-2], generator=cores[-1])),
        parts=frozenset(given.only),
        relays=frozenset(given.relay),
        repeats=given.repeats,
        windows=Windows(given.warm_up, given.seconds),
        out=given.out or (RESULTS / "peers" if is_whole else None),
    )


async def run_once(plan: Plan, kind: Kind, work: Work) -> Run:
    """Measure; again if others disturbed it or something broke. The least disturbed run counts."""
    runs: list[Run] = []
    for attempt in range(TRIES):
        try:
            run = await measure(plan.bench, kind, work, plan.windows)
        except (RuntimeError, OSError, TimeoutError) as error:
            print(f"  {kind.name}: {error!r}", flush=True)
            if attempt == TRIES - 1 and not runs:
                raise
            continue
        runs.append(run)
        print(f"  {line(run)}", flush=True)
        if not run.is_disturbed:
            break
    return min(runs, key=lambda run: (run.is_disturbed, run.relay_foreign + run.generator_foreign))


def line(run: Run) -> str:
    """One run, for who watches."""
    words = [
        f"{run.relay:9} {run.calls:5} calls: {run.cpu_us:6.2f} us/packet",
        f"p50 {run.p50_us / 1e3:.3f} p99 {run.p99_us / 1e3:.3f} ms",
        f"lost {100 * run.loss:.3f} %",
        f"others {100 * run.relay_foreign:.0f} + {100 * run.generator_foreign:.0f} %",
        f"late {run.slip_p99_us / 1e3:.2f} ms",
    ]
    if run.storm_connected:
        words.append(f"{run.storm_connected} connected in {run.storm_s:.2f} s, p99 {run.storm_p99_us / 1e3:.3f} ms")
    words += [f"{name} {number}" for name, number in run.counts.items() if number]
    return ", ".join(words)


async def run_all(plan: Plan) -> Results:
    """Rows take turns, so that a noisy minute does not fall on one row alone."""
    results = Results({}, {})
    for repeat in range(1, plan.repeats + 1):
        for row, kind in plan.rows:
            print(f"{repeat}/{plan.repeats} {row.name}", flush=True)
            try:
                run = await run_once(plan, kind, row.work)
            except (RuntimeError, OSError, TimeoutError):
                print(f"  {kind.name} failed: not measured", flush=True)
                continue
            results.runs.setdefault((row.work, kind.name), []).append(run)
        for search, kind, guess in plan.searches:
            print(f"{repeat}/{plan.repeats} calls a core, {search.name}", flush=True)
            await search_once(plan, results, search, kind, guess)
    return results


async def search_once(plan: Plan, results: Results, search: Search, kind: Kind, guess: int) -> None:
    found = results.capacities.setdefault((search.part, kind.name), [])

    async def measure_calls(calls: int) -> Run:
        run = await measure(plan.bench, kind, search.work(calls), plan.windows)
        print(f"  {line(run)}", flush=True)
        return run

    try:
        capacity = await find_capacity(
            search, kind.name, found[-1].calls if found else guess, plan.windows.measure_s, measure_calls
        )
    except (RuntimeError, OSError, TimeoutError) as error:
        print(f"  {kind.name} failed: {error!r}", flush=True)
        return
    print(f"  {kind.name}: {capacity.calls} calls{' or more' if capacity.is_bound else ''}", flush=True)
    found.append(capacity)


def write(plan: Plan, results: Results) -> None:
    """Print the tables; write the files, each whole or not at all."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    heading = report.Heading(now, report.commit(), plan.repeats, plan.windows.measure_s)
    text = report.markdown(heading, results)
    print(f"\n{text}")
    if plan.out is None:
        return
    contents = {
        ".md": text,
        ".json": json.dumps(report.as_json(heading, results), indent=1) + "\n",
        ".svg": picture(results),
    }
    for suffix, content in contents.items():
        scratch = plan.out.with_suffix(f"{suffix}.tmp")
        scratch.write_text(content)
        scratch.rename(plan.out.with_suffix(suffix))
    print(f"written: {plan.out}.{{md,json,svg}}")


def main() -> None:
    plan = read_plan()
    try:
        for kind in {kind.name: kind for _, kind in plan.rows}.values():
            kind.check()
    except MissingPeerError as error:
        sys.exit(str(error))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    write(plan, asyncio.run(run_all(plan)))


if __name__ == "__main__":
    main()
