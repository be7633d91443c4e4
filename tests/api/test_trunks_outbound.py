"""Calls over trunks: which one carries a call, what it is told, and what happens when one fails."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from carriers import carriers, header
from node import Gateway, gateway

from fakes import phone_answer
from trunkline.calls.trunks.line import Outcome
from trunkline.errors import MediaError
from trunkline.ids import MediaCallId
from trunkline.sip.types import InviteConfirmed, InviteEnded, InviteFailed, ReferRequest
from trunkline.trunks.limits import Way

FIRST, SECOND = "127.0.0.2", "127.0.0.3"
NO_PROBES = {"health": {"interval_s": 0}}


def routing(*trunks: str, **more: Any) -> dict[str, Any]:
    return {"outbound": [{"prefix": "", "trunks": list(trunks)}], **more}


async def startup(node: Gateway, call_id: str = "c-1", callee: str = "+4930123", **fields: object) -> int:
    return (await node.post("startup", {"callId": call_id, "callee": callee, **fields})).status_code


async def trunk(node: Gateway, name: str) -> dict[str, Any]:
    answer = await node.http.get("/rest-api/trunk/find_all")
    found: dict[str, Any] = next(each for each in answer.json() if each["name"] == name)
    return found


async def until_ended(node: Gateway, call_id: str = "c-1") -> None:
    assert (await node.post("terminate", {"callId": call_id})).status_code == 200
    await node.assert_empty()


async def test_a_number_goes_to_the_trunk_of_its_longest_prefix():
    async with carriers(FIRST, SECOND) as (anywhere, germany):
        rules = [{"prefix": "", "trunks": ["any"]}, {"prefix": "+49", "trunks": ["de"]}]
        async with gateway(
            trunks={"any": anywhere.trunk(), "de": germany.trunk()}, routing={"outbound": rules}
        ) as node:
            assert await startup(node, "c-1", "+49 (30) 123-0") == 200
            assert (await germany.got()).callee == f"sip:+49301230@{SECOND}"
            assert (await node.until("c-1", "ESTABLISHED"))["trunkCallee"] == "de"
            assert await startup(node, "c-2", "+43 1 2") == 200
            await anywhere.got()
            await node.until("c-2", "ESTABLISHED")
            assert await node.metric('trunkline_trunk_calls_active{direction="outbound",trunk="de"}') == 1
            await node.post("terminate", {"callId": "c-2"})
            await until_ended(node)
            assert (await trunk(node, "de"))["attempts"]["outbound"] == {"answered": 1}


async def test_a_trunk_that_says_nothing_is_left_for_the_next_one():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((FIRST, 0))
        async with carriers(SECOND) as (alive,):
            dead = {"host": FIRST, "port": silent.getsockname()[1], "silence_s": 0.5, **NO_PROBES}
            trunks = {"dead": dead, "alive": alive.trunk()}
            async with gateway(trunks=trunks, routing=routing("dead", "alive")) as node:
                assert await startup(node) == 200
                await alive.got()
                found = await node.until("c-1", "ESTABLISHED")
                assert found["trunkCallee"] == "alive"
                assert (await trunk(node, "dead"))["attempts"]["outbound"] == {"failed_over": 1}
                assert node.media.log.count("create_endpoint") == 1, "the caller's and callee's media stay as they were"
                await until_ended(node)


async def test_a_trunk_without_anybody_behind_its_port_is_left_at_once():
    async with carriers(SECOND) as (alive,):
        trunks = {"dead": {"host": FIRST, "port": 9, **NO_PROBES}, "alive": alive.trunk()}
        async with gateway(trunks=trunks, routing=routing("dead", "alive")) as node:
            assert await startup(node) == 200
            await alive.got()
            await node.until("c-1", "ESTABLISHED")
            await until_ended(node)


async def test_a_trunk_that_answers_503_is_left_and_rests_if_it_asks_for_that():
    async with carriers(FIRST, SECOND) as (full, alive):
        full.refuse(503)  # the user agent's refusals carry Retry-After: 5
        trunks = {"full": full.trunk(), "alive": alive.trunk()}
        async with gateway(trunks=trunks, routing=routing("full", "alive")) as node:
            assert await startup(node) == 200
            await node.until("c-1", "ESTABLISHED")
            assert len(full.invites) == 1
            assert (await trunk(node, "full"))["state"] == "resting"
            assert (await node.health())["trunks_down"] == 1
            assert await startup(node, "c-2") == 200
            await node.until("c-2", "ESTABLISHED")
            assert len(full.invites) == 1, "it is left alone"
            assert await node.metric('trunkline_trunk_up{trunk="full"}') == 0
            await node.post("terminate", {"callId": "c-2"})
            await until_ended(node)


async def test_what_the_callee_says_is_not_asked_again_elsewhere():
    async with carriers(FIRST, SECOND) as (first, second):
        first.refuse(486)
        trunks = {"first": first.trunk(), "second": second.trunk()}
        async with gateway(trunks=trunks, routing=routing("first", "second"), calls={"find_retention_s": 60}) as node:
            assert await startup(node) == 200
            found = await node.until("c-1", "BUSY")
            assert found["sipStatus"] == 486
            assert second.invites == []


async def test_early_media_of_a_trunk_that_fails_gives_way_to_the_next_ones():
    async with carriers(FIRST, SECOND) as (first, second):

        def announce_and_fail(invite):
            first.shell.ring(invite.id, 183, phone_answer(invite.sdp))
            first.shell.hangup(invite.id, 503)

        first.on_invite = announce_and_fail
        trunks = {"first": first.trunk(), "second": second.trunk()}
        async with gateway(trunks=trunks, routing=routing("first", "second")) as node:
            assert await startup(node) == 200
            assert (await node.until("c-1", "ESTABLISHED"))["trunkCallee"] == "second"
            await until_ended(node)


async def test_a_trunk_with_all_lines_in_use_lets_the_next_one_carry_and_then_503():
    async with carriers(FIRST, SECOND) as (small, other):
        trunks = {"small": small.trunk(max_calls_out=1), "other": other.trunk(max_calls=1)}
        async with gateway(trunks=trunks, routing=routing("small", "other")) as node:
            assert await startup(node, "c-1") == 200
            await node.until("c-1", "ESTABLISHED")
            assert await startup(node, "c-2") == 200
            assert (await node.until("c-2", "ESTABLISHED"))["trunkCallee"] == "other"
            assert await startup(node, "c-3") == 503
            name = 'trunkline_trunk_attempts_total{direction="outbound",outcome="limited_calls",trunk="small"}'
            assert await node.metric(name) == 2
            await node.post("terminate", {"callId": "c-1"})
            await node.post("terminate", {"callId": "c-2"})
            await node.assert_empty()
            assert await startup(node, "c-4") == 200, "lines are given back"
            await node.until("c-4", "ESTABLISHED")
            await until_ended(node, "c-4")


async def test_more_attempts_a_second_than_a_trunk_takes_are_503_and_counted():
    async with carriers(FIRST) as (carrier,):
        trunks = {"slow": carrier.trunk(calls_per_s=0.01, calls_burst=2)}
        async with gateway(trunks=trunks, routing=routing("slow")) as node:
            assert [await startup(node, f"c-{number}") for number in range(3)] == [200, 200, 503]
            name = 'trunkline_trunk_attempts_total{direction="outbound",outcome="limited_rate",trunk="slow"}'
            assert await node.metric(name) == 1
            for number in range(2):
                await node.until(f"c-{number}", "ESTABLISHED")
                await node.post("terminate", {"callId": f"c-{number}"})
            await node.assert_empty()


async def test_numbers_identity_and_custom_headers_are_as_the_trunk_wants_them():
    async with carriers(FIRST) as (carrier,):
        settings = carrier.trunk(
            login="acct",
            headers_out=["X-Account"],
            numbers={
                "country_code": "49",
                "callee_format": "national",
                "caller_format": "e164_without_plus",
                "callee_out": [{"prefix": "0", "strip": 1, "add": "9"}],
            },
            identity={"header": "asserted", "from_user": "account", "is_trusted": True},
        )
        async with gateway(trunks={"t": settings}, routing=routing("t")) as node:
            headers = {"X-Account": "42", "X-Other": "no"}
            assert await startup(node, caller="+4940555", sipHeaders=headers, visibleName="Zoe") == 200
            invite = await carrier.got()
            assert invite.callee == f"sip:930123@{FIRST}"
            assert (invite.caller, invite.display_name) == (f"sip:acct@{FIRST}", "Zoe")
            assert header(invite, "P-Asserted-Identity") == f"<sip:4940555@{FIRST}>"
            assert (header(invite, "X-Account"), header(invite, "X-Other")) == ("42", None)
            await node.until("c-1", "ESTABLISHED")
            await until_ended(node)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nX-Injected: 1"},
        {"X-A\r\nX-Injected": "1"},
        {"Via": "SIP/2.0/UDP evil"},
        {"P-Asserted-Identity": "<sip:x@y>"},
        {"v": "short"},
    ],
)
async def test_headers_that_would_break_a_message_are_refused(headers: dict[str, str]):
    async with (
        carriers(FIRST) as (carrier,),
        gateway(trunks={"t": carrier.trunk(headers_out=["X-A"])}, routing=routing("t")) as node,
    ):
        assert await startup(node, sipHeaders=headers) == 400
        assert carrier.invites == []


async def test_a_trunk_that_wants_to_offer_is_left_the_offer():
    async with (
        carriers(FIRST) as (carrier,),
        gateway(trunks={"t": carrier.trunk(late_offer=True)}, routing=routing("t")) as node,
    ):
        assert await startup(node) == 200
        invite = await carrier.got()
        assert invite.sdp is None
        confirmed = await carrier.wait(InviteConfirmed, 20)
        assert "m=audio" in (confirmed.sdp or ""), "the ACK carries our answer"
        await node.until("c-1", "ESTABLISHED")
        _, endpoint = node.media.endpoint("rtp")
        assert endpoint.remote is not None
        await until_ended(node)
        await carrier.wait(InviteEnded, 20)


async def test_codecs_of_a_trunk_are_its_own():
    async with (
        carriers(FIRST) as (carrier,),
        gateway(
            trunks={"t": carrier.trunk(codecs=["PCMA"], media_security="plain", dtmf="info")}, routing=routing("t")
        ) as node,
    ):
        assert await startup(node) == 200
        sdp = (await carrier.got()).sdp or ""
        assert "m=audio" in sdp
        assert "RTP/AVP 8 13\r\n" in sdp, "PCMA, and its silence"
        assert "a=crypto" not in sdp
        await node.until("c-1", "ESTABLISHED")
        await until_ended(node)


async def test_calls_by_an_account_go_its_way_although_there_are_trunks():
    async with carriers(FIRST) as (carrier,), gateway(trunks={"t": carrier.trunk()}, routing=routing("t")) as node:
        assert (await node.startup("101")).status_code == 200
        await node.until("rest-1", "ESTABLISHED")
        assert carrier.invites == []
        await until_ended(node, "rest-1")


async def test_a_browser_without_an_account_calls_over_trunks_only_where_that_is_allowed():
    async with carriers(FIRST) as (carrier,):
        for is_allowed in (False, True):
            settings = routing("t", web_calls=is_allowed)
            async with gateway(trunks={"t": carrier.trunk()}, routing=settings) as node, node.browser() as browser:
                await browser.send("connection", {})
                await browser.expect("getUserData")
                await browser.call("+4930123")
                if not is_allowed:
                    assert (await browser.expect("finish"))["reason"] == "no_route"
                    assert carrier.invites == []
                else:
                    await browser.expect("talk")
                    await browser.send("hangup", {"callId": "call-1"})
                    await browser.expect("finish")


async def test_a_trunk_that_does_not_answer_options_goes_down_and_comes_up_again():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((FIRST, 0))
        port = silent.getsockname()[1]
        health = {"interval_s": 0.3, "timeout_s": 0.2, "down_after": 2, "up_after": 2}
        async with gateway(trunks={"t": {"host": FIRST, "port": port, "health": health}}, routing=routing("t")) as node:
            await _until_state(node, "down")
            assert await startup(node) == 503
            assert (await trunk(node, "t"))["failedProbes"] >= 2
            silent.close()
            async with carriers(FIRST, port=port):
                await _until_state(node, "up")


async def _until_state(node: Gateway, state: str) -> None:
    async with asyncio.timeout(20):
        while (await trunk(node, "t"))["state"] != state:  # noqa: ASYNC110 - asked by REST, as anybody would
            await asyncio.sleep(0.05)


async def test_a_trunk_is_registered_at_and_calls_come_to_what_was_registered():
    async with carriers(FIRST) as (carrier,):
        settings = carrier.trunk(registers=True, login="acct", password="secret")
        rules = {"inbound": [{"number": "+4930", "reject": 486}], **routing("t")}
        async with gateway(trunks={"t": settings}, routing=rules) as node:
            await _until_state(node, "unknown")
            (registered,) = carrier.registers
            assert dict(registered.headers)["To"] == f"<sip:acct@{FIRST}>"
            assert await startup(node) == 200
            await node.until("c-1", "ESTABLISHED")
            await until_ended(node)
        assert "Expires" in dict(carrier.registers[-1].headers)
        await carrier.until(lambda: dict(carrier.registers[-1].headers)["Expires"] == "0")


async def test_a_transfer_that_a_trunk_asks_for_goes_by_its_own_rules_and_limits():
    async with (
        carriers(FIRST) as (carrier,),
        gateway(
            trunks={"t": carrier.trunk(max_calls_out=2, numbers={"callee_out": [{"prefix": "+", "strip": 1}]})},
            routing=routing("t"),
        ) as node,
    ):
        assert await startup(node) == 200
        first = await carrier.got()
        assert first.callee == f"sip:4930123@{FIRST}"
        await node.until("c-1", "ESTABLISHED")
        carrier.shell.refer(first.id, ReferRequest(target_uri="sip:+1555@elsewhere.example"))
        onward = await carrier.got(2)
        assert onward.callee == f"sip:1555@{FIRST}", "to the trunk, and nowhere else"
        line = next(iter(node.app.fleet))
        await carrier.until(lambda: line.counts[Way.OUTBOUND, Outcome.ANSWERED] == 2)
        for call in (await node.http.get("/rest-api/call/find_all")).json():
            await node.post("terminate", {"callId": call["callId"]})
        await node.assert_empty()
        await carrier.until(lambda: line.capacity.active[Way.OUTBOUND] == 0)


async def test_a_call_that_is_given_up_while_it_rings_is_counted_as_that():
    async with carriers(FIRST) as (carrier,), gateway(trunks={"t": carrier.trunk()}, routing=routing("t")) as node:
        carrier.ring()
        assert await startup(node) == 200
        await node.until("c-1", "RING")
        await until_ended(node)
        assert (await trunk(node, "t"))["attempts"]["outbound"] == {"abandoned": 1}


async def test_a_node_that_has_lost_its_media_refuses_calls_both_ways_and_holds_no_line():
    def lost() -> MediaCallId:
        raise MediaError("no_worker")

    settings = routing("t", inbound=[{"trunks": ["t"]}], web_calls=True)
    async with (
        carriers(FIRST) as (carrier,),
        gateway(trunks={"t": carrier.trunk()}, routing=settings) as node,
        node.browser() as browser,
    ):
        await browser.send("connection", {})
        await browser.expect("getUserData")
        node.media.new_call = lost  # type: ignore[method-assign]
        assert await startup(node) == 500
        carrier.call_gateway(node, "+4930123")
        assert (await carrier.wait(InviteFailed, 20)).status == 500
        await browser.call("+4930123")
        await browser.expect("fail")
        line = next(iter(node.app.fleet))
        assert not any(line.capacity.active.values())
