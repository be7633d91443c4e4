"""The life of one call: takes events one at a time, asks `machine`, runs the actions.

Owns one call's inbox and teardown, and is the only writer of its `Call` beside the legs. One task runs it, so
nothing about a call happens twice at once. Must not know what a leg speaks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from trunkline.calls import quality
from trunkline.calls.actions import Action
from trunkline.calls.events import (
    ActionFailed,
    AnswerRequested,
    CallEvent,
    CallStarted,
    DtmfHeard,
    DtmfRequested,
    FollowRequested,
    HoldRequested,
    Input,
    LegAnswered,
    LegDescribed,
    LegEnded,
    LegLeft,
    LegProgressed,
    LegReferred,
    LegRefused,
    LegReoffered,
    LegReplaced,
    LegStayed,
    MuteRequested,
    Request,
    SuccessorEvent,
    Timer,
    TransferRequested,
    end_of,
    input_of,
)
from trunkline.calls.machine import CLOSING, STATUS, TABLE, step
from trunkline.calls.model import Call, CallEnd, CallState, CallStatus, EndReason, Side
from trunkline.calls.player_leg import PlayerLeg
from trunkline.calls.ports import Clock, LegPort, MediaPort
from trunkline.calls.run.clocks import Clocks, RunSettings
from trunkline.calls.run.digits import Digits
from trunkline.calls.run.failures import failure_of
from trunkline.calls.run.media import CallMedia
from trunkline.calls.run.succession import Host, Succession
from trunkline.errors import (
    CallNotFound,
    CapacityError,
    InvalidCallState,
    LegRejected,
    TransactionTimeout,
    TrunklineError,
)
from trunkline.ids import MediaCallId
from trunkline.media.types import Direction
from trunkline.observability.logging import bound, get_logger

_log = get_logger(__name__)

_AT_ONCE: Final = frozenset(
    {
        *(Action.ARM_SETUP, Action.ARM_RING, Action.DISARM_RING, Action.ARM_DURATION, Action.DISARM_TIMERS),
        *(Action.RING_A, Action.CONNECT_A, Action.REPORT, Action.REPORT_CHANGE, Action.GRANT),
        *(Action.HANG_UP_A, Action.HANG_UP_B, Action.FORGET),
    }
)
"""Actions that wait for nothing and need no event: two thirds of a call's. The others are matched one by one."""

INBOX_LIMIT: Final = 256
"""Events that may wait. A peer that sends faster loses events, but never one that ends the call."""


class CallRun:
    """One call. Make it, give it legs with `attach`, then `run` it to its end in a task of its own."""

    def __init__(
        self,
        call: Call,
        *,
        media: MediaPort,
        media_call: MediaCallId,
        clock: Clock,
        settings: RunSettings,
        host: Host,
    ) -> None:
        self.call = call
        self._clock = clock
        self._legs: dict[Side, LegPort] = {}
        self._inbox: deque[CallEvent] = deque((CallStarted(),))
        self._arrived = asyncio.Event()
        self._clocks = Clocks(clock, settings, self.post)
        self._media = CallMedia(
            media,
            media_call,
            self._legs,
            self.post,
            player_source=settings.player_source,
            hold_source=settings.hold_source,
        )
        self._digits = Digits(call, self._legs, clock)
        self._host = host
        self._succession = Succession(
            self._legs,
            self._media,
            self._clocks,
            host,
            post=self.post,
            post_first=self._inbox.appendleft,
            policy=settings.transfers,
        )
        self._request: Request | None = None
        """What a client waits for. One at a time: the machine refuses the next one."""

    @property
    def party(self) -> LegPort:
        """The leg that the client of the call talks to."""
        return self._legs[self.call.client_side.other]

    def attach(self, a: LegPort, b: LegPort) -> None:
        """Give the call its legs; once, before `run`."""
        self._legs.update({Side.A: a, Side.B: b})
        self.call.a, self.call.b = a.leg, b.leg

    def post(self, event: CallEvent) -> None:
        """Take an event; from the event loop. Events of an ended call are dropped."""
        if self.call.state is CallState.ENDED:
            if isinstance(event, Request):
                event.reply(CallNotFound(f"no call {self.call.id}"))
            return
        plain = event.event if isinstance(event, SuccessorEvent) else event
        if len(self._inbox) >= INBOX_LIMIT and input_of(plain) is not Input.ENDED:
            _log.warning("call_event_dropped", call_id=self.call.id, kind=input_of(plain).value)
            if isinstance(event, Request):
                event.reply(CapacityError("too much happens in the call"))
            return
        self._inbox.append(event)
        self._arrived.set()

    async def run(self, on_over: Callable[[Call], None]) -> None:
        """Live until the call has ended and everything of it is closed, then say so. Raises only cancellation."""
        call = self.call
        with bound(call_id=str(call.id)):  # of the first one: a successor's lines name it besides
            _log.info("call_started", a=call.a and call.a.kind, b=call.b and call.b.kind, callee=call.request.callee)
            self._media.listen()
            try:
                while self.call.state is not CallState.ENDED:
                    await self._take(await self._next_event())
            except Exception as error:  # this call's task boundary: a bug ends this call only
                _log.exception("call_crashed", error=type(error).__name__)
                await self._close(ActionFailed(CallEnd(EndReason.INTERNAL, phrase="internal error")))
            finally:
                if self.call.state is not CallState.ENDED:  # cancelled: tell the peers, the media plane goes as a whole
                    self._end(CallEnd(EndReason.SHUTDOWN))
                    self._perform_now(Action.DISARM_TIMERS)
                    self._perform_now(Action.DROP_NEXT)
                    self._perform_now(Action.HANG_UP_B)
                    self._perform_now(Action.HANG_UP_A)
                self._media.ignore()
                self._refuse_waiting()
                on_over(self.call)

    async def _next_event(self) -> CallEvent:
        """Wait for an event. Bounded: until the call ends, SETUP or DURATION is always running."""
        while not self._inbox:
            self._arrived.clear()
            await self._arrived.wait()
        return self._inbox.popleft()

    async def _take(self, event: CallEvent) -> None:
        """Do what the machine says about an event, unless it is of a leg that nobody waits for any more."""
        known = self._succession.unwrap(event)
        if known is not None:
            await self._run_row(known)

    async def _run_row(self, event: CallEvent) -> None:
        """Do what the machine says; an action that fails ends the row and becomes the next event.

        A request is different: what it cannot do is told to who asked, and the call is as it was. Only a call that
        cannot be answered ends: whoever it rang at is gone. And a leg that cannot take its place is over, no more.
        """
        before = self.call.state
        if isinstance(event, Request):
            if (before, input_of(event)) not in TABLE:
                event.reply(InvalidCallState(f"the call is {before}"))
                return
            if not isinstance(event, MuteRequested | FollowRequested):  # done at once, also while another one waits
                self._request = event
        while True:
            next_step = step(self.call.state, event)
            if next_step.state is CallState.ENDED:
                if self.call.state is not CallState.ENDED:
                    await self._close(event)
                if isinstance(event, FollowRequested):
                    event.reply(None)
                return
            if next_step.state is not self.call.state:
                _log.debug("call_state_changed", before=self.call.state.value, after=next_step.state.value)
            self.call.state = next_step.state
            try:
                for action in next_step.actions:
                    await self._perform(action, event)
            except (TrunklineError, TimeoutError) as error:
                _log.warning("call_action_failed", action=action.value, error=str(error), kind=type(error).__name__)
                if isinstance(event, Request) and not isinstance(event, AnswerRequested):
                    self.call.state = before
                    if self._request is event:
                        self._request = None
                    event.reply(error if isinstance(error, TrunklineError) else TransactionTimeout("no answer in time"))
                    return
                if action is Action.TAKE_PLACE:
                    self.call.state = before
                    return
                if isinstance(event, SuccessorEvent) and not isinstance(event.event, LegEnded):
                    self.call.state = before
                    event = SuccessorEvent(event.key, LegEnded(failure_of(error)))
                else:
                    event = ActionFailed(failure_of(error))
            else:
                return

    async def _close(self, event: CallEvent) -> None:
        """Run the closing row to its end, whatever fails on the way."""
        self._end(end_of(event))
        for action in CLOSING:
            try:
                await self._perform(action, event)
            except (TrunklineError, TimeoutError) as error:
                _log.warning("call_teardown_failed", action=action.value, error=str(error))
            except Exception as error:  # a bug, and teardown still goes on
                _log.exception("call_teardown_crashed", action=action.value, error=type(error).__name__)

    def _refuse_waiting(self) -> None:
        """Answer the requests that came too late to be looked at."""
        for event in self._inbox:
            if isinstance(event, Request):
                event.reply(CallNotFound(f"no call {self.call.id}"))
        self._inbox.clear()

    def _reply(self, error: TrunklineError | None) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.reply(error)

    def _end(self, end: CallEnd) -> None:
        call = self.call
        self._reply(None if end.reason is EndReason.TRANSFERRED else InvalidCallState(f"the call ended: {end.info}"))
        call.state = CallState.ENDED
        call.end = end
        call.status = end.reason.value.status
        call.ended_at = self._clock.now()
        if end.sip_status:
            call.sip_status = end.sip_status

    # --- actions ---

    async def _perform(self, action: Action, event: CallEvent) -> None:
        if action in _AT_ONCE:
            self._perform_now(action)
            return
        call, a, b = self.call, self._legs[Side.A], self._legs[Side.B]
        match action, event:
            case Action.OPEN_A, _:
                await a.open()
            case Action.OPEN_B, _:
                await b.open()
            case Action.DIAL_B, _:
                await b.dial(a.codecs)
            case Action.ACCEPT_B, LegProgressed(description) | LegAnswered(description):
                await b.accept(description)
            case Action.DESCRIBE_A, _:
                await a.describe(b.codecs)
            case Action.JOIN, _:
                call.has_early_media = call.state is CallState.EARLY
                await self._media.join()
            case Action.EXPECT_MEDIA, _:
                await self._media.expect()
            case Action.ANSWER_OFFER, LegReoffered(side, description):
                await self._legs[side].answer_offer(description)
            case Action.REFUSE_OFFER, LegReoffered(side):
                self._legs[side].refuse_offer()
            case Action.TAKE_ANSWER, LegDescribed(side, description):
                await self._legs[side].accept(description)
            case Action.PICK_UP, AnswerRequested():
                player = PlayerLeg(self._host.context(call, Side.B, self.post))
                await self._replace(Side.B, player, CallEnd(EndReason.ANSWERED_ELSEWHERE))
                call.request = replace(call.request, session=None)  # the API's from here on, and whoever follows
            case Action.HOLD_LEG, HoldRequested(side):
                await self._legs[side.other].offer_again(Direction.SENDONLY)
                call.holder, call.is_held_for_transfer = side, event.is_for_transfer
            case Action.RESUME_LEG, _:
                assert call.holder is not None
                await self._legs[call.holder.other].offer_again(Direction.SENDRECV)
            case Action.START_MUSIC, LegDescribed(side):
                await self._media.start_music(side)
            case Action.STOP_MUSIC, _:
                call.holder, call.is_held_for_transfer = None, False
                await self._media.stop_music()
            case Action.SEND_ON, TransferRequested(side, target, _, consulted):
                leg = None if consulted is None else self._host.consulted(consulted)
                self._legs[side.other].send_on(target, leg)
                call.target = target
            case Action.CONSIDER, LegReferred():
                self._succession.consider(call, event)
            case Action.REFUSE_REFERRAL, LegReferred(side):
                self._succession.refuse(side)
            case Action.CALL_NEXT, FollowRequested():
                await self._succession.call_next(call)
                event.reply(None)
            case Action.HEAR_NEXT | Action.ACCEPT_NEXT, SuccessorEvent(
                _, LegProgressed(description) | LegAnswered(description) | LegDescribed(_, description)
            ):
                await self._succession.accept(description)
            case Action.TAKE_OVER, _:
                self.call = self._digits.call = await self._succession.take_over(call)
            case Action.GIVE_UP, _:
                await self._succession.give_up(call, end_of(event))
                if isinstance(event, FollowRequested):
                    event.reply(None)
            case Action.TAKE_PLACE, LegReplaced():
                await self._succession.take_place(call, event)
            case Action.REFUSE_REPLACEMENT, LegReplaced(side):
                self._legs[side].refuse_replacement(491)
            case Action.WAIT_ALONE, LegLeft(side):
                await self._succession.wait_alone(side)
            case Action.MUTE, MuteRequested(side, is_muted):
                await self._media.mute(side, is_muted=is_muted)
                event.reply(None)
            case Action.MOVE_CONSULTED, _:
                request = self._request
                assert isinstance(request, TransferRequested)
                assert request.consulted is not None
                await self._succession.move(call, request.side, request.consulted)
            case Action.JOIN_PARTIES, _:
                assert isinstance(self._request, TransferRequested)
                await self._succession.join_parties(call, self._request.side)
            case Action.LEAVE_APART, _:
                await self._succession.leave_apart(end_of(event))
            case Action.DENY, SuccessorEvent(_, LegEnded(end)):
                call.target = ""
                self._reply(_refusal(end.status, end.phrase))
            case Action.DENY, LegStayed(_, status, phrase):
                call.target = ""
                self._reply(_refusal(status, phrase))
            case Action.DENY, LegRefused(_, status, phrase):
                call.holder = call.holder if call.state is CallState.HELD else None
                self._reply(_refusal(status, phrase))
            case Action.SEND_DTMF, DtmfRequested(side, digits, method):
                await self._digits.send(side, digits, method)
            case Action.NOTE_DTMF, DtmfHeard():
                await self._digits.note(event)
            case Action.PART, _:
                await self._media.part()
            case Action.CLOSE_ENDPOINTS, _:
                try:
                    await b.close()
                finally:
                    try:
                        await a.close()
                    finally:
                        await self._succession.close()
            case _:
                self._perform_now(action)

    def _perform_now(self, action: Action) -> None:
        """Run an action that waits for nothing."""
        a, b, call = self._legs[Side.A], self._legs[Side.B], self.call
        match action:
            case Action.ARM_SETUP:
                self._clocks.arm(Timer.SETUP)
            case Action.ARM_RING:
                self._clocks.arm(Timer.RING)
            case Action.DISARM_RING:
                self._clocks.disarm(Timer.RING)
            case Action.ARM_DURATION:
                self._clocks.disarm(Timer.SETUP)
                self._clocks.arm(Timer.DURATION)
            case Action.DISARM_TIMERS:
                self._clocks.disarm_all()
            case Action.RING_A:
                a.ring()
            case Action.CONNECT_A:
                a.connect()
                call.answered_at = self._clock.now()
                _log.info("call_answered", **quality.coding(call))
            case Action.REPORT:
                call.status = self._status()
                a.report()
                b.report()
            case Action.REPORT_CHANGE:
                if call.status is not self._status():
                    self._perform_now(Action.REPORT)
            case Action.TELL_PROGRESS:
                self._succession.tell_progress()
            case Action.DROP_NEXT:
                assert call.end is not None
                self._succession.drop(call, call.end)
            case Action.GRANT:
                self._reply(None)
            case Action.HANG_UP_B:
                assert call.end is not None
                b.hang_up(call.end)
            case Action.HANG_UP_A:
                assert call.end is not None
                a.hang_up(call.end)
            case Action.FORGET:
                self._log_end()
            case _:
                raise AssertionError(f"no way to run {action}")

    async def _replace(self, side: Side, leg: LegPort, end: CallEnd) -> None:
        """Put another leg in the place of one, which is ended."""
        former = self._legs[side]
        self._legs[side] = leg
        self.call.former.append(former.leg)
        if side is Side.A:
            self.call.a = leg.leg
        else:
            self.call.b = leg.leg
        former.hang_up(end)
        await former.close()

    def _status(self) -> CallStatus:
        status = STATUS[self.call.state]
        is_held = any(leg.leg.is_holding for leg in self._legs.values())
        return CallStatus.HOLD if is_held and status is CallStatus.ESTABLISHED else status

    def _log_end(self) -> None:
        call, end = self.call, self.call.end
        assert end is not None
        _log.info(
            "call_ended",
            reason=end.reason.code,
            by=end.by.value if end.by else "gateway",
            sip_status=end.status,
            q850=end.reason.value.q850,
            detail=end.phrase,
            duration_s=round((call.ended_at or 0) - call.answered_at, 3) if call.answered_at else 0,
            **quality.coding(call),
        )
        for leg in call.legs:
            if leg.stats is not None:
                _log.info("leg_quality", leg=leg.id, kind=leg.kind.value, **quality.fields(leg.stats))


def _refusal(status: int, phrase: str) -> TrunklineError:
    """Say why a far side did not do what a client wanted. Silence reads as 408 (RFC 3261 section 17.1.2.2)."""
    if status == TransactionTimeout.sip_status:
        return TransactionTimeout("the SIP side did not answer in time")
    return LegRejected(status, phrase)
