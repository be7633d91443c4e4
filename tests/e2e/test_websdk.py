"""npm's @flashphoner/websdk, unmodified, in Chromium: a page written for it needs another server URL, no more."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.audio import assert_tone, judge
from harness.baresip import Baresip
from harness.browser import MICROPHONE_DBFS, MICROPHONE_HZ, RECORDING_RATE_HZ, Tab
from harness.gateway import Gateway
from harness.kamailio import DOMAIN, NO_REFER, PORT, USERS, Kamailio
from harness.network import Network
from harness.tap import RtpTap, longest_gap_s
from playwright.sync_api import Browser
from test_attended_transfer import DBFS, HZ, assert_heard

from peers import require

SDK = Path(__file__).parent / "npm/node_modules/@flashphoner/websdk/flashphoner.js"
HELPER = Path(__file__).parent / "harness/websdk.js"
PHONE_HZ = 700.0
PHONE_DBFS = -12.0
OTHER_HZ = 1_000.0
LISTEN_S = 4.0


class WebSdkPage(Tab):
    """A tab with the SDK in it, under the gateway's origin: that is where Chromium allows the microphone.

    The scripts are put into a document that really came from there. One that the test itself made up has no address,
    counts as public, and may not open a socket to a private one (Chromium's local network access checks).
    """

    def __init__(self, browser: Browser, log: Path, gateway: Gateway) -> None:
        super().__init__(browser, log)
        self._server = gateway.origin.replace("http:", "ws:")
        self.page.goto(f"{gateway.origin}/health")
        self.page.set_content('<div id="local"></div><div id="remote"></div>')
        self.page.add_script_tag(path=SDK)
        self.page.add_script_tag(path=HELPER)

    def connect(self, kamailio: Kamailio, password: str) -> None:
        options = {
            "login": "web",
            "authenticationName": "web",
            "password": password,
            "domain": DOMAIN,
            "outboundProxy": kamailio.address,
            "port": PORT,
            "registerRequired": True,
        }
        self.page.evaluate("([url, options]) => page.connect(url, options)", [self._server, options])

    def do(self, verb: str, *arguments: str) -> Any:
        return self.page.evaluate("([verb, ...rest]) => page[verb](...rest)", [verb, *arguments])

    def wait(self, status: str, count: int = 1, timeout_s: float = 10) -> None:
        """Wait until the SDK has told the page this status, so many times."""
        deadline = time.monotonic() + timeout_s
        while self.do("statuses").count(status) < count:
            assert time.monotonic() < deadline, f"no {status!r}; the page saw {self.do('statuses')}"
            self.page.wait_for_timeout(20)


@pytest.fixture
def open_sdk(chromium: Browser, gateway: Gateway, artifacts: Path) -> Iterator[Callable[[], WebSdkPage]]:
    require(SDK.exists(), "@flashphoner/websdk is not installed: cd tests/e2e/npm && npm ci")
    with ExitStack() as tabs:

        def start() -> WebSdkPage:
            page = WebSdkPage(chromium, artifacts / "page.log", gateway)
            tabs.callback(page.close)
            return page

        yield start


@pytest.fixture
def sdk(open_sdk: Callable[[], WebSdkPage], kamailio: Kamailio) -> WebSdkPage:
    """The SDK's page, registered."""
    page = open_sdk()
    page.connect(kamailio, USERS["web"])
    page.wait("session REGISTERED")
    return page


def test_session_goes_through_the_sdks_states(sdk: WebSdkPage) -> None:
    assert sdk.do("statuses") == ["session CONNECTED", "session ESTABLISHED", "session REGISTERED"]
    sdk.do("disconnect")
    sdk.wait("session DISCONNECTED")


def test_wrong_password_reaches_the_page_as_a_warning(open_sdk: Callable[[], WebSdkPage], kamailio: Kamailio) -> None:
    page = open_sdk()
    page.connect(kamailio, "not-the-password")
    page.wait("session WARN")
    warning = page.do("warnings")[0]
    assert warning["apiMethod"] == "RegistrationStatusEvent"
    assert warning["status"] == "FAILED"
    assert "40" in warning["info"]
    assert "session REGISTERED" not in page.do("statuses")


def test_outgoing_call_with_audio_dtmf_and_hangup(sdk: WebSdkPage, phone: Callable[..., Baresip]) -> None:
    callee = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
    sdk.do("call", "phone")
    sdk.wait("call ESTABLISHED")

    at_browser = sdk.listen(LISTEN_S)
    sdk.do("sendDtmf", "5")
    digit = callee.wait_event("CALL_DTMF_START")
    sdk.do("hangup")

    callee.wait_event("CALL_CLOSED")
    sdk.wait("call FINISH")
    assert digit["param"] == "5"
    order = [status for status in sdk.do("statuses") if status.startswith("call")]
    assert order[0] == "call TRYING"
    assert order[-2:] == ["call ESTABLISHED", "call FINISH"]
    assert_tone(judge(at_browser, RECORDING_RATE_HZ), frequency_hz=PHONE_HZ, level_dbfs=PHONE_DBFS)
    heard = judge(*callee.heard())
    assert abs(heard.frequency_hz - MICROPHONE_HZ) < 0.02 * MICROPHONE_HZ, heard
    assert abs(heard.level_dbfs - MICROPHONE_DBFS) <= 4, heard


def test_hold_and_unhold_change_what_is_heard_without_a_gap(
    sdk: WebSdkPage, phone: Callable[..., Baresip], network: Network
) -> None:
    # What the phone hears is judged by its stream alone: baresip 1.0.0 ends its recording at the first re-INVITE.
    callee = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
    with RtpTap(network.core) as tap:
        sdk.do("call", "phone")
        sdk.wait("call ESTABLISHED")
        sdk.page.wait_for_timeout(1_500)
        sdk.do("hold")
        sdk.wait("call HOLD")
        sdk.page.wait_for_timeout(1_000)
        during_hold = sdk.listen(2)
        sdk.do("unhold")
        sdk.wait("call ESTABLISHED", count=2)
        resumed = sdk.listen(LISTEN_S)
        sdk.do("hangup")
        callee.wait_event("CALL_CLOSED")
    assert np.sqrt(np.mean(np.square(during_hold))) < 1e-3, "the held party is not heard"
    assert_tone(judge(resumed, RECORDING_RATE_HZ), frequency_hz=PHONE_HZ, level_dbfs=PHONE_DBFS)
    packets = tap.towards(callee.rtp_ports)
    assert len({packet.ssrc for packet in packets}) == 1, "one unbroken stream, whoever speaks"
    assert longest_gap_s(packets) <= 0.2


def test_transfer_leaves_two_phones_talking_to_each_other(sdk: WebSdkPage, phone: Callable[..., Baresip]) -> None:
    first = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
    second = phone("other", tone_hz=OTHER_HZ, tone_dbfs=PHONE_DBFS, port=5090)
    sdk.do("call", "phone")
    sdk.wait("call ESTABLISHED")
    sdk.do("hold")
    sdk.wait("call HOLD")
    sdk.do("transfer", "other")
    second.wait_event("CALL_ESTABLISHED")
    sdk.wait("call FINISH")
    sdk.page.wait_for_timeout(4_000)
    at_first, at_second = judge(*first.heard_lately(2)), judge(*second.heard_lately(2))
    second.hang_up()
    assert abs(at_first.frequency_hz - OTHER_HZ) < 0.02 * OTHER_HZ, at_first
    assert abs(at_second.frequency_hz - PHONE_HZ) < 0.02 * PHONE_HZ, at_second


def test_attended_transfer_leaves_two_phones_talking_if_one_of_them_takes_no_refer(
    sdk: WebSdkPage, phone: Callable[..., Baresip], network: Network
) -> None:
    first = phone(NO_REFER, tone_hz=HZ[NO_REFER], tone_dbfs=DBFS, port=5090)
    second = phone(tone_hz=HZ["phone"], tone_dbfs=DBFS)
    sdk.do("call", NO_REFER)
    sdk.wait("call ESTABLISHED")
    sdk.do("hold")
    sdk.wait("call HOLD")
    sdk.do("consult", "phone")
    sdk.wait("call ESTABLISHED", count=2)
    sdk.do("join")
    sdk.wait("call FINISH", count=2, timeout_s=20)
    with RtpTap(network.core) as tap:
        sdk.page.wait_for_timeout(4_000)
    assert_heard(tap, first, HZ["phone"])
    assert_heard(tap, second, HZ[NO_REFER])
    second.hang_up()
    first.wait_event("CALL_CLOSED")


def test_incoming_transfer_moves_the_page_to_another_phone(sdk: WebSdkPage, phone: Callable[..., Baresip]) -> None:
    first = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
    second = phone("other", tone_hz=OTHER_HZ, tone_dbfs=PHONE_DBFS, port=5090)
    sdk.do("call", "phone")
    sdk.wait("call ESTABLISHED")
    first.command("transfer", f"sip:other@{DOMAIN}")
    second.wait_event("CALL_ESTABLISHED")
    sdk.wait("call FINISH")
    first.wait_event("CALL_CLOSED")

    at_browser = sdk.listen(LISTEN_S)
    sdk.do("hangup")  # the call that the SDK announced, and gave the former one's peer connection to

    second.wait_event("CALL_CLOSED")
    order = [status for status in sdk.do("statuses") if status in ("session INCOMING_CALL", "call ESTABLISHED")]
    assert order == ["call ESTABLISHED", "session INCOMING_CALL", "call ESTABLISHED"]
    assert_tone(judge(at_browser, RECORDING_RATE_HZ), frequency_hz=OTHER_HZ, level_dbfs=PHONE_DBFS)
    heard = judge(*second.heard())
    assert abs(heard.frequency_hz - MICROPHONE_HZ) < 0.02 * MICROPHONE_HZ, heard


def test_far_side_hangs_up(sdk: WebSdkPage, phone: Callable[..., Baresip]) -> None:
    callee = phone()
    sdk.do("call", "phone")
    sdk.wait("call ESTABLISHED")
    callee.hang_up()
    sdk.wait("call FINISH")


def test_call_to_nobody_fails(sdk: WebSdkPage) -> None:
    sdk.do("call", "nobody")
    sdk.wait("call FAILED")
    assert "call ESTABLISHED" not in sdk.do("statuses")


def test_incoming_call_is_answered(sdk: WebSdkPage, phone: Callable[..., Baresip]) -> None:
    caller = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
    caller.dial(f"sip:web@{DOMAIN}")
    sdk.wait("session INCOMING_CALL")
    assert sdk.do("caller") == "phone"
    sdk.do("answer")
    sdk.wait("call ESTABLISHED")
    caller.wait_event("CALL_ESTABLISHED")
    at_browser = sdk.listen(LISTEN_S)
    sdk.do("hangup")
    caller.wait_event("CALL_CLOSED")
    sdk.wait("call FINISH")
    assert_tone(judge(at_browser, RECORDING_RATE_HZ), frequency_hz=PHONE_HZ, level_dbfs=PHONE_DBFS)
    heard = judge(*caller.heard())
    assert abs(heard.frequency_hz - MICROPHONE_HZ) < 0.02 * MICROPHONE_HZ, heard


def test_incoming_call_is_refused(sdk: WebSdkPage, phone: Callable[..., Baresip]) -> None:
    caller = phone()
    caller.dial(f"sip:web@{DOMAIN}")
    sdk.wait("session INCOMING_CALL")
    sdk.wait("call RING")
    sdk.do("hangup")
    closed = caller.wait_event("CALL_CLOSED")
    assert closed["param"].startswith(("603", "486")), closed
