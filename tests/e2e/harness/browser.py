"""Headless Chromium on the `edge` host, its microphone fed from a WAV file, and the ear of its page."""

import base64
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from harness.audio import Samples, tone, write_wav
from harness.network import Host

MICROPHONE_HZ = 1200.0
MICROPHONE_DBFS = -12.0
RECORDING_RATE_HZ = 16_000

_CAPTURE = (Path(__file__).parent / "capture.js").read_text()
# Chromium loops the file; whole periods in a whole second leave no click where it starts again.
_MICROPHONE_S = 10
_MICROPHONE_RATE_HZ = 48_000


def program() -> str | None:
    """Return the path of the browser, or None."""
    return shutil.which("chromium")


@contextmanager
def chromium(host: Host, folder: Path, origin: str) -> Iterator[Browser]:
    """Run the browser on the host. origin: of the pages that get a microphone though they come by plain HTTP."""
    folder.mkdir(parents=True, exist_ok=True)
    microphone = write_wav(
        folder / "microphone.wav",
        tone(MICROPHONE_HZ, _MICROPHONE_S, _MICROPHONE_RATE_HZ, MICROPHONE_DBFS),
        _MICROPHONE_RATE_HZ,
    )
    wrapper = folder / "chromium.sh"
    wrapper.write_text(f'#!/bin/sh\nexec {" ".join(host.command([str(program())]))} "$@"\n')
    wrapper.chmod(0o755)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=wrapper,
            args=[
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={microphone}",
                f"--unsafely-treat-insecure-origin-as-secure={origin}",
                "--autoplay-policy=no-user-gesture-required",
                "--disable-background-timer-throttling",
                "--disable-backgrounding-occluded-windows",
                "--disable-renderer-backgrounding",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """One page with the ear fitted, its console kept in a log."""

    def __init__(self, browser: Browser, log: Path) -> None:
        # bypass_csp: the ear's audio worklet comes from a blob, which the page's own policy rightly forbids.
        self._context: BrowserContext = browser.new_context(bypass_csp=True, ignore_https_errors=True)
        self._context.add_init_script(_CAPTURE)
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(10_000)
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self._write(f"pageerror: {error}"))

    def listen(self, duration_s: float, meanwhile: Callable[[], None] = lambda: None) -> Samples:
        """Record what arrives on the latest peer connection for so long, at RECORDING_RATE_HZ.

        meanwhile: what is done once the ear is open, so that what comes of it cannot be missed.
        """
        self.page.evaluate("rate => window.__e2e.start(rate)", RECORDING_RATE_HZ)
        meanwhile()
        self.page.wait_for_timeout(duration_s * 1000)
        data = base64.b64decode(self.page.evaluate("() => window.__e2e.stop()"))
        return np.frombuffer(data, "<i2") / 32768

    def stats(self) -> list[dict[str, Any]]:
        """Return the latest peer connection's statistics."""
        rows: list[dict[str, Any]] = self.page.evaluate("() => window.__e2e.stats()")
        return rows

    def close(self) -> None:
        """Close the page, as a user would."""
        self._context.close()

    def _note(self, message: ConsoleMessage) -> None:
        self._write(f"{message.type}: {message.text}")

    def _write(self, line: str) -> None:
        with self._log.open("a") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {line}\n")
