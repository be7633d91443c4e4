//! Comfort noise: what a CN packet describes, as noise of that level and colour; and noise as such a description.
//!
//! Owns the payload, the generator, and (in [`describer`]) the analysis. When to be silent is nobody's affair here.
//! RFC 3389, ITU-T G.711 Appendix II.

mod describer;

use super::tone::FULL_SCALE_DBM0;

pub use describer::Describer;

/// Quietest level that a payload can name, in -dBov.
const QUIETEST: u8 = 127;

/// Loudest level that a payload is believed, in -dBov: that of speech. Whatever claims to be louder is no background.
const LOUDEST: u8 = 26;

/// Reflection coefficients that are made use of; those after them are ignored, which leaves the best model of this order.
pub const ORDER: usize = 12;

/// How fast the level follows a new packet: the share of the distance made per sample (about 20 ms at 8 kHz).
const GLIDE: f64 = 1.0 / 160.0;

/// The index of a coefficient of 0, and the distance between two (RFC 3389 section 3.2).
const MIDDLE: u8 = 127;
const STEP: f64 = 258.0 / 32_768.0;

/// What a CN payload says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// Level in dB below overload: 0 loudest, 127 silence.
    pub below_overload_db: u8,
    /// Reflection coefficients as indices, 127 for 0; those that were not sent are 0.
    indices: [u8; ORDER],
}

impl Description {
    /// The longest payload that is written.
    pub const MAX_BYTES: usize = 1 + describer::ORDER;

    /// White noise of this level.
    #[must_use]
    pub const fn white(below_overload_db: u8) -> Self {
        Self { below_overload_db, indices: [MIDDLE; ORDER] }
    }

    /// Reads a payload of the network. None if it is empty.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (level, coefficients) = payload.split_first()?;
        let mut description = Self::white((level & QUIETEST).max(LOUDEST));
        for (index, &sent) in description.indices.iter_mut().zip(coefficients) {
            // 255 is reserved.
            *index = if sent == u8::MAX { MIDDLE } else { sent };
        }
        Some(description)
    }

    /// Writes the payload into the front of `payload` and returns its length; None if that has no room for it.
    #[must_use]
    pub fn write(&self, payload: &mut [u8]) -> Option<usize> {
        let spectrum = self.indices.len() - self.indices.iter().rev().take_while(|&&index| index == MIDDLE).count();
        let (level, coefficients) = payload.get_mut(..=spectrum)?.split_first_mut()?;
        *level = self.below_overload_db.min(QUIETEST);
        coefficients.copy_from_slice(&self.indices[..spectrum]);
        Some(1 + spectrum)
    }

    fn reflection(&self) -> [f64; ORDER] {
        self.indices.map(|index| f64::from(i16::from(index) - i16::from(MIDDLE)) * STEP)
    }
}

/// Noise whose level and spectrum follow the last description.
#[derive(Debug, Clone)]
pub struct Generator {
    state: u64,
    target_rms: f64,
    rms: f64,
    reflection: [f64; ORDER],
    /// Amplitude of the excitation of a lattice whose output has that of 1.
    gain: f64,
    /// What the lattice sends backwards, stage by stage, of the sample before.
    backward: [f64; ORDER],
}

impl Generator {
    /// A silent generator. `seed` makes two streams differ; any number will do.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed | 1, target_rms: 0.0, rms: 0.0, reflection: [0.0; ORDER], gain: 1.0, backward: [0.0; ORDER] }
    }

    /// Takes over a description. The power of 0 dBov is that of a full-scale square wave (RFC 3389 section 3), 3.01 dB
    /// above a full-scale sine.
    pub fn set(&mut self, description: &Description) {
        self.target_rms = if description.below_overload_db >= QUIETEST {
            0.0
        } else {
            32_767.0 * 10_f64.powf(-f64::from(description.below_overload_db) / 20.0)
        };
        self.reflection = description.reflection();
        self.gain = self.reflection.iter().map(|k| 1.0 - k * k).product::<f64>().sqrt();
    }

    /// The level that is being made or approached, in dBm0 (negative infinity: silence).
    #[must_use]
    pub fn level_dbm0(&self) -> f64 {
        20.0 * (self.target_rms * std::f64::consts::SQRT_2 / 32_767.0).log10() + FULL_SCALE_DBM0
    }

    /// Writes the next `pcm.len()` samples.
    pub fn fill(&mut self, pcm: &mut [i16]) {
        for sample in pcm {
            self.rms += (self.target_rms - self.rms) * GLIDE;
            let excitation = self.uniform() * self.gain;
            *sample = super::to_i16(self.colour(excitation) * self.rms);
        }
    }

    /// One sample through the all-pole lattice.
    fn colour(&mut self, excitation: f64) -> f64 {
        let mut forward = excitation;
        // From the last stage to the first, each with what the one before it sent back a sample ago.
        for stage in (0..ORDER).rev() {
            let k = self.reflection[stage];
            forward -= k * self.backward[stage];
            if stage + 1 < ORDER {
                self.backward[stage + 1] = self.backward[stage] + k * forward;
            }
        }
        self.backward[0] = forward;
        forward
    }

    /// The next number of a uniform distribution of unit power.
    fn uniform(&mut self) -> f64 {
        // xorshift64: cheap, and white enough for a background noise.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let [.., a, b, c, d] = self.state.to_be_bytes();
        f64::from(i32::from_be_bytes([a, b, c, d])) / f64::from(i32::MAX) * 3_f64.sqrt()
    }
}

#[cfg(test)]
mod tests;
