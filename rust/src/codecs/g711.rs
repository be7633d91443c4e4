//! G.711: A-law and mu-law companding, 8 kHz, one byte a sample.
//!
//! Owns the two laws; the conversion between them is in [`conversion`]. Every table is computed at compile time from the
//! segment formulas of the Recommendation, and where the processor can, many samples are done at a time without any.
//! ITU-T G.711 (tables 1 and 2), RFC 3551 section 4.5.14.

mod conversion;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::{CodecError, Decoder, Encoded, Encoder, MAX_PACKET_MS};

pub use conversion::{alaw_to_ulaw, ulaw_to_alaw};

/// Which companding law.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Law {
    /// A-law: 13-bit linear values, most of the world.
    Alaw,
    /// mu-law: 14-bit linear values, North America and Japan.
    Ulaw,
}

const SAMPLE_RATE_HZ: u32 = 8_000;
const MAX_PACKET_SAMPLES: usize = (SAMPLE_RATE_HZ / 1_000 * MAX_PACKET_MS) as usize;

/// Linear value of an A-law byte, 16-bit scale (13 significant bits). G.711 table 1, even bits inverted.
const fn alaw_expand(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let segment = (code >> 4) & 7;
    let step = (code & 0x0f) as i16;
    // Decision values lie on a grid of 16; the output is the middle of the interval.
    let magnitude = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    if code & 0x80 != 0 { magnitude } else { -magnitude }
}

/// A-law byte of a 16-bit linear value; the three low bits do not count. G.711 table 1.
const fn alaw_compress(linear: i16) -> u8 {
    // One's complement for the negative side makes the two halves mirror images without a special zero.
    let (sign, magnitude) = if linear < 0 { (0, !linear >> 4) } else { (0x80, linear >> 4) };
    let segment = if magnitude < 16 { 0 } else { 12 - magnitude.leading_zeros() };
    let step = if segment == 0 { magnitude } else { (magnitude >> (segment - 1)) & 0x0f };
    // Both parts are below 128 by construction: magnitude < 2,048, so segment <= 7 and step <= 15.
    (sign | segment.to_le_bytes()[0] << 4 | step.to_le_bytes()[0]) ^ 0x55
}

/// Linear value of a mu-law byte, 16-bit scale (14 significant bits). G.711 table 2, all bits inverted.
const fn ulaw_expand(byte: u8) -> i16 {
    let code = !byte;
    let segment = (code >> 4) & 7;
    let step = (code & 0x0f) as i16;
    let magnitude = (((step << 3) + 0x84) << segment) - 0x84;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

/// mu-law byte of a 16-bit linear value; the two low bits do not count. G.711 table 2.
const fn ulaw_compress(linear: i16) -> u8 {
    let (sign, magnitude) = if linear < 0 { (0x80, !linear >> 2) } else { (0, linear >> 2) };
    // The bias of 33 turns the segment edges into powers of two; the top value is clipped.
    let biased = if magnitude + 33 > 0x1fff { 0x1fff } else { magnitude + 33 };
    // 33 <= biased <= 8,191: between 2 and 10 leading zeros, so segment <= 7.
    let segment = 10 - biased.leading_zeros();
    let step = (biased >> (segment + 1)) & 0x0f;
    !(sign | segment.to_le_bytes()[0] << 4 | step.to_le_bytes()[0])
}

const fn expand_table(law: Law) -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte: usize = 0;
    while byte < table.len() {
        table[byte] = match law {
            Law::Alaw => alaw_expand(byte.to_le_bytes()[0]),
            Law::Ulaw => ulaw_expand(byte.to_le_bytes()[0]),
        };
        byte += 1;
    }
    table
}

const fn alaw_compress_table() -> [u8; 4_096] {
    let mut table = [0; 4_096];
    let mut linear = i16::MIN;
    loop {
        table[alaw_index(linear)] = alaw_compress(linear);
        if linear > i16::MAX - 16 {
            return table;
        }
        linear += 16;
    }
}

const fn ulaw_compress_table() -> [u8; 16_384] {
    let mut table = [0; 16_384];
    let mut linear = i16::MIN;
    loop {
        table[ulaw_index(linear)] = ulaw_compress(linear);
        if linear > i16::MAX - 4 {
            return table;
        }
        linear += 4;
    }
}

/// The 12 bits that A-law looks at, as an index from 0 to 4,095.
const fn alaw_index(linear: i16) -> usize {
    (linear.cast_unsigned() >> 4) as usize
}

/// The 14 bits that mu-law looks at, as an index from 0 to 16,383.
const fn ulaw_index(linear: i16) -> usize {
    (linear.cast_unsigned() >> 2) as usize
}

static ALAW_TO_LINEAR: [i16; 256] = expand_table(Law::Alaw);
static ULAW_TO_LINEAR: [i16; 256] = expand_table(Law::Ulaw);
static LINEAR_TO_ALAW: [u8; 4_096] = alaw_compress_table();
static LINEAR_TO_ULAW: [u8; 16_384] = ulaw_compress_table();

impl Law {
    /// The 16-bit linear value of one byte.
    #[must_use]
    pub fn expand(self, byte: u8) -> i16 {
        match self {
            Self::Alaw => ALAW_TO_LINEAR[usize::from(byte)],
            Self::Ulaw => ULAW_TO_LINEAR[usize::from(byte)],
        }
    }

    /// The byte whose interval holds this 16-bit linear value.
    #[must_use]
    pub fn compress(self, linear: i16) -> u8 {
        match self {
            Self::Alaw => LINEAR_TO_ALAW[alaw_index(linear)],
            Self::Ulaw => LINEAR_TO_ULAW[ulaw_index(linear)],
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Alaw => Self::Ulaw,
            Self::Ulaw => Self::Alaw,
        }
    }

    /// The byte for silence.
    #[must_use]
    pub const fn silence(self) -> u8 {
        match self {
            Self::Alaw => 0xd5,
            Self::Ulaw => 0xff,
        }
    }
}

/// Expands each byte of `from` into the sample at its place in `to`, as many as there are of both.
fn expand_all(law: Law, from: &[u8], to: &mut [i16]) {
    #[cfg(target_arch = "x86_64")]
    let (from, to) = x86::expand(law, from, to);
    expand_by_table(law, from, to);
}

/// The safe twin of whatever is faster.
fn expand_by_table(law: Law, from: &[u8], to: &mut [i16]) {
    let table = match law {
        Law::Alaw => &ALAW_TO_LINEAR,
        Law::Ulaw => &ULAW_TO_LINEAR,
    };
    for (sample, &byte) in to.iter_mut().zip(from) {
        *sample = table[usize::from(byte)];
    }
}

/// Compresses each sample of `from` into the byte at its place in `to`, as many as there are of both.
fn compress_all(law: Law, from: &[i16], to: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    let (from, to) = x86::compress(law, from, to);
    compress_by_table(law, from, to);
}

/// The safe twin of whatever is faster.
fn compress_by_table(law: Law, from: &[i16], to: &mut [u8]) {
    match law {
        Law::Alaw => to.iter_mut().zip(from).for_each(|(byte, &s)| *byte = LINEAR_TO_ALAW[alaw_index(s)]),
        Law::Ulaw => to.iter_mut().zip(from).for_each(|(byte, &s)| *byte = LINEAR_TO_ULAW[ulaw_index(s)]),
    }
}

/// Encoder and decoder in one: G.711 has no state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coder {
    law: Law,
}

impl Coder {
    pub(super) fn new(law: Law, sample_rate_hz: u32) -> Result<Self, CodecError> {
        if sample_rate_hz == SAMPLE_RATE_HZ { Ok(Self { law }) } else { Err(CodecError::BadSampleRate) }
    }
}

impl Decoder for Coder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn packet_samples(&self, payload: &[u8]) -> Option<usize> {
        (1..=MAX_PACKET_SAMPLES).contains(&payload.len()).then_some(payload.len())
    }

    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        let samples = self.packet_samples(payload).ok_or(CodecError::Malformed)?;
        let pcm = pcm.get_mut(..samples).ok_or(CodecError::OutputTooSmall)?;
        expand_all(self.law, payload, pcm);
        Ok(samples)
    }

    fn takes_any_bytes(&self) -> bool {
        true
    }

    fn reset(&mut self) {}
}

impl Encoder for Coder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn is_frame_length(&self, samples: usize) -> bool {
        (1..=MAX_PACKET_SAMPLES).contains(&samples)
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<Encoded, CodecError> {
        if !self.is_frame_length(pcm.len()) {
            return Err(CodecError::BadFrameLength);
        }
        let payload = payload.get_mut(..pcm.len()).ok_or(CodecError::OutputTooSmall)?;
        compress_all(self.law, pcm, payload);
        Ok(Encoded::Payload(pcm.len()))
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests;
