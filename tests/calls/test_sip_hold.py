"""A SIP side that holds a call whose other side speaks SIP too: what that one is told and hears.

RFC 3264 section 8.4, RFC 5359 section 2.1.
"""

from __future__ import annotations

import pytest
from world import HOLD_MUSIC, World, world

from fakes import phone_answer, phone_offer
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.legs.sip_party import OutboundCall
from trunkline.calls.model import Call, CallRequest, CallState, CallStatus, HoldPolicy, Side
from trunkline.ids import CallId
from trunkline.media.types import Direction
from trunkline.sdp.parser import parse
from trunkline.sip.types import (
    Account,
    InviteAnswered,
    InviteConfirmed,
    InviteId,
    ReinviteAnswered,
    ReinviteFailed,
    ReinviteReceived,
)

FIRST = InviteId(900)


async def joined(w: World) -> tuple[Call, InviteId]:
    """Have one SIP side call another. Returns the INVITE that went out."""
    account = Account(login="b", password="x", domain="carrier.example")
    call = w.controller.start(
        CallRequest(id=CallId("x"), caller="1", callee="2"),
        lambda context: SipLeg(context, w.access, w.incoming_invite(phone_offer())),
        lambda context: SipLeg(context, w.access, OutboundCall(account=account, target="2")),
    )
    await w.settle()
    second, offer = w.sent_invite()
    await w.sip_says(InviteAnswered(second, phone_answer(offer)))
    await w.sip_says(InviteConfirmed(FIRST, None))
    assert call.state is CallState.ESTABLISHED
    return call, second


async def offers(w: World, invite: InviteId, direction: Direction) -> Direction | None:
    """Have a side offer a direction; returns what it is answered."""
    await w.sip_says(ReinviteReceived(invite, phone_offer(direction=direction)))
    _, _, sdp, _ = w.sip.verbs("answer_reinvite")[-1]
    return parse(sdp).media[0].direction()


def offered(w: World) -> list[tuple[InviteId, Direction]]:
    """Whom we have offered what."""
    return [(invite, parse(sdp).media[0].direction()) for _, invite, sdp in w.sip.verbs("reinvite")]


async def agree(w: World, direction: Direction | None = None) -> None:
    """Have our last offer answered as a phone does, or in another direction."""
    _, invite, sdp = w.sip.verbs("reinvite")[-1]
    answer = phone_answer(sdp)
    if direction is not None:
        answer = answer.replace(f"a={parse(answer).media[0].direction()}", f"a={direction}")
    await w.sip_says(ReinviteAnswered(invite, answer))


@pytest.mark.parametrize(
    ("theirs", "ours", "passed_on"),
    [
        (Direction.SENDONLY, Direction.RECVONLY, Direction.SENDONLY),
        (Direction.INACTIVE, Direction.INACTIVE, Direction.INACTIVE),
    ],
)
@pytest.mark.parametrize("is_caller", [True, False])
async def test_a_hold_reaches_the_other_side_and_so_does_its_end(
    theirs: Direction, ours: Direction, passed_on: Direction, is_caller: bool
) -> None:
    async with world() as w:
        call, second = await joined(w)
        holder, held = (FIRST, second) if is_caller else (second, FIRST)
        assert await offers(w, holder, theirs) is ours
        assert offered(w) == [(held, passed_on)]
        await agree(w)
        assert (call.state, call.status) == (CallState.HELD, CallStatus.HOLD)
        assert all(not endpoint.heard for endpoint in w.media.live.values()), "the holder's own music is heard"
        assert await offers(w, holder, Direction.SENDRECV) is Direction.SENDRECV
        assert offered(w)[1:] == [(held, Direction.SENDRECV)]
        await agree(w)
        assert (call.state, call.status, call.holder) == (CallState.ESTABLISHED, CallStatus.ESTABLISHED, None)


async def test_by_policy_the_other_side_hears_our_music_instead() -> None:
    async with world(holds=HoldPolicy.MUSIC) as w:
        call, second = await joined(w)
        await offers(w, FIRST, Direction.INACTIVE)
        assert offered(w) == [(second, Direction.SENDONLY)]
        await agree(w)
        assert call.b is not None
        assert call.b.endpoint is not None
        assert w.media.live[call.b.endpoint].source == HOLD_MUSIC
        await offers(w, FIRST, Direction.SENDRECV)
        await agree(w)
        assert all(endpoint.source is None for endpoint in w.media.live.values())


async def test_by_policy_the_other_side_is_not_told() -> None:
    async with world(holds=HoldPolicy.KEEP) as w:
        call, _ = await joined(w)
        assert await offers(w, FIRST, Direction.SENDONLY) is Direction.RECVONLY
        assert offered(w) == []
        assert (call.state, call.status) == (CallState.ESTABLISHED, CallStatus.HOLD)
        await offers(w, FIRST, Direction.SENDRECV)
        assert call.status is CallStatus.ESTABLISHED


async def test_who_is_held_and_holds_as_well_does_not_end_the_others_hold() -> None:
    async with world() as w:
        call, second = await joined(w)
        await offers(w, FIRST, Direction.SENDONLY)
        await agree(w)
        await offers(w, second, Direction.INACTIVE)
        await offers(w, second, Direction.RECVONLY)
        assert (call.state, len(offered(w))) == (CallState.HELD, 1)


@pytest.mark.parametrize("is_first_to_hold_first_to_resume", [True, False])
async def test_both_hold_each_other_and_each_is_held_until_the_other_resumes(
    is_first_to_hold_first_to_resume: bool,
) -> None:
    async with world() as w:
        call, second = await joined(w)
        assert await offers(w, FIRST, Direction.SENDONLY) is Direction.RECVONLY
        await agree(w)
        assert await offers(w, second, Direction.INACTIVE) is Direction.INACTIVE
        if is_first_to_hold_first_to_resume:
            assert await offers(w, FIRST, Direction.SENDRECV) is Direction.SENDRECV
            await agree(w, Direction.INACTIVE)
            assert offered(w)[1:] == [(second, Direction.SENDRECV), (FIRST, Direction.INACTIVE)]
            await agree(w)
            assert (call.state, call.holder) == (CallState.HELD, Side.B)
            assert await offers(w, second, Direction.SENDRECV) is Direction.SENDRECV
            assert offered(w)[3:] == [(FIRST, Direction.SENDRECV)]
        else:
            assert await offers(w, second, Direction.SENDRECV) is Direction.SENDONLY
            assert (call.state, call.holder, call.status) == (CallState.HELD, Side.A, CallStatus.HOLD)
            assert await offers(w, FIRST, Direction.SENDRECV) is Direction.SENDRECV
            assert offered(w)[1:] == [(second, Direction.SENDRECV)]
        await agree(w)
        assert (call.state, call.status, call.holder) == (CallState.ESTABLISHED, CallStatus.ESTABLISHED, None)
        assert all(endpoint.source is None for endpoint in w.media.live.values())


async def test_a_hold_that_the_other_side_refuses_stands_between_the_holder_and_us() -> None:
    async with world() as w:
        call, second = await joined(w)
        await offers(w, FIRST, Direction.SENDONLY)
        await w.sip_says(ReinviteFailed(second, 488, "Not Acceptable Here"))
        assert (call.state, call.status) == (CallState.ESTABLISHED, CallStatus.HOLD)
        await offers(w, FIRST, Direction.SENDRECV)
        assert (call.status, len(offered(w))) == (CallStatus.ESTABLISHED, 1)


async def test_a_resume_that_overtakes_the_hold_is_put_off() -> None:
    async with world() as w:
        call, _ = await joined(w)
        await offers(w, FIRST, Direction.SENDONLY)
        await w.sip_says(ReinviteReceived(FIRST, phone_offer()))
        assert w.sip.verbs("answer_reinvite")[-1][2:] == (None, 491)
        await agree(w)
        await offers(w, FIRST, Direction.SENDRECV)
        await agree(w)
        assert call.state is CallState.ESTABLISHED
