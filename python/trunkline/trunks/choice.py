"""Which trunks a call is offered to, in which order, and where an inbound call goes.

Owns the rules by number, least cost by order, and weights. Random numbers come in.   RFC 2782 (priority and weight).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from random import Random

from trunkline.errors import NoRoute
from trunkline.trunks.model import Destination, Directory, InboundRule, OutboundRule, ToUser, Trunk


def weighted(trunks: Iterable[Trunk], rng: Random) -> list[Trunk]:
    """Order trunks: lower priorities first, within one by lot, in which each counts by its weight; 0 comes last."""
    rest = sorted(trunks, key=lambda trunk: trunk.priority)
    ordered: list[Trunk] = []
    while rest:
        equals = [trunk for trunk in rest if trunk.priority == rest[0].priority]
        total = sum(trunk.weight for trunk in equals)
        chosen = equals[0]
        if total > 0:
            mark = rng.uniform(0.0, total)
            for trunk in equals:
                mark -= trunk.weight
                if trunk.weight > 0:
                    chosen = trunk
                    if mark <= 0:
                        break
        ordered.append(chosen)
        rest.remove(chosen)
    return ordered


def trunks_of(names: Sequence[str], directory: Directory, rng: Random) -> tuple[Trunk, ...]:
    """Return the trunks of these names and groups in the order to try, each once. NoRoute if a name means nothing."""
    by_name = {trunk.name: trunk for trunk in directory.trunks}
    found: dict[str, Trunk] = {}
    for name in names:
        if name in by_name:
            members = [by_name[name]]
        elif name in directory.groups:
            members = weighted((by_name[member] for member in directory.groups[name]), rng)
        else:
            raise NoRoute(f"no trunk {name}")
        for trunk in members:
            found.setdefault(trunk.name, trunk)
    return tuple(found.values())


def outbound_rule(number: str, rules: Iterable[OutboundRule]) -> OutboundRule:
    """Return the rule for a number: the first whole number or pattern that fits, else the longest prefix. NoRoute."""
    best: OutboundRule | None = None
    for rule in rules:
        if not rule.match.found(number):
            continue
        if rule.match.number is not None or rule.match.pattern is not None:
            return rule
        if best is None or len(rule.match.prefix or "") > len(best.match.prefix or ""):
            best = rule
    if best is None:
        raise NoRoute("no trunk carries calls to this number")
    return best


def inbound_rule(number: str, peer: str, rules: Iterable[InboundRule]) -> tuple[Destination, Destination | None]:
    """Return where a call goes, and where it goes if that fails; groups of the pattern filled in. NoRoute if nowhere.

    peer: name of the trunk or user whose call it is.
    """
    for rule in rules:
        if rule.peers and peer not in rule.peers:
            continue
        found = rule.match.found(number)
        if found:
            groups = found if isinstance(found, re.Match) else None
            fallback = None if rule.fallback is None else _filled(rule.fallback, groups)
            return _filled(rule.destination, groups), fallback
    raise NoRoute("nobody has this number")


def _filled(destination: Destination, found: re.Match[str] | None) -> Destination:
    if found is None:
        return destination
    to = ToUser(found.expand(destination.to.login)) if isinstance(destination.to, ToUser) else destination.to
    return Destination(to, None if destination.callee is None else found.expand(destination.callee))
