use super::*;
use crate::dsp::cn::{Description, Generator};
use crate::dsp::to_i16;
use crate::dsp::tone::Oscillator;

const FRAME: usize = 80;

/// White noise of this level, in dB below overload.
fn noise(below_overload_db: u8, frames: usize) -> Vec<i16> {
    let mut generator = Generator::new(7);
    generator.set(&Description::white(below_overload_db));
    let mut pcm = vec![0; 1_600 + frames * FRAME];
    generator.fill(&mut pcm);
    pcm.split_off(1_600)
}

/// A vowel: harmonics of 140 Hz in syllables of a quarter of a second, at this level in dBm0.
fn voice(level_dbm0: f64, frames: usize) -> Vec<i16> {
    let mut pcm = vec![0; frames * FRAME];
    Oscillator::new(&[140.0, 280.0, 420.0, 700.0], level_dbm0, 8_000).fill(&mut pcm);
    for (place, sample) in (0_u32..).zip(&mut pcm) {
        let envelope = (std::f64::consts::PI * f64::from(place) / 2_000.0).sin().abs();
        *sample = to_i16(f64::from(*sample) * envelope);
    }
    pcm
}

/// Which frames of 10 ms count as speech.
fn judge(detector: &mut Detector, pcm: &[i16]) -> Vec<bool> {
    pcm.chunks(FRAME).map(|frame| detector.is_speech(frame)).collect()
}

fn count(judged: &[bool]) -> usize {
    judged.iter().filter(|&&is_speech| is_speech).count()
}

#[test]
fn steady_noise_of_any_level_that_is_no_speech_is_silence_once_it_is_known() {
    for below_overload_db in [45, 55, 65, 75, 127] {
        let judged = judge(&mut Detector::new(8_000), &noise(below_overload_db, 1_000));
        let speech = count(&judged[100..]);
        assert!(speech <= 27, "-{below_overload_db} dBov: {speech} of 900 frames");
    }
}

#[test]
fn speech_is_never_silence_whatever_noise_is_about_it() {
    for (below_overload_db, level_dbm0) in [(127, -40.0), (65, -40.0), (55, -30.0), (45, -24.0)] {
        let mut pcm = noise(below_overload_db, 900);
        for (sample, voice) in pcm[300 * FRAME..].iter_mut().zip(voice(level_dbm0, 300)) {
            *sample = sample.saturating_add(voice);
        }
        let judged = judge(&mut Detector::new(8_000), &pcm);
        let begin = judged[300..].iter().position(|&is_speech| is_speech).unwrap();
        assert!(begin <= 2, "-{below_overload_db} dBov: {begin} frames late");
        assert!(judged[302..600].iter().all(|&is_speech| is_speech), "-{below_overload_db} dBov: cut");
        assert!(judged[600..610].iter().all(|&is_speech| is_speech), "-{below_overload_db} dBov: no hangover");
        assert!(count(&judged[630..]) <= 27, "-{below_overload_db} dBov: {} frames after it", count(&judged[630..]));
    }
}

#[test]
fn faint_high_consonants_are_speech() {
    let mut pcm = noise(55, 500);
    // Low noise, as in a car: what rises is heard in the differences only.
    let mut low = 0.0;
    for sample in &mut pcm {
        low += (f64::from(*sample) * 4.0 - low) * 0.1;
        *sample = to_i16(low);
    }
    let mut hiss = vec![0; 20 * FRAME];
    Oscillator::new(&[2_900.0, 3_400.0], -48.0, 8_000).fill(&mut hiss);
    for (sample, hiss) in pcm[400 * FRAME..].iter_mut().zip(hiss) {
        *sample = sample.saturating_add(hiss);
    }
    let judged = judge(&mut Detector::new(8_000), &pcm);
    assert_eq!(count(&judged[400..420]), 20);
    assert!(count(&judged[100..400]) < 15, "{} of 300 frames", count(&judged[100..400]));
}

#[test]
fn tones_and_loud_noise_go_on_as_speech_for_ever() {
    let mut tone = vec![0; 1_000 * FRAME];
    Oscillator::new(&[425.0], -20.0, 8_000).fill(&mut tone);
    assert!(judge(&mut Detector::new(8_000), &tone).iter().all(|&is_speech| is_speech));
    assert!(judge(&mut Detector::new(8_000), &noise(30, 1_000)).iter().all(|&is_speech| is_speech));
}

#[test]
fn the_empty_beginning_of_a_stream_is_no_background() {
    for empty in [1, 5, 17, 50] {
        let pcm = [vec![0; empty * FRAME - 30], noise(50, 200)].concat();
        let judged = judge(&mut Detector::new(8_000), &pcm);
        assert!(count(&judged[empty + 60..]) < 6, "{empty} empty frames: {}", count(&judged[empty + 60..]));
    }
}

#[test]
fn noise_that_gets_louder_becomes_silence_again() {
    let pcm = [noise(65, 400), noise(50, 600)].concat();
    let judged = judge(&mut Detector::new(8_000), &pcm);
    assert!(judged[401..540].iter().all(|&is_speech| is_speech), "not known yet");
    assert!(count(&judged[600..]) < 13);
}

#[test]
fn packets_of_any_length_and_rate_are_judged_alike() {
    for (rate_hz, packet) in [(8_000, 240), (8_000, 480), (16_000, 320), (16_000, 100)] {
        let mut detector = Detector::new(rate_hz);
        let silence = vec![0; packet];
        assert!((0..100).all(|_| !detector.is_speech(&silence)));
        let mut loud = silence.clone();
        loud[packet - 1] = 20_000;
        loud[packet - 2] = -20_000;
        assert!(detector.is_speech(&loud), "{rate_hz} Hz, {packet} samples");
        assert!(!(0..100).fold(true, |_, _| detector.is_speech(&silence)));
    }
    assert!(!Detector::new(8_000).is_speech(&[]));
}
