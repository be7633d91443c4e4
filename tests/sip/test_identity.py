"""Who calls and by which way: identity headers, privacy, hops left, routes.   RFC 3323, 3325, 3608, 5393."""

from __future__ import annotations

import pytest

from sip.emulation import OFFER, Agent, Network, Peer
from sip.test_uas_rules import Stage
from sip.writing import reply, request
from trunkline.errors import LocalProtocolError
from trunkline.sip.message import Request
from trunkline.sip.types import Account, Identity, IncomingInvite, InviteRequest, Registered


def sent(**more: object) -> Request:
    """The INVITE that comes of a request."""
    stage = Stage()
    asked = InviteRequest(target_uri="sip:x@10.0.0.9", sdp=OFFER, caller="me", **more)  # type: ignore[arg-type]
    stage.us.ua.invite(stage.us.now, asked)
    stage.us.drain()
    stage.network.run(0.1)
    return stage.peer.requests("INVITE")[0]


def test_asserted_identity_goes_out_beside_an_anonymous_from() -> None:
    identity = Identity(asserted="sip:+4930123@example.org", privacy=("id", "user"), is_anonymous=True)
    invite = sent(identity=identity, display_name="Zoe")
    assert invite.headers.get("P-Asserted-Identity") == "<sip:+4930123@example.org>"
    assert invite.headers.get("Privacy") == "id;user"
    assert (str(invite.from_.uri), invite.from_.display_name) == ("sip:anonymous@anonymous.invalid", "Anonymous")
    assert "Zoe" not in str(invite.headers)


def test_preferred_identity_and_no_other_by_default() -> None:
    assert sent(identity=Identity(preferred="tel:+4930123")).headers.get("P-Preferred-Identity") == "<tel:+4930123>"
    plain = sent()
    assert not any(plain.headers.get(name) for name in ("P-Asserted-Identity", "P-Preferred-Identity", "Privacy"))


@pytest.mark.parametrize(
    "identity",
    [
        Identity(asserted="not a uri"),
        Identity(asserted="sip:a@h\r\nEvil: 1"),
        Identity(preferred="sip:a b@h"),
        Identity(privacy=("id\r\nEvil: 1",)),
        Identity(privacy=("a;b",)),
    ],
)
def test_identity_that_would_break_a_line_is_refused(identity: Identity) -> None:
    with pytest.raises(LocalProtocolError):
        sent(identity=identity)


def test_what_a_caller_asserts_is_told() -> None:
    stage = Stage()
    extra = (
        ("P-Asserted-Identity", '"Al" <sip:al@example.org>, <tel:+4930123>'),
        ("Privacy", "Id; critical"),
        ("Max-Breadth", "30"),
    )
    call = request("INVITE", body=OFFER, extra=extra)
    call.headers.set("Max-Forwards", "12")
    stage.ask(call)
    event = stage.us.last(IncomingInvite)
    assert event.asserted == ("sip:al@example.org", "tel:+4930123")
    assert event.privacy == ("id", "critical")
    assert (event.max_forwards, event.max_breadth) == (12, 30)


def test_assertion_that_cannot_be_read_is_left_out() -> None:
    stage = Stage()
    stage.ask(request("INVITE", body=OFFER, extra=(("P-Asserted-Identity", '"open <sip:a@b>'),)))
    assert stage.us.last(IncomingInvite).asserted == ()


def test_hops_that_are_left_go_on_with_a_call_so_that_a_loop_ends() -> None:
    invite = sent(max_forwards=11, max_breadth=30)
    assert (invite.headers.get("Max-Forwards"), invite.headers.get("Max-Breadth")) == ("11", "30")
    with pytest.raises(LocalProtocolError):
        sent(max_forwards=0)


def test_calls_take_the_way_that_the_registrar_wants() -> None:
    network = Network()
    us, server = Agent(network, "10.0.0.1"), Peer(network, "10.0.0.2")
    account = Account(login="alice", password="secret", domain="10.0.0.2")
    us.ua.register(us.now, account)
    us.drain()
    network.run(0.1)
    (register,) = server.requests("REGISTER")
    assert "path" in register.option_tags("Supported")
    routes = (("Service-Route", "<sip:p2.example.org;lr>, <sip:p3.example.org;lr>"), ("Expires", "600"))
    server.send(reply(register, 200, extra=routes), us.address)
    network.run(0.1)
    assert us.got(Registered)
    us.ua.invite(us.now, InviteRequest(target_uri="bob", sdp=OFFER, account=account))
    us.drain()
    network.run(0.1)
    (invite,) = server.requests("INVITE")
    assert [str(route.uri) for route in invite.routes] == ["sip:p2.example.org;lr", "sip:p3.example.org;lr"]
