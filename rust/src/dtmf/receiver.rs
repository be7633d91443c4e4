//! From event packets to digits: each key press once, however many of its packets arrive.
//!
//! Owns one stream's receiving state. A digit begins with the first packet of its timestamp, be it the very last one sent,
//! and ends with the E bit, with the next digit, or [`END_TIMEOUT`] after its last packet. RFC 4733 section 2.5.2.

use std::time::{Duration, Instant};

use super::{Digit, DtmfError, Event};

/// A digit whose end packets were all lost ends so long after its last packet (RFC 4733 section 2.5.2.2 leaves the
/// length open; this is three packets at 50 ms, the longest update interval in use).
pub const END_TIMEOUT: Duration = Duration::from_millis(150);

/// Digits that may arrive at once after a pause: a browser or dialler that lost a burst sends them together.
const BURST: u32 = 16;

/// One more digit is taken each time so much time has passed. The fastest dialler makes one digit in 65 ms (Q.24).
const REFILL: Duration = Duration::from_millis(50);

/// A packet so far behind the latest event belongs to it or to one before it, not to a stream that started anew.
const STALE_S: u32 = 5;

/// What the receiver has to say, in the order in which it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// A key went down. `volume`: dB below 0 dBm0.
    Began {
        /// Which key.
        digit: Digit,
        /// Power as dB below 0 dBm0, 0 to 63.
        volume: u8,
    },
    /// The key came up. Each `Began` has exactly one `Ended`.
    Ended {
        /// Which key.
        digit: Digit,
        /// How long it was down.
        duration_ms: u32,
    },
}

/// The event that is going on.
#[derive(Debug, Clone, Copy)]
struct Current {
    digit: Digit,
    /// Timestamp of the present segment.
    timestamp: u32,
    /// Timestamp units of the segments before this one.
    earlier_ts: u32,
    /// Longest duration seen in this segment, unwrapped.
    duration_ts: u32,
    last_packet: Instant,
}

/// One stream's event receiver.
#[derive(Debug)]
pub struct Receiver {
    clock_rate_hz: u32,
    current: Option<Current>,
    /// Timestamp of the newest event that is over or was refused.
    done: Option<u32>,
    /// One packet can end a digit and be all that is left of another one: three events.
    events: [Option<Received>; 3],
    tokens: u32,
    refilled: Option<Instant>,
}

impl Receiver {
    /// `clock_rate_hz`: that of the telephone-event payload type, at least 1,000.
    #[must_use]
    pub fn new(clock_rate_hz: u32) -> Self {
        Self {
            clock_rate_hz: clock_rate_hz.max(1_000),
            current: None,
            done: None,
            events: [None; 3],
            tokens: BURST,
            refilled: None,
        }
    }

    /// Takes one event packet: its RTP timestamp, marker bit and payload. Drain [`poll_event`](Self::poll_event) after it.
    ///
    /// Fails with [`DtmfError::Malformed`], [`DtmfError::NotDigit`] or [`DtmfError::RateLimited`] if the packet was
    /// dropped; repeats and late packets of an event that is over are no error.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Result<(), DtmfError> {
        let event = Event::parse(payload).ok_or(DtmfError::Malformed)?;
        let digit = Digit::from_code(event.code).ok_or(DtmfError::NotDigit)?;
        self.handle_timeout(now);
        if self.is_done(timestamp) {
            return Ok(());
        }
        match &mut self.current {
            Some(current) if current.timestamp == timestamp => current.update(now, event.duration_ts),
            Some(current) if behind(timestamp, current.timestamp).is_some() => return Ok(()),
            Some(current) if !marker && current.is_continued_by(digit, timestamp, self.clock_rate_hz) => {
                current.next_segment(now, timestamp, event.duration_ts);
            }
            _ => {
                self.end_current();
                self.begin(now, timestamp, digit, event)?;
            }
        }
        if event.is_end {
            self.end_current();
        }
        Ok(())
    }

    /// Ends a digit whose end packets were lost. Call it at [`poll_timeout`](Self::poll_timeout); early calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| now >= deadline) {
            self.end_current();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; None while no digit is going on.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.current.map(|current| current.last_packet + END_TIMEOUT)
    }

    /// The next thing that happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Received> {
        let event = self.events[0].take();
        self.events.rotate_left(1);
        event
    }

    /// Whether a digit is going on.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.current.is_some()
    }

    /// Ends what is going on and forgets timestamps, since the source counts anew or is another one: unless `timestamp`,
    /// of the packet that follows, is that of the event of before.
    pub fn restart(&mut self, timestamp: u32) {
        let is_same = self.current.map(|current| current.timestamp).or(self.done) == Some(timestamp);
        if !is_same {
            self.end_current();
            self.done = None;
        }
    }

    /// Whether `timestamp` belongs to the newest event that is over, or to one shortly before it.
    fn is_done(&self, timestamp: u32) -> bool {
        self.done.is_some_and(|done| {
            timestamp == done || behind(timestamp, done).is_some_and(|units| units / STALE_S < self.clock_rate_hz)
        })
    }

    fn begin(&mut self, now: Instant, timestamp: u32, digit: Digit, event: Event) -> Result<(), DtmfError> {
        if !self.take_token(now) {
            self.done = Some(timestamp);
            return Err(DtmfError::RateLimited);
        }
        self.push(Received::Began { digit, volume: event.volume });
        self.current = Some(Current {
            digit,
            timestamp,
            earlier_ts: 0,
            duration_ts: u32::from(event.duration_ts),
            last_packet: now,
        });
        Ok(())
    }

    fn end_current(&mut self) {
        if let Some(current) = self.current.take() {
            self.done = Some(current.timestamp);
            let units = u64::from(current.earlier_ts) + u64::from(current.duration_ts);
            let duration_ms = u32::try_from(units * 1_000 / u64::from(self.clock_rate_hz)).unwrap_or(u32::MAX);
            self.push(Received::Ended { digit: current.digit, duration_ms });
        }
    }

    fn push(&mut self, event: Received) {
        if let Some(free) = self.events.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(event);
        }
    }

    fn take_token(&mut self, now: Instant) -> bool {
        let refilled = *self.refilled.get_or_insert(now);
        let earned = now.saturating_duration_since(refilled).as_millis() / REFILL.as_millis();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned).min(BURST);
            self.refilled = Some(now);
        }
        let has_token = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        has_token
    }
}

impl Current {
    /// One more packet of this segment. Durations only grow, except that some senders let the 16 bits wrap.
    fn update(&mut self, now: Instant, duration_ts: u16) {
        self.last_packet = now;
        let [.., high, low] = self.duration_ts.to_be_bytes();
        let grown = duration_ts.wrapping_sub(u16::from_be_bytes([high, low]));
        if grown < 0x8000 {
            self.duration_ts = self.duration_ts.saturating_add(u32::from(grown));
        }
    }

    /// Whether a packet of another timestamp carries on this event: long events come in segments of nearly 65,535 units
    /// (RFC 4733 section 2.5.1.3), cut at the packet time by some senders, hence the tenth of a second.
    fn is_continued_by(&self, digit: Digit, timestamp: u32, clock_rate_hz: u32) -> bool {
        let segment = timestamp.wrapping_sub(self.timestamp);
        let full = u32::from(u16::MAX);
        self.digit == digit && (full - (clock_rate_hz / 10).min(full)..=full + 1).contains(&segment)
    }

    fn next_segment(&mut self, now: Instant, timestamp: u32, duration_ts: u16) {
        self.earlier_ts = self.earlier_ts.saturating_add(timestamp.wrapping_sub(self.timestamp));
        self.timestamp = timestamp;
        self.duration_ts = u32::from(duration_ts);
        self.last_packet = now;
    }
}

/// How far `timestamp` lies behind `reference`, if it does (RFC 3550 arithmetic modulo 2^32).
fn behind(timestamp: u32, reference: u32) -> Option<u32> {
    let distance = reference.wrapping_sub(timestamp);
    (1..0x8000_0000).contains(&distance).then_some(distance)
}
