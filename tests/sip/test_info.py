"""INFO as a way for digits: its bodies, and what is answered.   RFC 6086, RFC 3261 section 8.2.3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.test_invite_flows import Pair
from trunkline.errors import SipParseError
from trunkline.sip.info import BURST, GREATEST_MS, LEAST_MS, PER_SECOND, PLAIN, RELAY, Digit, read, write
from trunkline.sip.types import InfoAnswered, InfoReceived

KEYS = "0123456789*#ABCD"
SENT = 200
"""In a fifth of a second."""


@pytest.fixture
def pair() -> Pair:
    return Pair()


def send(pair: Pair, content_type: str, body: bytes) -> tuple[int, list[InfoReceived]]:
    """Let Alice send one INFO; returns the status and what Bob's application was told."""
    call, _ = pair.connect()
    pair.alice.ua.send_info(pair.network.now, call, content_type, body)
    pair.alice.drain()
    pair.network.run(0.1)
    return pair.alice.last(InfoAnswered).status, pair.bob.got(InfoReceived)


@pytest.mark.parametrize(
    ("content_type", "body", "digit", "duration_ms"),
    [
        (RELAY, b"Signal=5\r\nDuration=160\r\n", "5", 160),
        (RELAY, b"Signal= 5\r\nDuration= 250", "5", 250),
        (RELAY, b"signal=d\nduration=100\n", "D", 100),
        (RELAY, b"Duration=70\r\nSignal=*\r\n", "*", 70),
        (RELAY, b"Signal=11\r\n", "#", 160),
        (RELAY, b"Signal=1\r\nDuration=0\r\n", "1", 160),
        (RELAY, b"Signal=1\r\nDuration=5\r\n", "1", LEAST_MS),
        (RELAY, b"Signal=1\r\nDuration=999999999\r\n", "1", GREATEST_MS),
        (PLAIN, b"8", "8", 160),
        (PLAIN, b"#\r\n", "#", 160),
        (PLAIN, b"Signal=8\r\nDuration=90\r\n", "8", 90),
    ],
)
def test_a_digit_is_told_with_its_length(
    pair: Pair, content_type: str, body: bytes, digit: str, duration_ms: int
) -> None:
    status, told = send(pair, content_type, body)
    assert status == 200
    assert [(event.digit, event.duration_ms) for event in told] == [(digit, duration_ms)]


@pytest.mark.parametrize(
    ("content_type", "body", "status", "count"),
    [
        (RELAY, b"", 400, "info_malformed"),
        (RELAY, b"Signal=\r\n", 400, "info_malformed"),
        (RELAY, b"Signal=12345\r\n", 400, "info_malformed"),
        (RELAY, b"Signal=!\r\nDuration=100", 400, "info_malformed"),
        (RELAY, b"5", 400, "info_malformed"),
        (RELAY, b"Signal=5\r\nDuration=-5\r\n", 400, "info_malformed"),
        (RELAY, b"Signal=5\r\nDuration=" + b"9" * 4_000, 400, "info_malformed"),
        (PLAIN, b"\xff\xfe\x00", 400, "info_malformed"),
        ("application/media_control+xml", b"<xml/>", 415, "info_unsupported"),
        ("text/plain", b"5", 415, "info_unsupported"),
    ],
)
def test_what_is_no_digit_is_refused_and_counted(
    pair: Pair, content_type: str, body: bytes, status: int, count: str
) -> None:
    assert send(pair, content_type, body) == (status, [])
    assert pair.bob.ua.counters[count] == 1


def test_a_refused_type_is_told_which_are_taken(pair: Pair) -> None:
    call, _ = pair.connect()
    seen: list[bytes] = []
    pair.network.fate = lambda data, path: seen.append(data) or [0.01]  # type: ignore[func-returns-value]
    pair.alice.ua.send_info(pair.network.now, call, "text/plain", b"5")
    pair.alice.drain()
    pair.network.run(0.1)
    assert b"\r\nAccept: application/dtmf-relay, application/dtmf\r\n" in seen[-1]


def test_a_thousand_digits_a_second_are_held_to_twenty(pair: Pair) -> None:
    call, _ = pair.connect()
    for _ in range(SENT):
        pair.alice.ua.send_info(pair.network.now, call, RELAY, b"Signal=5\r\nDuration=40\r\n")
        pair.alice.drain()
        pair.network.run(0.001)
    pair.network.run(1)
    told = len(pair.bob.got(InfoReceived))
    assert BURST <= told <= BURST + PER_SECOND * SENT / 1_000 + 2
    statuses = [event.status for event in pair.alice.got(InfoAnswered)]
    assert statuses.count(500) == pair.bob.ua.counters["info_limited"] == SENT - told
    pair.network.run(1)
    pair.alice.ua.send_info(pair.network.now, call, RELAY, b"Signal=6\r\n")
    pair.alice.drain()
    pair.network.run(0.1)
    assert pair.bob.last(InfoReceived).digit == "6", "after a pause all is well"


@given(st.sampled_from(KEYS), st.integers(LEAST_MS, GREATEST_MS))
def test_what_is_written_is_read_again(key: str, duration_ms: int) -> None:
    assert read(RELAY, write(Digit(key, duration_ms))) == Digit(key, duration_ms)


@given(st.sampled_from([RELAY, PLAIN]), st.binary(max_size=400))
def test_any_body_ends_in_a_digit_or_an_error(content_type: str, body: bytes) -> None:
    try:
        digit = read(content_type, body)
    except SipParseError:
        return
    assert digit.key in KEYS
    assert LEAST_MS <= digit.duration_ms <= GREATEST_MS
