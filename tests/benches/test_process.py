from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest
from benches.peers.process import Usage


def test_shares_are_of_the_time_between_the_looks() -> None:
    before = Usage(at_s=10.0, cpu_s=1.0, user_ticks=10, kernel_ticks=20, core_s=5.0, stolen_s=0.5, resident_kib=100)
    after = replace(before, at_s=14.0, cpu_s=2.0, user_ticks=20, kernel_ticks=50, core_s=8.0, stolen_s=0.7)
    assert before.cpu_share(after) == 0.25
    assert before.kernel_share(after) == 0.75
    assert before.foreign_share(after) == 0.5
    assert before.stolen_share(after) == pytest.approx(0.05)


def test_counts_what_a_process_uses_in_nanoseconds() -> None:
    core = min(os.sched_getaffinity(0))
    before = Usage.of(os.getpid(), core)
    busy_until = time.process_time() + 0.05
    while time.process_time() < busy_until:
        pass
    after = Usage.of(os.getpid(), core)
    assert after.cpu_s - before.cpu_s == pytest.approx(0.05, abs=0.02)
    assert after.resident_kib > 1_000
