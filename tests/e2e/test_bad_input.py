"""Noise on every port while a call stands: the call goes on, the noise is counted, nothing is left behind."""

import random
import socket
from collections.abc import Callable

from harness.audio import assert_tone, judge
from harness.baresip import Baresip
from harness.browser import MICROPHONE_DBFS, MICROPHONE_HZ, RECORDING_RATE_HZ
from harness.gateway import HTTP_PORT, RTP_PORTS, SIP_PORT, WEBRTC_PORT, Gateway
from harness.network import CORE, Network
from harness.phone_page import PhonePage
from harness.processes import bound_ports

DATAGRAMS_PER_PORT = 300


def _noise(generator: random.Random) -> list[bytes]:
    """Return random datagrams, half of them with a first byte that looks like STUN, DTLS, RTP or SIP."""
    looks = [b"\x00\x01", b"\x16\xfe\xfd", b"\x80\x00", b"\x80\xc8", b"INVITE sip:x SIP/2.0\r\n", b"SIP/2.0 200 OK\r\n"]
    return [
        (generator.choice(looks) if index % 2 else b"") + generator.randbytes(generator.randrange(0, 1200))
        for index in range(DATAGRAMS_PER_PORT)
    ]


def test_noise_on_every_port_does_not_disturb_a_call(
    network: Network, gateway: Gateway, page: PhonePage, phone: Callable[..., Baresip]
) -> None:
    callee = phone()
    page.call("phone")
    page.expect_status("ESTABLISHED")
    ports = bound_ports(gateway.pid, "udp") & {SIP_PORT, WEBRTC_PORT, WEBRTC_PORT + 1, *RTP_PORTS}
    assert {SIP_PORT, WEBRTC_PORT} < ports

    def make_noise() -> None:
        generator = random.Random(7)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for port in sorted(ports):
                for datagram in _noise(generator):
                    sender.sendto(datagram, (CORE, port))
        for port in (SIP_PORT, HTTP_PORT):
            with socket.create_connection((CORE, port), timeout=5) as stream:
                stream.sendall(generator.randbytes(4096))

    before = gateway.metrics()
    network.edge.call(make_noise)
    heard = page.listen(4.0)
    assert_tone(judge(heard, RECORDING_RATE_HZ), frequency_hz=callee.settings.tone_hz, level_dbfs=-12)
    after = gateway.metrics()
    dropped = sum(after[name] - before.get(name, 0) for name in after if "drop" in name or "malformed" in name)
    assert dropped >= DATAGRAMS_PER_PORT
    page.hang_up()
    callee.wait_event("CALL_CLOSED")
    assert_tone(judge(*callee.heard()), frequency_hz=MICROPHONE_HZ, level_dbfs=MICROPHONE_DBFS)
