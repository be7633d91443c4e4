//! Linear prediction: windowed autocorrelation, lag window, Levinson-Durbin recursion.
//!
//! Clauses 3.2.1 and 3.2.2. Annex B looks at two more lags than the predictor has coefficients.

use super::M;
use super::filters::Predictor;
use super::operators::{Dpf, div_32, dot_unsaturated, energy, l_shl, l_shr, mult_r, norm_l, round, shr};
use super::tables::{HAMWINDOW, LAG_H, LAG_L};

/// Samples under the window.
pub(super) const L_WINDOW: usize = 240;
/// Highest lag of the autocorrelation.
pub(super) const NP: usize = 12;

/// Autocorrelation of the windowed speech, normalized.
#[derive(Debug, Clone, Copy)]
pub(super) struct Autocorrelation {
    pub(super) r: [Dpf; NP + 1],
    /// r\[0\] stands for itself times 2^exponent.
    pub(super) exponent: i16,
}

/// `Autocorr`. `lags`: the highest one that matters.   Equations 4 and 5.
pub(super) fn autocorrelation(speech: &[i16; L_WINDOW], lags: usize) -> Autocorrelation {
    let mut windowed = [0; L_WINDOW];
    for (windowed, (&sample, &weight)) in windowed.iter_mut().zip(speech.iter().zip(&HAMWINDOW)) {
        *windowed = mult_r(sample, weight);
    }
    let mut exponent = 1;
    let total = loop {
        if let Some(total) = energy(1, &windowed) {
            break total;
        }
        for sample in &mut windowed {
            *sample >>= 2;
        }
        exponent += 4;
    };
    let norm = norm_l(total);
    let mut r = [Dpf::default(); NP + 1];
    r[0] = Dpf::extract(l_shl(total, norm));
    for (lag, r) in r.iter_mut().enumerate().take(lags + 1).skip(1) {
        // No partial sum exceeds the energy, which has not saturated.
        *r = Dpf::extract(l_shl(dot_unsaturated(&windowed[..L_WINDOW - lag], &windowed[lag..]), norm));
    }
    Autocorrelation { r, exponent: exponent - norm }
}

impl Autocorrelation {
    /// `Lag_window`: 60 Hz of bandwidth expansion and white noise at -40 dB.   Equations 6 and 7.
    pub(super) fn windowed(mut self) -> Self {
        for (r, (&hi, &lo)) in self.r[1..].iter_mut().zip(LAG_H.iter().zip(&LAG_L)) {
            *r = Dpf::extract(r.mpy_32(Dpf { hi, lo }));
        }
        self
    }

    /// As many lags as the predictor has coefficients.
    pub(super) fn head(&self) -> [Dpf; M + 1] {
        let mut head = [Dpf::default(); M + 1];
        head.copy_from_slice(&self.r[..=M]);
        head
    }
}

/// What the recursion found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prediction {
    pub(super) predictor: Predictor,
    /// The first two reflection coefficients, Q15.
    pub(super) reflection: [i16; 2],
    /// Energy of the residual in the scale of r\[0\]; None if the filter was unstable and that of before is repeated.
    pub(super) residual: Option<i16>,
}

/// The last stable filter, for want of one.
#[derive(Debug, Clone)]
pub(super) struct Levinson {
    last: Predictor,
    last_reflection: [i16; 2],
}

impl Levinson {
    pub(super) fn new() -> Self {
        let mut last = [0; M + 1];
        last[0] = 4_096;
        Self { last, last_reflection: [0; 2] }
    }

    /// `Levinson`: the predictor of an autocorrelation.   Equations 8 to 10.
    pub(super) fn run(&mut self, r: &[Dpf; M + 1]) -> Prediction {
        let mut reflection = [0; M];
        let mut residual = Residual { mantissa: r[0], exponent: 0 };
        let mut a = [Dpf::default(); M + 1];
        for i in 1..=M {
            let mut sum = 0_i32;
            for j in 1..i {
                sum = sum.saturating_add(r[j].mpy_32(a[i - j]));
            }
            let sum = l_shl(sum, 4).saturating_add(r[i].compose());
            let ratio = div_32(sum.saturating_abs(), residual.mantissa);
            let k = l_shl(if sum > 0 { ratio.saturating_neg() } else { ratio }, residual.exponent);
            let coefficient = Dpf::extract(k);
            reflection[i - 1] = coefficient.hi;
            if i > 1 && coefficient.hi.saturating_abs() > 32_750 {
                return Prediction { predictor: self.last, reflection: self.last_reflection, residual: None };
            }
            let before = a;
            for j in 1..i {
                let sum = coefficient.mpy_32(before[i - j]).saturating_add(before[j].compose());
                a[j] = Dpf::extract(sum);
            }
            a[i] = Dpf::extract(l_shr(k, 4));
            residual.shrink(coefficient);
        }
        let mut predictor = [4_096; M + 1];
        for (predictor, a) in predictor.iter_mut().zip(&a).skip(1) {
            *predictor = round(l_shl(a.compose(), 1));
        }
        self.last = predictor;
        self.last_reflection = [reflection[0], reflection[1]];
        let residual = shr(residual.mantissa.hi, residual.exponent);
        Prediction { predictor, reflection: self.last_reflection, residual: Some(residual) }
    }
}

/// The energy that is left, normalized.
struct Residual {
    mantissa: Dpf,
    exponent: i16,
}

impl Residual {
    /// Times 1 - k^2.
    fn shrink(&mut self, k: Dpf) {
        let rest = Dpf::extract(i32::MAX.saturating_sub(k.mpy_32(k).saturating_abs()));
        let product = self.mantissa.mpy_32(rest);
        let norm = norm_l(product);
        self.mantissa = Dpf::extract(l_shl(product, norm));
        self.exponent += norm;
    }
}
