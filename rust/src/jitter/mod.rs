//! Adaptive jitter buffer: from packets in any order and at any time to an unbroken run of PCM.
//!
//! Owns reordering, the target delay, and the decision what a listener hears when nothing has come: [`Playout`] takes
//! packets with [`insert`](Playout::insert) and yields samples with [`pull`](Playout::pull), by way of any
//! [`Decoder`](crate::codecs::Decoder). Used by transcoded directions only; a relay has none. Time is an argument.
//! RFC 3550 section 6.4.1 for the terms.

mod buffer;
mod delay;
mod playout;
mod queue;
mod tracker;

pub use playout::Playout;

/// How a playout is dimensioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// RTP timestamp units per second of the payloads.
    pub clock_rate_hz: u32,
    /// Longest payload that is kept, in bytes (see [`Codec::max_payload_bytes`](crate::codecs::Codec::max_payload_bytes)).
    pub max_payload_bytes: usize,
    /// Packets that can wait.
    pub slots: usize,
    /// Bytes of payload that can wait in all.
    pub buffer_bytes: usize,
    /// Lowest target delay, in milliseconds: slack for a timer that is late.
    pub min_delay_ms: u32,
    /// Highest delay: older audio than this is dropped.
    pub max_delay_ms: u32,
}

impl Config {
    /// What suits a phone call.
    #[must_use]
    pub const fn new(clock_rate_hz: u32, max_payload_bytes: usize) -> Self {
        // 480 ms, in packets of 10 ms and in bytes: the longest payload is 120 ms of any codec (Opus: at 97 kbit/s).
        let buffer_bytes = 4 * max_payload_bytes;
        Self { clock_rate_hz, max_payload_bytes, slots: 48, buffer_bytes, min_delay_ms: 10, max_delay_ms: 400 }
    }
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Coded audio for the decoder.
    Speech,
    /// A comfort noise description (RFC 3389).
    ComfortNoise,
}

/// One packet whose payload type the caller has recognised.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// RTP sequence number as on the wire.
    pub seq: u16,
    /// RTP timestamp as on the wire.
    pub timestamp: u32,
    /// By payload type.
    pub content: Content,
    /// Copied if it is kept.
    pub payload: &'a [u8],
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inserted {
    /// It waits to be played.
    Kept,
    /// It is here already.
    Duplicate,
    /// Its time to be played has passed.
    Late,
    /// It is longer than `max_payload_bytes`, or no packet of the codec.
    Malformed,
    /// Its number or timestamp is far from all others; if the next one agrees with it, the stream starts anew there.
    Stray,
}

/// What the samples of one pull are made of, by the most interesting part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Nothing has been received yet, or nothing for so long that concealment has faded out: zeros.
    Silence,
    /// The sender said that it is silent (DTX, CN): comfort noise.
    Noise,
    /// At least part was made up for lost or late packets.
    Concealed,
    /// Decoded audio.
    Speech,
}

/// Counters since the playout was made. Samples are at the decoder's sample rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets kept.
    pub kept: u64,
    /// Packets decoded, comfort noise among them.
    pub decoded: u64,
    /// Packets that were here already.
    pub duplicate: u64,
    /// Packets that came after their time.
    pub late: u64,
    /// Packets that the codec or the buffer could not take.
    pub malformed: u64,
    /// Packets thrown away because the buffer was full or the delay over its bound.
    pub flushed: u64,
    /// Packets far from all others.
    pub stray: u64,
    /// Times that the stream started anew (timestamp jumps and [`Playout::reset`]).
    pub restarts: u64,
    /// Samples given out.
    pub played_samples: u64,
    /// Samples made up for lost or late packets.
    pub concealed_samples: u64,
    /// Stretches of concealment.
    pub concealments: u64,
    /// Samples taken from redundant copies (FEC).
    pub recovered_samples: u64,
    /// Samples cut out to lower the delay.
    pub accelerated_samples: u64,
    /// Samples put in to raise the delay.
    pub stretched_samples: u64,
    /// Delay that is aimed at, in milliseconds.
    pub target_delay_ms: u32,
    /// How much later samples come out than those of the fastest packet could have, in milliseconds.
    pub playout_delay_ms: u32,
    /// The same on average over all packets played.
    pub mean_playout_delay_ms: u32,
    /// The same of the packet that waited longest.
    pub longest_playout_delay_ms: u32,
}

impl Stats {
    /// Packets that came and were not played: late ones and flushed ones.
    #[must_use]
    pub const fn discarded(&self) -> u64 {
        self.late + self.flushed
    }
}
