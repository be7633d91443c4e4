//! Errors that cross to Python and reasons for which a packet is dropped.
//!
//! Owns the two ways in which something can go wrong in the media plane. A [`MediaError`] refuses a command or ends an
//! endpoint, and reaches Python with its stable [`kind`](MediaError::kind). A [`DropReason`] is for one datagram of the
//! network that is malformed, forged, replayed, early or late: it is counted and nothing else happens. Counting must
//! not allocate, format or log.

use std::ops::AddAssign;

/// A command was refused, or an endpoint cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// No live endpoint has this id.
    #[error("no endpoint {0}")]
    UnknownEndpoint(u64),
    /// An endpoint with this id lives already.
    #[error("endpoint {0} exists already")]
    EndpointExists(u64),
    /// The endpoint is not in a state that allows the command.
    #[error("endpoint {endpoint}: {reason}")]
    InvalidState {
        /// The endpoint that refused.
        endpoint: u64,
        /// What stands in the way.
        reason: &'static str,
    },
    /// A negotiated parameter is outside what we can carry.
    #[error("invalid parameter: {0}")]
    InvalidParameter(String),
    /// No codec of ours goes by this name, clock rate and channel count.
    #[error("unsupported codec: {0}")]
    UnsupportedCodec(String),
    /// The port range holds no free port (or pair of ports).
    #[error("no free port in the configured range")]
    NoFreePort,
    /// A limit of ours is reached: endpoints, queues.
    #[error("at capacity: {0}")]
    Capacity(&'static str),
    /// The far side's audio file or tone cannot be played.
    #[error("unplayable source: {0}")]
    UnplayableSource(String),
    /// A recording cannot be written where it should be.
    #[error("unwritable path: {0}")]
    UnwritablePath(String),
    /// A primitive of the crypto library failed, which means a wrong build or a broken machine.
    #[error("crypto: {0}")]
    Crypto(String),
    /// The operating system refused a socket, a poller or a thread.
    #[error("system: {0}")]
    Io(#[from] std::io::Error),
    /// The engine is shutting down or its worker has died.
    #[error("the media engine is closed")]
    Closed,
}

impl MediaError {
    /// The stable `snake_case` name that Python sees as `MediaError.kind`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownEndpoint(_) => "unknown_endpoint",
            Self::EndpointExists(_) => "endpoint_exists",
            Self::InvalidState { .. } => "invalid_state",
            Self::InvalidParameter(_) => "invalid_parameter",
            Self::UnsupportedCodec(_) => "unsupported_codec",
            Self::NoFreePort => "no_free_port",
            Self::Capacity(_) => "capacity",
            Self::UnplayableSource(_) => "unplayable_source",
            Self::UnwritablePath(_) => "unwritable_path",
            Self::Crypto(_) => "crypto",
            Self::Io(_) => "io",
            Self::Closed => "closed",
        }
    }
}

/// Declares [`DropReason`] with its list and its names in one table, so that the three cannot drift apart.
macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why one datagram, or one frame made from it, went no further.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum DropReason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable `snake_case` name: a label value of metrics and a key of an endpoint's statistics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

drop_reasons! {
    /// A datagram whose first byte is of no protocol that we take (RFC 7983).
    Unclassified = "unclassified",
    /// A datagram longer than our receive buffers.
    Oversize = "oversize",
    /// No endpoint is behind this source address or ICE user name.
    UnknownSource = "unknown_source",
    /// Media or DTLS from an address that is neither ICE-validated nor latched.
    UnverifiedSource = "unverified_source",
    /// Not a STUN message, or attributes that overrun it (RFC 8489).
    StunMalformed = "stun_malformed",
    /// The FINGERPRINT attribute does not match.
    StunFingerprint = "stun_fingerprint",
    /// USERNAME is missing or is not ours.
    StunUsername = "stun_username",
    /// MESSAGE-INTEGRITY is missing or wrong.
    StunIntegrity = "stun_integrity",
    /// A STUN class or method that an ICE-lite agent has no use for.
    StunUnexpected = "stun_unexpected",
    /// Not a DTLS record, or lengths that overrun the datagram.
    DtlsMalformed = "dtls_malformed",
    /// DTLS fragments that contradict each other or are over our limits.
    DtlsFragment = "dtls_fragment",
    /// DTLS that does not fit the state of the handshake.
    DtlsUnexpected = "dtls_unexpected",
    /// DTLS after the association ended.
    DtlsClosed = "dtls_closed",
    /// Not RTP version 2, or header lengths that overrun the packet (RFC 3550 section 5.1).
    RtpMalformed = "rtp_malformed",
    /// A payload type that was not negotiated.
    RtpPayloadType = "rtp_payload_type",
    /// A source that has not yet sent enough packets in sequence (RFC 3550 A.1).
    RtpProbation = "rtp_probation",
    /// A sequence number far from the source's others, until a second one confirms the jump (RFC 3550 A.1).
    RtpSequence = "rtp_sequence",
    /// A source other than the one in use.
    RtpSource = "rtp_source",
    /// More packets than any audio stream needs.
    RtpRate = "rtp_rate",
    /// Not a compound RTCP packet (RFC 3550 A.2, RFC 5506).
    RtcpMalformed = "rtcp_malformed",
    /// RTCP that bears our own source: it came back to us (RFC 3550 section 8.2).
    RtcpLoop = "rtcp_loop",
    /// A packet too short to hold what its SRTP profile adds.
    SrtpMalformed = "srtp_malformed",
    /// Media before the keys are known.
    SrtpNoKeys = "srtp_no_keys",
    /// The authentication tag does not match.
    SrtpAuthentication = "srtp_authentication",
    /// A packet index that was received before.
    SrtpReplay = "srtp_replay",
    /// A packet index older than the replay window.
    SrtpTooOld = "srtp_too_old",
    /// More sources under one key than we keep state for.
    SrtpSources = "srtp_sources",
    /// The key has protected as many packets as it may (RFC 3711 section 9.2).
    SrtpKeyExhausted = "srtp_key_exhausted",
    /// SRTCP that is not encrypted although its profile says so.
    SrtcpNotEncrypted = "srtcp_not_encrypted",
    /// The caller's buffer has no room for what must be written.
    BufferTooSmall = "buffer_too_small",
    /// The stream's direction forbids it (RFC 3264 hold).
    Direction = "direction",
    /// The endpoint is not bridged, so the packet has nowhere to go.
    NotBridged = "not_bridged",
    /// The bridge's other endpoint cannot send yet.
    NotReady = "not_ready",
    /// The codec refused the payload.
    Codec = "codec",
    /// A frame that came after its playout time.
    Late = "late",
    /// A frame that the jitter buffer holds already.
    Duplicate = "duplicate",
    /// The jitter buffer or a queue had no room.
    Overflow = "overflow",
    /// The operating system did not take the datagram.
    SendFailed = "send_failed",
}

/// One counter for each [`DropReason`], in a fixed array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropCounters([u64; DropReason::ALL.len()]);

impl DropCounters {
    /// All counters at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; DropReason::ALL.len()])
    }

    /// Count one drop.
    pub fn count(&mut self, reason: DropReason) {
        // A variant's discriminant is its place in ALL, whose length is the array's.
        self.0[reason as usize] = self.0[reason as usize].wrapping_add(1);
    }

    /// How many drops had this reason.
    #[must_use]
    pub const fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// Drops of all reasons together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// Every reason with its count, zeros included, in the order of [`DropReason::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().copied().zip(self.0.iter().copied())
    }
}

impl Default for DropCounters {
    fn default() -> Self {
        Self::new()
    }
}

impl AddAssign<&Self> for DropCounters {
    fn add_assign(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(&other.0) {
            *sum = sum.wrapping_add(*count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_snake_case() {
        let mut names: Vec<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DropReason::ALL.len());
    }

    #[test]
    fn counts_each_reason_apart() {
        let mut counters = DropCounters::new();
        counters.count(DropReason::Unclassified);
        counters.count(DropReason::SendFailed);
        counters.count(DropReason::SendFailed);
        assert_eq!(counters.get(DropReason::Unclassified), 1);
        assert_eq!(counters.get(DropReason::SendFailed), 2);
        assert_eq!(counters.get(DropReason::Codec), 0);
        assert_eq!(counters.total(), 3);
        let named: Vec<_> = counters.iter().filter(|(_, n)| *n > 0).map(|(reason, n)| (reason.name(), n)).collect();
        assert_eq!(named, [("unclassified", 1), ("send_failed", 2)]);
    }

    #[test]
    fn sums_add_counter_by_counter() {
        let mut one = DropCounters::new();
        let mut other = DropCounters::new();
        one.count(DropReason::Late);
        other.count(DropReason::Late);
        other.count(DropReason::Overflow);
        one += &other;
        assert_eq!((one.get(DropReason::Late), one.get(DropReason::Overflow)), (2, 1));
    }
}
