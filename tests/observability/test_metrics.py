"""What `/metrics` shows."""

from dataclasses import fields

from trunkline.media.types import Totals
from trunkline.observability.media import ROWS
from trunkline.observability.metrics import Metrics


def test_shows_what_was_counted() -> None:
    metrics = Metrics()
    metrics.calls_started.labels(origin="web").inc()
    metrics.calls_ended.labels(reason="busy").inc()
    metrics.web_malformed.labels(why="json").inc(2)
    text = metrics.render().decode()
    assert 'trunkline_calls_started_total{origin="web"} 1.0' in text
    assert 'trunkline_calls_ended_total{reason="busy"} 1.0' in text
    assert 'trunkline_web_malformed_total{why="json"} 2.0' in text


def test_reads_the_counters_of_others_at_each_scrape() -> None:
    metrics = Metrics()
    drops = {"replayed": 0}
    reads = []

    def read() -> dict[str, int]:
        reads.append(1)
        return drops

    metrics.read_media_drops(read)
    metrics.read_sip_counts(lambda: {"malformed": 3})
    assert reads == []
    assert 'trunkline_media_drops_total{reason="replayed"} 0.0' in metrics.render().decode()
    drops["replayed"] = 5
    text = metrics.render().decode()
    assert 'trunkline_media_drops_total{reason="replayed"} 5.0' in text
    assert 'trunkline_sip_events_total{kind="malformed"} 3.0' in text


def test_every_counter_of_the_media_plane_is_shown_in_its_unit() -> None:
    assert {row.name for row in ROWS} == {each.name for each in fields(Totals)} - {"drops"}
    metrics = Metrics()
    counters: dict[str, float] = {}
    metrics.read_media(lambda: counters)
    assert "\ntrunkline_media_turns_total " not in metrics.render().decode(), "it does not run yet"
    counters.update({row.name: 1_000 + place for place, row in enumerate(ROWS)})
    text = metrics.render().decode()
    shown = [line for line in text.splitlines() if line.startswith("trunkline_media_") and "_dead_" not in line]
    assert len(shown) == len(ROWS)
    assert 'trunkline_media_datagrams_total{direction="sent"} 1001.0' in shown
    assert 'trunkline_media_port_pairs{state="free"} 1006.0' in shown
    assert "trunkline_media_pause_seconds 0.001003" in shown
    assert "trunkline_media_recording_dropped_seconds_total 1.012" in shown


def test_two_nodes_in_one_process_do_not_share_counters() -> None:
    one, other = Metrics(), Metrics()
    one.calls_active.inc()
    assert "trunkline_calls_active 1.0" in one.render().decode()
    assert "trunkline_calls_active 0.0" in other.render().decode()
