"""What is measured: Trunkline's node or sippy's B2BUA, started anew for each run, on one core."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from benches.peers.process import free_port, hear, started, tell

HOST = "127.0.0.1"
RTP_PORTS = (20_000, 59_999)


@dataclass(frozen=True, slots=True)
class Subject:
    """A running B2BUA. port: where it takes calls."""

    process: Process
    port: int

    async def ask(self, question: str, **details: Any) -> Any:
        tell(self.process, json.dumps({"ask": question, **details}))
        return json.loads(await hear(self.process))


@contextlib.asynccontextmanager
async def trunkline(core: int, target_port: int, *, is_traced: bool = False) -> AsyncIterator[Subject]:
    port = free_port(HOST)
    config = {
        "trunks": {"phones": {"host": HOST, "port": target_port, "health": {"interval_s": 0}}},
        "routing": {"inbound": [{"trunks": ["phones"]}]},
        "sip": {"host": HOST, "port": port},
        "http": {"host": HOST, "port": 0},
        "media": {
            "workers": 1,
            "rtp_host": HOST,
            "webrtc_host": HOST,
            "webrtc_port": 0,
            "rtp_port_min": RTP_PORTS[0],
            "rtp_port_max": RTP_PORTS[1],
            "first_packet_s": 0,  # nobody speaks
            "inactivity_s": 0,
        },
        "calls": {"max_calls": 10_000},
    }
    command = [sys.executable, "-m", "benches.call_setup.node"]
    async with started(command, core=core) as process:
        tell(process, json.dumps({"config": config, "target": [HOST, target_port], "is_traced": is_traced}))
        await hear(process)
        yield Subject(process, port)
        assert process.stdin
        process.stdin.close()


@contextlib.asynccontextmanager
async def sippy(core: int, target_port: int) -> AsyncIterator[Subject]:
    """sippy's `b2bua_simple`: no media, no accounting, its log thrown away."""
    port = free_port(HOST)
    run = (
        "import sys; from sippy import SipLogger; SipLogger.SipLogger.write = lambda *_, **__: None;"
        "from sippy.b2bua_simple import main_func; sys.exit(main_func())"
    )
    command = [sys.executable, "-c", run, "-f", "-l", HOST, "-p", str(port), "-n", f"{HOST}:{target_port}"]
    async with started(command, core=core, is_silent=True) as process:
        await _listens(port)
        yield Subject(process, port)


async def _listens(port: int) -> None:
    """Wait until somebody has bound a UDP port."""
    async with asyncio.timeout(20):
        while True:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind((HOST, port))
                except OSError:
                    return
            await asyncio.sleep(0.1)
