//! G.711: 20 ms encoded and decoded, beside the loop over a table that everybody has, in C (`g711.c`).

use std::hint::black_box;

use trunkline_media::codecs::{Codec, EncoderSettings, Law};

use crate::c_loop::TableLoop;
use crate::figures::{fastest, float, seconds, tell};
use crate::sound::speech;

const FRAME: usize = 160;

/// Frames of a repetition: few enough to stay in the nearest cache, with the tables.
const FRAMES: usize = 25;
const REPETITIONS: usize = 400;

/// Nanoseconds a frame.
fn timed(work: impl FnOnce()) -> f64 {
    seconds(work) * 1e9 / float(FRAMES)
}

pub(crate) fn measure() {
    let theirs = TableLoop::build();
    let sound = speech(8_000, 1);
    let frames: Vec<&[i16]> = sound.chunks_exact(FRAME).take(FRAMES).collect();
    for (name, law) in [("PCMU", Law::Ulaw), ("PCMA", Law::Alaw)] {
        let codec = Codec::new(name, 8_000, 1, []).unwrap();
        let mut encoder = codec.encoder(&EncoderSettings::default()).unwrap();
        let mut decoder = codec.decoder(8_000).unwrap();
        let tables = Tables::of(law);
        let mut payloads = [[0; FRAME]; FRAMES];
        let mut pcm = [0; FRAME];
        let mut times: [Vec<f64>; 4] = Default::default();
        for _ in 0..REPETITIONS {
            times[0].push(timed(|| {
                for (pcm, payload) in frames.iter().zip(&mut payloads) {
                    encoder.encode(black_box(pcm), payload).unwrap();
                }
            }));
            times[1].push(timed(|| {
                for payload in &payloads {
                    decoder.decode(black_box(payload), &mut pcm).unwrap();
                    black_box(&pcm);
                }
            }));
            let ours = payloads;
            times[2].push(timed(|| {
                for (pcm, payload) in frames.iter().zip(&mut payloads) {
                    theirs.compress(&tables.compressed, black_box(pcm), payload);
                }
            }));
            assert_eq!(payloads, ours);
            times[3].push(timed(|| {
                for payload in &payloads {
                    theirs.expand(&tables.expanded, black_box(payload), &mut pcm);
                    black_box(&pcm);
                }
            }));
        }
        let [encode, decode, their_encode, their_decode] = times.map(|times| fastest(&times));
        for (work, ours, theirs) in [("encode", encode, their_encode), ("decode", decode, their_decode)] {
            let work = format!("{name} {work}, 20 ms, ns");
            tell("g711", &work, "trunkline", ours);
            tell("g711", &work, "table loop in C", theirs);
        }
    }
}

/// What the loop looks up: by a byte, and by the upper 14 bits of a sample.
struct Tables {
    expanded: [i16; 256],
    compressed: [u8; 16_384],
}

impl Tables {
    fn of(law: Law) -> Self {
        let mut tables = Self { expanded: [0; 256], compressed: [0; 16_384] };
        for byte in 0..=u8::MAX {
            tables.expanded[usize::from(byte)] = law.expand(byte);
        }
        for linear in (i16::MIN..=i16::MAX).step_by(4) {
            tables.compressed[usize::from(linear.cast_unsigned() >> 2)] = law.compress(linear);
        }
        tables
    }
}
