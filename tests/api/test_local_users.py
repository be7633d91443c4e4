"""Users of the node's own, whatever their pages speak: SIP over WebSocket and the Web SDK call each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from carriers import carriers
from node import Browser, Gateway, gateway
from test_trunks_inbound import DID, FIRST, inbound
from test_trunks_pages import DOMAIN, PASSWORD, WAIT_S, outbound, page, pages

from fakes import browser_answer
from trunkline.sip.registrar import UNHEARD
from trunkline.sip.types import IncomingInvite, InviteAnswered, InviteEnded, InviteFailed, InviteProgress

REALM = "trunkline"
USERS = [{"login": login, "password": PASSWORD, "display_name": login.title()} for login in ("alice", "bob", "4930777")]


@asynccontextmanager
async def browser_of(
    node: Gateway, login: str, password: str = PASSWORD, domain: str = REALM, **more: Any
) -> AsyncIterator[Browser]:
    """A browser by the Web SDK, signed in as a user of the node's own."""
    async with node.browser() as browser:
        account = {"sipLogin": login, "sipPassword": password, "sipDomain": domain, "sipRegisterRequired": True}
        await browser.send("connection", {**account, **more})
        await browser.expect("getUserData")
        yield browser


def settings(**more: Any) -> dict[str, Any]:
    return {"sip": pages(users=USERS), **more}


async def rings(browser: Browser) -> tuple[str, str]:
    """Wait for a call; returns its id and the offer."""
    call_id, offer = await browser.expect_all("setRemoteSDP")
    call = await browser.expect("notifyIncomingCall")
    assert (call["callId"], call["incoming"]) == (call_id, True)
    return call_id, offer


async def test_a_page_by_sip_calls_a_browser_of_the_sdk() -> None:
    async with gateway(**settings()) as node, page(node) as alice, browser_of(node, "bob") as bob:
        await bob.expect("registered")
        call = alice.call("bob")
        call_id, offer = await rings(bob)
        assert (await alice.wait(InviteProgress, WAIT_S)).status == 180
        await bob.send("answer", {"callId": call_id, "sdp": browser_answer(offer)})
        answered = await alice.wait(InviteAnswered, WAIT_S)
        assert "ice-ufrag" in (answered.sdp or "")
        assert (await bob.expect("talk"))["caller"] == "alice"
        alice.shell.hangup(call)
        assert (await bob.expect("finish"))["reason"] == "normal"


async def test_a_browser_of_the_sdk_calls_a_page_by_sip() -> None:
    async with gateway(**settings()) as node, page(node) as alice, browser_of(node, "bob") as bob:
        await bob.expect("registered")
        await bob.call("alice", visibleName="Bobby")
        await bob.expect("ring")
        (invite,) = alice.invites
        assert (invite.caller, invite.display_name) == (f"sip:bob@{DOMAIN}", "Bobby")
        alice.answer(invite)
        call_id, description = await bob.expect_all("setRemoteSDP")
        assert (call_id, "ice-ufrag" in description) == ("call-1", True)
        call = await bob.expect("talk")
        assert (call["incoming"], call["callee"]) == (False, "alice")
        await bob.send("hangup", {"callId": "call-1"})
        await alice.wait(InviteEnded, WAIT_S)
        await bob.expect("finish")


async def test_browsers_of_the_sdk_call_each_other_and_hold() -> None:
    async with gateway(**settings()) as node, browser_of(node, "alice") as alice, browser_of(node, "bob") as bob:
        await alice.expect("registered")
        await bob.expect("registered")
        await alice.call("bob")
        call_id, offer = await rings(bob)
        assert call_id == "call-1"
        await bob.send("answer", {"callId": call_id, "sdp": browser_answer(offer)})
        await alice.expect("setRemoteSDP")
        there, here = await bob.expect("talk"), await alice.expect("talk")
        assert (there["incoming"], here["incoming"]) == (True, False)
        assert there["sessionId"] != here["sessionId"]
        assert len({frozenset(pair) for pair in node.media.bridges.items()}) == 1
        await bob.send("hold", {"callId": call_id})
        assert (await alice.expect("hold"))["status"] == "HOLD"
        await bob.send("unhold", {"callId": call_id})
        await alice.expect("talk")
        await bob.send("hangup", {"callId": call_id})
        await alice.expect("finish")


async def test_all_places_of_the_callee_ring() -> None:
    async with (
        gateway(**settings()) as node,
        page(node) as alice,
        page(node, "bob") as there,
        browser_of(node, "bob") as bob,
    ):
        await bob.expect("registered")
        alice.call("bob")
        call_id, offer = await rings(bob)
        await there.wait(IncomingInvite, WAIT_S)
        await bob.send("answer", {"callId": call_id, "sdp": browser_answer(offer)})
        await alice.wait(InviteAnswered, WAIT_S)
        await there.wait(InviteEnded, WAIT_S)
        await bob.send("hangup", {"callId": call_id})
        await alice.wait(InviteEnded, WAIT_S)


async def test_who_has_not_the_password_is_nobody_here() -> None:
    async with (
        carriers(FIRST) as (carrier,),
        gateway(trunks={"t": carrier.trunk()}, routing={**inbound(user="bob"), **outbound("t")}, **settings()) as node,
        page(node) as alice,
        browser_of(node, "bob", "guessed") as thief,
    ):
        failed = await thief.expect("fail")
        assert (failed["apiMethod"], failed["sipStatus"]) == ("RegistrationStatusEvent", 403)
        carrier.call_gateway(node, DID)
        assert (await carrier.wait(InviteFailed, WAIT_S)).status == 480
        alice.call("bob")
        assert (await alice.wait(InviteFailed, WAIT_S)).status == 480
        for callee in ("alice", "0040123"):
            await thief.call(callee, f"to-{callee}")
            assert (await thief.expect("finish"))["reason"] == "no_route"
        assert (alice.invites, carrier.invites) == ([], [])


async def test_guesses_of_a_browser_run_out() -> None:
    async with gateway(**settings()) as node:
        phrases = []
        for _ in range(11):
            async with browser_of(node, "bob", "guessed") as thief:
                phrases.append((await thief.expect("fail"))["info"])
        assert phrases == ["SIP 403 Wrong user name or password"] * 10 + [f"SIP 403 {UNHEARD}"]
        assert await node.metric('trunkline_wrong_passwords_total{by="browser",outcome="wrong"}') == 10
        async with browser_of(node, "bob") as bob:
            assert (await bob.expect("fail"))["sipStatus"] == 403, "the right one is not looked at either"


@pytest.mark.parametrize("login", ["carol", "carol@127.0.0.1"])
@pytest.mark.parametrize(("domains", "status"), [((), 480), (("127.0.0.1",), 480), (("*",), 180)])
async def test_a_browser_is_nobody_by_its_own_word_alone(login: str, domains: tuple[str, ...], status: int) -> None:
    """It has named a login and a server, and registered nowhere."""
    routing = {**inbound(user=login), "web_domains": domains}
    async with (
        carriers(FIRST) as (carrier,),
        gateway(trunks={"t": carrier.trunk()}, routing=routing, **settings()) as node,
        browser_of(node, "carol", "x", "127.0.0.1", sipRegisterRequired=False),
    ):
        carrier.call_gateway(node, DID)
        kind = InviteProgress if status == 180 else InviteFailed
        assert (await carrier.wait(kind, WAIT_S)).status == status


@pytest.mark.parametrize("is_believed", [True, False])
async def test_a_browser_is_whom_its_server_says_where_that_is_believed(is_believed: bool) -> None:
    async with carriers(FIRST) as (carrier,):
        routing = {**inbound(user="demo"), "web_domains": ["127.0.0.1" if is_believed else "pbx.example"]}
        async with gateway(trunks={"t": carrier.trunk()}, routing=routing) as node, node.browser() as browser:
            await browser.login(node)
            await browser.expect("registered")
            carrier.call_gateway(node, DID)
            if not is_believed:
                assert (await carrier.wait(InviteFailed, WAIT_S)).status == 480
                return
            assert (await browser.expect("notifyIncomingCall"))["callee"] == DID


async def test_a_server_is_not_believed_about_users_of_a_domain_that_is_not_its_own() -> None:
    async with carriers(FIRST) as (carrier,):
        routing = {**inbound(user="demo@pbx.example"), "web_domains": ["pbx.example"]}
        async with gateway(trunks={"t": carrier.trunk()}, routing=routing) as node, node.browser() as browser:
            await browser.login(node, sipDomain="pbx.example", sipOutboundProxy=node.account()["sipDomain"])
            await browser.expect("registered")
            carrier.call_gateway(node, DID)
            assert (await carrier.wait(InviteFailed, WAIT_S)).status == 480


async def test_a_browser_calls_beyond_the_node_as_its_user_may() -> None:
    async with (
        carriers(FIRST) as (carrier,),
        gateway(trunks={"t": carrier.trunk()}, routing=outbound("t"), **settings()) as node,
        browser_of(node, "4930777") as browser,
    ):
        await browser.expect("registered")
        await browser.call("0040123")
        await browser.expect("talk")
        assert carrier.invites[0].caller.startswith("sip:4930777@")
        await browser.call("bob", "second")
        assert (await browser.expect("finish"))["reason"] == "unavailable", "a user of ours is nowhere else"
        await browser.send("hangup", {"callId": "call-1"})
        await carrier.wait(InviteEnded, WAIT_S)


async def test_a_login_at_another_server_is_another_user() -> None:
    async with gateway(**settings()) as node, page(node) as alice, browser_of(node, "bob", "x", "127.0.0.1") as other:
        alice.call("bob")
        assert (await alice.wait(InviteFailed, WAIT_S)).status == 480
        assert other.seen[-1][0] != "notifyIncomingCall"
