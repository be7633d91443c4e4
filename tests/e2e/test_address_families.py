"""A browser that has IPv4 alone and a phone that has IPv6 alone."""

from collections.abc import Callable
from pathlib import Path

from harness.audio import assert_tone, judge
from harness.browser import MICROPHONE_DBFS, MICROPHONE_HZ, RECORDING_RATE_HZ
from harness.gateway import Gateway
from harness.network import CORE_IPV6, Network
from harness.phone_page import PhonePage
from harness.sipp import Sipp

SIPP_PORT = 6060


def test_a_browser_with_ipv4_and_a_phone_with_ipv6_hear_each_other(
    network: Network, start_gateway: Callable[..., Gateway], open_page: Callable[..., PhonePage], artifacts: Path
) -> None:
    start_gateway({"sip": {"extra_hosts": [CORE_IPV6]}, "media": {"rtp_host": "::"}})
    page = open_page()
    page.page.uncheck("#register")
    page.sign_in("web", "", f"[{CORE_IPV6}]", f"[{CORE_IPV6}]", SIPP_PORT)
    page.expect_session("ESTABLISHED")
    with Sipp(network.core, artifacts / "sipp", "callee_answers", port=SIPP_PORT, address=CORE_IPV6) as phone:
        page.call("7000")
        page.expect_status("ESTABLISHED")
        # The phone is an echo: what the browser hears went both ways.
        heard = page.listen(3.0)
        page.hang_up()
        phone.assert_passed()
    assert_tone(judge(heard, RECORDING_RATE_HZ), frequency_hz=MICROPHONE_HZ, level_dbfs=MICROPHONE_DBFS)
    page.expect_phase("idle")
