use std::f64::consts::TAU;

use proptest::prelude::*;

use super::design::Design;
use super::{RATES_HZ, Resampler, UnknownRate, as_float, index};
use crate::dsp::to_i16;

const AMPLITUDE: f64 = 16_000.0;

fn pairs() -> impl Iterator<Item = (u32, u32)> {
    let rates = [8_000, 16_000, 24_000, 32_000, 48_000];
    rates.into_iter().flat_map(move |from| rates.into_iter().map(move |to| (from, to))).filter(|(from, to)| from != to)
}

fn tone(frequency_hz: f64, rate_hz: u32, count: usize) -> Vec<i16> {
    (0..count).map(|n| to_i16(AMPLITUDE * (TAU * frequency_hz * as_float(n) / f64::from(rate_hz)).sin())).collect()
}

/// Samples of 100 ms.
fn tenth(rate_hz: u32) -> usize {
    index(rate_hz / 10)
}

/// `input` in blocks of 10 ms.
fn convert((from_hz, to_hz): (u32, u32), input: &[i16]) -> Vec<i16> {
    let mut resampler = Resampler::new(from_hz, to_hz).unwrap();
    let mut output = Vec::new();
    for input in input.chunks(index(from_hz / 100)) {
        let mut block = vec![0; input.len() * index(to_hz) / index(from_hz)];
        resampler.process(input, &mut block);
        output.extend(block);
    }
    output
}

/// Level of the second half, when the filter has swung in, against the tone's, in dB.
fn level_db(samples: &[i16]) -> f64 {
    let settled = &samples[samples.len() / 2..];
    let power = settled.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / as_float(settled.len());
    10.0 * (power / (AMPLITUDE * AMPLITUDE / 2.0)).max(1e-12).log10()
}

#[test]
fn passes_everything_up_to_0_45_of_the_lower_rate() {
    for (from, to) in pairs() {
        let lower = f64::from(from.min(to));
        for share in [0.01, 0.1, 0.25, 0.4, 0.45] {
            let out = convert((from, to), &tone(share * lower, from, tenth(from)));
            assert_eq!(out.len(), tenth(to));
            let ripple = level_db(&out);
            assert!(ripple.abs() < 0.01, "{from} to {to} at {share} of the lower rate: {ripple:.4} dB");
        }
    }
}

#[test]
fn stops_aliases_from_half_the_lower_rate_on() {
    for (from, to) in pairs().filter(|(from, to)| from > to) {
        let (lower, nyquist) = (f64::from(to), f64::from(from) / 2.0);
        for frequency in [0.5, 0.51, 0.55, 0.7, 1.1, 1.9, 2.9].map(|share| share * lower) {
            // Just off the edge, so that the tone is no multiple of the rate.
            let frequency = frequency + 3.0;
            if frequency < nyquist {
                let alias = level_db(&convert((from, to), &tone(frequency, from, tenth(from))));
                assert!(alias < -80.0, "{from} to {to} at {frequency} Hz: {alias:.1} dB");
            }
        }
    }
}

#[test]
fn stops_mirror_images() {
    for (from, to) in pairs().filter(|(from, to)| from < to) {
        for frequency in [0.1, 0.3, 0.45].map(|share| share * f64::from(from)) {
            let out = convert((from, to), &tone(frequency, from, tenth(from)));
            let settled = &out[out.len() / 2..];
            // What is left without the tone itself.
            let (mut sine, mut cosine) = (0.0, 0.0);
            let angle = |n: usize| TAU * frequency * as_float(n) / f64::from(to);
            for (n, &sample) in settled.iter().enumerate() {
                sine += f64::from(sample) * angle(n).sin() * 2.0 / as_float(settled.len());
                cosine += f64::from(sample) * angle(n).cos() * 2.0 / as_float(settled.len());
            }
            let wave = |n: usize| sine * angle(n).sin() + cosine * angle(n).cos();
            let rest: f64 = settled.iter().enumerate().map(|(n, &s)| (f64::from(s) - wave(n)).powi(2)).sum();
            let images = 10.0 * (rest / as_float(settled.len()) / (AMPLITUDE * AMPLITUDE / 2.0)).log10();
            assert!(images < -80.0, "{from} to {to} at {frequency} Hz: {images:.1} dB");
        }
    }
}

#[test]
fn delays_every_frequency_by_what_it_says() {
    for (from, to) in pairs() {
        let delay = Resampler::new(from, to).unwrap().delay_samples();
        let expected_s = as_float(delay) / f64::from(from);
        assert!(expected_s < 53.0 / f64::from(from.min(to)), "{expected_s} s");
        for frequency in [100.0, 1_000.0, 3_000.0] {
            let out = convert((from, to), &tone(frequency, from, tenth(from)));
            for (n, &sample) in out.iter().enumerate().skip(out.len() / 2) {
                let at = as_float(n) / f64::from(to) - expected_s;
                let due = AMPLITUDE * (TAU * frequency * at).sin();
                assert!((f64::from(sample) - due).abs() < 20.0, "{from} to {to}, {frequency} Hz: {sample}, not {due}");
            }
        }
    }
}

#[test]
fn full_scale_is_clipped_and_never_wraps() {
    for (from, to) in [(8_000, 48_000), (48_000, 8_000), (16_000, 24_000)] {
        // A square of 100 Hz.
        let square: Vec<i16> =
            (0..from / 10).map(|n| if n % (from / 100) < from / 200 { i16::MAX } else { i16::MIN }).collect();
        let out = convert((from, to), &square);
        let delay = Resampler::new(from, to).unwrap().delay_samples() * index(to) / index(from);
        let middle = |half: u32| delay + index(to / 100) * 5 + index(to / 200 * half + to / 400);
        assert!(out[middle(0)] > 32_000 && out[middle(1)] < -32_000, "{from} to {to}");
    }
}

#[test]
fn a_stream_that_begins_anew_hears_nothing_of_the_old_one() {
    let mut resampler = Resampler::new(16_000, 8_000).unwrap();
    resampler.process(&[20_000; 320], &mut [0; 160]);
    resampler.reset();
    let mut output = [1; 160];
    resampler.process(&[0; 320], &mut output);
    assert_eq!(output, [0; 160]);
}

#[test]
fn refuses_rates_that_no_codec_has() {
    assert_eq!(Resampler::new(8_000, 7_999).err(), Some(UnknownRate));
    assert_eq!(Resampler::new(0, 8_000).err(), Some(UnknownRate));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_way_to_run_agrees_sample_by_sample(
        from in prop::sample::select(RATES_HZ.to_vec()),
        to in prop::sample::select(RATES_HZ.to_vec()),
        seed in prop::collection::vec(any::<i16>(), 480),
    ) {
        let design = Design::between(from, to).unwrap();
        let samples: Vec<f32> =
            seed.iter().cycle().take(design.length - 1 + index(from / 100)).map(|&sample| f32::from(sample)).collect();
        let mut output = vec![0; index(to / 100)];
        super::stream::portable(&design, &samples, &mut output);
        #[cfg(target_arch = "x86_64")]
        if let Some(run) = super::x86::run() {
            let mut same = vec![0; output.len()];
            run(&design, &samples, &mut same);
            prop_assert_eq!(&output, &same);
        }
    }

    #[test]
    fn the_size_of_the_blocks_makes_no_difference(
        from in prop::sample::select(RATES_HZ.to_vec()),
        to in prop::sample::select(RATES_HZ.to_vec()),
        seed in prop::collection::vec(any::<i16>(), 100),
        first in 1_usize..6,
    ) {
        let input: Vec<i16> = seed.iter().copied().cycle().take(index(from / 100) * 6).collect();
        let mut whole = vec![0; index(to / 100) * 6];
        Resampler::new(from, to).unwrap().process(&input, &mut whole);
        let mut pieces = vec![0; whole.len()];
        let mut resampler = Resampler::new(from, to).unwrap();
        let cut = index(to / 100) * first;
        let cut_in = resampler.input_samples(cut);
        resampler.process(&input[..cut_in], &mut pieces[..cut]);
        resampler.process(&input[cut_in..], &mut pieces[cut..]);
        prop_assert_eq!(whole, pieces);
    }
}
