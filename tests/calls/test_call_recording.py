"""Recordings beside what happens in a call: before media, through a transfer, again and again."""

from __future__ import annotations

import pytest
from test_incoming_transfer import arrive, referred, successor
from test_outbound import answered
from world import world

from trunkline.calls.model import CallState
from trunkline.calls.run.recording import MAX_RECORDINGS
from trunkline.errors import InvalidCallState


async def test_nothing_is_recorded_before_there_is_media() -> None:
    async with world() as w:
        call = await w.call(w.connect())
        with pytest.raises(InvalidCallState):
            await w.controller.record(call.id)
        assert call.recordings == []


async def test_a_transfer_leaves_the_recording_as_it_is_and_the_call_that_goes_on_has_it() -> None:
    async with world() as w:
        _, call, _, _ = await referred(w)
        begun = await w.controller.record(call.id, "talk")
        await arrive(w)
        child = successor(w)
        assert list(w.media.taps.values()) == ["/recordings/talk.wav"], "nobody has stopped it"
        assert child.recordings == [begun] == call.recordings
        done = await w.controller.stop_recording(child.id)
        assert (done.name, done.reason, done.seconds) == ("talk.wav", "stopped", 1.5)
        assert (child.state, w.media.taps) == (CallState.ESTABLISHED, {})


async def test_what_a_call_remembers_of_recordings_is_bounded() -> None:
    async with world() as w:
        _, call, _ = await answered(w)
        for _ in range(MAX_RECORDINGS):
            await w.controller.record(call.id)
            await w.controller.stop_recording(call.id)
        with pytest.raises(InvalidCallState, match="too many"):
            await w.controller.record(call.id)
        assert len({each.name for each in call.recordings}) == MAX_RECORDINGS
