//! Payloads of silence, as long as another payload: what a relay sends for a packet that must not be heard.
//!
//! RFC 6716 section 3.1 and 3.2 (Opus packets), 3551 (G.711, G.729, L16), 3389 (comfort noise).

use super::{Codec, Kind, Law, g722, g729, l16, speex};

/// Opus frames are measured in units of 2.5 ms; a packet has at most 120 ms (RFC 6716 section 3.2.5, R5).
const MAX_UNITS: u8 = 48;

/// A CELT frame that begins with the silence flag (RFC 6716 section 4.3), at any frame size.
const OPUS_SILENCE: [u8; 2] = [0xff, 0xfe];

/// Comfort noise at the lowest level that can be said, -127 dBov (RFC 3389 section 3).
const NO_NOISE: u8 = 127;

impl Codec {
    /// Writes a payload of silence that lasts as long as `payload`, which may be any bytes of the network.
    ///
    /// Returns its length, at most `payload`'s, or 98 bytes (Opus) or 120 (G.729); None if `payload` is no packet of this codec, carries no
    /// audio, or does not fit.
    #[must_use]
    pub fn write_silence(&self, payload: &[u8], silence: &mut [u8]) -> Option<usize> {
        match self.kind() {
            Kind::Pcmu => fill(silence, payload.len(), Law::Ulaw.silence()),
            Kind::Pcma => fill(silence, payload.len(), Law::Alaw.silence()),
            Kind::G722 => fill(silence, payload.len(), g722::SILENCE),
            Kind::G729 => write_g729_silence(g729::frame_count(payload)?, silence),
            Kind::Speex => speex::write_silence(speex::frame_count(payload)?, silence),
            Kind::L16 => fill(silence, l16::sample_count(payload, self.clock_rate_hz())? * 2, 0),
            Kind::Cn => fill(silence, 1, NO_NOISE),
            Kind::Opus => write_opus_silence(opus_units(payload)?, silence),
            Kind::TelephoneEvent => None,
        }
    }

    /// Microseconds of audio in `payload`, which may be any bytes of the network; 0 if it is no packet of this codec.
    #[must_use]
    pub fn duration_us(&self, payload: &[u8]) -> u64 {
        match self.kind() {
            Kind::Pcmu | Kind::Pcma | Kind::G722 => payload.len() as u64 * 125,
            Kind::G729 => g729::frame_count(payload).unwrap_or(0) as u64 * 10_000,
            Kind::Speex => speex::frame_count(payload).unwrap_or(0) as u64 * 20_000,
            Kind::L16 => {
                let samples = l16::sample_count(payload, self.clock_rate_hz()).unwrap_or(0);
                samples as u64 * 1_000_000 / u64::from(self.clock_rate_hz())
            }
            Kind::Opus => u64::from(opus_units(payload).unwrap_or(0)) * 2_500,
            Kind::Cn | Kind::TelephoneEvent => 0,
        }
    }
}

fn fill(silence: &mut [u8], len: usize, byte: u8) -> Option<usize> {
    silence.get_mut(..len)?.fill(byte);
    Some(len)
}

fn write_g729_silence(frames: usize, silence: &mut [u8]) -> Option<usize> {
    let len = frames * g729::SILENT_FRAME.len();
    let packet = silence.get_mut(..len)?;
    packet.chunks_exact_mut(g729::SILENT_FRAME.len()).for_each(|frame| frame.copy_from_slice(&g729::SILENT_FRAME));
    Some(len)
}

/// How long an Opus packet is, in units of 2.5 ms (RFC 6716 section 3.1).
fn opus_units(payload: &[u8]) -> Option<u8> {
    let toc = *payload.first()?;
    let config = toc >> 3;
    let frame = match config {
        // SILK: 10, 20, 40, 60 ms.
        0..12 => [4, 8, 16, 24][usize::from(config & 3)],
        // Hybrid: 10, 20 ms.
        12..16 => [4, 8][usize::from(config & 1)],
        // CELT: 2.5, 5, 10, 20 ms.
        _ => 1 << (config & 3),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => payload.get(1)? & 0x3f,
    };
    frames.checked_mul(frame).filter(|units| (1..=MAX_UNITS).contains(units))
}

/// Full-band mono CELT frames, as long as they go.
fn write_opus_silence(units: u8, silence: &mut [u8]) -> Option<usize> {
    let size = units.trailing_zeros().min(3).to_le_bytes()[0];
    let config = (28 + size) << 3;
    let frames = units >> size;
    let (head, body) = if frames == 1 { (&[config][..], 1) } else { (&[config | 3, frames][..], 2) };
    let len = body + OPUS_SILENCE.len() * usize::from(frames);
    let packet = silence.get_mut(..len)?;
    packet[..body].copy_from_slice(head);
    packet[body..].chunks_exact_mut(OPUS_SILENCE.len()).for_each(|frame| frame.copy_from_slice(&OPUS_SILENCE));
    Some(len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codecs::{Encoded, EncoderSettings};

    fn codec(name: &str, clock_rate_hz: u32) -> Codec {
        Codec::new(name, clock_rate_hz, 1, []).unwrap()
    }

    #[test]
    fn is_silent_and_as_long_as_the_packet_in_its_place() {
        for (name, clock_rate_hz, sizes_ms) in [
            ("PCMU", 8_000, &[10, 20, 30, 60][..]),
            ("PCMA", 8_000, &[10, 20, 30, 60]),
            ("G729", 8_000, &[10, 20, 30, 60]),
            ("L16", 8_000, &[10, 20, 30, 60]),
            ("opus", 48_000, &[10, 20, 40, 60, 80, 100, 120]),
        ] {
            let codec = codec(name, clock_rate_hz);
            let settings = EncoderSettings { sample_rate_hz: 8_000, ..EncoderSettings::default() };
            for &ms in sizes_ms {
                let mut encoder = codec.encoder(&settings).unwrap();
                let mut decoder = codec.decoder(8_000).unwrap();
                let pcm: Vec<i16> = (0..ms * 8).map(|n| if n % 16 < 8 { 9_000 } else { -9_000 }).collect();
                let (mut payload, mut silence, mut heard) = ([0; 1_500], [0; 1_500], [0; 960]);
                let Encoded::Payload(len) = encoder.encode(&pcm, &mut payload).unwrap() else { panic!("speech") };
                assert_eq!(codec.duration_us(&payload[..len]), u64::try_from(ms).unwrap() * 1_000, "{name}");
                decoder.decode(&payload[..len], &mut heard).unwrap();
                let quiet = codec.write_silence(&payload[..len], &mut silence).unwrap();
                assert_eq!(decoder.decode(&silence[..quiet], &mut heard), Ok(pcm.len()), "{name}, {ms} ms");
                // A change of Opus' mode fades the voice out within its first 10 ms.
                decoder.decode(&silence[..quiet], &mut heard).unwrap();
                assert!(heard[..pcm.len()].iter().all(|sample| sample.abs() <= 8), "{name}, {ms} ms");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_replaced_by_silence_as_long_as_libopus_thinks_they_are(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let codec = codec("opus", 48_000);
            let decoder = codec.decoder(48_000).unwrap();
            let mut silence = [0; 1_500];
            let len = codec.write_silence(&bytes, &mut silence);
            let replaced = len.and_then(|len| decoder.packet_samples(&silence[..len]));
            prop_assert_eq!(replaced, decoder.packet_samples(&bytes));
        }
    }
}
