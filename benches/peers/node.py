"""The relay of the benches: a media engine with one worker, and nothing else of a node.

Owns the process that is measured. `relay.py` starts it and talks JSON lines with it: the address to listen at in,
nothing but `"started"` out; the plan with the addresses of the far sides in, ours out; then a question for the counters
in and the counters out, any number of times, until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from trunkline.ids import EndpointId, MediaCallId
from trunkline.media.engine import MediaEngine
from trunkline.media.types import (
    Address,
    Codec,
    EngineSettings,
    RtpLocal,
    RtpRemote,
    RtpTransport,
    SdesKeys,
    StreamParameters,
    WebRtcLocal,
    WebRtcRemote,
    WebRtcTransport,
)
from trunkline.observability.logging import configure

PCMU = Codec(0, "PCMU", 8_000)
PCMA = Codec(8, "PCMA", 8_000)
# As the SDP of the peers has them (sdp.py).
OPUS = Codec(111, "opus", 48_000, 2, (("maxaveragebitrate", "24000"), ("maxplaybackrate", "8000")))
G729 = Codec(18, "G729", 8_000, 1, (("annexb", "no"),))
SALT_BYTES = {"AES_CM_128_HMAC_SHA1_80": 14, "AEAD_AES_128_GCM": 12}
KEY_BYTES = 16
SPOKEN_BY_A = {"pcmu": PCMU, "pcma-pcmu": PCMA, "opus-pcmu": OPUS, "g729-pcmu": G729}
PORTS = (12_000, 31_999)
FRAME_MS = 20
QUESTIONS = 256
"""Endpoints that are asked for their statistics at a time."""

Target = list[Any]
"""Our address, and how a leg of the generator is to secure what it sends there."""


class Node:
    """The calls of one plan."""

    def __init__(self, engine: MediaEngine, plan: dict[str, Any]) -> None:
        self._engine = engine
        self._security: str = plan["security"]
        self._spoken_by_a = SPOKEN_BY_A[plan["sound"]]
        ufrag, pwd, fingerprint = plan["identity"]
        self._browser = WebRtcRemote(ufrag, pwd, (("sha-256", fingerprint),))
        self._endpoints: list[tuple[MediaCallId, EndpointId]] = []

    async def start_call(self, far_a: Address, far_b: Address) -> list[Target]:
        """Bridge two endpoints for one call of the generator; returns where its legs should send."""
        call = self._engine.new_call()
        if self._security == "DTLS-SRTP":
            a, target_a = await self._start_browser(call, self._spoken_by_a)
        else:
            a, target_a = await self._start_phone(call, far_a, self._spoken_by_a, self._new_keys())
        b, target_b = await self._start_phone(call, far_b, PCMU)
        await self._engine.bridge(call, a, b)
        self._endpoints += [(call, a), (call, b)]
        return [target_a, target_b]

    async def expect_browser(self) -> Target:
        """Make an endpoint for a browser without a call."""
        _, target = await self._start_browser(self._engine.new_call(), PCMU)
        return target

    async def _start_browser(self, call: MediaCallId, codec: Codec) -> tuple[EndpointId, Target]:
        endpoint, local = await self._engine.create_endpoint(call, WebRtcTransport())
        assert isinstance(local, WebRtcLocal)
        await self._engine.set_remote(call, endpoint, self._browser, audio(codec))
        return endpoint, [local.candidates[0], "webrtc", local.ice_ufrag, local.ice_pwd, local.fingerprint]

    def _new_keys(self) -> SdesKeys | None:
        salt_bytes = SALT_BYTES.get(self._security)
        if salt_bytes is None:
            return None
        return SdesKeys(
            suite=self._security,
            local_key=os.urandom(KEY_BYTES),
            local_salt=os.urandom(salt_bytes),
            remote_key=os.urandom(KEY_BYTES),
            remote_salt=os.urandom(salt_bytes),
        )

    async def _start_phone(
        self, call: MediaCallId, far: Address, codec: Codec, keys: SdesKeys | None = None
    ) -> tuple[EndpointId, Target]:
        endpoint, local = await self._engine.create_endpoint(call, RtpTransport())
        assert isinstance(local, RtpLocal)
        # The generator knows RTCP from RTP and passes it over, so one port will do.
        host, port = far
        remote = RtpRemote((host, port), (host, port), security=keys)
        await self._engine.set_remote(call, endpoint, remote, audio(codec))
        if keys is None:
            return endpoint, [local.rtp]
        theirs, ours = keys.remote_key + keys.remote_salt, keys.local_key + keys.local_salt
        return endpoint, [local.rtp, "sdes", keys.suite, theirs.hex(), ours.hex()]

    async def count(self, *, with_concealed: bool) -> dict[str, int]:
        """Sum up what tells a good run from a bad one. Concealed frames take a question to each endpoint."""
        counts = {reason: number for reason, number in self._engine.totals().drops.items() if number}
        if with_concealed:
            concealed_ms = 0
            for start in range(0, len(self._endpoints), QUESTIONS):
                asked = self._endpoints[start : start + QUESTIONS]
                stats = await asyncio.gather(*(self._engine.get_stats(call, endpoint) for call, endpoint in asked))
                concealed_ms += sum(one.received.concealed_ms or 0 for one in stats)
            counts["concealed"] = concealed_ms // FRAME_MS
        return counts


async def main() -> None:
    host = await read_line()
    engine = MediaEngine()
    await engine.start(
        EngineSettings(workers=1, webrtc_host=host, rtp_host=host, rtp_port_min=PORTS[0], rtp_port_max=PORTS[1])
    )
    if os.geteuid() == 0:
        # Before the worker, which under real-time priority would not let us ask anything while it is busy.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
    write_line("started")
    plan = await read_line()
    node = Node(engine, plan)
    calls = [target for a, b in plan["calls"] for target in await node.start_call(a, b)]
    write_line(calls + [await node.expect_browser() for _ in range(plan["storm"])])
    while (question := await read_line()) is not None:
        write_line(await node.count(**question))
    await engine.stop()


def audio(codec: Codec) -> StreamParameters:
    return StreamParameters(receive=(codec,), send=(codec,))


async def read_line() -> Any:
    """Read what the bench says next; None at the end."""
    line = await asyncio.to_thread(sys.stdin.readline)
    return json.loads(line) if line else None


def write_line(value: Any) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    # To the error stream, like the gateway: the other one is spoken with.
    configure(level="info", format_="console", node="bench")
    asyncio.run(main())
