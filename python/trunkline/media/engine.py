"""SHELL: the asyncio client of the compiled media plane.

Owns the pairing of commands with their answers, the ids of calls and endpoints, and the delivery of spontaneous events
to whoever subscribed to a call. Must not know calls, SDP or SIP. The media plane's threads never take the interpreter:
one descriptor wakes the event loop, and one poll returns a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar, cast

from trunkline import _media
from trunkline.config import MediaConfig
from trunkline.errors import CapacityError, MediaError
from trunkline.figures import EndpointStats, ReceivedStats, ReportedMetrics, SentStats
from trunkline.ids import EndpointId, MediaCallId, RequestId
from trunkline.media.types import (
    AudioFile,
    Bridge,
    BridgeFailed,
    Close,
    Command,
    CommandDone,
    CommandFailed,
    CreateEndpoint,
    Direction,
    DtlsStateChanged,
    DtmfReceived,
    EndpointClosed,
    EndpointReady,
    EngineSettings,
    Event,
    ExpectMedia,
    FirstPacket,
    FirstPacketMissing,
    GetStats,
    IceStateChanged,
    Local,
    MediaInactive,
    Mute,
    Play,
    PlayDone,
    RecordingFormat,
    Remote,
    RtpLocal,
    SendDtmf,
    SetRemote,
    Source,
    StartTap,
    Stats,
    StopPlay,
    StopTap,
    StreamParameters,
    TapDone,
    Totals,
    Transport,
    Unbridge,
    Unmute,
    UpdateEndpoint,
    Voice,
    WebRtcLocal,
    WorkerDied,
)
from trunkline.observability.logging import get_logger

_log = get_logger(__name__)

EVENTS_PER_POLL = 256
ANSWER_TIMEOUT_S = 5.0
"""A worker answers within a millisecond; after this, something is broken."""
FILE_TIMEOUT_S = 30.0
"""The same where a file comes first, from a disk that may be slow, behind others that are being read."""

CallEvent = (
    IceStateChanged
    | DtlsStateChanged
    | FirstPacket
    | FirstPacketMissing
    | MediaInactive
    | DtmfReceived
    | PlayDone
    | TapDone
    | EndpointClosed
    | BridgeFailed
)
"""What a subscriber of a call is told."""

CallListener = Callable[[CallEvent], None]
"""Called from the event loop; must not raise and must not wait."""

_Answer = CommandDone | EndpointReady | Stats | EndpointClosed
_A = TypeVar("_A", CommandDone, EndpointReady, Stats, EndpointClosed)

_EVENTS: dict[str, type[Any]] = {
    event.__name__: event
    for event in (
        CommandDone,
        CommandFailed,
        EndpointReady,
        IceStateChanged,
        DtlsStateChanged,
        FirstPacket,
        FirstPacketMissing,
        MediaInactive,
        DtmfReceived,
        PlayDone,
        TapDone,
        Stats,
        EndpointClosed,
        BridgeFailed,
        WorkerDied,
    )
}
_LOCALS: dict[str, type[Any]] = {local.__name__: local for local in (WebRtcLocal, RtpLocal)}


def settings_of(config: MediaConfig) -> EngineSettings:
    """Make the settings of the media plane from the node's configuration."""
    return EngineSettings(
        workers=config.workers,
        webrtc_host=config.webrtc_host,
        webrtc_port=config.webrtc_port,
        webrtc_advertised=config.webrtc_advertised,
        rtp_host=config.rtp_host,
        rtp_port_min=config.rtp_port_min,
        rtp_port_max=config.rtp_port_max,
        rtp_advertised=config.rtp_advertised,
        port_quarantine_s=config.port_quarantine_s,
        first_packet_s=config.first_packet_s,
        media_inactivity_s=config.inactivity_s,
        media_inactivity_hold_s=config.inactivity_hold_s,
        ice_consent_s=config.ice_consent_s,
        dtls_timeout_s=config.dtls_timeout_s,
        opus_complexity=config.opus_complexity,
        clip_memory_mb=config.clip_memory_mb,
        opus_bitrate_bps=config.opus_bitrate_bps,
        longest_pause_us=config.longest_pause_us,
        dscp=config.dscp,
        pin_workers=config.pin_workers,
    )


def to_stats(values: dict[str, Any]) -> EndpointStats:
    """Build the figures of an endpoint from what the compiled module gives."""
    sent = values["sent"]
    reported = None if sent["reported"] is None else ReportedMetrics(**sent["reported"])
    directions = {"received": ReceivedStats(**values["received"]), "sent": SentStats(**{**sent, "reported": reported})}
    return EndpointStats(**{**values, **directions})


def to_event(name: str, values: dict[str, Any]) -> Event:
    """Build the dataclass of an event from what the compiled module gives."""
    stats = values.get("stats")
    if stats is not None:
        values = {**values, "stats": to_stats(stats)}
    if name == EndpointReady.__name__:
        local_name, local_values = values["local"]
        values = {**values, "local": _LOCALS[local_name](**local_values)}
    return cast("Event", _EVENTS[name](**values))


class MediaEngine:
    """The media plane of this process, for one event loop.

    Every coroutine that gives a command raises MediaError (with its kind) when the media plane refuses it or does not
    answer in time, and CapacityError when it is full.
    """

    def __init__(self) -> None:
        self._engine: _media.Engine | None = None
        self._event_fd = -1
        self._waiting: dict[RequestId, asyncio.Future[_Answer]] = {}
        self._listeners: dict[MediaCallId, CallListener] = {}
        self._requests = itertools.count(1)
        self._endpoints = itertools.count(1)
        self._dead_workers: set[int] = set()

    async def start(self, config: MediaConfig | EngineSettings) -> None:
        """Start the worker threads. Raises MediaError where sockets, threads or settings do not allow it."""
        if self._engine is not None:
            raise MediaError("invalid_state", "the media engine runs already")
        settings = config if isinstance(config, EngineSettings) else settings_of(config)
        loop = asyncio.get_running_loop()
        self._engine = await asyncio.to_thread(_media.Engine, settings)
        self._dead_workers.clear()
        self._event_fd = self._engine.event_fd()
        loop.add_reader(self._event_fd, self._on_readable)
        for worker, (receive_bytes, send_bytes, dscp) in enumerate(self._engine.shared_sockets()):
            _log.info("media_socket", worker=worker, receive_bytes=receive_bytes, send_bytes=send_bytes, dscp=dscp)

    async def stop(self) -> None:
        """End every endpoint and thread; subscribers hear of each endpoint. Bounded in time; again: nothing."""
        engine = self._engine
        if engine is None:
            return
        have_ended = await asyncio.to_thread(engine.shutdown)
        if not have_ended:
            _log.error("media_worker_did_not_end")
        asyncio.get_running_loop().remove_reader(self._event_fd)
        while self._take_events(engine):
            pass
        self._engine = None
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(MediaError("closed", "the media engine stopped"))
        self._waiting.clear()
        self._listeners.clear()

    @property
    def is_running(self) -> bool:
        """Whether commands are taken."""
        return self._engine is not None

    def totals(self) -> Totals:
        """Read the counters of the whole media plane. Raises MediaError when it does not run."""
        return Totals(**self._running().totals())

    @property
    def endpoints(self) -> int:
        """How many endpoints there are now."""
        return self.totals().endpoints if self.is_running else 0

    @property
    def counters(self) -> dict[str, float]:
        """Read what `Totals` has besides drops, by name; nothing when the media plane does not run."""
        if not self.is_running:
            return {}
        totals = self.totals()
        return {each.name: getattr(totals, each.name) for each in fields(totals) if each.name != "drops"}

    @property
    def drops(self) -> dict[str, int]:
        """Datagrams and frames dropped since start, by reason; empty when the media plane does not run."""
        return self.totals().drops if self.is_running else {}

    @property
    def dead_workers(self) -> int:
        """How many worker threads crashed since start. Their endpoints are lost; nobody starts them again."""
        return len(self._dead_workers)

    @property
    def can_speex(self) -> bool:
        """Whether libspeex, which is looked for once, is installed."""
        return _media.is_speex_available()

    def new_call(self) -> MediaCallId:
        """Name a call. Both endpoints of a call must use the same name, which decides their worker: a living one.

        Raises MediaError when the media plane does not run.
        """
        return MediaCallId(self._running().new_call())

    def new_endpoint_id(self) -> EndpointId:
        """Name an endpoint; never the same twice."""
        return EndpointId(next(self._endpoints))

    def subscribe(self, call: MediaCallId, callback: CallListener) -> None:
        """Have every spontaneous event of a call passed to `callback`, in place of one before."""
        self._listeners[call] = callback

    def unsubscribe(self, call: MediaCallId) -> None:
        """Pass on no more events of a call."""
        self._listeners.pop(call, None)

    async def create_endpoint(self, call: MediaCallId, transport: Transport) -> tuple[EndpointId, Local]:
        """Make an endpoint; returns its name and what our SDP says of it."""
        endpoint = self.new_endpoint_id()
        try:
            ready = await self._ask(call, CreateEndpoint(endpoint, transport), EndpointReady)
        except (asyncio.CancelledError, MediaError):
            # The caller will never learn the name, so nobody else could end what may have been made meanwhile.
            self._submit_close(call, endpoint)
            raise
        return endpoint, ready.local

    async def set_remote(
        self, call: MediaCallId, endpoint: EndpointId, remote: Remote, audio: StreamParameters
    ) -> None:
        """Tell an endpoint its far side, anew or again."""
        await self._ask(call, SetRemote(endpoint, remote, audio), CommandDone)

    async def update_endpoint(self, call: MediaCallId, endpoint: EndpointId, direction: Direction) -> None:
        """Change what is sent and taken, without touching the transport."""
        await self._ask(call, UpdateEndpoint(endpoint, direction), CommandDone)

    async def expect_media(self, call: MediaCallId, endpoint: EndpointId) -> None:
        """Count the silence of an endpoint's far side from now on: the call is answered."""
        await self._ask(call, ExpectMedia(endpoint), CommandDone)

    async def bridge(self, call: MediaCallId, a: EndpointId, b: EndpointId) -> None:
        """Join two endpoints of one call both ways; the same one twice is an echo."""
        await self._ask(call, Bridge(a, b), CommandDone)

    async def unbridge(self, call: MediaCallId, endpoint: EndpointId) -> None:
        """Part an endpoint from its other one; no error if it has none."""
        await self._ask(call, Unbridge(endpoint), CommandDone)

    async def play(self, call: MediaCallId, endpoint: EndpointId, source: Source) -> None:
        """Begin to send a source in place of what the other leg says; `PlayDone` tells the subscriber of its end.

        Music on hold is an `AudioFile` that loops. A file that cannot be played is a MediaError that names it and why.
        """
        timeout_s = FILE_TIMEOUT_S if isinstance(source, AudioFile) else ANSWER_TIMEOUT_S
        await self._ask(call, Play(endpoint, source), CommandDone, timeout_s)

    async def stop_play(self, call: MediaCallId, endpoint: EndpointId) -> None:
        """End what plays; no error if nothing does."""
        await self._ask(call, StopPlay(endpoint), CommandDone)

    async def mute(
        self, call: MediaCallId, endpoint: EndpointId, voice: Voice, *, includes_digits: bool = False
    ) -> None:
        """Let silence through in place of what a far side says, or hears of the other leg."""
        await self._ask(call, Mute(endpoint, voice, includes_digits), CommandDone)

    async def unmute(self, call: MediaCallId, endpoint: EndpointId, voice: Voice) -> None:
        """Let it through again; no error if it was not muted."""
        await self._ask(call, Unmute(endpoint, voice), CommandDone)

    async def start_tap(
        self,
        call: MediaCallId,
        endpoint: EndpointId,
        path: str,
        recording_format: RecordingFormat = RecordingFormat.WAV,
        *,
        plays_digits: bool = False,
    ) -> None:
        """Record what an endpoint's far side says and hears; returns when the file is open.

        `TapDone` tells the subscriber of the end. A path that cannot be written is a MediaError that names it and why.
        """
        await self._ask(call, StartTap(endpoint, path, recording_format, plays_digits), CommandDone, FILE_TIMEOUT_S)

    async def stop_tap(self, call: MediaCallId, endpoint: EndpointId) -> None:
        """End the recording; `TapDone` says when the file is whole. No error if there is none."""
        await self._ask(call, StopTap(endpoint), CommandDone)

    async def send_dtmf(
        self, call: MediaCallId, endpoint: EndpointId, digits: str, duration_ms: int = 120, gap_ms: int = 80
    ) -> None:
        """Queue digits; returns when they are queued, not when they are sent."""
        await self._ask(call, SendDtmf(endpoint, digits, duration_ms, gap_ms), CommandDone)

    async def get_stats(self, call: MediaCallId, endpoint: EndpointId) -> EndpointStats:
        """Read the figures of one endpoint."""
        return (await self._ask(call, GetStats(endpoint), Stats)).stats

    async def close(self, call: MediaCallId, endpoint: EndpointId) -> EndpointStats | None:
        """End an endpoint; returns its last figures. The subscriber is told as well.

        An endpoint that is gone already is no error: None, the subscriber has had its figures.
        """
        try:
            return (await self._ask(call, Close(endpoint), EndpointClosed)).stats
        except MediaError as error:
            if error.kind != "unknown_endpoint":
                raise
            return None

    async def _ask(
        self, call: MediaCallId, command: Command, answer_type: type[_A], timeout_s: float = ANSWER_TIMEOUT_S
    ) -> _A:
        request = RequestId(next(self._requests))
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[_Answer] = loop.create_future()
        self._waiting[request] = answer
        # Half the price of `asyncio.timeout`, ten times a call.
        limit = loop.call_later(timeout_s, self._give_up, request, command)
        try:
            self._running().submit(request, call, command)
            event = await answer
        except ValueError as error:
            raise MediaError("invalid_parameter", str(error)) from error
        finally:
            limit.cancel()
            self._waiting.pop(request, None)
        if not isinstance(event, answer_type):
            raise MediaError("unexpected_answer", f"{type(event).__name__} to {command.kind}")
        return event

    def _give_up(self, request: RequestId, command: Command) -> None:
        answer = self._waiting.get(request)
        if answer is not None and not answer.done():
            answer.set_exception(MediaError("timeout", f"no answer to {command.kind}"))

    def _submit_close(self, call: MediaCallId, endpoint: EndpointId) -> None:
        """End an endpoint without waiting for the answer, which nobody expects."""
        with contextlib.suppress(MediaError, CapacityError):
            self._running().submit(next(self._requests), call, Close(endpoint))

    def _running(self) -> _media.Engine:
        if self._engine is None:
            raise MediaError("closed", "the media engine does not run")
        return self._engine

    def _on_readable(self) -> None:
        if self._engine is not None:
            # One batch a wake: the descriptor stays readable while there is more, and others get their turn.
            self._take_events(self._engine)

    def _take_events(self, engine: _media.Engine) -> bool:
        events = engine.poll_events(EVENTS_PER_POLL)
        for name, values in events:
            self._deliver(to_event(name, values))
        return bool(events)

    def _deliver(self, event: Event) -> None:
        match event:
            case CommandDone() | EndpointReady() | Stats():
                self._answer(event.request, event)
            case CommandFailed():
                self._refuse(event)
            case EndpointClosed():
                if event.request is not None:
                    self._answer(event.request, event)
                self._tell(event.call, event)
            case WorkerDied():
                self._dead_workers.add(event.worker)
                _log.error("media_worker_died", worker=event.worker, reason=event.reason)
            case _:
                self._tell(event.call, event)

    def _answer(self, request: RequestId, event: _Answer) -> None:
        answer = self._waiting.get(request)
        if answer is not None and not answer.done():
            answer.set_result(event)

    def _refuse(self, event: CommandFailed) -> None:
        answer = self._waiting.get(event.request)
        if answer is not None and not answer.done():
            if event.error_kind in ("capacity", "no_free_port"):
                answer.set_exception(CapacityError(event.message))
            else:
                answer.set_exception(MediaError(event.error_kind, event.message))

    def _tell(self, call: MediaCallId, event: CallEvent) -> None:
        listener = self._listeners.get(call)
        if listener is None:
            return
        try:
            listener(event)
        except Exception:
            # A task boundary: one call's listener must not keep the others' events from them.
            _log.exception("media_listener_failed", media_call=call)
