"""From the sign-in card to a session, and the ways in which that fails."""

import pytest
from playwright.sync_api import Page, expect

from web.conftest import Watched
from web.fake_gateway import FakeGateway

pytestmark = pytest.mark.e2e


def fill_account(page: Page) -> None:
    page.fill("#login", "alice")
    page.fill("#password", "wonderland")
    page.fill("#domain", "sip.example.org")


def test_form_sends_the_account_in_the_fields_of_the_wire(sign_in_page: Page, gateway: FakeGateway) -> None:
    fill_account(sign_in_page)
    sign_in_page.click("#more-settings summary")
    sign_in_page.fill("#authentication-name", "alice-auth")
    sign_in_page.fill("#outbound-proxy", "proxy.example.org")
    sign_in_page.fill("#port", "5080")
    sign_in_page.press("#port", "Enter")

    connection = gateway.accept_session()

    assert connection.pop("clientBrowserVersion").startswith("Mozilla/")
    assert connection.pop("clientOSVersion")
    assert connection == {
        "appKey": "defaultApp",
        "mediaProviders": ["WebRTC"],
        "keepAlive": False,
        "clientVersion": "2.0",
        "sipLogin": "alice",
        "sipAuthenticationName": "alice-auth",
        "sipPassword": "wonderland",
        "sipDomain": "sip.example.org",
        "sipOutboundProxy": "proxy.example.org",
        "sipPort": 5080,
        "sipRegisterRequired": True,
    }
    expect(sign_in_page.locator("#session-status")).to_have_text("alice@sip.example.org")
    expect(sign_in_page.locator("#session-status")).to_have_attribute("data-status", "REGISTERED")
    expect(sign_in_page.locator("#call")).to_be_enabled()


def test_empty_fields_are_left_out(sign_in_page: Page, gateway: FakeGateway) -> None:
    fill_account(sign_in_page)
    sign_in_page.click("#sign-in")
    assert not {"sipAuthenticationName", "sipOutboundProxy", "sipPort", "authToken"} & gateway.accept_session().keys()


def test_account_that_does_not_register_is_ready_when_the_gateway_says_so(
    sign_in_page: Page, gateway: FakeGateway
) -> None:
    fill_account(sign_in_page)
    sign_in_page.uncheck("#register")
    sign_in_page.click("#sign-in")
    assert gateway.accept_session()["sipRegisterRequired"] is False
    expect(sign_in_page.locator("#dial-field")).to_be_focused()


def test_login_and_domain_are_asked_for(sign_in_page: Page, gateway: FakeGateway) -> None:
    sign_in_page.fill("#login", "alice")
    sign_in_page.click("#sign-in")
    expect(sign_in_page.locator("#domain")).to_be_focused()
    gateway.expect_nothing()


def test_demo_account_takes_one_click_and_lists_its_numbers(sign_in_page: Page, gateway: FakeGateway) -> None:
    sign_in_page.click("#use-demo")
    connection = gateway.accept_session()
    assert connection["sipLogin"] == "demo"
    assert connection["sipAuthenticationName"] == "demo-auth"
    assert connection["sipPassword"] == "demo-password"
    assert connection["sipDomain"] == "127.0.0.1"
    assert connection["sipPort"] == 5070
    assert connection["sipRegisterRequired"] is True
    expect(sign_in_page.locator("#demo-numbers button")).to_have_count(7)
    expect(sign_in_page.get_by_role("button", name="echo Plays back what it hears")).to_be_visible()


def test_no_demo_account_is_offered_when_the_gateway_has_none(
    page: Page, gateway: FakeGateway, watched: Watched
) -> None:
    gateway.demo = None
    page.goto(gateway.page_url)
    expect(page.locator("#version")).to_have_text("1.2.3")
    expect(page.locator("#use-demo")).to_be_hidden()
    expect(page.locator("#sign-in")).to_be_visible()


REGISTRATION_FAILURES: list[tuple[dict[str, object], str]] = [
    ({"reason": "authentication_failed", "sipStatus": 401}, "Wrong login or password"),
    ({"sipStatus": 403, "info": "SIP 403 Forbidden"}, "Wrong login or password"),
    ({"reason": "not_found", "sipStatus": 404}, "The SIP server does not know this login"),
    ({"reason": "server_unreachable", "sipStatus": 503}, "SIP server not reachable"),
    ({"reason": "request_timeout", "sipStatus": 408}, "SIP server not reachable"),
    ({"sipStatus": 423, "info": "SIP 423 Interval Too Brief"}, "SIP 423 Interval Too Brief"),
    ({"sipStatus": 500}, "The SIP server refused the login (SIP 500)"),
]


def test_failed_registration_is_told_on_the_form(sign_in_page: Page, gateway: FakeGateway) -> None:
    fill_account(sign_in_page)
    for failure, text in REGISTRATION_FAILURES:
        sign_in_page.click("#sign-in")
        gateway.send("getUserData", gateway.expect("connection"))
        gateway.send("fail", {"apiMethod": "RegistrationStatusEvent", "status": "FAILED", **failure})
        expect(sign_in_page.locator("#sign-in-error")).to_have_text(text)
        expect(sign_in_page.locator("#sign-in")).to_be_enabled()
        expect(sign_in_page.locator("#password")).to_have_value("wonderland")


def test_refused_connection_says_why(sign_in_page: Page, gateway: FakeGateway) -> None:
    fill_account(sign_in_page)
    sign_in_page.click("#sign-in")
    gateway.expect("connection")
    gateway.send("fail", {"apiMethod": "ConnectionStatusEvent", "status": "FAILED", "info": "Too many sessions"})
    expect(sign_in_page.locator("#sign-in-error")).to_have_text("Too many sessions")


def test_gateway_that_is_gone_is_told_on_the_form(sign_in_page: Page, gateway: FakeGateway, watched: Watched) -> None:
    watched.allow("WebSocket connection to .* failed")
    gateway.stop()
    sign_in_page.click("#use-demo")
    expect(sign_in_page.locator("#sign-in-error")).to_have_text("Gateway not reachable")


def test_sign_in_can_be_cancelled_while_the_server_is_silent(sign_in_page: Page, gateway: FakeGateway) -> None:
    sign_in_page.click("#use-demo")
    gateway.send("getUserData", gateway.expect("connection"))
    expect(sign_in_page.locator("#use-demo")).to_be_disabled()
    sign_in_page.click("#cancel-sign-in")
    expect(sign_in_page.locator("#use-demo")).to_be_enabled()
    gateway.expect_gone()
    expect(sign_in_page.locator("body")).to_have_attribute("data-view", "sign-in")


def test_account_is_remembered_without_its_password(sign_in_page: Page, gateway: FakeGateway) -> None:
    fill_account(sign_in_page)
    sign_in_page.click("#more-settings summary")
    sign_in_page.fill("#port", "5080")
    sign_in_page.click("#sign-in")
    gateway.accept_session()
    assert "wonderland" not in sign_in_page.evaluate("JSON.stringify({...localStorage})")

    sign_in_page.reload()

    expect(sign_in_page.locator("#login")).to_have_value("alice")
    expect(sign_in_page.locator("#domain")).to_have_value("sip.example.org")
    expect(sign_in_page.locator("#port")).to_have_value("5080")
    expect(sign_in_page.locator("#password")).to_have_value("")


def test_signing_out_ends_the_session(phone: Page, gateway: FakeGateway) -> None:
    phone.click("#sign-out")
    gateway.expect_gone()
    expect(phone.locator("#use-demo")).to_be_visible()
    expect(phone.locator("#dial-field")).to_be_hidden()


def test_page_without_microphone_rights_says_so_at_once(page: Page, gateway: FakeGateway, watched: Watched) -> None:
    page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    page.goto(gateway.page_url)
    expect(page.get_by_role("alert").filter(has_text="HTTPS pages and on localhost only")).to_be_visible()
