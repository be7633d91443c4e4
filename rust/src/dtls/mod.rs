//! DTLS-SRTP: the handshake that yields SRTP keys (RFC 5764, RFC 6347, RFC 9147, RFC 8122).
//!
//! Owns our certificate, the adapter over the DTLS library, the reassembly of the ClientHello, and the rule that no key
//! leaves before the far side's certificate matched a fingerprint of its SDP. Must not hold a socket or read a clock
//! (but for the validity of the certificate that is made at start).

mod certificate;
mod handshake;
mod hello;
mod record;

pub use certificate::{Certificate, Fingerprint};
pub use handshake::{Error, Event, Handshake, Role};

#[cfg(test)]
mod tests;
