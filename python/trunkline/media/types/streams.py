"""What was negotiated of one audio stream: codecs, direction, digits, reports."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from trunkline.dtmf import DtmfKind


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
