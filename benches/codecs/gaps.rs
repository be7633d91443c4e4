//! What is done to 20 ms when a packet is missing or the delay has to change: concealment, and a pitch period taken out
//! or put in.

use std::hint::black_box;

use trunkline_media::codecs::{Decoder, Encoded, EncoderSettings};
use trunkline_media::dsp::plc::{Concealer, FRAME_SAMPLES};
use trunkline_media::dsp::timescale::{Likeness, Period};

use crate::call::CODECS;
use crate::figures::{fastest, float, seconds, tell};
use crate::sound::speech;

const SECONDS: usize = 8;
const REPETITIONS: usize = 15;

/// Packets that came before each one that is lost.
const GOOD_PACKETS: usize = 4;

pub(crate) fn measure() {
    for sample_rate_hz in [8_000, 16_000, 48_000] {
        time_scaling(sample_rate_hz);
    }
    tell("gaps", "conceal, PCMU and PCMA, us", "trunkline", by_appendix_i());
    for row in CODECS {
        let codec = row.codec();
        let rate_hz = codec.sample_rate_beside(8_000);
        let settings = EncoderSettings { sample_rate_hz: rate_hz, ..EncoderSettings::default() };
        let mut encoder = codec.encoder(&settings).unwrap();
        let mut decoder = codec.decoder(rate_hz).unwrap();
        let payloads: Vec<Vec<u8>> = speech(rate_hz, SECONDS)
            .chunks_exact(samples(rate_hz, 20))
            .map(|pcm| {
                let mut payload = vec![0; 1_400];
                let Encoded::Payload(len) = encoder.encode(pcm, &mut payload).unwrap() else { panic!("silence") };
                payload.truncate(len);
                payload
            })
            .collect();
        if let Some(us) = by_decoder(&mut *decoder, &payloads) {
            let work = format!("conceal, {}, {} kHz, us", row.label, rate_hz / 1_000);
            tell("gaps", &work, "trunkline", us);
        }
    }
}

fn samples(rate_hz: u32, ms: u32) -> usize {
    usize::try_from(rate_hz / 1_000 * ms).unwrap()
}

/// Search and splice in the 40 ms that the jitter buffer looks at, wherever the sound lets it splice.
fn time_scaling(rate_hz: u32) {
    let sound = speech(rate_hz, SECONDS);
    let find = |pcm: &[i16]| Period::find(pcm, rate_hz, usize::MAX, Likeness::Loose);
    let windows: Vec<&[i16]> =
        sound.chunks_exact(samples(rate_hz, 40)).filter(|window| find(window).is_some()).collect();
    let mut times: [Vec<f64>; 2] = Default::default();
    let mut rooms: Vec<Vec<i16>> = vec![vec![0; samples(rate_hz, 60)]; windows.len()];
    let timed = |rooms: &mut [Vec<i16>], splice: fn(Period, &mut [i16], usize) -> usize| {
        for (room, window) in rooms.iter_mut().zip(&windows) {
            room[..window.len()].copy_from_slice(window);
        }
        let work = || {
            for (room, window) in rooms.iter_mut().zip(&windows) {
                let period = find(&room[..window.len()]).unwrap();
                black_box(splice(period, room, window.len()));
            }
        };
        seconds(work) * 1e6 / float(windows.len())
    };
    for _ in 0..REPETITIONS {
        times[0].push(timed(&mut rooms, |period, room, length| period.remove(&mut room[..length])));
        times[1].push(timed(&mut rooms, Period::insert));
    }
    for (work, times) in ["accelerate", "expand"].into_iter().zip(&times) {
        tell("gaps", &format!("{work}, {} kHz, us", rate_hz / 1_000), "trunkline", fastest(times));
    }
}

/// Microseconds to conceal 20 ms of G.711, the search for the period included.
fn by_appendix_i() -> f64 {
    let sound = speech(8_000, SECONDS);
    let gap = || {
        let mut concealer = Concealer::new();
        let (mut time, mut count) = (0.0, 0.0);
        for good in sound.chunks_exact(GOOD_PACKETS * samples(8_000, 20)) {
            concealer.receive(&mut good.to_vec());
            let mut lost = [[0; FRAME_SAMPLES]; 2];
            time += seconds(|| lost.iter_mut().for_each(|frame| concealer.conceal(frame)));
            black_box(lost);
            count += 1.0;
        }
        time * 1e6 / count
    };
    fastest(&(0..REPETITIONS).map(|_| gap()).collect::<Vec<f64>>())
}

/// The same of a decoder that conceals by itself; None of another one.
fn by_decoder(decoder: &mut dyn Decoder, payloads: &[Vec<u8>]) -> Option<f64> {
    let mut pcm = vec![0; samples(decoder.sample_rate_hz(), 20)];
    if !decoder.conceal(&mut pcm) {
        return None;
    }
    let mut times = Vec::new();
    for _ in 0..REPETITIONS {
        decoder.reset();
        let (mut time, mut count) = (0.0, 0.0);
        for good in payloads.chunks_exact(GOOD_PACKETS) {
            for payload in good {
                decoder.decode(payload, &mut pcm).unwrap();
            }
            time += seconds(|| assert!(decoder.conceal(&mut pcm)));
            black_box(&pcm);
            count += 1.0;
        }
        times.push(time * 1e6 / count);
    }
    Some(fastest(&times))
}
