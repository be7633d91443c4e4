//! Packets that wait for their turn, in order of their sequence numbers.
//!
//! Owns the payload bytes and nothing else: fixed slots, each with room for one payload, allocated once. Numbers are
//! unwrapped by the caller. A linear search over a few dozen slots is faster than anything cleverer.

use super::Content;

/// What is known of a packet that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Extended sequence number.
    pub(super) seq: i64,
    /// Extended timestamp.
    pub(super) timestamp: i64,
    pub(super) content: Content,
    payload_bytes: usize,
}

/// The packets of one stream that have not been played.
#[derive(Debug, Clone)]
pub(super) struct Buffer {
    entries: Box<[Option<Entry>]>,
    payloads: Box<[u8]>,
    slot_bytes: usize,
}

/// Why a packet was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its number is here already.
    Duplicate,
    /// No slot is free.
    Full,
    /// It does not fit into a slot.
    TooLong,
}

impl Buffer {
    pub(super) fn new(slots: usize, slot_bytes: usize) -> Self {
        Self {
            entries: vec![None; slots].into_boxed_slice(),
            payloads: vec![0; slots * slot_bytes].into_boxed_slice(),
            slot_bytes,
        }
    }

    /// Copies a packet in.
    pub(super) fn insert(&mut self, seq: i64, timestamp: i64, content: Content, payload: &[u8]) -> Result<(), Refused> {
        if payload.len() > self.slot_bytes {
            return Err(Refused::TooLong);
        }
        if self.entries.iter().flatten().any(|entry| entry.seq == seq) {
            return Err(Refused::Duplicate);
        }
        let slot = self.entries.iter().position(Option::is_none).ok_or(Refused::Full)?;
        let room = &mut self.payloads[slot * self.slot_bytes..][..payload.len()];
        room.copy_from_slice(payload);
        self.entries[slot] = Some(Entry { seq, timestamp, content, payload_bytes: payload.len() });
        Ok(())
    }

    /// The packet with the lowest number and its payload.
    pub(super) fn head(&self) -> Option<(Entry, &[u8])> {
        let slot = self.head_slot()?;
        let entry = self.entries[slot]?;
        Some((entry, &self.payloads[slot * self.slot_bytes..][..entry.payload_bytes]))
    }

    /// Frees the slot of the packet with the lowest number; returns whether there was one.
    pub(super) fn drop_head(&mut self) -> bool {
        let slot = self.head_slot();
        if let Some(slot) = slot {
            self.entries[slot] = None;
        }
        slot.is_some()
    }

    /// Packets that wait.
    pub(super) fn len(&self) -> usize {
        self.entries.iter().flatten().count()
    }

    /// Frees all slots.
    pub(super) fn clear(&mut self) {
        self.entries.fill(None);
    }

    fn head_slot(&self) -> Option<usize> {
        let numbers = self.entries.iter().enumerate();
        let (slot, _) = numbers.filter_map(|(slot, entry)| Some((slot, (*entry)?.seq))).min_by_key(|&(_, seq)| seq)?;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_packets_back_in_order_with_their_payloads() {
        let mut buffer = Buffer::new(4, 8);
        for seq in [7_i64, 5, 8, 6] {
            buffer.insert(seq, seq * 160, Content::Speech, &[seq.to_le_bytes()[0]; 3]).unwrap();
        }
        for seq in 5..9_i64 {
            let (entry, payload) = buffer.head().unwrap();
            assert_eq!((entry.seq, entry.timestamp, payload), (seq, seq * 160, &[seq.to_le_bytes()[0]; 3][..]));
            assert!(buffer.drop_head());
        }
        assert_eq!(buffer.head(), None);
        assert!(!buffer.drop_head());
    }

    #[test]
    fn refuses_what_it_cannot_keep_and_keeps_the_rest() {
        let mut buffer = Buffer::new(2, 8);
        assert_eq!(buffer.insert(1, 0, Content::Speech, &[0; 9]), Err(Refused::TooLong));
        assert_eq!(buffer.insert(1, 0, Content::Speech, &[1; 8]), Ok(()));
        assert_eq!(buffer.insert(1, 0, Content::Speech, &[2; 8]), Err(Refused::Duplicate));
        assert_eq!(buffer.insert(2, 0, Content::ComfortNoise, &[]), Ok(()));
        assert_eq!(buffer.insert(3, 0, Content::Speech, &[3; 8]), Err(Refused::Full));
        assert_eq!(buffer.head().unwrap().1, [1; 8]);
        assert_eq!(buffer.len(), 2);
        buffer.clear();
        assert_eq!(buffer.len(), 0);
    }
}
