//! The adapter over the DTLS library.

use std::time::{Duration, Instant};

use crate::error::DropReason;
use crate::net::SrtpProfile;

use super::certificate::{Certificate, Fingerprint};

/// Which side begins.   RFC 5763 section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The far side is `setup:active` and sends the ClientHello.
    Server,
    /// We are `setup:active`.
    Client,
}

/// SRTP master keys of both directions.   RFC 5764 section 4.2.
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

impl std::fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpKeys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// Why an association is of no use any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The far side's certificate matches none of its SDP's fingerprints.
    #[error("the certificate matches no fingerprint")]
    FingerprintMismatch,
    /// The handshake did not complete in time.
    #[error("the handshake timed out")]
    Timeout,
    /// No SRTP profile in common.
    #[error("no SRTP profile in common")]
    NoSrtpProfile,
    /// The far side broke the protocol or offered nothing that we take.
    #[error("handshake failed: {0}")]
    Protocol(String),
    /// Key or certificate could not be made.
    #[error("certificate: {0}")]
    Certificate(String),
}

impl Error {
    /// Stable `snake_case` name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::Timeout => "timeout",
            Self::NoSrtpProfile => "no_srtp_profile",
            Self::Protocol(_) => "protocol",
            Self::Certificate(_) => "certificate",
        }
    }
}

/// What a handshake came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The far side is who its SDP says; here are the keys. Once.
    Connected(SrtpKeys),
    /// The handshake failed and stays so. Once.
    Failed(Error),
    /// The far side ended the association (close_notify). Once.
    Closed,
}

/// One DTLS association.
#[derive(Debug)]
pub struct Handshake {}

impl Handshake {
    /// timeout: from now until `Connected`, or the handshake fails.
    #[must_use]
    pub fn new(now: Instant, certificate: &Certificate, role: Role, timeout: Duration) -> Self {
        let _ = (now, certificate, role, timeout);
        todo!()
    }

    /// Say which certificates the far side may show. Until then keys are held back.
    pub fn set_remote_fingerprints(&mut self, fingerprints: &[Fingerprint]) {
        let _ = fingerprints;
        todo!()
    }

    /// Take one datagram from the ICE-validated path.
    pub fn handle_datagram(&mut self, now: Instant, data: &[u8]) -> Result<(), DropReason> {
        let _ = (now, data);
        todo!()
    }

    /// Retransmit or give up.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    /// The next datagram to send, written into `out` (at least 1,500 bytes); its length.
    pub fn poll_transmit(&mut self, out: &mut [u8]) -> Option<usize> {
        let _ = out;
        todo!()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }

    /// When `handle_timeout` is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// Send close_notify (if connected) and take nothing more.
    pub fn close(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }
}
