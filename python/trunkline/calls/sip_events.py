"""Hands each event of the SIP user agent to whoever asked for it.

Owns the way from an `InviteId` or a `RegistrationId` to its leg or session. Decides nothing about calls. An id without
a taker is over already: its events are late and are dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from trunkline.calls.ports import LegContext, LegPort
from trunkline.sip.types import (
    Event,
    FlowClosed,
    IncomingInvite,
    IncomingRequest,
    InfoAnswered,
    InfoReceived,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteFailed,
    InviteId,
    InviteProgress,
    InviteTrying,
    MessageAnswered,
    MessageId,
    MessageReceived,
    Probed,
    ProbeId,
    ReferAnswered,
    ReferProgress,
    ReferReceived,
    Registered,
    RegistrationFailed,
    RegistrationId,
    ReinviteAnswered,
    ReinviteFailed,
    ReinviteReceived,
    RequestAnswered,
    RequestId,
    Unregistered,
)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A call that is to take a leg's place. make: its leg, where that is of no ordinary kind; given the leg's context.

    Of this module rather than of the user agent, since it is somebody's judgement that it may.
    """

    invite: IncomingInvite
    make: Callable[[LegContext], LegPort] | None = None


InviteEvent = (
    InviteTrying
    | InviteProgress
    | InviteAnswered
    | InviteFailed
    | InviteEnded
    | InviteConfirmed
    | ReinviteReceived
    | ReinviteAnswered
    | ReinviteFailed
    | InfoReceived
    | InfoAnswered
    | MessageReceived
    | ReferReceived
    | ReferAnswered
    | ReferProgress
    | Newcomer
)
"""What happens to one INVITE usage after it is known."""

RegistrationEvent = Registered | RegistrationFailed
"""What happens to one registration while somebody wants it."""


class SipEvents:
    """Routes events by id. Its `handle` is the `on_event` of the SIP shell."""

    def __init__(self) -> None:
        self._invites: dict[InviteId, Callable[[InviteEvent], None]] = {}
        self._registrations: dict[RegistrationId, Callable[[RegistrationEvent], None]] = {}
        self._probes: dict[ProbeId, Callable[[Probed], None]] = {}
        self._messages: dict[MessageId, Callable[[MessageAnswered], None]] = {}
        self._on_message: Callable[[MessageReceived], None] | None = None
        self._on_incoming: Callable[[IncomingInvite], None] | None = None
        self._on_request: Callable[[IncomingRequest], None] | None = None
        self._on_flow_closed: Callable[[FlowClosed], None] | None = None
        self._requests: dict[RequestId, Callable[[RequestAnswered], None]] = {}

    def on_incoming(self, taker: Callable[[IncomingInvite], None]) -> None:
        """Name who takes new inbound calls."""
        self._on_incoming = taker

    def on_message(self, taker: Callable[[MessageReceived], None]) -> None:
        """Name who takes texts."""
        self._on_message = taker

    def on_request(self, taker: Callable[[IncomingRequest], None]) -> None:
        """Name who answers requests outside dialogs."""
        self._on_request = taker

    def on_flow_closed(self, taker: Callable[[FlowClosed], None]) -> None:
        """Name who is told of WebSockets of peers that have closed."""
        self._on_flow_closed = taker

    def bind_request(self, request: RequestId, taker: Callable[[RequestAnswered], None]) -> None:
        """Send the answer to a request of ours outside dialogs here."""
        self._requests[request] = taker

    def bind_invite(self, invite: InviteId, taker: Callable[[InviteEvent], None]) -> None:
        """Send the events of an INVITE usage here until its terminal one."""
        self._invites[invite] = taker

    def replace(self, newcomer: Newcomer) -> bool:
        """Hand a call to the leg whose dialog it is to replace (RFC 3891); False if there is no such leg."""
        replaced = newcomer.invite.replaces
        taker = None if replaced is None else self._invites.get(replaced)
        if taker is not None:
            taker(newcomer)
        return taker is not None

    def bind_registration(self, registration: RegistrationId, taker: Callable[[RegistrationEvent], None]) -> None:
        """Send the events of a registration here until `unbind_registration`."""
        self._registrations[registration] = taker

    def bind_probe(self, probe: ProbeId, taker: Callable[[Probed], None]) -> None:
        """Send the answer to a probe here."""
        self._probes[probe] = taker

    def bind_message(self, message: MessageId, taker: Callable[[MessageAnswered], None]) -> None:
        """Send the answer to a text here."""
        self._messages[message] = taker

    def unbind_invite(self, invite: InviteId) -> None:
        """Stop sending the events of an INVITE usage anywhere; unknown ids are ignored."""
        self._invites.pop(invite, None)

    def unbind_registration(self, registration: RegistrationId) -> None:
        """Stop that; unknown ids are ignored."""
        self._registrations.pop(registration, None)

    @property
    def bound_invites(self) -> int:
        """INVITE usages that somebody waits for."""
        return len(self._invites)

    @property
    def bound_registrations(self) -> int:
        """Registrations that somebody waits for."""
        return len(self._registrations)

    def handle(self, event: Event) -> None:
        """Deliver one event. Raises nothing of its own."""
        match event:
            case Registered() | RegistrationFailed():
                taker = self._registrations.get(event.id)
                if taker is not None:
                    taker(event)
            case Unregistered():
                self._registrations.pop(event.id, None)
            case Probed():
                asker = self._probes.pop(event.id, None)
                if asker is not None:
                    asker(event)
            case IncomingInvite():
                if self._on_incoming is not None:
                    self._on_incoming(event)
            case MessageReceived():
                taken_by = self._on_message if event.invite is None else self._invites.get(event.invite)
                if taken_by is not None:
                    taken_by(event)
            case MessageAnswered():
                sender = self._messages.pop(event.id, None)
                if sender is not None:
                    sender(event)
            case IncomingRequest():
                if self._on_request is not None:
                    self._on_request(event)
            case RequestAnswered():
                asked = self._requests.pop(event.id, None)
                if asked is not None:
                    asked(event)
            case FlowClosed():
                if self._on_flow_closed is not None:
                    self._on_flow_closed(event)
            case InviteFailed() | InviteEnded():
                leg = self._invites.pop(event.id, None)
                if leg is not None:
                    leg(event)
            case (
                InviteTrying()
                | InviteProgress()
                | InviteAnswered()
                | InviteConfirmed()
                | ReinviteReceived()
                | ReinviteAnswered()
                | ReinviteFailed()
                | InfoReceived()
                | InfoAnswered()
                | ReferReceived()
                | ReferAnswered()
                | ReferProgress()
            ):
                leg = self._invites.get(event.id)
                if leg is not None:
                    leg(event)
            case _:
                assert_never(event)
