//! RTP: packet headers and the state of a received source (RFC 3550).
//!
//! Owns reading and writing headers in the caller's buffer, and what is known of a source: validity, extended sequence
//! numbers, loss, jitter and the rate that it is allowed. Must not decrypt, allocate per packet or know a codec.

mod packet;
mod rate;
mod source;

pub use packet::{Header, MIN_HEADER_BYTES};
pub use rate::Allowance;
pub use source::{Accepted, JitterFigures, Reception, Source};
