"""Measure call set-up: `python -m benches.call_setup [--only ...]`.   ../README.md says how, and what it hides."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from benches.call_setup import codec, rows
from benches.call_setup.table import PARTS, Figures, markdown, parts_of
from benches.peers import report
from benches.peers.__main__ import alone
from benches.peers.process import Cores, watch_closely


async def measure(only: list[str], cores: Cores, options: argparse.Namespace) -> Figures:
    figures = Figures()
    if "codec" in only:
        figures.codec = codec.measure()
        print(f"codec: {figures.codec}", flush=True)
    if "sippy" in only:
        for _ in range(options.repeats):  # in turns, so that a noisy minute falls on both
            for subject in ("trunkline", "sippy"):
                figures.paired[subject].append(await rows.load(subject, cores, options.rate, options.seconds))
                print(f"  {subject}: {figures.paired[subject][-1]}", flush=True)
    if "calls" in only:
        figures.most, figures.tried = await rows.most_calls(
            lambda rate: rows.load("trunkline", cores, rate, options.seconds), options.guess
        )
        for _ in range(options.repeats):
            figures.half.append(await rows.load("trunkline", cores, max(1, figures.most // 2), options.seconds))
            print(f"  half load: {figures.half[-1]}", flush=True)
    if "memory" in only:
        figures.memory = await rows.memory(cores)
        print(f"  {figures.memory}", flush=True)
    if "registrations" in only:
        figures.lag = await rows.refreshed(cores)
        print(f"  {figures.lag}", flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rate", type=float, default=40, help="calls a second beside sippy")
    parser.add_argument("--guess", type=int, default=150, help="calls a second with which the search begins")
    parser.add_argument("--out", type=Path, help="write these parts to .md and .json; others stay as they are there")
    options = parser.parse_args()
    free = sorted(os.sched_getaffinity(0))
    if len(free) < 2:
        parser.error("two cores are needed")
    cores = Cores(relay=free[0], generator=free[1])
    with alone():
        watch_closely()
        figures = asyncio.run(measure(options.only, cores, options))
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    heading = f"{now}, commit {report.commit()}. {report.machine()}."
    found = parts_of(heading, figures)
    print(f"\n{markdown(found)}")
    if options.out is not None:
        kept = options.out.with_suffix(".json")
        known = json.loads(kept.read_text()) if kept.exists() else {}
        found = {part: (known | found)[part] for part in PARTS if part in known | found}
        kept.write_text(json.dumps(found, indent=1) + "\n")
        options.out.with_suffix(".md").write_text(markdown(found))


if __name__ == "__main__":
    main()
