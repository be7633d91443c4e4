//! Reading a message.   RFC 8489 sections 5, 6.3 and 14.

use hmac::Mac;

use crate::error::DropReason;

use super::{Class, ErrorCode, HEADER_BYTES, INTEGRITY_BYTES, IntegrityKey, MAGIC_COOKIE, attribute, fingerprint};

/// Most attributes that a message may hold; checks of known browsers hold up to ten.
pub const MAX_ATTRIBUTES: usize = 32;
/// Most unknown attributes that are told back.
pub const MAX_UNKNOWN: usize = 8;

/// A message whose lengths were checked, and whose fingerprint matches if it has one. Nothing is authenticated yet.
///
/// Of an attribute that comes twice the first counts, and nothing counts behind MESSAGE-INTEGRITY but FINGERPRINT.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    data: &'a [u8],
    class: Class,
    method: u16,
    username: Option<&'a [u8]>,
    /// Where the MESSAGE-INTEGRITY attribute begins, and its value.
    integrity: Option<(usize, &'a [u8; INTEGRITY_BYTES])>,
    error: Option<ErrorCode>,
    mapped: Option<&'a [u8]>,
    priority: Option<u32>,
    is_nominating: bool,
    is_from_controlled: bool,
    unknown: [u16; MAX_UNKNOWN],
    unknown_count: usize,
}

impl<'a> Message<'a> {
    /// Read a whole datagram.
    ///
    /// Drops `StunMalformed` (no magic cookie, lengths that do not fit, more than [`MAX_ATTRIBUTES`], an attribute of
    /// the wrong size) and `StunFingerprint`.
    pub fn parse(data: &'a [u8]) -> Result<Self, DropReason> {
        let (header, attributes) = data.split_first_chunk::<HEADER_BYTES>().ok_or(DropReason::StunMalformed)?;
        let [t0, t1, l0, l1, c0, c1, c2, c3, ..] = *header;
        let is_sound = t0 & 0xc0 == 0
            && u32::from_be_bytes([c0, c1, c2, c3]) == MAGIC_COOKIE
            && usize::from(u16::from_be_bytes([l0, l1])) == attributes.len();
        if !is_sound {
            return Err(DropReason::StunMalformed);
        }
        let (class, method) = Class::of(u16::from_be_bytes([t0, t1]));
        let mut message = Self {
            data,
            class,
            method,
            username: None,
            integrity: None,
            error: None,
            mapped: None,
            priority: None,
            is_nominating: false,
            is_from_controlled: false,
            unknown: [0; MAX_UNKNOWN],
            unknown_count: 0,
        };
        let mut rest = attributes;
        for _ in 0..MAX_ATTRIBUTES {
            if rest.is_empty() {
                return Ok(message);
            }
            let offset = data.len() - rest.len();
            let (&[k0, k1, n0, n1], tail) = rest.split_first_chunk::<4>().ok_or(DropReason::StunMalformed)?;
            let len = usize::from(u16::from_be_bytes([n0, n1]));
            let value = tail.get(..len).ok_or(DropReason::StunMalformed)?;
            rest = tail.get(len.next_multiple_of(4)..).ok_or(DropReason::StunMalformed)?;
            message.take(u16::from_be_bytes([k0, k1]), value, offset, rest.is_empty())?;
        }
        if rest.is_empty() { Ok(message) } else { Err(DropReason::StunMalformed) }
    }

    /// Take one attribute, which begins at `offset` of the message.
    fn take(&mut self, kind: u16, value: &'a [u8], offset: usize, is_last: bool) -> Result<(), DropReason> {
        if kind == attribute::FINGERPRINT {
            let expected = fingerprint(self.data.get(..offset).unwrap_or_default()).to_be_bytes();
            return if is_last && value == expected { Ok(()) } else { Err(DropReason::StunFingerprint) };
        }
        if self.integrity.is_some() {
            return Ok(());
        }
        match kind {
            attribute::USERNAME => self.username = self.username.or(Some(value)),
            attribute::MESSAGE_INTEGRITY => self.integrity = Some((offset, sized(value)?)),
            attribute::ERROR_CODE => {
                let &[_, _, hundreds, rest] = value.first_chunk().ok_or(DropReason::StunMalformed)?;
                self.error = Some(ErrorCode(u16::from(hundreds & 7) * 100 + u16::from(rest)));
            }
            attribute::XOR_MAPPED_ADDRESS => self.mapped = self.mapped.or(Some(value)),
            attribute::PRIORITY => self.priority = Some(u32::from_be_bytes(*sized(value)?)),
            attribute::USE_CANDIDATE => self.is_nominating = true,
            attribute::ICE_CONTROLLED => {
                sized::<8>(value)?;
                self.is_from_controlled = true;
            }
            attribute::ICE_CONTROLLING => {
                sized::<8>(value)?;
            }
            attribute::UNKNOWN_ATTRIBUTES
            | attribute::REALM
            | attribute::NONCE
            | attribute::MESSAGE_INTEGRITY_SHA256
            | attribute::COMPREHENSION_OPTIONAL.. => {}
            _ => {
                if let Some(slot) = self.unknown.get_mut(self.unknown_count) {
                    *slot = kind;
                    self.unknown_count += 1;
                }
            }
        }
        Ok(())
    }

    /// What kind of message it is.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// What it is about; ICE knows [`BINDING`](super::BINDING) alone.
    #[must_use]
    pub const fn method(&self) -> u16 {
        self.method
    }

    /// What ties an answer to its request.
    #[must_use]
    pub fn transaction(&self) -> [u8; 12] {
        self.data.get(8..HEADER_BYTES).and_then(|id| id.first_chunk().copied()).unwrap_or_default()
    }

    /// USERNAME as it came.
    #[must_use]
    pub const fn username(&self) -> Option<&'a [u8]> {
        self.username
    }

    /// PRIORITY: what the pair's priority is computed from, as the far side sees it.
    #[must_use]
    pub const fn priority(&self) -> Option<u32> {
        self.priority
    }

    /// USE-CANDIDATE is there.
    #[must_use]
    pub const fn is_nominating(&self) -> bool {
        self.is_nominating
    }

    /// ICE-CONTROLLED is there: the far side thinks that we control.
    #[must_use]
    pub const fn is_from_controlled(&self) -> bool {
        self.is_from_controlled
    }

    /// ERROR-CODE of an error response.
    #[must_use]
    pub const fn error(&self) -> Option<ErrorCode> {
        self.error
    }

    /// XOR-MAPPED-ADDRESS of a response: our address as the far side sees it.   RFC 8489 section 14.2.
    #[must_use]
    pub fn mapped_address(&self) -> Option<std::net::SocketAddr> {
        let (&[_, family, p0, p1], address) = self.mapped?.split_first_chunk::<4>()?;
        let port = u16::from_be_bytes([p0 ^ 0x21, p1 ^ 0x12]);
        let mask = u128::from_be_bytes(*self.data.get(4..HEADER_BYTES)?.first_chunk()?);
        let ip: std::net::IpAddr = match (family, address.len()) {
            (1, 4) => (u32::from_be_bytes(*address.first_chunk()?) ^ MAGIC_COOKIE).to_be_bytes().into(),
            (2, 16) => (u128::from_be_bytes(*address.first_chunk()?) ^ mask).to_be_bytes().into(),
            _ => return None,
        };
        Some((ip, port).into())
    }

    /// Types that must be understood and are not, the first [`MAX_UNKNOWN`] of them.
    #[must_use]
    pub fn unknown(&self) -> &[u16] {
        self.unknown.get(..self.unknown_count).unwrap_or_default()
    }

    /// Check MESSAGE-INTEGRITY, in constant time.   RFC 8489 section 9.1.3. Drops `StunIntegrity`.
    pub fn verify(&self, key: &IntegrityKey) -> Result<(), DropReason> {
        let (offset, value) = self.integrity.ok_or(DropReason::StunIntegrity)?;
        let mac = key.hash(self.data.get(..offset).unwrap_or_default())?;
        mac.verify_slice(value).map_err(|_| DropReason::StunIntegrity)
    }
}

fn sized<const N: usize>(value: &[u8]) -> Result<&[u8; N], DropReason> {
    value.try_into().map_err(|_| DropReason::StunMalformed)
}
