//! Building a message.   RFC 8489 sections 5 and 14.

use std::net::{IpAddr, SocketAddr};

use hmac::Mac;

use crate::error::DropReason;

use super::{
    BINDING, Class, ErrorCode, FINGERPRINT_ATTRIBUTE_BYTES, HEADER_BYTES, INTEGRITY_ATTRIBUTE_BYTES, IntegrityKey,
    MAGIC_COOKIE, attribute, fingerprint,
};

/// Writes one binding message, front to back. Every step drops `BufferTooSmall` if the buffer has no room for it.
#[derive(Debug)]
pub struct Builder<'a> {
    out: &'a mut [u8],
    len: usize,
    transaction: [u8; 12],
}

impl<'a> Builder<'a> {
    /// Begin a binding message at the front of `out`.
    pub fn new(out: &'a mut [u8], class: Class, transaction: [u8; 12]) -> Result<Self, DropReason> {
        let mut builder = Self { out, len: 0, transaction };
        builder.put(&class.with_method(BINDING).to_be_bytes())?;
        builder.put(&[0, 0])?;
        builder.put(&MAGIC_COOKIE.to_be_bytes())?;
        builder.put(&transaction)?;
        Ok(builder)
    }

    /// USERNAME.
    pub fn username(self, username: &str) -> Result<Self, DropReason> {
        self.attribute(attribute::USERNAME, username.as_bytes())
    }

    /// PRIORITY.   RFC 8445 section 7.1.1.
    pub fn priority(self, priority: u32) -> Result<Self, DropReason> {
        self.attribute(attribute::PRIORITY, &priority.to_be_bytes())
    }

    /// USE-CANDIDATE.   RFC 8445 section 7.1.2.
    pub fn use_candidate(self) -> Result<Self, DropReason> {
        self.attribute(attribute::USE_CANDIDATE, &[])
    }

    /// ICE-CONTROLLING.   RFC 8445 section 7.1.3.
    pub fn controlling(self, tie_breaker: u64) -> Result<Self, DropReason> {
        self.attribute(attribute::ICE_CONTROLLING, &tie_breaker.to_be_bytes())
    }

    /// ICE-CONTROLLED.   RFC 8445 section 7.1.3.
    pub fn controlled(self, tie_breaker: u64) -> Result<Self, DropReason> {
        self.attribute(attribute::ICE_CONTROLLED, &tie_breaker.to_be_bytes())
    }

    /// XOR-MAPPED-ADDRESS.   RFC 8489 section 14.2.
    pub fn mapped_address(mut self, address: SocketAddr) -> Result<Self, DropReason> {
        let [p0, p1] = address.port().to_be_bytes();
        let port = [p0 ^ 0x21, p1 ^ 0x12];
        let len = if address.is_ipv4() { 8_u16 } else { 20 };
        self.put(&attribute::XOR_MAPPED_ADDRESS.to_be_bytes())?;
        self.put(&len.to_be_bytes())?;
        match address.ip() {
            IpAddr::V4(ip) => {
                self.put(&[0, 1])?;
                self.put(&port)?;
                self.put(&(ip.to_bits() ^ MAGIC_COOKIE).to_be_bytes())?;
            }
            IpAddr::V6(ip) => {
                let mut mask = [0; 16];
                for (to, from) in mask.iter_mut().zip(MAGIC_COOKIE.to_be_bytes().iter().chain(&self.transaction)) {
                    *to = *from;
                }
                self.put(&[0, 2])?;
                self.put(&port)?;
                self.put(&(ip.to_bits() ^ u128::from_be_bytes(mask)).to_be_bytes())?;
            }
        }
        Ok(self)
    }

    /// ERROR-CODE with its recommended phrase.   RFC 8489 section 14.8.
    pub fn error(self, code: ErrorCode) -> Result<Self, DropReason> {
        let mut value = [0; 64];
        let phrase = code.reason().as_bytes();
        let class = u8::try_from(code.0 / 100).unwrap_or(0) & 7;
        let number = u8::try_from(code.0 % 100).unwrap_or(0);
        let bytes = [0, 0, class, number].into_iter().chain(phrase.iter().copied());
        for (to, from) in value.iter_mut().zip(bytes) {
            *to = from;
        }
        let value = value.get(..4 + phrase.len()).ok_or(DropReason::BufferTooSmall)?;
        self.attribute(attribute::ERROR_CODE, value)
    }

    /// UNKNOWN-ATTRIBUTES.   RFC 8489 section 14.9.
    pub fn unknown_attributes(mut self, types: &[u16]) -> Result<Self, DropReason> {
        let len = u16::try_from(2 * types.len()).map_err(|_| DropReason::BufferTooSmall)?;
        self.put(&attribute::UNKNOWN_ATTRIBUTES.to_be_bytes())?;
        self.put(&len.to_be_bytes())?;
        for kind in types {
            self.put(&kind.to_be_bytes())?;
        }
        if types.len() % 2 == 1 {
            self.put(&[0, 0])?;
        }
        Ok(self)
    }

    /// Close with MESSAGE-INTEGRITY and FINGERPRINT; the message's length.   RFC 8489 sections 14.5 and 14.7.
    pub fn finish(mut self, key: &IntegrityKey) -> Result<usize, DropReason> {
        let body_bytes = self.len - HEADER_BYTES + INTEGRITY_ATTRIBUTE_BYTES;
        let tag: [u8; 20] = key.hash(self.written())?.finalize().into_bytes().into();
        self = self.attribute(attribute::MESSAGE_INTEGRITY, &tag)?;
        let counted =
            u16::try_from(body_bytes + FINGERPRINT_ATTRIBUTE_BYTES).map_err(|_| DropReason::BufferTooSmall)?;
        if let Some(length) = self.out.get_mut(2..4) {
            length.copy_from_slice(&counted.to_be_bytes());
        }
        let crc = fingerprint(self.written()).to_be_bytes();
        Ok(self.attribute(attribute::FINGERPRINT, &crc)?.len)
    }

    fn written(&self) -> &[u8] {
        self.out.get(..self.len).unwrap_or_default()
    }

    /// Type, length, value, and padding to 32 bits.
    fn attribute(mut self, kind: u16, value: &[u8]) -> Result<Self, DropReason> {
        let len = u16::try_from(value.len()).map_err(|_| DropReason::BufferTooSmall)?;
        self.put(&kind.to_be_bytes())?;
        self.put(&len.to_be_bytes())?;
        self.put(value)?;
        let padding = value.len().next_multiple_of(4) - value.len();
        self.put([0; 3].get(..padding).unwrap_or_default())?;
        Ok(self)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), DropReason> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end).ok_or(DropReason::BufferTooSmall)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}
