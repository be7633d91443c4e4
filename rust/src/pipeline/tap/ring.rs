//! A queue of records between one writer and one reader, without locks: words in a ring that is made once.
//!
//! The writer never waits: a record that finds no room is refused. Whole records become visible at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const WORD_BYTES: usize = size_of::<u64>();

/// Longest record, in bytes.
pub(super) const MAX_RECORD_BYTES: usize = 2_048;

#[derive(Debug)]
struct Shared {
    words: Box<[AtomicU64]>,
    /// Words written since the beginning, and those read.
    written: AtomicUsize,
    read: AtomicUsize,
}

impl Shared {
    fn word(&self, at: usize) -> Option<&AtomicU64> {
        self.words.get(at & (self.words.len() - 1))
    }
}

/// The writer's end.
#[derive(Debug)]
pub(super) struct Writer(Arc<Shared>);

/// The reader's end.
#[derive(Debug)]
pub(super) struct Reader(Arc<Shared>);

/// Makes a ring of so many words, a power of two.
pub(super) fn ring(words: usize) -> (Writer, Reader) {
    let words = (0..words.next_power_of_two()).map(|_| AtomicU64::new(0)).collect();
    let shared = Arc::new(Shared { words, written: AtomicUsize::new(0), read: AtomicUsize::new(0) });
    (Writer(Arc::clone(&shared)), Reader(shared))
}

impl Writer {
    /// Writes a record of these words and, behind them, these bytes. Returns false if there is no room.
    pub(super) fn write<const N: usize>(&mut self, head: [u64; N], bytes: &[u8]) -> bool {
        let shared = &*self.0;
        let start = shared.written.load(Ordering::Relaxed);
        // Acquire: the reader is done with what it gave back.
        let used = start.wrapping_sub(shared.read.load(Ordering::Acquire));
        let len = 1 + N + bytes.len().div_ceil(WORD_BYTES);
        if len * WORD_BYTES > MAX_RECORD_BYTES || used + len > shared.words.len() {
            return false;
        }
        let mut at = start;
        let mut put = |word: u64| {
            if let Some(slot) = shared.word(at) {
                slot.store(word, Ordering::Relaxed);
            }
            at = at.wrapping_add(1);
        };
        put(bytes.len() as u64);
        head.into_iter().for_each(&mut put);
        let (whole, rest) = bytes.as_chunks::<WORD_BYTES>();
        for chunk in whole {
            put(u64::from_le_bytes(*chunk));
        }
        if !rest.is_empty() {
            let mut last = [0; WORD_BYTES];
            last[..rest.len()].copy_from_slice(rest);
            put(u64::from_le_bytes(last));
        }
        // Release: who sees the new count sees the words.
        shared.written.store(start.wrapping_add(len), Ordering::Release);
        true
    }
}

impl Reader {
    /// Takes the oldest record; its bytes replace those in `bytes`. None if the ring is empty.
    pub(super) fn read<const N: usize>(&mut self, bytes: &mut Vec<u8>) -> Option<[u64; N]> {
        let shared = &*self.0;
        let start = shared.read.load(Ordering::Relaxed);
        if start == shared.written.load(Ordering::Acquire) {
            return None;
        }
        let mut at = start;
        let mut take = || {
            let word = shared.word(at).map_or(0, |slot| slot.load(Ordering::Relaxed));
            at = at.wrapping_add(1);
            word
        };
        let len = usize::try_from(take()).unwrap_or(0).min(MAX_RECORD_BYTES);
        let head = std::array::from_fn(|_| take());
        bytes.clear();
        for _ in 0..len.div_ceil(WORD_BYTES) {
            bytes.extend(take().to_le_bytes());
        }
        bytes.truncate(len);
        shared.read.store(at, Ordering::Release);
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_finds_no_room_and_keeps_the_rest_in_order() {
        let (mut writer, mut reader) = ring(16);
        let taken = (0..9).filter(|number| writer.write([*number], &[7; 9])).count();
        assert_eq!(taken, 4, "a record takes four words");
        assert!(!writer.write([0], &[0; MAX_RECORD_BYTES]), "longer than any record");
        let mut bytes = Vec::new();
        for number in 0..4 {
            assert_eq!(reader.read(&mut bytes), Some([number]));
            assert_eq!(bytes, [7; 9]);
        }
        assert_eq!(reader.read::<1>(&mut bytes), None);
        assert!(writer.write([5], &[]));
        assert_eq!(reader.read(&mut bytes), Some([5]));
        assert!(bytes.is_empty());
    }

    #[test]
    fn two_threads_see_whole_records_only() {
        let (mut writer, mut reader) = ring(64);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..20_000_u64 {
                    let len = usize::try_from(number % 40).unwrap();
                    while !writer.write([number, !number], &vec![number.to_le_bytes()[0]; len]) {
                        std::thread::yield_now();
                    }
                }
            });
            let mut bytes = Vec::new();
            for number in 0..20_000_u64 {
                let head = loop {
                    match reader.read(&mut bytes) {
                        Some(head) => break head,
                        None => std::thread::yield_now(),
                    }
                };
                assert_eq!(head, [number, !number]);
                assert_eq!(bytes, vec![number.to_le_bytes()[0]; usize::try_from(number % 40).unwrap()]);
            }
        });
    }
}
