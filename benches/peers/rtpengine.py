"""rtpengine in userspace, driven by its `ng` protocol: offers and answers with SDP, bencoded, over UDP.

Owns the flags that make each kind of call, and what rtpengine's SDP says back.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator

from benches.peers import bencode
from benches.peers.bencode import Value
from benches.peers.generator import Generator
from benches.peers.process import program, started
from benches.peers.work import Address, Identity, Security, Sound, Target, Work

PORTS = (12_000, 31_999)
ANSWER_TIMEOUT_S = 1.0
START_LIMIT_S = 10.0

PCMU, PCMA = "0 PCMU/8000", "8 PCMA/8000"


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
        targets: list[Target] = []
        for number, (far_a, far_b) in enumerate(generator.calls):
            targets += self._start_call(f"call-{number}", work, far_a, far_b)
        return targets + [
            self._expect_browser(f"storm-{number}", generator.identity, far)
            for number, far in enumerate(generator.storm_legs)
        ]

    async def finish(self) -> dict[str, int]:
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

    def _start_call(self, call: str, work: Work, far_a: Address, far_b: Address) -> list[Target]:
        key = (
            base64.b64encode(call.encode().ljust(sdes_key_bytes(work.security), b".")) if work.security.is_sdes else b""
        )
        spoken_by_a = PCMA if work.sound is Sound.LAWS else PCMU
        offer: dict[str, Value] = {
            "command": "offer",
            "call-id": call,
            "from-tag": "a",
            "sdp": sdp(far_a, spoken_by_a, (work.security, key.decode()) if key else None),
            "replace": ["origin", "session-connection"],
            "ICE": "remove",
            "transport-protocol": "RTP/AVP",
        }
        if work.sound is Sound.LAWS:
            offer["codec"] = {"transcode": ["PCMU"], "mask": ["PCMA"]}
        for_b = str(self.command(offer)["sdp"])
        answer: dict[str, Value] = {
            "command": "answer",
            "call-id": call,
            "from-tag": "a",
            "to-tag": "b",
            "sdp": sdp(far_b, PCMU),
            "replace": ["origin", "session-connection"],
        }
        for_a = str(self.command(answer)["sdp"])
        security: tuple[str, ...] = ()
        if key:
            suite, theirs = sdes_of(for_a)
            assert suite == work.security, for_a
            security = (
                "sdes",
                suite,
                base64.b64decode(key).hex(),
                base64.b64decode(theirs + "=" * (-len(theirs) % 4)).hex(),
            )
        return [Target(media_address(for_a), security), Target(media_address(for_b))]

    def _expect_browser(self, call: str, identity: Identity, far: Address) -> Target:
        raise NotImplementedError


def sdp(far: Address, codec: str, crypto: tuple[Security, str] | None = None) -> str:
    """One audio stream of a far side, with one payload type."""
    host, port = far
    payload_type, _, _ = codec.partition(" ")
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} {'RTP/SAVP' if crypto else 'RTP/AVP'} {payload_type}",
        f"a=rtpmap:{codec}",
        "a=ptime:20",
        "a=sendrecv",
    ]
    if crypto:
        lines.append(f"a=crypto:1 {crypto[0]} inline:{crypto[1]}")
    return "\r\n".join([*lines, ""])


def media_address(text: str) -> Address:
    """Where the SDP's audio is to be sent."""
    host = re.search(r"^c=IN IP4 (\S+)", text, re.MULTILINE)
    port = re.search(r"^m=audio (\d+)", text, re.MULTILINE)
    assert host, text
    assert port, text
    return host[1], int(port[1])


def sdes_of(text: str) -> tuple[str, str]:
    """Suite and key of the SDP's first crypto attribute."""
    crypto = re.search(r"^a=crypto:\d+ (\S+) inline:([A-Za-z0-9+/]+)", text, re.MULTILINE)
    assert crypto, text
    return crypto[1], crypto[2]


def sdes_key_bytes(security: Security) -> int:
    """Bytes of a suite's master key and salt."""
    return 30 if security is Security.CM_80 else 28


def free_port(host: str) -> int:
    """A UDP port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
