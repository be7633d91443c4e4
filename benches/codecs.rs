//! `make bench-codecs`: what it costs to encode and to decode 10 ms of G.729, beside libbcg729 in the same run.
//!
//! The sound is speech-like: pulses through a resonance that moves, with pauses. A repetition is one second of it; the
//! ways take turns, and the table has each one's fastest repetition, which is the one that nobody else on the machine has
//! disturbed, in microseconds a frame.

#![expect(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "a bench measures and tells")]

#[path = "../tests/media/support/libbcg729.rs"]
mod libbcg729;

use std::hint::black_box;
use std::time::Instant;

use trunkline_media::codecs::{Codec, EncoderSettings};

use libbcg729::Library;

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

/// The least time that one of the repetitions took, in microseconds a frame.
fn fastest(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(FRAMES).unwrap())
}

fn main() {
    let sound = sound();
    let codec = Codec::new("G729", 8_000, 1, [("annexb", "no")]).unwrap();
    let mut encoder = codec.encoder(&EncoderSettings::default()).unwrap();
    let mut decoder = codec.decoder(8_000).unwrap();
    let mut theirs =
        Library::load().map(|library| (libbcg729::Encoder::new(library), libbcg729::Decoder::new(library)));
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
        let Some((encoder, decoder)) = &mut theirs else { continue };
        times[2].push(timed(|| {
            for (pcm, payload) in second.iter().zip(&mut payloads) {
                *payload = encoder.encode(pcm);
            }
        }));
        times[3].push(timed(|| {
            for payload in &payloads {
                black_box(decoder.decode(payload));
            }
        }));
    }
    let [encode, decode, their_encode, their_decode] = times.map(|times| fastest(&times));
    println!("G.729A, us a frame of 10 ms   encode  decode    both");
    println!("ours                         {encode:7.2} {decode:7.2} {:7.2}", encode + decode);
    if theirs.is_some() {
        println!(
            "libbcg729                    {their_encode:7.2} {their_decode:7.2} {:7.2}",
            their_encode + their_decode
        );
        println!("ratio {:.2}", (encode + decode) / (their_encode + their_decode));
    }
}
