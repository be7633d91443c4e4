"""rtpengine in userspace, driven by its `ng` protocol: offers and answers with SDP, bencoded, over UDP.

Owns the flags that make each kind of call, and what rtpengine's SDP says back.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator

from benches.peers import bencode
from benches.peers.bencode import Value
from benches.peers.generator import Generator, ssrc_of_leg
from benches.peers.process import free_port, program, started
from benches.peers.sdp import (
    G729,
    OPUS,
    PCMA,
    PCMU,
    browser_offer,
    browser_target,
    media_address,
    phone_sdp,
    sdes_key_bytes,
    sdes_of,
)
from benches.peers.work import LOOPBACK, Address, Security, Sound, Target, Work

NOBODY = (LOOPBACK, 9)
_SPOKEN_BY_A = {Sound.LAWS: PCMA, Sound.OPUS: OPUS, Sound.G729: G729}
PORTS = (12_000, 31_999)
ANSWER_TIMEOUT_S = 1.0
START_LIMIT_S = 10.0


class RtpEngine:
    """The Debian package, in userspace, on one core; its worker threads are as many as it has cores to run on."""

    name = "rtpengine"

    def check(self) -> None:
        program("rtpengine", "rtpengine-daemon")

    @contextlib.asynccontextmanager
    async def started(self, core: int, host: str) -> AsyncIterator[RunningRtpEngine]:
        control = free_port(host)
        command = [
            program("rtpengine", "rtpengine-daemon"),
            "--config-file=none",
            "--foreground",
            "--log-stderr",
            "--log-level=2",
            "--table=-1",
            "--num-threads=1",
            f"--interface={host}",
            f"--listen-ng={host}:{control}",
            f"--port-min={PORTS[0]}",
            f"--port-max={PORTS[1]}",
        ]
        async with started(command, core=core, is_silent=True) as process:
            with RunningRtpEngine(process, (host, control)) as relay:
                await relay.wait_until_ready()
                yield relay


class RunningRtpEngine:
    """A running rtpengine and the socket that we command it by."""

    def __init__(self, process: Process, control: Address) -> None:
        self.pid = process.pid
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(ANSWER_TIMEOUT_S)
        self._socket.connect(control)
        self._cookie = 0

    def __enter__(self) -> RunningRtpEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def wait_until_ready(self) -> None:
        """Ask until it answers; TimeoutError if it does not."""
        async with asyncio.timeout(START_LIMIT_S):
            while True:
                with contextlib.suppress(OSError):
                    self.command({"command": "ping"})
                    return
                await asyncio.sleep(0.1)

    async def set_up(self, work: Work, generator: Generator) -> list[Target]:
        calls = [target for number in range(work.calls) for target in self._start_call(number, work, generator)]
        return calls + [self._expect_browser(number, generator) for number in range(work.storm)]

    async def count(self, work: Work) -> dict[str, int]:
        return {}

    def command(self, request: dict[str, Value]) -> dict[str, Value]:
        """Send a command and return its answer; RuntimeError if it is refused, TimeoutError if there is none."""
        self._cookie += 1
        cookie = b"%d " % self._cookie
        self._socket.send(cookie + bencode.encode(request))
        while not (data := self._socket.recv(65_535)).startswith(cookie):
            pass
        answer = bencode.decode(data[len(cookie) :])
        assert isinstance(answer, dict)
        if answer["result"] not in ("ok", "pong"):
            raise RuntimeError(f"rtpengine: {answer}")
        return answer

    def _start_call(self, number: int, work: Work, generator: Generator) -> list[Target]:
        far_a, far_b = generator.calls[number]
        call = f"call-{number}"
        if work.security is Security.WEBRTC:
            offer = browser_offer(generator.identity, far_a, ssrc_of_leg(2 * number))
            for_a, for_b = self._negotiate(call, offer, phone_sdp(far_b, PCMU))
            return [browser_target(for_a), Target(media_address(for_b))]
        key = call.encode().ljust(sdes_key_bytes(work.security), b".")
        crypto = (work.security, base64.b64encode(key).decode()) if work.security.is_sdes else None
        spoken = _SPOKEN_BY_A.get(work.sound, PCMU)
        offer = phone_sdp(far_a, spoken, crypto)
        name = spoken.split(" ")[1].split("/")[0]
        codec: dict[str, Value] = {} if spoken is PCMU else {"transcode": ["PCMU"], "mask": [name]}
        for_a, for_b = self._negotiate(call, offer, phone_sdp(far_b, PCMU), codec)
        security: tuple[str, ...] = ()
        if crypto:
            suite, theirs = sdes_of(for_a)
            assert suite == work.security, for_a
            security = ("sdes", suite, key.hex(), theirs.hex())
        return [Target(media_address(for_a), security), Target(media_address(for_b))]

    def _expect_browser(self, number: int, generator: Generator) -> Target:
        """Make a call for a browser of the storm, whose other side is nobody."""
        far = generator.storm_legs[number]
        offer = browser_offer(generator.identity, far, ssrc_of_leg(len(generator.legs) + number))
        for_a, _ = self._negotiate(f"storm-{number}", offer, phone_sdp(NOBODY, PCMU))
        return browser_target(for_a)

    def _negotiate(self, call: str, offer: str, answer: str, codec: dict[str, Value] | None = None) -> tuple[str, str]:
        """Pass an offer and its answer; returns what sides A and B are told. B speaks plain RTP."""
        common: dict[str, Value] = {"call-id": call, "from-tag": "a", "replace": ["origin", "session-connection"]}
        for_b: dict[str, Value] = {"ICE": "remove", "DTLS": "passive", "transport-protocol": "RTP/AVP"}
        told_b = self.command(common | for_b | {"command": "offer", "sdp": offer, "codec": codec or {}})
        told_a = self.command(common | {"command": "answer", "to-tag": "b", "sdp": answer})
        return str(told_a["sdp"]), str(told_b["sdp"])
