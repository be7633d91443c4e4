"""The news that the network has changed, as the kernel tells it."""

import asyncio
import subprocess

from harness.network import Network

from trunkline.sip.transports.network_watch import NetworkWatch


async def _changes_told(command: list[str]) -> int:
    """Change the network, and count how often that is told until it is."""
    told = 0
    news = asyncio.Event()

    def on_change() -> None:
        nonlocal told
        told += 1
        news.set()

    watch = NetworkWatch(on_change)
    watch.start()
    try:
        await asyncio.sleep(0.2)
        assert not told
        for _ in range(3):  # one after the other: one piece of news
            for verb in ("add", "del"):
                await asyncio.to_thread(subprocess.run, [*command, verb, "10.99.7.7/32", "dev", "lo"], check=True)
        async with asyncio.timeout(20):
            await news.wait()
    finally:
        watch.stop()
    return told


def test_an_address_that_comes_and_goes_is_told_once(network: Network) -> None:
    assert network.core.call(lambda: asyncio.run(_changes_told(["/sbin/ip", "addr"]))) == 1
