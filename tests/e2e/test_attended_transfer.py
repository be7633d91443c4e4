"""Attended transfer on the Phone page with three live parties: at its end two phones talk to each other."""

from collections.abc import Callable

from harness.audio import assert_tone, judge
from harness.baresip import Baresip
from harness.gateway import Gateway
from harness.kamailio import NO_REFER
from harness.network import Network
from harness.phone_page import PhonePage
from harness.tap import RtpTap

from listening import expand

HZ, DBFS = {NO_REFER: 1_000.0, "phone": 700.0}, -12.0
RATE_HZ = 8_000


def assert_heard(tap: RtpTap, phone: Baresip, frequency_hz: float) -> None:
    """Judge what the gateway sent to a phone: baresip 1.0.0 ends its own recording at the first re-INVITE."""
    packets = [packet for packet in tap.towards(phone.rtp_ports) if packet.payload_type == 0]
    assert packets, "nothing was sent to the phone"
    samples = expand(b"".join(packet.payload for packet in packets))
    assert_tone(judge(samples, RATE_HZ), frequency_hz=frequency_hz, level_dbfs=DBFS)


def test_two_phones_talk_through_the_gateway_if_one_of_them_takes_no_refer(
    network: Network, gateway: Gateway, page: PhonePage, phone: Callable[..., Baresip]
) -> None:
    first = phone(NO_REFER, tone_hz=HZ[NO_REFER], tone_dbfs=DBFS, port=5090)
    second = phone(tone_hz=HZ["phone"], tone_dbfs=DBFS)
    page.call(NO_REFER)
    page.expect_status("ESTABLISHED")
    page.page.click("#transfer")
    page.page.fill("#transfer-target", "phone")
    page.page.click("#consult")
    second.wait_event("CALL_ESTABLISHED")
    page.expect_status("ESTABLISHED")
    page.page.click("#join")
    page.expect_phase("idle", timeout_s=20)

    with RtpTap(network.core) as tap:
        page.page.wait_for_timeout(4_000)
    status, (call,) = gateway.post("/call/find_all")
    assert (status, call["status"]) == (200, "ESTABLISHED")
    assert_heard(tap, first, HZ["phone"])
    assert_heard(tap, second, HZ[NO_REFER])
    second.hang_up()
    first.wait_event("CALL_CLOSED")
