"""The Phone page as a user's hands and eyes find it. The ids are the page's contract (see its index.html)."""

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from harness.browser import Tab

# Statuses that last a moment: a test that looks now and then could miss them.
_KEEP_STATUSES = """() => {
  const shown = document.querySelector("#call-status");
  window.__e2e.statuses = [];
  new MutationObserver(() => {
    const status = shown.dataset.status ?? "";
    if (status !== "" && status !== window.__e2e.statuses.at(-1)) window.__e2e.statuses.push(status);
  }).observe(shown, { attributeFilter: ["data-status"] });
}"""


class PhonePage(Tab):
    """One tab with the page open."""

    def __init__(self, browser: Browser, log: Path, origin: str) -> None:
        super().__init__(browser, log)
        self.page.goto(f"{origin}/phone/")
        self.page.evaluate(_KEEP_STATUSES)

    def sign_in(self, login: str, password: str, domain: str, proxy: str, port: int) -> None:
        """Fill in the form and send it. Does not wait for the outcome."""
        page = self.page
        page.fill("#login", login)
        page.fill("#password", password)
        page.fill("#domain", domain)
        page.click("#more-settings > summary")
        page.fill("#outbound-proxy", proxy)
        page.fill("#port", str(port))
        page.uncheck("#processing")  # echo cancellation and noise reduction would eat our tone
        page.click("#sign-in")

    def sign_in_demo(self) -> None:
        """Use the demo account and wait until it is registered."""
        self.page.click("#more-settings > summary")
        self.page.uncheck("#processing")
        self.page.click("#use-demo")
        self.expect_session("REGISTERED")

    def expect_session(self, status: str, timeout_s: float = 10) -> None:
        """Wait for the session's status."""
        expect(self.page.locator("#session-status")).to_have_attribute("data-status", status, timeout=timeout_s * 1000)

    def call(self, number: str) -> None:
        """Dial."""
        self.page.fill("#dial-field", number)
        self.page.click("#call")

    def expect_phase(self, phase: str, timeout_s: float = 10) -> None:
        """Wait for the page's phase: `idle`, `outgoing`, `incoming`, `established`."""
        expect(self.page.locator("body")).to_have_attribute("data-call", phase, timeout=timeout_s * 1000)

    def expect_status(self, status: str, timeout_s: float = 10) -> None:
        """Wait for the call's status, one of CALL_STATUS."""
        expect(self.page.locator("#call-status")).to_have_attribute("data-status", status, timeout=timeout_s * 1000)

    def statuses(self) -> list[str]:
        """Return every status that the page has shown of its calls, in order."""
        shown: list[str] = self.page.evaluate("() => window.__e2e.statuses")
        return shown

    def expect_reason(self, reason: str, timeout_s: float = 10) -> None:
        """Wait for the end reason that the ended call shows."""
        expect(self.page.locator("#call-status")).to_have_attribute("data-reason", reason, timeout=timeout_s * 1000)

    def status_text(self) -> str:
        """Return what the page says of the call."""
        return self.page.inner_text("#call-status")

    def sip_status(self) -> str | None:
        """Return the SIP status of the ended call, if it had one."""
        return self.page.get_attribute("#call-status", "data-sip-status")

    def hang_up(self) -> None:
        """End the call."""
        self.page.click("#hangup")

    def answer(self) -> None:
        """Take the incoming call."""
        self.page.click("#answer")

    def reject(self) -> None:
        """Refuse the incoming call."""
        self.page.click("#reject")

    def expect_incoming(self, caller: str, timeout_s: float = 10) -> None:
        """Wait for the ring, with the caller's name in it."""
        expect(self.page.locator("#incoming-caller")).to_have_text(
            re.compile(re.escape(caller)), timeout=timeout_s * 1000
        )
