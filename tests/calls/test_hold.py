"""Hold, both ways: what a held SIP party is offered and hears, and what a browser is shown."""

import asyncio

import pytest
from test_outbound import answered
from world import HOLD_MUSIC, World, reason, world

from fakes import browser_answer, phone_answer, phone_offer
from trunkline.calls.events import HoldRequested, MuteRequested, ResumeRequested
from trunkline.calls.model import Call, CallState, CallStatus, EndReason, Side
from trunkline.errors import CallNotFound, InvalidCallState, LegRejected, MediaError, TransactionTimeout, TrunklineError
from trunkline.media.types import Direction, Tone, Voice
from trunkline.sdp.parser import parse
from trunkline.sip.types import EndCause, InviteEnded, InviteId, ReinviteAnswered, ReinviteFailed, ReinviteReceived


def offered(w: World) -> tuple[str, Direction]:
    """Return our newest re-INVITE's offer and what it wants."""
    text = w.sip.verbs("reinvite")[-1][2]
    return text, parse(text).media[0].direction()


async def agree(w: World, invite: InviteId) -> None:
    """Let the phone accept our newest re-INVITE as phones do."""
    await w.sip_says(ReinviteAnswered(invite, phone_answer(offered(w)[0])))


async def held(w: World):
    session, call, invite = await answered(w)
    session.hold(call.id)
    await w.settle()
    await agree(w, invite)
    assert call.state is CallState.HELD
    return session, call, invite


def phone(w: World):
    return w.media.endpoint("rtp")[1]


async def test_a_held_phone_is_offered_sendonly_and_hears_music_once_it_agreed():
    async with world() as w:
        session, call, invite = await answered(w)
        before = parse(w.sent_invite()[1])
        session.hold(call.id)
        await w.settle()
        offer, direction = offered(w)
        assert direction is Direction.SENDONLY
        assert parse(offer).media[0].port == before.media[0].port
        assert str(parse(offer).origin) != str(before.origin)
        assert (call.status, phone(w).source) == (CallStatus.ESTABLISHED, None), "nothing yet: it has not agreed"
        await agree(w, invite)
        assert phone(w).source == HOLD_MUSIC
        assert phone(w).audio.direction is Direction.SENDONLY
        assert w.web.statuses()[-1] is CallStatus.HOLD
        assert len(w.media.bridges) == 1, "the bridge stays: there is no gap when it goes on"


async def test_a_resumed_phone_is_offered_both_directions_and_the_music_ends():
    async with world() as w:
        session, call, invite = await held(w)
        session.unhold(call.id)
        await w.settle()
        assert offered(w)[1] is Direction.SENDRECV
        assert phone(w).source == HOLD_MUSIC, "until it has agreed"
        await agree(w, invite)
        assert phone(w).source is None
        assert phone(w).audio.direction is Direction.SENDRECV
        assert w.web.statuses()[-2:] == [CallStatus.HOLD, CallStatus.ESTABLISHED]
        assert call.holder is None


async def test_a_phone_that_refuses_to_be_held_goes_on_talking_and_the_browser_is_told_why():
    async with world() as w:
        session, call, invite = await answered(w)
        session.hold(call.id)
        await w.settle()
        await w.sip_says(ReinviteFailed(invite, 488, "Not Acceptable Here"))
        assert w.web.shown[-1] == ("failed", "hold", "488 Not Acceptable Here")
        assert (call.state, call.status, call.holder) == (CallState.ESTABLISHED, CallStatus.ESTABLISHED, None)
        assert phone(w).audio.direction is Direction.SENDRECV
        # A later re-INVITE of its own is answered as if nothing had been asked.
        await w.sip_says(ReinviteReceived(invite, phone_offer("PCMU")))
        assert parse(w.sip.verbs("answer_reinvite")[-1][2]).media[0].direction() is Direction.SENDRECV


async def test_a_phone_that_refuses_to_resume_stays_on_hold():
    async with world() as w:
        session, call, invite = await held(w)
        session.unhold(call.id)
        await w.settle()
        await w.sip_says(ReinviteFailed(invite, 500, "Server Error"))
        assert w.web.shown[-1] == ("failed", "unhold", "500 Server Error")
        assert (call.state, call.status, call.holder) == (CallState.HELD, CallStatus.HOLD, Side.A)
        assert phone(w).source == HOLD_MUSIC


async def test_a_held_phone_that_refreshes_the_session_is_not_let_off_hold():
    async with world() as w:
        _, call, invite = await held(w)
        await w.sip_says(ReinviteReceived(invite, phone_offer("PCMU")))
        answer = parse(w.sip.verbs("answer_reinvite")[-1][2])
        assert answer.media[0].direction() is Direction.SENDONLY
        assert call.status is CallStatus.HOLD


async def test_a_second_request_while_one_waits_for_the_phone_is_refused():
    async with world() as w:
        session, call, invite = await answered(w)
        session.hold(call.id)
        session.unhold(call.id)
        await w.settle()
        assert w.web.shown[-1][:2] == ("failed", "unhold")
        await agree(w, invite)
        assert call.status is CallStatus.HOLD
        assert len(w.sip.verbs("reinvite")) == 1


async def test_holding_twice_and_resuming_twice_is_no_error():
    async with world() as w:
        session, call, invite = await held(w)
        session.hold(call.id)
        await w.settle()
        session.unhold(call.id)
        await w.settle()
        await agree(w, invite)
        session.unhold(call.id)
        await w.settle()
        assert not [each for each in w.web.shown if each[0] == "failed"]
        assert len(w.sip.verbs("reinvite")) == 2


async def test_an_offer_of_the_phone_that_crosses_ours_is_asked_to_come_again():
    async with world() as w:
        session, call, invite = await answered(w)
        session.hold(call.id)
        await w.settle()
        await w.sip_says(ReinviteReceived(invite, phone_offer("PCMU")))
        assert w.sip.verbs("answer_reinvite")[-1][3] == 491


async def test_hold_without_music_is_still_a_hold():
    async with world() as w:
        session, call, invite = await answered(w)
        w.media.refusals["play"] = MediaError("file_unreadable", "/music.wav")
        session.hold(call.id)
        await w.settle()
        await agree(w, invite)
        assert call.status is CallStatus.HOLD
        assert reason(call) is None


@pytest.mark.parametrize("style", ["sendonly", "inactive", "0.0.0.0"])
async def test_a_phone_that_holds_us_is_shown_as_on_hold_and_as_talking_again(style: str):
    async with world() as w:
        _, call, invite = await answered(w)
        if style[0] == "0":
            offer = phone_offer("PCMU").replace("c=IN IP4 198.51.100.9", f"c=IN IP4 {style}")
        else:
            offer = phone_offer("PCMU", direction=Direction(style))
        await w.sip_says(ReinviteReceived(invite, offer))
        expected = Direction.INACTIVE if style == "inactive" else Direction.RECVONLY
        assert parse(w.sip.verbs("answer_reinvite")[-1][2]).media[0].direction() is expected
        assert w.web.statuses()[-1] is CallStatus.HOLD
        assert call.b is not None
        assert call.b.is_holding
        await w.sip_says(ReinviteReceived(invite, phone_offer("PCMU")))
        assert w.web.statuses()[-1] is CallStatus.ESTABLISHED
        shown = len(w.web.shown)
        await w.sip_says(ReinviteReceived(invite, phone_offer("PCMU")))
        assert len(w.web.shown) == shown, "a refresh is no news"


async def test_both_hold_each_other_and_let_go_one_after_the_other():
    async with world() as w:
        session, call, invite = await held(w)
        await w.sip_says(ReinviteReceived(invite, phone_offer("PCMU", direction=Direction.SENDONLY)))
        assert parse(w.sip.verbs("answer_reinvite")[-1][2]).media[0].direction() is Direction.INACTIVE
        session.unhold(call.id)
        await w.settle()
        offer = offered(w)[0]
        await w.sip_says(ReinviteAnswered(invite, phone_answer(offer).replace("a=sendrecv", "a=sendonly")))
        assert (call.state, call.status) == (CallState.ESTABLISHED, CallStatus.HOLD), "the phone holds us still"
        await w.sip_says(ReinviteReceived(invite, phone_offer("PCMU")))
        assert call.status is CallStatus.ESTABLISHED


async def test_an_incoming_call_is_held_by_the_browser_too():
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, phone_offer())
        (call,) = w.controller.find()
        session.answer(call.id, browser_answer(w.web.description()))
        await w.settle()
        session.hold(call.id, is_for_transfer=True)
        await w.settle()
        await agree(w, invite)
        assert (call.status, call.holder, call.is_held_for_transfer) == (CallStatus.HOLD, Side.B, True)


async def test_a_phone_hangs_up_while_on_hold():
    async with world() as w:
        _, call, invite = await held(w)
        await w.sip_says(InviteEnded(invite, EndCause.REMOTE_BYE))
        assert reason(call) is EndReason.NORMAL
        w.assert_nothing_left()


# --- who asks from outside learns the outcome ------------------------------------------------------------------------


async def ask(
    w: World, call: Call, *then: ReinviteAnswered | ReinviteFailed | InviteEnded, resume: bool = False
) -> None:
    """Hold or resume a call as REST does, letting the SIP side say something meanwhile."""
    kind = ResumeRequested if resume else HoldRequested
    task = asyncio.create_task(w.controller.ask(call.id, lambda reply: kind(call.client_side, reply)))
    await w.settle()
    for event in then:
        await w.sip_says(event)
    await w.settle()
    assert task.done()
    task.result()


async def test_asking_returns_once_the_phone_agreed_and_raises_what_it_said_instead():
    async with world() as w:
        _, call, invite = await answered(w)
        with pytest.raises(LegRejected) as refused:
            await ask(w, call, ReinviteFailed(invite, 403, "Forbidden"))
        assert refused.value.status == 403
        with pytest.raises(TransactionTimeout):
            await ask(w, call, ReinviteFailed(invite, 408, "Request Timeout"))
        with pytest.raises(InvalidCallState, match="Normal call clearing"):
            await ask(w, call, InviteEnded(invite, EndCause.REMOTE_BYE))
        with pytest.raises(CallNotFound):
            await ask(w, call)


async def test_a_call_that_is_not_answered_cannot_be_held():
    async with world() as w:
        call = await w.call(w.connect())
        with pytest.raises(InvalidCallState):
            await ask(w, call)
        assert not w.sip.verbs("reinvite")


async def test_a_media_plane_that_cannot_mute_fails_the_request_and_not_the_call():
    async with world() as w:
        _, call, _ = await answered(w)
        w.media.refusals["mute"] = MediaError("broken")
        with pytest.raises(MediaError):
            await w.controller.ask(call.id, lambda reply: MuteRequested(Side.A, True, reply))
        assert reason(call) is None
        assert call.state is CallState.ESTABLISHED
        del w.media.refusals["mute"]
        await w.controller.ask(call.id, lambda reply: MuteRequested(Side.A, True, reply))
        assert w.media.endpoint("webrtc")[1].muted == {Voice.SAYS}
        await w.controller.ask(call.id, lambda reply: MuteRequested(Side.A, False, reply))
        assert not w.media.endpoint("webrtc")[1].muted


async def test_muting_while_a_hold_waits_for_the_phone_leaves_both_with_their_own_outcome():
    async with world() as w:
        _, call, invite = await answered(w)
        outcomes: list[tuple[str, TrunklineError | None]] = []
        w.controller.request(call.id, HoldRequested(Side.A, lambda error: outcomes.append(("hold", error))))
        w.controller.request(call.id, MuteRequested(Side.A, True, lambda error: outcomes.append(("mute", error))))
        await w.settle()
        assert outcomes == [("mute", None)]
        await agree(w, invite)
        assert outcomes == [("mute", None), ("hold", None)]


async def test_a_call_that_the_api_cannot_answer_ends():
    async with world() as w:
        session = await w.registered()
        await w.incoming(session, phone_offer())
        (call,) = w.controller.find()
        w.media.refusals["set_remote"] = MediaError("broken")
        with pytest.raises(InvalidCallState):
            await w.controller.answer(call.id)
        assert reason(call) is EndReason.MEDIA_FAILED


async def test_a_call_answered_by_the_api_stops_ringing_at_the_browser_and_the_caller_hears_the_player():
    async with world() as w:
        session = await w.registered()
        invite = await w.incoming(session, phone_offer())
        (call,) = w.controller.find()
        await w.controller.answer(call.id)
        assert w.sip.verbs("answer")[0][1] == invite
        assert phone(w).source == Tone((440.0,))
        (_, status, end) = w.web.shown[-1]
        assert (status, end.reason) == (CallStatus.FINISH, EndReason.ANSWERED_ELSEWHERE)
        assert call.status is CallStatus.ESTABLISHED
        assert len(w.media.live) == 1, "the browser's endpoint is gone"
        with pytest.raises(CallNotFound):
            session.hang_up(call.id)
        with pytest.raises(InvalidCallState):
            await w.controller.answer(call.id)
        await ask(w, call, ReinviteAnswered(invite, None))
        assert phone(w).source == HOLD_MUSIC
        await ask(w, call, ReinviteAnswered(invite, None), resume=True)
        assert phone(w).source == Tone((440.0,)), "the player again"


async def test_only_incoming_calls_are_answered_by_the_api():
    async with world() as w:
        call = await w.call(w.connect())
        with pytest.raises(InvalidCallState, match="incoming"):
            await w.controller.answer(call.id)
