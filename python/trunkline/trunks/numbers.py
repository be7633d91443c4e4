"""Numbers, and how a trunk wants them written: E.164, national, with prefixes, by rules.   ITU-T E.164, RFC 3966.

Owns the rewriting of numbers both ways. What is no telephone number (a user's name, a service code with `*`) is left to
the rules alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_TELEPHONE: Final = re.compile(r"\+?[0-9]{1,32}")
_MAX_LENGTH: Final = 256


class NumberFormat(StrEnum):
    """How a telephone number is written."""

    AS_IS = "as_is"
    E164 = "e164"
    """`+4930123`."""
    E164_WITHOUT_PLUS = "e164_without_plus"
    """`4930123`."""
    NATIONAL = "national"
    """`030123` within the country, `0043123` to another."""
    INTERNATIONAL = "international"
    """`004930123`."""


@dataclass(frozen=True, slots=True)
class DialPlan:
    """How national and international numbers begin. country_code: digits; None leaves national numbers as they are."""

    country_code: str | None = None
    national_prefix: str = "0"
    international_prefix: str = "00"

    def normalised(self, number: str) -> str:
        """Return a number in E.164, led by `+`; as it was if it is none, or neither national nor international."""
        if _TELEPHONE.fullmatch(number) is None or number.startswith("+"):
            return number
        if number.startswith(self.international_prefix):
            return f"+{number.removeprefix(self.international_prefix)}"
        if self.country_code and self.national_prefix and number.startswith(self.national_prefix):
            return f"+{self.country_code}{number.removeprefix(self.national_prefix)}"
        return number

    def formatted(self, number: str, form: NumberFormat) -> str:
        """Write a number of E.164 in a form; any other number stays as it is."""
        if form is NumberFormat.AS_IS:
            return number
        number = self.normalised(number)
        if not number.startswith("+") or _TELEPHONE.fullmatch(number) is None:
            return number
        digits = number[1:]
        match form:
            case NumberFormat.E164:
                return number
            case NumberFormat.E164_WITHOUT_PLUS:
                return digits
            case NumberFormat.INTERNATIONAL:
                return f"{self.international_prefix}{digits}"
        if self.country_code and digits.startswith(self.country_code):
            return f"{self.national_prefix}{digits.removeprefix(self.country_code)}"
        return f"{self.international_prefix}{digits}"


@dataclass(frozen=True, slots=True)
class NumberRule:
    r"""One change: what fits the pattern wholly becomes the replacement, in which `\1` is the first group."""

    pattern: re.Pattern[str]
    replacement: str

    @classmethod
    def of_prefix(cls, prefix: str, strip: int, add: str) -> NumberRule:
        """Make the rule that takes characters away from the front of what begins so, and puts others there."""
        shown = add.replace("\\", r"\\")
        pattern = rf"(?=(?s:{re.escape(prefix)}))(?s:.{{0,{strip}}})((?s:.*))"
        return cls(re.compile(pattern), rf"{shown}\g<1>")

    def applied(self, number: str) -> str:
        """Return the number as the rule has it."""
        found = self.pattern.fullmatch(number)
        return number if found is None else found.expand(self.replacement)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberPolicy:
    """How one trunk writes numbers: forms first, then rules, each on what the one before made."""

    plan: DialPlan = DialPlan()
    normalises_inbound: bool = True
    callee_format: NumberFormat = NumberFormat.AS_IS
    caller_format: NumberFormat = NumberFormat.AS_IS
    callee_out: tuple[NumberRule, ...] = ()
    caller_out: tuple[NumberRule, ...] = ()
    callee_in: tuple[NumberRule, ...] = ()
    caller_in: tuple[NumberRule, ...] = ()

    def outbound_callee(self, number: str) -> str:
        """Write a called number for the trunk."""
        return _rewritten(self.plan.formatted(number, self.callee_format), self.callee_out)

    def outbound_caller(self, number: str) -> str:
        """Write a caller's number for the trunk."""
        return _rewritten(self.plan.formatted(number, self.caller_format), self.caller_out)

    def inbound_callee(self, number: str) -> str:
        """Read a called number of the trunk's."""
        return _rewritten(self._read(number), self.callee_in)

    def inbound_caller(self, number: str) -> str:
        """Read a caller's number of the trunk's."""
        return _rewritten(self._read(number), self.caller_in)

    def _read(self, number: str) -> str:
        return self.plan.normalised(number) if self.normalises_inbound else number


def _rewritten(number: str, rules: tuple[NumberRule, ...]) -> str:
    if len(number) > _MAX_LENGTH:  # an expression may take its time over a long text
        return number
    for rule in rules:
        number = rule.applied(number)
    return number
