"""The compiled module alone: queues are bounded, and no answer is lost."""

import select
import time
from typing import Any

import pytest

from trunkline import _media
from trunkline.errors import CapacityError, MediaError
from trunkline.ids import EndpointId
from trunkline.media.types import CommandFailed, EngineSettings, Event, GetStats, Unbridge


@pytest.fixture
def engine() -> Any:
    settings = EngineSettings(workers=1, rtp_port_min=21_200, rtp_port_max=21_201, command_queue=8, event_queue=16)
    engine = _media.Engine(settings)
    yield engine
    engine.shutdown()


def _drain(engine: _media.Engine, wanted: int) -> list[Event]:
    events: list[Event] = []
    deadline = time.monotonic() + 10
    while len(events) < wanted and time.monotonic() < deadline:
        if select.select([engine.event_fd()], [], [], 1)[0]:
            events += engine.poll_events(4)
    return events


def test_a_controller_that_reads_nothing_is_refused_and_then_gets_every_answer(engine: _media.Engine) -> None:
    accepted = 0
    refused_in_a_row = 0
    while refused_in_a_row < 50:
        try:
            engine.submit(accepted, 1, Unbridge(EndpointId(1)))
            engine.flush()
        except CapacityError:
            refused_in_a_row += 1
            time.sleep(0.002)
        else:
            accepted += 1
            refused_in_a_row = 0
        assert accepted < 1_000
    events = _drain(engine, accepted)
    refusals = [event for event in events if isinstance(event, CommandFailed)]
    assert len(refusals) == len(events)
    assert sorted(refusal.request for refusal in refusals) == list(range(accepted))

    engine.submit(10_000, 1, GetStats(EndpointId(1)))
    engine.flush()
    (answer,) = _drain(engine, 1)
    assert isinstance(answer, CommandFailed)
    assert answer.request == 10_000, "the worker goes on"


def test_the_descriptor_is_readable_only_while_events_wait(engine: _media.Engine) -> None:
    assert not select.select([engine.event_fd()], [], [], 0)[0]
    for request in range(3):
        engine.submit(request, 1, Unbridge(EndpointId(1)))
    engine.flush()
    assert len(_drain(engine, 3)) == 3
    assert engine.poll_events(10) == []
    assert not select.select([engine.event_fd()], [], [], 0)[0]


def test_what_is_no_command_is_refused(engine: _media.Engine) -> None:
    with pytest.raises(AttributeError):
        engine.submit(1, 1, "create")  # type: ignore[arg-type]


def test_shutdown_is_quick_and_final(engine: _media.Engine) -> None:
    began = time.monotonic()
    assert engine.shutdown()
    assert time.monotonic() - began < 2
    with pytest.raises(MediaError):
        engine.submit(1, 1, GetStats(EndpointId(1)))
    assert engine.shutdown()
