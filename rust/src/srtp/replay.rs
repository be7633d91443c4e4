//! Packet indices that were seen.   RFC 3711 section 3.3.2.

use crate::error::DropReason;

/// Indices behind the highest one that are told apart; RFC 3711 asks for 64 at least.
pub(super) const WINDOW_PACKETS: u64 = 128;

/// A sliding window over packet indices.
///
/// Receivers drop by it what was replayed; senders, what would use an index twice under one key.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    highest: u64,
    /// Bit `n` stands for `highest - n`. Zero before the first index, and never after it.
    seen: u128,
}

impl Window {
    /// The highest index so far.
    pub(super) const fn highest(&self) -> Option<u64> {
        if self.seen == 0 { None } else { Some(self.highest) }
    }

    /// The index after the highest one; 0 at first.
    pub(super) const fn next(&self) -> u64 {
        if self.seen == 0 { 0 } else { self.highest + 1 }
    }

    /// Whether an index is new. Drops `SrtpReplay`, or `SrtpTooOld` for what is too far behind to tell.
    pub(super) const fn check(&self, index: u64) -> Result<(), DropReason> {
        if self.seen == 0 || index > self.highest {
            return Ok(());
        }
        let behind = self.highest - index;
        if behind >= WINDOW_PACKETS {
            Err(DropReason::SrtpTooOld)
        } else if self.seen >> behind & 1 == 1 {
            Err(DropReason::SrtpReplay)
        } else {
            Ok(())
        }
    }

    /// Enter an index that [`check`](Self::check) let pass, once its packet is authenticated.
    pub(super) const fn accept(&mut self, index: u64) {
        if self.seen == 0 {
            *self = Self { highest: index, seen: 1 };
        } else if index > self.highest {
            let ahead = index - self.highest;
            self.seen = if ahead >= WINDOW_PACKETS { 1 } else { self.seen << ahead | 1 };
            self.highest = index;
        } else if self.highest - index < WINDOW_PACKETS {
            self.seen |= 1 << (self.highest - index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_each_index_once_within_the_window() {
        let mut window = Window::default();
        assert_eq!((window.highest(), window.next()), (None, 0));
        window.accept(1000);
        assert_eq!((window.highest(), window.next()), (Some(1000), 1001));
        assert_eq!(window.check(1000), Err(DropReason::SrtpReplay));
        assert_eq!(window.check(1000 - 127), Ok(()));
        assert_eq!(window.check(1000 - 128), Err(DropReason::SrtpTooOld));
        window.accept(900);
        assert_eq!(window.check(900), Err(DropReason::SrtpReplay));
        window.accept(1027);
        assert_eq!(window.check(900), Err(DropReason::SrtpReplay));
        assert_eq!(window.check(1000), Err(DropReason::SrtpReplay));
        window.accept(u64::from(u32::MAX));
        assert_eq!(window.check(1027), Err(DropReason::SrtpTooOld));
        assert_eq!(window.check(u64::from(u32::MAX) - 1), Ok(()));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_all_indices(indices in prop::collection::vec(0_u64..600, 1..300)) {
            let mut window = Window::default();
            let mut seen = BTreeSet::new();
            for index in indices {
                let expected = match seen.last() {
                    Some(highest) if index + WINDOW_PACKETS <= *highest => Err(DropReason::SrtpTooOld),
                    _ if seen.contains(&index) => Err(DropReason::SrtpReplay),
                    _ => Ok(()),
                };
                prop_assert_eq!(window.check(index), expected);
                if expected.is_ok() {
                    window.accept(index);
                    seen.insert(index);
                }
            }
        }
    }
}
