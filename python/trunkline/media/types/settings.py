"""Settings and counters of the media plane as a whole.

EngineSettings goes in once, at its start; Totals comes out whenever somebody asks.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How the media plane runs; fixed at its start. The fields are those of `config.MediaConfig`, made plain.

    workers: threads, 0 is one per core. webrtc_port: of the first worker, each further one takes the next; 0 is any.
    webrtc_advertised: addresses in our ICE candidates; empty is the bound one, or every local one of a wildcard.
    rtp_advertised: addresses in our SDP, one of each family; empty is the bound one, or the main ones of a wildcard.
    first_packet_s: from `ExpectMedia`; 0 is as long as media_inactivity_s.
    media_inactivity_s: 0 is never. media_inactivity_hold_s: the same while a stream does not flow both ways.
    dtls_timeout_s: for ICE and DTLS together, from `SetRemote`.
    opus_complexity: 0 to 10; None is what suits the sample rate.
    silence_suppression: whether we look for silence ourselves, for who takes comfort noise.
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
    opus_complexity: int | None = None
    opus_bitrate_bps: int = 24_000
    silence_suppression: bool = False
    clip_memory_mb: int = 256
    longest_pause_us: int = 1_200
    dscp: int = 46
    pin_workers: bool = False
    command_queue: int = 1_024
    event_queue: int = 8_192


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
