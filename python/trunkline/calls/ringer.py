"""Ringing a callee who may have several places: browsers by the Web SDK, pages that speak SIP.

Owns how the places become one B-leg, and what each is told of the call. Where a callee is, is `sessions` and `pages`.
RFC 3261 section 16.6, RFC 7315 section 4.2 (P-Called-Party-ID).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from trunkline.calls.controller import CallController, LegMaker
from trunkline.calls.legs.fork import ForkedLeg, Place
from trunkline.calls.legs.sip_party import OutboundCall
from trunkline.calls.model import Call, CallRequest
from trunkline.calls.ports import Clock, LegContext, LegPort
from trunkline.sip.registrar import Admission
from trunkline.sip.types import HeaderFields


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What a place is told of a call. caller: a number or user, in the callee's own domain, unless it stays hidden.

    callee: what was called, empty if nothing but the callee itself.
    """

    caller: str
    name: str = ""
    callee: str = ""
    is_hidden: bool = False
    headers: HeaderFields = ()


class Users(Protocol):
    """Web users of one kind that are here."""

    def places_of(self, login: str, announcement: Announcement) -> tuple[Place, ...]:
        """Return where a user can be rung now, the newest first. login: alone, or as `login@domain`."""
        ...


class LocalUsers(Protocol):
    """The node's own users: those whose passwords it knows."""

    @property
    def realm(self) -> str:
        """The domain of users that have no SIP server."""
        ...

    def knows(self, login: str) -> bool:
        """Whether this is one of them."""
        ...

    def admit(self, login: str, password: str, source: str) -> Admission:
        """Say whether this is one of them, with its password. source: the IP address of who shows it."""
        ...

    def way_out(self, login: str, dialed: str, name: str) -> OutboundCall:
        """Call somebody else for one of them: by its account, else over trunks. NoRoute, CapacityError."""
        ...

    def text_ways(self, login: str, dialed: str, name: str) -> Sequence[OutboundCall]:
        """Return the ways of a text for somebody else, in the order to try. Takes no line of a trunk. NoRoute."""
        ...


class Ringer:
    """Starts calls to callees with places. step_s: how long those of one `q` ring before those of the next do."""

    def __init__(self, controller: CallController, clock: Clock, step_s: float) -> None:
        self._controller = controller
        self._clock = clock
        self._step_s = step_s
        self.users: tuple[Users, ...] = ()
        """Asked where a user is. Set, as the next, once all are there."""
        self.locals: LocalUsers | None = None

    def places_of(self, login: str, announcement: Announcement) -> tuple[Place, ...]:
        """Return all places where a user can be rung now."""
        return tuple(place for users in self.users for place in users.places_of(login, announcement))

    def ring(
        self,
        request: CallRequest,
        make_a: LegMaker,
        places: Sequence[Place],
        on_over: Callable[[Call], None] = lambda _: None,
    ) -> Call:
        """Start a call to all places of a callee, at least one. Raises as `CallController.start`.

        A call to one browser alone is that browser's from the start; of several, it is that of who picks up.
        """

        def make_b(context: LegContext) -> LegPort:
            return ForkedLeg(context, places, self._clock, self._step_s)

        def over(call: Call) -> None:
            for place in places:
                place.on_over(call)
            on_over(call)

        first, *others = places
        if others:
            return self._controller.start(request, make_a, make_b, over)
        if request.session is None and first.session is not None:
            request = replace(request, session=first.session, app_key=first.app_key)
        return self._controller.start(request, make_a, first.make, over)
