//! Datagrams that wait for the end of the turn, in buffers made once.
//!
//! Owns the buffers between the cores, which write packets, and `io`, which sends them in batches. Knows a socket by
//! its number only. A full outbox refuses a packet rather than grow: the worker empties it between datagrams. Packets
//! may come without their authentication codes, which are then computed together.

use std::net::SocketAddr;

use crate::error::DropReason;
use crate::mac::{self, Backend, Pending};
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
    /// The code that the packet still lacks.
    pending: Option<Pending>,
    bytes: [u8; DATAGRAM_BYTES],
}

/// A fixed number of outgoing datagrams, in order.
pub struct Outbox {
    slots: Box<[Slot]>,
    len: usize,
    /// How many of the first packets are complete.
    signed: usize,
    backend: Backend,
}

impl Outbox {
    /// Room for `capacity` datagrams.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let slot = |_| Slot { destination: None, len: 0, pending: None, bytes: [0; DATAGRAM_BYTES] };
        Self { slots: (0..capacity).map(slot).collect(), len: 0, signed: 0, backend: Backend::detect() }
    }

    /// Lets `write` fill the next buffer (`DATAGRAM_BYTES` long, old bytes in it) and return the datagram's length.
    ///
    /// Nothing is queued if `write` fails or returns 0. Drops `Overflow` when every buffer is taken.
    pub fn push(
        &mut self,
        destination: Destination,
        write: impl FnOnce(&mut [u8]) -> Result<usize, DropReason>,
    ) -> Result<(), DropReason> {
        self.push_unsigned(destination, |buffer| write(buffer).map(|len| (len, None)))
    }

    /// Does as [`push`](Self::push) with a packet whose authentication code may still be missing. Its place counts in the
    /// length.
    pub fn push_unsigned(
        &mut self,
        destination: Destination,
        write: impl FnOnce(&mut [u8]) -> Result<(usize, Option<Pending>), DropReason>,
    ) -> Result<(), DropReason> {
        let slot = self.slots.get_mut(self.len).ok_or(DropReason::Overflow)?;
        let (len, pending) = write(&mut slot.bytes)?;
        if len > slot.bytes.len() {
            return Err(DropReason::BufferTooSmall);
        }
        if len > 0 {
            slot.destination = Some(destination);
            slot.len = len;
            slot.pending = pending;
            self.len += 1;
        }
        Ok(())
    }

    /// The queued datagrams, oldest first, all of them complete.
    pub fn iter(&mut self) -> impl Iterator<Item = Transmit<'_>> {
        self.sign();
        self.slots
            .iter()
            .take(self.len)
            .filter_map(|slot| Some(Transmit { destination: slot.destination?, data: slot.bytes.get(..slot.len)? }))
    }

    /// Computes the codes that are missing, several at a time.
    fn sign(&mut self) {
        let unsigned = self.slots.iter_mut().take(self.len).skip(self.signed);
        let messages = unsigned.filter_map(|slot| slot.pending.take()?.message(slot.bytes.get_mut(..slot.len)?));
        mac::sign(self.backend, messages);
        self.signed = self.len;
    }

    /// Forgets every datagram.
    pub fn clear(&mut self) {
        self.len = 0;
        self.signed = 0;
    }

    /// How many datagrams still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.slots.len() - self.len
    }

    /// How many datagrams are queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
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
    use crate::mac::Key;

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
    fn packets_leave_with_their_codes() {
        let mut outbox = Outbox::new(8);
        let key = Key::new(b"Jefe");
        let words = b"what do ya want for nothing?";
        let push = |outbox: &mut Outbox, suffix_bytes: usize| {
            let (body, suffix) = words.split_at(words.len() - suffix_bytes);
            let pending = Pending { key, suffix: suffix.first_chunk().copied(), code_bytes: 10 };
            let write = |buffer: &mut [u8]| {
                buffer[..body.len()].copy_from_slice(body);
                Ok((body.len() + 10, Some(pending)))
            };
            outbox.push_unsigned(destination(1), write).unwrap();
        };
        for suffix_bytes in [0, 4, 0, 4, 4] {
            push(&mut outbox, suffix_bytes);
        }
        outbox.push(destination(2), |_| Ok(3)).unwrap();
        assert_eq!(outbox.iter().count(), 6);
        push(&mut outbox, 0);
        // RFC 2202, case 2; pushed after the first codes were computed, and before.
        let code = [0xef, 0xfc, 0xdf, 0x6a, 0xe5, 0xeb, 0x2f, 0xa2, 0xd2, 0x74];
        let signed: Vec<_> = outbox.iter().filter(|transmit| transmit.destination == destination(1)).collect();
        assert!(signed.len() == 6 && signed.iter().all(|transmit| transmit.data.ends_with(&code)));
    }

    #[test]
    fn a_failed_write_queues_nothing() {
        let mut outbox = Outbox::new(1);
        assert_eq!(outbox.push(destination(1), |_| Err(DropReason::Codec)), Err(DropReason::Codec));
        assert!(outbox.is_empty());
    }
}
