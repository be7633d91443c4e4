//! When RTCP is due and what it says: SR or RR with CNAME, and BYE.   RFC 3550 section 6.

use std::time::{Duration, Instant};

use crate::error::DropReason;
use crate::net::Ssrc;
use crate::rtcp::{Builder, Compound, Packet, ReportBlock, SenderInfo, WallClock};
use crate::rtp::{Header, Reception};

/// Mean time between reports; each gap is this times 0.5 to 1.5 (RFC 3550 section 6.3.1).
const INTERVAL: Duration = Duration::from_secs(5);

/// The RTCP side of one endpoint.
#[derive(Debug)]
pub(super) struct Reports {
    ssrc: Ssrc,
    cname: String,
    clock: WallClock,
    random: SplitMix,
    due_at: Option<Instant>,
    sent: Sent,
    last_sr: Option<(u32, Instant)>,
    round_trip: Option<Duration>,
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
            random: SplitMix(seed),
            due_at: None,
            sent: Sent::default(),
            last_sr: None,
            round_trip: None,
        }
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

    /// Counts one packet of ours.
    pub(super) fn sent(&mut self, now: Instant, header: &Header, payload_bytes: usize, clock_rate_hz: u32) {
        self.sent.packets = self.sent.packets.wrapping_add(1);
        let payload_bytes = u32::try_from(payload_bytes).unwrap_or(u32::MAX);
        self.sent.payload_bytes = self.sent.payload_bytes.wrapping_add(payload_bytes);
        self.sent.latest = Some(Latest { timestamp: header.timestamp, at: now, clock_rate_hz });
        self.sent.is_sender = true;
    }

    /// Takes what a compound packet of the far side says about itself and about us.
    pub(super) fn received(&mut self, now: Instant, compound: &Compound<'_>) {
        for packet in compound.packets() {
            let mut reports = match packet {
                Packet::SenderReport(report) => {
                    self.last_sr = Some((report.ntp.middle(), now));
                    report.reports
                }
                Packet::ReceiverReport { reports, .. } => reports,
                // A BYE says that its stream ends; the call ends by signalling, never by a packet anyone may forge.
                Packet::Sdes(_) | Packet::Bye(_) => continue,
            };
            if let Some(report) = reports.find(|report| report.ssrc == self.ssrc) {
                self.measure_round_trip(now, &report);
            }
        }
    }

    /// Round-trip time by the last report about us.   RFC 3550 section 6.4.1.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Writes SR (if we sent since the last report) or RR, then SDES and, as a farewell, BYE.
    pub(super) fn write(
        &mut self,
        now: Instant,
        reception: Option<Reception>,
        is_farewell: bool,
        out: &mut [u8],
    ) -> Result<usize, DropReason> {
        let block = reception.map(|reception| self.report_block(now, &reception));
        let blocks = block.as_slice();
        let builder = Builder::new(out);
        let builder = match self.sent.latest {
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
        let builder = builder.cname(self.ssrc, &self.cname)?;
        let builder = if is_farewell { builder.bye(self.ssrc)? } else { builder };
        Ok(builder.finish())
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
        // Half the range and more is a negative result: the far side's delay is longer than the time that went by.
        if elapsed < 1 << 31 {
            self.round_trip = Some(Duration::from_micros(u64::from(elapsed) * 1_000_000 / 65_536));
        }
    }

    fn schedule(&mut self, now: Instant) {
        let factor_percent = 50 + self.random.next() % 101;
        let gap_ms = u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX) * factor_percent / 100;
        self.due_at = Some(now + Duration::from_millis(gap_ms));
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

/// A small generator for spreading reports; nothing secret depends on it.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
