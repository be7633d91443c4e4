"""A user with several places, pages and browsers of the SDK: which ring, who gets the call, and what the others hear.

RFC 3261 sections 16.6 and 16.7.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from test_pages import ACCOUNT, GATEWAY, RING_STEP_S, USERS, Pages, flow
from world import PATH, RING_S, World, reason, world

from fakes import FakeWeb, browser_answer, phone_offer
from trunkline.calls.legs.fork import Place
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.model import Call, CallRequest, CallState, CallStatus, EndReason
from trunkline.calls.pages import PageSettings
from trunkline.calls.ringer import Announcement, Ringer
from trunkline.calls.sessions import WebSession
from trunkline.calls.sip_events import Newcomer
from trunkline.errors import LocalProtocolError
from trunkline.ids import CallId
from trunkline.sip.types import (
    EndCause,
    FlowClosed,
    IncomingInvite,
    InviteAnswered,
    InviteEnded,
    InviteFailed,
    InviteId,
    InviteProgress,
    ReinviteReceived,
)

ELSEWHERE = (200, "Call completed elsewhere")
CALLER = InviteId(900)


class House:
    """Bob's places: pages, which register with a `q` each, and browsers of the SDK."""

    def __init__(self, w: World, pages: Pages) -> None:
        self.w = w
        self.pages = pages
        self.ringer = Ringer(w.controller, w.clock, RING_STEP_S)
        self.webs: list[FakeWeb] = []
        self.sessions: list[WebSession] = []

    async def open_page(self, number: int, q: str = "") -> None:
        contact = f"sip:b{number}@x.invalid;transport=ws"
        await self.pages.register(
            "bob", path=flow(number), contact=contact, instance=f"<urn:uuid:{number}>", q=f";q={q}" if q else ""
        )

    def open_browser(self) -> WebSession:
        self.webs.append(FakeWeb())
        self.sessions.append(self.w.connect(web=self.webs[-1]))
        return self.sessions[-1]

    async def ring(self) -> Call:
        """Have somebody call Bob wherever he is."""
        here = Announcement(caller="carol", callee="100")
        places: tuple[Place, ...] = (
            *self.w.sessions.places_of(ACCOUNT.login, here),
            *self.pages.switch.places_of("bob", here),
        )
        call = self.ringer.ring(
            CallRequest(id=CallId("x"), caller="carol", callee="bob", incoming=True),
            lambda context: SipLeg(context, self.w.access, self.w.incoming_invite(phone_offer())),
            places,
        )
        await self.w.settle()
        return call

    def rung(self) -> list[str]:
        """The pages that were called, in order, by the number of each."""
        return [request.target_uri[5:].partition("@")[0] for request, _ in self.w.sip.invites]

    def invite_of(self, number: int) -> InviteId:
        (found,) = [id_ for request, id_ in self.w.sip.invites if request.target_uri.startswith(f"sip:b{number}@")]
        return found

    async def answer(self, number: int) -> None:
        invite = self.invite_of(number)
        offer = next(request.sdp for request, id_ in self.w.sip.invites if id_ == invite) or ""
        await self.w.sip_says(InviteAnswered(invite, browser_answer(offer)))

    async def refuse(self, number: int, status: int) -> None:
        await self.w.sip_says(InviteFailed(self.invite_of(number), status, "No"))

    def let_go(self) -> dict[InviteId, tuple[int | None, str | None]]:
        """What was said to each whom we hung up on."""
        return {invite: (status, phrase) for _, invite, status, phrase in self.w.sip.verbs("hangup")}


@asynccontextmanager
async def house(*pages: int, browsers: int = 0) -> AsyncIterator[tuple[World, House]]:
    async with world() as w:
        made = House(w, Pages(w, PageSettings(users=USERS)))
        for number in pages:
            await made.open_page(number)
        for _ in range(browsers):
            made.open_browser()
        yield w, made
        await w.controller.stop()
        await w.settle()
        made.pages.registrations.stop()


async def test_all_pages_of_a_user_ring_and_the_first_answer_wins() -> None:
    async with house(1, 2, 3) as (w, h):
        call = await h.ring()
        assert sorted(h.rung()) == ["1", "2", "3"]
        for number in (1, 2, 3):
            await w.sip_says(InviteProgress(h.invite_of(number), 180, "Ringing", None))
        assert {each[2] for each in w.sip.verbs("ring")} == {180}
        await h.answer(2)
        assert call.state is CallState.ESTABLISHED
        assert h.let_go() == {h.invite_of(1): ELSEWHERE, h.invite_of(3): ELSEWHERE}
        (browser, _), (phone, _) = w.media.endpoint("webrtc"), w.media.endpoint("rtp")
        assert {frozenset(pair) for pair in w.media.bridges.items()} == {frozenset((browser, phone))}
        assert (call.b and call.b.endpoint) == browser
        await w.sip_says(InviteEnded(h.invite_of(2), EndCause.REMOTE_BYE))
        assert reason(call) is EndReason.NORMAL


async def test_an_answer_that_comes_too_late_is_ended() -> None:
    async with house(1, 2) as (w, h):
        call = await h.ring()
        for invite in (h.invite_of(1), h.invite_of(2)):  # both before the call's task has looked at either
            w.events.handle(InviteAnswered(invite, browser_answer(w.sip.invites[0][0].sdp or "")))
        await w.settle()
        assert h.let_go() == {h.invite_of(2): ELSEWHERE}
        assert (call.state, len(w.media.live)) == (CallState.ESTABLISHED, 2)


@pytest.mark.parametrize(
    ("refusals", "told"),
    [((480, 486), 486), ((486, 480), 486), ((500, 404), 404), ((404, 480), 404), ((302, 503), 503), ((488, 415), 415)],
)
async def test_where_all_refuse_the_caller_learns_what_says_most(refusals: tuple[int, int], told: int) -> None:
    async with house(1, 2) as (_, h):
        call = await h.ring()
        for number, status in enumerate(refusals, 1):
            assert reason(call) is None
            await h.refuse(number, status)
        assert h.let_go()[CALLER] == (told, "No")


async def test_a_refusal_for_the_user_as_such_ends_the_call_everywhere() -> None:
    async with house(1, 2, browsers=1) as (_, h):
        await h.ring()
        await h.refuse(2, 603)
        assert h.let_go()[CALLER][0] == 603
        assert h.invite_of(1) in h.let_go()
        assert h.webs[0].statuses()[-1] is CallStatus.FAILED


async def test_who_declines_in_a_browser_declines_for_all_places() -> None:
    async with house(1, browsers=1) as (w, h):
        call = await h.ring()
        h.sessions[0].hang_up(call.id)
        await w.settle()
        assert h.let_go()[CALLER][0] == 603
        assert h.invite_of(1) in h.let_go()


async def test_places_with_a_lower_q_ring_once_the_others_have_had_their_time() -> None:
    async with house() as (w, h):
        await h.open_page(1, "0.5")
        await h.open_page(2)
        await h.open_page(3, "0.25")
        call = await h.ring()
        assert h.rung() == ["2"]
        await w.advance(RING_STEP_S - 0.1)
        assert h.rung() == ["2"]
        await w.advance(0.2)
        assert h.rung() == ["2", "1"]
        assert h.invite_of(2) in h.let_go(), "its time is over"
        await h.refuse(1, 486)
        assert h.rung() == ["2", "1", "3"], "nobody waits where all have refused"
        await h.answer(3)
        assert call.state is CallState.ESTABLISHED


async def test_nobody_rings_longer_than_a_call_may() -> None:
    async with house() as (w, h):
        for number in range(1, 6):
            await h.open_page(number, f"0.{number}")
        call = await h.ring()
        await w.advance(RING_S + 0.1)
        assert reason(call) is EndReason.NO_ANSWER
        assert len(h.rung()) <= RING_S / RING_STEP_S + 1


async def test_a_browser_that_answers_takes_the_call_from_pages_and_other_browsers() -> None:
    async with house(1, browsers=2) as (w, h):
        call = await h.ring()
        assert call.request.session is None, "nobody's yet"
        h.sessions[0].answer(call.id, browser_answer(h.webs[0].description()))
        await w.settle()
        assert call.state is CallState.ESTABLISHED
        assert call.request.session == h.sessions[0].id
        assert h.let_go() == {h.invite_of(1): ELSEWHERE}
        assert h.webs[0].statuses()[-1] is CallStatus.ESTABLISHED
        assert h.webs[1].statuses()[-1] is CallStatus.FINISH
        end = h.webs[1].shown[-1][2]
        assert end.reason is EndReason.ANSWERED_ELSEWHERE
        assert h.sessions[1].calls == ()
        h.sessions[0].hang_up(call.id)
        await w.settle()
        assert reason(call) is EndReason.NORMAL


async def test_a_page_that_answers_takes_the_call_from_browsers() -> None:
    async with house(1, browsers=1) as (_, h):
        call = await h.ring()
        await h.answer(1)
        assert call.state is CallState.ESTABLISHED
        assert h.webs[0].statuses()[-1] is CallStatus.FINISH
        assert CallStatus.ESTABLISHED not in h.webs[0].statuses()


async def test_a_caller_that_gives_up_stops_all_places() -> None:
    async with house(1, 2, browsers=1) as (w, h):
        await h.ring()
        await w.sip_says(InviteEnded(CALLER, EndCause.REMOTE_CANCEL))
        assert set(h.let_go()) == {h.invite_of(1), h.invite_of(2)}
        assert h.webs[0].statuses()[-1] is CallStatus.FINISH


async def test_a_server_that_found_somebody_else_stops_all_places_and_they_are_told_so() -> None:
    async with house(1, 2, browsers=1) as (w, h):
        call = await h.ring()
        await w.sip_says(InviteEnded(CALLER, EndCause.REMOTE_CANCEL, 200))
        assert set(h.let_go()) == {h.invite_of(1), h.invite_of(2)}
        assert {done[2:] for done in w.sip.verbs("hangup")} == {ELSEWHERE}
        assert reason(call) is EndReason.ANSWERED_ELSEWHERE


async def test_a_page_whose_websocket_is_lost_rings_no_more_and_the_others_go_on() -> None:
    async with house(1, 2) as (w, h):
        call = await h.ring()
        await w.sip_says(FlowClosed(flow(1)))
        await w.advance(0.1)
        assert reason(call) is None
        await h.answer(2)
        assert call.state is CallState.ESTABLISHED


async def test_a_place_that_cannot_be_called_is_left_out() -> None:
    async with house(1, browsers=1) as (w, h):
        w.sip.refusals["invite"] = LocalProtocolError("no way to put it on the wire")
        call = await h.ring()
        h.sessions[0].answer(call.id, browser_answer(h.webs[0].description()))
        await w.settle()
        assert call.state is CallState.ESTABLISHED


async def test_the_answer_in_a_reliable_183_stands_where_the_200_has_none() -> None:
    async with house(1, 2) as (w, h):
        call = await h.ring()
        sdp = browser_answer(w.sip.invites[0][0].sdp or "")
        first = w.sip.invites[0][1]
        await w.sip_says(InviteProgress(first, 183, "Session Progress", sdp))
        assert call.state is CallState.RINGING, "what one of several plays is not heard"
        await w.sip_says(InviteAnswered(first, None))
        assert call.state is CallState.ESTABLISHED


async def test_an_early_offer_of_a_place_is_put_off() -> None:
    async with house(1, 2) as (w, h):
        await h.ring()
        await w.sip_says(ReinviteReceived(h.invite_of(1), phone_offer()))
        assert w.sip.verbs("answer_reinvite")[-1][1:] == (h.invite_of(1), None, 491)


async def test_rest_takes_a_call_from_all_places() -> None:
    async with house(1, browsers=1) as (w, h):
        call = await h.ring()
        await w.controller.answer(call.id)
        assert call.state is CallState.ESTABLISHED
        assert h.let_go() == {h.invite_of(1): ELSEWHERE}
        assert h.webs[0].statuses()[-1] is CallStatus.FINISH


async def test_who_takes_over_from_one_that_rings_stops_the_others() -> None:
    async with house(1, 2) as (w, h):
        call = await h.ring()
        offer, rings = phone_offer(port=21_000), h.invite_of(2)
        taker = IncomingInvite(
            InviteId(950), None, "sip:200@pbx", "", f"sip:bob@{GATEWAY}", offer, (), PATH, replaces=rings
        )
        assert w.events.replace(Newcomer(taker))
        await w.settle()
        assert (call.state, call.request.caller) == (CallState.ESTABLISHED, "200")
        assert h.let_go() == {h.invite_of(1): ELSEWHERE, rings: ELSEWHERE}
        assert len(w.media.live) == 2


async def test_a_call_to_a_single_browser_is_that_browsers_from_the_start() -> None:
    async with house(browsers=1) as (_, h):
        call = await h.ring()
        assert call.request.session == h.sessions[0].id
