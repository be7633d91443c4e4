"""Texts between users of the node, whatever their pages speak, and between them and trunks: the whole gateway."""

from __future__ import annotations

from typing import Any

import pytest
from carriers import Carrier, carriers
from node import Browser, Gateway, gateway
from test_local_users import browser_of, settings
from test_trunks_inbound import FIRST, SECOND, inbound
from test_trunks_pages import DOMAIN, WAIT_S, Page, outbound, page

from trunkline.sip.types import (
    Account,
    Event,
    InviteAnswered,
    InviteEnded,
    InviteId,
    MessageAnswered,
    MessageReceived,
    MessageRequest,
)


def takes_texts(party: Page | Carrier, status: int = 200) -> None:
    """Have somebody answer every text from now on."""
    otherwise = party.on_event

    def take(event: Event) -> None:
        if isinstance(event, MessageReceived):
            party.shell.respond(event.request, status)
        otherwise(event)

    party.on_event = take


def write(sender: Page, recipient: str, body: str = "hello", **more: Any) -> None:
    sender.shell.send_message(MessageRequest(text=body, target_uri=recipient, account=sender.account, **more))


async def outcome(sender: Page | Carrier) -> int:
    """Wait for what became of the last text; the next one starts afresh."""
    event = await sender.wait(MessageAnswered, WAIT_S)
    sender.events.remove(event)
    return event.status


async def read(browser: Browser) -> tuple[str, str, str]:
    """Wait for a text; returns who sent it, its body and its state."""
    told = await browser.expect("notifyMessage")
    return told["from"], told["body"], told["status"]


async def test_a_page_by_sip_and_a_browser_of_the_sdk_send_each_other_texts() -> None:
    async with gateway(**settings()) as node, page(node) as alice, browser_of(node, "bob") as bob:
        await bob.expect("registered")
        takes_texts(alice)
        write(alice, "bob", "Grüße", display_name="Alice")
        told = await bob.expect("notifyMessage")
        assert (told["from"], told["to"], told["body"]) == ("alice", "bob", "Grüße")
        assert (told["visibleName"], told["status"], "callId" in told) == ("Alice", "RECEIVED", False)
        assert await outcome(alice) == 200
        await bob.send("sendMessage", {"id": "m1", "to": "alice", "body": "and back", "visibleName": "Bobby"})
        received = await alice.wait(MessageReceived, WAIT_S)
        assert (received.text, received.sender) == ("and back", f"sip:bob@{DOMAIN}"), "who can be answered"
        assert received.display_name == "Bobby"
        answered = await bob.expect("notifyMessage")
        assert (answered["id"], answered["status"], answered["sipStatus"]) == ("m1", "ACCEPTED", 200)


async def test_all_places_of_a_user_show_a_text_and_a_refusal_is_told() -> None:
    async with (
        gateway(**settings()) as node,
        page(node) as alice,
        page(node, "bob") as bob,
        browser_of(node, "bob") as browser,
        browser_of(node, "alice") as other,
    ):
        for each in (browser, other):
            await each.expect("registered")
        takes_texts(bob, 415)
        write(alice, "bob")
        assert await read(browser) == ("alice", "hello", "RECEIVED")
        assert (await bob.wait(MessageReceived, WAIT_S)).text == "hello"
        assert await outcome(alice) == 200, "one of two places has taken it"
        takes_texts(alice, 486)
        await browser.send("sendMessage", {"id": "m1", "to": "alice", "body": "hi"})
        assert await read(other) == ("bob", "hi", "RECEIVED")
        assert (await browser.expect("notifyMessage"))["status"] == "ACCEPTED"


async def test_who_is_not_here_or_has_not_the_password_gets_no_text_through() -> None:
    async with (
        gateway(**settings()) as node,
        page(node) as alice,
        browser_of(node, "bob", password="wrong") as mallory,
    ):
        await mallory.expect("fail")
        write(alice, "bob")
        assert await outcome(alice) == 480
        await mallory.send("sendMessage", {"id": "m1", "to": "alice", "body": "hi"})
        failed = await mallory.expect("fail")
        assert (failed["apiMethod"], failed["reason"]) == ("sendMessage", "no_route")
        thief = Account(**{**_fields(alice.account), "password": "wrong"})
        alice.shell.send_message(MessageRequest(text="x", target_uri="bob", account=thief))
        assert await outcome(alice) == 480, "the flow itself is Alice's: she has registered on it"
        write(alice, "4930777")
        assert await outcome(alice) == 480
        assert await node.metric('trunkline_messages_total{outcome="nobody"}') == 3


def _fields(account: Account) -> dict[str, Any]:
    return {name: getattr(account, name) for name in account.__slots__}


async def test_a_text_for_a_number_goes_by_trunk_and_the_next_one_where_the_first_takes_none() -> None:
    async with carriers(FIRST, SECOND) as (first, second):
        takes_texts(first, 405)
        takes_texts(second, 202)
        trunks = {"a": first.trunk(), "b": second.trunk()}
        sections = settings(trunks=trunks, routing=outbound("a", "b"))
        async with (
            gateway(**sections) as node,
            page(node, "4930777") as here,
            browser_of(node, "bob") as bob,
        ):
            await bob.expect("registered")
            write(here, "0040-123")
            received = await second.wait(MessageReceived, WAIT_S)
            assert (received.sender, received.target) == (f"sip:4930777@{SECOND}", f"sip:0040123@{SECOND}")
            assert await outcome(here) == 202
            assert (await first.wait(MessageReceived, WAIT_S)).text == "hello"
            await bob.send("sendMessage", {"id": "m1", "to": "0040 124", "body": "hi"})
            assert (await bob.expect("notifyMessage"))["status"] == "ACCEPTED"
            write(here, "0790")
            assert await outcome(here) == 404, "no rule carries such numbers"
            assert all(line.is_usable and not any(line.capacity.active.values()) for line in node.app.fleet)


@pytest.mark.parametrize("numbered", ["030123", "0309"])
async def test_a_text_from_a_trunk_is_shown_to_the_user_who_has_the_number(numbered: str) -> None:
    async with carriers(FIRST) as (carrier,):
        trunk = carrier.trunk(numbers={"country_code": "49"})
        sections = settings(trunks={"t": trunk}, routing=inbound(user="alice"))
        async with gateway(**sections) as node, page(node) as alice:
            takes_texts(alice)
            _text_to(carrier, node, numbered)
            status = await outcome(carrier)
            if numbered != "030123":
                assert status == 404
                return
            assert status == 200
            received = await alice.wait(MessageReceived, WAIT_S)
            assert (received.text, received.sender) == ("your code is 7", f"sip:+40123@{DOMAIN}")
            assert received.display_name == "Bank"
            await alice.shell.stop(0.2)
            _text_to(carrier, node, numbered)
            assert await outcome(carrier) in (480, 503), "there is nobody to read it"


def _text_to(carrier: Carrier, node: Gateway, number: str) -> None:
    port = node.app.sip.listening[0].port
    carrier.shell.send_message(
        MessageRequest(
            text="your code is 7",
            target_uri=f"sip:{number}@127.0.0.1:{port}",
            from_uri=f"sip:0040123@{carrier.host}",
            display_name="Bank",
        )
    )


async def test_rest_sends_a_text_within_a_call_and_is_told_why_it_was_not_taken() -> None:
    async with carriers(FIRST) as (carrier,):
        takes_texts(carrier)
        sections = settings(trunks={"t": carrier.trunk()}, routing=outbound("t"))
        async with gateway(**sections) as node, page(node, "bob") as bob:
            invite = bob.call("0040123")
            await bob.wait(InviteAnswered, WAIT_S)
            (call,) = (await node.post("find_all", {})).json()
            body = {"callId": call["callId"], "to": "0040123", "body": "hello"}
            answer = await _message(node, body)
            assert (answer.status_code, answer.json()) == (200, {})
            received = await carrier.wait(MessageReceived, WAIT_S)
            assert (received.text, received.invite is not None) == ("hello", True)
            takes_texts(carrier, 415)
            answer = await _message(node, body)
            assert (answer.status_code, answer.json()["sipStatus"]) == (502, 415)
            answer = await _message(node, {**body, "callId": "none"})
            assert (answer.status_code, answer.json()["code"]) == (404, "call_not_found")
            await _hang_up(bob, invite)


async def _message(node: Gateway, body: dict[str, str]) -> Any:
    return await node.http.post("/rest-api/message/send", json=body)


async def _hang_up(caller: Page, invite: InviteId) -> None:
    caller.shell.hangup(invite)
    await caller.wait(InviteEnded, WAIT_S)
