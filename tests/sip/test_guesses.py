"""Guesses of passwords, on a virtual clock: what a stranger may try, and what the user notices of it."""

import tracemalloc

from trunkline.sip.auth.guesses import FRESH_S, MAX_KEPT, SOURCE_GUESSES, SOURCE_S, USER_GUESSES, Guesses

HOME, STRANGER = "198.51.100.7", "203.0.113.9"


def wrong(guesses: Guesses, now: float, source: str, user: str = "alice", times: int = 1) -> int:
    """Guess wrong; returns how many of these were heard."""
    heard = 0
    for _ in range(times):
        if guesses.is_heard(now, source, user):
            heard += 1
            guesses.note_wrong(now, source, user)
    return heard


def test_a_source_has_a_few_wrong_passwords_and_one_more_after_a_while() -> None:
    guesses = Guesses()
    assert wrong(guesses, 0.0, STRANGER, times=100) == SOURCE_GUESSES
    assert not guesses.is_heard(SOURCE_S - 1, STRANGER, "bob"), "whoever they are for"
    assert wrong(guesses, SOURCE_S, STRANGER, times=100) == 1
    assert guesses.is_heard(SOURCE_S, HOME, "alice")


def test_many_sources_get_one_guess_an_hour_each_and_the_user_still_gets_in_from_anywhere() -> None:
    guesses = Guesses()
    heard = sum(wrong(guesses, 0.0, f"203.0.{n >> 8}.{n & 255}", times=SOURCE_GUESSES) for n in range(1_000))
    assert USER_GUESSES < heard < USER_GUESSES + 1_000
    assert guesses.is_heard(1.0, HOME, "alice"), "at the first attempt"
    assert not guesses.is_heard(SOURCE_S, "203.0.3.200", "alice"), "although its own count is full again"
    assert guesses.is_heard(FRESH_S, "203.0.3.200", "alice")


def test_where_a_user_has_been_right_nobody_elses_guesses_count() -> None:
    guesses = Guesses()
    guesses.note_right(HOME, "alice")
    for n in range(1_000):
        wrong(guesses, 0.0, f"203.0.{n >> 8}.{n & 255}", times=SOURCE_GUESSES)
    wrong(guesses, 0.0, HOME, "bob", times=100)  # a neighbour behind the same NAT
    assert not guesses.is_heard(0.0, HOME, "bob")
    assert wrong(guesses, 0.0, HOME, times=100) == SOURCE_GUESSES, "with a typing error or two"
    guesses.note_right(HOME, "alice")
    assert guesses.is_heard(0.0, HOME, "alice")


def test_addresses_of_one_ipv6_network_are_one_source() -> None:
    guesses = Guesses()
    heard = sum(wrong(guesses, 0.0, f"2001:db8::{n:x}") for n in range(1, 100))
    assert heard == SOURCE_GUESSES
    assert wrong(guesses, 0.0, "2001:db8:0:1::1") == 1
    assert wrong(guesses, 0.0, "192.0.2.1", times=100) + wrong(guesses, 0.0, "::ffff:192.0.2.1", times=100) == 10


def test_what_is_remembered_is_bounded() -> None:
    guesses = Guesses()
    for n in range(MAX_KEPT + 100):
        guesses.note_wrong(0.0, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", f"user-{n}")
        guesses.note_right(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", f"user-{n}")
    assert len(guesses) == MAX_KEPT


def test_long_names_take_no_more_memory_than_short_ones() -> None:
    guesses = Guesses()
    tracemalloc.start()
    try:
        for n in range(100):
            guesses.note_wrong(0.0, f"10.0.0.{n}", f"{n}-" + "x" * 100_000)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000
