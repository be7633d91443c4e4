"""All browser connections, and the way to them: from a registration, from a login.

Owns which connections there are, and which of them an incoming call is for. What happens in one is `session`'s.
"""

from __future__ import annotations

from collections.abc import Callable

from trunkline.calls.controller import CallController
from trunkline.calls.legs.fork import Place
from trunkline.calls.legs.sip_party import SipAccess, replace_leg
from trunkline.calls.messages import Messages
from trunkline.calls.model import EndReason
from trunkline.calls.ports import Clock, WebPort
from trunkline.calls.ringer import Announcement, Ringer
from trunkline.calls.sessions.session import BelievedDomains, SessionHost, SessionRequest, WebSession
from trunkline.calls.trunks.fleet import Fleet
from trunkline.errors import CapacityError, NoRoute
from trunkline.ids import SessionId
from trunkline.observability.logging import get_logger
from trunkline.observability.metrics import Metrics
from trunkline.sip.types import IncomingInvite, RegistrationId
from trunkline.trunks.identity import HeaderRules

_log = get_logger(__name__)


class Sessions:
    """All browser connections, and the way from a registration to its connection."""

    def __init__(
        self,
        *,
        controller: CallController,
        sip: SipAccess,
        clock: Clock,
        metrics: Metrics,
        register_expires_s: int,
        fleet: Fleet | None = None,
        headers: HeaderRules | None = None,
        ringer: Ringer | None = None,
        believed: BelievedDomains | None = None,
    ) -> None:
        self.headers = headers or HeaderRules()
        self.otherwise: Callable[[IncomingInvite], None] | None = None
        """Takes calls that no registration here claims; without it they are refused."""
        self._sip = sip
        self._metrics = metrics
        self._by_registration: dict[RegistrationId, WebSession] = {}
        self.messages = Messages(sip, metrics, self._by_registration)
        self._host = SessionHost(
            controller=controller,
            sip=sip,
            clock=clock,
            metrics=metrics,
            messages=self.messages,
            register_expires_s=register_expires_s,
            fleet=fleet,
            headers=self.headers,
            by_registration=self._by_registration,
            ringer=ringer,
            believed=believed or BelievedDomains(),
        )
        self._sessions: dict[SessionId, WebSession] = {}
        sip.events.on_incoming(self.take)

    def __len__(self) -> int:
        """Count open connections."""
        return len(self._sessions)

    def open(self, session_id: SessionId, request: SessionRequest, web: WebPort) -> WebSession:
        """Take a new connection. Call `WebSession.register` once the browser knows that it is in."""
        session = WebSession(session_id, request, web, self._host)
        self._sessions[session_id] = session
        self._metrics.sessions_active.inc()
        _log.info("session_opened", session_id=session_id, is_registering=request.is_registering)
        return session

    def close(self, session: WebSession) -> None:
        """End a connection with everything of it; nothing if it has ended."""
        if self._sessions.pop(session.id, None) is None:
            return
        session.close()
        self._metrics.sessions_active.dec()
        _log.info("session_closed", session_id=session.id)

    def close_all(self) -> None:
        """Ask every socket to close; each then ends its own session."""
        for session in tuple(self._sessions.values()):
            session.disconnect()

    def places_of(self, login: str, announcement: Announcement) -> tuple[Place, ...]:
        """See `ringer.Users`: every connection of a login, or of `login@domain`."""
        return tuple(session.place() for session in reversed(self._sessions.values()) if session.is_of(login))

    def readers_of(self, login: str) -> tuple[WebSession, ...]:
        """See `messages.Readers`: every connection of a login, or of `login@domain`."""
        return tuple(session for session in self._sessions.values() if session.is_of(login))

    def take(self, invite: IncomingInvite) -> None:
        """Ring the browser whose registration was called; an unknown contact is answered 404.

        A call that replaces one of ours goes there, if it has come by a registration; else `otherwise` judges it first.
        """
        session = self._by_registration.get(invite.registration) if invite.registration is not None else None
        if session is None and self.otherwise is not None:
            self.otherwise(invite)
            return
        if session is None:
            self._sip.verbs.hangup(invite.id, NoRoute.sip_status)
            return
        if invite.replaces is not None:
            replace_leg(self._sip, invite)
            return
        try:
            session.ring(invite)
        except CapacityError as error:
            _log.warning("call_refused", reason=EndReason.CAPACITY.code, detail=str(error))
            self._metrics.calls_ended.labels(EndReason.CAPACITY.code).inc()
            self._sip.verbs.hangup(invite.id, CapacityError.sip_status)
