"""The peers among themselves, without the gateway: when a call through it fails, these tell whether the peers do."""

import time
from collections.abc import Callable

from harness.audio import assert_tone, judge
from harness.baresip import Baresip
from harness.kamailio import DOMAIN
from harness.network import Network
from harness.tap import RtpTap, longest_gap_s


def test_two_phones_hear_each_other_through_the_sip_server(network: Network, phone: Callable[..., Baresip]) -> None:
    callee = phone("phone", tone_hz=700.0)
    caller = phone("other", tone_hz=1000.0, port=5090)
    with RtpTap(network.core) as tap:
        caller.dial(f"sip:phone@{DOMAIN}")
        caller.wait_event("CALL_ESTABLISHED")
        time.sleep(4)
        caller.hang_up()
        callee.wait_event("CALL_CLOSED")
    assert_tone(judge(*callee.heard()), frequency_hz=1000, level_dbfs=-12)
    assert_tone(judge(*caller.heard()), frequency_hz=700, level_dbfs=-12)
    assert longest_gap_s(tap.towards(callee.rtp_ports)) <= 0.1
