//! What is known of a source that we receive.   RFC 3550 A.1 (validity), A.3 (loss), A.8 (jitter).

use std::time::Instant;

use crate::error::DropReason;
use crate::net::{SeqNo, Ssrc};

use super::packet::Header;

/// A gap ahead of up to this many packets is loss; more is a jump (RFC 3550 A.1 `MAX_DROPOUT`).
const MAX_DROPOUT: i16 = 3000;
/// A packet up to this far behind is late or a duplicate; further behind is a jump (RFC 3550 A.1 `MAX_MISORDER`).
const MAX_MISORDER: i16 = 100;
/// Extended numbers begin in the second cycle, so that a packet reordered before the first one has a number too.
const FIRST_CYCLE: u32 = 1 << 16;
/// A change of transit time by more than this is a new timestamp base, not jitter.
const MAX_TRANSIT_CHANGE_S: u32 = 5;

/// A packet that belongs to the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Sequence number unwrapped to 32 bits. Its lower half is the number on the wire.
    pub extended_seq: u32,
    /// The stream begins with this packet: the first of all, of another SSRC, or after a jump in the sequence.
    /// Extended numbers from before are not comparable.
    pub is_restart: bool,
}

/// Reception statistics as a report block wants them.   RFC 3550 section 6.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reception {
    /// Whom they are about.
    pub ssrc: Ssrc,
    /// Share of packets lost since the previous report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the source began; negative if duplicates prevail. Within 24 bits.
    pub cumulative_lost: i32,
    /// Highest extended sequence number, counting cycles from 0.
    pub extended_highest_seq: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter_ts: u32,
}

/// State of the one source that a stream receives at a time.
///
/// The first packet of all is taken at once: whoever feeds this has judged where it came from. Another SSRC, or a
/// sequence number far from the others, takes over once it has shown its next packet in sequence; until then the source
/// in use goes on undisturbed.
#[derive(Debug)]
pub struct Source {
    clock_rate_hz: u32,
    probation: u8,
    current: Option<State>,
    candidate: Option<Candidate>,
    /// Losses of sources and sequences before the current one.
    lost_before: i64,
}

/// A source or a sequence that has yet to prove itself.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    ssrc: Ssrc,
    expected: SeqNo,
    in_sequence: u8,
}

#[derive(Debug)]
struct State {
    ssrc: Ssrc,
    base_seq: u32,
    highest_seq: u32,
    received: u32,
    expected_prior: u32,
    received_prior: u32,
    transit: Transit,
    /// Jitter times 16, as A.8 keeps it.
    jitter_q4: u32,
}

/// Where the last packet stood on our clock and on the sender's.
#[derive(Debug, Clone, Copy)]
struct Transit {
    arrival: Instant,
    timestamp: u32,
}

impl Source {
    /// Packets in sequence after which another unauthenticated source takes over (RFC 3550 A.1 `MIN_SEQUENTIAL`).
    pub const UNAUTHENTICATED_PROBATION: u8 = 2;

    /// A stream that nothing was received of.
    ///
    /// `clock_rate_hz`: timestamp units per second, for the jitter. `probation`: packets in sequence that another source
    /// than the one in use must show before it takes over; the last of them is the first accepted. 0 or 1 takes it at
    /// once, which is right for authenticated (SRTP) streams.
    #[must_use]
    pub const fn new(clock_rate_hz: u32, probation: u8) -> Self {
        Self { clock_rate_hz, probation, current: None, candidate: None, lost_before: 0 }
    }

    /// Judge one packet and count it.   RFC 3550 A.1.
    ///
    /// now: when it arrived. Drops `RtpProbation` (another source before its probation is over) and `RtpSequence` (a
    /// jump in the sequence that no second packet has confirmed yet).
    pub fn receive(&mut self, now: Instant, header: &Header) -> Result<Accepted, DropReason> {
        if let Some(state) = self.current.as_mut().filter(|state| state.ssrc == header.ssrc) {
            if let Some(extended_seq) = state.receive(header.seq) {
                self.candidate = None;
                state.update_jitter(now, header.timestamp, self.clock_rate_hz);
                return Ok(Accepted { extended_seq, is_restart: false });
            }
            if !self.is_proven(header, Self::UNAUTHENTICATED_PROBATION) {
                return Err(DropReason::RtpSequence);
            }
        } else if self.current.is_some() && !self.is_proven(header, self.probation) {
            return Err(DropReason::RtpProbation);
        }
        Ok(self.restart(now, header))
    }

    /// Forget the source in use, since the far side is another one now: its first packet is taken at once.
    pub fn renew(&mut self) {
        self.lost_before = self.cumulative_lost();
        self.current = None;
        self.candidate = None;
    }

    /// Follow a codec change to another clock rate; the jitter begins anew if it differs.
    pub const fn set_clock_rate(&mut self, clock_rate_hz: u32) {
        if self.clock_rate_hz != clock_rate_hz {
            self.clock_rate_hz = clock_rate_hz;
            if let Some(state) = self.current.as_mut() {
                state.jitter_q4 = 0;
            }
        }
    }

    /// The source in use, once there is one.
    #[must_use]
    pub fn ssrc(&self) -> Option<Ssrc> {
        self.current.as_ref().map(|state| state.ssrc)
    }

    /// Packets lost of all sources of this stream; duplicates of a source count against its losses.   RFC 3550 A.3.
    #[must_use]
    pub fn cumulative_lost(&self) -> i64 {
        self.lost_before.saturating_add(self.current.as_ref().map_or(0, State::lost))
    }

    /// Interarrival jitter in timestamp units.   RFC 3550 A.8.
    #[must_use]
    pub fn jitter_ts(&self) -> u32 {
        self.current.as_ref().map_or(0, |state| state.jitter_q4 >> 4)
    }

    /// Statistics of the source in use for a report block, and the next interval of the loss fraction begins.
    ///
    /// None before the first packet.   RFC 3550 A.3.
    pub fn report(&mut self) -> Option<Reception> {
        self.current.as_mut().map(State::report)
    }

    /// Whether this packet completes a run of `needed` packets in sequence of one candidate.
    fn is_proven(&mut self, header: &Header, needed: u8) -> bool {
        let in_sequence = match self.candidate {
            Some(seen) if seen.ssrc == header.ssrc && seen.expected == header.seq => seen.in_sequence.saturating_add(1),
            _ => 1,
        };
        self.candidate = Some(Candidate { ssrc: header.ssrc, expected: header.seq.next(), in_sequence });
        in_sequence >= needed
    }

    fn restart(&mut self, now: Instant, header: &Header) -> Accepted {
        self.candidate = None;
        self.lost_before = self.cumulative_lost();
        let seq = FIRST_CYCLE | u32::from(header.seq.0);
        self.current = Some(State {
            ssrc: header.ssrc,
            base_seq: seq,
            highest_seq: seq,
            received: 1,
            expected_prior: 0,
            received_prior: 0,
            transit: Transit { arrival: now, timestamp: header.timestamp },
            jitter_q4: 0,
        });
        Accepted { extended_seq: seq, is_restart: true }
    }
}

impl State {
    /// The extended number of a packet near the highest one; None for a jump.
    fn receive(&mut self, seq: SeqNo) -> Option<u32> {
        let highest = SeqNo(self.highest_seq.to_be_bytes().last_chunk().map_or(0, |low| u16::from_be_bytes(*low)));
        let distance = seq.distance(highest);
        if !(-MAX_MISORDER..MAX_DROPOUT).contains(&distance) {
            return None;
        }
        let extended = self.highest_seq.wrapping_add_signed(i32::from(distance));
        if distance > 0 {
            self.highest_seq = extended;
        }
        self.received = self.received.wrapping_add(1);
        Some(extended)
    }

    fn expected(&self) -> u32 {
        self.highest_seq.wrapping_sub(self.base_seq).wrapping_add(1)
    }

    fn lost(&self) -> i64 {
        i64::from(self.expected()) - i64::from(self.received)
    }

    fn report(&mut self) -> Reception {
        const LIMIT_24_BITS: i64 = 0x7f_ffff;
        let expected = self.expected();
        let expected_interval = expected.wrapping_sub(self.expected_prior);
        let received_interval = self.received.wrapping_sub(self.received_prior);
        self.expected_prior = expected;
        self.received_prior = self.received;
        let lost_interval = u64::from(expected_interval.saturating_sub(received_interval));
        let fraction = (lost_interval << 8).checked_div(u64::from(expected_interval)).unwrap_or(0);
        Reception {
            ssrc: self.ssrc,
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            cumulative_lost: i32::try_from(self.lost().clamp(-LIMIT_24_BITS - 1, LIMIT_24_BITS)).unwrap_or(0),
            extended_highest_seq: self.highest_seq.wrapping_sub(FIRST_CYCLE),
            jitter_ts: self.jitter_q4 >> 4,
        }
    }

    /// RFC 3550 A.8. Packets of one timestamp (RFC 4733 updates) were not sent when they say, so they are left out.
    fn update_jitter(&mut self, now: Instant, timestamp: u32, clock_rate_hz: u32) {
        let advance = i64::from(timestamp.wrapping_sub(self.transit.timestamp).cast_signed());
        if advance == 0 {
            return;
        }
        let elapsed = now.saturating_duration_since(self.transit.arrival);
        let elapsed_ts = elapsed.as_nanos() * u128::from(clock_rate_hz) / 1_000_000_000;
        self.transit = Transit { arrival: now, timestamp };
        let change = i64::try_from(elapsed_ts).map_or(u64::MAX, |elapsed_ts| elapsed_ts.abs_diff(advance));
        if change > u64::from(clock_rate_hz) * u64::from(MAX_TRANSIT_CHANGE_S) {
            return;
        }
        let change = u32::try_from(change).unwrap_or(u32::MAX);
        let decay = self.jitter_q4.saturating_add(8) >> 4;
        self.jitter_q4 = self.jitter_q4.saturating_add(change).saturating_sub(decay);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::net::Pt;

    const MINE: Ssrc = Ssrc(0x1111);
    const OTHER: Ssrc = Ssrc(0x2222);

    /// The `n`-th packet of a 20 ms stream at 8 kHz.
    fn packet(ssrc: Ssrc, seq: u16, n: u32) -> Header {
        Header::new(Pt(0), SeqNo(seq), n.wrapping_mul(160), ssrc)
    }

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn start() -> Instant {
        Instant::now()
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn authenticated_source_counts_from_its_first_packet() {
        let mut source = Source::new(8000, 0);
        let first = source.receive(start(), &packet(MINE, 7, 0)).unwrap();
        assert!(first.is_restart);
        assert_eq!(first.extended_seq & 0xffff, 7);
        assert_eq!(source.ssrc(), Some(MINE));
    }

    #[test]
    fn first_source_counts_from_its_first_packet_and_another_must_show_two_in_sequence() {
        let mut source = Source::new(8000, Source::UNAUTHENTICATED_PROBATION);
        let now = start();
        assert!(source.receive(now, &packet(MINE, 7, 0)).unwrap().is_restart);
        assert_eq!(source.receive(now, &packet(OTHER, 7, 0)), Err(DropReason::RtpProbation));
        assert_eq!(source.receive(now, &packet(OTHER, 9, 2)), Err(DropReason::RtpProbation));
        assert!(source.receive(now, &packet(OTHER, 10, 3)).unwrap().is_restart);
        assert!(!source.receive(now, &packet(OTHER, 11, 4)).unwrap().is_restart);
    }

    #[test]
    fn after_a_change_of_the_far_side_the_first_packet_counts_and_losses_stay() {
        let mut source = Source::new(8000, Source::UNAUTHENTICATED_PROBATION);
        for seq in [1, 3] {
            source.receive(start(), &packet(MINE, seq, 0)).unwrap();
        }
        source.renew();
        assert_eq!((source.ssrc(), source.report()), (None, None));
        assert!(source.receive(start(), &packet(OTHER, 500, 0)).unwrap().is_restart);
        assert_eq!(source.cumulative_lost(), 1);
    }

    #[test]
    fn extended_seq_goes_on_over_the_wrap_and_back_for_late_packets() {
        let mut source = Source::new(8000, 0);
        let now = start();
        let a = source.receive(now, &packet(MINE, 65_534, 0)).unwrap().extended_seq;
        let b = source.receive(now, &packet(MINE, 1, 3)).unwrap().extended_seq;
        let late = source.receive(now, &packet(MINE, 65_535, 1)).unwrap().extended_seq;
        assert_eq!((b - a, late - a), (3, 1));
        assert_eq!(source.cumulative_lost(), 1);
        assert_eq!(source.report().unwrap().extended_highest_seq, 0x1_0001);
    }

    #[test]
    fn packet_reordered_before_the_first_has_a_number() {
        let mut source = Source::new(8000, 0);
        let first = source.receive(start(), &packet(MINE, 0, 1)).unwrap().extended_seq;
        assert_eq!(source.receive(start(), &packet(MINE, 65_535, 0)).unwrap().extended_seq, first - 1);
    }

    #[test]
    fn jump_is_taken_when_its_second_packet_confirms_it() {
        let mut source = Source::new(8000, 0);
        let now = start();
        source.receive(now, &packet(MINE, 100, 0)).unwrap();
        assert_eq!(source.receive(now, &packet(MINE, 20_000, 1)), Err(DropReason::RtpSequence));
        assert!(!source.receive(now, &packet(MINE, 101, 1)).unwrap().is_restart, "one stray packet changes nothing");
        assert_eq!(source.receive(now, &packet(MINE, 20_001, 2)), Err(DropReason::RtpSequence));
        assert!(source.receive(now, &packet(MINE, 20_002, 3)).unwrap().is_restart);
        assert_eq!(source.cumulative_lost(), 0, "a jump is not loss");
    }

    #[test]
    fn other_source_takes_over_after_its_probation_only() {
        let mut source = Source::new(8000, 2);
        let now = start();
        source.receive(now, &packet(MINE, 1, 0)).unwrap();
        source.receive(now, &packet(MINE, 2, 1)).unwrap();
        assert_eq!(source.receive(now, &packet(OTHER, 500, 0)), Err(DropReason::RtpProbation));
        source.receive(now, &packet(MINE, 3, 2)).unwrap();
        assert_eq!(source.receive(now, &packet(OTHER, 501, 1)), Err(DropReason::RtpProbation), "interleaved");
        assert!(source.receive(now, &packet(OTHER, 502, 2)).unwrap().is_restart);
        assert_eq!(source.ssrc(), Some(OTHER));
    }

    #[test]
    fn losses_outlive_a_change_of_source() {
        let mut source = Source::new(8000, 0);
        for seq in [1, 2, 5] {
            source.receive(start(), &packet(MINE, seq, u32::from(seq))).unwrap();
        }
        for seq in [9, 11] {
            source.receive(start(), &packet(OTHER, seq, u32::from(seq))).unwrap();
        }
        assert_eq!(source.cumulative_lost(), 3);
        assert_eq!(source.report().unwrap().cumulative_lost, 1, "a report block is about one source");
    }

    #[test]
    fn fraction_lost_is_of_the_interval() {
        let mut source = Source::new(8000, 0);
        for seq in [0, 1, 2, 3] {
            source.receive(start(), &packet(MINE, seq, 0)).unwrap();
        }
        assert_eq!(source.report().unwrap().fraction_lost, 0);
        for seq in [4, 7] {
            source.receive(start(), &packet(MINE, seq, 0)).unwrap();
        }
        let report = source.report().unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (128, 2));
        assert_eq!(source.report().unwrap().fraction_lost, 0, "nothing expected, nothing lost");
    }

    #[test]
    fn jitter_of_an_even_stream_is_zero_and_of_an_uneven_one_is_its_deviation() {
        let mut even = Source::new(8000, 0);
        let mut uneven = Source::new(8000, 0);
        let begin = start();
        for n in 0..500_u16 {
            let due = begin + ms(20 * u64::from(n));
            even.receive(due, &packet(MINE, n, u32::from(n))).unwrap();
            uneven.receive(due + ms(10 * u64::from(n % 2)), &packet(MINE, n, u32::from(n))).unwrap();
        }
        assert_eq!(even.jitter_ts(), 0);
        assert!((75..=85).contains(&uneven.jitter_ts()), "10 ms at 8 kHz, got {}", uneven.jitter_ts());
    }

    #[test]
    fn jitter_ignores_timestamp_jumps_and_repeated_timestamps() {
        let mut source = Source::new(8000, 0);
        let begin = start();
        source.receive(begin, &packet(MINE, 0, 0)).unwrap();
        let jumped = Header::new(Pt(0), SeqNo(1), 1 << 31, MINE);
        source.receive(begin + ms(20), &jumped).unwrap();
        for n in 0..10_u16 {
            let event = Header::new(Pt(101), SeqNo(2 + n), 1 << 31, MINE);
            source.receive(begin + ms(40 + 20 * u64::from(n)), &event).unwrap();
        }
        assert_eq!(source.jitter_ts(), 0);
    }

    proptest! {
        #[test]
        fn any_packets_are_accepted_or_dropped_and_keep_the_wire_number(
            packets in prop::collection::vec((0_u32..3, any::<u16>(), any::<u32>(), 0_u64..100), 0..200),
            probation in 0_u8..4,
        ) {
            let mut source = Source::new(48_000, probation);
            let mut now = start();
            for (ssrc, seq, timestamp, wait_ms) in packets {
                now += ms(wait_ms);
                if let Ok(accepted) = source.receive(now, &Header::new(Pt(0), SeqNo(seq), timestamp, Ssrc(ssrc))) {
                    prop_assert_eq!(accepted.extended_seq & 0xffff, u32::from(seq));
                    prop_assert_eq!(source.ssrc(), Some(Ssrc(ssrc)));
                }
                source.report();
            }
        }
    }
}
