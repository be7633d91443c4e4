//! What an endpoint is told, and what it tells: plain data.

use std::net::SocketAddr;
use std::time::Duration;

use crate::dtls::Fingerprint;
use crate::net::{Pt, SrtpKeys, Ssrc};
use crate::rtp::Header;

/// Name of an endpoint: chosen by the controller, unique within the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u64);

/// What the gateway does with a stream, as seen from the gateway.   RFC 3264 section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// We send, and take nothing.
    SendOnly,
    /// We take, and send nothing.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether we may send.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether one side or both have put the other on hold.
    #[must_use]
    pub const fn is_held(self) -> bool {
        !matches!(self, Self::SendRecv)
    }

    /// Whether we take what arrives.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// Which socket a datagram came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The RTP socket, or the shared one.
    Rtp,
    /// The RTCP socket of a plain endpoint.
    Rtcp,
}

/// What the far side's SDP said of its transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// A browser.
    WebRtc {
        /// Any of these certificates may be shown.
        fingerprints: Vec<Fingerprint>,
        /// The browser is `setup:active`.
        is_dtls_client: bool,
    },
    /// The SIP side.
    Rtp {
        /// Where it wants RTP.
        rtp: SocketAddr,
        /// Where it wants RTCP.
        rtcp: SocketAddr,
        /// RTCP comes and goes on the RTP port.
        is_muxed: bool,
        /// How media is protected.
        security: Security,
    },
}

/// How the media of the SIP side is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Not at all: plain RTP.
    Clear,
    /// SRTP under keys that the signalling agreed (RFC 4568).
    Sdes(SrtpKeys),
    /// SRTP under keys of a DTLS handshake with the signalled host (RFC 5764).
    Dtls {
        /// Any of these certificates may be shown.
        fingerprints: Vec<Fingerprint>,
        /// The far side is `setup:active`.
        is_dtls_client: bool,
    },
}

/// How a stream's reports were negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RtcpParameters {
    /// Reports need not be whole compounds (`rtcp-rsize`, RFC 5506).
    pub is_reduced_size: bool,
    /// We send VoIP metrics (`rtcp-xr:voip-metrics`, RFC 3611 section 5).
    pub sends_voip_metrics: bool,
}

/// Time limits of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the far side's description until media can flow, where ICE or DTLS come first.
    pub setup: Duration,
    /// How long an ICE path stays usable without a check.
    pub consent: Duration,
    /// From [`expect_media`](super::Endpoint::expect_media) until the first packet; then
    /// [`Event::FirstPacketMissing`] is reported. Zero: as long as `inactivity`.
    pub first_packet: Duration,
    /// Silence after which [`Event::MediaInactive`] is reported; zero is never.
    pub inactivity: Duration,
    /// The same while the stream does not flow both ways (a hold): then RTCP is a sign of life, too.
    pub inactivity_held: Duration,
}

/// What every endpoint needs, whatever its transport.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name.
    pub id: EndpointId,
    /// Source of what we send.
    pub ssrc: Ssrc,
    /// Our canonical name in RTCP.
    pub cname: String,
    /// Any random number: spreads the RTCP reports of many endpoints over time.
    pub seed: u64,
}

/// Why an endpoint ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// No ICE check of the browser was seen in time.
    IceTimeout,
    /// DTLS did not complete in time.
    DtlsTimeout,
    /// DTLS failed: fingerprint, protocol or profile.
    DtlsFailed,
    /// The browser ended its DTLS association.
    DtlsClosed,
    /// The browser stopped its consent checks (RFC 7675).
    ConsentExpired,
}

impl CloseReason {
    /// The stable name that the controller sees.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IceTimeout => "ice_timeout",
            Self::DtlsTimeout => "dtls_timeout",
            Self::DtlsFailed => "dtls_failed",
            Self::DtlsClosed => "dtls_closed",
            Self::ConsentExpired => "consent_expired",
        }
    }
}

/// What an endpoint has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Media goes to this address: the first nominated one, or another since.
    IceConnected(SocketAddr),
    /// Consent is gone.
    IceDisconnected,
    /// SRTP keys are in place; the name of their profile.
    DtlsConnected(&'static str),
    /// DTLS failed, and why.
    DtlsFailed(&'static str),
    /// The first valid RTP packet arrived.
    FirstPacket,
    /// Media was expected for so long, and not one packet came. Once.
    FirstPacketMissing(Duration),
    /// No sign of life for so long. Once for each silence.
    MediaInactive(Duration),
    /// The endpoint is of no more use; its owner closes it.
    Closed(CloseReason),
}

/// A payload type that the far side may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepts {
    /// Its number on the wire.
    pub pt: Pt,
    /// Timestamp units per second.
    pub clock_rate_hz: u32,
    /// It carries keys (RFC 4733), which may also come from a source beside the one that speaks.
    pub is_keys: bool,
}

/// One RTP packet that passed every check. Its payload lies in the datagram's buffer.
#[derive(Debug, Clone)]
pub struct Media {
    /// Header, with the payload's place.
    pub header: Header,
    /// Unwrapped sequence number.
    pub extended_seq: u32,
    /// The stream began anew with this packet.
    pub is_restart: bool,
    /// Keys of another source than the one that speaks; its numbers are its own.
    pub is_aside: bool,
}
