"""What strangers may cost: connections that say nothing, or are too many."""

import asyncio
import resource
from contextlib import suppress

import pytest
from node import gateway

from trunkline.api.server import SPARE_CONNECTIONS
from trunkline.sip.types import Transport

PATIENCE_S = 10.0
"""Far below the default limits."""


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the far side closes."""
    received = b""
    with suppress(ConnectionResetError):
        async with asyncio.timeout(PATIENCE_S):
            while data := await reader.read(65_536):
                received += data
    return received


@pytest.mark.parametrize(
    ("limit", "counter"), [({"tcp_idle_s": 1}, "idle_closed"), ({"max_tcp_connections": 1}, "connections_refused")]
)
async def test_the_limits_of_sip_connections_are_those_of_the_settings(limit, counter):
    async with gateway(sip=limit) as node:
        (port,) = [each.port for each in node.app.sip.listening if each.transport is Transport.TCP]
        _, first = await asyncio.open_connection("127.0.0.1", port)
        reader, second = await asyncio.open_connection("127.0.0.1", port)
        assert await rest_of(reader) == b""
        assert await node.metric(f'trunkline_sip_events_total{{kind="{counter}"}}') >= 1
        first.close()
        second.close()


async def test_a_websocket_whose_browser_says_nothing_of_itself_is_closed_and_others_stay():
    async with gateway(http={"connect_timeout_s": 1}) as node, node.browser() as known, node.browser() as stranger:
        await known.login(node, sipRegisterRequired=False)
        await stranger.send("ping")  # alive, but nobody
        health = await node.health()
        assert (health["sessions"], health["pending_sockets"]) == (1, 1)
        assert await stranger.until_closed() == 1008
        assert await node.metric('trunkline_web_refused_total{why="silent"}') == 1
        await known.send("ping")
        await known.expect("pong")
        assert (await node.health())["pending_sockets"] == 0


async def test_a_websocket_above_the_limit_is_told_to_try_later_and_others_stay():
    async with gateway(http={"max_sockets": 1}) as node:
        async with node.browser() as first, node.browser() as second:
            assert await second.until_closed() == 1013
            assert await node.metric('trunkline_web_refused_total{why="capacity"}') == 1
            await first.send("ping")
            await first.expect("pong")
        await node.assert_empty()
        async with node.browser() as third:
            await third.send("ping")
            await third.expect("pong")


WHOLE = b"GET /health HTTP/1.1\r\nHost: gateway\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        (b"", 0),
        (b"GET /health HTTP/1.1\r\nHost: ", 0),
        (b"POST /rest-api/call/find HTTP/1.1\r\nHost: gateway\r\nContent-Length: 9\r\n\r\n{", 0),
        (WHOLE, 1),
        (WHOLE + WHOLE[:9], 1),
    ],
    ids=["nothing", "half a header", "half a body", "no second request", "half a second request"],
)
async def test_a_connection_that_brings_no_whole_request_is_closed(sent, answers):
    async with gateway(http={"request_timeout_s": 1}) as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(sent)
        received = await rest_of(reader)
        assert reader.at_eof() or reader.exception(), "still open"
        assert received.count(b"HTTP/1.1 200 OK") == answers
        writer.close()


async def test_connections_beyond_all_limits_are_closed_at_once():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    try:
        async with gateway(http={"max_sockets": 1, "request_timeout_s": 60}) as node:
            idle = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(1 + SPARE_CONNECTIONS)]
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            assert await rest_of(reader) == b""
            assert reader.at_eof() or reader.exception(), "still open"
            for _, each in (*idle, (reader, writer)):
                each.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_request_in_drops_gains_no_time_by_them():
    async with gateway(http={"request_timeout_s": 1}) as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        closing = asyncio.create_task(rest_of(reader))
        drops = 0
        while not closing.done():
            writer.write(b"GET /health HTTP/1.1\r\n" if drops == 0 else b"X-Drop: 1\r\n")
            drops += 1
            await asyncio.sleep(0.1)
        assert await closing == b""
        assert drops < 50
        writer.close()


async def test_requests_and_sockets_outlive_the_time_that_a_request_may_take():
    async with gateway(http={"request_timeout_s": 1, "ping_interval_s": 1}) as node, node.browser() as browser:
        for _ in range(2):
            await browser.expect("ping")
        await browser.send("ping")
        await browser.expect("pong")
