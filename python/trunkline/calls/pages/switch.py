"""Calls of pages that speak SIP: from them to the SIP side, over trunks or to each other, and to them.

Owns who may call, whom, and over which flow; what happens in a call is the call's. Before anything else comes the
question whether a call is a page's at all: all others are left to whoever took them before.
RFC 3261 section 22.2, RFC 7118, RFC 5626 section 5.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from trunkline.calls.controller import CallController, LegMaker
from trunkline.calls.legs.fork import Place
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.legs.sip_party import OutboundCall, SipAccess, replace_leg
from trunkline.calls.media_leg import LegContext
from trunkline.calls.model import Call, CallRequest, EndReason
from trunkline.calls.pages.leg import PageLeg
from trunkline.calls.pages.parties import Parties, Party, Wish, hop_to, sip_uri, user_of
from trunkline.calls.pages.registrations import PageRegistrations, credentials_of
from trunkline.calls.ports import Clock, TimerHandle
from trunkline.calls.ringer import Announcement, Ringer, Users
from trunkline.errors import CapacityError, NoRoute
from trunkline.ids import CallId
from trunkline.observability.logging import get_logger
from trunkline.observability.metrics import Metrics
from trunkline.sip.headers import SipUri
from trunkline.sip.registrar import UNHEARD, Admission, Binding
from trunkline.sip.types import FlowClosed, HeaderFields, Identity, IncomingInvite, IncomingRequest, InviteId, Path

_log = get_logger(__name__)


class PageSwitch:
    """Takes REGISTER and INVITE of pages, and INVITEs for them. otherwise: takes every other INVITE.

    browsers: places of users by the Web SDK. parties: says who a page is, and by which way its calls go.
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
        ringer: Ringer,
        browsers: Users,
        parties: Parties,
    ) -> None:
        self._registrations = registrations
        self._settings = registrations.settings
        self._controller = controller
        self._sip = sip
        self._clock = clock
        self._metrics = metrics
        self._otherwise = otherwise
        self._ringer = ringer
        self._browsers = browsers
        self._parties = parties
        self._legs: dict[PageLeg, None] = {}
        """Of live calls, in the order of their making."""
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
        # A server that we are registered at by WebSocket calls a Contact of ours over it.
        if invite.path.transport.is_websocket and invite.registration is None:
            self._from_page(invite)
            return
        called = self._registrations.called(user_of(invite.callee), invite.registration)
        if called is None:
            self._otherwise(invite)
        elif invite.replaces is not None:
            replace_leg(self._sip, invite)
        elif not called:
            self._refuse(invite, EndReason.UNAVAILABLE)
        else:
            self._ring(invite, called[0].aor, self._shown(invite, called), None)

    def _from_page(self, invite: IncomingInvite) -> None:
        """Take a call of a page, if it is who it says: one that has registered on this flow, or has the password."""
        caller = self._parties.caller(invite.caller, invite.path)
        if caller is None:
            self._refuse(invite, EndReason.FORBIDDEN)
            return
        if caller.user is not None and caller.binding is None:
            reply = self._registrations.passwords.judge("INVITE", caller.user.login, invite.headers, invite.path)
            if reply is not None:
                self._sip.verbs.refuse(invite.id, reply.status, reply.reason, reply.headers)
                return
        if invite.replaces is not None:
            if caller.user is None and caller.binding is None:  # its server, which would have to say, is not asked
                self._refuse(invite, EndReason.FORBIDDEN)
            else:
                replace_leg(self._sip, invite, self._page(invite, invite.path, caller, []))
            return
        callee = sip_uri(invite.callee)
        if callee is None:
            self._refuse(invite, EndReason.NO_ROUTE)
            return
        is_ours = callee.host.lower() == caller.uri.host.lower()
        if is_ours and caller.user is not None and self._ring_here(invite, callee.username, caller):
            return
        if is_ours and callee.username in self._settings.users and caller.user and caller.user.account is None:
            self._refuse(invite, EndReason.UNAVAILABLE)
        else:
            self._call_out(invite, caller, callee)

    # --- calls ---

    def _call_out(self, invite: IncomingInvite, caller: Party, callee: SipUri) -> None:
        """Carry a page's call to the SIP side: to the server that knows it, or as its user may call."""
        legs: list[PageLeg] = []
        aor, credentials = caller.uri.address_of_record, credentials_of(invite.headers)
        if caller.user is None and not self._registrations.passwords.may_go_upstream(aor, credentials, invite.path):
            self._sip.verbs.refuse(invite.id, 403, UNHEARD)
            return

        def challenged(challenges: HeaderFields) -> None:
            if credentials:
                self._registrations.passwords.note_upstream(aor, challenges, invite.path)
            for leg in legs:
                leg.note_challenges(challenges)

        try:
            if caller.user is None:
                outbound = self._parties.passed_on(caller, callee, invite.display_name, credentials)
                outbound = replace(outbound, on_challenge=challenged)
            else:
                wish = Wish(callee, invite.display_name, invite.headers, invite.privacy)
                outbound = self._parties.way_of(caller.user, caller.uri.host, wish)
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

        def start() -> Call:
            return self._controller.start(
                request, make_a, lambda context: SipLeg(context, self._sip, outbound), partial(self._over, legs)
            )

        if not self._begin(invite, start) and outbound.course is not None:
            outbound.course.over()

    # --- what other users of the node ask: see `ringer.LocalUsers` and `ringer.Users` ---

    @property
    def realm(self) -> str:
        """See `LocalUsers`."""
        return self._settings.realm

    def knows(self, login: str) -> bool:
        """See `LocalUsers`."""
        return login in self._settings.users

    def admit(self, login: str, password: str, source: str) -> Admission:
        """See `LocalUsers`."""
        return self._registrations.passwords.admit(login, password, source)

    def way_out(self, login: str, dialed: str, name: str) -> OutboundCall:
        """See `LocalUsers`."""
        return self._parties.way_out(login, dialed, name)

    def text_ways(self, login: str, dialed: str, name: str) -> Sequence[OutboundCall]:
        """See `LocalUsers`."""
        return self._parties.text_ways_out(login, dialed, name)

    def places_of(self, login: str, announcement: Announcement) -> tuple[Place, ...]:
        """See `ringer.Users`: every page of a user, told the number that was called.

        The caller's address is one in the page's own domain, so that the page can call back.   RFC 7315 section 4.2.
        """
        return tuple(self._announced(page, announcement) for page in self._registrations.of_user(login))

    def _announced(self, page: Binding, announcement: Announcement) -> Place:
        called = f"<{SipUri.of(announcement.callee, page.domain)}>" if announcement.callee else f"<{page.contact}>"
        is_hidden = announcement.is_hidden
        outbound = OutboundCall(
            account=None,
            target=str(page.contact),
            display_name=announcement.name,
            from_uri=None if is_hidden else str(SipUri.of(announcement.caller, page.domain)),
            identity=Identity(is_anonymous=is_hidden),
            headers=(*announcement.headers, ("P-Called-Party-ID", called)),
            hop=hop_to(page),
        )
        return self._place(page, outbound)

    def _place(self, page: Binding, outbound: OutboundCall) -> Place:
        party = Party(page.contact, self._settings.users.get(page.aor), page)
        legs: list[PageLeg] = []
        return Place(make=self._page(outbound, page.path, party, legs), q=page.q, on_over=partial(self._over, legs))

    def _ring_here(self, invite: IncomingInvite, login: str, caller: Party) -> bool:
        """Ring a user for a page, wherever else it is; False if that is nowhere."""
        pages = [page for page in self._registrations.of(login) if page.path.connection != invite.path.connection]
        places = self._shown(invite, pages)
        if self.knows(login):
            places += self._browsers.places_of(login, Announcement(caller=caller.uri.username))
        if places:
            self._ring(invite, login, places, caller)
        return bool(places)

    def _ring(self, invite: IncomingInvite, aor: str, places: Sequence[Place], caller: Party | None) -> None:
        """Ring the places of one user, for a call of the SIP side or, with a caller, of a page."""
        legs: list[PageLeg] = []
        user = self._settings.users.get(aor)
        account = None if user is None else user.account
        request = CallRequest(
            id=self._controller.new_call_id(),
            caller=user_of(invite.caller),
            callee=user_of(aor),
            incoming=True,
            visible_name=invite.display_name,
        )
        make_a: LegMaker = (
            (lambda context: SipLeg(context, self._sip, invite, account=account))
            if caller is None
            else self._page(invite, invite.path, caller, legs)
        )
        self._begin(invite, lambda: self._ringer.ring(request, make_a, places, partial(self._over, legs)))

    def _shown(self, invite: IncomingInvite, pages: Sequence[Binding]) -> tuple[Place, ...]:
        """Return pages as places that are shown the caller as it came."""
        return tuple(
            self._place(
                page,
                OutboundCall(
                    account=None,
                    target=str(page.contact),
                    display_name=invite.display_name,
                    from_uri=invite.caller,
                    hop=hop_to(page),
                ),
            )
            for page in pages
        )

    def _page(self, what: OutboundCall | IncomingInvite, flow: Path, party: Party, made: list[PageLeg]) -> LegMaker:
        aor = party.uri.address_of_record if party.binding is None else party.binding.aor
        instance = "" if party.binding is None else party.binding.instance
        account = None if party.user is None else party.user.account
        onward = None if party.user is None else self._parties.onward(party.user)

        def make(context: LegContext) -> PageLeg:
            leg = PageLeg(
                context,
                self._sip,
                what,
                flow=flow,
                aor=aor,
                instance=instance,
                account=account,
                onward=onward,
                call_of=self._call_of,
                on_closed=self._left,
            )
            made.append(leg)
            self._legs[leg] = None
            return leg

        return make

    def _begin(self, invite: IncomingInvite, start: Callable[[], Call]) -> bool:
        """Start a call; False if it is refused, because the node is full."""
        try:
            start()
        except CapacityError as error:
            _log.warning("call_refused", reason=EndReason.CAPACITY.code, detail=str(error))
            self._refuse(invite, EndReason.CAPACITY)
            return False
        return True

    def _refuse(self, invite: IncomingInvite, reason: EndReason) -> None:
        self._metrics.calls_ended.labels(reason.code).inc()
        self._sip.verbs.hangup(invite.id, reason.value.sip_status)

    def _over(self, legs: Sequence[PageLeg], _: Call) -> None:
        """Forget the legs of a call that has ended, also under another id than it began with."""
        for leg in legs:
            self._left(leg)

    def _left(self, leg: PageLeg) -> None:
        self._legs.pop(leg, None)
        self._found(leg)

    def _call_of(self, invite: InviteId) -> CallId | None:
        return next((leg.call_id for leg in self._legs if leg.invite == invite), None)

    # --- WebSockets come and go ---

    def _flow_closed(self, event: FlowClosed) -> None:
        """Give each call of a lost page a while to be found again; one that is not answered yet, none."""
        self._registrations.close_flow(event.path)
        for leg in tuple(self._legs):
            if leg.flow.connection != event.path.connection or leg in self._losses:
                continue
            delay_s = self._settings.reconnect_s if leg.is_answered else 0.0
            self._losses[leg] = self._clock.call_later(delay_s, leg.lose)

    def _bound(self, binding: Binding) -> None:
        """Find the lost calls of a page that has connected anew."""
        for leg in self._legs:
            is_same = leg.instance and (leg.aor, leg.instance) == (binding.aor, binding.instance)
            if leg in self._losses and is_same:
                _log.info("page_found_again", call_id=leg.leg.id)
                leg.move(binding.path)
                self._found(leg)

    def _found(self, leg: PageLeg) -> None:
        timer = self._losses.pop(leg, None)
        if timer is not None:
            timer.cancel()
