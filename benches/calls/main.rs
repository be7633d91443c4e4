//! `make bench-codecs`: what a transcoded call costs in the whole pipeline, for each pairing of codecs, and beside the bare
//! calls of libopus that it contains; and what Opus sounds like for its price.
//!
//! A call is two legs in memory, one under SDES-SRTP and one plain, that speak to each other for some seconds of a
//! simulated clock: SRTP, RTP, jitter buffer, decoder, encoder, RTP, SRTP, in both directions, and no socket. A repetition
//! is one second of it; the ways take turns, and the tables have each one's fastest repetition, which is the one that
//! nobody else on the machine has disturbed.

#![expect(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "a bench measures and tells")]

mod call;
mod libopus;
mod quality;
mod sound;

use std::time::Instant;

use trunkline_media::codecs::EncoderSettings;

use call::{CODECS, Call, Recording};

/// Seconds of speech, each of them a repetition.
const SECONDS: usize = 20;

/// Packets of a second.
const PACKETS: usize = 50;

fn main() {
    let recordings: Vec<Recording> = CODECS.iter().map(|codec| Recording::new(codec, SECONDS * PACKETS)).collect();
    against_libopus(&recordings);
    pairings(&recordings);
    complexities();
}

/// Time that `work` took, in microseconds a packet time of a call.
fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(PACKETS).unwrap())
}

fn fastest(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Opus and PCMU: the whole pipeline beside the calls of libopus that are in it, in turns.
fn against_libopus(recordings: &[Recording]) {
    let [opus, pcmu] = ["opus", "PCMU"].map(|name| recordings.iter().find(|made| made.codec.name == name).unwrap());
    let mut call = Call::new(opus, pcmu, EncoderSettings::default());
    let mut bare = libopus::Bare::new(EncoderSettings::default());
    let (mut whole, mut inside) = (Vec::new(), Vec::new());
    for second in 0..SECONDS {
        let steps = second * PACKETS..(second + 1) * PACKETS;
        let mut packets = call.packets(steps.clone());
        whole.push(timed(|| call.run(&mut packets)));
        let frames = bare.frames(&opus.payloads[steps.clone()], &pcmu.payloads[steps]);
        inside.push(timed(|| bare.run(&frames)));
    }
    call.assert_spoken();
    let (whole, inside) = (fastest(&whole), fastest(&inside));
    println!("Opus <-> PCMU, both directions, us each 20 ms (Opus at 8 kHz, complexity 5, 24 kbit/s)");
    println!("the whole pipeline     {whole:7.2}");
    println!("libopus alone          {inside:7.2}");
    println!("ratio                  {:7.2}\n", whole / inside);
}

/// Every two codecs: the whole pipeline.
fn pairings(recordings: &[Recording]) {
    println!("us each 20 ms of a call, both directions; calls a core, sockets not counted");
    for (place, one) in recordings.iter().enumerate() {
        for other in &recordings[place + 1..] {
            let mut call = Call::new(one, other, EncoderSettings::default());
            let times: Vec<f64> = (0..SECONDS)
                .map(|second| {
                    let mut packets = call.packets(second * PACKETS..(second + 1) * PACKETS);
                    timed(|| call.run(&mut packets))
                })
                .collect();
            call.assert_spoken();
            let us = fastest(&times);
            let calls = 20_000.0 / us;
            println!("| {} <-> {} | {us:.1} | {calls:.0} |", one.codec.label, other.codec.label);
        }
    }
    println!();
}

/// Opus by complexity: microseconds to encode 20 ms, and the signal-to-noise ratio of what comes out.
fn complexities() {
    println!(
        "Opus, 24 kbit/s: us to encode 20 ms and segmental signal-to-noise ratio in dB, by complexity and sample rate"
    );
    for complexity in 0..=10 {
        print!("| {complexity} ");
        for sample_rate_hz in [8_000, 16_000, 48_000] {
            let settings = EncoderSettings { sample_rate_hz, complexity, ..EncoderSettings::default() };
            let (us, ratio_db) = quality::of_opus(&settings, SECONDS);
            print!("| {us:.0} | {ratio_db:.1} ");
        }
        println!("|");
    }
}
