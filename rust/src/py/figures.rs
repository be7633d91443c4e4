//! The figures of one endpoint as `trunkline.figures` has them: one conversion of one snapshot.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::bridge::Stats;
use crate::codecs::Kind;
use crate::endpoint::{ReceivedFigures, SentFigures};
use crate::rtcp::VoipMetrics;

use super::convert::address;
use super::values::value;

/// An `EndpointStats`.
pub(super) fn stats<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyAny>> {
    let drops = PyDict::new(py);
    for (reason, count) in stats.drops.iter().filter(|(_, count)| *count > 0) {
        drops.set_item(reason.name(), count)?;
    }
    value!(py, "trunkline.figures", "EndpointStats", {
        "received": received(py, &stats.received, stats.codec_received)?,
        "sent": sent(py, &stats.sent, stats.codec_sent)?,
        "round_trip_ms": stats.round_trip.map(|time| time.as_secs_f64() * 1_000.0),
        "srtp_profile": stats.srtp_profile,
        "local": stats.local.map(address),
        "remote": stats.remote.map(address),
        "says_muted": stats.is_said_muted,
        "hears_muted": stats.is_heard_muted,
        "drops": drops,
    })
}

fn received<'py>(py: Python<'py>, figures: &ReceivedFigures, codec: Option<Kind>) -> PyResult<Bound<'py, PyAny>> {
    let ReceivedFigures { packets, bytes, arrivals, jitter, heard, rating } = figures;
    let ptime_ms = u64::from(heard.ptime_ms);
    value!(py, "trunkline.figures", "ReceivedStats", {
        "codec": codec.map_or("", Kind::name),
        "packets": packets,
        "bytes": bytes,
        "lost": arrivals.lost,
        "discarded": arrivals.discarded + heard.playout.map_or(0, |playout| playout.flushed),
        "duplicates": arrivals.duplicates,
        "jitter_ms": jitter.last_ms,
        "jitter_mean_ms": jitter.mean_ms,
        "jitter_max_ms": jitter.max_ms,
        "burst_density": f64::from(arrivals.bursts.burst_density) / 256.0,
        "burst_ms": arrivals.bursts.burst_packets * ptime_ms,
        "gap_density": f64::from(arrivals.bursts.gap_density) / 256.0,
        "gap_ms": arrivals.bursts.gap_packets * ptime_ms,
        "concealed_ms": heard.playout.map(|playout| playout.concealed_ms),
        "played_ms": heard.playout.map(|playout| playout.played_ms),
        "playout_delay_ms": heard.playout.map(|playout| playout.delay_ms),
        "playout_delay_max_ms": heard.playout.map(|playout| playout.max_delay_ms),
        "r_factor": rating.map(|rating| rating.r_factor),
        "mos": rating.map(|rating| rating.mos_cq),
        "mos_listening": rating.map(|rating| rating.mos_lq),
        "signal_dbm0": heard.sound.and_then(|sound| sound.signal_dbm0),
        "noise_dbm0": heard.sound.and_then(|sound| sound.noise_dbm0),
        "is_clipped": heard.sound.map(|sound| sound.is_clipped()),
        "is_silent": heard.sound.map(|sound| sound.is_silent()),
    })
}

fn sent<'py>(py: Python<'py>, figures: &SentFigures, codec: Option<Kind>) -> PyResult<Bound<'py, PyAny>> {
    value!(py, "trunkline.figures", "SentStats", {
        "codec": codec.map_or("", Kind::name),
        "packets": figures.packets,
        "bytes": figures.bytes,
        "lost": figures.lost,
        "jitter_ms": figures.jitter_ms,
        "mos": figures.mos,
        "reported": figures.metrics.as_ref().map(|metrics| reported(py, metrics)).transpose()?,
    })
}

/// What the far side's VoIP metrics say; None for what they call unknown.
fn reported<'py>(py: Python<'py>, metrics: &VoipMetrics) -> PyResult<Bound<'py, PyAny>> {
    let known = |level: i8| (level != VoipMetrics::UNKNOWN_LEVEL).then_some(level);
    value!(py, "trunkline.figures", "ReportedMetrics", {
        "loss_rate": f64::from(metrics.loss_rate) / 256.0,
        "discard_rate": f64::from(metrics.discard_rate) / 256.0,
        "burst_density": f64::from(metrics.burst_density) / 256.0,
        "burst_ms": metrics.burst_duration_ms,
        "gap_density": f64::from(metrics.gap_density) / 256.0,
        "gap_ms": metrics.gap_duration_ms,
        "round_trip_ms": metrics.round_trip_delay_ms,
        "end_system_delay_ms": metrics.end_system_delay_ms,
        "signal_dbm0": known(metrics.signal_level_dbm0),
        "noise_dbm0": known(metrics.noise_level_dbm0),
        "r_factor": (metrics.r_factor <= 100).then_some(metrics.r_factor),
        "mos_listening": VoipMetrics::mos(metrics.mos_lq),
        "mos": VoipMetrics::mos(metrics.mos_cq),
    })
}
