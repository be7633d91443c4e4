//! The figures of one endpoint, for `trunkline.media.types.EndpointStats`: one conversion of one snapshot.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::bridge::Stats;
use crate::codecs::Kind;
use crate::endpoint::{ReceivedFigures, SentFigures};
use crate::rtcp::VoipMetrics;

use super::convert::address;

/// The fields of `EndpointStats`; both directions and the far side's metrics are dictionaries within.
pub(super) fn stats<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("received", received(py, &stats.received, stats.codec_received)?)?;
    fields.set_item("sent", sent(py, &stats.sent, stats.codec_sent)?)?;
    fields.set_item("round_trip_ms", stats.round_trip.map(|time| time.as_secs_f64() * 1_000.0))?;
    fields.set_item("srtp_profile", stats.srtp_profile)?;
    fields.set_item("local", stats.local.map(address))?;
    fields.set_item("remote", stats.remote.map(address))?;
    fields.set_item("says_muted", stats.is_said_muted)?;
    fields.set_item("hears_muted", stats.is_heard_muted)?;
    let drops = PyDict::new(py);
    for (reason, count) in stats.drops.iter().filter(|(_, count)| *count > 0) {
        drops.set_item(reason.name(), count)?;
    }
    fields.set_item("drops", drops)?;
    Ok(fields)
}

fn received<'py>(py: Python<'py>, figures: &ReceivedFigures, codec: Option<Kind>) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    let ReceivedFigures { packets, bytes, arrivals, jitter, heard, rating } = figures;
    let ptime_ms = u64::from(heard.ptime_ms);
    fields.set_item("codec", codec.map_or("", Kind::name))?;
    fields.set_item("packets", packets)?;
    fields.set_item("bytes", bytes)?;
    fields.set_item("lost", arrivals.lost)?;
    fields.set_item("discarded", arrivals.discarded + heard.playout.map_or(0, |playout| playout.flushed))?;
    fields.set_item("duplicates", arrivals.duplicates)?;
    fields.set_item("jitter_ms", jitter.last_ms)?;
    fields.set_item("jitter_mean_ms", jitter.mean_ms)?;
    fields.set_item("jitter_max_ms", jitter.max_ms)?;
    fields.set_item("burst_density", f64::from(arrivals.bursts.burst_density) / 256.0)?;
    fields.set_item("burst_ms", arrivals.bursts.burst_packets * ptime_ms)?;
    fields.set_item("gap_density", f64::from(arrivals.bursts.gap_density) / 256.0)?;
    fields.set_item("gap_ms", arrivals.bursts.gap_packets * ptime_ms)?;
    fields.set_item("concealed_ms", heard.playout.map(|playout| playout.concealed_ms))?;
    fields.set_item("played_ms", heard.playout.map(|playout| playout.played_ms))?;
    fields.set_item("playout_delay_ms", heard.playout.map(|playout| playout.delay_ms))?;
    fields.set_item("playout_delay_max_ms", heard.playout.map(|playout| playout.max_delay_ms))?;
    fields.set_item("r_factor", rating.map(|rating| rating.r_factor))?;
    fields.set_item("mos", rating.map(|rating| rating.mos_cq))?;
    fields.set_item("mos_listening", rating.map(|rating| rating.mos_lq))?;
    fields.set_item("signal_dbm0", heard.sound.and_then(|sound| sound.signal_dbm0))?;
    fields.set_item("noise_dbm0", heard.sound.and_then(|sound| sound.noise_dbm0))?;
    fields.set_item("is_clipped", heard.sound.map(|sound| sound.is_clipped()))?;
    fields.set_item("is_silent", heard.sound.map(|sound| sound.is_silent()))?;
    Ok(fields)
}

fn sent<'py>(py: Python<'py>, figures: &SentFigures, codec: Option<Kind>) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("codec", codec.map_or("", Kind::name))?;
    fields.set_item("packets", figures.packets)?;
    fields.set_item("bytes", figures.bytes)?;
    fields.set_item("lost", figures.lost)?;
    fields.set_item("jitter_ms", figures.jitter_ms)?;
    fields.set_item("mos", figures.mos)?;
    fields.set_item("reported", figures.metrics.as_ref().map(|metrics| reported(py, metrics)).transpose()?)?;
    Ok(fields)
}

/// What the far side's VoIP metrics say; None for what they call unknown.
fn reported<'py>(py: Python<'py>, metrics: &VoipMetrics) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    let known = |level: i8| (level != VoipMetrics::UNKNOWN_LEVEL).then_some(level);
    fields.set_item("loss_rate", f64::from(metrics.loss_rate) / 256.0)?;
    fields.set_item("discard_rate", f64::from(metrics.discard_rate) / 256.0)?;
    fields.set_item("burst_density", f64::from(metrics.burst_density) / 256.0)?;
    fields.set_item("burst_ms", metrics.burst_duration_ms)?;
    fields.set_item("gap_density", f64::from(metrics.gap_density) / 256.0)?;
    fields.set_item("gap_ms", metrics.gap_duration_ms)?;
    fields.set_item("round_trip_ms", metrics.round_trip_delay_ms)?;
    fields.set_item("end_system_delay_ms", metrics.end_system_delay_ms)?;
    fields.set_item("signal_dbm0", known(metrics.signal_level_dbm0))?;
    fields.set_item("noise_dbm0", known(metrics.noise_level_dbm0))?;
    fields.set_item("r_factor", (metrics.r_factor <= 100).then_some(metrics.r_factor))?;
    fields.set_item("mos_listening", VoipMetrics::mos(metrics.mos_lq))?;
    fields.set_item("mos", VoipMetrics::mos(metrics.mos_cq))?;
    Ok(fields)
}
