//! AES as a keystream: the one primitive of key derivation and of the counter-mode profiles.   RFC 3711 section 4.1.1.

use aes::cipher::consts::U16;
use aes::cipher::{Array, BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipherCore};
use aes::{Aes128Enc, Aes256Enc};
use ctr::{CtrCore, flavors};

/// A scheduled key.
pub(super) enum Aes {
    Aes128(Aes128Enc),
    Aes256(Aes256Enc),
}

impl Aes {
    /// Schedules a key of 16 or 32 bytes; None for any other length.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        match key.len() {
            16 => Aes128Enc::new_from_slice(key).ok().map(Self::Aes128),
            _ => Aes256Enc::new_from_slice(key).ok().map(Self::Aes256),
        }
    }

    /// XORs the keystream that begins at counter block `block` onto `data`.
    pub(super) fn keystream(&self, block: [u8; 16], data: &mut [u8]) {
        match self {
            Self::Aes128(aes) => keystream(aes, block, data),
            Self::Aes256(aes) => keystream(aes, block, data),
        }
    }
}

fn keystream<C>(aes: &C, block: [u8; 16], data: &mut [u8])
where
    C: BlockCipherEncrypt<BlockSize = U16>,
{
    CtrCore::<&C, flavors::Ctr128BE>::inner_iv_init(aes, &Array::from(block)).apply_keystream_partial(data.into());
}
