//! Frames on the wire: the parameters of 10 ms in 10 bytes, most significant bit first.
//!
//! Table 8 of the Recommendation and RFC 3551 section 4.5.6; SID frames: table B.2, padded to two bytes.

use super::L_SUBFR;
use super::adaptive_codebook::parity;
use super::lsp_quantizer;
use super::silence::sid;

/// Bytes of a speech frame.
pub(super) const SPEECH_BYTES: usize = 10;
/// Bytes of a SID frame.
pub(super) const SID_BYTES: usize = 2;

/// What there is of 10 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Speech(Speech),
    /// Description of comfort noise.
    Sid(Sid),
    /// Not sent, because nobody speaks and the noise is as before.
    Untransmitted,
    /// Erased on its way, whatever it was.
    Lost,
}

/// What a speech frame says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Speech {
    pub(super) lsp: lsp_quantizer::Indices,
    pub(super) subframes: [Subframe; 2],
    /// Of the first subframe's lag.
    pub(super) parity: u8,
}

/// What a subframe says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Subframe {
    /// 8 bits in the first subframe, 5 in the second.
    pub(super) lag: u8,
    pub(super) code: Code,
    /// 7 bits: 3 of the first codebook, 4 of the second.
    pub(super) gains: u8,
}

/// Four pulses: 13 bits of positions, 4 of signs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) positions: u16,
    pub(super) signs: u8,
}

/// What a SID frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sid {
    pub(super) spectrum: sid::Indices,
    /// 5 bits.
    pub(super) gain: usize,
}

/// Takes and gives fields from the top of a number.
struct Fields {
    bits: u128,
    left: u32,
}

impl Fields {
    fn take(&mut self, width: u32) -> usize {
        self.left -= width;
        // At most 13 bits.
        usize::from(u16::try_from((self.bits >> self.left) & ((1 << width) - 1)).unwrap_or(0))
    }

    fn take_u8(&mut self, width: u32) -> u8 {
        self.take(width).to_le_bytes()[0]
    }

    fn put(&mut self, width: u32, value: usize) {
        self.bits = (self.bits << width) | (value as u128 & ((1 << width) - 1));
    }
}

impl Speech {
    pub(super) fn read(bytes: &[u8; SPEECH_BYTES]) -> Self {
        let bits = bytes.iter().fold(0, |bits, &byte| (bits << 8) | u128::from(byte));
        let mut fields = Fields { bits, left: 80 };
        let lsp = lsp_quantizer::Indices {
            mode: fields.take(1),
            first: fields.take(7),
            lower: fields.take(5),
            upper: fields.take(5),
        };
        let lag = fields.take_u8(8);
        let parity = fields.take_u8(1);
        let first = Subframe::read(lag, &mut fields);
        let lag = fields.take_u8(5);
        Self { lsp, parity, subframes: [first, Subframe::read(lag, &mut fields)] }
    }

    /// Whether the first lag came as it was sent, as far as one bit can tell.
    pub(super) fn has_right_parity(&self) -> bool {
        self.parity == parity(self.subframes[0].lag)
    }

    pub(super) fn write(&self, bytes: &mut [u8; SPEECH_BYTES]) {
        let mut fields = Fields { bits: 0, left: 0 };
        fields.put(1, self.lsp.mode);
        fields.put(7, self.lsp.first);
        fields.put(5, self.lsp.lower);
        fields.put(5, self.lsp.upper);
        fields.put(8, self.subframes[0].lag.into());
        fields.put(1, self.parity.into());
        self.subframes[0].write(&mut fields);
        fields.put(5, self.subframes[1].lag.into());
        self.subframes[1].write(&mut fields);
        bytes.copy_from_slice(&fields.bits.to_be_bytes()[16 - SPEECH_BYTES..]);
    }
}

impl Subframe {
    fn read(lag: u8, fields: &mut Fields) -> Self {
        let positions = u16::from_le_bytes([fields.take_u8(5), 0]) << 8 | u16::from(fields.take_u8(8));
        let code = Code { positions, signs: fields.take_u8(4) };
        Self { lag, code, gains: fields.take_u8(7) }
    }

    fn write(self, fields: &mut Fields) {
        fields.put(13, self.code.positions.into());
        fields.put(4, self.code.signs.into());
        fields.put(7, self.gains.into());
    }
}

impl Sid {
    pub(super) fn read(bytes: [u8; SID_BYTES]) -> Self {
        let mut fields = Fields { bits: u16::from_be_bytes(bytes).into(), left: 16 };
        let spectrum = sid::Indices { mode: fields.take(1), first: fields.take(5), second: fields.take(4) };
        Self { spectrum, gain: fields.take(5) }
    }

    pub(super) fn write(self) -> [u8; SID_BYTES] {
        let mut fields = Fields { bits: 0, left: 0 };
        fields.put(1, self.spectrum.mode);
        fields.put(5, self.spectrum.first);
        fields.put(4, self.spectrum.second);
        fields.put(5, self.gain);
        // The last bit is unused.
        fields.put(1, 0);
        let bytes = fields.bits.to_be_bytes();
        [bytes[14], bytes[15]]
    }
}

/// `Decod_ACELP`: the pulses of a code, +-1 in Q13.   Clause 4.1.4, table 7.
pub(super) fn pulses(code: Code) -> [i16; L_SUBFR] {
    let field = |shift: u32| usize::from((code.positions >> shift) & 7) * 5;
    let last = usize::from((code.positions >> 9) & 1);
    let mut pulses = [0; L_SUBFR];
    for (track, position) in [field(0), field(3) + 1, field(6) + 2, field(10) + 3 + last].into_iter().enumerate() {
        pulses[position] = if (code.signs >> track) & 1 == 1 { 8_191 } else { -8_192 };
    }
    pulses
}
