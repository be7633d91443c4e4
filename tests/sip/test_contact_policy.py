"""Contacts of peers behind a NAT: whether requests go where a peer was heard or where it says.   RFC 3581, 5626."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sip.emulation import ANSWER, OFFER, Agent, Network, Peer
from sip.writing import ack, reply, request
from trunkline.sip.types import ContactPolicy, Hop, IncomingInvite, InviteRequest, Path, Transport, UaConfig

NAT, PUBLIC = "5.6.7.8", "5.6.7.9"
PRIVATE = "192.168.1.20"
US = "9.9.9.9"


def hung_up(
    policy: ContactPolicy,
    contact: str,
    *,
    source: str = NAT,
    transport: Transport = Transport.UDP,
    record_route: str | None = None,
) -> str:
    """Call from a source with this Contact, let us hang up, and return to which host the BYE went."""
    network = Network()
    us = Agent(network, US, config=UaConfig(contact_policy=policy))
    caller, port = Peer(network, source, 40_000), us.address
    places = {source: caller, **{host: Peer(network, host) for host in (PRIVATE, PUBLIC)}}
    extra = () if record_route is None else (("Record-Route", f"<sip:{record_route};lr>"),)
    invite = request("INVITE", f"sip:us@{US}", host=PRIVATE, body=OFFER, extra=extra, transport=transport.upper())
    invite.headers.set_top_via(invite.top_via.with_parameter("rport", None))
    invite.headers.set("Contact", f"<{contact}>")
    caller.send(invite, port, transport)
    network.run(0.1)
    call = us.last(IncomingInvite).id
    us.ua.answer(us.now, call, ANSWER)
    us.drain()
    network.run(0.1)
    caller.send(ack(invite, caller.responses("INVITE")[-1]), port, transport)
    network.run(0.1)
    us.ua.hangup(us.now, call)
    us.drain()
    network.run(0.1)
    (byed,) = [host for host, place in places.items() if place.requests("BYE")]
    return byed


@pytest.mark.parametrize(
    ("policy", "contact", "wanted"),
    [
        (ContactPolicy.PRIVATE, f"sip:x@{PRIVATE}", NAT),
        (ContactPolicy.PRIVATE, "sip:x@phone.invalid", NAT),
        (ContactPolicy.PRIVATE, f"sip:x@{PUBLIC}", PUBLIC),
        (ContactPolicy.ALWAYS, f"sip:x@{PUBLIC}", NAT),
        (ContactPolicy.NEVER, f"sip:x@{PRIVATE}", PRIVATE),
    ],
)
def test_bye_goes_where_the_policy_says(policy: ContactPolicy, contact: str, wanted: str) -> None:
    assert hung_up(policy, contact) == wanted


def test_private_contact_of_a_private_peer_is_taken_at_its_word() -> None:
    assert hung_up(ContactPolicy.PRIVATE, f"sip:x@{PRIVATE}", source="10.1.1.1") == PRIVATE


def test_proxy_before_a_peer_knows_the_way_past_its_nat() -> None:
    assert hung_up(ContactPolicy.ALWAYS, f"sip:x@{PRIVATE}", record_route=PUBLIC) == PUBLIC


def test_responses_go_to_the_port_that_the_nat_has_opened() -> None:
    network = Network()
    us, caller = Agent(network, US), Peer(network, NAT, 40_000)
    asked = request("OPTIONS", f"sip:us@{US}", host=PRIVATE)
    asked.headers.set_top_via(asked.top_via.with_parameter("rport", None))
    caller.send(asked, us.address)
    network.run(0.1)
    (answer,) = caller.responses("OPTIONS")
    assert (answer.top_via.parameter("received"), answer.top_via.parameter("rport")) == (NAT, "40000")


@pytest.mark.parametrize("transport", [Transport.WSS, Transport.WS])
def test_route_that_says_ws_is_taken_by_the_websocket_that_the_call_runs_on(transport: Transport) -> None:
    network = Network()
    us, proxy = Agent(network, US), Peer(network, PUBLIC)
    ways: list[tuple[bytes, Transport]] = []

    def note(data: bytes, path: Path) -> Iterator[float]:
        ways.append((data.split(b" ")[0], path.transport))
        yield 0.01

    network.fate = note
    hop = Hop(PUBLIC, 5060, transport)
    call = us.ua.invite(us.now, InviteRequest(target_uri="sip:x@b.example", sdp=OFFER, caller="us", hop=hop))
    us.drain()
    network.run(0.1)
    route = (("Record-Route", f"<sip:{PUBLIC};transport=ws;lr>"),)
    answer = reply(proxy.requests("INVITE")[0], 200, contact="sip:x@1.2.3.4", extra=route, body=ANSWER)
    proxy.send(answer, us.address, transport)
    network.run(0.1)
    us.ua.hangup(us.now, call)
    us.drain()
    network.run(0.1)
    assert [way for way in ways if way[0] in (b"ACK", b"BYE")] == [(b"ACK", transport), (b"BYE", transport)]
