//! L16: samples of 16 bits as they are, the high byte first, at the rate of the RTP clock, mono.
//!
//! Owns the byte order, how much a packet holds, and the concealment. At its higher rates a packet is soon longer than a
//! path takes in one piece, so what we send is bounded in bytes rather than in time. RFC 3551 section 4.5.11.

use super::{CodecError, Encoded, MAX_PACKET_MS};
use crate::dsp::extrapolation::Extrapolator;
use crate::net::{DATAGRAM_BYTES, SAFE_PAYLOAD_BYTES};

/// Clock rates, and so sample rates, that are spoken; 44,100 Hz has the static payload type 11.
const RATES_HZ: [u32; 4] = [8_000, 16_000, 44_100, 48_000];

/// Bytes of a packet that is taken, at most: 20 ms at 48,000 Hz, which arrives in two fragments of IP.
pub(super) const MAX_PAYLOAD_BYTES: usize = 1_920;

/// What RTP and SRTP add to a payload, at most, without header extensions.
const OVERHEAD_BYTES: usize = 12 + 20;
const _: () = assert!(MAX_PAYLOAD_BYTES + OVERHEAD_BYTES <= DATAGRAM_BYTES, "a packet fits into a receive buffer");

/// Bytes of a sample.
const SAMPLE_BYTES: usize = 2;

/// Whether a format of this clock rate exists.
pub(super) fn has_rate(clock_rate_hz: u32) -> bool {
    RATES_HZ.contains(&clock_rate_hz)
}

/// The longest packet that we make, in whole 10 ms: one that no path has to break.
pub(super) fn longest_ptime_ms(clock_rate_hz: u32) -> u32 {
    let bytes = u32::try_from((SAFE_PAYLOAD_BYTES - OVERHEAD_BYTES) / SAMPLE_BYTES).unwrap_or(0);
    (bytes * 1_000 / clock_rate_hz.max(1)).min(MAX_PACKET_MS) / 10 * 10
}

/// Bytes of so much audio.
pub(super) fn audio_bytes(clock_rate_hz: u32, ms: u32) -> usize {
    usize::try_from(clock_rate_hz * ms / 1_000).unwrap_or(0) * SAMPLE_BYTES
}

/// How many samples `payload` holds; None if it is no packet.
pub(super) fn sample_count(payload: &[u8], clock_rate_hz: u32) -> Option<usize> {
    let longest = longest_packet_samples(clock_rate_hz);
    let samples = payload.len() / SAMPLE_BYTES;
    (payload.len().is_multiple_of(SAMPLE_BYTES) && (1..=longest).contains(&samples)).then_some(samples)
}

/// Samples of the longest packet of any sender.
fn longest_packet_samples(clock_rate_hz: u32) -> usize {
    audio_bytes(clock_rate_hz, MAX_PACKET_MS).min(MAX_PAYLOAD_BYTES) / SAMPLE_BYTES
}

fn checked_rate(clock_rate_hz: u32, sample_rate_hz: u32) -> Result<u32, CodecError> {
    if sample_rate_hz == clock_rate_hz { Ok(clock_rate_hz) } else { Err(CodecError::BadSampleRate) }
}

/// One direction's encoder: it has no history.
pub(super) struct Encoder {
    rate_hz: u32,
}

impl Encoder {
    /// Fails with [`CodecError::BadSampleRate`] for PCM of any rate but that of the clock.
    pub(super) fn new(clock_rate_hz: u32, sample_rate_hz: u32) -> Result<Self, CodecError> {
        Ok(Self { rate_hz: checked_rate(clock_rate_hz, sample_rate_hz)? })
    }
}

impl super::Encoder for Encoder {
    fn sample_rate_hz(&self) -> u32 {
        self.rate_hz
    }

    fn is_frame_length(&self, samples: usize) -> bool {
        (1..=longest_packet_samples(self.rate_hz)).contains(&samples)
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<Encoded, CodecError> {
        if !self.is_frame_length(pcm.len()) {
            return Err(CodecError::BadFrameLength);
        }
        let payload = payload.get_mut(..pcm.len() * SAMPLE_BYTES).ok_or(CodecError::OutputTooSmall)?;
        for (bytes, sample) in payload.as_chunks_mut().0.iter_mut().zip(pcm) {
            *bytes = sample.to_be_bytes();
        }
        Ok(Encoded::Payload(payload.len()))
    }

    fn reset(&mut self) {}
}

/// One stream's decoder.
pub(super) struct Decoder {
    rate_hz: u32,
    concealment: Extrapolator,
}

impl Decoder {
    /// Fails with [`CodecError::BadSampleRate`] for PCM of any rate but that of the clock.
    pub(super) fn new(clock_rate_hz: u32, sample_rate_hz: u32) -> Result<Self, CodecError> {
        let rate_hz = checked_rate(clock_rate_hz, sample_rate_hz)?;
        Ok(Self { rate_hz, concealment: Extrapolator::new(rate_hz) })
    }
}

impl super::Decoder for Decoder {
    fn sample_rate_hz(&self) -> u32 {
        self.rate_hz
    }

    fn packet_samples(&self, payload: &[u8]) -> Option<usize> {
        sample_count(payload, self.rate_hz)
    }

    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        let samples = self.packet_samples(payload).ok_or(CodecError::Malformed)?;
        let pcm = pcm.get_mut(..samples).ok_or(CodecError::OutputTooSmall)?;
        for (sample, bytes) in pcm.iter_mut().zip(payload.as_chunks().0) {
            *sample = i16::from_be_bytes(*bytes);
        }
        self.concealment.receive(pcm);
        Ok(samples)
    }

    fn takes_any_bytes(&self) -> bool {
        true
    }

    fn conceal(&mut self, pcm: &mut [i16]) -> bool {
        self.concealment.conceal(pcm);
        true
    }

    fn reset(&mut self) {
        self.concealment.reset();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codecs::{Decoder as _, Encoder as _};
    use crate::dsp::tone::Oscillator;

    #[test]
    fn samples_go_with_the_high_byte_first() {
        let mut payload = [0; 8];
        let mut encoder = Encoder::new(8_000, 8_000).unwrap();
        assert_eq!(encoder.encode(&[1, -2, i16::MIN, 0x1234], &mut payload), Ok(Encoded::Payload(8)));
        assert_eq!(payload, [0x00, 0x01, 0xff, 0xfe, 0x80, 0x00, 0x12, 0x34]);
        let mut pcm = [0; 4];
        assert_eq!(Decoder::new(8_000, 8_000).unwrap().decode(&payload, &mut pcm), Ok(4));
        assert_eq!(pcm, [1, -2, i16::MIN, 0x1234]);
    }

    #[test]
    fn packets_of_ours_cross_any_path_in_one_piece() {
        for (rate_hz, longest_ms) in [(8_000, 70), (16_000, 30), (44_100, 10), (48_000, 10)] {
            assert_eq!(longest_ptime_ms(rate_hz), longest_ms, "{rate_hz} Hz");
            let bytes = audio_bytes(rate_hz, longest_ms) + OVERHEAD_BYTES;
            assert!(bytes <= SAFE_PAYLOAD_BYTES, "{bytes} bytes at {rate_hz} Hz");
        }
    }

    #[test]
    fn takes_packets_of_other_senders_as_long_as_a_buffer_holds_them() {
        for (rate_hz, longest) in [(8_000, 1_920), (16_000, 1_920), (44_100, 1_920), (48_000, 1_920)] {
            let decoder = Decoder::new(rate_hz, rate_hz).unwrap();
            assert_eq!(decoder.packet_samples(&vec![0; longest]), Some(longest / 2), "{rate_hz} Hz");
            for bytes in [0, 1, 321, longest + 2] {
                assert_eq!(decoder.packet_samples(&vec![0; bytes]), None, "{bytes} bytes at {rate_hz} Hz");
            }
        }
    }

    #[test]
    fn runs_at_the_rate_of_its_clock_alone() {
        assert_eq!(Encoder::new(16_000, 8_000).err(), Some(CodecError::BadSampleRate));
        assert_eq!(Decoder::new(8_000, 16_000).err(), Some(CodecError::BadSampleRate));
    }

    #[test]
    fn a_lost_packet_sounds_like_the_one_before() {
        for rate_hz in RATES_HZ {
            let samples = usize::try_from(rate_hz / 100).unwrap();
            let (mut encoder, mut decoder) =
                (Encoder::new(rate_hz, rate_hz).unwrap(), Decoder::new(rate_hz, rate_hz).unwrap());
            let mut tone = Oscillator::new(&[400.0], -10.0, rate_hz);
            let (mut pcm, mut payload) = (vec![0; samples], vec![0; samples * SAMPLE_BYTES]);
            let power = |pcm: &[i16]| pcm.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
            let mut before = 0.0;
            for _ in 0..10 {
                tone.fill(&mut pcm);
                encoder.encode(&pcm, &mut payload).unwrap();
                decoder.decode(&payload, &mut pcm).unwrap();
                before = power(&pcm);
            }
            assert!(decoder.conceal(&mut pcm));
            assert!((0.7..1.3).contains(&(power(&pcm) / before)), "{rate_hz} Hz");
            (0..10).for_each(|_| assert!(decoder.conceal(&mut pcm)));
            assert!(pcm.iter().all(|sample| *sample == 0), "and fades");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_samples_or_no_packet(payload in prop::collection::vec(any::<u8>(), 0..2_000)) {
            for rate_hz in RATES_HZ {
                let mut decoder = Decoder::new(rate_hz, rate_hz).unwrap();
                let mut pcm = [0; MAX_PAYLOAD_BYTES / SAMPLE_BYTES];
                prop_assert_eq!(decoder.decode(&payload, &mut pcm).ok(), decoder.packet_samples(&payload));
            }
        }
    }
}
