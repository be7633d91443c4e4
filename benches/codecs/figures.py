"""What the Rust bench has told, round by round."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from benches.peers.stats import Spread, ratios

PARTS = ("g729", "g711", "resampler", "gaps", "coders", "opus", "pairings", "complexity")
US = "trunkline"

Rounds = dict[str, dict[str, list[float]]]
"""Of one part: by what was done, by whom, one figure a round."""


@dataclass(frozen=True, slots=True)
class Part:
    """heading: when, where and at what commit it was measured."""

    heading: str
    rounds: Rounds

    def spread(self, work: str, subject: str) -> Spread:
        return Spread.of(self.rounds.get(work, {}).get(subject, ()))

    def peer(self, work: str) -> str:
        """Return who else did it; an empty name if nobody did."""
        return next((subject for subject in self.rounds.get(work, {}) if subject != US), "")

    def ratio(self, work: str) -> Spread:
        """Our time by the peer's, for each round."""
        told = self.rounds.get(work, {})
        return Spread.of(ratios(told.get(US, ()), told.get(self.peer(work), ())))


def measured(parts: Iterable[str], rounds: int) -> dict[str, Rounds]:
    """Run the Rust bench so many times, a process each. Raises CalledProcessError when it fails."""
    found: dict[str, Rounds] = {}
    for number in range(rounds):
        print(f"{number + 1}/{rounds}", flush=True)
        command = ["cargo", "bench", "--locked", "--quiet", "--bench", "codecs", "--", *parts]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(told, flush=True)
        for line in told.splitlines():
            part, work, subject, value = line.split("\t")
            found.setdefault(part, {}).setdefault(work, {}).setdefault(subject, []).append(float(value))
    return found
