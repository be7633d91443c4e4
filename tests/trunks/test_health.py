"""Whether a trunk is there: the machine on a virtual clock."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.trunks.health import Health, HealthPolicy, HealthState

POLICY = HealthPolicy(interval_s=30.0, down_after=2, up_after=2)


class Asked:
    """A machine and its clock. ask: go on to the next question and answer it."""

    def __init__(self, policy: HealthPolicy = POLICY) -> None:
        self.now = 1_000.0
        self.health = Health(policy, Random(1))
        self.health.start(self.now)

    def ask(self, status: int, retry_after_s: int | None = None) -> HealthState:
        due = self.health.poll_timeout()
        assert due is not None
        assert not self.health.handle_timeout(due - 0.001)
        self.now = max(self.now, due)
        assert self.health.handle_timeout(self.now)
        assert self.health.poll_timeout() is None, "one question at a time"
        self.health.handle_answer(self.now, status, retry_after_s)
        return self.health.state(self.now)


def test_a_trunk_is_tried_before_it_was_asked_and_asked_at_once() -> None:
    asked = Asked()
    assert asked.health.state(asked.now) is HealthState.UNKNOWN
    assert asked.health.is_usable(asked.now)
    due = asked.health.poll_timeout()
    assert due is not None
    assert due <= asked.now + 1


def test_it_goes_down_after_so_many_failures_and_comes_up_after_so_many_answers() -> None:
    asked = Asked()
    statuses = [200, 408, 200, 408, 408, 200, 408, 200, 200]
    up, down = HealthState.UP, HealthState.DOWN
    assert [asked.ask(status) for status in statuses] == [up, up, up, up, down, down, down, down, up]


def test_a_trunk_that_never_answered_goes_down_as_well() -> None:
    asked = Asked()
    assert [asked.ask(408), asked.ask(503)] == [HealthState.UNKNOWN, HealthState.DOWN]


@pytest.mark.parametrize("status", [200, 401, 403, 404, 405, 407, 481, 501, 603])
def test_any_answer_of_somebody_who_is_there_will_do(status: int) -> None:
    assert Asked().ask(status) is HealthState.UP


def test_questions_come_at_the_interval_give_or_take_a_tenth() -> None:
    asked = Asked()
    gaps = []
    for _ in range(50):
        before = asked.now
        asked.ask(200)
        gaps.append(asked.now - before)
    assert all(27.0 <= gap <= 33.0 for gap in gaps[1:])
    assert max(gaps[1:]) - min(gaps[1:]) > 1, "not all at the same time"


def test_a_trunk_that_says_when_to_come_again_is_left_alone_until_then() -> None:
    asked = Asked()
    assert asked.ask(503, 120) is HealthState.RESTING
    assert not asked.health.is_usable(asked.now + 119)
    due = asked.health.poll_timeout()
    assert due is not None
    assert due >= asked.now + 120
    assert asked.ask(200) is HealthState.DOWN
    assert asked.ask(200) is HealthState.UP


def test_an_answer_ends_a_rest_that_a_call_was_told_of() -> None:
    asked = Asked(HealthPolicy(interval_s=30.0, up_after=1))
    asked.ask(200)
    asked.health.handle_call(asked.now, 503, 100)
    assert asked.health.state(asked.now) is HealthState.RESTING
    assert asked.ask(200) is HealthState.UP


def test_calls_that_fail_in_a_row_take_a_trunk_down_that_is_asked() -> None:
    asked = Asked()
    asked.ask(200)
    asked.health.handle_call(asked.now, 408)
    asked.health.handle_call(asked.now, 486)
    asked.health.handle_call(asked.now, 503)
    assert asked.health.is_usable(asked.now)
    asked.health.handle_call(asked.now, 408)
    assert asked.health.state(asked.now) is HealthState.DOWN


def test_a_trunk_that_is_never_asked_is_not_taken_down_for_good() -> None:
    asked = Asked(HealthPolicy(interval_s=0))
    assert asked.health.poll_timeout() is None
    for _ in range(10):
        asked.health.handle_call(asked.now, 408)
    assert asked.health.is_usable(asked.now)
    asked.health.handle_call(asked.now, 503, 60)
    assert asked.health.state(asked.now + 59) is HealthState.RESTING
    assert asked.health.state(asked.now + 60) is HealthState.UNKNOWN


def test_nobody_rests_longer_than_an_hour() -> None:
    asked = Asked(HealthPolicy(interval_s=0))
    asked.health.handle_call(asked.now, 503, 10**9)
    assert asked.health.is_usable(asked.now + 3600)


@given(st.lists(st.tuples(st.sampled_from([200, 404, 408, 500, 503]), st.none() | st.integers(0, 300)), max_size=40))
def test_whatever_came_before_good_answers_bring_it_up(story: list[tuple[int, int | None]]) -> None:
    asked = Asked()
    for status, retry_after_s in story:
        asked.ask(status, retry_after_s)
    asked.ask(200)
    assert asked.ask(200) is HealthState.UP
