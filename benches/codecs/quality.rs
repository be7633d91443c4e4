//! Opus by complexity: what its encoder costs, and how far its sound is from what went in.

use trunkline_media::codecs::{Codec, Encoded, EncoderSettings};

use crate::figures::{Stretches, seconds, tell};
use crate::sound::speech;

/// Mean square below which a frame is a pause, whose noise nobody compares.
const PAUSE: f64 = 10_000.0;

const SECONDS: usize = 8;
const PASSES: usize = 3;

/// Packets of a stretch.
const PACKETS: usize = 10;

pub(crate) fn measure() {
    for sample_rate_hz in [8_000, 16_000, 48_000] {
        let sound = speech(sample_rate_hz, SECONDS);
        for complexity in 0..=10 {
            let settings =
                EncoderSettings { sample_rate_hz, complexity: Some(complexity), ..EncoderSettings::default() };
            let (us, ratio_db) = of_opus(&settings, &sound);
            let work = format!("{} kHz, complexity {complexity}", sample_rate_hz / 1_000);
            tell("complexity", &work, "us", us);
            tell("complexity", &work, "dB", ratio_db);
        }
    }
}

/// Microseconds to encode 20 ms; mean signal-to-noise ratio of the frames in dB.
fn of_opus(settings: &EncoderSettings, sound: &[i16]) -> (f64, f64) {
    let rate_hz = settings.sample_rate_hz;
    let codec = Codec::new("opus", 48_000, 2, [("useinbandfec", "1")]).unwrap();
    let frame = usize::try_from(rate_hz / 50).unwrap();
    let (mut times, mut heard) = (Stretches::default(), Vec::new());
    for _ in 0..PASSES {
        let mut encoder = codec.encoder(settings).unwrap();
        let mut decoder = codec.decoder(rate_hz).unwrap();
        heard.clear();
        for (place, stretch) in sound.chunks_exact(PACKETS * frame).enumerate() {
            let mut payloads = vec![([0; 1_400], 0); PACKETS];
            let encode = || {
                for (pcm, (payload, len)) in stretch.chunks_exact(frame).zip(&mut payloads) {
                    let Encoded::Payload(bytes) = encoder.encode(pcm, payload).unwrap() else { panic!("silence") };
                    *len = bytes;
                }
            };
            times.note(place, seconds(encode));
            for (payload, len) in payloads {
                let mut pcm = vec![0; frame];
                decoder.decode(&payload[..len], &mut pcm).unwrap();
                heard.extend(pcm);
            }
        }
    }
    let delays = 0..=frame;
    let ratio_db = delays.map(|delay| ratio_db(sound, &heard[delay..], frame)).fold(f64::NEG_INFINITY, f64::max);
    (times.us(PACKETS), ratio_db)
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
