//! Frames that nothing vouches for are no louder than a voice, and streams of an encoder are never touched.

use super::{Frame, FrameDecoder, FrameEncoder, L_FRAME, Sid, codec, frames, sample, sequences, words};
use crate::dsp::ceiling::power;
use crate::dsp::to_i16;

/// Numbers that look random and are the same in every run.
struct Dice(u32);

impl Dice {
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0.to_be_bytes()[0]
    }

    fn sid(&mut self) -> Frame {
        Frame::Sid(Sid::read([self.byte(), self.byte()]))
    }
}

/// A second of a voice: pulses in a resonance, at the level of speech.
fn voice(frames: usize) -> Vec<Frame> {
    let mut past = [0_i32; 2];
    let pcm: Vec<i16> = (0..frames * L_FRAME)
        .map(|n| {
            let pulse = if n % 61 == 0 { 1_500 } else { 0 };
            past = [pulse + (past[0] * 1_700 - past[1] * 950) / 1_024, past[0]];
            i16::try_from(past[0]).unwrap()
        })
        .collect();
    let mut encoder = FrameEncoder::new(false);
    pcm.as_chunks().0.iter().map(|pcm| encoder.encode(pcm)).collect()
}

/// Levels in dB below overload of frames that are decoded one after the other.
fn levels(decoder: &mut FrameDecoder, frames: impl IntoIterator<Item = Frame>) -> Vec<f64> {
    let level = |frame| {
        let mut pcm = [0; L_FRAME];
        decoder.decode(frame, &mut pcm);
        level_dbov(&pcm)
    };
    frames.into_iter().map(level).collect()
}

fn level_dbov(pcm: &[i16]) -> f64 {
    10.0 * (power(pcm).max(1.0) / 32_767.0_f64.powi(2)).log10()
}

/// The loudest 50 ms.
fn loudest(levels: &[f64]) -> f64 {
    let mean = |levels: &[f64]| 10.0 * (levels.iter().map(|db| 10.0_f64.powf(db / 10.0)).sum::<f64>() / 5.0).log10();
    levels.windows(5).map(mean).fold(f64::NEG_INFINITY, f64::max)
}

/// Plays frames amid a voice, in several ways, and says how much louder than it they and what followed were.
fn excess_db(mut garbage: impl FnMut(&mut Dice) -> Vec<Frame>) -> f64 {
    let mut worst = f64::NEG_INFINITY;
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let mut decoder = FrameDecoder::new();
        let spoken = voice(200);
        let before = loudest(&levels(&mut decoder, spoken[..100].iter().copied())[20..]);
        let frames: Vec<Frame> =
            spoken[100..].iter().flat_map(|&good| garbage(&mut dice).into_iter().chain([good])).collect();
        worst = worst.max(loudest(&levels(&mut decoder, frames)) - before);
    }
    worst
}

#[test]
fn noise_of_any_description_is_no_louder_than_the_voice_and_nor_is_what_follows() {
    let excess = excess_db(|dice| vec![dice.sid()]);
    assert!(excess < 4.5, "{excess:.1} dB above the voice");
    let excess = excess_db(|dice| vec![dice.sid(), Frame::Untransmitted, Frame::Lost]);
    assert!(excess < 4.5, "{excess:.1} dB above the voice");
}

/// Two frames in a packet.
fn packed(frames: &[Frame]) -> Vec<[u8; 20]> {
    let pack = |frames: &[Frame; 2]| {
        let mut payload = [0; 20];
        for (bytes, frame) in payload.as_chunks_mut().0.iter_mut().zip(frames) {
            let Frame::Speech(speech) = frame else { panic!("speech") };
            speech.write(bytes);
        }
        payload
    };
    frames.as_chunks().0.iter().map(pack).collect()
}

#[test]
fn random_packets_are_no_louder_than_speech_from_the_first_one_on() {
    let voice = packed(&voice(200));
    let mut worst = f64::NEG_INFINITY;
    for (seed, every) in (0..100).flat_map(|seed| [(seed, 1), (seed, 3)]) {
        let mut dice = Dice(seed);
        let mut decoder = codec("yes").decoder(8_000).unwrap();
        for (number, good) in voice.iter().enumerate() {
            let is_random = number >= 50 && (number - 50) % every == 0;
            let payload = if is_random { std::array::from_fn(|_| dice.byte()) } else { *good };
            let mut pcm = [0; 2 * L_FRAME];
            decoder.decode(&payload, &mut pcm).unwrap();
            let level = level_dbov(&pcm);
            assert!(level < -29.0 || number >= 50, "the voice is faint: {level:.1} dBov");
            worst = worst.max(level);
        }
    }
    // One in four has the right parities by chance, and a frame or two do not get loud.
    assert!(worst < -18.0, "{worst:.1} dBov");
}

#[test]
fn noise_without_any_voice_is_at_most_as_loud_as_speech() {
    let mut dice = Dice(1);
    let mut decoder = FrameDecoder::new();
    let frames: Vec<Frame> = (0..1_000).map(|_| dice.sid()).collect();
    let loudest = loudest(&levels(&mut decoder, frames));
    assert!(loudest < -24.0, "{loudest:.1} dBov");
}

/// Whether any frame of what an encoder makes of this is too loud for us, whole or with losses.
fn is_doubted(pcm: &[i16]) -> bool {
    let mut encoder = FrameEncoder::new(true);
    let frames: Vec<Frame> = pcm.as_chunks().0.iter().map(|pcm| encoder.encode(pcm)).collect();
    let is_lost = [|_| false, |n: usize| n % 9 == 4, |n: usize| n % 50 < 8];
    is_lost.iter().any(|is_lost| {
        let mut decoder = FrameDecoder::new();
        frames.iter().enumerate().any(|(number, &frame)| {
            decoder.decode(if is_lost(number) { Frame::Lost } else { frame }, &mut [0; L_FRAME]);
            decoder.has_doubts()
        })
    })
}

#[test]
fn nothing_that_an_encoder_makes_is_suspected() {
    let Some(folder) = sequences() else { return };
    for name in ["ALGTHM", "FIXED", "LSP", "PITCH", "SPEECH", "TAME", "TEST"] {
        let all = frames(&words(folder.join(name).with_extension("BIT")));
        let is_sound = |frame: &Frame| matches!(frame, Frame::Speech(speech) if speech.has_right_parity());
        assert!(all.iter().all(is_sound), "{name}");
    }
}

#[test]
fn nothing_that_an_encoder_makes_is_doubted() {
    assert!(!is_doubted(&sample()));
    let Some(folder) = sequences() else { return };
    for name in ["ALGTHM", "FIXED", "LSP", "PITCH", "SPEECH", "TAME", "TEST"] {
        let speech = words(folder.join(name).with_extension("IN"));
        for gain in [0.06, 0.5, 1.0] {
            let pcm: Vec<i16> = speech.iter().map(|&sample| to_i16(f64::from(sample) * gain)).collect();
            assert!(!is_doubted(&pcm), "{name}, {gain}");
        }
    }
}
