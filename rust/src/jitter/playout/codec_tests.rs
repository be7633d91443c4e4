//! What a listener hears through a playout with real codecs: tones, their level, clicks, silence.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::codecs::{Codec, Encoded, Encoder, EncoderSettings};
use crate::dsp::testing::{largest_step, level_dbm0, tone_level_dbm0};
use crate::dsp::tone::Oscillator;

pub(super) const RATE_HZ: u32 = 8_000;
pub(super) const PULL: usize = 160;

#[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
pub(super) fn instant() -> Instant {
    Instant::now()
}

pub(super) fn codec(name: &str, fmtp: &[(&str, &str)]) -> Codec {
    let (clock_rate_hz, channels) = if name == "opus" { (48_000, 2) } else { (8_000, 1) };
    Codec::new(name, clock_rate_hz, channels, fmtp.iter().copied()).unwrap()
}

/// A sender and a playout 20 ms a turn; packets arrive in the middle between two pulls.
pub(super) struct Line {
    encoder: Box<dyn Encoder>,
    pub(super) playout: Playout,
    codec: Codec,
    began: Instant,
    pub(super) turn: u32,
    pub(super) seq: u16,
    pub(super) timestamp: u32,
}

impl Line {
    pub(super) fn new(codec: Codec) -> Self {
        let config = Config::new(codec.clock_rate_hz(), codec.max_payload_bytes());
        let decoder = codec.decoder(RATE_HZ).unwrap();
        Self::with(codec, config, decoder)
    }

    /// With this buffer and decoder behind the codec's encoder.
    pub(super) fn with(codec: Codec, config: Config, decoder: Box<dyn Decoder>) -> Self {
        let settings = EncoderSettings { expected_loss_percent: 20, ..EncoderSettings::default() };
        Self {
            encoder: codec.encoder(&settings).unwrap(),
            playout: Playout::new(config, decoder),
            codec,
            began: instant(),
            turn: 0,
            seq: 65_500,
            timestamp: u32::MAX - 5_000,
        }
    }

    fn now(&self) -> Instant {
        self.began + Duration::from_millis(u64::from(self.turn) * 20)
    }

    fn insert(&mut self, at: Instant, content: Content, payload: &[u8]) -> Inserted {
        self.playout.insert(at, &Packet { seq: self.seq, timestamp: self.timestamp, content, payload })
    }

    /// Codes 20 ms and lets them arrive after `late_ms`, or not at all.
    pub(super) fn send(&mut self, pcm: &[i16], late_ms: Option<u64>) {
        let mut payload = [0; 1_460];
        let encoded = self.encoder.encode(pcm, &mut payload).unwrap();
        if let Encoded::Payload(length) = encoded {
            if let Some(late_ms) = late_ms {
                self.insert(self.now() + Duration::from_millis(10 + late_ms), Content::Speech, &payload[..length]);
            }
            self.seq = self.seq.wrapping_add(1);
        }
        self.skip_timestamp();
    }

    /// Codes a packet of any length that arrives at once, and pulls as long as it lasts in pieces of 10 ms.
    pub(super) fn send_and_hear(&mut self, pcm: &[i16]) -> Vec<i16> {
        let mut payload = [0; 1_460];
        let Encoded::Payload(length) = self.encoder.encode(pcm, &mut payload).unwrap() else { return Vec::new() };
        self.insert(self.now(), Content::Speech, &payload[..length]);
        self.seq = self.seq.wrapping_add(1);
        self.timestamp =
            self.timestamp.wrapping_add(u32::try_from(pcm.len()).unwrap() * (self.codec.clock_rate_hz() / RATE_HZ));
        let mut heard = vec![0; pcm.len()];
        for piece in heard.chunks_mut(80) {
            self.began += Duration::from_millis(10);
            self.playout.pull(self.now(), piece);
        }
        heard
    }

    fn send_noise(&mut self, below_overload_db: u8) {
        self.insert(self.now() + Duration::from_millis(10), Content::ComfortNoise, &[below_overload_db]);
        self.seq = self.seq.wrapping_add(1);
        self.skip_timestamp();
    }

    fn skip_timestamp(&mut self) {
        self.timestamp = self.timestamp.wrapping_add(self.codec.clock_rate_hz() / 50);
    }

    /// Ends the turn with a pull.
    pub(super) fn hear(&mut self) -> ([i16; PULL], Signal) {
        self.turn += 1;
        let mut pcm = [1; PULL];
        let signal = self.playout.pull(self.now(), &mut pcm);
        (pcm, signal)
    }

    /// So many turns of a tone; returns all that is heard.
    pub(super) fn tone(&mut self, oscillator: &mut Oscillator, turns: u32, is_lost: impl Fn(u32) -> bool) -> Vec<i16> {
        let mut heard = Vec::new();
        for turn in 0..turns {
            let mut pcm = [0; PULL];
            oscillator.fill(&mut pcm);
            self.send(&pcm, (!is_lost(turn)).then_some(0));
            heard.extend(self.hear().0);
        }
        heard
    }
}

pub(super) fn a_tone() -> Oscillator {
    Oscillator::new(&[440.0], -10.0, RATE_HZ)
}

/// The largest step between neighbouring samples of the tone itself.
pub(super) fn step_of_a_tone() -> i32 {
    let mut pcm = [0; 800];
    a_tone().fill(&mut pcm);
    largest_step(&pcm)
}

#[test]
fn a_tone_comes_out_as_it_went_in() {
    for name in ["PCMU", "PCMA", "opus"] {
        let mut line = Line::new(codec(name, &[]));
        let heard = line.tone(&mut a_tone(), 150, |_| false);
        let level = tone_level_dbm0(&heard[4_000..], 440.0, RATE_HZ);
        assert!((level - -10.0).abs() < 1.0, "{name}: {level} dBm0");
        assert!(largest_step(&heard[4_000..]) <= step_of_a_tone() * 12 / 10, "{name} clicks");
        assert_eq!(line.playout.stats().concealed_samples, 0, "{name}");
        assert!(line.playout.stats().playout_delay_ms <= 30, "{name}");
    }
}

#[test]
fn lost_packets_are_bridged_without_clicks_or_holes() {
    // libopus takes some frames to find back to a bare tone, longer than to a voice; G.711's concealment is all ours.
    for (name, allowed_step, floor_dbm0, tolerance_db) in
        [("PCMU", 1.5, -12.0, 0.5), ("PCMA", 1.5, -12.0, 0.5), ("opus", 2.5, -40.0, 5.0)]
    {
        let mut line = Line::new(codec(name, &[]));
        let heard = line.tone(&mut a_tone(), 300, |turn| turn % 13 == 12);
        let heard = &heard[4_000..];
        let step = f64::from(largest_step(heard)) / f64::from(step_of_a_tone());
        assert!(step <= allowed_step, "{name} clicks: {step} times the step of the tone");
        let quietest = heard.chunks(80).map(level_dbm0).fold(f64::INFINITY, f64::min);
        assert!(quietest > floor_dbm0, "{name}: a hole of {quietest} dBm0");
        assert!((level_dbm0(heard) - -10.0).abs() < tolerance_db, "{name}: {} dBm0", level_dbm0(heard));
        assert!(line.playout.stats().concealed_samples > 20 * 80, "{name}: {:?}", line.playout.stats());
    }
}

#[test]
fn changes_of_the_delay_cannot_be_heard() {
    let mut line = Line::new(codec("PCMA", &[]));
    let (mut oscillator, mut heard) = (a_tone(), Vec::new());
    for turn in 0..1_500_u32 {
        let mut pcm = [0; PULL];
        oscillator.fill(&mut pcm);
        // Five seconds in which some packets are late, in an even network.
        let late_ms = if (250..500).contains(&turn) && turn % 10 == 0 { 60 } else { 0 };
        line.send(&pcm, Some(late_ms));
        heard.extend(line.hear().0);
    }
    let stats = line.playout.stats();
    assert!(stats.accelerated_samples > 80, "{stats:?}");
    assert!(stats.playout_delay_ms <= 40, "{stats:?}");
    let heard = &heard[4_000..];
    assert!(largest_step(heard) <= step_of_a_tone() * 3 / 2, "a click: {}", largest_step(heard));
    assert!((level_dbm0(&heard[heard.len() - 8_000..]) - -10.0).abs() < 0.5);
}

#[test]
fn a_delay_that_has_been_found_is_left_alone() {
    let mut line = Line::new(codec("PCMA", &[]));
    let mut oscillator = a_tone();
    let mut spliced = 0;
    for turn in 0..1_500_u32 {
        let mut pcm = [0; PULL];
        oscillator.fill(&mut pcm);
        // One packet in ten is late, always by as much: what is worth waiting for does not change.
        line.send(&pcm, Some(if turn % 10 == 0 { 60 } else { 0 }));
        line.hear();
        let stats = line.playout.stats();
        if turn == 500 {
            spliced = stats.accelerated_samples + stats.stretched_samples;
        }
    }
    let stats = line.playout.stats();
    let later = stats.accelerated_samples + stats.stretched_samples - spliced;
    assert!(later <= 200, "{later} samples spliced in 20 s: {stats:?}");
}

#[test]
fn opus_losses_are_recovered_from_redundancy_when_it_is_there() {
    let recovered = |fmtp: &[(&str, &str)]| {
        let mut line = Line::new(codec("opus", fmtp));
        // Speech-like: a tone with a syllable's envelope, so that the encoder takes it for active.
        let (mut low, mut high) =
            (Oscillator::new(&[220.0], -10.0, RATE_HZ), Oscillator::new(&[900.0], -10.0, RATE_HZ));
        for turn in 0..300_u32 {
            let mut pcm = [0; PULL];
            if turn / 5 % 2 == 0 {
                low.fill(&mut pcm);
            } else {
                high.fill(&mut pcm);
            }
            // Jitter, so that the packet after a lost one is here when the lost one is missed.
            let late_ms = if turn % 4 == 0 { 45 } else { 0 };
            line.send(&pcm, (turn % 7 != 6).then_some(late_ms));
            line.hear();
        }
        line.playout.stats()
    };
    let (with, without) = (recovered(&[("useinbandfec", "1")]), recovered(&[]));
    assert_eq!(without.recovered_samples, 0);
    assert!(with.recovered_samples > 0 && with.concealed_samples < without.concealed_samples, "{with:?}");
}

#[test]
fn comfort_noise_fills_the_pause_at_its_level() {
    let mut line = Line::new(codec("PCMU", &[]));
    line.tone(&mut a_tone(), 100, |_| false);
    line.send_noise(50);
    line.hear();
    let mut noise = Vec::new();
    for _ in 0..100 {
        line.skip_timestamp();
        let (pcm, signal) = line.hear();
        assert_eq!(signal, Signal::Noise);
        noise.extend(pcm);
    }
    let level = level_dbm0(&noise[1_600..]);
    assert!((level - (6.15 - 50.0)).abs() < 1.0, "{level} dBm0");
    let speech = line.tone(&mut a_tone(), 50, |_| false);
    assert!((level_dbm0(&speech[800..]) - -10.0).abs() < 0.5);
    assert_eq!(line.playout.stats().concealed_samples, 0);
}

#[test]
fn opus_dtx_is_no_loss() {
    let mut line = Line::new(codec("opus", &[("usedtx", "1")]));
    let mut signals = Vec::new();
    for turn in 0..400_u32 {
        let mut pcm = [0; PULL];
        if !(100..300).contains(&turn) {
            a_tone().fill(&mut pcm);
        }
        line.send(&pcm, Some(0));
        signals.push(line.hear().1);
    }
    let stats = line.playout.stats();
    assert!(stats.kept < 350, "the encoder did not stop: {stats:?}");
    assert!(stats.concealed_samples <= u64::from(RATE_HZ) / 5, "{stats:?}");
    assert!(signals[110..300].iter().filter(|&&signal| signal == Signal::Concealed).count() <= 10);
    assert_eq!(signals[399], Signal::Speech);
}

#[test]
fn a_stream_that_stops_fades_to_silence() {
    for name in ["PCMU", "opus"] {
        let mut line = Line::new(codec(name, &[]));
        let mut heard = line.tone(&mut a_tone(), 100, |_| false);
        let mut signal = Signal::Speech;
        for _ in 0..20 {
            let (pcm, now) = line.hear();
            heard.extend(pcm);
            signal = now;
        }
        assert_eq!(signal, Signal::Silence, "{name}");
        assert_eq!(heard[heard.len() - 1_600..], [0; 1_600], "{name}");
        assert!(largest_step(&heard[1_600..]) <= step_of_a_tone() * 3 / 2, "{name} clicks");
        assert!(line.playout.stats().concealed_samples <= 120 * 8 + 160);
    }
}

#[test]
fn goes_on_after_a_change_of_the_source_and_a_jump_of_the_timestamp() {
    let mut line = Line::new(codec("PCMU", &[]));
    line.tone(&mut a_tone(), 100, |_| false);
    for jump in [1_000_000, 0x8000_0000, 0u32.wrapping_sub(400_000)] {
        line.timestamp = line.timestamp.wrapping_add(jump);
        let heard = line.tone(&mut a_tone(), 50, |_| false);
        assert!((level_dbm0(&heard[1_600..]) - -10.0).abs() < 0.5, "after a jump of {jump}");
        line.playout.reset();
        (line.seq, line.timestamp) = (line.seq.wrapping_add(30_000), line.timestamp.wrapping_add(jump));
        let heard = line.tone(&mut a_tone(), 50, |_| false);
        assert!((level_dbm0(&heard[1_600..]) - -10.0).abs() < 0.5, "after a change of the source");
    }
    assert_eq!(line.playout.stats().restarts, 6);
    assert_eq!(line.playout.stats().stray, 3);
}

#[test]
fn plays_the_newest_audio_when_nobody_has_listened_for_long() {
    let mut line = Line::new(codec("PCMU", &[]));
    let mut oscillator = a_tone();
    line.tone(&mut oscillator, 100, |_| false);
    for _ in 0..500 {
        let mut pcm = [0; PULL];
        oscillator.fill(&mut pcm);
        line.send(&pcm, Some(0));
        line.turn += 1;
    }
    line.tone(&mut oscillator, 5, |_| false);
    assert!(line.playout.stats().playout_delay_ms <= 40, "{:?}", line.playout.stats());
    assert!(line.playout.stats().flushed > 480);
}

#[test]
fn payloads_that_are_none_are_refused() {
    let mut line = Line::new(codec("PCMU", &[]));
    let at = line.now();
    assert_eq!(line.insert(at, Content::Speech, &[]), Inserted::Malformed);
    assert_eq!(line.insert(at, Content::Speech, &[0; 961]), Inserted::Malformed);
    assert_eq!(line.insert(at, Content::ComfortNoise, &[]), Inserted::Malformed);
    assert_eq!(line.playout.stats().malformed, 3);
    assert_eq!(line.hear(), ([0; PULL], Signal::Silence));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn takes_any_packets_at_any_time(
        is_opus: bool,
        packets in prop::collection::vec(
            (any::<u16>(), any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..40), 0_u64..200), 0..200),
        pull in 1_usize..3_000,
    ) {
        let codec = codec(if is_opus { "opus" } else { "PCMA" }, &[]);
        let mut playout = Line::new(codec).playout;
        let mut now = instant();
        for (seq, timestamp, is_close, payload, ms) in packets {
            let (seq, timestamp) = if is_close { (seq % 64, u32::from(seq % 64) * 160) } else { (seq, timestamp) };
            let content = if seq % 10 == 9 { Content::ComfortNoise } else { Content::Speech };
            playout.insert(now, &Packet { seq, timestamp, content, payload: &payload });
            now += Duration::from_millis(ms);
            let mut pcm = vec![0; pull];
            playout.pull(now, &mut pcm);
        }
    }
}
