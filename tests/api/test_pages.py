"""What a person or a machine finds on the node's ports beside calls."""

import ssl

import httpx
import pytest
from node import gateway, settings

from fakes import FakeMedia
from trunkline.app import App
from trunkline.errors import ConfigError, ConnectFailed


async def test_the_root_leads_to_the_phone_page():
    async with gateway() as node:
        answer = await node.http.get("/")
        assert answer.status_code == 307
        page = await node.http.get(answer.headers["location"])
        assert page.status_code == 200
        assert "<html" in page.text


async def test_the_page_learns_the_demo_account():
    async with gateway() as node:
        config = (await node.http.get("/phone/config.json")).json()
        assert config["demo"]["login"] == "demo"
        assert config["demo"]["authenticationName"] == "demo"
        assert config["demo"]["port"] == node.app.demo.info.port
        assert {"number": "100", "title": "Echo: hear yourself"} in config["demo"]["numbers"]
        assert config["version"]


async def test_without_the_test_phone_there_is_no_demo_account():
    async with gateway(demo={"enabled": False}) as node:
        assert (await node.http.get("/phone/config.json")).json()["demo"] is None


async def test_health_counts_and_metrics_are_there():
    async with gateway() as node:
        health = await node.health()
        assert health["status"] == "ok"
        assert health["node"] == "node-1"
        assert health["calls"] == health["endpoints"] == 0
        await node.startup("103")
        await node.assert_empty()
        metrics = (await node.http.get("/metrics")).text
        assert 'trunkline_calls_ended_total{reason="busy"} 1.0' in metrics
        assert 'trunkline_calls_started_total{origin="rest"} 1.0' in metrics


async def test_unknown_paths_are_problems_too():
    async with gateway() as node:
        answer = await node.http.get("/nowhere")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


async def test_the_port_layout_of_wcs_with_a_certificate_made_at_start():
    async with gateway(http={"tls_ports": [0], "tls": {"names": ["localhost"]}}) as node:
        plain, secure = node.app.http.ports
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        async with httpx.AsyncClient(verify=context) as client:
            assert (await client.get(f"https://127.0.0.1:{secure}/health")).status_code == 200
            assert (await client.get(f"http://127.0.0.1:{plain}/health")).status_code == 200


async def test_a_port_in_use_stops_the_start_and_frees_what_was_taken():
    async with gateway() as node:
        media = FakeMedia()
        app = App(settings(http={"extra_ports": [node.port]}), media)
        with pytest.raises(ConnectFailed, match=str(node.port)):
            await app.start()
        assert media.log == ["start", "stop"]


async def test_a_certificate_that_cannot_be_read_stops_the_start(tmp_path):
    (tmp_path / "a.pem").write_text("no certificate")
    tls = {"certificate": tmp_path / "a.pem", "key": tmp_path / "a.pem"}
    app = App(settings(http={"tls_ports": [0], "tls": tls}), FakeMedia())
    with pytest.raises(ConfigError, match=r"http\.tls"):
        await app.start()
