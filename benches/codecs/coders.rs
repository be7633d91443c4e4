//! Every codec by itself: 20 ms encoded and decoded, at each rate at which it runs beside others.

use std::hint::black_box;

use trunkline_media::codecs::{Encoded, EncoderSettings};

use crate::call::CODECS;
use crate::figures::{Stretches, seconds, tell};
use crate::sound::speech;

const SECONDS: usize = 8;
const PASSES: usize = 5;

/// Packets of a stretch.
const PACKETS: usize = 10;

pub(crate) fn measure() {
    for row in CODECS {
        let codec = row.codec();
        let rates =
            [8_000, 16_000, 48_000].into_iter().filter(|rate_hz| codec.sample_rate_beside(*rate_hz) == *rate_hz);
        for sample_rate_hz in rates {
            let settings = EncoderSettings { sample_rate_hz, expected_loss_percent: 0, ..EncoderSettings::default() };
            let frame = usize::try_from(sample_rate_hz / 50).unwrap();
            let sound = speech(sample_rate_hz, SECONDS);
            let (mut encoding, mut decoding) = (Stretches::default(), Stretches::default());
            let mut payloads = vec![([0; 1_400], 0); PACKETS];
            let mut pcm = vec![0; frame];
            for _ in 0..PASSES {
                let mut encoder = codec.encoder(&settings).unwrap();
                let mut decoder = codec.decoder(sample_rate_hz).unwrap();
                for (place, stretch) in sound.chunks_exact(PACKETS * frame).enumerate() {
                    let encode = || {
                        for (pcm, (payload, len)) in stretch.chunks_exact(frame).zip(&mut payloads) {
                            let Encoded::Payload(bytes) = encoder.encode(pcm, payload).unwrap() else {
                                panic!("silence")
                            };
                            *len = bytes;
                        }
                    };
                    encoding.note(place, seconds(encode));
                    let decode = || {
                        for (payload, len) in &payloads {
                            decoder.decode(&payload[..*len], &mut pcm).unwrap();
                            black_box(&pcm);
                        }
                    };
                    decoding.note(place, seconds(decode));
                }
            }
            let work = format!("{}, {} kHz", row.label, sample_rate_hz / 1_000);
            tell("coders", &work, "encode", encoding.us(PACKETS));
            tell("coders", &work, "decode", decoding.us(PACKETS));
        }
    }
}
