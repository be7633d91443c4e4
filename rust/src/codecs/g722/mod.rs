//! G.722 at 64 kbit/s: two bands of adaptive differential PCM, 16,000 samples and 8,000 bytes a second.
//!
//! Owns the codec and its concealment. Bit-exact as the Recommendation defines it, whose names the functions bear. State
//! is fixed and made once; any bytes and any samples are taken. In RTP its clock runs at 8,000 Hz by an old mistake that
//! became the rule: a timestamp unit is a byte, and two samples. Must not know of packets, clocks or timers.
//!
//! ITU-T G.722 (the codec, mode 1), RFC 3551 section 4.5.2 (packing, clock).

mod band;
mod concealment;
mod qmf;

use super::{CodecError, Encoded, MAX_PACKET_MS};
use crate::dsp::ceiling::DoubtCeiling;
use band::{Band, high, low};
use concealment::Concealment;
use qmf::{Analysis, Synthesis};

pub(super) const SAMPLE_RATE_HZ: u32 = 16_000;

/// Bytes of a packet, at most: eight a millisecond.
const MAX_PACKET_BYTES: usize = MAX_PACKET_MS as usize * 8;

/// The byte that tells neither band of any difference, so that both fall silent.
pub(super) const SILENCE: u8 = 0xfd;

/// One direction's encoder.
pub(super) struct Encoder {
    analysis: Analysis,
    low: Band,
    high: Band,
}

impl Encoder {
    /// Fails with [`CodecError::BadSampleRate`] for any rate but 16,000 Hz.
    pub(super) fn new(sample_rate_hz: u32) -> Result<Self, CodecError> {
        if sample_rate_hz == SAMPLE_RATE_HZ { Ok(Self::start()) } else { Err(CodecError::BadSampleRate) }
    }

    const fn start() -> Self {
        Self { analysis: Analysis::new(), low: Band::low(), high: Band::high() }
    }

    /// Codes two samples. The byte has the lower band's code in its six low bits.
    fn code(&mut self, pair: [i16; 2]) -> u8 {
        let (xl, xh) = self.analysis.split(pair);
        high::encode(&mut self.high, xh) << 6 | low::encode(&mut self.low, xl)
    }
}

impl super::Encoder for Encoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn is_frame_length(&self, samples: usize) -> bool {
        samples.is_multiple_of(2) && (1..=MAX_PACKET_BYTES).contains(&(samples / 2))
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<Encoded, CodecError> {
        if !self.is_frame_length(pcm.len()) {
            return Err(CodecError::BadFrameLength);
        }
        let payload = payload.get_mut(..pcm.len() / 2).ok_or(CodecError::OutputTooSmall)?;
        for (byte, pair) in payload.iter_mut().zip(pcm.as_chunks().0) {
            *byte = self.code(*pair);
        }
        Ok(Encoded::Payload(payload.len()))
    }

    fn reset(&mut self) {
        *self = Self::start();
    }
}

/// One stream's decoder.
pub(super) struct Decoder {
    low: Band,
    high: Band,
    synthesis: Synthesis,
    ceiling: DoubtCeiling,
    concealment: Concealment,
}

impl Decoder {
    /// Fails with [`CodecError::BadSampleRate`] for any rate but 16,000 Hz.
    pub(super) fn new(sample_rate_hz: u32) -> Result<Self, CodecError> {
        if sample_rate_hz != SAMPLE_RATE_HZ {
            return Err(CodecError::BadSampleRate);
        }
        Ok(Self {
            low: Band::low(),
            high: Band::high(),
            synthesis: Synthesis::new(),
            ceiling: DoubtCeiling::new(SAMPLE_RATE_HZ),
            concealment: Concealment::new(),
        })
    }

    fn decode_byte(&mut self, byte: u8) -> [i16; 2] {
        let rl = low::decode(&mut self.low, byte & 0x3f);
        let rh = high::decode(&mut self.high, byte >> 6);
        self.synthesis.join(rl, rh)
    }
}

impl super::Decoder for Decoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn packet_samples(&self, payload: &[u8]) -> Option<usize> {
        (1..=MAX_PACKET_BYTES).contains(&payload.len()).then_some(payload.len() * 2)
    }

    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        let samples = self.packet_samples(payload).ok_or(CodecError::Malformed)?;
        let pcm = pcm.get_mut(..samples).ok_or(CodecError::OutputTooSmall)?;
        for (pair, &byte) in pcm.as_chunks_mut().0.iter_mut().zip(payload) {
            *pair = self.decode_byte(byte);
        }
        if !payload.iter().copied().all(is_sent) {
            self.ceiling.doubt();
        }
        self.ceiling.bound(pcm);
        self.concealment.receive(pcm);
        Ok(samples)
    }

    fn conceal(&mut self, pcm: &mut [i16]) -> bool {
        self.concealment.conceal(pcm);
        true
    }

    fn reset(&mut self) {
        (self.low, self.high) = (Band::low(), Band::high());
        self.synthesis = Synthesis::new();
        self.ceiling = DoubtCeiling::new(SAMPLE_RATE_HZ);
        self.concealment.reset();
    }
}

/// Whether an encoder may say so, in whatever mode: in the lower band the first of sixteen intervals has no meaning. Of 20 ms
/// of random bytes 29,999 in 30,000 give themselves away by it.
fn is_sent(byte: u8) -> bool {
    byte & 0x3c != 0
}

#[cfg(test)]
mod tests;
