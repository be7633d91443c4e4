//! AES in Galois/counter mode.   RFC 7714.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::error::DropReason;
use crate::net::Ssrc;

use super::context::Error;
use super::kdf::{Kdf, Material, Usage};

/// Tag of both profiles.
pub(super) const TAG_BYTES: usize = 16;

/// Session key and salt of one direction for RTP or for RTCP.
#[derive(Debug)]
pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; 12],
}

impl Gcm {
    pub(super) fn new(kdf: &Kdf, usage: Usage) -> Result<Self, Error> {
        let salt = kdf.derive(usage, Material::Salt);
        match kdf.key_bytes() {
            32 => Self::from_session_keys(&kdf.derive::<32>(usage, Material::Encryption), salt),
            _ => Self::from_session_keys(&kdf.derive::<16>(usage, Material::Encryption), salt),
        }
    }

    /// key: 16 or 32 bytes.
    pub(super) fn from_session_keys(key: &[u8], salt: [u8; 12]) -> Result<Self, Error> {
        let algorithm = if key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
        let key = UnboundKey::new(algorithm, key).map_err(|_| Error::Library)?;
        Ok(Self { key: LessSafeKey::new(key), salt })
    }

    /// Two zero bytes, SSRC and 48 bits of index, XOR salt.   RFC 7714 sections 8.1 and 9.1.
    fn nonce(&self, ssrc: Ssrc, index: u64) -> Nonce {
        let [_, _, _, _, salt @ ..] = (u128::from(ssrc.0) << 48 ^ u128::from(index)).to_be_bytes();
        let mut nonce = salt;
        for (byte, salt) in nonce.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    /// Encrypts `data` and returns the tag over it and `aad`.
    pub(super) fn seal(
        &self,
        ssrc: Ssrc,
        index: u64,
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], DropReason> {
        let tag = self.key.seal_in_place_separate_tag(self.nonce(ssrc, index), Aad::from(aad), data);
        let tag = tag.map_err(|_| DropReason::SrtpMalformed)?;
        tag.as_ref().first_chunk().copied().ok_or(DropReason::SrtpMalformed)
    }

    /// sealed: ciphertext and tag.
    pub(super) fn open(&self, ssrc: Ssrc, index: u64, aad: &[u8], sealed: &mut [u8]) -> Result<(), DropReason> {
        let opened = self.key.open_in_place(self.nonce(ssrc, index), Aad::from(aad), sealed);
        opened.map(|_| ()).map_err(|_| DropReason::SrtpAuthentication)
    }
}
