"""What strangers may cost: connections that say nothing, or are too many."""

import asyncio
from contextlib import suppress

import pytest
from node import gateway

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
