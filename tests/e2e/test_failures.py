"""Calls and logins that fail: each with its own reason on the page, in time, and with nothing left behind."""

import time
from collections.abc import Callable
from pathlib import Path

from harness.baresip import Baresip
from harness.gateway import Gateway
from harness.kamailio import DOMAIN, USERS, Kamailio
from harness.kamailio import PORT as KAMAILIO_PORT
from harness.network import CORE, Network
from harness.phone_page import PhonePage
from harness.sipp import Sipp
from playwright.sync_api import expect

# RFC 3261 timers B and F: 64 * T1.
TRANSACTION_TIMEOUT_S = 32.0


def test_busy(network: Network, page: PhonePage, artifacts: Path) -> None:
    with Sipp(network.core, artifacts / "sipp", "callee_busy", port=6060) as callee:
        page.call("7000")
        page.expect_reason("busy")
        page.expect_phase("idle")
        callee.assert_passed()
    assert page.sip_status() == "486"
    assert page.status_text() == "Busy"


def test_declined_by_the_callee(page: PhonePage, phone: Callable[..., Baresip]) -> None:
    callee = phone(answers="manual")
    page.call("phone")
    callee.wait_event("CALL_INCOMING")
    page.expect_status("RING")
    callee.hang_up()
    page.expect_phase("idle")
    assert page.sip_status() == "486"


def test_no_answer(
    start_gateway: Callable[..., Gateway],
    kamailio: Kamailio,
    open_page: Callable[..., PhonePage],
    phone: Callable[..., Baresip],
) -> None:
    start_gateway({"calls": {"ring_timeout_s": 3.0}})
    page = open_page()
    page.sign_in("web", USERS["web"], DOMAIN, kamailio.address, KAMAILIO_PORT)
    page.expect_session("REGISTERED")
    callee = phone(answers="manual")
    page.call("phone")
    page.expect_status("RING")
    page.expect_reason("no_answer")
    page.expect_phase("idle")
    callee.wait_event("CALL_CLOSED")
    assert page.status_text() == "No answer"


def test_caller_gives_up(page: PhonePage, phone: Callable[..., Baresip]) -> None:
    callee = phone(answers="manual")
    page.call("phone")
    callee.wait_event("CALL_INCOMING")
    page.expect_status("RING")
    page.hang_up()
    callee.wait_event("CALL_CLOSED")
    page.expect_phase("idle")


def test_unknown_number(page: PhonePage) -> None:
    page.call("nobody")
    page.expect_reason("not_found")
    page.expect_phase("idle")
    assert page.sip_status() == "404"


def test_known_user_who_is_not_registered(page: PhonePage) -> None:
    page.call("other")
    page.expect_reason("unavailable")
    page.expect_phase("idle")
    assert page.sip_status() == "480"


def test_wrong_password(gateway: Gateway, kamailio: Kamailio, open_page: Callable[..., PhonePage]) -> None:
    page = open_page()
    page.sign_in("web", "not the password", DOMAIN, kamailio.address, KAMAILIO_PORT)
    expect(page.page.locator("#sign-in-error")).to_have_text("Wrong login or password")
    assert page.page.get_attribute("body", "data-view") == "sign-in"


def test_sip_server_down_at_sign_in(gateway: Gateway, open_page: Callable[..., PhonePage]) -> None:
    page = open_page()
    started = time.monotonic()
    page.sign_in("web", USERS["web"], DOMAIN, CORE, KAMAILIO_PORT)
    expect(page.page.locator("#sign-in-error")).to_have_text(
        "SIP server not reachable", timeout=(TRANSACTION_TIMEOUT_S + 5) * 1000
    )
    assert time.monotonic() - started < TRANSACTION_TIMEOUT_S + 5


def test_sip_server_goes_down_before_the_call(page: PhonePage, kamailio: Kamailio) -> None:
    kamailio.stop()
    page.call("phone")
    page.expect_phase("outgoing")
    page.expect_phase("idle", timeout_s=TRANSACTION_TIMEOUT_S + 5)
    assert page.page.get_attribute("#call-status", "data-reason") in {"request_timeout", "server_unreachable"}


def test_no_port_left_for_a_call(
    start_gateway: Callable[..., Gateway],
    kamailio: Kamailio,
    open_page: Callable[..., PhonePage],
    phone: Callable[..., Baresip],
) -> None:
    start_gateway({"media": {"workers": 1, "rtp_port_min": 31_000, "rtp_port_max": 31_001}})
    callee = phone()
    pages = [open_page() for _ in range(2)]
    for page, login in zip(pages, ("web", "other"), strict=True):
        page.sign_in(login, USERS[login], DOMAIN, kamailio.address, KAMAILIO_PORT)
        page.expect_session("REGISTERED")
    pages[0].call("phone")
    pages[0].expect_status("ESTABLISHED")
    pages[1].call("phone")
    pages[1].expect_reason("capacity")
    assert len(callee.events("CALL_ESTABLISHED")) == 1
    # The call beside it goes on, and its port serves the next one.
    pages[0].expect_status("ESTABLISHED")
    pages[0].hang_up()
    pages[0].expect_phase("idle")
    time.sleep(1)  # the port's rest
    pages[1].call("phone")
    pages[1].expect_status("ESTABLISHED")
    pages[1].hang_up()
    pages[1].expect_phase("idle")
