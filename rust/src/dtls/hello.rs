//! Reassembly of a fragmented ClientHello.   RFC 6347 section 4.2.3.
//!
//! A hello with a post-quantum key share does not fit one datagram: Chromium 156 sends 1,413 bytes in two. The halves
//! come in either order, twice, or the first one gets lost and comes again, perhaps cut elsewhere. The library counts
//! every fragment it ever saw against a limit, and finds a message only if its fragments abut exactly; therefore it is
//! given whole ClientHellos alone, which the transcript cannot tell from fragmented ones (RFC 6347 section 4.2.6).

use std::ops::Range;

use crate::error::DropReason;

use super::record::{HANDSHAKE_HEADER_BYTES, HelloFragment, RECORD_HEADER_BYTES};

/// Longest ClientHello that is reassembled; known ones stay below 2,000 bytes.
const MAX_HELLO_BYTES: usize = 8192;
/// Most disjoint pieces that are held at a time.
const MAX_PIECES: usize = 16;

/// Collects the fragments of one ClientHello at a time.
#[derive(Debug, Default)]
pub(super) struct HelloAssembler {
    message_seq: u16,
    /// The message so far; bytes outside `pieces` are zeros.
    message: Vec<u8>,
    /// What has arrived: sorted, neither overlapping nor touching.
    pieces: Vec<Range<usize>>,
}

impl HelloAssembler {
    /// Take one fragment; a record with the whole ClientHello once it is complete.
    ///
    /// A fragment of another message (by sequence or length) discards what was collected, since only a new attempt of
    /// the far side sends one. Drops `DtlsFragment` for what is over our limits or repeats what is held.
    pub(super) fn take(&mut self, fragment: &HelloFragment<'_>) -> Result<Option<Vec<u8>>, DropReason> {
        if fragment.message_bytes > MAX_HELLO_BYTES {
            return Err(DropReason::DtlsFragment);
        }
        if (self.message_seq, self.message.len()) != (fragment.message_seq, fragment.message_bytes) {
            self.message_seq = fragment.message_seq;
            self.message.clear();
            self.message.resize(fragment.message_bytes, 0);
            self.pieces.clear();
        }
        let piece = fragment.offset..fragment.offset + fragment.data.len();
        self.enter(piece.clone())?;
        self.message.get_mut(piece).ok_or(DropReason::DtlsFragment)?.copy_from_slice(fragment.data);
        let is_complete = matches!(self.pieces[..], [Range { start: 0, end }] if end == self.message.len());
        Ok(is_complete.then(|| {
            self.pieces.clear();
            whole_record(fragment, &self.message)
        }))
    }

    /// Merge a piece into those that have arrived.
    fn enter(&mut self, piece: Range<usize>) -> Result<(), DropReason> {
        if self.pieces.iter().any(|held| held.start <= piece.start && piece.end <= held.end) {
            return Err(DropReason::DtlsFragment);
        }
        let touching = |held: &Range<usize>| held.start <= piece.end && piece.start <= held.end;
        let merged = self
            .pieces
            .iter()
            .filter(|held| touching(held))
            .fold(piece.clone(), |merged, held| merged.start.min(held.start)..merged.end.max(held.end));
        self.pieces.retain(|held| !touching(held));
        if self.pieces.len() >= MAX_PIECES {
            return Err(DropReason::DtlsFragment);
        }
        let at = self.pieces.partition_point(|held| held.start < merged.start);
        self.pieces.insert(at, merged);
        Ok(())
    }
}

/// A record like the fragment's own with the whole message in it.
fn whole_record(fragment: &HelloFragment<'_>, message: &[u8]) -> Vec<u8> {
    // Both lengths are below MAX_HELLO_BYTES and fit their fields.
    let [.., length_high, length_low] = (HANDSHAKE_HEADER_BYTES + message.len()).to_be_bytes();
    let [.., l0, l1, l2] = message.len().to_be_bytes();
    let [s0, s1] = fragment.message_seq.to_be_bytes();
    let [header @ .., _, _] = *fragment.record_header;
    let mut record = Vec::with_capacity(RECORD_HEADER_BYTES + HANDSHAKE_HEADER_BYTES + message.len());
    record.extend(header);
    record.extend([length_high, length_low]);
    record.extend([1, l0, l1, l2, s0, s1, 0, 0, 0, l0, l1, l2]);
    record.extend(message);
    record
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::{Record, records};
    use super::*;

    const HEADER: [u8; RECORD_HEADER_BYTES] = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0];

    fn message(len: usize) -> Vec<u8> {
        (0..=250).cycle().take(len).collect()
    }

    fn fragment(message: &[u8], range: Range<usize>) -> HelloFragment<'_> {
        let offset = range.start;
        HelloFragment {
            record_header: &HEADER,
            message_seq: 0,
            message_bytes: message.len(),
            offset,
            data: &message[range],
        }
    }

    fn whole(record: &[u8]) -> Vec<u8> {
        let all: Vec<_> = records(record).collect();
        let [Ok(Record::Hello(hello))] = all[..] else { panic!("{all:?}") };
        assert_eq!((hello.offset, hello.data.len()), (0, hello.message_bytes));
        assert_eq!(hello.record_header[..11], HEADER[..11]);
        hello.data.to_vec()
    }

    #[test]
    fn two_halves_make_a_whole_in_either_order_again_and_again() {
        let message = message(1413);
        let mut assembler = HelloAssembler::default();
        for order in [[0..1100, 1100..1413], [1100..1413, 0..1100], [0..1100, 1100..1413]] {
            let [first, second] = order.map(|range| fragment(&message, range));
            assert_eq!(assembler.take(&first), Ok(None));
            assert_eq!(assembler.take(&first), Err(DropReason::DtlsFragment), "a duplicate");
            assert_eq!(whole(&assembler.take(&second).unwrap().unwrap()), message);
        }
    }

    #[test]
    fn fragments_cut_elsewhere_on_retransmission_overlap() {
        let message = message(1413);
        let mut assembler = HelloAssembler::default();
        assert_eq!(assembler.take(&fragment(&message, 1100..1413)), Ok(None));
        assert_eq!(assembler.take(&fragment(&message, 0..700)), Ok(None));
        assert_eq!(whole(&assembler.take(&fragment(&message, 600..1200)).unwrap().unwrap()), message);
    }

    #[test]
    fn fragment_of_another_message_starts_over() {
        let (old, new) = (message(1413), message(1500));
        let mut assembler = HelloAssembler::default();
        assert_eq!(assembler.take(&fragment(&old, 0..1100)), Ok(None));
        assert_eq!(assembler.take(&fragment(&new, 1100..1500)), Ok(None));
        assert_eq!(assembler.take(&fragment(&old, 1100..1413)), Ok(None));
        let second_hello = HelloFragment { message_seq: 1, ..fragment(&old, 0..1413) };
        assert!(assembler.take(&second_hello).unwrap().is_some());
    }

    #[test]
    fn memory_is_bounded() {
        let huge = message(MAX_HELLO_BYTES + 1);
        let mut assembler = HelloAssembler::default();
        assert_eq!(assembler.take(&fragment(&huge, 0..100)), Err(DropReason::DtlsFragment));
        let message = message(MAX_HELLO_BYTES);
        let taken = (0..1000).filter(|n| assembler.take(&fragment(&message, 4 * n + 1..4 * n + 2)).is_ok()).count();
        assert_eq!(taken, MAX_PIECES);
    }

    proptest! {
        #[test]
        fn any_cuts_in_any_order_yield_the_message(
            len in 1_usize..3000, cuts in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..900), 0..40)
        ) {
            let message = message(len);
            let mut assembler = HelloAssembler::default();
            let mut result = None;
            let cuts = cuts.into_iter().map(|(start, size)| (start.index(len), size));
            for (start, size) in cuts.chain((0..len).step_by(300).map(|start| (start, 300))) {
                let piece = fragment(&message, start..(start + size).min(len));
                if let Ok(Some(record)) = assembler.take(&piece) {
                    result = Some(whole(&record));
                }
            }
            prop_assert_eq!(result, Some(message));
        }

        #[test]
        fn any_datagram_ends_in_records_or_a_drop(data in prop::collection::vec(any::<u8>(), 0..200), typed: bool) {
            let mut data = data;
            if typed && data.len() > 13 {
                let len = u8::try_from(data.len() - 13).unwrap();
                data[..14].copy_from_slice(&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, len, 1]);
            }
            let mut assembler = HelloAssembler::default();
            for record in records(&data) {
                if let Ok(Record::Hello(fragment)) = record {
                    let _ = assembler.take(&fragment);
                }
            }
        }
    }
}
