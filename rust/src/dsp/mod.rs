//! Signal processing on 16-bit mono PCM: tones, concealment, comfort noise, voice detection, bounds on loudness, time-
//! scaling.
//!
//! Owns arithmetic on samples and nothing else: no packets, no time. State is fixed; nothing allocates after
//! construction. Levels in dBm0 are relative to G.711, whose full-scale sine is +3.14 dBm0 (A-law) or +3.17 dBm0
//! (mu-law); see [`tone::amplitude`].

pub mod ceiling;
pub mod cn;
pub mod extrapolation;
pub mod plc;
pub mod resample;
pub mod timescale;
pub mod tone;
pub mod vad;

#[cfg(test)]
pub(crate) mod testing;

/// A sum of squares as a float.
#[expect(clippy::cast_precision_loss, reason = "sums of a few thousand squares of 16 bits are below 2^53")]
fn approximate(sum: i64) -> f64 {
    sum as f64
}

/// The nearest 16-bit sample; saturates.
#[expect(clippy::cast_possible_truncation, reason = "a float-to-int cast saturates, which is what a sample should do")]
#[inline]
#[must_use]
pub fn to_i16(value: f64) -> i16 {
    value.round() as i16
}
