//! What ITU-T Q.24 asks of a receiver, at three sample rates; and what must not be taken for a digit.

use std::f64::consts::TAU;

use proptest::prelude::*;

use super::*;
use crate::dsp::testing::vector_samples;
use crate::dsp::to_i16;
use crate::dsp::tone::{FULL_SCALE_DBM0, amplitude, dtmf_frequencies};

const RATES_HZ: [u32; 3] = [8_000, 16_000, 48_000];
const DIGITS: &str = "123A456B789C*0#D";

/// A key as a telephone sends it. Levels in dBm0, frequencies off by shares of themselves.
#[derive(Debug, Clone, Copy)]
struct Key {
    digit: char,
    ms: f64,
    levels_dbm0: [f64; 2],
    off: [f64; 2],
}

impl Key {
    fn new(digit: char, ms: f64) -> Self {
        Self { digit, ms, levels_dbm0: [-10.0; 2], off: [0.0; 2] }
    }
}

/// Random numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    /// Between 0 and 1 (Knuth's linear congruential generator, upper half).
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 32).unwrap()) / f64::from(u32::MAX)
    }
}

/// Audio under construction, as floating-point samples.
struct Line {
    rate_hz: u32,
    samples: Vec<f64>,
    dice: Dice,
}

impl Line {
    fn new(rate_hz: u32) -> Self {
        Self { rate_hz, samples: Vec::new(), dice: Dice(u64::from(rate_hz)) }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few seconds of samples")]
    fn count(&self, ms: f64) -> usize {
        (ms * f64::from(self.rate_hz) / 1_000.0).round() as usize
    }

    fn silence(&mut self, ms: f64) -> &mut Self {
        let count = self.count(ms);
        self.samples.resize(self.samples.len() + count, 0.0);
        self
    }

    /// A key with random phases.
    fn key(&mut self, key: Key) -> &mut Self {
        let frequencies = dtmf_frequencies(key.digit).unwrap();
        let phases = [self.dice.roll() * TAU, self.dice.roll() * TAU];
        for place in 0..self.count(key.ms) {
            let seconds = f64::from(u32::try_from(place).unwrap()) / f64::from(self.rate_hz);
            let wave = |n: usize| {
                let hz = frequencies[n] * (1.0 + key.off[n]);
                amplitude(key.levels_dbm0[n]) * (TAU * hz * seconds + phases[n]).sin()
            };
            self.samples.push(wave(0) + wave(1));
        }
        self
    }

    /// White noise over everything so far, of this power in dBm0.
    fn noise(&mut self, level_dbm0: f64) -> &mut Self {
        let rms = amplitude(level_dbm0) / 2_f64.sqrt();
        for place in 0..self.samples.len() {
            // Twelve dice make a bell curve of variance 1.
            let bell: f64 = (0..12).map(|_| self.dice.roll()).sum::<f64>() - 6.0;
            self.samples[place] += rms * bell;
        }
        self
    }

    fn pcm(&self) -> Vec<i16> {
        self.samples.iter().map(|&sample| to_i16(sample)).collect()
    }

    fn heard(&self) -> Vec<(char, u32)> {
        digits(self.rate_hz, &self.pcm())
    }
}

/// The digits in `pcm` with their lengths, taken 20 ms at a time, and half a second of silence after it.
fn digits(rate_hz: u32, pcm: &[i16]) -> Vec<(char, u32)> {
    let mut detector = Detector::new(rate_hz).unwrap();
    let frame = usize::try_from(rate_hz / 50).unwrap();
    let mut events = Vec::new();
    for piece in pcm.chunks(frame).chain(std::iter::repeat_n(&vec![0; frame][..], 25)) {
        detector.hear(piece);
        events.extend(std::iter::from_fn(|| detector.poll_event()));
    }
    assert!(!detector.is_tone());
    lengths(&events)
}

/// Pairs each beginning with its end.
fn lengths(events: &[Received]) -> Vec<(char, u32)> {
    let pairs = events.chunks(2).map(|pair| match pair {
        [Received::Began { digit, .. }, Received::Ended { digit: same, duration_ms }] if digit == same => {
            (digit.as_char(), *duration_ms)
        }
        other => panic!("not a beginning and its end: {other:?}"),
    });
    pairs.collect()
}

/// How many of 64 presses, each key at four alignments, are heard as what they are and nothing else.
fn taken(rate_hz: u32, change: impl Fn(Key) -> Key, ms: f64, noise_db: Option<f64>) -> usize {
    let heard = (0..64).filter(|number| {
        let digit = DIGITS.chars().nth(number % 16).unwrap();
        let key = change(Key::new(digit, ms));
        let mut line = Line::new(rate_hz);
        line.dice.0 += u64::try_from(*number).unwrap();
        line.silence(30.0 + f64::from(u32::try_from(number / 16).unwrap()) * 1.25).key(key).silence(60.0);
        if let Some(ratio_db) = noise_db {
            let power: f64 = key.levels_dbm0.iter().map(|level| 10_f64.powf(level / 10.0)).sum();
            line.noise(10.0 * power.log10() - ratio_db);
        }
        let heard = line.heard();
        assert!(heard.iter().all(|(character, _)| *character == digit), "{heard:?} instead of {digit}");
        assert!(heard.len() <= 1, "{digit} was heard twice");
        heard.len() == 1
    });
    heard.count()
}

#[test]
fn hears_every_digit_of_40_ms_and_none_of_23_ms_at_every_rate() {
    for rate_hz in RATES_HZ {
        assert_eq!(taken(rate_hz, |key| key, 40.0, None), 64, "{rate_hz} Hz");
        assert_eq!(taken(rate_hz, |key| key, 23.0, None), 0, "{rate_hz} Hz");
    }
}

#[test]
fn tells_how_long_a_key_was_down() {
    for ms in [40_u32, 65, 100, 333, 5_000] {
        let mut line = Line::new(8_000);
        for digit in DIGITS.chars() {
            line.silence(50.0).key(Key::new(digit, f64::from(ms)));
        }
        let heard = line.heard();
        assert_eq!(heard.iter().map(|(digit, _)| *digit).collect::<String>(), DIGITS);
        for (digit, heard_ms) in heard {
            assert!(heard_ms.abs_diff(ms) <= 8, "{digit}: {heard_ms} ms instead of {ms}");
        }
    }
}

#[test]
fn takes_frequencies_within_1_5_percent_and_refuses_3_5_percent() {
    for rate_hz in RATES_HZ {
        for off in [0.015, -0.015] {
            let change = |key: Key| Key { off: [off, off], ..key };
            assert_eq!(taken(rate_hz, change, 40.0, Some(15.0)), 64, "{off} off at {rate_hz} Hz");
            let change = |key: Key| Key { off: [off, -off], ..key };
            assert_eq!(taken(rate_hz, change, 40.0, None), 64, "{off} and {} off at {rate_hz} Hz", -off);
        }
        for off in [0.035, -0.035, 0.05, -0.05] {
            for offs in [[off, off], [off, 0.0], [0.0, off]] {
                let change = |key: Key| Key { off: offs, ..key };
                assert_eq!(taken(rate_hz, change, 100.0, None), 0, "{offs:?} off at {rate_hz} Hz");
            }
        }
    }
}

#[test]
fn takes_levels_from_0_to_minus_25_dbm0_and_refuses_what_is_too_soft() {
    for (levels, wanted) in [(0.0, 64), (-25.0, 64), (-32.0, 0), (-50.0, 0)] {
        let change = |key: Key| Key { levels_dbm0: [levels; 2], ..key };
        assert_eq!(taken(8_000, change, 40.0, None), wanted, "{levels} dBm0");
    }
}

#[test]
fn takes_twist_of_plus_4_and_minus_8_db_and_refuses_more() {
    for (levels, wanted) in
        [([-10.0, -6.0], 64), ([-6.0, -14.0], 64), ([-17.0, -25.0], 64), ([-12.0, -5.0], 0), ([-6.0, -17.5], 0)]
    {
        let change = |key: Key| Key { levels_dbm0: levels, ..key };
        assert_eq!(taken(8_000, change, 40.0, None), wanted, "{levels:?} dBm0");
    }
}

#[test]
fn hears_digits_15_db_above_noise() {
    for rate_hz in RATES_HZ {
        assert_eq!(taken(rate_hz, |key| key, 40.0, Some(15.0)), 64, "{rate_hz} Hz");
    }
}

#[test]
fn tells_digits_apart_that_follow_each_other_after_40_ms() {
    for digits in [DIGITS, "1111111111", "D*0#D*0#", "1597530"] {
        for rate_hz in RATES_HZ {
            let mut line = Line::new(rate_hz);
            line.silence(33.0);
            for digit in digits.chars() {
                line.key(Key::new(digit, 40.0)).silence(40.0);
            }
            assert_eq!(line.heard().iter().map(|(digit, _)| *digit).collect::<String>(), digits);
        }
    }
}

#[test]
fn a_digit_may_follow_another_without_a_pause() {
    let mut line = Line::new(8_000);
    line.key(Key::new('1', 80.0)).key(Key::new('2', 80.0));
    assert_eq!(line.heard().iter().map(|(digit, _)| *digit).collect::<String>(), "12");
}

#[test]
fn an_interruption_of_10_ms_does_not_make_two_digits() {
    for start in 320..400 {
        let mut line = Line::new(8_000);
        line.silence(50.0).key(Key::new('7', 100.0));
        line.samples[400 + start..480 + start].fill(0.0);
        let heard = line.heard();
        assert_eq!(heard.len(), 1, "{heard:?}");
    }
}

#[test]
fn a_lost_packet_does_not_make_two_digits() {
    for lost in 2..5 {
        let mut line = Line::new(8_000);
        line.silence(60.0).key(Key::new('9', 160.0)).silence(100.0);
        let mut detector = Detector::new(8_000).unwrap();
        let mut events = Vec::new();
        for (number, frame) in line.pcm().chunks(160).enumerate() {
            if number == 3 + lost {
                detector.lose(160);
            } else {
                detector.hear(frame);
            }
            events.extend(std::iter::from_fn(|| detector.poll_event()));
        }
        let heard = lengths(&events);
        assert!(matches!(heard[..], [('9', 150..=170)]), "{heard:?}");
    }
}

#[test]
fn a_digit_ends_with_the_audio() {
    let mut detector = Detector::new(8_000).unwrap();
    let mut line = Line::new(8_000);
    line.key(Key::new('3', 100.0));
    detector.hear(&line.pcm());
    assert!(detector.is_active());
    detector.lose(8_000);
    assert!(!detector.is_tone());
    let heard = lengths(&std::iter::from_fn(|| detector.poll_event()).collect::<Vec<_>>());
    assert!(matches!(heard[..], [('3', 90..=110)]), "{heard:?}");
}

#[test]
fn names_the_level_of_a_digit() {
    for (level_dbm0, wanted) in [(-5.0, 1..=3), (-10.0, 6..=8), (-25.0, 21..=23)] {
        let mut line = Line::new(8_000);
        line.key(Key { levels_dbm0: [level_dbm0; 2], ..Key::new('8', 100.0) });
        let mut detector = Detector::new(8_000).unwrap();
        detector.hear(&line.pcm());
        let Some(Received::Began { volume, .. }) = detector.poll_event() else { panic!("nothing was heard") };
        assert!(wanted.contains(&volume), "{volume} for two waves of {level_dbm0} dBm0");
    }
}

/// At most so much of a tone gets out before the audio is withheld: less than any receiver takes for a digit.
#[test]
fn a_tone_is_noticed_before_another_receiver_would_hear_it() {
    for start_ms in 0..20 {
        let mut line = Line::new(8_000);
        line.silence(100.0 + f64::from(start_ms)).key(Key::new('4', 100.0));
        let mut detector = Detector::new(8_000).unwrap();
        let mut leaked = 0;
        for frame in line.pcm().chunks_exact(160) {
            detector.hear(frame);
            if !detector.is_tone() {
                leaked += frame.iter().filter(|sample| **sample != 0).count();
            }
        }
        assert!(leaked < 8 * 20, "{leaked} samples of a tone that begins {start_ms} ms into a packet");
    }
}

/// Noise, voices and music in which nothing may be heard.
fn synthetic_sounds(rate_hz: u32) -> Vec<(&'static str, Vec<i16>)> {
    let seconds = |count: u32| (0..count * rate_hz).map(|n| f64::from(n) / f64::from(rate_hz));
    let mix = |frequencies: &[f64], level: f64| -> Vec<i16> {
        let wave = |s: f64| frequencies.iter().map(|hz| (TAU * hz * s).sin()).sum::<f64>();
        seconds(2).map(|s| to_i16(amplitude(level) * wave(s))).collect()
    };
    let mut dice = Dice(1);
    let noise = seconds(10).map(|_| to_i16(20_000.0 * (dice.roll() - 0.5))).collect();
    let sweep = |from: f64, to: f64| {
        seconds(10).map(|s| to_i16(8_000.0 * (TAU * (from * s + (to - from) * s * s / 20.0)).sin())).collect()
    };
    // Harmonics of a gliding pitch under three formants, two of which move: vowels.
    let mut phase = 0.0;
    let voice = seconds(30)
        .map(|s| {
            let pitch = 170.0 + 110.0 * (TAU * 0.31 * s).sin() + 4.0 * (TAU * 5.0 * s).sin();
            phase += pitch / f64::from(rate_hz);
            let formants = [550.0 + 250.0 * (TAU * 0.9 * s).sin(), 1_400.0 + 500.0 * (TAU * 0.7 * s).cos()];
            let harmonic = |n: u32| {
                let hz = f64::from(n) * pitch;
                let near = |formant: f64| 1.0 / (1.0 + ((hz - formant) / 110.0).powi(2));
                (near(formants[0]) + 0.6 * near(formants[1]) + 0.4 * near(2_600.0)) * (TAU * f64::from(n) * phase).sin()
            };
            to_i16(6_000.0 * (1..18).map(harmonic).sum::<f64>())
        })
        .collect();
    // Two melodies at once, a semitone at a time, which come as near to the digits as an organ does.
    let organ = seconds(30)
        .map(|s| {
            let note = |step: f64, octave: f64| 440.0 * 2_f64.powf((s * step).floor() % 12.0 / 12.0 + octave);
            let voice =
                |hz: f64| (TAU * hz * s).sin() + 0.5 * (TAU * 2.0 * hz * s).sin() + 0.3 * (TAU * 3.0 * hz * s).sin();
            to_i16(5_000.0 * (voice(note(4.0, 0.5)) + voice(note(4.7, 1.25))))
        })
        .collect();
    vec![
        ("white noise", noise),
        ("dial tone", mix(&[350.0, 440.0], -13.0)),
        ("ringback", mix(&[440.0, 480.0], -13.0)),
        ("busy", mix(&[480.0, 620.0], -13.0)),
        ("one row alone", mix(&[770.0], -10.0)),
        ("one column alone", mix(&[1_336.0], -10.0)),
        ("two rows", mix(&[697.0, 852.0], -10.0)),
        ("a digit with a third wave", mix(&[697.0, 1_209.0, 2_000.0], -10.0)),
        ("a digit with its harmonics", mix(&[697.0, 1_209.0, 2_418.0, 3_100.0], -10.0)),
        ("fax", mix(&[1_100.0], -10.0)),
        ("multi-frequency signalling", mix(&[700.0, 900.0], -10.0)),
        ("test tone", mix(&[1_004.0], 0.0)),
        ("sweep up", sweep(300.0, 3_400.0)),
        ("slow sweep", sweep(650.0, 1_700.0)),
        ("vowels", voice),
        ("organ", organ),
    ]
}

#[test]
fn is_deaf_to_noise_voices_and_music() {
    for (name, pcm) in synthetic_sounds(8_000) {
        assert_eq!(digits(8_000, &pcm), [], "{name}");
    }
}

/// A minute and a half of the ITU's speech, at five pitches: over seven minutes.
#[test]
fn is_deaf_to_recorded_speech() {
    let files = [
        ("itu-g729a/SPEECH.IN", 8_000),
        ("itu-g729a/LSP.IN", 8_000),
        ("itu-g729a/PITCH.IN", 8_000),
        ("itu-g729a/TEST.IN", 8_000),
        ("itu-g729b-partial/tstseq4.bin", 8_000),
        ("itu-g711-plc-appendix-i/f2.le", 8_000),
        ("itu-g722/inpsp.bin", 16_000),
    ];
    for (name, rate_hz) in files {
        let Some(speech) = vector_samples(name) else { continue };
        for pitch in [0.8, 0.9, 1.0, 1.12, 1.25] {
            let mut detector = Detector::new(rate_hz).unwrap();
            let mut withheld = 0;
            for frame in at_pitch(&speech, pitch).chunks(usize::try_from(rate_hz / 50).unwrap()) {
                detector.hear(frame);
                assert_eq!(detector.poll_event(), None, "{name} at pitch {pitch}");
                withheld += usize::from(detector.is_tone());
            }
            assert!(withheld <= 1, "{withheld} packets of {name} at pitch {pitch} would be withheld");
        }
    }
}

/// The same speech faster or slower, by interpolation between samples.
fn at_pitch(speech: &[i16], pitch: f64) -> Vec<i16> {
    let mut place = 0.0;
    let mut shifted = Vec::new();
    for (number, pair) in speech.windows(2).enumerate() {
        let start = f64::from(u32::try_from(number).unwrap());
        while place < start + 1.0 {
            let share = place - start;
            shifted.push(to_i16(f64::from(pair[0]) * (1.0 - share) + f64::from(pair[1]) * share));
            place += pitch;
        }
    }
    shifted
}

#[test]
fn refuses_rates_that_it_cannot_divide() {
    assert!([0, 200, 7_999, 11_025, 96_000].into_iter().all(|rate_hz| Detector::new(rate_hz).is_none()));
}

#[test]
fn the_levels_of_the_tests_are_those_of_the_gateway() {
    assert!((amplitude(FULL_SCALE_DBM0) - 32_767.0).abs() < 1e-6);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_dialled_number_is_heard_as_it_was_dialled(
        keys in prop::collection::vec((0_usize..16, 40_u32..300, 40_u32..200, -18_i8..0, -6_i8..3), 1..10),
        rate in prop::sample::select(RATES_HZ.to_vec()),
        seed: u64,
    ) {
        let mut line = Line::new(rate);
        line.dice.0 = seed;
        for &(place, ms, pause_ms, row, twist) in &keys {
            let row = f64::from(row).min(-3.0);
            let levels_dbm0 = [row, row + f64::from(twist)];
            let digit = DIGITS.chars().nth(place).unwrap();
            line.key(Key { levels_dbm0, ..Key::new(digit, f64::from(ms)) }).silence(f64::from(pause_ms));
        }
        let heard = line.heard();
        let wanted: String = keys.iter().map(|key| DIGITS.chars().nth(key.0).unwrap()).collect();
        prop_assert_eq!(heard.iter().map(|(digit, _)| *digit).collect::<String>(), wanted);
        for ((digit, heard_ms), key) in heard.iter().zip(&keys) {
            prop_assert!(heard_ms.abs_diff(key.1) <= 10, "{} lasted {} ms, not {}", digit, heard_ms, key.1);
        }
    }

    #[test]
    fn pieces_of_any_length_give_the_same_digits(cuts in prop::collection::vec(1_usize..400, 1..40)) {
        let mut line = Line::new(8_000);
        line.silence(20.0).key(Key::new('6', 90.0)).silence(50.0).key(Key::new('B', 70.0)).silence(60.0);
        let pcm = line.pcm();
        let mut detector = Detector::new(8_000).unwrap();
        let mut events = Vec::new();
        let mut rest = &pcm[..];
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            detector.hear(piece);
            events.extend(std::iter::from_fn(|| detector.poll_event()));
            rest = after;
        }
        detector.finish();
        events.extend(std::iter::from_fn(|| detector.poll_event()));
        prop_assert_eq!(lengths(&events), digits(8_000, &pcm));
    }

    #[test]
    fn any_samples_leave_beginnings_and_ends_in_pairs(
        pieces in prop::collection::vec((prop::collection::vec(any::<i16>(), 0..400), any::<bool>()), 0..20),
    ) {
        let mut detector = Detector::new(8_000).unwrap();
        let mut events = Vec::new();
        for (pcm, is_lost) in pieces {
            if is_lost {
                detector.lose(u32::try_from(pcm.len()).unwrap() * 4);
            } else {
                detector.hear(&pcm);
            }
            events.extend(std::iter::from_fn(|| detector.poll_event()));
        }
        detector.finish();
        events.extend(std::iter::from_fn(|| detector.poll_event()));
        lengths(&events);
    }
}
