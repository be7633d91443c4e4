//! The filter between two rates: its taps, computed when the first stream needs them, and shared from then on.

use std::sync::{Arc, Mutex, PoisonError};

use super::{as_float, greatest_common_divisor, index, sinc};

/// Rates between which streams are converted: those of our codecs.
pub const RATES_HZ: [u32; 7] = [8_000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000];

/// Half the length of the filter, in samples of the lower rate. It decides how steep the filter is: from the edge of the
/// pass band, 0.45 of the lower rate, to that of the stop band, 0.5 of it.
const REACH: u32 = 52;

/// Middle of the slope, as a share of the lower rate.
const CUTOFF: f64 = 0.475;

/// Of Kaiser's window: what a slope of that length leaves below it is 82 dB down.
const BETA: f64 = 8.15;

/// Taps are counted in multiples of this, so that they fill the widest registers.
pub(super) const LANES: usize = 8;

/// No filter is known between these rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no filter is known between these sample rates")]
pub struct UnknownRate;

/// A filter in the form in which it is run.
#[derive(Debug)]
pub(super) struct Design {
    /// Of each phase in turn, `length` of them, from the oldest sample to the newest.
    taps: Box<[f32]>,
    /// Taps of a phase, a multiple of [`LANES`].
    pub(super) length: usize,
    /// Positions between two samples of the input at which an output may lie.
    pub(super) phases: usize,
    /// What lies between two samples of the output, in such positions.
    pub(super) step: usize,
    /// How much later the output is, in samples of the input.
    pub(super) delay: usize,
}

impl Design {
    /// The filter from one rate to another. Computes it if nobody has asked for it yet.
    pub(super) fn between(from_hz: u32, to_hz: u32) -> Result<Arc<Self>, UnknownRate> {
        static KNOWN: Mutex<Vec<(u32, u32, Arc<Design>)>> = Mutex::new(Vec::new());
        if !RATES_HZ.contains(&from_hz) || !RATES_HZ.contains(&to_hz) {
            return Err(UnknownRate);
        }
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, design)) = known.iter().find(|(from, to, _)| (*from, *to) == (from_hz, to_hz)) {
            return Ok(Arc::clone(design));
        }
        let design = Arc::new(Self::new(from_hz, to_hz));
        known.push((from_hz, to_hz, Arc::clone(&design)));
        Ok(design)
    }

    fn new(from_hz: u32, to_hz: u32) -> Self {
        let divisor = greatest_common_divisor(from_hz, to_hz);
        let (phases, step) = (index(to_hz / divisor), index(from_hz / divisor));
        let lower_hz = from_hz.min(to_hz);
        let delay = index((REACH * from_hz).div_ceil(lower_hz));
        let length = (2 * delay).next_multiple_of(LANES);
        let cutoff = CUTOFF * f64::from(lower_hz) / f64::from(from_hz);
        let reach = f64::from(REACH) * f64::from(from_hz) / f64::from(lower_hz);
        let taps = (0..phases).flat_map(|phase| {
            let newest = as_float(delay) - as_float(phase) / as_float(phases);
            phase_taps(newest, (cutoff, reach), length)
        });
        Self { taps: taps.collect(), length, phases, step, delay }
    }

    /// The taps of one phase.
    #[inline]
    pub(super) fn phase(&self, phase: usize) -> &[f32] {
        let begin = phase * self.length;
        self.taps.get(begin..begin + self.length).unwrap_or(&[])
    }
}

/// Taps of a window whose newest sample lies so far ahead of the output, in samples of the input.
fn phase_taps(newest: f64, (cutoff, reach): (f64, f64), length: usize) -> Vec<f32> {
    let taps: Vec<f64> = (0..length)
        .map(|place| {
            let distance = newest - as_float(length - 1 - place);
            2.0 * cutoff * sinc(2.0 * cutoff * distance) * kaiser(distance / reach)
        })
        .collect();
    // A constant must stay that constant.
    let gain: f64 = taps.iter().sum();
    #[expect(clippy::cast_possible_truncation, reason = "24 bits of precision are enough for 16-bit samples")]
    taps.into_iter().map(|tap| (tap / gain) as f32).collect()
}

/// Kaiser's window at a place from -1 to 1; 0 beyond.
fn kaiser(place: f64) -> f64 {
    let inside = 1.0 - place * place;
    if inside <= 0.0 { 0.0 } else { bessel(BETA * inside.sqrt()) / bessel(BETA) }
}

/// The modified Bessel function of the first kind and order 0, by its power series.
fn bessel(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut sum, mut term) = (1.0, 1.0);
    for number in 1..32 {
        term *= quarter / f64::from(number * number);
        sum += term;
    }
    sum
}
