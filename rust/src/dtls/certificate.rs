//! Our certificate, and fingerprints of certificates.   RFC 8122.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use dimpl::{Config, Dtls, DtlsCertificate};

use crate::net::SAFE_PAYLOAD_BYTES;

use super::handshake::Error;

/// First retransmission; doubles from there. The library's own second would make a lost flight audible.
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(200);
/// Retransmissions of one flight: so many that the deadline of the handshake comes first, although the library counts
/// an answer to each repeated ClientHello among them (Chromium repeats after 50 ms, then 100, and so on).
const MAX_RETRANSMISSIONS: usize = 20;
/// The library's own deadline, which never comes before ours.
const LIBRARY_TIMEOUT: Duration = Duration::from_secs(3600);

/// ECDSA P-256 certificate and key, self-signed, made once per process; clones share it.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    certificate: DtlsCertificate,
    fingerprint: String,
    /// The library's settings, the same for all associations.
    config: Arc<Config>,
}

impl Certificate {
    /// Make a key pair and a self-signed certificate, valid for a year. Takes about a millisecond.
    pub fn generate() -> Result<Self, Error> {
        let certificate = dimpl::certificate::generate_self_signed_certificate()
            .map_err(|error| Error::Certificate(error.to_string()))?;
        let fingerprint = dimpl::certificate::format_fingerprint(&certificate.fingerprint());
        let config = Config::builder()
            .mtu(SAFE_PAYLOAD_BYTES)
            // The far side's address has proven itself by ICE, so a round trip for a cookie proves nothing more.
            .use_server_cookie(false)
            .require_client_certificate(true)
            .flight_start_rto(FIRST_RETRANSMISSION)
            .flight_retries(MAX_RETRANSMISSIONS)
            .handshake_timeout(LIBRARY_TIMEOUT)
            .build()?;
        Ok(Self(Arc::new(Inner { certificate, fingerprint, config: Arc::new(config) })))
    }

    /// SHA-256 fingerprint of the certificate: upper-case hex with colons, as `a=fingerprint:sha-256` wants it.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// An association of the library's, as a server of whichever version the far side offers.
    pub(super) fn new_association(&self, now: Instant) -> Dtls {
        Dtls::new_auto(Arc::clone(&self.0.config), self.0.certificate.clone(), now)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("fingerprint", &self.0.fingerprint).finish_non_exhaustive()
    }
}

/// A fingerprint from the far side's SDP: SHA-256, SHA-384 or SHA-512.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    digest: Vec<u8>,
}

/// Hashes that we take; RFC 8122 section 5 has others, of which MD2 and MD5 are forbidden and SHA-1 is too weak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        }
    }
}

impl Fingerprint {
    /// Read what `a=fingerprint` said, in any case of letters.
    ///
    /// Returns None for a hash that we do not take, and for a wrong digit, separator or length.
    #[must_use]
    pub fn parse(hash: &str, hex: &str) -> Option<Self> {
        let hash = match hash.to_ascii_lowercase().as_str() {
            "sha-256" => Hash::Sha256,
            "sha-384" => Hash::Sha384,
            "sha-512" => Hash::Sha512,
            _ => return None,
        };
        let byte = |pair: &str| {
            let is_hex = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            u8::from_str_radix(pair, 16).ok().filter(|_| is_hex)
        };
        let digest = hex.split(':').map(byte).collect::<Option<Vec<_>>>()?;
        (digest.len() == hash.algorithm().output_len()).then_some(Self { hash, digest })
    }

    /// Whether a certificate, in DER, has this fingerprint.
    pub(super) fn matches(&self, certificate: &[u8]) -> bool {
        digest::digest(self.hash.algorithm(), certificate).as_ref() == self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        dimpl::certificate::format_fingerprint(bytes)
    }

    #[test]
    fn our_fingerprint_matches_our_certificate_and_no_other() {
        let (one, other) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
        assert_eq!(one.fingerprint().len(), 95);
        let fingerprint = Fingerprint::parse("sha-256", one.fingerprint()).unwrap();
        assert!(fingerprint.matches(&one.0.certificate.certificate));
        assert!(!fingerprint.matches(&other.0.certificate.certificate));
    }

    #[test]
    fn all_three_hashes_are_taken_in_any_case() {
        for (name, algorithm) in [("sha-256", &SHA256), ("SHA-384", &SHA384), ("Sha-512", &SHA512)] {
            let text = hex(digest::digest(algorithm, b"a certificate").as_ref());
            for text in [text.clone(), text.to_ascii_lowercase()] {
                assert!(Fingerprint::parse(name, &text).unwrap().matches(b"a certificate"));
            }
        }
    }

    #[test]
    fn weak_hashes_and_malformed_digests_are_refused() {
        let sound = hex(&[0xab; 32]);
        assert!(Fingerprint::parse("sha-256", &sound).is_some());
        for (hash, text) in [
            ("sha-1", hex(&[0xab; 20])),
            ("md5", hex(&[0xab; 16])),
            ("sha-256", hex(&[0xab; 31])),
            ("sha-512", sound.clone()),
            ("sha-256", sound.replace(':', "")),
            ("sha-256", sound.replace("AB:AB", "AB:+B")),
            ("sha-256", format!("{sound}:")),
            ("sha-256", String::new()),
        ] {
            assert_eq!(Fingerprint::parse(hash, &text), None, "{hash} {text}");
        }
    }

    #[test]
    fn debug_output_holds_no_key() {
        let certificate = Certificate::generate().unwrap();
        let text = format!("{certificate:?}");
        assert!(text.contains(certificate.fingerprint()) && !text.contains("private"), "{text}");
    }
}
