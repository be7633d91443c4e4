"""The built-in test phone, called from Chromium on the Phone page, by plain HTTP and by HTTPS."""

from collections.abc import Callable

import numpy as np
import pytest
from harness.audio import Samples, assert_tone, judge
from harness.browser import MICROPHONE_DBFS, MICROPHONE_HZ, RECORDING_RATE_HZ
from harness.gateway import Gateway
from harness.network import CORE
from harness.phone_page import PhonePage
from playwright.sync_api import expect

TLS_PORT = 8443


@pytest.fixture
def demo_page(start_gateway: Callable[..., Gateway], open_page: Callable[..., PhonePage]) -> PhonePage:
    """The page, signed in with the demo account."""
    start_gateway({"demo": {"enabled": True, "callback_delay_s": 0.5}, "calls": {"ring_timeout_s": 2.0}})
    page = open_page()
    page.sign_in_demo()
    return page


def _call(page: PhonePage, number: str) -> None:
    page.call(number)
    page.expect_status("ESTABLISHED")


def _hang_up(page: PhonePage) -> None:
    page.hang_up()
    page.expect_phase("idle")


def test_echo_plays_back_what_it_hears(demo_page: PhonePage) -> None:
    _call(demo_page, "100")
    heard = judge(demo_page.listen(4), RECORDING_RATE_HZ)
    assert_tone(heard, frequency_hz=MICROPHONE_HZ, level_dbfs=MICROPHONE_DBFS)
    _hang_up(demo_page)


def test_tone_is_heard_on_a_page_by_https(
    start_gateway: Callable[..., Gateway], open_page: Callable[..., PhonePage]
) -> None:
    start_gateway({"demo": {"enabled": True}, "http": {"tls_ports": [TLS_PORT]}})
    page = open_page(f"https://{CORE}:{TLS_PORT}")
    page.sign_in_demo()
    _call(page, "tone")
    heard = judge(page.listen(4), RECORDING_RATE_HZ)
    assert abs(heard.frequency_hz - 440) < 5, heard
    assert heard.purity > 0.8, heard
    assert heard.longest_gap_s <= 0.1, heard
    _hang_up(page)


def test_digits_come_back_as_tones(demo_page: PhonePage) -> None:
    _call(demo_page, "102")
    heard = demo_page.listen(3, lambda: demo_page.page.click('[data-digit="5"]'))
    assert _strongest_hz(heard, {697, 770, 852, 941, 1209, 1336, 1477, 1633}, 2) == {770, 1336}
    _hang_up(demo_page)


def _strongest_hz(samples: Samples, candidates: set[int], count: int) -> set[int]:
    """Return the candidates with the most energy within 20 Hz."""
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / RECORDING_RATE_HZ)
    energy = {hz: float(spectrum[np.abs(frequencies - hz) <= 20].sum()) for hz in candidates}
    assert max(energy.values()) > 1, energy
    return set(sorted(energy, key=energy.__getitem__, reverse=True)[:count])


@pytest.mark.parametrize(
    ("number", "reason"), [("103", "busy"), ("104", "no_answer"), ("105", "not_found"), ("999", "not_found")]
)
def test_numbers_that_fail_say_why(demo_page: PhonePage, number: str, reason: str) -> None:
    demo_page.call(number)
    demo_page.expect_reason(reason)
    demo_page.expect_phase("idle")


def test_call_back_rings_the_browser(demo_page: PhonePage) -> None:
    demo_page.call("106")
    demo_page.expect_phase("incoming", timeout_s=20)
    demo_page.answer()
    demo_page.expect_status("ESTABLISHED")
    expect(demo_page.page.locator("#call-timer")).to_have_text("0:01")
    _hang_up(demo_page)
