"""Recordings of calls by REST: their files, their names, their ends."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from harness.audio import judge
from node import Gateway, gateway, settings

from fakes import FakeMedia
from listening import read_file
from trunkline.app import App
from trunkline.errors import CapacityError, ConfigError, MediaError
from trunkline.media.engine import MediaEngine


def place(directory: Path, **more: object) -> dict[str, object]:
    return {"directory": str(directory), **more}


def files(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


async def talking(node: Gateway, callee: str = "101", call_id: str = "rest-1") -> None:
    assert (await node.startup(callee, call_id)).status_code == 200
    await node.until(call_id, "ESTABLISHED")


async def record(node: Gateway, call_id: str = "rest-1", **more: object) -> dict[str, Any]:
    answer = await node.post("record/startup", {"callId": call_id, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_what_the_sip_party_says_and_hears_is_in_the_file(tmp_path: Path) -> None:
    sections = {"recording": place(tmp_path), "calls": {"player": "tone"}}
    async with gateway(MediaEngine(), **sections) as node:
        await talking(node, "100")  # says again what it hears: the player's tone
        begun = await record(node, fileName="echo")
        assert (begun["fileName"], begun["reason"], begun["seconds"]) == ("echo.wav", None, 0)
        await asyncio.sleep(3.0)
        answer = await node.post("record/terminate", {"callId": "rest-1"})
        assert answer.status_code == 200, answer.text
        done = answer.json()
        assert (done["fileName"], done["reason"]) == ("echo.wav", "stopped")
        file = tmp_path / "echo.wav"
        assert done["bytes"] == file.stat().st_size
        (said, heard), rate_hz = read_file(file)
        for channel in (said, heard):
            assert judge(channel, rate_hz, skip_s=1.0).frequency_hz == pytest.approx(440.0, rel=0.02)
        (call,) = (await node.post("find", {"callId": "rest-1"})).json()
        assert call["recordings"] == [done]
        await node.post("terminate", {"callId": "rest-1"})


async def test_a_call_that_ends_while_it_is_recorded_leaves_a_whole_file(tmp_path: Path) -> None:
    sections = {"recording": place(tmp_path, format="ogg"), "calls": {"find_retention_s": 30}}
    async with gateway(MediaEngine(), **sections) as node:
        await talking(node)
        name = (await record(node))["fileName"]
        assert re.fullmatch(r"\d{8}T\d{6}Z-rest-1\.ogg", name)
        await node.post("terminate", {"callId": "rest-1"})
        await node.assert_empty()
        assert files(tmp_path) == [name]
        assert (tmp_path / name).read_bytes()[:4] == b"OggS"
        (call,) = (await node.post("find", {"callId": "rest-1"})).json()
        assert call["recordings"][0]["reason"] == "stopped"


async def test_one_recording_at_a_time_each_by_its_own_name(tmp_path: Path) -> None:
    async with gateway(recording=place(tmp_path)) as node:
        await talking(node, call_id="a/../b")
        body = {"callId": "a/../b"}
        assert (await node.post("record/terminate", body)).status_code == 409
        first = await record(node, **body)
        assert first["fileName"].endswith("Z-a-b.wav")
        assert (await node.post("record/startup", body)).status_code == 409
        assert (await node.post("record/terminate", body)).status_code == 200
        second = await record(node, **body)
        assert second["fileName"].endswith("Z-a-b-2.wav")
        assert list(node.media.taps.values()) == [str(tmp_path / second["fileName"])]
        await node.post("terminate", body)
        await node.assert_empty()
        assert node.media.taps == {}


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b", ".hidden", "..", "a\\b", "x\n", "x\0", "a b", "\u00e4", "x" * 129, "-rf"]
)
async def test_a_name_leads_nowhere_but_into_the_place_of_recordings(tmp_path: Path, name: str) -> None:
    async with gateway(recording=place(tmp_path)) as node:
        await talking(node)
        answer = await node.post("record/startup", {"callId": "rest-1", "fileName": name})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
        assert node.media.taps == {}
        await node.post("terminate", {"callId": "rest-1"})


@pytest.mark.parametrize(
    ("wanted", "file"), [("x", "x.ogg"), ("x.wav", "x.wav"), ("x.ogg", "x.ogg"), ("a..b_1-2", "a..b_1-2.ogg")]
)
async def test_the_ending_of_a_name_says_the_format(tmp_path: Path, wanted: str, file: str) -> None:
    async with gateway(recording=place(tmp_path, format="ogg")) as node:
        await talking(node)
        assert (await record(node, fileName=wanted))["fileName"] == file
        assert list(node.media.taps.values()) == [str(tmp_path / file)]
        await node.post("terminate", {"callId": "rest-1"})


async def test_a_file_that_exists_is_left_alone_and_the_call_goes_on(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("precious")
    async with gateway(MediaEngine(), recording=place(tmp_path)) as node:
        await talking(node)
        answer = await node.post("record/startup", {"callId": "rest-1", "fileName": "x.wav"})
        assert answer.status_code == 409
        assert str(tmp_path) not in answer.text, "where files are is nobody's business"
        assert (tmp_path / "x.wav").read_text() == "precious"
        await node.until("rest-1", "ESTABLISHED")
        await record(node, fileName="y.wav")
        await node.post("terminate", {"callId": "rest-1"})


@pytest.mark.parametrize(
    ("error", "status"), [(CapacityError("recordings"), 503), (MediaError("internal", "x"), 500), (TimeoutError(), 504)]
)
async def test_what_the_media_plane_refuses_is_told_and_can_be_tried_again(
    tmp_path: Path, error: Exception, status: int
) -> None:
    async with gateway(recording=place(tmp_path)) as node:
        await talking(node)
        node.media.refusals["start_tap"] = error
        assert (await node.post("record/startup", {"callId": "rest-1"})).status_code == status
        del node.media.refusals["start_tap"]
        await record(node)
        await node.post("terminate", {"callId": "rest-1"})


async def test_a_full_disk_ends_the_recording_alone_and_is_told(tmp_path: Path) -> None:
    async with gateway(recording=place(tmp_path)) as node:
        await talking(node)
        await record(node)
        (endpoint,) = node.media.taps
        call = node.media.live[endpoint].call
        node.media.end_tap(call, endpoint, "disk_full")
        (found,) = (await node.post("find", {"callId": "rest-1"})).json()
        assert (found["status"], found["recordings"][0]["reason"]) == ("ESTABLISHED", "disk_full")
        assert (await node.post("record/terminate", {"callId": "rest-1"})).status_code == 409
        await record(node)
        await node.post("terminate", {"callId": "rest-1"})


async def test_of_a_browsers_call_the_browser_is_recorded(tmp_path: Path) -> None:
    async with gateway(recording=place(tmp_path)) as node, node.browser() as browser:
        await browser.login(node)
        await browser.call("101", "mine")
        await browser.expect("talk")
        await record(node, "mine")
        (endpoint,) = node.media.taps
        assert node.media.live[endpoint].transport.kind == "webrtc"
        await browser.send("hangup", {"callId": "mine"})
        await browser.expect("finish")


async def test_nothing_is_recorded_without_a_place_or_a_call(tmp_path: Path) -> None:
    async with gateway() as node:
        assert (await node.post("record/startup", {"callId": "none"})).status_code == 404
        assert (await node.post("record/terminate", {"callId": "none"})).status_code == 404
        await talking(node)
        answer = await node.post("record/startup", {"callId": "rest-1"})
        assert (answer.status_code, answer.json()["code"]) == (501, "not_supported")
        await node.post("terminate", {"callId": "rest-1"})


async def test_a_place_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    app = App(settings(recording=place(tmp_path / "nowhere")), FakeMedia())
    with pytest.raises(ConfigError, match=r"recording\.directory"):
        await app.start()
