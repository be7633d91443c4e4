"""Calls that come in from trunks and inbound users: let in, looked up by number, sent on.

Owns the way of one inbound call from its INVITE to its legs: limits, rules, webhook, fallback. Whoever is neither a
trunk nor a user is refused.   RFC 3261 sections 16.3 (Max-Forwards), 21.4.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

from trunkline.calls.controller import CallController
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.legs.sip_party import OutboundCall, SipAccess, replace_leg
from trunkline.calls.media_leg import LegContext
from trunkline.calls.model import Call, CallRequest
from trunkline.calls.ringer import Announcement, Ringer
from trunkline.calls.routing import dialable
from trunkline.calls.sip_events import InviteEvent
from trunkline.calls.trunks.course import Order
from trunkline.calls.trunks.fleet import Fleet, Source
from trunkline.calls.trunks.line import Outcome
from trunkline.calls.trunks.webhook import Webhooks
from trunkline.errors import CapacityError, NoRoute, TrunklineError
from trunkline.observability.logging import get_logger
from trunkline.sip.types import HeaderFields, IncomingInvite, InviteEnded, InviteFailed
from trunkline.trunks.choice import inbound_rule
from trunkline.trunks.identity import ANONYMOUS, Caller, allowed, caller_of, user_of
from trunkline.trunks.limits import Way
from trunkline.trunks.model import Destination, MediaTerms, Refusal, ToTrunks, ToUser, Webhook

_FORBIDDEN: Final = 403
_UNAVAILABLE: Final = 480
_TOO_BROAD: Final = 440
_TOO_MANY_HOPS: Final = 483

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An inbound call as its trunk's policy reads it. callee: its number in our form. parameters: headers for clients.

    on_over: gives the trunk's line back; to be called once, when everything of the call is closed or it was refused.
    """

    invite: IncomingInvite
    source: Source
    caller: Caller
    callee: str
    parameters: HeaderFields
    on_over: Callable[[], None]

    @property
    def terms(self) -> MediaTerms:
        """What the trunk wants of media."""
        return MediaTerms() if self.source.line is None else self.source.line.trunk.media

    @property
    def shown_caller(self) -> str:
        """The caller's number, unless it is to stay hidden."""
        return ANONYMOUS if self.caller.is_private or not self.caller.number else self.caller.number

    @property
    def shown_name(self) -> str:
        """The caller's name, unless it is to stay hidden."""
        return "" if self.caller.is_private else self.caller.display_name

    def leg(self, context: LegContext, sip: SipAccess) -> SipLeg:
        """Make the caller's leg."""
        account = None if self.source.line is None else self.source.line.trunk.account
        leg = SipLeg(context, sip, self.invite, self.terms, account=account)
        leg.leg.trunk = "" if self.source.line is None else self.source.name
        return leg


class InboundCalls:
    """Takes every call that no registration of a browser's claims."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        controller: CallController,
        sip: SipAccess,
        ringer: Ringer,
        webhooks: Webhooks,
    ) -> None:
        self._fleet = fleet
        self._controller = controller
        self._sip = sip
        self._ringer = ringer
        self._webhooks = webhooks

    def take(self, invite: IncomingInvite) -> None:
        """Send a call where it belongs, or refuse it."""
        source = self._fleet.source_of(invite)
        if source is None:
            self._sip.verbs.hangup(invite.id, _FORBIDDEN)
            return
        if invite.replaces is not None:  # takes a line over rather than another one
            replace_leg(self._sip, invite)
            return
        limited = self._fleet.admit(source)
        if limited is not None:
            _log.warning("inbound_call_limited", trunk=source.name, limit=limited.value)
            self._sip.verbs.hangup(invite.id, source.limit_status)
            return
        arrival = self._read(invite, source)
        try:
            destination, fallback = inbound_rule(arrival.callee, source.name, self._fleet.directory.inbound)
        except NoRoute as error:
            self._refuse(arrival, error.sip_status)
        else:
            self._send(arrival, destination, fallback)

    def _read(self, invite: IncomingInvite, source: Source) -> Arrival:
        caller = caller_of(
            invite.caller, invite.display_name, invite.asserted, invite.privacy, invite.headers, source.identity
        )
        callee, parameters = user_of(invite.callee), HeaderFields()
        if source.line is not None:
            trunk = source.line.trunk
            callee = trunk.numbers.inbound_callee(callee)
            caller = caller.renumbered(trunk.numbers.inbound_caller(caller.number))
            parameters = allowed(invite.headers, trunk.headers_in)
        return Arrival(invite, source, caller, callee, parameters, lambda: source.capacity.release(Way.INBOUND))

    def _send(self, arrival: Arrival, destination: Destination, fallback: Destination | None) -> None:
        """Try a destination; where that is nobody, the fallback, which has none."""
        try:
            match destination.to:
                case Refusal(status):
                    self._refuse(arrival, status)
                case ToUser(login):
                    if not self._ring(arrival, login):
                        self._send_on(arrival, fallback, _UNAVAILABLE)
                case ToTrunks(names):
                    self._bridge(arrival, destination.callee or arrival.callee, names)
                case Webhook():
                    self._ask(arrival, destination.to, fallback)
                case _:
                    assert_never(destination.to)
        except TrunklineError as error:
            _log.warning("inbound_call_failed", trunk=arrival.source.name, error=str(error))
            self._send_on(arrival, fallback, error.sip_status)

    def _send_on(self, arrival: Arrival, fallback: Destination | None, status: int) -> None:
        if fallback is None:
            self._refuse(arrival, status)
        else:
            self._send(arrival, fallback, None)

    def _refuse(self, arrival: Arrival, status: int) -> None:
        _log.info("inbound_call_refused", trunk=arrival.source.name, callee=arrival.callee, sip_status=status)
        self._fleet.count(arrival.source, Outcome.REFUSED)
        self._sip.verbs.hangup(arrival.invite.id, status)
        arrival.on_over()

    # --- to web users ---

    def _ring(self, arrival: Arrival, login: str) -> bool:
        """Ring a user wherever it is; False if that is nowhere. CapacityError if the node is full."""
        announcement = Announcement(
            caller=arrival.shown_caller,
            name=arrival.shown_name,
            callee=arrival.callee,
            is_hidden=arrival.shown_caller == ANONYMOUS,
            headers=arrival.parameters,
        )
        places = self._ringer.places_of(login, announcement)
        if not places:
            return False
        request = self._request(arrival, arrival.callee, incoming=True)
        self._ringer.ring(request, lambda context: arrival.leg(context, self._sip), places, lambda _: arrival.on_over())
        self._fleet.count(arrival.source, Outcome.TAKEN)
        return True

    def _request(self, arrival: Arrival, callee: str, *, incoming: bool = False) -> CallRequest:
        return CallRequest(
            id=self._controller.new_call_id(),
            caller=arrival.shown_caller,
            callee=callee,
            incoming=incoming,
            visible_name=arrival.shown_name,
            invite_parameters=dict(arrival.parameters),
        )

    # --- to other trunks ---

    def _bridge(self, arrival: Arrival, callee: str, names: tuple[str, ...]) -> None:
        """Join the caller to a call over other trunks, one hop further from where it began."""
        invite = arrival.invite
        if invite.max_forwards <= 1:
            self._refuse(arrival, _TOO_MANY_HOPS)
            return
        if invite.max_breadth == 0:
            self._refuse(arrival, _TOO_BROAD)
            return
        order = Order(
            number=dialable(callee),
            caller=arrival.caller,
            headers=arrival.parameters,
            max_forwards=min(invite.max_forwards, 255) - 1,
            max_breadth=invite.max_breadth,
            loop_key=invite.loop_key,
        )
        outbound = self._fleet.outbound(order, names)
        self._start(self._request(arrival, callee), arrival, outbound)
        self._fleet.count(arrival.source, Outcome.TAKEN)

    def _start(self, request: CallRequest, arrival: Arrival, outbound: OutboundCall) -> None:
        give_back = arrival.on_over  # and nothing else of the arrival, which has the whole INVITE

        def over(_: Call) -> None:
            give_back()

        try:
            self._controller.start(
                request,
                lambda context: arrival.leg(context, self._sip),
                lambda context: SipLeg(context, self._sip, outbound),
                over,
            )
        except TrunklineError:
            if outbound.course is not None:
                outbound.course.over()
            raise

    # --- as an application says ---

    def _ask(self, arrival: Arrival, webhook: Webhook, fallback: Destination | None) -> None:
        invite = arrival.invite

        def answered(destination: Destination | None) -> None:
            self._sip.events.unbind_invite(invite.id)
            if destination is None:
                self._send_on(arrival, fallback, CapacityError.sip_status)
            else:
                self._send(arrival, destination, fallback)

        def gave_up(event: InviteEvent) -> None:
            if isinstance(event, InviteEnded | InviteFailed):
                cancel()
                self._fleet.count(arrival.source, Outcome.REFUSED)
                arrival.on_over()

        self._sip.events.bind_invite(invite.id, gave_up)
        cancel = self._webhooks.ask(webhook, _question(arrival), answered)


def _question(arrival: Arrival) -> dict[str, object]:
    """Say what an application may know of a call: not who calls, if that is to stay hidden."""
    return {
        "event": "inbound_call",
        "peer": arrival.source.name,
        "caller": arrival.shown_caller,
        "visibleName": arrival.shown_name,
        "callee": arrival.callee,
        "address": arrival.invite.path.remote[0],
        "headers": dict(arrival.parameters),
    }
