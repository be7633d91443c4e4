"""A page that speaks SIP over WebSocket by a library of other makers, unmodified, and what it has noted."""

import time
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser

from harness.browser import Tab
from harness.gateway import Gateway
from peers import require

Library = Literal["jssip", "sipjs"]

_HERE = Path(__file__).parent
_BUNDLES = _HERE.parent / "npm/node_modules/.bundles"


class SipPage(Tab):
    """A tab with the library in it, under the gateway's origin: that is where Chromium allows the microphone.

    The scripts are put into a document that really came from there. One that the test itself made up has no address,
    counts as public, and may not open a socket to a private one (Chromium's local network access checks).
    """

    def __init__(self, browser: Browser, log: Path, gateway: Gateway, library: Library) -> None:
        bundle = _BUNDLES / f"{library}.js"
        require(bundle.exists(), "jssip and sip.js are not installed: cd tests/e2e/npm && npm ci")
        super().__init__(browser, log)
        self.page.goto(f"{gateway.origin}/health")
        self.page.set_content("<p>A page</p>")
        self.page.add_script_tag(path=bundle)
        self.page.add_script_tag(path=_HERE / f"{library}.js")

    def connect(self, url: str, uri: str, password: str, *, instance: str | None = None) -> None:
        """Connect and register; what comes of it is among the statuses."""
        options = {"uri": uri, "password": password, "name": "A page", "instance": instance}
        self.page.evaluate("([url, options]) => { page.connect(url, options) }", [url, options])

    def do(self, verb: str, *arguments: str) -> Any:
        """Call one of the page's verbs; a promise is not waited for."""
        return self.page.evaluate(
            "([verb, ...rest]) => { const made = page[verb](...rest); return made?.then ? null : made ?? null; }",
            [verb, *arguments],
        )

    def statuses(self) -> list[str]:
        """Return what the page has noted so far."""
        return list(self.page.evaluate("() => page.statuses()"))

    def failures(self) -> list[dict[str, Any]]:
        """Return the refusals that the library has told the page."""
        return list(self.page.evaluate("() => page.failures()"))

    def wait(self, status: str, count: int = 1, timeout_s: float = 20) -> None:
        """Wait until the page has noted a status that begins like this, so many times."""
        deadline = time.monotonic() + timeout_s
        while sum(noted.startswith(status) for noted in self.statuses()) < count:
            assert time.monotonic() < deadline, f"no {status!r}; the page saw {self.statuses()}, {self.failures()}"
            self.page.wait_for_timeout(20)
