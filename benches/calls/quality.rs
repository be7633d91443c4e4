//! What an Opus encoder costs, and how far its sound is from what went in.

use std::time::Instant;

use trunkline_media::codecs::{Codec, Encoded, EncoderSettings};

use crate::sound::speech;

/// Mean square below which a frame is a pause, whose noise nobody compares.
const PAUSE: f64 = 10_000.0;

/// Microseconds to encode 20 ms, the fastest second of `seconds`; mean signal-to-noise ratio of the frames in dB.
pub(crate) fn of_opus(settings: &EncoderSettings, seconds: usize) -> (f64, f64) {
    let rate_hz = settings.sample_rate_hz;
    let codec = Codec::new("opus", 48_000, 2, [("useinbandfec", "1")]).unwrap();
    let mut encoder = codec.encoder(settings).unwrap();
    let mut decoder = codec.decoder(rate_hz).unwrap();
    let frame = usize::try_from(rate_hz / 50).unwrap();
    let sound = speech(rate_hz, seconds);
    let (mut best_us, mut heard) = (f64::INFINITY, Vec::new());
    for second in sound.chunks_exact(50 * frame) {
        let mut payloads = Vec::new();
        let start = Instant::now();
        for pcm in second.chunks_exact(frame) {
            let mut payload = vec![0; 1_400];
            let Encoded::Payload(len) = encoder.encode(pcm, &mut payload).unwrap() else { panic!("silence") };
            payload.truncate(len);
            payloads.push(payload);
        }
        best_us = best_us.min(start.elapsed().as_secs_f64() * 1e6 / 50.0);
        for payload in payloads {
            let mut pcm = vec![0; frame];
            decoder.decode(&payload, &mut pcm).unwrap();
            heard.extend(pcm);
        }
    }
    let delays = 0..=frame;
    let ratio_db = delays.map(|delay| ratio_db(&sound, &heard[delay..], frame)).fold(f64::NEG_INFINITY, f64::max);
    (best_us, ratio_db)
}

/// Mean ratio of the first four seconds' frames, in dB.
fn ratio_db(said: &[i16], heard: &[i16], frame: usize) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0_f64);
    for (one, other) in said.chunks_exact(frame).zip(heard.chunks_exact(frame)).take(200) {
        let signal: f64 = one.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        let pairs = one.iter().zip(other);
        let noise: f64 = pairs.map(|(one, other)| (f64::from(*one) - f64::from(*other)).powi(2)).sum();
        if signal / f64::from(u32::try_from(frame).unwrap()) > PAUSE {
            sum += (10.0 * (signal / noise.max(1.0)).log10()).clamp(-10.0, 35.0);
            count += 1.0;
        }
    }
    sum / count.max(1.0)
}
