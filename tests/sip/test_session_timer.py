"""Session timers: who refreshes, when, and what happens if nobody does.   RFC 4028."""

from __future__ import annotations

import pytest

from sip.emulation import ANSWER, OFFER, Agent, Network
from sip.test_negotiation import Callee, Caller, settle
from sip.writing import reply, request
from trunkline.sip.headers import SessionExpires
from trunkline.sip.types import (
    EndCause,
    IncomingInvite,
    InviteAnswered,
    InviteEnded,
    InviteFailed,
    InviteRequest,
    ReinviteAnswered,
    UaConfig,
)

BRIEF = UaConfig(session_expires_s=90)


def connect(caller: Caller, timer: str | None, *, allow: str = "INVITE, ACK, BYE, UPDATE") -> None:
    """Have our call answered with this Session-Expires."""
    invite = caller.calling()
    extra = (("Allow", allow), *((("Session-Expires", timer),) if timer else ()))
    caller.peer.send(reply(invite, 200, contact="sip:x@10.0.0.9", extra=extra, body=ANSWER), caller.us.address)
    caller.network.run(0.1)
    assert caller.us.got(InviteAnswered)


def test_invite_asks_for_a_timer_and_names_the_least(caller: Caller) -> None:
    invite = caller.calling()
    assert invite.headers.get("Session-Expires") == "1800"
    assert invite.headers.get("Min-SE") == "90"
    assert "timer" in invite.option_tags("Supported")


@pytest.fixture
def caller() -> Caller:
    return Caller()


def test_refresher_sends_an_update_without_a_word_half_way(caller: Caller) -> None:
    connect(caller, "90;refresher=uac")
    caller.network.run(45.1)
    (update,) = caller.peer.requests("UPDATE")
    assert update.body == b""
    assert update.headers.get("Session-Expires") == "90;refresher=uac"
    caller.replies(update, 200, extra=(("Session-Expires", "90;refresher=uac"),))
    caller.network.run(46)
    assert len({update.cseq.number for update in caller.peer.requests("UPDATE")}) == 2
    assert caller.us.got(ReinviteAnswered) == [], "a refresh is not the application's business"


def test_refresher_repeats_its_description_where_update_is_unknown(caller: Caller) -> None:
    connect(caller, "90;refresher=uac", allow="INVITE, ACK, BYE")
    caller.network.run(45.1)
    again = caller.peer.requests("INVITE")[-1]
    assert again.sdp == OFFER
    caller.replies(again, 200, extra=(("Session-Expires", "90;refresher=uac"),), body=ANSWER)
    assert caller.us.got(ReinviteAnswered) == []


def test_call_that_the_far_side_does_not_refresh_is_ended(caller: Caller) -> None:
    connect(caller, "90;refresher=uas")
    caller.network.run(59)
    assert caller.us.got(InviteEnded) == []
    caller.network.run(2)
    assert caller.us.events[-1] == InviteEnded(caller.id, EndCause.SESSION_EXPIRED, 408)
    assert caller.peer.requests("BYE")
    settle(caller)


def test_refresh_from_the_far_side_keeps_the_call(caller: Caller) -> None:
    connect(caller, "90;refresher=uas")
    invite = caller.peer.requests("INVITE")[0]
    for cseq in range(1, 5):
        caller.network.run(45)
        assert caller.from_peer("UPDATE", invite, cseq) == 200
    assert caller.us.got(InviteEnded) == []


def test_peer_without_timers_has_no_timer(caller: Caller) -> None:
    connect(caller, None)
    caller.network.run(4000)
    assert caller.us.got(InviteEnded) == []
    assert caller.peer.requests("UPDATE") == []


def test_422_is_met_with_what_the_far_side_wants_at_least(caller: Caller) -> None:
    invite = caller.calling()
    caller.replies(invite, 422, extra=(("Min-SE", "3600"),))
    again = caller.peer.requests("INVITE")[-1]
    assert again.headers.get("Session-Expires") == "3600"
    assert again.headers.get("Min-SE") == "3600"
    assert (again.sip_call_id, again.cseq.number) == (invite.sip_call_id, invite.cseq.number + 1)
    caller.replies(again, 422, extra=(("Min-SE", "3600"),))
    assert caller.us.events[-1] == InviteFailed(caller.id, 422, "Session Interval Too Small")
    settle(caller)


@pytest.mark.parametrize(
    ("asked", "granted", "is_ours"),
    [
        ("600", "600;refresher=uac", False),
        ("600;refresher=uas", "600;refresher=uas", True),
        ("600;refresher=uac", "600;refresher=uac", False),
        ("7200", "1800;refresher=uac", False),
        (None, "1800;refresher=uac", False),
    ],
)
def test_as_the_callee_we_grant_what_was_asked(asked: str | None, granted: str, is_ours: bool) -> None:
    callee = Callee()
    extra = (("Supported", "timer"), *((("Session-Expires", asked),) if asked else ()))
    call = callee.called(extra=extra)
    (ok,) = callee.answer(call)
    assert ok.headers.get("Session-Expires") == granted
    assert ("timer" in ok.option_tags("Require")) is not is_ours
    callee.ok = ok
    callee.ask(callee.within("ACK", 1))
    callee.network.run(SessionExpires.parse(granted).seconds / 2 + 1)
    assert bool(callee.peer.requests("UPDATE")) is is_ours
    settle(callee)


def test_caller_without_timers_gets_none() -> None:
    callee = Callee()
    (ok,) = callee.answer(callee.called(extra=()))
    assert ok.headers.get("Session-Expires") is None


def test_interval_below_our_least_is_refused_with_422() -> None:
    callee = Callee()
    (refusal,) = callee.ask(request("INVITE", body=OFFER, extra=(("Supported", "timer"), ("Session-Expires", "60"))))
    assert refusal.status == 422
    assert refusal.headers.get("Min-SE") == "90"
    assert callee.us.got(IncomingInvite) == []


def test_refresher_that_gets_no_answer_gives_the_call_up(caller: Caller) -> None:
    connect(caller, "90;refresher=uac")
    caller.network.hosts.pop(caller.peer.address)
    caller.network.run(120)
    ended = caller.us.last(InviteEnded)
    assert ended.reason in (EndCause.SESSION_EXPIRED, EndCause.DIALOG_LOST)
    settle(caller)


def test_two_agents_of_ours_keep_a_call_alive_for_hours() -> None:
    network = Network()
    alice = Agent(network, "10.0.0.1", config=BRIEF)
    bob = Agent(network, "10.0.0.2")
    alice.ua.invite(alice.now, InviteRequest(target_uri="sip:b@10.0.0.2", sdp=OFFER, caller="a"))
    alice.drain()
    network.run(0.1)
    bob.ua.answer(bob.now, bob.last(IncomingInvite).id, ANSWER)
    bob.drain()
    network.run(7200)
    assert alice.ua.load["invites"] == bob.ua.load["invites"] == 1
    assert 150 <= len(network.sent(alice, "UPDATE")) <= 165
    bob_gone = network.hosts.pop(bob.address)
    assert bob_gone is bob
    network.run(200)
    assert alice.ua.load["invites"] == 0


def test_caller_that_does_not_refresh_as_it_promised_is_hung_up() -> None:
    callee = Callee()
    call = callee.called(extra=(("Supported", "timer"), ("Session-Expires", "90;refresher=uac")))
    (callee.ok,) = callee.answer(call)
    callee.ask(callee.within("ACK", 1))
    callee.network.run(57)
    assert callee.us.got(InviteEnded) == [], "not before a third, or 32 s, is left"
    callee.network.run(5)
    assert callee.us.last(InviteEnded).reason is EndCause.SESSION_EXPIRED
    assert callee.peer.requests("BYE")
