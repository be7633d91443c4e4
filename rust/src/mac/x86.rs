//! SHA-1 of several blocks side by side on x86-64: by its SHA-1 instructions, or in the columns of AVX2.
//!
//! The only unsafe code of `mac`. Its safe twin is `compress::single`, and a property test holds both to it.

#![expect(unsafe_code, reason = "instructions that not every processor has")]

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi32, _mm_set_epi64x, _mm_setzero_si128,
    _mm_sha1msg1_epu32, _mm_sha1msg2_epu32, _mm_sha1nexte_epu32, _mm_sha1rnds4_epu32, _mm_shuffle_epi8,
    _mm_shuffle_epi32, _mm_storeu_si128, _mm_xor_si128,
};
use std::array::from_fn as each;

use super::BLOCK_BYTES;
use super::compress::{Block, State, single};

/// Fewer blocks than this are quicker one after the other than in eight columns of which most are idle.
const AVX2_WORTHWHILE: usize = 3;

/// Whether [`sha_ni`] runs by the instructions that it is named after.
pub(super) fn has_sha_ni() -> bool {
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1")
}

/// Whether [`avx2`] runs by the instructions that it is named after.
pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Four blocks side by side, then two, then one.
pub(super) fn sha_ni(states: &mut [State], blocks: &[&Block]) {
    if !has_sha_ni() {
        return single(states, blocks);
    }
    let (fours, states) = states.as_chunks_mut::<4>();
    let (fours_of_blocks, blocks) = blocks.as_chunks::<4>();
    for (states, blocks) in fours.iter_mut().zip(fours_of_blocks) {
        // SAFETY: the processor has the features, as was just asked.
        unsafe { sha_ni_lanes(states, blocks) }
    }
    let (twos, states) = states.as_chunks_mut::<2>();
    let (twos_of_blocks, blocks) = blocks.as_chunks::<2>();
    for (states, blocks) in twos.iter_mut().zip(twos_of_blocks) {
        // SAFETY: as above.
        unsafe { sha_ni_lanes(states, blocks) }
    }
    single(states, blocks);
}

/// Eight blocks side by side; the last ones beside idle columns.
pub(super) fn avx2(states: &mut [State], blocks: &[&Block]) {
    if !has_avx2() {
        return single(states, blocks);
    }
    let (eights, states) = states.as_chunks_mut::<8>();
    let (eights_of_blocks, blocks) = blocks.as_chunks::<8>();
    for (states, blocks) in eights.iter_mut().zip(eights_of_blocks) {
        // SAFETY: the processor has the feature, as was just asked.
        unsafe { avx2_columns(states, blocks) }
    }
    if states.len() < AVX2_WORTHWHILE {
        return single(states, blocks);
    }
    let mut padded_states = [[0; 5]; 8];
    let mut padded_blocks = [&[0; BLOCK_BYTES]; 8];
    for ((to, from), (to_block, from_block)) in
        padded_states.iter_mut().zip(states.iter()).zip(padded_blocks.iter_mut().zip(blocks))
    {
        *to = *from;
        *to_block = from_block;
    }
    // SAFETY: as above.
    unsafe { avx2_columns(&mut padded_states, &padded_blocks) }
    for (to, from) in states.iter_mut().zip(padded_states) {
        *to = from;
    }
}

/// Twenty groups of four rounds. The instructions take the state as `abcd` with `a` on top, and `e` on top of a register
/// of its own; `sha1nexte` turns the `a` of four rounds ago into the `e` of now, and adds the schedule's words to it.
#[target_feature(enable = "sha,ssse3,sse4.1")]
fn sha_ni_lanes<const N: usize>(states: &mut [State; N], blocks: &[&Block; N]) {
    /// Reverses the bytes of the register, so that big-endian words stand with the first on top.
    const REVERSED: (i64, i64) = (0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
    /// Reverses the four words of a register.
    const WORDS_REVERSED: i32 = 0x1b;

    let mask = _mm_set_epi64x(REVERSED.0, REVERSED.1);
    let mut abcd = [_mm_setzero_si128(); N];
    let mut e = [_mm_setzero_si128(); N];
    let mut schedule = [[_mm_setzero_si128(); 4]; N];
    for lane in 0..N {
        abcd[lane] = _mm_shuffle_epi32::<WORDS_REVERSED>(load_state(&states[lane]));
        e[lane] = _mm_set_epi32(states[lane][4].cast_signed(), 0, 0, 0);
        let (quarters, _) = blocks[lane].as_chunks::<16>();
        for (words, quarter) in schedule[lane].iter_mut().zip(quarters) {
            *words = _mm_shuffle_epi8(load(quarter), mask);
        }
    }
    let before = (abcd, e);

    // A macro, because the function of a round is part of the instruction.
    macro_rules! rounds {
        ($function:literal: $($group:literal)*) => {$(
            for lane in 0..N {
                let words = &mut schedule[lane];
                let current = words[$group % 4];
                let with_e =
                    if $group == 0 { _mm_add_epi32(e[lane], current) } else { _mm_sha1nexte_epu32(e[lane], current) };
                e[lane] = abcd[lane];
                abcd[lane] = _mm_sha1rnds4_epu32::<$function>(abcd[lane], with_e);
                if 3 <= $group && $group < 19 {
                    let mixed = _mm_sha1msg1_epu32(words[($group + 1) % 4], words[($group + 2) % 4]);
                    let mixed = _mm_xor_si128(mixed, words[($group + 3) % 4]);
                    words[($group + 1) % 4] = _mm_sha1msg2_epu32(mixed, current);
                }
            }
        )*};
    }
    rounds!(0: 0 1 2 3 4);
    rounds!(1: 5 6 7 8 9);
    rounds!(2: 10 11 12 13 14);
    rounds!(3: 15 16 17 18 19);

    for lane in 0..N {
        let sum = _mm_shuffle_epi32::<WORDS_REVERSED>(_mm_add_epi32(abcd[lane], before.0[lane]));
        store_state(&mut states[lane], sum);
        states[lane][4] = _mm_extract_epi32::<3>(_mm_sha1nexte_epu32(e[lane], before.1[lane])).cast_unsigned();
    }
}

fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the reference is good for 16 bytes, and the instruction asks for no alignment. Every x86-64 has SSE2.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// The first four words.
fn load_state(state: &State) -> __m128i {
    // SAFETY: the reference is good for 20 bytes, of which 16 are read at any alignment.
    unsafe { _mm_loadu_si128(state.as_ptr().cast()) }
}

fn store_state(state: &mut State, words: __m128i) {
    // SAFETY: the reference is good for 20 bytes, of which 16 are written at any alignment.
    unsafe { _mm_storeu_si128(state.as_mut_ptr().cast(), words) }
}

/// One word of each of eight messages.
type Column = [u32; 8];

/// Plain code on eight columns, which the compiler turns into one AVX2 instruction a line.   RFC 3174 section 6.1.
#[expect(clippy::many_single_char_names, reason = "the names of the RFC")]
#[target_feature(enable = "avx2")]
fn avx2_columns(states: &mut [State; 8], blocks: &[&Block; 8]) {
    let mut schedule = [[0; 8]; 16];
    for (lane, block) in blocks.iter().enumerate() {
        for (column, word) in schedule.iter_mut().zip(block.as_chunks::<4>().0) {
            column[lane] = u32::from_be_bytes(*word);
        }
    }
    let [mut a, mut b, mut c, mut d, mut e]: [Column; 5] = each(|word| each(|lane| states[lane][word]));
    for round in 0..80 {
        if round >= 16 {
            let [w3, w8, w14, w16] = [13, 8, 2, 0].map(|ahead| schedule[(round + ahead) % 16]);
            schedule[round % 16] = each(|lane| (w3[lane] ^ w8[lane] ^ w14[lane] ^ w16[lane]).rotate_left(1));
        }
        let words = schedule[round % 16];
        let (mixed, constant): (Column, u32) = match round / 20 {
            0 => (each(|lane| d[lane] ^ (b[lane] & (c[lane] ^ d[lane]))), 0x5a82_7999),
            1 => (each(|lane| b[lane] ^ c[lane] ^ d[lane]), 0x6ed9_eba1),
            2 => (each(|lane| (b[lane] & c[lane]) | (d[lane] & (b[lane] | c[lane]))), 0x8f1b_bcdc),
            _ => (each(|lane| b[lane] ^ c[lane] ^ d[lane]), 0xca62_c1d6),
        };
        let sum = each(|lane| {
            let [a, e] = [a[lane].rotate_left(5), e[lane]];
            a.wrapping_add(mixed[lane]).wrapping_add(e).wrapping_add(constant).wrapping_add(words[lane])
        });
        (e, d, c, b, a) = (d, c, each(|lane| b[lane].rotate_left(30)), a, sum);
    }
    for (lane, state) in states.iter_mut().enumerate() {
        for (word, column) in state.iter_mut().zip([a, b, c, d, e]) {
            *word = word.wrapping_add(column[lane]);
        }
    }
}
