//! ICE-lite: the responder of a node that is reachable at its advertised address (RFC 8445, RFC 8489, RFC 7675).
//!
//! Owns the STUN codec and, for one endpoint, which address pairs are valid, which one is nominated and whether
//! consent still stands. Sends nothing but answers to authenticated checks, so it is no reflector. Must not hold a
//! socket or read a clock.

mod agent;
mod credentials;
pub mod stun;

pub use agent::{Agent, Answer, Event, MAX_PATHS};
pub use credentials::Credentials;
