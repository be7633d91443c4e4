//! `make bench-codecs`: what it costs to convert the sample rate of a stream, beside libspeexdsp in the same run.
//!
//! Blocks of 20 ms of noise. The ways take turns, and the table has each one's fastest second, which is the one that
//! nobody else on the machine has disturbed, in nanoseconds a sample of the higher rate.

#![expect(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "a bench measures and tells")]

mod libspeexdsp;

use std::hint::black_box;
use std::time::Instant;

use trunkline_media::dsp::resample::Resampler;

const SECONDS: usize = 40;
const BLOCKS: usize = 50;

/// Of libspeexdsp, 0 to 10: what most VoIP programs take is from 3 to 5.
const QUALITY: i32 = 5;

fn noise(samples: usize) -> Vec<i16> {
    let mut seed = 1_u32;
    let sample = |_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i16::from_ne_bytes([seed.to_le_bytes()[2], seed.to_le_bytes()[3]]) / 4
    };
    (0..samples).map(sample).collect()
}

/// Nanoseconds a sample of one second's work.
fn timed(samples: u32, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..BLOCKS {
        work();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(samples)
}

fn main() {
    println!("ns a sample of the higher rate   ours  libspeexdsp (quality {QUALITY})  ratio");
    for (from_hz, to_hz) in [(48_000, 8_000), (8_000, 48_000), (16_000, 8_000), (8_000, 16_000), (48_000, 16_000)] {
        let block = |rate_hz: u32| usize::try_from(rate_hz / 50).unwrap();
        let (input, mut output) = (noise(block(from_hz)), vec![0; block(to_hz)]);
        let mut ours = Resampler::new(from_hz, to_hz).unwrap();
        let mut theirs = libspeexdsp::Resampler::new((from_hz, to_hz), QUALITY);
        let mut fastest = [f64::INFINITY; 2];
        for _ in 0..SECONDS {
            let samples = from_hz.max(to_hz);
            let time = timed(samples, || ours.process(black_box(&input), black_box(&mut output)));
            fastest[0] = fastest[0].min(time);
            let Some(theirs) = &mut theirs else { continue };
            let time = timed(samples, || theirs.process(black_box(&input), black_box(&mut output)));
            fastest[1] = fastest[1].min(time);
        }
        let [ours, theirs] = fastest;
        println!("{from_hz:6} to {to_hz:6} Hz             {ours:7.2}  {theirs:25.2}  {:5.2}", ours / theirs);
    }
}
