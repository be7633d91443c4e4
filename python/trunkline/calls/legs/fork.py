"""A callee who may pick up at several places: their legs ring together, and the one that answers is the callee's.

Owns which places ring, the order of those that have one, and the one end of them all. A `ForkedLeg` is a call's B-leg
until somebody answers; the run then puts the leg of that place where it stood. Nothing is heard of a place before that:
what several play at once, nobody could follow. Must not know what a place speaks.   RFC 3261 sections 16.6 and 16.7.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Final

from trunkline.calls.events import (
    CallEvent,
    DtmfMethod,
    LegAnswered,
    LegEnded,
    LegLeft,
    LegProgressed,
    LegRang,
    LegReferred,
    LegReoffered,
    LegReplaced,
    PlacesDue,
    Reply,
)
from trunkline.calls.legs.absent import NoClient, NoReferrer
from trunkline.calls.legs.failures import failure_of
from trunkline.calls.model import Call, CallEnd, EndReason, Leg, LegDirection, LegKind, ReceivedText, Side
from trunkline.calls.outcomes import nothing
from trunkline.calls.ports import Clock, LegContext, LegPort, TimerHandle
from trunkline.errors import InvalidCallState, TrunklineError
from trunkline.ids import LegId, SessionId
from trunkline.media.types import Codec, Direction
from trunkline.observability.logging import get_logger
from trunkline.sip.registrar import Q_MOST

_BUSY: Final = 486
_PREFERRED: Final = (401, 407, 415, 420, 484, _BUSY)
"""Refusals that say more than others of their class. RFC 3261 section 16.7 step 6 names all but the last: of a callee
who is busy at one place and absent at another, the caller wants to know the former."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a callee may pick up. make: its leg.

    q: in thousandths; places with a higher one ring first. session, app_key: the browser connection that it is; None if
    it is no session. on_over: told when everything of the call is closed, whoever picked up.
    """

    make: Callable[[LegContext], LegPort]
    q: int = Q_MOST
    session: SessionId | None = None
    app_key: str = ""
    on_over: Callable[[Call], None] = lambda _: None


@dataclass(slots=True, eq=False)
class _Branch:
    """A place that rings or will. description: its answer, if it came before it picked up. end: once it is over."""

    place: Place
    leg: LegPort
    is_rung: bool = False
    description: str = ""
    end: CallEnd | None = None


class ForkedLeg(NoReferrer, NoClient):
    """The legs of all places of one callee. step_s: how long those of one `q` ring before those of the next do."""

    def __init__(self, context: LegContext, places: Sequence[Place], clock: Clock, step_s: float) -> None:
        self._context = context
        self._clock = clock
        self._step_s = step_s
        self._leg = Leg(LegId(f"{context.call.id}/{context.side}"), LegKind.WEB, LegDirection.OUTBOUND)
        ordered = sorted(places, key=lambda place: -place.q)
        self._branches = [self._branch(place) for place in ordered]
        self._groups = [list(group) for _, group in groupby(self._branches, key=lambda branch: branch.place.q)]
        """Those that have not been rung yet."""
        self._ringing: list[_Branch] = []
        self._winner: _Branch | None = None
        self._replaced: _Branch | None = None
        """Whose dialog somebody wants to take the place of."""
        self._timer: TimerHandle | None = None
        self._is_due = False
        """Whether the run has been told that the next places are to ring."""
        self._is_over = False

    def _branch(self, place: Place) -> _Branch:
        made: list[_Branch] = []
        post = partial(self._heard, made)
        made.append(_Branch(place, place.make(replace(self._context, post=post))))
        return made[0]

    # --- what the places do ---

    def _heard(self, which: list[_Branch], event: CallEvent) -> None:
        """Take an event of one place: of the one that answered it is the call's, of the others little matters."""
        (branch,) = which
        if branch is self._winner:
            self._context.post(event)
            return
        if branch.end is not None:
            return
        match event:
            case LegRang():
                self._context.post(event)
            case LegProgressed(description):
                branch.description = description
                self._context.post(LegRang())
            case LegAnswered(description):
                self._answered(branch, description or branch.description)
            case LegEnded(end):
                self._lost(branch, end)
            case LegLeft(side):
                self._lost(branch, CallEnd(EndReason.NORMAL, by=side))
            case LegReoffered():
                branch.leg.refuse_offer()
            case LegReferred():
                branch.leg.answer_referral(491)
            case LegReplaced() if self._replaced is None:
                self._replaced = branch
                self._context.post(event)
            case LegReplaced():
                branch.leg.refuse_replacement(491)
            case _:
                pass

    def _answered(self, branch: _Branch, description: str) -> None:
        """Keep the place that answered first; the others are told that the call was answered elsewhere."""
        if self._is_over or self._winner is not None:
            self._let_go(branch, CallEnd(EndReason.ANSWERED_ELSEWHERE))
            return
        self._winner = branch
        self._stop_timer()
        call, place = self._context.call, branch.place
        call.b = branch.leg.leg
        if place.session is not None and call.request.session is None:
            call.request = replace(call.request, session=place.session, app_key=place.app_key)
        for other in self._ringing:
            if other is not branch:
                self._let_go(other, CallEnd(EndReason.ANSWERED_ELSEWHERE))
        _log.info("call_picked_up", places=len(self._branches), kind=branch.leg.leg.kind.value)
        self._context.post(LegAnswered(description))

    def _lost(self, branch: _Branch, end: CallEnd) -> None:
        """Count a place off; the last one's end is everybody's, and a 6xx at once.   RFC 3261 section 16.7 step 5."""
        self._let_go(branch, end)
        if self._winner is not None or self._is_over:
            return
        if end.status >= 600:
            self._is_over = True
            self._context.post(LegEnded(end))
        elif all(other.end is not None for other in self._ringing):
            self._call_next()

    def _let_go(self, branch: _Branch, end: CallEnd) -> None:
        if branch.end is not None:
            return
        branch.end = end
        if branch.is_rung:
            branch.leg.hang_up(end)

    def _call_next(self) -> None:
        """Have the next places rung, or end where there are none."""
        if self._is_due or self._winner is not None:
            return
        self._stop_timer()
        if self._groups:
            self._is_due = True
            self._context.post(PlacesDue())
        elif not self._is_over:
            self._is_over = True
            self._context.post(LegEnded(_best([branch.end for branch in self._branches if branch.end is not None])))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- LegPort ---

    @property
    def leg(self) -> Leg:
        """The leg of who answered; before that one without an endpoint."""
        return self._leg if self._winner is None else self._winner.leg.leg

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """Those of who answered."""
        return () if self._winner is None else self._winner.leg.codecs

    @property
    def hears_of_hold(self) -> bool:
        """No: nobody has answered."""
        return False

    async def open(self) -> None:
        """Nothing: each place is opened when its turn comes."""

    async def dial(self, preferred: tuple[Codec, ...]) -> None:
        """Ring the next places. Those that rang until now are given up: their time is over."""
        self._is_due = False
        for branch in self._ringing:
            self._let_go(branch, CallEnd(EndReason.NO_ANSWER))
        if self._winner is not None or self._is_over:
            return
        self._ringing = self._groups.pop(0)
        for branch in self._ringing:
            try:
                await self._ring(branch, preferred)
            except (TrunklineError, TimeoutError) as error:
                _log.warning("place_not_rung", error=str(error))
                self._lost(branch, failure_of(error))
        if self._groups and self._winner is None and not (self._is_over or self._is_due):
            self._timer = self._clock.call_later(self._step_s, self._call_next)

    async def _ring(self, branch: _Branch, preferred: tuple[Codec, ...]) -> None:
        """Offer the call to one place, unless somebody else has been quicker."""
        if branch.end is None:
            await branch.leg.open()
        if branch.end is None:
            branch.is_rung = True
            await branch.leg.dial(preferred)

    def accept(self, description: str) -> Awaitable[None]:
        """Take the answer of who picked up. Raises as `LegPort.accept`."""
        return nothing() if self._winner is None else self._winner.leg.accept(description)

    async def settle(self) -> LegPort:
        """See `LegPort`."""
        assert self._winner is not None
        for branch in self._branches:
            if branch is not self._winner:
                await _close(branch)
        return self._winner.leg

    async def describe(self, preferred: tuple[Codec, ...]) -> None:
        """Never asked: a callee answers nobody's offer."""

    def ring(self) -> None:
        """Never asked: a callee rings nobody."""

    def connect(self) -> None:
        """Never asked: a callee answers nobody."""

    async def answer_offer(self, description: str) -> None:
        """Never asked: offers of places that ring are refused at once."""

    def refuse_offer(self) -> None:
        """Never asked, for the same reason."""

    async def offer_again(self, direction: Direction) -> None:
        """Refuse: nobody has answered."""
        raise InvalidCallState("the callee has not answered")

    def send_on(self, target: str, consulted: LegPort | None) -> None:
        """Refuse: nobody has answered."""
        raise InvalidCallState("the callee has not answered")

    def replacement(self, context: LegContext) -> LegPort:
        """Make the leg of who takes the place of one that rings."""
        if self._replaced is None:
            return super().replacement(context)
        return self._replaced.leg.replacement(context)

    def refuse_replacement(self, status: int) -> None:
        """See `LegPort`."""
        refused, self._replaced = self._replaced, None
        if refused is not None:
            refused.leg.refuse_replacement(status)

    def serve(self, call: Call, side: Side) -> None:
        """Never asked: only an answered leg comes into another call."""

    async def send_dtmf(self, digits: str, *, method: DtmfMethod, duration_ms: int | None = None, reply: Reply) -> None:
        """Refuse: nobody hears it."""
        raise InvalidCallState("the callee has not answered")

    async def ignore_tones(self) -> None:
        """Nobody is heard."""

    def tell(self, text: ReceivedText, reply: Reply) -> None:
        """Refuse: nobody reads it."""
        raise InvalidCallState("the callee has not answered")

    def dtmf_failed(self, info: str) -> None:
        """Nobody has sent any."""

    def report(self) -> None:
        """Show the call's status wherever it rings, and later where it was answered."""
        for branch in self._ringing if self._winner is None else [self._winner]:
            if branch.end is None:
                branch.leg.report()

    def hang_up(self, end: CallEnd) -> None:
        """End every place that is not over."""
        self._is_over = True
        self._stop_timer()
        for branch in self._branches:
            self._let_go(branch, end)

    async def close(self) -> None:
        """Close every place. Raises as `LegPort.close` does, once all are."""
        if self._winner is not None:
            await self._winner.leg.close()
        for branch in self._branches:
            if branch is not self._winner:
                await _close(branch)


async def _close(branch: _Branch) -> None:
    """Close a place where nobody picked up; what fails there is nobody's concern any more."""
    try:
        await branch.leg.close()
    except (TrunklineError, TimeoutError) as error:
        _log.warning("place_not_closed", error=str(error))


def _best(ends: Sequence[CallEnd]) -> CallEnd:
    """Return the refusal that says most of several."""
    return min(ends, key=lambda end: rank_of(end.status))


def rank_of(status: int) -> tuple[int, int]:
    """Order refusals by what they say to the caller: the lowest says most.   RFC 3261 section 16.7 step 6."""
    # A redirection that we do not follow helps the caller least.
    kind = 0 if status >= 600 else 9 if status < 400 else status // 100
    return kind, _PREFERRED.index(status) if status in _PREFERRED else len(_PREFERRED)
