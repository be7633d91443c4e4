"""What the media plane asks of the kernel: the class of its packets, the cores of its workers, its socket buffers."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from trunkline.media.engine import MediaEngine
from trunkline.media.types import (
    Codec,
    EngineSettings,
    RtpLocal,
    RtpRemote,
    RtpTransport,
    StreamParameters,
    Tone,
)

HOST = "127.0.9.3"
PCMU = Codec(0, "PCMU", 8000)


@pytest.fixture
def far_side() -> Any:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far_side:
        far_side.bind((HOST, 0))
        far_side.setblocking(False)
        far_side.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        yield far_side


async def _started(**changes: Any) -> MediaEngine:
    engine = MediaEngine()
    settings = EngineSettings(webrtc_host=HOST, rtp_host=HOST, rtp_port_min=21_300, rtp_port_max=21_399, **changes)
    await engine.start(settings)
    return engine


@pytest.fixture(params=[46, 0])
async def marking(request: pytest.FixtureRequest) -> AsyncIterator[tuple[MediaEngine, int]]:
    engine = await _started(workers=1, dscp=request.param)
    yield engine, request.param
    await engine.stop()


async def test_audio_leaves_with_the_configured_class(marking: tuple[MediaEngine, int], far_side: Any) -> None:
    engine, dscp = marking
    call = engine.new_call()
    endpoint, local = await engine.create_endpoint(call, RtpTransport())
    assert isinstance(local, RtpLocal)
    address = far_side.getsockname()
    audio = StreamParameters(receive=(PCMU,), send=(PCMU,))
    await engine.set_remote(call, endpoint, RtpRemote(rtp=address, rtcp=address), audio)
    await engine.play(call, endpoint, Tone((440.0,)))
    arrived = asyncio.Event()
    asyncio.get_running_loop().add_reader(far_side, arrived.set)
    try:
        async with asyncio.timeout(20):
            await arrived.wait()
    finally:
        asyncio.get_running_loop().remove_reader(far_side)
    _, ancillary, _, _ = far_side.recvmsg(2048, 64)
    assert [data[0] for level, kind, data in ancillary if kind == socket.IP_TOS] == [dscp << 2]


def _cores_of_workers() -> list[set[int]]:
    tasks = Path("/proc/self/task").iterdir()
    names = {task.name: (task / "comm").read_text().strip() for task in tasks}
    workers = [task for task, name in names.items() if name in ("media-0", "media-1")]
    return [os.sched_getaffinity(int(task)) for task in workers]


async def test_pinned_workers_have_a_core_each_and_others_may_move() -> None:
    allowed = os.sched_getaffinity(0)
    for is_pinned in (True, False):
        engine = await _started(workers=2, pin_workers=is_pinned)
        try:
            cores = _cores_of_workers()
        finally:
            await engine.stop()
        if is_pinned:
            assert [len(mine) for mine in cores] == [1, 1]
            assert len(cores[0] | cores[1]) == min(2, len(allowed))
        else:
            assert cores == [allowed, allowed]
