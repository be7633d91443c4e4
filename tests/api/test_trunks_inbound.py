"""Calls that come in: who may, where they go by number, and what they bring along."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from carriers import Carrier, carriers, header
from harness.audio import assert_tone, judge, tone
from node import Browser, Gateway, gateway

from fakes import phone_offer
from listening import RATE_HZ
from listening import Phone as RtpPhone
from trunkline.media.engine import MediaEngine
from trunkline.sip.headers import NameAddr
from trunkline.sip.types import (
    Account,
    Identity,
    InviteAnswered,
    InviteEnded,
    InviteFailed,
    InviteProgress,
    InviteRequest,
)

FIRST, SECOND, STRANGER = "127.0.0.2", "127.0.0.3", "127.0.0.66"
DID = "+4930123"


def inbound(**rule: Any) -> dict[str, Any]:
    """Settings of one rule; browsers are who they say they are."""
    return {"inbound": [{"number": DID, **rule}], "web_domains": ["*"]}


async def refused(carrier: Carrier) -> InviteFailed:
    return await carrier.wait(InviteFailed, 20)


@asynccontextmanager
async def user(
    node: Gateway, login: str = "alice", password: str = "", domain: str = "home.example"
) -> AsyncIterator[Browser]:
    """A browser of this login, which registers nowhere."""
    async with node.browser() as browser:
        await browser.send("connection", {"sipLogin": login, "sipDomain": domain, "sipPassword": password})
        await browser.expect("getUserData")
        yield browser


# --- where it goes ---


async def test_a_number_rings_a_web_user_who_is_told_of_the_caller_and_allowed_headers():
    async with carriers(FIRST) as (carrier,):
        settings = carrier.trunk(headers_in=["X-Order"], numbers={"country_code": "49"})
        async with gateway(trunks={"t": settings}, routing=inbound(user="alice")) as node, user(node) as browser:
            carrier.call_gateway(
                node,
                "030123",
                from_uri=f"sip:0040123@{FIRST}",
                display_name="Bob",
                extra_headers=(("X-Order", "7"), ("X-Secret", "no")),
            )
            call = await browser.expect("notifyIncomingCall")
            assert (call["caller"], call["callee"], call["visibleName"]) == ("+40123", DID, "Bob")
            assert call["inviteParameters"] == {"X-Order": "7"}
            assert call["trunkCaller"] == "t"
            assert (await carrier.wait(InviteProgress, 20)).status == 180
            await browser.send("hangup", {"callId": call["callId"]})
            assert (await refused(carrier)).status == 603
            await browser.expect("finish")


async def test_a_pattern_names_the_user_and_the_first_rule_that_fits_is_taken():
    async with carriers(FIRST) as (carrier,):
        rules = [
            {"number": "5", "peers": ["other"], "reject": 486},
            {"pattern": "5([0-9]+)", "user": r"desk\1"},
            {"prefix": "", "reject": 410},
        ]
        trunks = {"t": carrier.trunk(), "other": {"host": SECOND}}
        routing = {"inbound": rules, "web_domains": ["*"]}
        async with gateway(trunks=trunks, routing=routing) as node, user(node, "desk17") as browser:
            invite = carrier.call_gateway(node, "517")
            await browser.expect("notifyIncomingCall")
            carrier.shell.hangup(invite)
            await browser.expect("finish")
            carrier.call_gateway(node, "6")
            assert (await refused(carrier)).status == 410


async def test_a_number_that_nobody_has_and_a_user_that_is_not_here_are_refused():
    async with (
        carriers(FIRST) as (carrier,),
        gateway(trunks={"t": carrier.trunk()}, routing=inbound(user="alice")) as node,
    ):
        carrier.call_gateway(node, "404")
        assert (await refused(carrier)).status == 404
        carrier.events.clear()
        carrier.call_gateway(node, DID)
        assert (await refused(carrier)).status == 480
        name = 'trunkline_trunk_attempts_total{direction="inbound",outcome="refused",trunk="t"}'
        assert await node.metric(name) == 2


async def test_a_call_goes_on_over_another_trunk_one_hop_further_with_its_signed_identity():
    async with carriers(FIRST, SECOND) as (caller, callee):
        trunks = {"in": caller.trunk(identity={"is_trusted": True}), "out": callee.trunk()}
        async with gateway(trunks=trunks, routing=inbound(trunks=["out"])) as node:
            token = "eyJhbGciOi.eyJkZXN0.sig;info=<https://cert.example/a.pem>;alg=ES256"
            port = node.app.sip.listening[0].port
            invite = caller.shell.invite(
                InviteRequest(
                    target_uri=f"sip:{DID}@127.0.0.1:{port}",
                    sdp=phone_offer("PCMU"),
                    from_uri=f"sip:+4940111@{FIRST}",
                    extra_headers=(("Identity", token), ("Date", "Mon, 23 Nov 2026 12:00:00 GMT")),
                    max_forwards=30,
                    max_breadth=12,
                )
            )
            onward = await callee.got()
            assert (onward.callee, onward.caller) == (f"sip:{DID}@{SECOND}", f"sip:+4940111@{SECOND}")
            assert (onward.max_forwards, onward.max_breadth) == (29, 12)
            assert header(onward, "Identity") == token
            assert header(onward, "Date") == "Mon, 23 Nov 2026 12:00:00 GMT"
            await caller.wait(InviteAnswered, 20)
            (call,) = (await node.http.get("/rest-api/call/find_all")).json()
            assert (call["trunkCaller"], call["trunkCallee"]) == ("in", "out")
            caller.shell.hangup(invite)
            await callee.wait(InviteEnded, 20)
            await node.assert_empty()


async def test_a_call_without_hops_left_ends_here():
    async with carriers(FIRST, SECOND) as (caller, callee):
        trunks = {"in": caller.trunk(), "out": callee.trunk()}
        async with gateway(trunks=trunks, routing=inbound(trunks=["out"])) as node:
            caller.call_gateway(node, DID, max_forwards=1)
            assert (await refused(caller)).status == 483
            assert callee.invites == []


async def test_a_caller_that_wants_privacy_stays_hidden_from_whom_we_do_not_trust():
    async with carriers(FIRST, SECOND) as (caller, callee):
        trunks = {
            "in": caller.trunk(identity={"is_trusted": True}),
            "out": callee.trunk(identity={"header": "asserted"}),
        }
        async with gateway(trunks=trunks, routing=inbound(trunks=["out"])) as node:
            invite = caller.call_gateway(
                node, DID, display_name="Zoe", identity=Identity(asserted="sip:+4940111@x.example", privacy=("id",))
            )
            onward = await callee.got()
            assert onward.caller == "sip:anonymous@anonymous.invalid"
            assert header(onward, "Privacy") == "id"
            everything = " ".join(value for _, value in onward.headers)
            assert "4940111" not in everything
            assert "Zoe" not in everything
            caller.shell.hangup(invite)
            await node.assert_empty()


async def test_a_trunk_above_its_limit_is_answered_503_with_retry_after_and_counted():
    async with carriers(FIRST) as (carrier,):
        settings = carrier.trunk(max_calls_in=1)
        async with gateway(trunks={"t": settings}, routing=inbound(user="alice")) as node, user(node) as browser:
            first = carrier.call_gateway(node, DID)
            await browser.expect("notifyIncomingCall")
            carrier.call_gateway(node, DID)
            limited = await refused(carrier)
            assert (limited.status, limited.retry_after_s) == (503, 5)
            name = 'trunkline_trunk_attempts_total{direction="inbound",outcome="limited_calls",trunk="t"}'
            assert await node.metric(name) == 1
            carrier.shell.hangup(first)
            await browser.expect("finish")
            await node.assert_empty(sessions=1)
            carrier.events.clear()
            again = carrier.call_gateway(node, DID)
            await browser.expect("notifyIncomingCall")
            carrier.shell.hangup(again)
            await browser.expect("finish")


# --- webhooks ---


@asynccontextmanager
async def application(answer: Callable[[dict[str, Any]], bytes | None]) -> AsyncIterator[tuple[str, list[Any]]]:
    """An HTTP server. answer: makes the whole response of a question; None never answers."""
    asked: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        fields = {name.lower(): value for name, value in fields.items()}
        body = await reader.readexactly(int(fields["content-length"]))
        asked.append((fields, body))
        response = answer(json.loads(body))
        if response is not None:
            writer.write(response)
            await writer.drain()
        else:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/route", asked


def says(**destination: Any) -> bytes:
    body = json.dumps(destination).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def test_an_application_is_asked_where_a_call_goes_and_its_question_is_signed():
    async with carriers(FIRST) as (carrier,), application(lambda question: says(user="alice")) as (url, asked):
        routing = inbound(webhook={"url": url, "secret": "s3cret", "timeout_s": 20})
        async with gateway(trunks={"t": carrier.trunk()}, routing=routing) as node, user(node) as browser:
            invite = carrier.call_gateway(node, DID, display_name="Bob")
            await browser.expect("notifyIncomingCall")
            ((fields, body),) = asked
            question = json.loads(body)
            assert (question["peer"], question["callee"], question["caller"]) == ("t", DID, "+4940111")
            stamp, seal = fields["trunkline-signature"].split(",")
            expected = hmac.new(b"s3cret", stamp.removeprefix("t=").encode() + b"." + body, hashlib.sha256)
            assert seal == f"v1={expected.hexdigest()}"
            carrier.shell.hangup(invite)
            await browser.expect("finish")


async def test_an_application_sends_a_call_to_a_trunk_or_refuses_it():
    def answer(question: dict[str, Any]) -> bytes:
        return says(trunk="out", callee="+1555") if question["callee"] == DID else says(reject=486)

    async with carriers(FIRST, SECOND) as (caller, callee), application(answer) as (url, _):
        trunks = {"in": caller.trunk(), "out": callee.trunk()}
        rules = {"inbound": [{"webhook": {"url": url, "timeout_s": 20}}]}
        async with gateway(trunks=trunks, routing=rules) as node:
            invite = caller.call_gateway(node, DID)
            assert (await callee.got()).callee == f"sip:+1555@{SECOND}"
            await caller.wait(InviteAnswered, 20)
            caller.shell.hangup(invite)
            await node.assert_empty()
            caller.call_gateway(node, "other")
            assert (await refused(caller)).status == 486


@pytest.mark.parametrize(
    "response",
    [
        None,
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        says(user="a", reject=486),
        says(trunk="unheard-of"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000,
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
    ids=["late", "500", "two answers", "no such trunk", "too long", "redirect", "not http"],
)
async def test_the_fallback_takes_calls_whose_application_gives_no_destination(response: bytes | None):
    async with carriers(FIRST) as (carrier,), application(lambda question: response) as (url, _):
        rule = {"webhook": {"url": url, "timeout_s": 0.3 if response is None else 20}, "fallback": {"user": "alice"}}
        async with gateway(trunks={"t": carrier.trunk()}, routing=inbound(**rule)) as node, user(node) as browser:
            invite = carrier.call_gateway(node, DID)
            await browser.expect("notifyIncomingCall")
            carrier.shell.hangup(invite)
            await browser.expect("finish")


async def test_a_caller_that_hangs_up_while_the_application_thinks_rings_nobody():
    async with carriers(FIRST) as (carrier,), application(lambda question: None) as (url, asked):
        rule = {"webhook": {"url": url, "timeout_s": 25}, "fallback": {"user": "alice"}}
        async with gateway(trunks={"t": carrier.trunk()}, routing=inbound(**rule)) as node, user(node) as browser:
            invite = carrier.call_gateway(node, DID)
            await carrier.until(lambda: asked)
            carrier.shell.hangup(invite)
            await node.assert_empty(sessions=1)
            line = next(iter(node.app.fleet))
            await carrier.until(lambda: sum(line.capacity.active.values()) == 0)
            assert not any(name == "notifyIncomingCall" for name, _ in browser.seen)


async def test_headers_of_calls_by_an_account_pass_by_the_allow_lists_of_sip():
    lists = {"headers_out": ["X-Out"], "headers_in": ["X-In"]}
    async with (
        carriers(FIRST) as (server,),
        gateway(sip={"host": "127.0.0.1", "port": 0, **lists}) as node,
        node.browser() as browser,
    ):
        fields = {"sipLogin": "alice", "sipDomain": FIRST, "sipPort": server.sip_port, "sipRegisterRequired": True}
        await browser.send("connection", fields)
        await browser.expect("registered")
        await browser.call("100", sipHeaders={"X-Out": "1", "X-Other": "2"})
        invite = await server.got()
        assert (header(invite, "X-Out"), header(invite, "X-Other")) == ("1", None)
        await browser.expect("talk")
        await browser.send("hangup", {"callId": "call-1"})
        await browser.expect("finish")
        contact = NameAddr.parse(dict(server.registers[0].headers)["Contact"])
        extra = (("X-In", "3"), ("X-Other", "4"))
        back = server.shell.invite(
            InviteRequest(target_uri=str(contact.uri), sdp=phone_offer(), caller="bob", extra_headers=extra)
        )
        assert (await browser.expect("notifyIncomingCall"))["inviteParameters"] == {"X-In": "3"}
        server.shell.hangup(back)
        await browser.expect("finish")


# --- who may ---


async def test_strangers_are_answered_403_and_counted():
    async with (
        carriers(FIRST, STRANGER) as (carrier, stranger),
        gateway(trunks={"t": carrier.trunk()}, routing=inbound(user="alice")) as node,
    ):
        stranger.call_gateway(node, DID)
        assert (await refused(stranger)).status == 403
        assert await node.metric('trunkline_sip_events_total{kind="strangers_refused"}') >= 1
        assert node.media.log == ["start"]


async def test_strangers_get_no_answer_at_all_where_that_is_the_policy_and_trunks_still_do():
    async with carriers(FIRST, STRANGER) as (carrier, stranger):
        routing = {"strangers": "drop", **inbound(reject=486)}
        async with gateway(trunks={"t": carrier.trunk()}, routing=routing) as node:
            stranger.call_gateway(node, DID)
            carrier.call_gateway(node, DID)
            assert (await refused(carrier)).status == 486
            await stranger.until(lambda: node.app.sip.counters["strangers_dropped"] >= 2)
            assert stranger.events == [], "not even 100, however often it repeats"


def account(node: Gateway, password: str, login: str = "pbx") -> Account:
    return Account(login=login, password=password, domain="127.0.0.1", port=node.app.sip.listening[0].port)


HA1 = hashlib.md5(b"pbx:trunkline:right", usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("secret", [{"password": "right"}, {"ha1": HA1}], ids=["password", "ha1"])
async def test_a_user_with_the_password_may_call_from_anywhere_and_others_are_challenged(secret: dict[str, str]):
    async with carriers(STRANGER) as (pbx,):
        routing = {"users": {"pbx": secret}, **inbound(peers=["pbx"], user="alice")}
        async with gateway(routing=routing) as node, user(node) as browser:
            for login, password in (("pbx", "wrong"), ("nobody", "right")):
                pbx.events.clear()
                pbx.shell.invite(
                    InviteRequest(target_uri=DID, sdp=phone_offer(), account=account(node, password, login))
                )
                assert (await refused(pbx)).status == 401
            invite = pbx.shell.invite(InviteRequest(target_uri=DID, sdp=phone_offer(), account=account(node, "right")))
            call = await browser.expect("notifyIncomingCall")
            assert call["caller"] == "pbx"
            assert await node.metric('trunkline_sip_events_total{kind="strangers_wrong_password"}') == 2
            pbx.shell.hangup(invite)
            await browser.expect("finish")
            await node.assert_empty(sessions=1)


async def test_guessing_passwords_ends_after_a_few():
    async with carriers(STRANGER) as (guesser,):
        routing = {"users": {"pbx": {"password": "right"}}, **inbound(user="alice")}
        async with gateway(routing=routing) as node:
            statuses = []
            for number in range(12):
                guesser.events.clear()
                guesser.shell.invite(
                    InviteRequest(target_uri=DID, sdp=phone_offer(), account=account(node, f"guess-{number}"))
                )
                statuses.append((await refused(guesser)).status)
            assert statuses[0] == 401
            assert statuses[-1] == 403, "the right password would not be looked at any more"


async def test_an_invite_of_a_trunk_is_known_by_its_address_alone():
    async with carriers(FIRST) as (carrier,):
        trunks = {"t": {"host": "carrier.example", "sources": ["127.0.0.2/32"], "health": {"interval_s": 0}}}
        async with gateway(trunks=trunks, routing=inbound(reject=486)) as node:
            carrier.call_gateway(node, DID)
            assert (await refused(carrier)).status == 486


async def test_a_call_to_the_contact_of_a_registering_trunk_is_the_trunks():
    async with carriers(FIRST, STRANGER) as (carrier, elsewhere):
        settings = carrier.trunk(registers=True, login="acct", sources=["192.0.2.1/32"])
        routing = {"inbound": [{"peers": ["t"], "reject": 486}]}
        async with gateway(trunks={"t": settings}, routing=routing) as node:
            await carrier.until(lambda: carrier.registers)
            contact = NameAddr.parse(dict(carrier.registers[0].headers)["Contact"])
            asked = InviteRequest(target_uri=str(contact.uri), sdp=phone_offer(), from_uri=f"sip:x@{STRANGER}")
            elsewhere.shell.invite(asked)
            assert (await refused(elsewhere)).status == 486
            elsewhere.events.clear()
            elsewhere.call_gateway(node, "acct")
            assert (await refused(elsewhere)).status == 403, "its address alone is nobody's"


async def test_both_sides_of_a_call_between_trunks_hear_each_other():
    async with carriers(FIRST, SECOND) as (caller, callee):
        trunks = {"in": caller.trunk(), "out": callee.trunk()}
        media = {"rtp_host": "127.0.0.1", "workers": 1, "port_quarantine_s": 0.1}
        async with gateway(MediaEngine(), trunks=trunks, media=media, routing=inbound(trunks=["out"])) as node:
            near, far = await RtpPhone.at("127.0.0.1"), await RtpPhone.at("127.0.0.1")
            callee.on_invite = lambda invite: callee.shell.answer(invite.id, sdp_of(far))
            invite = caller.call_gateway(node, DID, sdp_of(near))
            answered = await caller.wait(InviteAnswered, 20)
            offered = (await callee.got()).sdp or ""
            await asyncio.gather(
                near.talk(rtp_of(answered.sdp or ""), tone(600.0, 2.0, RATE_HZ)),
                far.talk(rtp_of(offered), tone(1000.0, 2.0, RATE_HZ)),
            )
            await caller.until(lambda: min(len(near.received), len(far.received)) >= 50)
            assert_tone(judge(near.heard(), RATE_HZ, skip_s=0.4), frequency_hz=1000.0, level_dbfs=-12.0)
            assert_tone(judge(far.heard(), RATE_HZ, skip_s=0.4), frequency_hz=600.0, level_dbfs=-12.0)
            caller.shell.hangup(invite)
            await callee.wait(InviteEnded, 20)
            await node.assert_empty()
            near.transport.close()
            far.transport.close()


def sdp_of(phone: RtpPhone) -> str:
    host, port = phone.remote.rtp
    return (
        f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )


def rtp_of(sdp: str) -> tuple[str, int]:
    """Where a description wants its audio."""
    found = re.search(r"m=audio (\d+)", sdp)
    assert found, sdp
    return "127.0.0.1", int(found[1])
