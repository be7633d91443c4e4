"""Texts by REST and WebSocket, against a SIP server of the test's own."""

from collections.abc import AsyncIterator

import pytest
from node import Gateway, gateway

from sip.phones import Phone, Start, phones
from trunkline.sip.headers import NameAddr
from trunkline.sip.types import IncomingRequest, MessageAnswered, MessageReceived, MessageRequest, Transport

UDP = Transport.UDP


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with phones() as starting:
        yield starting


class Server:
    """A registrar that knows everybody, and takes texts as it is told."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self.status = 200
        self.contact = ""
        phone.on_event = self._on_event

    def _on_event(self, event: object) -> None:
        if isinstance(event, IncomingRequest):
            contact = NameAddr.parse(dict(event.headers)["Contact"])
            self.contact = str(contact.uri)
            self.phone.shell.respond(event.id, 200, headers=(("Contact", f"{contact};expires=60"),))
        elif isinstance(event, MessageReceived):
            self.phone.shell.respond(event.request, self.status)

    def account(self) -> dict[str, object]:
        return {"sipLogin": "alice", "sipPassword": "x", "sipDomain": "127.0.0.1", "sipPort": self.phone.port(UDP)}


@pytest.fixture
async def server(start: Start) -> Server:
    return Server(await start(UDP, accept=frozenset({"REGISTER"})))


async def send(node: Gateway, server: Server, **fields: object) -> tuple[int, dict[str, object]]:
    body = {"to": "bob", "body": "hello", **server.account(), **fields}
    answer = await node.http.post("/rest-api/message/send", json=body)
    return answer.status_code, answer.json()


async def test_rest_sends_a_text_and_returns_when_it_is_taken(server: Server):
    async with gateway() as node:
        assert await send(node, server, body="Grüße\r\n2nd line", visibleName="Alice") == (200, {})
        received = await server.phone.wait(MessageReceived)
        assert (received.text, received.display_name) == ("Grüße\r\n2nd line", "Alice")
        assert (received.sender, received.recipient) == ("sip:alice@127.0.0.1", "sip:bob@127.0.0.1")
        assert await node.metric('trunkline_messages_total{outcome="sent"}') == 1


async def test_rest_is_told_why_a_text_was_not_taken(server: Server):
    async with gateway() as node:
        server.status = 404
        status, problem = await send(node, server)
        assert (status, problem["sipStatus"], problem["code"]) == (502, 404, "leg_rejected")
        assert (await send(node, server, to="\r\n"))[0] == 400
        assert (await send(node, server, body=""))[0] == 400
        assert (await send(node, server, contentType="image/png"))[0] == 400
        assert (await send(node, server, sipLogin=""))[0] == 400


async def test_a_browser_sends_a_text_and_learns_what_became_of_it(server: Server):
    async with gateway() as node, node.browser() as browser:
        await browser.send("connection", {**server.account(), "sipRegisterRequired": True})
        await browser.expect("registered")
        for status, outcome in ((202, "ACCEPTED"), (486, "FAILED")):
            server.status = status
            await browser.send("sendMessage", {"id": f"m{status}", "to": "bob", "body": "hello"})
            told = await browser.expect("notifyMessage")
            assert (told["id"], told["status"], told["sipStatus"]) == (f"m{status}", outcome, status)


async def test_a_browser_without_an_account_is_told_so():
    async with gateway() as node, node.browser() as browser:
        await browser.send("connection", {})
        await browser.expect("getUserData")
        await browser.send("sendMessage", {"id": "m1", "to": "bob", "body": "hello"})
        failed = await browser.expect("fail")
        assert (failed["apiMethod"], failed["id"], failed["reason"]) == ("sendMessage", "m1", "no_route")


async def test_a_text_for_a_browser_is_shown_to_it_and_one_for_nobody_is_refused(server: Server):
    async with gateway() as node, node.browser() as browser:
        await browser.send("connection", {**server.account(), "sipRegisterRequired": True})
        await browser.expect("registered")
        server.phone.shell.send_message(
            MessageRequest(text="<b>hi</b>", content_type="text/html", target_uri=server.contact, caller="bob")
        )
        told = await browser.expect("notifyMessage")
        assert (told["body"], told["contentType"], told["status"]) == ("<b>hi</b>", "text/html", "RECEIVED")
        assert told["from"] == "bob"
        assert (await server.phone.wait(MessageAnswered)).status == 200
        server.phone.events.clear()
        host = server.contact.partition("@")[2]
        server.phone.shell.send_message(MessageRequest(text="hi", target_uri=f"sip:nobody@{host}"))
        assert (await server.phone.wait(MessageAnswered)).status in (403, 404)
