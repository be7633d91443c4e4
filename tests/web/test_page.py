"""The page as such: headers, labels, contrast, narrow screens."""

import re
import urllib.request
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from trunkline.web.pages import CONTENT_SECURITY_POLICY
from web.conftest import Watched
from web.fake_gateway import FakeGateway

pytestmark = pytest.mark.e2e

NAMELESS = """() => {
    const isShown = (element) => element.checkVisibility();
    const text = (id) => document.getElementById(id)?.textContent ?? '';
    const nameOf = (element) => [
        element.getAttribute('aria-label'),
        ...(element.getAttribute('aria-labelledby') ?? '').split(' ').map(text),
        ...[...(element.labels ?? [])].map((label) => label.textContent),
        element.matches('button, summary, a') ? element.textContent : '',
    ].join('').trim();
    const controls = 'button, input, summary, a, [role=group], [role=alertdialog], section';
    return [...document.querySelectorAll(controls)]
        .filter((element) => isShown(element) && nameOf(element) === '')
        .map((element) => element.outerHTML.slice(0, 80));
}"""

# WCAG 2.2, 1.4.3: contrast of each text with the nearest opaque background behind it.
PALE = """() => {
    const channels = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
    const luminance = (color) => {
        const [r, g, b] = channels(color).slice(0, 3).map((value) => value / 255)
            .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const color = getComputedStyle(each).backgroundColor;
            if ((channels(color)[3] ?? 1) === 1) return color;
        }
        throw new Error('no background');
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const { parentElement: element, textContent } = walker.currentNode;
        if (!textContent.trim() || !element.checkVisibility() || element.closest(':disabled')) continue;
        const [light, dark] = [getComputedStyle(element).color, behind(element)].map(luminance).sort((a, b) => b - a);
        const ratio = (light + 0.05) / (dark + 0.05);
        if (ratio < 4.5) found.push(`${textContent.trim()}: ${ratio.toFixed(2)}`);
    }
    return found;
}"""

WIDER_THAN_THE_SCREEN = """() => [...document.querySelectorAll('body *')]
    .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > innerWidth + 0.5)
    .map((element) => element.outerHTML.slice(0, 80))"""


def states(page: Page, gateway: FakeGateway) -> Iterator[str]:
    """Bring the page into each of its states, one after the other."""
    page.goto(gateway.page_url)
    expect(page.locator("#use-demo")).to_be_visible()
    page.click("#more-settings summary")
    yield "sign-in"
    page.click("#use-demo")
    gateway.expect("connection")
    gateway.send("fail", {"apiMethod": "RegistrationStatusEvent", "status": "FAILED", "sipStatus": 403})
    expect(page.locator("#sign-in-error")).not_to_be_empty()
    yield "sign-in failed"
    page.click("#use-demo")
    gateway.accept_session()
    expect(page.locator("#pad")).to_be_visible()
    yield "idle"
    page.fill("#dial-field", "00441234567890123456789")
    page.click("#call")
    gateway.status("ring", gateway.expect("call"), "RING")
    expect(page.locator("#call-status")).to_have_text("Ringing…")
    yield "ringing"
    page.click("#hangup")
    gateway.expect("hangup")
    page.click("[data-number='echo']")
    call = gateway.accept_call()
    expect(page.locator("#call-status")).to_have_text("In call")
    page.click("#mute")
    for digit in "1234567890" * 4:
        page.click(f"[data-digit='{digit}']")
        gateway.expect("sendDtmf")
    yield "in call"
    gateway.status("finish", call, "FAILED", reason="ice_failed")
    expect(page.locator("#call-status")).to_contain_text("firewall")
    yield "failed"
    gateway.ring_page(visible_name="A caller with an exceptionally long display name@with.an.even.longer.example.org")
    expect(page.locator("#incoming")).to_be_visible()
    yield "incoming"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(browser: Browser, gateway: FakeGateway, scheme: Literal["light", "dark"]) -> None:
    page = browser.new_page(color_scheme=scheme, reduced_motion="reduce")
    for state in states(page, gateway):
        assert page.evaluate(PALE) == [], state
    page.context.close()


def test_every_control_and_region_has_a_name(page: Page, gateway: FakeGateway, watched: Watched) -> None:
    for state in states(page, gateway):
        assert page.evaluate(NAMELESS) == [], state
    assert page.get_attribute("html", "lang") == "en"
    for element, role in (("#call-status", "status"), ("#session-status", "status"), ("#sign-in-error", "alert")):
        assert page.get_attribute(element, "role") == role


@pytest.mark.parametrize("width", [320, 360, 768])
def test_nothing_sticks_out_of_a_narrow_screen(browser: Browser, gateway: FakeGateway, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 640})
    for state in states(page, gateway):
        assert page.evaluate(WIDER_THAN_THE_SCREEN) == [], state
        assert page.evaluate("document.documentElement.scrollWidth") <= width, state
    page.context.close()


def test_focus_can_be_seen_on_each_control(sign_in_page: Page) -> None:
    sign_in_page.locator("#use-demo").focus()
    for control in ("login", "password", "domain", "register", "", "sign-in"):
        sign_in_page.keyboard.press("Tab")
        assert sign_in_page.evaluate("document.activeElement.id") == control
        assert sign_in_page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", control


def test_policy_goes_out_with_every_file_and_forbids_inline_scripts(gateway: FakeGateway) -> None:
    for path in ("/phone/", "/phone/main.js", "/phone/phone.css", "/phone/icon.svg", "/sdk/index.js"):
        with urllib.request.urlopen(f"http://127.0.0.1:{gateway.port}{path}") as answer:
            assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-cache"
    assert "unsafe" not in CONTENT_SECURITY_POLICY


def test_policy_of_the_page_itself_is_that_of_the_header(gateway: FakeGateway) -> None:
    with urllib.request.urlopen(gateway.page_url) as answer:
        html = answer.read().decode()
    meta = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    assert meta is not None
    # The one directive that browsers ignore in a meta element.
    assert meta[1] == CONTENT_SECURITY_POLICY.replace("; frame-ancestors 'self'", "")


def test_files_have_the_types_that_browsers_insist_on(gateway: FakeGateway) -> None:
    for path, media_type in (("main.js", "text/javascript"), ("phone.css", "text/css"), ("icon.svg", "image/svg+xml")):
        with urllib.request.urlopen(gateway.page_url + path) as answer:
            assert answer.headers["Content-Type"] == f"{media_type}; charset=utf-8"


def test_missing_configuration_leaves_the_form(page: Page, gateway: FakeGateway, watched: Watched) -> None:
    watched.allow("404")
    page.route("**/config.json", lambda route: route.fulfill(status=404))
    page.goto(gateway.page_url)
    expect(page.locator("#sign-in")).to_be_enabled()
    expect(page.locator("#use-demo")).to_be_hidden()
