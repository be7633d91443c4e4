"""The life of one call: takes events one at a time, asks `machine`, runs the actions.

Owns one call's inbox, clocks and teardown, and is the only writer of its `Call` beside the legs. One task runs it, so
nothing about a call happens twice at once. Must not know what a leg speaks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

from trunkline.calls import quality
from trunkline.calls.dtmf import DoubleFilter
from trunkline.calls.events import (
    Action,
    ActionFailed,
    CallEvent,
    CallStarted,
    DtmfHeard,
    DtmfMethod,
    DtmfRequested,
    Input,
    LegAnswered,
    LegDescribed,
    LegEnded,
    LegProgressed,
    LegReoffered,
    MediaFailed,
    MediaMissing,
    MediaSilent,
    Timer,
    TimerFired,
    end_of,
    input_of,
)
from trunkline.calls.machine import CLOSING, STATUS, step
from trunkline.calls.model import Call, CallEnd, CallState, EndReason, ReceivedDigit, Side
from trunkline.calls.ports import Clock, LegPort, MediaPort, TimerHandle
from trunkline.dtmf import DtmfKind
from trunkline.errors import (
    CapacityError,
    LocalProtocolError,
    MediaError,
    NegotiationError,
    NoRoute,
    PlainMediaRefused,
    SdpError,
    TransportError,
    TrunklineError,
)
from trunkline.ids import EndpointId, MediaCallId
from trunkline.media.types import (
    BridgeFailed,
    DtlsStateChanged,
    DtmfReceived,
    EndpointClosed,
    FirstPacketMissing,
    MediaInactive,
    Source,
)
from trunkline.media.types import Event as MediaEvent
from trunkline.observability.logging import bound, get_logger

_log = get_logger(__name__)

INBOX_LIMIT: Final = 256
"""Events that may wait. A peer that sends faster loses events, but never one that ends the call."""

_REASONS: Final[tuple[tuple[type[Exception], EndReason], ...]] = (
    # The first that fits.
    (PlainMediaRefused, EndReason.PLAIN_MEDIA_REFUSED),
    (NegotiationError, EndReason.NO_COMMON_CODECS),
    (SdpError, EndReason.BAD_DESCRIPTION),
    (CapacityError, EndReason.CAPACITY),
    (NoRoute, EndReason.NO_ROUTE),
    (LocalProtocolError, EndReason.NO_ROUTE),
    (TransportError, EndReason.SERVER_UNREACHABLE),
    (MediaError, EndReason.MEDIA_FAILED),
)

_CLOSED: Final[dict[str, EndReason]] = {
    "ice_timeout": EndReason.ICE_FAILED,
    "consent_expired": EndReason.ICE_FAILED,
    "dtls_timeout": EndReason.DTLS_FAILED,
    "dtls_failed": EndReason.DTLS_FAILED,
}
"""Why the media plane closed an endpoint by itself; anything else is a failure of its own."""


def failure_of(error: Exception) -> CallEnd:
    """Return how a call ends because of an error."""
    reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), EndReason.INTERNAL)
    return CallEnd(reason, phrase=str(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Times of a call in seconds, and what is played to a leg that has nobody on the other side."""

    ring_timeout_s: float
    setup_timeout_s: float
    max_duration_s: float
    player_source: Source

    def delay_s(self, timer: Timer) -> float:
        """Return how long a clock runs."""
        match timer:
            case Timer.RING:
                return self.ring_timeout_s
            case Timer.SETUP:
                return self.setup_timeout_s
            case Timer.DURATION:
                return self.max_duration_s
        assert_never(timer)


class CallRun:
    """One call. Make it, give it legs with `attach`, then `run` it to its end in a task of its own."""

    def __init__(
        self, call: Call, *, media: MediaPort, media_call: MediaCallId, clock: Clock, settings: RunSettings
    ) -> None:
        self.call = call
        self._media = media
        self._media_call = media_call
        self._clock = clock
        self._settings = settings
        self._legs: dict[Side, LegPort] = {}
        self._inbox: deque[CallEvent] = deque((CallStarted(),))
        self._arrived = asyncio.Event()
        self._timers: dict[Timer, TimerHandle] = {}
        self._joined: EndpointId | None = None
        self._doubles = DoubleFilter()

    def attach(self, a: LegPort, b: LegPort) -> None:
        """Give the call its legs; once, before `run`."""
        self._legs = {Side.A: a, Side.B: b}
        self.call.a, self.call.b = a.leg, b.leg

    def post(self, event: CallEvent) -> None:
        """Take an event; from the event loop. Events of an ended call are dropped."""
        if self.call.state is CallState.ENDED:
            return
        if len(self._inbox) >= INBOX_LIMIT and input_of(event) is not Input.ENDED:
            _log.warning("call_event_dropped", call_id=self.call.id, kind=input_of(event).value)
            return
        self._inbox.append(event)
        self._arrived.set()

    async def run(self, on_over: Callable[[Call], None]) -> None:
        """Live until the call has ended and everything of it is closed, then say so. Raises only cancellation."""
        call = self.call
        with bound(call_id=str(call.id)):
            _log.info("call_started", a=call.a and call.a.kind, b=call.b and call.b.kind, callee=call.request.callee)
            self._media.subscribe(self._media_call, self._media_changed)
            try:
                while call.state is not CallState.ENDED:
                    await self._take(await self._next_event())
            except Exception as error:  # this call's task boundary: a bug ends this call only
                _log.exception("call_crashed", error=type(error).__name__)
                await self._close(ActionFailed(CallEnd(EndReason.INTERNAL, phrase="internal error")))
            finally:
                if call.state is not CallState.ENDED:  # cancelled: tell the peers, the media plane goes as a whole
                    self._end(CallEnd(EndReason.SHUTDOWN))
                    self._perform_now(Action.DISARM_TIMERS)
                    self._perform_now(Action.HANG_UP_B)
                    self._perform_now(Action.HANG_UP_A)
                self._media.unsubscribe(self._media_call)
                on_over(call)

    async def _next_event(self) -> CallEvent:
        """Wait for an event. Bounded: until the call ends, SETUP or DURATION is always running."""
        while not self._inbox:
            self._arrived.clear()
            await self._arrived.wait()
        return self._inbox.popleft()

    async def _take(self, event: CallEvent) -> None:
        """Do what the machine says; an action that fails ends the row and becomes the next event."""
        while True:
            next_step = step(self.call.state, event)
            if next_step.state is CallState.ENDED:
                if self.call.state is not CallState.ENDED:
                    await self._close(event)
                return
            if next_step.state is not self.call.state:
                _log.debug("call_state_changed", before=self.call.state.value, after=next_step.state.value)
            self.call.state = next_step.state
            try:
                for action in next_step.actions:
                    await self._perform(action, event)
            except (TrunklineError, TimeoutError) as error:
                _log.warning("call_action_failed", action=action.value, error=str(error), kind=type(error).__name__)
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

    def _end(self, end: CallEnd) -> None:
        call = self.call
        call.state = CallState.ENDED
        call.end = end
        call.status = end.reason.value.status
        call.ended_at = self._clock.now()
        if end.sip_status:
            call.sip_status = end.sip_status

    # --- actions ---

    async def _perform(self, action: Action, event: CallEvent) -> None:
        a, b = self._legs[Side.A], self._legs[Side.B]
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
                await self._join(a.leg.endpoint, b.leg.endpoint)
            case Action.EXPECT_MEDIA, _:
                await self._expect_media()
            case Action.ANSWER_OFFER, LegReoffered(side, description):
                await self._legs[side].answer_offer(description)
            case Action.REFUSE_OFFER, LegReoffered(side):
                self._legs[side].refuse_offer()
            case Action.TAKE_ANSWER, LegDescribed(side, description):
                await self._legs[side].accept(description)
            case Action.SEND_DTMF, DtmfRequested(side, digits, method):
                await self._send_dtmf(side, digits, method)
            case Action.NOTE_DTMF, DtmfHeard():
                await self._note_dtmf(event)
            case Action.PART, _:
                await self._part()
            case Action.CLOSE_ENDPOINTS, _:
                try:
                    await b.close()
                finally:
                    await a.close()
            case _:
                self._perform_now(action)

    def _perform_now(self, action: Action) -> None:
        """Run an action that waits for nothing."""
        a, b, call = self._legs[Side.A], self._legs[Side.B], self.call
        match action:
            case Action.ARM_SETUP:
                self._arm(Timer.SETUP)
            case Action.ARM_RING:
                self._arm(Timer.RING)
            case Action.DISARM_RING:
                self._disarm(Timer.RING)
            case Action.ARM_DURATION:
                self._disarm(Timer.SETUP)
                self._arm(Timer.DURATION)
            case Action.DISARM_TIMERS:
                for timer in tuple(self._timers):
                    self._disarm(timer)
            case Action.RING_A:
                a.ring()
            case Action.CONNECT_A:
                a.connect()
                call.answered_at = self._clock.now()
                _log.info("call_answered", codec_a=a.leg.codec, codec_b=b.leg.codec)
            case Action.REPORT:
                call.status = STATUS[call.state]
                a.report()
                b.report()
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

    async def _join(self, a: EndpointId | None, b: EndpointId | None) -> None:
        self.call.has_early_media = self.call.state is CallState.EARLY
        if a is not None and b is not None:
            await self._media.bridge(self._media_call, a, b)
            self._joined = a
            return
        alone = a if b is None else b
        if alone is not None:
            await self._media.play(self._media_call, alone, self._settings.player_source)

    async def _expect_media(self) -> None:
        for leg in self._legs.values():
            if leg.leg.endpoint is not None:
                await self._media.expect_media(self._media_call, leg.leg.endpoint)

    async def _part(self) -> None:
        joined, self._joined = self._joined, None
        if joined is not None:
            await self._media.unbridge(self._media_call, joined)

    async def _send_dtmf(self, side: Side, digits: str, method: DtmfMethod, duration_ms: int | None = None) -> None:
        """Send digits; what fails is told to the client, and the call goes on."""
        try:
            await self._legs[side].send_dtmf(digits, method=method, duration_ms=duration_ms)
        except (TrunklineError, TimeoutError) as error:
            _log.warning("dtmf_not_sent", count=len(digits), method=method.value, error=str(error))
            self._legs[side.other].dtmf_failed(str(error))
        else:
            _log.info("dtmf_sent", count=len(digits), method=method.value, leg=side.value)

    async def _note_dtmf(self, event: DtmfHeard) -> None:
        """Keep a digit, once, and send it on if the media plane does not."""
        digit = ReceivedDigit(event.side, event.digit, event.duration_ms, event.by, self._clock.now())
        is_double = self._doubles.is_double(digit)
        _log.info(
            "dtmf_received",
            leg=event.side.value,
            by=event.by.value,
            duration_ms=event.duration_ms,
            is_double=is_double,
        )
        if event.by is DtmfKind.INFO:
            await self._ignore_tones(event.side)
        if is_double:
            return
        self.call.digits.append(digit)
        other = self._legs[event.side.other].leg
        if event.by is DtmfKind.INFO or other.dtmf is DtmfKind.INFO:
            await self._send_dtmf(event.side.other, event.digit, DtmfMethod.RTP, event.duration_ms)

    async def _ignore_tones(self, side: Side) -> None:
        try:
            await self._legs[side].ignore_tones()
        except (TrunklineError, TimeoutError) as error:
            _log.warning("tones_not_ignored", leg=side.value, error=str(error))

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
        )
        for leg in (call.a, call.b):
            if leg is not None and leg.stats is not None:
                _log.info("leg_quality", leg=leg.id, kind=leg.kind.value, **quality.fields(leg.stats))

    # --- clocks and media ---

    def _arm(self, timer: Timer) -> None:
        self._disarm(timer)
        delay_s = self._settings.delay_s(timer)
        self._timers[timer] = self._clock.call_later(delay_s, lambda: self.post(TimerFired(timer)))

    def _disarm(self, timer: Timer) -> None:
        handle = self._timers.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def _side_of(self, endpoint: EndpointId) -> Side | None:
        return next((side for side, leg in self._legs.items() if leg.leg.endpoint == endpoint), None)

    def _media_changed(self, event: MediaEvent) -> None:
        """Translate an event of the media plane; those of an endpoint that we closed ourselves mean nothing."""
        if isinstance(event, BridgeFailed):
            self.post(MediaFailed(Side.A, EndReason.MEDIA_FAILED, event.reason))
            return
        if not isinstance(event, DtlsStateChanged | FirstPacketMissing | MediaInactive | DtmfReceived | EndpointClosed):
            return
        side = self._side_of(event.endpoint)
        if side is None:
            return
        if isinstance(event, EndpointClosed):
            self._joined = None  # its bridge went with it
            self._legs[side].leg.stats = event.stats
        match event:
            case DtlsStateChanged(state="failed", detail=detail) if "fingerprint" in detail:
                self.post(MediaFailed(side, EndReason.DTLS_FINGERPRINT, detail))
            case FirstPacketMissing():
                self.post(MediaMissing(side))
            case MediaInactive():
                self.post(MediaSilent(side))
            case DtmfReceived(digit=digit):
                self.post(DtmfHeard(side, digit, event.duration_ms, DtmfKind(event.by)))
            case EndpointClosed(request=None, reason="dtls_closed"):
                # The browser closed its peer connection: it hangs up, and may not have said so yet.
                self.post(LegEnded(CallEnd(EndReason.NORMAL, by=side)))
            case EndpointClosed(request=None, reason=reason):
                self.post(MediaFailed(side, _CLOSED.get(reason, EndReason.MEDIA_FAILED), reason))
            case _:
                pass
