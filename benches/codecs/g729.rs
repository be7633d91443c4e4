//! G.729A: 10 ms encoded and decoded, beside libbcg729.
//!
//! The sound is speech-like: pulses through a resonance that moves, with pauses. A repetition is one second of it.

use std::hint::black_box;

use trunkline_media::codecs::{Codec, EncoderSettings};

use crate::figures::{fastest, float, seconds, tell};
use crate::libbcg729::{self, Library};

const FRAMES: usize = 100;
const REPETITIONS: usize = 60;

/// A minute of speech-like sound, a hundred frames at a time.
fn sound() -> Vec<[i16; 80]> {
    let mut seed = 1_u32;
    let mut past = [0.0, 0.0];
    let samples = i32::try_from(FRAMES * REPETITIONS * 80).unwrap();
    let sample = |n: i32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = f64::from(seed >> 16) / 32_768.0 - 1.0;
        let seconds = f64::from(n) / 8_000.0;
        let period = 50 + n / 4_000 % 30;
        let pulse = if n % period == 0 { 6_000.0 } else { noise * 90.0 };
        let is_pause = n / 4_000 % 5 == 4;
        let frequency = 500.0 + 300.0 * (seconds * 4.0).sin();
        let turn = 2.0 * std::f64::consts::PI * frequency / 8_000.0;
        let voice = if is_pause { noise * 20.0 } else { pulse } + 1.9 * turn.cos() * past[0] - 0.9 * past[1];
        past = [voice, past[0]];
        trunkline_media::dsp::to_i16(voice)
    };
    let sound: Vec<i16> = (0..samples).map(sample).collect();
    sound.as_chunks().0.to_vec()
}

/// Microseconds a frame.
fn timed(work: impl FnOnce()) -> f64 {
    seconds(work) * 1e6 / float(FRAMES)
}

pub(crate) fn measure() {
    let sound = sound();
    let codec = Codec::new("G729", 8_000, 1, [("annexb", "no")]).unwrap();
    let mut encoder = codec.encoder(&EncoderSettings::default()).unwrap();
    let mut decoder = codec.decoder(8_000).unwrap();
    let library = Library::load().expect("the row is a comparison");
    let (mut their_encoder, mut their_decoder) = (libbcg729::Encoder::new(library), libbcg729::Decoder::new(library));
    let mut times: [Vec<f64>; 4] = Default::default();
    for second in sound.chunks_exact(FRAMES) {
        let mut payloads = [[0; 10]; FRAMES];
        times[0].push(timed(|| {
            for (pcm, payload) in second.iter().zip(&mut payloads) {
                encoder.encode(pcm, payload).unwrap();
            }
        }));
        times[1].push(timed(|| {
            for payload in &payloads {
                let mut pcm = [0; 80];
                decoder.decode(payload, &mut pcm).unwrap();
                black_box(&pcm);
            }
        }));
        times[2].push(timed(|| {
            for (pcm, payload) in second.iter().zip(&mut payloads) {
                *payload = their_encoder.encode(pcm);
            }
        }));
        times[3].push(timed(|| {
            for payload in &payloads {
                black_box(their_decoder.decode(payload));
            }
        }));
    }
    let [encode, decode, their_encode, their_decode] = times.map(|times| fastest(&times));
    for (work, ours, theirs) in [
        ("G.729A encode, 10 ms, us", encode, their_encode),
        ("G.729A decode, 10 ms, us", decode, their_decode),
        ("G.729A encode and decode, 10 ms, us", encode + decode, their_encode + their_decode),
    ] {
        tell("g729", work, "trunkline", ours);
        tell("g729", work, "libbcg729", theirs);
    }
}
