//! The layout of a protected packet, in place: what is encrypted, what is authenticated, what comes behind.
//!
//! A cipher knows keys and layouts. Which index a packet has, and whether it may have it, is the context's business.

use crate::error::DropReason;
use crate::mac::Pending;
use crate::net::{SrtpProfile, Ssrc};

use super::context::Error;
use super::counter_mode::{self, CounterMode};
use super::forecast::Forecast;
use super::gcm::{self, Gcm};
use super::kdf::{Kdf, Usage};

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
    CounterMode {
        keys: CounterMode,
        /// As many bytes of the HMAC as the profile has for this kind of packet.
        tag_bytes: usize,
    },
    Gcm(Gcm),
}

impl Cipher {
    pub(super) fn new(profile: SrtpProfile, kdf: &Kdf, usage: Usage) -> Result<Self, Error> {
        let tag_bytes = match usage {
            Usage::Rtp => profile.rtp_tag_bytes(),
            Usage::Rtcp => profile.rtcp_tag_bytes(),
        };
        Ok(if profile.is_aead() {
            Self::Gcm(Gcm::new(kdf, usage)?)
        } else {
            Self::CounterMode { keys: CounterMode::new(kdf, usage)?, tag_bytes }
        })
    }

    /// Bytes that an SRTP packet is longer than its RTP packet.
    pub(super) const fn rtp_trailer_bytes(&self) -> usize {
        match self {
            Self::CounterMode { tag_bytes, .. } => *tag_bytes,
            Self::Gcm(_) => gcm::TAG_BYTES,
        }
    }

    /// Bytes that an SRTCP packet is longer than its RTCP packet.
    pub(super) const fn rtcp_trailer_bytes(&self) -> usize {
        self.rtp_trailer_bytes() + SRTCP_INDEX_BYTES
    }

    /// What the HMAC of the RTP packet of an index is made of; None for GCM.
    pub(super) fn rtp_code(&self, index: u64) -> Option<Pending> {
        match self {
            Self::CounterMode { keys, tag_bytes } => {
                Some(Pending { key: keys.mac(), suffix: Some(roc_bytes(index)), code_bytes: *tag_bytes })
            }
            Self::Gcm(_) => None,
        }
    }

    /// Encrypt behind the header and fill in the trailer, all but an HMAC: what that will be made of is returned.
    /// `packet`: header, payload, room for the trailer.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut [u8],
        header_bytes: usize,
        (ssrc, index): (Ssrc, u64),
    ) -> Result<Option<Pending>, DropReason> {
        match self {
            Self::CounterMode { keys, tag_bytes } => {
                let (body, _) = split_tail(packet, *tag_bytes)?;
                keys.apply(ssrc, index, body.get_mut(header_bytes..).ok_or(DropReason::SrtpMalformed)?);
            }
            Self::Gcm(keys) => {
                let (body, tag) = split_last(packet)?;
                let (header, payload) = body.split_at_mut_checked(header_bytes).ok_or(DropReason::SrtpMalformed)?;
                *tag = keys.seal(ssrc, index, header, payload)?;
            }
        }
        Ok(self.rtp_code(index))
    }

    /// Check the tag, then decrypt behind the header. Drops `SrtpAuthentication`, and then the packet is garbled.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_bytes: usize,
        (ssrc, index): (Ssrc, u64),
        forecast: Option<&Forecast>,
    ) -> Result<(), DropReason> {
        match self {
            Self::CounterMode { keys, tag_bytes } => {
                let (body, tag) = split_tail(packet, *tag_bytes)?;
                let expected = self.rtp_code(index).zip(forecast).and_then(|(code, forecast)| forecast.code_of(&code));
                match expected {
                    Some(code) => counter_mode::compare(code, tag)?,
                    None => keys.verify(body, Some(roc_bytes(index)), tag)?,
                }
                keys.apply(ssrc, index, body.get_mut(header_bytes..).ok_or(DropReason::SrtpMalformed)?);
                Ok(())
            }
            Self::Gcm(keys) => {
                let (header, sealed) = packet.split_at_mut_checked(header_bytes).ok_or(DropReason::SrtpMalformed)?;
                keys.open(ssrc, index, header, sealed)
            }
        }
    }

    /// Encrypt behind sender and header and fill in index and tag. index: 31 bits.   RFC 3711 section 3.4.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], ssrc: Ssrc, index: u32) -> Result<(), DropReason> {
        let word = (SRTCP_ENCRYPTED | index).to_be_bytes();
        match self {
            Self::CounterMode { keys, tag_bytes } => {
                let (signed, tag) = split_tail(packet, *tag_bytes)?;
                let (body, index_word) = split_last(signed)?;
                let payload = body.get_mut(RTCP_CLEAR_BYTES..).ok_or(DropReason::SrtpMalformed)?;
                keys.apply(ssrc, index.into(), payload);
                *index_word = word;
                keys.sign(signed, None, tag);
            }
            Self::Gcm(keys) => {
                let (sealed, index_word) = split_last(packet)?;
                let (body, tag) = split_last(sealed)?;
                let (clear, payload) = body.split_at_mut_checked(RTCP_CLEAR_BYTES).ok_or(DropReason::SrtpMalformed)?;
                *tag = keys.seal(ssrc, index.into(), &rtcp_aad(clear, word), payload)?;
                *index_word = word;
            }
        }
        Ok(())
    }

    /// The E flag and index of an SRTCP packet, before anything is authenticated.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Result<(bool, u32), DropReason> {
        let end = match self {
            Self::CounterMode { tag_bytes, .. } => packet.len().checked_sub(*tag_bytes),
            Self::Gcm(_) => Some(packet.len()),
        };
        let word = end.and_then(|end| packet.get(..end)).and_then(|signed| signed.last_chunk::<SRTCP_INDEX_BYTES>());
        let word = u32::from_be_bytes(*word.ok_or(DropReason::SrtpMalformed)?);
        Ok((word & SRTCP_ENCRYPTED != 0, word & !SRTCP_ENCRYPTED))
    }

    /// Check the tag, then decrypt behind sender and header. Drops `SrtpAuthentication`.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: Ssrc, index: u32) -> Result<(), DropReason> {
        match self {
            Self::CounterMode { keys, tag_bytes } => {
                let (signed, tag) = split_tail(packet, *tag_bytes)?;
                keys.verify(signed, None, tag)?;
                let (body, _) = split_last::<SRTCP_INDEX_BYTES>(signed)?;
                let payload = body.get_mut(RTCP_CLEAR_BYTES..).ok_or(DropReason::SrtpMalformed)?;
                keys.apply(ssrc, index.into(), payload);
                Ok(())
            }
            Self::Gcm(keys) => {
                let (body, index_word) = split_last(packet)?;
                let (clear, sealed) = body.split_at_mut_checked(RTCP_CLEAR_BYTES).ok_or(DropReason::SrtpMalformed)?;
                let aad = rtcp_aad(clear, *index_word);
                keys.open(ssrc, index.into(), &aad, sealed)
            }
        }
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

/// The packet without its last `N` bytes, and these.
fn split_last<const N: usize>(packet: &mut [u8]) -> Result<(&mut [u8], &mut [u8; N]), DropReason> {
    packet.split_last_chunk_mut().ok_or(DropReason::SrtpMalformed)
}

/// The packet without its last `tail_bytes`, and these.
fn split_tail(packet: &mut [u8], tail_bytes: usize) -> Result<(&mut [u8], &mut [u8]), DropReason> {
    let start = packet.len().checked_sub(tail_bytes);
    start.and_then(|start| packet.split_at_mut_checked(start)).ok_or(DropReason::SrtpMalformed)
}

/// Vectors of RFC 7714, which are given for session keys.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::testing::unhex;

    const RTP: &str =
        "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573";
    const RTCP: &str = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeef\
                        deadbeef";

    /// Key, RTP of 16.1.1 or 16.2.1, RTCP of 17.1 or 17.2.
    const VECTORS: [(&str, &str, &str); 2] = [
        (
            "000102030405060708090a0b0c0d0e0f",
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d\
             7f27beb16a9152cf765ee4390cce",
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b\
             c84aa45896cf4d2fc5abf87245d9eade800005d4",
        ),
        (
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3\
             db36dfffd6b0f9bb7878d7a76c13",
            "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad\
             1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        ),
    ];

    fn cipher(key: &str) -> Cipher {
        Cipher::Gcm(Gcm::from_session_keys(&unhex(key), *b"Quid pro quo").unwrap())
    }

    #[test]
    fn test_rfc7714_16_gcm_rtp() {
        for (key, sealed, _) in VECTORS {
            let (plain, sealed) = (unhex(RTP), unhex(sealed));
            let mut packet = [&plain[..], &[0; gcm::TAG_BYTES]].concat();
            assert!(cipher(key).seal_rtp(&mut packet, 12, (Ssrc(0x5501_a0b2), 0xf17b)).unwrap().is_none());
            assert_eq!(packet, sealed);
            cipher(key).open_rtp(&mut packet, 12, (Ssrc(0x5501_a0b2), 0xf17b), None).unwrap();
            assert_eq!(packet[..plain.len()], plain);
        }
    }

    /// The packets' index is 0x5d4.
    #[test]
    fn test_rfc7714_17_gcm_rtcp() {
        for (key, _, sealed) in VECTORS {
            let (plain, sealed) = (unhex(RTCP), unhex(sealed));
            let mut packet = [&plain[..], &[0; gcm::TAG_BYTES + SRTCP_INDEX_BYTES]].concat();
            cipher(key).seal_rtcp(&mut packet, Ssrc(0x4d61_7273), 0x5d4).unwrap();
            assert_eq!(packet, sealed);
            assert_eq!(cipher(key).rtcp_index(&packet), Ok((true, 0x5d4)));
            cipher(key).open_rtcp(&mut packet, Ssrc(0x4d61_7273), 0x5d4).unwrap();
            assert_eq!(packet[..plain.len()], plain);
        }
    }

    /// A packet that is authenticated only, as sections 17.3 and 17.4 have it, is told by its E flag; contexts drop it.
    #[test]
    fn test_rfc7714_17_3_tag_without_encryption_is_recognized() {
        let packet = unhex(&[RTCP, "841dd9683dd78ec92ae58790125f62b3", "000005d4"].concat());
        assert_eq!(cipher(VECTORS[0].0).rtcp_index(&packet), Ok((false, 0x5d4)));
    }
}
