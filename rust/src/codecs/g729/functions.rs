//! Elementary functions by table and interpolation, as the fixed-point description has them.

use super::operators::{extract_h, extract_l, l_deposit_h, l_msu, l_mult, l_shl, l_shr, l_shr_r, norm_l, sub};
use super::tables::{TABLOG, TABPOW, TABSQR};

/// A line between `table[index]` and its successor, at `fraction` (Q15) of the way; in the upper half of the result.
fn interpolate(table: &[i16], index: usize, fraction: i16) -> i32 {
    l_msu(l_deposit_h(table[index]), sub(table[index], table[index + 1]), fraction)
}

/// The integer part of a number below 64 in the upper half, and the rest in Q15.
fn index_and_fraction(x: i32) -> (usize, i16) {
    // At most 63 by the callers' normalization.
    let index = usize::from(extract_h(x).cast_unsigned() & 0x3f);
    (index, extract_l(l_shr(x, 1)) & 0x7fff)
}

/// 2^(exponent + fraction), `fraction` in Q15 from 0 to 1.
pub(super) fn pow2(exponent: i16, fraction: i16) -> i32 {
    let (index, rest) = index_and_fraction(l_mult(fraction & 0x7fff, 32));
    l_shr_r(interpolate(&TABPOW, index, rest), sub(30, exponent))
}

/// The logarithm to base 2 as exponent and fraction (Q15); both 0 for a number that has none.
pub(super) fn log2(x: i32) -> (i16, i16) {
    if x <= 0 {
        return (0, 0);
    }
    let exponent = norm_l(x);
    // 32 to 63 in the upper half.
    let (index, rest) = index_and_fraction(l_shr(l_shl(x, exponent), 9));
    (sub(30, exponent), extract_h(interpolate(&TABLOG, index - 32, rest)))
}

/// 1 / sqrt(x), Q30 for integers; the greatest value for a number that has none.
pub(super) fn inv_sqrt(x: i32) -> i32 {
    if x <= 0 {
        return 0x3fff_ffff;
    }
    let norm = norm_l(x);
    let exponent = 30 - norm;
    let x = l_shr(l_shl(x, norm), if exponent & 1 == 0 { 10 } else { 9 });
    // 16 to 63 in the upper half.
    let (index, rest) = index_and_fraction(x);
    l_shr(interpolate(&TABSQR, index - 16, rest), (exponent >> 1) + 1)
}
