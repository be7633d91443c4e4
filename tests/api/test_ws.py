"""The browser's WebSocket, against the test phone."""

import asyncio
import json

import pytest
from node import gateway
from websockets.exceptions import InvalidStatus

from fakes import browser_answer, browser_offer
from logs import lines, logged


async def test_a_browser_registers_calls_and_hangs_up():
    async with gateway() as node, node.browser() as browser:
        user = await browser.login(node, custom={"a": 1}, appKey="myApp")
        assert user["sipLogin"] == "demo"
        assert user["custom"] == {"a": 1}
        assert len(user["authToken"]) >= 32
        assert "sipPassword" not in user
        await browser.expect("registered")
        await browser.call("100", visibleName="Alice", custom={"order": 7})
        ringing = await browser.expect("ring")
        assert (ringing["status"], ringing["callId"]) == ("RING", "call-1")
        assert ringing["custom"] == {"order": 7}
        assert ringing["appKey"] == "myApp"
        talk = await browser.expect("talk")
        assert talk["status"] == "ESTABLISHED"
        names = [name for name, _ in browser.seen]
        assert names.index("setRemoteSDP") < names.index("talk")
        (sdp,) = [data[1] for name, data in browser.seen if name == "setRemoteSDP"]
        assert "a=ice-lite" in sdp
        assert "a=candidate" in sdp
        await browser.send("sendDtmf", {"callId": "call-1", "dtmf": 5, "type": "RFC2833"})
        await browser.send("hangup", {"callId": "call-1"})
        finish = await browser.expect("finish")
        assert (finish["status"], finish["reason"], finish["info"]) == ("FINISH", "normal", "Normal call clearing")
        await browser.send("hangup", {"callId": "call-1"})  # both hung up: no complaint
        await browser.send("ping")
        assert (await browser.receive())[0] == "pong"


async def test_the_socket_answers_at_ws_too_and_without_a_registration():
    async with gateway() as node, node.browser("/ws") as browser:
        await browser.login(node, sipRegisterRequired="false", sipProxy="", sipOutboundProxy=None)
        await browser.call("101")
        assert (await browser.expect("talk"))["callee"] == "101"
        assert "registered" not in [name for name, _ in browser.seen]


@pytest.mark.parametrize(
    ("callee", "status", "reason", "sip_status"),
    [("103", "BUSY", "busy", 486), ("105", "FAILED", "not_found", 404)],
)
async def test_a_failure_has_its_own_reason(callee, status, reason, sip_status):
    async with gateway() as node, node.browser() as browser:
        await browser.login(node, sipRegisterRequired=False)
        await browser.call(callee)
        finish = await browser.expect("finish")
        assert (finish["status"], finish["reason"], finish["sipStatus"]) == (status, reason, sip_status)


async def test_nobody_answers_within_the_ring_time():
    async with gateway(calls={"ring_timeout_s": 1}) as node, node.browser() as browser:
        await browser.login(node, sipRegisterRequired=False)
        await browser.call("104")
        await browser.expect("ring")
        assert (await browser.expect("finish"))["reason"] == "no_answer"


async def test_a_wrong_password_is_told_and_the_socket_stays():
    async with gateway() as node, node.browser() as browser:
        await browser.login(node, sipPassword="wrong")
        fail = await browser.expect("fail")
        assert fail["apiMethod"] == "RegistrationStatusEvent"
        assert fail["status"] == "FAILED"
        assert fail["sipStatus"] in {401, 403}
        assert fail["reason"] in {"authentication_failed", "forbidden"}
        await browser.send("ping")
        await browser.expect("pong")


async def test_a_sip_server_that_is_down_is_told():
    async with gateway() as node, node.browser() as browser:
        await browser.login(node, sipPort=9, sipTransport="tcp")
        fail = await browser.expect("fail")
        assert (fail["sipStatus"], fail["reason"]) == (503, "server_unreachable")


async def test_the_phone_calls_back_and_the_browser_answers():
    async with gateway() as node, node.browser() as browser:
        await browser.login(node)
        await browser.expect("registered")
        await browser.call("106")
        await browser.expect("finish")
        call = await browser.expect("notifyIncomingCall")
        names = [name for name, _ in browser.seen]
        assert names.index("setRemoteSDP", names.index("finish")) < names.index("notifyIncomingCall")
        assert call["incoming"] is True
        assert call["mediaProvider"] == "WebRTC"
        assert (await browser.expect("ring"))["status"] == "RING"
        offer = next(data[1] for name, data in reversed(browser.seen) if name == "setRemoteSDP")
        await browser.send(
            "answer", {"callId": call["callId"], "incoming": True, "hasVideo": True, "sdp": browser_answer(offer)}
        )
        assert (await browser.expect("talk"))["callId"] == call["callId"]
        await browser.send("hangup", {"callId": call["callId"]})
        assert (await browser.expect("finish"))["status"] == "FINISH"


async def test_a_browser_that_vanishes_leaves_nothing_behind():
    async with gateway() as node:
        async with node.browser() as browser:
            await browser.login(node)
            await browser.expect("registered")
            await browser.call("100")
            await browser.expect("talk")
            assert (await node.health())["endpoints"] >= 2
            browser.socket.transport.abort()
        await node.assert_empty()
        assert await node.metric('trunkline_calls_ended_total{reason="client_gone"}') == 1


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        ("{", "json"),
        ("[" * 20_000, "json"),
        ('"\\ud800"', "json"),
        ("[]", "shape"),
        ('{"data":[]}', "shape"),
        ('{"message":5,"data":[]}', "shape"),
        ('{"message":"call","data":{}}', "shape"),
        ('{"message":"call","data":[null]}', "shape"),
        ('{"message":"call","data":[{"callId":"c","callee":"1"}]}', "shape"),
        ('{"message":"hangup","data":[{"callId":7}]}', "shape"),
        ('{"message":"sendDtmf","data":[{"callId":"c","dtmf":"x"}]}', "shape"),
        ('{"message":"teleport","data":[{"callId":"c","target":"2"}]}', "unknown_message"),
    ],
)
async def test_a_frame_that_cannot_be_taken_is_answered_and_counted(frame, why):
    async with gateway() as node, node.browser() as browser:
        await browser.login(node, sipRegisterRequired=False)
        await browser.socket.send(frame)
        fail = await browser.expect("fail")
        assert fail["status"] == "FAILED"
        assert fail["info"]
        assert await node.metric(f'trunkline_web_malformed_total{{why="{why}"}}') == 1
        await browser.send("ping")
        await browser.expect("pong")


async def test_a_call_frame_without_an_offer_fails_that_call():
    async with gateway() as node, node.browser() as browser:
        await browser.login(node, sipRegisterRequired=False)
        await browser.send("call", {"callId": "c-7", "callee": "100"})
        fail = await browser.expect("fail")
        assert (fail["apiMethod"], fail["id"], fail["callId"]) == ("CallStatusEvent", "c-7", "c-7")
        assert "sdp" in fail["info"]


async def test_requests_that_fit_no_call_are_answered():
    async with gateway() as node, node.browser() as browser:
        await browser.send("call", {"callId": "early", "callee": "100", "sdp": browser_offer()})
        assert "connection" in (await browser.expect("fail"))["info"]
        await browser.login(node, sipRegisterRequired=False)
        await browser.send("answer", {"callId": "none", "sdp": "v=0"})
        assert (await browser.expect("fail"))["reason"] == "call_not_found"
        await browser.call("104")
        await browser.expect("ring")
        await browser.call("104")
        assert (await browser.expect("fail"))["reason"] == "call_exists"
        await browser.send("answer", {"callId": "call-1", "sdp": "v=0"})
        assert (await browser.expect("fail"))["reason"] == "invalid_call_state"
        await browser.send("candidate", {"callId": "call-1", "candidate": "candidate:1", "sdpMid": "0"})
        await browser.send("hangup", {"callId": "call-1"})
        assert (await browser.expect("finish"))["reason"] == "cancelled"


async def test_a_frame_above_the_limit_closes_the_socket_and_only_that():
    async with gateway() as node, node.browser() as other, node.browser() as browser:
        await browser.send("call", {"sdp": "x" * 70_000})
        assert await browser.until_closed() == 1009
        await other.send("ping")
        await other.expect("pong")


async def test_a_socket_that_sends_only_rubbish_is_closed():
    async with gateway() as node, node.browser() as browser:
        for _ in range(100):
            await browser.socket.send("rubbish")
        assert await browser.until_closed() == 1008


async def test_a_reader_that_stops_is_cut_off_before_its_frames_pile_up():
    async with gateway(http={"send_queue_frames": 16}) as node, node.browser(max_queue=1) as browser:
        await browser.login(node, sipRegisterRequired=False)
        browser.socket.transport.pause_reading()
        long_complaint = json.dumps({"message": "answer", "data": [{"callId": "y" * 128, "sdp": "v=0"}]})
        for _ in range(200):
            for _ in range(100):
                await browser.socket.send(long_complaint)
            if (await node.health())["sessions"] == 0:
                break
        await node.assert_empty()
        browser.socket.transport.abort()


async def test_a_silent_socket_is_closed_and_pings_keep_one_open():
    async with gateway(http={"idle_timeout_s": 2, "ping_interval_s": 1}) as node:  # noqa: SIM117
        async with node.browser() as silent, node.browser() as lively:
            for _ in range(3):
                await lively.expect("ping")
                await lively.send("pong")
            await silent.until_closed()
            await lively.send("ping")
            await lively.expect("pong")


async def test_origins_may_be_limited():
    async with gateway(http={"allowed_origins": ["https://mine.example"]}) as node:
        with pytest.raises(InvalidStatus) as refused:
            async with node.browser(origin="https://evil.example"):
                pass
        assert refused.value.response.status_code == 403
        async with node.browser(origin="https://mine.example") as browser:
            await browser.send("ping")
            await browser.expect("pong")


async def test_a_stop_hangs_up_and_closes_sockets_in_order():
    async with gateway() as node, node.browser() as browser:
        await browser.login(node)
        await browser.expect("registered")
        await browser.call("100")
        await browser.expect("talk")
        stopping = asyncio.create_task(node.app.stop())
        finish = await browser.expect("finish")
        assert finish["reason"] == "shutdown"
        assert await browser.until_closed() == 1001
        await stopping
        assert node.media.endpoints == 0


async def test_a_bug_ends_the_socket_that_it_is_in_and_leaves_its_traceback_in_the_log():
    def broken(*_: object) -> None:
        raise ZeroDivisionError("hush-hush")

    async with gateway() as node:
        opened, node.app.sessions.open = node.app.sessions.open, broken
        with logged() as log:
            async with node.browser() as browser:
                await browser.send("connection", node.account())
                await browser.until_closed()
        node.app.sessions.open = opened
        (line,) = [line for line in lines(log) if line["event"] == "socket_crashed"]
        assert "in broken" in line["exception"]
        async with node.browser() as browser:
            await browser.login(node)
