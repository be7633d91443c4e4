//! The search for the pitch lag: open loop over the weighted speech, then closed loop over the excitation.
//!
//! Clauses A.3.4 and A.3.7: the open loop looks at every second sample, the closed loop at the backward-filtered target.

use super::adaptive_codebook::{HISTORY, Lag, predict};
use super::functions::inv_sqrt;
use super::operators::{
    Dpf, add, div_s, dot, dot_checked, dot_unsaturated, energy, extract_l, l_shl, l_shr, mult, norm_l, round,
    saturated_energy, shl, shr, wide_energy,
};
use super::{L_FRAME, L_SUBFR, PIT_MAX};

/// Every second sample of the past and of the frame.
struct Decimated {
    /// Samples -144, -142, ... (the first of them unused) and -143, -141, ...
    phases: [[i16; (PIT_MAX + 1 + L_FRAME) / 2]; 2],
    is_bounded: bool,
}

impl Decimated {
    /// `signal`: [`PIT_MAX`] samples of the past, then the frame. It is scaled so that correlations use the range.
    fn new(signal: &[i16; PIT_MAX + L_FRAME]) -> Self {
        let mut phases = [[0; (PIT_MAX + 1 + L_FRAME) / 2]; 2];
        for (index, pair) in signal.chunks(2).enumerate() {
            phases[1][index] = pair[0];
            if let Some(&even) = pair.get(1) {
                phases[0][index + 1] = even;
            }
        }
        let shift = match energy(0, &phases[1]) {
            None => -3,
            Some(energy) if energy < 1 << 20 => 3,
            Some(_) => 0,
        };
        if shift != 0 {
            phases.iter_mut().flatten().for_each(|sample| *sample = shl(*sample, shift));
        }
        // By Cauchy-Schwarz no partial sum of a correlation exceeds the greater energy.
        let is_bounded = phases.iter().all(|phase| energy(0, phase).is_some());
        Self { phases, is_bounded }
    }

    /// The frame as it was `lag` samples ago.
    fn delayed(&self, lag: usize) -> &[i16] {
        let start = (PIT_MAX + 1 - lag) / 2;
        &self.phases[lag % 2][start..start + L_FRAME / 2]
    }

    fn correlation(&self, lag: usize) -> i32 {
        let (signal, delayed) = (self.delayed(0), self.delayed(lag));
        if self.is_bounded { dot_unsaturated(signal, delayed) } else { dot(0, signal, delayed) }
    }

    /// The lag that correlates best, the earliest of equals; [`i32::MIN`] counts as nothing found.
    fn best(&self, lags: impl Iterator<Item = usize>, found: (i32, usize)) -> (i32, usize) {
        lags.fold(found, |best, lag| {
            let correlation = self.correlation(lag);
            if correlation > best.0 { (correlation, lag) } else { best }
        })
    }

    /// The correlation over the root of the delayed signal's energy.
    fn normalized(&self, (correlation, lag): (i32, usize)) -> i16 {
        let inverse = inv_sqrt(saturated_energy(1, self.delayed(lag)));
        extract_l(Dpf::extract(correlation).mpy_32(Dpf::extract(inverse)))
    }
}

/// `Pitch_ol_fast`: the open-loop lag, 20 to 143. Short lags are preferred where a longer one is a multiple of them.
///
/// `weighted`: [`PIT_MAX`] samples of the past, then the frame.   Equations A.4 and A.5.
pub(super) fn open_loop(weighted: &[i16; PIT_MAX + L_FRAME]) -> usize {
    let signal = Decimated::new(weighted);
    let short = signal.best(20..40, (i32::MIN, 20));
    let middle = signal.best(40..80, (i32::MIN, 40));
    let long = signal.best((80..PIT_MAX).step_by(2), (i32::MIN, 80));
    let neighbours = [long.1 + 1, long.1 - 1];
    let long = signal.best(neighbours.into_iter(), long);

    let [mut max1, mut max2, max3] = [short, middle, long].map(|found| signal.normalized(found));
    let (t1, t2, t3) = (short.1, middle.1, long.1);
    if (2 * t2).abs_diff(t3) < 5 {
        max2 = add(max2, max3 >> 2);
    }
    if (3 * t2).abs_diff(t3) < 7 {
        max2 = add(max2, max3 >> 2);
    }
    if (2 * t1).abs_diff(t2) < 5 {
        max1 = add(max1, mult(max2, 6_554));
    }
    if (3 * t1).abs_diff(t2) < 7 {
        max1 = add(max1, mult(max2, 6_554));
    }
    let (best, lag) = if max1 < max2 { (max2, t2) } else { (max1, t1) };
    if best < max3 { t3 } else { lag }
}

/// Places of a correlation computed at a time.
const LANES: usize = 8;

/// `Cor_h_X`: the target filtered backwards through `h`, scaled to 13 bits or what it has.   Equation 52.
pub(super) fn backward_filtered(h: &[i16; L_SUBFR], target: &[i16; L_SUBFR]) -> [i16; L_SUBFR] {
    let is_bounded = u128::from(wide_energy(h)) * u128::from(wide_energy(target)) < 1 << 60;
    let mut correlations = [0_i32; L_SUBFR];
    if is_bounded {
        // No sum leaves 31 bits, whatever its parts do on the way. Behind the target there is nothing.
        let mut padded = [0; L_SUBFR + LANES];
        padded[..L_SUBFR].copy_from_slice(target);
        for (block, sums) in correlations.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            for (&h, window) in h.iter().zip(padded[block * LANES..].windows(LANES)) {
                for (sum, &target) in sums.iter_mut().zip(window) {
                    *sum = sum.wrapping_add(i32::from(h).wrapping_mul(i32::from(target)));
                }
            }
        }
        correlations = correlations.map(|sum| sum.wrapping_mul(2));
    } else {
        for (i, correlation) in correlations.iter_mut().enumerate() {
            *correlation = dot(0, &target[i..], h);
        }
    }
    let greatest = correlations.iter().fold(0, |greatest: i32, x| greatest.max(x.saturating_abs()));
    let shift = 18 - norm_l(greatest).min(16);
    correlations.map(|x| extract_l(l_shr(x, shift)))
}

/// `Pitch_fr3_fast`: the closed-loop lag among `range`, and in `excitation` from `start` the codebook vector of it.
///
/// `is_fractional`: whether thirds are looked at beyond a lag of 84, too.
pub(super) fn closed_loop(
    excitation: &mut [i16; HISTORY + L_FRAME],
    start: usize,
    backward: &[i16; L_SUBFR],
    range: (usize, usize),
    is_fractional: bool,
) -> Lag {
    let mut best = (i32::MIN, range.0);
    for lag in range.0..=range.1 {
        let correlation = dot(0, backward, &excitation[start - lag..start - lag + L_SUBFR]);
        if correlation > best.0 {
            best = (correlation, lag);
        }
    }
    let mut lag = Lag { whole: best.1, thirds: 0 };
    predict(excitation, start, lag);
    if lag.whole > 84 && !is_fractional {
        return lag;
    }
    let mut vector = [0; L_SUBFR];
    vector.copy_from_slice(&excitation[start..start + L_SUBFR]);
    let mut greatest = dot(0, backward, &vector);
    for thirds in [-1, 1] {
        predict(excitation, start, Lag { thirds, ..lag });
        let correlation = dot(0, backward, &excitation[start..start + L_SUBFR]);
        if correlation > greatest {
            greatest = correlation;
            lag.thirds = thirds;
            vector.copy_from_slice(&excitation[start..start + L_SUBFR]);
        }
    }
    excitation[start..start + L_SUBFR].copy_from_slice(&vector);
    lag
}

/// A number as a 16-bit mantissa and the exponent that goes with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scaled {
    pub(super) mantissa: i16,
    pub(super) exponent: i16,
}

impl Scaled {
    fn normalized(x: i32, spare: i16) -> Self {
        let norm = norm_l(x);
        Self { mantissa: round(l_shl(x, norm)), exponent: norm - spare }
    }
}

/// `G_pitch`: the gain of the adaptive codebook, and what it is made of: energy of the filtered vector, correlation with
/// the target.   Equation 43.
pub(super) fn adaptive_gain(target: &[i16; L_SUBFR], filtered: &[i16; L_SUBFR]) -> (i16, Scaled, Scaled) {
    let quarter = filtered.map(|sample| sample >> 2);
    let energy = match energy(1, filtered) {
        Some(energy) => Scaled::normalized(energy, 0),
        None => Scaled::normalized(saturated_energy(1, &quarter), 4),
    };
    let correlation = match dot_checked(target, filtered) {
        Some(correlation) => Scaled::normalized(correlation, 0),
        None => Scaled::normalized(dot(0, target, &quarter), 2),
    };
    if correlation.mantissa <= 0 {
        return (0, energy, Scaled { exponent: 30, ..correlation });
    }
    let ratio = div_s(correlation.mantissa >> 1, energy.mantissa);
    // 1.2 in Q14.
    let gain = shr(ratio, correlation.exponent - energy.exponent).min(19_661);
    (gain, energy, correlation)
}
