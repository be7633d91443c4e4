"""Connections that are used backwards: a peer that proves its name is called on the one that it opened.   RFC 5923."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path as File
from typing import Any

import pytest

from sip.certificates import Authority
from sip.emulation import OFFER, Agent, Network, Peer
from sip.phones import Names, Phone, Start, phones, talk
from sip.writing import request
from trunkline.sip.transport import TlsSettings
from trunkline.sip.types import InviteFailed, InviteRequest, Path, Transport, UaConfig

TLS = Transport.TLS
HOSTS = Names({name: ["127.0.0.1"] for name in ("alice.example", "bob.example", "other.example")})
OFFERING = UaConfig(offers_aliases=True)


@pytest.fixture
def authority(tmp_path: File) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with phones() as starting:
        yield starting


async def node(start: Start, authority: Authority, name: str, config: UaConfig = OFFERING, **tls: Any) -> Phone:
    """One that listens for TLS under a name, and calls."""
    files = authority.issue(f"{name}.example", file_name=name)
    made = TlsSettings(certificate=files.certificate, key=files.key, authorities=authority.certificate, **tls)
    return await start(TLS, config=config, tls=made, resolver=HOSTS)


async def acquainted(
    start: Start, authority: Authority, config: UaConfig = OFFERING, **tls: Any
) -> tuple[Phone, Phone]:
    """Alice and Bob, once Alice has called Bob. tls: how Bob treats who calls."""
    alice = await node(start, authority, "alice", config)
    bob = await node(start, authority, "bob", require_client_certificate=True, **tls)
    await talk(alice, bob, bob.uri(TLS, "bob.example"))
    assert bob.shell.counters["connections"] == 1
    return alice, bob


async def test_call_back_takes_the_connection_that_the_caller_opened(authority: Authority, start: Start) -> None:
    alice, bob = await acquainted(start, authority)
    await talk(bob, alice, alice.uri(TLS, "alice.example"))
    await talk(alice, bob, bob.uri(TLS, "bob.example"))
    assert (alice.shell.counters["connections"], bob.shell.counters["connections"]) == (1, 1)


async def test_name_that_was_not_proved_gets_a_connection_of_its_own(authority: Authority, start: Start) -> None:
    alice, bob = await acquainted(start, authority)
    failed = await bob.call(alice.uri(TLS, "other.example"), InviteFailed)
    assert "not valid for 'other.example'" in failed.reason
    assert bob.shell.counters["connections"] == 2


async def test_peer_without_a_verified_certificate_is_not_believed(authority: Authority, start: Start) -> None:
    alice = await node(start, authority, "alice")
    bob = await node(start, authority, "bob")
    await talk(alice, bob, bob.uri(TLS, "bob.example"))
    await talk(bob, alice, alice.uri(TLS, "alice.example"))
    assert bob.shell.counters["connections"] == 2


async def test_peer_that_does_not_offer_it_is_called_on_a_new_connection(authority: Authority, start: Start) -> None:
    alice, bob = await acquainted(start, authority, UaConfig())
    await talk(bob, alice, alice.uri(TLS, "alice.example"))
    assert bob.shell.counters["connections"] == 2


async def test_connection_that_has_closed_is_forgotten_under_all_its_names(authority: Authority, start: Start) -> None:
    alice, bob = await acquainted(start, authority)
    port = alice.port(TLS)
    await alice.shell.stop()
    again = await start(
        TLS,
        port=port,
        tls=TlsSettings(
            certificate=authority.issue("alice.example", file_name="alice").certificate,
            key=authority.certificate.with_name("alice.key"),
            authorities=authority.certificate,
        ),
    )
    await talk(bob, again, again.uri(TLS, "alice.example"))
    assert bob.shell.counters["connections"] == 2


@pytest.mark.parametrize(("transport", "is_offered"), [(TLS, True), (Transport.TCP, False), (Transport.UDP, False)])
def test_only_tls_carries_the_parameter(transport: Transport, is_offered: bool) -> None:
    network = Network()
    us, peer = Agent(network, "10.0.0.1", config=OFFERING), Peer(network, "10.0.0.9")
    us.ua.invite(us.now, InviteRequest(target_uri=f"sip:x@10.0.0.9;transport={transport}", sdp=OFFER, caller="us"))
    us.drain()
    network.run(0.1)
    assert peer.requests("INVITE")[0].top_via.has_parameter("alias") is is_offered


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.UDP])
def test_parameter_means_nothing_without_tls(transport: Transport) -> None:
    network = Network()
    us, peer = Agent(network, "10.0.0.1"), Peer(network, "10.0.0.9")
    asked = request("OPTIONS", transport=transport.upper())
    asked.headers.set_top_via(asked.top_via.with_parameter("alias", None))
    us.ua.handle_datagram(us.now, asked.to_bytes(), Path(transport, us.address, peer.address, 1))
    assert us.ua.poll_alias() is None
