"""SIP over TLS and over WebSocket with a real server: Kamailio as the registrar and the proxy of a call with audio.

Under TLS both sides show certificates.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness.audio import assert_has_tone, judge
from harness.baresip import Baresip, PhoneSettings
from harness.browser import MICROPHONE_HZ, RECORDING_RATE_HZ
from harness.gateway import Gateway
from harness.kamailio import DOMAIN, PORT, TLS_PORT, USERS, WS_PORT, WSS_PORT, Kamailio
from harness.needs import need, need_module
from harness.network import CORE, Network
from harness.phone_page import PhonePage
from harness.tap import RtpTap
from test_browser_calls_phone import LISTEN_S, PHONE_DBFS, PHONE_HZ
from test_srtp import assert_encrypted

from sip.certificates import Authority, Files

GATEWAY_TLS_PORT = 5071
PORTS = {"TLS": TLS_PORT, "WS": WS_PORT, "WSS": WSS_PORT}

# The page's form has no field for the transport of its account; other clients send one.
_BY_TRANSPORT = """transport => {
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (text) {
    const frame = JSON.parse(text);
    if (frame.message === "connection") frame.data[0].sipTransport = transport;
    send.call(this, JSON.stringify(frame));
  };
}
"""


@pytest.fixture
def authority(artifacts: Path) -> Authority:
    """Who signs the certificates of the test."""
    return Authority(artifacts)


@pytest.fixture
def edges(network: Network, artifacts: Path, authority: Authority) -> Iterator[Kamailio]:
    """A SIP server that speaks TLS and WebSocket beside UDP and TCP."""
    need("kamailio")
    need_module("tls")
    need_module("websocket")
    files = authority.issue(CORE, file_name="kamailio")
    with Kamailio(
        network.core, artifacts / "kamailio", USERS, certificate=files, authority=authority.certificate
    ) as server:
        yield server


@pytest.fixture
def edge_gateway(start_gateway: Callable[..., Gateway], artifacts: Path, authority: Authority) -> Gateway:
    """A gateway that believes the test's authority, and listens for TLS."""
    ours = authority.issue(CORE, file_name="gateway")
    tls = {"authorities": str(authority.certificate), "certificate": str(ours.certificate), "key": str(ours.key)}
    return start_gateway({"sip": {"tls_port": GATEWAY_TLS_PORT, "media_security": "optional"}, "sip.tls": tls})


@pytest.fixture(params=["TLS", "WS", "WSS"])
def edge_page(
    request: pytest.FixtureRequest, edge_gateway: Gateway, edges: Kamailio, open_page: Callable[..., PhonePage]
) -> PhonePage:
    """The Phone page, registered as `web` by this transport."""
    page = open_page()
    page.page.evaluate(_BY_TRANSPORT, request.param)
    page.sign_in("web", USERS["web"], DOMAIN, edges.address, PORTS[request.param])
    page.expect_session("REGISTERED")
    named = request.param.replace("WSS", "WS").lower()  # a URI says ws for both (RFC 7118 section 5.3)
    assert f"transport={named}" in edges.contact_of("web")
    return page


@pytest.fixture
def edge_phone(
    network: Network, edges: Kamailio, artifacts: Path, authority: Authority
) -> Iterator[Callable[[str], Baresip]]:
    """Start baresip, registered by UDP, or by TLS with SDES."""
    need("baresip")
    started: list[Baresip] = []

    def start(transport: str) -> Baresip:
        is_tls = transport == "tls"
        settings = PhoneSettings(
            login="phone",
            password=USERS["phone"],
            domain=DOMAIN,
            proxy=f"{edges.address}:{TLS_PORT if is_tls else PORT}",
            transport=transport,
            tone_hz=PHONE_HZ,
            tone_dbfs=PHONE_DBFS,
            encryption="srtp" if is_tls else "",
            certificate=_in_one_file(authority.issue("phone", file_name="phone")) if is_tls else None,
        )
        phone = Baresip(network.core, artifacts / "baresip", settings)
        started.append(phone)
        phone.__enter__()
        return phone

    yield start
    for phone in started:
        phone.stop()


@contextmanager
def both_hear(page: PhonePage, phone: Baresip) -> Iterator[None]:
    """Listen on both sides while the call stands; the block ends it; then judge what each side heard."""
    at_browser = page.listen(LISTEN_S)
    yield
    assert_has_tone(judge(at_browser, RECORDING_RATE_HZ), PHONE_HZ)
    assert_has_tone(judge(*phone.heard()), MICROPHONE_HZ)


def _in_one_file(files: Files) -> Path:
    both = files.certificate.with_name("phone-both.pem")
    both.write_bytes(files.key.read_bytes() + files.certificate.read_bytes())
    return both


@pytest.mark.parametrize(
    ("edge_page", "phone_transport"),
    [("TLS", "udp"), ("TLS", "tls"), ("WS", "udp"), ("WSS", "tls")],
    indirect=["edge_page"],
)
def test_browser_calls_through_a_server_by_tls_and_websocket_and_both_hear(
    network: Network, edge_page: PhonePage, edge_phone: Callable[[str], Baresip], phone_transport: str
) -> None:
    callee = edge_phone(phone_transport)
    edge_page.call("phone")
    edge_page.expect_status("ESTABLISHED")
    with RtpTap(network.core) as tap, both_hear(edge_page, callee):
        edge_page.hang_up()
        callee.wait_event("CALL_CLOSED")
    edge_page.expect_phase("idle")
    if phone_transport == "tls":
        assert_encrypted(tap, callee)


def test_browser_is_called_through_a_server_by_tls_and_websocket_and_both_hear(
    network: Network, edge_page: PhonePage, edge_phone: Callable[[str], Baresip]
) -> None:
    caller = edge_phone("tls")
    caller.dial(f"sip:web@{DOMAIN}")
    edge_page.expect_incoming("phone")
    edge_page.answer()
    edge_page.expect_status("ESTABLISHED")
    with RtpTap(network.core) as tap, both_hear(edge_page, caller):
        caller.hang_up()
        edge_page.expect_phase("idle")
    assert_encrypted(tap, caller)
