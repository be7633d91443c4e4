//! What an endpoint knows of the quality of both directions, and the report of it for the far side.
//!
//! RFC 3550 section 6.4, RFC 3611 section 4.7, ITU-T G.107.

use std::net::SocketAddr;
use std::time::Duration;

use crate::quality::{ArrivalFigures, GMIN, Heard, Rating, emodel};
use crate::rtcp::VoipMetrics;
use crate::rtp::JitterFigures;

use super::{Endpoint, Transport};

/// The direction from the far side to us, as we see it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReceivedFigures {
    /// RTP packets taken.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// What came, was missing, and in which bursts.
    pub arrivals: ArrivalFigures,
    /// How unevenly it came.
    pub jitter: JitterFigures,
    /// How it was decoded, if it was.
    pub heard: Heard,
    /// Its quality, once there was speech.
    pub rating: Option<Rating>,
}

/// The direction from us to the far side. All but the counts is what the far side reported, once it did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SentFigures {
    /// RTP packets sent.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets that it missed; negative if duplicates prevail.
    pub lost: Option<i32>,
    /// Interarrival jitter there.
    pub jitter_ms: Option<f64>,
    /// Conversational quality: its own figure where it sent VoIP metrics, else ours from its reports.
    pub mos: Option<f64>,
    /// The VoIP metrics that it sent last.
    pub metrics: Option<VoipMetrics>,
}

impl Endpoint {
    /// Takes what is known of the received stream beyond its packets; the next report tells it.
    pub fn set_heard(&mut self, heard: Heard) {
        self.heard = heard.since(&self.heard);
    }

    /// Quality of the direction to us, as of the last [`set_heard`](Self::set_heard).
    #[must_use]
    pub fn received(&self) -> ReceivedFigures {
        let arrivals = self.arrivals.figures();
        ReceivedFigures {
            packets: self.counters.packets_received,
            bytes: self.counters.bytes_received,
            arrivals,
            jitter: self.source.jitter(),
            heard: self.heard,
            rating: self.heard.rating(&arrivals, self.round_trip()),
        }
    }

    /// Quality of the direction from us. `impairment`: of the codec sent last.
    #[must_use]
    pub fn sent(&self, impairment: Option<emodel::Impairment>) -> SentFigures {
        let told = self.reports.told();
        let metrics = self.reports.metrics().copied();
        let rate_hz = self.reports.clock_rate_hz().unwrap_or(0);
        let one_way_ms = self.round_trip().map_or(0.0, |time| time.as_secs_f64() * 500.0);
        let rated = told.zip(impairment).map(|(told, impairment)| {
            let loss_percent = f64::from(told.lost.max(0)) * 100.0 / f64::from(told.of_packets.max(1));
            emodel::mos(emodel::Path { impairment, loss_percent, burst_ratio: 1.0, one_way_ms }.rating())
        });
        SentFigures {
            packets: self.counters.packets_sent,
            bytes: self.counters.bytes_sent,
            lost: told.map(|told| told.lost),
            jitter_ms: told
                .filter(|_| rate_hz > 0)
                .map(|told| f64::from(told.jitter_ts) * 1_000.0 / f64::from(rate_hz)),
            mos: metrics.and_then(|metrics| VoipMetrics::mos(metrics.mos_cq)).or(rated),
            metrics,
        }
    }

    /// Round-trip time by RTCP, once known.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.reports.round_trip()
    }

    /// Where media goes: the learned address, or the signalled one before.
    #[must_use]
    pub fn remote(&self) -> Option<SocketAddr> {
        let destination = match &self.transport {
            Transport::Secure(secure) => secure.destination(),
            Transport::Latched(latched) => latched.rtp_destination(),
        };
        destination.map(|destination| destination.remote)
    }

    /// The VoIP metrics block about what we receive; None before it began.
    pub(super) fn voip_metrics(&self) -> Option<VoipMetrics> {
        let ssrc = self.source.ssrc()?;
        let ReceivedFigures { arrivals, heard, rating, .. } = self.received();
        let playout = heard.playout.unwrap_or_default();
        let ptime_ms = u64::from(heard.ptime_ms.max(1));
        Some(VoipMetrics {
            ssrc,
            loss_rate: arrivals.loss_rate(),
            discard_rate: arrivals.discard_rate(playout.flushed),
            burst_density: arrivals.bursts.burst_density,
            gap_density: arrivals.bursts.gap_density,
            burst_duration_ms: sixteen_bits(arrivals.bursts.burst_packets * ptime_ms),
            gap_duration_ms: sixteen_bits(arrivals.bursts.gap_packets * ptime_ms),
            round_trip_delay_ms: sixteen_bits(self.round_trip().map_or(0, |time| time.as_millis())),
            end_system_delay_ms: sixteen_bits(heard.end_system_delay_ms()),
            signal_level_dbm0: level(heard.sound.and_then(|sound| sound.signal_dbm0)),
            noise_level_dbm0: level(heard.sound.and_then(|sound| sound.noise_dbm0)),
            rerl_db: VoipMetrics::UNKNOWN,
            gmin: GMIN,
            r_factor: rating.map_or(VoipMetrics::UNKNOWN, |rating| rounded(rating.r_factor)),
            ext_r_factor: VoipMetrics::UNKNOWN,
            mos_lq: rating.map_or(VoipMetrics::UNKNOWN, |rating| rounded(rating.mos_lq * 10.0)),
            mos_cq: rating.map_or(VoipMetrics::UNKNOWN, |rating| rounded(rating.mos_cq * 10.0)),
            rx_config: if heard.playout.is_some() { VoipMetrics::STANDARD_PLC_ADAPTIVE_JB } else { 0 },
            jb_nominal_ms: sixteen_bits(playout.delay_ms),
            jb_maximum_ms: sixteen_bits(playout.max_delay_ms),
            jb_abs_max_ms: sixteen_bits(playout.bound_ms),
        })
    }
}

/// A field of 16 bits, which saturates.
fn sixteen_bits(value: impl TryInto<u16>) -> u16 {
    value.try_into().unwrap_or(u16::MAX)
}

/// A level in dBm0 as the block has it.
fn level(dbm0: Option<f64>) -> i8 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped before")]
    dbm0.map_or(VoipMetrics::UNKNOWN_LEVEL, |dbm0| dbm0.round().clamp(-126.0, 20.0) as i8)
}

/// A rating as the block has it: 0 to 100.
fn rounded(value: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    let value = value.round().clamp(0.0, 100.0) as u8;
    value
}
