//! The filter by AVX2's registers of eight numbers, four outputs at a time.
//!
//! The only unsafe code of `resample`. Its safe twin is `stream::portable`; a property test holds it to that, sample by
//! sample.

#![expect(unsafe_code, reason = "instructions that not every processor has")]

use std::arch::x86_64::{
    __m256, _mm_add_ps, _mm_cvtps_epi32, _mm_cvtsi128_si64, _mm_packs_epi32, _mm256_add_ps, _mm256_castps256_ps128,
    _mm256_extractf128_ps, _mm256_hadd_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_setzero_ps,
};

use super::design::{Design, LANES};
use super::stream::{Cursor, Input, Way, product, round};

/// The way to run, if the processor has it.
pub(super) fn run() -> Option<Way> {
    is_x86_feature_detected!("avx2").then_some(|design, history, output| {
        // SAFETY: this function is given out only where the processor has the feature, as was just asked.
        unsafe { avx2(design, history, output) }
    })
}

#[target_feature(enable = "avx2")]
fn avx2(design: &Design, history: &[f32], output: &mut [i16]) {
    let mut cursor = Cursor::new(design, history);
    let (fours, rest) = output.as_chunks_mut::<4>();
    for four in fours {
        let inputs = [cursor.next(), cursor.next(), cursor.next(), cursor.next()];
        let [a, b, c, d] = products(inputs);
        // Each register becomes one number: neighbours are added, then pairs of them, then both halves.
        let pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
        let sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs));
        let whole = _mm_cvtps_epi32(sums);
        *four = words(_mm_cvtsi128_si64(_mm_packs_epi32(whole, whole)));
    }
    for sample in rest {
        *sample = round(product(cursor.next()));
    }
}

/// Lane by lane, the sums of the products of taps and samples for four outputs. No fused operations, which would round
/// once where the twin rounds twice.
#[target_feature(enable = "avx2")]
fn products(inputs: [Input<'_>; 4]) -> [__m256; 4] {
    let [a, b, c, d] = inputs.map(|input| input.taps.iter().zip(input.window));
    let mut sums = [_mm256_setzero_ps(); 4];
    for (((a, b), c), d) in a.zip(b).zip(c).zip(d) {
        for (sum, (taps, window)) in sums.iter_mut().zip([a, b, c, d]) {
            *sum = _mm256_add_ps(*sum, _mm256_mul_ps(load(taps), load(window)));
        }
    }
    sums
}

#[target_feature(enable = "avx2")]
fn load(eight: &[f32; LANES]) -> __m256 {
    // SAFETY: eight numbers are read from where there are eight.
    unsafe { _mm256_loadu_ps(eight.as_ptr()) }
}

/// The four 16-bit numbers in a register's lower half.
fn words(packed: i64) -> [i16; 4] {
    let bytes = packed.to_le_bytes();
    [0, 1, 2, 3].map(|place| i16::from_le_bytes(bytes.as_chunks().0[place]))
}
