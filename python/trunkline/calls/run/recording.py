"""The recording of a call: one at a time, to a file in the node's place for them.

Owns which leg is recorded and the wait for its file. The file is the media plane's; what is in it, and when, too.
"""

from __future__ import annotations

import asyncio
import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from trunkline.calls.model import Call, Recording, Side
from trunkline.calls.ports import Clock, LegPort, MediaPort
from trunkline.errors import InvalidCallState, MediaError, NotConfigured, TrunklineError
from trunkline.ids import EndpointId, MediaCallId
from trunkline.media.types import RecordingFormat, TapDone
from trunkline.observability.logging import get_logger

END_TIMEOUT_S: Final = 5.0
"""How long the end of a file is waited for: a slow disk must not keep calls."""

MAX_RECORDINGS: Final = 64
"""Of one call: bounds what a call remembers."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]+")
_MAX_ID: Final = 64

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingSettings:
    """directory: where files go, None if calls are not recorded. format: of those whose name does not say another.

    plays_digits: whether digits are heard in them.
    """

    directory: str | None = None
    format: RecordingFormat = RecordingFormat.WAV
    plays_digits: bool = False


def file_name(wanted: str, call: Call, stamp: str, form: RecordingFormat) -> str:
    """Return the name of a recording's file, which leads nowhere but into its directory.

    wanted: as a client wants it, with or without an ending; empty leaves it to us: the time, the call's id and, from
    the second one of a call on, a number. stamp: the time, as text. Raises ValueError for what is no plain name.
    """
    if wanted:
        if _NAME.fullmatch(wanted) is None:
            raise ValueError("letters, digits, `.`, `_` and `-`, a letter or digit first, 128 at most")
        return wanted if wanted.endswith(tuple(f".{known}" for known in RecordingFormat)) else f"{wanted}.{form}"
    number = f"-{len(call.recordings) + 1}" if call.recordings else ""
    return f"{stamp}-{_UNSAFE.sub('-', call.id)[:_MAX_ID]}{number}.{form}"


class Recorder:
    """Records one call. legs: the call's, as they are at the time."""

    __slots__ = ("_call", "_clock", "_done", "_legs", "_media_call", "_port", "_running", "_settings")

    def __init__(
        self,
        call: Call,
        port: MediaPort,
        media_call: MediaCallId,
        legs: Mapping[Side, LegPort],
        *,
        clock: Clock,
        settings: RecordingSettings,
    ) -> None:
        self._call = call
        self._port = port
        self._media_call = media_call
        self._legs = legs
        self._clock = clock
        self._settings = settings
        self._running: tuple[Recording, EndpointId] | None = None
        self._done: asyncio.Event | None = None

    def serve(self, call: Call) -> None:
        """Go on in another call: its recording is that call's as well."""
        self._call = call
        if self._running is not None:
            call.recordings.append(self._running[0])

    async def start(self, name: str) -> None:
        """Begin to record: the client's side where it has media, else the other one.

        Raises InvalidCallState if a recording runs, if the call has had too many, if there is no media yet or the file
        exists; NotConfigured, MediaError, CapacityError or TimeoutError.
        """
        if self._settings.directory is None:
            raise NotConfigured("calls are not recorded here: `recording.directory` is not set")
        if self._running is not None:
            raise InvalidCallState("the call is being recorded")
        if len(self._call.recordings) >= MAX_RECORDINGS:
            raise InvalidCallState("the call has had too many recordings")
        own = self._call.client_side
        endpoint = self._legs[own].leg.endpoint or self._legs[own.other].leg.endpoint
        if endpoint is None:
            raise InvalidCallState("the call has no media yet")
        path = os.path.join(self._settings.directory, name)
        form = RecordingFormat(name.rpartition(".")[2])
        recording = Recording(name, self._clock.now())
        self._running = recording, endpoint
        self._done = asyncio.Event()
        try:
            await self._port.start_tap(self._media_call, endpoint, path, form, plays_digits=self._settings.plays_digits)
        except MediaError as error:
            self._running = None
            if error.kind == "unwritable_path":
                _log.warning("recording_not_begun", error=str(error))
                raise InvalidCallState("the recording cannot be written: its name is taken, or its place is") from error
            raise
        except (TrunklineError, TimeoutError):
            self._running = None
            raise
        self._call.recordings.append(recording)
        _log.info("recording_begun", file=name)

    async def stop(self) -> None:
        """End the recording, and return when its file is whole. InvalidCallState if there is none; else as `start`."""
        if self._running is None:
            raise InvalidCallState("the call is not being recorded")
        try:
            await self._port.stop_tap(self._media_call, self._running[1])
        except MediaError as error:
            if error.kind != "unknown_endpoint":  # closed by itself: the recording ends with it
                raise
        assert self._done is not None
        async with asyncio.timeout(END_TIMEOUT_S):
            await self._done.wait()

    @property
    def is_running(self) -> bool:
        """Whether the call is being recorded."""
        return self._running is not None

    async def end(self) -> None:
        """End what is being recorded with its call; nothing if nothing is. Raises as `stop`."""
        if self._running is not None:
            await self.stop()

    def ended(self, event: TapDone) -> None:
        """Learn from the media plane that the file is whole, or will never be."""
        running = self._running
        if running is None or running[1] != event.endpoint:
            return
        recording, self._running = running[0], None
        recording.reason, recording.detail = event.reason, event.detail
        recording.seconds, recording.bytes, recording.dropped_ms = event.seconds, event.bytes, event.dropped_ms
        log = _log.info if event.reason in ("stopped", "closed") else _log.warning
        log(
            "recording_ended",
            file=recording.name,
            reason=event.reason,
            seconds=round(event.seconds, 3),
            bytes=event.bytes,
            dropped_ms=event.dropped_ms,
            detail=event.detail,
        )
        if self._done is not None:
            self._done.set()
