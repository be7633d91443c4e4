"""Settings of all tests.

A test that fails while the machine itself stands still is repeated (see harness/repeats.py), and the summary says so.
"""

import pytest
from harness.repeats import Repeats
from hypothesis import HealthCheck, settings

# A machine that is busy with other tests is slow, not wrong.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

_repeats = Repeats()


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Take over from pytest how a test is run."""
    _repeats.run(item, nextitem)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the runs that did not count."""
    _repeats.tell(terminalreporter)
