//! Addresses, wire numbers and buffer sizes that every layer above shares.
//!
//! Owns the newtypes of RTP numbers, the address pair of a datagram, and the test that tells the protocols of one port
//! apart (RFC 7983, RFC 5761). Must not know a socket, a packet's inside or time.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Bytes of one receive or send buffer: an Ethernet frame's worth of UDP payload, rounded up.
pub const DATAGRAM_BYTES: usize = 2048;

/// Largest UDP payload that we make ourselves for anything but media: safe on every path that WebRTC meets
/// (the smallest IPv6 link of 1,280 bytes less IPv6 and UDP headers, and some room for tunnels).
pub const SAFE_PAYLOAD_BYTES: usize = 1200;

/// Synchronisation source of an RTP stream (RFC 3550 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// RTP payload type, 0 to 127.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Pt(pub u8);

impl fmt::Display for Pt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// RTP sequence number as on the wire: 16 bits, wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNo(pub u16);

impl SeqNo {
    /// The number after this one, wrapping.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// How far `self` is ahead of `other` on the shorter way round: -32,768 to 32,767.
    #[must_use]
    pub const fn distance(self, other: Self) -> i16 {
        self.0.wrapping_sub(other.0).cast_signed()
    }
}

impl fmt::Display for SeqNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The two ends of a datagram's way, as we see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    /// Our address.
    pub local: SocketAddr,
    /// The far side's address, in [canonical](canonical) form.
    pub remote: SocketAddr,
}

impl Path {
    /// A path whose remote address is brought into canonical form.
    #[must_use]
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { local, remote: canonical(remote) }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <- {}", self.local, self.remote)
    }
}

/// The same address with an IPv4-mapped IPv6 address turned into IPv4, so that one peer has one address.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(address, |ip| SocketAddr::new(ip.into(), address.port())),
        IpAddr::V4(_) => address,
    }
}

/// Protocol of a datagram on a port that carries several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatagramKind {
    /// STUN (RFC 8489).
    Stun,
    /// DTLS (RFC 6347, RFC 9147).
    Dtls,
    /// RTP or SRTP.
    Rtp,
    /// RTCP or SRTCP.
    Rtcp,
}

impl DatagramKind {
    /// Tell the protocol by the first two bytes.   RFC 7983 section 7, RFC 5761 section 4.
    ///
    /// Returns None for an empty datagram and for the ranges of protocols that we do not speak (ZRTP, TURN channels).
    #[must_use]
    pub fn of(data: &[u8]) -> Option<Self> {
        match *data {
            [0..=3, ..] => Some(Self::Stun),
            [20..=63, ..] => Some(Self::Dtls),
            [128..=191, 192..=223, ..] => Some(Self::Rtcp),
            [128..=191, _, ..] => Some(Self::Rtp),
            _ => None,
        }
    }
}

/// A protection profile (crypto suite): negotiated by DTLS or SDES, used by SRTP.
///
/// RFC 5764 section 4.1.2, RFC 4568 section 6.2, RFC 6188, RFC 7714.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SrtpProfile {
    /// AES-128 counter mode with HMAC-SHA1, tags of 80 bits.
    Aes128CmSha1_80,
    /// AES-128 counter mode with HMAC-SHA1, tags of 32 bits on RTP.
    Aes128CmSha1_32,
    /// AES-256 counter mode with HMAC-SHA1, tags of 80 bits.
    Aes256CmSha1_80,
    /// AES-256 counter mode with HMAC-SHA1, tags of 32 bits on RTP.
    Aes256CmSha1_32,
    /// AES-128 in Galois/counter mode, tags of 128 bits.
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode, tags of 128 bits.
    AeadAes256Gcm,
}

impl SrtpProfile {
    /// Every profile.
    pub const ALL: [Self; 6] = [
        Self::Aes128CmSha1_80,
        Self::Aes128CmSha1_32,
        Self::Aes256CmSha1_80,
        Self::Aes256CmSha1_32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// Bytes of a master key.
    #[must_use]
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 | Self::AeadAes128Gcm => 16,
            Self::Aes256CmSha1_80 | Self::Aes256CmSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of a master salt.
    #[must_use]
    pub const fn salt_bytes(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Bytes of the tag on an RTP packet.
    #[must_use]
    pub const fn rtp_tag_bytes(self) -> usize {
        match self {
            Self::Aes128CmSha1_80 | Self::Aes256CmSha1_80 => 10,
            Self::Aes128CmSha1_32 | Self::Aes256CmSha1_32 => 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Bytes of the tag on an RTCP packet, which no profile shortens to 32 bits.   RFC 3711 section 5.2, RFC 4568
    /// section 6.2.2, RFC 6188 section 4.
    #[must_use]
    pub const fn rtcp_tag_bytes(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }

    /// Whether one algorithm encrypts and authenticates (RFC 7714).
    #[must_use]
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }

    /// The name of the DTLS-SRTP profile. AES-256 in counter mode has none there, and is named alike.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128CmSha1_80 => "SRTP_AES128_CM_HMAC_SHA1_80",
            Self::Aes128CmSha1_32 => "SRTP_AES128_CM_HMAC_SHA1_32",
            Self::Aes256CmSha1_80 => "SRTP_AES256_CM_HMAC_SHA1_80",
            Self::Aes256CmSha1_32 => "SRTP_AES256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "SRTP_AEAD_AES_256_GCM",
        }
    }

    /// The name of the crypto suite in SDP security descriptions (`a=crypto`).   RFC 4568 section 6.2, RFC 6188
    /// section 4, RFC 7714 section 14.1.
    #[must_use]
    pub const fn sdes_name(self) -> &'static str {
        match self {
            Self::Aes128CmSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes128CmSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::Aes256CmSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::Aes256CmSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The profile of a crypto suite in SDP; None for one that we do not have.
    #[must_use]
    pub fn from_sdes_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.sdes_name() == name)
    }
}

/// SRTP master keys of both directions: what DTLS (RFC 5764 section 4.2) or SDP (RFC 4568) has agreed.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKeys {
    /// How they are used.
    pub profile: SrtpProfile,
    /// Master key of what we send.
    pub local_key: Vec<u8>,
    /// Master salt of what we send.
    pub local_salt: Vec<u8>,
    /// Master key of what we receive.
    pub remote_key: Vec<u8>,
    /// Master salt of what we receive.
    pub remote_salt: Vec<u8>,
}

impl fmt::Debug for SrtpKeys {
    /// The profile; never the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpKeys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_protocols_of_one_port_apart() {
        assert_eq!(DatagramKind::of(&[]), None);
        assert_eq!(DatagramKind::of(&[0, 1]), Some(DatagramKind::Stun));
        assert_eq!(DatagramKind::of(&[16, 0]), None, "ZRTP");
        assert_eq!(DatagramKind::of(&[22]), Some(DatagramKind::Dtls));
        assert_eq!(DatagramKind::of(&[0x2f, 0]), Some(DatagramKind::Dtls), "a DTLS 1.3 unified header");
        assert_eq!(DatagramKind::of(&[64, 0]), None, "a TURN channel");
        assert_eq!(DatagramKind::of(&[0x80, 0]), Some(DatagramKind::Rtp));
        assert_eq!(DatagramKind::of(&[0x80, 0xef]), Some(DatagramKind::Rtp), "the marker bit is not RTCP");
        assert_eq!(DatagramKind::of(&[0x80, 200]), Some(DatagramKind::Rtcp));
        assert_eq!(DatagramKind::of(&[0x80]), None);
    }

    #[test]
    fn sequence_distance_takes_the_shorter_way_round() {
        assert_eq!(SeqNo(1).distance(SeqNo(65_535)), 2);
        assert_eq!(SeqNo(65_535).distance(SeqNo(1)), -2);
        assert_eq!(SeqNo(65_535).next(), SeqNo(0));
    }

    #[test]
    fn crypto_suites_have_the_lengths_of_their_rfcs() {
        // Suite, master key, master salt, tag of RTP, tag of RTCP.
        let suites = [
            ("AES_CM_128_HMAC_SHA1_80", 16, 14, 10, 10),
            ("AES_CM_128_HMAC_SHA1_32", 16, 14, 4, 10),
            ("AES_256_CM_HMAC_SHA1_80", 32, 14, 10, 10),
            ("AES_256_CM_HMAC_SHA1_32", 32, 14, 4, 10),
            ("AEAD_AES_128_GCM", 16, 12, 16, 16),
            ("AEAD_AES_256_GCM", 32, 12, 16, 16),
        ];
        for (name, key, salt, rtp, rtcp) in suites {
            let profile = SrtpProfile::from_sdes_name(name).unwrap();
            assert_eq!(profile.sdes_name(), name);
            assert_eq!((profile.key_bytes(), profile.salt_bytes()), (key, salt), "{name}");
            assert_eq!((profile.rtp_tag_bytes(), profile.rtcp_tag_bytes()), (rtp, rtcp), "{name}");
        }
        assert_eq!(SrtpProfile::from_sdes_name("F8_128_HMAC_SHA1_80"), None);
    }

    #[test]
    fn mapped_addresses_become_ipv4() {
        let local = "127.0.0.1:9".parse().unwrap();
        let path = Path::new(local, "[::ffff:192.0.2.1]:5004".parse().unwrap());
        assert_eq!(path.remote, "192.0.2.1:5004".parse().unwrap());
        let v6: SocketAddr = "[2001:db8::1]:5004".parse().unwrap();
        assert_eq!(Path::new(local, v6).remote, v6);
    }
}
