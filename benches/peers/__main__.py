"""`make bench-peers`: measure Trunkline and its peers, and write benches/results/peers.{md,json,svg}.

Owns the order of the runs, what happens when one fails, and the files.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benches.peers import report
from benches.peers.generator import Windows
from benches.peers.goals import Results
from benches.peers.process import Cores, MissingPeerError, watch_closely
from benches.peers.relay import Kind
from benches.peers.rows import ROWS, SEARCHES, Row, Search
from benches.peers.run import Bench, measure
from benches.peers.search import find_capacity
from benches.peers.svg import picture
from benches.peers.work import TRIES, Run, Work

RESULTS = Path(__file__).parent.parent / "results"
FAILURES = (RuntimeError, OSError, TimeoutError, AssertionError, ExceptionGroup)
"""Of a run: a process ended early, did not answer or answered nonsense. The others are still measured."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for. relays: empty is all."""

    bench: Bench
    parts: frozenset[str]
    relays: frozenset[str]
    repeats: int
    windows: Windows
    patience: int
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
    parser.add_argument("--patience", type=int, default=60, help="disturbed runs to make again, in all (%(default)s)")
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
        patience=given.patience,
        out=given.out or (RESULTS / "peers" if is_whole else None),
    )


def line(run: Run) -> str:
    """One run, for who watches."""
    words = [
        f"{run.relay:9} {run.calls:5} calls: {run.cpu_us:6.2f} us/packet",
        f"p50 {run.p50_us / 1e3:.3f} p99 {run.p99_us / 1e3:.3f} ms",
        f"lost {100 * run.loss:.3f} %",
        f"others {100 * run.relay_foreign:.0f} + {100 * run.generator_foreign:.0f} %, stolen {100 * run.stolen:.1f} %",
        f"late {run.slip_p99_us / 1e3:.2f} ms",
    ]
    if run.storm_connected:
        words.append(f"{run.storm_connected} connected in {run.storm_s:.2f} s, p99 {run.storm_p99_us / 1e3:.3f} ms")
    words += [f"{name} {number}" for name, number in run.counts.items() if number]
    return ", ".join(words)


class Session:
    """One time through everything, with what is left of the patience."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._patience = plan.patience
        self.results = Results({}, {})

    async def run_all(self) -> None:
        """Rows take turns, so that a noisy minute does not fall on one row alone."""
        plan = self._plan
        for repeat in range(1, plan.repeats + 1):
            for row, kind in plan.rows:
                print(f"{repeat}/{plan.repeats} {row.name}", flush=True)
                if run := await self._run_row(row, kind):
                    self.results.runs.setdefault((row.work, kind.name), []).append(run)
            for search, kind, guess in plan.searches:
                print(f"{repeat}/{plan.repeats} calls a core, {search.name}", flush=True)
                await self._search(search, kind, guess)

    async def _run_row(self, row: Row, kind: Kind) -> Run | None:
        """Measure; again if others disturbed it or something broke. The less disturbed run counts."""
        runs: list[Run] = []
        for attempt in range(TRIES):
            if attempt:
                if self._patience <= 0:
                    break
                self._patience -= 1
            try:
                runs.append(await self._measure(kind, row.work))
            except FAILURES as error:
                print(f"  {kind.name} failed: {error!r}", flush=True)
                continue
            if not runs[-1].is_disturbed:
                break
        return min(runs, key=lambda run: (run.is_disturbed, run.disturbance), default=None)

    async def _search(self, search: Search, kind: Kind, guess: int) -> None:
        found = self.results.capacities.setdefault((search.part, kind.name), [])
        if found:
            guess = found[-1].calls

        async def measure_calls(calls: int) -> Run:
            return await self._measure(kind, search.work(calls))

        try:
            capacity = await find_capacity(search, kind.name, guess, measure_calls)
        except FAILURES as error:
            print(f"  {kind.name} failed: {error!r}", flush=True)
            return
        print(f"  {kind.name}: {capacity.calls} calls{' or more' if capacity.is_bound else ''}", flush=True)
        found.append(capacity)

    async def _measure(self, kind: Kind, work: Work) -> Run:
        run = await measure(self._plan.bench, kind, work, self._plan.windows)
        print(f"  {line(run)}", flush=True)
        return run


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
    plan.out.parent.mkdir(parents=True, exist_ok=True)
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
    session = Session(plan)
    with alone():
        watch_closely()
        asyncio.run(session.run_all())
    write(plan, session.results)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait for other benches on this machine to end, and keep them waiting."""
    with Path(tempfile.gettempdir(), "trunkline-bench.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another bench is running: waiting for its end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
