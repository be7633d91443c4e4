//! Linear filters: LP residual and synthesis, bandwidth expansion, and the high-pass filters at both ends.

use super::gain::Gains;
use super::operators::{Dpf, add, dot_unsaturated, extract_l, l_mac, l_msu, l_mult, l_shl, mult, round, shl, sub};
use super::tables::{A100, A140, B100, B140};
use super::{L_SUBFR, M};

/// Coefficients of a predictor in Q12, the first being 1.
pub(super) type Predictor = [i16; M + 1];

/// A(z / gamma): each coefficient times the next power of `gamma` (Q15).
pub(super) fn weight_az(a: &Predictor, gamma: i16) -> Predictor {
    let mut weighted = *a;
    let mut factor = gamma;
    for (index, coefficient) in weighted.iter_mut().enumerate().skip(1) {
        *coefficient = round(l_mult(*coefficient, factor));
        if index < M {
            factor = round(l_mult(factor, gamma));
        }
    }
    weighted
}

/// (1 - 0.7 z^-1) A(z): the weighted speech of Annex A is low-pass filtered, for the open-loop pitch (clause A.3.3.3).
pub(super) fn tilted(a: &Predictor) -> Predictor {
    let mut tilted = *a;
    for index in 1..=M {
        tilted[index] = sub(a[index], mult(a[index - 1], 22_938));
    }
    tilted
}

/// The greatest magnitude among `samples`.
pub(super) fn peak(samples: &[i16]) -> i32 {
    let (low, high) = samples.iter().fold((0_i16, 0_i16), |(low, high), &sample| (low.min(sample), high.max(sample)));
    i32::from(high).max(-i32::from(low))
}

/// The sum of the magnitudes of the coefficients: what a filter can make of a sample.
fn gain(a: &Predictor) -> i32 {
    a.iter().map(|&coefficient| i32::from(coefficient).abs()).sum()
}

/// Up to this magnitude of samples, no partial sum of the filter saturates.
fn saturation_limit(a: &Predictor) -> i32 {
    ((1 << 30) - 1) / gain(a).max(1)
}

/// LP residual: filters one subframe by A(z). `x`: M samples of history, then the subframe.   Equation 36.
pub(super) fn residu(a: &Predictor, x: &[i16; M + L_SUBFR]) -> [i16; L_SUBFR] {
    let mut y = [0; L_SUBFR];
    if peak(x) <= saturation_limit(a) {
        let mut reversed = *a;
        reversed.reverse();
        for (y, window) in y.iter_mut().zip(x.windows(M + 1)) {
            *y = round(l_shl(dot_unsaturated(&reversed, window), 3));
        }
    } else {
        for (y, window) in y.iter_mut().zip(x.windows(M + 1)) {
            let sum = l_mult(window[M], a[0]);
            let sum = (1..=M).fold(sum, |sum, j| l_mac(sum, a[j], window[M - j]));
            *y = round(l_shl(sum, 3));
        }
    }
    y
}

/// LP synthesis: filters `x`, at most a subframe, by 1 / A(z) into `y` of the same length. `memory`: the last M outputs
/// before.
///
/// Returns whether a number saturated on the way, which the decoder must know.   Equation 77.
pub(super) fn syn_filt(a: &Predictor, x: &[i16], y: &mut [i16], memory: &[i16; M]) -> bool {
    let mut outputs = [0_i32; M + L_SUBFR];
    for (output, &memory) in outputs.iter_mut().zip(memory) {
        *output = i32::from(memory);
    }
    let limit = saturation_limit(a);
    let is_quiet = peak(x).max(peak(memory)) <= limit;
    let quiet = if is_quiet { quiet_synthesis(a, x, limit, &mut outputs) } else { 0 };
    let mut is_saturated = false;
    for (index, &x) in x.iter().enumerate().skip(quiet) {
        let Some((past, [output, ..])) = outputs.get_mut(index..).and_then(|rest| rest.split_first_chunk_mut::<M>())
        else {
            break;
        };
        let overflow;
        (*output, overflow) = saturating_step(a, x, past);
        is_saturated |= overflow;
    }
    for (y, &output) in y.iter_mut().zip(&outputs[M..]) {
        *y = extract_l(output);
    }
    is_saturated
}

/// The samples of [`syn_filt`] up to the first at which an operator might saturate; returns how many. No sample of `x` and
/// of the memory exceeds `limit`.
fn quiet_synthesis(a: &Predictor, x: &[i16], limit: i32, outputs: &mut [i32; M + L_SUBFR]) -> usize {
    // Below it, the shift by 1 + 3 bits and the rounding do not saturate.
    const UNSHIFTED: i32 = (1 << 27) - 0x1000;
    // Below it, the rounded output stays within the limit as well.
    let bound = limit.min(UNSHIFTED >> 12) << 12;
    let taps = a.map(i32::from);
    for (index, &x) in x.iter().enumerate() {
        let Some((past, [output, ..])) = outputs.get_mut(index..).and_then(|rest| rest.split_first_chunk_mut::<M>())
        else {
            return index;
        };
        let mut sum = taps[0].wrapping_mul(i32::from(x));
        for j in (0..M).rev() {
            sum = sum.wrapping_sub(taps[j + 1].wrapping_mul(past[M - 1 - j]));
        }
        if sum.wrapping_abs() >= bound - 0x1000 {
            return index;
        }
        *output = (sum + 0x800) >> 12;
    }
    x.len()
}

/// One sample of [`syn_filt`] by the saturating operators. `past`: the last M outputs, oldest first.
fn saturating_step(a: &Predictor, x: i16, past: &[i32; M]) -> (i32, bool) {
    let mut sum = l_mult(x, a[0]);
    let mut exact = i64::from(x) * i64::from(a[0]) * 2;
    let mut overflow = exact != i64::from(sum);
    for (&a, &past) in a[1..].iter().zip(past.iter().rev()) {
        let past = extract_l(past);
        exact = i64::from(sum) - 2 * i64::from(a) * i64::from(past);
        sum = l_msu(sum, a, past);
        overflow |= exact != i64::from(sum);
    }
    let shifted = l_shl(sum, 3);
    overflow |= i64::from(shifted) != i64::from(sum) * 8 || shifted.checked_add(0x8000).is_none();
    (i32::from(round(shifted)), overflow)
}

/// A second-order high-pass filter with a double precision recursion.
#[derive(Debug, Clone)]
pub(super) struct HighPass {
    b: [i16; 3],
    a: [i16; 3],
    /// Bits by which the sum is scaled up for the recursion, and then for the output.
    shifts: (i16, i16),
    x: [i16; 2],
    y: [Dpf; 2],
}

impl HighPass {
    /// 140 Hz, with a division by two: the encoder's input (clause 3.1).
    pub(super) fn input() -> Self {
        Self { b: B140, a: A140, shifts: (3, 0), x: [0; 2], y: [Dpf::default(); 2] }
    }

    /// 100 Hz, with a multiplication by two: the decoder's output (clause 4.2.5).
    pub(super) fn output() -> Self {
        Self { b: B100, a: A100, shifts: (2, 1), x: [0; 2], y: [Dpf::default(); 2] }
    }

    pub(super) fn run(&mut self, signal: &mut [i16]) {
        for sample in signal {
            let [x1, x2] = self.x;
            let [y1, y2] = self.y;
            let sum = y1.mpy_32_16(self.a[1]).saturating_add(y2.mpy_32_16(self.a[2]));
            let sum = l_mac(sum, *sample, self.b[0]);
            let sum = l_mac(sum, x1, self.b[1]);
            let sum = l_shl(l_mac(sum, x2, self.b[2]), self.shifts.0);
            self.x = [*sample, x1];
            self.y = [Dpf::extract(sum), y1];
            *sample = round(l_shl(sum, self.shifts.1));
        }
    }
}

/// `gain * x`, shifted left by one and rounded with the other half of an excitation (equation 75).
pub(super) fn total_excitation(excitation: &mut [i16], code: &[i16; L_SUBFR], gains: Gains) {
    for (sample, &pulse) in excitation.iter_mut().zip(code) {
        let sum = l_mac(l_mult(*sample, gains.pitch), pulse, gains.code);
        *sample = round(l_shl(sum, 1));
    }
}

/// Adds to a code the pitch harmonics that lag below a subframe has (equation 48). `sharp`: Q14.
pub(super) fn sharpen(code: &mut [i16; L_SUBFR], lag: usize, sharp: i16) {
    let gain = shl(sharp, 1);
    for index in lag..L_SUBFR {
        code[index] = add(code[index], mult(code[index - lag], gain));
    }
}
