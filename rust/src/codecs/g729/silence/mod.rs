//! Annex B: what is not speech is described once in a while, and made up by the decoder.
//!
//! Owns the voice activity detector, the discontinuous transmission, the descriptions of silence (SID) and the comfort
//! noise.   ITU-T G.729 Annex B.

pub(super) mod comfort_noise;
pub(super) mod dtx;
pub(super) mod sid;
mod tables;
pub(super) mod vad;
