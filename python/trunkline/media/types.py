"""Commands to and events from the media plane, as plain data.

Owns the shape of the boundary between Python and Rust: negotiated facts cross (payload types, ptime, addresses,
fingerprints); SDP text and audio never do. Mirrors `rust/src/engine/command.rs` and `event.rs`;
`rust/src/py/convert.rs` reads and writes the attributes named here. Directions are as seen from the gateway.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_address
from typing import ClassVar

from trunkline.dtmf import DtmfKind
from trunkline.figures import EndpointStats
from trunkline.ids import EndpointId, MediaCallId, RequestId

Address = tuple[str, int]
"""IP literal and UDP port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How the media plane runs; fixed at its start. The fields are those of `config.MediaConfig`, made plain.

    workers: threads, 0 is one per core. webrtc_port: of the first worker, each further one takes the next; 0 is any.
    webrtc_advertised: addresses in our ICE candidates; empty is the bound one, or every local one of a wildcard.
    rtp_advertised: addresses in our SDP, one of each family; empty is the bound one, or the main ones of a wildcard.
    first_packet_s: from `ExpectMedia`; 0 is as long as media_inactivity_s.
    media_inactivity_s: 0 is never. media_inactivity_hold_s: the same while a stream does not flow both ways.
    dtls_timeout_s: for ICE and DTLS together, from `SetRemote`.
    clip_memory_mb: of decoded audio files, in MiB.
    longest_pause_us: how long a busy worker may sleep on although packets arrive, 0 is never.
    dscp: class of what we send, 0 to 63. pin_workers: whether each worker stays on a core of its own.
    command_queue: commands that may wait for one worker. event_queue: events that may wait for us.
    """

    workers: int = 0
    webrtc_host: str = "127.0.0.1"
    webrtc_port: int = 0
    webrtc_advertised: tuple[str, ...] = ()
    rtp_host: str = "127.0.0.1"
    rtp_port_min: int = 31_000
    rtp_port_max: int = 31_999
    rtp_advertised: tuple[str, ...] = ()
    port_quarantine_s: float = 5.0
    first_packet_s: float = 30.0
    media_inactivity_s: float = 60.0
    media_inactivity_hold_s: float = 1_800.0
    ice_consent_s: float = 30.0
    dtls_timeout_s: float = 15.0
    opus_complexity: int = 5
    opus_bitrate_bps: int = 24_000
    clip_memory_mb: int = 256
    longest_pause_us: int = 1_200
    dscp: int = 46
    pin_workers: bool = False
    command_queue: int = 1_024
    event_queue: int = 8_192


class Direction(StrEnum):
    """What the gateway does with a stream (RFC 3264 section 5)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type of a negotiated stream.

    name: as in `rtpmap`, in our canonical case: `opus`, `PCMU`, `PCMA`, `CN`, `telephone-event`.
    clock_rate: RTP timestamp units per second (`rtpmap`), which is not always the sample rate.
    parameters: `fmtp` of the receiver of this payload type, as (name, value) pairs in lower case.
    """

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Dtmf:
    """How digits travel between us and a far side.

    sent: how they get to it; of `INFO` the media plane sends none. hears_tones: listen to its audio for digits; events
    are taken wherever they were negotiated.
    """

    sent: DtmfKind = DtmfKind.RFC4733
    hears_tones: bool = False


@dataclass(frozen=True, slots=True)
class RtcpParameters:
    """How a stream's reports were negotiated.

    is_reduced_size: they need not be whole compounds (`rtcp-rsize`, RFC 5506). sends_voip_metrics: the far side wants
    to know how it sounds to us (`rtcp-xr:voip-metrics`, RFC 3611 section 5).
    """

    is_reduced_size: bool = False
    sends_voip_metrics: bool = False


@dataclass(frozen=True, slots=True)
class StreamParameters:
    """One negotiated audio stream.

    receive: payload types that the far side may send to us.
    send: payload types that we may send, in order of preference, with the far side's numbers.
    Either may hold `telephone-event` entries, one per clock rate (RFC 4733).
    """

    receive: tuple[Codec, ...]
    send: tuple[Codec, ...]
    ptime_ms: int = 20
    direction: Direction = Direction.SENDRECV
    dtmf: Dtmf = Dtmf()
    rtcp: RtcpParameters = RtcpParameters()


# --- transports, local and remote ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WebRtcTransport:
    """Ask for a browser-side transport: ICE-lite, DTLS-SRTP, one shared UDP port per worker."""

    kind: ClassVar[str] = "webrtc"


@dataclass(frozen=True, slots=True)
class RtpTransport:
    """Ask for a SIP-side transport with its own even/odd pair of ports (one port if `rtcp_mux`).

    Whether it carries RTP or SRTP is told with the far side's description.
    """

    kind: ClassVar[str] = "rtp"
    rtcp_mux: bool = False


Transport = WebRtcTransport | RtpTransport


@dataclass(frozen=True, slots=True)
class WebRtcLocal:
    """What our SDP says of a browser-side endpoint. fingerprint: SHA-256, upper-case hex with colons."""

    candidates: tuple[Address, ...]
    ice_ufrag: str
    ice_pwd: str
    fingerprint: str
    ssrc: int
    cname: str


@dataclass(frozen=True, slots=True)
class RtpLocal:
    """What our SDP says of a SIP-side endpoint: advertised addresses.

    other_family: the addresses for RTP and RTCP of the other address family, if sockets and machine have both.
    fingerprint: of our certificate, should the far side want DTLS: SHA-256, upper-case hex with colons.
    """

    rtp: Address
    rtcp: Address
    ssrc: int
    cname: str
    fingerprint: str = ""
    other_family: tuple[Address, Address] | None = None

    def towards(self, host: str) -> RtpLocal:
        """Return this with the address of the host's family first, if there is one. A name has no family."""
        try:
            wanted = ip_address(host)
        except ValueError:
            return self
        is_ipv6 = wanted.version == 6 and wanted.ipv4_mapped is None
        if self.other_family is None or is_ipv6 == (":" in self.rtp[0]):
            return self
        rtp, rtcp = self.other_family
        return replace(self, rtp=rtp, rtcp=rtcp, other_family=(self.rtp, self.rtcp))


Local = WebRtcLocal | RtpLocal


@dataclass(frozen=True, slots=True)
class WebRtcRemote:
    """What the browser's SDP said. fingerprints: (hash name in lower case, upper-case hex with colons).

    is_dtls_client: the browser is `setup:active` (as a rule it is, since we answer and offer passive).
    """

    kind: ClassVar[str] = "webrtc"
    ice_ufrag: str
    ice_pwd: str
    fingerprints: tuple[tuple[str, str], ...]
    is_dtls_client: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SdesKeys:
    """SRTP under keys that the signalling agreed (RFC 4568).

    suite: as in `a=crypto`, e.g. `AES_CM_128_HMAC_SHA1_80`. local: of what we send, remote: of what we receive; master
    keys and salts of the suite's lengths. Given again with the same key, a direction goes on with its rollover counter;
    with another one, it begins anew.
    """

    kind: ClassVar[str] = "sdes"
    suite: str
    local_key: bytes = field(repr=False)
    local_salt: bytes = field(repr=False)
    remote_key: bytes = field(repr=False)
    remote_salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DtlsPeer:
    """SRTP under keys of a DTLS handshake with the host that the SDP named (RFC 5764).

    fingerprints: (hash name in lower case, upper-case hex with colons). is_dtls_client: it is `setup:active`.
    Given again with the same facts and address, the association goes on.
    """

    kind: ClassVar[str] = "dtls"
    fingerprints: tuple[tuple[str, str], ...]
    is_dtls_client: bool


Security = SdesKeys | DtlsPeer


@dataclass(frozen=True, slots=True)
class RtpRemote:
    """What the SIP side's SDP said. `rtcp` equals `rtp` when multiplexed. security: None is plain RTP."""

    kind: ClassVar[str] = "rtp"
    rtp: Address
    rtcp: Address
    rtcp_mux: bool = False
    security: Security | None = None


Remote = WebRtcRemote | RtpRemote


# --- sources for Play ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tone:
    """One to four sine waves. level_dbm0: of each, 0 dBm0 as in G.711.

    cadence_ms: sound and silence in turn, up to four times, over and over; empty is continuous.
    """

    kind: ClassVar[str] = "tone"
    frequencies_hz: tuple[float, ...]
    level_dbm0: float = -10.0
    cadence_ms: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DtmfTones:
    """In-band DTMF, each digit followed by silence."""

    kind: ClassVar[str] = "dtmf_tones"
    digits: str
    on_ms: int = 120
    off_ms: int = 80


@dataclass(frozen=True, slots=True)
class AudioFile:
    """A WAV file (PCM, floating point or G.711, 8 to 48 kHz) or one of Opus in Ogg, of one or two channels.

    Up to a quarter of an hour. It is kept in memory, decoded, and shared by all who play it; when it has changed on the
    disk, the next `Play` reads it anew. loop: without a seam, until `StopPlay`.
    """

    kind: ClassVar[str] = "file"
    path: str
    loop: bool = False


Source = Tone | DtmfTones | AudioFile


# --- commands ------------------------------------------------------------------------------------------------------


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


# --- events --------------------------------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters of the whole media plane since its start, and its present load. Not an event: read when scraped.

    turns: times that a worker woke. pause_us: the longest pause that a worker makes at present, to take more packets at
    a time. pause_delay_us: delay that such pauses have added, summed over all packets.
    ports_free, ports_resting: pairs. events_lost: statistics and digits that the event queue had no room for.
    recordings: being written now. recordings_failed: at their start or later. recording_dropped_ms: as in `TapDone`.
    drops: datagrams and frames that went no further, by reason; every reason is there.
    """

    datagrams_received: int
    datagrams_sent: int
    turns: int
    pause_us: int
    pause_delay_us: int
    endpoints: int
    ports_free: int
    ports_resting: int
    events_lost: int
    bridges_failed: int
    recordings: int
    recordings_failed: int
    recording_dropped_ms: int
    drops: dict[str, int]


Event = (
    CommandDone
    | CommandFailed
    | EndpointReady
    | IceStateChanged
    | DtlsStateChanged
    | FirstPacket
    | FirstPacketMissing
    | MediaInactive
    | DtmfReceived
    | PlayDone
    | TapDone
    | Stats
    | EndpointClosed
    | BridgeFailed
    | WorkerDied
)
