"""Commands that wait for their answers."""

from __future__ import annotations

import asyncio

import pytest

from trunkline.errors import CapacityError, MediaError
from trunkline.ids import EndpointId, RequestId
from trunkline.media.answers import Answers
from trunkline.media.types import EndpointReady, RtpLocal


def _ready(request: RequestId) -> EndpointReady:
    return EndpointReady(request, EndpointId(1), RtpLocal(("192.0.2.1", 4_000), ("192.0.2.1", 4_001), 1, "cname"))


async def test_an_answer_finds_its_command() -> None:
    answers = Answers()
    first, wanted = answers.expect("bridge", 60.0)
    second, other = answers.expect("create_endpoint", 60.0)
    answers.take(second, _ready(second))
    answers.fail(first, CapacityError("full"))
    assert (await other).request == second
    with pytest.raises(CapacityError):
        await wanted
    assert len(answers) == 0


async def test_what_is_not_answered_in_time_fails_and_the_rest_goes_on_waiting() -> None:
    answers = Answers()
    slow, patient = answers.expect("play", 60.0)
    _, late = answers.expect("bridge", 0.02)
    with pytest.raises(MediaError, match="no answer to bridge"):
        async with asyncio.timeout(20):
            await late
    assert not patient.done()
    _, later = answers.expect("close", 0.02)
    with pytest.raises(MediaError, match="no answer to close"):
        async with asyncio.timeout(20):
            await later
    answers.take(slow, None)
    assert await patient is None


async def test_an_answer_after_its_time_or_after_its_caller_has_left_is_dropped() -> None:
    answers = Answers()
    request, answer = answers.expect("bridge", 60.0)
    answer.cancel()
    answers.take(request, None)
    answers.take(request, None)
    assert len(answers) == 0


async def test_all_fail_when_nothing_will_be_answered_any_more() -> None:
    answers = Answers()
    waiting = [answers.expect("bridge", 60.0)[1] for _ in range(3)]
    answers.abandon(MediaError("closed", "the media engine stopped"))
    for answer in waiting:
        with pytest.raises(MediaError, match="stopped"):
            await answer
    assert len(answers) == 0
