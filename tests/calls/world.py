"""A gateway of fakes: the controller and sessions as they are, everything below them scripted by a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from fakes import ACCOUNT, FakeClock, FakeMedia, FakeSip, FakeWeb, browser_offer
from trunkline.calls.controller import CallController, ControllerSettings
from trunkline.calls.legs.sip_party import SipAccess
from trunkline.calls.model import Call, EndReason, HoldPolicy, LegKind, TransferPolicy
from trunkline.calls.registry import Registry
from trunkline.calls.run.clocks import RunSettings
from trunkline.calls.run.recording import RecordingSettings
from trunkline.calls.sessions import BelievedDomains, CallOrder, SessionRequest, Sessions, WebSession
from trunkline.calls.sip_events import SipEvents
from trunkline.dtmf import DtmfMode
from trunkline.ids import CallId, SessionId
from trunkline.media.types import Event as MediaEvent
from trunkline.media.types import Tone
from trunkline.observability.metrics import Metrics
from trunkline.sdp.codecs import CodecPolicy
from trunkline.sdp.security import SecurityPolicy
from trunkline.sip.types import Account, Event, IncomingInvite, InviteId, Path, Registered, RegistrationId, Transport

HOLD_MUSIC = Tone((425.0,))
RING_S, SETUP_S, DURATION_S = 30.0, 90.0, 3600.0
PATH = Path(Transport.UDP, ("192.0.2.1", 5060), ("198.51.100.9", 5060))


class World:
    """Make it with `world()`. Verbs of far sides are methods; what they saw is in the fakes."""

    def __init__(
        self,
        max_calls: int = 10,
        dtmf: DtmfMode = DtmfMode.AUTO,
        security: SecurityPolicy | None = None,
        codecs: CodecPolicy | None = None,
        transfers: TransferPolicy = TransferPolicy.FOLLOW,
        media: Any = None,
        holds: HoldPolicy = HoldPolicy.RELAY,
    ) -> None:
        self.clock, self.media, self.sip, self.web = FakeClock(), media or FakeMedia(), FakeSip(), FakeWeb()
        self.events = SipEvents()
        self.metrics = Metrics()
        self.controller = CallController(
            ControllerSettings(
                max_calls=max_calls,
                run=RunSettings(
                    ring_timeout_s=RING_S,
                    setup_timeout_s=SETUP_S,
                    max_duration_s=DURATION_S,
                    transfers=transfers,
                    holds=holds,
                    player_source=Tone((440.0,)),
                    hold_source=HOLD_MUSIC,
                    recording=RecordingSettings(directory="/recordings"),
                ),
                policies={kind: codecs or CodecPolicy(dtmf=dtmf) for kind in LegKind},
                security=security,
            ),
            media=self.media,
            clock=self.clock,
            registry=Registry(retention_s=1e6),
            metrics=self.metrics,
            rng=Random(1),
        )
        self.access = SipAccess(self.sip, self.events)
        self.sessions = Sessions(
            controller=self.controller,
            sip=self.access,
            clock=self.clock,
            metrics=self.metrics,
            register_expires_s=300,
            believed=BelievedDomains(frozenset({"*"})),
        )

    # --- the browser ---

    def connect(
        self, *, account: Account | None = ACCOUNT, registers: bool = False, web: FakeWeb | None = None
    ) -> WebSession:
        name = SessionId(f"session-{len(self.sessions)}")
        session = self.sessions.open(name, SessionRequest(account=account, is_registering=registers), web or self.web)
        session.register()
        return session

    async def registered(self, web: FakeWeb | None = None) -> WebSession:
        session = self.connect(registers=True, web=web)
        assert session.registration is not None
        await self.sip_says(Registered(session.registration, 300))
        return session

    async def call(self, session: WebSession, callee: str = "100", offer: str | None = None) -> Call:
        call_id = CallId(f"call-{callee}")
        session.place_call(CallOrder(call_id=call_id, callee=callee, offer=offer or browser_offer()))
        await self.settle()
        (call,) = self.controller.find(call_id)
        return call

    # --- the SIP side ---

    async def sip_says(self, event: Event) -> None:
        self.events.handle(event)
        await self.settle()

    def sent_invite(self) -> tuple[InviteId, str]:
        """Return the id and the offer of the newest INVITE that went out."""
        request, invite = self.sip.invites[-1]
        return invite, request.sdp or ""

    def incoming_invite(
        self, offer: str | None, number: int = 900, registration: RegistrationId | None = None
    ) -> IncomingInvite:
        return IncomingInvite(
            InviteId(number), registration, "sip:bob@sip.example", "Bob", "sip:alice@192.0.2.1", offer, (), PATH
        )

    async def incoming(self, session: WebSession, offer: str | None, number: int = 900) -> InviteId:
        invite = self.incoming_invite(offer, number, session.registration)
        await self.sip_says(invite)
        return invite.id

    # --- the media plane ---

    async def media_says(self, event: MediaEvent) -> None:
        for listener in list(self.media.listeners.values()):
            listener(event)
        await self.settle()

    # --- time ---

    async def settle(self) -> None:
        """Let every task run until none can go on."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.settle()

    def assert_nothing_left(self) -> None:
        """Assert that no call holds anything any more."""
        left: dict[str, Any] = {
            "calls": len(self.controller.registry),
            "endpoints": self.media.live,
            "bridges": self.media.bridges,
            "listeners": self.media.listeners,
            "timers": self.clock.pending,
        }
        assert not any(left.values()), left


@asynccontextmanager
async def world(
    max_calls: int = 10,
    dtmf: DtmfMode = DtmfMode.AUTO,
    security: SecurityPolicy | None = None,
    codecs: CodecPolicy | None = None,
    transfers: TransferPolicy = TransferPolicy.FOLLOW,
    holds: HoldPolicy = HoldPolicy.RELAY,
) -> AsyncIterator[World]:
    """Run a gateway of fakes; on leaving, everything must have been given back."""
    made = World(max_calls, dtmf, security, codecs, transfers, holds=holds)
    async with made.controller:
        yield made
        await made.controller.stop()
        await made.settle()
    made.assert_nothing_left()


def reason(call: Call) -> EndReason | None:
    """Return why a call ended, None while it lives."""
    return call.end.reason if call.end else None
