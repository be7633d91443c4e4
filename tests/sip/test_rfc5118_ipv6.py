"""The messages of RFC 5118: IPv6 in every place where SIP names a host. Names and numbers are the RFC's section 4.

The INVITEs come without their session descriptions, which `tests/sdp` reads.
"""

from __future__ import annotations

import pytest

from sip.emulation import Agent, Network, Peer
from trunkline.sdp.parser import parse
from trunkline.sip.headers import SipUri
from trunkline.sip.message import Request
from trunkline.sip.parser import BadRequestError, parse_message
from trunkline.sip.types import IncomingInvite


def message(line: str, *fields: str) -> bytes:
    """A request of the RFC's, which all share these fields."""
    method = line.split()[0]
    shared = ("From: sip:user@example.com;tag=81x2", "Max-Forwards: 70", f"CSeq: 98176 {method}")
    shared = (*shared, "Call-ID: SSG9559905523997077@hlau_4100", "Content-Length: 0")
    return "\r\n".join((f"{line} SIP/2.0", *fields, *shared, "", "")).encode()


SDP_ADDRESSES = """v=0
o=assistant 971731711378798081 0 IN IP6 2001:db8::20
s=Live video feed for today's meeting
c=IN IP6 2001:db8::20
t=3338481189 3370017201
m=audio 6000 RTP/AVP 2
a=rtpmap:2 G726-32/8000
m=video 6024 RTP/AVP 107
a=rtpmap:107 H263-1998/90000
""".replace("\n", "\r\n")
"""Section 4.6: one address for all media."""
TWO_ADDRESSES = SDP_ADDRESSES.replace(
    "m=video 6024 RTP/AVP 107\r\n", "m=video 6024 RTP/AVP 107\r\nc=IN IP4 192.0.2.1\r\n"
)
"""Section 4.8: media of both families in one description."""

TO = "To: sip:user@example.com"
VIA = "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111"
CONTACT = 'Contact: "Caller" <sip:caller@[2001:db8::1]>'

CASES: list[tuple[str, bytes, int]] = [
    ("4.1 ipv6-good", message("REGISTER sip:[2001:db8::10]", TO, VIA, CONTACT), 405),
    ("4.2 ipv6-bad", message("REGISTER sip:2001:db8::10", TO, VIA, CONTACT), 400),
    ("4.3 port-ambiguous", message("REGISTER sip:[2001:db8::10:5070]", TO, VIA, CONTACT), 405),
    ("4.4 port-unambiguous", message("REGISTER sip:[2001:db8::10]:5070", TO, VIA, CONTACT), 405),
    (
        "4.5 via-received-param-with-delim",
        message(
            "BYE sip:[2001:db8::10]",
            f"{TO};tag=bd76ya",
            "Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111",
        ),
        481,
    ),
    (
        "4.5 via-received-param-no-delim",
        message(
            "OPTIONS sip:[2001:db8::10]",
            TO,
            "Via: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3",
        ),
        200,
    ),
    ("4.6 ipv6-in-sdp", message("OPTIONS sip:user@[2001:db8::10]", "To: sip:user@[2001:db8::10]", VIA), 200),
    (
        "4.7 mult-ip-in-header",
        message(
            "BYE sip:user@host.example.net",
            "Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111",
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144",
            "Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200",
            "To: sip:user@example.net;tag=9817--94",
        ),
        481,
    ),
    (
        "4.9 ipv4-mapped-ipv6",
        message(
            "OPTIONS sip:user@example.com",
            TO,
            "Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19",
            "Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111",
            'Contact: "T. desk phone" <sip:ted@[::ffff:192.0.2.2]>',
        ),
        200,
    ),
    (
        "4.10 ipv6-bug-abnf-3-colons",
        message("OPTIONS sip:user@[2001:db8:::192.0.2.1]", "To: sip:user@[2001:db8:::192.0.2.1]", VIA),
        200,
    ),
    (
        "4.10 ipv6-correct-abnf-2-colons",
        message("OPTIONS sip:user@[2001:db8::192.0.2.1]", "To: sip:user@[2001:db8::192.0.2.1]", VIA),
        200,
    ),
]


@pytest.mark.parametrize(("data", "status"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_message_gets_its_verdict(data: bytes, status: int) -> None:
    network = Network()
    us = Agent(network, "10.0.0.1")
    peers = [Peer(network, "10.0.0.9", port) for port in (5060, 6050, 19823)]
    peers[0].send(data, us.address)
    network.run(0.05)
    assert [int(raw.split()[1]) for peer in peers for raw in peer.raw] == [status]


@pytest.mark.parametrize(
    ("line", "host", "port"),
    [
        ("REGISTER sip:[2001:db8::10]", "2001:db8::10", None),
        ("REGISTER sip:[2001:db8::10:5070]", "2001:db8::10:5070", None),
        ("REGISTER sip:[2001:db8::10]:5070", "2001:db8::10", 5070),
    ],
)
def test_port_is_what_stands_outside_the_brackets(line: str, host: str, port: int | None) -> None:
    request = parse_message(message(line, TO, VIA, CONTACT))
    assert isinstance(request, Request)
    assert isinstance(request.uri, SipUri)
    assert (request.uri.host, request.uri.port) == (host, port)
    assert parse_message(request.to_bytes()).to_bytes() == request.to_bytes()


@pytest.mark.parametrize(
    ("body", "addresses"),
    [(SDP_ADDRESSES, ["2001:db8::20", "2001:db8::20"]), (TWO_ADDRESSES, ["2001:db8::20", "192.0.2.1"])],
    ids=["4.6 ipv6-in-sdp", "4.8 mult-ip-in-sdp"],
)
def test_call_with_addresses_of_either_family_in_its_description_comes_up(body: str, addresses: list[str]) -> None:
    network = Network()
    us, peer = Agent(network, "10.0.0.1"), Peer(network, "10.0.0.9")
    data = message("INVITE sip:user@[2001:db8::10]", "To: sip:user@[2001:db8::10]", VIA, CONTACT)
    described = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
    peer.send(data.replace(b"Content-Length: 0\r\n", described.encode()) + body.encode(), us.address)
    network.run(0.05)
    sdp = us.last(IncomingInvite).sdp
    assert sdp == body
    description = parse(sdp)
    found = [next(iter(media.connections), description.connection) for media in description.media]
    assert [each.address for each in found if each is not None] == addresses


def test_reference_without_brackets_is_refused() -> None:
    with pytest.raises(BadRequestError):
        parse_message(CASES[1][1])


def test_received_is_the_address_with_or_without_brackets() -> None:
    for data in (CASES[4][1], CASES[5][1]):
        received = parse_message(data).top_via.parameter("received") or ""
        assert received.strip("[]") == "2001:db8::9:255"
