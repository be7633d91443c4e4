//! Tells packets of a stream from its repeats and from strays, and unwraps their numbers.
//!
//! Owns the extended sequence number and timestamp of one stream. A stray is a packet whose number or time is far from the
//! others; two strays that agree with each other are the stream started anew. RFC 3550 appendix A.1, for the idea.

/// A packet may come so much earlier or later than the fastest one.
const LONGEST_SHIFT_US: i64 = 1_000_000;

/// Sequence numbers that may be skipped or be late, ten seconds of packets at 20 ms.
const LONGEST_SEQ_JUMP: i64 = 500;

/// A second stray follows the first one so closely if the stream has moved.
const STRAY_SEQ_GAP: i64 = 50;

/// Numbers behind the newest one whose repeats are known.
const REMEMBERED: i64 = 64;

/// What a packet is to its stream; numbers are unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Part of the stream.
    Member { seq: i64, timestamp: i64 },
    /// First packet of a stream, or of what the stream has become.
    First { seq: i64, timestamp: i64 },
    /// Was here before.
    Duplicate,
    /// Far from all others.
    Stray,
}

#[derive(Debug, Clone, Copy)]
struct Stray {
    seq: i64,
    transit_us: i64,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    seq: i64,
    timestamp: i64,
    /// Bit n: the number n behind this one has come.
    seen: u64,
}

/// One stream's numbers.
#[derive(Debug, Clone)]
pub(super) struct Tracker {
    clock_rate_hz: i64,
    newest: Option<Newest>,
    stray: Option<Stray>,
}

impl Tracker {
    pub(super) fn new(clock_rate_hz: u32) -> Self {
        Self { clock_rate_hz: i64::from(clock_rate_hz.max(1)), newest: None, stray: None }
    }

    /// Judges one packet that arrived at `arrival_us`; `base_us` is the transit of the stream's fastest recent packet.
    pub(super) fn judge(&mut self, arrival_us: i64, base_us: Option<i64>, seq: u16, timestamp: u32) -> Verdict {
        let (Some(newest), Some(base_us)) = (self.newest, base_us) else { return self.start(seq, timestamp) };
        let wide_seq = newest.seq + i64::from(seq.wrapping_sub(low_16(newest.seq)).cast_signed());
        let wide_timestamp =
            newest.timestamp + i64::from(timestamp.wrapping_sub(low_32(newest.timestamp)).cast_signed());
        let transit_us = arrival_us - self.media_us(wide_timestamp);
        if (transit_us - base_us).abs() > LONGEST_SHIFT_US || (wide_seq - newest.seq).abs() > LONGEST_SEQ_JUMP {
            let stray = Stray { seq: wide_seq, transit_us };
            let is_new_course = self.stray.replace(stray).is_some_and(|before| {
                (1..=STRAY_SEQ_GAP).contains(&(stray.seq - before.seq))
                    && (stray.transit_us - before.transit_us).abs() <= LONGEST_SHIFT_US
            });
            return if is_new_course { self.start(seq, timestamp) } else { Verdict::Stray };
        }
        self.stray = None;
        if self.mark(wide_seq, wide_timestamp) {
            Verdict::Member { seq: wide_seq, timestamp: wide_timestamp }
        } else {
            Verdict::Duplicate
        }
    }

    /// Sequence number and timestamp of the newest packet.
    pub(super) fn newest(&self) -> Option<(i64, i64)> {
        self.newest.map(|newest| (newest.seq, newest.timestamp))
    }

    /// When an extended timestamp is due by the sender's clock, from any fixed moment.
    pub(super) const fn media_us(&self, timestamp: i64) -> i64 {
        // A stream moves by what its clock allows in real time, so this stays far from overflow for centuries.
        timestamp.saturating_mul(1_000_000) / self.clock_rate_hz
    }

    /// Forgets the stream.
    pub(super) fn reset(&mut self) {
        self.newest = None;
        self.stray = None;
    }

    fn start(&mut self, seq: u16, timestamp: u32) -> Verdict {
        let (seq, timestamp) = (i64::from(seq), i64::from(timestamp));
        self.newest = Some(Newest { seq, timestamp, seen: 1 });
        self.stray = None;
        Verdict::First { seq, timestamp }
    }

    /// Notes that a number has come; false if it had before. Numbers too old to be remembered count as new.
    fn mark(&mut self, seq: i64, timestamp: i64) -> bool {
        let Some(newest) = &mut self.newest else { return true };
        let ahead = seq - newest.seq;
        if ahead > 0 {
            newest.seen = u32::try_from(ahead).ok().and_then(|by| newest.seen.checked_shl(by)).unwrap_or(0) | 1;
            newest.seq = seq;
            newest.timestamp = timestamp;
            return true;
        }
        if -ahead >= REMEMBERED {
            return true;
        }
        let bit = 1_u64 << -ahead;
        let is_new = newest.seen & bit == 0;
        newest.seen |= bit;
        is_new
    }
}

/// The number as it is on the wire.
const fn low_16(wide: i64) -> u16 {
    let [low, high, ..] = wide.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// The timestamp as it is on the wire.
const fn low_32(wide: i64) -> u32 {
    let [a, b, c, d, ..] = wide.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tracker that has taken one packet each 20 ms from number 65,530 and timestamp 2^32 - 320 on.
    fn running(packets: u16) -> Tracker {
        let mut tracker = Tracker::new(8_000);
        for number in 0..packets {
            let verdict = judge(&mut tracker, number, 0);
            assert!(!matches!(verdict, Verdict::Stray | Verdict::Duplicate), "{verdict:?}");
        }
        tracker
    }

    fn judge(tracker: &mut Tracker, number: u16, timestamp_shift: u32) -> Verdict {
        let timestamp = (u32::MAX - 319).wrapping_add(u32::from(number) * 160).wrapping_add(timestamp_shift);
        let base_us = -tracker.media_us(i64::from(u32::MAX - 319));
        tracker.judge(i64::from(number) * 20_000, Some(base_us), 65_530_u16.wrapping_add(number), timestamp)
    }

    #[test]
    fn unwraps_both_numbers() {
        let mut tracker = running(20);
        let expected = Verdict::Member { seq: 65_530 + 20, timestamp: i64::from(u32::MAX - 319) + 3_200 };
        assert_eq!(judge(&mut tracker, 20, 0), expected);
    }

    #[test]
    fn knows_repeats_from_late_packets() {
        let mut tracker = running(3);
        assert!(matches!(judge(&mut tracker, 5, 0), Verdict::Member { .. }));
        assert_eq!(judge(&mut tracker, 5, 0), Verdict::Duplicate);
        assert_eq!(judge(&mut tracker, 2, 0), Verdict::Duplicate);
        assert!(matches!(judge(&mut tracker, 4, 0), Verdict::Member { .. }));
        assert_eq!(judge(&mut tracker, 4, 0), Verdict::Duplicate);
    }

    #[test]
    fn follows_a_jump_of_the_timestamp_from_its_second_packet_on() {
        for jump in [80_000, 0x7fff_0000, 0x8000_0000, 0u32.wrapping_sub(80_000)] {
            let mut tracker = running(10);
            assert_eq!(judge(&mut tracker, 10, jump), Verdict::Stray);
            assert!(matches!(judge(&mut tracker, 11, jump), Verdict::First { .. }), "{jump:#x}");
        }
    }

    #[test]
    fn is_not_led_astray_by_single_packets() {
        let mut tracker = running(10);
        for number in 10..40 {
            assert!(matches!(judge(&mut tracker, number, 0), Verdict::Member { .. }));
            assert_eq!(judge(&mut tracker, number, 1 << 30), Verdict::Stray);
        }
    }
}
