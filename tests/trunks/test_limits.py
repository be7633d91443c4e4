"""Limits on calls and on attempts a second, on a virtual clock."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline.buckets import TokenBucket
from trunkline.trunks.limits import Capacity, Limited, Limits, Way


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    bucket = TokenBucket(2.0, 3)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(100.4)
    assert bucket.take(100.5)
    assert [bucket.take(200.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_steps_back_gives_nothing_and_breaks_nothing() -> None:
    bucket = TokenBucket(1.0, 1)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)
    assert bucket.take(51.0)


@given(st.floats(0.1, 50), st.integers(1, 20), st.lists(st.floats(0, 2, allow_nan=False), min_size=1, max_size=200))
def test_no_stretch_of_time_lets_more_through_than_burst_and_rate(rate: float, burst: int, gaps: list[float]) -> None:
    bucket, now, taken = TokenBucket(rate, burst), 0.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now)
    assert taken <= burst + rate * (now - gaps[0]) + 1e-6


def test_calls_at_once_are_limited_each_way_and_together() -> None:
    capacity = Capacity(Limits(calls=3, calls_out=2, calls_in=2))
    assert capacity.admit(0, Way.OUTBOUND) is None
    assert capacity.admit(0, Way.OUTBOUND) is None
    assert capacity.admit(0, Way.OUTBOUND) is Limited.CALLS
    assert capacity.admit(0, Way.INBOUND) is None
    assert capacity.admit(0, Way.INBOUND) is Limited.CALLS
    capacity.release(Way.OUTBOUND)
    assert capacity.admit(0, Way.INBOUND) is None
    assert capacity.active == {Way.OUTBOUND: 1, Way.INBOUND: 2}


def test_attempts_are_limited_each_way_by_itself_and_what_finds_no_line_is_none() -> None:
    capacity = Capacity(Limits(calls_out=1, calls_per_s=1.0, burst=2))
    assert capacity.admit(0, Way.OUTBOUND) is None
    assert [capacity.admit(0, Way.OUTBOUND) for _ in range(5)] == [Limited.CALLS] * 5
    capacity.release(Way.OUTBOUND)
    assert capacity.admit(0, Way.OUTBOUND) is None
    capacity.release(Way.OUTBOUND)
    assert capacity.admit(0, Way.OUTBOUND) is Limited.RATE
    assert capacity.admit(0, Way.INBOUND) is None
    assert capacity.admit(1.0, Way.OUTBOUND) is None
    assert capacity.active[Way.OUTBOUND] == 1, "what was limited holds no line"


def test_without_limits_everything_is_admitted() -> None:
    capacity = Capacity(Limits())
    assert all(capacity.admit(0, way) is None for way in Way for _ in range(1000))
    assert Capacity(Limits(calls=0)).admit(0, Way.INBOUND) is Limited.CALLS
