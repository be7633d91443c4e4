"""Trunks and pages that speak SIP over WebSocket, together: calls in to a page, and out from one without an account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from carriers import Carrier, carriers, header
from node import Gateway, gateway
from test_trunks_inbound import DID, FIRST, SECOND, STRANGER, application, inbound, says, user

from fakes import browser_answer, browser_offer, phone_offer
from sip.phones import Phone
from trunkline.sip.types import (
    Account,
    Identity,
    IncomingInvite,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteFailed,
    InviteId,
    InviteRequest,
    Path,
    ReferProgress,
    ReferRequest,
    Registered,
    Transport,
)

WAIT_S = 20.0
PASSWORD = "page-secret"
USERS = [{"login": "alice", "password": PASSWORD, "display_name": "Alice"}, {"login": "4930777", "password": PASSWORD}]
DOMAIN = "127.0.0.1"


def pages(**more: Any) -> dict[str, Any]:
    """Settings of SIP with users of the gateway's own."""
    return {"host": DOMAIN, "port": 0, "ws_port": 0, "registrar": {"users": USERS, **more}}


class Page(Phone):
    """A page of a user's, which rings for each call."""

    def __init__(self, login: str, node: Gateway) -> None:
        super().__init__(Transport.WS)
        listening = node.app.sip.listening
        port = next(each.port for each in listening if each.transport is Transport.WS)
        self.account = Account(login=login, password=PASSWORD, domain=DOMAIN, port=port, transport=Transport.WS)
        self.invites: list[IncomingInvite] = []
        self.on_event = self._take
        self.heard: list[bytes] = []
        """What has come in, byte by byte."""
        self.take, self.ua.handle_datagram = self.ua.handle_datagram, self._hear  # type: ignore[method-assign]

    def _hear(self, now: float, data: bytes, path: Path) -> None:
        self.heard.append(data)
        self.take(now, data, path)

    def _take(self, event: object) -> None:
        if isinstance(event, IncomingInvite):
            self.invites.append(event)
            self.shell.ring(event.id)

    def answer(self, invite: IncomingInvite) -> None:
        self.shell.answer(invite.id, browser_answer(invite.sdp or ""))

    def call(self, callee: str, **more: Any) -> InviteId:
        return self.shell.invite(InviteRequest(target_uri=callee, sdp=browser_offer(), account=self.account, **more))


@asynccontextmanager
async def page(node: Gateway, login: str = "alice") -> AsyncIterator[Page]:
    """A page that has registered."""
    made = Page(login, node)
    await made.shell.start()
    try:
        made.shell.register(made.account, 300)
        await made.wait(Registered, WAIT_S)
        yield made
    finally:
        await made.shell.stop(0.2)


async def rung(carrier: Carrier, here: Page) -> IncomingInvite:
    await carrier.until(lambda: here.invites)
    return here.invites[-1]


def told(here: Page) -> set[int]:
    """What a page has heard of its transfers."""
    return {event.status for event in here.events if isinstance(event, ReferProgress)}


# --- in ---


@pytest.mark.parametrize("name", ["alice", f"alice@{DOMAIN}"])
async def test_a_number_rings_the_page_of_a_user_who_learns_caller_and_number_and_answers(name: str):
    async with carriers(FIRST) as (carrier,):
        settings = carrier.trunk(headers_in=["X-Order"], numbers={"country_code": "49"})
        async with (
            gateway(trunks={"t": settings}, routing=inbound(user=name), sip=pages()) as node,
            page(node) as here,
        ):
            extra = (("X-Order", "7"), ("X-Secret", "no"))
            carrier.call_gateway(
                node, "030123", from_uri=f"sip:0040123@{FIRST}", display_name="Bob", extra_headers=extra
            )
            invite = await rung(carrier, here)
            assert (invite.caller, invite.display_name) == (f"sip:+40123@{DOMAIN}", "Bob")
            assert header(invite, "P-Called-Party-ID") == f"<sip:{DID}@{DOMAIN}>"
            assert (header(invite, "X-Order"), header(invite, "X-Secret")) == ("7", None)
            assert "ice-ufrag" in (invite.sdp or ""), "a page speaks WebRTC"
            here.answer(invite)
            answered = await carrier.wait(InviteAnswered, WAIT_S)
            assert "RTP/AVP" in (answered.sdp or "")
            (call,) = (await node.http.get("/rest-api/call/find_all")).json()
            assert (call["trunkCaller"], call["callee"], call["caller"]) == ("t", DID, "+40123")
            here.shell.hangup(invite.id)
            await carrier.wait(InviteEnded, WAIT_S)
            await node.assert_empty()
            line = next(iter(node.app.fleet))
            assert sum(line.capacity.active.values()) == 0, "the line is given back"


async def test_a_caller_that_wants_privacy_is_hidden_from_a_page():
    async with (
        carriers(FIRST) as (carrier,),
        gateway(trunks={"t": carrier.trunk()}, routing=inbound(user="alice"), sip=pages()) as node,
        page(node) as here,
    ):
        carrier.call_gateway(node, DID, display_name="Zoe", identity=Identity(privacy=("id",)))
        invite = await rung(carrier, here)
        assert invite.caller == "sip:anonymous@anonymous.invalid"
        assert "Zoe" not in invite.display_name
        here.shell.hangup(invite.id, 486)
        assert (await carrier.wait(InviteFailed, WAIT_S)).status == 486


def cancels(here: Page) -> list[str]:
    """The Reason of each CANCEL that a page has got."""
    lines = [data.decode().split("\r\n") for data in here.heard if data.startswith(b"CANCEL ")]
    return [line.partition(": ")[2] for each in lines for line in each if line.startswith("Reason: ")]


ELSEWHERE = ['SIP;cause=200;text="Call completed elsewhere"']


async def test_all_pages_and_browsers_of_a_user_ring_and_the_page_that_answers_has_the_call():
    async with (
        carriers(FIRST) as (carrier,),
        gateway(trunks={"t": carrier.trunk()}, routing=inbound(user="alice"), sip=pages()) as node,
        page(node) as here,
        page(node) as there,
        user(node, password=PASSWORD, domain="trunkline") as browser,
    ):
        invite = carrier.call_gateway(node, DID)
        call = await browser.expect("notifyIncomingCall")
        await rung(carrier, here)
        there.answer(await rung(carrier, there))
        await carrier.wait(InviteAnswered, WAIT_S)
        assert (await browser.expect("finish"))["reason"] == "answered_elsewhere"
        await here.wait(InviteEnded, WAIT_S)
        assert (cancels(here), cancels(there)) == (ELSEWHERE, [])
        (found,) = (await node.http.get("/rest-api/call/find_all")).json()
        assert (found["callId"], found["status"]) == (call["callId"], "ESTABLISHED")
        carrier.shell.hangup(invite)
        await there.wait(InviteEnded, WAIT_S)
        await node.assert_empty(sessions=1)
        assert all(sum(line.capacity.active.values()) == 0 for line in node.app.fleet), "the line is given back, once"


async def test_a_browser_that_answers_takes_the_call_from_the_pages():
    async with (
        carriers(FIRST) as (carrier,),
        gateway(trunks={"t": carrier.trunk()}, routing=inbound(user="alice"), sip=pages()) as node,
        page(node) as here,
        user(node, password=PASSWORD, domain="trunkline") as browser,
        user(node, password=PASSWORD, domain="trunkline") as other,
    ):
        carrier.call_gateway(node, DID)
        _, offer = await browser.expect_all("setRemoteSDP")
        call = await browser.expect("notifyIncomingCall")
        await other.expect("notifyIncomingCall")
        await rung(carrier, here)
        await browser.send("answer", {"callId": call["callId"], "sdp": browser_answer(offer)})
        talking = await browser.expect("talk")
        await carrier.wait(InviteAnswered, WAIT_S)
        assert (await other.expect("finish"))["reason"] == "answered_elsewhere"
        await here.wait(InviteEnded, WAIT_S)
        assert cancels(here) == ELSEWHERE
        assert talking["sessionId"]
        await other.send("hangup", {"callId": call["callId"]})  # it has no say any more
        assert (await node.http.get("/rest-api/call/find_all")).json()[0]["status"] == "ESTABLISHED"
        await browser.send("hangup", {"callId": call["callId"]})
        await carrier.wait(InviteEnded, WAIT_S)


async def test_where_nobody_takes_the_call_the_caller_learns_that_the_user_is_busy():
    async with (
        carriers(FIRST) as (carrier,),
        gateway(trunks={"t": carrier.trunk()}, routing=inbound(user="alice"), sip=pages()) as node,
        page(node) as here,
        page(node) as there,
    ):
        carrier.call_gateway(node, DID)
        here.shell.hangup((await rung(carrier, here)).id, 486)
        there.shell.hangup((await rung(carrier, there)).id, 480)
        assert (await carrier.wait(InviteFailed, WAIT_S)).status == 486


async def test_an_application_sends_a_call_to_a_page_and_the_page_that_has_gone_leaves_it_to_the_fallback():
    async with (
        carriers(FIRST, SECOND) as (carrier, night),
        application(lambda question: says(user="alice")) as (url, _),
    ):
        trunks = {"t": carrier.trunk(), "night": night.trunk()}
        routing = inbound(webhook={"url": url, "timeout_s": 20}, fallback={"trunks": ["night"]})
        async with gateway(trunks=trunks, routing=routing, sip=pages()) as node:
            async with page(node) as here:
                invite = carrier.call_gateway(node, DID)
                await rung(carrier, here)
                carrier.shell.hangup(invite)
                await here.wait(InviteEnded, WAIT_S)
                await node.assert_empty()
            invite = carrier.call_gateway(node, DID)
            await night.got()
            await carrier.wait(InviteAnswered, WAIT_S)
            carrier.shell.hangup(invite)
            await night.wait(InviteEnded, WAIT_S)


# --- out ---


def outbound(*names: str) -> dict[str, Any]:
    return {"outbound": [{"prefix": "00", "trunks": list(names)}]}


async def test_a_page_without_an_account_calls_by_the_outbound_rules_and_the_next_trunk_takes_over():
    async with carriers(FIRST, SECOND) as (first, second):
        first.refuse(503)
        trunks = {"a": first.trunk(), "b": second.trunk(headers_out=["X-Order"], identity={"caller": "4930100"})}
        async with gateway(trunks=trunks, routing=outbound("a", "b"), sip=pages()) as node, page(node) as here:
            call = here.call("0040-123", extra_headers=(("X-Order", "7"), ("X-Secret", "no")))
            invite = await second.got()
            assert (invite.callee, invite.caller) == (f"sip:0040123@{SECOND}", f"sip:4930100@{SECOND}")
            assert invite.display_name == "Alice"
            assert (header(invite, "X-Order"), header(invite, "X-Secret")) == ("7", None)
            answered = await here.wait(InviteAnswered, WAIT_S)
            assert "ice-ufrag" in (answered.sdp or "")
            (found,) = (await node.http.get("/rest-api/call/find_all")).json()
            assert found["trunkCallee"] == "b"
            here.shell.hangup(call)
            await second.wait(InviteEnded, WAIT_S)
            await node.assert_empty()
            assert all(sum(line.capacity.active.values()) == 0 for line in node.app.fleet)


async def test_a_login_that_is_a_number_is_the_callers():
    async with carriers(FIRST) as (carrier,):
        trunks = {"t": carrier.trunk(identity={"caller": "4930100"})}
        async with gateway(trunks=trunks, routing=outbound("t"), sip=pages()) as node, page(node, "4930777") as here:
            call = here.call("00401")
            assert (await carrier.got()).caller == f"sip:4930777@{FIRST}"
            await here.wait(InviteAnswered, WAIT_S)
            here.shell.hangup(call)
            await carrier.wait(InviteEnded, WAIT_S)


@pytest.mark.parametrize(
    ("callee", "status"),
    [("17", 404), ("4930777", 480), ("sip:00401@elsewhere.example", 404), ("00401", 503)],
    ids=["no rule", "a user that is not here", "another domain", "no room"],
)
async def test_what_no_trunk_carries_is_refused_with_its_reason(callee: str, status: int):
    async with carriers(FIRST, STRANGER) as (carrier, _):
        trunks = {"t": carrier.trunk(max_calls_out=1)}
        routing = {"outbound": [{"prefix": "00", "trunks": ["t"]}, {"prefix": "49", "trunks": ["t"]}]}
        async with gateway(trunks=trunks, routing=routing, sip=pages()) as node, page(node) as here:
            first = here.call("00402")
            await here.wait(InviteAnswered, WAIT_S)
            here.call(callee)
            assert (await here.wait(InviteFailed, WAIT_S)).status == status
            assert len(carrier.invites) == 1
            here.shell.hangup(first)
            await carrier.wait(InviteEnded, WAIT_S)


async def test_a_full_node_gives_the_line_of_the_trunk_back():
    async with carriers(FIRST) as (carrier,):
        sections = {"trunks": {"t": carrier.trunk()}, "routing": outbound("t"), "calls": {"max_calls": 1}}
        async with gateway(**sections, sip=pages()) as node, page(node) as here:
            first = here.call("00402")
            await here.wait(InviteAnswered, WAIT_S)
            here.call("00401")
            assert (await here.wait(InviteFailed, WAIT_S)).status == 503
            (line,) = node.app.fleet
            assert sum(line.capacity.active.values()) == 1
            here.shell.hangup(first)
            await carrier.wait(InviteEnded, WAIT_S)


async def test_a_page_without_an_account_transfers_its_caller_over_the_trunks():
    async with carriers(FIRST, SECOND) as (caller, other):
        routing = {**inbound(user="alice"), "outbound": [{"prefix": "", "trunks": ["out"]}]}
        trunks = {"in": caller.trunk(), "out": other.trunk()}
        async with gateway(trunks=trunks, routing=routing, sip=pages()) as node, page(node) as here:
            leg = caller.call_gateway(node, DID, phone_offer("PCMU"))
            invite = await rung(caller, here)
            here.answer(invite)
            await here.wait(InviteConfirmed, WAIT_S)
            here.shell.refer(invite.id, ReferRequest(target_uri=f"sip:4930777@{DOMAIN}"))
            await caller.until(lambda: told(here) >= {404})
            assert not other.invites, "one of ours is nobody that a trunk leads to"
            here.shell.refer(invite.id, ReferRequest(target_uri=f"sip:00401@{DOMAIN}"))
            assert (await other.got()).callee == f"sip:00401@{SECOND}"
            await here.wait(InviteEnded, WAIT_S)
            caller.shell.hangup(leg)
            await other.wait(InviteEnded, WAIT_S)
            await node.assert_empty()


# --- calls that take the place of another ---


def dialog_of(here: Page) -> str:
    """Name the dialog of a page that has called, as the gateway's far side of it would."""
    answer = next(data.decode() for data in here.heard if data.startswith(b"SIP/2.0 200") and b"INVITE" in data)
    fields = dict(line.split(": ", 1) for line in answer.partition("\r\n\r\n")[0].split("\r\n")[1:])
    theirs, ours = (fields[name].partition(";tag=")[2] for name in ("From", "To"))
    return f"{fields['Call-ID']};to-tag={ours};from-tag={theirs}"


async def test_nobody_takes_a_call_over_who_may_not_call_here():
    async with (
        carriers(FIRST, STRANGER) as (carrier, stranger),
        gateway(trunks={"t": carrier.trunk()}, routing=outbound("t"), sip=pages()) as node,
        page(node) as here,
    ):
        here.call("0040123")
        await here.wait(InviteAnswered, WAIT_S)
        dialog = dialog_of(here)
        stranger.call_gateway(node, "x", replaces=dialog)
        assert (await stranger.wait(InviteFailed, WAIT_S)).status == 403
        for login, password, status in (("eve", PASSWORD, 403), ("alice", "guessed", 407)):
            thief = Page(login, node)
            thief.account = replace(thief.account, password=password)
            await thief.shell.start()
            try:
                thief.call("x", replaces=dialog)
                assert (await thief.wait(InviteFailed, WAIT_S)).status == status
            finally:
                await thief.shell.stop(0.2)
        (found,) = (await node.http.get("/rest-api/call/find_all")).json()
        assert found["status"] == "ESTABLISHED"
        assert not any(isinstance(event, InviteEnded) for event in here.events)
        async with page(node) as there:
            there.call("x", replaces=dialog)
            await there.wait(InviteAnswered, WAIT_S)
            await here.wait(InviteEnded, WAIT_S)
            carrier.shell.hangup(carrier.invites[-1].id)
            await there.wait(InviteEnded, WAIT_S)
