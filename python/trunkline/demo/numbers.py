"""What the test phone's numbers do, as data.

Owns the dial plan and what the Phone page is told about it. Must not know how anything is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Behaviour(StrEnum):
    """What happens when a number is called. The value is the number's name, which can be dialled too."""

    ECHO = "echo"
    TONE = "tone"
    DIGITS = "digits"
    BUSY = "busy"
    NO_ANSWER = "noanswer"
    NOT_FOUND = "notfound"
    CALL_ME = "callme"


@dataclass(frozen=True, slots=True)
class DemoNumber:
    """One entry of the dial plan. number: for the dial pad. title: one line for people."""

    number: str
    behaviour: Behaviour
    title: str


NUMBERS = (
    DemoNumber("100", Behaviour.ECHO, "Echo: hear yourself"),
    DemoNumber("101", Behaviour.TONE, "Tone of 440 Hz"),
    DemoNumber("102", Behaviour.DIGITS, "Digits: hear the keys that you press"),
    DemoNumber("103", Behaviour.BUSY, "Busy"),
    DemoNumber("104", Behaviour.NO_ANSWER, "Rings and never answers"),
    DemoNumber("105", Behaviour.NOT_FOUND, "Unknown number"),
    DemoNumber("106", Behaviour.CALL_ME, "Calls you back"),
)

_BEHAVIOURS = {name: entry.behaviour for entry in NUMBERS for name in (entry.number, entry.behaviour.value)}


def behaviour_of(user: str) -> Behaviour:
    """Return what a dialled number or name does; what is not in the dial plan is not found."""
    return _BEHAVIOURS.get(user.lower(), Behaviour.NOT_FOUND)


@dataclass(frozen=True, slots=True)
class DemoInfo:
    """What a page needs to register at the test phone and call it. domain, port: where it listens, by UDP."""

    login: str
    authentication_name: str
    password: str
    domain: str
    port: int
    numbers: tuple[DemoNumber, ...] = NUMBERS
