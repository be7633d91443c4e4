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
    /// Sequence number unwrapped to 32 bits, wrapping there. Its lower half is the number on the wire. After a restart
    /// it is further ahead than any loss, so that who has not seen the first packet notices, too.
    pub extended_seq: u32,
    /// The stream begins with this packet: the first of all, of another SSRC, or after a jump in the sequence.
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

/// Interarrival jitter in milliseconds, over the life of a stream.   RFC 3550 A.8.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct JitterFigures {
    /// The estimate as of the last packet.
    pub last_ms: f64,
    /// Its mean over all packets.
    pub mean_ms: f64,
    /// The highest that it ever was.
    pub max_ms: f64,
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
    /// Whole cycles of the numbers before the source in use began.
    lead: u32,
    candidate: Option<Candidate>,
    /// Jitter of all packets of the present clock rate.
    jitter: JitterSum,
    /// The same of other clock rates before: packets, milliseconds of all, highest.
    jitter_before: (u64, f64, f64),
}

#[derive(Debug, Clone, Copy, Default)]
struct JitterSum {
    packets: u64,
    sum_ts: u64,
    max_ts: u32,
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
    /// Of the packet with that number.
    newest_timestamp: u32,
    received: u32,
    expected_prior: u32,
    received_prior: u32,
    transit: Transit,
    /// Jitter times 16, as A.8 keeps it.
    jitter_q4: u32,
    /// It said goodbye, and sent nothing since.
    has_left: bool,
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
        let (jitter, jitter_before) = (JitterSum { packets: 0, sum_ts: 0, max_ts: 0 }, (0, 0.0, 0.0));
        Self { clock_rate_hz, probation, current: None, lead: 0, candidate: None, jitter, jitter_before }
    }

    /// Judge one packet and count it.   RFC 3550 A.1.
    ///
    /// now: when it arrived. Drops `RtpProbation` (another source before its probation is over) and `RtpSequence` (a
    /// jump in the sequence that no second packet has confirmed yet).
    pub fn receive(&mut self, now: Instant, header: &Header) -> Result<Accepted, DropReason> {
        if let Some(state) = self.current.as_mut().filter(|state| state.ssrc == header.ssrc) {
            if let Some(extended_seq) = state.receive(header) {
                self.candidate = None;
                state.has_left = false;
                state.update_jitter(now, header.timestamp, self.clock_rate_hz);
                self.jitter.add(state.jitter_q4 >> 4);
                return Ok(Accepted { extended_seq: self.lead.wrapping_add(extended_seq), is_restart: false });
            }
            if !self.is_proven(header, Self::UNAUTHENTICATED_PROBATION) {
                return Err(DropReason::RtpSequence);
            }
        } else if self.current.as_ref().is_some_and(|state| !state.has_left) && !self.is_proven(header, self.probation)
        {
            return Err(DropReason::RtpProbation);
        }
        Ok(self.restart(now, header))
    }

    /// Forget the source in use, since the far side is another one now: its first packet is taken at once.
    pub fn renew(&mut self) {
        self.end_current();
        self.candidate = None;
    }

    fn end_current(&mut self) {
        if let Some(state) = self.current.take() {
            self.lead = self.lead.wrapping_add(state.highest_seq & !u32::from(u16::MAX)).wrapping_add(FIRST_CYCLE);
        }
    }

    /// The source said goodbye: another one takes over at once, and there is nothing to report of it.   RFC 3550 6.3.4.
    ///
    /// It is forgiven with its next packet, so that a forged goodbye changes nothing.
    pub fn leave(&mut self, ssrc: Ssrc) {
        if let Some(state) = self.current.as_mut().filter(|state| state.ssrc == ssrc) {
            state.has_left = true;
        }
    }

    /// Follow a codec change to another clock rate; the jitter begins anew if it differs.
    pub fn set_clock_rate(&mut self, clock_rate_hz: u32) {
        if self.clock_rate_hz != clock_rate_hz {
            self.jitter_before = self.jitter_sums();
            self.jitter = JitterSum::default();
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

    /// Interarrival jitter over the life of the stream.
    #[must_use]
    pub fn jitter(&self) -> JitterFigures {
        let (packets, sum_ms, max_ms) = self.jitter_sums();
        let last_ts = self.current.as_ref().map_or(0, |state| state.jitter_q4 >> 4);
        let mean_ms = if packets == 0 { 0.0 } else { sum_ms / count(packets) };
        JitterFigures { last_ms: self.milliseconds(u64::from(last_ts)), mean_ms, max_ms }
    }

    /// Packets with a jitter, its sum over them in milliseconds, and the highest.
    fn jitter_sums(&self) -> (u64, f64, f64) {
        let (packets, sum_ms, max_ms) = self.jitter_before;
        let JitterSum { packets: more, sum_ts, max_ts } = self.jitter;
        let max_ms = max_ms.max(self.milliseconds(u64::from(max_ts)));
        (packets + more, sum_ms + self.milliseconds(sum_ts), max_ms)
    }

    fn milliseconds(&self, timestamp_units: u64) -> f64 {
        count(timestamp_units) * 1_000.0 / f64::from(self.clock_rate_hz.max(1))
    }

    /// Statistics of the source in use for a report block, and the next interval of the loss fraction begins.
    ///
    /// None before the first packet, and once the source has left.   RFC 3550 A.3.
    pub fn report(&mut self) -> Option<Reception> {
        self.current.as_mut().filter(|state| !state.has_left).map(State::report)
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
        self.end_current();
        self.candidate = None;
        let seq = FIRST_CYCLE | u32::from(header.seq.0);
        self.current = Some(State {
            ssrc: header.ssrc,
            base_seq: seq,
            highest_seq: seq,
            newest_timestamp: header.timestamp,
            received: 1,
            expected_prior: 0,
            received_prior: 0,
            transit: Transit { arrival: now, timestamp: header.timestamp },
            jitter_q4: 0,
            has_left: false,
        });
        Accepted { extended_seq: self.lead.wrapping_add(seq), is_restart: true }
    }
}

impl JitterSum {
    fn add(&mut self, jitter_ts: u32) {
        self.packets += 1;
        self.sum_ts += u64::from(jitter_ts);
        self.max_ts = self.max_ts.max(jitter_ts);
    }
}

impl State {
    /// The extended number of a packet near the highest one; None for a jump.
    fn receive(&mut self, header: &Header) -> Option<u32> {
        let highest = SeqNo(self.highest_seq.to_be_bytes().last_chunk().map_or(0, |low| u16::from_be_bytes(*low)));
        let distance = header.seq.distance(highest);
        if !(-MAX_MISORDER..MAX_DROPOUT).contains(&distance) {
            return None;
        }
        // A number from before with a time from after is no late packet: the far side counts anew, a little lower.
        if distance < 0 && header.timestamp.wrapping_sub(self.newest_timestamp).cast_signed() > 0 {
            return None;
        }
        let extended = self.highest_seq.wrapping_add_signed(i32::from(distance));
        if distance > 0 {
            self.highest_seq = extended;
            self.newest_timestamp = header.timestamp;
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
        // 64 bits hold the longest pause that a clock of 192 kHz may make here: a day.
        let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let elapsed_ts = elapsed_ns.saturating_mul(u64::from(clock_rate_hz)) / 1_000_000_000;
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

#[expect(clippy::cast_precision_loss, reason = "a figure for people needs no more")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
