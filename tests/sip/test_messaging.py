"""MESSAGE, both ways, outside and inside dialogs.   RFC 3428."""

from __future__ import annotations

import pytest

from sip.emulation import ANSWER, OFFER, Agent, Network, Peer
from sip.writing import reply, request
from trunkline.errors import InvalidCallState, LocalProtocolError
from trunkline.sip.messaging import MAX_BYTES
from trunkline.sip.types import (
    Account,
    Hop,
    IncomingInvite,
    InviteAnswered,
    InviteId,
    InviteRequest,
    MessageAnswered,
    MessageReceived,
    MessageRequest,
    Transport,
)

US = ("10.0.0.1", 5060)


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def alice(network: Network) -> Agent:
    return Agent(network, US[0])


@pytest.fixture
def bob(network: Network) -> Agent:
    return Agent(network, "10.0.0.2")


def send(agent: Agent, message: MessageRequest) -> int:
    sent = agent.ua.send_message(agent.now, message)
    agent.drain()
    agent.network.run(0.1)
    return sent


def respond(agent: Agent, status: int = 200) -> None:
    agent.ua.respond(agent.now, agent.last(MessageReceived).request, status)
    agent.drain()
    agent.network.run(0.1)


def talk(alice: Agent, bob: Agent) -> tuple[InviteId, InviteId]:
    """Alice calls Bob, who answers."""
    out = alice.ua.invite(alice.now, InviteRequest(target_uri="sip:bob@10.0.0.2", sdp=OFFER, caller="alice"))
    alice.drain()
    alice.network.run(0.1)
    into = bob.last(IncomingInvite).id
    bob.ua.answer(bob.now, into, ANSWER)
    bob.drain()
    alice.network.run(0.1)
    assert alice.got(InviteAnswered)
    return out, into


def test_text_arrives_whole_and_its_answer_returns(alice: Agent, bob: Agent) -> None:
    text = "Grüße\r\nfrom 上海"
    sent = send(alice, MessageRequest(text=text, target_uri="sip:bob@10.0.0.2", caller="alice", display_name="Alice"))
    received = bob.last(MessageReceived)
    assert (received.text, received.content_type, received.display_name) == (text, "text/plain", "Alice")
    assert (received.recipient, received.registration, received.invite) == ("sip:bob@10.0.0.2", None, None)
    assert received.sender.startswith("sip:alice@")
    respond(bob)
    assert alice.events == [MessageAnswered(sent, 200, "OK")]  # type: ignore[arg-type]
    wire = next(m for m in alice.network.messages(alice) if m.cseq.method == "MESSAGE")
    assert wire.headers.get("Contact") is None, "RFC 3428 section 4: it begins no dialog"


def test_text_with_an_account_is_authenticated_at_its_server(network: Network, alice: Agent) -> None:
    server = Peer(network, "10.0.0.2")

    def answer(message: object) -> None:
        asked = server.requests("MESSAGE")[-1]
        is_known = asked.headers.get("Proxy-Authorization") is not None
        challenge = (("Proxy-Authenticate", 'Digest realm="example.org", nonce="n", qop="auth"'),)
        server.send(reply(asked, 202) if is_known else reply(asked, 407, extra=challenge), US)

    server.on_message = answer
    account = Account(login="alice", password="secret", domain="10.0.0.2")
    sent = send(alice, MessageRequest(text="hello", target_uri="1000", account=account))
    assert alice.events == [MessageAnswered(sent, 202, "Accepted")]  # type: ignore[arg-type]
    first, second = server.requests("MESSAGE")
    assert (str(second.uri), second.body, second.cseq.number) == ("sip:1000@10.0.0.2", b"hello", first.cseq.number + 1)


def test_text_within_a_call_goes_both_ways_in_its_dialog(alice: Agent, bob: Agent) -> None:
    out, into = talk(alice, bob)
    sent = send(alice, MessageRequest(text="in the call", within=out))
    assert (bob.last(MessageReceived).invite, bob.last(MessageReceived).text) == (into, "in the call")
    respond(bob, 202)
    assert alice.last(MessageAnswered) == MessageAnswered(sent, 202, "Accepted")  # type: ignore[arg-type]
    send(bob, MessageRequest(text="and back", within=into))
    assert (alice.last(MessageReceived).invite, alice.last(MessageReceived).text) == (out, "and back")
    respond(alice)
    assert bob.last(MessageAnswered).status == 200


def test_call_that_is_over_takes_no_text(alice: Agent, bob: Agent) -> None:
    out, _ = talk(alice, bob)
    alice.ua.hangup(alice.now, out)
    with pytest.raises(InvalidCallState):
        alice.ua.send_message(alice.now, MessageRequest(text="late", within=out))


def test_silence_is_told_as_408_and_leaves_nothing(network: Network, alice: Agent) -> None:
    sent = send(alice, MessageRequest(text="anybody?", target_uri="sip:x@10.0.0.9"))
    network.run(40)
    assert alice.events == [MessageAnswered(sent, 408, "Request Timeout")]  # type: ignore[arg-type]
    assert alice.ua.is_idle
    assert not any(alice.ua.load.values())


def test_text_that_the_application_forgets_is_refused(network: Network, alice: Agent) -> None:
    peer = Peer(network, "10.0.0.9")
    peer.send(request("MESSAGE", extra=(("Content-Type", "text/plain"),)), US)
    network.run(70)
    assert peer.responses("MESSAGE")[-1].status == 500
    assert not any(alice.ua.load.values())


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("image/png", b"x", 415),
        ("application/sdp", b"v=0", 415),
        ("text/plain", b"x" * (MAX_BYTES + 1), 513),
    ],
)
def test_what_cannot_be_shown_is_refused(
    network: Network, alice: Agent, content_type: str, body: bytes, status: int
) -> None:
    peer = Peer(network, "10.0.0.9")
    peer.send(request("MESSAGE").with_body(content_type, body), US)
    network.run(0.1)
    (answer,) = peer.responses("MESSAGE")
    assert answer.status == status
    assert (answer.headers.get("Accept") is not None) == (status == 415)
    assert not alice.events


def test_bytes_that_are_no_text_do_no_harm(network: Network, alice: Agent) -> None:
    Peer(network, "10.0.0.9").send(request("MESSAGE").with_body("text/plain", b"\xff\x00ok"), US)
    network.run(0.1)
    assert alice.last(MessageReceived).text == "\ufffd\0ok"


def test_repeated_text_comes_up_once(network: Network, alice: Agent) -> None:
    peer = Peer(network, "10.0.0.9")
    message = request("MESSAGE").with_body("text/plain", b"once")
    for _ in range(3):
        peer.send(message, US)
    network.run(0.1)
    assert len(alice.got(MessageReceived)) == 1


def test_text_within_a_dialog_that_is_not_there_is_481(network: Network, alice: Agent) -> None:
    peer = Peer(network, "10.0.0.9")
    peer.send(request("MESSAGE", to_tag="gone").with_body("text/plain", b"x"), US)
    network.run(0.1)
    assert peer.responses("MESSAGE")[-1].status == 481


@pytest.mark.parametrize(
    "fields",
    [
        {"target_uri": "sip:bob@10.0.0.2\r\nX-Injected: 1"},
        {"display_name": "a\r\nX-Injected: 1"},
        {"content_type": "text/plain\r\nX-Injected: 1"},
        {"text": "x" * (MAX_BYTES + 1)},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_would_inject_a_header_or_is_too_long_is_not_sent(alice: Agent, fields: dict[str, str]) -> None:
    with pytest.raises(LocalProtocolError):
        alice.ua.send_message(0, MessageRequest(**{"text": "x", "target_uri": "sip:bob@10.0.0.2", **fields}))
    assert not any(alice.ua.load.values())


def test_text_passed_on_says_who_sends_it_and_brings_challenge_and_credentials_back_and_forth(
    network: Network, alice: Agent
) -> None:
    server = Peer(network, "10.0.0.9")
    wanted = MessageRequest(
        text="x",
        target_uri="sip:dave@pbx.example",
        from_uri="sip:carol@pbx.example",
        hop=Hop("10.0.0.9", 5060, Transport.UDP),
        routes=("<sip:edge.example;lr>",),
        credentials=(("Proxy-Authorization", 'Digest username="carol"'),),
    )
    send(alice, wanted)
    (received,) = server.requests("MESSAGE")
    assert (str(received.uri), str(received.from_.uri)) == ("sip:dave@pbx.example", "sip:carol@pbx.example")
    assert received.headers.get("Route") == "<sip:edge.example;lr>"
    assert received.headers.get("Proxy-Authorization") == 'Digest username="carol"'
    assert not received.contacts
    challenge = ("Proxy-Authenticate", 'Digest realm="pbx", nonce="1"')
    server.send(reply(received, 407, extra=(challenge,)), US)
    network.run(0.1)
    assert alice.last(MessageAnswered).challenges == (challenge,)


def test_what_came_with_a_text_is_told_besides(network: Network, alice: Agent) -> None:
    extra = (("P-Asserted-Identity", "<sip:0301@10.0.0.9>"), ("Privacy", "id"), ("X-Order", "7"))
    message = request("MESSAGE", "sip:4711@10.0.0.1", extra=extra).with_body("text/plain", b"x")
    Peer(network, "10.0.0.9").send(message, US)
    network.run(0.1)
    event = alice.last(MessageReceived)
    assert (event.target, event.asserted, event.privacy) == ("sip:4711@10.0.0.1", ("sip:0301@10.0.0.9",), ("id",))
    assert ("X-Order", "7") in event.headers


@pytest.mark.parametrize("content_type", ["message/imdn+xml", "application/im-iscomposing+xml", "message/cpim"])
def test_what_tells_of_writing_delivery_and_reading_passes_as_it_is(
    alice: Agent, bob: Agent, content_type: str
) -> None:
    send(alice, MessageRequest(text="<x/>", target_uri="sip:bob@10.0.0.2", content_type=content_type))
    assert (bob.last(MessageReceived).content_type, bob.last(MessageReceived).text) == (content_type, "<x/>")


def test_caller_that_would_inject_a_header_is_escaped(alice: Agent) -> None:
    send(alice, MessageRequest(text="x", target_uri="sip:bob@10.0.0.2", caller="a\r\nX-Injected: 1"))
    assert all(b"\nX-Injected" not in data for _, _, data in alice.network.log)


def test_allow_names_the_method(network: Network, alice: Agent) -> None:
    peer = Peer(network, "10.0.0.9")
    peer.send(request("OPTIONS"), US)
    network.run(0.1)
    assert "MESSAGE" in peer.responses("OPTIONS")[0].option_tags("Allow")
