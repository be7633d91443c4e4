from __future__ import annotations

import math
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from benches.call_setup.passage import Passage
from benches.call_setup.phones import Outcome, phones
from benches.call_setup.rows import CodecFigures, Lag, Load, Memory, most_calls, quantile
from benches.call_setup.table import Figures, markdown, parts_of

HEADING = "2026-01-01 00:00 UTC, commit abc. A machine."
CLEAN = Outcome(created=400, successful=400, failed=0, retransmissions=0)
REPEATED = Outcome(created=400, successful=400, failed=0, retransmissions=1)


def load(
    rate: float = 40, outcome: Outcome = CLEAN, *, cpu_s: float = 2.0, delays_s: list[float] | None = None
) -> Load:
    return Load(rate, outcome, cpu_s, stolen=0.01, foreign=0.02, delays_s=delays_s or [])


# --- what SIPp saw --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "is_clean"),
    [
        (CLEAN, True),
        (REPEATED, False),
        (Outcome(created=2_000, successful=1_999, failed=1, retransmissions=0), True),
        (Outcome(created=1_000, successful=999, failed=1, retransmissions=0), False),
        (Outcome(created=0, successful=0, failed=0, retransmissions=0), False),
    ],
)
def test_a_load_is_clean_below_a_failure_in_a_thousand_and_without_repetitions(
    outcome: Outcome, is_clean: bool
) -> None:
    assert outcome.is_clean is is_clean


FAKE_SIPP = """#!{python}
import os, sys, time
arguments = sys.argv
stats = arguments[arguments.index("-stf") + 1]

def write(path, mode, *values):
    with open(path, mode) as file:
        if mode == "w":
            print("TotalCallCreated;SuccessfulCall(C);FailedCall(C);Retransmissions(C);", file=file)
        print(*values, sep=";", file=file)

if "-m" in arguments:  # a caller, which makes the callee repeat two messages with each load
    calls = int(arguments[arguments.index("-m") + 1])
    write(stats, "w", 1, 0, 0, 0)
    write(stats, "a", calls, calls - 1, 1, 4)
    while not os.path.exists("callee.csv"):
        time.sleep(0.05)
    repeated = sum(1 for line in open("callee.csv")) * 2
    write("callee.csv", "a", 0, 0, 0, repeated)
else:
    write(stats, "w", 0, 0, 0, 0)
    time.sleep(60)
"""


async def test_counts_the_repetitions_of_either_end_and_of_this_load_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sipp = tmp_path / "sipp"
    sipp.write_text(FAKE_SIPP.format(python=sys.executable))
    sipp.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    async with phones(min(os.sched_getaffinity(0)), 5_060) as both:
        await both.call(5_061, 100, 60)
        assert await both.call(5_061, 100, 400) == Outcome(created=400, successful=399, failed=1, retransmissions=4 + 2)


# --- when INVITEs passed --------------------------------------------------------------------------------------------


class Capture:
    """A packet socket that has seen what it is made with, and nothing more: (port, number, time, kind of packet)."""

    def __init__(self, *packets: tuple[int, str, float, int]) -> None:
        self._packets = list(packets)

    def recvmsg(self, size: int, ancillary: int) -> tuple[bytes, list[tuple[int, int, bytes]], int, tuple[Any, ...]]:
        if not self._packets:
            raise BlockingIOError
        port, number, at, kind = self._packets.pop(0)
        data = b"\x45" + bytes(19) + struct.pack("!HHHH", 40_000, port, 0, 0) + f"INVITE sip:{number}@host".encode()
        stamp = struct.pack("qq", int(at), round(at % 1 * 1e9))
        return data, [(socket.SOL_SOCKET, 35, stamp)], 0, ("lo", 0x0800, kind)


def delays_of(*packets: tuple[int, str, float, int]) -> list[float]:
    passage = Passage(inner=5_060, outer=6_060)
    passage.read(cast("socket.socket", Capture(*packets)))
    return passage.delays_s


def test_a_delay_is_from_the_first_sight_at_our_port_to_the_first_at_the_callees() -> None:
    delays = delays_of(
        (5_060, "1", 10.0, 0),
        (5_060, "2", 10.1, 0),
        (5_060, "1", 10.5, 0),  # repeated
        (6_060, "1", 10.6, 0),
        (6_060, "2", 10.35, 0),
        (6_060, "1", 11.0, 0),  # repeated
    )
    assert delays == [pytest.approx(0.25), pytest.approx(0.6)]


def test_what_left_without_having_come_or_is_seen_on_its_way_out_has_no_delay() -> None:
    outgoing = 4
    assert delays_of((6_060, "1", 10.0, 0), (5_060, "2", 10.0, 0), (6_060, "2", 10.5, outgoing)) == []
    assert delays_of((5_060, "1", 10.0, 0), (7_060, "1", 10.5, 0)) == []


# --- figures --------------------------------------------------------------------------------------------------------


def test_a_quantile_is_the_value_below_which_the_share_lies() -> None:
    values = [float(number) for number in range(1, 201)]
    assert (quantile(values, 0.5), quantile(values, 0.99), quantile(values, 1.0)) == (101.0, 199.0, 200.0)
    assert math.isnan(quantile([], 0.5))


def test_cpu_is_of_the_calls_that_succeeded_in_milliseconds() -> None:
    half = Outcome(created=400, successful=200, failed=200, retransmissions=0)
    assert load(outcome=half, cpu_s=1.0).cpu_ms_a_call == pytest.approx(5.0)


async def test_the_search_tries_a_rate_that_failed_once_more() -> None:
    asked: list[int] = []

    async def place(rate: int) -> Load:
        asked.append(rate)
        is_disturbed = asked.count(rate) == 1
        return load(rate, REPEATED if rate > 300 or is_disturbed else CLEAN)

    most, tried = await most_calls(place, 150)

    assert 300 / 1.08 <= most <= 300
    assert [one.rate for one in tried] == asked
    assert asked.count(most) == 2


# --- the table ------------------------------------------------------------------------------------------------------


def goals(figures: Figures) -> dict[str, tuple[str, str]]:
    """Return measured and verdict by the name of the work."""
    parts = parts_of(HEADING, figures)
    return {row[0]: (row[3], row[4]) for part in parts.values() for row in part["goals"]}


def test_the_ratio_to_sippy_rises_with_its_cost_and_is_taken_in_each_repeat() -> None:
    figures = Figures()
    figures.paired = {
        "trunkline": [load(cpu_s=1.0), load(cpu_s=2.0)],
        "sippy": [load(cpu_s=3.0), load(cpu_s=4.0)],
    }
    assert goals(figures) == {"calls per CPU second / sippy's": ("2.50 (2.00-3.00) x", "must")}


@pytest.mark.parametrize(("most", "verdict"), [(249, "missed"), (250, "must"), (599, "must"), (600, "aim")])
def test_more_calls_are_better(most: int, verdict: str) -> None:
    figures = Figures(most=most, tried=[load()])
    assert goals(figures)["set-up and tear-down, calls/s"] == (f"{most}", verdict)


@pytest.mark.parametrize(("delay_ms", "verdict"), [(1.5, "aim"), (1.6, "must"), (3.0, "must"), (3.1, "missed")])
def test_less_delay_is_better_and_the_middle_repeat_counts(delay_ms: float, verdict: str) -> None:
    delays = [[0.0001], [delay_ms / 1_000], [9.0]]
    figures = Figures(half=[load(delays_s=values) for values in delays])
    assert goals(figures)["delay of an INVITE at half load, p50, ms"] == (f"{delay_ms:.2f}", verdict)


def test_the_slowest_hundredth_has_a_goal_of_its_own() -> None:
    delays = [0.001] * 98 + [0.014] * 2
    figures = Figures(half=[load(delays_s=delays)])
    assert goals(figures)["delay of an INVITE at half load, p99, ms"] == ("14.00", "must")


def test_memory_is_judged_when_the_transactions_are_over() -> None:
    figures = Figures(memory=Memory(fresh_kib=45.0, settled_kib=19.9), lag=Lag(0.1, 20.1, 30.0, 0.2))
    assert goals(figures) == {
        "Python memory an established call, KiB": ("19.9 (45.0 while its transactions live)", "aim"),
        "10,000 bindings refreshed: loop late, p99, ms": ("20.10 (worst 30.0, idle p99 0.20)", "missed"),
    }


def test_the_codec_is_judged_by_the_middle_of_its_rounds() -> None:
    figures = Figures(codec=CodecFigures(ours_us=100.0, theirs_us=210.0, ratios=(1.9, 2.1, 2.2)))
    shown = "2.10 (1.90-2.20) x (100 us, sipmessage 210 us)"
    assert goals(figures)["read, type and write an INVITE / sipmessage's"] == (shown, "must")


def test_the_tables_name_the_run_of_each_part_and_hold_every_load() -> None:
    figures = Figures(most=250, tried=[load(250), load(260, REPEATED)], half=[load(125)])
    earlier = parts_of("Yesterday.", Figures(memory=Memory(45.0, 40.1)))
    text = markdown(parts_of(HEADING, figures) | earlier)
    assert f"calls: {HEADING}" in text
    assert "memory: Yesterday." in text
    assert "| search | 260 | 400 | 0 | 1 | 5.00 | nan, nan | 2 %, 1.0 % |" in text
    assert "| half load | 125 |" in text
    assert "| 40.1 (45.0 while its transactions live) | missed |" in text
