//! What a bridge is told and what it tells: plain data.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::codecs::Kind;
use crate::dtmf::{self, Digit};
use crate::endpoint::{Direction, EndpointId, Event as EndpointEvent, ReceivedFigures, RtcpParameters, SentFigures};
use crate::error::DropCounters;
use crate::pipeline::Format;
use crate::srtp::Forecast;

/// The controller's name of a call; decides the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// Place of a leg within its bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegIndex(pub usize);

/// One negotiated audio stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamParameters {
    /// What the far side may send.
    pub receive: Vec<Format>,
    /// What we may send, best first.
    pub send: Vec<Format>,
    /// Packet time that the far side wants.
    pub ptime_ms: u32,
    /// What we do with the stream.
    pub direction: Direction,
    /// How digits come and go.
    pub dtmf: Dtmf,
    /// How its reports were negotiated.
    pub rtcp: RtcpParameters,
}

/// What is known of a datagram beside its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// When it came to this machine: now, if nobody knows.
    pub at: Instant,
    /// What its tag must be, if that was computed ahead.
    pub forecast: Option<&'a Forecast>,
}

/// How digits travel between us and a far side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dtmf {
    /// How they get to it. Of [`dtmf::Kind::Info`] the bridge sends none: the controller does.
    pub sent: dtmf::Kind,
    /// Whether its audio is listened to. Events are taken wherever they were negotiated.
    pub hears_tones: bool,
}

/// One direction of an endpoint, as its far side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// What the far side says to us.
    Says,
    /// What the far side hears from us.
    Hears,
}

/// What of one direction does not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Muted {
    /// Nothing is muted.
    #[default]
    Nothing,
    /// The audio; digits get through.
    Audio,
    /// Audio and digits.
    AudioAndDigits,
}

/// What a bridge has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// An endpoint's own.
    Endpoint(EndpointId, EndpointEvent),
    /// One whole digit arrived.
    Digit {
        /// At which endpoint.
        endpoint: EndpointId,
        /// Which.
        digit: Digit,
        /// How long the key was down.
        duration_ms: u32,
        /// How it came: as events or as tones.
        kind: dtmf::Kind,
    },
    /// A source came to its end.
    PlayDone(EndpointId),
}

/// What is known of one endpoint at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// From the far side to us.
    pub received: ReceivedFigures,
    /// From us to the far side.
    pub sent: SentFigures,
    /// By RTCP, once known.
    pub round_trip: Option<Duration>,
    /// Codec of the audio received last.
    pub codec_received: Option<Kind>,
    /// Codec of the audio sent last.
    pub codec_sent: Option<Kind>,
    /// Profile in use; None for plain RTP.
    pub srtp_profile: Option<&'static str>,
    /// Where its datagrams come in; the worker knows.
    pub local: Option<SocketAddr>,
    /// Where its media goes: learned, or signalled before.
    pub remote: Option<SocketAddr>,
    /// What the far side says is muted.
    pub is_said_muted: bool,
    /// What the far side hears is muted.
    pub is_heard_muted: bool,
    /// What was dropped.
    pub drops: DropCounters,
}
