"""Offer and answer in every position: reliable 18x and PRACK, UPDATE, late offers, glare, forks.

RFC 3262, RFC 3311, RFC 3264, RFC 6337.
"""

from __future__ import annotations

import pytest

from sip.emulation import ANSWER, OFFER, Agent, Network, intervals
from sip.test_uas_rules import US, Stage
from sip.writing import ack, reply, request
from trunkline.errors import InvalidCallState
from trunkline.sip.invite.exchange import ROWS, Exchange, Phase, Step
from trunkline.sip.message import Request, Response
from trunkline.sip.types import (
    EarlyMedia,
    EndCause,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteFailed,
    InviteId,
    InviteProgress,
    InviteRequest,
    ReinviteAnswered,
    ReinviteFailed,
    ReinviteReceived,
    Reliability,
    UaConfig,
)

SECOND = OFFER.replace("1 1 IN", "1 2 IN")
RELIABLE = (("Require", "100rel"), ("RSeq", "7"))
SUPPORTED = (("Supported", "100rel"),)


class Callee(Stage):
    """Somebody who can do 100rel calls us."""

    def called(self, *, body: str = OFFER, extra: tuple[tuple[str, str], ...] = SUPPORTED) -> InviteId:
        self.invite = request("INVITE", body=body, extra=(*extra, ("Allow", "INVITE, ACK, BYE, PRACK, UPDATE")))
        self.ask(self.invite)
        return next(event.id for event in self.us.events if hasattr(event, "callee"))

    def ring(self, call: InviteId, sdp: str | None = ANSWER, status: int = 183) -> Response:
        before = len(self.peer.responses("INVITE"))
        self.us.ua.ring(self.us.now, call, status, sdp)
        self.us.drain()
        self.network.run(0.1)
        self.ok = self.peer.responses("INVITE")[-1]
        assert len(self.peer.responses("INVITE")) > before
        return self.ok

    def answer(self, call: InviteId, sdp: str = ANSWER) -> list[Response]:
        before = len(self.peer.responses("INVITE"))
        self.us.ua.answer(self.us.now, call, sdp)
        self.us.drain()
        self.network.run(0.1)
        return self.peer.responses("INVITE")[before:]

    def prack(self, response: Response, cseq: int = 2, body: str = "", rack: str | None = None) -> list[Response]:
        rack = rack or f"{response.headers.get('RSeq')} 1 INVITE"
        return self.ask(self.within("PRACK", cseq, body, extra=(("RAck", rack),)))


class Caller(Stage):
    """We call a peer that we script."""

    def calling(self, sdp: str | None = OFFER) -> Request:
        self.id = self.us.ua.invite(self.us.now, InviteRequest(target_uri="sip:x@10.0.0.9", sdp=sdp, caller="me"))
        self.us.drain()
        self.network.run(0.1)
        return self.peer.requests("INVITE")[0]

    def replies(self, to: Request, status: int, **more: object) -> None:
        extra = (*more.pop("extra", ()), ("Allow", "INVITE, ACK, BYE, PRACK, UPDATE"))  # type: ignore[misc]
        response = reply(to, status, contact="sip:x@10.0.0.9", extra=extra, **more)  # type: ignore[arg-type]
        self.peer.send(response, US)
        self.network.run(0.1)

    def from_peer(self, method: str, invite: Request, cseq: int, body: str = "", tag: str = "uas-tag") -> int | None:
        message = request(
            method,
            str(invite.contacts[0].uri),
            call_id=invite.sip_call_id,
            cseq=cseq,
            from_tag=tag,
            to_tag=invite.from_.tag,
            body=body,
        )
        return self.status(message)


@pytest.fixture
def callee() -> Callee:
    return Callee()


@pytest.fixture
def caller() -> Caller:
    return Caller()


def settle(stage: Stage) -> None:
    """End whatever is left, and let every timer pass."""
    stage.us.ua.shutdown(stage.us.now)
    stage.us.drain()
    stage.network.run(500)
    assert not any(stage.us.ua.load.values()), stage.us.ua.load


# --- the table --------------------------------------------------------------------------------------------------------


def test_no_row_opens_a_second_offer() -> None:
    opened = {Phase.OURS, Phase.THEIRS}
    assert not any(phase in opened and after in opened for (phase, _), after in ROWS.items())
    exchange = Exchange()
    exchange.take(Step.OFFER_SENT, OFFER)
    with pytest.raises(InvalidCallState):
        exchange.take(Step.OFFER_RECEIVED, OFFER)
    exchange.take(Step.ANSWER_RECEIVED, ANSWER)
    assert (exchange.local, exchange.remote, exchange.rounds) == (OFFER, ANSWER, 1)


# --- we are called: reliable provisional responses -------------------------------------------------------------------


def test_early_media_is_sent_reliably_and_repeated_until_its_prack(callee: Callee) -> None:
    call = callee.called()
    progress = callee.ring(call)
    assert progress.headers.get("Require") == "100rel"
    callee.network.run(4)
    copies = [when for when, _, data in callee.network.log if data.startswith(b"SIP/2.0 183")]
    assert intervals(copies) == [0.5, 1.0, 2.0]
    assert [response.status for response in callee.prack(progress)] == [200]
    callee.network.run(20)
    assert len(callee.network.sent(callee.us, "SIP/2.0 183")) == 4
    (ok,) = callee.answer(call)
    assert (ok.status, ok.sdp) == (200, None), "the answer has been given, in the 183"
    callee.ask(ack(callee.invite, ok))
    assert callee.us.events[-1] == InviteConfirmed(call, None)
    settle(callee)


def test_answer_waits_for_the_prack_of_the_description(callee: Callee) -> None:
    call = callee.called()
    progress = callee.ring(call)
    assert callee.answer(call) == []
    assert [response.status for response in callee.prack(progress)] == [200, 200]
    settle(callee)


def test_second_provisional_waits_for_the_first_ones_prack(callee: Callee) -> None:
    callee.us.ua._core.config = UaConfig(reliable_provisionals=Reliability.ALWAYS)
    call = callee.called()
    first = callee.ring(call, None, 180)
    callee.us.ua.ring(callee.us.now, call, 183, ANSWER)
    callee.us.drain()
    callee.network.run(0.1)
    assert callee.peer.responses("INVITE")[-1] == first
    callee.prack(first)
    second = callee.peer.responses("INVITE")[-1]
    assert second.status == 183
    assert int(second.headers.get("RSeq") or 0) == int(first.headers.get("RSeq") or 0) + 1


def test_call_whose_prack_never_comes_is_refused(callee: Callee) -> None:
    call = callee.called()
    callee.ring(call)
    callee.network.run(33)
    assert callee.peer.responses("INVITE")[-1].status == 504
    assert callee.us.events[-1] == InviteEnded(call, EndCause.NO_ACK, 504)
    settle(callee)


@pytest.mark.parametrize(
    ("rack", "status"), [("1 1 INVITE", 481), ("{rseq} 9 INVITE", 481), ("nonsense", 400), ("{rseq} 1 UPDATE", 481)]
)
def test_prack_for_something_else_does_not_count(callee: Callee, rack: str, status: int) -> None:
    progress = callee.ring(callee.called())
    text = rack.format(rseq=progress.headers.get("RSeq"))
    assert [response.status for response in callee.prack(progress, rack=text)] == [status]
    assert [response.status for response in callee.prack(progress, cseq=3)] == [200]
    assert [response.status for response in callee.prack(progress, cseq=4)] == [481], "it has been acknowledged"


def test_caller_without_100rel_gets_plain_provisionals(callee: Callee) -> None:
    call = callee.called(extra=())
    progress = callee.ring(call)
    assert progress.headers.get("Require") is None
    assert progress.sdp == ANSWER
    assert callee.answer(call)[0].sdp == ANSWER


def test_caller_that_requires_100rel_gets_every_provisional_reliably(callee: Callee) -> None:
    call = callee.called(extra=(("Require", "100rel"),))
    assert callee.ring(call, None, 180).headers.get("Require") == "100rel"


def test_late_offer_goes_in_the_reliable_18x_and_the_prack_answers(callee: Callee) -> None:
    call = callee.called(body="")
    progress = callee.ring(call, OFFER)
    assert progress.sdp == OFFER
    callee.prack(progress, body=ANSWER)
    assert callee.us.events[-1] == ReinviteAnswered(call, ANSWER)
    (ok,) = callee.answer(call, OFFER)
    assert ok.sdp is None


def test_prack_may_bring_an_offer_that_the_200_waits_for(callee: Callee) -> None:
    call = callee.called()
    progress = callee.ring(call)
    callee.us.ua.answer(callee.us.now, call, ANSWER)
    callee.us.drain()
    assert callee.prack(progress, body=SECOND) == []
    assert callee.us.events[-1] == ReinviteReceived(call, SECOND)
    callee.us.ua.answer_reinvite(callee.us.now, call, ANSWER)
    callee.us.drain()
    callee.network.run(0.1)
    answered, ok = callee.peer.responses()[-2:]
    assert (answered.cseq.method, answered.sdp) == ("PRACK", ANSWER)
    assert (ok.cseq.method, ok.status, ok.sdp) == ("INVITE", 200, None)
    settle(callee)


# --- we are called: UPDATE -------------------------------------------------------------------------------------------


def test_update_before_the_answer_changes_the_session(callee: Callee) -> None:
    call = callee.called()
    callee.prack(callee.ring(call))
    callee.ask(callee.within("UPDATE", 3, SECOND))
    assert callee.us.events[-1] == ReinviteReceived(call, SECOND)
    callee.us.ua.answer_reinvite(callee.us.now, call, ANSWER)
    callee.us.drain()
    callee.network.run(0.1)
    updated = callee.peer.responses("UPDATE")[-1]
    assert (updated.status, updated.sdp) == (200, ANSWER)
    settle(callee)


def test_update_before_our_first_answer_is_told_to_retry(callee: Callee) -> None:
    call = callee.called()
    callee.us.ua.ring(callee.us.now, call)
    callee.us.drain()
    callee.network.run(0.1)
    callee.ok = callee.peer.responses("INVITE")[-1]
    (refusal,) = callee.ask(callee.within("UPDATE", 2, SECOND))
    assert refusal.status == 500
    assert refusal.headers.get("Retry-After")


def test_update_that_crosses_our_offer_is_refused_with_491(callee: Callee) -> None:
    call = callee.answered()
    callee.us.ua.reinvite(callee.us.now, call.id, SECOND)
    callee.us.drain()
    callee.network.run(0.1)
    assert callee.status(callee.within("UPDATE", 2, SECOND)) == 491
    assert callee.status(callee.within("UPDATE", 3)) == 200, "one that offers nothing only refreshes"


def test_refused_update_leaves_the_session_as_it_was(callee: Callee) -> None:
    call = callee.answered()
    callee.ask(callee.within("UPDATE", 2, SECOND))
    callee.us.ua.answer_reinvite(callee.us.now, call.id, status=488)
    callee.us.drain()
    callee.network.run(0.1)
    assert callee.peer.responses("UPDATE")[-1].status == 488
    callee.ask(callee.within("UPDATE", 3, SECOND))
    assert len(callee.us.got(ReinviteReceived)) == 2


def test_offer_that_the_application_forgets_is_refused(callee: Callee) -> None:
    callee.answered()
    callee.ask(callee.within("UPDATE", 2, SECOND))
    callee.network.run(17)
    assert callee.peer.responses("UPDATE")[-1].status == 500
    settle(callee)


# --- we call ---------------------------------------------------------------------------------------------------------


def test_reliable_18x_is_acknowledged_once_and_its_answer_stands(caller: Caller) -> None:
    invite = caller.calling()
    assert "100rel" in invite.option_tags("Supported")
    for _ in range(3):
        caller.replies(invite, 183, extra=RELIABLE, body=ANSWER)
    (prack,) = caller.peer.requests("PRACK")
    assert prack.headers.get("RAck") == f"7 {invite.cseq.number} INVITE"
    assert (prack.to.tag, prack.cseq.number) == ("uas-tag", invite.cseq.number + 1)
    caller.replies(prack, 200)
    assert [event.sdp for event in caller.us.got(InviteProgress)] == [ANSWER]
    caller.replies(invite, 200)
    assert caller.us.events[-1] == InviteAnswered(caller.id, ANSWER)
    assert caller.peer.requests("ACK")[0].body == b""
    caller.us.ua.hangup(caller.us.now, caller.id)
    caller.us.drain()
    caller.network.run(0.1)
    assert caller.peer.requests("BYE")[0].cseq.number == prack.cseq.number + 1
    settle(caller)


def test_reliable_18x_out_of_order_waits_for_the_one_before(caller: Caller) -> None:
    invite = caller.calling()
    caller.replies(invite, 180, extra=RELIABLE)
    caller.replies(invite, 183, extra=(("Require", "100rel"), ("RSeq", "9")), body=ANSWER)
    assert len(caller.peer.requests("PRACK")) == 1
    caller.replies(invite, 183, extra=(("Require", "100rel"), ("RSeq", "8")), body=ANSWER)
    assert [prack.headers.get("RAck") for prack in caller.peer.requests("PRACK")] == ["7 1 INVITE", "8 1 INVITE"]


def test_offer_in_a_reliable_18x_is_answered_in_the_prack(caller: Caller) -> None:
    invite = caller.calling(None)
    assert invite.body == b""
    caller.replies(invite, 183, extra=RELIABLE, body=OFFER)
    assert caller.us.last(InviteProgress).is_offer
    assert caller.us.events[-1] == ReinviteReceived(caller.id, OFFER)
    assert caller.peer.requests("PRACK") == []
    caller.us.ua.answer_reinvite(caller.us.now, caller.id, ANSWER)
    caller.us.drain()
    caller.network.run(0.1)
    assert caller.peer.requests("PRACK")[0].sdp == ANSWER
    caller.replies(invite, 200)
    assert caller.us.last(InviteAnswered) == InviteAnswered(caller.id, OFFER)
    settle(caller)


def test_offer_in_the_200_is_answered_in_the_ack(caller: Caller) -> None:
    invite = caller.calling(None)
    caller.replies(invite, 200, body=OFFER)
    assert caller.us.last(InviteAnswered).is_offer
    caller.replies(invite, 200, body=OFFER)
    assert caller.peer.requests("ACK") == []
    caller.us.ua.answer_reinvite(caller.us.now, caller.id, ANSWER)
    caller.us.drain()
    caller.network.run(0.1)
    assert [message.sdp for message in caller.peer.requests("ACK")] == [ANSWER]
    settle(caller)


def test_offer_in_the_200_that_cannot_be_met_ends_the_call(caller: Caller) -> None:
    invite = caller.calling(None)
    caller.replies(invite, 200, body=OFFER)
    caller.us.ua.answer_reinvite(caller.us.now, caller.id, status=488)
    caller.us.drain()
    caller.network.run(0.1)
    assert len(caller.peer.requests("ACK")) == len(caller.peer.requests("BYE")) == 1
    assert caller.us.events[-1] == InviteEnded(caller.id, EndCause.LOCAL, 488)
    settle(caller)


def test_update_changes_a_session_before_the_call_is_answered(caller: Caller) -> None:
    invite = caller.calling()
    with pytest.raises(InvalidCallState):
        caller.us.ua.reinvite(caller.us.now, caller.id, SECOND)
    caller.replies(invite, 183, extra=RELIABLE, body=ANSWER)
    caller.us.ua.reinvite(caller.us.now, caller.id, SECOND)
    caller.us.drain()
    caller.network.run(0.1)
    (update,) = caller.peer.requests("UPDATE")
    assert update.sdp == SECOND
    assert caller.from_peer("UPDATE", invite, 1, OFFER) == 491, "ours is open"
    caller.replies(update, 200, body=ANSWER)
    assert caller.us.events[-1] == ReinviteAnswered(caller.id, ANSWER)
    settle(caller)


def test_offer_can_be_asked_for_in_an_established_call(caller: Caller) -> None:
    caller.replies(caller.calling(), 200, body=ANSWER)
    caller.us.ua.reinvite(caller.us.now, caller.id, None)
    caller.us.drain()
    caller.network.run(0.1)
    again = caller.peer.requests("INVITE")[-1]
    assert again.sdp is None
    caller.replies(again, 200, body=OFFER)
    assert caller.us.events[-1] == ReinviteReceived(caller.id, OFFER)
    caller.us.ua.answer_reinvite(caller.us.now, caller.id, ANSWER)
    caller.us.drain()
    caller.network.run(0.1)
    assert caller.peer.requests("ACK")[-1].sdp == ANSWER


# --- glare -----------------------------------------------------------------------------------------------------------


def test_owner_of_the_call_id_waits_longer_after_a_glare(caller: Caller) -> None:
    caller.replies(caller.calling(), 200, body=ANSWER)
    waits = []
    for _ in range(5):
        caller.us.ua.reinvite(caller.us.now, caller.id, SECOND)
        caller.us.drain()
        caller.network.run(0.1)
        refused_at = caller.us.now
        caller.replies(caller.peer.requests("INVITE")[-1], 491)
        caller.network.run(5)
        again = next(when for when in caller.network.sent(caller.us, "INVITE") if when > refused_at)
        waits.append(again - refused_at)
        caller.replies(caller.peer.requests("INVITE")[-1], 200, body=ANSWER)
    assert all(2.1 <= wait <= 4.02 for wait in waits)
    assert len(set(waits)) > 1


def test_offer_that_was_overtaken_in_a_glare_is_not_repeated(caller: Caller) -> None:
    invite = caller.calling()
    caller.replies(invite, 200, body=ANSWER)
    caller.us.ua.reinvite(caller.us.now, caller.id, SECOND)
    caller.us.drain()
    caller.network.run(0.1)
    caller.replies(caller.peer.requests("INVITE")[-1], 491)
    caller.us.on_event = lambda event: (
        caller.us.ua.answer_reinvite(caller.us.now, caller.id, ANSWER) if isinstance(event, ReinviteReceived) else None
    )
    assert caller.from_peer("INVITE", invite, 1, OFFER) == 200
    caller.from_peer("ACK", invite, 1)
    sent = len(caller.peer.requests("INVITE"))
    caller.network.run(5)
    assert caller.us.events[-1] == ReinviteFailed(caller.id, 491, "The session has changed since")
    assert len(caller.peer.requests("INVITE")) == sent
    caller.us.ua.reinvite(caller.us.now, caller.id, SECOND)
    settle(caller)


# --- forks -----------------------------------------------------------------------------------------------------------


def test_branches_of_a_fork_are_told_apart_and_each_has_its_own_answer(caller: Caller) -> None:
    invite = caller.calling()
    other = ANSWER.replace("50000", "50002")
    caller.replies(invite, 183, tag="left", extra=RELIABLE, body=ANSWER)
    caller.replies(invite, 183, tag="right", extra=(("Require", "100rel"), ("RSeq", "3")), body=other)
    assert [(event.fork, event.sdp) for event in caller.us.got(InviteProgress)] == [("left", ANSWER), ("right", other)]
    assert sorted(prack.to.tag or "" for prack in caller.peer.requests("PRACK")) == ["left", "right"]
    caller.replies(invite, 200, tag="left")
    assert caller.us.last(InviteAnswered).sdp == ANSWER, "what that branch said, not what came last"
    assert caller.from_peer("BYE", invite, 1, tag="right") == 481
    settle(caller)


@pytest.mark.parametrize(
    ("policy", "heard"), [(EarlyMedia.NEWEST, [1, 2]), (EarlyMedia.FIRST, [1]), (EarlyMedia.NONE, [])]
)
def test_early_media_policy_chooses_whose_is_heard(policy: EarlyMedia, heard: list[int]) -> None:
    caller = Caller(UaConfig(early_media=policy))
    invite = caller.calling()
    for number in (1, 2):
        caller.replies(invite, 183, tag=f"fork{number}", body=ANSWER.replace("50000", str(number)))
    shown = [event.sdp.split()[-3] for event in caller.us.got(InviteProgress) if event.sdp]
    assert shown == [str(number) for number in heard]


def test_flood_of_forks_is_bounded_and_a_late_answer_is_still_ended(caller: Caller) -> None:
    invite = caller.calling()
    for number in range(100):
        caller.replies(invite, 180, tag=f"fork{number}")
    assert caller.us.ua.load["dialogs"] <= 32
    caller.replies(invite, 200, tag="fork5", body=ANSWER)
    caller.replies(invite, 200, tag="fork99", body=ANSWER)
    assert [bye.to.tag for bye in caller.peer.requests("BYE")] == ["fork99"]
    assert {message.to.tag for message in caller.peer.requests("ACK")} == {"fork5", "fork99"}
    settle(caller)


def test_refused_call_leaves_no_early_dialog(caller: Caller) -> None:
    invite = caller.calling()
    caller.replies(invite, 183, tag="a", extra=RELIABLE, body=ANSWER)
    caller.replies(invite, 486, tag="a")
    assert caller.us.events[-1] == InviteFailed(caller.id, 486, "Busy Here")
    assert caller.us.ua.load["dialogs"] == 0
    settle(caller)


def test_two_agents_of_ours_agree_reliably() -> None:
    network = Network()
    alice, bob = Agent(network, "10.0.0.1"), Agent(network, "10.0.0.2")
    call = alice.ua.invite(alice.now, InviteRequest(target_uri="sip:b@10.0.0.2", sdp=OFFER, caller="a"))
    alice.drain()
    network.run(0.1)
    incoming = bob.events[0].id  # type: ignore[union-attr]
    bob.ua.ring(bob.now, incoming, 183, ANSWER)  # type: ignore[arg-type]
    bob.ua.answer(bob.now, incoming, ANSWER)  # type: ignore[arg-type]
    bob.drain()
    network.run(0.2)
    assert len(network.sent(alice, "PRACK")) == 1
    assert [event.sdp for event in (*alice.got(InviteProgress), *alice.got(InviteAnswered))] == [ANSWER, ANSWER]
    assert bob.got(InviteConfirmed) == [InviteConfirmed(incoming, None)]  # type: ignore[arg-type]
    assert alice.got(InviteAnswered)[0].id == call
