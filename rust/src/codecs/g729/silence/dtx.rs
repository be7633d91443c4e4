//! Discontinuous transmission: when the encoder describes the background noise, and how.
//!
//! Keeps autocorrelations and energies of the last frames; a SID frame is sent when the noise has changed. Clause B.4.1,
//! B.4.2.

use super::comfort_noise::Gain;
use super::sid::{self, Energy};
use super::tables::TAB_SIDGAIN;
use crate::codecs::g729::M;
use crate::codecs::g729::bitstream::Sid;
use crate::codecs::g729::filters::Predictor;
use crate::codecs::g729::lp_analysis::{Autocorrelation, Levinson};
use crate::codecs::g729::lsp::{Spectrum, az_lsp};
use crate::codecs::g729::lsp_quantizer::Memory;
use crate::codecs::g729::operators::{
    Dpf, add, dot, extract_h, l_shl, l_shr, mult_r, norm_l, round, saturated_energy, shr, sub,
};

/// Frames of which the present spectrum is made.
const NB_CURACF: usize = 2;
/// Such pairs of which the past spectrum is made.
const NB_SUMACF: usize = 3;
/// Frames between two descriptions, at least.
const FR_SID_MIN: u8 = 3;
/// Thresholds of spectral change: against the last description, and between past and present.
const FRAC_THRESH1: i16 = 4_855;
const FRAC_THRESH2: i16 = 3_161;

/// Autocorrelation with a shift of its own.
#[derive(Debug, Clone, Copy)]
struct Shifted {
    r: [i16; M + 1],
    shift: i16,
}

impl Shifted {
    const NOTHING: Self = Self { r: [0; M + 1], shift: 40 };

    /// `Calc_sum_acf`
    fn sum(parts: &[Self]) -> Self {
        let least = parts.iter().fold(i16::MAX, |least, part| least.min(part.shift));
        let shift = add(least, 14);
        let mut sums = [0_i32; M + 1];
        for part in parts {
            for (sum, &r) in sums.iter_mut().zip(&part.r) {
                *sum = sum.saturating_add(l_shl(i32::from(r), sub(shift, part.shift)));
            }
        }
        let norm = norm_l(sums[0]);
        Self { r: sums.map(|sum| extract_h(l_shl(sum, norm))), shift: add(shift, sub(norm, 16)) }
    }

    fn exact(&self) -> [Dpf; M + 1] {
        self.r.map(|hi| Dpf { hi, lo: 0 })
    }
}

/// Autocorrelation of a predictor's coefficients, for the distance of Itakura.
#[derive(Debug, Clone, Copy)]
struct Reference {
    r: [i16; M + 1],
    shift: i16,
}

impl Reference {
    /// `Calc_RCoeff`
    fn new(predictor: &Predictor) -> Self {
        let energy = saturated_energy(0, predictor);
        let shift = norm_l(energy);
        let mut r = [round(l_shl(energy, shift)); M + 1];
        for (lag, r) in r.iter_mut().enumerate().skip(1) {
            *r = round(l_shl(dot(0, &predictor[..=M - lag], &predictor[lag..]), shift));
        }
        Self { r, shift }
    }

    /// `Cmp_filt`: whether a signal with this autocorrelation and residual energy differs by more than the threshold.
    fn is_far(&self, signal: &[i16; M + 1], residual: i16, threshold: i16) -> bool {
        // Either side is shifted in turn until the sum fits.
        let mut shifts = [0, 0];
        let mut turn = 1;
        let distance = loop {
            if let Some(distance) = self.distance(signal, shifts) {
                break distance;
            }
            shifts[turn] += 1;
            turn = 1 - turn;
        };
        let limit = i32::from(mult_r(residual, threshold)) + i32::from(residual);
        let limit = l_shl(limit, self.shift + 9 - shifts[0] - shifts[1]);
        distance.saturating_sub(limit) > 0
    }

    fn distance(&self, signal: &[i16; M + 1], shifts: [i16; 2]) -> Option<i32> {
        let product = |i: usize| {
            let product = i32::from(shr(self.r[i], shifts[0])) * i32::from(shr(signal[i], shifts[1]));
            product.checked_mul(2)
        };
        let start = l_shr(product(0)?, 1);
        (1..=M).try_fold(start, |sum, i| sum.checked_add(product(i)?))
    }
}

#[derive(Debug, Clone)]
pub(in crate::codecs::g729) struct Dtx {
    /// Of the last frames, newest first.
    current: [Shifted; NB_CURACF],
    past: [Shifted; NB_SUMACF],
    energies: [Energy; 2],
    /// How many energies belong to this stretch of noise.
    known: usize,
    /// Frames since the past was updated.
    phase: usize,
    /// Frames since the last description.
    age: u8,
    has_changed: bool,
    /// The last description.
    sent_energy: i16,
    reference: Reference,
    pub(in crate::codecs::g729) lsp: Spectrum,
    pub(in crate::codecs::g729) gain: Gain,
}

impl Dtx {
    pub(in crate::codecs::g729) fn new() -> Self {
        Self {
            current: [Shifted::NOTHING; NB_CURACF],
            past: [Shifted::NOTHING; NB_SUMACF],
            energies: [Energy { mantissa: 0, shift: 40 }; 2],
            known: 0,
            phase: 0,
            age: 0,
            has_changed: false,
            sent_energy: 0,
            reference: Reference { r: [0; M + 1], shift: 0 },
            lsp: [0; M],
            gain: Gain::default(),
        }
    }

    /// `Update_cng`: takes the autocorrelation of every frame, before the lag window.
    pub(in crate::codecs::g729) fn observe(&mut self, r: &Autocorrelation, is_speech: bool) {
        self.current.rotate_right(1);
        self.current[0] = Shifted { r: [0; M + 1], shift: -(r.exponent + 16) };
        for (kept, r) in self.current[0].r.iter_mut().zip(&r.r) {
            *kept = r.hi;
        }
        self.phase += 1;
        if self.phase == NB_CURACF {
            self.phase = 0;
            if is_speech {
                self.remember();
            }
        }
    }

    /// `Update_sumAcf`
    fn remember(&mut self) {
        self.past.rotate_right(1);
        self.past[0] = Shifted::sum(&self.current);
    }

    /// `Cod_cng`: the description to send for this frame of noise, if any. `is_first`: the frame before was speech.
    ///
    /// `old_lsp`: the quantized pairs of the frame before.
    pub(in crate::codecs::g729) fn describe(
        &mut self,
        is_first: bool,
        old_lsp: &Spectrum,
        levinson: &mut Levinson,
        memory: &mut Memory,
    ) -> Option<Sid> {
        let signal = Shifted::sum(&self.current);
        self.energies[1] = self.energies[0];
        self.energies[0].shift = signal.shift;
        let mut predictor = [0; M + 1];
        if signal.r[0] == 0 {
            self.energies[0].mantissa = 0;
        } else {
            let prediction = levinson.run(&signal.exact());
            predictor = prediction.predictor;
            // An unstable filter leaves the energy of the frame before.
            self.energies[0].mantissa = prediction.residual.unwrap_or(self.energies[0].mantissa);
        }
        let residual = self.energies[0].mantissa;
        self.known = if is_first { 1 } else { 2.min(self.known + 1) };
        let (index, energy) = sid::quantize_gain(&self.energies[..self.known]);
        let is_due = if is_first {
            true
        } else {
            self.has_changed |= self.reference.is_far(&signal.r, residual, FRAC_THRESH1);
            self.has_changed |= sub(self.sent_energy, energy).saturating_abs() > 2;
            self.age = FR_SID_MIN.min(self.age + 1);
            self.age == FR_SID_MIN && self.has_changed
        };
        let mut description = None;
        if is_due {
            self.age = 0;
            self.has_changed = false;
            let past = self.past_predictor(levinson);
            self.reference = Reference::new(&past);
            let lsp = if self.reference.is_far(&signal.r, residual, FRAC_THRESH2) {
                self.reference = Reference::new(&predictor);
                az_lsp(&predictor, old_lsp)
            } else {
                az_lsp(&past, old_lsp)
            };
            let spectrum;
            (spectrum, self.lsp) = sid::quantize(&lsp, memory);
            self.sent_energy = energy;
            self.gain.sent = TAB_SIDGAIN[index];
            description = Some(Sid { spectrum, gain: index });
        }
        if self.phase == 0 {
            self.remember();
        }
        description
    }

    /// `Calc_pastfilt`
    fn past_predictor(&self, levinson: &mut Levinson) -> Predictor {
        let past = Shifted::sum(&self.past);
        if past.r[0] == 0 {
            let mut predictor = [0; M + 1];
            predictor[0] = 4_096;
            return predictor;
        }
        levinson.run(&past.exact()).predictor
    }
}
