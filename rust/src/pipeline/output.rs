//! The one RTP stream that leaves an endpoint, whoever feeds it.   RFC 3550 section 5.1.
//!
//! A listener must not notice that a relay, an encoder, a player or a digit took over from another: SSRC and sequence
//! go on, and the timestamp advances by the time that went by.

use std::time::{Duration, Instant};

use crate::net::{Pt, SeqNo, Ssrc};
use crate::rtp::Header;

/// Least distance between the timestamps of two feeds, so that no two packets claim the same moment.
const LEAST_STEP: Duration = Duration::from_millis(10);

/// Numbers of the outgoing stream.
#[derive(Debug)]
pub(super) struct Output {
    ssrc: Ssrc,
    next_seq: SeqNo,
    timestamp: u32,
    sent_at: Option<Instant>,
    /// Counts changes of the feed, so that a relay sees that somebody else wrote in between.
    paced_packets: u64,
}

impl Output {
    /// A stream that begins at random numbers (RFC 3550 section 5.1).
    pub(super) fn new(ssrc: Ssrc, first_seq: SeqNo, first_timestamp: u32) -> Self {
        Self { ssrc, next_seq: first_seq, timestamp: first_timestamp, sent_at: None, paced_packets: 0 }
    }

    /// The timestamp for a feed that begins at `now`, in units of its clock rate.
    pub(super) fn timestamp_at(&self, now: Instant, clock_rate_hz: u32) -> u32 {
        match self.sent_at {
            Some(sent_at) => {
                let elapsed = now.saturating_duration_since(sent_at).max(LEAST_STEP);
                self.timestamp.wrapping_add(units(elapsed, clock_rate_hz))
            }
            None => self.timestamp,
        }
    }

    /// The header of the next packet of a feed that numbers its packets one by one.
    ///
    /// moment: the stream's timestamp at `now`. It is the packet's own, except for telephone-events, which carry the
    /// timestamp of their beginning.
    pub(super) fn next(&mut self, now: Instant, moment: u32, pt: Pt, (timestamp, marker): (u32, bool)) -> Header {
        let seq = self.next_seq;
        self.paced_packets = self.paced_packets.wrapping_add(1);
        self.advance(now, seq, moment);
        Header { marker, ..Header::new(pt, seq, timestamp, self.ssrc) }
    }

    /// The header of a relayed packet, which keeps its place among the others of its source: gaps and disorder show.
    pub(super) fn relayed(&mut self, now: Instant, pt: Pt, seq: SeqNo, timestamp: u32, marker: bool) -> Header {
        if seq.distance(self.next_seq) >= 0 {
            self.advance(now, seq, timestamp);
        }
        Header { marker, ..Header::new(pt, seq, timestamp, self.ssrc) }
    }

    /// The next free sequence number.
    pub(super) fn next_seq(&self) -> SeqNo {
        self.next_seq
    }

    /// Packets that other feeds than the relay sent.
    pub(super) fn paced_packets(&self) -> u64 {
        self.paced_packets
    }

    fn advance(&mut self, now: Instant, seq: SeqNo, timestamp: u32) {
        self.next_seq = seq.next();
        self.timestamp = timestamp;
        self.sent_at = Some(now);
    }
}

/// A duration in timestamp units; wraps as timestamps do, and ends at 4 days of a clock of 48 kHz.
#[expect(clippy::cast_possible_truncation, reason = "timestamps wrap at 32 bits")]
pub(super) fn units(duration: Duration, clock_rate_hz: u32) -> u32 {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    (ns.saturating_mul(u64::from(clock_rate_hz)) / 1_000_000_000) as u32
}
