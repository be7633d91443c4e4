"""Transfers at the SIP level: REFER, the NOTIFYs that follow, and Replaces.   RFC 3515, 3891, 3892, 4488."""

from __future__ import annotations

import pytest

from sip.emulation import ANSWER, OFFER, Agent, Network, Peer
from sip.test_uas_rules import Stage
from sip.writing import reply, request
from trunkline.errors import InvalidCallState, LocalProtocolError
from trunkline.sip.headers import ReferTo, Replaces
from trunkline.sip.message import Request
from trunkline.sip.types import (
    EndCause,
    IncomingInvite,
    InviteEnded,
    InviteId,
    InviteRequest,
    ReferAnswered,
    ReferId,
    ReferProgress,
    ReferReceived,
    ReferRequest,
)


class Trio:
    """Alice has called Bob and, if asked, Carol."""

    def __init__(self) -> None:
        self.network = Network()
        self.alice, self.bob, self.carol = (Agent(self.network, f"10.0.0.{n}") for n in (1, 2, 3))

    def call(self, caller: Agent, callee: Agent, **more: str | None) -> tuple[InviteId, InviteId]:
        target = f"sip:x@{callee.address[0]}"
        out = caller.ua.invite(caller.now, InviteRequest(target_uri=target, sdp=OFFER, caller="c", **more))  # type: ignore[arg-type]
        caller.drain()
        self.network.run(0.1)
        incoming = callee.last(IncomingInvite).id
        callee.ua.answer(callee.now, incoming, ANSWER)
        self.pass_time(callee)
        return out, incoming

    def pass_time(self, *agents: Agent, seconds: float = 0.1) -> None:
        for agent in agents:
            agent.drain()
        self.network.run(seconds)

    def refer(self, call: InviteId, **what: object) -> ReferId:
        refer = self.alice.ua.refer(self.alice.now, call, ReferRequest(**what))  # type: ignore[arg-type]
        self.pass_time(self.alice)
        return refer

    def settle(self) -> None:
        for agent in (self.alice, self.bob, self.carol):
            agent.ua.shutdown(agent.now)
            agent.drain()
        self.network.run(400)
        for agent in (self.alice, self.bob, self.carol):
            assert not any(agent.ua.load.values()), agent.ua.load


@pytest.fixture
def trio() -> Trio:
    return Trio()


def test_blind_transfer_is_asked_for_watched_and_done(trio: Trio) -> None:
    call, at_bob = trio.call(trio.alice, trio.bob)
    refer = trio.refer(call, target_uri="sip:x@10.0.0.3", referred_by="sip:alice@example.org")
    asked = trio.bob.last(ReferReceived)
    assert asked == ReferReceived(at_bob, asked.refer, "sip:x@10.0.0.3", None, None, "sip:alice@example.org", True)
    trio.bob.ua.answer_refer(trio.bob.now, asked.refer)
    trio.pass_time(trio.bob)
    assert trio.alice.events[-2:] == [
        ReferAnswered(call, refer, 202, "Accepted", is_watched=True),
        ReferProgress(call, refer, 100, "Trying", is_final=False),
    ]
    trio.call(trio.bob, trio.carol)
    for status in (180, 200):
        trio.bob.ua.notify_refer(trio.bob.now, asked.refer, status)
        trio.pass_time(trio.bob)
    assert trio.alice.events[-2:] == [
        ReferProgress(call, refer, 180, "Ringing", is_final=False),
        ReferProgress(call, refer, 200, "OK", is_final=True),
    ]
    trio.settle()


def test_attended_transfer_replaces_the_dialog_with_the_third_party(trio: Trio) -> None:
    with_bob, _ = trio.call(trio.alice, trio.bob)
    with_carol, at_carol = trio.call(trio.alice, trio.carol)
    trio.refer(with_bob, replaces=with_carol)
    asked = trio.bob.last(ReferReceived)
    assert asked.target_uri == "sip:x@10.0.0.3:5060"
    assert asked.replaces is not None
    trio.bob.ua.answer_refer(trio.bob.now, asked.refer)
    trio.call(trio.bob, trio.carol, replaces=asked.replaces)
    assert trio.carol.last(IncomingInvite).replaces == at_carol
    trio.carol.ua.hangup(trio.carol.now, at_carol)
    trio.bob.ua.notify_refer(trio.bob.now, asked.refer, 200)
    trio.pass_time(trio.carol, trio.bob)
    assert trio.alice.got(InviteEnded) == [InviteEnded(with_carol, EndCause.REMOTE_BYE)]
    assert trio.alice.last(ReferProgress).is_final
    trio.settle()


def test_two_calls_of_ours_that_are_to_be_joined_are_recognised(trio: Trio) -> None:
    first, _ = trio.call(trio.alice, trio.bob)
    second, at_bob = trio.call(trio.alice, trio.bob)
    trio.refer(first, replaces=second)
    assert trio.bob.last(ReferReceived).replaced == at_bob


def test_refused_transfer_leaves_the_call_as_it_was(trio: Trio) -> None:
    call, _ = trio.call(trio.alice, trio.bob)
    refer = trio.refer(call, target_uri="sip:x@10.0.0.3")
    trio.bob.ua.answer_refer(trio.bob.now, trio.bob.last(ReferReceived).refer, 603, "No, thanks")
    trio.pass_time(trio.bob)
    assert trio.alice.events[-1] == ReferAnswered(call, refer, 603, "No, thanks", is_watched=False)
    assert trio.bob.ua.load["transfers"] == 0
    assert trio.alice.got(InviteEnded) == []
    trio.settle()


def test_transfer_that_nobody_answers_is_refused_and_the_call_stays(trio: Trio) -> None:
    call, _ = trio.call(trio.alice, trio.bob)
    refer = trio.refer(call, target_uri="sip:x@10.0.0.3")
    trio.network.run(31)
    assert trio.alice.events[-1] == ReferAnswered(call, refer, 500, "Server Internal Error", is_watched=False)
    assert trio.alice.got(InviteEnded) == []
    trio.settle()


def test_transfer_without_a_subscription_brings_no_notify(trio: Trio) -> None:
    call, _ = trio.call(trio.alice, trio.bob)
    refer = trio.refer(call, target_uri="sip:x@10.0.0.3", is_watched=False)
    asked = trio.bob.last(ReferReceived)
    assert not asked.is_watched
    trio.bob.ua.answer_refer(trio.bob.now, asked.refer)
    trio.bob.ua.notify_refer(trio.bob.now, asked.refer, 200)
    trio.pass_time(trio.bob, seconds=1)
    assert trio.alice.events[-1] == ReferAnswered(call, refer, 202, "Accepted", is_watched=False)
    assert trio.network.sent(trio.bob, "NOTIFY") == []
    trio.settle()


def test_news_of_a_transfer_are_told_after_the_call_itself_has_ended(trio: Trio) -> None:
    call, _ = trio.call(trio.alice, trio.bob)
    trio.refer(call, target_uri="sip:x@10.0.0.3")
    asked = trio.bob.last(ReferReceived)
    trio.bob.ua.answer_refer(trio.bob.now, asked.refer)
    trio.pass_time(trio.bob)
    trio.alice.ua.hangup(trio.alice.now, call)
    trio.pass_time(trio.alice)
    trio.bob.ua.notify_refer(trio.bob.now, asked.refer, 200)
    trio.pass_time(trio.bob)
    assert b"terminated;reason=noresource" in trio.network.log[-2][2]
    assert trio.bob.ua.load["transfers"] == 0
    trio.settle()


def test_transfer_that_takes_too_long_ends_with_what_is_known(trio: Trio) -> None:
    call, _ = trio.call(trio.alice, trio.bob)
    refer = trio.refer(call, target_uri="sip:x@10.0.0.3")
    trio.bob.ua.answer_refer(trio.bob.now, trio.bob.last(ReferReceived).refer)
    trio.pass_time(trio.bob)
    trio.network.run(181)
    assert trio.alice.events[-1].is_final  # type: ignore[union-attr]
    assert trio.alice.last(ReferProgress) in (
        ReferProgress(call, refer, 100, "Trying", is_final=True),
        ReferProgress(call, refer, 408, "", is_final=True),
    )
    trio.settle()


def test_peer_that_accepts_and_falls_silent_is_given_up(trio: Trio) -> None:
    stage = Stage()
    call = stage.answered()
    stage.us.ua.refer(stage.us.now, call.id, ReferRequest(target_uri="sip:x@10.0.0.3"))
    stage.us.drain()
    stage.network.run(0.1)
    (asked,) = stage.peer.requests("REFER")
    stage.peer.send(reply(asked, 202), stage.us.address)
    stage.network.run(33)
    assert stage.us.events[-1].status == 408  # type: ignore[union-attr]
    assert stage.us.last(ReferProgress).is_final


def notify(stage: Stage, cseq: int, body: str, state: str = "active;expires=60", event: str = "refer") -> Request:
    extra = (("Event", event), ("Subscription-State", state))
    message = stage.within("NOTIFY", cseq, extra=extra)
    return message.with_body("message/sipfrag;version=2.0", body.encode())


def test_notify_may_overtake_the_202_and_leave_out_the_id() -> None:
    stage = Stage()
    call = stage.answered()
    refer = stage.us.ua.refer(stage.us.now, call.id, ReferRequest(target_uri="tel:+15551234"))
    stage.us.drain()
    stage.network.run(0.1)
    (asked,) = stage.peer.requests("REFER")
    assert asked.headers.get("Refer-To") == "<tel:+15551234>"
    assert stage.status(notify(stage, 2, "SIP/2.0 100 Trying\r\n")) == 200
    assert stage.status(notify(stage, 3, "SIP/2.0 486 Busy Here\r\n", "terminated;reason=noresource")) == 200
    stage.peer.send(reply(asked, 202), stage.us.address)
    stage.network.run(0.1)
    assert stage.us.events[-1] == ReferProgress(call.id, refer, 486, "Busy Here", is_final=True)
    assert stage.status(notify(stage, 4, "SIP/2.0 200 OK\r\n")) == 481, "that transfer is over"


@pytest.mark.parametrize(
    ("method", "extra", "status"),
    [
        ("NOTIFY", (("Event", "presence"), ("Subscription-State", "active")), 489),
        ("NOTIFY", (("Event", "refer"), ("Subscription-State", "active")), 481),
        ("NOTIFY", (("Event", "refer"),), 400),
        ("SUBSCRIBE", (("Event", "presence"),), 489),
        ("SUBSCRIBE", (("Event", "refer"),), 481),
        ("REFER", (), 400),
        ("REFER", (("Refer-To", "<sip:a@b>"), ("Refer-To", "<sip:c@d>")), 400),
        ("REFER", (("Refer-To", "not a uri"),), 400),
        ("REFER", (("Refer-To", "<sip:a@b?Replaces=x>"),), 400),
        ("REFER", (("Refer-To", "<sip:a@b;method=BYE>"),), 603),
    ],
)
def test_request_of_a_transfer_that_makes_no_sense_is_refused(
    method: str, extra: tuple[tuple[str, str], ...], status: int
) -> None:
    stage = Stage()
    stage.answered()
    assert stage.status(stage.within(method, 2, extra=extra)) == status
    assert stage.us.got(ReferReceived) == []
    stage.us.ua.shutdown(stage.us.now)
    stage.us.drain()
    stage.network.run(400)
    assert not any(stage.us.ua.load.values())


def test_peer_ends_its_subscription_and_gets_a_last_notify() -> None:
    stage = Stage()
    stage.answered()
    asked = stage.within("REFER", 2, extra=(("Refer-To", "<sip:x@10.0.0.3>"),))
    stage.peer.send(asked, stage.us.address)
    stage.network.run(0.1)
    stage.us.ua.answer_refer(stage.us.now, stage.us.last(ReferReceived).refer)
    stage.us.drain()
    stage.network.run(0.1)
    (first,) = stage.peer.requests("NOTIFY")
    stage.peer.send(reply(first, 200), stage.us.address)
    extra = (("Event", "refer;id=2"), ("Expires", "0"))
    assert stage.status(stage.within("SUBSCRIBE", 3, extra=extra)) == 200
    last = stage.peer.requests("NOTIFY")[-1]
    assert (last.headers.get("Subscription-State") or "").startswith("terminated")
    assert last.headers.get("Event") == "refer;id=2"


@pytest.mark.parametrize(
    ("replaces", "status"),
    [
        ("nobody;to-tag=a;from-tag=b", 481),
        ("call-1;to-tag={ours}", 400),
        ("call-1;to-tag={ours};from-tag=peer-tag;early-only", 486),
        ("call-1;to-tag={ours};from-tag=wrong", 481),
    ],
)
def test_replaces_that_fits_no_call_is_refused(replaces: str, status: int) -> None:
    stage = Stage()
    stage.answered()
    text = replaces.format(ours=stage.ok.to.tag)
    second = request("INVITE", call_id="call-2", body=OFFER, extra=(("Replaces", text),))
    assert stage.status(second) == status


def test_dialog_that_has_ended_cannot_be_replaced() -> None:
    stage = Stage()
    call = stage.answered()
    stage.us.ua.hangup(stage.us.now, call.id)
    stage.us.drain()
    text = f"call-1;to-tag={stage.ok.to.tag};from-tag=peer-tag"
    assert stage.status(request("INVITE", call_id="call-2", body=OFFER, extra=(("Replaces", text),))) == 603


def test_call_that_only_rings_at_us_cannot_be_replaced() -> None:
    stage = Stage()
    call = stage.call()
    stage.us.ua.ring(stage.us.now, call.id)
    stage.us.drain()
    stage.network.run(0.1)
    tag = stage.peer.responses("INVITE")[-1].to.tag
    text = f"call-1;to-tag={tag};from-tag=peer-tag"
    assert stage.status(request("INVITE", call_id="call-2", body=OFFER, extra=(("Replaces", text),))) == 481


def test_refer_to_carries_replaces_escaped_and_gives_it_back() -> None:
    replaces = Replaces("a+b@host", "to;x".replace(";", "-"), "from", is_early_only=True)
    text = str(ReferTo(ReferTo.parse("<sip:a@b;transport=tcp>").target, replaces))
    assert text == "<sip:a@b;transport=tcp?Replaces=a%2Bb%40host%3Bto-tag%3Dto-x%3Bfrom-tag%3Dfrom%3Bearly-only>"
    assert ReferTo.parse(text).replaces == replaces


def test_transfer_needs_a_confirmed_call_and_a_target(trio: Trio) -> None:
    ringing = trio.alice.ua.invite(trio.alice.now, InviteRequest(target_uri="sip:x@10.0.0.2", sdp=OFFER, caller="c"))
    with pytest.raises(InvalidCallState):
        trio.alice.ua.refer(0, ringing, ReferRequest(target_uri="sip:x@10.0.0.3"))
    call, _ = trio.call(trio.alice, trio.bob)
    with pytest.raises(InvalidCallState):
        trio.alice.ua.refer(0, call, ReferRequest(replaces=ringing))
    with pytest.raises(LocalProtocolError):
        trio.alice.ua.refer(0, call, ReferRequest())
    with pytest.raises(LocalProtocolError):
        trio.alice.ua.refer(0, call, ReferRequest(target_uri="sip:x@h\r\nEvil: 1"))


def test_peer_cannot_pile_up_transfers() -> None:
    stage = Stage()
    stage.answered()
    asked = [stage.within("REFER", cseq, extra=(("Refer-To", "<sip:x@10.0.0.3>"),)) for cseq in range(2, 14)]
    assert [stage.status(each) for each in asked].count(603) == 4
    assert isinstance(stage.peer, Peer)
