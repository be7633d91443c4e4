//! What the media plane tells the controller, and the bounded queue that carries it.
//!
//! Mirrored by `python/trunkline/media/types/events.py`. Statistics give way when the queue fills up; everything else waits in
//! the worker, which takes no more commands until it got rid of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::Duration;

use crate::bridge::{CallId, Stats};
use crate::dtmf;
use crate::endpoint::EndpointId;
use crate::io::Wake;
use crate::net::Ssrc;

use super::command::RequestId;

/// Share of the queue that statistics leave free: one part in so many.
const RESERVED_PART: usize = 4;

/// Events that may wait in one worker before those that a talkative far side can cause are thrown away.
const BACKLOG_LIMIT: usize = 4_096;

/// What our SDP says of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Local {
    /// Of a browser-side endpoint.
    WebRtc {
        /// Host candidates.
        candidates: Vec<SocketAddr>,
        /// `ice-ufrag`.
        ice_ufrag: String,
        /// `ice-pwd`.
        ice_pwd: String,
        /// SHA-256, upper-case hex with colons.
        fingerprint: String,
        /// Source of what we send.
        ssrc: Ssrc,
        /// Its canonical name.
        cname: String,
    },
    /// Of a SIP-side endpoint.
    Rtp {
        /// Advertised addresses for RTP and for RTCP, one pair of each address family, the main one first.
        addresses: Vec<(SocketAddr, SocketAddr)>,
        /// Of our certificate, should the far side want DTLS: SHA-256, upper-case hex with colons.
        fingerprint: String,
        /// Source of what we send.
        ssrc: Ssrc,
        /// Its canonical name.
        cname: String,
    },
}

/// How a recording ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TapReport {
    /// Its call.
    pub call: CallId,
    /// Its endpoint.
    pub endpoint: EndpointId,
    /// `stopped`, `closed` (the endpoint ended), `disk_full`, `write_failed` or `size_limit`.
    pub reason: &'static str,
    /// For people, if it failed.
    pub detail: String,
    /// The file's name; it still ends in `.part` if writing failed.
    pub path: PathBuf,
    /// How long it is.
    pub seconds: f64,
    /// Its size.
    pub bytes: u64,
    /// Audio of both ways that is missing because the recorder was too slow.
    pub dropped_ms: u64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A command without an answer of its own was carried out.
    CommandDone {
        /// Which one.
        request: RequestId,
    },
    /// A command was refused.
    CommandFailed {
        /// Which one.
        request: RequestId,
        /// As [`MediaError::kind`](crate::error::MediaError::kind).
        kind: &'static str,
        /// For people.
        message: String,
    },
    /// Answer to `CreateEndpoint`.
    EndpointReady {
        /// Which one.
        request: RequestId,
        /// The new endpoint.
        endpoint: EndpointId,
        /// What to tell the far side.
        local: Local,
    },
    /// A nominated ICE pair exists or moved (`remote`), or consent was lost (None).
    IceStateChanged {
        /// Its call.
        call: CallId,
        /// Its endpoint.
        endpoint: EndpointId,
        /// The far side's address.
        remote: Option<SocketAddr>,
    },
    /// DTLS yielded keys of this profile, or failed for this reason.
    DtlsStateChanged {
        /// Its call.
        call: CallId,
        /// Its endpoint.
        endpoint: EndpointId,
        /// Profile or reason.
        result: Result<&'static str, &'static str>,
    },
    /// The first valid RTP packet arrived.
    FirstPacket {
        /// Its call.
        call: CallId,
        /// Its endpoint.
        endpoint: EndpointId,
    },
    /// Media was expected for so long, and none ever came.
    FirstPacketMissing {
        /// Its call.
        call: CallId,
        /// Its endpoint.
        endpoint: EndpointId,
        /// How long.
        waited: Duration,
    },
    /// No RTP for so long.
    MediaInactive {
        /// Its call.
        call: CallId,
        /// Its endpoint.
        endpoint: EndpointId,
        /// How long.
        idle: Duration,
    },
    /// One whole digit.
    DtmfReceived {
        /// Its call.
        call: CallId,
        /// Its endpoint.
        endpoint: EndpointId,
        /// Which.
        digit: char,
        /// How long the key was down.
        duration_ms: u32,
        /// How it came.
        by: dtmf::Kind,
    },
    /// A source came to its end.
    PlayDone {
        /// Its call.
        call: CallId,
        /// Its endpoint.
        endpoint: EndpointId,
    },
    /// A recording ended, well or not.
    TapDone(Box<TapReport>),
    /// Answer to `GetStats`.
    Stats {
        /// Which one.
        request: RequestId,
        /// Whose.
        endpoint: EndpointId,
        /// Its figures.
        stats: Box<Stats>,
    },
    /// An endpoint is gone.
    EndpointClosed {
        /// Its call.
        call: CallId,
        /// Its name.
        endpoint: EndpointId,
        /// A stable word.
        reason: &'static str,
        /// The `Close` that asked for it, if one did.
        request: Option<RequestId>,
        /// Its last figures; None if its bridge or its worker broke.
        stats: Option<Box<Stats>>,
    },
    /// A bridge panicked; its endpoints are closed.
    BridgeFailed {
        /// Its call.
        call: CallId,
        /// For people.
        reason: String,
    },
    /// A worker ended.
    WorkerDied {
        /// Which one.
        worker: usize,
        /// For people.
        reason: String,
    },
}

impl Event {
    /// Whether a far side that never stops can cause these without end.
    fn is_unlimited(&self) -> bool {
        matches!(self, Self::DtmfReceived { .. } | Self::MediaInactive { .. } | Self::IceStateChanged { .. })
    }
}

/// Makes the queue: where workers put events, and where the controller takes them.
pub(super) fn queue(capacity: usize, wake: Arc<Wake>) -> (EventSender, EventReceiver) {
    let (sender, receiver) = sync_channel(capacity);
    let waiting = Arc::new(AtomicUsize::new(0));
    let shared = EventSender { sender, waiting: Arc::clone(&waiting), capacity, wake };
    (shared, EventReceiver { receiver, waiting })
}

/// One end of the queue; clones share it.
#[derive(Clone)]
pub(super) struct EventSender {
    sender: SyncSender<Event>,
    waiting: Arc<AtomicUsize>,
    capacity: usize,
    wake: Arc<Wake>,
}

impl EventSender {
    /// Gives the event back if there is no room for it.
    fn try_send(&self, event: Event) -> Option<Event> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let (TrySendError::Full(event) | TrySendError::Disconnected(event)) = self.sender.try_send(event).err()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(event)
    }

    /// Waits for room. For threads that may.
    pub(super) fn send(&self, event: Event) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // A receiver that is gone wants no events.
        let _ = self.sender.send(event);
        self.wake.signal();
    }

    fn has_room_for_statistics(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.capacity - self.capacity / RESERVED_PART
    }
}

/// The other end of the queue.
pub(super) struct EventReceiver {
    receiver: Receiver<Event>,
    waiting: Arc<AtomicUsize>,
}

impl EventReceiver {
    /// The next event, if there is one.
    pub(super) fn try_next(&self) -> Option<Event> {
        match self.receiver.try_recv() {
            Ok(event) => {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                Some(event)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }

    /// Whether events wait.
    pub(super) fn has_more(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

/// One worker's way to the queue: never waits, and keeps what the queue has no room for.
pub(super) struct EventOutput {
    sender: EventSender,
    backlog: VecDeque<Event>,
    is_fresh: bool,
    lost: u64,
}

impl EventOutput {
    pub(super) fn new(sender: EventSender) -> Self {
        Self { sender, backlog: VecDeque::new(), is_fresh: false, lost: 0 }
    }

    /// Tells the controller, now or as soon as there is room.
    pub(super) fn push(&mut self, event: Event) {
        let is_refused = match &event {
            Event::Stats { .. } => !self.backlog.is_empty() || !self.sender.has_room_for_statistics(),
            other => other.is_unlimited() && self.backlog.len() >= BACKLOG_LIMIT,
        };
        if is_refused {
            self.lost += 1;
            return;
        }
        self.backlog.push_back(event);
        self.drain();
    }

    /// Moves what waits into the queue. Returns whether all of it fitted.
    pub(super) fn drain(&mut self) -> bool {
        while let Some(event) = self.backlog.pop_front() {
            if let Some(event) = self.sender.try_send(event) {
                self.backlog.push_front(event);
                return false;
            }
            self.is_fresh = true;
        }
        true
    }

    /// Wakes the controller if it has something new to read; once a turn.
    pub(super) fn signal(&mut self) {
        if std::mem::take(&mut self.is_fresh) {
            self.sender.wake.signal();
        }
    }

    /// Events thrown away since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{ReceivedFigures, SentFigures};

    fn stats(request: u64) -> Event {
        let stats = Stats {
            received: ReceivedFigures::default(),
            sent: SentFigures::default(),
            round_trip: None,
            codec_received: None,
            codec_sent: None,
            srtp_profile: None,
            local: None,
            remote: None,
            is_said_muted: false,
            is_heard_muted: false,
            drops: crate::error::DropCounters::new(),
        };
        Event::Stats { request: RequestId(request), endpoint: EndpointId(1), stats: Box::new(stats) }
    }

    fn done(request: u64) -> Event {
        Event::CommandDone { request: RequestId(request) }
    }

    #[test]
    fn statistics_leave_room_for_answers_and_answers_are_never_lost() {
        let wake = Arc::new(Wake::new().unwrap());
        let (sender, receiver) = queue(8, Arc::clone(&wake));
        let mut output = EventOutput::new(sender);
        for request in 0..20 {
            output.push(stats(request));
        }
        for request in 100..120 {
            output.push(done(request));
        }
        assert!(!output.drain());
        assert_eq!(output.take_lost(), 14);
        output.signal();
        assert!(wake.wait(Duration::ZERO));

        let mut received = Vec::new();
        loop {
            while let Some(event) = receiver.try_next() {
                received.push(event);
            }
            if output.drain() && !receiver.has_more() {
                break;
            }
        }
        let answers: Vec<_> = received.iter().filter(|event| matches!(event, Event::CommandDone { .. })).collect();
        assert_eq!(received.len(), 6 + 20);
        assert_eq!(answers.len(), 20);
    }
}
