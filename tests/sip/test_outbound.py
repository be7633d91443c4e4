"""The way to a registrar: kept open, found lost, taken anew.   RFC 5626, with RFC 3327 and RFC 3608."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from sip.emulation import OFFER, Agent, Network, Peer
from sip.writing import reply
from trunkline.sip.bindings.stun import binding_answer, is_binding_request
from trunkline.sip.headers import NameAddr
from trunkline.sip.message import Message, Request
from trunkline.sip.types import (
    Account,
    Address,
    HeaderFields,
    InviteRequest,
    Path,
    Registered,
    RegistrationFailed,
    Transport,
    UaConfig,
)

US, SERVER = ("10.0.0.1", 5060), ("10.0.0.2", 5060)
OUTBOUND = (("Require", "outbound"),)


class Edge(Peer):
    """A registrar that takes every binding with the headers it is told, and answers STUN if it is told. pings: what it
    got that is no SIP, and when."""

    def __init__(self, network: Network, *extra: tuple[str, str], answers_stun: bool = True) -> None:
        super().__init__(network, SERVER[0])
        self.extra: HeaderFields = extra
        self.statuses: list[int] = []
        self.mapped: Address | None = US if answers_stun else None
        self.pings: list[tuple[float, bytes]] = []
        self.on_message = self.answer

    def receive(self, data: bytes, path: Path) -> None:
        if is_binding_request(data) or not data.strip():
            self.pings.append((self.network.now, data))
            if self.mapped is not None and is_binding_request(data):
                answer = binding_answer(data, self.mapped)
                assert answer is not None
                self.send(answer, US)
        else:
            super().receive(data, path)

    def answer(self, message: Message) -> None:
        if isinstance(message, Request) and message.method == "REGISTER":
            status = self.statuses.pop(0) if self.statuses else 200
            self.send(reply(message, status, extra=self.extra if status < 300 else ()), US, message_transport(message))

    @property
    def contacts(self) -> list[NameAddr]:
        return [NameAddr.parse(m.headers.get("Contact") or "") for m in self.requests("REGISTER")]


def message_transport(message: Message) -> Transport:
    return Transport(message.top_via.transport.lower())


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def alice(network: Network) -> Agent:
    return Agent(network, US[0])


def register(agent: Agent, login: str = "alice", transport: Transport | None = None, expires_s: int = 600) -> int:
    account = Account(login=login, password="secret", domain=SERVER[0], transport=transport)
    registration = agent.ua.register(agent.now, account, expires_s)
    agent.drain()
    agent.network.run(0.5)
    return registration


def gaps(pings: list[tuple[float, bytes]]) -> list[float]:
    return [later[0] - earlier[0] for earlier, later in pairwise(pings)]


def test_contact_names_instance_and_flow_and_each_registration_is_its_own_instance(
    network: Network, alice: Agent
) -> None:
    edge = Edge(network)
    register(alice)
    register(alice)
    network.run(500)
    first, second, refresh, _ = edge.contacts
    pattern = r';\+sip\.instance="<urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}>"'
    assert re.search(pattern, edge.requests("REGISTER")[0].headers.get("Contact") or "")
    assert first.parameter("reg-id") == second.parameter("reg-id") == "1"
    assert first.parameter("+sip.instance") != second.parameter("+sip.instance"), "two browsers of one user"
    assert refresh == first
    assert {"path", "outbound"} <= set(edge.requests("REGISTER")[0].option_tags("Supported"))


def test_registrar_without_outbound_is_kept_awake_by_crlfs_as_often_as_the_rfc_says(
    network: Network, alice: Agent
) -> None:
    edge = Edge(network)
    register(alice)
    network.run(300)
    assert {data for _, data in edge.pings} == {b"\r\n\r\n"}
    assert all(29 * 0.8 <= gap <= 29 for gap in gaps(edge.pings))
    assert len(edge.pings) >= 10


def test_many_registrations_at_one_server_share_its_keep_alive(network: Network, alice: Agent) -> None:
    edge = Edge(network)
    for number in range(20):
        register(alice, f"user{number}")
    edge.pings.clear()
    network.run(290)
    assert 9 <= len(edge.pings) <= 13


def test_keep_alives_end_with_the_last_registration(network: Network, alice: Agent) -> None:
    edge = Edge(network)
    registrations = [register(alice), register(alice, "bob")]
    for registration in registrations:
        alice.ua.unregister(alice.now, registration)
        alice.drain()
    network.run(40)
    edge.pings.clear()
    network.run(200)
    assert not edge.pings
    assert not any(alice.ua.load.values())


def test_flow_timer_of_the_server_is_kept_to_and_nonsense_is_not(network: Network, alice: Agent) -> None:
    edge = Edge(network, ("Flow-Timer", "60"))
    register(alice)
    network.run(400)
    assert all(48 <= gap <= 60 for gap in gaps(edge.pings))
    edge.extra = (("Flow-Timer", "0"),)
    network.run(200)  # the refresh, which changes the terms
    edge.pings.clear()
    network.run(200)
    assert all(29 * 0.8 <= gap <= 29 for gap in gaps(edge.pings))


def test_flow_timer_holds_for_a_stream_too(network: Network, alice: Agent) -> None:
    edge = Edge(network, ("Flow-Timer", "20"))
    register(alice, transport=Transport.TCP)
    network.run(100)
    assert len(edge.pings) >= 4
    assert all(16 <= gap <= 20 for gap in gaps(edge.pings))


def test_keep_alives_can_be_turned_off(network: Network) -> None:
    alice = Agent(network, US[0], config=UaConfig(udp_keep_alive_s=0))
    edge = Edge(network)
    register(alice)
    network.run(300)
    assert not edge.pings


def test_server_that_speaks_outbound_is_asked_by_stun_and_stays_bound_while_it_answers(
    network: Network, alice: Agent
) -> None:
    edge = Edge(network, *OUTBOUND)
    register(alice)
    network.run(300)
    assert len(edge.pings) >= 10
    assert all(is_binding_request(data) for _, data in edge.pings)
    assert len({data for _, data in edge.pings}) == len(edge.pings), "each with a transaction id of its own"
    assert len(edge.requests("REGISTER")) == 1


def test_silence_after_answers_is_a_lost_flow_and_the_binding_is_renewed_at_once(
    network: Network, alice: Agent
) -> None:
    edge = Edge(network, *OUTBOUND)
    registration = register(alice)
    network.run(60)
    edge.mapped = None
    network.run(29 + 15.5 + 1)
    assert len(edge.requests("REGISTER")) == 2
    assert alice.events == [Registered(registration, 600)] * 2
    assert alice.ua.counters["registrar_flows_lost"] == 1


def test_server_that_never_answers_stun_gets_crlfs_and_loses_no_binding(network: Network, alice: Agent) -> None:
    edge = Edge(network, *OUTBOUND, answers_stun=False)
    register(alice)
    network.run(300)
    assert len(edge.requests("REGISTER")) == 1
    assert edge.pings[-1][1] == b"\r\n\r\n"


def test_new_address_at_the_nat_is_a_lost_flow(network: Network, alice: Agent) -> None:
    edge = Edge(network, *OUTBOUND)
    register(alice)
    network.run(60)
    edge.mapped = ("203.0.113.9", 40_000)
    network.run(31)
    assert len(edge.requests("REGISTER")) == 2
    network.run(100)
    assert len(edge.requests("REGISTER")) == 2, "the new address is as good as the old one"


def test_forged_stun_answer_changes_nothing(network: Network, alice: Agent) -> None:
    edge = Edge(network, *OUTBOUND)
    register(alice)
    network.run(60)
    forged = binding_answer(edge.pings[-1][1], ("203.0.113.9", 1))
    assert forged is not None
    edge.send(forged, US)
    network.run(1)
    assert len(edge.requests("REGISTER")) == 1


def test_connection_that_closes_is_a_lost_flow_and_all_its_bindings_are_renewed_one_after_the_other(
    network: Network, alice: Agent
) -> None:
    edge = Edge(network)
    for number in range(50):
        register(alice, f"user{number}", Transport.TCP)
    network.run(10)
    before = network.now
    alice.ua.handle_unreachable(network.now, Path(Transport.TCP, US, SERVER, 7))
    alice.drain()
    network.run(2)
    times = [when for when in network.sent(alice, "REGISTER") if when >= before]
    assert len(times) == 50
    assert len(set(times)) == 50, "a server that comes back is not flooded"
    assert times[-1] - before < 1
    assert len(edge.requests("REGISTER")) == 100


def test_server_that_closes_after_each_answer_is_not_flooded(network: Network, alice: Agent) -> None:
    edge = Edge(network)

    def answer_and_close(message: Message) -> None:
        edge.answer(message)
        path = Path(Transport.TCP, US, SERVER, 7)
        network.at(network.now + 0.1, lambda: (alice.ua.handle_unreachable(network.now, path), alice.drain())[-1])

    edge.on_message = answer_and_close
    register(alice, transport=Transport.TCP)
    network.run(2000)
    times = network.sent(alice, "REGISTER")
    assert times[1] - times[0] < 1, "the first loss may be bad luck"
    assert 8 <= len(times) <= 25
    network.run(3000)
    edge.on_message = edge.answer
    network.run(1000)
    alice.ua.handle_unreachable(network.now, Path(Transport.TCP, US, SERVER, 8))
    alice.drain()
    before = len(edge.requests("REGISTER"))
    network.run(0.1)
    assert len(edge.requests("REGISTER")) == before + 1, "forgiven"


def test_loss_of_another_connection_changes_nothing(network: Network, alice: Agent) -> None:
    edge = Edge(network)
    register(alice, transport=Transport.TCP)
    for path in (Path(Transport.UDP, US, SERVER), Path(Transport.TCP, US, ("10.0.0.2", 5062), 3)):
        alice.ua.handle_unreachable(network.now, path)
    alice.drain()
    network.run(5)
    assert len(edge.requests("REGISTER")) == 1


def test_keep_alive_that_meets_a_closed_port_renews_and_then_backs_off(network: Network, alice: Agent) -> None:
    edge = Edge(network)
    registration = register(alice)
    network.unreachable.add(SERVER)
    network.run(31)
    failed = alice.last(RegistrationFailed)
    assert (failed.id, failed.status) == (registration, 503)
    network.unreachable.clear()
    network.run(15)
    assert alice.events[-1] == Registered(registration, 600)
    assert len(edge.requests("REGISTER")) == 2


def test_one_registration_that_is_back_wakes_those_that_wait_for_the_same_server(
    network: Network, alice: Agent
) -> None:
    network.unreachable.add(SERVER)
    for number in range(30):
        register(alice, f"user{number}")
    network.run(2000)  # they wait for minutes now
    network.unreachable.clear()
    Edge(network)
    network.run(300)
    times = [when for when in network.sent(alice, "REGISTER") if when > network.now - 300]
    assert len(times) == 30
    assert times[-1] - times[0] < 1
    assert len(alice.got(Registered)) == 30


def test_network_that_is_back_is_used_at_once_but_not_before_a_retry_after(network: Network, alice: Agent) -> None:
    edge = Edge(network)
    del network.hosts[SERVER]
    waits = register(alice)
    network.run(700)
    network.hosts[SERVER] = edge
    alice.ua.handle_network_change(network.now)
    alice.drain()
    network.run(0.1)
    assert alice.last(Registered).id == waits
    edge.on_message = lambda message: edge.send(reply(message, 503, extra=(("Retry-After", "300"),)), US)
    register(alice, "bob")
    count = len(edge.requests("REGISTER"))
    alice.ua.handle_network_change(network.now)
    alice.drain()
    network.run(100)
    assert len(edge.requests("REGISTER")) == count


def test_binding_follows_our_own_address_when_it_changes(network: Network, alice: Agent) -> None:
    edge = Edge(network)
    register(alice)
    for is_moved in (False, True):
        if is_moved:
            alice.address = ("10.0.0.7", 5060)
        alice.ua.handle_network_change(network.now)
        alice.drain()
        network.run(1)
        assert len(edge.requests("REGISTER")) == 1 + is_moved
    assert "@10.0.0.7" in str(edge.contacts[-1].uri)


def test_proxy_that_does_not_know_outbound_gets_a_plain_contact(network: Network, alice: Agent) -> None:
    edge = Edge(network)
    edge.statuses = [439]
    registration = register(alice)
    assert alice.events == [Registered(registration, 600)]
    assert edge.contacts[-1].parameters == ()
    assert edge.contacts[0].parameter("reg-id") == "1"


def test_439_again_and_again_is_a_failure(network: Network, alice: Agent) -> None:
    edge = Edge(network)
    edge.statuses = [439, 439]
    register(alice)
    assert alice.last(RegistrationFailed).status == 439
    assert len(edge.contacts) == 2


@pytest.mark.parametrize("is_outbound", [True, False])
def test_call_through_an_outbound_server_asks_for_the_same_flow(
    network: Network, alice: Agent, is_outbound: bool
) -> None:
    edge = Edge(network, *(OUTBOUND if is_outbound else ()))
    register(alice)
    account = Account(login="alice", password="secret", domain=SERVER[0])
    alice.ua.invite(network.now, InviteRequest(target_uri="bob", sdp=OFFER, account=account))
    alice.drain()
    network.run(0.1)
    contact = NameAddr.parse(edge.requests("INVITE")[0].headers.get("Contact") or "")
    assert contact.uri.has_parameter("ob") == is_outbound  # type: ignore[union-attr]


def test_service_route_is_taken_by_calls_and_forgotten_when_the_registrar_names_none(
    network: Network, alice: Agent
) -> None:
    edge = Edge(network, ("Service-Route", "<sip:10.0.0.2;lr>, <sip:core.example;lr>"))
    register(alice, expires_s=100)
    account = Account(login="alice", password="secret", domain=SERVER[0])
    for expected in (["<sip:10.0.0.2;lr>", "<sip:core.example;lr>"], []):
        edge.received.clear()
        alice.ua.invite(network.now, InviteRequest(target_uri="bob", sdp=OFFER, account=account))
        alice.drain()
        network.run(0.1)
        routes = edge.requests("INVITE")[0].headers.many("Route", NameAddr.parse)
        assert [str(route) for route in routes] == expected
        edge.extra = ()
        network.run(85)
