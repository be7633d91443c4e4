//! `make bench-codecs`: what sound costs, beside other libraries wherever there are any, in one run.
//!
//! Each part tells its figures, a line each (`figures.rs`); `__main__.py` runs this some times and makes tables of them.
//! Within a part the ways take turns, and a figure is that of a way's fastest repetition, or the sum of the fastest ones
//! for each stretch of sound: those that nobody else on the machine has disturbed. Arguments name parts; without any, all are measured.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, reason = "a bench measures")]

mod c_loop;
mod call;
mod coders;
mod figures;
mod g711;
mod g729;
mod gaps;
#[path = "../../tests/media/support/libbcg729.rs"]
mod libbcg729;
mod libopus;
mod libspeexdsp;
mod pipeline;
mod quality;
mod resampler;
mod sound;

const PARTS: [(&str, fn()); 8] = [
    ("g729", g729::measure),
    ("g711", g711::measure),
    ("resampler", resampler::measure),
    ("gaps", gaps::measure),
    ("coders", coders::measure),
    ("opus", pipeline::measure_beside_libopus),
    ("pairings", pipeline::measure_pairings),
    ("complexity", quality::measure),
];

fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for (name, measure) in PARTS {
        if named.is_empty() || named.iter().any(|one| one == name) {
            measure();
        }
    }
}
