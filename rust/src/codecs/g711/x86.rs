//! Both laws by AVX2, 32 samples at a time and without tables.
//!
//! The only unsafe code of `codecs` besides the library calls of `opus`. Its safe twins are `expand_by_table` and
//! `compress_by_table`; a test holds every byte and every sample in every lane to them, a property any run of them.

#![expect(unsafe_code, reason = "instructions that not every processor has")]

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_adds_epi16, _mm256_and_si256, _mm256_blendv_epi8,
    _mm256_broadcastsi128_si256, _mm256_castps_si256, _mm256_cmpgt_epi16, _mm256_cvtepi32_ps, _mm256_loadu_si256,
    _mm256_maddubs_epi16, _mm256_packs_epi16, _mm256_packs_epi32, _mm256_packus_epi16, _mm256_permute4x64_epi64,
    _mm256_set1_epi8, _mm256_set1_epi16, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_sign_epi16,
    _mm256_srai_epi16, _mm256_srli_epi16, _mm256_srli_epi32, _mm256_storeu_si256, _mm256_unpackhi_epi8,
    _mm256_unpackhi_epi16, _mm256_unpacklo_epi8, _mm256_unpacklo_epi16, _mm256_xor_si256,
};

use super::Law;

/// Samples done at a time.
const BLOCK: usize = 32;

/// The order of 64-bit pieces in which two halves that were packed lane by lane follow each other, and its own inverse.
const LANES_TO_ORDER: i32 = 0b11_01_10_00;

/// Expands whole blocks, if this processor can. Returns what is left of both.
pub(super) fn expand<'f, 't>(law: Law, from: &'f [u8], to: &'t mut [i16]) -> (&'f [u8], &'t mut [i16]) {
    if !is_x86_feature_detected!("avx2") {
        return (from, to);
    }
    let blocks = from.len().min(to.len()) / BLOCK * BLOCK;
    let (from, rest) = from.split_at(blocks);
    let (to, rest_of_to) = to.split_at_mut(blocks);
    // SAFETY: the processor has the feature, as was just asked.
    unsafe { expand_blocks(law, from.as_chunks().0, to.as_chunks_mut().0) }
    (rest, rest_of_to)
}

/// Compresses whole blocks, if this processor can. Returns what is left of both.
pub(super) fn compress<'f, 't>(law: Law, from: &'f [i16], to: &'t mut [u8]) -> (&'f [i16], &'t mut [u8]) {
    if !is_x86_feature_detected!("avx2") {
        return (from, to);
    }
    let blocks = from.len().min(to.len()) / BLOCK * BLOCK;
    let (from, rest) = from.split_at(blocks);
    let (to, rest_of_to) = to.split_at_mut(blocks);
    let (from, to) = (from.as_chunks().0, to.as_chunks_mut().0);
    // SAFETY: the processor has the feature, as was just asked.
    unsafe {
        match law {
            Law::Alaw => compress_blocks::<true>(from, to),
            Law::Ulaw => compress_blocks::<false>(from, to),
        }
    }
    (rest, rest_of_to)
}

/// How a law's magnitudes come from a byte: `base * factor + offset * correction`, all negative, of which each table has
/// 16 entries for either lane.
struct Expansion {
    /// The bits that are inverted on the line, but for the sign.
    inverted: u8,
    /// Of a step: 8 times itself and the 132 that stand before the first one.
    bases: [u8; 16],
    /// Of a segment: a negative power of two.
    factors: [i8; 16],
    /// Of a segment, and what it is multiplied by.
    corrections: [i8; 16],
    offset: u8,
}

const BASES: [u8; 16] = [132, 140, 148, 156, 164, 172, 180, 188, 196, 204, 212, 220, 228, 236, 244, 252];

/// A-law's first segment is as fine as its second, and begins at zero.
const ALAW: Expansion = Expansion {
    inverted: 0x55,
    bases: BASES,
    factors: [-2, -2, -4, -8, -16, -32, -64, -128, 0, 0, 0, 0, 0, 0, 0, 0],
    corrections: [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    offset: 128,
};

const ULAW: Expansion = Expansion {
    inverted: 0x7f,
    bases: BASES,
    factors: [-1, -2, -4, -8, -16, -32, -64, -128, 0, 0, 0, 0, 0, 0, 0, 0],
    corrections: [1; 16],
    offset: 132,
};

#[target_feature(enable = "avx2")]
fn expand_blocks(law: Law, from: &[[u8; BLOCK]], to: &mut [[i16; BLOCK]]) {
    let expansion = match law {
        Law::Alaw => &ALAW,
        Law::Ulaw => &ULAW,
    };
    let inverted = _mm256_set1_epi8(expansion.inverted.cast_signed());
    let bases = table(&expansion.bases);
    let factors = table(&expansion.factors.map(i8::cast_unsigned));
    let corrections = table(&expansion.corrections.map(i8::cast_unsigned));
    let offset = _mm256_set1_epi8(expansion.offset.cast_signed());
    let (step_bits, segment_bits) = (_mm256_set1_epi8(0x0f), _mm256_set1_epi8(0x07));
    for (from, to) in from.iter().zip(to) {
        // SAFETY: a block is 32 bytes, which may lie anywhere.
        let bytes = unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
        let bytes = _mm256_permute4x64_epi64::<LANES_TO_ORDER>(bytes);
        let code = _mm256_xor_si256(bytes, inverted);
        let segment = _mm256_and_si256(_mm256_srli_epi16::<4>(code), segment_bits);
        let base = _mm256_shuffle_epi8(bases, _mm256_and_si256(code, step_bits));
        let factor = _mm256_shuffle_epi8(factors, segment);
        let correction = _mm256_shuffle_epi8(corrections, segment);
        // Multiplied in pairs, with the sums in 16 bits. The sign bit of a positive sample is set in both laws, so that
        // the byte itself, over a one, turns the sign of what is negative so far.
        let one = _mm256_set1_epi8(1);
        let low = _mm256_maddubs_epi16(_mm256_unpacklo_epi8(base, offset), _mm256_unpacklo_epi8(factor, correction));
        let low = _mm256_sign_epi16(low, _mm256_unpacklo_epi8(one, bytes));
        let high = _mm256_maddubs_epi16(_mm256_unpackhi_epi8(base, offset), _mm256_unpackhi_epi8(factor, correction));
        let high = _mm256_sign_epi16(high, _mm256_unpackhi_epi8(one, bytes));
        let (to_low, to_high) = to.split_at_mut(BLOCK / 2);
        // SAFETY: either half of a block of samples is 32 bytes, which may lie anywhere.
        unsafe {
            _mm256_storeu_si256(to_low.as_mut_ptr().cast(), low);
            _mm256_storeu_si256(to_high.as_mut_ptr().cast(), high);
        }
    }
}

#[target_feature(enable = "avx2")]
fn compress_blocks<const IS_ALAW: bool>(from: &[[i16; BLOCK]], to: &mut [[u8; BLOCK]]) {
    // A positive byte of number 0: what is inverted on the line, and the sign.
    let zero = if IS_ALAW { Law::Alaw.silence() } else { Law::Ulaw.silence() };
    let positive = _mm256_set1_epi8(zero.cast_signed());
    let sign = _mm256_set1_epi8(i8::MIN);
    for (from, to) in from.iter().zip(to) {
        let (from_low, from_high) = from.split_at(BLOCK / 2);
        // SAFETY: either half of a block of samples is 32 bytes, which may lie anywhere.
        let (low, high) =
            unsafe { (_mm256_loadu_si256(from_low.as_ptr().cast()), _mm256_loadu_si256(from_high.as_ptr().cast())) };
        let (low_sign, high_sign) = (_mm256_srai_epi16::<15>(low), _mm256_srai_epi16::<15>(high));
        let low = number::<IS_ALAW>(_mm256_xor_si256(low, low_sign));
        let high = number::<IS_ALAW>(_mm256_xor_si256(high, high_sign));
        let signs = _mm256_and_si256(_mm256_packs_epi16(low_sign, high_sign), sign);
        let bytes = _mm256_xor_si256(_mm256_xor_si256(_mm256_packus_epi16(low, high), positive), signs);
        let bytes = _mm256_permute4x64_epi64::<LANES_TO_ORDER>(bytes);
        // SAFETY: a block is 32 bytes, which may lie anywhere.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), bytes) };
    }
}

/// Segment and step of 16 magnitudes (one's complement, 15 bits).
///
/// A number turned into a float has its segment in the exponent and its step in the four highest bits of the mantissa.
#[target_feature(enable = "avx2")]
fn number<const IS_ALAW: bool>(magnitude: __m256i) -> __m256i {
    let zero = _mm256_setzero_si256();
    let scaled = if IS_ALAW {
        _mm256_srli_epi16::<4>(magnitude)
    } else {
        // mu-law's bias of 33; what leaves 13 bits is clipped.
        _mm256_srli_epi16::<2>(_mm256_adds_epi16(magnitude, _mm256_set1_epi16(33 * 4)))
    };
    let low = _mm256_castps_si256(_mm256_cvtepi32_ps(_mm256_unpacklo_epi16(scaled, zero)));
    let high = _mm256_castps_si256(_mm256_cvtepi32_ps(_mm256_unpackhi_epi16(scaled, zero)));
    // 23 bits of mantissa but for four.
    let float = _mm256_packs_epi32(_mm256_srli_epi32::<19>(low), _mm256_srli_epi32::<19>(high));
    // The exponent of segment 0 is 2^5 in mu-law; in A-law 2^3, if its steps were not those of segment 1.
    let bias = if IS_ALAW { -(127 + 3) << 4 } else { -(127 + 5) << 4 };
    let number = _mm256_add_epi16(float, _mm256_set1_epi16(bias));
    if IS_ALAW {
        let is_first_segment = _mm256_cmpgt_epi16(_mm256_set1_epi16(16), scaled);
        _mm256_blendv_epi8(number, scaled, is_first_segment)
    } else {
        number
    }
}

/// A table of 16 bytes in both lanes.
#[target_feature(enable = "avx2")]
fn table(entries: &[u8; 16]) -> __m256i {
    // SAFETY: 16 bytes, which may lie anywhere.
    let entries: __m128i = unsafe { _mm_loadu_si128(entries.as_ptr().cast()) };
    _mm256_broadcastsi128_si256(entries)
}
