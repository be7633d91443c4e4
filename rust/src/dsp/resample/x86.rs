//! The filter by AVX2's registers of eight numbers, eight outputs at a time.
//!
//! Outputs that lie alike between two samples of the input have the same taps: they are made side by side, so that a tap
//! is read once for all of them. Reading is what takes the time.
//!
//! The only unsafe code of `resample`. Its safe twin is `stream::portable`; a property test holds it to that, sample by
//! sample.

#![expect(unsafe_code, reason = "instructions that not every processor has")]

use std::arch::x86_64::{
    __m128, __m256, _mm_add_ps, _mm_cvtps_epi32, _mm_packs_epi32, _mm_storeu_si128, _mm256_add_ps,
    _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_hadd_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_setzero_ps,
};

use super::design::{Design, LANES};
use super::stream::{Way, portable};

/// Outputs of the same phase that are made side by side.
const ROW: usize = 8;

/// The way to run, if the processor has it.
pub(super) fn run() -> Option<Way> {
    is_x86_feature_detected!("avx2").then_some(|design, history, output| {
        // SAFETY: this function is given out only where the processor has the feature, as was just asked.
        unsafe { avx2(design, history, output) }
    })
}

#[target_feature(enable = "avx2")]
fn avx2(design: &Design, history: &[f32], output: &mut [i16]) {
    let Design { length, phases, step, .. } = *design;
    let reach = length + (ROW - 1) * step;
    let mut oldest = 0;
    let mut blocks = output.chunks_exact_mut(ROW * phases);
    for block in &mut blocks {
        for first in 0..phases {
            let position = first * step;
            let begin = oldest + position / phases;
            let span = history.get(begin..begin + reach).unwrap_or(&[]);
            let row = row(design.phase(position % phases).as_chunks().0, span, step);
            for (place, sample) in row.into_iter().enumerate() {
                block[first + place * phases] = sample;
            }
        }
        oldest += ROW * step;
    }
    portable(design, history.get(oldest..).unwrap_or(&[]), blocks.into_remainder());
}

/// The products of these taps with as many samples of `span` from 0, `step`, twice `step` and so on.
#[target_feature(enable = "avx2")]
fn row(taps: &[[f32; LANES]], span: &[f32], step: usize) -> [i16; ROW] {
    let mut sums = [[_mm256_setzero_ps(); ROW / 2]; 2];
    // What the loads below rely on.
    if span.len() < taps.len() * LANES + (ROW - 1) * step {
        return [0; ROW];
    }
    for (place, taps) in taps.iter().enumerate() {
        // SAFETY: eight numbers are read from where there are eight.
        let taps = unsafe { _mm256_loadu_ps(taps.as_ptr()) };
        for (number, sum) in sums.as_flattened_mut().iter_mut().enumerate() {
            // SAFETY: `place` is less than `taps.len()` and `number` less than `ROW`, so that the eight numbers from here
            // on are within `span`, by the length asked for above.
            let window = unsafe { _mm256_loadu_ps(span.as_ptr().add(place * LANES + number * step)) };
            // No fused operation, which would round once where the twin rounds twice.
            *sum = _mm256_add_ps(*sum, _mm256_mul_ps(taps, window));
        }
    }
    let [first, last] = &sums;
    let whole = _mm_packs_epi32(_mm_cvtps_epi32(four_sums(first)), _mm_cvtps_epi32(four_sums(last)));
    let mut row = [0; ROW];
    // SAFETY: eight numbers of 16 bits are written to where there is room for eight.
    unsafe { _mm_storeu_si128(row.as_mut_ptr().cast(), whole) };
    row
}

/// Of each register one number: neighbours are added, then pairs of them, then both halves.
#[target_feature(enable = "avx2")]
fn four_sums(registers: &[__m256; 4]) -> __m128 {
    let [one, two, three, four] = *registers;
    let pairs = _mm256_hadd_ps(_mm256_hadd_ps(one, two), _mm256_hadd_ps(three, four));
    _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs))
}
