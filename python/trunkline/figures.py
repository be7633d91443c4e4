"""The quality figures of an endpoint, one direction at a time, as plain data.

Mirrors `rust/src/py/figures.rs`, which makes one snapshot of each endpoint when asked and when it ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedStats:
    """The direction from the far side to us, since the endpoint was made.

    codec: of the latest audio, empty before it. lost: packets that never came. discarded: that came too late or found
    no room. jitter: RFC 3550 6.4.1. burst, gap: RFC 3611 4.7.2; densities are shares. r_factor, mos: ITU-T G.107, with
    the delay; mos_listening without it; None before the first packet of speech.

    The rest is None unless the stream is decoded here, but levels, is_silent and is_clipped are also known of G.711
    that is passed through. concealed_ms: of played_ms, made up. playout_delay: the wait in the jitter buffer. levels:
    means of what is speech and of what is silence. is_silent: nothing else was heard. is_clipped: more than a frame in
    a hundred is.
    """

    codec: str = ""
    packets: int = 0
    bytes: int = 0
    lost: int = 0
    discarded: int = 0
    duplicates: int = 0
    jitter_ms: float = 0.0
    jitter_mean_ms: float = 0.0
    jitter_max_ms: float = 0.0
    burst_density: float = 0.0
    burst_ms: int = 0
    gap_density: float = 0.0
    gap_ms: int = 0
    r_factor: float | None = None
    mos: float | None = None
    mos_listening: float | None = None
    concealed_ms: int | None = None
    played_ms: int | None = None
    playout_delay_ms: int | None = None
    playout_delay_max_ms: int | None = None
    signal_dbm0: float | None = None
    noise_dbm0: float | None = None
    is_clipped: bool | None = None
    is_silent: bool | None = None

    @property
    def loss_percent(self) -> float:
        """Packets that were lost or discarded, of those expected."""
        expected = self.packets + self.lost
        return min(100.0, 100.0 * (self.lost + self.discarded) / expected) if expected else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedMetrics:
    """VoIP metrics that the far side sent about our stream (RFC 3611 4.7). None: it does not know."""

    loss_rate: float
    discard_rate: float
    burst_density: float
    burst_ms: int
    gap_density: float
    gap_ms: int
    round_trip_ms: int
    end_system_delay_ms: int
    signal_dbm0: int | None = None
    noise_dbm0: int | None = None
    r_factor: int | None = None
    mos_listening: float | None = None
    mos: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SentStats:
    """The direction from us to the far side. None until it reports.

    lost: packets that it missed, negative if duplicates prevail. mos: its own where it sent VoIP metrics, else ours by
    its reports.
    """

    codec: str = ""
    packets: int = 0
    bytes: int = 0
    lost: int | None = None
    jitter_ms: float | None = None
    mos: float | None = None
    reported: ReportedMetrics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStats:
    """What is known of one endpoint at one moment.

    round_trip_ms: by RTCP, once known. srtp_profile: None for plain RTP. local: the bound address. remote: where media
    goes, learned or signalled before. drops: datagrams and frames that went no further, by reason.
    """

    received: ReceivedStats = ReceivedStats()
    sent: SentStats = SentStats()
    round_trip_ms: float | None = None
    srtp_profile: str | None = None
    local: tuple[str, int] | None = None
    remote: tuple[str, int] | None = None
    says_muted: bool = False
    hears_muted: bool = False
    drops: dict[str, int] = field(default_factory=dict)
