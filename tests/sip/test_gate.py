"""Who is let in before anything is kept of a request; servers that are asked whether they are there, or say nothing."""

from __future__ import annotations

from random import Random

import pytest

from sip.emulation import ANSWER, OFFER, Agent, Network, Peer
from sip.test_uas_rules import Stage
from sip.writing import reply, request
from trunkline.sip.gate import Admitted, Ignored, Turned, Verdict
from trunkline.sip.message import Message, Request
from trunkline.sip.types import (
    Account,
    IncomingInvite,
    InviteEnded,
    InviteFailed,
    InviteRequest,
    Path,
    Probed,
    Registered,
    UaConfig,
)
from trunkline.sip.ua import UserAgent


class Guard:
    """A gate that says what a test wants, and remembers what it was asked about."""

    def __init__(self, verdict: Verdict, *, answers: bool = True) -> None:
        self.verdict, self.answers = verdict, answers
        self.judged: list[str] = []

    def judge(self, now: float, request: Request, path: Path) -> Verdict:
        self.judged.append(f"{request.method} {path.remote[0]}")
        return self.verdict

    def may_answer(self, path: Path) -> bool:
        return self.answers


def guarded(guard: Guard) -> Stage:
    stage = Stage()
    stage.us.ua = UserAgent(UaConfig(), Random(1), gate=guard)
    return stage


def test_who_is_admitted_comes_up_with_its_name_and_later_requests_are_not_judged_again() -> None:
    guard = Guard(Admitted("carrier"))
    stage = guarded(guard)
    invite = request("INVITE", body=OFFER)
    stage.peer.send(invite, stage.us.address)
    stage.peer.send(invite, stage.us.address)
    stage.network.run(0.1)
    event = stage.us.last(IncomingInvite)
    assert event.peer == "carrier"
    guard.verdict = Turned(403, "strangers_refused")
    stage.us.ua.answer(stage.us.now, event.id, ANSWER)
    stage.us.drain()
    stage.network.run(0.1)
    answered = next(each for each in stage.peer.responses("INVITE") if each.status == 200)
    stage.peer.send(request("BYE", cseq=2, to_tag=answered.to.tag), stage.us.address)
    stage.network.run(0.1)
    assert stage.us.got(InviteEnded)
    assert guard.judged == ["INVITE 10.0.0.9"]


def test_who_is_turned_away_gets_the_answer_and_leaves_nothing_behind() -> None:
    stage = guarded(Guard(Turned(401, "strangers_challenged", (("WWW-Authenticate", 'Digest realm="x"'),))))
    stage.peer.send(request("INVITE", body=OFFER), stage.us.address)
    stage.network.run(0.1)
    (answer,) = stage.peer.responses()
    assert (answer.status, answer.headers.get("WWW-Authenticate")) == (401, 'Digest realm="x"')
    assert stage.us.ua.counters["strangers_challenged"] == 1
    assert not any(stage.us.ua.load.values())


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER", "BYE", "CANCEL"])
def test_who_is_ignored_learns_nothing(method: str) -> None:
    stage = guarded(Guard(Ignored("strangers_dropped"), answers=False))
    stage.peer.send(request(method, to_tag="made-up" if method == "BYE" else None), stage.us.address)
    stage.peer.send(b"INVITE sip:x@10.0.0.1 SIP/2.0\r\nVia: nonsense\r\nFrom: a\r\nTo: b\r\n\r\n", stage.us.address)
    stage.network.run(1)
    assert stage.peer.raw == []
    assert stage.us.ua.counters["strangers_dropped"] == 1
    assert not any(stage.us.ua.load.values())


def test_a_contact_that_we_registered_may_be_called_by_whoever_was_told_of_it() -> None:
    guard = Guard(Ignored("strangers_dropped"))
    stage = guarded(guard)

    def accept(message: Message) -> None:
        if isinstance(message, Request) and message.method == "REGISTER":
            contact = str(message.contacts[0].uri)
            stage.peer.send(reply(message, 200, contact=contact), stage.us.address)

    stage.peer.on_message = accept
    stage.us.ua.register(stage.us.now, Account(login="me", password="x", domain="10.0.0.9"))
    stage.us.drain()
    stage.network.run(0.1)
    stage.us.last(Registered)
    contact = str(stage.peer.requests("REGISTER")[0].contacts[0].uri)
    stage.peer.send(request("INVITE", contact, body=OFFER), stage.us.address)
    stage.network.run(0.1)
    assert stage.us.last(IncomingInvite).registration is not None
    assert guard.judged == []


def probe(answer: tuple[int, tuple[tuple[str, str], ...]] | None) -> tuple[Probed | None, float, Request]:
    network = Network()
    us, peer = Agent(network, "10.0.0.1"), Peer(network, "10.0.0.9")

    def respond(message: Message) -> None:
        if answer is not None:
            peer.send(reply(message, answer[0], extra=answer[1]), us.address)

    peer.on_message = respond
    began = network.now
    us.ua.probe(us.now, Account(login="me", password="secret", domain="10.0.0.9"), 2.0)
    us.drain()
    us.on_event = lambda event: took.append(network.now - began)
    took: list[float] = []
    network.run(40)
    found = us.got(Probed)
    assert len(found) <= 1
    assert us.ua.is_idle
    return (found[0] if found else None), took[0], peer.requests("OPTIONS")[0]


def test_a_server_that_answers_is_there_whatever_it_says() -> None:
    event, took, asked = probe((404, ()))
    assert event is not None
    assert (event.status, event.retry_after_s) == (404, None)
    assert took < 1
    assert str(asked.uri) == "sip:10.0.0.9"
    assert asked.headers.get("Authorization") is None


def test_a_server_that_wants_to_be_left_alone_says_for_how_long() -> None:
    event, _, _ = probe((503, (("Retry-After", "120 (maintenance);duration=60"),)))
    assert event is not None
    assert (event.status, event.retry_after_s) == (503, 120)


def test_a_silent_server_is_known_after_the_time_given_and_not_after_that_of_the_protocol() -> None:
    event, took, _ = probe(None)
    assert event is not None
    assert event.status == 408
    assert took == pytest.approx(2.0, abs=0.1)


def test_a_call_to_a_silent_server_fails_in_time_and_what_it_does_on_waking_up_is_ended() -> None:
    stage = Stage()
    stage.us.ua.invite(stage.us.now, InviteRequest(target_uri="sip:x@10.0.0.9", sdp=OFFER, caller="me", silence_s=3.0))
    stage.us.drain()
    stage.network.run(2.9)
    assert not stage.us.got(InviteFailed)
    stage.network.run(0.3)
    assert stage.us.last(InviteFailed).status == 408
    stage.peer.send(reply(stage.peer.requests("INVITE")[0], 180, contact="sip:peer@10.0.0.9"), stage.us.address)
    stage.network.run(0.1)
    assert stage.peer.requests("CANCEL")
    stage.peer.send(
        reply(stage.peer.requests("INVITE")[0], 200, contact="sip:peer@10.0.0.9", body=ANSWER), stage.us.address
    )
    stage.network.run(0.1)
    assert stage.peer.requests("ACK")
    assert stage.peer.requests("BYE")


def test_a_server_that_shows_life_has_all_the_time_it_wants_to_ring() -> None:
    stage = Stage()
    stage.us.ua.invite(stage.us.now, InviteRequest(target_uri="sip:x@10.0.0.9", sdp=OFFER, caller="me", silence_s=3.0))
    stage.us.drain()
    stage.network.run(1)
    stage.peer.send(reply(stage.peer.requests("INVITE")[0], 100), stage.us.address)
    stage.network.run(20)
    assert not stage.us.got(InviteFailed)


def test_a_caller_of_a_trunk_stands_in_from_while_the_account_answers_challenges() -> None:
    stage = Stage()
    account = Account(login="trunk", password="secret", domain="10.0.0.9")
    stage.us.ua.invite(
        stage.us.now,
        InviteRequest(target_uri="+4930", sdp=OFFER, account=account, from_uri="sip:+4940@carrier.example"),
    )
    stage.us.drain()
    stage.network.run(0.1)
    invite = stage.peer.requests("INVITE")[0]
    assert str(invite.from_.uri) == "sip:+4940@carrier.example"
    challenge = ("WWW-Authenticate", 'Digest realm="r", nonce="n", algorithm=MD5, qop="auth"')
    stage.peer.send(reply(invite, 401, extra=(challenge,)), stage.us.address)
    stage.network.run(0.1)
    assert 'username="trunk"' in (stage.peer.requests("INVITE")[-1].headers.get("Authorization") or "")
