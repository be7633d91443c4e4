"""DTMF digits in INFO: their two bodies, and what a digit that comes is answered.

Owns the bodies `application/dtmf-relay` (`Signal=5`, `Duration=160`) and `application/dtmf` (the digit alone), which no
RFC describes: both are Cisco's, and every PBX reads them. Bounded: more digits than a person or a dialler makes are
refused.   RFC 6086 (sections 4.2.2 and 10.8 on packages that we do not have), RFC 3261 section 8.2.3 (415).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trunkline.errors import SipParseError
from trunkline.sip.message import Request
from trunkline.sip.types import HeaderFields

RELAY: Final = "application/dtmf-relay"
PLAIN: Final = "application/dtmf"
ACCEPTED: Final = f"{RELAY}, {PLAIN}"

DEFAULT_MS: Final = 160
"""Length of a digit whose sender names none, or zero."""
LEAST_MS: Final = 40
GREATEST_MS: Final = 6_000
"""What a digit is made to last at most, whatever its sender says."""

BURST: Final = 16
"""Digits that may come at once after a pause."""
PER_SECOND: Final = 20
"""As many as media takes in events (a dialler makes one in 65 ms)."""

_BODY_LIMIT: Final = 256
_KEYS: Final = "0123456789*#ABCD"
_CODES: Final = {str(code): key for code, key in enumerate(_KEYS)}
"""Some send the event codes of RFC 4733: 10 for `*`, 11 for `#`."""


@dataclass(frozen=True, slots=True)
class Digit:
    """One digit of an INFO. key: one of `0123456789*#ABCD`."""

    key: str
    duration_ms: int = DEFAULT_MS


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an INFO is answered. digit: None if there is nothing to tell. count: the counter of a refusal."""

    status: int
    digit: Digit | None = None
    headers: HeaderFields = ()
    count: str = ""


def write(digit: Digit) -> bytes:
    """Write a body of type `RELAY`."""
    return f"Signal={digit.key}\r\nDuration={digit.duration_ms}\r\n".encode("ascii")


def read(content_type: str, body: bytes) -> Digit:
    """Read a body of type `RELAY` or `PLAIN`. Raises SipParseError if it holds no digit or an unreadable length."""
    if len(body) > _BODY_LIMIT:
        raise SipParseError("too long for a digit")
    fields: dict[str, str] = {}
    for line in body.decode("latin-1").splitlines():
        name, equals, value = line.partition("=")
        if equals:
            fields.setdefault(name.strip().lower(), value.strip())
        elif content_type == PLAIN and line.strip():
            fields.setdefault("signal", line.strip())
    signal = fields.get("signal", "").upper()
    key = _CODES.get(signal, signal)
    if len(key) != 1 or key not in _KEYS:
        raise SipParseError("not a DTMF digit")
    duration = fields.get("duration", "0")
    if not (duration.isascii() and duration.isdigit() and len(duration) <= 9):
        raise SipParseError("not a duration")
    return Digit(key, min(max(int(duration) or DEFAULT_MS, LEAST_MS), GREATEST_MS))


class DigitGate:
    """Judges the INFOs of one dialog."""

    def __init__(self) -> None:
        self._tokens = float(BURST)
        self._filled_at: float | None = None

    def judge(self, now: float, request: Request) -> Verdict:
        """Say what a request is answered. An empty one without a type is a sign of life, and welcome."""
        if (request.headers.get("Info-Package") or "").strip():
            return Verdict(469, headers=(("Recv-Info", ""),), count="info_unsupported")
        if not request.body and not request.content_type:
            return Verdict(200)
        if request.content_type not in (RELAY, PLAIN):
            return Verdict(415, headers=(("Accept", ACCEPTED),), count="info_unsupported")
        try:
            digit = read(request.content_type, request.body)
        except SipParseError:
            return Verdict(400, count="info_malformed")
        if not self._takes_one_more(now):
            return Verdict(500, headers=(("Retry-After", "1"),), count="info_limited")
        return Verdict(200, digit)

    def _takes_one_more(self, now: float) -> bool:
        if self._filled_at is not None:
            self._tokens = min(BURST, self._tokens + max(now - self._filled_at, 0.0) * PER_SECOND)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
