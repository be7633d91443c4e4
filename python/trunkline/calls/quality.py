"""The coding of a call and the quality of one leg, for logs and metrics.

Owns which figures of an endpoint people see on one line, and which of them are counted. Knows no log and no metric.
"""

from __future__ import annotations

from typing import Final

from trunkline.calls.model import Call
from trunkline.figures import EndpointStats
from trunkline.media.types import Address
from trunkline.observability.metrics import LegQuality

_LEAST_PACKETS: Final = 50
"""A second of audio: less says nothing of a call's quality."""


def coding(call: Call) -> dict[str, object]:
    """Return which codecs run on the legs and whether audio is coded anew between them, as fields of one log line."""
    a, b = call.a, call.b
    return {
        "codec_a": (a and a.codec) or None,
        "codec_b": (b and b.codec) or None,
        "ptime_a_ms": (a and a.ptime_ms) or None,
        "ptime_b_ms": (b and b.ptime_ms) or None,
        "transcoded": call.is_transcoded,
    }


def fields(stats: EndpointStats) -> dict[str, object]:
    """Return the figures as fields of one log line. Unknown ones are left out."""
    received, sent = stats.received, stats.sent
    found: dict[str, object] = {
        "codec_received": received.codec,
        "packets_received": received.packets,
        "bytes_received": received.bytes,
        "lost": received.lost,
        "discarded": received.discarded,
        "jitter_mean_ms": round(received.jitter_mean_ms, 2),
        "jitter_max_ms": round(received.jitter_max_ms, 2),
        "mos": _rounded(received.mos),
        "r_factor": _rounded(received.r_factor),
        "concealed_ms": received.concealed_ms,
        "playout_delay_ms": received.playout_delay_ms,
        "is_silent": received.is_silent,
        "is_clipped": received.is_clipped,
        "codec_sent": sent.codec,
        "packets_sent": sent.packets,
        "bytes_sent": sent.bytes,
        "lost_there": sent.lost,
        "jitter_there_ms": _rounded(sent.jitter_ms),
        "mos_there": _rounded(sent.mos),
        "round_trip_ms": _rounded(stats.round_trip_ms),
        "srtp_profile": stats.srtp_profile,
        "local": _address(stats.local),
        "remote": _address(stats.remote),
        "drops": sum(stats.drops.values()),
    }
    return {name: value for name, value in found.items() if value is not None}


def counted(stats: EndpointStats) -> LegQuality | None:
    """Return what the metrics count of a leg's received audio; None if there was too little of it."""
    received = stats.received
    if received.packets < _LEAST_PACKETS:
        return None
    played_ms, concealed_ms = received.played_ms, received.concealed_ms
    delay_ms = received.playout_delay_ms
    return LegQuality(
        codec=received.codec,
        srtp=stats.srtp_profile or "",
        packets_received=received.packets,
        packets_sent=stats.sent.packets,
        mos=received.mos,
        jitter_s=received.jitter_mean_ms / 1_000,
        loss=received.loss_percent / 100,
        round_trip_s=None if stats.round_trip_ms is None else stats.round_trip_ms / 1_000,
        concealed=concealed_ms / played_ms if played_ms and concealed_ms is not None else None,
        playout_delay_s=None if delay_ms is None else delay_ms / 1_000,
        is_silent=received.is_silent,
        is_clipped=received.is_clipped,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _address(address: Address | None) -> str | None:
    if address is None:
        return None
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
