"""The life of one call: takes events one at a time, asks `machine`, has the actions done.

Owns one call's teardown. One task runs it, so nothing about a call happens twice at once. What the actions do
is `run.performer`'s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from trunkline.calls.actions import AHEAD, Action
from trunkline.calls.events import (
    ActionFailed,
    AnswerRequested,
    CallEvent,
    DtmfRequested,
    FollowRequested,
    LegEnded,
    MuteRequested,
    RecordRequested,
    Request,
    SuccessorEvent,
    TextPassed,
    end_of,
    input_of,
)
from trunkline.calls.legs.failures import failure_of
from trunkline.calls.machine import CLOSING, TABLE, step
from trunkline.calls.model import Call, CallEnd, CallState, EndReason, Side
from trunkline.calls.outcomes import all_of
from trunkline.calls.ports import LegPort
from trunkline.calls.run.inbox import Inbox
from trunkline.calls.run.performer import Performer, RunContext
from trunkline.errors import InvalidCallState, TransactionTimeout, TrunklineError
from trunkline.observability.logging import bound, get_logger

_log = get_logger(__name__)

_GOODBYE: Final = (Action.DISARM_TIMERS, Action.DROP_NEXT, Action.HANG_UP_B, Action.HANG_UP_A)
"""What a call that is cancelled still does: it tells the far sides."""


class CallRun:
    """One call. Make it, give it legs with `attach`, then `run` it to its end in a task of its own."""

    __slots__ = ("_doing", "_inbox", "_performer", "post")

    def __init__(self, call: Call, context: RunContext) -> None:
        self._inbox = Inbox(call.id)
        self.post = self._inbox.post
        """Take an event; see `Inbox.post`."""
        self._doing = Action.FORGET
        """What was begun last: what failed, unless it was told ahead."""
        self._performer = Performer(call, context, post=self.post, post_first=self._inbox.post_first)

    @property
    def call(self) -> Call:
        """The call; another one once a transfer was followed."""
        return self._performer.call

    @property
    def party(self) -> LegPort:
        """The leg that the client of the call talks to."""
        return self._performer.legs[self.call.client_side.other]

    def attach(self, a: LegPort, b: LegPort) -> None:
        """Give the call its legs; once, before `run`."""
        self._performer.legs.update({Side.A: a, Side.B: b})
        self.call.a, self.call.b = a.leg, b.leg

    async def run(self, on_over: Callable[[Call], None]) -> None:
        """Live until the call has ended and everything of it is closed, then say so. Raises only cancellation."""
        call, performer = self.call, self._performer
        with bound(call_id=str(call.id)):  # of the first one: a successor's lines name it besides
            _log.info("call_started", a=call.a and call.a.kind, b=call.b and call.b.kind, callee=call.request.callee)
            performer.media.listen()
            try:
                while self.call.state is not CallState.ENDED:
                    await self._take(await self._inbox.next())
            except Exception as error:  # this call's task boundary: a bug ends this call only
                _log.exception("call_crashed", error=type(error).__name__)
                await self._close(ActionFailed(CallEnd(EndReason.INTERNAL, phrase="internal error")))
            finally:
                if self.call.state is not CallState.ENDED:  # cancelled: tell the peers, the media plane goes as a whole
                    performer.end(CallEnd(EndReason.SHUTDOWN))
                    for action in _GOODBYE:
                        performer.perform(action, ActionFailed(CallEnd(EndReason.SHUTDOWN)))
                performer.media.ignore()
                self._inbox.close()
                on_over(self.call)

    async def _take(self, event: CallEvent) -> None:
        """Do what the machine says about an event, unless it is of a leg that nobody waits for any more."""
        known = self._performer.succession.unwrap(event)
        if known is not None:
            await self._run_row(known)

    async def _run_row(self, event: CallEvent) -> None:
        """Do what the machine says; an action that fails ends the row and becomes the next event.

        A request is different: what it cannot do is told to who asked, and the call is as it was. Only a call that
        cannot be answered ends: whoever it rang at is gone. And a leg that cannot take its place is over, no more.
        """
        performer, before = self._performer, self.call.state
        if isinstance(event, Request):
            if (before, input_of(event)) not in TABLE:
                event.reply(InvalidCallState(f"the call is {before}"))
                return
            if not isinstance(
                event, MuteRequested | DtmfRequested | TextPassed | RecordRequested | FollowRequested
            ):  # done at once, also while another one waits
                performer.request = event
        while True:
            next_step = step(self.call.state, event)
            if next_step.state is CallState.ENDED:
                if self.call.state is not CallState.ENDED:
                    await self._close(event)
                if isinstance(event, FollowRequested):
                    event.reply(None)
                return
            if next_step.state is not self.call.state:
                _log.debug("call_state_changed", before=self.call.state, after=next_step.state)
            self.call.state = next_step.state
            try:
                await self._perform(next_step.actions, event)
            except (TrunklineError, TimeoutError) as error:
                action = self._doing
                _log.warning("call_action_failed", action=action.value, error=str(error), kind=type(error).__name__)
                if isinstance(event, Request) and not isinstance(event, AnswerRequested):
                    self.call.state = before
                    if performer.request is event:
                        performer.request = None
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

    async def _perform(self, actions: Sequence[Action], event: CallEvent) -> None:
        """Have actions done in their order; those of `AHEAD` are begun before the one before has been answered.

        Raises what the first of them raises, once nothing is under way any more.
        """
        begun: list[Awaitable[None]] = []
        try:
            for action in actions:
                if begun and action not in AHEAD:
                    waiting, begun = begun, []
                    await all_of(*waiting)
                self._doing = action
                outcome = self._performer.perform(action, event)
                if outcome is None:
                    continue
                if action in AHEAD:
                    begun.append(outcome)
                else:
                    await outcome
        finally:
            if begun:
                await all_of(*begun)

    async def _close(self, event: CallEvent) -> None:
        """Run the closing row to its end, whatever fails on the way."""
        self._performer.end(end_of(event))
        for action in CLOSING:
            try:
                await self._perform((action,), event)
            except (TrunklineError, TimeoutError) as error:
                _log.warning("call_teardown_failed", action=action.value, error=str(error))
            except Exception as error:  # a bug, and teardown still goes on
                _log.exception("call_teardown_crashed", action=action.value, error=type(error).__name__)
