from __future__ import annotations

import math

import pytest
from benches.peers.stats import Spread, highest_passing, ratios


def test_shows_median_and_range() -> None:
    assert Spread.of([3.0, 1.0, 2.0]).show(1) == "2.0 (1.0-3.0)"


def test_shows_the_median_alone_where_the_range_would_look_the_same() -> None:
    assert Spread.of([2.001, 2.002, 2.003]).show(1) == "2.0"


def test_shows_a_dash_for_what_was_not_measured() -> None:
    assert Spread.of([math.nan]).show(1) == Spread.of([]).show(1) == "-"


def test_compares_what_was_measured_in_the_same_repeat() -> None:
    assert ratios([1.0, 4.0, 9.0], [2.0, 2.0]) == [0.5, 2.0]


@pytest.mark.parametrize("guess", [1, 50, 400, 430, 2_000])
@pytest.mark.parametrize("limit", [7, 60, 437, 1_999])
async def test_finds_the_highest_number_from_any_guess(guess: int, limit: int) -> None:
    asked = []

    async def passes(number: int) -> bool:
        asked.append(number)
        return number <= limit

    found = await highest_passing(passes, guess, most=5_000)

    assert found <= limit < max(found * 1.05, found + 1) + 1
    assert len(asked) == len(set(asked)) <= 16
    assert found in asked


async def test_a_good_guess_takes_few_questions() -> None:
    asked = []

    async def passes(number: int) -> bool:
        asked.append(number)
        return number <= 437

    await highest_passing(passes, 430, most=5_000)
    assert len(asked) <= 5


async def test_stops_at_the_most_and_at_nothing() -> None:
    async def always(_: int) -> bool:
        return True

    async def never(_: int) -> bool:
        return False

    assert await highest_passing(always, 100, most=250) == 250
    assert await highest_passing(never, 100, most=250) == 0
