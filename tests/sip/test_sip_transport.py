"""The asyncio shell on loopback: real sockets, both event loops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from random import SystemRandom
from typing import Any, TypeVar

import pytest
import uvloop

from sip.emulation import ANSWER, OFFER
from sip.phones import Names
from sip.writing import request
from trunkline.errors import ConnectFailed
from trunkline.sip.transport import Listener, SipShell, StreamLimits
from trunkline.sip.types import (
    Account,
    EndCause,
    Event,
    IncomingInvite,
    IncomingRequest,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteFailed,
    InviteProgress,
    InviteRequest,
    Registered,
    Transport,
    UaConfig,
    Unregistered,
)
from trunkline.sip.ua import UserAgent

_Event = TypeVar("_Event")
UDP, TCP = Transport.UDP, Transport.TCP


class Phone:
    """A shell on loopback with its events."""

    def __init__(
        self, host: str = "127.0.0.1", accept: frozenset[str] = frozenset(), limits: StreamLimits | None = None
    ) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()
        ua = UserAgent(UaConfig(), SystemRandom(), accept_methods=accept)
        self.shell = SipShell(ua, [Listener(UDP, host), Listener(TCP, host)], self._on_event, limits=limits)
        self.on_event: Callable[[Event], None] = lambda event: None

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)
        self._news.set()

    def uri(self, transport: Transport) -> str:
        listener = next(known for known in self.shell.listening if known.transport is transport)
        host = f"[{listener.host}]" if ":" in listener.host else listener.host
        return f"sip:phone@{host}:{listener.port};transport={transport}"

    async def wait(self, kind: type[_Event], seconds: float = 5) -> _Event:
        """The first event of a kind, which must come in time."""
        async with asyncio.timeout(seconds):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        return event
                self._news.clear()
                await self._news.wait()


Call = Callable[[], Awaitable[Phone]]


@pytest.fixture
async def phone() -> AsyncIterator[Callable[..., Awaitable[Phone]]]:
    started: list[Phone] = []

    async def start(**options: Any) -> Phone:
        made = Phone(**options)
        await made.shell.start()
        started.append(made)
        return made

    yield start
    for made in started:
        await made.shell.stop(0.2)


async def talk(alice: Phone, bob: Phone, transport: Transport) -> None:
    """Alice calls Bob; Bob answers and hangs up."""
    bob.on_event = lambda event: bob.shell.answer(event.id, ANSWER) if isinstance(event, IncomingInvite) else None
    call = alice.shell.invite(InviteRequest(target_uri=bob.uri(transport), sdp=OFFER, caller="alice"))
    assert alice.events == [], "events never come before the id is known"
    assert await alice.wait(InviteAnswered) == InviteAnswered(call, ANSWER)
    confirmed = await bob.wait(InviteConfirmed)
    bob.shell.hangup(confirmed.id)
    assert (await alice.wait(InviteEnded)).reason is EndCause.REMOTE_BYE


@pytest.mark.parametrize("transport", [UDP, TCP])
async def test_call_over_loopback(phone: Callable[..., Awaitable[Phone]], transport: Transport) -> None:
    await talk(await phone(), await phone(), transport)


@pytest.mark.parametrize("transport", [UDP, TCP])
async def test_call_over_ipv6(phone: Callable[..., Awaitable[Phone]], transport: Transport) -> None:
    await talk(await phone(host="::1"), await phone(host="::1"), transport)


def test_call_on_uvloop() -> None:
    async def run() -> None:
        alice, bob = Phone(), Phone()
        try:
            await alice.shell.start()
            await bob.shell.start()
            await talk(alice, bob, UDP)
            alice.events.clear()
            bob.events.clear()
            await talk(alice, bob, TCP)
            nobody = alice.shell.invite(InviteRequest(target_uri=f"sip:x@127.0.0.1:{closed_port()}", sdp=OFFER))
            alice.events.clear()
            assert (await alice.wait(InviteFailed, 1)).id == nobody
        finally:
            await alice.shell.stop(0.2)
            await bob.shell.stop(0.2)

    uvloop.run(run())


def closed_port() -> int:
    """A UDP and TCP port of loopback on which nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("transport", [UDP, TCP])
async def test_server_that_is_down_is_known_at_once(
    phone: Callable[..., Awaitable[Phone]], transport: Transport
) -> None:
    alice = await phone()
    target = f"sip:x@127.0.0.1:{closed_port()};transport={transport}"
    call = alice.shell.invite(InviteRequest(target_uri=target, sdp=OFFER))
    assert await alice.wait(InviteFailed, 1) == InviteFailed(call, 503, "Server unreachable")


async def test_refusal_of_one_peer_does_not_disturb_a_call_to_another(phone: Callable[..., Awaitable[Phone]]) -> None:
    alice, bob = await phone(), await phone()
    dead = [
        alice.shell.invite(InviteRequest(target_uri=f"sip:x@127.0.0.1:{closed_port()}", sdp=OFFER)) for _ in range(5)
    ]
    await talk(alice, bob, UDP)
    assert {event.id for event in alice.events if isinstance(event, InviteFailed)} == set(dead)


async def test_stop_takes_the_binding_back(phone: Callable[..., Awaitable[Phone]]) -> None:
    registrar, alice = await phone(accept=frozenset({"REGISTER"})), await phone()
    expiries: list[str] = []

    def accept(event: Event) -> None:
        if isinstance(event, IncomingRequest):
            expiries.append(dict(event.headers)["Expires"])
            registrar.shell.respond(event.id, 200, headers=(("Expires", expiries[-1]),))

    registrar.on_event = accept
    port = registrar.shell.listening[0].port
    alice.shell.register(Account(login="a", password="p", domain="127.0.0.1", port=port), 300)
    assert (await alice.wait(Registered)).expires_s == 300
    await alice.shell.stop()
    assert expiries == ["300", "0"]
    assert any(isinstance(event, Unregistered) for event in alice.events)


async def test_stop_is_bounded_when_nobody_answers(phone: Callable[..., Awaitable[Phone]]) -> None:
    alice = await phone()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        account = Account(login="a", password="p", domain="127.0.0.1", port=silent.getsockname()[1])
        alice.shell.register(account)
        await asyncio.sleep(0)
        started = asyncio.get_running_loop().time()
        await alice.shell.stop(0.3)
        assert asyncio.get_running_loop().time() - started < 1


async def test_port_in_use_is_reported() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        listeners = [Listener(TCP, "127.0.0.1"), Listener(UDP, "127.0.0.1", taken.getsockname()[1])]
        shell = SipShell(UserAgent(UaConfig(), SystemRandom()), listeners, lambda event: None)
        with pytest.raises(ConnectFailed):
            await shell.start()


async def test_name_is_resolved_and_unknown_name_fails(phone: Callable[..., Awaitable[Phone]]) -> None:
    bob = await phone()
    events: list[Event] = []
    listeners = [Listener(UDP, "127.0.0.1")]
    shell = SipShell(
        UserAgent(UaConfig(), SystemRandom()), listeners, events.append, resolver=Names({"bob.example": ["127.0.0.1"]})
    )
    await shell.start()
    try:
        port = bob.shell.listening[0].port
        shell.invite(InviteRequest(target_uri=f"sip:x@bob.example:{port}", sdp=OFFER))
        await bob.wait(IncomingInvite)
        call = shell.invite(InviteRequest(target_uri="sip:x@nobody.example", sdp=OFFER))
        await asyncio.sleep(0.05)
        assert InviteFailed(call, 503, "Server address not found") in events
    finally:
        await shell.stop(0.2)


async def test_stream_that_is_split_and_glued_is_read(phone: Callable[..., Awaitable[Phone]]) -> None:
    bob = await phone()
    port = bob.shell.listening[1].port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    one = request("OPTIONS", host="127.0.0.1", transport="TCP").to_bytes()
    two = request("OPTIONS", host="127.0.0.1", transport="TCP", call_id="b").to_bytes()
    writer.write(b"\r\n\r\n" + one[:40])
    await asyncio.sleep(0.02)
    writer.write(one[40:] + two[:-3])
    await asyncio.sleep(0.02)
    writer.write(two[-3:])
    received = b""
    async with asyncio.timeout(5):
        while received.count(b"SIP/2.0 200 OK") < 2:
            received += await reader.read(65536)
    assert received.startswith(b"\r\n"), "the keep-alive was answered first"
    writer.close()


async def test_garbage_on_a_stream_closes_it_and_is_counted(phone: Callable[..., Awaitable[Phone]]) -> None:
    bob = await phone()
    reader, writer = await asyncio.open_connection("127.0.0.1", bob.shell.listening[1].port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
    assert bob.shell.counters["framing_lost"] == 1
    writer.close()


@pytest.mark.parametrize("first_words", [b"", b"\r\n\r\n" + request("OPTIONS", transport="TCP").to_bytes()])
async def test_stream_that_falls_silent_is_closed_after_the_limit(
    phone: Callable[..., Awaitable[Phone]], first_words: bytes
) -> None:
    bob = await phone(limits=StreamLimits(idle_s=0.2))
    reader, writer = await asyncio.open_connection("127.0.0.1", bob.shell.listening[1].port)
    writer.write(first_words)
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            await reader.read()
    assert bob.shell.counters["idle_closed"] == 1
    writer.close()


async def test_streams_above_the_limit_are_closed_and_our_own_do_not_count(
    phone: Callable[..., Awaitable[Phone]],
) -> None:
    bob, carol = await phone(limits=StreamLimits(max_connections=1)), await phone()
    port = bob.shell.listening[1].port
    first_reader, first = await asyncio.open_connection("127.0.0.1", port)
    second_reader, second = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            assert await second_reader.read() == b""
    assert bob.shell.counters["connections_refused"] == 1
    first.write(b"\r\n\r\n")
    assert await first_reader.read(2) == b"\r\n", "the first goes on"
    carol.on_event = lambda event: carol.shell.ring(event.id) if isinstance(event, IncomingInvite) else None
    bob.shell.invite(InviteRequest(target_uri=carol.uri(TCP), sdp=OFFER, caller="bob"))
    await bob.wait(InviteProgress)
    first.close()
    async with asyncio.timeout(5):
        while bob.shell.counters["connections"] < 3:  # a place is free again
            _, again = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(0.01)
            again.close()
    second.close()


async def test_garbage_datagrams_are_counted_and_calls_go_on(phone: Callable[..., Awaitable[Phone]]) -> None:
    alice, bob = await phone(), await phone()
    address = ("127.0.0.1", bob.shell.listening[0].port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as junk:
        for size in (1, 20, 1400, 60_000):
            junk.sendto(b"\xff\0SIP" * (size // 5 + 1), address)
        junk.sendto(b"INVITE sip:x SIP/2.0\r\n\r\n", address)
    await talk(alice, bob, UDP)
    assert bob.shell.counters["malformed"] == 5


async def test_callback_that_raises_does_not_stop_the_shell(phone: Callable[..., Awaitable[Phone]]) -> None:
    alice, bob = await phone(), await phone()

    def fail(event: Event) -> None:
        raise RuntimeError("a bug of the application")

    alice.on_event = fail
    alice.shell.invite(InviteRequest(target_uri=bob.uri(UDP), sdp=OFFER))
    incoming = await bob.wait(IncomingInvite)
    bob.shell.answer(incoming.id, ANSWER)
    await bob.wait(InviteConfirmed)
    assert alice.shell.counters["internal_errors"] >= 1, "the first event is delivered before the ACK goes out"
