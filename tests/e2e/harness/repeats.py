"""A failed test is run again if, and only if, the machine was seen standing still while it ran."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from _pytest.runner import runtestprotocol

from harness.stalls import StallWitness

ATTEMPTS = 3
STALL_S = 0.04


@dataclass(slots=True)
class Repeats:
    """Runs the tests of one session. excuses: for the summary, one line for each run that did not count."""

    make_witness: Callable[[], StallWitness]
    excuses: list[str] = field(default_factory=list)
    _witness: StallWitness | None = None

    def run(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Run one test to its verdict and report the last run only."""
        if self._witness is None:
            self._witness = self.make_witness()
            item.config.add_cleanup(self._witness.stop)
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for attempt in range(1, ATTEMPTS + 1):
            started = time.monotonic()
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            stall_s = self._witness.worst_s(started)
            if attempt == ATTEMPTS or stall_s < STALL_S or not any(report.failed for report in reports):
                break
            self.excuses.append(
                f"{item.nodeid}: run {attempt} failed while the machine stood still for {stall_s:.3f} s"
            )
            item._initrequest()  # type: ignore[attr-defined]  # fresh fixtures; pytest has no public way
        for report in reports:
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
