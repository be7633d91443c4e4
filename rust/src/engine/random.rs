//! Random numbers of the operating system, and numbers drawn from a seed of it.

use crate::error::MediaError;
use crate::ice::Credentials;

/// Draws the numbers of one endpoint: source, first numbers, port. Each endpoint has a seed of its own, so that what
/// one shows on the wire says nothing of another.
pub(super) struct Random {
    state: [u64; 2],
}

impl Random {
    /// Seeded by the operating system. Fails with `Crypto` where that has no random numbers.
    pub(super) fn new() -> Result<Self, MediaError> {
        let mut seed = [0_u8; 16];
        fill(&mut seed)?;
        let value = u128::from_ne_bytes(seed);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are wanted")]
        let state = [value as u64 | 1, (value >> 64) as u64];
        Ok(Self { state })
    }

    /// Secret bytes for ICE credentials, straight from the operating system.
    pub(super) fn secret() -> Result<[u8; Credentials::RANDOM_BYTES], MediaError> {
        let mut secret = [0_u8; Credentials::RANDOM_BYTES];
        fill(&mut secret)?;
        Ok(secret)
    }

    /// A uniformly distributed number (xoroshiro128+).
    pub(super) fn next_u64(&mut self) -> u64 {
        let [a, b] = self.state;
        let mixed = b ^ a;
        self.state = [a.rotate_left(24) ^ mixed ^ (mixed << 16), mixed.rotate_left(37)];
        a.wrapping_add(b)
    }

    /// The better half of [`next_u64`](Self::next_u64).
    pub(super) fn next_u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.next_u64().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// A uniformly distributed 16-bit number.
    pub(super) fn next_u16(&mut self) -> u16 {
        let [a, b, ..] = self.next_u64().to_be_bytes();
        u16::from_be_bytes([a, b])
    }
}

fn fill(bytes: &mut [u8]) -> Result<(), MediaError> {
    getrandom::fill(bytes).map_err(|error| MediaError::Crypto(format!("no random numbers: {error}")))
}
