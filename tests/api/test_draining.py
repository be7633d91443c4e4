"""A node that is to be restarted: calls that stand go on, and whoever asks for a new one is told to go elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from node import TIMEOUT_S, Gateway, gateway

from sip.writing import request
from trunkline.sip.message import Response
from trunkline.sip.parser import parse_message


async def options_status(node: Gateway) -> tuple[int, str | None]:
    """Ask the node by SIP whether it is well; return the status and Retry-After."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    class Peer(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            heard.put_nowait(data)

    at = node.app.sip.listening[0]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Peer, remote_addr=(at.host, at.port))
    try:
        branch = f"options-{loop.time()}"
        data = request("OPTIONS", host="127.0.0.1", call_id=branch, branch=branch).to_bytes()
        transport.sendto(data.replace(b";branch=", b";rport;branch=", 1))
        async with asyncio.timeout(TIMEOUT_S):
            answer = parse_message(await heard.get())
    finally:
        transport.close()
    assert isinstance(answer, Response)
    return answer.status, answer.headers.get("Retry-After")


@asynccontextmanager
async def draining(node: Gateway) -> AsyncIterator[asyncio.Task[None]]:
    """Have one call answered, then begin to drain."""
    assert (await node.startup("101", "standing")).status_code == 200
    await node.until("standing", "ESTABLISHED")
    assert (await node.http.get("/health")).status_code == 200
    assert await options_status(node) == (200, None)
    task = asyncio.create_task(node.app.drain())
    await asyncio.sleep(0)
    yield task
    await node.app.stop()


async def test_new_calls_are_refused_while_the_call_that_stands_goes_on_until_it_ends():
    async with gateway(calls={"drain_s": 60.0}) as node, draining(node) as task:
        health = await node.http.get("/health")
        assert (health.status_code, health.json()["status"], health.json()["calls"]) == (503, "stopping", 1)
        refused = await node.startup("101", "new")
        assert (refused.status_code, refused.json()["code"]) == (503, "capacity")
        assert refused.headers["Retry-After"]
        assert await options_status(node) == (503, "60")
        async with node.browser() as browser:
            await browser.login(node)
            await browser.call("101", "of-a-page")
            assert (await browser.expect("finish"))["reason"] == "capacity"
        assert not task.done()
        assert (await node.post("send_dtmf", {"callId": "standing", "dtmf": "1"})).status_code == 200
        assert (await node.post("terminate", {"callId": "standing"})).status_code == 200
        async with asyncio.timeout(TIMEOUT_S):
            await task


async def test_draining_waits_no_longer_than_it_is_told():
    async with gateway(calls={"drain_s": 0.3}) as node, draining(node) as task:
        async with asyncio.timeout(TIMEOUT_S):
            await task
        assert (await node.health())["calls"] == 1, "what is left is hung up by `stop`"
