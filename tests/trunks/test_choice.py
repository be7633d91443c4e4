"""Which trunk a call takes, and where a number leads."""

import re
from collections import Counter
from random import Random

import pytest

from trunkline.errors import NoRoute
from trunkline.sip.types import Account
from trunkline.trunks.choice import inbound_rule, outbound_rule, trunks_of, weighted
from trunkline.trunks.model import Destination, Directory, InboundRule, Match, OutboundRule, Refusal, ToUser, Trunk


def trunk(name: str, priority: int = 0, weight: int = 1) -> Trunk:
    account = Account(login="x", password="", domain="h.example")
    return Trunk(name=name, account=account, priority=priority, weight=weight)


def test_weights_share_the_calls_of_one_priority_and_the_others_wait_behind() -> None:
    trunks = (trunk("late", 1, 100), trunk("third", 0, 1), trunk("rest", 0, 3), trunk("spare", 0, 0))
    rng = Random(1)
    orders = [[each.name for each in weighted(trunks, rng)] for _ in range(4_000)]
    first = Counter(order[0] for order in orders)
    assert first["rest"] / 4_000 == pytest.approx(0.75, abs=0.03)
    assert first["third"] / 4_000 == pytest.approx(0.25, abs=0.03)
    assert all(order[2:] == ["spare", "late"] for order in orders)


def test_groups_are_tried_as_listed_and_each_trunk_once() -> None:
    directory = Directory(trunks=(trunk("a"), trunk("b", 1), trunk("c")), groups={"g": ("b", "a"), "h": ("a", "c")})
    assert [each.name for each in trunks_of(("c", "g", "h"), directory, Random(1))] == ["c", "a", "b"]
    with pytest.raises(NoRoute):
        trunks_of(("nobody",), directory, Random(1))


def test_whole_numbers_and_patterns_go_before_the_longest_prefix() -> None:
    rules = (
        OutboundRule(Match(prefix=""), ("any",)),
        OutboundRule(Match(prefix="+4930"), ("berlin",)),
        OutboundRule(Match(prefix="+49"), ("germany",)),
        OutboundRule(Match(pattern=re.compile(r"\+49(800|180).*")), ("free",)),
        OutboundRule(Match(number="110"), ("police",)),
    )
    found = {
        number: outbound_rule(number, rules).trunks[0] for number in ("+49301", "+49401", "+498001", "110", "1100")
    }
    assert list(found.values()) == ["berlin", "germany", "free", "police", "any"]
    with pytest.raises(NoRoute):
        outbound_rule("+43", rules[1:])


def test_the_first_inbound_rule_that_fits_number_and_peer_is_taken_with_its_groups() -> None:
    rules = (
        InboundRule(match=Match(), destination=Destination(Refusal(486)), peers=frozenset(("other",))),
        InboundRule(
            match=Match(pattern=re.compile(r"\+4930(\d+)")),
            destination=Destination(ToUser(r"desk-\1"), r"9\1"),
            fallback=Destination(ToUser(r"night-\1")),
        ),
    )
    destination, fallback = inbound_rule("+493017", "carrier", rules)
    assert destination == Destination(ToUser("desk-17"), "917")
    assert fallback == Destination(ToUser("night-17"))
    assert inbound_rule("+493017", "other", rules)[0].to == Refusal(486)
    with pytest.raises(NoRoute):
        inbound_rule("+4940", "carrier", rules)
