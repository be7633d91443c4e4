//! Tap: copies of a leg's packets, both ways, for a recorder on another thread.
//!
//! Owns the way out of the worker: a ring of a fixed size, made when recording begins. Writing copies one payload and
//! never waits, allocates or calls the system; what finds no room is left out of the recording and counted. Must not
//! decode: that is the reader's work.

mod ring;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::codecs::{Codec, Kind};

/// Words of a ring: 64 KiB, three seconds of G.711 both ways.
const RING_WORDS: usize = 8 * 1_024;

/// Which way a packet went, as the leg's far side sees it. Also the recording's channels, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The far side said it.
    Said,
    /// The far side heard it.
    Heard,
}

/// Why nothing more comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Somebody asked for the end.
    Stopped,
    /// The leg is gone.
    Closed,
}

/// One packet of either way.
#[derive(Debug, Clone, Copy)]
pub struct Copied<'a> {
    /// Which way.
    pub channel: Channel,
    /// Of its payload type.
    pub codec: &'a Codec,
    /// On the wire.
    pub seq: u16,
    /// On the wire.
    pub timestamp: u32,
    /// The stream began anew with this packet.
    pub is_restart: bool,
    /// Its audio is a DTMF digit, sounded by us.
    pub is_digit: bool,
    /// The payload.
    pub payload: &'a [u8],
}

/// What a reader gets of a packet; its payload comes beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Which way.
    pub channel: Channel,
    /// When it passed, since the tap began.
    pub at: Duration,
    /// Of its payload type.
    pub kind: Kind,
    /// RTP timestamp units per second.
    pub clock_rate_hz: u32,
    /// On the wire.
    pub seq: u16,
    /// On the wire.
    pub timestamp: u32,
    /// The stream began anew with this packet.
    pub is_restart: bool,
    /// Its audio is a DTMF digit, sounded by us.
    pub is_digit: bool,
}

impl Record {
    /// What decodes it. None if there is nothing that does.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        let channels = if self.kind == Kind::Opus { 2 } else { 1 };
        Codec::new(self.kind.name(), self.clock_rate_hz, channels, []).ok()
    }
}

#[derive(Debug)]
struct State {
    started: std::sync::OnceLock<Instant>,
    is_refused: AtomicBool,
    /// 0 while it goes on, else one more than the [`Ending`].
    ending: AtomicU8,
    ended_us: AtomicU64,
    dropped_us: AtomicU64,
}

/// The worker's end, before and while it is attached to a leg.
#[derive(Debug)]
pub struct Tap {
    ring: ring::Writer,
    state: Arc<State>,
}

/// The recorder's end.
#[derive(Debug)]
pub struct Reader {
    ring: ring::Reader,
    state: Arc<State>,
}

/// Makes both ends.
#[must_use]
pub fn tap() -> (Tap, Reader) {
    let (writer, reader) = ring::ring(RING_WORDS);
    let state = Arc::new(State {
        started: std::sync::OnceLock::new(),
        is_refused: AtomicBool::new(false),
        ending: AtomicU8::new(0),
        ended_us: AtomicU64::new(0),
        dropped_us: AtomicU64::new(0),
    });
    (Tap { ring: writer, state: Arc::clone(&state) }, Reader { ring: reader, state })
}

impl Tap {
    /// Packets come from now on.
    pub fn start(&mut self, now: Instant) {
        // A tap is attached once.
        let _ = self.state.started.set(now);
    }

    /// Whether the reader takes no more, because its file failed.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.state.is_refused.load(Ordering::Relaxed)
    }

    /// Copies one packet, or counts it as left out.
    pub fn write(&mut self, now: Instant, packet: &Copied<'_>) {
        let Some(started) = self.state.started.get() else { return };
        if self.is_refused() {
            return;
        }
        let at_us = u64::try_from(now.saturating_duration_since(*started).as_micros()).unwrap_or(u64::MAX);
        let kind = Kind::ALL.iter().position(|kind| *kind == packet.codec.kind()).unwrap_or(0) as u64;
        let flags = u64::from(packet.channel == Channel::Heard)
            | u64::from(packet.is_restart) << 1
            | u64::from(packet.is_digit) << 2
            | kind << 8
            | u64::from(packet.seq) << 16
            | u64::from(packet.timestamp) << 32;
        let head = [at_us, flags, u64::from(packet.codec.clock_rate_hz())];
        if !self.ring.write(head, packet.payload) {
            self.state.dropped_us.fetch_add(packet.codec.duration_us(packet.payload), Ordering::Relaxed);
        }
    }

    /// Ends the recording at `now`.
    pub fn stop(self, now: Instant, ending: Ending) {
        let started = self.state.started.get().copied().unwrap_or(now);
        let ended_us = u64::try_from(now.saturating_duration_since(started).as_micros()).unwrap_or(u64::MAX);
        self.state.ended_us.store(ended_us, Ordering::Relaxed);
        self.state.ending.store(1 + ending as u8, Ordering::Release);
    }
}

impl Drop for Tap {
    /// A leg that fell with its bridge says nothing more.
    fn drop(&mut self) {
        let _ = self.state.ending.compare_exchange(0, 1 + Ending::Closed as u8, Ordering::Release, Ordering::Relaxed);
    }
}

impl Reader {
    /// The next packet; its payload replaces what is in `payload`.
    pub fn read(&mut self, payload: &mut Vec<u8>) -> Option<Record> {
        let [at_us, flags, clock_rate_hz] = self.ring.read(payload)?;
        let [bits, kind, seq_low, seq_high, t0, t1, t2, t3] = flags.to_le_bytes();
        Some(Record {
            channel: if bits & 1 == 0 { Channel::Said } else { Channel::Heard },
            at: Duration::from_micros(at_us),
            kind: Kind::ALL.get(usize::from(kind)).copied().unwrap_or(Kind::Cn),
            clock_rate_hz: u32::try_from(clock_rate_hz).unwrap_or(0),
            seq: u16::from_le_bytes([seq_low, seq_high]),
            timestamp: u32::from_le_bytes([t0, t1, t2, t3]),
            is_restart: bits & 2 != 0,
            is_digit: bits & 4 != 0,
        })
    }

    /// When the tap was attached to its leg; None before.
    #[must_use]
    pub fn started(&self) -> Option<Instant> {
        self.state.started.get().copied()
    }

    /// Whether and when it ended. Everything that was written before it can be read by now.
    #[must_use]
    pub fn ending(&self) -> Option<(Ending, Duration)> {
        let ended = || Duration::from_micros(self.state.ended_us.load(Ordering::Relaxed));
        match self.state.ending.load(Ordering::Acquire) {
            0 => None,
            1 => Some((Ending::Stopped, ended())),
            _ => Some((Ending::Closed, ended())),
        }
    }

    /// Audio that found no room, of both ways together.
    #[must_use]
    pub fn dropped(&self) -> Duration {
        Duration::from_micros(self.state.dropped_us.load(Ordering::Relaxed))
    }

    /// Takes no more: the writer saves itself the copies.
    pub fn refuse(&self) {
        self.state.is_refused.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test needs some first instant")]
        Instant::now()
    }

    #[test]
    fn a_packet_arrives_as_it_was_and_one_too_many_is_counted() {
        let codec = Codec::new("PCMA", 8_000, 1, []).unwrap();
        let (mut tap, mut reader) = tap();
        let start = now();
        let packet = Copied {
            channel: Channel::Heard,
            codec: &codec,
            seq: 0xfffe,
            timestamp: 0x8000_0001,
            is_restart: true,
            is_digit: false,
            payload: &[3; 160],
        };
        tap.write(start, &packet);
        assert_eq!((reader.started(), reader.read(&mut Vec::new())), (None, None), "not attached yet");
        tap.start(start);
        let mut sent = 0;
        while reader.dropped().is_zero() {
            tap.write(start + Duration::from_millis(20), &packet);
            sent += 1;
        }
        assert_eq!(reader.dropped(), Duration::from_millis(20));
        assert!(sent > 300, "three seconds both ways fit");
        let mut payload = Vec::new();
        let record = reader.read(&mut payload).unwrap();
        assert_eq!(payload, [3; 160]);
        assert_eq!(
            record,
            Record {
                channel: Channel::Heard,
                at: Duration::from_millis(20),
                kind: Kind::Pcma,
                clock_rate_hz: 8_000,
                seq: 0xfffe,
                timestamp: 0x8000_0001,
                is_restart: true,
                is_digit: false,
            }
        );
        assert_eq!(reader.ending(), None);
        tap.stop(start + Duration::from_secs(1), Ending::Stopped);
        assert_eq!(reader.ending(), Some((Ending::Stopped, Duration::from_secs(1))));
    }

    #[test]
    fn a_tap_that_is_let_go_has_ended() {
        let (tap, reader) = tap();
        drop(tap);
        assert_eq!(reader.ending().map(|(ending, _)| ending), Some(Ending::Closed));
    }
}
