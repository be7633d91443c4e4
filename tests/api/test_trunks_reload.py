"""Settings that are read again while the node runs: trunks come, change and go, and no call is lost."""

from __future__ import annotations

from typing import Any

from carriers import Carrier, carriers
from node import Gateway, gateway, settings

from trunkline.calls.trunks.line import TrunkState
from trunkline.config import Config
from trunkline.errors import ConfigError
from trunkline.sip.types import Account, InviteFailed

FIRST, SECOND = "127.0.0.2", "127.0.0.3"


class Settings:
    """The file that a node reads: put other sections into it, and have them read again."""

    def __init__(self, **sections: dict[str, Any]) -> None:
        self.sections = sections

    def __call__(self) -> Config:
        return settings(**self.sections)


async def reload(node: Gateway) -> dict[str, Any]:
    answer = await node.http.post("/rest-api/trunk/reload")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def startup(node: Gateway, call_id: str, callee: str = "+4930123") -> int:
    return (await node.post("startup", {"callId": call_id, "callee": callee})).status_code


def routing(*trunks: str, **more: Any) -> dict[str, Any]:
    return {"outbound": [{"prefix": "", "trunks": list(trunks)}], **more}


async def trunks_of(node: Gateway) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in (await node.http.get("/rest-api/trunk/find_all")).json()}


async def test_a_trunk_takes_the_place_of_another_and_the_call_over_the_old_one_goes_on():
    async with carriers(FIRST, SECOND) as (old, new):
        file = Settings(trunks={"old": old.trunk()}, routing=routing("old"))
        async with gateway(None, file, **file.sections) as node:
            assert await startup(node, "c-1") == 200
            await node.until("c-1", "ESTABLISHED")
            file.sections = {"trunks": {"new": new.trunk()}, "routing": routing("new")}
            assert await reload(node) == {"added": ["new"], "changed": [], "removed": ["old"], "pending": []}
            assert await startup(node, "c-2") == 200
            await new.got()
            await node.until("c-2", "ESTABLISHED")
            assert len(old.invites) == 1
            assert list(await trunks_of(node)) == ["new"]
            assert (await node.post("terminate", {"callId": "c-1"})).status_code == 200, "it went on all the time"
            assert (await node.post("terminate", {"callId": "c-2"})).status_code == 200
            await node.assert_empty()


async def test_the_calls_that_a_trunk_has_count_against_its_new_limit():
    async with carriers(FIRST) as (carrier,):
        file = Settings(trunks={"t": carrier.trunk()}, routing=routing("t"))
        async with gateway(None, file, **file.sections) as node:
            assert await startup(node, "c-1") == 200
            await node.until("c-1", "ESTABLISHED")
            file.sections["trunks"] = {"t": carrier.trunk(max_calls=1)}
            assert (await reload(node))["changed"] == ["t"]
            assert await startup(node, "c-2") == 503
            assert (await trunks_of(node))["t"]["activeOutbound"] == 1
            assert (await node.post("terminate", {"callId": "c-1"})).status_code == 200
            await node.assert_empty()
            assert await startup(node, "c-3") == 200
            await node.until("c-3", "ESTABLISHED")
            assert (await node.post("terminate", {"callId": "c-3"})).status_code == 200


async def test_settings_that_cannot_be_used_change_nothing_and_say_why():
    async with carriers(FIRST) as (carrier,):
        file = Settings(trunks={"t": carrier.trunk()}, routing=routing("t"))
        async with gateway(None, file, **file.sections) as node:
            file.sections["trunks"] = {"t": carrier.trunk(headers_out=["Via"])}
            answer = await node.http.post("/rest-api/trunk/reload")
            assert (answer.status_code, answer.json()["code"]) == (500, ConfigError.code)
            assert "trunks.t.headers_out: not a custom header: via" in answer.json()["detail"]
            assert await startup(node, "c-1") == 200
            await node.until("c-1", "ESTABLISHED")
            assert (await node.post("terminate", {"callId": "c-1"})).status_code == 200


async def test_what_needs_a_restart_is_named():
    file = Settings()
    async with gateway(None, file) as node:
        file.sections = {"calls": {"max_calls": 7}, "node": {"name": "other"}}
        assert await reload(node) == {"added": [], "changed": [], "removed": [], "pending": ["node", "calls"]}


async def test_a_node_without_a_source_of_settings_says_so():
    async with gateway() as node:
        assert (await node.http.post("/rest-api/trunk/reload")).status_code == 501


async def test_who_may_call_in_follows_the_settings():
    async with carriers(FIRST, SECOND) as (first, second):
        file = Settings(trunks={"first": first.trunk()}, routing={"inbound": [{"prefix": "", "reject": 486}]})
        async with gateway(None, file, **file.sections) as node:
            assert await _status_of_a_call(first, node) == 486
            assert await _status_of_a_call(second, node) == 403
            file.sections["trunks"] = {"second": second.trunk()}
            await reload(node)
            assert await _status_of_a_call(first, node) == 403
            assert await _status_of_a_call(second, node) == 486


async def test_an_inbound_user_has_the_password_of_now():
    async with carriers(FIRST) as (pbx,):
        rules = {"inbound": [{"prefix": "", "reject": 486}], "users": {"pbx": {"password": "before"}}}
        file = Settings(routing=rules)
        async with gateway(None, file, **file.sections) as node:
            known = Account(login="pbx", password="after", domain="127.0.0.1", port=node.app.sip.listening[0].port)
            assert await _status_of_a_call(pbx, node, account=known) == 401
            file.sections["routing"] = {**rules, "users": {"pbx": {"password": "after"}}}
            await reload(node)
            assert await _status_of_a_call(pbx, node, account=known) == 486


async def test_a_trunk_with_another_account_is_registered_at_anew_and_one_with_the_same_is_not():
    async with carriers(FIRST) as (carrier,):
        registering = {"registers": True, "login": "one", "password": "secret"}
        file = Settings(trunks={"t": carrier.trunk(**registering)})
        async with gateway(None, file, **file.sections) as node:
            await carrier.until(lambda: len(carrier.registers) == 1)
            file.sections["trunks"] = {"t": carrier.trunk(**registering, max_calls=9)}
            assert (await reload(node))["changed"] == ["t"]
            file.sections["trunks"] = {"t": carrier.trunk(**{**registering, "login": "two"})}
            assert (await reload(node))["changed"] == ["t"]
            await carrier.until(lambda: len(carrier.registers) == 3)
            said = [(dict(each.headers)["To"], dict(each.headers)["Expires"]) for each in carrier.registers]
            assert sorted(said[1:]) == [(f"<sip:one@{FIRST}>", "0"), (f"<sip:two@{FIRST}>", "600")]


async def test_a_trunk_that_is_down_is_asked_anew_at_its_new_address():
    async with carriers(SECOND) as (alive,):
        asked = {"health": {"interval_s": 1, "timeout_s": 0.5, "down_after": 1}}
        file = Settings(trunks={"t": {"host": FIRST, "port": 9, **asked}}, routing=routing("t"))
        async with gateway(None, file, **file.sections) as node:
            line = next(iter(node.app.fleet))
            await alive.until(lambda: line.state is TrunkState.DOWN)
            file.sections["trunks"] = {"t": {**alive.trunk(), **asked}}
            await reload(node)
            await alive.until(lambda: line.state is TrunkState.UP)
            assert await startup(node, "c-1") == 200
            await node.until("c-1", "ESTABLISHED")
            assert (await node.post("terminate", {"callId": "c-1"})).status_code == 200


async def _status_of_a_call(carrier: Carrier, node: Gateway, **more: Any) -> int:
    def refusals() -> list[int]:
        return [event.status for event in carrier.events if isinstance(event, InviteFailed)]

    before = len(refusals())
    carrier.call_gateway(node, "+4940222", **more)
    await carrier.until(lambda: len(refusals()) > before)
    return refusals()[-1]
