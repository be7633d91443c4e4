//! The adapter over the DTLS library.
//!
//! The library (`dimpl`) runs the protocol of both versions; whichever the far side offers, 1.3 first. This adapter adds
//! what a gateway needs around it: whole ClientHellos, keys held back until the certificate is verified, one deadline,
//! and garbage that is counted instead of fatal.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use dimpl::{Dtls, Output, SecurityError, UnexpectedMessageError};

use crate::error::DropReason;
use crate::net::{DATAGRAM_BYTES, SrtpKeys, SrtpProfile};

use super::certificate::{Certificate, Fingerprint};
use super::hello::HelloAssembler;
use super::record::{Record, records};

/// Room for the longest certificate that the library's receive queue can hold: 30 datagrams of ours.
const SCRATCH_BYTES: usize = 32 * DATAGRAM_BYTES;
/// Datagrams that wait to be sent; two flights.
const MAX_TRANSMITS: usize = 32;
/// The library's way to say that it waits for nothing is an instant years away.
const IDLE: Duration = Duration::from_secs(86_400);

/// Which side begins.   RFC 5763 section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The far side is `setup:active` and sends the ClientHello.
    Server,
    /// We are `setup:active`.
    Client,
}

/// Why an association is of no use, or could not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The far side's certificate matches none of its SDP's fingerprints, or it showed none.
    #[error("the certificate matches no fingerprint")]
    FingerprintMismatch,
    /// The handshake did not complete in time.
    #[error("the handshake timed out")]
    Timeout,
    /// No SRTP profile in common.
    #[error("no SRTP profile in common")]
    NoSrtpProfile,
    /// The far side ended the handshake with an alert (RFC 8446 section 6).
    #[error("the far side sent alert {0}")]
    Alert(u8),
    /// The far side ended the association before its certificate could be verified.
    #[error("the far side closed the association")]
    Closed,
    /// The far side broke the protocol or offered nothing that we take.
    #[error("handshake failed: {0}")]
    Protocol(String),
    /// Key or certificate could not be made.
    #[error("certificate: {0}")]
    Certificate(String),
}

impl Error {
    /// Stable `snake_case` name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::Timeout => "timeout",
            Self::NoSrtpProfile => "no_srtp_profile",
            Self::Alert(_) => "alert",
            Self::Closed => "closed",
            Self::Protocol(_) => "protocol",
            Self::Certificate(_) => "certificate",
        }
    }
}

impl From<dimpl::Error> for Error {
    fn from(error: dimpl::Error) -> Self {
        match error {
            dimpl::Error::Timeout(_) => Self::Timeout,
            dimpl::Error::SecurityError(SecurityError::FatalAlert { description }) => Self::Alert(description),
            dimpl::Error::ConnectionClosed => Self::Closed,
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// What a handshake came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The far side is who its SDP says, and these are the keys. Once.
    Connected(SrtpKeys),
    /// The handshake failed and stays so; no keys were or will be given. Once.
    Failed(Error),
    /// The far side ended a connected association. Once.
    Closed,
}

/// Where an association stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Keys are not given yet, though they may be known and wait for the fingerprints.
    Connecting,
    /// Keys are given; what remains is to repeat a lost last flight and to hear of the end.
    Connected,
    /// Failed or closed.
    Ended,
}

/// One DTLS association.
///
/// Feed it datagrams of the ICE-validated path only; then poll `poll_transmit` and `poll_event` until both are None, and
/// arm `poll_timeout`. Memory is bounded: by the library's queues (30 datagrams received, 10 to send), the assembler's
/// 8 KiB and [`MAX_TRANSMITS`].
pub struct Handshake {
    library: Dtls,
    role: Role,
    state: State,
    now: Instant,
    deadline: Instant,
    library_timeout: Option<Instant>,
    hello: HelloAssembler,
    /// The library has been given a ClientHello, or has sent one.
    is_begun: bool,
    fingerprints: Option<Vec<Fingerprint>>,
    remote_certificate: Option<Vec<u8>>,
    /// The library said that the handshake is complete.
    is_complete: bool,
    keys: Option<SrtpKeys>,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl Handshake {
    /// Begin an association; a client's ClientHello is there to transmit at once.
    ///
    /// `timeout`: from `now` until `Connected`, else the handshake fails.
    #[must_use]
    pub fn new(now: Instant, certificate: &Certificate, role: Role, timeout: Duration) -> Self {
        let mut library = certificate.new_association(now);
        library.set_active(role == Role::Client);
        let mut handshake = Self {
            library,
            role,
            state: State::Connecting,
            now,
            deadline: now.checked_add(timeout).unwrap_or(now),
            library_timeout: None,
            hello: HelloAssembler::default(),
            is_begun: role == Role::Client,
            fingerprints: None,
            remote_certificate: None,
            is_complete: false,
            keys: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        };
        // The library takes its first time, and a client sends its hello, by way of a timeout.
        handshake.advance(now);
        handshake.drain();
        handshake
    }

    /// Say which certificates the far side may show: it must match one of these. May be said after the handshake.
    pub fn set_remote_fingerprints(&mut self, fingerprints: &[Fingerprint]) {
        self.fingerprints = Some(fingerprints.to_vec());
        self.drain();
    }

    /// Take one datagram.
    ///
    /// Drops `DtlsMalformed` (not records), `DtlsFragment` (a ClientHello over our limits, or a piece of it again),
    /// `DtlsUnexpected` (before either hello), `DtlsClosed`. Drops change nothing. What is sound at the record layer but
    /// not authentic is dropped within the library, uncounted.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DropReason> {
        if self.state == State::Ended {
            return Err(DropReason::DtlsClosed);
        }
        if datagram.len() > DATAGRAM_BYTES {
            return Err(DropReason::Oversize);
        }
        records(datagram).try_for_each(|record| record.map(|_| ()))?;
        self.advance(now);
        let result = self.pass(datagram);
        self.drain();
        result
    }

    /// Hand the datagram's records to the library: ClientHellos when they are whole, others as they came.
    fn pass(&mut self, datagram: &[u8]) -> Result<(), DropReason> {
        let has_hello = records(datagram).any(|record| matches!(record, Ok(Record::Hello(_))));
        if self.role == Role::Client || !has_hello {
            return self.give(datagram);
        }
        for record in records(datagram) {
            match record? {
                Record::Hello(fragment) => {
                    if let Some(whole) = self.hello.take(&fragment)? {
                        self.is_begun = true;
                        self.give(&whole)?;
                    }
                }
                Record::Other(record) => self.give(record)?,
            }
        }
        Ok(())
    }

    fn give(&mut self, records: &[u8]) -> Result<(), DropReason> {
        if !self.is_begun {
            return Err(DropReason::DtlsUnexpected);
        }
        if self.state == State::Ended {
            return Err(DropReason::DtlsClosed);
        }
        match self.library.handle_packet(records) {
            // A client that has not heard the server's version yet, and still waits for it: the flight is reordered.
            Err(dimpl::Error::UnexpectedMessage(UnexpectedMessageError::UnrecognizedAutoServerResponse)) => {
                Err(DropReason::DtlsUnexpected)
            }
            result => {
                self.judge(result);
                Ok(())
            }
        }
    }

    /// Retransmit what is due, or give up at the deadline.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Connecting && now >= self.deadline {
            self.fail(Error::Timeout);
            self.collect();
        } else if self.state != State::Ended {
            self.advance(now);
            self.drain();
        }
    }

    /// The next datagram to send, written into `out`, of which 1,500 bytes are enough; its length.
    pub fn poll_transmit(&mut self, out: &mut [u8]) -> Option<usize> {
        loop {
            let datagram = self.transmits.pop_front()?;
            if let Some(room) = out.get_mut(..datagram.len()) {
                room.copy_from_slice(&datagram);
                return Some(datagram.len());
            }
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When `handle_timeout` is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Connecting => Some(self.library_timeout.map_or(self.deadline, |at| at.min(self.deadline))),
            State::Connected => self.library_timeout,
            State::Ended => None,
        }
    }

    /// End the association: a `close_notify` if it is connected, and nothing is taken any more. Gives no event.
    pub fn close(&mut self, now: Instant) {
        if self.state != State::Ended {
            self.advance(now);
            self.end();
            self.collect();
        }
    }

    /// Bring the library's clock up to now, which also sends what is due.
    fn advance(&mut self, now: Instant) {
        self.now = now;
        let result = self.library.handle_timeout(now);
        self.judge(result);
    }

    /// An error of the library is the end of its association, as is the far side's goodbye.
    ///
    /// Once the keys are out, errors are of no consequence for the media; an authentic alert is a goodbye.
    fn judge(&mut self, result: Result<(), dimpl::Error>) {
        let Err(error) = result.map_err(Error::from) else { return };
        match self.state {
            State::Connecting => self.fail(error),
            State::Connected => {
                self.state = State::Ended;
                if matches!(error, Error::Alert(_) | Error::Closed) {
                    self.events.push_back(Event::Closed);
                }
            }
            State::Ended => {}
        }
    }

    /// Take everything that the library has to say, and what it says to the end if that is what it came to.
    fn drain(&mut self) {
        self.collect();
        self.conclude();
        if self.state == State::Ended {
            self.collect();
        }
    }

    fn collect(&mut self) {
        let mut scratch = vec![0; SCRATCH_BYTES];
        loop {
            match self.library.poll_output(&mut scratch) {
                Output::Packet(datagram) => {
                    if self.transmits.len() >= MAX_TRANSMITS {
                        self.transmits.pop_front();
                    }
                    self.transmits.push_back(datagram.to_vec());
                }
                Output::Timeout(at) => {
                    self.library_timeout = Some(at).filter(|at| at.saturating_duration_since(self.now) < IDLE);
                    break;
                }
                // Longer than anything that fits the receive queue, so it cannot come; nothing else would be polled.
                Output::BufferTooSmall { .. } => break,
                Output::PeerCert(certificate) => self.remote_certificate = Some(certificate.to_vec()),
                Output::Connected => self.is_complete = true,
                Output::KeyingMaterial(material, profile) => {
                    self.keys = read_profile(profile).and_then(|profile| cut(profile, &material, self.role));
                }
                Output::CloseNotify => self.judge(Err(dimpl::Error::ConnectionClosed)),
                // Nobody negotiates data channels with us.
                _ => {}
            }
        }
    }

    /// Verify the certificate as soon as it and the fingerprints are known, and only then let the keys go.
    fn conclude(&mut self) {
        let (State::Connecting, Some(fingerprints)) = (self.state, &self.fingerprints) else { return };
        let is_verified = match &self.remote_certificate {
            Some(certificate) => fingerprints.iter().any(|fingerprint| fingerprint.matches(certificate)),
            None if self.is_complete => false,
            None => return,
        };
        if !is_verified {
            self.fail(Error::FingerprintMismatch);
        } else if self.is_complete {
            match self.keys.take() {
                Some(keys) => {
                    self.state = State::Connected;
                    self.hello = HelloAssembler::default();
                    self.remote_certificate = None;
                    self.events.push_back(Event::Connected(keys));
                }
                None => self.fail(Error::NoSrtpProfile),
            }
        }
    }

    fn fail(&mut self, error: Error) {
        self.events.push_back(Event::Failed(error));
        self.end();
    }

    /// Forget the keys and close; a library that is connected says goodbye.
    fn end(&mut self) {
        self.state = State::Ended;
        self.keys = None;
        // It fails only if the library's association has failed before, and then there is nobody to tell.
        let _ = self.library.close();
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("role", &self.role).field("state", &self.state).finish_non_exhaustive()
    }
}

/// Keys of exported keying material: client key, server key, client salt, server salt.   RFC 5764 section 4.2.
fn cut(profile: SrtpProfile, material: &[u8], role: Role) -> Option<SrtpKeys> {
    let (keys, salts) = material.split_at_checked(2 * profile.key_bytes())?;
    let (client_key, server_key) = keys.split_at_checked(profile.key_bytes())?;
    let (client_salt, server_salt) = salts.split_at_checked(profile.salt_bytes())?;
    let (local, remote) = match role {
        Role::Client => ((client_key, client_salt), (server_key, server_salt)),
        Role::Server => ((server_key, server_salt), (client_key, client_salt)),
    };
    (server_salt.len() == profile.salt_bytes()).then(|| SrtpKeys {
        profile,
        local_key: local.0.to_vec(),
        local_salt: local.1.to_vec(),
        remote_key: remote.0.to_vec(),
        remote_salt: remote.1.to_vec(),
    })
}

/// The profiles of the library's that we have.
fn read_profile(profile: dimpl::SrtpProfile) -> Option<SrtpProfile> {
    match profile {
        dimpl::SrtpProfile::AES128_CM_SHA1_80 => Some(SrtpProfile::Aes128CmSha1_80),
        dimpl::SrtpProfile::AEAD_AES_128_GCM => Some(SrtpProfile::AeadAes128Gcm),
        dimpl::SrtpProfile::AEAD_AES_256_GCM => Some(SrtpProfile::AeadAes256Gcm),
        _ => None,
    }
}
