"""Pages with JsSIP and SIP.js, unmodified, in Chromium: they need another WebSocket URL, no more."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.audio import assert_tone, judge
from harness.baresip import Baresip
from harness.browser import MICROPHONE_DBFS, MICROPHONE_HZ, RECORDING_RATE_HZ
from harness.gateway import Gateway
from harness.kamailio import DOMAIN, NO_REFER, PORT, USERS, Kamailio
from harness.network import CORE, Network
from harness.sip_page import Library, SipPage
from harness.tap import RtpTap
from playwright.sync_api import Browser
from test_attended_transfer import DBFS, HZ, assert_heard

from sip.certificates import Authority

WS_PORT, WSS_PORT = 8088, 8089
WS, WSS = f"ws://{CORE}:{WS_PORT}", f"wss://{CORE}:{WSS_PORT}"
PHONE_HZ = 700.0
PHONE_DBFS = -12.0
OTHER_HZ = 1_000.0
LISTEN_S = 4.0
PASSWORD = "page-secret"

BOTH = pytest.mark.parametrize("library", ["jssip", "sipjs"])


def _settings(artifacts: Path, registrar: dict[str, Any]) -> dict[str, dict[str, Any]]:
    files = Authority(artifacts).issue(CORE)
    return {
        "sip": {"ws_port": WS_PORT, "wss_port": WSS_PORT},
        "sip.tls": {"certificate": str(files.certificate), "key": str(files.key)},
        "sip.registrar": registrar,
    }


@pytest.fixture
def upstream(start_gateway: Callable[..., Gateway], kamailio: Kamailio, artifacts: Path) -> Gateway:
    """A gateway before a SIP server that knows the users."""
    return start_gateway(_settings(artifacts, {"upstream": {"host": kamailio.address, "port": PORT}}))


@pytest.fixture
def alone(start_gateway: Callable[..., Gateway], kamailio: Kamailio, artifacts: Path) -> Gateway:
    """A gateway that knows its users itself; one of them has an account at the SIP server."""
    account = {
        "login": "web",
        "password": USERS["web"],
        "domain": DOMAIN,
        "outbound_proxy": kamailio.address,
        "port": PORT,
    }
    users = [
        {"login": "alice", "password": PASSWORD, "account": account},
        {"login": "bob", "password": PASSWORD},
    ]
    return start_gateway(_settings(artifacts, {"users": users, "reconnect_s": 10}))


@pytest.fixture
def open_sip(chromium: Browser, artifacts: Path) -> Iterator[Callable[..., SipPage]]:
    with ExitStack() as tabs:

        def start(gateway: Gateway, library: Library) -> SipPage:
            page = SipPage(chromium, artifacts / f"page-{len(list(artifacts.glob('page-*')))}.log", gateway, library)
            tabs.callback(page.close)
            return page

        yield start


def _registered(page: SipPage, url: str, uri: str, password: str, **more: Any) -> SipPage:
    page.connect(url, uri, password, **more)
    page.wait("agent registered")
    return page


def _assert_hears_the_microphone(phone: Baresip) -> None:
    heard = judge(*phone.heard())
    assert abs(heard.frequency_hz - MICROPHONE_HZ) < 0.02 * MICROPHONE_HZ, heard
    assert abs(heard.level_dbfs - MICROPHONE_DBFS) <= 4, heard


def _wait_for_status(gateway: Gateway, status: str) -> None:
    """Wait until the gateway's one call has this status, as its REST API tells."""
    deadline = time.monotonic() + 20
    while (found := gateway.post("/call/find_all")[1])[0]["status"] != status:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def _heard_energy(page: SipPage) -> float:
    """Return the energy of all that the page has played.

    Chromium (seen with 156) gives silence to the ear of a track that was stopped and begun again, while it plays on.
    """
    return float(sum(row.get("totalAudioEnergy", 0.0) for row in page.stats() if row["type"] == "inbound-rtp"))


@BOTH
@pytest.mark.parametrize("url", [WSS, WS])
def test_page_calls_a_phone_by_the_server_behind_the_gateway(
    upstream: Gateway,
    open_sip: Callable[..., SipPage],
    phone: Callable[..., Baresip],
    library: Library,
    url: str,
) -> None:
    callee = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
    page = _registered(open_sip(upstream, library), url, f"sip:web@{DOMAIN}", USERS["web"])
    page.do("call", f"sip:phone@{DOMAIN}")
    page.wait("call confirmed")
    at_page = page.listen(LISTEN_S)
    page.do("sendInfo", "5")
    assert callee.wait_event("CALL_DTMF_START")["param"] == "5"
    page.do("hangup")
    callee.wait_event("CALL_CLOSED")
    page.wait("call ended")
    assert_tone(judge(at_page, RECORDING_RATE_HZ), frequency_hz=PHONE_HZ, level_dbfs=PHONE_DBFS)
    _assert_hears_the_microphone(callee)
    page.do("unregister")
    page.wait("agent unregistered")


@BOTH
def test_phone_calls_a_page_by_the_server_behind_the_gateway(
    upstream: Gateway, open_sip: Callable[..., SipPage], phone: Callable[..., Baresip], library: Library
) -> None:
    caller = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
    page = _registered(open_sip(upstream, library), WSS, f"sip:web@{DOMAIN}", USERS["web"])
    caller.dial(f"sip:web@{DOMAIN}")
    page.wait("call incoming")
    page.do("answer")
    page.wait("call confirmed")
    caller.wait_event("CALL_ESTABLISHED")
    at_page = page.listen(LISTEN_S)
    caller.hang_up()
    page.wait("call ended")
    assert_tone(judge(at_page, RECORDING_RATE_HZ), frequency_hz=PHONE_HZ, level_dbfs=PHONE_DBFS)
    _assert_hears_the_microphone(caller)


@BOTH
def test_wrong_password_is_refused_with_a_clear_error(
    alone: Gateway, open_sip: Callable[..., SipPage], library: Library
) -> None:
    page = open_sip(alone, library)
    page.connect(WSS, f"sip:alice@{CORE}", "not-the-password")
    page.wait("agent refused")
    (failure,) = page.failures()
    assert (failure["status"], failure["reason"]) == (401, "Wrong user name or password")
    assert failure["cause"] in ("Authentication Error", "")
    assert "agent registered" not in page.statuses()


def test_wrong_password_is_refused_by_the_server_behind_the_gateway(
    upstream: Gateway, open_sip: Callable[..., SipPage]
) -> None:
    page = open_sip(upstream, "jssip")
    page.connect(WSS, f"sip:web@{DOMAIN}", "not-the-password")
    page.wait("agent refused")
    assert page.failures()[0]["status"] == 401


@BOTH
def test_user_of_the_gateway_itself_calls_and_is_called_by_its_account(
    alone: Gateway, open_sip: Callable[..., SipPage], phone: Callable[..., Baresip], library: Library
) -> None:
    far = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
    page = _registered(open_sip(alone, library), WS, f"sip:alice@{CORE}", PASSWORD)
    page.do("call", f"sip:phone@{CORE}")
    page.wait("call confirmed")
    at_page = page.listen(LISTEN_S)
    if library == "jssip":  # SIP.js has INFO alone
        page.do("sendEvent", "7")
        assert far.wait_event("CALL_DTMF_START")["param"] == "7"
    far.hang_up()
    page.wait("call ended")
    assert_tone(judge(at_page, RECORDING_RATE_HZ), frequency_hz=PHONE_HZ, level_dbfs=PHONE_DBFS)
    _assert_hears_the_microphone(far)
    far.dial(f"sip:web@{DOMAIN}")
    page.wait("call incoming")
    page.do("answer")
    page.wait("call confirmed", count=2)
    page.do("hangup")
    far.wait_event("CALL_CLOSED")


def test_two_pages_of_the_gateway_call_each_other(alone: Gateway, open_sip: Callable[..., SipPage]) -> None:
    alice = _registered(open_sip(alone, "jssip"), WSS, f"sip:alice@{CORE}", PASSWORD)
    bob = _registered(open_sip(alone, "sipjs"), WSS, f"sip:bob@{CORE}", PASSWORD)
    alice.do("call", f"sip:bob@{CORE}")
    bob.wait("call incoming")
    bob.do("answer")
    alice.wait("call confirmed")
    bob.wait("call confirmed")
    for page in (alice, bob):
        heard = judge(page.listen(LISTEN_S), RECORDING_RATE_HZ)
        assert abs(heard.frequency_hz - MICROPHONE_HZ) < 0.02 * MICROPHONE_HZ, heard
    bob.do("hangup")
    alice.wait("call ended")


@BOTH
def test_hold_plays_music_to_the_phone_and_resume_brings_both_back(
    alone: Gateway, open_sip: Callable[..., SipPage], phone: Callable[..., Baresip], library: Library
) -> None:
    far = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
    page = _registered(open_sip(alone, library), WSS, f"sip:alice@{CORE}", PASSWORD)
    page.do("call", f"sip:phone@{CORE}")
    page.wait("call confirmed")
    page.do("hold")
    page.wait("call hold local")
    _wait_for_status(alone, "HOLD")
    silent = page.listen(2)
    page.do("unhold")
    page.wait("call unhold local")
    _wait_for_status(alone, "ESTABLISHED")
    before = _heard_energy(page)
    page.page.wait_for_timeout(2_000)
    resumed = _heard_energy(page) - before
    page.do("hangup")
    far.wait_event("CALL_CLOSED")
    assert np.sqrt(np.mean(np.square(silent[-RECORDING_RATE_HZ:]))) < 1e-3, "a page on hold hears nothing"
    assert resumed > 0.1, "and the phone again when it goes on"


def test_call_goes_on_when_the_websocket_is_lost_and_the_page_comes_back(
    alone: Gateway, open_sip: Callable[..., SipPage], phone: Callable[..., Baresip]
) -> None:
    far = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
    page = open_sip(alone, "jssip")
    _registered(page, WSS, f"sip:alice@{CORE}", PASSWORD, instance="0f0e0d0c-0b0a-4908-8706-050403020100")
    page.do("call", f"sip:phone@{CORE}")
    page.wait("call confirmed")
    page.do("breakConnection")
    page.wait("agent disconnected")
    page.wait("agent registered", count=2)
    at_page = page.listen(LISTEN_S)
    assert_tone(judge(at_page, RECORDING_RATE_HZ), frequency_hz=PHONE_HZ, level_dbfs=PHONE_DBFS)
    far.hang_up()
    page.wait("call ended")


def test_call_ends_when_the_page_does_not_come_back(
    start_gateway: Callable[..., Gateway],
    kamailio: Kamailio,
    artifacts: Path,
    open_sip: Callable[..., SipPage],
    phone: Callable[..., Baresip],
) -> None:
    settings = {"upstream": {"host": kamailio.address, "port": PORT}, "reconnect_s": 1}
    gateway = start_gateway(_settings(artifacts, settings))
    far = phone()
    page = _registered(open_sip(gateway, "jssip"), WSS, f"sip:web@{DOMAIN}", USERS["web"])
    page.do("call", f"sip:phone@{DOMAIN}")
    page.wait("call confirmed")
    page.page.goto("about:blank")
    far.wait_event("CALL_CLOSED")


@dataclass(frozen=True, slots=True)
class Home:
    """A gateway, and the domain where a page's user is known."""

    gateway: Gateway
    domain: str
    login: str
    password: str

    def page(self, open_page: Callable[..., SipPage]) -> SipPage:
        """Open a page of this user, registered."""
        return _registered(open_page(self.gateway, "jssip"), WSS, f"sip:{self.login}@{self.domain}", self.password)


@pytest.fixture(params=["alone", "upstream"])
def home(request: pytest.FixtureRequest) -> Home:
    """The gateway knows the user, and calls by an account; or the server behind it does, and has the password."""
    gateway: Gateway = request.getfixturevalue(request.param)
    if request.param == "alone":
        return Home(gateway, CORE, "alice", PASSWORD)
    return Home(gateway, DOMAIN, "web", USERS["web"])


def test_transfer_leaves_two_phones_talking_to_each_other(
    home: Home, open_sip: Callable[..., SipPage], phone: Callable[..., Baresip]
) -> None:
    first = phone(tone_hz=PHONE_HZ, tone_dbfs=PHONE_DBFS)
    second = phone("other", tone_hz=OTHER_HZ, tone_dbfs=PHONE_DBFS, port=5090)
    page = home.page(open_sip)
    page.do("call", f"sip:phone@{home.domain}")
    page.wait("call confirmed")
    page.do("refer", f"sip:other@{home.domain}")
    second.wait_event("CALL_ESTABLISHED")
    page.wait("call ended")
    page.page.wait_for_timeout(4_000)
    at_first, at_second = judge(*first.heard_lately(2)), judge(*second.heard_lately(2))
    second.hang_up()
    assert abs(at_first.frequency_hz - OTHER_HZ) < 0.02 * OTHER_HZ, at_first
    assert abs(at_second.frequency_hz - PHONE_HZ) < 0.02 * PHONE_HZ, at_second


def test_attended_transfer_leaves_two_phones_talking_if_one_of_them_takes_no_refer(
    home: Home, network: Network, open_sip: Callable[..., SipPage], phone: Callable[..., Baresip]
) -> None:
    first = phone(NO_REFER, tone_hz=HZ[NO_REFER], tone_dbfs=DBFS, port=5090)
    second = phone(tone_hz=HZ["phone"], tone_dbfs=DBFS)
    page = home.page(open_sip)
    page.do("call", f"sip:{NO_REFER}@{home.domain}")
    page.wait("call confirmed")
    page.do("hold")
    page.wait("call hold local")
    _wait_for_status(home.gateway, "HOLD")
    page.do("consult", f"sip:phone@{home.domain}")
    page.wait("call confirmed", count=2)
    page.do("join")
    page.wait("call ended", count=2)
    with RtpTap(network.core) as tap:
        page.page.wait_for_timeout(4_000)
    assert_heard(tap, first, HZ["phone"])
    assert_heard(tap, second, HZ[NO_REFER])
    second.hang_up()
    first.wait_event("CALL_CLOSED")


def test_texts_between_two_pages_and_to_a_phone(
    alone: Gateway, open_sip: Callable[..., SipPage], phone: Callable[..., Baresip]
) -> None:
    far = phone()
    alice = _registered(open_sip(alone, "jssip"), WSS, f"sip:alice@{CORE}", PASSWORD)
    bob = _registered(open_sip(alone, "sipjs"), WSS, f"sip:bob@{CORE}", PASSWORD)
    alice.do("text", f"sip:bob@{CORE}", "hello")
    bob.wait("text hello")
    alice.wait("text taken")
    bob.do("text", f"sip:alice@{CORE}", "and back")
    alice.wait("text bob: and back")
    alice.do("text", f"sip:phone@{CORE}", "to a phone")
    alice.wait("text taken", count=2)
    far.wait_for("created device 'alerts'")  # baresip has no screen here: its sound for texts is what it makes of one
    alice.do("text", f"sip:nobody@{CORE}", "to nobody")
    alice.wait("text refused 404")
