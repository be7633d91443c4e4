//! HMAC-SHA1 over several messages at once (RFC 2104, RFC 3174).
//!
//! SHA-1 is a chain of steps that wait for each other: alone, a message leaves most of the processor idle. Messages of
//! different packets have nothing to do with each other, so several are hashed side by side, each in its lane. Owns keys
//! as their two hashed pads, the lanes, and the choice of what the processor does best. Must not know a packet's layout.
//! Nothing is allocated.

mod compress;
mod lanes;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;

use compress::{Block, INITIAL, State};

pub use compress::Backend;
pub use lanes::{Message, sign};

/// Bytes of a whole authentication code.
pub const CODE_BYTES: usize = 20;

/// Bytes of a SHA-1 block.
const BLOCK_BYTES: usize = 64;

/// A key, in the form of SHA-1's states behind the inner and the outer pad.
///
/// 40 bytes to be copied freely; not the key itself, but as good as it, so it never shows in debug output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    inner: State,
    outer: State,
}

impl Key {
    /// Hash the pads of a key; of one longer than a block, those of its digest.   RFC 2104 section 2.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut padded: Block = [0; BLOCK_BYTES];
        let digest: [u8; CODE_BYTES];
        let key = if key.len() > BLOCK_BYTES {
            digest = <sha1::Sha1 as sha1::Digest>::digest(key).into();
            &digest
        } else {
            key
        };
        for (to, from) in padded.iter_mut().zip(key) {
            *to = *from;
        }
        let state_behind = |pad: u8| {
            let mut state = INITIAL;
            sha1::block_api::compress(&mut state, &[padded.map(|byte| byte ^ pad)]);
            state
        };
        Self { inner: state_behind(0x36), outer: state_behind(0x5c) }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// What a packet's code will be made of, where the packet is complete but for that.
///
/// Holds no reference, so that packets may wait for each other and have their codes computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Under what.
    pub key: Key,
    /// What is authenticated behind the packet without being sent.
    pub suffix: Option<[u8; 4]>,
    /// How many bytes at the packet's end are the place of the code.
    pub code_bytes: usize,
}

impl Pending {
    /// The message that `packet` makes, with its end as the place of the code; None if it is too short for that.
    #[must_use]
    pub fn message<'a>(&self, packet: &'a mut [u8]) -> Option<Message<'a>> {
        let body_bytes = packet.len().checked_sub(self.code_bytes)?;
        let (body, code) = packet.split_at_mut_checked(body_bytes)?;
        Some(Message { key: self.key, body, suffix: self.suffix, code })
    }
}

#[cfg(test)]
mod tests;
