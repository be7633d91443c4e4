from __future__ import annotations

import pytest
from benches.peers.rows import SEARCHES
from benches.peers.search import find_capacity
from benches.peers.work import Run

PLAIN = SEARCHES[0]


def carried(calls: int) -> Run:
    return Run(relay="x", calls=calls, seconds=3.0, packets_per_s=100.0 * calls, p99_us=900.0, loss=0.0)


@pytest.mark.parametrize("is_grouped", [False, True])
async def test_a_relay_too_busy_to_answer_has_met_its_limit(is_grouped: bool) -> None:
    async def measure(calls: int) -> Run:
        if calls > 500:
            raise ExceptionGroup("while it ran", [TimeoutError()]) if is_grouped else TimeoutError
        return carried(calls)

    assert 475 <= (await find_capacity(PLAIN, "x", 1_600, measure)).calls <= 500


async def test_a_relay_that_broke_has_no_figure() -> None:
    async def measure(calls: int) -> Run:
        raise ExceptionGroup("while it ran", [RuntimeError("ended early"), TimeoutError()])

    with pytest.raises(ExceptionGroup):
        await find_capacity(PLAIN, "x", 600, measure)


async def test_a_disturbed_step_is_made_again() -> None:
    asked: list[int] = []

    async def measure(calls: int) -> Run:
        asked.append(calls)
        is_stolen = asked.count(calls) == 1
        return Run(
            relay="x",
            calls=calls,
            seconds=3.0,
            packets_per_s=100.0 * calls,
            p99_us=9_000.0 if is_stolen or calls > 700 else 900.0,
            loss=0.0,
            stolen=0.1 if is_stolen else 0.0,
        )

    assert 665 <= (await find_capacity(PLAIN, "x", 600, measure)).calls <= 700
