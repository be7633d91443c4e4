"""Chromium on the Phone page calls baresip, and baresip calls Chromium, through Kamailio and the gateway."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from harness.audio import assert_tone, judge
from harness.baresip import Baresip
from harness.browser import MICROPHONE_DBFS, MICROPHONE_HZ, RECORDING_RATE_HZ
from harness.gateway import Gateway
from harness.kamailio import DOMAIN, PORT, USERS, Kamailio
from harness.network import Network
from harness.phone_page import PhonePage
from harness.tap import RtpTap, longest_gap_s

PHONE_HZ = 700.0
PHONE_DBFS = -12.0
LISTEN_S = 5.0
TELEPHONE_EVENT = 101
"""Payload type that baresip gives it."""


@contextmanager
def both_hear_each_other(network: Network, page: PhonePage, phone: Baresip) -> Iterator[None]:
    """Listen on both sides while the call stands; the block ends it; then judge what each side heard."""
    with RtpTap(network.core) as tap:
        at_browser = page.listen(LISTEN_S)
        yield
    assert_tone(judge(at_browser, RECORDING_RATE_HZ), frequency_hz=PHONE_HZ, level_dbfs=PHONE_DBFS)
    assert_tone(judge(*phone.heard()), frequency_hz=MICROPHONE_HZ, level_dbfs=MICROPHONE_DBFS)
    assert longest_gap_s(tap.towards(phone.rtp_ports)) <= 0.1


def assert_codecs(gateway: Gateway, page: PhonePage, *, web: str, sip: str, is_incoming: bool = False) -> None:
    """Fail unless gateway and browser both say that the call uses these codecs."""
    status, (call,) = gateway.post("/call/find_all")
    assert status == 200
    caller, callee = (sip, web) if is_incoming else (web, sip)
    assert (call["codecCaller"], call["codecCallee"]) == (caller, callee)
    rows = {row["id"]: row for row in page.stats()}
    for kind in ("inbound-rtp", "outbound-rtp"):
        (stream,) = (row for row in rows.values() if row["type"] == kind)
        assert rows[stream["codecId"]]["mimeType"] == f"audio/{web}"


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
@pytest.mark.parametrize("who_hangs_up", ["browser", "phone"])
def test_browser_calls_phone_and_both_hear_each_other(
    network: Network, gateway: Gateway, page: PhonePage, phone: Callable[..., Baresip], who_hangs_up: str, codec: str
) -> None:
    callee = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS, codec=codec)
    page.call("phone")
    page.expect_status("ESTABLISHED")
    with both_hear_each_other(network, page, callee):
        assert_codecs(gateway, page, web=codec, sip=codec)  # what both can do passes through
        if who_hangs_up == "browser":
            page.hang_up()
            callee.wait_event("CALL_CLOSED")
        else:
            callee.hang_up()
    page.expect_phase("idle")
    page.expect_status("FINISH")


def test_phone_calls_browser_which_answers(network: Network, page: PhonePage, phone: Callable[..., Baresip]) -> None:
    caller = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
    caller.dial(f"sip:web@{DOMAIN}")
    page.expect_incoming("phone")
    caller.wait_event("CALL_RINGING")
    page.answer()
    page.expect_status("ESTABLISHED")
    caller.wait_event("CALL_ESTABLISHED")
    with both_hear_each_other(network, page, caller):
        page.hang_up()
        caller.wait_event("CALL_CLOSED")
    page.expect_phase("idle")


@pytest.fixture
def opus(start_gateway: Callable[..., Gateway]) -> Gateway:
    """A gateway whose browsers get Opus or nothing, so that it cannot pass G.711 through."""
    return start_gateway({"media": {"web_codecs": ["opus"]}})


@pytest.fixture
def opus_page(opus: Gateway, kamailio: Kamailio, open_page: Callable[..., PhonePage]) -> PhonePage:
    """The Phone page at that gateway, signed in as `web`."""
    page = open_page()
    page.sign_in("web", USERS["web"], DOMAIN, kamailio.address, PORT)
    page.expect_session("REGISTERED")
    return page


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_browser_speaks_opus_and_calls_a_phone_that_does_not(
    network: Network, opus: Gateway, opus_page: PhonePage, phone: Callable[..., Baresip], codec: str
) -> None:
    callee = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS, codec=codec)
    opus_page.call("phone")
    opus_page.expect_status("ESTABLISHED")
    with both_hear_each_other(network, opus_page, callee):
        assert_codecs(opus, opus_page, web="opus", sip=codec)
        opus_page.hang_up()
        callee.wait_event("CALL_CLOSED")
    opus_page.expect_phase("idle")


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_phone_calls_a_browser_that_speaks_opus(
    network: Network, opus: Gateway, opus_page: PhonePage, phone: Callable[..., Baresip], codec: str
) -> None:
    caller = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS, codec=codec)
    caller.dial(f"sip:web@{DOMAIN}")
    opus_page.expect_incoming("phone")
    opus_page.answer()
    opus_page.expect_status("ESTABLISHED")
    with both_hear_each_other(network, opus_page, caller):
        assert_codecs(opus, opus_page, web="opus", sip=codec, is_incoming=True)
        opus_page.hang_up()
        caller.wait_event("CALL_CLOSED")
    opus_page.expect_phase("idle")


def test_phone_learns_that_browser_rejected(page: PhonePage, phone: Callable[..., Baresip]) -> None:
    caller = phone()
    caller.dial(f"sip:web@{DOMAIN}")
    page.expect_incoming("phone")
    page.reject()
    closed = caller.wait_event("CALL_CLOSED")
    assert closed["param"].startswith(("603", "486")), closed
    page.expect_phase("idle")


def test_phone_gives_up_before_browser_answers(page: PhonePage, phone: Callable[..., Baresip]) -> None:
    caller = phone()
    caller.dial(f"sip:web@{DOMAIN}")
    page.expect_incoming("phone")
    caller.hang_up()
    page.expect_phase("idle")
    assert page.status_text().startswith("Missed call")


def _press_on_the_pad(page: PhonePage, digits: str) -> None:
    for digit in digits:
        page.page.click(f'[data-digit="{digit}"]')


def _send_as_rtp_events(page: PhonePage, digits: str) -> None:
    page.page.evaluate("digits => window.__e2e.peers.at(-1).getSenders()[0].dtmf.insertDTMF(digits)", digits)


@pytest.mark.parametrize("send", [_press_on_the_pad, _send_as_rtp_events])
def test_digits_reach_the_phone_as_rtp_events(
    network: Network, page: PhonePage, phone: Callable[..., Baresip], send: Callable[[PhonePage, str], None]
) -> None:
    callee = phone()
    page.call("phone")
    page.expect_status("ESTABLISHED")
    with RtpTap(network.core) as tap:
        send(page, "15#")
        callee.wait_events("CALL_DTMF_END", 3)
        page.hang_up()
        callee.wait_event("CALL_CLOSED")
    page.expect_phase("idle")
    assert [event["param"] for event in callee.events("CALL_DTMF_START")] == ["1", "5", "#"]
    # RFC 4733 section 2.5.1: the marker on an event's first packet, one timestamp for all of its packets.
    events = [packet for packet in tap.towards(callee.rtp_ports) if packet.payload_type == TELEPHONE_EVENT]
    assert [packet.has_marker for packet in events].count(True) == 3
    assert len({packet.timestamp for packet in events}) == 3
    assert len({packet.ssrc for packet in tap.towards(callee.rtp_ports)}) == 1


def test_closing_the_tab_ends_the_call(page: PhonePage, phone: Callable[..., Baresip]) -> None:
    callee = phone()
    page.call("phone")
    page.expect_status("ESTABLISHED")
    page.close()
    callee.wait_event("CALL_CLOSED")
