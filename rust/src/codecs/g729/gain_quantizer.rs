//! The search of the conjugate gain codebook.
//!
//! Clause 3.9.2: the best unquantized gains preselect half of each codebook, and among those all pairs are tried.

use super::L_SUBFR;
use super::gain::{Gains, Predicted, Predictor};
use super::operators::{
    Dpf, add, div_s, dot, extract_h, extract_l, l_deposit_h, l_mult, l_shl, l_shr, mult, negate, norm_l, round,
    saturated_energy, shr, sub,
};
use super::pitch::Scaled;
use super::tables::{COEF, GBK1, GBK2, L_COEF, MAP1, MAP2, THR1, THR2};

/// Entries of each codebook that are preselected.
const NCAN1: usize = 4;
const NCAN2: usize = 8;
/// Greatest pitch gain while tamed: of the unquantized one (Q9), and of the quantized one (Q14).
const GPCLIP2: i16 = 481;
const GP0999: i16 = 16_383;
/// Q19.
const INV_COEF: i16 = -17_103;

/// Correlations of target `x`, filtered adaptive vector `y` and filtered code `z`, with the signs of the error's terms:
/// yy, -2xy, zz, -2xz, 2yz.   Equation 63.
pub(super) type Terms = [Scaled; 5];

/// `Corr_xy2`
pub(super) fn terms(
    target: &[i16; L_SUBFR],
    adaptive: &[i16; L_SUBFR],
    filtered_code: &[i16; L_SUBFR],
    (yy, xy): (Scaled, Scaled),
) -> Terms {
    let eighth = filtered_code.map(|sample| sample >> 3);
    let scaled = |sum: i32, offset: i16| {
        let norm = norm_l(sum);
        Scaled { mantissa: round(l_shl(sum, norm)), exponent: norm + offset }
    };
    let zz = scaled(saturated_energy(1, &eighth), 3);
    let xz = scaled(dot(1, target, &eighth), -7);
    let yz = scaled(dot(1, adaptive, &eighth), -7);
    [
        Scaled { exponent: yy.exponent - 15, ..yy },
        Scaled { mantissa: negate(xy.mantissa), exponent: xy.exponent - 16 },
        zz,
        Scaled { mantissa: negate(xz.mantissa), ..xz },
        yz,
    ]
}

/// `a b - c d`, normalized. `halve`: both products are halved first, since they may have either sign.
fn determinant(a: Scaled, b: Scaled, c: Scaled, d: Scaled, halve: i16) -> Scaled {
    let first = l_mult(a.mantissa, b.mantissa);
    let first_exponent = a.exponent + b.exponent - i16::from(halve == 0);
    let second = l_mult(c.mantissa, d.mantissa);
    let second_exponent = c.exponent + d.exponent + 1;
    let excess = first_exponent - second_exponent;
    let (difference, exponent) = if excess > 0 {
        (l_shr(first, excess + halve).saturating_sub(l_shr(second, halve)), second_exponent)
    } else {
        (l_shr(first, halve).saturating_sub(l_shr(second, halve - excess)), first_exponent)
    };
    let norm = norm_l(difference);
    Scaled { mantissa: extract_h(l_shl(difference, norm)), exponent: exponent - halve + norm - 16 }
}

/// The gains that minimize the error, unquantized: pitch (Q9) and code (Q2).
fn best_gains(terms: &Terms, is_tamed: bool) -> (i16, i16) {
    let [yy, xy, zz, xz, yz] = *terms;
    let denominator = determinant(yy, zz, yz, yz, 0);
    let inverse = Scaled { mantissa: negate(div_s(16_384, denominator.mantissa)), exponent: 29 - denominator.exponent };
    let quotient = |numerator: Scaled, format: i16| {
        let shift = numerator.exponent + inverse.exponent - (format + 15);
        extract_h(l_shr(l_mult(numerator.mantissa, inverse.mantissa), shift))
    };
    let pitch = quotient(determinant(zz, xy, xz, yz, 1), 9);
    let code = quotient(determinant(yy, xz, xy, yz, 1), 2);
    (if is_tamed { pitch.min(GPCLIP2) } else { pitch }, code)
}

/// `Gbk_presel`: the first candidate of each codebook. `predicted`: the predicted code gain, Q4.
fn preselect((pitch, code): (i16, i16), predicted: i16) -> (usize, usize) {
    let slope = l_mult(COEF[0][0], pitch);
    let x = extract_h(slope.saturating_add(l_shr(L_COEF[1][1], 15)));
    let x = l_shl(i32::from(code), 7).saturating_sub(l_mult(x, predicted));
    let x = l_mult(extract_h(l_shl(x, 2)), INV_COEF);
    let y = mult(extract_h(slope.saturating_sub(l_shr(L_COEF[0][1], 10))), predicted);
    let y = l_mult(y, COEF[1][0]).saturating_sub(l_shr(l_mult(COEF[0][0], code), 3));
    let y = l_mult(extract_h(l_shl(y, 2)), INV_COEF);
    // How many thresholds are passed one after the other; below zero they fall.
    let passed = |value: i32, thresholds: &[i16], shift: i16| {
        let is_passed = |&&threshold: &&i16| {
            let limit = l_shr(l_mult(threshold, predicted), shift);
            if predicted > 0 { value > limit } else { value < limit }
        };
        thresholds.iter().take_while(is_passed).count()
    };
    (passed(y, &THR1, 3), passed(x, &THR2, 5))
}

/// The error's terms in a common scale.
fn aligned(terms: &Terms, exponent: i16) -> [Dpf; 5] {
    let offsets = [13, 14, 2 * exponent - 21, exponent - 3, exponent - 4];
    let mut exponents = [0; 5];
    for ((aligned, term), offset) in exponents.iter_mut().zip(terms).zip(offsets) {
        *aligned = add(term.exponent, offset);
    }
    let least = exponents.iter().fold(i16::MAX, |least, &exponent| least.min(exponent));
    let mut coefficients = [Dpf::default(); 5];
    for (coefficient, (term, exponent)) in coefficients.iter_mut().zip(terms.iter().zip(exponents)) {
        *coefficient = Dpf::extract(l_shr(l_deposit_h(term.mantissa), exponent - least));
    }
    coefficients
}

/// `Qua_gain`: the index (7 bits) of the gains with the least error, and those gains.
pub(super) fn quantize(predictor: &mut Predictor, code: &[i16; L_SUBFR], terms: &Terms, is_tamed: bool) -> (u8, Gains) {
    let predicted = predictor.predict(code);
    let Predicted { mantissa, exponent } = predicted;
    let in_q4 = if exponent >= 4 {
        shr(mantissa, exponent - 4)
    } else {
        extract_h(l_shl(i32::from(mantissa), sub(20, exponent)))
    };
    let (first, second) = preselect(best_gains(terms, is_tamed), in_q4);
    let coefficients = aligned(terms, exponent);
    let mut best = (i32::MAX, first, second);
    for (index1, entry1) in GBK1.iter().enumerate().skip(first).take(NCAN1) {
        for (index2, entry2) in GBK2.iter().enumerate().skip(second).take(NCAN2) {
            let pitch = add(entry1[0], entry2[0]);
            if is_tamed && pitch >= GP0999 {
                continue;
            }
            let correction = i32::from(entry1[1]) + i32::from(entry2[1]);
            let code = mult(mantissa, extract_l(correction >> 1));
            let factors = [mult(pitch, pitch), pitch, mult(code, code), code, mult(code, pitch)];
            let mut error = 0_i32;
            for (coefficient, factor) in coefficients.iter().zip(factors) {
                error = error.saturating_add(coefficient.mpy_32_16(factor));
            }
            if error < best.0 {
                best = (error, index1, index2);
            }
        }
    }
    let (_, index1, index2) = best;
    let gains = predictor.dequantize(index1, index2, predicted);
    (MAP1[index1] << 4 | MAP2[index2], gains)
}
