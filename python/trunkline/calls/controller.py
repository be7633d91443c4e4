"""All calls of the node: who may start one, the tasks they run in, and their end.

Owns admission, one task a call, and the counts of calls. What happens within a call is `call_run`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from random import Random
from types import TracebackType
from typing import Final, Self

from trunkline.calls import quality
from trunkline.calls.events import (
    AnswerRequested,
    CallEvent,
    FollowRequested,
    HangupRequested,
    RecordRequested,
    Reply,
    Request,
)
from trunkline.calls.machine import ANSWERED
from trunkline.calls.media_leg import LegContext
from trunkline.calls.model import Call, CallEnd, CallRequest, CallState, EndReason, LegKind, Recording, Side
from trunkline.calls.ports import Clock, LegPort, MediaPort
from trunkline.calls.registry import Registry
from trunkline.calls.run.call_run import CallRun
from trunkline.calls.run.clocks import RunSettings
from trunkline.calls.run.performer import RunContext
from trunkline.calls.run.recording import file_name
from trunkline.errors import CallNotFound, CapacityError, InvalidCallState, TransactionTimeout, TrunklineError
from trunkline.ids import CallId, MediaCallId
from trunkline.observability.logging import get_logger
from trunkline.observability.metrics import Metrics
from trunkline.sdp.codecs import CodecPolicy
from trunkline.sdp.security import SecurityPolicy

_log = get_logger(__name__)

LegMaker = Callable[[LegContext], LegPort]
"""Makes one leg of a call that has been admitted."""

_SESSION_ID_BITS: Final = 62
"""RFC 8866 section 5.2 with RFC 3264 section 5: the number must fit a signed 64-bit integer."""

REQUEST_TIMEOUT_S: Final = 40.0
"""Longer than a SIP transaction (64*T1), which ends nearly every wait with a better reason."""

TRANSFER_TIMEOUT_S: Final = 200.0
"""The same of a transfer, whose far side may ring for three minutes."""

_ORIGIN: Final = {LegKind.WEB: "web", LegKind.SIP: "sip", LegKind.PLAYER: "rest"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """Limits of the node's calls. policies: codecs for each kind of leg. security: of SIP legs, None is plain RTP."""

    max_calls: int
    run: RunSettings
    policies: Mapping[LegKind, CodecPolicy]
    security: SecurityPolicy | None = None


class CallController:
    """Starts calls and runs each in a task of its own. Use as an async context manager: leaving it ends them all."""

    def __init__(
        self,
        settings: ControllerSettings,
        *,
        media: MediaPort,
        clock: Clock,
        registry: Registry,
        metrics: Metrics,
        rng: Random,
    ) -> None:
        self.registry = registry
        self._settings = settings
        self._media = media
        self._clock = clock
        self._metrics = metrics
        self._rng = rng
        self._runs: dict[CallId, CallRun] = {}
        self._tasks: dict[CallRun, asyncio.Task[None]] = {}
        self._group = asyncio.TaskGroup()
        self._is_draining = False

    async def __aenter__(self) -> Self:
        """Take calls from now on."""
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take no more calls; wait for those that live, or cancel them if leaving because of an error."""
        self._is_draining = True
        await self._group.__aexit__(kind, error, trace)

    async def drain(self, timeout_s: float) -> None:
        """Refuse new calls; return once those that live have ended by themselves, or the time is up."""
        self._is_draining = True
        tasks = tuple(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Refuse new calls and hang up all; cancel what is not over in time."""
        self._is_draining = True
        for run in tuple(self._runs.values()):
            run.post(HangupRequested(CallEnd(EndReason.SHUTDOWN)))
        tasks = tuple(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            if late:
                _log.warning("calls_cancelled", count=len(late))
                await asyncio.wait(late, timeout=timeout_s)

    def new_call_id(self) -> CallId:
        """Make an id for a call whose starter chose none."""
        digits = f"{self._rng.getrandbits(128):032x}"
        return CallId("-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])))

    def start(
        self,
        request: CallRequest,
        make_a: LegMaker,
        make_b: LegMaker,
        on_over: Callable[[Call], None] | None = None,
    ) -> Call:
        """Start a call; what becomes of it comes through its legs.

        The makers are called before this returns, once the call is admitted. on_over: called when everything of the
        call is closed. Raises CallExists if its id is taken, CapacityError if the node is full or stopping.
        """
        if self._is_draining:
            raise CapacityError("the gateway is stopping")
        call = Call(request, created_at=self._clock.now())
        if len(self.registry) >= self._settings.max_calls:
            raise CapacityError("all lines are in use")
        media_call = self._media.new_call()
        self.registry.add(call)
        host = _Host(self, media_call)
        context = RunContext(
            media=self._media, media_call=media_call, clock=self._clock, settings=self._settings.run, host=host
        )
        run = CallRun(call, context)
        a = make_a(host.context(call, Side.A, run.post))
        run.attach(a, make_b(host.context(call, Side.B, run.post)))
        self._runs[call.id] = run
        self._metrics.calls_started.labels(_ORIGIN[a.leg.kind]).inc()
        self._metrics.calls_active.inc()

        def over(call: Call) -> None:
            self._forget(run)
            if on_over is not None:
                on_over(call)

        self._tasks[run] = self._group.create_task(run.run(over), name=f"call {call.id}")
        return call

    def _forget(self, run: CallRun) -> None:
        del self._runs[run.call.id]
        del self._tasks[run]
        self._metrics.calls_active.dec()
        self._count_end(run.call)

    def _succeeded(self, former: Call, call: Call) -> None:
        """Have a run found by the id of the call that it goes on with."""
        self._runs[call.id] = self._runs.pop(former.id)
        self._metrics.calls_started.labels(_ORIGIN[call.a.kind] if call.a else "rest").inc()
        self._count_end(former)

    def _count_end(self, call: Call) -> None:
        self.registry.remove(call)
        if call.end is not None:
            self._metrics.calls_ended.labels(call.end.reason.code).inc()
        if call.answered_at is not None:
            self._metrics.call_setup.observe(max(call.answered_at - call.created_at, 0.0))
            codecs = ((leg and leg.codec) or "none" for leg in (call.a, call.b))
            self._metrics.calls_coded.labels(*codecs, "yes" if call.is_transcoded else "no").inc()
        for leg in call.legs:
            heard = quality.counted(leg.stats) if leg.stats is not None else None
            if heard is not None:
                self._metrics.observe_leg(leg.kind.value, heard)

    def hang_up(self, call_id: CallId, end: CallEnd) -> None:
        """End a call. CallNotFound if there is none. Of a successor that is being called, the transfer is given up."""
        if call_id not in self._runs:
            successors = ((run, run.call.successor) for run in self._runs.values())
            followed = next((run for run, call in successors if call is not None and call.id == call_id), None)
            if followed is not None:
                followed.post(FollowRequested(False, lambda _: None))
                return
        self._run(call_id).post(HangupRequested(end))

    def request(self, call_id: CallId, request: Request) -> None:
        """Pass on what a client wants of a call; its reply tells the outcome. CallNotFound if there is no call."""
        self._run(call_id).post(request)

    def _consulted(self, call_id: CallId) -> LegPort:
        """Return the leg that an attended transfer leads to. CallNotFound, or InvalidCallState if not answered."""
        run = self._run(call_id)
        if run.call.state not in ANSWERED:
            raise InvalidCallState(f"call {call_id} is not answered")
        return run.party

    async def ask(
        self, call_id: CallId, make: Callable[[Reply], Request], *, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> None:
        """Have something done within a call and return when it is. make: the request, given its reply.

        Raises what stood in the way: CallNotFound, InvalidCallState, LegRejected if the far side refused,
        TransactionTimeout if it did not answer, MediaError, CapacityError.
        """
        outcome: asyncio.Future[TrunklineError | None] = asyncio.get_running_loop().create_future()

        def reply(error: TrunklineError | None) -> None:
            if not outcome.done():
                outcome.set_result(error)

        self.request(call_id, make(reply))
        try:
            async with asyncio.timeout(timeout_s):
                error = await outcome
        except TimeoutError as late:
            raise TransactionTimeout("the SIP side did not answer in time") from late
        if error is not None:
            raise error

    async def record(self, call_id: CallId, wanted: str = "") -> Recording:
        """Begin to record a call. wanted: name of the file, see `file_name`; returns what is known of the recording.

        Raises as `ask` does, NotConfigured if calls are not recorded here, ValueError if that is no name.
        """
        call = self._run(call_id).call
        stamp = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
        name = file_name(wanted, call, stamp, self._settings.run.recording.format)
        await self.ask(call_id, partial(RecordRequested, name))
        return call.recordings[-1]

    async def stop_recording(self, call_id: CallId) -> Recording:
        """End a recording; returns when its file is whole. Raises as `ask` does, InvalidCallState if there is none."""
        call = self._run(call_id).call
        await self.ask(call_id, partial(RecordRequested, ""))
        return call.recordings[-1]

    async def answer(self, call_id: CallId) -> None:
        """Take an incoming call that rings, away from whoever it rings at: a player speaks. Raises as `ask` does."""
        if not self._run(call_id).call.request.incoming:
            raise InvalidCallState("only an incoming call can be answered")
        await self.ask(call_id, AnswerRequested)

    def _run(self, call_id: CallId) -> CallRun:
        run = self._runs.get(call_id)
        if run is None or run.call.state is CallState.ENDED:
            raise CallNotFound(f"no call {call_id}")
        return run

    def find(self, call_id: CallId | None = None) -> tuple[Call, ...]:
        """Return calls, live ones and those that ended a short while ago; one id or all."""
        now = self._clock.now()
        calls = (*self.registry.live(), *self.registry.ended(now))
        return tuple(call for call in calls if call_id is None or call.id == call_id)


@dataclass(frozen=True, slots=True)
class _Host:
    """The node, as one call's run sees it."""

    controller: CallController
    media_call: MediaCallId

    def context(self, call: Call, side: Side, post: Callable[[CallEvent], None]) -> LegContext:
        """See `Host`."""
        node = self.controller
        return LegContext(
            call=call,
            side=side,
            media=node._media,
            media_call=self.media_call,
            post=post,
            policies=node._settings.policies,
            session_id=node._rng.getrandbits(_SESSION_ID_BITS),
            security=node._settings.security,
        )

    def consulted(self, call_id: CallId) -> LegPort:
        """See `Host`."""
        return self.controller._consulted(call_id)

    def new_call_id(self) -> CallId:
        """See `Host`."""
        return self.controller.new_call_id()

    def now(self) -> float:
        """See `Host`."""
        return self.controller._clock.now()

    def announce(self, call: Call) -> None:
        """See `Host`."""
        self.controller.registry.add(call)

    def withdraw(self, call: Call) -> None:
        """See `Host`."""
        self.controller.registry.remove(call)

    def succeeded(self, former: Call, call: Call) -> None:
        """See `Host`."""
        self.controller._succeeded(former, call)
