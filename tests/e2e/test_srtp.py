"""SRTP with real phones: SDES and DTLS-SRTP, called and calling, and the policy that refuses plain RTP."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.baresip import Baresip
from harness.gateway import SIP_PORT, Gateway
from harness.kamailio import DOMAIN, PORT, USERS, Kamailio
from harness.network import CORE, Network
from harness.phone_page import PhonePage
from harness.sipp import Sipp
from harness.tap import RtpTap
from test_browser_calls_phone import PHONE_DBFS, PHONE_HZ, both_hear_each_other

SIPP_PORT = 6060
G711_BYTES = 160
TAG_BYTES = {"srtp": (10, 16), "srtp-mand": (10, 16), "dtls_srtp": (16,)}
"""What SRTP adds to a packet: a tag of 80 bits in counter mode, one of 128 bits with GCM."""


def assert_encrypted(tap: RtpTap, phone: Baresip) -> None:
    """Fail unless every packet of audio towards the phone is as long as its payload and a tag."""
    sizes = {packet.payload_bytes for packet in tap.towards(phone.rtp_ports)}
    assert sizes
    assert sizes <= {G711_BYTES + tag for tag in TAG_BYTES[phone.settings.encryption]}


def assert_no_keys_logged(gateway: Gateway) -> None:
    """Fail if the gateway's log has a key of SDES in it."""
    text = gateway.log.read_text()
    assert "call_ended" in text
    assert not re.search(r"inline:[A-Za-z0-9+/]{8}", text)


@pytest.mark.parametrize("encryption", ["srtp", "srtp-mand", "dtls_srtp"])
def test_phone_with_srtp_calls_browser_and_both_hear_each_other(
    network: Network, gateway: Gateway, page: PhonePage, phone: Callable[..., Baresip], encryption: str
) -> None:
    caller = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS, encryption=encryption)
    caller.dial(f"sip:web@{DOMAIN}")
    page.expect_incoming("phone")
    page.answer()
    page.expect_status("ESTABLISHED")
    with RtpTap(network.core) as tap, both_hear_each_other(network, page, caller):
        page.hang_up()
        caller.wait_event("CALL_CLOSED")
    page.expect_phase("idle")
    assert_encrypted(tap, caller)
    assert_no_keys_logged(gateway)


@pytest.mark.parametrize(
    ("encryption", "policy"), [("srtp", "optional"), ("srtp-mand", "sdes"), ("dtls_srtp", "dtls"), ("srtp", "required")]
)
def test_browser_calls_phone_with_srtp_and_both_hear_each_other(
    network: Network,
    start_gateway: Callable[..., Gateway],
    kamailio: Kamailio,
    open_page: Callable[..., PhonePage],
    phone: Callable[..., Baresip],
    encryption: str,
    policy: str,
) -> None:
    gateway = start_gateway({"sip": {"media_security": policy}})
    page = open_page()
    page.sign_in("web", USERS["web"], DOMAIN, kamailio.address, PORT)
    page.expect_session("REGISTERED")
    callee = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS, encryption=encryption)
    page.call("phone")
    page.expect_status("ESTABLISHED")
    with RtpTap(network.core) as tap, both_hear_each_other(network, page, callee):
        page.hang_up()
        callee.wait_event("CALL_CLOSED")
    page.expect_phase("idle")
    assert_encrypted(tap, callee)
    assert_no_keys_logged(gateway)


@pytest.fixture
def strict_page(
    start_gateway: Callable[..., Gateway], kamailio: Kamailio, open_page: Callable[..., PhonePage]
) -> PhonePage:
    """The Phone page at a gateway that wants SRTP."""
    start_gateway({"sip": {"media_security": "required"}})
    page = open_page()
    page.sign_in("web", USERS["web"], DOMAIN, kamailio.address, PORT)
    page.expect_session("REGISTERED")
    return page


def test_a_policy_that_wants_srtp_refuses_a_phone_without_it(
    strict_page: PhonePage, phone: Callable[..., Baresip]
) -> None:
    caller = phone()
    caller.dial(f"sip:web@{DOMAIN}")
    closed = caller.wait_event("CALL_CLOSED")
    assert closed["param"].startswith("488"), closed
    strict_page.expect_phase("idle")


def test_a_policy_that_wants_srtp_refuses_sipp_with_488(
    network: Network, strict_page: PhonePage, kamailio: Kamailio, artifacts: Path
) -> None:
    caller = Sipp(
        network.core,
        artifacts / "sipp",
        "caller_refused_488",
        port=SIPP_PORT,
        target=f"{CORE}:{SIP_PORT}",
        keys={"contact": kamailio.contact_of("web")},
    )
    with caller:
        caller.assert_passed()
    strict_page.expect_phase("idle")
