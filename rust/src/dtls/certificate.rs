//! Our certificate, and fingerprints of certificates.   RFC 8122.

use super::Error;

/// ECDSA P-256 certificate and key, self-signed, made once per process; clones share it.
#[derive(Debug, Clone)]
pub struct Certificate {}

impl Certificate {
    /// Make a key pair and a self-signed certificate. Reads the wall clock for its validity.
    pub fn generate() -> Result<Self, Error> {
        todo!()
    }

    /// SHA-256 fingerprint of the certificate: upper-case hex with colons, as `a=fingerprint:sha-256` wants it.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        todo!()
    }
}

/// A fingerprint from the far side's SDP: SHA-256, SHA-384 or SHA-512.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {}

impl Fingerprint {
    /// Read what `a=fingerprint` said. Returns None for a hash that we do not take or a wrong length or digit.
    #[must_use]
    pub fn parse(hash: &str, hex: &str) -> Option<Self> {
        let _ = (hash, hex);
        todo!()
    }
}
