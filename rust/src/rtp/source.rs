//! What is known of a source that we receive.   RFC 3550 A.1 (validity), A.3 (loss), A.8 (jitter).

use std::time::Instant;

use crate::error::DropReason;
use crate::net::Ssrc;

use super::packet::Header;

/// A packet that belongs to the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Sequence number unwrapped to 32 bits: cycles above, wire number below.
    pub extended_seq: u32,
    /// The stream began anew with this packet: another SSRC, or a jump in the sequence. Extended numbers of before
    /// are not comparable.
    pub is_restart: bool,
}

/// Reception statistics as a report block wants them.   RFC 3550 section 6.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reception {
    /// Whom they are about.
    pub ssrc: Ssrc,
    /// Share of packets lost since the previous report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the source began; negative if duplicates prevail.
    pub cumulative_lost: i32,
    /// Highest extended sequence number.
    pub extended_highest_seq: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter_ts: u32,
}

/// State of the one source that a stream receives at a time.
#[derive(Debug)]
pub struct Source {}

impl Source {
    /// Packets in sequence that an unauthenticated source needs before it counts (RFC 3550 A.1 `MIN_SEQUENTIAL`).
    pub const UNAUTHENTICATED_PROBATION: u8 = 2;

    /// A stream that nothing was received of.
    ///
    /// clock_rate_hz: timestamp units per second, for the jitter. probation: packets in sequence that a source must
    /// send before it is taken: 0 for authenticated (SRTP) streams.
    #[must_use]
    pub fn new(clock_rate_hz: u32, probation: u8) -> Self {
        let _ = (clock_rate_hz, probation);
        todo!()
    }

    /// Judge one packet.
    pub fn receive(&mut self, now: Instant, header: &Header) -> Result<Accepted, DropReason> {
        let _ = (now, header);
        todo!()
    }

    /// The jitter's clock follows a codec change to another clock rate.
    pub fn set_clock_rate(&mut self, clock_rate_hz: u32) {
        let _ = clock_rate_hz;
        todo!()
    }

    /// The source in use, once there is one.
    #[must_use]
    pub fn ssrc(&self) -> Option<Ssrc> {
        todo!()
    }

    /// Packets lost since the source began.
    #[must_use]
    pub fn cumulative_lost(&self) -> i32 {
        todo!()
    }

    /// Interarrival jitter in timestamp units.
    #[must_use]
    pub fn jitter_ts(&self) -> u32 {
        todo!()
    }

    /// Statistics for a report block; the loss fraction's interval begins anew. None before the first packet.
    pub fn report(&mut self) -> Option<Reception> {
        todo!()
    }
}
