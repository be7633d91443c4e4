//! One channel of a recording: packets in, in any order, and samples out on the recording's own clock.
//!
//! Owns where each packet's audio lies. Its place follows from its timestamp, so that jitter is not heard; the clock is
//! tied to the times of arrival, so that both channels stay together: at the first packet, and again when the far side
//! restarts, jumps or drifts. Runs on the recorder's thread and may be late: half a second, in which packets find their
//! order. What is missing is concealed by a codec that can, and silent otherwise.
//!
//! RFC 3550 (timestamps), RFC 4733 (digits, which are silence here unless they are asked for).

use std::collections::{BTreeMap, VecDeque};

use crate::codecs::{Codec, Decoder, Kind, MAX_PACKET_MS};
use crate::dsp::tone::Oscillator;
use crate::dtmf;
use crate::pipeline::Record;

/// How long a packet that is missing is waited for.
const PATIENCE_US: i64 = 300_000;

/// Longest gap that is concealed; of a longer one, only its beginning is.
const LONGEST_CONCEALMENT_MS: i64 = 60;

/// A timestamp that is off by so much has jumped.
const JUMP_US: i64 = 1_000_000;

/// Over how long the fastest packet is sought, and how far off it may be.
const DRIFT_WINDOW_US: i64 = 2_000_000;
const DRIFT_US: i64 = 20_000;

const MICROS: i64 = 1_000_000;

/// Packets that may wait for a missing one: more than any codec sends in [`PATIENCE_US`].
const MAX_WAITING: usize = 256;

struct Waiting {
    record: Record,
    at_us: i64,
    payload: Vec<u8>,
}

/// Where the stream's clock is tied to ours.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    timestamp: u32,
    at_us: i64,
}

/// How far the fastest packet of the present window was off.
#[derive(Debug, Clone, Copy)]
struct Drift {
    since_us: i64,
    least_us: i64,
}

/// A digit's place, in samples.
struct Digit {
    timestamp: u32,
    from: i64,
    to: i64,
    tone: Option<Oscillator>,
}

/// One channel.
pub(super) struct Track {
    rate_hz: u32,
    plays_digits: bool,
    waiting: BTreeMap<i64, Waiting>,
    last_seq: Option<i64>,
    decoder: Option<(Kind, Box<dyn Decoder>)>,
    frame: Vec<i16>,
    last_sample: i16,
    anchor: Option<Anchor>,
    drift: Option<Drift>,
    /// Samples from `base` on, which have not been taken yet.
    pcm: VecDeque<i16>,
    base: i64,
    digits: Vec<Digit>,
}

impl Track {
    /// `plays_digits`: digits are recorded as tones.
    pub(super) fn new(rate_hz: u32, plays_digits: bool) -> Self {
        Self {
            rate_hz,
            plays_digits,
            waiting: BTreeMap::new(),
            last_seq: None,
            decoder: None,
            frame: vec![0; usize::try_from(rate_hz / 1_000 * MAX_PACKET_MS).unwrap_or(0)],
            last_sample: 0,
            anchor: None,
            drift: None,
            pcm: VecDeque::new(),
            base: 0,
            digits: Vec::new(),
        }
    }

    /// Takes one packet.
    pub(super) fn insert(&mut self, record: Record, payload: &[u8]) {
        let at_us = i64::try_from(record.at.as_micros()).unwrap_or(i64::MAX);
        match record.kind {
            Kind::TelephoneEvent => self.mark_digit(&record, at_us, payload),
            // A pause in the stream says the same.
            Kind::Cn => {}
            _ => {
                if record.is_restart {
                    self.decode(i64::MAX);
                    (self.last_seq, self.anchor, self.decoder) = (None, None, None);
                }
                let seq = self.unwrap(record.seq);
                if self.last_seq.is_none_or(|last| seq > last) && self.waiting.len() < MAX_WAITING {
                    self.waiting.insert(seq, Waiting { record, at_us, payload: payload.to_vec() });
                }
            }
        }
    }

    /// Decodes what is in order, and what has waited long enough at `now_us`, a time of the recording.
    pub(super) fn decode(&mut self, now_us: i64) {
        while let Some(entry) = self.waiting.first_entry() {
            let is_next = self.last_seq.is_some_and(|last| *entry.key() == last + 1);
            if !is_next && entry.get().at_us.saturating_add(PATIENCE_US) > now_us {
                return;
            }
            let seq = *entry.key();
            let waiting = entry.remove();
            self.last_seq = Some(seq);
            self.play(&waiting);
        }
    }

    /// Where the samples that are known end.
    pub(super) fn end(&self) -> i64 {
        self.base + length(&self.pcm)
    }

    /// Takes the next samples, with silence for those that are not there.
    pub(super) fn take(&mut self, samples: &mut [i16]) {
        for sample in &mut *samples {
            *sample = self.pcm.pop_front().unwrap_or(0);
        }
        let from = self.base;
        self.base += i64::try_from(samples.len()).unwrap_or(0);
        for digit in &mut self.digits {
            for (place, sample) in (from..).zip(&mut *samples) {
                if (digit.from..digit.to).contains(&place) {
                    *sample = digit.tone.as_mut().map_or(0, next_sample);
                }
            }
        }
        self.digits.retain(|digit| digit.to + i64::from(self.rate_hz) > self.base);
    }

    /// The number next to the last one that ends in these 16 bits (RFC 3550 A.1).
    fn unwrap(&self, seq: u16) -> i64 {
        let newest = self.waiting.last_key_value().map(|(seq, _)| *seq).or(self.last_seq);
        let Some(newest) = newest else { return i64::from(seq) };
        // The lower half of an extended number is a number on the wire.
        let [low, high, ..] = newest.to_le_bytes();
        let step = seq.wrapping_sub(u16::from_le_bytes([low, high])).cast_signed();
        newest + i64::from(step)
    }

    fn play(&mut self, waiting: &Waiting) {
        let record = &waiting.record;
        let Some(count) = self.decode_frame(record, &waiting.payload) else { return };
        let length_us = self.micros(i64::try_from(count).unwrap_or(0));
        // The last sample of a packet was spoken when the packet left.
        let at_us = self.settle(record, waiting.at_us - length_us);
        let place = self.samples(at_us);
        self.fill_to(place);
        let frame = std::mem::take(&mut self.frame);
        let from = self.end();
        let known = usize::try_from(from - place).unwrap_or(0).min(count);
        if record.is_digit && !self.plays_digits {
            self.pcm.extend(std::iter::repeat_n(0, count - known));
        } else {
            self.pcm.extend(frame.get(known..count).unwrap_or_default());
        }
        self.frame = frame;
    }

    /// When the packet's first sample belongs, by its timestamp; ties the clocks anew where they have parted.
    fn settle(&mut self, record: &Record, arrived_us: i64) -> i64 {
        let expected = self.anchor.map(|anchor| {
            let passed = i64::from(record.timestamp.wrapping_sub(anchor.timestamp).cast_signed());
            anchor.at_us + passed * MICROS / i64::from(record.clock_rate_hz.max(1))
        });
        let off_us = expected.map(|expected| arrived_us - expected);
        let (Some(expected), Some(off_us)) = (expected, off_us.filter(|off_us| off_us.abs() < JUMP_US)) else {
            self.anchor = Some(Anchor { timestamp: record.timestamp, at_us: arrived_us });
            self.drift = None;
            return arrived_us;
        };
        let drift = self.drift.get_or_insert(Drift { since_us: arrived_us, least_us: off_us });
        drift.least_us = drift.least_us.min(off_us);
        let mut at_us = expected;
        if arrived_us - drift.since_us > DRIFT_WINDOW_US {
            if drift.least_us.abs() > DRIFT_US {
                at_us += drift.least_us;
            }
            self.drift = None;
        }
        // Moved along, so that no difference of timestamps ever wraps.
        self.anchor = Some(Anchor { timestamp: record.timestamp, at_us });
        at_us
    }

    /// Decodes into `frame`; how many samples, or None if it is no packet of its codec.
    fn decode_frame(&mut self, record: &Record, payload: &[u8]) -> Option<usize> {
        if self.decoder.as_ref().is_none_or(|(kind, _)| *kind != record.kind) {
            let channels = if record.kind == Kind::Opus { 2 } else { 1 };
            let codec = Codec::new(record.kind.name(), record.clock_rate_hz, channels, []).ok()?;
            // One that does not run at the file's rate is decoded at its own, a divisor of it.
            let native = self.rate_hz.min(codec.native_sample_rate_hz());
            self.decoder = Some((record.kind, codec.decoder(native).ok()?));
        }
        let (_, decoder) = self.decoder.as_mut()?;
        let count = decoder.decode(payload, &mut self.frame).ok()?;
        let is_half = decoder.sample_rate_hz() < self.rate_hz;
        Some(if is_half { self.double(count) } else { count })
    }

    /// Puts a sample between each two of the first `count`: G.711 in a file that is wide for the other channel's sake.
    fn double(&mut self, count: usize) -> usize {
        let newest = self.frame.get(count.saturating_sub(1)).copied().unwrap_or(0);
        for place in (0..count.min(self.frame.len() / 2)).rev() {
            let sample = self.frame[place];
            let before = if place > 0 { self.frame[place - 1] } else { self.last_sample };
            self.frame[2 * place + 1] = sample;
            self.frame[2 * place] = before.midpoint(sample);
        }
        self.last_sample = newest;
        2 * count
    }

    /// Fills the gap before `place`.
    fn fill_to(&mut self, place: i64) {
        let gap = place - self.end();
        if gap <= 0 {
            return;
        }
        let concealed = gap.min(i64::from(self.rate_hz) * LONGEST_CONCEALMENT_MS / 1_000);
        if let Some((_, decoder)) = &mut self.decoder
            && decoder.sample_rate_hz() == self.rate_hz
            && self.base + length(&self.pcm) > 0
        {
            let step = usize::try_from(self.rate_hz / 100).unwrap_or(1);
            for _ in 0..usize::try_from(concealed).unwrap_or(0) / step {
                let Some(piece) = self.frame.get_mut(..step) else { break };
                if !decoder.conceal(piece) {
                    break;
                }
                self.pcm.extend(&*piece);
            }
        }
        let rest = usize::try_from(place - self.end()).unwrap_or(0);
        self.pcm.extend(std::iter::repeat_n(0, rest));
    }

    /// Notes where a digit is: its report says how long it has lasted until now.
    fn mark_digit(&mut self, record: &Record, at_us: i64, payload: &[u8]) {
        let Some(event) = dtmf::Event::parse(payload) else { return };
        let lasted_us = i64::from(event.duration_ts) * MICROS / i64::from(record.clock_rate_hz.max(1));
        let (from, lasted) = (self.samples(at_us - lasted_us), self.samples(lasted_us));
        match self.digits.last_mut() {
            Some(last) if last.timestamp == record.timestamp => last.to = last.to.max(last.from + lasted),
            _ => {
                let digit = dtmf::Digit::from_code(event.code).filter(|_| self.plays_digits);
                let tone = digit.and_then(|digit| Oscillator::dtmf(digit.as_char(), self.rate_hz));
                self.digits.push(Digit { timestamp: record.timestamp, from, to: from + lasted, tone });
            }
        }
    }

    fn samples(&self, us: i64) -> i64 {
        us.saturating_mul(self.rate_hz.into()) / MICROS
    }

    fn micros(&self, samples: i64) -> i64 {
        samples * MICROS / i64::from(self.rate_hz)
    }
}

fn length(pcm: &VecDeque<i16>) -> i64 {
    i64::try_from(pcm.len()).unwrap_or(i64::MAX)
}

fn next_sample(tone: &mut Oscillator) -> i16 {
    let mut sample = [0];
    tone.fill(&mut sample);
    sample[0]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pipeline::Channel;

    /// A far side that sends a loud packet of mu-law each 20 ms.
    struct FarSide {
        track: Track,
        seq: u16,
        timestamp: u32,
    }

    impl FarSide {
        fn new() -> Self {
            // Both numbers wrap soon.
            Self { track: Track::new(8_000, false), seq: 65_530, timestamp: u32::MAX - 500 }
        }

        fn send(&mut self, at_ms: u64, payload: &[u8]) {
            let record = Record {
                channel: Channel::Said,
                at: Duration::from_millis(at_ms),
                kind: Kind::Pcmu,
                clock_rate_hz: 8_000,
                seq: self.seq,
                timestamp: self.timestamp,
                is_restart: false,
                is_digit: false,
            };
            self.track.insert(record, payload);
            self.track.decode(i64::try_from(at_ms).unwrap() * 1_000);
            self.seq = self.seq.wrapping_add(1);
            self.timestamp = self.timestamp.wrapping_add(160);
        }

        /// Packets 20 ms apart, the first one at `at_ms`.
        fn speak(&mut self, at_ms: u64, packets: u64) {
            (0..packets).for_each(|number| self.send(at_ms + number * 20, &[0x80; 160]));
        }

        /// Where it is loud, in milliseconds: begin and end of each stretch.
        fn loud_ms(mut self) -> Vec<(usize, usize)> {
            self.track.decode(i64::MAX);
            let mut samples = vec![0; usize::try_from(self.track.end()).unwrap()];
            self.track.take(&mut samples);
            let mut stretches: Vec<(usize, usize)> = Vec::new();
            for (ms, piece) in samples.chunks(8).enumerate() {
                if piece.iter().all(|sample| sample.abs() > 1_000) {
                    match stretches.last_mut() {
                        Some((_, end)) if *end == ms => *end += 1,
                        _ => stretches.push((ms, ms + 1)),
                    }
                }
            }
            stretches
        }
    }

    #[test]
    fn a_packet_lies_where_it_was_spoken_however_late_it_came() {
        let mut far = FarSide::new();
        far.speak(100, 10);
        far.send(345, &[0x80; 160]);
        far.send(346, &[0x80; 160]);
        far.send(347, &[0x80; 160]);
        assert_eq!(far.loud_ms(), [(80, 340)]);
    }

    #[test]
    fn a_loss_is_a_gap_and_a_swap_is_none() {
        let mut far = FarSide::new();
        far.speak(20, 3);
        far.seq += 2;
        far.timestamp = far.timestamp.wrapping_add(320);
        far.speak(120, 3);
        let late = (far.seq, far.timestamp);
        far.seq = far.seq.wrapping_add(1);
        far.timestamp = far.timestamp.wrapping_add(160);
        far.speak(200, 1);
        let next = (far.seq, far.timestamp);
        (far.seq, far.timestamp) = late;
        far.send(201, &[0x80; 160]);
        (far.seq, far.timestamp) = next;
        far.speak(220, 2);
        assert_eq!(far.loud_ms(), [(0, 60), (100, 240)]);
    }

    #[test]
    fn a_pause_without_timestamps_and_a_jump_of_them_are_seen_by_the_time_of_arrival() {
        let mut far = FarSide::new();
        far.speak(20, 5);
        far.speak(2_020, 5);
        far.timestamp = far.timestamp.wrapping_add(1 << 30);
        far.speak(2_120, 5);
        assert_eq!(far.loud_ms(), [(0, 100), (2_000, 2_200)]);
    }

    #[test]
    fn a_clock_that_drifts_stays_in_step() {
        let mut far = FarSide::new();
        // 0.1 % slow: 120 ms in two minutes.
        for number in 0..6_000_u64 {
            far.send(20 + number * 20 + number * 20 / 1_000, &[0x80; 160]);
        }
        let stretches = far.loud_ms();
        let end = stretches.last().unwrap().1;
        assert!((120_095..=120_145).contains(&end), "ends at {end} ms of 120120");
    }

    #[test]
    fn a_wide_file_takes_narrow_audio() {
        let mut far = FarSide::new();
        far.track = Track::new(16_000, false);
        far.speak(20, 10);
        far.track.decode(i64::MAX);
        assert_eq!(far.track.end(), 16_000 / 5);
    }
}
