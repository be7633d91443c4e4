from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from benches.peers.goals import Results, goals
from benches.peers.report import Heading, as_json, markdown
from benches.peers.search import Capacity, keeps_rule
from benches.peers.svg import nice_limit, picture
from benches.peers.work import Run, Security, Sound, Work

HEADING = Heading("2026-01-01 00:00 UTC", "abc", 2, 3.0)
RTP_500 = Work(Security.NONE, Sound.PCMU, 500)


def run(relay: str, *, cpu_us: float = 5.0, p99_us: float = 600.0, loss: float = 0.0, calls: int = 500) -> Run:
    return Run(
        relay=relay,
        calls=calls,
        seconds=3.0,
        packets_per_s=100.0 * calls,
        cpu_us=cpu_us,
        kernel=0.9,
        memory_kib=10.0,
        p50_us=300.0,
        p99_us=p99_us,
        max_us=900.0,
        loss=loss,
        slip_p99_us=1.0,
        slip_max_us=2.0,
        relay_foreign=0.0,
        generator_foreign=0.0,
    )


@pytest.fixture
def results() -> Results:
    return Results(
        runs={
            (RTP_500, "trunkline"): [run("trunkline", cpu_us=4.0), run("trunkline", cpu_us=6.0)],
            (RTP_500, "rtpengine"): [run("rtpengine", cpu_us=10.0), run("rtpengine", cpu_us=12.0)],
        },
        capacities={
            ("capacity", "trunkline"): [Capacity("trunkline", 1_800, is_bound=True)],
            ("capacity", "rtpengine"): [Capacity("rtpengine", 600)],
        },
    )


def verdicts(results: Results) -> dict[str, str]:
    return {goal.name: goal.verdict for goal in goals(results)}


def test_a_ratio_is_taken_within_each_repeat(results: Results) -> None:
    goal = next(goal for goal in goals(results) if goal.name.startswith("RTP <-> RTP, 500 calls: CPU"))
    assert (goal.spread.low, goal.spread.high) == (0.4, 0.5)
    assert goal.verdict == "must"


def test_goals_are_judged_in_their_own_direction(results: Results) -> None:
    found = verdicts(results)
    assert found["RTP <-> RTP: calls a core / rtpengine"] == "aim"
    assert found["RTP <-> RTP, 500 calls: added latency, p50"] == "must"
    assert found["RTP <-> RTP, 500 calls: added latency, p99"] == "aim"
    assert found["DTLS-SRTP <-> RTP, 16 calls: CPU a packet / Janus"] == "not measured"


def test_a_missed_goal_is_called_so(results: Results) -> None:
    results.runs[RTP_500, "trunkline"] = [run("trunkline", cpu_us=9.0, p99_us=1_600.0)]
    found = verdicts(results)
    assert found["RTP <-> RTP, 500 calls: CPU a packet / rtpengine"] == "missed"
    assert found["RTP <-> RTP, 500 calls: added latency, p99"] == "missed"


def test_the_cost_may_not_rise_above_its_lowest_so_far() -> None:
    name = "CPU a packet, 10 to 2,000 calls: steepest rise"
    loads = {calls: Work(Security.NONE, Sound.PCMU, calls) for calls in (10, 50, 100)}
    costs = {10: 20.0, 50: 8.0, 100: 9.0}
    results = Results(
        {(work, "trunkline"): [run("trunkline", cpu_us=costs[calls])] for calls, work in loads.items()}, {}
    )
    assert next(goal for goal in goals(results) if goal.name == name).spread.median == 9.0 / 8.0
    assert verdicts(results)[name] == "missed"


def test_the_tables_say_what_was_met_and_what_was_disturbed(results: Results) -> None:
    results.runs[RTP_500, "rtpengine"][1] = replace(run("rtpengine"), relay_foreign=0.3)
    results.runs[RTP_500, "trunkline"][1] = replace(run("trunkline"), stolen=0.02)
    text = markdown(HEADING, results)
    assert "| RTP <-> RTP | rtpengine | 500 | 50000 |" in text
    assert text.count("| 1 of 2 |") == 2
    assert "at least 3.00" in text
    assert "the generator's limit was met" in text


def test_json_holds_every_run_and_no_nan(results: Results) -> None:
    results.runs[RTP_500, "none"] = [Run(relay="none", calls=500, seconds=3.0, packets_per_s=1.0)]
    written = json.loads(json.dumps(as_json(HEADING, results), allow_nan=False))
    assert [len(load["runs"]) for load in written["loads"]] == [2, 2, 1]
    assert written["loads"][2]["runs"][0]["cpu_us"] is None


def test_the_picture_is_whole_and_names_what_it_shows(results: Results) -> None:
    root = ElementTree.fromstring(picture(results))
    words = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"trunkline", "rtpengine", "calls", "CPU us a packet, RTP <-> RTP"} <= words
    assert any(text and text.startswith("at least 3.00 x") for text in words)


def test_the_picture_of_nothing_is_still_a_picture() -> None:
    ElementTree.fromstring(picture(Results({}, {})))


@pytest.mark.parametrize(("value", "limit"), [(0.7, 1), (1.0, 1), (2.1, 2.5), (37, 50), (51, 100)])
def test_an_axis_ends_at_a_round_number(value: float, limit: float) -> None:
    assert nice_limit(value) == pytest.approx(limit)


def test_the_rule_is_about_loss_and_delay() -> None:
    assert keeps_rule(run("x", p99_us=4_999), None)
    assert not keeps_rule(run("x", p99_us=5_000), None)
    assert not keeps_rule(run("x", loss=0.001), None)


def test_transcoded_calls_are_judged_by_what_load_adds_and_conceals() -> None:
    base = run("x", calls=50, p99_us=40_000)
    loaded = run("x", calls=500, p99_us=64_000)
    assert keeps_rule(loaded, base)
    assert not keeps_rule(replace(loaded, p99_us=65_001), base)
    # 50,000 packets a second for 3 s: 150 are 0.1 %.
    assert keeps_rule(replace(loaded, counts={"concealed": 149}), base)
    assert not keeps_rule(replace(loaded, counts={"concealed": 150}), base)


def test_json_holds_what_the_relay_counted(results: Results) -> None:
    results.runs[RTP_500, "trunkline"][0] = replace(run("trunkline"), counts={"rtp_late": 3})
    written = json.loads(json.dumps(as_json(HEADING, results)))
    assert written["loads"][0]["runs"][0]["counts"] == {"rtp_late": 3}
