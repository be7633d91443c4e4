"""Browser connections: each with its SIP account, its registration and its calls.

Owns what belongs to one connection and ends with it. A connection that goes away takes its calls and its registration
with it. Knows no frame and no SIP message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from trunkline.calls.controller import CallController, LegMaker
from trunkline.calls.events import DtmfMethod, FollowRequested, HoldRequested, Reply, ResumeRequested
from trunkline.calls.legs.sip_party import OutboundCall, SipAccess
from trunkline.calls.media_leg import LegContext
from trunkline.calls.messages import Messages
from trunkline.calls.model import Call, CallEnd, CallRequest, CallState, EndReason, Side
from trunkline.calls.ports import Clock, ReceivedText, Text, WebPort
from trunkline.calls.routing import dialable, printable, route, transfer_request
from trunkline.calls.sip_events import RegistrationEvent
from trunkline.calls.sip_leg import SipLeg
from trunkline.calls.trunks.course import Order
from trunkline.calls.trunks.fleet import Fleet
from trunkline.calls.trunks.inbound import Arrival
from trunkline.calls.web_leg import WebLeg
from trunkline.errors import (
    CallNotFound,
    CapacityError,
    InvalidCallState,
    NoRoute,
    TrunklineError,
)
from trunkline.ids import CallId, SessionId
from trunkline.observability.logging import get_logger
from trunkline.observability.metrics import Metrics
from trunkline.sip.types import (
    Account,
    HeaderFields,
    IncomingInvite,
    MessageAnswered,
    MessageReceived,
    Registered,
    RegistrationFailed,
    RegistrationId,
)
from trunkline.trunks.identity import Caller, HeaderRules, allowed, user_of

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """What a browser says of itself when it connects. account: None if it only wants to be let in."""

    account: Account | None = None
    is_registering: bool = False
    app_key: str = "defaultApp"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOrder:
    """A call that a browser asks for. offer: its SDP. headers: custom ones; those that are allowed go out.

    trunk: name of the trunk or group to use; empty leaves it to the rules.
    """

    call_id: CallId
    callee: str
    offer: str
    visible_name: str = ""
    has_audio: bool = True
    has_video: bool = False
    custom: Mapping[str, object] = field(default_factory=dict)
    trunk: str = ""
    headers: HeaderFields = ()


class WebSession:
    """One browser connection. Its verbs raise the errors they name; the socket turns them into `fail` frames."""

    def __init__(self, session_id: SessionId, request: SessionRequest, web: WebPort, sessions: Sessions) -> None:
        self.id = session_id
        self.request = request
        self.registration: RegistrationId | None = None
        self._web = web
        self._sessions = sessions
        self._legs: list[WebLeg] = []
        """One for each call. Which call that is changes when a far side transfers us."""
        self._is_registered = False

    @property
    def calls(self) -> tuple[Call, ...]:
        """Return the session's live calls."""
        return tuple(leg.call for leg in self._legs if not leg.is_over)

    # --- registration ---

    def register(self) -> None:
        """Start registering, if the browser asked for it. The outcome goes to the socket when it is known."""
        account = self.request.account
        if account is None or not self.request.is_registering or self.registration is not None:
            return
        sip = self._sessions.sip
        self.registration = sip.verbs.register(account, self._sessions.register_expires_s)
        sip.events.bind_registration(self.registration, self._registration_changed)
        self._sessions.by_registration[self.registration] = self

    def _registration_changed(self, event: RegistrationEvent) -> None:
        outcomes = self._sessions.metrics.registrations
        match event:
            case Registered():
                if not self._is_registered:  # refreshes are no news
                    self._is_registered = True
                    outcomes.labels("registered").inc()
                    _log.info("registered", session_id=self.id, expires_s=event.expires_s)
                    self._web.registered()
            case RegistrationFailed(_, status, phrase, retry_in_s):
                self._is_registered = False
                outcomes.labels("failed").inc()
                _log.warning("registration_failed", session_id=self.id, sip_status=status, retry_in_s=retry_in_s)
                self._web.registration_failed(status, phrase, is_final=retry_in_s is None)

    # --- verbs of the browser ---

    def place_call(self, order: CallOrder) -> None:
        """Call somebody with the session's account.

        Raises CallExists if the id is taken. Every other failure is the call's own end and is shown as its status.
        """
        account = self.request.account
        request = CallRequest(
            id=order.call_id,
            caller=account.login if account else "",
            callee=order.callee,
            session=self.id,
            visible_name=order.visible_name,
            app_key=self.request.app_key,
            has_audio=order.has_audio,
            has_video=order.has_video,
            custom=dict(order.custom),
        )
        sessions = self._sessions
        outbound: OutboundCall | None = None
        try:
            outbound = self._route(order)
            sessions.controller.start(
                request,
                self._web_leg(order.offer),
                partial(SipLeg, sip=sessions.sip, what=outbound),
                self._forget,
            )
        except TrunklineError as error:
            if outbound is not None and outbound.course is not None:
                outbound.course.over()
            if not isinstance(error, CapacityError | NoRoute):
                raise
            reason = EndReason.CAPACITY if isinstance(error, CapacityError) else EndReason.NO_ROUTE
            self._refuse(request, CallEnd(reason, phrase=str(error)))

    def _route(self, order: CallOrder) -> OutboundCall:
        """Call by the session's account; over trunks if it has none. NoRoute or CapacityError if that cannot be."""
        account, fleet = self.request.account, self._sessions.fleet
        if fleet is None or (account is not None and not order.trunk):
            headers = allowed(order.headers, self._sessions.headers.outbound)
            return route(order.callee, account, order.visible_name, headers=headers)
        fleet.check_web_calls()
        return fleet.outbound(
            Order(
                number=user_of(dialable(order.callee)),
                caller=Caller(display_name=printable(order.visible_name)),
                headers=order.headers,
            ),
            (order.trunk,) if order.trunk else (),
        )

    def _refuse(self, request: CallRequest, end: CallEnd) -> None:
        """Show the end of a call that never began."""
        now = self._sessions.clock.now()
        refused = Call(request, now, CallState.ENDED, end.reason.value.status, ended_at=now, end=end)
        self._sessions.metrics.calls_ended.labels(end.reason.code).inc()
        _log.warning("call_refused", call_id=request.id, reason=end.reason.code, detail=end.phrase)
        self._web.call_status(refused)

    def answer(self, call_id: CallId, description: str) -> None:
        """Answer an incoming call. CallNotFound, or InvalidCallState if it is not ringing here."""
        leg = self._leg(call_id)
        if leg.side is not Side.B or leg.call.state is not CallState.RINGING:
            raise InvalidCallState(f"call {call_id} is not ringing")
        leg.answered(description)

    def hang_up(self, call_id: CallId) -> None:
        """End a call: cancel, decline or hang up, whichever fits. CallNotFound if it is over already.

        Of a call that is to take over from another one, that is a transfer not followed.
        """
        followed = next((leg.call for leg in self._legs if _is_succeeded_by(leg.call, call_id)), None)
        if followed is not None:
            self.follow(followed.id, is_accepted=False)
            return
        leg = self._leg(call_id)
        if leg.call.answered_at is not None:
            reason = EndReason.NORMAL
        elif leg.side is Side.A:
            reason = EndReason.CANCELLED
        else:
            is_busy = any(call.answered_at is not None for call in self.calls)
            reason = EndReason.BUSY_HERE if is_busy else EndReason.DECLINED_HERE
        leg.hung_up(reason)

    def send_dtmf(self, call_id: CallId, digits: str, method: DtmfMethod) -> None:
        """Send digits to the other side. CallNotFound, or InvalidCallState if no media flows yet."""
        leg = self._leg(call_id)
        self._sessions.controller.send_dtmf(call_id, leg.side.other, digits, method)

    def hold(self, call_id: CallId, *, is_for_transfer: bool = False) -> None:
        """Put the other side on hold. CallNotFound; what else stands in the way goes to the socket."""
        leg = self._leg(call_id)
        reply = self._reply_of("hold", call_id)
        self._sessions.controller.request(call_id, HoldRequested(leg.side, reply, is_for_transfer))

    def unhold(self, call_id: CallId) -> None:
        """Take the other side off hold. CallNotFound; what else stands in the way goes to the socket."""
        leg = self._leg(call_id)
        self._sessions.controller.request(call_id, ResumeRequested(leg.side, self._reply_of("unhold", call_id)))

    def transfer(self, call_id: CallId, target: str, consulted: CallId | None = None) -> None:
        """Send the other side to somebody else, or to the far side of another call of this session.

        A target that is the id of another call means that call: clients that know no more than a target can do it too.
        CallNotFound, or NoRoute for what cannot be dialed; what else stands in the way goes to the socket.
        """
        leg = self._leg(call_id)
        if consulted is None and target != call_id and any(call.id == target for call in self.calls):
            consulted = CallId(target)
        if consulted is not None:
            self._leg(consulted)
        request = transfer_request(leg.side, target, self._reply_of("transfer", call_id), consulted)
        self._sessions.controller.request(call_id, request)

    def follow(self, call_id: CallId, *, is_accepted: bool) -> None:
        """Say whether a transfer that the far side asks for is followed, or give up one that is.

        CallNotFound; what else stands in the way goes to the socket.
        """
        self._leg(call_id)
        reply = self._reply_of("acceptTransfer" if is_accepted else "rejectTransfer", call_id)
        self._sessions.controller.request(call_id, FollowRequested(is_accepted, reply))

    def send_message(self, message_id: str, text: Text) -> None:
        """Send a text with the session's account. NoRoute, LocalProtocolError; the outcome goes to the socket.

        message_id: the browser's own.
        """

        def answered(event: MessageAnswered) -> None:
            self._web.message_answered(message_id, text, event.status, event.reason)

        self._sessions.messages.send(self.request.account, text, answered)

    def message_received(self, message: MessageReceived) -> None:
        """Show a text to the browser."""
        self._web.message_received(
            ReceivedText(
                id=f"sip-{message.request}",
                sender=user_of(message.sender),
                recipient=user_of(message.recipient),
                display_name=message.display_name,
                body=message.text,
                content_type=message.content_type,
            )
        )

    def _reply_of(self, method: str, call_id: CallId) -> Reply:
        """Make what shows the browser that a request failed; that it succeeded is seen by the call's status."""

        def reply(error: TrunklineError | None) -> None:
            if error is not None:
                self._web.request_failed(method, call_id, str(error), error.code)

        return reply

    def _leg(self, call_id: CallId) -> WebLeg:
        leg = next((leg for leg in self._legs if leg.call.id == call_id and not leg.is_over), None)
        if leg is None:
            raise CallNotFound(f"no call {call_id}")
        return leg

    # --- calls ---

    def ring_for(self, arrival: Arrival) -> None:
        """Take a call of a trunk's or an inbound user's. CapacityError if the node is full."""
        sessions = self._sessions
        request = CallRequest(
            id=sessions.controller.new_call_id(),
            caller=arrival.shown_caller,
            callee=arrival.callee,
            incoming=True,
            session=self.id,
            visible_name=arrival.shown_name,
            app_key=self.request.app_key,
            invite_parameters=dict(arrival.parameters),
        )

        def over(call: Call) -> None:
            self._forget(call)
            arrival.on_over()

        sessions.controller.start(
            request, lambda context: arrival.leg(context, sessions.sip), self._web_leg(None), over
        )

    def ring(self, invite: IncomingInvite) -> None:
        """Take an incoming call. CapacityError if the node is full."""
        sessions = self._sessions
        account = self.request.account
        request = CallRequest(
            id=sessions.controller.new_call_id(),
            caller=user_of(invite.caller),
            callee=account.login if account else user_of(invite.callee),
            incoming=True,
            session=self.id,
            visible_name=invite.display_name,
            app_key=self.request.app_key,
            invite_parameters=dict(allowed(invite.headers, sessions.headers.inbound)),
        )
        sessions.controller.start(
            request,
            lambda context: SipLeg(context, sessions.sip, invite, account=account),
            self._web_leg(None),
            self._forget,
        )

    def _web_leg(self, offer: str | None) -> LegMaker:
        def make(context: LegContext) -> WebLeg:
            leg = WebLeg(context, self._web, offer)
            self._legs.append(leg)
            return leg

        return make

    def _forget(self, call: Call) -> None:
        self._legs = [leg for leg in self._legs if leg.call is not call]

    def disconnect(self) -> None:
        """Ask the socket to close."""
        self._web.close()

    def close(self) -> None:
        """End everything of the session: the browser is gone."""
        for leg in tuple(self._legs):
            leg.hung_up(EndReason.CLIENT_GONE)
        if self.registration is not None:
            sip = self._sessions.sip
            sip.events.unbind_registration(self.registration)
            sip.verbs.unregister(self.registration)
            del self._sessions.by_registration[self.registration]
            self._sessions.metrics.registrations.labels("unregistered").inc()


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
    ) -> None:
        self.controller = controller
        self.sip = sip
        self.clock = clock
        self.metrics = metrics
        self.register_expires_s = register_expires_s
        self.fleet = fleet
        self.headers = headers or HeaderRules()
        self.otherwise: Callable[[IncomingInvite], None] | None = None
        """Takes calls that no registration here claims; without it they are refused."""
        self.by_registration: dict[RegistrationId, WebSession] = {}
        self.messages = Messages(sip, metrics, self.by_registration)
        self._sessions: dict[SessionId, WebSession] = {}
        sip.events.on_incoming(self.take)

    def __len__(self) -> int:
        """Count open connections."""
        return len(self._sessions)

    def open(self, session_id: SessionId, request: SessionRequest, web: WebPort) -> WebSession:
        """Take a new connection. Call `WebSession.register` once the browser knows that it is in."""
        session = WebSession(session_id, request, web, self)
        self._sessions[session_id] = session
        self.metrics.sessions_active.inc()
        _log.info("session_opened", session_id=session_id, is_registering=request.is_registering)
        return session

    def close(self, session: WebSession) -> None:
        """End a connection with everything of it; nothing if it has ended."""
        if self._sessions.pop(session.id, None) is None:
            return
        session.close()
        self.metrics.sessions_active.dec()
        _log.info("session_closed", session_id=session.id)

    def close_all(self) -> None:
        """Ask every socket to close; each then ends its own session."""
        for session in tuple(self._sessions.values()):
            session.disconnect()

    def ring_user(self, login: str, arrival: Arrival) -> bool:
        """Ring the newest connection of a login, or of `login@domain`; False if there is none.

        CapacityError if the node is full.
        """
        for session in reversed(self._sessions.values()):
            account = session.request.account
            if account is not None and login in (account.login, f"{account.login}@{account.domain}"):
                session.ring_for(arrival)
                return True
        return False

    def take(self, invite: IncomingInvite) -> None:
        """Ring the browser whose registration was called; an unknown contact is answered 404.

        A call that replaces one of ours goes there.
        """
        if invite.replaces is not None:
            # Who knows a dialog's tags has them from one of its sides.
            if not self.sip.events.replace(invite):
                self.sip.verbs.hangup(invite.id, 481)
            return
        session = self.by_registration.get(invite.registration) if invite.registration is not None else None
        if session is None and self.otherwise is not None:
            self.otherwise(invite)
            return
        if session is None:
            self.sip.verbs.hangup(invite.id, NoRoute.sip_status)
            return
        try:
            session.ring(invite)
        except CapacityError as error:
            _log.warning("call_refused", reason=EndReason.CAPACITY.code, detail=str(error))
            self.metrics.calls_ended.labels(EndReason.CAPACITY.code).inc()
            self.sip.verbs.hangup(invite.id, CapacityError.sip_status)


def _is_succeeded_by(call: Call, call_id: CallId) -> bool:
    return call.successor is not None and call.successor.id == call_id
