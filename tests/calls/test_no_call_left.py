"""No order of events and timers leaves a call alive after its last timer: joined, transferred, forked, held, recorded.

Whatever far sides, clients, the media plane and the clock do, in any order: once nothing more happens but time, the
calls end, and with them everything that they held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_forking import RING_STEP_S, House
from test_pages import USERS, Pages, flow
from world import DURATION_S, PATH, RING_S, World, world

from fakes import ACCOUNT, browser_answer, browser_offer, phone_answer, phone_offer
from trunkline.calls.events import (
    DtmfMethod,
    FollowRequested,
    HoldRequested,
    MuteRequested,
    ResumeRequested,
    TransferRequested,
)
from trunkline.calls.legs.sip_leg import SipLeg
from trunkline.calls.legs.sip_party import OutboundCall
from trunkline.calls.model import CallEnd, CallRequest, EndReason, Side, TransferPolicy
from trunkline.calls.pages import PageSettings
from trunkline.calls.player_leg import PlayerLeg
from trunkline.calls.sessions import CallOrder, WebSession
from trunkline.calls.sip_events import Newcomer
from trunkline.errors import CallNotFound, MediaError, TrunklineError
from trunkline.ids import CallId
from trunkline.media.types import BridgeFailed, Direction, EndpointClosed, FirstPacketMissing, MediaInactive
from trunkline.sip.types import (
    EndCause,
    FlowClosed,
    IncomingInvite,
    InfoReceived,
    InviteAnswered,
    InviteConfirmed,
    InviteEnded,
    InviteFailed,
    InviteId,
    InviteProgress,
    InviteTrying,
    ReferAnswered,
    ReferId,
    ReferProgress,
    ReferReceived,
    ReinviteAnswered,
    ReinviteFailed,
    ReinviteReceived,
)

LAST_TIMER_S = DURATION_S + RING_S + 1


class Life:
    """What can happen to the calls of a gateway. dice: chooses whom and how."""

    def __init__(self, w: World, h: House, dice: Random) -> None:
        self.w, self.h, self.dice = w, h, dice
        self.number = 900
        self.inbound: list[InviteId] = []

    # --- calls begin ---

    async def forked(self) -> None:
        with suppress(TrunklineError, AssertionError):
            self.inbound.append(InviteId(900))
            await self.h.ring()

    async def from_browser(self) -> None:
        name = CallId(f"web-{self.dice.randrange(3)}")
        with suppress(TrunklineError):
            self.session.place_call(CallOrder(call_id=name, callee="100", offer=browser_offer()))

    async def from_rest(self) -> None:
        what = OutboundCall(account=ACCOUNT, target="100")
        with suppress(TrunklineError):
            self.w.controller.start(
                CallRequest(id=self.w.controller.new_call_id(), caller="1", callee="2"),
                PlayerLeg,
                lambda context: SipLeg(context, self.w.access, what),
            )

    async def from_trunk(self) -> None:
        self.number += 1
        invite = self.w.incoming_invite(phone_offer() if self.dice.random() < 0.8 else None, self.number)
        what = OutboundCall(account=ACCOUNT, target="100")
        self.inbound.append(invite.id)
        with suppress(TrunklineError):
            self.w.controller.start(
                CallRequest(id=self.w.controller.new_call_id(), caller="1", callee="2"),
                lambda context: SipLeg(context, self.w.access, invite, account=ACCOUNT),
                lambda context: SipLeg(context, self.w.access, what),
            )

    # --- far sides ---

    @property
    def session(self) -> WebSession:
        return self.dice.choice(self.h.sessions)

    def outbound(self) -> tuple[InviteId, str] | None:
        invites = self.w.sip.invites
        if not invites:
            return None
        request, invite = self.dice.choice(invites)
        return invite, request.sdp or ""

    def any_invite(self) -> InviteId:
        known = [*self.inbound, *(invite for _, invite in self.w.sip.invites)]
        return self.dice.choice(known) if known else InviteId(1)

    def answer_to(self, offer: str) -> str | None:
        if not offer or self.dice.random() < 0.1:
            return None
        return browser_answer(offer) if "ice-ufrag" in offer else phone_answer(offer)

    async def callee_says(self) -> None:
        found = self.outbound()
        if found is None:
            return
        invite, offer = found
        self.w.events.handle(
            self.dice.choice(
                (
                    InviteTrying(invite),
                    InviteProgress(invite, 180, "Ringing", None),
                    InviteProgress(invite, 183, "Session Progress", self.answer_to(offer)),
                    InviteAnswered(invite, self.answer_to(offer)),
                    InviteAnswered(invite, self.answer_to(offer)),
                    InviteAnswered(invite, "v=0\r\nnonsense"),
                    InviteFailed(invite, self.dice.choice((302, 401, 404, 408, 480, 486, 488, 503, 603)), "No"),
                )
            )
        )

    async def party_says(self) -> None:
        invite = self.any_invite()
        direction = self.dice.choice(list(Direction))
        self.w.events.handle(
            self.dice.choice(
                (
                    InviteConfirmed(invite, None),
                    InviteConfirmed(invite, phone_answer(phone_offer())),
                    InviteEnded(invite, self.dice.choice(list(EndCause))),
                    ReinviteReceived(invite, phone_offer(direction=direction)),
                    ReinviteReceived(invite, None),
                    ReinviteReceived(invite, "nonsense"),
                    ReinviteAnswered(invite, phone_answer(phone_offer())),
                    ReinviteAnswered(invite, None),
                    ReinviteFailed(invite, self.dice.choice((408, 481, 488, 491)), "No"),
                    InfoReceived(invite, "5", 120),
                    ReferReceived(invite, ReferId(7), "sip:200@pbx.example", None, None, None, is_watched=True),
                    ReferAnswered(invite, ReferId(8), self.dice.choice((202, 403, 488, 603)), "", is_watched=True),
                    ReferProgress(invite, ReferId(8), self.dice.choice((100, 200, 486)), "", is_final=True),
                )
            )
        )

    async def somebody_replaces(self) -> None:
        self.number += 1
        newcomer = IncomingInvite(
            InviteId(self.number), None, "sip:9@x", "", "sip:y@z", phone_offer(), (), PATH, replaces=self.any_invite()
        )
        if self.w.events.replace(Newcomer(newcomer)):
            self.inbound.append(newcomer.id)

    async def page_goes(self) -> None:
        self.w.events.handle(FlowClosed(flow(self.dice.randrange(1, 4))))

    # --- clients ---

    async def browser_does(self) -> None:
        session = self.session
        calls = session.calls
        if not calls:
            return
        call, other = self.dice.choice(calls).id, self.dice.choice(calls).id
        web = self.h.webs[self.h.sessions.index(session)]
        sdp = next((each[2] for each in reversed(web.shown) if each[0] == "sdp"), "")
        with suppress(TrunklineError):
            self.dice.choice(
                (
                    lambda: session.answer(call, browser_answer(sdp) if "actpass" in sdp else "nonsense"),
                    lambda: session.hang_up(call),
                    lambda: session.hold(call),
                    lambda: session.unhold(call),
                    lambda: session.transfer(call, "200"),
                    lambda: session.transfer(call, "", other),
                    lambda: session.follow(call, is_accepted=self.dice.random() < 0.7),
                    lambda: session.send_dtmf(call, "1", DtmfMethod.RTP),
                )
            )()

    async def browser_goes(self) -> None:
        if len(self.h.sessions) > 1:
            session = self.h.sessions.pop()
            self.h.webs.pop()
            self.w.sessions.close(session)

    async def rest_does(self) -> None:
        calls = self.w.controller.registry.live()
        if not calls:
            return
        call, other = self.dice.choice(calls), self.dice.choice(calls)
        side = self.dice.choice(list(Side))

        def nobody(_: TrunklineError | None) -> None:
            pass

        with suppress(CallNotFound):
            self.w.controller.request(
                call.id,
                self.dice.choice(
                    (
                        HoldRequested(side, nobody),
                        ResumeRequested(side, nobody),
                        MuteRequested(side, True, nobody),
                        TransferRequested(side, "200", nobody),
                        TransferRequested(side, "", nobody, other.id),
                        FollowRequested(True, nobody),
                        FollowRequested(False, nobody),
                    )
                ),
            )

    async def rest_answers(self) -> None:
        calls = self.w.controller.registry.live()
        if calls:
            task = asyncio.ensure_future(self.w.controller.answer(self.dice.choice(calls).id))
            await self.w.settle()
            task.cancel()
            with suppress(TrunklineError, asyncio.CancelledError):
                await task

    async def rest_records(self) -> None:
        calls = self.w.controller.registry.live()
        if calls:
            verb: Callable[[CallId], Awaitable[object]] = self.dice.choice(
                (self.w.controller.record, self.w.controller.stop_recording)
            )
            with suppress(TrunklineError):
                await verb(self.dice.choice(calls).id)

    async def rest_terminates(self) -> None:
        calls = self.w.controller.registry.live()
        if calls:
            self.w.controller.hang_up(self.dice.choice(calls).id, CallEnd(EndReason.TERMINATED))

    # --- the media plane, and time ---

    async def media_does(self) -> None:
        if not self.w.media.live:
            return
        endpoint = self.dice.choice(list(self.w.media.live))
        call = self.w.media.live[endpoint].call
        listener = self.w.media.listeners.get(call)
        if listener is None:
            return
        event = self.dice.choice(
            (
                MediaInactive(call, endpoint, 60.0),
                FirstPacketMissing(call, endpoint, 60.0),
                BridgeFailed(call, "panic"),
                EndpointClosed(call, endpoint, "ice_timeout"),
            )
        )
        if isinstance(event, EndpointClosed):
            del self.w.media.live[endpoint]
        listener(event)

    async def media_refuses(self) -> None:
        verb = self.dice.choice(("bridge", "set_remote", "play"))
        self.w.media.refusals = {} if self.w.media.refusals else {verb: MediaError("no", "no")}

    async def time_goes_on(self) -> None:
        await self.w.advance(self.dice.choice((0.1, RING_STEP_S + 0.1, RING_S + 0.1, 100.0)))

    async def nothing_waits(self) -> None:
        await self.w.settle()


BIRTHS = ("forked", "from_browser", "from_rest", "from_trunk")
EVENTS = tuple(name for name, verb in vars(Life).items() if asyncio.iscoroutinefunction(verb) and name not in BIRTHS)


async def live(births: list[str], events: list[str], seed: int) -> None:
    async with world(transfers=TransferPolicy.ASK if seed % 3 == 0 else TransferPolicy.FOLLOW) as w:
        h = House(w, Pages(w, PageSettings(users=USERS)))
        for number in (1, 2, 3):
            await h.open_page(number, "0.5" if number == 3 else "")
        h.open_browser()
        h.open_browser()
        life = Life(w, h, Random(seed))
        for birth in births:
            await getattr(life, birth)()
        await w.settle()
        for event in events:
            await getattr(life, event)()
            if life.dice.random() < 0.8:  # else the next one comes before anybody has looked at this one
                await w.settle()
        w.media.refusals.clear()
        await w.settle()
        await w.advance(LAST_TIMER_S)
        await w.advance(LAST_TIMER_S)  # of a call that has taken over from another one meanwhile
        assert w.controller.registry.live() == ()
        assert not w.media.live
        assert all(session.calls == () for session in h.sessions)
        h.pages.registrations.stop()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    births=st.lists(st.sampled_from(BIRTHS), min_size=1, max_size=3),
    events=st.lists(st.sampled_from(EVENTS), max_size=25),
    seed=st.integers(0, 2**16),
)
def test_no_order_of_events_leaves_a_call_alive_after_its_last_timer(
    births: list[str], events: list[str], seed: int
) -> None:
    asyncio.run(live(births, events, seed))
