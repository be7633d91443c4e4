"""SHELL: the media plane as Python commands it: a verb for each thing that can be asked.

Owns the names of endpoints, and what is asked with which patience. Must not know calls, SDP or SIP, nor how a command
gets over (`link`).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable
from dataclasses import fields
from typing import Final

from trunkline import _media
from trunkline.config import MediaConfig
from trunkline.errors import MediaError
from trunkline.figures import EndpointStats
from trunkline.ids import EndpointId, MediaCallId
from trunkline.media.border import settings_of
from trunkline.media.link import ANSWER_TIMEOUT_S, CallListener, Link
from trunkline.media.types import (
    AudioFile,
    Bridge,
    Close,
    CreateEndpoint,
    Direction,
    EndpointClosed,
    EndpointReady,
    EngineSettings,
    ExpectMedia,
    GetStats,
    Local,
    Mute,
    Play,
    RecordingFormat,
    Remote,
    SendDtmf,
    SetRemote,
    Source,
    StartTap,
    Stats,
    StopPlay,
    StopTap,
    StreamParameters,
    Totals,
    Transport,
    Unbridge,
    Unmute,
    UpdateEndpoint,
    Voice,
)

FILE_TIMEOUT_S: Final = 30.0
"""How long an answer may take where a file comes first, from a disk that may be slow, behind others that are read."""


class MediaEngine:
    """The media plane of this process, for one event loop.

    A verb has given its command when it returns; what is awaited is the answer. Commands of one call are carried out in
    the order in which they were given, so that several may be given before the first is answered. Awaiting raises
    MediaError (with its kind) when the media plane refuses a command or does not answer in time, and CapacityError when
    it is full.
    """

    def __init__(self) -> None:
        self._link = Link()
        self._endpoints = itertools.count(1)

    async def start(self, config: MediaConfig | EngineSettings) -> None:
        """Start the worker threads. Raises MediaError where sockets, threads or settings do not allow it."""
        await self._link.start(config if isinstance(config, EngineSettings) else settings_of(config))

    async def stop(self) -> None:
        """End every endpoint and thread; subscribers hear of each endpoint. Bounded in time; again: nothing."""
        await self._link.stop()

    @property
    def is_running(self) -> bool:
        """Whether commands are taken."""
        return self._link.is_running

    def totals(self) -> Totals:
        """Read the counters of the whole media plane. Raises MediaError when it does not run."""
        return Totals(**self._link.engine.totals())

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
        return self._link.dead_workers

    @property
    def can_speex(self) -> bool:
        """Whether libspeex, which is looked for once, is installed."""
        return _media.is_speex_available()

    def new_call(self) -> MediaCallId:
        """Name a call. Both endpoints of a call must use the same name, which decides their worker: a living one.

        Raises MediaError when the media plane does not run.
        """
        return MediaCallId(self._link.engine.new_call())

    def new_endpoint_id(self) -> EndpointId:
        """Name an endpoint; never the same twice."""
        return EndpointId(next(self._endpoints))

    def subscribe(self, call: MediaCallId, callback: CallListener) -> None:
        """Have every spontaneous event of a call passed to `callback`, in place of one before."""
        self._link.subscribe(call, callback)

    def unsubscribe(self, call: MediaCallId) -> None:
        """Pass on no more events of a call."""
        self._link.unsubscribe(call)

    def create_endpoint(self, call: MediaCallId, transport: Transport) -> Awaitable[tuple[EndpointId, Local]]:
        """Make an endpoint; returns its name and what our SDP says of it."""
        endpoint = self.new_endpoint_id()
        return self._created(call, endpoint, self._link.begin(call, CreateEndpoint(endpoint, transport)))

    async def _created(
        self, call: MediaCallId, endpoint: EndpointId, answer: Awaitable[EndpointReady]
    ) -> tuple[EndpointId, Local]:
        try:
            return endpoint, (await answer).local
        except (asyncio.CancelledError, MediaError):
            # The caller will never learn the name, so nobody else could end what may have been made meanwhile.
            self._link.give(call, Close(endpoint))
            raise

    def set_remote(
        self, call: MediaCallId, endpoint: EndpointId, remote: Remote, audio: StreamParameters
    ) -> Awaitable[None]:
        """Tell an endpoint its far side, anew or again."""
        return self._link.begin(call, SetRemote(endpoint, remote, audio))

    def update_endpoint(self, call: MediaCallId, endpoint: EndpointId, direction: Direction) -> Awaitable[None]:
        """Change what is sent and taken, without touching the transport."""
        return self._link.begin(call, UpdateEndpoint(endpoint, direction))

    def expect_media(self, call: MediaCallId, endpoint: EndpointId) -> Awaitable[None]:
        """Count the silence of an endpoint's far side from now on: the call is answered."""
        return self._link.begin(call, ExpectMedia(endpoint))

    def bridge(self, call: MediaCallId, a: EndpointId, b: EndpointId) -> Awaitable[None]:
        """Join two endpoints of one call both ways; the same one twice is an echo."""
        return self._link.begin(call, Bridge(a, b))

    def unbridge(self, call: MediaCallId, endpoint: EndpointId) -> Awaitable[None]:
        """Part an endpoint from its other one; no error if it has none."""
        return self._link.begin(call, Unbridge(endpoint))

    def play(self, call: MediaCallId, endpoint: EndpointId, source: Source) -> Awaitable[None]:
        """Begin to send a source in place of what the other leg says; `PlayDone` tells the subscriber of its end.

        Music on hold is an `AudioFile` that loops. A file that cannot be played is a MediaError that names it and why.
        """
        return self._link.begin(
            call, Play(endpoint, source), FILE_TIMEOUT_S if isinstance(source, AudioFile) else ANSWER_TIMEOUT_S
        )

    def stop_play(self, call: MediaCallId, endpoint: EndpointId) -> Awaitable[None]:
        """End what plays; no error if nothing does."""
        return self._link.begin(call, StopPlay(endpoint))

    def mute(
        self, call: MediaCallId, endpoint: EndpointId, voice: Voice, *, includes_digits: bool = False
    ) -> Awaitable[None]:
        """Let silence through in place of what a far side says, or hears of the other leg."""
        return self._link.begin(call, Mute(endpoint, voice, includes_digits))

    def unmute(self, call: MediaCallId, endpoint: EndpointId, voice: Voice) -> Awaitable[None]:
        """Let it through again; no error if it was not muted."""
        return self._link.begin(call, Unmute(endpoint, voice))

    def start_tap(
        self,
        call: MediaCallId,
        endpoint: EndpointId,
        path: str,
        recording_format: RecordingFormat = RecordingFormat.WAV,
        *,
        plays_digits: bool = False,
    ) -> Awaitable[None]:
        """Record what an endpoint's far side says and hears; done when the file is open.

        `TapDone` tells the subscriber of the end. A path that cannot be written is a MediaError that names it and why.
        """
        return self._link.begin(call, StartTap(endpoint, path, recording_format, plays_digits), FILE_TIMEOUT_S)

    def stop_tap(self, call: MediaCallId, endpoint: EndpointId) -> Awaitable[None]:
        """End the recording; `TapDone` says when the file is whole. No error if there is none."""
        return self._link.begin(call, StopTap(endpoint))

    def send_dtmf(
        self, call: MediaCallId, endpoint: EndpointId, digits: str, duration_ms: int = 120, gap_ms: int = 80
    ) -> Awaitable[None]:
        """Queue digits; done when they are queued, not when they are sent."""
        return self._link.begin(call, SendDtmf(endpoint, digits, duration_ms, gap_ms))

    async def get_stats(self, call: MediaCallId, endpoint: EndpointId) -> EndpointStats:
        """Read the figures of one endpoint."""
        answer: Stats = await self._link.begin(call, GetStats(endpoint))
        return answer.stats

    def close(self, call: MediaCallId, endpoint: EndpointId) -> Awaitable[EndpointStats | None]:
        """End an endpoint; its last figures are what is awaited. The subscriber is told as well.

        An endpoint that is gone already is no error: None, the subscriber has had its figures.
        """
        return self._last_figures(self._link.begin(call, Close(endpoint)))

    async def _last_figures(self, closed: Awaitable[EndpointClosed]) -> EndpointStats | None:
        try:
            return (await closed).stats
        except MediaError as error:
            if error.kind != "unknown_endpoint":
                raise
            return None
