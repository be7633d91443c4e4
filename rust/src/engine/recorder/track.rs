//! One channel of a recording: packets in, in any order, and samples out on the recording's own clock.
//!
//! Owns where each packet's audio lies. Its place follows from its timestamp, so that jitter is not heard; the clock is
//! tied to the times of arrival, so that both channels stay together: at the first packet, and again when the far side
//! restarts, jumps or drifts. Runs on the recorder's thread and may be late: half a second, in which packets find their
//! order. What was lost is concealed for 60 ms, and silent beyond; a pause of the far side is silent.
//!
//! RFC 3550 (timestamps), RFC 4733 (digits, which are silence here unless they are asked for).

use std::collections::{BTreeMap, VecDeque};

use crate::codecs::Kind;
use crate::dsp::resample::Resampler;
use crate::dsp::tone::Oscillator;
use crate::dtmf;
use crate::pipeline::Record;

use super::voice::Voice;

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
    voice: Option<Voice>,
    /// From the voice's rate to ours, where they differ.
    resampler: Option<Resampler>,
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
            voice: None,
            resampler: None,
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
                    (self.last_seq, self.anchor, self.voice) = (None, None, None);
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
            let (seq, waiting) = entry.remove_entry();
            let lost = self.last_seq.replace(seq).is_some_and(|last| seq > last + 1);
            self.play(&waiting, lost);
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

    /// lost: packets between this one and the one before it never came.
    fn play(&mut self, waiting: &Waiting, lost: bool) {
        let Waiting { record, at_us, payload } = waiting;
        if self.voice.as_ref().is_none_or(|voice| voice.kind() != record.kind) {
            self.voice = Voice::new(record, self.rate_hz);
            let rate_hz = self.voice.as_ref().map_or(self.rate_hz, Voice::rate_hz);
            self.resampler = Resampler::new(rate_hz, self.rate_hz).ok().filter(|_| rate_hz != self.rate_hz);
        }
        let Some(voice) = &self.voice else { return };
        let rate_hz = i64::from(voice.rate_hz().max(1));
        let Some(count) = voice.samples(payload) else { return };
        let length = i64::try_from(count).unwrap_or(0) * i64::from(self.rate_hz) / rate_hz;
        // The last sample of a packet was spoken when the packet left.
        let at_us = self.settle(record, at_us - self.micros(length));
        let place = self.samples(at_us);
        let missing = (place - self.end()).max(0);
        let longest = i64::from(self.rate_hz) * LONGEST_CONCEALMENT_MS / 1_000;
        let concealed = missing.min(longest) * rate_hz / i64::from(self.rate_hz);
        let concealed = if lost && self.end() > 0 { usize::try_from(concealed).unwrap_or(0) } else { 0 };
        let Some((gap, packet)) = self.voice.as_mut().and_then(|voice| voice.play(concealed, payload)) else { return };
        let gap = self.at_file_rate(gap);
        self.pcm.extend(gap);
        let silence = usize::try_from(place - self.end()).unwrap_or(0);
        self.pcm.extend(std::iter::repeat_n(0, silence));
        if let Some(resampler) = self.resampler.as_mut().filter(|_| silence > 0) {
            // The filter's end belongs before the silence, and what comes behind it has nothing to do with that.
            resampler.reset();
        }
        let packet = self.at_file_rate(packet);
        let known = usize::try_from(self.end() - place).unwrap_or(0).min(packet.len());
        if record.is_digit && !self.plays_digits {
            self.pcm.extend(std::iter::repeat_n(0, packet.len() - known));
        } else {
            self.pcm.extend(packet.get(known..).unwrap_or_default());
        }
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

    /// The same at the file's rate.
    fn at_file_rate(&mut self, pcm: Vec<i16>) -> Vec<i16> {
        let Some(resampler) = &mut self.resampler else { return pcm };
        let mut converted = vec![0; resampler.output_samples(pcm.len())];
        resampler.process(&pcm, &mut converted);
        converted
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

    use std::ops::Range;

    use super::*;
    use crate::codecs::{Codec, Encoded, EncoderSettings};
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
        // The loudest byte over and over has no pitch; what is repeated of it fades.
        assert_eq!(far.loud_ms(), [(0, 240)]);
    }

    /// A second of a tone at 16 kHz, of which packets are lost; packets of 20 ms.
    fn tone_of(name: &str, is_lost: impl Fn(u16) -> bool) -> Vec<i16> {
        let (clock_rate_hz, channels) = if name == "opus" { (48_000, 2) } else { (8_000, 1) };
        let codec = Codec::new(name, clock_rate_hz, channels, [("useinbandfec", "1")]).unwrap();
        let sample_rate_hz = codec.native_sample_rate_hz().min(16_000);
        let settings = EncoderSettings { sample_rate_hz, expected_loss_percent: 30, ..EncoderSettings::default() };
        let mut encoder = codec.encoder(&settings).unwrap();
        let mut tone = Oscillator::new(&[220.0], -10.0, sample_rate_hz);
        let mut track = Track::new(16_000, false);
        for seq in 0..50 {
            let mut pcm = vec![0; usize::try_from(sample_rate_hz / 50).unwrap()];
            tone.fill(&mut pcm);
            let mut payload = [0; 1_400];
            let Ok(Encoded::Payload(len)) = encoder.encode(&pcm, &mut payload) else { panic!("silence") };
            let record = Record {
                channel: Channel::Said,
                at: Duration::from_millis(20 * u64::from(seq) + 20),
                kind: codec.kind(),
                clock_rate_hz,
                seq,
                timestamp: u32::from(seq) * clock_rate_hz / 50,
                is_restart: false,
                is_digit: false,
            };
            if !is_lost(seq) {
                track.insert(record, &payload[..len]);
            }
        }
        track.decode(i64::MAX);
        let mut samples = vec![0; usize::try_from(track.end()).unwrap()];
        track.take(&mut samples);
        samples
    }

    fn power(pcm: &[i16], ms: Range<usize>) -> f64 {
        pcm[16 * ms.start..16 * ms.end].iter().map(|sample| f64::from(*sample).powi(2)).sum()
    }

    #[test]
    fn a_lost_packet_is_made_up_and_the_one_after_it_is_whole() {
        // libopus lets a steady tone fade soon.
        for (name, lost, gaps) in
            [("opus", vec![20], vec![(400, 420)]), ("PCMU", vec![20, 30, 31], vec![(400, 420), (600, 640)])]
        {
            let whole = tone_of(name, |_| false);
            let broken = tone_of(name, |seq| lost.contains(&seq));
            assert_eq!(whole.len(), broken.len(), "{name}");
            for (from, to) in gaps {
                let level = power(&broken, from..to) / power(&whole, from..to);
                assert!((0.3..1.5).contains(&level), "{name} at {from} ms: {level:.3} of the power");
                let off: Vec<_> = broken.iter().zip(&whole).map(|(one, other)| one.saturating_sub(*other)).collect();
                // Narrow audio is 6.5 ms late in a wide file.
                let rest = power(&off, to + 11..to + 40) / power(&whole, to + 11..to + 40);
                assert!(rest < 0.05, "{name} after {to} ms: {rest:.3} of the power is off");
            }
        }
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
