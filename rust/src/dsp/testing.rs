//! Measuring tools and vectors for the tests of the sound libraries.

use std::f64::consts::TAU;
use std::path::PathBuf;

use super::tone::FULL_SCALE_DBM0;

/// Level of a whole signal in dBm0.
pub(crate) fn level_dbm0(pcm: &[i16]) -> f64 {
    let energy: f64 = pcm.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    let rms = (energy / count(pcm)).sqrt();
    20.0 * (rms * std::f64::consts::SQRT_2 / 32_767.0).log10() + FULL_SCALE_DBM0
}

/// Level in dBm0 of one frequency within a signal.
pub(crate) fn tone_level_dbm0(pcm: &[i16], frequency_hz: f64, sample_rate_hz: u32) -> f64 {
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (place, &sample) in pcm.iter().enumerate() {
        let angle = TAU * frequency_hz * f64::from(u32::try_from(place).unwrap()) / f64::from(sample_rate_hz);
        sine += f64::from(sample) * angle.sin();
        cosine += f64::from(sample) * angle.cos();
    }
    let amplitude = 2.0 * sine.hypot(cosine) / count(pcm);
    20.0 * (amplitude / 32_767.0).log10() + FULL_SCALE_DBM0
}

/// The largest step between neighbouring samples: a click shows here.
pub(crate) fn largest_step(pcm: &[i16]) -> i32 {
    pcm.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap_or(0)
}

fn count(pcm: &[i16]) -> f64 {
    f64::from(u32::try_from(pcm.len().max(1)).unwrap())
}

/// A file of ITU test data, or None with a word on where to get it. Never part of the repository (ITU-T licence).
#[expect(clippy::disallowed_methods, reason = "a test may read its vectors")]
pub(crate) fn vector(name: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("TRUNKLINE_VECTORS").map_or_else(|| PathBuf::from("../shared/vectors"), PathBuf::from);
    let bytes = std::fs::read(root.join(name)).ok();
    if bytes.is_none() {
        eprintln!(
            "{name} is not in {}: take the `test_data` folders of github.com/openitu/STL (ITU-T Software Tool Library) \
             and point TRUNKLINE_VECTORS at them",
            root.display()
        );
    }
    bytes
}

/// 16-bit little-endian samples of a vector file.
pub(crate) fn vector_samples(name: &str) -> Option<Vec<i16>> {
    let bytes = vector(name)?;
    Some(bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect())
}
