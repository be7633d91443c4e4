//! AES counter mode with HMAC-SHA1.   RFC 3711 sections 4.1.1 and 4.2.1, RFC 6188.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::error::DropReason;
use crate::mac::{self, Backend, Key, Message};
use crate::net::Ssrc;

use super::aes::Aes;
use super::context::Error;
use super::kdf::{Kdf, Material, Usage};

/// Session keys of one direction for RTP or for RTCP.
pub(super) struct CounterMode {
    aes: Aes,
    /// With the two zero bytes that the block counter runs in.
    salt: [u8; 16],
    mac: Key,
    backend: Backend,
}

impl CounterMode {
    pub(super) fn new(kdf: &Kdf, usage: Usage) -> Result<Self, Error> {
        let mut salt = [0; 16];
        let (front, _) = salt.split_at_mut(14);
        front.copy_from_slice(&kdf.derive::<14>(usage, Material::Salt));
        let mac = Key::new(&kdf.derive::<20>(usage, Material::Authentication));
        Ok(Self { aes: kdf.cipher(usage)?, salt, mac, backend: Backend::detect() })
    }

    /// Encrypt or decrypt. The counter block is salt * 2^16 XOR ssrc * 2^64 XOR index * 2^16.
    pub(super) fn apply(&self, ssrc: Ssrc, index: u64, data: &mut [u8]) {
        let salt = u128::from_be_bytes(self.salt);
        let block = salt ^ (u128::from(ssrc.0) << 64) ^ (u128::from(index) << 16);
        self.aes.keystream(block.to_be_bytes(), data);
    }

    /// What tags are made under.
    pub(super) const fn mac(&self) -> Key {
        self.mac
    }

    /// Writes the front of the HMAC over `body` and `suffix`, as much as `tag` holds.
    pub(super) fn sign(&self, body: &[u8], suffix: Option<[u8; 4]>, tag: &mut [u8]) {
        mac::sign(self.backend, [Message { key: self.mac, body, suffix, code: tag }]);
    }

    /// Compares with the tag that `body` and `suffix` must have, in constant time.
    pub(super) fn verify(&self, body: &[u8], suffix: Option<[u8; 4]>, tag: &[u8]) -> Result<(), DropReason> {
        let mut code = [0; mac::CODE_BYTES];
        self.sign(body, suffix, &mut code);
        compare(&code, tag)
    }
}

/// Compares a tag with the front of the code that it must be, in constant time. Drops `SrtpAuthentication`.
pub(super) fn compare(code: &[u8; mac::CODE_BYTES], tag: &[u8]) -> Result<(), DropReason> {
    let expected = code.get(..tag.len()).filter(|expected| !expected.is_empty());
    verify_slices_are_equal(expected.ok_or(DropReason::SrtpMalformed)?, tag).map_err(|_| DropReason::SrtpAuthentication)
}

impl std::fmt::Debug for CounterMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CounterMode").finish_non_exhaustive()
    }
}

/// Vectors of the RFCs, which are given for session keys.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::testing::unhex;

    /// Session salt F0F1..FD, SSRC and index 0.
    fn keystream(key: &str, bytes: usize) -> Vec<u8> {
        let salt = 0xF0F1_F2F3_F4F5_F6F7_F8F9_FAFB_FCFD_0000_u128.to_be_bytes();
        let aes = Aes::new(&unhex(key)).unwrap();
        let keys = CounterMode { aes, salt, mac: Key::new(&[]), backend: Backend::detect() };
        let mut stream = vec![0; bytes];
        keys.apply(Ssrc(0), 0, &mut stream);
        stream
    }

    #[test]
    fn test_rfc3711_b2_aes_128_keystream() {
        let stream = keystream("2B7E151628AED2A6ABF7158809CF4F3C", 0xff02 * 16);
        let blocks = [
            (0, "E03EAD0935C95E80E166B16DD92B4EB4"),
            (1, "D23513162B02D0F72A43A2FE4A5F97AB"),
            (2, "41E95B3BB0A2E8DD477901E4FCA894C0"),
            (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
            (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
            (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
        ];
        for (number, block) in blocks {
            assert_eq!(stream[16 * number..][..16], unhex(block));
        }
    }

    #[test]
    fn test_rfc6188_7_1_aes_256_keystream() {
        let stream = keystream("57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98", 0xff02 * 16);
        let blocks = [
            (0, "92bdd28a93c3f52511c677d08b5515a4"),
            (1, "9da71b2378a854f67050756ded165bac"),
            (2, "63c4868b7096d88421b563b8c94c9a31"),
            (0xfeff, "cea518c90fd91ced9cbb18c078a54711"),
            (0xff00, "3dbc4814f4da5f00a08772b63c6a046d"),
            (0xff01, "6eb246913062a16891433e97dd01a57f"),
        ];
        for (number, block) in blocks {
            assert_eq!(stream[16 * number..][..16], unhex(block));
        }
    }
}
