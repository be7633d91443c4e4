//! Line spectral pairs: from predictor to LSP and back, their frequencies, and the interpolation between frames.
//!
//! LSP are cosines in Q15, falling; LSF are angles in Q13 (or, for Annex B's VAD, halves of the sample rate in Q15),
//! rising. Clauses 3.2.3, 3.2.5, 3.2.6, A.3.2.3.

use super::M;
use super::filters::Predictor;
use super::lsp_tables::{GRID, SLOPE, SLOPE_ACOS, SLOPE_COS, TABLE, TABLE2};
use super::operators::{
    Dpf, add, div_s, extract_h, extract_l, l_mac, l_msu, l_mult, l_shl, l_shr, l_shr_r, mult, negate, norm_s, round,
    shl, shr, sub,
};

/// Spectral pairs or frequencies of one frame.
pub(super) type Spectrum = [i16; M];

/// What all states begin with.
pub(super) const INITIAL_LSP: Spectrum = [30_000, 26_000, 21_000, 15_000, 8_000, 0, -8_000, -15_000, -21_000, -26_000];

/// Half the order: the coefficients of each of the two polynomials.
const NC: usize = M / 2;

/// `Get_lsp_pol`: the product of (1 - 2 q z^-1 + z^-2) over every second pair, Q24.
fn lsp_polynomial(pairs: [i16; NC]) -> [i32; NC + 1] {
    let mut f = [0; NC + 1];
    f[0] = l_mult(4_096, 2_048);
    f[1] = l_msu(0, pairs[0], 512);
    for i in 2..=NC {
        let q = pairs[i - 1];
        f[i] = f[i - 2];
        for j in (2..=i).rev() {
            let product = l_shl(Dpf::extract(f[j - 1]).mpy_32_16(q), 1);
            f[j] = f[j].saturating_add(f[j - 2]).saturating_sub(product);
        }
        f[1] = l_msu(f[1], q, 512);
    }
    f
}

/// `Lsp_Az`: the predictor of a set of pairs.
fn lsp_az(lsp: &Spectrum) -> Predictor {
    let mut f1 = lsp_polynomial([lsp[0], lsp[2], lsp[4], lsp[6], lsp[8]]);
    let mut f2 = lsp_polynomial([lsp[1], lsp[3], lsp[5], lsp[7], lsp[9]]);
    for i in (1..=NC).rev() {
        f1[i] = f1[i].saturating_add(f1[i - 1]);
        f2[i] = f2[i].saturating_sub(f2[i - 1]);
    }
    let mut a = [4_096; M + 1];
    for i in 1..=NC {
        a[i] = extract_l(l_shr_r(f1[i].saturating_add(f2[i]), 13));
        a[M + 1 - i] = extract_l(l_shr_r(f1[i].saturating_sub(f2[i]), 13));
    }
    a
}

/// `Int_qlpc`: the predictors of both subframes, the first halfway from the frame before.
pub(super) fn interpolate(old: &Spectrum, new: &Spectrum) -> [Predictor; 2] {
    let mut middle = [0; M];
    for (middle, (&old, &new)) in middle.iter_mut().zip(old.iter().zip(new)) {
        *middle = add(shr(new, 1), shr(old, 1));
    }
    [lsp_az(&middle), lsp_az(new)]
}

/// `Lsf_lsp2`: cosines of angles.
pub(super) fn lsf_lsp2(lsf: &Spectrum) -> Spectrum {
    lsf.map(|lsf| {
        let frequency = mult(lsf, 20_861);
        // LSF are positive after the stability check; the mask keeps the index in range whatever comes.
        let index = usize::from((frequency.max(0) >> 8).min(63).cast_unsigned());
        let product = l_mult(SLOPE_COS[index], frequency & 0xff);
        add(TABLE2[index], extract_l(l_shr(product, 13)))
    })
}

/// `Lsp_lsf2`: angles of cosines.
pub(super) fn lsp_lsf2(lsp: &Spectrum) -> Spectrum {
    let mut lsf = [0; M];
    let mut index: u8 = 63;
    for (lsf, &lsp) in lsf.iter_mut().zip(lsp).rev() {
        while index > 0 && TABLE2[usize::from(index)] < lsp {
            index -= 1;
        }
        let at = usize::from(index);
        let product = l_mult(SLOPE_ACOS[at], sub(lsp, TABLE2[at]));
        *lsf = mult(add(i16::from(index) << 9, extract_l(l_shr(product, 12))), 25_736);
    }
    lsf
}

/// `Lsp_lsf`: frequencies of cosines, 0 to 0.5 in Q15.
pub(super) fn lsp_lsf(lsp: &Spectrum) -> Spectrum {
    let mut lsf = [0; M];
    let mut index: u8 = 63;
    for (lsf, &lsp) in lsf.iter_mut().zip(lsp).rev() {
        while index > 0 && TABLE[usize::from(index)] < lsp {
            index -= 1;
        }
        let at = usize::from(index);
        let product = l_mult(sub(lsp, TABLE[at]), SLOPE[at]);
        *lsf = add(round(l_shl(product, 3)), i16::from(index) << 8);
    }
    lsf
}

/// The sum or difference polynomial of a predictor, divided by its known root.
struct Polynomial {
    f: [i16; NC + 1],
    /// Fraction bits of the coefficients: 11, or 10 if those overflow.
    is_coarse: bool,
}

impl Polynomial {
    /// `Chebps_11` and `Chebps_10`: the value at a cosine.
    fn at(&self, x: i16) -> i16 {
        let (one, scale, shift) = if self.is_coarse { (128, 256, 7) } else { (256, 512, 6) };
        let mut b2 = Dpf { hi: one, lo: 0 };
        let mut b1 = Dpf::extract(l_mac(l_mult(x, scale), self.f[1], 4_096));
        for &f in &self.f[2..NC] {
            let b0 = l_shl(b1.mpy_32_16(x), 1);
            let b0 = l_msu(l_mac(b0, b2.hi, i16::MIN), b2.lo, 1);
            b2 = b1;
            b1 = Dpf::extract(l_mac(b0, f, 4_096));
        }
        let value = l_msu(l_mac(b1.mpy_32_16(x), b2.hi, i16::MIN), b2.lo, 1);
        extract_h(l_shl(l_mac(value, self.f[NC], 2_048), shift))
    }
}

/// Both polynomials of a predictor.
fn polynomials(a: &Predictor) -> [Polynomial; 2] {
    let mut overflow = false;
    let (mut f1, mut f2) = ([2_048; NC + 1], [2_048; NC + 1]);
    for i in 0..NC {
        let (near, far) = (i32::from(a[i + 1]), i32::from(a[M - i]));
        // (near + far) * 2^15 may saturate; its upper half is the half sum.
        let (plus, minus) = ((near + far) >> 1, (near - far) >> 1);
        let (next1, next2) = (plus - i32::from(f1[i]), minus + i32::from(f2[i]));
        overflow |= [plus, minus, next1, next2].iter().any(|&x| i16::try_from(x).is_err());
        f1[i + 1] = super::operators::saturate(next1);
        f2[i + 1] = super::operators::saturate(next2);
    }
    if overflow {
        (f1, f2) = ([1_024; NC + 1], [1_024; NC + 1]);
        for i in 0..NC {
            let plus = extract_h(l_mac(l_mult(a[i + 1], 8_192), a[M - i], 8_192));
            f1[i + 1] = sub(plus, f1[i]);
            let minus = extract_h(l_msu(l_mult(a[i + 1], 8_192), a[M - i], 8_192));
            f2[i + 1] = add(minus, f2[i]);
        }
    }
    [f1, f2].map(|f| Polynomial { f, is_coarse: overflow })
}

/// `Az_lsp`: the pairs of a predictor, or `old` if not all of them are found.
pub(super) fn az_lsp(a: &Predictor, old: &Spectrum) -> Spectrum {
    let polynomials = polynomials(a);
    let mut lsp = [0; M];
    let mut found = 0;
    let mut low = (GRID[0], polynomials[0].at(GRID[0]));
    for &x in &GRID[1..] {
        let mut high = low;
        let polynomial = &polynomials[found % 2];
        low = (x, polynomial.at(x));
        if l_mult(low.1, high.1) > 0 {
            continue;
        }
        for _ in 0..2 {
            let middle = add(shr(low.0, 1), shr(high.0, 1));
            let middle = (middle, polynomial.at(middle));
            if l_mult(low.1, middle.1) <= 0 {
                high = middle;
            } else {
                low = middle;
            }
        }
        lsp[found] = crossing(low, high);
        found += 1;
        if found == M {
            return lsp;
        }
        low = (lsp[found - 1], polynomials[found % 2].at(lsp[found - 1]));
    }
    *old
}

/// Where the line through two points is zero.
fn crossing(low: (i16, i16), high: (i16, i16)) -> i16 {
    let (x, y) = (sub(high.0, low.0), sub(high.1, low.1));
    if y == 0 {
        return low.0;
    }
    let magnitude = y.saturating_abs();
    let exponent = norm_s(magnitude);
    let slope = extract_l(l_shr(l_mult(x, div_s(16_383, shl(magnitude, exponent))), sub(20, exponent)));
    let slope = if y < 0 { negate(slope) } else { slope };
    sub(low.0, extract_l(l_shr(l_mult(low.1, slope), 11)))
}
