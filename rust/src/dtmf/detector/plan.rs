//! What the detector's arithmetic is made of at one sample rate: bins, angles, and the power of a wave in a window.

use crate::dsp::tone::{DTMF_COLUMNS_HZ, DTMF_ROWS_HZ, amplitude};

/// Blocks a second, each one a judgement.
pub(super) const BLOCKS_PER_SECOND: u16 = 200;

/// Weights of the blocks of a window, newest first.
pub(super) const WEIGHTS: [f32; 4] = [1.0, 2.0, 2.0, 1.0];

/// Rows, columns, then the second harmonics of the columns. Those of the rows lie among the columns.
pub(super) const BINS: usize = 12;
pub(super) const TONES: usize = 8;

/// Quietest wave that is taken, in dBm0 (Q.24 asks for -25).
pub(super) const FLOOR_DBM0: f64 = -28.0;

/// Share of its frequency by which a wave may be off: between the 1.5 % + 2 Hz that must pass and the 3.5 % that must not.
pub(super) const TOLERANCE: f64 = 0.0245;

/// A correlation with a wave, or a turn of its phase.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Complex {
    pub(super) re: f32,
    pub(super) im: f32,
}

impl Complex {
    pub(super) fn from_angle(turns: f64) -> Self {
        let (im, re) = (turns.fract() * std::f64::consts::TAU).sin_cos();
        Self { re: narrow(re), im: narrow(im) }
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }

    pub(super) fn conjugate(self) -> Self {
        Self { re: self.re, im: -self.im }
    }

    pub(super) fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }
}

/// What depends on the sample rate only.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) block_samples: u32,
    /// Goertzel's coefficient: twice the cosine of the angle of one sample.
    pub(super) coefficients: [f32; BINS],
    /// Angle of one sample.
    pub(super) steps: [Complex; BINS],
    /// Angle of one block.
    pub(super) turns: [Complex; BINS],
    /// Tangent of the greatest angle by which a wave's phase may drift in a block.
    pub(super) drifts: [f32; TONES],
    pub(super) floor: f32,
}

impl Plan {
    pub(super) fn new(sample_rate_hz: u32) -> Self {
        let mut frequencies_hz = [0.0; BINS];
        for (place, frequency_hz) in frequencies_hz.iter_mut().enumerate() {
            *frequency_hz = match place {
                0..4 => DTMF_ROWS_HZ[place],
                4..8 => DTMF_COLUMNS_HZ[place - 4],
                _ => 2.0 * DTMF_COLUMNS_HZ[place - 8],
            };
        }
        let steps = frequencies_hz.map(|hz| Complex::from_angle(hz / f64::from(sample_rate_hz)));
        let turns = frequencies_hz.map(|hz| Complex::from_angle(hz / f64::from(BLOCKS_PER_SECOND)));
        let mut drifts = [0.0; TONES];
        for (drift, hz) in drifts.iter_mut().zip(frequencies_hz) {
            *drift = narrow((std::f64::consts::TAU * TOLERANCE * hz / f64::from(BLOCKS_PER_SECOND)).tan());
        }
        Self {
            block_samples: sample_rate_hz / u32::from(BLOCKS_PER_SECOND),
            coefficients: steps.map(|step| 2.0 * step.re),
            steps,
            turns,
            drifts,
            floor: narrow(amplitude(FLOOR_DBM0).powi(2) / 2.0),
        }
    }

    /// Sum of the weights of a window's samples.
    pub(super) fn weight(&self) -> f32 {
        // At most 240 samples: exact.
        f32::from(u16::try_from(self.block_samples).unwrap_or(u16::MAX)) * WEIGHTS.iter().sum::<f32>()
    }

    /// Mean power of a window's samples.
    pub(super) fn mean_power(&self, energy: f32) -> f32 {
        energy / self.weight()
    }

    /// Mean power of the wave that has this correlation with a window.
    pub(super) fn power(&self, correlation: Complex) -> f32 {
        2.0 * correlation.power() / (self.weight() * self.weight())
    }

    /// Mean power of the wave near the frequency of a bin, from its correlations with this window and the one a block
    /// before. None if it is too weak or off its frequency.
    pub(super) fn wave_power(&self, bin: usize, now: Complex, before: Complex) -> Option<f32> {
        let turned = now.times(before.conjugate());
        if turned.re <= 0.0 || turned.im.abs() > self.drifts[bin] * turned.re {
            return None;
        }
        // Off its frequency the window sees less of it. Its response is the product of that of a block and that of the
        // weights, both functions of the angle by which the wave drifts in a block.
        let cosine = turned.re / turned.power().sqrt();
        let half = f32::midpoint(1.0, cosine).sqrt();
        let response = (4.0 * half.powi(3) - half) / 3.0 * (1.0 - (1.0 - cosine) / 12.0);
        let power = self.power(now) / (response * response);
        (power >= self.floor).then_some(power)
    }

    /// Level of a digit in dB below 0 dBm0, as RFC 4733 section 2.3.3 has it.
    pub(super) fn volume(&self, power: f32) -> u8 {
        let above_floor_db = 10.0 * f64::from((power / self.floor).max(1.0)).log10();
        let below = (-FLOOR_DBM0 - above_floor_db).clamp(0.0, 63.0);
        (0..=63).rev().find(|db| f64::from(*db) <= below).unwrap_or(0)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seven digits are plenty for angles and thresholds")]
fn narrow(value: f64) -> f32 {
    value as f32
}
