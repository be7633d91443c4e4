//! Packets that wait for their turn, in order of their sequence numbers.
//!
//! Owns the payload bytes and nothing else: one piece of memory that all packets share, allocated once, so that a stream
//! of short packets may have many waiting and one of long ones few. Numbers are unwrapped by the caller. A packet is
//! nearly always the newest and the only one, so plain searches are the fastest.

use std::collections::VecDeque;

use super::Content;

/// What is known of a packet that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Extended sequence number.
    pub(super) seq: i64,
    /// Extended timestamp.
    pub(super) timestamp: i64,
    pub(super) content: Content,
    /// Where its payload begins and ends.
    begin: u32,
    end: u32,
}

/// The packets of one stream that have not been played.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Lowest number first; never more than were asked for.
    entries: VecDeque<Entry>,
    slots: usize,
    bytes: Box<[u8]>,
    /// End of the payload that came last: the next one is put there, or at the beginning.
    newest_end: u32,
}

/// Why a packet was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its number is here already.
    Duplicate,
    /// No room is left until others have gone.
    Full,
    /// It does not fit even into an empty buffer.
    TooLong,
}

impl Buffer {
    /// Room for so many packets, at least one, and for so many bytes of payload.
    pub(super) fn new(slots: usize, bytes: usize) -> Self {
        let slots = slots.max(1);
        Self { entries: VecDeque::with_capacity(slots), slots, bytes: vec![0; bytes].into_boxed_slice(), newest_end: 0 }
    }

    /// Copies a packet in.
    pub(super) fn insert(&mut self, seq: i64, timestamp: i64, content: Content, payload: &[u8]) -> Result<(), Refused> {
        if payload.len() > self.bytes.len() {
            return Err(Refused::TooLong);
        }
        let place = self.entries.iter().rposition(|entry| entry.seq <= seq).map_or(0, |before| before + 1);
        if place > 0 && self.entries.get(place - 1).is_some_and(|before| before.seq == seq) {
            return Err(Refused::Duplicate);
        }
        let (begin, end) = self.room(payload.len()).filter(|_| self.entries.len() < self.slots).ok_or(Refused::Full)?;
        self.bytes[begin as usize..end as usize].copy_from_slice(payload);
        self.newest_end = end;
        self.entries.insert(place, Entry { seq, timestamp, content, begin, end });
        Ok(())
    }

    /// The packet with the lowest number.
    pub(super) fn head(&self) -> Option<Entry> {
        self.entries.front().copied()
    }

    /// What a packet of this buffer carries.
    pub(super) fn payload(&self, entry: &Entry) -> &[u8] {
        self.bytes.get(entry.begin as usize..entry.end as usize).unwrap_or_default()
    }

    /// Frees the packet with the lowest number; returns whether there was one.
    pub(super) fn drop_head(&mut self) -> bool {
        self.entries.pop_front().is_some()
    }

    /// Packets that wait.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Frees all packets.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Where a payload of this length may go.
    fn room(&self, length: usize) -> Option<(u32, u32)> {
        // An empty buffer begins anew: so a stream that comes evenly stays within a few cache lines.
        let after_newest = if self.entries.is_empty() { 0 } else { self.newest_end };
        [after_newest, 0].into_iter().find_map(|begin| {
            let end = begin.checked_add(u32::try_from(length).ok()?)?;
            let is_free = end as usize <= self.bytes.len()
                && self.entries.iter().all(|entry| end <= entry.begin || entry.end <= begin);
            is_free.then_some((begin, end))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gives_packets_back_in_order_with_their_payloads() {
        let mut buffer = Buffer::new(4, 32);
        for seq in [7_i64, 5, 8, 6] {
            buffer.insert(seq, seq * 160, Content::Speech, &[seq.to_le_bytes()[0]; 3]).unwrap();
        }
        for seq in 5..9_i64 {
            let entry = buffer.head().unwrap();
            assert_eq!((entry.seq, entry.timestamp), (seq, seq * 160));
            assert_eq!(buffer.payload(&entry), [seq.to_le_bytes()[0]; 3]);
            assert!(buffer.drop_head());
        }
        assert_eq!(buffer.head(), None);
        assert!(!buffer.drop_head());
    }

    #[test]
    fn refuses_what_it_cannot_keep_and_keeps_the_rest() {
        let mut buffer = Buffer::new(2, 16);
        assert_eq!(buffer.insert(1, 0, Content::Speech, &[0; 17]), Err(Refused::TooLong));
        assert_eq!(buffer.insert(1, 0, Content::Speech, &[1; 12]), Ok(()));
        assert_eq!(buffer.insert(1, 0, Content::Speech, &[2; 1]), Err(Refused::Duplicate));
        assert_eq!(buffer.insert(2, 0, Content::Speech, &[2; 5]), Err(Refused::Full), "no bytes are left");
        assert_eq!(buffer.insert(2, 0, Content::ComfortNoise, &[2]), Ok(()));
        assert_eq!(buffer.insert(3, 0, Content::Speech, &[3]), Err(Refused::Full), "no slot is left");
        assert_eq!(buffer.payload(&buffer.head().unwrap()), [1; 12]);
        assert_eq!(buffer.len(), 2);
        buffer.clear();
        assert_eq!(buffer.len(), 0);
        assert_eq!(buffer.insert(3, 0, Content::Speech, &[3; 16]), Ok(()));
    }

    proptest! {
        #[test]
        fn keeps_every_payload_whole_whatever_comes_and_goes(
            steps in prop::collection::vec((0_i64..40, 0_usize..50, any::<bool>()), 1..300)
        ) {
            let mut buffer = Buffer::new(8, 160);
            let mut model = std::collections::BTreeMap::new();
            for (number, (seq, length, is_taken)) in (0_u8..=255).cycle().zip(steps) {
                let payload = vec![number; length];
                match buffer.insert(seq, 0, Content::Speech, &payload) {
                    Ok(()) => prop_assert!(model.insert(seq, payload).is_none()),
                    Err(Refused::Duplicate) => prop_assert!(model.contains_key(&seq)),
                    Err(_) => prop_assert!(!model.is_empty()),
                }
                if is_taken && let Some(entry) = buffer.head() {
                    let (seq, payload) = model.pop_first().unwrap();
                    prop_assert_eq!((entry.seq, buffer.payload(&entry)), (seq, &payload[..]));
                    buffer.drop_head();
                }
                prop_assert_eq!(buffer.len(), model.len());
            }
        }
    }
}
