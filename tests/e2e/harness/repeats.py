"""A failed test is run again if, and only if, the machine was seen standing still while it ran.

This hides no defect that is there: an excuse never makes a run good, it asks for another one, which has to show all
that the test wants to be shown. What is always wrong fails in every run, and the last one counts whatever the machine
did. What is wrong now and then fails on a quiet machine, where nothing is run again.
"""

import time
from dataclasses import dataclass, field

import pytest
import pytest_timeout
from _pytest.runner import runtestprotocol

from harness.stalls import StallWitness

ATTEMPTS = 4
STALL_S = 0.02
"""What excuses a failure: a packet time of audio."""
REST_S = 1.0
"""What is busy now may be less so a moment later: so long for each run that did not count."""


@dataclass(slots=True)
class Repeats:
    """Runs the tests of one session. excuses: for the summary, one line for each run that did not count."""

    excuses: list[str] = field(default_factory=list)
    _witness: StallWitness | None = None

    def run(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Run one test to its verdict and report the last run only."""
        if self._witness is None:
            self._witness = StallWitness()
            item.config.add_cleanup(self._witness.stop)
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for attempt in range(1, ATTEMPTS + 1):
            since = self._witness.moment()
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            if attempt == ATTEMPTS or not any(report.failed for report in reports):
                break
            stall_s = self._witness.worst_s(since)
            if stall_s < STALL_S:
                break
            self.excuses.append(
                f"{item.nodeid}: run {attempt} failed while the machine stood still for {stall_s:.3f} s"
            )
            time.sleep(REST_S * attempt)
            _arm(item)
            item._initrequest()  # type: ignore[attr-defined]  # fresh fixtures; pytest has no public way
        for report in reports:
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def tell(self, reporter: pytest.TerminalReporter) -> None:
        """Name the runs that did not count."""
        if self.excuses:
            reporter.section("repeated because the machine stood still")
            for line in self.excuses:
                reporter.line(line)


def _arm(item: pytest.Item) -> None:
    """Give the next run the whole time of a test: the first failure has ended the watch over it."""
    marker = item.get_closest_marker("timeout")
    limit_s = float(marker.args[0] if marker else item.config.getini("timeout"))
    settings = pytest_timeout.Settings(limit_s, "signal", func_only=False, disable_debugger_detection=None)
    item.ihook.pytest_timeout_cancel_timer(item=item)
    item.ihook.pytest_timeout_set_timer(item=item, settings=settings)
