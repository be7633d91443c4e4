//! Signal processing on 16-bit mono PCM: tones, concealment, comfort noise, time-scaling.
//!
//! Owns arithmetic on samples and nothing else: no packets, no time. State is fixed; nothing allocates after
//! construction. Levels in dBm0 are relative to G.711, whose full-scale sine is +3.14 dBm0 (A-law) or +3.17 dBm0
//! (mu-law); see [`tone::amplitude`].

pub mod cn;
pub mod extrapolation;
pub mod plc;
pub mod resample;
pub mod timescale;
pub mod tone;

#[cfg(test)]
pub(crate) mod testing;

/// The nearest 16-bit sample; saturates.
#[expect(clippy::cast_possible_truncation, reason = "a float-to-int cast saturates, which is what a sample should do")]
#[inline]
#[must_use]
pub fn to_i16(value: f64) -> i16 {
    value.round() as i16
}
