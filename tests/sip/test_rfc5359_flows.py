"""Call flows of RFC 5359, message by message, as a user agent sees them. Names and section numbers are the RFC's.

Not here: 2.10 and 2.11 need a mixer, which we are not; 2.13 and 2.14 are a proxy's, and a user agent sees a refusal
(RFC 3665, 3.9); 2.17 needs the dialog event package, and its SUBSCRIBE gets 489; 2.18 asks a phone out of the blue to
call somebody, which is refused with 403: `POST /call/startup` is our way.
"""

from __future__ import annotations

import pytest

from sip.emulation import ANSWER, OFFER
from sip.flows import Flow
from sip.test_uas_rules import Stage
from sip.writing import reply
from trunkline.sip.message import Response
from trunkline.sip.types import (
    IncomingInvite,
    InviteAnswered,
    InviteEnded,
    InviteId,
    InviteProgress,
    InviteRequest,
    MessageReceived,
    MessageRequest,
    ReferReceived,
    ReferRequest,
    ReinviteAnswered,
    ReinviteReceived,
)

HELD = OFFER + "a=sendonly\r\n"
MUSIC = OFFER.replace("10.0.0.1", "10.0.0.3")


def answering(flow: Flow, call: InviteId) -> None:
    """Let Alice agree to whatever Bob offers from now on."""
    flow.alice.on_event = lambda event: (
        flow.alice.ua.answer_reinvite(flow.alice.now, call, ANSWER) if isinstance(event, ReinviteReceived) else None
    )


def test_5359_2_1_call_hold() -> None:
    flow = Flow()
    call, at_bob = flow.connect()
    flow.said()
    answering(flow, call)
    for offer in (HELD, OFFER):
        flow.bob.ua.reinvite(flow.bob.now, at_bob, offer)
        flow.pass_time(flow.bob)
        assert flow.said() == ["B INVITE", "A 100 INVITE", "A 200 INVITE", "B ACK"]


def test_5359_2_2_consultation_hold() -> None:
    flow = Flow()
    call, at_bob = flow.connect()
    answering(flow, call)
    flow.said()
    flow.bob.ua.reinvite(flow.bob.now, at_bob, HELD)
    flow.pass_time(flow.bob)
    aside, _ = flow.call(flow.bob, flow.carol)
    flow.hang_up(flow.bob, aside)
    flow.bob.ua.reinvite(flow.bob.now, at_bob, OFFER)
    flow.pass_time(flow.bob)
    change = ["B INVITE", "A 100 INVITE", "A 200 INVITE", "B ACK"]
    assert flow.said() == [
        *change,
        *("B INVITE", "C 100 INVITE", "C 200 INVITE", "B ACK", "B BYE", "C 200 BYE"),
        *change,
    ]
    flow.hang_up(flow.alice, call)
    flow.settle()


def test_5359_2_3_music_on_hold() -> None:
    flow = Flow()
    call, at_bob = flow.connect()
    answering(flow, call)
    flow.said()
    flow.bob.ua.reinvite(flow.bob.now, at_bob, HELD)
    flow.pass_time(flow.bob)
    # Carol is the source of music: asked for her offer, which Alice is shown, and whose answer goes back in the ACK.
    music = flow.bob.ua.invite(flow.bob.now, InviteRequest(target_uri="sip:music@10.0.0.3", sdp=None, caller="b"))
    flow.pass_time(flow.bob)
    flow.carol.ua.answer(flow.carol.now, flow.carol.last(IncomingInvite).id, MUSIC)
    flow.pass_time(flow.carol)
    assert flow.bob.last(ReinviteReceived).sdp == MUSIC
    flow.bob.ua.reinvite(flow.bob.now, at_bob, MUSIC)
    flow.pass_time(flow.bob)
    assert flow.alice.last(ReinviteReceived).sdp == MUSIC
    agreed = flow.bob.last(ReinviteAnswered).sdp
    assert agreed is not None
    flow.bob.ua.answer_reinvite(flow.bob.now, music, agreed)
    flow.pass_time(flow.bob)
    said = [line for line in flow.said() if "100" not in line]
    change = ["B INVITE", "A 200 INVITE", "B ACK"]
    assert [line for line in said if not line.startswith("C")] == [*change, "B INVITE", *change, "B ACK"]
    flow.hang_up(flow.alice, call)
    flow.settle()


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


def test_5359_2_6_transfer_instant_messaging() -> None:
    flow = Flow()
    call, at_bob = flow.connect()
    flow.said()
    flow.bob.ua.send_message(flow.bob.now, MessageRequest(text="Call sip:carol@10.0.0.3", within=at_bob))
    flow.pass_time(flow.bob)
    told = flow.alice.last(MessageReceived)
    assert (told.text, told.invite) == ("Call sip:carol@10.0.0.3", call)
    flow.alice.ua.respond(flow.alice.now, told.request, 200)
    flow.pass_time(flow.alice)
    flow.hang_up(flow.bob, at_bob)
    flow.call(flow.alice, flow.carol)
    assert flow.said() == [
        *("B MESSAGE", "A 200 MESSAGE", "B BYE", "A 200 BYE"),
        *("A INVITE", "C 100 INVITE", "C 200 INVITE", "A ACK"),
    ]
    flow.settle()


FORWARDED = [
    pytest.param([(181, "proxy"), (180, "carol")], id="2.7 unconditional"),
    pytest.param([(100, "proxy"), (181, "proxy"), (180, "carol")], id="2.8 busy"),
    pytest.param([(180, "bob"), (181, "proxy"), (180, "carol")], id="2.9 no answer"),
    pytest.param([(180, "bob"), (180, "second"), (180, "carol")], id="2.12 find-me"),
]


@pytest.mark.parametrize("heard", FORWARDED)
def test_5359_2_7_to_2_9_call_forwarding_and_2_12_find_me(heard: list[tuple[int, str]]) -> None:
    stage = Stage()
    stage.us.ua.invite(stage.us.now, InviteRequest(target_uri="sip:bob@10.0.0.9", sdp=OFFER, caller="a"))
    stage.us.drain()
    stage.network.run(0.1)
    (invite,) = stage.peer.requests("INVITE")
    answers = [reply(invite, status, tag=tag, contact=f"sip:{tag}@10.0.0.9") for status, tag in heard]
    answers.append(reply(invite, 200, tag="carol", contact="sip:carol@10.0.0.9", body=ANSWER))
    for answer in answers:
        stage.ask(answer)
    assert [event.status for event in stage.us.got(InviteProgress)] == [status for status, _ in heard if status > 100]
    assert stage.us.last(InviteAnswered).sdp == ANSWER
    (acknowledged,) = stage.peer.requests("ACK")
    assert acknowledged.to.tag == "carol"


def bobs_side(flow: Flow, status: int) -> str:
    """Replaces for Bob's side of a call that he has answered with this status."""
    heard = next(m for m in flow.network.messages(flow.bob) if isinstance(m, Response) and m.status == status)
    return f"{heard.sip_call_id};to-tag={heard.from_.tag};from-tag={heard.to.tag}"


def test_5359_2_15_call_park() -> None:
    flow = Flow()
    call, _ = flow.connect()
    parked = flow.call(flow.carol, flow.alice, replaces=bobs_side(flow, 200))
    assert flow.alice.last(IncomingInvite).replaces == call
    flow.said()
    flow.hang_up(flow.alice, call)
    assert flow.said() == ["A BYE", "B 200 BYE"]
    flow.hang_up(flow.carol, parked[0])
    flow.settle()


def test_5359_2_16_call_pickup() -> None:
    flow = Flow()
    call, _ = flow.ring()
    text = f"{bobs_side(flow, 180)};early-only"
    flow.said()
    flow.call(flow.carol, flow.alice, replaces=text)
    assert flow.alice.last(IncomingInvite).replaces == call
    flow.hang_up(flow.alice, call)
    assert flow.said() == [
        *("C INVITE", "A 100 INVITE", "A 200 INVITE", "C ACK"),
        *("A CANCEL", "B 200 CANCEL", "B 487 INVITE", "A ACK"),
    ]
    assert flow.bob.got(InviteEnded)
    flow.settle()
