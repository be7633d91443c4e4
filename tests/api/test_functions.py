"""Functions within a call from outside: REST for every call, and the WebSocket's `hold` and `unhold`."""

import asyncio
from typing import Any

import pytest
from node import Browser, Gateway, gateway

from fakes import FakeEndpoint
from trunkline.media.types import Voice


def endpoints(node: Gateway, kind: str) -> list[FakeEndpoint]:
    """Return the endpoints of the gateway and of the test phone, which has plain ones only."""
    return [endpoint for endpoint in node.media.live.values() if endpoint.transport.kind == kind]


async def call_of(node: Gateway, call_id: str = "rest-1") -> dict[str, Any]:
    found: dict[str, Any] = (await node.post("find", {"callId": call_id})).json()[0]
    return found


async def incoming(node: Gateway, browser: Browser) -> str:
    """Have the test phone call the browser; return the call's id once it rings."""
    await browser.expect("registered")
    await browser.call("106", "first")
    await browser.expect("finish")
    call_id: str = (await browser.expect("notifyIncomingCall"))["callId"]
    return call_id


async def test_a_party_that_rest_called_is_held_and_resumed():
    async with gateway() as node:
        await node.startup("101")
        await node.until("rest-1", "ESTABLISHED")
        heard_before = [len(endpoint.heard) for endpoint in endpoints(node, "rtp")]
        answer = await node.post("hold", {"callId": "rest-1", "holdForTransfer": "true"})
        assert (answer.status_code, answer.json()) == (200, {})
        call = await call_of(node)
        assert (call["status"], call["holdForTransfer"], call["heldBy"]) == ("HOLD", True, ["a"])
        assert [len(endpoint.heard) for endpoint in endpoints(node, "rtp")] != heard_before, "somebody hears music"
        assert (await node.post("hold", {"callId": "rest-1"})).status_code == 200, "it is held already"
        assert (await node.post("unhold", {"callId": "rest-1"})).json() == {}
        call = await call_of(node)
        assert (call["status"], call["holdForTransfer"], call["heldBy"]) == ("ESTABLISHED", False, [])
        await node.post("terminate", {"callId": "rest-1"})


async def test_a_browsers_call_is_held_by_its_socket_and_by_rest():
    async with gateway() as node, node.browser() as browser:
        await browser.login(node)
        await browser.call("101", "mine")
        await browser.expect("talk")
        await browser.send("hold", {"callId": "mine"})
        assert (await browser.expect("hold"))["status"] == "HOLD"
        assert (await node.post("unhold", {"callId": "mine"})).status_code == 200
        assert (await browser.expect("talk"))["status"] == "ESTABLISHED"
        assert (await node.post("hold", {"callId": "mine"})).status_code == 200
        assert (await browser.expect("hold"))["heldBy"] == ["a"]
        await browser.send("unhold", {"callId": "mine"})
        await browser.expect("talk")
        await browser.send("hangup", {"callId": "mine"})
        await browser.expect("finish")


async def test_the_browser_is_told_what_cannot_be_held():
    async with gateway() as node, node.browser() as browser:
        await browser.login(node)
        await browser.send("hold", {"callId": "none"})
        failed = await browser.expect("fail")
        assert (failed["apiMethod"], failed["callId"], failed["reason"]) == ("hold", "none", "call_not_found")
        await browser.call("104", "mine")
        await browser.expect("ring")
        await browser.send("hold", {"callId": "mine"})
        failed = await browser.expect("fail")
        assert (failed["apiMethod"], failed["callId"], failed["reason"]) == ("hold", "mine", "invalid_call_state")
        await browser.send("hangup", {"callId": "mine"})
        await browser.expect("finish")


async def test_a_call_is_muted_and_heard_again():
    async with gateway() as node, node.browser() as browser:
        await browser.login(node)
        await browser.call("101", "mine")
        await browser.expect("talk")
        (web,) = endpoints(node, "webrtc")
        assert (await node.post("mute", {"callId": "mine"})).json() == {}
        assert web.muted == {Voice.SAYS}
        assert (await call_of(node, "mine"))["muted"] == ["a"]
        assert (await node.post("mute", {"callId": "mine", "leg": "b"})).status_code == 200
        assert (await call_of(node, "mine"))["muted"] == ["a", "b"]
        for leg in ({}, {"leg": "b"}, {"leg": "b"}):
            assert (await node.post("unmute", {"callId": "mine", **leg})).status_code == 200
        assert web.muted == set()
        assert (await call_of(node, "mine"))["muted"] == []
        await browser.send("hangup", {"callId": "mine"})
        await browser.expect("finish")


async def test_an_incoming_call_is_answered_by_rest_in_the_browsers_place():
    async with gateway() as node, node.browser() as browser:
        await browser.login(node)
        call_id = await incoming(node, browser)
        assert (await node.post("answer", {"callId": call_id})).json() == {}
        finished = await browser.expect("finish")
        assert (finished["callId"], finished["status"], finished["reason"]) == (call_id, "FINISH", "answered_elsewhere")
        assert (await call_of(node, call_id))["status"] == "ESTABLISHED"
        assert (await node.post("send_dtmf", {"callId": call_id, "dtmf": "5"})).status_code == 200
        assert (await node.post("answer", {"callId": call_id})).status_code == 409
        assert (await node.post("terminate", {"callId": call_id})).status_code == 200


@pytest.mark.parametrize("method", ["answer", "hold", "unhold", "mute", "unmute"])
async def test_what_cannot_be_done_is_answered_with_its_cause(method: str):
    async with gateway() as node:
        answer = await node.post(method, {"callId": "none"})
        assert (answer.status_code, answer.json()["code"]) == (404, "call_not_found")
        assert (await node.post(method, {})).status_code == 400
        await node.startup("104")
        await asyncio.sleep(0.1)
        answer = await node.post(method, {"callId": "rest-1"})
        assert (answer.status_code, answer.json()["code"]) == (409, "invalid_call_state")
        await node.post("terminate", {"callId": "rest-1"})


async def test_a_party_that_refuses_is_named_by_its_sip_status_and_q850_cause(monkeypatch: pytest.MonkeyPatch):
    async with gateway() as node:
        await node.startup("101")
        await node.until("rest-1", "ESTABLISHED")
        assert node.app.demo is not None
        shell = node.app.demo._shell
        monkeypatch.setattr(shell, "answer_reinvite", _refuse(shell.answer_reinvite, 403))
        answer = await node.post("hold", {"callId": "rest-1"})
        assert answer.status_code == 502
        problem = answer.json()
        assert (problem["code"], problem["sipStatus"], problem["q850"]) == ("leg_rejected", 403, 21)
        assert (await call_of(node))["status"] == "ESTABLISHED"
        await node.post("terminate", {"callId": "rest-1"})


async def test_a_party_that_will_not_be_transferred_stays_and_says_so_to_rest_and_to_the_browser():
    async with gateway() as node, node.browser() as browser:
        await browser.login(node)
        await browser.call("101", "mine")
        await browser.expect("talk")
        answer = await node.post("transfer", {"callId": "mine", "target": 102})
        assert (answer.status_code, answer.json()["sipStatus"]) == (502, 603)
        await browser.send("transfer", {"callId": "mine", "target": "102"})
        failed = await browser.expect("fail")
        assert (failed["apiMethod"], failed["info"], failed["reason"]) == ("transfer", "603 Decline", "leg_rejected")
        assert (await call_of(node, "mine"))["status"] == "ESTABLISHED"
        for body in ({}, {"targetCallId": "mine"}):
            assert (await node.post("transfer", {"callId": "mine", **body})).status_code == 400
        assert (await node.post("transfer", {"callId": "mine", "targetCallId": "none"})).status_code == 404
        await browser.send("hangup", {"callId": "mine"})
        await browser.expect("finish")


def _refuse(answer_reinvite: Any, status: int) -> Any:
    return lambda invite, sdp=None, _status=200: answer_reinvite(invite, None, status)
