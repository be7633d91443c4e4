"""REST for calls, against the test phone."""

import asyncio
import base64

import pytest
from node import gateway

from fakes import FakeMedia
from trunkline.errors import ConfigError
from trunkline.media.engine import MediaEngine


async def test_a_call_is_started_found_and_terminated():
    async with gateway() as node:
        answer = await node.startup("101", hasAudio="true", hasVideo="false")
        assert (answer.status_code, answer.json()) == (200, {})
        call = await node.until("rest-1", "ESTABLISHED")
        assert call["nodeId"] == "node-1"
        assert call["callee"] == "101"
        assert call["caller"] == "demo"
        assert call["sipStatus"] == 200
        assert call["incoming"] is False
        assert call["sessionId"] is None
        assert call["codecCallee"] == "PCMU"
        assert "demo-secret" not in answer.text + str(call)
        assert (await node.http.get("/rest-api/call/find_all")).json()[0]["callId"] == "rest-1"
        assert (await node.post("find", {"callee": "101", "status": "established"})).status_code == 200
        assert (await node.post("find", {"callee": "102"})).status_code == 404
        assert (await node.post("terminate", {"callId": "rest-1"})).json() == {}
        await node.assert_empty()
        assert (await node.post("find_all", {})).status_code == 404
        assert await node.metric('trunkline_calls_ended_total{reason="terminated"}') == 1


async def test_a_call_has_the_codecs_that_it_was_started_with():
    async with gateway() as node:
        for number, codecs in enumerate((["pcma"], "PCMA, opus", "PCMA, l16/16000, G722")):
            name = f"rest-{number}"
            assert (await node.startup("101", name, codecs=codecs, transcoding="false")).status_code == 200
            call = await node.until(name, "ESTABLISHED")
            assert (call["codecCallee"], call["ptimeCallee"], call["transcoded"]) == ("PCMA", 20, None)
            assert (await node.post("terminate", {"callId": name})).status_code == 200
        await node.assert_empty()
        answer = await node.startup("101", codecs=["PCMU", "G728"])
        assert answer.status_code == 400
        assert "codecs.1" in answer.text


async def test_a_codec_whose_library_is_missing_is_refused_to_calls_and_to_settings():
    async with gateway(FakeMedia(can_speex=False)) as node:
        answer = await node.startup("101", codecs=["PCMU", "Speex/8000"])
        assert answer.status_code == 400
        assert "speex/8000 is not installed" in answer.text
    for sections in ({"media": {"sip_codecs": ["PCMU", "speex/16000"]}}, {"media": {"web_codecs": ["speex/8000"]}}):
        media = FakeMedia(can_speex=False)
        with pytest.raises(ConfigError, match=r"media\.(sip|web)_codecs: speex/(8|16)000 needs libspeex"):
            async with gateway(media, **sections):
                pass
        assert media.log == [], "nothing has started"
    async with gateway(FakeMedia(), media={"sip_codecs": ["speex/16000"]}) as node:
        assert (await node.startup("101", "rest-1")).status_code == 200
        assert (await node.post("terminate", {"callId": "rest-1"})).status_code == 200


async def test_every_field_of_wcs_is_in_a_call_object():
    wanted = {
        *("custom", "nodeId", "appKey", "sessionId", "callId", "parentCallId", "incoming", "status", "sipStatus"),
        *("rtmpUrl", "rtmpStream", "streamName", "rtmpStreamStatus", "caller", "callee", "hasAudio", "hasVideo", "sdp"),
        *("visibleName", "inviteParameters", "mediaProvider", "sipMessageRaw", "isMsrp", "target", "holdForTransfer"),
    }
    async with gateway() as node:
        await node.startup()
        call = await node.until("rest-1", "ESTABLISHED")
        assert wanted <= set(call)
        await node.post("terminate", {"callId": "rest-1"})


@pytest.mark.parametrize(
    ("callee", "status", "reason", "sip_status"),
    [("103", "BUSY", "busy", 486), ("105", "FAILED", "not_found", 404), ("nobody", "FAILED", "not_found", 404)],
)
async def test_a_call_that_failed_can_be_found_for_a_while(callee, status, reason, sip_status):
    async with gateway(calls={"find_retention_s": 60}) as node:
        await node.startup(callee)
        call = await node.until("rest-1", status)
        assert (call["reason"], call["sipStatus"]) == (reason, sip_status)
        assert call["info"].startswith(f"SIP {sip_status}")
        assert (await node.post("terminate", {"callId": "rest-1"})).status_code == 404


async def test_the_quality_of_an_ended_call_is_found_and_counted():
    async with gateway(MediaEngine(), calls={"find_retention_s": 60}) as node:
        await node.startup("101")
        live = await node.until("rest-1", "ESTABLISHED")
        assert live["qualityCallee"] is None
        await asyncio.sleep(2)
        await node.post("terminate", {"callId": "rest-1"})
        call = await node.until("rest-1", "FINISH", known="qualityCallee")
        assert call["qualityCaller"] is None, "nobody was there"
        quality = call["qualityCallee"]
        assert (quality["received"]["codec"], quality["sent"]["codec"]) == ("PCMU", "PCMU")
        assert quality["received"]["packets"] >= 60
        assert (quality["received"]["lost"], quality["received"]["discarded"]) == (0, 0)
        assert 4.0 < quality["received"]["mos"] <= 4.5
        assert quality["srtpProfile"] is None
        assert quality["local"][1] > 0
        assert quality["remote"][1] > 0
        assert await node.metric('trunkline_leg_mos_count{leg="sip"}') >= 1


async def test_a_wrong_password_is_the_calls_own_reason():
    async with gateway(calls={"find_retention_s": 60}) as node:
        await node.startup("101", sipRegisterRequired="true", sipPassword="wrong")
        call = await node.until("rest-1", "FAILED")
        assert call["reason"] in {"authentication_failed", "forbidden"}


async def test_an_account_that_must_register_is_registered_for_the_call():
    async with gateway() as node:
        await node.startup("101", sipRegisterRequired="true")
        await node.until("rest-1", "ESTABLISHED")
        assert (await node.health())["registrations"] == 1
        await node.post("terminate", {"callId": "rest-1"})
        await node.assert_empty()


async def test_an_id_in_use_is_a_conflict():
    async with gateway() as node:
        await node.startup("104")
        answer = await node.startup("104")
        assert answer.status_code == 409
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "call_exists"
        await node.post("terminate", {"callId": "rest-1"})


async def test_unknown_calls_are_not_found():
    async with gateway() as node:
        for path, body in (
            ("terminate", {"callId": "none"}),
            ("send_dtmf", {"callId": "none", "dtmf": "1", "type": "RFC2833"}),
            ("find", {"callId": "none"}),
            ("find_all", {}),
        ):
            answer = await node.post(path, body)
            assert (answer.status_code, answer.json()["code"]) == (404, "call_not_found"), path


async def test_digits_are_sent_and_refused_before_media():
    async with gateway() as node:
        await node.startup("104")
        answer = await node.post("send_dtmf", {"callId": "rest-1", "dtmf": "1", "type": "RFC2833"})
        assert (answer.status_code, answer.json()["code"]) == (409, "invalid_call_state")
        await node.post("terminate", {"callId": "rest-1"})
        await node.assert_empty()
        await node.startup("102")
        await node.until("rest-1", "ESTABLISHED")
        for body in ({"dtmf": 12, "type": "RFC2833"}, {"dtmf": "#"}):
            assert (await node.post("send_dtmf", {"callId": "rest-1", **body})).status_code == 200
        await asyncio.sleep(0.05)
        assert "12#" in {endpoint.digits for endpoint in node.media.live.values()}
        await node.post("terminate", {"callId": "rest-1"})


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        None,
        {},
        {"callId": "x"},
        {"callId": "", "callee": "1"},
        {"callId": "x\r\ny", "callee": "1", "sipLogin": "a", "sipDomain": "b"},
        {"callId": "x", "callee": "1\r\nX-Injected: 1", "sipLogin": "a", "sipDomain": "b"},
        {"callId": "x", "callee": "1", "sipLogin": "a", "sipDomain": "b", "sipPort": "99999"},
        {"callId": "x", "callee": "1", "sipLogin": "a", "sipDomain": "b", "hasAudio": "perhaps"},
        {"callId": "x", "callee": {"a": 1}, "sipLogin": "a", "sipDomain": "b"},
        {"callId": "x", "callee": "1"},
    ],
)
async def test_a_body_of_the_wrong_shape_is_a_bad_request_and_is_not_repeated(body):
    async with gateway() as node:
        if isinstance(body, dict):
            body["sipPassword"] = "hush-hush"
        answer = await node.post("startup", body)
        assert answer.status_code == 400
        assert answer.json()["errors"]
        assert "hush-hush" not in answer.text


@pytest.mark.parametrize(
    ("content", "status"), [(b"{", 400), (b"[" * 60_000, 400), (b'{"a":"' + b"x" * 70_000 + b'"}', 413), (b"", 400)]
)
async def test_bodies_that_are_no_json_or_too_long_are_refused(content, status):
    async with gateway() as node:
        answer = await node.http.post(
            "/rest-api/call/startup", content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("sent", "status"), [(False, 400), ("false", 400), (0, 400), (True, 200), ("true", 200), ("", 200), (None, 200)]
)
async def test_a_call_without_audio_is_refused_and_the_flag_may_be_left_out(sent, status):
    async with gateway() as node:
        answer = await node.startup(hasAudio=sent)
        assert answer.status_code == status
        if status == 200:
            await node.post("terminate", {"callId": "rest-1"})
        else:
            assert answer.json()["errors"] == ["hasAudio: must be true: there is no call without audio"]


async def test_what_is_not_supported_says_so():
    async with gateway() as node:
        answer = await node.startup(toStream="stream")
        assert (answer.status_code, answer.json()["code"]) == (501, "not_supported")


async def test_a_full_node_asks_to_come_back():
    async with gateway(calls={"max_calls": 1}) as node:
        await node.startup("104", "first")
        answer = await node.startup("104", "second")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        await node.post("terminate", {"callId": "first"})


async def test_a_node_whose_media_worker_crashed_says_so():
    async with gateway() as node:
        assert (await node.health())["status"] == "ok"
        assert await node.metric("trunkline_media_dead_workers") == 0
        node.media.counters = {"pause_us": 500}
        assert await node.metric("trunkline_media_pause_seconds") == pytest.approx(0.0005)
        node.media.dead_workers = 1
        health = await node.health()
        assert (health["status"], health["dead_workers"]) == ("degraded", 1)
        assert await node.metric("trunkline_media_dead_workers") == 1


async def test_basic_auth_is_off_by_default_and_strict_when_on():
    async with gateway(http={"rest_login": "admin", "rest_password": "päss"}) as node:

        def header(text):
            return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}

        for wrong in (
            {},
            header("admin:pass"),
            header("admin"),
            {"Authorization": "Basic !!!"},
            {"Authorization": "x"},
        ):
            answer = await node.http.get("/rest-api/call/find_all", headers=wrong)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Basic")
        assert (await node.http.get("/rest-api/call/find_all", headers=header("admin:päss"))).status_code == 404
        assert (await node.http.get("/health")).status_code == 200


async def test_guesses_of_the_rest_password_run_out_by_address():
    """Two clients behind our proxy: one guesses, and the other notices nothing of it."""

    def header(password, client):
        encoded = base64.b64encode(f"admin:{password}".encode()).decode()
        return {"Authorization": f"Basic {encoded}", "X-Forwarded-For": f"198.51.100.1, {client}"}

    http = {"rest_login": "admin", "rest_password": "right", "trusted_proxies": ["127.0.0.0/8"]}
    async with gateway(http=http) as node:

        async def ask(password, client):
            return await node.http.get("/rest-api/call/find_all", headers=header(password, client))

        assert [(await ask("wrong", "203.0.113.9")).status_code for _ in range(10)] == [401] * 10
        limited = await ask("right", "203.0.113.9")
        assert (limited.status_code, limited.json()["code"]) == (429, "too_many_guesses")
        assert int(limited.headers["retry-after"]) > 0
        assert (await ask("right", "203.0.113.10")).status_code == 404
        assert await node.metric('trunkline_wrong_passwords_total{by="rest",outcome="wrong"}') == 10
        assert await node.metric('trunkline_wrong_passwords_total{by="rest",outcome="unheard"}') == 1


async def test_only_named_proxies_are_believed_about_who_asks():
    async with gateway(http={"rest_login": "admin", "rest_password": "right"}) as node:
        basic = {"Authorization": "Basic " + base64.b64encode(b"admin:wrong").decode()}
        statuses = [
            (await node.http.get("/rest-api/call/find_all", headers={**basic, "X-Forwarded-For": f"203.0.113.{n}"}))
            for n in range(11)
        ]
        assert [answer.status_code for answer in statuses] == [401] * 10 + [429]


async def test_pages_of_other_sites_may_call_unless_origins_are_named():
    preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    preflight["Access-Control-Request-Headers"] = "content-type,x-requested-with"
    async with gateway() as node:
        answer = await node.http.options("/rest-api/call/find_all", headers=preflight)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
    async with gateway(http={"allowed_origins": ["https://mine.example"]}) as node:
        answer = await node.http.options("/rest-api/call/find_all", headers=preflight)
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers


async def test_the_api_describes_itself():
    async with gateway() as node:
        document = (await node.http.get("/openapi.json")).json()
        for method in ("startup", "find", "find_all", "terminate", "send_dtmf"):
            operation = document["paths"][f"/rest-api/call/{method}"]["post"]
            assert operation["summary"]
            assert operation["description"]
            assert "404" in operation["responses"]
            assert not {"401", "422", "429"}.intersection(operation["responses"])
            assert list(operation["responses"]["404"]["content"]) == ["application/problem+json"]
    async with gateway(http={"rest_login": "admin", "rest_password": "right"}) as node:
        document = (await node.http.get("/openapi.json")).json()
        paths = {path: operations for path, operations in document["paths"].items() if path.startswith("/rest-api/")}
        assert len(paths) > 10
        for operation in (each for operations in paths.values() for each in operations.values()):
            (scheme,) = operation["security"]
            assert document["components"]["securitySchemes"][next(iter(scheme))] == {"type": "http", "scheme": "basic"}
            assert {"401", "429"} <= set(operation["responses"])
