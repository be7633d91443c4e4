"""From a hop to the addresses to try, in order: RFC 3263 without I/O.

Owns which records are asked for and what they mean: NAPTR for the transport, SRV for host and port, addresses last.
The driver asks what `poll_questions` gives, hands each answer in, and reads `targets` when nothing is left to ask.
RFC 3263 section 4; RFC 2782 (order of SRV records); RFC 7118 section 7 (services of WebSocket).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from random import Random

from trunkline.sip.types import Address, Hop, Transport

MAX_RECORDS = 32
"""Of one answer, and of targets in all: more servers than that nobody tries within one call."""

_SERVICES = {
    "SIP+D2U": Transport.UDP,
    "SIP+D2T": Transport.TCP,
    "SIPS+D2T": Transport.TLS,
    "SIP+D2W": Transport.WS,
    "SIPS+D2W": Transport.WSS,
}
_SRV_PREFIX = {
    Transport.UDP: "_sip._udp",
    Transport.TCP: "_sip._tcp",
    Transport.TLS: "_sips._tcp",
    Transport.WS: "_sip._ws",
    Transport.WSS: "_sips._ws",
}
_GUESSED = (Transport.UDP, Transport.TCP, Transport.TLS)
"""Without NAPTR records: what is asked for and preferred, in this order."""


class RecordKind(StrEnum):
    """What is asked of the DNS."""

    NAPTR = "NAPTR"
    SRV = "SRV"
    ADDRESS = "A/AAAA"


@dataclass(frozen=True, slots=True)
class Question:
    """One look-up."""

    kind: RecordKind
    name: str


@dataclass(frozen=True, slots=True)
class Naptr:
    """A NAPTR record whose replacement is the name of SRV records (flag `s`)."""

    order: int
    preference: int
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """An SRV record. target: `.` says that there is decidedly no such service."""

    priority: int
    weight: int
    port: int
    target: str


Records = Sequence[Naptr] | Sequence[Srv] | Sequence[str]
"""Of the question's kind; addresses are IP literals in the order to try."""


@dataclass(frozen=True, slots=True)
class Target:
    """One way to try."""

    transport: Transport
    remote: Address


def target_of_address(hop: Hop, transports: frozenset[Transport]) -> Target | None:
    """Return the one way to a hop that is an IP address; None if it is a name, or a way that we cannot use."""
    address, transport = ip_literal(hop.host), _plain_transport(hop, transports)
    if address is None or transport is None:
        return None
    return Target(transport, (address, hop.port or transport.default_port))


def _plain_transport(hop: Hop, transports: frozenset[Transport]) -> Transport | None:
    """Return the transport where no record names one, None if we cannot use it.

    RFC 3263 section 4.1: UDP, or TLS for `sips`.
    """
    chosen = hop.transport
    if chosen is None and hop.is_secure:
        chosen = Transport.TLS
    elif chosen is None:
        chosen = Transport.UDP if Transport.UDP in transports else Transport.TCP
    is_usable = chosen in transports and (chosen.is_secure or not hop.is_secure)
    return chosen if is_usable else None


class Search:
    """The search for one hop. transports: those that we can use. rng: spreads load over SRV records by weight."""

    def __init__(self, hop: Hop, transports: frozenset[Transport], rng: Random) -> None:
        self._hop = hop
        self._rng = rng
        self._usable = frozenset(each for each in transports if each.is_secure or not hop.is_secure)
        self._answers: dict[Question, Records] = {}
        self._asked: set[Question] = set()
        self._services: list[tuple[Transport, Srv]] | None = None

    def poll_questions(self) -> list[Question]:
        """Return what can be asked now, all at once; empty when the search is over or waits for answers."""
        new = [question for question in dict.fromkeys(self._wanted()) if question not in self._asked]
        self._asked.update(new)
        return new

    def handle_answer(self, question: Question, records: Records) -> None:
        """Take an answer; none, or none in time, is an empty one."""
        self._answers[question] = records[:MAX_RECORDS]

    @property
    def targets(self) -> list[Target]:
        """What to try, in order; empty if there is no way."""
        found = dict.fromkeys(self._found())
        return list(found)[:MAX_RECORDS]

    # --- questions ---

    def _wanted(self) -> Iterator[Question]:
        """Name what must be known, as far as the answers so far tell."""
        if ip_literal(self._hop.host) is not None:
            return
        if self._is_srv_due:
            asked = list(self._service_questions())
            yield from asked
            if any(question not in self._answers for question in asked):
                return
            services = self._ordered_services()
            if services:
                for _, record in services:
                    if ip_literal(record.target) is None:
                        yield Question(RecordKind.ADDRESS, record.target)
                return
        yield Question(RecordKind.ADDRESS, self._hop.host)

    def _service_questions(self) -> Iterator[Question]:
        if self._hop.transport is None:
            yield Question(RecordKind.NAPTR, self._hop.host)
        # Asked beside NAPTR rather than after it: most domains have no NAPTR, or one that leads to these names.
        for transport in self._guessed():
            yield Question(RecordKind.SRV, _srv_name(transport, self._hop.host))
        for pointer, _ in self._pointers():
            yield Question(RecordKind.SRV, pointer.replacement)

    @property
    def _is_srv_due(self) -> bool:
        """Whether SRV records may say more than the URI does; a port in it, or a local name, rules them out."""
        return self._hop.port is None and "." in self._hop.host.rstrip(".")

    def _guessed(self) -> list[Transport]:
        if self._hop.transport is not None:
            return [self._hop.transport] if self._hop.transport in self._usable else []
        return [each for each in _GUESSED if each in self._usable]

    # --- answers ---

    def _pointers(self) -> list[tuple[Naptr, Transport]]:
        """Return usable NAPTR records of the lowest order that has any, by preference.   RFC 3263 section 4.1."""
        if self._hop.transport is not None:
            return []
        records = self._answers.get(Question(RecordKind.NAPTR, self._hop.host), ())
        usable = [
            (record, transport)
            for record in records
            if isinstance(record, Naptr)
            and (transport := _SERVICES.get(record.service.upper())) is not None
            and transport in self._usable
        ]
        lowest = min((record.order for record, _ in usable), default=0)
        return sorted((each for each in usable if each[0].order == lowest), key=lambda each: each[0].preference)

    def _ordered_services(self) -> list[tuple[Transport, Srv]]:
        """Return SRV records of all transports in the order to try, drawn once."""
        if self._services is None:
            names = [(transport, pointer.replacement) for pointer, transport in self._pointers()]
            names = names or [(each, _srv_name(each, self._hop.host)) for each in self._guessed()]
            self._services = [
                (transport, record)
                for transport, name in names
                for record in self._drawn(self._answers.get(Question(RecordKind.SRV, name), ()))
            ]
        return self._services

    def _drawn(self, records: Records) -> Iterator[Srv]:
        """Order SRV records by priority and, within one, by weighted lot.   RFC 2782."""
        left = [each for each in records if isinstance(each, Srv) and each.target not in ("", ".")]
        left.sort(key=lambda each: (each.priority, each.weight != 0))
        while left:
            peers = [each for each in left if each.priority == left[0].priority]
            lot = self._rng.randint(0, sum(each.weight for each in peers))
            for record in peers:
                lot -= record.weight
                if lot <= 0:
                    left.remove(record)
                    yield record
                    break

    def _found(self) -> Iterator[Target]:
        services = self._ordered_services() if self._is_srv_due else []
        for transport, record in services:
            for host in self._addresses(record.target):
                yield Target(transport, (host, record.port))
        if services:
            return
        plain = _plain_transport(self._hop, self._usable)
        if plain is not None:
            for host in self._addresses(self._hop.host):
                yield Target(plain, (host, self._hop.port or plain.default_port))

    def _addresses(self, host: str) -> Iterable[str]:
        literal = ip_literal(host)
        if literal is not None:
            return (literal,)
        found = self._answers.get(Question(RecordKind.ADDRESS, host), ())
        return (each for each in found if isinstance(each, str))


@lru_cache(maxsize=1_024)
def ip_literal(host: str) -> str | None:
    """Return the address in its usual spelling if host is an IP literal."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _srv_name(transport: Transport, host: str) -> str:
    return f"{_SRV_PREFIX[transport]}.{host}"
