"""The socket under the session: kept alive, lost, opened again."""

import pytest
from playwright.sync_api import Page, expect

from web.conftest import Watched, until
from web.fake_gateway import FakeGateway

pytestmark = pytest.mark.e2e


def test_ping_is_answered(phone: Page, gateway: FakeGateway) -> None:
    gateway.send("ping")
    assert gateway.expect("pong") is None


def test_garbage_is_ignored(phone: Page, gateway: FakeGateway) -> None:
    for text in ("", "{", "null", "[]", '{"message": 1}', '{"message": "finish"}', '{"message": "talk", "data": {}}'):
        gateway.send_text(text)
    gateway.send("finish", {"callId": "nobody"})
    gateway.send("setRemoteSDP", 7, None)
    gateway.send("somethingNew", {"callId": "nobody"})
    gateway.send("ping")
    gateway.expect("pong")
    expect(phone.locator("#session-status")).to_have_attribute("data-status", "REGISTERED")


def test_lost_connection_ends_the_call_and_comes_back_by_itself(phone: Page, gateway: FakeGateway) -> None:
    phone.click("[data-number='echo']")
    gateway.accept_call()
    expect(phone.locator("#call-status")).to_have_text("In call")

    gateway.close()

    expect(phone.locator("#call-status")).to_have_text("Connection to the gateway lost")
    expect(phone.locator("#session-status")).to_have_text("Connection to the gateway lost. Trying again…")
    expect(phone.locator("#call")).to_be_disabled()
    assert gateway.accept_session()["authToken"] == "token-1"
    expect(phone.locator("#session-status")).to_have_text("demo@127.0.0.1")
    phone.click("[data-number='tone']")
    assert gateway.expect("call")["callee"] == "tone"


def test_lost_connection_ends_the_ring(phone: Page, gateway: FakeGateway) -> None:
    gateway.ring_page()
    expect(phone.locator("#incoming")).to_be_visible()
    gateway.close()
    expect(phone.locator("#incoming")).to_be_hidden()
    expect(phone.locator("#call-status")).to_have_text("Connection to the gateway lost (Bob)")


def test_gateway_that_throws_us_out_is_not_asked_again(phone: Page, gateway: FakeGateway) -> None:
    gateway.close(1008)
    expect(phone.locator("#session-status")).to_have_text("The gateway refused the connection")
    gateway.expect_nothing(2.0)


def test_retries_come_slower_and_slower_and_survive_a_long_outage(
    phone: Page, gateway: FakeGateway, watched: Watched
) -> None:
    watched.allow("WebSocket connection to .* failed")
    phone.evaluate(
        """() => {
            window.opened = [];
            const Native = window.WebSocket;
            window.WebSocket = class extends Native {
                constructor(url) { super(url); opened.push(performance.now()); }
            };
        }"""
    )
    gateway.stop()
    until(phone, "opened.length >= 3", timeout_s=10)
    first, second, third = phone.evaluate("opened")[:3]
    assert third - second > (second - first) * 1.1
    expect(phone.locator("#session-status")).to_contain_text("Trying again…")
    gateway.start()
    phone.evaluate("dispatchEvent(new Event('online'))")  # the network is back: no need to wait for the next turn
    gateway.accept_session()
    expect(phone.locator("#session-status")).to_have_attribute("data-status", "REGISTERED")


def test_silent_connection_is_probed_and_given_up(page: Page, gateway: FakeGateway, watched: Watched) -> None:
    page.clock.install()
    page.goto(gateway.page_url)
    page.click("#use-demo")
    gateway.accept_session()
    expect(page.locator("body")).to_have_attribute("data-view", "phone")
    page.clock.fast_forward(20_500)
    assert gateway.expect("ping") is None
    gateway.send("pong")
    page.wait_for_timeout(200)
    page.clock.fast_forward(20_500)
    gateway.expect("ping")
    expect(page.locator("#session-status")).to_have_attribute("data-status", "REGISTERED")
    page.clock.fast_forward(10_500)
    expect(page.locator("#session-status")).to_have_text("Connection to the gateway lost. Trying again…")


def test_registration_lost_later_is_shown_and_mended(phone: Page, gateway: FakeGateway) -> None:
    gateway.send("fail", {"apiMethod": "RegistrationStatusEvent", "status": "FAILED", "reason": "server_unreachable"})
    expect(phone.locator("#session-status")).to_have_text("SIP server not reachable")
    expect(phone.locator("#session-status")).to_have_attribute("data-status", "FAILED")
    gateway.send("registered", {"status": "REGISTERED"})
    expect(phone.locator("#session-status")).to_have_text("demo@127.0.0.1")
