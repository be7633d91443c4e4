//! What a listener hears when packets are lost, late, of changing length or renumbered.

use std::f64::consts::TAU;

use super::codec_tests::{Line, PULL, RATE_HZ, a_tone, codec, step_of_a_tone};
use super::*;
use crate::codecs::CodecError;
use crate::dsp::testing::{largest_step, level_dbm0, tone_level_dbm0};
use crate::dsp::to_i16;

/// Like a voice: eleven harmonics of a gliding pitch in syllables, so that what comes is not what was.
fn voice(turn: u32) -> [i16; PULL] {
    let mut pcm = [0; PULL];
    for (place, sample) in (0_u32..).zip(&mut pcm) {
        let time = f64::from(turn * 160 + place) / f64::from(RATE_HZ);
        // 150 Hz, up and down by a quarter twice a second: the phase is the integral of that.
        let phase = TAU * 150.0 * time - 150.0 * 0.25 / 2.0 * (TAU * 2.0 * time).cos();
        let harmonics: f64 = (1..12).map(|n| (f64::from(n) * phase + f64::from(n * n)).sin() / f64::from(n)).sum();
        *sample = to_i16(4_000.0 * harmonics * (0.6 + 0.4 * (TAU * 4.0 * time).sin()));
    }
    pcm
}

/// Hides the copies in the packets.
struct WithoutRedundancy(Box<dyn Decoder>);

impl Decoder for WithoutRedundancy {
    fn sample_rate_hz(&self) -> u32 {
        self.0.sample_rate_hz()
    }

    fn packet_samples(&self, payload: &[u8]) -> Option<usize> {
        self.0.packet_samples(payload)
    }

    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        self.0.decode(payload, pcm)
    }

    fn is_silence(&self, payload: &[u8]) -> bool {
        self.0.is_silence(payload)
    }

    fn conceal(&mut self, pcm: &mut [i16]) -> bool {
        self.0.conceal(pcm)
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

fn energy(pcm: impl Iterator<Item = f64>) -> f64 {
    pcm.map(|sample| sample * sample).sum()
}

#[test]
fn redundant_copies_sound_more_like_the_lost_packets_than_concealment_does() {
    // The encoder leaves copies of quiet frames out. A fixed delay of two packets, so that all three runs are alike but for the losses.
    let hear = |is_lossy: bool, has_redundancy: bool| {
        let codec = codec("opus", &[("useinbandfec", "1")]);
        let config = Config { min_delay_ms: 45, ..Config::new(codec.clock_rate_hz(), codec.max_payload_bytes()) };
        let mut decoder = codec.decoder(RATE_HZ).unwrap();
        if !has_redundancy {
            decoder = Box::new(WithoutRedundancy(decoder));
        }
        let mut line = Line::with(codec, config, decoder);
        let mut heard = Vec::new();
        for turn in 0..500 {
            line.send(&voice(turn), (!is_lossy || turn % 11 != 10).then_some(0));
            heard.extend(line.hear().0);
        }
        (heard, line.playout.stats())
    };
    let (whole, _) = hear(false, true);
    let snr_db = |heard: &[i16]| {
        let difference = heard.iter().zip(&whole).map(|(a, b)| f64::from(*a) - f64::from(*b));
        10.0 * (energy(whole.iter().map(|&sample| f64::from(sample))) / energy(difference)).log10()
    };
    let (recovered, with) = hear(true, true);
    let (concealed, without) = hear(true, false);
    assert!(with.recovered_samples > 30 * 160 && with.concealed_samples < 15 * 160, "{with:?}");
    assert!(without.recovered_samples == 0 && without.concealed_samples > 40 * 160, "{without:?}");
    let (recovered, concealed) = (snr_db(&recovered), snr_db(&concealed));
    assert!(recovered > concealed + 3.0, "{recovered} dB with copies, {concealed} dB without");
}

#[test]
fn copies_are_waited_for_on_an_even_network_that_loses() {
    let heard = |has_redundancy: bool| {
        let codec = codec("opus", &[("useinbandfec", "1")]);
        let config = Config::new(codec.clock_rate_hz(), codec.max_payload_bytes());
        let mut decoder = codec.decoder(RATE_HZ).unwrap();
        if !has_redundancy {
            decoder = Box::new(WithoutRedundancy(decoder));
        }
        let mut line = Line::with(codec, config, decoder);
        for turn in 0..1_000 {
            line.send(&voice(turn), (turn % 20 != 19).then_some(0));
            line.hear();
        }
        line.playout.stats()
    };
    let (with, without) = (heard(true), heard(false));
    assert_eq!((without.target_delay_ms, without.recovered_samples), (10, 0), "there is nothing to wait for");
    assert!((20..=30).contains(&with.target_delay_ms), "{with:?}");
    assert!(with.recovered_samples >= 40 * 160, "of 50 lost packets: {with:?}");
    assert!(with.concealed_samples <= 10 * 160, "{with:?}");
}

#[test]
fn packet_times_may_change_in_the_middle() {
    for name in ["PCMA", "opus"] {
        let mut line = Line::new(codec(name, &[]));
        let (mut oscillator, mut heard) = (a_tone(), Vec::new());
        for ptime_ms in [20, 10, 60, 20, 40, 10, 20] {
            for _ in 0..3_000 / ptime_ms {
                let mut pcm = vec![0; samples(RATE_HZ, ptime_ms)];
                oscillator.fill(&mut pcm);
                heard.extend(line.send_and_hear(&pcm));
            }
        }
        let stats = line.playout.stats();
        assert_eq!((stats.restarts, stats.late, stats.flushed, stats.stray), (0, 0, 0, 0), "{name}: {stats:?}");
        assert!(stats.concealed_samples <= 120 * 8, "{name}: {stats:?}");
        let heard = &heard[8_000..];
        assert!(largest_step(heard) <= step_of_a_tone() * 3 / 2, "{name} clicks: {}", largest_step(heard));
        for second in heard.chunks_exact(8_000) {
            let level = tone_level_dbm0(second, 440.0, RATE_HZ);
            assert!((level_dbm0(second) - -10.0).abs() < 1.0, "{name}: {level} dBm0");
        }
    }
}

#[test]
fn time_is_stretched_and_shrunk_at_the_same_pitch() {
    let mut line = Line::new(codec("PCMA", &[]));
    let (mut oscillator, mut heard) = (a_tone(), Vec::new());
    for turn in 0..2_000_u32 {
        let mut pcm = [0; PULL];
        oscillator.fill(&mut pcm);
        // Jitter comes and goes.
        let late_ms = if turn / 200 % 2 == 0 { 0 } else { u64::from(turn * 7 % 45) };
        line.send(&pcm, Some(late_ms));
        heard.extend(line.hear().0);
    }
    let stats = line.playout.stats();
    assert!(stats.stretched_samples + stats.accelerated_samples > 300, "{stats:?}");
    let heard = &heard[1_600..];
    assert!(largest_step(heard) <= step_of_a_tone() * 3 / 2, "a click: {}", largest_step(heard));
    for second in heard.chunks_exact(8_000) {
        let crossings = second.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
        assert!((872..=888).contains(&crossings), "440 Hz cross zero {crossings} times");
    }
}

#[test]
fn a_jump_of_the_numbers_costs_no_more_than_a_few_packets() {
    for (seq_jump, timestamp_jump) in [(0, 1_000_000), (20_000, 0), (20_000, 0x8000_0000), (65_000, 0xffff_0000)] {
        let mut line = Line::new(codec("PCMU", &[]));
        let mut heard = line.tone(&mut a_tone(), 100, |_| false);
        line.seq = line.seq.wrapping_add(seq_jump);
        line.timestamp = line.timestamp.wrapping_add(timestamp_jump);
        let begin = heard.len();
        heard.extend(line.tone(&mut a_tone(), 50, |_| false));
        let stats = line.playout.stats();
        assert_eq!((stats.stray, stats.restarts), (1, 1), "{seq_jump} {timestamp_jump}: {stats:?}");
        // Concealment goes on in between; nothing falls silent and nothing clicks.
        let quietest = heard[begin..].chunks(80).map(level_dbm0).fold(f64::INFINITY, f64::min);
        assert!(quietest > -16.0, "{seq_jump} {timestamp_jump}: a hole of {quietest} dBm0");
        assert!(stats.concealed_samples <= 60 * 8, "{seq_jump} {timestamp_jump}: {stats:?}");
        let step = largest_step(&heard[begin - 160..]);
        assert!(step <= step_of_a_tone() * 2, "{seq_jump} {timestamp_jump}: a click of {step}");
    }
}
