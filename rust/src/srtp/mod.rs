//! SRTP and SRTCP, in place on the caller's buffer (RFC 3711, RFC 6188, RFC 7714).
//!
//! Owns key derivation, packet indices, replay windows, encryption and authentication of one direction. Keys are
//! scheduled once; a packet costs no allocation. Must not negotiate keys, and must not keep anything of a packet whose
//! tag does not match.

mod aes;
mod cipher;
mod context;
mod counter_mode;
mod forecast;
mod gcm;
mod kdf;
mod replay;

pub use crate::net::SrtpProfile as Profile;
pub use context::{Context, Error, MAX_SOURCES, MAX_TRAILER_BYTES};
pub use forecast::Forecast;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
