use super::*;
use crate::dsp::testing::{largest_step, level_dbm0, tone_level_dbm0, vector_samples};
use crate::dsp::tone::Oscillator;

/// Runs `speech` through in frames of 10 ms; `is_lost` says which frames never arrive.
fn play(speech: &[i16], is_lost: impl Fn(usize) -> bool) -> Vec<i16> {
    let mut concealer = Concealer::new();
    let mut heard = Vec::new();
    for (number, good) in speech.chunks_exact(FRAME_SAMPLES).enumerate() {
        let mut frame = [0; FRAME_SAMPLES];
        if is_lost(number) {
            concealer.conceal(&mut frame);
        } else {
            frame.copy_from_slice(good);
            concealer.receive(&mut frame);
        }
        heard.extend(frame);
    }
    heard
}

fn tone(frequency_hz: f64, samples: usize) -> Vec<i16> {
    let mut pcm = vec![0; samples];
    Oscillator::new(&[frequency_hz], -10.0, SAMPLE_RATE_HZ).fill(&mut pcm);
    pcm
}

#[test]
fn agrees_with_the_vectors_of_the_recommendation() {
    for (pattern_name, expected) in [("fe10", "f2_10"), ("fe10_2", "f2_10_2")] {
        let folder = "itu-g711-plc-appendix-i";
        let Some(speech) = vector_samples(&format!("{folder}/f2.le")) else { return };
        let Some(pattern) = vector_samples(&format!("{folder}/{pattern_name}.g192")) else { return };
        let Some(expected) = vector_samples(&format!("{folder}/{expected}.raw")) else { return };
        // G.192: 0x6B20 is a lost frame.
        let heard = play(&speech, |number| pattern[number % pattern.len()] == 0x6b20);
        // The reference tool takes the delay out of its files.
        let first_difference = heard[DELAY_SAMPLES..].iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!(first_difference, None, "{pattern_name}");
        assert!(heard.len() - DELAY_SAMPLES <= expected.len());
    }
}

#[test]
fn passes_good_frames_unchanged_but_late() {
    let speech = tone(440.0, 1_600);
    let heard = play(&speech, |_| false);
    assert_eq!(heard[..DELAY_SAMPLES], [0; DELAY_SAMPLES]);
    assert_eq!(heard[DELAY_SAMPLES..], speech[..1_600 - DELAY_SAMPLES]);
}

#[test]
fn takes_frames_of_any_length() {
    let speech = tone(300.0, 2_003);
    let mut concealer = Concealer::new();
    let mut heard = speech.clone();
    let mut rest = &mut heard[..];
    for length in [1, 7, 240, 480, 960, 315] {
        let (frame, after) = rest.split_at_mut(length);
        concealer.receive(frame);
        rest = after;
    }
    assert!(rest.is_empty());
    assert_eq!(heard[DELAY_SAMPLES..], speech[..2_003 - DELAY_SAMPLES]);
}

#[test]
fn conceals_20_ms_of_a_tone_at_its_level_and_frequency_without_a_click() {
    for frequency_hz in [100.0, 200.0, 437.0, 1_000.0] {
        let speech = tone(frequency_hz, 8_000);
        let heard = play(&speech, |number| number == 50 || number == 51);
        let gap = &heard[4_000 + DELAY_SAMPLES..4_160 + DELAY_SAMPLES];
        let level = level_dbm0(gap);
        assert!((level - -10.0).abs() < 2.0, "{frequency_hz} Hz: {level} dBm0 in the gap");
        assert!((tone_level_dbm0(gap, frequency_hz, SAMPLE_RATE_HZ) - -10.0).abs() < 3.0, "{frequency_hz} Hz");
        assert!(largest_step(&heard) <= largest_step(&speech) * 3 / 2, "{frequency_hz} Hz: a click");
    }
}

#[test]
fn fades_to_silence_within_60_ms_and_comes_back() {
    let speech = tone(200.0, 8_000);
    let heard = play(&speech, |number| (30..50).contains(&number));
    let frame = |number: usize| level_dbm0(&heard[number * 80 + DELAY_SAMPLES..(number + 1) * 80 + DELAY_SAMPLES]);
    assert!((frame(30) - -10.0).abs() < 1.0);
    assert!((31..35).all(|number| frame(number + 1) < frame(number)));
    assert!(heard[36 * 80 + DELAY_SAMPLES..50 * 80].iter().all(|&sample| sample == 0));
    assert!((frame(52) - -10.0).abs() < 0.1);
    assert!(largest_step(&heard) <= largest_step(&speech) * 3 / 2, "a click");
}

#[test]
fn conceals_silence_with_silence() {
    let heard = play(&[0; 1_600], |number| number % 2 == 1);
    assert!(heard.iter().all(|&sample| sample == 0));
}
