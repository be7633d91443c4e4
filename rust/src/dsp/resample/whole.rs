//! Sample rate conversion of whole recordings, off the packet path.

use std::f64::consts::PI;

use super::{as_float, greatest_common_divisor, index, sinc};
use crate::dsp::to_i16;

/// Zero crossings of the sinc on either side.
const CROSSINGS: f64 = 24.0;

/// Edge of the pass band, as a share of the lower of the two Nyquist frequencies.
const PASS_BAND: f64 = 0.95;

/// Sums that run side by side.
const LANES: usize = 8;

/// What lies before the beginning of a recording and behind its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Silence.
    Silent,
    /// The recording itself: it is played in a loop, whose seam must not be heard.
    Joined,
}

/// The same recording at another sample rate.
///
/// samples: mono at `from_hz`. Returns mono at `to_hz`, of the same duration; clipped where the filter overshoots.
#[must_use]
pub fn resample(samples: &[i16], (from_hz, to_hz): (u32, u32), ends: Ends) -> Vec<i16> {
    if from_hz == to_hz || from_hz == 0 || to_hz == 0 {
        return samples.to_vec();
    }
    let divisor = greatest_common_divisor(from_hz, to_hz);
    let (step, phases) = (index(from_hz / divisor), index(to_hz / divisor));
    let filter = Filter::new(from_hz, to_hz, phases);
    let length = samples.len() * phases / step;
    let place = |number: usize| (number * step / phases, number * step % phases);
    (0..length)
        .map(|number| {
            let (position, phase) = place(number);
            filter.inner(samples, position, phase).unwrap_or_else(|| filter.edge(samples, position, phase, ends))
        })
        .collect()
}

struct Filter {
    /// Taps of each phase, from `reach` samples before the position to `reach` after it.
    taps: Vec<Vec<f32>>,
    reach: usize,
}

impl Filter {
    fn new(from_hz: u32, to_hz: u32, phases: usize) -> Self {
        let ratio = f64::from(to_hz) / f64::from(from_hz);
        let cutoff = PASS_BAND * ratio.min(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let reach = (CROSSINGS / cutoff).ceil() as usize;
        let taps = (0..phases).map(|phase| Self::phase_taps(as_float(phase) / as_float(phases), cutoff, reach));
        Self { taps: taps.collect(), reach }
    }

    fn phase_taps(offset: f64, cutoff: f64, reach: usize) -> Vec<f32> {
        let width = as_float(reach) + 1.0;
        let taps: Vec<f64> = (0..=2 * reach)
            .map(|place| {
                let distance = as_float(place) - as_float(reach) - offset;
                let window = 0.5 + 0.5 * (PI * distance / width).cos();
                window * cutoff * sinc(cutoff * distance)
            })
            .collect();
        // A constant must stay that constant.
        let gain: f64 = taps.iter().sum();
        #[expect(clippy::cast_possible_truncation, reason = "24 bits of precision are enough for 16-bit samples")]
        taps.into_iter().map(|tap| (tap / gain) as f32).collect()
    }

    /// One sample whose neighbours are all there; None near the ends.
    fn inner(&self, samples: &[i16], position: usize, phase: usize) -> Option<i16> {
        let first = position.checked_sub(self.reach)?;
        let window = samples.get(first..first + 2 * self.reach + 1)?;
        let taps = self.taps.get(phase)?;
        // Several sums side by side keep the processor's pipelines full.
        let mut sums = [0.0_f32; LANES];
        let (pieces, taps_pieces) = (window.chunks_exact(LANES), taps.chunks_exact(LANES));
        let rest = pieces.remainder().iter().zip(taps_pieces.remainder());
        let tail: f32 = rest.map(|(sample, tap)| f32::from(*sample) * tap).sum();
        for (piece, taps) in pieces.zip(taps_pieces) {
            for ((sum, sample), tap) in sums.iter_mut().zip(piece).zip(taps) {
                *sum += f32::from(*sample) * tap;
            }
        }
        Some(to_i16(f64::from(sums.iter().sum::<f32>() + tail)))
    }

    /// One sample near an end.
    fn edge(&self, samples: &[i16], position: usize, phase: usize, ends: Ends) -> i16 {
        let neighbour = |place: usize| match ends {
            Ends::Silent => samples.get((position + place).checked_sub(self.reach)?),
            // The reach may be several times as long as a short recording.
            Ends::Joined => samples.get((position + place + self.reach * (samples.len() - 1)) % samples.len()),
        };
        let taps = self.taps[phase].iter().enumerate();
        let sum = taps.filter_map(|(place, tap)| Some(f64::from(*tap) * f64::from(*neighbour(place)?)));
        to_i16(sum.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(frequency_hz: f64, rate_hz: u32, count: usize) -> Vec<i16> {
        (0..count)
            .map(|n| to_i16(10_000.0 * (2.0 * PI * frequency_hz * as_float(n) / f64::from(rate_hz)).sin()))
            .collect()
    }

    fn level(samples: &[i16]) -> f64 {
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        (middle.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / as_float(middle.len())).sqrt()
    }

    #[test]
    fn keeps_a_tone_and_its_phase() {
        for (from, to) in [(48_000, 8_000), (44_100, 8_000), (8_000, 16_000), (44_100, 16_000)] {
            let out = resample(&tone(1_000.0, from, index(from)), (from, to), Ends::Silent);
            let wanted = tone(1_000.0, to, out.len());
            let error: Vec<i16> = out.iter().zip(&wanted).map(|(a, b)| a.saturating_sub(*b)).collect();
            assert_eq!(out.len(), index(to));
            assert!(level(&error) < 0.01 * level(&wanted), "{from} to {to}: {}", level(&error));
        }
    }

    #[test]
    fn removes_what_the_new_rate_cannot_hold() {
        let out = resample(&tone(6_000.0, 48_000, 48_000), (48_000, 8_000), Ends::Silent);
        assert!(level(&out) < 10.0, "{}", level(&out));
    }

    #[test]
    fn a_loop_has_no_seam() {
        for (from, to) in [(48_000, 8_000), (44_100, 16_000), (8_000, 16_000)] {
            // A tenth of a second holds whole periods.
            let once = resample(&tone(1_000.0, from, index(from / 10)), (from, to), Ends::Joined);
            let wanted = tone(1_000.0, to, once.len());
            let worst = once.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).max().unwrap();
            assert!(worst < 100, "{from} to {to}: off by {worst} at 10,000");
        }
        assert_eq!(resample(&[500; 3], (48_000, 16_000), Ends::Joined), [500], "shorter than the filter");
    }
}
