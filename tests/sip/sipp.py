"""SIPp at the far end of a user agent of ours on loopback, in both roles.

Each scenario file is named after the misbehaviour and says what the peer expects; SIPp's own verdict is part of the
test. `-nr` keeps SIPp from repeating or absorbing anything by itself.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import Self, TypeVar

from sip.emulation import OFFER
from trunkline.sip.transport import Listener, SipShell
from trunkline.sip.types import Event, InviteRequest, Transport, UaConfig
from trunkline.sip.ua import UserAgent

SCENARIOS = Path(__file__).parent / "scenarios"
T1_S = 0.1

_Event = TypeVar("_Event")


class Phone:
    """Our user agent on loopback. t1_s: 64 times of it pass within a test, unless it is to be patient."""

    def __init__(self, t1_s: float = T1_S) -> None:
        self.events: list[Event] = []
        self.on_event: Callable[[Event], None] = lambda event: None
        self.ua = UserAgent(UaConfig(t1_s=t1_s, t2_s=4 * t1_s, t4_s=5 * t1_s), SystemRandom())
        listeners = [Listener(Transport.UDP, "127.0.0.1"), Listener(Transport.TCP, "127.0.0.1")]
        self.shell = SipShell(self.ua, listeners, self._on_event)

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)

    def port(self, transport: Transport) -> int:
        return next(known.port for known in self.shell.listening if known.transport is transport)

    def kinds(self) -> list[type[Event]]:
        return [type(event) for event in self.events]

    def last(self, kind: type[_Event]) -> _Event:
        return next(event for event in reversed(self.events) if isinstance(event, kind))

    async def until_gone(self) -> None:
        """Wait until no call and no dialog is left; transactions remember longer (timer D is 32 s at least)."""
        async with asyncio.timeout(5):
            while self.ua.load["invites"] or self.ua.load["dialogs"]:  # noqa: ASYNC110 - the peer is outside
                await asyncio.sleep(0.02)


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def run_sipp(folder: Path, scenario: str, *more: str) -> str:
    """Run one call of a scenario; an empty text if SIPp is content, else what it says."""
    errors = folder / "errors.log"
    process = await asyncio.create_subprocess_exec(
        *("sipp", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-m", "1", "-i", "127.0.0.1", "-nr", "-nostdin"),
        *("-trace_err", "-error_file", str(errors), "-timeout", "15", *more),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
    )
    _, said = await asyncio.wait_for(process.communicate(), 20)
    if process.returncode == 0:
        return ""
    return f"{process.returncode}: {said.decode()}" + (errors.read_text() if errors.exists() else "")


class Relay:
    """A wire between SIPp and us over TCP that keeps every byte and no boundary. is_torn: whether it moved one."""

    def __init__(self) -> None:
        self.is_torn = False
        self._server: asyncio.Server | None = None
        self._target = 0
        self._ways: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)
        if self._server is not None:
            self._server.close()

    async def towards(self, port: int) -> int:
        """Listen, pass everything on to a port, and return our own."""
        self._target = port
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        for way in (self._carry(reader, far_writer), self._carry(far_reader, writer)):
            task = asyncio.create_task(way)
            self._ways.add(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self.pass_on(data, reader, writer)
        except ConnectionError:
            pass  # one side has gone; the other learns of it
        finally:
            writer.close()

    async def pass_on(self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Write what was read, in pieces of its own."""
        raise NotImplementedError


class Split(Relay):
    """Cuts what it carries into pieces of a few bytes, one segment each."""

    async def pass_on(self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data:
            size = 1 + len(data) % 13
            writer.write(data[:size])
            data = data[size:]
            self.is_torn = True
            await asyncio.sleep(0)


class Glued(Relay):
    """Holds what comes for a while, so that messages which follow each other arrive as one."""

    async def pass_on(self, data: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                data += await reader.read(65_536)
        self.is_torn |= data.count(b"Call-ID:") > 1
        writer.write(data)


async def call_sipp(phone: Phone, folder: Path, scenario: str, transport: Transport, relay: Relay | None = None) -> str:
    """Start SIPp as callee, call it, and return its verdict."""
    port = free_port(socket.SOCK_STREAM if transport.is_reliable else socket.SOCK_DGRAM)
    kind = "t1" if transport.is_reliable else "u1"
    callee = asyncio.create_task(run_sipp(folder, scenario, "-p", str(port), "-t", kind))
    await wait_for_listener(port, transport)
    if relay is not None:
        port = await relay.towards(port)
    phone.shell.invite(InviteRequest(target_uri=f"sip:bob@127.0.0.1:{port};transport={transport}", sdp=OFFER))
    return await callee


async def wait_for_listener(port: int, transport: Transport) -> None:
    """Wait until the system lists the socket, and not a connection that happens to have the number."""
    table = Path("/proc/net") / transport
    listening = re.compile(rf":{port:04X} 00000000:0000 {'0A' if transport.is_reliable else '07'} ")
    async with asyncio.timeout(10):
        while listening.search(table.read_text()) is None:  # noqa: ASYNC110 - the listener is another process
            await asyncio.sleep(0.02)


async def called_by_sipp(
    phone: Phone, folder: Path, scenario: str, transport: Transport, relay: Relay | None = None
) -> str:
    """Let SIPp call us, and return its verdict."""
    kind = "t1" if transport.is_reliable else "u1"
    port = free_port(socket.SOCK_STREAM if transport.is_reliable else socket.SOCK_DGRAM)
    ours = phone.port(transport) if relay is None else await relay.towards(phone.port(transport))
    return await run_sipp(folder, scenario, f"127.0.0.1:{ours}", "-p", str(port), "-t", kind)
