"""Linphone as the far side: calls both ways with audio, hold by either side, and a transfer between two of them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness.audio import assert_has_tone, judge
from harness.browser import MICROPHONE_HZ, RECORDING_RATE_HZ
from harness.gateway import Gateway
from harness.kamailio import DOMAIN, PORT, USERS, Kamailio
from harness.linphone import Linphone, LinphoneSettings
from harness.needs import need
from harness.network import CORE, Network
from harness.phone_page import PhonePage
from test_phone_holds import wait_held_by

HZ = {"phone": 700.0, "other": 1_000.0}
LISTEN_S = 3.0


@pytest.fixture
def linphone(network: Network, kamailio: Kamailio, artifacts: Path) -> Iterator[Callable[..., Linphone]]:
    """Start Linphones, registered at the SIP server. Keywords are fields of LinphoneSettings."""
    need("linphonec")
    with ExitStack() as phones:

        def start(login: str = "phone", **changes: Any) -> Linphone:
            settings = LinphoneSettings(
                login=login,
                password=USERS[login],
                domain=DOMAIN,
                proxy=f"{kamailio.address}:{PORT}",
                tone_hz=HZ[login],
                **changes,
            )
            return phones.enter_context(Linphone(network.core, artifacts / f"linphone-{login}", settings))

        yield start


def assert_heard_lately(phone: Linphone, frequency_hz: float) -> None:
    """Judge the last two seconds of what the phone has recorded."""
    samples, rate_hz = phone.heard()
    assert_has_tone(judge(samples[-2 * rate_hz :], rate_hz, skip_s=0.0), frequency_hz)


def assert_both_hear(page: PhonePage, phone: Linphone, hang_up: Callable[[], None]) -> None:
    """Listen on both sides for a while, end the call, and judge."""
    at_browser = page.listen(LISTEN_S)
    hang_up()
    phone.wait_ended()
    page.expect_phase("idle")
    assert_has_tone(judge(at_browser, RECORDING_RATE_HZ), HZ["phone"])
    assert_heard_lately(phone, MICROPHONE_HZ)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_browser_calls_linphone_and_both_hear_each_other(
    page: PhonePage, linphone: Callable[..., Linphone], codec: str
) -> None:
    callee = linphone(codec=codec)
    page.call("phone")
    page.expect_status("ESTABLISHED")
    assert_both_hear(page, callee, page.hang_up)


def test_linphone_calls_holds_and_is_held_and_audio_flows_again(
    gateway: Gateway, page: PhonePage, linphone: Callable[..., Linphone]
) -> None:
    caller = linphone()
    caller.dial(f"sip:web@{CORE}:{PORT}")
    page.expect_incoming("phone")
    page.answer()
    page.expect_status("ESTABLISHED")
    caller.say("pause")
    wait_held_by(gateway, ["a"])
    # A moment later than for us; it resumes nothing before.
    caller.wait_for("is now paused")
    caller.say("resume 1")
    wait_held_by(gateway, [])
    page.page.click("#hold")
    caller.wait_for("has been paused by")
    wait_held_by(gateway, ["b"])
    page.page.click("#hold")
    wait_held_by(gateway, [])
    assert_both_hear(page, caller, caller.hang_up)


def test_attended_transfer_by_refer_with_replaces_leaves_two_phones_talking(
    gateway: Gateway, page: PhonePage, linphone: Callable[..., Linphone]
) -> None:
    first, second = linphone(), linphone("other", port=5090)
    page.call("phone")
    page.expect_status("ESTABLISHED")
    page.page.click("#transfer")
    page.page.fill("#transfer-target", "other")
    page.page.click("#consult")
    second.wait_streams()
    page.expect_status("ESTABLISHED")
    page.page.click("#join")
    page.expect_phase("idle", timeout_s=20)
    second.wait_streams(2)
    page.page.wait_for_timeout(3_000)
    assert gateway.post("/call/find_all")[0] == 404, "they talk without us"
    second.hang_up()
    first.wait_for(r"Call 2 with .* ended \(")
    assert_heard_lately(first, HZ["other"])
    assert_heard_lately(second, HZ["phone"])
