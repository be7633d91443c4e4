"""SHELL: sockets, timers and name look-ups around the SIP user agent.

Owns every socket, timer and task of the SIP side; knows nothing of dialogs or calls.   RFC 3261 section 18, RFC 3581.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trunkline.sip.types import (
    Account,
    Event,
    HeaderFields,
    IncomingRequestId,
    InviteId,
    InviteRequest,
    RegistrationId,
    Transport,
)
from trunkline.sip.ua import UserAgent


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen. port 0 takes any free one; `SipShell.listening` tells which."""

    transport: Transport
    host: str
    port: int = 0


class SipShell:
    """Drives one user agent on the running event loop.

    on_event: called for each event, in order, from the loop. It may call any verb; it must not raise.
    """

    def __init__(self, ua: UserAgent, listeners: Sequence[Listener], on_event: Callable[[Event], None]) -> None:
        raise NotImplementedError

    @property
    def listening(self) -> tuple[Listener, ...]:
        """Bound addresses with their real ports, in the order of the listeners given."""
        raise NotImplementedError

    @property
    def counters(self) -> dict[str, int]:
        """Counts since start: datagrams_received, malformed, keep_alives, send_errors, connections_refused, ..."""
        raise NotImplementedError

    async def start(self) -> None:
        """Bind and listen. ConnectFailed if an address cannot be bound."""
        raise NotImplementedError

    async def stop(self, timeout_s: float = 3.0) -> None:
        """De-register, hang up, close all sockets; returns within timeout_s."""
        raise NotImplementedError

    def register(self, account: Account, expires_s: int = 600) -> RegistrationId:
        """See `UserAgent.register`."""
        raise NotImplementedError

    def unregister(self, registration: RegistrationId) -> None:
        """See `UserAgent.unregister`."""
        raise NotImplementedError

    def invite(self, request: InviteRequest) -> InviteId:
        """See `UserAgent.invite`."""
        raise NotImplementedError

    def ring(self, invite: InviteId, status: int = 180, sdp: str | None = None) -> None:
        """See `UserAgent.ring`."""
        raise NotImplementedError

    def answer(self, invite: InviteId, sdp: str) -> None:
        """See `UserAgent.answer`."""
        raise NotImplementedError

    def hangup(self, invite: InviteId, status: int | None = None, reason: str | None = None) -> None:
        """See `UserAgent.hangup`."""
        raise NotImplementedError

    def reinvite(self, invite: InviteId, sdp: str) -> None:
        """See `UserAgent.reinvite`."""
        raise NotImplementedError

    def answer_reinvite(self, invite: InviteId, sdp: str | None = None, status: int = 200) -> None:
        """See `UserAgent.answer_reinvite`."""
        raise NotImplementedError

    def send_info(self, invite: InviteId, content_type: str, body: bytes) -> None:
        """See `UserAgent.send_info`."""
        raise NotImplementedError

    def respond(
        self,
        request: IncomingRequestId,
        status: int,
        *,
        reason: str | None = None,
        headers: HeaderFields = (),
        body: bytes = b"",
    ) -> None:
        """See `UserAgent.respond`."""
        raise NotImplementedError
