"""Hold from a real phone: baresip puts the browser on hold and takes it back, on calls of both directions."""

import time
from collections.abc import Callable

import pytest
from harness.audio import assert_has_tone, judge
from harness.baresip import Baresip
from harness.browser import RECORDING_RATE_HZ
from harness.gateway import Gateway
from harness.kamailio import DOMAIN
from harness.network import Network
from harness.phone_page import PhonePage
from harness.tap import RtpTap
from test_browser_calls_phone import LISTEN_S, PHONE_DBFS, PHONE_HZ


def _wait_held_by(gateway: Gateway, sides: list[str], timeout_s: float = 15) -> None:
    """Wait until the call's only holders are these sides."""
    deadline = time.monotonic() + timeout_s
    while True:
        status, calls = gateway.post("/call/find_all")
        assert status == 200
        if calls[0]["heldBy"] == sides:
            return
        assert time.monotonic() < deadline, f"held by {calls[0]['heldBy']}, not {sides}"
        time.sleep(0.05)


@pytest.mark.parametrize("is_incoming", [False, True], ids=["called", "calling"])
def test_phone_holds_and_resumes_and_audio_flows_both_ways_again(
    network: Network, gateway: Gateway, page: PhonePage, phone: Callable[..., Baresip], is_incoming: bool
) -> None:
    far = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
    if is_incoming:
        far.dial(f"sip:web@{DOMAIN}")
        page.expect_incoming("phone")
        page.answer()
    else:
        page.call("phone")
    page.expect_status("ESTABLISHED")
    for _ in range(2):
        far.command("hold")
        _wait_held_by(gateway, ["a" if is_incoming else "b"])
        far.command("resume")
        _wait_held_by(gateway, [])
    # baresip 1.0.0 starts its player anew after a hold and no longer records what that plays: its side is judged by
    # what arrives.
    with RtpTap(network.core) as tap:
        at_browser = page.listen(LISTEN_S)
        page.hang_up()
        far.wait_event("CALL_CLOSED")
    page.expect_phase("idle")
    assert_has_tone(judge(at_browser, RECORDING_RATE_HZ), PHONE_HZ)
    assert len(tap.towards(far.rtp_ports)) > 25 * LISTEN_S, "half of what a talker sends"
