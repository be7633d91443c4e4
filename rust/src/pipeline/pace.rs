//! The even pace of the packets that we make ourselves.

use std::time::{Duration, Instant};

/// A worker so late does not catch up: the missed packets are skipped.
const GREATEST_LAG: Duration = Duration::from_millis(200);

/// When the next packet is due, and its timestamp.
#[derive(Debug)]
pub(super) struct Pace {
    next_at: Instant,
    /// Timestamp of the first packet.
    base: u32,
    /// Milliseconds of audio since then.
    elapsed_ms: u64,
    is_first: bool,
}

/// The moment of one packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    /// When it is due: not after it is made.
    pub(super) at: Instant,
    base: u32,
    elapsed_ms: u64,
    /// No packet went before.
    pub(super) is_first: bool,
}

impl Pace {
    /// Begins at `at`, with this timestamp.
    pub(super) fn new(at: Instant, base: u32) -> Self {
        Self { next_at: at, base, elapsed_ms: 0, is_first: true }
    }

    /// When the next packet is due.
    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Takes the packet that is due, and goes on by its length; over what a late worker has missed.
    pub(super) fn advance(&mut self, now: Instant, frame_ms: u32) -> Beat {
        let mut beat = Beat { at: self.next_at, base: self.base, elapsed_ms: self.elapsed_ms, is_first: self.is_first };
        let frame = Duration::from_millis(u64::from(frame_ms));
        let mut frames = 1;
        self.next_at += frame;
        while self.next_at + GREATEST_LAG < now {
            beat.at = self.next_at;
            self.next_at += frame;
            frames += 1;
        }
        self.elapsed_ms += frames * u64::from(frame_ms);
        self.is_first = false;
        beat
    }
}

impl Beat {
    /// Its timestamp by a clock of this rate.
    pub(super) fn timestamp(self, clock_rate_hz: u32) -> u32 {
        self.base.wrapping_add(units(self.elapsed_ms, clock_rate_hz))
    }
}

/// Milliseconds in timestamp units; wraps as timestamps do.
#[expect(clippy::cast_possible_truncation, reason = "timestamps wrap at 32 bits")]
fn units(elapsed_ms: u64, clock_rate_hz: u32) -> u32 {
    (elapsed_ms * u64::from(clock_rate_hz) / 1_000) as u32
}
