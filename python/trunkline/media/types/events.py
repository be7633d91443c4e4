"""Events from the media plane: the whole list. Mirrored by `rust/src/engine/event.rs`."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline.dtmf import DtmfKind
from trunkline.figures import EndpointStats
from trunkline.ids import EndpointId, MediaCallId, RequestId
from trunkline.media.types.transports import Address, Local


@dataclass(frozen=True, slots=True)
class CommandDone:
    """The command that has no answer of its own was carried out."""

    request: RequestId


@dataclass(frozen=True, slots=True)
class CommandFailed:
    """The command was refused. error_kind: as `MediaError.kind`."""

    request: RequestId
    error_kind: str
    message: str


@dataclass(frozen=True, slots=True)
class EndpointReady:
    """Answer to `CreateEndpoint`."""

    request: RequestId
    endpoint: EndpointId
    local: Local


@dataclass(frozen=True, slots=True)
class IceStateChanged:
    """state: `connected` (a valid nominated pair), `disconnected` (consent lost, RFC 7675)."""

    call: MediaCallId
    endpoint: EndpointId
    state: str
    remote: Address | None = None


@dataclass(frozen=True, slots=True)
class DtlsStateChanged:
    """state: `connected` (keys installed; detail is the SRTP profile) or `failed` (detail says why)."""

    call: MediaCallId
    endpoint: EndpointId
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FirstPacket:
    """The first valid RTP packet arrived."""

    call: MediaCallId
    endpoint: EndpointId


@dataclass(frozen=True, slots=True)
class FirstPacketMissing:
    """Media was expected for the configured time, and not one RTP packet ever came."""

    call: MediaCallId
    endpoint: EndpointId
    waited_s: float


@dataclass(frozen=True, slots=True)
class MediaInactive:
    """No RTP for the configured time."""

    call: MediaCallId
    endpoint: EndpointId
    idle_s: float


@dataclass(frozen=True, slots=True)
class DtmfReceived:
    """One whole digit, once. digit: one of `0123456789*#ABCD`. by: `rfc4733` or `inband` (`DtmfKind`)."""

    call: MediaCallId
    endpoint: EndpointId
    digit: str
    duration_ms: int
    by: str = DtmfKind.RFC4733


@dataclass(frozen=True, slots=True)
class PlayDone:
    """A source that does not loop came to its end."""

    call: MediaCallId
    endpoint: EndpointId


@dataclass(frozen=True, slots=True)
class TapDone:
    """A recording ended.

    reason: `stopped` (asked for), `closed` (the endpoint is gone), or it failed: `disk_full`, `write_failed`,
    `size_limit`; then detail says more, and what could be written stays in `<path>.part`.
    bytes: of the file. dropped_ms: audio of both channels that is missing because the recorder was too slow.
    """

    call: MediaCallId
    endpoint: EndpointId
    reason: str
    path: str
    seconds: float
    bytes: int
    dropped_ms: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Stats:
    """Answer to `GetStats`."""

    request: RequestId
    endpoint: EndpointId
    stats: EndpointStats


@dataclass(frozen=True, slots=True)
class EndpointClosed:
    """The endpoint is gone. request: of the `Close` that asked for it, else None. reason: a stable string.

    reason: `closed` (asked for), `shutdown`, `ice_timeout`, `dtls_timeout`, `dtls_failed`, `dtls_closed` (the browser
    ended DTLS), `consent_expired`, `bridge_failed`, `worker_died`.
    stats: its last figures; None if its bridge or its worker broke.
    """

    call: MediaCallId
    endpoint: EndpointId
    reason: str
    request: RequestId | None = None
    stats: EndpointStats | None = None


@dataclass(frozen=True, slots=True)
class BridgeFailed:
    """A panic or an internal error ended one bridge; its endpoints are closed."""

    call: MediaCallId
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerDied:
    """A worker thread ended; each of its endpoints has had its own `EndpointClosed` before this."""

    worker: int
    reason: str


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
"""What happens in a call by itself; whoever subscribed to the call is told."""

Event = CommandDone | CommandFailed | EndpointReady | Stats | WorkerDied | CallEvent
"""Every event."""
