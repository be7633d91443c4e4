//! The adaptive codebook: the past excitation, repeated at the pitch lag; lags and their indices.
//!
//! A lag is a whole number of samples and a fraction of -1, 0 or 1 third. Clauses 3.7, 3.7.1, 3.7.2, 4.1.3.

use super::filters::peak;
use super::operators::{dot_unsaturated, l_mac, round};
use super::tables::INTER_3L;
use super::{L_SUBFR, PIT_MAX, PIT_MIN};

/// Samples on each side that the interpolation of the excitation needs.
pub(super) const L_INTER10: usize = 10;
/// Excitation that is kept from earlier frames.
pub(super) const HISTORY: usize = PIT_MAX + L_INTER10 + 1;
const UP_SAMP: usize = 3;

/// The delay of the adaptive codebook, in samples and thirds. The whole part is 19 to 144.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lag {
    pub(super) whole: usize,
    pub(super) thirds: i8,
}

/// The interpolation filter of each phase, in the order of the samples it is laid over.
static PHASES: [[i16; 2 * L_INTER10]; UP_SAMP] = {
    let mut phases = [[0; 2 * L_INTER10]; UP_SAMP];
    let mut phase = 0;
    while phase < UP_SAMP {
        let mut i = 0;
        while i < L_INTER10 {
            phases[phase][L_INTER10 - 1 - i] = INTER_3L[phase + i * UP_SAMP];
            phases[phase][L_INTER10 + i] = INTER_3L[UP_SAMP - phase + i * UP_SAMP];
            i += 1;
        }
        phase += 1;
    }
    phases
};

/// Greatest sample for which no partial sum of an interpolation saturates: the sum of a phase's magnitudes is below 2^16.
const UNSATURATED: i32 = 16_383;

/// `Pred_lt_3`: fills the subframe that begins at `start` of `excitation` from what lies `lag` before it.   Equation 40.
///
/// `start` is at least [`HISTORY`], and a whole subframe follows it.
pub(super) fn predict(excitation: &mut [i16], start: usize, lag: Lag) {
    // Whole samples back, and a phase of 0 to 2 thirds forward.
    let (back, phase) = match lag.thirds {
        0 => (lag.whole, 0),
        1.. => (lag.whole + 1, 2),
        _ => (lag.whole, 1),
    };
    let filter = &PHASES[phase];
    // The first sample under the filter of the first output.
    let first = start - back - (L_INTER10 - 1);
    let mut is_quiet = peak(&excitation[first..start]) <= UNSATURATED;
    for j in 0..L_SUBFR {
        let window = &excitation[first + j..first + j + 2 * L_INTER10];
        let sample = if is_quiet {
            round(dot_unsaturated(filter, window))
        } else {
            let sum = (0..L_INTER10).fold(0, |sum, i| {
                let sum = l_mac(sum, window[L_INTER10 - 1 - i], filter[L_INTER10 - 1 - i]);
                l_mac(sum, window[L_INTER10 + i], filter[L_INTER10 + i])
            });
            round(sum)
        };
        is_quiet = is_quiet && i32::from(sample).abs() <= UNSATURATED;
        excitation[start + j] = sample;
    }
}

/// The whole lags that the second subframe can name, given the first one's: ten from five below it.
fn second_range(first: usize) -> usize {
    first.saturating_sub(5).clamp(PIT_MIN, PIT_MAX - 9)
}

/// The lags that are searched about `middle`, lowest and highest.
pub(super) fn range_about(middle: usize) -> (usize, usize) {
    let lowest = middle.saturating_sub(3).clamp(PIT_MIN, PIT_MAX - 6);
    (lowest, lowest + 6)
}

/// The lags that are searched in the second subframe, lowest and highest.
pub(super) fn range_after(first: usize) -> (usize, usize) {
    let lowest = second_range(first);
    (lowest, lowest + 9)
}

/// `Dec_lag3` for the first subframe. `index`: 8 bits.   Equation 41.
pub(super) fn decode_first(index: u8) -> Lag {
    let index = usize::from(index);
    if index < 197 {
        let whole = index.div_ceil(3) + 19;
        Lag { whole, thirds: thirds(index + 58, 3 * whole) }
    } else {
        Lag { whole: index - 112, thirds: 0 }
    }
}

/// `Dec_lag3` for the second subframe. `index`: 5 bits; `first`: the whole lag before.   Equation 42.
pub(super) fn decode_second(index: u8, first: usize) -> Lag {
    let index = usize::from(index & 0x1f);
    let step = index.div_ceil(3);
    Lag { whole: second_range(first) + step - 1, thirds: thirds(index + 1, 3 * step) }
}

impl Lag {
    /// `Enc_lag3` for the first subframe.
    pub(super) fn first_index(self) -> u8 {
        let index = if self.whole <= 85 {
            (3 * self.whole + usize::from((self.thirds + 1).unsigned_abs())).saturating_sub(59)
        } else {
            self.whole + 112
        };
        index.to_le_bytes()[0]
    }

    /// `Enc_lag3` for the second subframe; `first`: the whole lag before.
    pub(super) fn second_index(self, first: usize) -> u8 {
        let step = self.whole.saturating_sub(second_range(first));
        (3 * step + 1 + usize::from((self.thirds + 1).unsigned_abs())).to_le_bytes()[0]
    }
}

/// The difference of two numbers that lie within one of each other.
fn thirds(a: usize, b: usize) -> i8 {
    match a.cmp(&b) {
        std::cmp::Ordering::Less => -1,
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Greater => 1,
    }
}

/// `Parity_Pitch`: odd parity of the six upper bits of a first subframe's index.   Clause 3.7.2.
pub(super) fn parity(index: u8) -> u8 {
    u8::from((index >> 2).count_ones().is_multiple_of(2))
}
