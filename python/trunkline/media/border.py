"""What goes over the border to the compiled media plane, made into plain data on this side of it.

Owns the settings. Events and figures are made on the other side (`rust/src/py`), as the dataclasses that they are here.
"""

from __future__ import annotations

from trunkline.config import MediaConfig
from trunkline.media.types import EngineSettings


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
        silence_suppression=config.silence_suppression,
        longest_pause_us=config.longest_pause_us,
        dscp=config.dscp,
        pin_workers=config.pin_workers,
    )
