"""Commands to the media plane: the whole list. Mirrored by `rust/src/engine/command.rs`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from trunkline.ids import EndpointId
from trunkline.media.types.sources import Source
from trunkline.media.types.streams import Direction, StreamParameters
from trunkline.media.types.transports import Remote, Transport


@dataclass(frozen=True, slots=True)
class CreateEndpoint:
    """Make an endpoint; answered by `EndpointReady` or `CommandFailed`."""

    kind: ClassVar[str] = "create_endpoint"
    endpoint: EndpointId
    transport: Transport


@dataclass(frozen=True, slots=True)
class SetRemote:
    """Tell an endpoint its far side. May be given again (re-INVITE, answer after early media)."""

    kind: ClassVar[str] = "set_remote"
    endpoint: EndpointId
    remote: Remote
    audio: StreamParameters


@dataclass(frozen=True, slots=True)
class UpdateEndpoint:
    """Change what is sent and accepted without touching the transport."""

    kind: ClassVar[str] = "update_endpoint"
    endpoint: EndpointId
    direction: Direction


@dataclass(frozen=True, slots=True)
class ExpectMedia:
    """The call is answered: from now on the silence of an endpoint's far side counts."""

    kind: ClassVar[str] = "expect_media"
    endpoint: EndpointId


@dataclass(frozen=True, slots=True)
class Bridge:
    """Join two endpoints of one call in both directions; the same endpoint twice is an echo."""

    kind: ClassVar[str] = "bridge"
    a: EndpointId
    b: EndpointId


@dataclass(frozen=True, slots=True)
class Unbridge:
    """Part an endpoint from its other one. Both live on."""

    kind: ClassVar[str] = "unbridge"
    endpoint: EndpointId


@dataclass(frozen=True, slots=True)
class Play:
    """Send a source out of an endpoint, instead of what the bridge would send, until it ends or `StopPlay`."""

    kind: ClassVar[str] = "play"
    endpoint: EndpointId
    source: Source


@dataclass(frozen=True, slots=True)
class StopPlay:
    """End what plays; no error if nothing does."""

    kind: ClassVar[str] = "stop_play"
    endpoint: EndpointId


class Voice(StrEnum):
    """One direction of an endpoint, as its far side sees it."""

    SAYS = "says"
    HEARS = "hears"


@dataclass(frozen=True, slots=True)
class Mute:
    """Send silence in place of what an endpoint's far side says, or of what it hears of the other leg.

    The stream goes on at its pace. A player is heard all the same, and digits are unless `includes_digits`; those that
    the far side presses are reported in any case. Stays when the endpoint is joined to another one.
    """

    kind: ClassVar[str] = "mute"
    endpoint: EndpointId
    voice: Voice
    includes_digits: bool = False


@dataclass(frozen=True, slots=True)
class Unmute:
    """Undo `Mute`; no error if nothing is muted."""

    kind: ClassVar[str] = "unmute"
    endpoint: EndpointId
    voice: Voice


class RecordingFormat(StrEnum):
    """How a recording is written: 16-bit PCM, or Opus in Ogg; either way with two channels."""

    WAV = "wav"
    OGG_OPUS = "ogg"


@dataclass(frozen=True, slots=True)
class StartTap:
    """Record an endpoint: what its far side says on the left channel, what it hears on the right.

    path: of a file that does not exist; it is written as `<path>.part` and gets its name when it is whole. Answered
    when the file is open; `TapDone` tells of its end. Recording never holds up the call: what the recorder has no time
    for is left out. What is muted is recorded as silence, and so are digits of RFC 4733 and those that we sound, unless
    `plays_digits`: card numbers are digits.
    """

    kind: ClassVar[str] = "start_tap"
    endpoint: EndpointId
    path: str
    format: RecordingFormat = RecordingFormat.WAV
    plays_digits: bool = False


@dataclass(frozen=True, slots=True)
class StopTap:
    """End the recording of an endpoint; no error if there is none. The file is whole when `TapDone` says so."""

    kind: ClassVar[str] = "stop_tap"
    endpoint: EndpointId


@dataclass(frozen=True, slots=True)
class SendDtmf:
    """Queue digits as RFC 4733 events, or as tones in the audio where the far side negotiated none."""

    kind: ClassVar[str] = "send_dtmf"
    endpoint: EndpointId
    digits: str
    duration_ms: int = 120
    gap_ms: int = 80


@dataclass(frozen=True, slots=True)
class GetStats:
    """Ask for a `Stats` event."""

    kind: ClassVar[str] = "get_stats"
    endpoint: EndpointId


@dataclass(frozen=True, slots=True)
class Close:
    """End an endpoint: unbridge, RTCP BYE, ports into quarantine. Answered by `EndpointClosed`."""

    kind: ClassVar[str] = "close"
    endpoint: EndpointId


Command = (
    CreateEndpoint
    | SetRemote
    | UpdateEndpoint
    | ExpectMedia
    | Bridge
    | Unbridge
    | Play
    | StopPlay
    | Mute
    | Unmute
    | StartTap
    | StopTap
    | SendDtmf
    | GetStats
    | Close
)
