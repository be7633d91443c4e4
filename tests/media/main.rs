//! The media plane with real sockets on loopback, and its cores on a virtual clock.
//!
//! One test binary, so that it is linked once. A Rust browser (`support::browser`) is made of the crate's own DTLS client
//! and SRTP; the far side's audio is judged by what is in it.

#![expect(clippy::unwrap_used, reason = "what is not there fails the test")]

mod addresses;
mod allocation;
mod attacks;
mod calls;
mod changes;
mod coalescing;
mod digits;
mod floods;
mod fuzzing;
mod g729;
mod garbage;
mod jumps;
mod lateness;
mod laws;
mod libsrtp;
mod limits;
mod muting;
mod opus;
mod pairings;
mod playing;
mod reports;
mod silences;
mod sip_text;
mod sources;
mod srtp_legs;
mod support;
mod transport;
mod wideband;
