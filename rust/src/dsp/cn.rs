//! Comfort noise: the level that a CN packet names, as white noise.
//!
//! Owns reading the payload and the generator. The spectral part of the payload (reflection coefficients) is ignored, as
//! RFC 3389 section 3 allows. RFC 3389.

use super::tone::FULL_SCALE_DBM0;

/// Quietest level that a payload can name, in -dBov.
const QUIETEST: u8 = 127;

/// How fast the level follows a new packet: the share of the distance made per sample (about 20 ms at 8 kHz).
const GLIDE: f64 = 1.0 / 160.0;

/// Level named by a CN payload, in dB below overload (0 loudest, 127 silence). None if the payload is empty.
#[must_use]
pub fn level(payload: &[u8]) -> Option<u8> {
    payload.first().map(|byte| byte & QUIETEST)
}

/// White noise whose power follows the last level set.
#[derive(Debug, Clone)]
pub struct Generator {
    state: u64,
    target_rms: f64,
    rms: f64,
}

impl Generator {
    /// A silent generator. `seed` makes two streams differ; any number will do.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed | 1, target_rms: 0.0, rms: 0.0 }
    }

    /// Sets the level in dB below overload, as [`level`] gives it. The power of 0 dBov is that of a full-scale square
    /// wave (RFC 3389 section 3), 3.01 dB above a full-scale sine.
    pub fn set_level(&mut self, below_overload_db: u8) {
        self.target_rms = if below_overload_db >= QUIETEST {
            0.0
        } else {
            32_767.0 * 10_f64.powf(-f64::from(below_overload_db) / 20.0)
        };
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
            *sample = super::to_i16(self.uniform() * self.rms);
        }
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
mod tests {
    use super::*;
    use crate::dsp::testing::level_dbm0;

    #[test]
    fn makes_noise_of_the_level_that_the_packet_names() {
        for below_overload_db in [20, 45, 60] {
            let mut generator = Generator::new(1);
            generator.set_level(below_overload_db);
            let mut pcm = vec![0; 16_000];
            generator.fill(&mut pcm);
            let made = level_dbm0(&pcm[4_000..]);
            assert!((made - generator.level_dbm0()).abs() < 1.0, "{made} dBm0 for -{below_overload_db} dBov");
            // 0 dBov is 3.01 dB above a full-scale sine, which is +3.14 dBm0.
            assert!((made - (6.15 - f64::from(below_overload_db))).abs() < 1.0);
        }
    }

    #[test]
    fn is_silent_before_the_first_packet_and_at_level_127() {
        let mut generator = Generator::new(1);
        let mut pcm = vec![1; 160];
        generator.fill(&mut pcm);
        assert!(pcm.iter().all(|&sample| sample == 0));
        generator.set_level(127);
        generator.fill(&mut pcm);
        assert!(pcm.iter().all(|&sample| sample == 0));
    }

    #[test]
    fn reads_the_level_and_leaves_the_rest_of_the_payload() {
        assert_eq!(level(&[0xc5, 1, 2, 3]), Some(0x45));
        assert_eq!(level(&[]), None);
    }
}
