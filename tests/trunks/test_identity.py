"""What a trunk is told of a caller, and what is believed of what it tells.   RFC 3323, RFC 3325."""

import pytest

from trunkline.trunks.identity import Caller, IdentityHeader, IdentityPolicy, caller_of, shown, user_of

ASSERTED = IdentityPolicy(header=IdentityHeader.ASSERTED)
TRUSTED = IdentityPolicy(header=IdentityHeader.ASSERTED, is_trusted=True)


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("sip:+4930@h", "+4930"),
        ("sip:+4930;phone-context=x@h", "+4930"),
        ("tel:+4930;ext=7", "+4930"),
        ("<sip:alice@h>", "alice"),
        ("sip:h", ""),
        ("nonsense", "nonsense"),
    ],
)
def test_the_number_of_an_address(text: str, user: str) -> None:
    assert user_of(text) == user


def test_only_a_trusted_trunk_is_believed_who_calls() -> None:
    told = ("sip:+4930@h", "Bob", ("sip:+4999@h",), ("id",), ())
    assert caller_of(*told, TRUSTED).number == "+4999"
    assert caller_of(*told, ASSERTED).number == "+4930"


def test_a_signed_identity_and_its_date_go_on_and_nothing_else_does() -> None:
    headers = (("Identity", "abc"), ("Date", "now"), ("X-Other", "1"))
    assert caller_of("sip:a@h", "", (), (), headers, ASSERTED).passed == headers[:2]
    assert caller_of("sip:a@h", "", (), (), headers[1:], ASSERTED).passed == ()


def test_a_caller_is_shown_in_from_and_asserted_where_the_policy_says_so() -> None:
    told = shown(Caller(number="+4930", display_name="Bob"), "030", "acct", "t.example", ASSERTED)
    assert (told.from_uri, told.display_name) == ("sip:030@t.example", "Bob")
    assert told.identity.asserted == "sip:030@t.example"
    account = IdentityPolicy(is_from_account=True, from_domain="d.example", header=IdentityHeader.PREFERRED)
    told = shown(Caller(number="+4930"), "030", "acct", "t.example", account)
    assert (told.from_uri, told.identity.preferred) == ("sip:acct@d.example", "sip:030@d.example")


@pytest.mark.parametrize(("policy", "is_told"), [(ASSERTED, False), (TRUSTED, True)])
def test_a_caller_that_wants_privacy_is_told_to_trusted_trunks_alone(policy: IdentityPolicy, is_told: bool) -> None:
    told = shown(Caller(number="+4930", display_name="Bob", privacy=("id",)), "+4930", "acct", "t.example", policy)
    assert told.identity.is_anonymous
    assert told.identity.privacy == ("id",)
    assert told.display_name == ""
    assert (told.identity.asserted is not None) is is_told


def test_who_has_no_number_is_shown_as_the_trunks_own() -> None:
    own = IdentityPolicy(caller="+49300")
    assert shown(Caller(), "", "acct", "t.example", own).from_uri == "sip:+49300@t.example"
    assert shown(Caller(), "", "acct", "t.example", IdentityPolicy()).from_uri == "sip:acct@t.example"
    assert caller_of("sip:anonymous@anonymous.invalid", "", (), (), (), ASSERTED).number == ""
