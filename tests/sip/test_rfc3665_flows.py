"""Call flows of RFC 3665 and RFC 5359, message by message, between user agents of ours without proxies.

A flow is what was on the wire, in order: who sent, and the method or the status with its method. Flow names and section
numbers are the RFCs'.
"""

from __future__ import annotations

from sip.emulation import ANSWER, OFFER, Agent
from sip.test_transfer import Trio
from trunkline.sip.message import Request
from trunkline.sip.parser import parse_message
from trunkline.sip.types import IncomingInvite, InviteId, InviteRequest, ReferReceived, ReferRequest, ReinviteReceived

HELD = OFFER + "a=sendonly\r\n"


class Flow(Trio):
    """Three user agents and what they say."""

    def said(self) -> list[str]:
        """What was sent since the last look: `A INVITE`, `B 180 INVITE`."""
        names = {self.alice.address: "A", self.bob.address: "B", self.carol.address: "C"}
        lines = []
        for _, address, data in self.network.log:
            message = parse_message(data)
            what = message.method if isinstance(message, Request) else f"{message.status} {message.cseq.method}"
            lines.append(f"{names[address]} {what}")
        self.network.log.clear()
        return lines

    def dial(self) -> tuple[InviteId, InviteId]:
        asked = InviteRequest(target_uri="sip:b@10.0.0.2", sdp=OFFER, caller="a")
        call = self.alice.ua.invite(self.alice.now, asked)
        self.pass_time(self.alice)
        return call, self.bob.last(IncomingInvite).id

    def ring(self) -> tuple[InviteId, InviteId]:
        call, at_bob = self.dial()
        self.bob.ua.ring(self.bob.now, at_bob)
        self.pass_time(self.bob)
        return call, at_bob

    def connect(self) -> tuple[InviteId, InviteId]:
        call, at_bob = self.ring()
        self.bob.ua.answer(self.bob.now, at_bob, ANSWER)
        self.pass_time(self.bob)
        return call, at_bob

    def hang_up(self, agent: Agent, call: InviteId, status: int | None = None) -> None:
        agent.ua.hangup(agent.now, call, status)
        self.pass_time(agent)


RINGING = ["A INVITE", "B 100 INVITE", "B 180 INVITE"]
ANSWERED = ["B 200 INVITE", "A ACK"]


def test_3665_3_1_successful_session_establishment() -> None:
    flow = Flow()
    _, at_bob = flow.connect()
    flow.hang_up(flow.bob, at_bob)
    assert flow.said() == [*RINGING, *ANSWERED, "B BYE", "A 200 BYE"]
    flow.settle()


def test_3665_3_7_session_with_reinvite() -> None:
    flow = Flow()
    call, at_bob = flow.connect()
    flow.said()
    flow.alice.on_event = lambda event: (
        flow.alice.ua.answer_reinvite(flow.alice.now, call, ANSWER) if isinstance(event, ReinviteReceived) else None
    )
    flow.bob.ua.reinvite(flow.bob.now, at_bob, OFFER)
    flow.pass_time(flow.bob)
    flow.hang_up(flow.bob, at_bob)
    assert flow.said() == ["B INVITE", "A 100 INVITE", "A 200 INVITE", "B ACK", "B BYE", "A 200 BYE"]


def test_3665_3_8_unsuccessful_no_answer() -> None:
    flow = Flow()
    call, _ = flow.ring()
    flow.hang_up(flow.alice, call)
    assert flow.said() == [*RINGING, "A CANCEL", "B 200 CANCEL", "B 487 INVITE", "A ACK"]
    flow.settle()


def test_3665_3_9_unsuccessful_busy() -> None:
    flow = Flow()
    _, at_bob = flow.dial()
    flow.hang_up(flow.bob, at_bob, 486)
    assert flow.said() == ["A INVITE", "B 100 INVITE", "B 486 INVITE", "A ACK"]
    flow.settle()


def test_3665_3_10_unsuccessful_no_response() -> None:
    flow = Flow()
    del flow.network.hosts[flow.bob.address]
    flow.alice.ua.invite(flow.alice.now, InviteRequest(target_uri="sip:b@10.0.0.2", sdp=OFFER, caller="a"))
    flow.pass_time(flow.alice, seconds=40)
    assert flow.said() == ["A INVITE"] * 7


def test_3665_3_11_unsuccessful_temporarily_unavailable() -> None:
    flow = Flow()
    _, at_bob = flow.ring()
    flow.hang_up(flow.bob, at_bob, 480)
    assert flow.said() == [*RINGING, "B 480 INVITE", "A ACK"]


def test_5359_2_1_call_hold() -> None:
    flow = Flow()
    call, at_bob = flow.connect()
    flow.said()
    flow.alice.on_event = lambda event: (
        flow.alice.ua.answer_reinvite(flow.alice.now, call, ANSWER) if isinstance(event, ReinviteReceived) else None
    )
    for offer in (HELD, OFFER):
        flow.bob.ua.reinvite(flow.bob.now, at_bob, offer)
        flow.pass_time(flow.bob)
        assert flow.said() == ["B INVITE", "A 100 INVITE", "A 200 INVITE", "B ACK"]


def test_5359_2_4_transfer_unattended() -> None:
    flow = Flow()
    call, _ = flow.connect()
    flow.said()
    flow.alice.ua.refer(flow.alice.now, call, ReferRequest(target_uri="sip:c@10.0.0.3"))
    flow.pass_time(flow.alice)
    asked = flow.bob.last(ReferReceived)
    flow.bob.ua.answer_refer(flow.bob.now, asked.refer)
    flow.pass_time(flow.bob)
    assert flow.said() == ["A REFER", "B 202 REFER", "B NOTIFY", "A 200 NOTIFY"]
    flow.hang_up(flow.alice, call)
    assert flow.said() == ["A BYE", "B 200 BYE"]
    flow.call(flow.bob, flow.carol)
    assert flow.said() == ["B INVITE", "C 100 INVITE", "C 200 INVITE", "B ACK"]
    flow.bob.ua.notify_refer(flow.bob.now, asked.refer, 200)
    flow.pass_time(flow.bob)
    assert flow.said()[0] == "B NOTIFY"
    flow.settle()


def test_5359_2_5_transfer_attended() -> None:
    flow = Flow()
    with_bob, _ = flow.connect()
    with_carol, at_carol = flow.call(flow.alice, flow.carol)
    flow.said()
    flow.alice.ua.refer(flow.alice.now, with_bob, ReferRequest(replaces=with_carol))
    flow.pass_time(flow.alice)
    asked = flow.bob.last(ReferReceived)
    flow.bob.ua.answer_refer(flow.bob.now, asked.refer)
    flow.pass_time(flow.bob)
    flow.said()
    flow.call(flow.bob, flow.carol, replaces=asked.replaces)
    flow.hang_up(flow.carol, at_carol)
    flow.bob.ua.notify_refer(flow.bob.now, asked.refer, 200)
    flow.pass_time(flow.bob)
    flow.hang_up(flow.alice, with_bob)
    assert flow.said() == [
        *("B INVITE", "C 100 INVITE", "C 200 INVITE", "B ACK"),
        *("C BYE", "A 200 BYE"),
        *("B NOTIFY", "A 200 NOTIFY"),
        *("A BYE", "B 200 BYE"),
    ]
    flow.settle()
