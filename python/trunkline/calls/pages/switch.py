"""Calls of pages that speak SIP: from them to the SIP side, over trunks or to each other, and to them.

Owns who may call, whom, and over which flow; what happens in a call is the call's. Before anything else comes the
question whether a call is a page's at all: all others are left to whoever took them before.
RFC 3261 section 22.2, RFC 7118, RFC 5626 section 5.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from trunkline.calls.controller import CallController, LegMaker
from trunkline.calls.legs.sip_party import OutboundCall, SipAccess
from trunkline.calls.media_leg import LegContext
from trunkline.calls.model import Call, CallRequest, EndReason
from trunkline.calls.pages.leg import PageLeg
from trunkline.calls.pages.registrations import PageRegistrations, PageUser, credentials_of
from trunkline.calls.ports import Clock, TimerHandle
from trunkline.calls.routing import dialable, printable, route
from trunkline.calls.sip_leg import SipLeg
from trunkline.calls.trunks.course import Order
from trunkline.calls.trunks.fleet import Fleet
from trunkline.calls.trunks.inbound import Arrival
from trunkline.errors import CapacityError, NoRoute, SipParseError
from trunkline.ids import CallId
from trunkline.observability.logging import get_logger
from trunkline.observability.metrics import Metrics
from trunkline.sip.headers import SipUri, parse_uri
from trunkline.sip.registrar import Binding
from trunkline.sip.types import FlowClosed, HeaderFields, Hop, Identity, IncomingInvite, IncomingRequest, Path
from trunkline.trunks.identity import ANONYMOUS, Caller, user_of

_NUMBER: Final = re.compile(r"\+?[0-9]+")

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Party:
    """A page in a call. user: None if the upstream server knows it. binding: None if it has not registered."""

    uri: SipUri
    user: PageUser | None
    binding: Binding | None


class PageSwitch:
    """Takes REGISTER and INVITE of pages, and INVITEs for them. otherwise: takes every other INVITE.

    fleet: the trunks that carry calls of users without an account; None if they are to call pages alone.
    """

    def __init__(
        self,
        registrations: PageRegistrations,
        *,
        controller: CallController,
        sip: SipAccess,
        clock: Clock,
        metrics: Metrics,
        otherwise: Callable[[IncomingInvite], None],
        fleet: Fleet | None = None,
    ) -> None:
        self._registrations = registrations
        self._settings = registrations.settings
        self._controller = controller
        self._sip = sip
        self._clock = clock
        self._metrics = metrics
        self._otherwise = otherwise
        self._fleet = fleet
        self._legs: dict[CallId, list[PageLeg]] = {}
        self._losses: dict[PageLeg, TimerHandle] = {}
        registrations.on_bound = self._bound
        sip.events.on_incoming(self._incoming)
        sip.events.on_request(self._request)
        sip.events.on_flow_closed(self._flow_closed)

    # --- what comes in ---

    def _request(self, request: IncomingRequest) -> None:
        if request.method == "REGISTER" and self._settings.is_used:
            self._registrations.handle(request)
        else:
            self._sip.verbs.respond(request.id, 405)

    def _incoming(self, invite: IncomingInvite) -> None:
        if invite.replaces is not None:
            self._otherwise(invite)
            return
        # A server that we are registered at by WebSocket calls a Contact of ours over it.
        if invite.path.transport.is_websocket and invite.registration is None:
            self._from_page(invite)
            return
        called = self._registrations.called(_user_of(invite.callee), invite.registration)
        if called is None:
            self._otherwise(invite)
        elif not called:
            self._refuse(invite, EndReason.UNAVAILABLE)
        else:
            self._ring(invite, called[0], None)

    def _from_page(self, invite: IncomingInvite) -> None:
        """Take a call of a page, if it is who it says: one that has registered on this flow, or has the password."""
        caller = self._caller(invite)
        if caller is None:
            self._refuse(invite, EndReason.FORBIDDEN)
            return
        if caller.user is not None and caller.binding is None:
            reply = self._registrations.desk.judge(self._clock.now(), "INVITE", caller.user.login, invite.headers)
            if reply is not None:
                self._sip.verbs.refuse(invite.id, reply.status, reply.reason, reply.headers)
                return
        callee = _sip_uri(invite.callee)
        if callee is None:
            self._refuse(invite, EndReason.NO_ROUTE)
            return
        pages = () if caller.user is None else self._registrations.of(callee.username)
        is_ours = callee.host.lower() == caller.uri.host.lower()
        if pages and is_ours:
            self._ring(invite, pages[0], caller)
        elif is_ours and callee.username in self._settings.users and caller.user and caller.user.account is None:
            self._refuse(invite, EndReason.UNAVAILABLE)
        else:
            self._call_out(invite, caller, callee)

    def _caller(self, invite: IncomingInvite) -> _Party | None:
        uri = _sip_uri(invite.caller)
        if uri is None:
            return None
        user = self._settings.users.get(uri.username)
        if user is None and self._settings.upstream is None:
            return None
        aor = uri.address_of_record if user is None else user.login
        bound = [binding for binding in self._registrations.on_flow(invite.path) if binding.aor == aor]
        return _Party(uri, user, bound[0] if bound else None)

    # --- calls ---

    def _call_out(self, invite: IncomingInvite, caller: _Party, callee: SipUri) -> None:
        """Carry a page's call to the SIP side: to the server that knows it, or as its user may call."""
        legs: list[PageLeg] = []

        def challenged(challenges: tuple[tuple[str, str], ...]) -> None:
            for leg in legs:
                leg.note_challenges(challenges)

        try:
            if caller.user is None:
                passage = None if caller.binding is None else self._registrations.passage_of(caller.binding)
                contact_user, routes = passage or (None, ())
                outbound = OutboundCall(
                    account=None,
                    target=str(callee),
                    display_name=invite.display_name,
                    from_uri=caller.uri.address_of_record,
                    contact_user=contact_user,
                    hop=self._settings.upstream,
                    routes=routes,
                    credentials=credentials_of(invite.headers),
                    on_challenge=challenged,
                )
            else:
                outbound = self._way_of(caller.user, caller.uri.host, callee, invite)
        except (NoRoute, CapacityError) as error:
            _log.warning("page_call_refused", error=str(error))
            self._refuse(invite, EndReason.NO_ROUTE if isinstance(error, NoRoute) else EndReason.CAPACITY)
            return
        request = CallRequest(
            id=self._controller.new_call_id(),
            caller=caller.uri.username,
            callee=callee.username,
            visible_name=invite.display_name,
        )
        make_a = self._page(invite, invite.path, caller, legs)
        has_begun = self._start(invite, request, make_a, lambda context: SipLeg(context, self._sip, outbound))
        if not has_begun and outbound.course is not None:
            outbound.course.over()

    def _way_of(self, user: PageUser, domain: str, callee: SipUri, invite: IncomingInvite) -> OutboundCall:
        """Call for a user of ours: by its account; over trunks if it has none. NoRoute, CapacityError.

        domain: the user's, in which numbers are ours to find; trunks lead to no other.
        """
        name = invite.display_name or user.display_name
        is_ours = callee.host.lower() == domain.lower()
        if user.account is None and self._fleet is not None and is_ours:
            caller = replace(_caller_of(user, name), privacy=tuple(word for word in invite.privacy if word != "none"))
            return self._over_trunks(self._fleet, callee.username, caller, invite.headers)
        return route(callee.username if is_ours else f"{callee.username}@{callee.host}", user.account, name)

    def _over_trunks(self, fleet: Fleet, dialed: str, caller: Caller, headers: HeaderFields = ()) -> OutboundCall:
        """Take a line by the outbound rules. NoRoute, CapacityError."""
        number = user_of(dialable(dialed))
        if number in self._settings.users:
            raise NoRoute("a user of ours is nobody that a trunk leads to")
        return fleet.outbound(Order(number=number, caller=caller, headers=headers))

    def ring_user(self, login: str, arrival: Arrival) -> bool:
        """See `trunks.inbound.Users`: ring the page that a user opened last, with the number that was called.

        The caller's address is one in the page's own domain, so that the page can call back.   RFC 7315 section 4.2.
        """
        pages = self._registrations.of_user(login)
        if not pages:
            return False
        page = pages[0]
        called = f"<{SipUri.of(arrival.callee, page.domain)}>" if arrival.callee else f"<{page.contact}>"
        is_hidden = arrival.shown_caller == ANONYMOUS
        outbound = OutboundCall(
            account=None,
            target=str(page.contact),
            display_name=arrival.shown_name,
            from_uri=None if is_hidden else str(SipUri.of(arrival.shown_caller, page.domain)),
            identity=Identity(is_anonymous=is_hidden),
            headers=(*arrival.parameters, ("P-Called-Party-ID", called)),
            hop=_hop_to(page),
        )
        request = CallRequest(
            id=self._controller.new_call_id(),
            caller=arrival.shown_caller,
            callee=arrival.callee,
            incoming=True,
            visible_name=arrival.shown_name,
            invite_parameters=dict(arrival.parameters),
        )
        party = _Party(page.contact, self._settings.users.get(page.aor), page)

        def over(call: Call) -> None:
            self._over(call)
            arrival.on_over()

        self._controller.start(
            request,
            lambda context: arrival.leg(context, self._sip),
            self._page(outbound, page.path, party, []),
            over,
        )
        return True

    def _ring(self, invite: IncomingInvite, page: Binding, caller: _Party | None) -> None:
        """Ring a page, for a call of the SIP side or, with a caller, of another page."""
        outbound = OutboundCall(
            account=None,
            target=str(page.contact),
            display_name=invite.display_name,
            from_uri=invite.caller,
            hop=_hop_to(page),
        )
        user = self._settings.users.get(page.aor)
        account = None if user is None else user.account
        request = CallRequest(
            id=self._controller.new_call_id(),
            caller=_user_of(invite.caller),
            callee=_user_of(page.aor),
            incoming=True,
            visible_name=invite.display_name,
        )
        make_a: LegMaker = (
            (lambda context: SipLeg(context, self._sip, invite, account=account))
            if caller is None
            else self._page(invite, invite.path, caller, [])
        )
        called = _Party(page.contact, user, page)
        self._start(invite, request, make_a, self._page(outbound, page.path, called, []))

    def _page(self, what: OutboundCall | IncomingInvite, flow: Path, party: _Party, made: list[PageLeg]) -> LegMaker:
        aor = party.uri.address_of_record if party.binding is None else party.binding.aor
        instance = "" if party.binding is None else party.binding.instance
        account = None if party.user is None else party.user.account
        onward: Callable[[str], OutboundCall] | None = None
        if party.user is not None and account is None and self._fleet is not None:
            onward = partial(self._over_trunks, self._fleet, caller=_caller_of(party.user, party.user.display_name))

        def make(context: LegContext) -> PageLeg:
            leg = PageLeg(
                context, self._sip, what, flow=flow, aor=aor, instance=instance, account=account, onward=onward
            )
            made.append(leg)
            self._legs.setdefault(context.call.id, []).append(leg)
            return leg

        return make

    def _start(self, invite: IncomingInvite, request: CallRequest, make_a: LegMaker, make_b: LegMaker) -> bool:
        """Start a call; False if it is refused, because the node is full."""
        try:
            self._controller.start(request, make_a, make_b, self._over)
        except CapacityError as error:
            _log.warning("call_refused", reason=EndReason.CAPACITY.code, detail=str(error))
            self._refuse(invite, EndReason.CAPACITY)
            return False
        return True

    def _refuse(self, invite: IncomingInvite, reason: EndReason) -> None:
        self._metrics.calls_ended.labels(reason.code).inc()
        self._sip.verbs.hangup(invite.id, reason.value.sip_status)

    def _over(self, call: Call) -> None:
        for leg in self._legs.pop(call.id, ()):
            self._found(leg)

    # --- WebSockets come and go ---

    def _flow_closed(self, event: FlowClosed) -> None:
        """Give each call of a lost page a while to be found again; one that is not answered yet, none."""
        self._registrations.close_flow(event.path)
        for legs in tuple(self._legs.values()):
            for leg in legs:
                if leg.flow.connection != event.path.connection or leg in self._losses:
                    continue
                delay_s = self._settings.reconnect_s if leg.is_answered else 0.0
                self._losses[leg] = self._clock.call_later(delay_s, leg.lose)

    def _bound(self, binding: Binding) -> None:
        """Find the lost calls of a page that has connected anew."""
        for legs in self._legs.values():
            for leg in legs:
                is_same = leg.instance and (leg.aor, leg.instance) == (binding.aor, binding.instance)
                if leg in self._losses and is_same:
                    _log.info("page_found_again", call_id=leg.leg.id)
                    leg.move(binding.path)
                    self._found(leg)

    def _found(self, leg: PageLeg) -> None:
        timer = self._losses.pop(leg, None)
        if timer is not None:
            timer.cancel()


def _hop_to(page: Binding) -> Hop:
    return Hop(page.contact.host, page.contact.port, page.path.transport, flow=page.path)


def _caller_of(user: PageUser, name: str) -> Caller:
    """Say who calls over trunks: a login that is a number is the caller's; any other says nothing to a trunk."""
    return Caller(number=user.login if _NUMBER.fullmatch(user.login) else "", display_name=printable(name))


def _sip_uri(text: str) -> SipUri | None:
    try:
        uri = parse_uri(text)
    except SipParseError:
        return None
    return uri if isinstance(uri, SipUri) and uri.username else None


def _user_of(text: str) -> str:
    uri = _sip_uri(text)
    return text if uri is None else uri.username
