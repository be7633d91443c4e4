"""One browser connection: its SIP account, its registration and its calls.

Owns what belongs to the connection and ends with it: a connection that goes away takes its calls and its registration
with it. Knows no frame and no SIP message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from trunkline.calls.controller import CallController, LegMaker
from trunkline.calls.events import DtmfMethod, DtmfRequested, FollowRequested, HoldRequested, Reply, ResumeRequested
from trunkline.calls.legs.fork import Place
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.legs.sip_party import OutboundCall, SipAccess
from trunkline.calls.media_leg import LegContext
from trunkline.calls.messages import Messages, OnOutcome, Outcome, received_from, within
from trunkline.calls.model import Call, CallEnd, CallRequest, CallState, EndReason, ReceivedText, Side
from trunkline.calls.ports import Clock, Text, WebPort
from trunkline.calls.ringer import Announcement, Ringer
from trunkline.calls.routing import dialable, printable, route, transfer_request
from trunkline.calls.sip_events import RegistrationEvent
from trunkline.calls.trunks.course import Order
from trunkline.calls.trunks.fleet import Fleet
from trunkline.calls.web_leg import WebLeg
from trunkline.errors import CallNotFound, CapacityError, InvalidCallState, LegRejected, NoRoute, TrunklineError
from trunkline.ids import CallId, SessionId
from trunkline.observability.logging import get_logger
from trunkline.observability.metrics import Metrics
from trunkline.sip.registrar import UNHEARD, WRONG, Admission
from trunkline.sip.types import (
    Account,
    HeaderFields,
    IncomingInvite,
    Registered,
    RegistrationFailed,
    RegistrationId,
)
from trunkline.trunks.identity import Caller, HeaderRules, allowed, user_of

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRequest:
    """What a browser says of itself when it connects. account: None if it only wants to be let in.

    source: the IP address that it connects from.
    """

    account: Account | None = None
    is_registering: bool = False
    app_key: str = "defaultApp"
    source: str = ""


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


@dataclass(slots=True)
class BelievedDomains:
    """The domains whose servers are believed about who a browser is. `*`: every browser is, without a server's word.

    names: in lower case; others may be put in their place while the node runs.
    """

    names: frozenset[str] = frozenset()

    def holds(self, account: Account, *, is_registered: bool) -> bool:
        """Whether a browser with this account is whom the account names.

        A server's word is that it took the registration, so it has to be the domain's own: not any that the browser
        has named as the outbound proxy.
        """
        if "*" in self.names:
            return True
        hosts = {account.domain.lower(), (account.outbound_proxy or account.domain).lower()}
        return is_registered and hosts <= self.names


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHost:
    """What a session needs of the node. fleet: the trunks, None if it is to use none. headers: which custom ones pass.

    by_registration: the sessions that register, kept up to date by each. ringer: finds the node's other users.
    believed: whom a session is taken for.
    """

    controller: CallController
    sip: SipAccess
    clock: Clock
    metrics: Metrics
    messages: Messages
    register_expires_s: int
    fleet: Fleet | None
    headers: HeaderRules
    by_registration: dict[RegistrationId, WebSession]
    ringer: Ringer | None
    believed: BelievedDomains


class WebSession:
    """One browser connection. Its verbs raise the errors they name; the socket turns them into `fail` frames."""

    def __init__(self, session_id: SessionId, request: SessionRequest, web: WebPort, host: SessionHost) -> None:
        self.id = session_id
        self.request = request
        self.registration: RegistrationId | None = None
        self._web = web
        self._host = host
        self._legs: list[WebLeg] = []
        """One for each call. Which call that is changes when a far side transfers us."""
        self._is_registered = False
        self._locals = None if host.ringer is None else host.ringer.locals
        self._admission: Admission | None = None
        """What was made of its password; None if it is not one of the node's own realm."""
        account = request.account
        if account is not None and self._locals is not None and account.domain.lower() == self._locals.realm.lower():
            self._admission = self._locals.admit(account.login, account.password, request.source)

    @property
    def _has_no_server(self) -> bool:
        """Whether its account is with this node, and nowhere else."""
        return self._admission is not None

    @property
    def _is_local(self) -> bool:
        """Whether it is one of the node's own users, and has the password."""
        return self._admission is Admission.RIGHT

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
        if self._has_no_server:
            self._admit()
            return
        sip = self._host.sip
        self.registration = sip.verbs.register(account, self._host.register_expires_s)
        sip.events.bind_registration(self.registration, self._registration_changed)
        self._host.by_registration[self.registration] = self

    def _admit(self) -> None:
        """Say at once whether a user of the node's own is in: there is no server to ask."""
        outcome = "registered" if self._is_local else "failed"
        self._host.metrics.registrations.labels(outcome).inc()
        if self._is_local:
            self._web.registered()
        else:
            phrase = UNHEARD if self._admission is Admission.UNHEARD else WRONG
            self._web.registration_failed(403, phrase, is_final=True)

    def _registration_changed(self, event: RegistrationEvent) -> None:
        outcomes = self._host.metrics.registrations
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
        host = self._host
        outbound: OutboundCall | None = None
        try:
            if self._rings_here(order, request):
                return
            outbound = self._route(order)
            host.controller.start(
                request,
                self._web_leg(order.offer),
                partial(SipLeg, sip=host.sip, what=outbound),
                self._forget,
            )
        except TrunklineError as error:
            if outbound is not None and outbound.course is not None:
                outbound.course.over()
            if not isinstance(error, CapacityError | NoRoute):
                raise
            reason = EndReason.CAPACITY if isinstance(error, CapacityError) else EndReason.NO_ROUTE
            self._refuse(request, CallEnd(reason, phrase=str(error)))

    def _rings_here(self, order: CallOrder, request: CallRequest) -> bool:
        """Call another user of the node, wherever it is; False if the callee is none, or nowhere. CapacityError."""
        account, ringer = self.request.account, self._host.ringer
        if account is None or ringer is None or not self._is_local or order.trunk:
            return False
        callee, _, domain = order.callee.strip().removeprefix("sip:").partition("@")
        if domain.lower() not in ("", account.domain.lower()):
            return False
        announcement = Announcement(caller=account.login, name=printable(order.visible_name))
        places = [place for place in ringer.places_of(callee, announcement) if place.session != self.id]
        if places:
            ringer.ring(request, self._web_leg(order.offer), places, self._forget)
        elif self._has_no_server and self._locals is not None and self._locals.knows(callee):
            self._refuse(request, CallEnd(EndReason.UNAVAILABLE))
            return True
        return bool(places)

    def _route(self, order: CallOrder) -> OutboundCall:
        """Call by the session's account; over trunks if it has none. NoRoute or CapacityError if that cannot be."""
        account, fleet = self.request.account, self._host.fleet
        if account is not None and self._locals is not None and self._has_no_server and not order.trunk:
            if not self._is_local:
                raise NoRoute("wrong user name or password")
            return self._locals.way_out(account.login, order.callee, printable(order.visible_name))
        if fleet is None or (account is not None and not order.trunk):
            headers = allowed(order.headers, self._host.headers.outbound)
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
        now = self._host.clock.now()
        refused = Call(request, now, CallState.ENDED, end.reason.value.status, ended_at=now, end=end)
        self._host.metrics.calls_ended.labels(end.reason.code).inc()
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
        """Send digits to the other side. CallNotFound; what else stands in the way goes to the socket."""
        leg = self._leg(call_id)
        reply = self._reply_of("sendDtmf", call_id)
        self._host.controller.request(call_id, DtmfRequested(leg.side.other, digits, method, reply))

    def hold(self, call_id: CallId, *, is_for_transfer: bool = False) -> None:
        """Put the other side on hold. CallNotFound; what else stands in the way goes to the socket."""
        leg = self._leg(call_id)
        reply = self._reply_of("hold", call_id)
        self._host.controller.request(call_id, HoldRequested(leg.side, reply, is_for_transfer))

    def unhold(self, call_id: CallId) -> None:
        """Take the other side off hold. CallNotFound; what else stands in the way goes to the socket."""
        leg = self._leg(call_id)
        self._host.controller.request(call_id, ResumeRequested(leg.side, self._reply_of("unhold", call_id)))

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
        self._host.controller.request(call_id, request)

    def follow(self, call_id: CallId, *, is_accepted: bool) -> None:
        """Say whether a transfer that the far side asks for is followed, or give up one that is.

        CallNotFound; what else stands in the way goes to the socket.
        """
        self._leg(call_id)
        reply = self._reply_of("acceptTransfer" if is_accepted else "rejectTransfer", call_id)
        self._host.controller.request(call_id, FollowRequested(is_accepted, reply))

    def send_message(self, message_id: str, text: Text, call_id: CallId | None = None) -> None:
        """Send a text with the session's account, or to the other side of a call; the outcome goes to the socket.

        message_id: the browser's own. NoRoute, LocalProtocolError, CallNotFound.
        """
        if call_id is not None:
            self._send_within(message_id, text, self._leg(call_id))
            return

        def told(outcome: Outcome) -> None:
            self._web.message_answered(message_id, text, outcome.status, outcome.phrase)

        account, messages = self.request.account, self._host.messages
        if account is None or self._locals is None or not self._has_no_server:
            messages.send(account, text, told)
            return
        if not self._is_local:
            raise NoRoute("wrong user name or password")
        callee, _, domain = text.recipient.strip().removeprefix("sip:").partition("@")
        is_ours = domain.lower() in ("", account.domain.lower())
        readers = messages.readers_of(callee, besides=self.id) if is_ours else []
        if readers or (is_ours and self._locals.knows(callee)):
            messages.show(readers, received_from(text, message_id, account.login), told)
        else:
            ways = self._locals.text_ways(account.login, text.recipient, printable(text.display_name))
            messages.send_by(ways, text, told)

    def _send_within(self, message_id: str, text: Text, leg: WebLeg) -> None:
        def reply(error: TrunklineError | None) -> None:
            refused = error if isinstance(error, LegRejected) else None
            status = 200 if error is None else error.sip_status if refused is None else refused.status
            phrase = "OK" if error is None else str(error) if refused is None else refused.reason
            self._web.message_answered(message_id, text, status, phrase)

        said = replace(within(leg.call, text, message_id, reply), side=leg.side)
        self._host.controller.request(leg.call.id, said)

    @property
    def where(self) -> str:
        """See `messages.Reader`."""
        return self.id

    def read(self, text: ReceivedText, on_outcome: OnOutcome) -> None:
        """Show a text to the browser."""
        self._web.message_received(text)
        on_outcome(Outcome(200, "OK"))

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

    def is_of(self, login: str) -> bool:
        """Whether it is this user: one of the node's own with the password, or one that the settings let us believe.

        login: alone, or as `login@domain`. Alone, one of the node's own users is never anybody else.
        """
        account = self.request.account
        if account is None or login not in (account.login, f"{account.login}@{account.domain}"):
            return False
        if self._has_no_server:
            return self._is_local
        is_taken = login == account.login and self._locals is not None and self._locals.knows(login)
        return not is_taken and self._host.believed.holds(account, is_registered=self._is_registered)

    def place(self) -> Place:
        """Return it as a place where calls for its user ring."""
        return Place(make=self._web_leg(None), session=self.id, app_key=self.request.app_key, on_over=self._forget)

    def ring(self, invite: IncomingInvite) -> None:
        """Take an incoming call. CapacityError if the node is full."""
        host = self._host
        account = self.request.account
        request = CallRequest(
            id=host.controller.new_call_id(),
            caller=user_of(invite.caller),
            callee=account.login if account else user_of(invite.callee),
            incoming=True,
            session=self.id,
            visible_name=invite.display_name,
            app_key=self.request.app_key,
            invite_parameters=dict(allowed(invite.headers, host.headers.inbound)),
        )
        host.controller.start(
            request,
            lambda context: SipLeg(context, host.sip, invite, account=account),
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
        """Let go of a call that has ended, and of legs that are over: a call may have gone on at another place."""
        self._legs = [leg for leg in self._legs if leg.call is not call and not leg.is_over]

    def disconnect(self) -> None:
        """Ask the socket to close."""
        self._web.close()

    def close(self) -> None:
        """End everything of the session: the browser is gone."""
        for leg in tuple(self._legs):
            leg.hung_up(EndReason.CLIENT_GONE)
        if self.registration is not None:
            sip = self._host.sip
            sip.events.unbind_registration(self.registration)
            sip.verbs.unregister(self.registration)
            del self._host.by_registration[self.registration]
            self._host.metrics.registrations.labels("unregistered").inc()


def _is_succeeded_by(call: Call, call_id: CallId) -> bool:
    return call.successor is not None and call.successor.id == call_id
