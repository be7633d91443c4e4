"""All trunks of a node, and the users that may call in: who they are, and which of them a call takes.

Owns the lines. Decides by `trunkline.trunks.choice`; what one call does next is `course`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from trunkline.calls.legs.sip_party import OutboundCall, SipAccess
from trunkline.calls.ports import Clock
from trunkline.calls.trunks.course import Course, Order
from trunkline.calls.trunks.line import LIMITED, Line, Outcome
from trunkline.errors import NoRoute
from trunkline.observability.trunks import TrunkFigures
from trunkline.sip.types import IncomingInvite, RegistrationId
from trunkline.trunks.choice import outbound_rule, trunks_of
from trunkline.trunks.identity import IdentityPolicy
from trunkline.trunks.limits import Capacity, Limited, Way
from trunkline.trunks.model import TRUNK_PREFIX, USER_PREFIX, Directory


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


class Fleet:
    """The trunks of a node."""

    def __init__(self, directory: Directory, *, sip: SipAccess, clock: Clock, rng: Random) -> None:
        self.directory = directory
        self.user_counts: Counter[Outcome] = Counter()
        """Of all inbound users together."""
        self._clock = clock
        self._rng = rng
        self._registrations: dict[RegistrationId, Line] = {}
        self._lines = {trunk.name: Line(trunk, sip, clock, rng, self._registrations) for trunk in directory.trunks}
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

    def outbound(self, order: Order, names: tuple[str, ...] = ()) -> OutboundCall:
        """Find a trunk for a call and take one of its lines.

        names: of trunks and groups to try in this order; without them the outbound rules say. The line is given back by
        the call's `course`. NoRoute if nobody carries such calls, CapacityError if nobody can now.
        """
        names = names or outbound_rule(order.number, self.directory.outbound).trunks
        trunks = trunks_of(names, self.directory, self._rng)
        return Course((self._lines[trunk.name] for trunk in trunks), order, self._clock).first()

    def source_of(self, invite: IncomingInvite) -> Source | None:
        """Say whose call came in; None if it is nobody's that may call."""
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
