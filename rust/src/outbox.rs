//! Datagrams that wait for the end of the turn, in buffers made once.
//!
//! Owns the buffers between the cores, which write packets, and `io`, which sends them in batches. Knows a socket by
//! its number only. A full outbox refuses a packet rather than grow: the worker empties it between datagrams.

use std::net::SocketAddr;

use crate::error::DropReason;
use crate::net::DATAGRAM_BYTES;

/// The worker's number of one of its sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u32);

/// Where a datagram goes: out of which socket, to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// Our socket.
    pub socket: SocketId,
    /// The far side's address.
    pub remote: SocketAddr,
}

/// One datagram to send.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// Where it goes.
    pub destination: Destination,
    /// Its bytes.
    pub data: &'a [u8],
}

struct Slot {
    destination: Option<Destination>,
    len: usize,
    bytes: [u8; DATAGRAM_BYTES],
}

/// A fixed number of outgoing datagrams, in order.
pub struct Outbox {
    slots: Box<[Slot]>,
    len: usize,
}

impl Outbox {
    /// Room for `capacity` datagrams.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let slots = (0..capacity).map(|_| Slot { destination: None, len: 0, bytes: [0; DATAGRAM_BYTES] }).collect();
        Self { slots, len: 0 }
    }

    /// Lets `write` fill the next buffer (`DATAGRAM_BYTES` long, old bytes in it) and return the datagram's length.
    ///
    /// Nothing is queued if `write` fails or returns 0. Drops `Overflow` when every buffer is taken.
    pub fn push(
        &mut self,
        destination: Destination,
        write: impl FnOnce(&mut [u8]) -> Result<usize, DropReason>,
    ) -> Result<(), DropReason> {
        let slot = self.slots.get_mut(self.len).ok_or(DropReason::Overflow)?;
        let len = write(&mut slot.bytes)?;
        if len > slot.bytes.len() {
            return Err(DropReason::BufferTooSmall);
        }
        if len > 0 {
            slot.destination = Some(destination);
            slot.len = len;
            self.len += 1;
        }
        Ok(())
    }

    /// The queued datagrams, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Transmit<'_>> {
        self.slots
            .iter()
            .take(self.len)
            .filter_map(|slot| Some(Transmit { destination: slot.destination?, data: slot.bytes.get(..slot.len)? }))
    }

    /// Forgets every datagram.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// How many datagrams still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.slots.len() - self.len
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(port: u16) -> Destination {
        Destination { socket: SocketId(1), remote: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    #[test]
    fn keeps_order_and_refuses_when_full() {
        let mut outbox = Outbox::new(2);
        for port in [1, 2] {
            outbox
                .push(destination(port), |buffer| {
                    buffer[0] = 9;
                    Ok(1)
                })
                .unwrap();
        }
        assert_eq!(outbox.push(destination(3), |_| Ok(1)), Err(DropReason::Overflow));
        let ports: Vec<_> =
            outbox.iter().map(|transmit| (transmit.destination.remote.port(), transmit.data.len())).collect();
        assert_eq!(ports, [(1, 1), (2, 1)]);
        outbox.clear();
        assert!(outbox.is_empty());
        assert_eq!(outbox.room(), 2);
    }

    #[test]
    fn a_failed_write_queues_nothing() {
        let mut outbox = Outbox::new(1);
        assert_eq!(outbox.push(destination(1), |_| Err(DropReason::Codec)), Err(DropReason::Codec));
        assert!(outbox.is_empty());
    }
}
