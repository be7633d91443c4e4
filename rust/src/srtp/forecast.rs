//! Tags of received packets, computed several at a time before the packets have their turn.
//!
//! A packet's tag depends on the rollover counter, and so on the packets before it. A forecast is made with the counter as
//! it stands, and is of use only if key and counter are still the same when the packet's turn has come; else the tag is
//! computed again. So it may be wrong or missing without harm.

use crate::mac::{CODE_BYTES, Message, Pending};

/// The tag that a packet must have, if nothing changes before its turn.
#[derive(Debug, Clone, Copy)]
pub struct Forecast {
    pending: Pending,
    code: [u8; CODE_BYTES],
}

impl Forecast {
    pub(super) fn new(pending: Pending) -> Self {
        Self { pending, code: [0; CODE_BYTES] }
    }

    /// What must be [signed](crate::mac::sign) for the forecast to be of use. packet: the one that it was made for.
    #[must_use]
    pub fn message<'a>(&'a mut self, packet: &'a [u8]) -> Option<Message<'a>> {
        let body = packet.get(..packet.len().checked_sub(self.pending.code_bytes)?)?;
        Some(Message { key: self.pending.key, body, suffix: self.pending.suffix, code: &mut self.code })
    }

    /// The code, if this is what it must be made of.
    pub(super) fn code_of(&self, pending: &Pending) -> Option<&[u8; CODE_BYTES]> {
        (self.pending == *pending).then_some(&self.code)
    }
}
