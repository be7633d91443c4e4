//! The ICE-lite agent of one endpoint.   RFC 8445 sections 7.3 and 8.2, RFC 7675.

use std::time::{Duration, Instant};

use crate::error::DropReason;
use crate::net::Path;

use super::credentials::Credentials;

/// Something that the endpoint's owner wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The first pair was nominated; media goes this way.
    Connected(Path),
    /// The far side nominated another pair; media goes this way from now on.
    Moved(Path),
    /// No authenticated check came within the consent time; nothing may be sent until `Connected` comes again.
    Disconnected,
}

/// What one datagram led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Bytes of `out` to send back on the same path.
    pub len: usize,
    /// What changed.
    pub event: Option<Event>,
}

/// Validity, nomination and consent of one endpoint's pairs.
#[derive(Debug)]
pub struct Agent {}

impl Agent {
    /// consent: how long a pair stays usable without an authenticated check (RFC 7675: 30 s).
    #[must_use]
    pub fn new(local: Credentials, consent: Duration) -> Self {
        let _ = (local, consent);
        todo!()
    }

    /// Our credentials.
    #[must_use]
    pub fn local(&self) -> &Credentials {
        todo!()
    }

    /// Judge one STUN datagram and write the answer, if it gets one, into `out`.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        path: Path,
        data: &[u8],
        out: &mut [u8],
    ) -> Result<Answer, DropReason> {
        let _ = (now, path, data, out);
        todo!()
    }

    /// Let consent expire.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Event> {
        let _ = now;
        todo!()
    }

    /// When consent expires next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// The pair that media is sent on, while consent stands.
    #[must_use]
    pub fn selected(&self) -> Option<Path> {
        todo!()
    }

    /// Whether an authenticated check came on this path: the only paths that DTLS and media are taken from.
    #[must_use]
    pub fn is_valid(&self, path: &Path) -> bool {
        let _ = path;
        todo!()
    }
}
