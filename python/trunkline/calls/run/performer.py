"""What a call does: carries out the actions of the machine's rows, one function each.

Owns the parts of one call: legs, media, clocks, recording, digits, holds, succession. Only writer of the `Call` beside
the legs. Decides nothing: which action, and when, is the machine's. Must not know what a leg speaks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from trunkline.calls import quality
from trunkline.calls.actions import Action
from trunkline.calls.events import (
    CallEvent,
    DtmfHeard,
    DtmfRequested,
    FollowRequested,
    HoldRequested,
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
    RecordRequested,
    Request,
    SuccessorEvent,
    TextPassed,
    Timer,
    TransferRequested,
    end_of,
)
from trunkline.calls.machine import STATUS
from trunkline.calls.model import Call, CallEnd, CallState, CallStatus, EndReason, Side
from trunkline.calls.outcomes import all_of
from trunkline.calls.player_leg import PlayerLeg
from trunkline.calls.ports import Clock, LegPort, MediaPort
from trunkline.calls.run.clocks import Clocks, RunSettings
from trunkline.calls.run.digits import Digits
from trunkline.calls.run.holds import Holds
from trunkline.calls.run.media import CallMedia
from trunkline.calls.run.recording import Recorder
from trunkline.calls.run.succession import Host, Succession
from trunkline.errors import InvalidCallState, LegRejected, TransactionTimeout, TrunklineError
from trunkline.ids import MediaCallId
from trunkline.media.types import Direction
from trunkline.observability.logging import get_logger

_log = get_logger(__name__)

_Deed = Callable[["Performer", Any], Awaitable[None] | None]
_DeedT = TypeVar("_DeedT", bound=_Deed)

DEEDS: Final[dict[Action, _Deed]] = {}
"""What is done for each action. The event is one of those whose rows have the action."""


def _does(*actions: Action) -> Callable[[_DeedT], _DeedT]:
    def note(deed: _DeedT) -> _DeedT:
        DEEDS.update(dict.fromkeys(actions, deed))
        return deed

    return note


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What a call has of its node. media_call: its name there. host: the other calls."""

    media: MediaPort
    media_call: MediaCallId
    clock: Clock
    settings: RunSettings
    host: Host


class Performer:
    """The parts of one call, and what is done with them. legs: filled in before the first action.

    post: takes what legs, media and clocks tell. post_first: takes what must not wait behind other events.
    """

    __slots__ = (
        *("call", "legs", "media", "request", "succession"),
        *("_clock", "_clocks", "_digits", "_holds", "_host", "_post", "_recorder"),
    )

    def __init__(
        self,
        call: Call,
        context: RunContext,
        *,
        post: Callable[[CallEvent], None],
        post_first: Callable[[CallEvent], None],
    ) -> None:
        media, media_call, clock, settings = context.media, context.media_call, context.clock, context.settings
        self.call = call
        self.legs: dict[Side, LegPort] = {}
        self.request: Request | None = None
        """What a client waits for. One at a time: the machine refuses the next one."""
        self._clock = clock
        self._host = context.host
        self._post = post
        self._clocks = Clocks(clock, settings, post)
        self.media = CallMedia(
            media,
            media_call,
            self.legs,
            post,
            player_source=settings.player_source,
            hold_source=settings.hold_source,
        )
        self._recorder = Recorder(call, media, media_call, self.legs, clock=clock, settings=settings.recording)
        self.media.on_recorded = self._recorder.ended
        self._holds = Holds(self.legs, post, settings.holds)
        self._digits = Digits(call, self.legs, clock)
        self.succession = Succession(
            self.legs,
            self.media,
            self._clocks,
            context.host,
            post=post,
            post_first=post_first,
            policy=settings.transfers,
        )

    def perform(self, action: Action, event: CallEvent) -> Awaitable[None] | None:
        """Do what an action says; what is awaited is its outcome, None if there is nothing to wait for.

        Raises, at once or when awaited, what legs and media raise.
        """
        return DEEDS[action](self, event)

    def end(self, end: CallEnd) -> None:
        """Note that the call is over, and how, and tell the client that waits for something."""
        call = self.call
        self._reply(None if end.reason is EndReason.TRANSFERRED else InvalidCallState(f"the call ended: {end.info}"))
        call.state = CallState.ENDED
        call.end = end
        call.status = end.reason.value.status
        call.ended_at = self._clock.now()
        if end.sip_status:
            call.sip_status = end.sip_status

    def _reply(self, error: TrunklineError | None) -> None:
        request, self.request = self.request, None
        if request is not None:
            request.reply(error)

    # --- set-up ---

    @_does(Action.OPEN_A)
    def _open_a(self, _: CallEvent) -> Awaitable[None]:
        return self.legs[Side.A].open()

    @_does(Action.OPEN_B)
    def _open_b(self, _: CallEvent) -> Awaitable[None]:
        return self.legs[Side.B].open()

    @_does(Action.DIAL_B)
    def _dial_b(self, _: CallEvent) -> Awaitable[None]:
        return self.legs[Side.B].dial(self.legs[Side.A].codecs)

    @_does(Action.RING_A)
    def _ring_a(self, _: CallEvent) -> None:
        self.legs[Side.A].ring()

    @_does(Action.ACCEPT_B)
    def _accept_b(self, event: LegProgressed | LegAnswered) -> Awaitable[None]:
        return self.legs[Side.B].accept(event.description)

    @_does(Action.DESCRIBE_A)
    def _describe_a(self, _: CallEvent) -> Awaitable[None]:
        return self.legs[Side.A].describe(self.legs[Side.B].codecs)

    @_does(Action.JOIN)
    def _join(self, _: CallEvent) -> Awaitable[None]:
        self.call.has_early_media = self.call.state is CallState.EARLY
        return self.media.join()

    @_does(Action.EXPECT_MEDIA)
    def _expect_media(self, _: CallEvent) -> Awaitable[None]:
        return self.media.expect()

    @_does(Action.CONNECT_A)
    def _connect_a(self, _: CallEvent) -> None:
        self.legs[Side.A].connect()
        self.call.answered_at = self._clock.now()
        _log.info("call_answered", **quality.coding(self.call))

    @_does(Action.SETTLE_B)
    async def _settle_b(self, _: CallEvent) -> None:
        self.legs[Side.B] = await self.legs[Side.B].settle()

    @_does(Action.PICK_UP)
    async def _pick_up(self, _: CallEvent) -> None:
        call, player = self.call, PlayerLeg(self._host.context(self.call, Side.B, self._post))
        former, self.legs[Side.B] = self.legs[Side.B], player
        call.former.append(former.leg)
        call.b = player.leg
        former.hang_up(CallEnd(EndReason.ANSWERED_ELSEWHERE))
        await former.close()
        call.request = replace(call.request, session=None)  # the API's from here on, and whoever follows

    # --- clocks ---

    @_does(Action.ARM_SETUP)
    def _arm_setup(self, _: CallEvent) -> None:
        self._clocks.arm(Timer.SETUP)

    @_does(Action.ARM_RING)
    def _arm_ring(self, _: CallEvent) -> None:
        self._clocks.arm(Timer.RING)

    @_does(Action.DISARM_RING)
    def _disarm_ring(self, _: CallEvent) -> None:
        self._clocks.disarm(Timer.RING)

    @_does(Action.ARM_DURATION)
    def _arm_duration(self, _: CallEvent) -> None:
        self._clocks.disarm(Timer.SETUP)
        self._clocks.arm(Timer.DURATION)

    @_does(Action.DISARM_TIMERS)
    def _disarm_timers(self, _: CallEvent) -> None:
        self._clocks.disarm_all()

    # --- offers within the call ---

    @_does(Action.ANSWER_OFFER)
    async def _answer_offer(self, event: LegReoffered) -> None:
        offering = self.legs[event.side]
        was_holding = offering.leg.is_holding
        await offering.answer_offer(event.description)
        if offering.leg.is_holding is not was_holding:
            self._holds.changed(self.call, event.side)

    @_does(Action.REFUSE_OFFER)
    def _refuse_offer(self, event: LegReoffered) -> None:
        self.legs[event.side].refuse_offer()

    @_does(Action.TAKE_ANSWER)
    def _take_answer(self, event: LegDescribed) -> Awaitable[None]:
        return self.legs[event.side].accept(event.description)

    @_does(Action.HOLD_LEG)
    async def _hold_leg(self, event: HoldRequested) -> None:
        direction = Direction.INACTIVE if event.is_silent else Direction.SENDONLY
        await self.legs[event.side.other].offer_again(direction)
        self.call.holder, self.call.is_held_for_transfer = event.side, event.is_for_transfer

    @_does(Action.RESUME_LEG)
    def _resume_leg(self, _: CallEvent) -> Awaitable[None]:
        assert self.call.holder is not None
        return self.legs[self.call.holder.other].offer_again(Direction.SENDRECV)

    @_does(Action.START_MUSIC)
    def _start_music(self, event: LegDescribed) -> Awaitable[None] | None:
        if isinstance(self.request, HoldRequested) and not self.request.has_music:
            return None
        return self.media.start_music(event.side)

    @_does(Action.STOP_MUSIC)
    async def _stop_music(self, _: CallEvent) -> None:
        self.call.holder, self.call.is_held_for_transfer = None, False
        await self.media.stop_music()
        self._holds.ended(self.call)

    # --- transfers ---

    @_does(Action.SEND_ON)
    def _send_on(self, event: TransferRequested) -> None:
        leg = None if event.consulted is None else self._host.consulted(event.consulted)
        self.legs[event.side.other].send_on(event.target, leg)
        self.call.target = event.target

    @_does(Action.CONSIDER)
    def _consider(self, event: LegReferred) -> None:
        self.succession.consider(self.call, event)

    @_does(Action.REFUSE_REFERRAL)
    def _refuse_referral(self, event: LegReferred) -> None:
        self.succession.refuse(event.side)

    @_does(Action.CALL_NEXT)
    async def _call_next(self, event: FollowRequested) -> None:
        await self.succession.call_next(self.call)
        event.reply(None)

    @_does(Action.TELL_PROGRESS)
    def _tell_progress(self, _: CallEvent) -> None:
        self.succession.tell_progress()

    @_does(Action.HEAR_NEXT, Action.ACCEPT_NEXT)
    async def _accept_next(self, event: SuccessorEvent) -> None:
        match event.event:
            case LegProgressed(description) | LegAnswered(description) | LegDescribed(_, description):
                await self.succession.accept(description)
            case other:
                raise AssertionError(f"nothing to accept in {other}")

    @_does(Action.TAKE_OVER)
    async def _take_over(self, _: CallEvent) -> None:
        self.call = self._digits.call = await self.succession.take_over(self.call)
        self._recorder.serve(self.call)

    @_does(Action.GIVE_UP)
    async def _give_up(self, event: CallEvent) -> None:
        await self.succession.give_up(self.call, end_of(event))
        if isinstance(event, FollowRequested):
            event.reply(None)

    @_does(Action.TAKE_PLACE)
    def _take_place(self, event: LegReplaced) -> Awaitable[None]:
        return self.succession.take_place(self.call, event)

    @_does(Action.REFUSE_REPLACEMENT)
    def _refuse_replacement(self, event: LegReplaced) -> None:
        self.legs[event.side].refuse_replacement(491)

    @_does(Action.WAIT_ALONE)
    def _wait_alone(self, event: LegLeft) -> Awaitable[None]:
        return self.succession.wait_alone(event.side)

    @_does(Action.MOVE_CONSULTED)
    def _move_consulted(self, _: CallEvent) -> Awaitable[None]:
        request = self.request
        assert isinstance(request, TransferRequested)
        assert request.consulted is not None
        return self.succession.move(self.call, request.side, request.consulted)

    @_does(Action.JOIN_PARTIES)
    def _join_parties(self, _: CallEvent) -> Awaitable[None]:
        assert isinstance(self.request, TransferRequested)
        return self.succession.join_parties(self.call, self.request.side)

    @_does(Action.LEAVE_APART)
    def _leave_apart(self, event: CallEvent) -> Awaitable[None]:
        return self.succession.leave_apart(end_of(event))

    # --- what clients see, want and are told ---

    @_does(Action.REPORT)
    def _report(self, _: CallEvent) -> None:
        self.call.status = self._status()
        self.legs[Side.A].report()
        self.legs[Side.B].report()

    @_does(Action.REPORT_CHANGE)
    def _report_change(self, event: CallEvent) -> None:
        if self.call.status is not self._status():
            self._report(event)

    def _status(self) -> CallStatus:
        status = STATUS[self.call.state]
        is_held = any(leg.leg.is_holding for leg in self.legs.values())
        return CallStatus.HOLD if is_held and status is CallStatus.ESTABLISHED else status

    @_does(Action.GRANT)
    def _grant(self, _: CallEvent) -> None:
        self._reply(None)

    @_does(Action.DENY)
    def _deny(self, event: SuccessorEvent | LegStayed | LegRefused) -> None:
        call = self.call
        match event:
            case SuccessorEvent(_, LegEnded(end)):
                call.target = ""
                self._reply(_refusal(end.status, end.phrase))
            case LegStayed(_, status, phrase):
                call.target = ""
                self._reply(_refusal(status, phrase))
            case LegRefused(_, status, phrase):
                call.holder = call.holder if call.state is CallState.HELD else None
                self._reply(_refusal(status, phrase))
            case other:
                raise AssertionError(f"nobody refuses in {other}")

    @_does(Action.MUTE)
    async def _mute(self, event: MuteRequested) -> None:
        await self.media.mute(event.side, is_muted=event.is_muted)
        event.reply(None)

    @_does(Action.TELL)
    def _pass_text(self, event: TextPassed) -> None:
        self.legs[event.side.other].tell(event.text, event.reply)

    @_does(Action.RECORD)
    async def _record(self, event: RecordRequested) -> None:
        await (self._recorder.start(event.name) if event.name else self._recorder.stop())
        event.reply(None)

    @_does(Action.SEND_DTMF)
    def _send_dtmf(self, event: DtmfRequested) -> Awaitable[None]:
        return self._digits.request(event)

    @_does(Action.NOTE_DTMF)
    def _note_dtmf(self, event: DtmfHeard) -> Awaitable[None]:
        return self._digits.note(event)

    # --- the end ---

    @_does(Action.DROP_NEXT)
    def _drop_next(self, _: CallEvent) -> None:
        assert self.call.end is not None
        self.succession.drop(self.call, self.call.end)

    @_does(Action.HANG_UP_B)
    def _hang_up_b(self, _: CallEvent) -> None:
        assert self.call.end is not None
        self.legs[Side.B].hang_up(self.call.end)

    @_does(Action.HANG_UP_A)
    def _hang_up_a(self, _: CallEvent) -> None:
        assert self.call.end is not None
        self.legs[Side.A].hang_up(self.call.end)

    @_does(Action.END_RECORDING)
    def _end_recording(self, _: CallEvent) -> Awaitable[None] | None:
        return self._recorder.end() if self._recorder.is_running else None

    @_does(Action.CLOSE_ENDPOINTS)
    def _close_endpoints(self, _: CallEvent) -> Awaitable[None]:
        return all_of(self.legs[Side.B].close(), self.legs[Side.A].close(), self.succession.close())

    @_does(Action.FORGET)
    def _forget(self, _: CallEvent) -> None:
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
