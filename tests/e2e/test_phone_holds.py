"""Hold from real phones: baresip and a browser, and two SIP sides, one of which holds as RFC 2543 has it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.audio import assert_has_tone, judge
from harness.baresip import Baresip
from harness.browser import RECORDING_RATE_HZ
from harness.gateway import SIP_PORT, Gateway
from harness.kamailio import DOMAIN
from harness.network import CORE, Network
from harness.phone_page import PhonePage
from harness.sipp import Sipp
from harness.tap import RtpTap
from test_browser_calls_phone import LISTEN_S, PHONE_DBFS, PHONE_HZ


def wait_held_by(gateway: Gateway, sides: list[str], timeout_s: float = 15) -> None:
    """Wait until the call's only holders are these sides."""
    deadline = time.monotonic() + timeout_s
    while True:
        status, calls = gateway.post("/call/find_all")
        if status == 200 and calls[0]["heldBy"] == sides:
            return
        assert time.monotonic() < deadline, f"not held by {sides}: {calls}"
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
        wait_held_by(gateway, ["a" if is_incoming else "b"])
        far.command("resume")
        wait_held_by(gateway, [])
    # baresip 1.0.0 starts its player anew after a hold and no longer records what that plays: its side is judged by
    # what arrives.
    with RtpTap(network.core) as tap:
        at_browser = page.listen(LISTEN_S)
        page.hang_up()
        far.wait_event("CALL_CLOSED")
    page.expect_phase("idle")
    assert_has_tone(judge(at_browser, RECORDING_RATE_HZ), PHONE_HZ)
    assert len(tap.towards(far.rtp_ports)) > 25 * LISTEN_S, "half of what a talker sends"


def test_sip_sides_hold_each_other_the_old_way_and_each_is_held_until_the_other_resumes(
    network: Network, start_gateway: Callable[..., Gateway], artifacts: Path
) -> None:
    callee_port, caller_port = 6062, 6060
    gateway = start_gateway(
        {
            "trunks.t": {"host": CORE, "port": callee_port},
            "trunks.t.health": {"interval_s": 0},
            "routing": {"inbound": [{"prefix": "", "trunks": ["t"]}]},
        }
    )
    callee = Sipp(network.core, artifacts / "callee", "callee_is_held_and_holds", port=callee_port)
    caller = Sipp(
        network.core,
        artifacts / "caller",
        "caller_holds_the_old_way",
        port=caller_port,
        target=f"{CORE}:{SIP_PORT}",
    )
    with callee, caller:
        wait_held_by(gateway, ["a", "b"])
        caller.assert_passed()
        callee.assert_passed()
