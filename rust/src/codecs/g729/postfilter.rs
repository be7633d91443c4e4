//! The postfilter of Annex A: long-term, short-term and tilt filters, then gain control.
//!
//! Clauses A.4.2.1 to A.4.2.4. In frames of comfort noise the long-term filter rests (Annex B).

use super::filters::{self, Predictor, residu, syn_filt, weight_az};
use super::functions::inv_sqrt;
use super::operators::{
    add, div_s, dot, dot_unsaturated, energy, extract_h, l_mac, l_mult, l_shl, l_shr, mult, norm_l, round,
    saturated_energy, sub,
};
use super::{L_FRAME, L_SUBFR, M, PIT_MAX};

/// Length of the truncated impulse response of the short-term filter.
const L_H: usize = 22;
/// Weights of the numerator and denominator of the short-term filter: 0.55 and 0.70, Q15.
const GAMMA2_PST: i16 = 18_022;
const GAMMA1_PST: i16 = 22_938;
/// Factor of the tilt filter: 0.8, Q15.
const MU: i16 = 26_214;
/// Memory of the gain control: 0.9, Q15, and its complement.
const AGC_FAC: i16 = 29_491;
const AGC_FAC1: i16 = 3_276;

#[derive(Debug, Clone)]
pub(super) struct Postfilter {
    /// Speech before the filter: M samples of the last frame.
    speech: [i16; M],
    residual: [i16; PIT_MAX + L_SUBFR],
    /// [`residual`](Self::residual) divided by four.
    scaled: [i16; PIT_MAX + L_SUBFR],
    synthesis: [i16; M],
    tilt: i16,
    gain: i16,
}

impl Postfilter {
    pub(super) fn new() -> Self {
        Self {
            speech: [0; M],
            residual: [0; PIT_MAX + L_SUBFR],
            scaled: [0; PIT_MAX + L_SUBFR],
            synthesis: [0; M],
            tilt: 0,
            gain: 4_096,
        }
    }

    /// Filters one frame in place. `predictors` and `lags`: of its subframes; `is_speech`: no comfort noise.
    pub(super) fn run(
        &mut self,
        speech: &mut [i16; L_FRAME],
        predictors: &[Predictor; 2],
        lags: [usize; 2],
        is_speech: bool,
    ) {
        for (subframe, (predictor, lag)) in speech.chunks_exact_mut(L_SUBFR).zip(predictors.iter().zip(lags)) {
            let numerator = weight_az(predictor, GAMMA2_PST);
            let denominator = weight_az(predictor, GAMMA1_PST);
            let mut input = [0; M + L_SUBFR];
            input[..M].copy_from_slice(&self.speech);
            input[M..].copy_from_slice(subframe);
            self.speech.copy_from_slice(&input[L_SUBFR..]);

            let residual = residu(&numerator, &input);
            self.residual[PIT_MAX..].copy_from_slice(&residual);
            self.scaled[PIT_MAX..].copy_from_slice(&residual.map(|sample| sample >> 2));
            let mut filtered = if is_speech { self.long_term(lag) } else { residual };
            self.compensate_tilt(&mut filtered, tilt(&numerator, &denominator));
            syn_filt(&denominator, &filtered, subframe, &self.synthesis);
            self.synthesis.copy_from_slice(&subframe[L_SUBFR - M..]);
            self.control_gain(&input[M..], subframe);
            self.residual.copy_within(L_SUBFR.., 0);
            self.scaled.copy_within(L_SUBFR.., 0);
        }
    }

    /// `pit_pst_filt`: enhances the harmonics of the lag near `lag` that correlates best.   Clause A.4.2.1.
    fn long_term(&self, lag: usize) -> [i16; L_SUBFR] {
        let highest = (lag + 3).min(PIT_MAX);
        let signal = &self.scaled[PIT_MAX..];
        let delayed = |lag: usize| &self.scaled[PIT_MAX - lag..PIT_MAX - lag + L_SUBFR];
        // All partial sums are bounded by the energies (Cauchy-Schwarz), if the whole buffer's does not saturate.
        let is_bounded = energy(0, &self.scaled).is_some();
        let mut best = (i32::MIN, highest);
        for lag in highest - 6..=highest {
            let correlation =
                if is_bounded { dot_unsaturated(signal, delayed(lag)) } else { dot(0, signal, delayed(lag)) };
            // The operators compare by a difference, which saturates but keeps its sign.
            if correlation > best.0 {
                best = (correlation, lag);
            }
        }
        let (correlation, lag) = (best.0.max(0), best.1);
        let energy_delayed = saturated_energy(1, delayed(lag));
        let energy = saturated_energy(1, signal);
        let norm = norm_l(correlation.max(energy_delayed).max(energy));
        let [cmax, en, en0] = [correlation, energy_delayed, energy].map(|x| round(l_shl(x, norm)));

        let mut filtered = [0; L_SUBFR];
        let residual = &self.residual[PIT_MAX..];
        if l_mult(cmax, cmax).saturating_sub(l_shr(l_mult(en, en0), 1)) < 0 {
            // A prediction gain below 3 dB.
            filtered.copy_from_slice(residual);
            return filtered;
        }
        let (direct, harmonic) = harmonic_gains(cmax, en);
        let past = &self.residual[PIT_MAX - lag..];
        for (filtered, (&sample, &past)) in filtered.iter_mut().zip(residual.iter().zip(past)) {
            *filtered = add(mult(direct, sample), mult(harmonic, past));
        }
        filtered
    }

    /// `preemphasis`: tilt compensation.   Clause A.4.2.3.
    fn compensate_tilt(&mut self, signal: &mut [i16; L_SUBFR], factor: i16) {
        for sample in signal {
            let past = std::mem::replace(&mut self.tilt, *sample);
            *sample = sub(*sample, mult(factor, past));
        }
    }

    /// `agc`: brings the level back to that of the input.   Clause A.4.2.4.
    fn control_gain(&mut self, input: &[i16], output: &mut [i16]) {
        let energy_out = scaled_energy(output);
        if energy_out == 0 {
            self.gain = 0;
            return;
        }
        let energy_in = scaled_energy(input);
        let target = if energy_in == 0 {
            0
        } else {
            let (shift_out, shift_in) = (norm_l(energy_out) - 1, norm_l(energy_in));
            let ratio = div_s(round(l_shl(energy_out, shift_out)), round(l_shl(energy_in, shift_in)));
            let ratio = l_shr(l_shl(i32::from(ratio), 7), shift_out - shift_in);
            mult(round(l_shl(inv_sqrt(ratio), 9)), AGC_FAC1)
        };
        for sample in output {
            self.gain = add(mult(self.gain, AGC_FAC), target);
            *sample = extract_h(l_shl(l_mult(*sample, self.gain), 3));
        }
    }
}

/// The energy of a quarter of the signal.
fn scaled_energy(signal: &[i16]) -> i32 {
    let mut quarter = [0; L_SUBFR];
    for (quarter, &sample) in quarter.iter_mut().zip(signal) {
        *quarter = sample >> 2;
    }
    saturated_energy(0, &quarter)
}

/// Gains of the signal and of its delayed self, Q15.
fn harmonic_gains(cmax: i16, en: i16) -> (i16, i16) {
    if cmax > en {
        // 1 / 1.5 and 0.5 / 1.5.
        return (21_845, 10_923);
    }
    let weighted = mult(cmax, 16_384) >> 1;
    let sum = add(weighted, en >> 1);
    if sum > 0 {
        let harmonic = div_s(weighted, sum);
        (sub(i16::MAX, harmonic), harmonic)
    } else {
        (i16::MAX, 0)
    }
}

/// The factor of the tilt filter, from the impulse response of the short-term filter.
fn tilt(numerator: &Predictor, denominator: &Predictor) -> i16 {
    let mut input = [0; L_H];
    input[..=M].copy_from_slice(numerator);
    let mut h = [0; L_H];
    filters::syn_filt(denominator, &input, &mut h, &[0; M]);
    let r0 = extract_h(h[1..].iter().fold(l_mult(h[0], h[0]), |sum, &x| l_mac(sum, x, x)));
    let r1 = extract_h((1..L_H - 1).fold(l_mult(h[0], h[1]), |sum, i| l_mac(sum, h[i], h[i + 1])));
    if r1 <= 0 { 0 } else { div_s(mult(r1, MU), r0) }
}
