//! Trunkline's media plane: WebRTC and RTP endpoints, bridged in worker threads that share nothing.
//!
//! The route of one packet is `io` -> `engine::worker` -> `endpoint` -> `bridge` -> `pipeline` and back out through
//! `endpoint` and `io`. The modules below stand in import order, lowest first; each imports only from above itself in
//! this list.

pub mod error;
pub mod mac;
pub mod net;
pub mod outbox;

pub mod dtls;
pub mod ice;
pub mod quality;
pub mod rtcp;
pub mod rtp;
pub mod sip;
pub mod srtp;

pub mod codecs;
pub mod dsp;
pub mod dtmf;
pub mod jitter;

pub mod files;
pub mod pipeline;

pub mod endpoint;

pub mod bridge;
pub mod io;

pub mod engine;

#[cfg(feature = "python")]
mod py;
