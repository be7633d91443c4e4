"""Who a page is, and by which way what it sends leaves the node: to the server that knows it, by its account, by trunk.

Owns no call and no text: both ask here.   RFC 3261 section 22.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from trunkline.calls.legs.sip_party import OutboundCall
from trunkline.calls.pages.registrations import PageRegistrations, PageUser
from trunkline.calls.routing import dialable, printable, route
from trunkline.calls.trunks.course import Order
from trunkline.calls.trunks.fleet import Fleet
from trunkline.errors import NoRoute, SipParseError
from trunkline.sip.headers import SipUri, parse_uri
from trunkline.sip.registrar import Binding
from trunkline.sip.types import HeaderFields, Hop, Path
from trunkline.trunks.identity import Caller
from trunkline.trunks.identity import user_of as number_of

_NUMBER: Final = re.compile(r"\+?[0-9]+")


@dataclass(frozen=True, slots=True)
class Party:
    """A page in a call. user: None if the upstream server knows it. binding: None if it has not registered."""

    uri: SipUri
    user: PageUser | None
    binding: Binding | None


@dataclass(frozen=True, slots=True)
class Wish:
    """Whom a page wants, and what it says of itself. headers: all that came. privacy: words of Privacy."""

    callee: SipUri
    display_name: str = ""
    headers: HeaderFields = ()
    privacy: tuple[str, ...] = ()


class Parties:
    """Of one node. fleet: carries calls of users without an account; None if they are to call each other alone."""

    def __init__(self, registrations: PageRegistrations, fleet: Fleet | None = None) -> None:
        self._registrations = registrations
        self._settings = registrations.settings
        self._fleet = fleet

    def caller(self, uri: str, flow: Path) -> Party | None:
        """Say whose request came on a WebSocket; None if nobody of that name may be a page here."""
        own = sip_uri(uri)
        if own is None:
            return None
        user = self._settings.users.get(own.username)
        if user is None and self._settings.upstream is None:
            return None
        aor = own.address_of_record if user is None else user.login
        bound = [binding for binding in self._registrations.on_flow(flow) if binding.aor == aor]
        return Party(own, user, bound[0] if bound else None)

    def passed_on(self, caller: Party, callee: SipUri, name: str, credentials: HeaderFields) -> OutboundCall:
        """Go to the server that knows a page, with the page's own credentials."""
        passage = None if caller.binding is None else self._registrations.passage_of(caller.binding)
        contact_user, routes = passage or (None, ())
        return OutboundCall(
            account=None,
            target=str(callee),
            display_name=name,
            from_uri=caller.uri.address_of_record,
            contact_user=contact_user,
            hop=self._settings.upstream,
            routes=routes,
            credentials=credentials,
        )

    def way_of(self, user: PageUser, domain: str, wish: Wish) -> OutboundCall:
        """Call for a user of ours: by its account; over trunks if it has none. NoRoute, CapacityError.

        domain: the user's, in which numbers are ours to find; trunks lead to no other.
        """
        name, callee = wish.display_name or user.display_name, wish.callee
        if user.account is None and self._fleet is not None and _is_within(callee, domain):
            caller = replace(_caller_of(user, name), privacy=tuple(word for word in wish.privacy if word != "none"))
            return self._over_trunks(self._fleet, callee.username, caller, wish.headers)
        return route(_dialed(callee, domain), user.account, name)

    def way_out(self, login: str, dialed: str, name: str) -> OutboundCall:
        """See `ringer.LocalUsers`."""
        user = self._settings.users[login]
        name = name or user.display_name
        if user.account is None and self._fleet is not None:
            return self._over_trunks(self._fleet, dialed, _caller_of(user, name))
        return route(dialed, user.account, name)

    def onward(self, user: PageUser) -> Callable[[str], OutboundCall] | None:
        """Return what finds a trunk for whom a page names in a transfer; None if its account calls, or nobody."""
        if user.account is not None or self._fleet is None:
            return None
        return partial(self._over_trunks, self._fleet, caller=_caller_of(user, user.display_name))

    def text_ways(self, user: PageUser, domain: str, wish: Wish) -> Sequence[OutboundCall]:
        """Return the ways of a text, as `way_of` does of a call. Takes no line of a trunk. NoRoute."""
        if user.account is None and self._fleet is not None and not _is_within(wish.callee, domain):
            raise NoRoute("trunks lead to no other domain")
        return self.text_ways_out(user.login, _dialed(wish.callee, domain), wish.display_name)

    def text_ways_out(self, login: str, dialed: str, name: str) -> Sequence[OutboundCall]:
        """See `ringer.LocalUsers`."""
        user = self._settings.users[login]
        name = name or user.display_name
        if user.account is None and self._fleet is not None:
            return self._fleet.text_ways(self._order(dialed, _caller_of(user, name)))
        return (route(dialed, user.account, name),)

    def _over_trunks(self, fleet: Fleet, dialed: str, caller: Caller, headers: HeaderFields = ()) -> OutboundCall:
        """Take a line by the outbound rules. NoRoute, CapacityError."""
        return fleet.outbound(self._order(dialed, caller, headers))

    def _order(self, dialed: str, caller: Caller, headers: HeaderFields = ()) -> Order:
        number = number_of(dialable(dialed))
        if number in self._settings.users:
            raise NoRoute("a user of ours is nobody that a trunk leads to")
        return Order(number=number, caller=caller, headers=headers)


def sip_uri(text: str) -> SipUri | None:
    """Read the URI of a user; None if it is none."""
    try:
        uri = parse_uri(text)
    except SipParseError:
        return None
    return uri if isinstance(uri, SipUri) and uri.username else None


def user_of(text: str) -> str:
    """Return the user part of a URI; of anything else the whole."""
    uri = sip_uri(text)
    return text if uri is None else uri.username


def hop_to(page: Binding) -> Hop:
    """Return the way to a page: the WebSocket that it registered on."""
    return Hop(page.contact.host, page.contact.port, page.path.transport, flow=page.path)


def _is_within(callee: SipUri, domain: str) -> bool:
    return callee.host.lower() == domain.lower()


def _dialed(callee: SipUri, domain: str) -> str:
    return callee.username if _is_within(callee, domain) else f"{callee.username}@{callee.host}"


def _caller_of(user: PageUser, name: str) -> Caller:
    """Say who calls over trunks: a login that is a number is the caller's; any other says nothing to a trunk."""
    return Caller(number=user.login if _NUMBER.fullmatch(user.login) else "", display_name=printable(name))
