"""Calls between two user agents of ours on an emulated network."""

from __future__ import annotations

import pytest

from sip.emulation import ANSWER, OFFER, Agent, Network, intervals
from trunkline.errors import InvalidCallState, LocalProtocolError
from trunkline.sip.headers import NameAddr
from trunkline.sip.types import (
    EndCause,
    IncomingInvite,
    InfoAnswered,
    InfoReceived,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteFailed,
    InviteId,
    InviteProgress,
    InviteRequest,
    InviteTrying,
    ReinviteAnswered,
    ReinviteFailed,
    ReinviteReceived,
    UaConfig,
)

BOB = "sip:bob@10.0.0.2"


class Pair:
    """Alice calls Bob."""

    def __init__(self) -> None:
        self.network = Network()
        self.alice = Agent(self.network, "10.0.0.1")
        self.bob = Agent(self.network, "10.0.0.2")

    def dial(self) -> InviteId:
        call = self.alice.ua.invite(
            self.network.now, InviteRequest(target_uri=BOB, sdp=OFFER, caller="alice", display_name='Al "Ice"')
        )
        self.alice.drain()
        return call

    def ring(self) -> tuple[InviteId, InviteId]:
        call = self.dial()
        self.network.run(0.1)
        incoming = self.bob.last(IncomingInvite)
        self.bob.ua.ring(self.network.now, incoming.id)
        self.bob.drain()
        self.network.run(0.1)
        return call, incoming.id

    def connect(self) -> tuple[InviteId, InviteId]:
        call, incoming = self.ring()
        self.bob.ua.answer(self.network.now, incoming, ANSWER)
        self.bob.drain()
        self.network.run(0.1)
        return call, incoming

    def settle(self) -> None:
        """Let every timer of the protocol pass."""
        self.network.run(300)
        for agent in (self.alice, self.bob):
            assert not any(agent.ua.load.values()), agent.ua.load
            assert agent.ua.is_idle


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_call_is_answered_and_ended_by_the_caller(pair: Pair) -> None:
    call, incoming = pair.connect()
    arrived = pair.bob.last(IncomingInvite)
    assert (arrived.caller, arrived.display_name, arrived.callee, arrived.sdp) == (
        "sip:alice@anonymous.invalid",
        'Al "Ice"',
        BOB,
        OFFER,
    )
    assert arrived.registration is None
    assert pair.alice.events == [
        InviteTrying(call),
        InviteProgress(call, 180, "Ringing", None),
        InviteAnswered(call, ANSWER),
    ]
    assert pair.bob.events[1:] == [InviteConfirmed(incoming, None)]
    pair.alice.ua.hangup(pair.network.now, call)
    pair.alice.drain()
    pair.network.run(0.1)
    assert pair.alice.events[-1] == InviteEnded(call, EndCause.LOCAL)
    assert pair.bob.events[-1] == InviteEnded(incoming, EndCause.REMOTE_BYE)
    pair.settle()


def test_callee_hangs_up_with_a_reason_that_the_caller_sees(pair: Pair) -> None:
    call, incoming = pair.connect()
    pair.bob.ua.hangup(pair.network.now, incoming, 503, "out of coffee")
    pair.bob.drain()
    pair.network.run(0.1)
    assert pair.alice.events[-1] == InviteEnded(call, EndCause.REMOTE_BYE, status=503)
    bye = next(message for message in pair.network.messages(pair.bob) if message.cseq.method == "BYE")
    assert bye.headers.get("Reason") == 'SIP;cause=503;text="out of coffee"'
    pair.settle()


def test_183_carries_early_media(pair: Pair) -> None:
    call = pair.dial()
    pair.network.run(0.1)
    pair.bob.ua.ring(pair.network.now, pair.bob.last(IncomingInvite).id, 183, ANSWER)
    pair.bob.drain()
    pair.network.run(0.1)
    assert pair.alice.last(InviteProgress) == InviteProgress(call, 183, "Session Progress", ANSWER)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (486, "Busy Here"),
        (600, "Busy Everywhere"),
        (404, "Not Found"),
        (480, "Temporarily Unavailable"),
        (603, "Decline"),
        (500, "Server Internal Error"),
        (503, "Service Unavailable"),
        (302, "Moved Temporarily"),
    ],
)
def test_refusal_reaches_the_caller_as_it_is(pair: Pair, status: int, reason: str) -> None:
    call, incoming = pair.ring()
    pair.bob.ua.hangup(pair.network.now, incoming, status)
    pair.bob.drain()
    pair.network.run(0.1)
    assert pair.alice.events[-1] == InviteFailed(call, status, reason)
    assert pair.bob.events[-1] == InviteEnded(incoming, EndCause.LOCAL, status)
    pair.settle()


def test_refusal_keeps_its_own_phrase(pair: Pair) -> None:
    call, incoming = pair.ring()
    pair.bob.ua.hangup(pair.network.now, incoming, 486, "Gone fishing")
    pair.bob.drain()
    pair.network.run(0.1)
    assert pair.alice.events[-1] == InviteFailed(call, 486, "Gone fishing")


def test_cancel_while_ringing_ends_both_sides(pair: Pair) -> None:
    call, incoming = pair.ring()
    pair.alice.ua.hangup(pair.network.now, call)
    pair.alice.drain()
    pair.network.run(0.1)
    assert pair.alice.events[-1] == InviteEnded(call, EndCause.LOCAL)
    assert pair.bob.events[-1] == InviteEnded(incoming, EndCause.REMOTE_CANCEL)
    statuses = [m.status for m in pair.network.messages(pair.bob) if hasattr(m, "status")]
    assert statuses == [100, 180, 200, 487]
    pair.settle()


def test_cancel_says_that_the_call_was_answered_elsewhere(pair: Pair) -> None:
    call, incoming = pair.ring()
    pair.alice.ua.hangup(pair.network.now, call, 200, "Call completed elsewhere")
    pair.alice.drain()
    pair.network.run(0.1)
    assert pair.bob.events[-1] == InviteEnded(incoming, EndCause.REMOTE_CANCEL, 200)
    pair.settle()


def test_cancel_waits_for_a_provisional_response(pair: Pair) -> None:
    pair.bob.on_event = None
    call = pair.dial()
    pair.alice.ua.hangup(pair.network.now, call)
    pair.alice.drain()
    assert pair.network.sent(pair.alice, "CANCEL") == []
    pair.network.run(0.1)
    assert len(pair.network.sent(pair.alice, "CANCEL")) == 1
    assert pair.bob.last(InviteEnded).reason is EndCause.REMOTE_CANCEL
    pair.settle()


def test_hangup_before_any_answer_gives_up_with_timer_b(pair: Pair) -> None:
    del pair.network.hosts[pair.bob.address]
    call = pair.dial()
    pair.network.run(1)
    pair.alice.ua.hangup(pair.network.now, call)
    pair.alice.drain()
    assert pair.alice.events == [InviteEnded(call, EndCause.LOCAL)]
    pair.network.run(31)
    assert pair.network.sent(pair.alice, "CANCEL") == []
    assert not any(pair.alice.ua.load.values())
    assert pair.alice.events == [InviteEnded(call, EndCause.LOCAL)]


def test_200_that_crosses_a_cancel_is_acknowledged_and_ended(pair: Pair) -> None:
    call, incoming = pair.ring()
    pair.alice.ua.hangup(pair.network.now, call)
    pair.bob.ua.answer(pair.network.now, incoming, ANSWER)
    pair.alice.drain()
    pair.bob.drain()
    pair.network.run(0.2)
    assert pair.alice.got(InviteAnswered) == []
    assert len(pair.network.sent(pair.alice, "ACK")) == 1
    assert len(pair.network.sent(pair.alice, "BYE")) == 1
    assert pair.bob.events[-1] == InviteEnded(incoming, EndCause.REMOTE_BYE)
    pair.settle()


def test_no_answer_at_all_is_408_after_timer_b(pair: Pair) -> None:
    del pair.network.hosts[pair.bob.address]
    call = pair.dial()
    pair.network.run(31.9)
    assert pair.alice.events == []
    pair.network.run(0.2)
    assert pair.alice.events == [InviteFailed(call, 408, "Request Timeout")]
    assert intervals(pair.network.sent(pair.alice, "INVITE")) == [0.5, 1, 2, 4, 8, 16]


def test_unreachable_server_fails_at_once_with_503(pair: Pair) -> None:
    pair.network.unreachable.add(pair.bob.address)
    call = pair.dial()
    pair.network.run(0.1)
    assert pair.alice.events == [InviteFailed(call, 503, "Server unreachable")]
    assert not any(pair.alice.ua.load.values())


def test_unknown_host_fails_with_503(pair: Pair) -> None:
    call = pair.alice.ua.invite(
        pair.network.now, InviteRequest(target_uri="sip:bob@nowhere.invalid", sdp=OFFER, caller="alice")
    )
    pair.alice.drain()
    assert pair.alice.events == [InviteFailed(call, 503, "Server address not found")]


def test_next_address_is_tried_when_the_first_is_unreachable(pair: Pair) -> None:
    pair.alice.names["two.example"] = ["10.0.0.77", "10.0.0.2"]
    pair.network.unreachable.add(("10.0.0.77", 5060))
    call = pair.alice.ua.invite(
        pair.network.now, InviteRequest(target_uri="sip:bob@two.example", sdp=OFFER, caller="alice")
    )
    pair.alice.drain()
    pair.network.run(0.2)
    assert pair.alice.got(InviteTrying) == [InviteTrying(call)]
    assert pair.alice.got(InviteFailed) == []


def test_secure_target_by_udp_fails_since_no_way_leads_there(pair: Pair) -> None:
    call = pair.alice.ua.invite(
        pair.network.now, InviteRequest(target_uri="sips:bob@10.0.0.2;transport=udp", sdp=OFFER, caller="a")
    )
    pair.alice.drain()
    pair.network.run(0.1)
    assert pair.alice.events == [InviteFailed(call, 503, "No way to send to this address")]


def test_ringing_ends_at_the_callers_limit(pair: Pair) -> None:
    call, incoming = pair.ring()
    pair.network.run(200)
    assert pair.alice.events[-1] == InviteFailed(call, 408, "Request Timeout")
    assert pair.bob.last(InviteEnded).id == incoming
    pair.settle()


def test_ringing_ends_at_the_callees_limit() -> None:
    network = Network()
    alice = Agent(network, "10.0.0.1")
    bob = Agent(network, "10.0.0.2", config=UaConfig(ring_limit_s=60))
    call = alice.ua.invite(network.now, InviteRequest(target_uri=BOB, sdp=OFFER, caller="alice"))
    alice.drain()
    network.run(61)
    assert bob.last(InviteEnded).reason is EndCause.NO_ANSWER
    assert alice.events[-1] == InviteFailed(call, 480, "Temporarily Unavailable")


def test_180_is_repeated_each_minute_so_that_proxies_wait(pair: Pair) -> None:
    pair.ring()
    pair.network.run(130)
    assert intervals(pair.network.sent(pair.bob, "SIP/2.0 180")) == [60, 60]


def test_200_is_repeated_until_the_ack_arrives(pair: Pair) -> None:
    _, incoming = pair.ring()
    lost = 0

    def lose_acks(data: bytes, path: object) -> list[float]:
        nonlocal lost
        if data.startswith(b"ACK") and lost < 3:
            lost += 1
            return []
        return [0.01]

    pair.network.fate = lose_acks  # type: ignore[assignment]
    pair.bob.ua.answer(pair.network.now, incoming, ANSWER)
    pair.bob.drain()
    pair.network.run(10)
    assert intervals(pair.network.sent(pair.bob, "SIP/2.0 200")) == [0.5, 1, 2]
    assert len(pair.network.sent(pair.alice, "ACK")) == 4
    assert len(pair.alice.got(InviteAnswered)) == 1
    assert pair.bob.events[-1] == InviteConfirmed(incoming, None)


def test_call_without_ack_ends_with_bye_after_64_t1(pair: Pair) -> None:
    call, incoming = pair.ring()
    pair.network.fate = lambda data, path: iter([] if data.startswith(b"ACK") else [0.01])
    pair.bob.ua.answer(pair.network.now, incoming, ANSWER)
    pair.bob.drain()
    pair.network.run(33)
    assert pair.bob.events[-1] == InviteEnded(incoming, EndCause.NO_ACK)
    assert pair.alice.events[-1] == InviteEnded(call, EndCause.REMOTE_BYE)
    assert intervals(pair.network.sent(pair.bob, "SIP/2.0 200 OK"))[:7] == [0.5, 1, 2, 4, 4, 4, 4]
    pair.settle()


def test_callee_hangup_before_the_ack_waits_for_it(pair: Pair) -> None:
    _, incoming = pair.ring()
    pair.bob.ua.answer(pair.network.now, incoming, ANSWER)
    pair.bob.ua.hangup(pair.network.now, incoming)
    pair.bob.drain()
    assert pair.bob.events[-1] == InviteEnded(incoming, EndCause.LOCAL)
    assert pair.network.sent(pair.bob, "BYE") == []
    pair.network.run(0.1)
    ack, bye = pair.network.sent(pair.alice, "ACK"), pair.network.sent(pair.bob, "BYE")
    assert len(ack) == len(bye) == 1
    assert ack[0] < bye[0]
    pair.settle()


def test_byes_that_cross_are_both_accepted(pair: Pair) -> None:
    call, incoming = pair.connect()
    pair.alice.ua.hangup(pair.network.now, call)
    pair.bob.ua.hangup(pair.network.now, incoming)
    pair.alice.drain()
    pair.bob.drain()
    pair.network.run(0.2)
    assert pair.alice.got(InviteEnded) == [InviteEnded(call, EndCause.LOCAL)]
    assert pair.bob.got(InviteEnded) == [InviteEnded(incoming, EndCause.LOCAL)]
    finals = [
        m.status for agent in (pair.alice, pair.bob) for m in pair.network.messages(agent) if hasattr(m, "status")
    ]
    assert 481 not in finals
    pair.settle()


def test_reinvite_is_answered_by_the_application(pair: Pair) -> None:
    call, incoming = pair.connect()
    changed = OFFER.replace("40000", "40002")
    pair.alice.ua.reinvite(pair.network.now, call, changed)
    pair.alice.drain()
    pair.network.run(0.1)
    assert pair.bob.events[-1] == ReinviteReceived(incoming, changed)
    pair.bob.ua.answer_reinvite(pair.network.now, incoming, ANSWER)
    pair.bob.drain()
    pair.network.run(5)
    assert pair.alice.events[-1] == ReinviteAnswered(call, ANSWER)
    assert len(pair.network.sent(pair.alice, "ACK")) == 2
    pair.alice.ua.hangup(pair.network.now, call)
    pair.alice.drain()
    pair.settle()


def test_refused_reinvite_leaves_the_call_as_it_was(pair: Pair) -> None:
    call, incoming = pair.connect()
    pair.bob.ua.reinvite(pair.network.now, incoming, OFFER)
    pair.bob.drain()
    pair.network.run(0.1)
    pair.alice.ua.answer_reinvite(pair.network.now, call, status=488)
    pair.alice.drain()
    pair.network.run(0.1)
    assert pair.bob.events[-1] == ReinviteFailed(incoming, 488, "Not Acceptable Here")
    assert pair.alice.got(InviteEnded) == []
    pair.bob.ua.hangup(pair.network.now, incoming)
    pair.bob.drain()
    pair.settle()


def test_reinvites_that_cross_are_refused_with_491_and_tried_again(pair: Pair) -> None:
    call, incoming = pair.connect()
    pair.alice.ua.reinvite(pair.network.now, call, OFFER)
    pair.bob.ua.reinvite(pair.network.now, incoming, ANSWER)
    pair.alice.drain()
    pair.bob.drain()
    pair.network.run(0.05)
    assert len(pair.network.sent(pair.alice, "SIP/2.0 491")) == len(pair.network.sent(pair.bob, "SIP/2.0 491")) == 1
    pair.alice.on_event = lambda event: (
        pair.alice.ua.answer_reinvite(pair.network.now, call, OFFER) if isinstance(event, ReinviteReceived) else None
    )
    pair.bob.on_event = lambda event: (
        pair.bob.ua.answer_reinvite(pair.network.now, incoming, ANSWER) if isinstance(event, ReinviteReceived) else None
    )
    pair.network.run(10)
    assert pair.bob.got(ReinviteAnswered) == [ReinviteAnswered(incoming, OFFER)]
    assert pair.alice.got(ReinviteFailed) == [ReinviteFailed(call, 491, "The session has changed since")]
    pair.alice.ua.reinvite(pair.network.now, call, OFFER)
    pair.alice.drain()
    pair.network.run(1)
    assert pair.alice.got(ReinviteAnswered) == [ReinviteAnswered(call, ANSWER)]


def test_info_reaches_the_far_side_and_its_status_comes_back(pair: Pair) -> None:
    call, incoming = pair.connect()
    pair.alice.ua.send_info(pair.network.now, call, "application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n")
    pair.alice.drain()
    pair.network.run(0.1)
    assert pair.bob.events[-1] == InfoReceived(incoming, "5", 160)
    assert pair.alice.events[-1] == InfoAnswered(call, 200)


def test_call_ends_when_the_far_side_has_lost_the_dialog(pair: Pair) -> None:
    call, _ = pair.connect()
    bob = Agent(pair.network, "10.0.0.2")  # restarted: same address, no memory
    pair.alice.ua.send_info(pair.network.now, call, "application/dtmf", b"5")
    pair.alice.drain()
    pair.network.run(0.1)
    assert pair.alice.events[-2:] == [InfoAnswered(call, 481), InviteEnded(call, EndCause.DIALOG_LOST, 481)]
    pair.network.run(100)
    assert not any(pair.alice.ua.load.values())
    assert bob.events == []


@pytest.mark.parametrize("loss", range(1, 8))
def test_call_survives_a_lossy_network_that_repeats_and_reorders(pair: Pair, loss: int) -> None:
    random = pair.alice.ua._core.rng.__class__(loss)

    def fate(data: bytes, path: object) -> list[float]:
        copies = random.choices((0, 1, 2, 3), (3, 5, 2, 1))[0]
        return [random.uniform(0.005, 0.8) for _ in range(copies)]

    pair.network.fate = fate  # type: ignore[assignment]
    pair.bob.on_event = lambda event: (
        pair.bob.ua.answer(pair.network.now, event.id, ANSWER) if isinstance(event, IncomingInvite) else None
    )
    call = pair.dial()
    pair.network.run(30)
    assert pair.alice.got(InviteAnswered) == [InviteAnswered(call, ANSWER)]
    assert len(pair.bob.got(IncomingInvite)) == 1
    pair.alice.ua.hangup(pair.network.now, call)
    pair.alice.drain()
    pair.network.run(60)
    assert [event.reason for event in pair.bob.got(InviteEnded)] == [EndCause.REMOTE_BYE]
    pair.settle()


def test_verbs_out_of_place_are_refused_and_dead_ids_may_be_hung_up(pair: Pair) -> None:
    call, incoming = pair.ring()
    now = pair.network.now
    for wrong in (
        lambda: pair.alice.ua.answer(now, call, ANSWER),
        lambda: pair.alice.ua.reinvite(now, call, OFFER),
        lambda: pair.bob.ua.send_info(now, incoming, "text/plain", b""),
        lambda: pair.bob.ua.ring(now, InviteId(999)),
    ):
        with pytest.raises(InvalidCallState):
            wrong()
    pair.bob.ua.answer(now, incoming, ANSWER)
    with pytest.raises(InvalidCallState):
        pair.bob.ua.answer(now, incoming, ANSWER)
    pair.bob.ua.hangup(now, incoming)
    pair.bob.ua.hangup(now, incoming)
    assert len([e for e in iter(pair.bob.ua.poll_event, None) if isinstance(e, InviteEnded)]) == 1


@pytest.mark.parametrize(
    "bad", ["bob\r\nX-Injected: 1", "sip:bob@h\r\nX: 1", "sip:b b@h", "sip:@", "bob", "sip:bob@h\0"]
)
def test_target_that_cannot_be_written_is_refused(pair: Pair, bad: str) -> None:
    with pytest.raises(LocalProtocolError):
        pair.alice.ua.invite(0, InviteRequest(target_uri=bad, sdp=OFFER))
    assert pair.alice.ua.poll_query() is None


def test_display_name_with_quotes_and_unicode_survives(pair: Pair) -> None:
    name = 'Zoë "\\" <sip:x@y>, 漢'
    pair.alice.ua.invite(pair.network.now, InviteRequest(target_uri=BOB, sdp=OFFER, display_name=name))
    pair.alice.drain()
    pair.network.run(0.1)
    assert pair.bob.last(IncomingInvite).display_name == name
    invite = pair.network.messages(pair.alice)[0]
    assert NameAddr.parse(invite.headers.get("From") or "").display_name == name
