//! The two transforms on one packet, in place: counter mode with HMAC-SHA1, and AES-GCM.
//!
//! A transform knows keys and layouts. Which index a packet has, and whether it may have it, is the context's business.

use aes::Aes128;
use aes::cipher::KeyInit;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use crate::error::DropReason;
use crate::net::{SrtpProfile, Ssrc};

use super::context::Error;
use super::kdf::{Kdf, Material, Usage, keystream};

/// Tag of `HMAC_SHA1_80`.
const HMAC_TAG_BYTES: usize = 10;
/// Tag of both GCM profiles.
const GCM_TAG_BYTES: usize = 16;
/// E flag and index, behind an SRTCP packet.
const SRTCP_INDEX_BYTES: usize = 4;
/// The E flag: the packet is encrypted.
const SRTCP_ENCRYPTED: u32 = 1 << 31;
/// Common header and sender of an RTCP packet, which stay in the clear.
pub(super) const RTCP_CLEAR_BYTES: usize = 8;

/// Session keys for RTP or for RTCP packets of one direction.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "two per context, and a packet should not chase a pointer")]
pub(super) enum Cipher {
    CounterMode(CounterMode),
    Gcm(Gcm),
}

/// AES-128 counter mode and HMAC-SHA1 with 80 bits.   RFC 3711 sections 4.1.1 and 4.2.1.
pub(super) struct CounterMode {
    aes: Aes128,
    /// With the two zero bytes that the block counter runs in.
    salt: [u8; 16],
    /// Has hashed its inner and outer pads; cloned for each packet.
    mac: Hmac<Sha1>,
}

/// AES in Galois/counter mode.   RFC 7714.
#[derive(Debug)]
pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; 12],
}

impl Cipher {
    pub(super) fn new(profile: SrtpProfile, kdf: &Kdf, usage: Usage) -> Result<Self, Error> {
        Ok(match profile {
            SrtpProfile::Aes128CmSha1_80 => Self::CounterMode(CounterMode::new(kdf, usage)?),
            SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => Self::Gcm(Gcm::new(profile, kdf, usage)?),
        })
    }

    /// Bytes that an SRTP packet is longer than its RTP packet.
    pub(super) const fn rtp_trailer_bytes(&self) -> usize {
        match self {
            Self::CounterMode(_) => HMAC_TAG_BYTES,
            Self::Gcm(_) => GCM_TAG_BYTES,
        }
    }

    /// Bytes that an SRTCP packet is longer than its RTCP packet.
    pub(super) const fn rtcp_trailer_bytes(&self) -> usize {
        self.rtp_trailer_bytes() + SRTCP_INDEX_BYTES
    }

    /// Encrypt behind the header and fill in the trailer. `packet`: header, payload, room for the trailer.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut [u8],
        header_bytes: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> Result<(), DropReason> {
        match self {
            Self::CounterMode(cipher) => {
                let (body, tag) = split_tail::<HMAC_TAG_BYTES>(packet)?;
                cipher.apply(ssrc, index, body.get_mut(header_bytes..).ok_or(DropReason::SrtpMalformed)?);
                *tag = cipher.tag(body, &roc_bytes(index));
            }
            Self::Gcm(cipher) => {
                let (body, tag) = split_tail::<GCM_TAG_BYTES>(packet)?;
                let (header, payload) = body.split_at_mut_checked(header_bytes).ok_or(DropReason::SrtpMalformed)?;
                *tag = cipher.seal(ssrc, index, header, payload)?;
            }
        }
        Ok(())
    }

    /// Check the tag, then decrypt behind the header. Drops `SrtpAuthentication`, and then the packet is garbled.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_bytes: usize,
        ssrc: Ssrc,
        index: u64,
    ) -> Result<(), DropReason> {
        match self {
            Self::CounterMode(cipher) => {
                let (body, tag) = split_tail::<HMAC_TAG_BYTES>(packet)?;
                cipher.verify(body, &roc_bytes(index), tag)?;
                cipher.apply(ssrc, index, body.get_mut(header_bytes..).ok_or(DropReason::SrtpMalformed)?);
                Ok(())
            }
            Self::Gcm(cipher) => {
                let (header, sealed) = packet.split_at_mut_checked(header_bytes).ok_or(DropReason::SrtpMalformed)?;
                cipher.open(ssrc, index, header, sealed)
            }
        }
    }

    /// Encrypt behind sender and header and fill in index and tag. index: 31 bits.   RFC 3711 section 3.4.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], ssrc: Ssrc, index: u32) -> Result<(), DropReason> {
        let word = (SRTCP_ENCRYPTED | index).to_be_bytes();
        match self {
            Self::CounterMode(cipher) => {
                let (signed, tag) = split_tail::<HMAC_TAG_BYTES>(packet)?;
                let (body, index_word) = split_tail::<SRTCP_INDEX_BYTES>(signed)?;
                let payload = body.get_mut(RTCP_CLEAR_BYTES..).ok_or(DropReason::SrtpMalformed)?;
                cipher.apply(ssrc, index.into(), payload);
                *index_word = word;
                *tag = cipher.tag(signed, &[]);
            }
            Self::Gcm(cipher) => {
                let (sealed, index_word) = split_tail::<SRTCP_INDEX_BYTES>(packet)?;
                let (body, tag) = split_tail::<GCM_TAG_BYTES>(sealed)?;
                let (clear, payload) = body.split_at_mut_checked(RTCP_CLEAR_BYTES).ok_or(DropReason::SrtpMalformed)?;
                *tag = cipher.seal(ssrc, index.into(), &rtcp_aad(clear, word), payload)?;
                *index_word = word;
            }
        }
        Ok(())
    }

    /// The E flag and index of an SRTCP packet, before anything is authenticated.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Result<(bool, u32), DropReason> {
        let end = match self {
            Self::CounterMode(_) => packet.len().checked_sub(HMAC_TAG_BYTES),
            Self::Gcm(_) => Some(packet.len()),
        };
        let word = end.and_then(|end| packet.get(..end)).and_then(|signed| signed.last_chunk::<SRTCP_INDEX_BYTES>());
        let word = u32::from_be_bytes(*word.ok_or(DropReason::SrtpMalformed)?);
        Ok((word & SRTCP_ENCRYPTED != 0, word & !SRTCP_ENCRYPTED))
    }

    /// Check the tag, then decrypt behind sender and header. Drops `SrtpAuthentication`.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: Ssrc, index: u32) -> Result<(), DropReason> {
        match self {
            Self::CounterMode(cipher) => {
                let (signed, tag) = split_tail::<HMAC_TAG_BYTES>(packet)?;
                cipher.verify(signed, &[], tag)?;
                let (body, _) = split_tail::<SRTCP_INDEX_BYTES>(signed)?;
                let payload = body.get_mut(RTCP_CLEAR_BYTES..).ok_or(DropReason::SrtpMalformed)?;
                cipher.apply(ssrc, index.into(), payload);
                Ok(())
            }
            Self::Gcm(cipher) => {
                let (body, index_word) = split_tail::<SRTCP_INDEX_BYTES>(packet)?;
                let (clear, sealed) = body.split_at_mut_checked(RTCP_CLEAR_BYTES).ok_or(DropReason::SrtpMalformed)?;
                let aad = rtcp_aad(clear, *index_word);
                cipher.open(ssrc, index.into(), &aad, sealed)
            }
        }
    }
}

impl CounterMode {
    fn new(kdf: &Kdf, usage: Usage) -> Result<Self, Error> {
        let mut salt = [0; 16];
        let (front, _) = salt.split_at_mut(14);
        front.copy_from_slice(&kdf.derive::<14>(usage, Material::Salt));
        let aes = Aes128::new(&kdf.derive::<16>(usage, Material::Encryption).into());
        let mac = Hmac::new_from_slice(&kdf.derive::<20>(usage, Material::Authentication));
        Ok(Self { aes, salt, mac: mac.map_err(|_| Error::Library)? })
    }

    /// Encrypt or decrypt. The counter block is salt * 2^16 XOR ssrc * 2^64 XOR index * 2^16.
    fn apply(&self, ssrc: Ssrc, index: u64, data: &mut [u8]) {
        let salt = u128::from_be_bytes(self.salt);
        let block = salt ^ (u128::from(ssrc.0) << 64) ^ (u128::from(index) << 16);
        keystream(&self.aes, block.to_be_bytes(), data);
    }

    fn hash(&self, body: &[u8], suffix: &[u8]) -> Hmac<Sha1> {
        let mut mac = self.mac.clone();
        mac.update(body);
        mac.update(suffix);
        mac
    }

    fn tag(&self, body: &[u8], suffix: &[u8]) -> [u8; HMAC_TAG_BYTES] {
        let whole: [u8; 20] = self.hash(body, suffix).finalize().into_bytes().into();
        whole.first_chunk().copied().unwrap_or_default()
    }

    /// Compares in constant time.
    fn verify(&self, body: &[u8], suffix: &[u8], tag: &[u8]) -> Result<(), DropReason> {
        self.hash(body, suffix).verify_truncated_left(tag).map_err(|_| DropReason::SrtpAuthentication)
    }
}

impl std::fmt::Debug for CounterMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CounterMode").finish_non_exhaustive()
    }
}

impl Gcm {
    fn new(profile: SrtpProfile, kdf: &Kdf, usage: Usage) -> Result<Self, Error> {
        let key = match profile {
            SrtpProfile::AeadAes256Gcm => UnboundKey::new(&AES_256_GCM, &kdf.derive::<32>(usage, Material::Encryption)),
            _ => UnboundKey::new(&AES_128_GCM, &kdf.derive::<16>(usage, Material::Encryption)),
        };
        let key = LessSafeKey::new(key.map_err(|_| Error::Library)?);
        Ok(Self { key, salt: kdf.derive(usage, Material::Salt) })
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

    fn seal(&self, ssrc: Ssrc, index: u64, aad: &[u8], data: &mut [u8]) -> Result<[u8; GCM_TAG_BYTES], DropReason> {
        let tag = self.key.seal_in_place_separate_tag(self.nonce(ssrc, index), Aad::from(aad), data);
        let tag = tag.map_err(|_| DropReason::SrtpMalformed)?;
        tag.as_ref().first_chunk().copied().ok_or(DropReason::SrtpMalformed)
    }

    /// sealed: ciphertext and tag.
    fn open(&self, ssrc: Ssrc, index: u64, aad: &[u8], sealed: &mut [u8]) -> Result<(), DropReason> {
        let opened = self.key.open_in_place(self.nonce(ssrc, index), Aad::from(aad), sealed);
        opened.map(|_| ()).map_err(|_| DropReason::SrtpAuthentication)
    }
}

/// The rollover counter, as it is hashed behind an RTP packet.   RFC 3711 section 4.2.
fn roc_bytes(index: u64) -> [u8; 4] {
    let [_, _, roc @ .., _, _] = index.to_be_bytes();
    roc
}

/// What GCM authenticates of an SRTCP packet besides the ciphertext.   RFC 7714 section 9.2.
fn rtcp_aad(clear: &[u8], index_word: [u8; SRTCP_INDEX_BYTES]) -> [u8; RTCP_CLEAR_BYTES + SRTCP_INDEX_BYTES] {
    let mut aad = [0; RTCP_CLEAR_BYTES + SRTCP_INDEX_BYTES];
    for (to, from) in aad.iter_mut().zip(clear.iter().chain(&index_word)) {
        *to = *from;
    }
    aad
}

fn split_tail<const N: usize>(packet: &mut [u8]) -> Result<(&mut [u8], &mut [u8; N]), DropReason> {
    packet.split_last_chunk_mut().ok_or(DropReason::SrtpMalformed)
}

/// Vectors of the RFCs, which are given for session keys.
#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn gcm(profile: SrtpProfile) -> Cipher {
        let key: Vec<u8> = (0..32).collect();
        let key = match profile {
            SrtpProfile::AeadAes256Gcm => UnboundKey::new(&AES_256_GCM, &key),
            _ => UnboundKey::new(&AES_128_GCM, &key[..16]),
        };
        Cipher::Gcm(Gcm { key: LessSafeKey::new(key.unwrap()), salt: *b"Quid pro quo" })
    }

    #[test]
    fn test_rfc3711_b2_counter_mode_keystream() {
        let cipher = CounterMode {
            aes: Aes128::new(&0x2B7E_1516_28AE_D2A6_ABF7_1588_09CF_4F3C_u128.to_be_bytes().into()),
            salt: 0xF0F1_F2F3_F4F5_F6F7_F8F9_FAFB_FCFD_0000_u128.to_be_bytes(),
            mac: Hmac::new_from_slice(&[]).unwrap(),
        };
        let mut stream = vec![0; 0xff02 * 16];
        cipher.apply(Ssrc(0), 0, &mut stream);
        let block = |n: usize| u128::from_be_bytes(stream[16 * n..][..16].try_into().unwrap());
        assert_eq!(block(0), 0xE03E_AD09_35C9_5E80_E166_B16D_D92B_4EB4);
        assert_eq!(block(1), 0xD235_1316_2B02_D0F7_2A43_A2FE_4A5F_97AB);
        assert_eq!(block(2), 0x41E9_5B3B_B0A2_E8DD_4779_01E4_FCA8_94C0);
        assert_eq!(block(0xfeff), 0xEC8C_DF73_9860_7CB0_F2D2_1675_EA9E_A1E4);
        assert_eq!(block(0xff00), 0x362B_7C3C_6773_5163_18A0_77D7_FC50_73AE);
        assert_eq!(block(0xff01), 0x6A2C_C378_7889_374F_BEB4_C81B_17BA_6C44);
    }

    /// RFC 7714 16.1.1 and 16.1.2.
    #[test]
    fn test_rfc7714_16_1_aes_128_gcm_rtp() {
        let header = bytes(&[0x8040_f17b, 0x8041_f8d3, 0x5501_a0b2]);
        let plain = [&header[..], b"Gallia est omnis divisa in partes tres"].concat();
        let sealed = [
            &header[..],
            &bytes(&[
                0xf24d_e3a3,
                0xfb34_de6c,
                0xacba_861c,
                0x9d7e_4bca,
                0xbe63_3bd5,
                0x0d29_4e6f,
                0x42a5_f47a,
                0x51c7_d19b,
                0x36de_3adf,
                0x8833_899d,
                0x7f27_beb1,
                0x6a91_52cf,
                0x765e_e439,
            ]),
            &[0x0c, 0xce],
        ]
        .concat();
        let mut packet = [&plain[..], &[0; GCM_TAG_BYTES]].concat();
        gcm(SrtpProfile::AeadAes128Gcm).seal_rtp(&mut packet, 12, Ssrc(0x5501_a0b2), 0xf17b).unwrap();
        assert_eq!(packet, sealed);
        gcm(SrtpProfile::AeadAes128Gcm).open_rtp(&mut packet, 12, Ssrc(0x5501_a0b2), 0xf17b).unwrap();
        assert_eq!(packet[..plain.len()], plain);
    }

    /// RFC 7714 17.1: the packet's index is 0x5d4.
    #[test]
    fn test_rfc7714_17_1_aes_128_gcm_rtcp() {
        let plain = bytes(&[
            0x81c8_000d,
            0x4d61_7273,
            0x4e54_5031,
            0x4e54_5032,
            0x5254_5020,
            0x0000_042a,
            0x0000_e930,
            0x4c75_6e61,
            0xdead_beef,
            0xdead_beef,
            0xdead_beef,
            0xdead_beef,
            0xdead_beef,
        ]);
        let sealed = bytes(&[
            0x81c8_000d,
            0x4d61_7273,
            0x63e9_4885,
            0xdcda_b67c,
            0xa727_d766,
            0x2f6b_7e99,
            0x7ff5_c0f7,
            0x6c06_f32d,
            0xc676_a5f1,
            0x730d_6fda,
            0x4ce0_9b46,
            0x8630_3ded,
            0x0bb9_275b,
            0xc84a_a458,
            0x96cf_4d2f,
            0xc5ab_f872,
            0x45d9_eade,
            0x8000_05d4,
        ]);
        let cipher = gcm(SrtpProfile::AeadAes128Gcm);
        let mut packet = [&plain[..], &[0; GCM_TAG_BYTES + SRTCP_INDEX_BYTES]].concat();
        cipher.seal_rtcp(&mut packet, Ssrc(0x4d61_7273), 0x5d4).unwrap();
        assert_eq!(packet, sealed);
        assert_eq!(cipher.rtcp_index(&packet), Ok((true, 0x5d4)));
        cipher.open_rtcp(&mut packet, Ssrc(0x4d61_7273), 0x5d4).unwrap();
        assert_eq!(packet[..plain.len()], plain);
    }
}
