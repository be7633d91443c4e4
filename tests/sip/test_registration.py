"""Outgoing registrations against a registrar on a virtual clock."""

from __future__ import annotations

from random import Random

import pytest

from sip.emulation import ANSWER, OFFER, Agent, Network, Peer, intervals
from sip.writing import reply, request
from trunkline.errors import LocalProtocolError
from trunkline.sip.auth.digest import DigestServer, Verdict
from trunkline.sip.headers import AuthValue, NameAddr
from trunkline.sip.message import Message, Request
from trunkline.sip.types import (
    Account,
    IncomingInvite,
    IncomingRequest,
    InviteAnswered,
    InviteRequest,
    Registered,
    RegistrationFailed,
    Unregistered,
)

ACCOUNT = Account(login="alice", password="secret", domain="10.0.0.2", display_name="Alice")


class Registrar:
    """A user agent of ours that accepts REGISTER, as the demo's does, and challenges it."""

    def __init__(self, network: Network, passwords: dict[str, str]) -> None:
        self.agent = Agent(network, "10.0.0.2", accept=frozenset({"REGISTER"}))
        self.agent.on_event = lambda event: self.answer(event) if isinstance(event, IncomingRequest) else None
        self.digest = DigestServer("example.org", Random(3))
        self.passwords = passwords
        self.bindings: dict[str, str] = {}

    def answer(self, event: IncomingRequest) -> None:
        now, fields = self.agent.now, dict(event.headers)
        verdict, user = self.digest.verify(
            now, [v for n, v in event.headers if n == "Authorization"], event.method, self.passwords.get
        )
        if verdict is not Verdict.ACCEPTED:
            challenges = self.digest.challenges(now, is_stale=verdict is Verdict.STALE)
            self.agent.ua.respond(
                now, event.id, 401, headers=tuple(("WWW-Authenticate", value) for value in challenges)
            )
            return
        contact = NameAddr.parse(fields["Contact"])
        self.bindings[user] = str(contact.uri)
        if fields["Expires"] == "0":
            del self.bindings[user]
        granted = (("Contact", f"{contact};expires={fields['Expires']}"),) if fields["Expires"] != "0" else ()
        self.agent.ua.respond(now, event.id, 200, headers=granted)


class Script:
    """A registrar that answers each REGISTER with the next status of a list."""

    def __init__(self, network: Network, *answers: tuple[int, tuple[tuple[str, str], ...]]) -> None:
        self.peer = Peer(network, "10.0.0.2")
        self.peer.on_message = self.answer
        self.answers = list(answers)

    def answer(self, message: Message) -> None:
        assert isinstance(message, Request)
        if self.answers:
            status, extra = self.answers.pop(0)
            self.peer.send(reply(message, status, extra=extra), ("10.0.0.1", 5060))


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def alice(network: Network) -> Agent:
    return Agent(network, "10.0.0.1")


def register(agent: Agent, account: Account = ACCOUNT, expires_s: int = 600) -> int:
    registration = agent.ua.register(agent.now, account, expires_s)
    agent.drain()
    agent.network.run(0.5)
    return registration


def test_registers_after_one_challenge_and_refreshes_before_expiry(network: Network, alice: Agent) -> None:
    registrar = Registrar(network, {"alice": "secret"})
    registration = register(alice)
    assert alice.events == [Registered(registration, 600)]
    assert list(registrar.bindings) == ["alice"]
    network.run(1500)
    assert alice.events == [Registered(registration, 600)] * 4
    assert intervals(list(network.sent(alice, "REGISTER"))[1:])[0] == pytest.approx(480, abs=0.1)


def test_refresh_carries_credentials_at_once_and_counts_the_nonce(network: Network, alice: Agent) -> None:
    Registrar(network, {"alice": "secret"})
    register(alice, expires_s=100)
    network.run(170)
    values = [m.headers.get("Authorization") for m in network.messages(alice) if m.cseq.method == "REGISTER"]
    assert values[0] is None
    assert [AuthValue.parse(value).get("nc") for value in values[1:] if value] == ["00000001", "00000002", "00000003"]
    cseqs = [m.cseq.number for m in network.messages(alice)]
    assert cseqs == sorted(set(cseqs))
    assert len({m.sip_call_id for m in network.messages(alice)}) == 1


def test_stale_nonce_is_answered_without_a_failure(network: Network, alice: Agent) -> None:
    registrar = Registrar(network, {"alice": "secret"})
    registration = register(alice, expires_s=1000)  # the refresh comes after the nonce's 300 s
    network.run(900)
    assert alice.events == [Registered(registration, 1000)] * 2
    assert len(registrar.agent.got(IncomingRequest)) == 4


def test_wrong_password_fails_once_and_is_not_tried_again(network: Network, alice: Agent) -> None:
    Registrar(network, {"alice": "other"})
    registration = register(alice)
    network.run(1000)
    assert alice.events == [RegistrationFailed(registration, 401, "Unauthorized", None)]
    assert len(network.sent(alice, "REGISTER")) == 2


def test_unregister_takes_the_binding_back(network: Network, alice: Agent) -> None:
    registrar = Registrar(network, {"alice": "secret"})
    registration = register(alice)
    alice.ua.unregister(network.now, registration)
    alice.drain()
    network.run(1)
    assert alice.events[-1] == Unregistered(registration)
    assert registrar.bindings == {}
    network.run(100)
    assert not any(alice.ua.load.values())
    assert alice.ua.is_idle


def test_unregister_during_the_first_request_waits_for_it(network: Network, alice: Agent) -> None:
    registrar = Registrar(network, {"alice": "secret"})
    registration = alice.ua.register(network.now, ACCOUNT)
    alice.ua.unregister(network.now, registration)
    alice.drain()
    network.run(1)
    assert alice.events == [Unregistered(registration)]
    assert registrar.bindings == {}


def test_unregister_ends_even_if_the_registrar_is_gone(network: Network, alice: Agent) -> None:
    Registrar(network, {"alice": "secret"})
    registration = register(alice)
    del network.hosts[("10.0.0.2", 5060)]
    alice.ua.unregister(network.now, registration)
    alice.drain()
    network.run(33)
    assert alice.events[-1] == Unregistered(registration)


def test_unregister_after_a_refusal_needs_no_request(network: Network, alice: Agent) -> None:
    Script(network, (403, ()))
    registration = register(alice)
    alice.ua.unregister(network.now, registration)
    alice.drain()
    assert alice.events == [RegistrationFailed(registration, 403, "Forbidden", None), Unregistered(registration)]
    assert len(network.sent(alice, "REGISTER")) == 1


@pytest.mark.parametrize(("status", "reason"), [(403, "Forbidden"), (404, "Not Found"), (302, "Moved Temporarily")])
def test_permanent_refusal_is_not_tried_again(network: Network, alice: Agent, status: int, reason: str) -> None:
    Script(network, (status, ()))
    registration = register(alice)
    network.run(1000)
    assert alice.events == [RegistrationFailed(registration, status, reason, None)]


def test_silent_registrar_is_408_after_timer_f_and_tried_again_with_growing_pauses(
    network: Network, alice: Agent
) -> None:
    registration = register(alice)
    network.run(32)
    assert alice.events[-1] == RegistrationFailed(registration, 408, "Request Timeout", pytest.approx(3.75, abs=1.25))
    network.run(3000)
    pauses = [event.retry_in_s or 0 for event in alice.got(RegistrationFailed)]
    for step, pause in enumerate(pauses):
        ceiling = min(300, 5 * 2**step)
        assert ceiling / 2 <= pause <= ceiling
    assert pauses[-1] >= 150
    assert len(set(pauses)) == len(pauses), "jitter keeps many clients apart"


def test_registrar_that_is_down_fails_at_once_and_is_found_when_it_returns(network: Network, alice: Agent) -> None:
    network.unreachable.add(("10.0.0.2", 5060))
    registration = register(alice)
    assert alice.events[0] == RegistrationFailed(registration, 503, "Server unreachable", alice.events[0].retry_in_s)
    network.unreachable.clear()
    Registrar(network, {"alice": "secret"})
    network.run(10)
    assert alice.events[-1] == Registered(registration, 600)


def test_unknown_registrar_fails_with_503(network: Network, alice: Agent) -> None:
    registration = register(alice, Account(login="alice", password="x", domain="nowhere.invalid"))
    failed = alice.last(RegistrationFailed)
    assert (failed.id, failed.status, failed.reason) == (registration, 503, "Server address not found")
    assert failed.retry_in_s is not None


def test_423_raises_the_expiry_once(network: Network, alice: Agent) -> None:
    script = Script(network, (423, (("Min-Expires", "1800"),)), (200, (("Expires", "1800"),)))
    registration = register(alice, expires_s=60)
    assert alice.events == [Registered(registration, 1800)]
    assert [m.headers.get("Expires") for m in script.peer.requests("REGISTER")] == ["60", "1800"]


@pytest.mark.parametrize("minimum", ["30", "nonsense", "99999999", ""])
def test_423_that_makes_no_sense_is_a_failure(network: Network, alice: Agent, minimum: str) -> None:
    Script(network, (423, (("Min-Expires", minimum),)))
    register(alice, expires_s=60)
    assert alice.last(RegistrationFailed).status == 423


def test_retry_after_is_respected(network: Network, alice: Agent) -> None:
    script = Script(network, (503, (("Retry-After", "120 (maintenance)"),)), (200, ()))
    registration = register(alice)
    assert alice.events[0] == RegistrationFailed(registration, 503, "Service Unavailable", 120)
    network.run(119)
    assert len(script.peer.received) == 1
    network.run(2)
    assert alice.events[-1] == Registered(registration, 600)


def test_expiry_of_our_own_contact_counts(network: Network, alice: Agent) -> None:
    peer = Peer(network, "10.0.0.2")

    def answer(message: Message) -> None:
        ours = message.headers.get("Contact")
        contacts = ("Contact", f"<sip:desk@10.9.9.9>;expires=7, {ours};expires=90")
        peer.send(reply(message, 200, extra=(contacts, ("Expires", "3600"))), ("10.0.0.1", 5060))

    peer.on_message = answer
    registration = register(alice)
    assert alice.events == [Registered(registration, 90)]


def test_binding_that_the_registrar_drops_is_a_failure(network: Network, alice: Agent) -> None:
    Script(network, (200, (("Expires", "0"),)))
    register(alice)
    assert alice.last(RegistrationFailed).status == 480
    assert alice.got(Registered) == []


def test_incoming_call_names_the_registration_whose_contact_was_called(network: Network, alice: Agent) -> None:
    registrar = Registrar(network, {"alice": "secret", "carol": "word"})
    first = register(alice)
    second = register(alice, Account(login="carol", password="word", domain="10.0.0.2"))
    for user, registration in (("alice", first), ("carol", second)):
        registrar.agent.ua.invite(
            network.now, InviteRequest(target_uri=registrar.bindings[user], sdp=OFFER, caller="desk")
        )
        registrar.agent.drain()
        network.run(0.1)
        assert alice.last(IncomingInvite).registration == registration


def test_call_through_the_account_answers_the_proxys_challenge(network: Network, alice: Agent) -> None:
    Registrar(network, {"alice": "secret"})
    register(alice)
    proxy = Peer(network, "10.0.0.2")
    digest = DigestServer("example.org", Random(5))

    def answer(message: Message) -> None:
        if not isinstance(message, Request) or message.method == "ACK":
            return
        values = message.headers.get_all("Proxy-Authorization")
        verdict, _ = digest.verify(network.now, values, message.method, {"alice": "secret"}.get)
        if verdict is Verdict.ACCEPTED:
            peer_contact = "sip:desk@10.0.0.2"
            proxy.send(reply(message, 200, contact=peer_contact, body=ANSWER), alice.address)
        else:
            extra = tuple(("Proxy-Authenticate", value) for value in digest.challenges(network.now))
            proxy.send(reply(message, 407, extra=extra), alice.address)

    proxy.on_message = answer
    call = alice.ua.invite(network.now, InviteRequest(target_uri="1000", sdp=OFFER, account=ACCOUNT))
    alice.drain()
    network.run(0.2)
    assert alice.last(InviteAnswered) == InviteAnswered(call, ANSWER)
    first, second = proxy.requests("INVITE")
    assert str(first.uri) == "sip:1000@10.0.0.2"
    assert first.headers.get("Authorization") is None, "what the registrar asked for is not for the callee"
    assert (second.cseq.number, second.sip_call_id) == (first.cseq.number + 1, first.sip_call_id)
    assert second.from_ == first.from_
    final_ack = proxy.requests("ACK")[-1]
    assert final_ack.cseq.number == second.cseq.number
    assert final_ack.headers.get("Proxy-Authorization") == second.headers.get("Proxy-Authorization")
    alice.ua.hangup(network.now, call)
    alice.drain()
    network.run(0.1)
    bye = proxy.requests("BYE")[-1]
    assert AuthValue.parse(bye.headers.get("Proxy-Authorization") or "").get("nc") == "00000002"


@pytest.mark.parametrize("field", ["login", "display_name", "authentication_name", "domain"])
def test_account_that_would_inject_a_header_is_refused(alice: Agent, field: str) -> None:
    bad = {"login": "a", "password": "p", "domain": "d.example", field: "x\r\nX-Injected: 1"}
    with pytest.raises(LocalProtocolError):
        alice.ua.register(0, Account(**bad))  # type: ignore[arg-type]
    assert not any(alice.ua.load.values())


def test_password_never_shows_in_a_repr() -> None:
    assert "secret" not in repr(ACCOUNT)
    assert "secret" not in repr(InviteRequest(target_uri="x", sdp="", account=ACCOUNT))


def test_credentials_are_not_shown_to_a_caller_who_challenges_our_bye(network: Network, alice: Agent) -> None:
    Registrar(network, {"alice": "secret"})
    register(alice)
    attacker = Peer(network, "10.0.0.66")
    contact = dict(network.messages(alice)[-1].headers)["Contact"]
    attacker.send(request("INVITE", str(NameAddr.parse(contact).uri), host="10.0.0.66", body=OFFER), alice.address)
    network.run(0.1)
    incoming = alice.last(IncomingInvite)
    alice.ua.answer(network.now, incoming.id, ANSWER)
    alice.drain()
    network.run(0.1)
    answered = attacker.responses("INVITE")[-1]
    attacker.send(request("ACK", host="10.0.0.66", to_tag=answered.to.tag, call_id="call-1"), alice.address)
    attacker.on_message = lambda message: (
        attacker.send(
            reply(message, 407, extra=(("Proxy-Authenticate", 'Digest realm="example.org", nonce="n", qop="auth"'),)),
            alice.address,
        )
        if isinstance(message, Request)
        else None
    )
    alice.ua.hangup(network.now, incoming.id)
    alice.drain()
    network.run(40)
    assert len(attacker.requests("BYE")) == 1
    assert all("Authorization" not in str(list(m.headers)) for m in attacker.requests("BYE"))


def test_credentials_are_not_shown_to_a_callee_reached_past_the_proxy(network: Network, alice: Agent) -> None:
    Registrar(network, {"alice": "secret"})
    register(alice)
    callee = Peer(network, "10.0.0.66")
    proxy = Peer(network, "10.0.0.2")
    proxy.on_message = lambda message: (
        proxy.send(reply(message, 200, contact="sip:evil@10.0.0.66", body=ANSWER), alice.address)
        if isinstance(message, Request) and message.method == "INVITE"
        else None
    )
    callee.on_message = lambda message: (
        callee.send(
            reply(message, 401, extra=(("WWW-Authenticate", 'Digest realm="example.org", nonce="n"'),)), alice.address
        )
        if isinstance(message, Request) and message.method == "BYE"
        else None
    )
    call = alice.ua.invite(network.now, InviteRequest(target_uri="1000", sdp=OFFER, account=ACCOUNT))
    alice.drain()
    network.run(0.2)
    alice.ua.hangup(network.now, call)
    alice.drain()
    network.run(5)
    assert len(callee.requests("BYE")) == 1
    assert all(m.headers.get("Authorization") is None for m in callee.requests("BYE"))
