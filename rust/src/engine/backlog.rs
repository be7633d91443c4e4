//! Handshake datagrams that wait, so that media does not.
//!
//! A step of a DTLS handshake takes as long as hundreds of packets, and browsers may come hundreds at a time. So each
//! turn has its media first and one step of one handshake after it; the other steps wait here, oldest first, in buffers
//! made once. A full backlog refuses: the far side sends again (RFC 6347 section 4.2.4).

use std::net::SocketAddr;

use crate::error::DropReason;
use crate::io::Received;
use crate::net::DATAGRAM_BYTES;
use crate::outbox::SocketId;

struct Slot {
    from: Option<(SocketId, SocketAddr)>,
    len: usize,
    bytes: [u8; DATAGRAM_BYTES],
}

/// A fixed number of datagrams, first in, first out.
pub(super) struct Backlog {
    slots: Box<[Slot]>,
    first: usize,
    len: usize,
}

impl Backlog {
    /// Room for `capacity` datagrams.
    pub(super) fn new(capacity: usize) -> Self {
        let slots = (0..capacity).map(|_| Slot { from: None, len: 0, bytes: [0; DATAGRAM_BYTES] }).collect();
        Self { slots, first: 0, len: 0 }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes a copy in. Drops `Overflow` if there is no room.
    pub(super) fn push(&mut self, received: &Received<'_>) -> Result<(), DropReason> {
        if self.len == self.slots.len() {
            return Err(DropReason::Overflow);
        }
        let place = (self.first + self.len) % self.slots.len();
        let slot = self.slots.get_mut(place).ok_or(DropReason::Overflow)?;
        let bytes = slot.bytes.get_mut(..received.data.len()).ok_or(DropReason::Oversize)?;
        bytes.copy_from_slice(received.data);
        slot.from = Some((received.socket, received.remote));
        slot.len = received.data.len();
        self.len += 1;
        Ok(())
    }

    /// Lets go of the oldest; its bytes stay until the next push.
    pub(super) fn pop(&mut self) -> Option<Received<'_>> {
        if self.len == 0 {
            return None;
        }
        let place = self.first;
        self.first = (self.first + 1) % self.slots.len();
        self.len -= 1;
        let slot = self.slots.get_mut(place)?;
        let (socket, remote) = slot.from?;
        Some(Received { socket, remote, data: slot.bytes.get_mut(..slot.len)?, is_truncated: false, stamp: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(backlog: &mut Backlog, data: &mut [u8]) -> Result<(), DropReason> {
        let remote = SocketAddr::from(([192, 0, 2, 1], u16::from(data[0])));
        backlog.push(&Received { socket: SocketId(3), remote, data, is_truncated: false, stamp: None })
    }

    #[test]
    fn keeps_order_around_the_end_and_refuses_when_full() {
        let mut backlog = Backlog::new(3);
        assert!(backlog.pop().is_none());
        let mut next_out = 0;
        for number in 0..20_u8 {
            push(&mut backlog, &mut [number, 7]).unwrap();
            if number >= 2 {
                assert_eq!(push(&mut backlog, &mut [99]), Err(DropReason::Overflow));
                let oldest = backlog.pop().unwrap();
                assert_eq!((oldest.socket, oldest.remote.port()), (SocketId(3), next_out));
                assert_eq!(oldest.data, [u8::try_from(next_out).unwrap(), 7]);
                next_out += 1;
            }
        }
        assert!(backlog.pop().is_some() && !backlog.is_empty());
        assert!(backlog.pop().is_some() && backlog.is_empty());
    }
}
