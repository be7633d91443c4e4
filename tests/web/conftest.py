"""A page in headless Chromium and its fake gateway. Each test ends with the page's console and network judged."""

import re
import shutil
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from peers import require
from web.fake_gateway import TIMEOUT_S, FakeGateway

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]


def until(page: Page, expression: str, timeout_s: float = TIMEOUT_S) -> None:
    """Wait for an expression to hold. Playwright's own `wait_for_function` is stopped by the page's content policy."""
    deadline = time.monotonic() + timeout_s
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"still not: {expression}"
        page.wait_for_timeout(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require(CHROMIUM, "chromium is not installed: apt-get install chromium")
    expect.set_options(timeout=TIMEOUT_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    gateway = FakeGateway()
    gateway.start()
    yield gateway
    gateway.stop()


class Watched:
    """What a page did that nobody sees: console errors, exceptions, requests to other hosts."""

    def __init__(self, page: Page, host: str) -> None:
        self._host = host
        self._allowed: list[str] = []
        self._errors: list[str] = []
        self._foreign: list[str] = []
        page.on("console", lambda message: self._errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self._errors.append(str(error)))
        page.on("request", self._check)
        page.on("websocket", lambda socket: self._check_url(socket.url))

    def allow(self, pattern: str) -> None:
        """Expect an error of the browser's own, e.g. that a socket could not be opened."""
        self._allowed.append(pattern)

    def judge(self) -> None:
        assert self._foreign == []
        assert [error for error in self._errors if not any(re.search(each, error) for each in self._allowed)] == []

    def _check(self, request: Request) -> None:
        self._check_url(request.url)

    def _check_url(self, url: str) -> None:
        if urlsplit(url).netloc != self._host:
            self._foreign.append(url)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(TIMEOUT_S * 1000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def watched(page: Page, gateway: FakeGateway) -> Iterator[Watched]:
    watched = Watched(page, f"127.0.0.1:{gateway.port}")
    yield watched
    watched.judge()


@pytest.fixture
def sign_in_page(page: Page, gateway: FakeGateway, watched: Watched) -> Page:
    """The page as it opens."""
    page.goto(gateway.page_url)
    expect(page.locator("#version")).to_have_text("1.2.3")
    return page


@pytest.fixture
def phone(sign_in_page: Page, gateway: FakeGateway) -> Page:
    """The page signed in with the demo account."""
    sign_in_page.click("#use-demo")
    gateway.accept_session()
    expect(sign_in_page.locator("body")).to_have_attribute("data-view", "phone")
    return sign_in_page
