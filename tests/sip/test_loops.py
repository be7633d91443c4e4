"""Calls that come back to where they were passed on.   RFC 5393 section 4."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sip.emulation import OFFER, Agent, Network, Peer
from sip.writing import request
from trunkline.sip.headers import HeaderList
from trunkline.sip.message import Message, Request
from trunkline.sip.types import IncomingInvite, InviteRequest

US, PROXY = ("10.0.0.1", 5060), ("10.0.0.9", 5060)


class Relay:
    """An agent that passes every call on to a proxy, and the proxy that sends it back."""

    def __init__(self, change: Callable[[Request], Request]) -> None:
        self.network = Network()
        self.us = Agent(self.network, US[0])
        self.proxy = Peer(self.network, PROXY[0])
        self.change = change
        self.us.on_event = self._pass_on
        self.proxy.on_message = self._send_back

    def _pass_on(self, event: object) -> None:
        if isinstance(event, IncomingInvite) and len(self.us.got(IncomingInvite)) < 10:
            onward = InviteRequest(
                target_uri="sip:bob@10.0.0.9",
                sdp=OFFER,
                caller="peer",
                from_uri="sip:peer@10.0.0.9",
                loop_key=event.loop_key,
                max_forwards=event.max_forwards - 1,
            )
            self.us.ua.invite(self.us.now, onward)

    def _send_back(self, message: Message) -> None:
        if isinstance(message, Request) and message.method == "INVITE":
            back = self.change(message)
            vias = (
                f"SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK-back{len(self.proxy.received)}",
                *(str(via) for via in message.vias),
            )
            fields = [("Via", via) for via in vias]
            fields += [(name, value) for name, value in back.headers if name != "Via"]
            self.proxy.send(Request("INVITE", back.uri, HeaderList(fields), back.body), US)

    def begin(self) -> None:
        first = request("INVITE", "sip:bob@10.0.0.1", body=OFFER)
        first.headers.set("From", "<sip:peer@10.0.0.9>;tag=first")
        self.proxy.send(first, US)
        self.network.run(1)


def addressed_to(uri: str) -> Callable[[Request], Request]:
    target = request("INVITE", uri).uri
    return lambda message: Request("INVITE", target, message.headers, message.body)


def test_call_that_comes_back_unchanged_is_a_loop_and_refused_at_once() -> None:
    relay = Relay(addressed_to("sip:bob@10.0.0.1"))
    relay.begin()
    assert len(relay.us.got(IncomingInvite)) == 1
    assert {response.status for response in relay.proxy.responses("INVITE")} == {100, 482}
    assert relay.us.ua.counters["loops"] == 1


def test_call_that_comes_back_for_somebody_else_is_a_spiral_and_welcome() -> None:
    relay = Relay(addressed_to("sip:carol@10.0.0.1"))
    relay.begin()
    # Bob's call comes back as Carol's; Carol's comes back as Carol's, which is a loop.
    assert len(relay.us.got(IncomingInvite)) == 2
    assert relay.us.ua.counters["loops"] == 1


@pytest.mark.parametrize("branch", ["z9hG4bK-0000000000000000", "z9hG4bK", "x", "z9hG4bKabc-" + "f" * 16])
def test_branches_of_others_are_not_taken_for_ours(branch: str) -> None:
    network = Network()
    us, peer = Agent(network, US[0]), Peer(network, PROXY[0])
    invite = request("INVITE", body=OFFER)
    fields = list(invite.headers)
    fields.insert(1, ("Via", f"SIP/2.0/UDP 10.0.0.1;branch={branch}"))
    peer.send(Request("INVITE", invite.uri, HeaderList(fields), invite.body), US)
    network.run(0.1)
    assert us.got(IncomingInvite)


def test_calls_that_begin_here_carry_no_mark() -> None:
    network = Network()
    us, peer = Agent(network, US[0]), Peer(network, PROXY[0])
    us.ua.invite(us.now, InviteRequest(target_uri="sip:bob@10.0.0.9", sdp=OFFER, caller="me"))
    us.drain()
    network.run(0.1)
    assert "-" not in (peer.requests("INVITE")[0].top_via.branch or "")
