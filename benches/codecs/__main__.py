"""`make bench-codecs`: measure what sound costs, and write benches/results/codecs.{md,json}.   See ../README.md."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benches.codecs.figures import PARTS, Part, measured
from benches.codecs.tables import markdown
from benches.peers import report
from benches.peers.__main__ import alone

PACKAGES = ("libbcg729-0", "libspeexdsp1", "libspeex1", "gcc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write these parts to .md and .json; others stay as they are there")
    options = parser.parse_args()
    with alone():
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        heading = f"{now}, commit {report.commit()}. {report.machine()}. {report.versions(PACKAGES)}."
        found = {part: Part(heading, rounds) for part, rounds in measured(options.only, options.rounds).items()}
    print(markdown(found))
    if options.out is not None:
        kept = options.out.with_suffix(".json")
        told = json.loads(kept.read_text()) if kept.exists() else {}
        known = {part: Part(**one) for part, one in told.items()} | found
        known = {part: known[part] for part in PARTS if part in known}
        kept.write_text(json.dumps({part: asdict(one) for part, one in known.items()}, indent=1) + "\n")
        options.out.with_suffix(".md").write_text(markdown(known))


if __name__ == "__main__":
    main()
