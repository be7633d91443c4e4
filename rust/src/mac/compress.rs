//! SHA-1's compression of one block into each of several states, as the processor does it best.   RFC 3174.

use super::BLOCK_BYTES;
#[cfg(target_arch = "x86_64")]
use super::x86;

/// The five words that a message is hashed into.
pub(super) type State = [u32; 5];
/// What one compression takes in.
pub(super) type Block = [u8; BLOCK_BYTES];

/// The state before the first block.   RFC 3174 section 6.1.
pub(super) const INITIAL: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// Most blocks that any backend takes side by side.
pub(super) const MAX_LANES: usize = 8;

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// One after the other, by the `sha1` crate: any processor.
    Single,
    /// Four side by side with the SHA-1 instructions of x86.
    #[cfg(target_arch = "x86_64")]
    ShaNi,
    /// Eight side by side in AVX2's columns of 32 bits, for x86 without SHA-1 instructions.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Backend {
    /// Every one that this processor has, the fastest first. The standard library remembers what it found.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let special = [x86::has_sha_ni().then_some(Self::ShaNi), x86::has_avx2().then_some(Self::Avx2)];
        #[cfg(not(target_arch = "x86_64"))]
        let special = [None];
        special.into_iter().flatten().chain([Self::Single])
    }

    /// The fastest one.
    #[must_use]
    pub fn detect() -> Self {
        Self::all().next().unwrap_or(Self::Single)
    }

    /// How many blocks it takes side by side.
    pub(super) const fn lanes(self) -> usize {
        match self {
            Self::Single => 1,
            #[cfg(target_arch = "x86_64")]
            Self::ShaNi => 4,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 8,
        }
    }

    /// Compresses each block into the state at its place, as many as there are of both.
    pub(super) fn compress(self, states: &mut [State], blocks: &[&Block]) {
        match self {
            Self::Single => single(states, blocks),
            #[cfg(target_arch = "x86_64")]
            Self::ShaNi => x86::sha_ni(states, blocks),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::avx2(states, blocks),
        }
    }
}

/// The safe twin of whatever is faster.
pub(super) fn single(states: &mut [State], blocks: &[&Block]) {
    for (state, block) in states.iter_mut().zip(blocks) {
        sha1::block_api::compress(state, std::slice::from_ref(*block));
    }
}
