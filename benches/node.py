"""The relay of the benches: a media engine with one worker, and nothing else of a node.

Owns the process that is measured. `calls.py` starts it and talks JSON lines with it: settings in, nothing but
`{"started"}` out; addresses of the far sides in, ours out; and when its input ends, the counters out.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from trunkline.ids import EndpointId, MediaCallId
from trunkline.media.engine import MediaEngine
from trunkline.media.types import (
    Address,
    Codec,
    EngineSettings,
    Remote,
    RtpLocal,
    RtpRemote,
    RtpTransport,
    StreamParameters,
    WebRtcLocal,
    WebRtcRemote,
    WebRtcTransport,
)

PCMU = Codec(0, "PCMU", 8_000)
OPUS = Codec(111, "opus", 48_000, 2)
SETTINGS = EngineSettings(workers=1, rtp_port_min=20_000, rtp_port_max=23_999)

Endpoints = list[tuple[MediaCallId, EndpointId]]


async def main() -> None:
    plan = await read_line()
    engine = MediaEngine()
    await engine.start(SETTINGS)
    write_line("started")
    endpoints: Endpoints = []
    write_line([await start_call(engine, plan, far, endpoints) for far in await read_line()])
    while await read_line() is not None:
        pass
    write_line(await count(engine, endpoints))
    await engine.stop()


async def start_call(engine: MediaEngine, plan: dict[str, Any], far: list[Address], endpoints: Endpoints) -> list[Any]:
    """Bridge two endpoints for one call of the generator; returns where its legs should send, and A's credentials."""
    call = engine.new_call()
    # The generator knows RTCP from RTP and passes it over, so one port will do.
    far_a, far_b = (RtpRemote(rtp=(host, port), rtcp=(host, port)) for host, port in far)
    is_webrtc = plan["transport"] == "webrtc"
    a, local_a = await engine.create_endpoint(call, WebRtcTransport() if is_webrtc else RtpTransport())
    b, local_b = await engine.create_endpoint(call, RtpTransport())
    remote_a: Remote = far_a
    if is_webrtc:
        ufrag, pwd, fingerprint = plan["identity"]
        remote_a = WebRtcRemote(ufrag, pwd, (("sha-256", fingerprint),))
    await engine.set_remote(call, a, remote_a, audio(OPUS if plan["sound"] == "opus-pcmu" else PCMU))
    await engine.set_remote(call, b, far_b, audio(PCMU))
    await engine.bridge(call, a, b)
    endpoints += [(call, a), (call, b)]
    match local_a, local_b:
        case WebRtcLocal(), RtpLocal():
            credentials = [local_a.ice_ufrag, local_a.ice_pwd, local_a.fingerprint]
            return [local_a.candidates[0], local_b.rtp, *credentials]
        case RtpLocal(), RtpLocal():
            return [local_a.rtp, local_b.rtp]
    raise AssertionError(local_a, local_b)


async def count(engine: MediaEngine, endpoints: Endpoints) -> dict[str, Any]:
    """Sum up what tells a good run from a bad one."""
    stats = [await engine.get_stats(call, endpoint) for call, endpoint in endpoints]
    return {
        "concealed_frames": sum(one.concealed_frames for one in stats),
        "drops": {reason: number for reason, number in engine.totals().drops.items() if number},
    }


def audio(codec: Codec) -> StreamParameters:
    return StreamParameters(receive=(codec,), send=(codec,))


async def read_line() -> Any:
    """Read what `calls.py` says next; None at the end."""
    line = await asyncio.to_thread(sys.stdin.readline)
    return json.loads(line) if line else None


def write_line(value: Any) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
