//! The sample rate of a stream changed, in blocks of 20 ms of noise, beside libspeexdsp.

use std::hint::black_box;

use trunkline_media::dsp::resample::Resampler;

use crate::figures::{fastest, float, seconds, tell};
use crate::libspeexdsp;

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
fn timed(samples: usize, mut work: impl FnMut()) -> f64 {
    seconds(|| (0..BLOCKS).for_each(|_| work())) * 1e9 / float(samples)
}

pub(crate) fn measure() {
    for (from_hz, to_hz) in [(48_000, 8_000), (8_000, 48_000), (16_000, 8_000), (8_000, 16_000), (48_000, 16_000)] {
        let block = |rate_hz: u32| usize::try_from(rate_hz / 50).unwrap();
        let (input, mut output) = (noise(block(from_hz)), vec![0; block(to_hz)]);
        let mut ours = Resampler::new(from_hz, to_hz).unwrap();
        let mut theirs = libspeexdsp::Resampler::new((from_hz, to_hz), QUALITY).expect("the row is a comparison");
        let mut times: [Vec<f64>; 2] = Default::default();
        for _ in 0..SECONDS {
            let samples = BLOCKS * block(from_hz.max(to_hz));
            times[0].push(timed(samples, || ours.process(black_box(&input), black_box(&mut output))));
            times[1].push(timed(samples, || theirs.process(black_box(&input), black_box(&mut output))));
        }
        let work = format!("{} to {} kHz, ns a sample of the higher rate", from_hz / 1_000, to_hz / 1_000);
        tell("resampler", &work, "trunkline", fastest(&times[0]));
        tell("resampler", &work, "libspeexdsp, quality 5", fastest(&times[1]));
    }
}
