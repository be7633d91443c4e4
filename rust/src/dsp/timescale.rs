//! Makes speech a pitch period shorter or longer without changing its pitch (overlap-add at the best match).
//!
//! Owns the search for a period and the splice. Who wants the time changed, and why, is the jitter buffer's affair.

use std::ops::RangeInclusive;

/// Shortest and longest period looked for: 400 Hz to 66 Hz.
const SHORTEST_US: u32 = 2_500;
const LONGEST_US: u32 = 15_000;

/// Samples that a search looks at: two of the longest periods at 48 kHz.
const MOST: usize = 1_440;

/// Bits of a sample's size that a search needs.
const BITS: u32 = 10;

/// Level under which a splice cannot be heard whatever the signal is, as an amplitude (about -54 dBm0).
const SILENT_RMS: f64 = 50.0;

/// How much two periods must resemble each other, as a correlation coefficient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// Only where the splice cannot be told: steady voice, silence.
    Strict,
    /// Where it can just be told; for when the delay matters more.
    Loose,
}

impl Likeness {
    const fn least(self) -> f64 {
        match self {
            Self::Strict => 0.9,
            Self::Loose => 0.5,
        }
    }
}

/// A period found: its length in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(usize);

impl Period {
    /// Looks at the front of `pcm` for two neighbouring stretches that are alike, none longer than `longest_samples`.
    /// None if nothing is alike enough, or `pcm` is shorter than two of the shortest periods (5 ms).
    #[must_use]
    pub fn find(pcm: &[i16], sample_rate_hz: u32, longest_samples: usize, likeness: Likeness) -> Option<Self> {
        let shortest = samples(sample_rate_hz, SHORTEST_US);
        let longest = samples(sample_rate_hz, LONGEST_US).min(pcm.len() / 2).min(longest_samples).min(MOST / 2);
        if shortest == 0 || longest < shortest {
            return None;
        }
        if rms(&pcm[..2 * longest]) < SILENT_RMS {
            return Some(Self(longest));
        }
        // About 8 kHz is enough to find the place; all samples then decide around it.
        let stride = samples(sample_rate_hz, 125).max(1);
        let mut window = Window::of(&pcm[..2 * longest], stride);
        let (mut correlation, mut period) = window.best(shortest / stride..=longest / stride)?;
        if stride > 1 {
            window = Window::of(&pcm[..2 * longest], 1);
            let near = (period - 1) * stride + 1..=(period + 1) * stride - 1;
            (correlation, period) = window.best((*near.start()).max(shortest)..=(*near.end()).min(longest))?;
        }
        (correlation >= likeness.least()).then_some(Self(period))
    }

    /// Its length in samples.
    #[must_use]
    pub const fn samples(self) -> usize {
        self.0
    }

    /// Takes the period out: `pcm` holds the same speech in its front `pcm.len() - samples()`, which is returned.
    pub fn remove(self, pcm: &mut [i16]) -> usize {
        let period = self.0;
        let (first, rest) = pcm.split_at_mut(period);
        for ((weight, old), &new) in weights(period).zip(first).zip(&*rest) {
            *old = mix(*old, new, weight);
        }
        pcm.copy_within(2 * period.., period);
        pcm.len() - period
    }

    /// Puts the period in once more: the front `length` samples of `pcm` become `length + samples()`, which is returned.
    /// `pcm` must have room for them, else nothing is done and `length` returned.
    pub fn insert(self, pcm: &mut [i16], length: usize) -> usize {
        let period = self.0;
        if length + period > pcm.len() || length < 2 * period {
            return length;
        }
        // first period | second fading into first | second and the rest
        pcm.copy_within(period..length, 2 * period);
        let (first, rest) = pcm.split_at_mut(period);
        let (between, second) = rest.split_at_mut(period);
        for ((weight, mixed), (&old, &new)) in weights(period).zip(between).zip(second.iter().zip(&*first)) {
            *mixed = mix(old, new, weight);
        }
        length + period
    }
}

const fn samples(sample_rate_hz: u32, us: u32) -> usize {
    (sample_rate_hz as u64 * us as u64 / 1_000_000) as usize
}

/// Weights of what is faded in over a period, from nearly 0 to nearly 1.
fn weights(period: usize) -> impl Iterator<Item = f32> {
    let step = 1.0 / f32::from(u16::try_from(period + 1).unwrap_or(u16::MAX));
    (0..u16::MAX).map(move |place| f32::from(place + 1) * step)
}

/// The nearest sample to the sum of `new`, at this weight, and `old` at what is left of 1.
#[expect(clippy::cast_possible_truncation, reason = "it lies between two samples")]
fn mix(old: i16, new: i16, weight: f32) -> i16 {
    // Above zero, cutting off the fraction is rounding down, which processors do to several numbers at a time; a check of
    // the difference, which cannot overflow, would keep them from it.
    const ABOVE_ZERO: i32 = 32_768;
    let sum = f32::from(old) * (1.0 - weight) + f32::from(new) * weight;
    ((sum + 32_768.5) as i32).wrapping_sub(ABOVE_ZERO) as i16
}

fn rms(pcm: &[i16]) -> f64 {
    let energy: i64 = pcm.iter().map(|&sample| i64::from(sample) * i64::from(sample)).sum();
    (approximate(energy) / f64::from(u32::try_from(pcm.len().max(1)).unwrap_or(u32::MAX))).sqrt()
}

/// What is searched for a period, of such a size that no sum of its products leaves 32 bits: [`MOST`] times
/// 2^[`BITS`] squared is below 2^31. Sums of 32 bits are what processors make many of at a time.
struct Window {
    samples: [i16; MOST],
    /// Sum of the squares of all samples before each.
    energies: [u32; MOST + 1],
    length: usize,
}

impl Window {
    /// Every `stride`th sample of `pcm`, of which only the first [`MOST`] count.
    fn of(pcm: &[i16], stride: usize) -> Self {
        let peak = pcm.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        let shift = (u16::BITS - peak.leading_zeros()).saturating_sub(BITS);
        let (mut samples, mut energies) = ([0; MOST], [0; MOST + 1]);
        let mut energy = 0_u32;
        let places = samples.iter_mut().zip(&mut energies[1..]);
        let length = places
            .zip(pcm.iter().step_by(stride))
            .map(|((sample, sum), &from)| {
                *sample = from >> shift;
                energy = energy.wrapping_add(u32::from(sample.unsigned_abs()).pow(2));
                *sum = energy;
            })
            .count();
        Self { samples, energies, length }
    }

    /// The period whose two stretches correlate best, of those that fit twice.
    fn best(&self, periods: RangeInclusive<usize>) -> Option<(f64, usize)> {
        let fitting = periods.filter(|period| 2 * period <= self.length);
        fitting.map(|period| (self.correlation(period), period)).max_by(|a, b| a.0.total_cmp(&b.0))
    }

    fn correlation(&self, period: usize) -> f64 {
        let (first, second) = self.samples[..2 * period].split_at(period);
        let product = first.iter().zip(second).fold(0_i32, |sum, (&a, &b)| {
            // Neither wraps, by what `Window` is; checks would keep this from being done many samples at a time.
            sum.wrapping_add(i32::from(a).wrapping_mul(i32::from(b)))
        });
        let energy = |from: usize, to: usize| f64::from(self.energies[to].wrapping_sub(self.energies[from])) + 1.0;
        f64::from(product) / (energy(0, period) * energy(period, 2 * period)).sqrt()
    }
}

#[expect(clippy::cast_precision_loss, reason = "sums of a few hundred squares of 16 bits are below 2^53")]
fn approximate(sum: i64) -> f64 {
    sum as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::testing::{largest_step, tone_level_dbm0};
    use crate::dsp::tone::Oscillator;

    fn tone(frequency_hz: f64, rate_hz: u32, samples: usize) -> Vec<i16> {
        let mut pcm = vec![0; samples];
        Oscillator::new(&[frequency_hz], -10.0, rate_hz).fill(&mut pcm);
        pcm
    }

    #[test]
    fn removes_and_inserts_whole_periods_of_a_tone_without_a_click() {
        for (rate_hz, frequency_hz) in [(8_000, 150.0), (8_000, 440.0), (16_000, 440.0), (48_000, 300.0)] {
            let whole = tone(frequency_hz, rate_hz, rate_hz as usize / 25);
            let period = Period::find(&whole, rate_hz, usize::MAX, Likeness::Strict).unwrap();

            let mut shorter = whole.clone();
            let length = period.remove(&mut shorter);
            shorter.truncate(length);
            assert_eq!(shorter.len(), whole.len() - period.samples());

            let mut longer = whole.clone();
            longer.resize(whole.len() * 2, 0);
            let length = period.insert(&mut longer, whole.len());
            longer.truncate(length);
            assert_eq!(longer.len(), whole.len() + period.samples());

            for changed in [&shorter, &longer] {
                assert!(largest_step(changed) <= largest_step(&whole) * 11 / 10, "{rate_hz} {frequency_hz}");
                assert!((tone_level_dbm0(changed, frequency_hz, rate_hz) - -10.0).abs() < 1.0);
                assert_eq!(changed.last(), whole.last());
            }
        }
    }

    #[test]
    fn finds_nothing_to_splice_in_noise() {
        let mut noise = vec![0; 320];
        let mut generator = crate::dsp::cn::Generator::new(7);
        generator.set(&crate::dsp::cn::Description::white(20));
        (0..10).for_each(|_| generator.fill(&mut noise));
        assert_eq!(Period::find(&noise, 8_000, usize::MAX, Likeness::Strict), None);
    }

    #[test]
    fn splices_silence_anywhere() {
        assert_eq!(Period::find(&[0; 320], 8_000, usize::MAX, Likeness::Strict).map(Period::samples), Some(120));
        assert_eq!(Period::find(&[0; 320], 8_000, 33, Likeness::Strict).map(Period::samples), Some(33));
    }

    #[test]
    fn leaves_pieces_alone_that_are_too_short() {
        assert_eq!(Period::find(&[0; 39], 8_000, usize::MAX, Likeness::Loose), None);
        assert_eq!(Period::find(&[], 8_000, usize::MAX, Likeness::Loose), None);
        assert_eq!(Period(40).insert(&mut [0; 100], 80), 80);
    }
}
