//! What RTCP says, and what the far side's told: SR or RR with CNAME, XR, and BYE.   RFC 3550 section 6, RFC 3611.
//!
//! Where the far side agreed to reports of reduced size (RFC 5506), every other one is a report by itself; those
//! between are whole compounds, so that it always knows our name.

use std::time::{Duration, Instant};

use crate::error::DropReason;
use crate::net::Ssrc;
use crate::rtcp::{Block, Builder, Compound, Dlrr, Packet, ReportBlock, SenderInfo, VoipMetrics, WallClock};
use crate::rtp::{Header, Reception};

use super::RtcpParameters;
use super::interval::Interval;

/// What is longer is no round trip, in 1/65,536 s: ten seconds.
const LONGEST_ROUND_TRIP: u32 = 10 << 16;

/// The RTCP side of one endpoint.
#[derive(Debug)]
pub(super) struct Reports {
    ssrc: Ssrc,
    cname: String,
    clock: WallClock,
    interval: Interval,
    parameters: RtcpParameters,
    due_at: Option<Instant>,
    /// The last one was a whole compound, so that the next may be reduced.
    has_introduced: bool,
    sent: Sent,
    last_sr: Option<(u32, Instant)>,
    /// Reference time of a far side that only receives, to be answered once.
    last_rr: Option<(Ssrc, u32, Instant)>,
    round_trip: Option<Duration>,
    told: Option<Told>,
    /// Share of our packets that the latest report says were lost since the one before, until it is taken.
    told_loss: Option<u8>,
    metrics: Option<VoipMetrics>,
}

/// What the far side told of the stream that it gets from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// Packets that it missed; negative if duplicates prevail.
    pub(super) lost: i32,
    /// Their jitter in timestamp units of what we sent last.
    pub(super) jitter_ts: u32,
    /// Packets that we had sent by then.
    pub(super) of_packets: u32,
}

/// What we sent, for the next SR.
#[derive(Debug, Default)]
struct Sent {
    packets: u32,
    payload_bytes: u32,
    latest: Option<Latest>,
    is_sender: bool,
}

#[derive(Debug, Clone, Copy)]
struct Latest {
    timestamp: u32,
    at: Instant,
    clock_rate_hz: u32,
}

impl Reports {
    /// seed: any random number; it spreads the reports of many endpoints over time.
    pub(super) fn new(ssrc: Ssrc, cname: String, clock: WallClock, seed: u64) -> Self {
        Self {
            ssrc,
            cname,
            clock,
            interval: Interval::new(seed),
            parameters: RtcpParameters::default(),
            due_at: None,
            has_introduced: false,
            sent: Sent::default(),
            last_sr: None,
            last_rr: None,
            round_trip: None,
            told: None,
            told_loss: None,
            metrics: None,
        }
    }

    /// Takes what was negotiated.
    pub(super) fn set_parameters(&mut self, parameters: RtcpParameters) {
        self.parameters = parameters;
    }

    /// Begins to report, now that the far side can be reached. A second call changes nothing.
    pub(super) fn start(&mut self, now: Instant) {
        if self.due_at.is_none() {
            self.schedule(now);
        }
    }

    /// When the next report is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due_at
    }

    /// Whether a report is due at `now`; if so, the next one is scheduled.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.due_at.is_some_and(|due| due <= now);
        if is_due {
            self.schedule(now);
        }
        is_due
    }

    /// Whether the far side wants VoIP metrics.
    pub(super) fn wants_metrics(&self) -> bool {
        self.parameters.sends_voip_metrics
    }

    /// Counts one packet of ours.
    pub(super) fn sent(&mut self, now: Instant, header: &Header, payload_bytes: usize, clock_rate_hz: u32) {
        self.sent.packets = self.sent.packets.wrapping_add(1);
        let payload_bytes = u32::try_from(payload_bytes).unwrap_or(u32::MAX);
        self.sent.payload_bytes = self.sent.payload_bytes.wrapping_add(payload_bytes);
        self.sent.latest = Some(Latest { timestamp: header.timestamp, at: now, clock_rate_hz });
        self.sent.is_sender = true;
    }

    /// Takes what a compound packet of the far side, of so many bytes, says about itself and about us.
    pub(super) fn received(&mut self, now: Instant, compound: &Compound<'_>, bytes: usize) {
        self.interval.count(bytes);
        for packet in compound.packets() {
            let mut reports = match packet {
                Packet::SenderReport(report) => {
                    self.last_sr = Some((report.ntp.middle(), now));
                    report.reports
                }
                Packet::ReceiverReport { reports, .. } => reports,
                Packet::ExtendedReport(report) => {
                    report.blocks().for_each(|block| self.take_block(now, report.ssrc, &block));
                    continue;
                }
                Packet::Sdes(_) | Packet::Bye(_) => continue,
            };
            if let Some(report) = reports.find(|report| report.ssrc == self.ssrc) {
                self.measure_round_trip(now, &report);
                self.told_loss = Some(report.fraction_lost);
                self.told = Some(Told {
                    lost: report.cumulative_lost,
                    jitter_ts: report.jitter_ts,
                    of_packets: self.sent.packets,
                });
            }
        }
    }

    /// Round-trip time by the last report about us.   RFC 3550 section 6.4.1.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What the far side reported last of our stream.
    pub(super) fn told(&self) -> Option<Told> {
        self.told
    }

    /// Loss of our packets by a report that came since the last call, in 1/256.
    pub(super) fn take_told_loss(&mut self) -> Option<u8> {
        self.told_loss.take()
    }

    /// The VoIP metrics that it sent last about our stream.
    pub(super) fn metrics(&self) -> Option<&VoipMetrics> {
        self.metrics.as_ref()
    }

    /// Clock rate of what we sent last.
    pub(super) fn clock_rate_hz(&self) -> Option<u32> {
        self.sent.latest.map(|latest| latest.clock_rate_hz)
    }

    /// Writes SR (if we sent since the last report) or RR, then SDES unless the report is of reduced size, then XR with
    /// `metrics` and what the far side waits for, and BYE as a farewell.
    pub(super) fn write(
        &mut self,
        now: Instant,
        (reception, metrics): (Option<Reception>, Option<&VoipMetrics>),
        is_farewell: bool,
        out: &mut [u8],
    ) -> Result<usize, DropReason> {
        let block = reception.map(|reception| self.report_block(now, &reception));
        let blocks = block.as_slice();
        let builder = Builder::new(out);
        let mut builder = match self.sent.latest {
            Some(latest) if std::mem::take(&mut self.sent.is_sender) => {
                let info = SenderInfo {
                    ntp: self.clock.ntp(now),
                    rtp_timestamp: latest.timestamp_at(now),
                    packets: self.sent.packets,
                    payload_bytes: self.sent.payload_bytes,
                };
                builder.sender_report(self.ssrc, &info, blocks)?
            }
            _ => builder.receiver_report(self.ssrc, blocks)?,
        };
        self.has_introduced = is_farewell || !(self.parameters.is_reduced_size && self.has_introduced);
        if self.has_introduced {
            builder = builder.cname(self.ssrc, &self.cname)?;
        }
        let answer = self.last_rr.take().map(|(ssrc, last_rr, at)| {
            let delay = to_short_ntp(now.saturating_duration_since(at));
            Dlrr { ssrc, last_rr, delay }
        });
        builder = builder.extended_report(self.ssrc, answer, metrics)?;
        let builder = if is_farewell { builder.bye(self.ssrc)? } else { builder };
        let bytes = builder.finish();
        self.interval.count(bytes);
        Ok(bytes)
    }

    fn take_block(&mut self, now: Instant, from: Ssrc, block: &Block) {
        match block {
            Block::ReceiverReferenceTime(time) => self.last_rr = Some((from, time.middle(), now)),
            Block::VoipMetrics(metrics) if metrics.ssrc == self.ssrc => self.metrics = Some(*metrics),
            Block::VoipMetrics(_) => {}
        }
    }

    fn report_block(&self, now: Instant, reception: &Reception) -> ReportBlock {
        let (last_sr, delay_since_last_sr) = match self.last_sr {
            Some((middle, at)) => (middle, to_short_ntp(now.saturating_duration_since(at))),
            None => (0, 0),
        };
        ReportBlock {
            ssrc: reception.ssrc,
            fraction_lost: reception.fraction_lost,
            cumulative_lost: reception.cumulative_lost,
            extended_highest_seq: reception.extended_highest_seq,
            jitter_ts: reception.jitter_ts,
            last_sr,
            delay_since_last_sr,
        }
    }

    fn measure_round_trip(&mut self, now: Instant, report: &ReportBlock) {
        if report.last_sr == 0 {
            return;
        }
        let elapsed =
            self.clock.ntp(now).middle().wrapping_sub(report.last_sr).wrapping_sub(report.delay_since_last_sr);
        // A negative result wraps to a large one: the far side's delay is longer than the time that went by.
        if elapsed < LONGEST_ROUND_TRIP {
            self.round_trip = Some(Duration::from_micros(u64::from(elapsed) * 1_000_000 / 65_536));
        }
    }

    fn schedule(&mut self, now: Instant) {
        self.due_at = Some(now + self.interval.next());
    }
}

impl Latest {
    fn timestamp_at(&self, now: Instant) -> u32 {
        let elapsed_us = now.saturating_duration_since(self.at).as_micros();
        let elapsed_ts = elapsed_us * u128::from(self.clock_rate_hz) / 1_000_000;
        #[expect(clippy::cast_possible_truncation, reason = "timestamps wrap at 32 bits")]
        let elapsed_ts = elapsed_ts as u32;
        self.timestamp.wrapping_add(elapsed_ts)
    }
}

/// Units of 1/65,536 s, as `DLSR` wants them; saturates after 18 hours.
fn to_short_ntp(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros() * 65_536 / 1_000_000).unwrap_or(u32::MAX)
}
