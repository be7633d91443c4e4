//! Gains of both codebooks: prediction from past frames, and decoding.
//!
//! Clauses 3.9.1 (prediction), 3.9.3 and 4.1.5 (decoding), 4.4.2 and 4.4.3 (lost frames).

use super::L_SUBFR;
use super::functions::{log2, pow2};
use super::operators::{Dpf, add, extract_h, extract_l, l_mac, l_mult, l_shl, l_shr, mult, saturated_energy, sub};
use super::tables::{GBK1, GBK2, IMAP1, IMAP2, PRED};

/// -14 dB in Q10: what the predictor starts with, and the least that lost frames leave.
const LOWEST: i16 = -14_336;

/// The errors of the last four predicted energies, newest first, in dB, Q10.
#[derive(Debug, Clone)]
pub(super) struct Predictor {
    past_qua_en: [i16; 4],
}

/// The predicted code gain: `mantissa * 2^-exponent`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Predicted {
    pub(super) mantissa: i16,
    pub(super) exponent: i16,
}

/// Gains of a subframe: of the adaptive codebook (Q14) and of the fixed one (Q1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gains {
    pub(super) pitch: i16,
    pub(super) code: i16,
}

impl Predictor {
    pub(super) fn new() -> Self {
        Self { past_qua_en: [LOWEST; 4] }
    }

    /// `Gain_predict`: the gain that past frames let expect for this code.   Equations 66 to 71.
    pub(super) fn predict(&self, code: &[i16; L_SUBFR]) -> Predicted {
        let (exponent, fraction) = log2(saturated_energy(0, code));
        // 127.298 - 10 log10(energy), Q14; then the mean of the four errors, Q24.
        let level = Dpf { hi: exponent, lo: fraction }.mpy_32_16(-24_660);
        let level = l_shl(l_mac(level, 32_588, 32), 10);
        let level = PRED.iter().zip(&self.past_qua_en).fold(level, |sum, (&factor, &past)| l_mac(sum, factor, past));
        // From dB to a power of two: log2(10) / 20 in Q15 is 5439.
        let power = Dpf::extract(l_shr(l_mult(extract_h(level), 5_439), 8));
        Predicted { mantissa: extract_l(pow2(14, power.lo)), exponent: sub(14, power.hi) }
    }

    /// `Gain_update`. `correction`: of the code gain, Q13.   Equation 72.
    fn update(&mut self, correction: i32) {
        let (exponent, fraction) = log2(correction);
        let level = Dpf { hi: sub(exponent, 13), lo: fraction }.compose();
        self.push(mult(extract_h(l_shl(level, 13)), 24_660));
    }

    /// `Gain_update_erasure`: what a lost frame leaves, 4 dB below the mean.   Equation 95.
    fn update_lost(&mut self) {
        let sum: i32 = self.past_qua_en.iter().copied().map(i32::from).sum();
        self.push(sub(extract_l(sum >> 2), 4_096).max(LOWEST));
    }

    fn push(&mut self, error: i16) {
        self.past_qua_en.rotate_right(1);
        self.past_qua_en[0] = error;
    }

    /// The gains of two codebook entries, which become part of the history.
    pub(super) fn dequantize(&mut self, first: usize, second: usize, predicted: Predicted) -> Gains {
        let [pitch1, code1] = GBK1[first];
        let [pitch2, code2] = GBK2[second];
        let correction = i32::from(code1) + i32::from(code2);
        let code = l_mult(extract_l(correction >> 1), predicted.mantissa);
        let code = extract_h(l_shl(code, sub(4, predicted.exponent)));
        self.update(correction);
        Gains { pitch: add(pitch1, pitch2), code }
    }

    /// `Dec_gain`. `index`: 7 bits.
    pub(super) fn decode(&mut self, index: u8, code: &[i16; L_SUBFR]) -> Gains {
        let first = usize::from(IMAP1[usize::from((index >> 4) & 7)]);
        let second = usize::from(IMAP2[usize::from(index & 15)]);
        let predicted = self.predict(code);
        self.dequantize(first, second, predicted)
    }

    /// `Dec_gain` for a lost frame: both gains fade.   Equations 93 and 94.
    pub(super) fn conceal(&mut self, last: Gains) -> Gains {
        self.update_lost();
        Gains { pitch: mult(last.pitch, 29_491).min(29_491), code: mult(last.code, 32_111) }
    }
}

/// The share of the pitch gain that sharpens the next code: 0.2 to 0.8, Q14.
pub(super) fn sharpening(pitch: i16) -> i16 {
    pitch.clamp(super::SHARPMIN, 13_017)
}
