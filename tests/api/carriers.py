"""Carriers and PBXs for whole-gateway tests: user agents on loopback addresses of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from node import Gateway

from fakes import phone_answer, phone_offer
from sip.phones import Phone
from trunkline.sip.types import (
    IncomingInvite,
    IncomingRequest,
    InviteId,
    InviteRequest,
    ReinviteReceived,
    Transport,
)

WAIT_S = 20.0


class Carrier(Phone):
    """Answers calls, or what a test says. invites: those that came, in order."""

    def __init__(self, host: str, **options: Any) -> None:
        super().__init__(Transport.UDP, host=host, accept=frozenset({"REGISTER"}), **options)
        self.host = host
        self.invites: list[IncomingInvite] = []
        self.on_invite: Callable[[IncomingInvite], None] = self.answer
        self.registers: list[IncomingRequest] = []
        self.on_event = self._take

    @property
    def sip_port(self) -> int:
        return self.port(Transport.UDP)

    def _take(self, event: object) -> None:
        match event:
            case IncomingInvite():
                self.invites.append(event)
                self.on_invite(event)
            case IncomingRequest(method="REGISTER"):
                self.registers.append(event)
                contact = dict(event.headers)["Contact"]
                self.shell.respond(event.id, 200, headers=(("Contact", f"{contact};expires=300"),))
            case ReinviteReceived():
                self.shell.answer_reinvite(event.id, phone_answer(event.sdp or ""))

    def answer(self, invite: IncomingInvite) -> None:
        """Answer, or offer where the caller left that to us."""
        self.shell.answer(invite.id, phone_answer(invite.sdp) if invite.sdp else phone_offer())

    def refuse(self, status: int) -> None:
        """Refuse every call from now on."""
        self.on_invite = lambda invite: self.shell.hangup(invite.id, status)

    def ring(self) -> None:
        """Let every call ring from now on."""
        self.on_invite = lambda invite: self.shell.ring(invite.id)

    async def until(self, is_so: Callable[[], object]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(WAIT_S):
            while not is_so():  # noqa: ASYNC110 - what changes is another party's
                await asyncio.sleep(0.02)

    async def got(self, count: int = 1) -> IncomingInvite:
        """Wait for so many calls; returns the newest."""
        await self.until(lambda: len(self.invites) >= count)
        return self.invites[-1]

    def call_gateway(self, node: Gateway, number: str, sdp: str | None = None, **more: Any) -> InviteId:
        """Call a number at the gateway."""
        port = node.app.sip.listening[0].port
        asked = InviteRequest(
            target_uri=f"sip:{number}@127.0.0.1:{port}",
            sdp=sdp or phone_offer(),
            from_uri=more.pop("from_uri", f"sip:+4940111@{self.host}"),
            **more,
        )
        return self.shell.invite(asked)

    def trunk(self, **more: object) -> dict[str, object]:
        """Return the settings of a trunk to this carrier. Nobody asks whether it is there unless told."""
        return {"host": self.host, "port": self.sip_port, "health": {"interval_s": 0}, **more}


@asynccontextmanager
async def carriers(*hosts: str, **options: Any) -> AsyncIterator[tuple[Carrier, ...]]:
    """Start carriers at these addresses."""
    made = [Carrier(host, **options) for host in hosts]
    try:
        for carrier in made:
            await carrier.shell.start()
        yield tuple(made)
    finally:
        for carrier in made:
            await carrier.shell.stop(0.2)


def header(invite: IncomingInvite, name: str) -> str | None:
    """Return a header of an INVITE, None if it is not there."""
    return next((value for known, value in invite.headers if known.lower() == name.lower()), None)
