"""SIP by TCP with a real server: a gateway that has no UDP for SIP registers at Kamailio, calls and is called."""

import time
from collections.abc import Callable

import pytest
from harness.audio import Samples, assert_tone, judge
from harness.baresip import Baresip
from harness.browser import MICROPHONE_DBFS, MICROPHONE_HZ, RECORDING_RATE_HZ
from harness.gateway import SIP_PORT, Gateway
from harness.kamailio import DOMAIN, PORT, USERS, Kamailio
from harness.network import CORE
from harness.phone_page import PhonePage
from harness.processes import bound_ports

PHONE_HZ = 700.0
PHONE_DBFS = -12.0
LISTEN_S = 4.0

# The page's form has no field for the transport of its account; other clients send one.
_BY_TCP = """() => {
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (text) {
    const frame = JSON.parse(text);
    if (frame.message === "connection") frame.data[0].sipTransport = "TCP";
    send.call(this, JSON.stringify(frame));
  };
}
"""


@pytest.fixture
def tcp_gateway(start_gateway: Callable[..., Gateway]) -> Gateway:
    """A gateway that speaks SIP by TCP or not at all, and plays a tone to whom only the API called."""
    gateway = start_gateway({"sip": {"udp": False}, "calls": {"player": "tone"}})
    assert SIP_PORT not in bound_ports(gateway.pid, "udp")
    return gateway


@pytest.fixture
def tcp_page(tcp_gateway: Gateway, kamailio: Kamailio, open_page: Callable[..., PhonePage]) -> PhonePage:
    """The Phone page, registered as `web` by TCP."""
    page = open_page()
    page.page.evaluate(_BY_TCP)
    page.sign_in("web", USERS["web"], DOMAIN, kamailio.address, PORT)
    page.expect_session("REGISTERED")
    assert "transport=tcp" in kamailio.contact_of("web")
    return page


def _assert_both_heard(at_browser: Samples, phone: Baresip) -> None:
    assert_tone(judge(at_browser, RECORDING_RATE_HZ), frequency_hz=PHONE_HZ, level_dbfs=PHONE_DBFS)
    assert_tone(judge(*phone.heard()), frequency_hz=MICROPHONE_HZ, level_dbfs=MICROPHONE_DBFS)


def test_browser_registers_and_calls_by_tcp(tcp_page: PhonePage, phone: Callable[..., Baresip]) -> None:
    callee = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS, transport="tcp")
    tcp_page.call("phone")
    tcp_page.expect_status("ESTABLISHED")
    at_browser = tcp_page.listen(LISTEN_S)
    tcp_page.hang_up()
    callee.wait_event("CALL_CLOSED")
    tcp_page.expect_phase("idle")
    _assert_both_heard(at_browser, callee)


def test_browser_is_called_by_tcp(tcp_page: PhonePage, phone: Callable[..., Baresip]) -> None:
    caller = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS, transport="tcp")
    caller.dial(f"sip:web@{DOMAIN}")
    tcp_page.expect_incoming("phone")
    tcp_page.answer()
    tcp_page.expect_status("ESTABLISHED")
    caller.wait_event("CALL_ESTABLISHED")
    at_browser = tcp_page.listen(LISTEN_S)
    caller.hang_up()
    tcp_page.expect_phase("idle")
    _assert_both_heard(at_browser, caller)


def test_rest_call_registers_by_tcp_and_its_callee_hears_the_player(
    tcp_gateway: Gateway, kamailio: Kamailio, phone: Callable[..., Baresip]
) -> None:
    callee = phone(transport="tcp")
    call = {
        "callId": "by-tcp",
        "callee": "phone",
        "sipLogin": "web",
        "sipPassword": USERS["web"],
        "sipDomain": DOMAIN,
        "sipOutboundProxy": CORE,
        "sipPort": str(PORT),
        "sipTransport": "TCP",
        "sipRegisterRequired": "true",
    }
    assert tcp_gateway.post("/call/startup", call)[0] == 200
    callee.wait_event("CALL_ESTABLISHED")
    assert "transport=tcp" in kamailio.contact_of("web")
    time.sleep(LISTEN_S)
    assert tcp_gateway.post("/call/terminate", {"callId": "by-tcp"})[0] == 200
    callee.wait_event("CALL_CLOSED")
    # -10 dBm0; a sine at full scale has +3.17 dBm0 and, against a square wave, -3.01 dBFS.
    assert_tone(judge(*callee.heard()), frequency_hz=440, level_dbfs=-10 - 3.17 - 3.01)
