//! The DTLS association that yields an endpoint's keys: when it begins, what it sends, what came of it.   RFC 5763.
//!
//! Owns the handshake and the time limit of the set-up. Which address may speak to it is for its owner to judge, and
//! also what becomes of the keys.

use std::time::{Duration, Instant};

use crate::dtls::{self, Certificate, Fingerprint, Handshake, Role};
use crate::error::DropReason;
use crate::net::SrtpKeys;
use crate::outbox::{Destination, Outbox};

use super::{CloseReason, Event, Events};

/// One far side's DTLS.
pub(super) struct Association {
    certificate: Certificate,
    setup_timeout: Duration,
    far: Option<Far>,
    /// By when there must be keys; None once there are, and before the far side is known.
    setup_by: Option<Instant>,
    handshake: Option<Box<Handshake>>,
}

/// What the far side's SDP said.
#[derive(Debug, PartialEq, Eq)]
struct Far {
    fingerprints: Vec<Fingerprint>,
    role: Role,
}

impl Association {
    pub(super) fn new(certificate: Certificate, setup_timeout: Duration) -> Self {
        Self { certificate, setup_timeout, far: None, setup_by: None, handshake: None }
    }

    /// Takes what the SDP said. The set-up has its time limit from now on, unless there are keys already.
    pub(super) fn set_remote(&mut self, now: Instant, fingerprints: Vec<Fingerprint>, is_client: bool, has_keys: bool) {
        if let Some(handshake) = &mut self.handshake {
            handshake.set_remote_fingerprints(&fingerprints);
        }
        let role = if is_client { Role::Server } else { Role::Client };
        self.far = Some(Far { fingerprints, role });
        self.setup_by = (!has_keys).then(|| now + self.setup_timeout);
    }

    /// Whether the SDP said just this before.
    pub(super) fn is_with(&self, fingerprints: &[Fingerprint], is_client: bool) -> bool {
        self.far.as_ref().is_some_and(|far| far.fingerprints == fingerprints && (far.role == Role::Server) == is_client)
    }

    /// Whether we are `setup:active`.
    pub(super) fn is_ours_to_begin(&self) -> bool {
        self.far.as_ref().is_some_and(|far| far.role == Role::Client)
    }

    /// Makes the handshake, if that was not done before; a client's hello then waits for `pump`.
    ///
    /// A far side may be faster than the signalling of its answer: then it is served as the DTLS client that our offer
    /// (`actpass`) made it, and keys wait for its fingerprints.
    pub(super) fn begin(&mut self, now: Instant) -> &mut Handshake {
        let far = self.far.as_ref();
        self.handshake.get_or_insert_with(|| {
            let role = far.map_or(Role::Server, |far| far.role);
            let mut handshake = Handshake::new(now, &self.certificate, role, self.setup_timeout);
            if let Some(far) = far {
                handshake.set_remote_fingerprints(&far.fingerprints);
            }
            Box::new(handshake)
        })
    }

    /// Takes one datagram; what came of it waits for `pump`.
    pub(super) fn handle_datagram(&mut self, now: Instant, data: &[u8]) -> Result<(), DropReason> {
        self.begin(now).handle_datagram(now, data)
    }

    /// Repeats what is due. Returns whether the set-up's time is over.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        if let Some(handshake) = &mut self.handshake
            && handshake.poll_timeout().is_some_and(|due| due <= now)
        {
            handshake.handle_timeout(now);
        }
        let is_late = self.setup_by.is_some_and(|due| due <= now);
        if is_late {
            self.setup_by = None;
        }
        is_late
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let handshake = self.handshake.as_ref().and_then(|handshake| handshake.poll_timeout());
        [handshake, self.setup_by].into_iter().flatten().min()
    }

    /// Ends it; the goodbye waits for `pump`.
    pub(super) fn close(&mut self, now: Instant) {
        if let Some(handshake) = &mut self.handshake {
            handshake.close(now);
        }
    }

    /// Sends what waits to `destination`, if there is one, and tells what came of it. Returns the keys, once.
    pub(super) fn pump(
        &mut self,
        destination: Option<Destination>,
        outbox: &mut Outbox,
        events: &mut Events,
    ) -> Option<SrtpKeys> {
        let handshake = self.handshake.as_mut()?;
        let mut has_more = destination.is_some();
        while let Some(destination) = destination.filter(|_| has_more) {
            has_more = false;
            let sent = outbox.push(destination, |buffer| {
                let len = handshake.poll_transmit(buffer);
                has_more = len.is_some();
                Ok(len.unwrap_or(0))
            });
            if sent.is_err() {
                break;
            }
        }
        let mut agreed = None;
        while let Some(event) = handshake.poll_event() {
            match event {
                dtls::Event::Connected(keys) => {
                    self.setup_by = None;
                    agreed = Some(keys);
                }
                dtls::Event::Failed(error) => {
                    let reason =
                        if error == dtls::Error::Timeout { CloseReason::DtlsTimeout } else { CloseReason::DtlsFailed };
                    events.push_back(Event::DtlsFailed(error.kind()));
                    events.push_back(Event::Closed(reason));
                }
                dtls::Event::Closed => events.push_back(Event::Closed(CloseReason::DtlsClosed)),
            }
        }
        agreed
    }
}
