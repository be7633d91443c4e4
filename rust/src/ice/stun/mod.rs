//! STUN messages, read in place and built into the caller's buffer (RFC 8489, and the attributes of RFC 8445).
//!
//! Owns the wire format, short-term integrity and fingerprints. Whether a message is welcome is the agent's business.

mod build;
mod message;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::error::DropReason;

pub use build::Builder;
pub use message::{MAX_ATTRIBUTES, MAX_UNKNOWN, Message};

const HEADER_BYTES: usize = 20;
const MAGIC_COOKIE: u32 = 0x2112_a442;
const INTEGRITY_BYTES: usize = 20;
/// Attribute header and value of MESSAGE-INTEGRITY.
const INTEGRITY_ATTRIBUTE_BYTES: usize = 4 + INTEGRITY_BYTES;
/// Attribute header and value of FINGERPRINT.
const FINGERPRINT_ATTRIBUTE_BYTES: usize = 8;
/// Combined with the CRC by XOR, so that it differs from other protocols' (RFC 8489 section 14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// The one method that ICE uses.
pub const BINDING: u16 = 0x001;

/// Attribute types.   RFC 8489 section 18.3, RFC 8445 section 21.2.
mod attribute {
    pub(super) const USERNAME: u16 = 0x0006;
    pub(super) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(super) const ERROR_CODE: u16 = 0x0009;
    pub(super) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(super) const REALM: u16 = 0x0014;
    pub(super) const NONCE: u16 = 0x0015;
    pub(super) const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(super) const PRIORITY: u16 = 0x0024;
    pub(super) const USE_CANDIDATE: u16 = 0x0025;
    pub(super) const FINGERPRINT: u16 = 0x8028;
    pub(super) const ICE_CONTROLLED: u16 = 0x8029;
    pub(super) const ICE_CONTROLLING: u16 = 0x802a;
    /// Types from here on may be ignored by who does not know them.
    pub(super) const COMPREHENSION_OPTIONAL: u16 = 0x8000;
}

/// Message class.   RFC 8489 section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// The good answer.
    Success,
    /// The bad answer.
    Error,
}

impl Class {
    /// The message type: class bits interleaved with the method's.
    const fn with_method(self, method: u16) -> u16 {
        let class = match self {
            Self::Request => 0x000,
            Self::Indication => 0x010,
            Self::Success => 0x100,
            Self::Error => 0x110,
        };
        class | (method & 0x00f) | (method & 0x070) << 1 | (method & 0xf80) << 2
    }

    /// Class and method of a message type.
    const fn of(message_type: u16) -> (Self, u16) {
        let class = match message_type & 0x110 {
            0x000 => Self::Request,
            0x010 => Self::Indication,
            0x100 => Self::Success,
            _ => Self::Error,
        };
        (class, (message_type & 0x00f) | (message_type & 0x0e0) >> 1 | (message_type & 0x3e00) >> 2)
    }
}

/// Error codes that an ICE agent meets.   RFC 8489 section 14.8, RFC 8445 section 7.3.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode(pub u16);

impl ErrorCode {
    /// The request is malformed.
    pub const BAD_REQUEST: Self = Self(400);
    /// The request lacks credentials, or they are wrong.
    pub const UNAUTHENTICATED: Self = Self(401);
    /// The request holds attributes that must be understood and are not.
    pub const UNKNOWN_ATTRIBUTE: Self = Self(420);
    /// Both agents think that they have the same role.
    pub const ROLE_CONFLICT: Self = Self(487);

    /// The recommended reason phrase.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self.0 {
            400 => "Bad Request",
            401 => "Unauthenticated",
            420 => "Unknown Attribute",
            487 => "Role Conflict",
            _ => "Error",
        }
    }
}

/// The key of MESSAGE-INTEGRITY under short-term credentials, with its pads hashed once.   RFC 8489 section 9.1.
#[derive(Clone)]
pub struct IntegrityKey(Hmac<Sha1>);

impl IntegrityKey {
    /// password: the `ice-pwd` of who receives the requests.
    #[must_use]
    pub fn new(password: &str) -> Option<Self> {
        Hmac::new_from_slice(password.as_bytes()).ok().map(Self)
    }

    /// HMAC-SHA1 over the message up to MESSAGE-INTEGRITY, with a header that counts that attribute as the last.
    ///
    /// RFC 8489 section 14.5.
    fn hash(&self, before: &[u8]) -> Result<Hmac<Sha1>, DropReason> {
        let mut mac = self.0.clone();
        let (header, attributes) = before.split_first_chunk::<HEADER_BYTES>().ok_or(DropReason::StunMalformed)?;
        let counted = attributes.len() + INTEGRITY_ATTRIBUTE_BYTES;
        let [t0, t1, _, _, rest @ ..] = header;
        mac.update(&[*t0, *t1]);
        mac.update(&u16::try_from(counted).map_err(|_| DropReason::StunMalformed)?.to_be_bytes());
        mac.update(rest);
        mac.update(attributes);
        Ok(mac)
    }
}

impl std::fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntegrityKey").finish_non_exhaustive()
    }
}

/// The value of FINGERPRINT behind `before`, which counts that attribute in its header.   RFC 8489 section 14.7.
fn fingerprint(before: &[u8]) -> u32 {
    crc32fast::hash(before) ^ FINGERPRINT_XOR
}

/// The local user name fragment of a binding request's USERNAME, before anything is authenticated.
///
/// A shared socket uses it to find the endpoint whose agent then judges the message. Returns None for anything but a
/// well-formed binding request with a USERNAME of the form `local:remote`.   RFC 8445 section 7.2.2.
#[must_use]
pub fn local_ufrag(data: &[u8]) -> Option<&str> {
    let message = Message::parse(data).ok()?;
    if (message.class(), message.method()) != (Class::Request, BINDING) {
        return None;
    }
    let (local, _) = str::from_utf8(message.username()?).ok()?.split_once(':')?;
    Some(local)
}

#[cfg(test)]
mod tests;
