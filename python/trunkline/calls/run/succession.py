"""How another leg takes the place of one: a call whose far side has transferred us goes on with whom it named.

Owns the leg that is to come, until it is in its place, and what clients and the far side hear of it. The call that goes
on is one of its own, the successor, as WCS has it: it is called by whoever stays. Must not know what a leg speaks.
RFC 3515 sections 2.4.2 and 2.4.4.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from trunkline.calls.events import (
    CallEvent,
    FollowRequested,
    LegEnded,
    LegReferred,
    LegReplaced,
    SuccessorEvent,
    Timer,
    matters_early,
)
from trunkline.calls.legs.failures import failure_of
from trunkline.calls.media_leg import LegContext
from trunkline.calls.model import (
    Call,
    CallEnd,
    CallState,
    CallStatus,
    EndReason,
    Side,
    TransferPolicy,
    TransferStatus,
)
from trunkline.calls.ports import LegPort
from trunkline.calls.run.clocks import Clocks
from trunkline.calls.run.media import CallMedia
from trunkline.errors import InvalidCallState, TrunklineError
from trunkline.ids import CallId
from trunkline.observability.logging import get_logger

_log = get_logger(__name__)


class Host(Protocol):
    """What a call needs of the node, beside media and time."""

    def context(self, call: Call, side: Side, post: Callable[[CallEvent], None]) -> LegContext:
        """Return what a new leg of the call is given."""
        ...

    def consulted(self, call_id: CallId) -> LegPort:
        """Return the leg that an attended transfer leads to. CallNotFound, or InvalidCallState if not answered."""
        ...

    def new_call_id(self) -> CallId:
        """Name a call."""
        ...

    def now(self) -> float:
        """Unix time in seconds."""
        ...

    def announce(self, call: Call) -> None:
        """Let a successor be found."""

    def withdraw(self, call: Call) -> None:
        """Let a successor that came to nothing be gone."""

    def succeeded(self, former: Call, call: Call) -> None:
        """Learn that a call has ended, and that its successor is run in its place."""


@dataclass(slots=True)
class _Next:
    """Who is to come. key: of the leg's events. leg: None until it could be made. call: the successor."""

    key: int
    call: Call
    leg: LegPort | None = None


class Succession:
    """The successions of one call. legs: as they are at the time.

    post: takes what the legs to come do. post_first: takes what must not wait behind other events.
    """

    __slots__ = (
        *("_clocks", "_dropped", "_host", "_in_place", "_keys", "_legs", "_media", "_next"),
        *("_policy", "_post", "_post_first", "_referrer"),
    )

    def __init__(
        self,
        legs: dict[Side, LegPort],
        media: CallMedia,
        clocks: Clocks,
        host: Host,
        *,
        post: Callable[[CallEvent], None],
        post_first: Callable[[CallEvent], None],
        policy: TransferPolicy,
    ) -> None:
        self._legs = legs
        self._media = media
        self._clocks = clocks
        self._host = host
        self._post = post
        self._post_first = post_first
        self._policy = policy
        self._keys = itertools.count(1)
        self._in_place: set[int] = set()
        self._next: _Next | None = None
        self._dropped: LegPort | None = None
        """A leg that did not come into its place; its endpoint is still to be closed."""
        self._referrer: Side | None = None
        """Whose far side has asked for a transfer, until that has an outcome."""

    def unwrap(self, event: CallEvent) -> CallEvent | None:
        """Return what an event means by now: of a leg in its place the same as any, of one that is gone nothing."""
        if not isinstance(event, SuccessorEvent):
            return event
        if event.key in self._in_place:
            return event.event
        is_expected = self._next is not None and self._next.key == event.key
        return event if is_expected and matters_early(event.event) else None

    # --- a transfer that a far side asks for ---

    def refuse(self, side: Side) -> None:
        """Refuse a transfer that comes at the wrong time: 491, try again later."""
        self._legs[side].answer_referral(491)

    def consider(self, call: Call, event: LegReferred) -> None:
        """Agree, ask a client, or refuse. Agreed is told at once in either case, since a client may take its time."""
        leg, staying = self._legs[event.side], self._legs[event.side.other]
        if self._policy is TransferPolicy.REFUSE:
            leg.answer_referral(603)
            return
        leg.answer_referral(202)
        self._referrer = event.side
        call.target, call.transfer = event.target, TransferStatus.PENDING
        must_ask = self._policy is TransferPolicy.ASK
        _log.info("transfer_received", leg=event.side.value, must_ask=must_ask)
        staying.show_transfer(by=event.by, must_ask=must_ask)
        if must_ask:
            self._clocks.arm(Timer.CONSENT)
        else:
            self._post_first(FollowRequested(True, _nobody_waits))

    async def call_next(self, call: Call) -> None:
        """Call whom the far side named. What fails comes back as the end of that leg.

        InvalidCallState if no transfer waits for this.
        """
        side = self._referrer
        if side is None or self._next is not None:
            raise InvalidCallState("no transfer waits for an answer")
        self._clocks.disarm(Timer.CONSENT)
        staying = self._legs[side.other]
        coming = self._next = _Next(next(self._keys), self._successor_of(call))
        call.successor, call.transfer = coming.call, TransferStatus.PROCESSING
        self._host.announce(coming.call)
        staying.show_transfer()
        staying.introduce(coming.call)
        self._clocks.arm(Timer.SUCCESSOR)
        try:
            context = self._host.context(
                coming.call, Side.B, lambda event: self._post(SuccessorEvent(coming.key, event))
            )
            coming.leg = self._legs[side].successor(context)
            coming.call.b = coming.leg.leg
            await coming.leg.open()
            await coming.leg.dial(staying.codecs)
        except (TrunklineError, TimeoutError) as error:
            self._post_first(SuccessorEvent(coming.key, LegEnded(failure_of(error))))

    def _successor_of(self, call: Call) -> Call:
        own = call.request.callee if call.request.incoming else call.request.caller
        request = replace(
            call.request, id=self._host.new_call_id(), parent=call.id, caller=own, callee=call.target, incoming=False
        )
        return Call(request, self._host.now(), CallState.DIALING)

    def tell_progress(self) -> None:
        """Let the far side know that whom it named is being alerted."""
        coming, side = self._next, self._referrer
        if coming is not None and side is not None:
            status = coming.call.sip_status
            coming.call.status = CallStatus.RING if status >= 180 else CallStatus.TRYING
            self._legs[side].tell_referral(max(status, 100), "")

    async def accept(self, description: str) -> None:
        """Take the description of who is called. Raises as `LegPort.accept` does."""
        if self._next is not None and self._next.leg is not None:
            await self._next.leg.accept(description)

    async def take_over(self, call: Call) -> Call:
        """Let the leg to come take its place; returns the successor, which the run goes on with.

        First media, in one step, so that nobody misses a word. MediaError or TimeoutError: nothing has changed.
        """
        coming, side = self._next, self._referrer
        assert coming is not None
        assert coming.leg is not None
        assert side is not None
        former, staying = self._legs[side], self._legs[side.other]
        before = dict(self._legs)
        self._legs.update({Side.A: staying, Side.B: coming.leg})
        try:
            await self._media.join_again()
        except (TrunklineError, TimeoutError):
            self._legs.update(before)
            raise
        self._settle(coming)
        end = CallEnd(EndReason.TRANSFERRED, by=side)
        now = self._host.now()
        call.transfer = TransferStatus.COMPLETED
        _close(call, end, now)
        child = coming.call
        child.state, child.status, child.answered_at = CallState.ESTABLISHED, CallStatus.ESTABLISHED, now
        child.a = staying.leg
        staying.serve(child, Side.A)
        staying.report()
        staying.succeeded(call)
        former.tell_referral(200, "OK")
        former.hang_up(end)
        await former.close()
        self._host.succeeded(call, child)
        _log.info("transfer_followed", successor=child.id)
        return child

    # --- parties that are joined because one of them takes no REFER ---

    async def move(self, call: Call, side: Side, consulted: CallId) -> None:
        """Ask whom a client has consulted to come into this call, in the client's place. What fails ends its leg."""
        coming = self._next = _Next(next(self._keys), call)
        try:
            context = self._host.context(call, side, lambda event: self._post(SuccessorEvent(coming.key, event)))
            coming.leg = self._host.consulted(consulted).moved(context)
            await coming.leg.open()
            await coming.leg.dial(self._legs[side.other].codecs)
        except (TrunklineError, TimeoutError) as error:
            self._post_first(SuccessorEvent(coming.key, LegEnded(failure_of(error))))

    async def join_parties(self, call: Call, side: Side) -> None:
        """Put it in the client's place, which is let go. MediaError or TimeoutError: nothing has changed."""
        coming = self._next
        assert coming is not None
        assert coming.leg is not None
        former = self._legs[side]
        self._legs[side] = coming.leg
        try:
            await self._media.join_again()
        except (TrunklineError, TimeoutError):
            self._legs[side] = former
            raise
        self._settle(coming)
        _put(call, side, coming.leg)
        call.former.append(former.leg)
        _log.info("parties_joined", leg=side.value)
        former.hang_up(CallEnd(EndReason.TRANSFERRED, by=side.other))
        await former.close()

    async def leave_apart(self, end: CallEnd) -> None:
        """Give that up; both calls stand."""
        self._drop_leg(end)
        await self.close()

    def _drop_leg(self, end: CallEnd) -> None:
        coming, self._next = self._next, None
        if coming is not None and coming.leg is not None:
            coming.leg.hang_up(end)
            self._dropped = coming.leg

    # --- somebody who takes a far side's place ---

    async def take_place(self, call: Call, event: LegReplaced) -> None:
        """Answer who wants to take a far side's place. What fails is refused and raised, and nothing has changed."""
        side = event.side
        former, other = self._legs[side], self._legs[side.other]
        key = next(self._keys)
        leg = former.replacement(self._host.context(call, side, lambda event: self._post(SuccessorEvent(key, event))))
        self._in_place.add(key)
        try:
            await leg.open()
            await leg.describe(other.codecs)
            self._legs[side] = leg
            if call.answered_at is not None or call.has_early_media:
                await self._media.join_again()
        except (TrunklineError, TimeoutError) as error:
            self._legs[side] = former
            self._in_place.discard(key)
            leg.hang_up(failure_of(error))
            await leg.close()
            raise
        leg.connect()
        call.former.append(former.leg)
        call.holder, call.is_held_for_transfer = None, False
        _put(call, side, leg)
        if call.request.incoming:
            call.request = replace(call.request, caller=event.by)
        else:
            call.request = replace(call.request, callee=event.by)
        _log.info("leg_replaced", leg=side.value)
        former.hang_up(CallEnd(EndReason.ANSWERED_ELSEWHERE))
        await former.close()

    def _settle(self, coming: _Next) -> None:
        self._clocks.disarm(Timer.SUCCESSOR)
        self._in_place.add(coming.key)
        self._next = self._referrer = None

    # --- what comes to nothing ---

    async def give_up(self, call: Call, end: CallEnd) -> None:
        """Let go who was to come, and tell everybody. InvalidCallState if nobody was."""
        if self._referrer is None:
            raise InvalidCallState("no transfer waits for an answer")
        self.drop(call, end)
        await self.close()

    def drop(self, call: Call, end: CallEnd) -> None:
        """Do the same without waiting, for a call that ends: `close` is still to come. Harmless if nobody was."""
        side, coming = self._referrer, self._next
        if side is None:
            self._drop_leg(end)
            return
        self._clocks.disarm(Timer.CONSENT)
        self._clocks.disarm(Timer.SUCCESSOR)
        self._next = self._referrer = None
        staying = self._legs[side.other]
        call.transfer, call.successor = TransferStatus.FAILED, None
        declined = EndReason.DECLINED_HERE.value.sip_status
        self._legs[side].tell_referral(declined if end.reason is EndReason.CANCELLED else end.status, end.phrase)
        staying.show_transfer()
        call.target = ""
        if coming is None:
            return
        if coming.leg is not None:
            coming.leg.hang_up(end)
            self._dropped = coming.leg
        _close(coming.call, end, self._host.now())
        staying.dismiss(coming.call)
        self._host.withdraw(coming.call)
        _log.info("transfer_not_followed", reason=end.reason.code, sip_status=end.status, detail=end.phrase)

    async def close(self) -> None:
        """Close the endpoint of who did not come. Raises as `LegPort.close` does."""
        dropped, self._dropped = self._dropped, None
        if dropped is not None:
            await dropped.close()

    async def wait_alone(self, side: Side) -> None:
        """Play to who is left; if the far side has gone for another reason, the call is over."""
        if self._referrer is side:
            await self._media.entertain(side.other)
        else:
            self._post_first(LegEnded(CallEnd(EndReason.NORMAL, by=side)))


def _put(call: Call, side: Side, leg: LegPort) -> None:
    if side is Side.A:
        call.a = leg.leg
    else:
        call.b = leg.leg


def _close(call: Call, end: CallEnd, now: float) -> None:
    call.state, call.status, call.end, call.ended_at = CallState.ENDED, end.reason.value.status, end, now
    call.successor = None


def _nobody_waits(error: TrunklineError | None) -> None:
    """Take the outcome of what nobody asked for."""
