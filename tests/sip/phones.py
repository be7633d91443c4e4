"""Shells of ours on loopback, with all that they tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import Any, TypeVar

from sip.emulation import ANSWER, OFFER
from trunkline.sip.finding.targets import Question, RecordKind, Records
from trunkline.sip.transport import Listener, SipShell
from trunkline.sip.types import (
    EndCause,
    Event,
    IncomingInvite,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteRequest,
    Transport,
    UaConfig,
)
from trunkline.sip.ua import UserAgent

_Event = TypeVar("_Event")


class Names:
    """A resolver that knows these hosts."""

    def __init__(self, hosts: Mapping[str, list[str]]) -> None:
        self._hosts = hosts

    async def look_up(self, question: Question) -> Records:
        return self._hosts.get(question.name, []) if question.kind is RecordKind.ADDRESS else []

    async def close(self) -> None:
        pass


class Phone:
    """A shell that listens on some transports. options: of `SipShell`."""

    def __init__(
        self,
        *transports: Transport,
        host: str = "127.0.0.1",
        port: int = 0,
        accept: frozenset[str] = frozenset(),
        config: UaConfig | None = None,
        **options: Any,
    ) -> None:
        self.events: list[Event] = []
        self.on_event: Callable[[Event], None] = lambda event: None
        self._news = asyncio.Event()
        self.ua = UserAgent(config or UaConfig(), SystemRandom(), accept_methods=accept)
        self.shell = SipShell(
            self.ua, [Listener(transport, host, port) for transport in transports], self._on_event, **options
        )

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)
        self._news.set()

    def port(self, transport: Transport) -> int:
        return next(known.port for known in self.shell.listening if known.transport is transport)

    def uri(self, transport: Transport, host: str | None = None, scheme: str = "sip") -> str:
        listener = next(known for known in self.shell.listening if known.transport is transport)
        shown = host or (f"[{listener.host}]" if ":" in listener.host else listener.host)
        return f"{scheme}:phone@{shown}:{listener.port};transport={transport}"

    async def wait(self, kind: type[_Event], seconds: float = 5) -> _Event:
        """The first event of a kind, which must come in time."""
        async with asyncio.timeout(seconds):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        return event
                self._news.clear()
                await self._news.wait()

    async def call(self, target_uri: str, kind: type[_Event]) -> _Event:
        """Call somebody and wait for what comes of it."""
        self.events.clear()
        self.shell.invite(InviteRequest(target_uri=target_uri, sdp=OFFER, caller="phone"))
        return await self.wait(kind)

    def answer_all(self) -> None:
        """Answer every call from now on."""
        self.on_event = lambda event: self.shell.answer(event.id, ANSWER) if isinstance(event, IncomingInvite) else None


Start = Callable[..., Awaitable[Phone]]


@asynccontextmanager
async def phones() -> AsyncIterator[Start]:
    """Start phones as told; they stop at the end."""
    started: list[Phone] = []

    async def start(*transports: Transport, **options: Any) -> Phone:
        made = Phone(*transports, **options)
        await made.shell.start()
        started.append(made)
        return made

    try:
        yield start
    finally:
        for made in started:
            await made.shell.stop(0.2)


async def talk(alice: Phone, bob: Phone, target_uri: str) -> None:
    """Alice calls Bob; Bob answers and hangs up."""
    bob.answer_all()
    bob.events.clear()
    answered = await alice.call(target_uri, InviteAnswered)
    assert answered.sdp == ANSWER
    confirmed = await bob.wait(InviteConfirmed)
    bob.shell.hangup(confirmed.id)
    assert (await alice.wait(InviteEnded)).reason is EndCause.REMOTE_BYE
