//! The ICE-lite agent of one endpoint.   RFC 8445 sections 7.3 and 8.2, RFC 7675.

use std::time::{Duration, Instant};

use crate::error::DropReason;
use crate::net::Path;

use super::credentials::Credentials;
use super::stun::{BINDING, Builder, Class, ErrorCode, IntegrityKey, Message};

/// Paths with an authenticated check that an agent remembers.
pub const MAX_PATHS: usize = 8;

/// While the selected path's own nomination is this young, one of lower priority does not replace it.
///
/// A controlling agent with aggressive nomination (RFC 5245 section 8.1.1.2) nominates every pair it checks, in one
/// burst, and means the best of them. One that nominates regularly and moves on does not renew its old nomination.
const AGGRESSIVE_BURST: Duration = Duration::from_secs(1);

/// Something that the endpoint's owner wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The first pair was nominated, or the first after `Disconnected`; media goes this way.
    Connected(Path),
    /// The far side nominated another pair; media goes this way from now on.
    Moved(Path),
    /// No authenticated check came on the nominated pair within the consent time. Nothing may be sent until
    /// `Connected` comes again.
    Disconnected,
}

/// What one datagram led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Bytes of `out` to send back on the same path; 0 if there is no answer.
    pub len: usize,
    /// What changed.
    pub event: Option<Event>,
}

/// Validity, nomination and consent of one endpoint's paths.
///
/// Always controlled, since the far side is a full agent (RFC 8445 section 6.1.1). Each path on which an authenticated
/// check arrives is valid, which is how addresses that no candidate announced are learned.
#[derive(Debug)]
pub struct Agent {
    local: Credentials,
    key: Option<IntegrityKey>,
    consent: Duration,
    valid: [Option<ValidPath>; MAX_PATHS],
    selected: Option<Path>,
}

#[derive(Debug, Clone, Copy)]
struct ValidPath {
    path: Path,
    priority: u32,
    checked_at: Instant,
    nominated_at: Option<Instant>,
}

impl Agent {
    /// consent: how long a path stays usable after its last authenticated check (RFC 7675 section 5.1: 30 s).
    #[must_use]
    pub fn new(local: Credentials, consent: Duration) -> Self {
        let key = IntegrityKey::new(local.pwd());
        Self { local, key, consent, valid: [None; MAX_PATHS], selected: None }
    }

    /// Our credentials.
    #[must_use]
    pub const fn local(&self) -> &Credentials {
        &self.local
    }

    /// Judge one STUN datagram and write the answer, if it gets one, into `out` (128 bytes are enough).
    ///
    /// Only a binding request with our user name and valid integrity gets an answer, or changes anything: success,
    /// 420 for attributes that must be understood and are not, 487 if the far side thinks that we control. Everything
    /// else is a silent drop: `StunMalformed`, `StunFingerprint`, `StunUsername`, `StunIntegrity`, `StunUnexpected`.
    /// A binding indication is a keep-alive and does nothing.   RFC 8445 sections 7.3 and 11.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        path: Path,
        data: &[u8],
        out: &mut [u8],
    ) -> Result<Answer, DropReason> {
        let message = Message::parse(data)?;
        match (message.class(), message.method()) {
            (Class::Request, BINDING) => {}
            (Class::Indication, BINDING) => return Ok(Answer { len: 0, event: None }),
            _ => return Err(DropReason::StunUnexpected),
        }
        let key = self.key.as_ref().ok_or(DropReason::StunIntegrity)?;
        if !message.username().is_some_and(|username| is_for(username, self.local.ufrag())) {
            return Err(DropReason::StunUsername);
        }
        message.verify(key)?;
        let refusal = if !message.unknown().is_empty() {
            Some(ErrorCode::UNKNOWN_ATTRIBUTE)
        } else if message.is_from_controlled() {
            Some(ErrorCode::ROLE_CONFLICT)
        } else {
            None
        };
        if let Some(code) = refusal {
            let mut answer = Builder::new(out, Class::Error, message.transaction())?.error(code)?;
            if code == ErrorCode::UNKNOWN_ATTRIBUTE {
                answer = answer.unknown_attributes(message.unknown())?;
            }
            return Ok(Answer { len: answer.finish(key)?, event: None });
        }
        let answer = Builder::new(out, Class::Success, message.transaction())?.mapped_address(path.remote)?;
        let len = answer.finish(key)?;
        Ok(Answer { len, event: self.checked(now, path, &message) })
    }

    /// Let consent expire.   RFC 7675 section 5.1.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Event> {
        let consent = self.consent;
        for slot in &mut self.valid {
            slot.take_if(|valid| now.saturating_duration_since(valid.checked_at) >= consent);
        }
        let lost = self.selected.filter(|path| self.find(path).is_none())?;
        self.selected.take_if(|path| *path == lost).map(|_| Event::Disconnected)
    }

    /// When consent expires next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.valid.iter().flatten().filter_map(|valid| valid.checked_at.checked_add(self.consent)).min()
    }

    /// The nominated path, while consent stands.
    #[must_use]
    pub const fn selected(&self) -> Option<Path> {
        self.selected
    }

    /// Where to send now: the nominated path, before nomination the valid one of highest priority.
    ///
    /// RFC 8445 section 12.1 lets an agent send on any valid pair until one is selected; DTLS answers need it.
    #[must_use]
    pub fn route(&self) -> Option<Path> {
        self.selected.or_else(|| {
            self.valid.iter().flatten().max_by_key(|valid| (valid.priority, valid.checked_at)).map(|valid| valid.path)
        })
    }

    /// Whether an authenticated check came on this path within the consent time: the only paths that DTLS and media
    /// are taken from.
    #[must_use]
    pub fn is_valid(&self, path: &Path) -> bool {
        self.find(path).is_some()
    }

    fn find(&self, path: &Path) -> Option<&ValidPath> {
        self.valid.iter().flatten().find(|valid| valid.path == *path)
    }

    /// Enter an authenticated check that was answered with success.
    fn checked(&mut self, now: Instant, path: Path, message: &Message<'_>) -> Option<Event> {
        let known = self.find(&path).copied();
        let entry = ValidPath {
            path,
            priority: message.priority().or(known.map(|known| known.priority)).unwrap_or(0),
            checked_at: now,
            nominated_at: if message.is_nominating() { Some(now) } else { known.and_then(|known| known.nominated_at) },
        };
        *self.slot(&path) = Some(entry);
        if !message.is_nominating() || self.selected == Some(path) || self.is_outranked(now, &entry) {
            return None;
        }
        let event = if self.selected.is_some() { Event::Moved(path) } else { Event::Connected(path) };
        self.selected = Some(path);
        Some(event)
    }

    /// Whether a fresh nomination belongs to the same burst as the selected path's, which has the higher priority.
    fn is_outranked(&self, now: Instant, entry: &ValidPath) -> bool {
        self.selected.and_then(|path| self.find(&path)).is_some_and(|selected| {
            selected.priority > entry.priority
                && selected.nominated_at.is_some_and(|at| now.saturating_duration_since(at) < AGGRESSIVE_BURST)
        })
    }

    /// The path's slot, an empty one, or that of the path checked longest ago, but never the selected path's.
    fn slot(&mut self, path: &Path) -> &mut Option<ValidPath> {
        let selected = self.selected;
        let rank = |slot: &Option<ValidPath>| match slot {
            Some(valid) if valid.path == *path => (0, None),
            None => (1, None),
            Some(valid) if Some(valid.path) != selected => (2, Some(valid.checked_at)),
            Some(_) => (3, None),
        };
        let best = (0..MAX_PATHS).min_by_key(|at| rank(&self.valid[*at])).unwrap_or(0);
        &mut self.valid[best]
    }
}

/// USERNAME is `local:remote`, and the first half must be ours.   RFC 8445 section 7.3.
fn is_for(username: &[u8], local_ufrag: &str) -> bool {
    username.strip_prefix(local_ufrag.as_bytes()).is_some_and(|rest| rest.first() == Some(&b':'))
}

#[cfg(test)]
mod tests;
