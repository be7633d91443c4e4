"""All trunks of a node, and the users that may call in: who they are, and which of them a call takes.

Owns the lines. Decides by `trunkline.trunks.choice`; what one call does next is `course`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from trunkline.calls.legs.sip_party import OutboundCall, SipAccess
from trunkline.calls.ports import Clock
from trunkline.calls.trunks.course import Course, Order, outbound_call
from trunkline.calls.trunks.line import LIMITED, Line, Outcome
from trunkline.errors import LocalProtocolError, NoRoute
from trunkline.observability.trunks import TrunkFigures
from trunkline.sip.types import IncomingInvite, MessageReceived, RegistrationId
from trunkline.trunks.choice import outbound_rule, trunks_of
from trunkline.trunks.identity import IdentityPolicy
from trunkline.trunks.limits import Capacity, Limited, Way
from trunkline.trunks.model import TRUNK_PREFIX, USER_PREFIX, Directory, InboundUser, Trunk


@dataclass(frozen=True, slots=True)
class Source:
    """Whose inbound call it is: a trunk's line, or a user's."""

    name: str
    capacity: Capacity
    line: Line | None = None

    @property
    def limit_status(self) -> int:
        """What a call above a limit is answered."""
        return 503 if self.line is None else self.line.trunk.limit_status

    @property
    def identity(self) -> IdentityPolicy:
        """What is believed of whom it says calls. A user's word is its own."""
        return IdentityPolicy() if self.line is None else self.line.trunk.identity


@dataclass(frozen=True, slots=True)
class Changes:
    """Names of trunks that other settings have brought, changed and taken away."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


class Fleet:
    """The trunks of a node."""

    def __init__(self, directory: Directory, *, sip: SipAccess, clock: Clock, rng: Random) -> None:
        self.directory = directory
        self.user_counts: Counter[Outcome] = Counter()
        """Of all inbound users together."""
        self._sip = sip
        self._clock = clock
        self._rng = rng
        self._registrations: dict[RegistrationId, Line] = {}
        self._lines = {trunk.name: self._line(trunk) for trunk in directory.trunks}
        self._users = {user.name: Source(user.name, Capacity(user.limits)) for user in directory.users}

    def __iter__(self) -> Iterator[Line]:
        """Go through the trunks, in the order of the settings."""
        return iter(self._lines.values())

    def __len__(self) -> int:
        """Count trunks."""
        return len(self._lines)

    @property
    def registrations(self) -> int:
        """Count registrations held or tried at trunks."""
        return len(self._registrations)

    def figures(self) -> Iterator[TrunkFigures]:
        """Return what `/metrics` shows."""
        for line in self:
            yield TrunkFigures(
                name=line.trunk.name,
                is_up=line.is_usable,
                active={way.value: count for way, count in line.capacity.active.items()},
                attempts={(way.value, outcome.value): count for (way, outcome), count in line.counts.items()},
                failed_probes=line.failed_probes,
            )
        if self._users:
            yield TrunkFigures(
                name="users",
                is_up=True,
                active={Way.INBOUND.value: sum(user.capacity.active[Way.INBOUND] for user in self._users.values())},
                attempts={(Way.INBOUND.value, outcome.value): count for outcome, count in self.user_counts.items()},
            )

    def start(self) -> None:
        """Register at trunks and ask them whether they are there. ConfigError if one cannot be called that way."""
        for line in self:
            line.start()

    def stop(self) -> None:
        """Ask no more, and take registrations back."""
        for line in self:
            line.stop()

    def change(self, directory: Directory) -> Changes:
        """Go by another directory from now on. Calls go on as they are, also those over trunks that are gone."""
        before = self._lines
        self._lines = {trunk.name: before.get(trunk.name) or self._line(trunk) for trunk in directory.trunks}
        self._users = {user.name: self._user(user) for user in directory.users}
        self.directory = directory
        removed = tuple(name for name in before if name not in self._lines)
        for name in removed:
            before[name].stop()
        changed = tuple(trunk for trunk in directory.trunks if self._lines[trunk.name].trunk != trunk)
        for trunk in changed:
            self._lines[trunk.name].change(trunk)
        added = tuple(name for name in self._lines if name not in before)
        for name in added:
            self._lines[name].start()
        return Changes(added, tuple(trunk.name for trunk in changed), removed)

    def _line(self, trunk: Trunk) -> Line:
        return Line(trunk, self._sip, self._clock, self._rng, self._registrations)

    def _user(self, user: InboundUser) -> Source:
        known = self._users.get(user.name)
        if known is None:
            return Source(user.name, Capacity(user.limits))
        known.capacity.change(user.limits)
        return known

    def outbound(self, order: Order, names: tuple[str, ...] = ()) -> OutboundCall:
        """Find a trunk for a call and take one of its lines.

        names: of trunks and groups to try in this order; without them the outbound rules say. The line is given back by
        the call's `course`. NoRoute if nobody carries such calls, CapacityError if nobody can now.
        """
        names = names or outbound_rule(order.number, self.directory.outbound).trunks
        trunks = trunks_of(names, self.directory, self._rng)
        return Course((self._lines[trunk.name] for trunk in trunks), order, self._clock).first()

    def text_ways(self, order: Order) -> tuple[OutboundCall, ...]:
        """Return the trunks that carry such calls and are there, to send a text by; it takes no line. NoRoute."""
        trunks = trunks_of(outbound_rule(order.number, self.directory.outbound).trunks, self.directory, self._rng)
        found: list[OutboundCall] = []
        for trunk in trunks:
            if self._lines[trunk.name].is_usable:
                with suppress(LocalProtocolError):  # this one cannot write the number
                    found.append(outbound_call(trunk, order))
        return tuple(found)

    def source_of(self, invite: IncomingInvite | MessageReceived) -> Source | None:
        """Say whose call or text came in; None if it is nobody's that may call."""
        if invite.registration is not None:
            line = self._registrations.get(invite.registration)
        elif invite.peer.startswith(USER_PREFIX):
            return self._users.get(invite.peer.removeprefix(USER_PREFIX))
        else:
            line = self._lines.get(invite.peer.removeprefix(TRUNK_PREFIX)) if invite.peer else None
        return None if line is None else Source(line.trunk.name, line.capacity, line)

    def admit(self, source: Source) -> Limited | None:
        """Count an inbound call that begins, or say which limit it meets. `release` gives the line back."""
        limited = source.capacity.admit(self._clock.now(), Way.INBOUND)
        if limited is not None:
            self.count(source, LIMITED[limited])
        return limited

    def count(self, source: Source, outcome: Outcome) -> None:
        """Count what became of an inbound call."""
        if source.line is None:
            self.user_counts[outcome] += 1
        else:
            source.line.count(Way.INBOUND, outcome)

    def check_web_calls(self) -> None:
        """Raise NoRoute unless browsers without an account may call over trunks."""
        if not self.directory.are_web_calls_allowed:
            raise NoRoute("no SIP account to call with")
