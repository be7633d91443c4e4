//! The basic operators of the fixed-point description: 16- and 32-bit arithmetic that saturates.
//!
//! Owns the arithmetic alone and knows nothing of speech. The names are those of the Recommendation (clause 5), because
//! its bit-exact description is written in them; the formats (Q12, Q15, ...) are the callers' affair. Sums of products
//! come in a vectorised form as well, which is taken when no partial sum can saturate, so that both give the same bits.

/// The upper half of a 32-bit number.
pub(super) const fn extract_h(x: i32) -> i16 {
    (x >> 16) as i16
}

/// The lower half of a 32-bit number.
#[expect(clippy::cast_possible_truncation, reason = "the operator is defined as the lower 16 bits")]
pub(super) const fn extract_l(x: i32) -> i16 {
    x as i16
}

/// The nearest 16-bit number.
pub(super) const fn saturate(x: i32) -> i16 {
    if x > 0x7fff {
        i16::MAX
    } else if x < -0x8000 {
        i16::MIN
    } else {
        extract_l(x)
    }
}

pub(super) const fn add(a: i16, b: i16) -> i16 {
    a.saturating_add(b)
}

pub(super) const fn sub(a: i16, b: i16) -> i16 {
    a.saturating_sub(b)
}

pub(super) const fn negate(x: i16) -> i16 {
    x.saturating_neg()
}

/// Shifts left by `n` bits, or right by `-n`.
pub(super) const fn shl(x: i16, n: i16) -> i16 {
    if n < 0 {
        shr(x, n.saturating_neg())
    } else if n > 15 {
        saturate((x as i32) << 16)
    } else {
        saturate((x as i32) << n)
    }
}

/// Shifts right by `n` bits, or left by `-n`.
pub(super) const fn shr(x: i16, n: i16) -> i16 {
    if n < 0 {
        shl(x, n.saturating_neg())
    } else if n > 15 {
        x >> 15
    } else {
        x >> n
    }
}

/// Shifts right by `n` bits with rounding.
pub(super) const fn shr_r(x: i16, n: i16) -> i16 {
    if n > 15 {
        0
    } else if n > 0 {
        // Rounding up cannot leave 16 bits after a shift of one or more.
        (x >> n) + ((x >> (n - 1)) & 1)
    } else {
        shr(x, n)
    }
}

/// Product of two fractions (Q15).
pub(super) const fn mult(a: i16, b: i16) -> i16 {
    saturate((a as i32 * b as i32) >> 15)
}

/// Rounded product of two fractions (Q15).
pub(super) const fn mult_r(a: i16, b: i16) -> i16 {
    saturate((a as i32 * b as i32 + 0x4000) >> 15)
}

/// Product of two fractions (Q15) in Q31.
pub(super) const fn l_mult(a: i16, b: i16) -> i32 {
    (a as i32 * b as i32).saturating_mul(2)
}

pub(super) const fn l_mac(sum: i32, a: i16, b: i16) -> i32 {
    sum.saturating_add(l_mult(a, b))
}

pub(super) const fn l_msu(sum: i32, a: i16, b: i16) -> i32 {
    sum.saturating_sub(l_mult(a, b))
}

/// Shifts left by `n` bits, or right by `-n`.
pub(super) const fn l_shl(x: i32, n: i16) -> i32 {
    if n <= 0 {
        return l_shr(x, n.saturating_neg());
    }
    let wide = (x as i64) << if n > 32 { 32 } else { n };
    if wide > i32::MAX as i64 {
        i32::MAX
    } else if wide < i32::MIN as i64 {
        i32::MIN
    } else {
        x << n
    }
}

/// Shifts right by `n` bits, or left by `-n`.
pub(super) const fn l_shr(x: i32, n: i16) -> i32 {
    if n < 0 {
        l_shl(x, n.saturating_neg())
    } else if n > 31 {
        x >> 31
    } else {
        x >> n
    }
}

/// Shifts right by `n` bits with rounding.
pub(super) const fn l_shr_r(x: i32, n: i16) -> i32 {
    if n > 31 {
        0
    } else if n > 0 {
        (x >> n) + ((x >> (n - 1)) & 1)
    } else {
        l_shr(x, n)
    }
}

/// The upper half, rounded.
pub(super) const fn round(x: i32) -> i16 {
    extract_h(x.saturating_add(0x8000))
}

pub(super) const fn l_deposit_h(x: i16) -> i32 {
    (x as i32) << 16
}

/// How far a number can be shifted left without saturation; 0 for 0.
pub(super) const fn norm_s(x: i16) -> i16 {
    if x == 0 { 0 } else { extract_l((x ^ (x >> 15)).leading_zeros().cast_signed()) - 1 }
}

/// How far a number can be shifted left without saturation; 0 for 0.
pub(super) const fn norm_l(x: i32) -> i16 {
    if x == 0 { 0 } else { extract_l((x ^ (x >> 31)).leading_zeros().cast_signed()) - 1 }
}

/// `a / b` in Q15. Defined for `0 <= a <= b`, `b > 0`; any other pair gives the end of the range that is nearest.
pub(super) const fn div_s(a: i16, b: i16) -> i16 {
    if a <= 0 {
        0
    } else if b <= a {
        i16::MAX
    } else {
        extract_l(((a as i32) << 15) / b as i32)
    }
}

/// The Recommendation's double precision format: `hi * 2^16 + lo * 2`, with `lo` from 0 to 32,767.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dpf {
    pub(super) hi: i16,
    pub(super) lo: i16,
}

impl Dpf {
    /// `L_Extract`
    pub(super) const fn extract(x: i32) -> Self {
        Self { hi: extract_h(x), lo: extract_l((x >> 1) & 0x7fff) }
    }

    /// `L_Comp`
    pub(super) const fn compose(self) -> i32 {
        l_deposit_h(self.hi).saturating_add(self.lo as i32 * 2)
    }

    /// `Mpy_32`
    pub(super) const fn mpy_32(self, other: Self) -> i32 {
        let product = l_mult(self.hi, other.hi);
        let product = l_mac(product, mult(self.hi, other.lo), 1);
        l_mac(product, mult(self.lo, other.hi), 1)
    }

    /// `Mpy_32_16`
    pub(super) const fn mpy_32_16(self, n: i16) -> i32 {
        l_mac(l_mult(self.hi, n), mult(self.lo, n), 1)
    }
}

/// `Div_32`: a fraction of two positive numbers, of which the denominator is the greater and normalized.
pub(super) const fn div_32(numerator: i32, denominator: Dpf) -> i32 {
    let approximation = div_s(0x3fff, denominator.hi);
    let error = i32::MAX.saturating_sub(denominator.mpy_32_16(approximation));
    let inverse = Dpf::extract(Dpf::extract(error).mpy_32_16(approximation));
    l_shl(Dpf::extract(numerator).mpy_32(inverse), 2)
}

/// The generator of pseudo-random numbers (equation 96).
pub(super) const fn random(seed: &mut i16) -> i16 {
    *seed = extract_l((*seed as i32 * 31_821).wrapping_add(13_849));
    *seed
}

/// Products of two vectors: their sum, and a number that no partial sum can exceed. For at most 256 elements.
fn products(x: &[i16], y: &[i16]) -> (i32, u32) {
    let (mut sum, mut bound) = (0_i32, 0_u32);
    for (&a, &b) in x.iter().zip(y) {
        let product = i32::from(a).wrapping_mul(i32::from(b));
        sum = sum.wrapping_add(product);
        // 2^30 / 64 * 256 stays below 2^32.
        bound = bound.wrapping_add(product.unsigned_abs() >> 6);
    }
    (sum, bound)
}

/// Sum of products without regard to saturation, for callers who have proven that there is none.
pub(super) fn dot_unsaturated(x: &[i16], y: &[i16]) -> i32 {
    x.iter()
        .zip(y)
        .fold(0_i32, |sum, (&a, &b)| sum.wrapping_add(i32::from(a).wrapping_mul(i32::from(b))))
        .wrapping_mul(2)
}

/// `start` and [`l_mac`] over two vectors of equal length, at most 256.
pub(super) fn dot(start: i32, x: &[i16], y: &[i16]) -> i32 {
    let (sum, bound) = products(x, y);
    // Each product lost less than 64 in the bound; 2^24 * 64 is half the range, and the start is small.
    if bound < (1 << 24) - 512 && (0..=1).contains(&start) {
        sum.wrapping_mul(2).wrapping_add(start)
    } else {
        x.iter().zip(y).fold(start, |sum, (&a, &b)| l_mac(sum, a, b))
    }
}

/// `start` plus the energy of a vector of at most 256 samples, or None if that saturates.
pub(super) fn energy(start: i32, x: &[i16]) -> Option<i32> {
    let (mut low, mut high) = (0_u32, 0_u32);
    for &a in x {
        let square = i32::from(a).wrapping_mul(i32::from(a)).cast_unsigned();
        low = low.wrapping_add(square & 0xffff);
        high = high.wrapping_add(square >> 16);
    }
    let sum = (u64::from(high) << 16) + u64::from(low);
    i32::try_from(sum * 2).ok()?.checked_add(start)
}

/// [`energy`], or the greatest number.
pub(super) fn saturated_energy(start: i32, x: &[i16]) -> i32 {
    energy(start, x).unwrap_or(i32::MAX)
}

/// The sum of the squares of at most 256 samples.
pub(super) fn wide_energy(x: &[i16]) -> u64 {
    x.iter().map(|&a| u64::from(i32::from(a).pow(2).cast_unsigned())).sum()
}

/// [`dot`] from 0, or None if a partial sum saturates.
pub(super) fn dot_checked(x: &[i16], y: &[i16]) -> Option<i32> {
    let (sum, bound) = products(x, y);
    if bound < (1 << 24) - 512 {
        return Some(sum.wrapping_mul(2));
    }
    x.iter().zip(y).try_fold(0_i32, |sum, (&a, &b)| sum.checked_add((i32::from(a) * i32::from(b)).checked_mul(2)?))
}
