"""Line breaks in the fields of REST and WebSocket never begin a SIP header."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from node import gateway

from fakes import browser_offer
from sip.phones import Phone, Start, phones
from trunkline.sip.types import IncomingInvite, IncomingRequest, MessageReceived, Transport

UDP = Transport.UDP
EVIL = ("x\r\nX-Injected: yes", "x\nX-Injected: yes", "x\rX-Injected: yes", "x\0y")
ACCOUNT_FIELDS = ("sipLogin", "sipAuthenticationName", "sipDomain", "sipOutboundProxy")


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with phones() as starting:
        yield starting


@pytest.fixture
async def server(start: Start) -> Phone:
    return await start(UDP, accept=frozenset({"REGISTER"}))


def account(server: Phone) -> dict[str, Any]:
    port = server.port(UDP)
    return {"sipLogin": "alice", "sipPassword": "x", "sipDomain": "127.0.0.1", "sipPort": port}


def assert_untouched(server: Phone) -> None:
    """Fail if the SIP server has heard anything."""
    assert not [e for e in server.events if isinstance(e, IncomingInvite | IncomingRequest | MessageReceived)]


@pytest.mark.parametrize("evil", EVIL)
async def test_rest_refuses_line_breaks_in_every_field_that_goes_into_sip(server: Phone, evil: str):
    paths: Mapping[str, tuple[dict[str, Any], tuple[str, ...]]] = {
        "call/startup": ({"callId": "c1", "callee": "101"}, ("callId", "callee", "visibleName", *ACCOUNT_FIELDS)),
        "message/send": ({"to": "bob", "body": "x"}, ("to", "contentType", "visibleName", *ACCOUNT_FIELDS)),
        "call/transfer": ({"callId": "c1", "target": "102"}, ("callId", "target", "targetCallId")),
        "call/send_dtmf": ({"callId": "c1", "dtmf": "1"}, ("callId", "dtmf", "type")),
    }
    async with gateway() as node:
        for path, (body, fields) in paths.items():
            for field in fields:
                sent = {**body, **(account(server) if "/s" in path else {}), field: evil}
                answer = await node.http.post(f"/rest-api/{path}", json=sent)
                assert answer.status_code == 400, (path, field, answer.text)
                assert "X-Injected" not in answer.text
        assert_untouched(server)


@pytest.mark.parametrize("evil", EVIL)
async def test_websocket_refuses_line_breaks_in_every_field_that_goes_into_sip(server: Phone, evil: str):
    async with gateway() as node:
        for field in ACCOUNT_FIELDS:
            async with node.browser() as browser:
                await browser.send("connection", {**account(server), "sipRegisterRequired": True, field: evil})
                assert (await browser.expect("fail"))["reason"] == "bad_frame"
        async with node.browser() as browser:
            await browser.send("connection", account(server))
            await browser.expect("getUserData")
            call = {"callId": "c1", "callee": "101", "sdp": browser_offer()}
            for message, field, body in (
                ("call", "callee", call),
                ("call", "visibleName", call),
                ("sendMessage", "to", {"id": "m1", "to": "bob", "body": "x"}),
                ("sendMessage", "contentType", {"id": "m1", "to": "bob", "body": "x"}),
                ("transfer", "target", {"callId": "c1", "target": "102"}),
                ("sendDtmf", "dtmf", {"callId": "c1", "dtmf": "1"}),
            ):
                await browser.send(message, {**body, field: evil})
                assert (await browser.expect("fail"))["reason"] == "bad_frame", (message, field)
        assert_untouched(server)


async def test_the_body_of_a_text_may_have_line_breaks(server: Phone):
    server.on_event = lambda event: (
        server.shell.respond(event.request, 200) if isinstance(event, MessageReceived) else None
    )
    text = "one\r\nX-Injected: yes"
    async with gateway() as node:
        body = {"to": "bob", "body": text, **account(server)}
        assert (await node.http.post("/rest-api/message/send", json=body)).status_code == 200
        assert (await server.wait(MessageReceived)).text == text
