//! What the controller may ask of the media plane: plain data, one enum.
//!
//! Mirrored by `python/trunkline/media/types/commands.py`.

use std::path::PathBuf;

use crate::bridge::{CallId, Muted, StreamParameters, Voice};
use crate::dtmf::Digit;
use crate::endpoint::{Direction, EndpointId, Remote};
use crate::pipeline::{Source, Tap};

/// Ties a command to its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// A command with its addressee.
#[derive(Debug)]
pub struct Request {
    /// Comes back in the answer.
    pub id: RequestId,
    /// Whose call; decides the worker.
    pub call: CallId,
    /// What to do.
    pub command: Command,
}

/// The kind of transport that `CreateEndpoint` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportKind {
    /// ICE-lite and DTLS-SRTP on the worker's shared port.
    WebRtc,
    /// Plain RTP on ports of its own.
    Rtp {
        /// One port for RTP and RTCP.
        is_muxed: bool,
    },
}

/// What `Play` plays.
#[derive(Debug, Clone, PartialEq)]
pub enum PlaySource {
    /// Ready to be played.
    Ready(Source),
    /// A WAV or Ogg Opus file, read when the command is given unless it is in memory already.
    File {
        /// Where it is.
        path: PathBuf,
        /// Begins again at its end.
        is_looped: bool,
    },
}

/// How a recording is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingFormat {
    /// WAV, 16-bit PCM.
    Wav,
    /// Opus in Ogg.
    OggOpus,
}

/// Where and how `StartTap` records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingOptions {
    /// A file that does not exist yet.
    pub path: PathBuf,
    /// How.
    pub format: RecordingFormat,
    /// Digits are recorded as tones, not as silence.
    pub plays_digits: bool,
}

/// What `StartTap` records to.
#[derive(Debug)]
pub enum TapTarget {
    /// A file, opened when the command is given.
    File(RecordingOptions),
    /// Ready to be attached.
    Ready(Tap),
}

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// Make an endpoint; answered by `EndpointReady`.
    CreateEndpoint {
        /// Its name.
        endpoint: EndpointId,
        /// Its kind.
        transport: TransportKind,
    },
    /// Tell an endpoint its far side.
    SetRemote {
        /// Which one.
        endpoint: EndpointId,
        /// Addresses or fingerprints.
        remote: Remote,
        /// Codecs and direction.
        audio: StreamParameters,
    },
    /// Change what is sent and taken.
    UpdateEndpoint {
        /// Which one.
        endpoint: EndpointId,
        /// From now on.
        direction: Direction,
    },
    /// The call is answered: count the silence of its far side.
    ExpectMedia {
        /// Which one.
        endpoint: EndpointId,
    },
    /// Join two endpoints, or one with itself.
    Bridge {
        /// One.
        a: EndpointId,
        /// The other.
        b: EndpointId,
    },
    /// Part an endpoint from its peer.
    Unbridge {
        /// Either of the two.
        endpoint: EndpointId,
    },
    /// Send a source out of an endpoint.
    Play {
        /// Which one.
        endpoint: EndpointId,
        /// What.
        source: PlaySource,
    },
    /// End what plays.
    StopPlay {
        /// Where.
        endpoint: EndpointId,
    },
    /// Mute one direction, or let it through again.
    Mute {
        /// Of which endpoint.
        endpoint: EndpointId,
        /// Which direction.
        voice: Voice,
        /// What of it.
        muted: Muted,
    },
    /// Record an endpoint, both ways; `TapDone` tells of the end.
    StartTap {
        /// Which one.
        endpoint: EndpointId,
        /// Where to.
        target: TapTarget,
    },
    /// End the recording of an endpoint.
    StopTap {
        /// Which one.
        endpoint: EndpointId,
    },
    /// Send digits.
    SendDtmf {
        /// Out of which endpoint.
        endpoint: EndpointId,
        /// In order.
        digits: Vec<Digit>,
        /// Of each.
        duration_ms: u32,
        /// Between them.
        gap_ms: u32,
    },
    /// Ask for `Stats`.
    GetStats {
        /// Whose.
        endpoint: EndpointId,
    },
    /// End an endpoint; answered by `EndpointClosed`.
    Close {
        /// Which one.
        endpoint: EndpointId,
    },
}
