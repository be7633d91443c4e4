"""How numbers are rewritten.   ITU-T E.164."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.trunks.numbers import DialPlan, NumberFormat, NumberPolicy, NumberRule

GERMANY = DialPlan("49")
AMERICA = DialPlan("1", national_prefix="1", international_prefix="011")


@pytest.mark.parametrize(
    ("plan", "number", "wanted"),
    [
        (GERMANY, "030123", "+4930123"),
        (GERMANY, "004330123", "+4330123"),
        (GERMANY, "+4930123", "+4930123"),
        (GERMANY, "110", "110"),
        (GERMANY, "alice", "alice"),
        (GERMANY, "*43#", "*43#"),
        (DialPlan(), "030123", "030123"),
        (AMERICA, "12125551234", "+12125551234"),
        (AMERICA, "0114930123", "+4930123"),
    ],
)
def test_numbers_become_e164_where_the_dial_plan_tells_how(plan: DialPlan, number: str, wanted: str) -> None:
    assert plan.normalised(number) == wanted


@pytest.mark.parametrize(
    ("number", "form", "wanted"),
    [
        ("030123", NumberFormat.AS_IS, "030123"),
        ("030123", NumberFormat.E164, "+4930123"),
        ("+4930123", NumberFormat.E164_WITHOUT_PLUS, "4930123"),
        ("+4930123", NumberFormat.NATIONAL, "030123"),
        ("+4330123", NumberFormat.NATIONAL, "004330123"),
        ("+4330123", NumberFormat.INTERNATIONAL, "004330123"),
        ("alice", NumberFormat.E164_WITHOUT_PLUS, "alice"),
        ("110", NumberFormat.INTERNATIONAL, "110"),
    ],
)
def test_numbers_are_written_in_the_form_that_a_trunk_wants(number: str, form: NumberFormat, wanted: str) -> None:
    assert GERMANY.formatted(number, form) == wanted


@pytest.mark.parametrize(
    ("rule", "number", "wanted"),
    [
        (NumberRule.of_prefix("0", 1, "+49"), "030", "+4930"),
        (NumberRule.of_prefix("0", 1, "+49"), "130", "130"),
        (NumberRule.of_prefix("", 0, "9"), "030", "9030"),
        (NumberRule.of_prefix("+", 9, ""), "+12", ""),
        (NumberRule.of_prefix("1", 0, r"\1"), "12", r"\112"),
        (NumberRule(re.compile(r"7([0-9]{2})"), r"+4930\g<1>"), "712", "+493012"),
        (NumberRule(re.compile(r"7([0-9]{2})"), r"+4930\g<1>"), "7123", "7123"),
    ],
)
def test_rules_change_what_fits_them_and_nothing_else(rule: NumberRule, number: str, wanted: str) -> None:
    assert rule.applied(number) == wanted


def test_rules_run_in_their_order_after_the_form_each_on_what_the_one_before_made() -> None:
    policy = NumberPolicy(
        plan=GERMANY,
        callee_format=NumberFormat.INTERNATIONAL,
        callee_out=(NumberRule.of_prefix("00", 2, "011"), NumberRule.of_prefix("011", 0, "9")),
        caller_in=(NumberRule.of_prefix("+49", 3, "0"),),
    )
    assert policy.outbound_callee("+4330") == "90114330"
    assert policy.inbound_caller("004930") == "030"
    assert policy.inbound_callee("004930") == "+4930"
    assert policy.outbound_caller("+4930") == "+4930"


@given(st.from_regex(r"\+49[1-9][0-9]{3,12}", fullmatch=True), st.sampled_from(list(NumberFormat)))
def test_what_is_written_in_a_form_other_than_bare_digits_reads_back(number: str, form: NumberFormat) -> None:
    written = GERMANY.formatted(number, form)
    if form is not NumberFormat.E164_WITHOUT_PLUS:
        assert GERMANY.normalised(written) == number


@given(st.text(max_size=300))
def test_any_text_is_taken(number: str) -> None:
    policy = NumberPolicy(
        plan=GERMANY, callee_format=NumberFormat.NATIONAL, callee_out=(NumberRule.of_prefix("0", 1, "+"),)
    )
    assert isinstance(policy.outbound_callee(number), str)
    assert isinstance(policy.inbound_callee(number), str)
