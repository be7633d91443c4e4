//! One deadline for each of a worker's bridges, soonest first; and which of them are to be asked for theirs.
//!
//! A binary heap that knows where each key stands in it, so that moving a deadline leaves nothing stale behind. It
//! allocates only when a key is larger than any before. Time is an argument.
//!
//! Deadlines are late rather than early by less than a [`STEP`]: they stand on one grid for all bridges, so that a
//! wake-up serves all that are due within a step. Whoever is due every so many whole steps is always late by the same,
//! so that an even pace stays even. Where each pace begins is decided by its source's first packet, which spreads them.

use std::time::{Duration, Instant};

/// Distance of the moments at which anything can be due. Every packet time is a whole number of these.
const STEP: Duration = Duration::from_millis(1);

/// Where a key stands when it has no deadline.
const ABSENT: usize = usize::MAX;

/// Deadlines by small integer keys.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// The first deadline that there ever was: a point of the grid.
    origin: Option<Instant>,
    heap: Vec<(Instant, usize)>,
    places: Vec<usize>,
}

/// Small integer keys, each at most once, in no order that matters.
#[derive(Debug, Default)]
pub(super) struct Touched {
    keys: Vec<usize>,
    is_in: Vec<bool>,
}

impl Touched {
    /// Puts a key in, once.
    pub(super) fn insert(&mut self, key: usize) {
        if key >= self.is_in.len() {
            self.is_in.resize(key + 1, false);
        }
        if !std::mem::replace(&mut self.is_in[key], true) {
            self.keys.push(key);
        }
    }

    /// Takes any key out.
    pub(super) fn pop(&mut self) -> Option<usize> {
        let key = self.keys.pop()?;
        self.is_in[key] = false;
        Some(key)
    }
}

impl Timers {
    /// No deadlines.
    #[must_use]
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Gives `key` the first point of the grid from `deadline` on instead of the one it had; `None` takes it away.
    pub(super) fn set(&mut self, key: usize, deadline: Option<Instant>) {
        let deadline = deadline.map(|deadline| self.on_grid(deadline));
        if key >= self.places.len() {
            self.places.resize(key + 1, ABSENT);
        }
        match (self.places[key], deadline) {
            (ABSENT, None) => {}
            (ABSENT, Some(deadline)) => {
                self.places[key] = self.heap.len();
                self.heap.push((deadline, key));
                self.rise(self.heap.len() - 1);
            }
            (place, None) => self.remove(place),
            (place, Some(deadline)) => {
                let before = self.heap[place].0;
                if before == deadline {
                    return;
                }
                self.heap[place].0 = deadline;
                if deadline < before { self.rise(place) } else { self.sink(place) }
            }
        }
    }

    /// The soonest deadline.
    #[must_use]
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|(deadline, _)| *deadline)
    }

    /// Takes a key whose deadline is not after `now`, with its deadline gone; soonest first.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<usize> {
        let (deadline, key) = *self.heap.first()?;
        if deadline > now {
            return None;
        }
        self.remove(0);
        Some(key)
    }

    /// The first point of the grid that is not before `deadline`.
    fn on_grid(&mut self, deadline: Instant) -> Instant {
        let origin = *self.origin.get_or_insert(deadline);
        let nanoseconds = |duration: Duration| duration.subsec_nanos() % STEP.subsec_nanos();
        let ahead = match deadline.checked_duration_since(origin) {
            Some(after) => (STEP.subsec_nanos() - nanoseconds(after)) % STEP.subsec_nanos(),
            None => nanoseconds(origin.saturating_duration_since(deadline)),
        };
        deadline + Duration::from_nanos(u64::from(ahead))
    }

    // Every index below is a place in `heap`, and every key in `heap` has been through `set`, so none can be out of
    // range.

    fn remove(&mut self, place: usize) {
        let last = self.heap.len() - 1;
        self.swap(place, last);
        if let Some((_, key)) = self.heap.pop() {
            self.places[key] = ABSENT;
        }
        if place < self.heap.len() {
            self.rise(place);
            self.sink(place);
        }
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                return;
            }
            self.swap(parent, place);
            place = parent;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let left = 2 * place + 1;
            let Some(mut child) = (left < self.heap.len()).then_some(left) else { return };
            if left + 1 < self.heap.len() && self.heap[left + 1].0 < self.heap[left].0 {
                child = left + 1;
            }
            if self.heap[place].0 <= self.heap[child].0 {
                return;
            }
            self.swap(place, child);
            place = child;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.places[self.heap[one].1] = one;
        self.places[self.heap[other].1] = other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::time::Duration;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test needs some first instant")]
        Instant::now()
    }

    #[test]
    fn a_moved_deadline_fires_once_at_its_new_time() {
        let start = start();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new();
        timers.set(3, Some(at(10)));
        timers.set(3, Some(at(30)));
        timers.set(1, Some(at(20)));
        assert_eq!(timers.pop_expired(at(15)), None);
        assert_eq!(timers.pop_expired(at(40)), Some(1));
        assert_eq!(timers.pop_expired(at(40)), Some(3));
        assert_eq!(timers.pop_expired(at(40)), None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn deadlines_within_a_step_share_a_moment_and_an_even_pace_stays_even() {
        let start = start();
        let at = |us| start + Duration::from_micros(us);
        let mut timers = Timers::new();
        timers.set(4, Some(at(3_600_000_000)));
        for (key, phase_us) in [(0, 7_001), (1, 7_400), (2, 8_000), (3, 8_001)] {
            let shared_us = if key < 3 { 8_000 } else { 9_000 };
            for frame in 0..100 {
                timers.set(key, Some(at(phase_us + frame * 20_000)));
                assert_eq!(timers.next(), Some(at(shared_us + frame * 20_000)), "{phase_us}");
                assert_eq!(timers.pop_expired(at(shared_us + frame * 20_000 - 1)), None);
                assert_eq!(timers.pop_expired(at(shared_us + frame * 20_000)), Some(key));
            }
        }
    }

    #[test]
    fn a_key_touched_twice_comes_out_once_and_may_be_touched_again() {
        let mut touched = Touched::default();
        for key in [4, 1, 4, 4] {
            touched.insert(key);
        }
        let mut keys: Vec<usize> = std::iter::from_fn(|| touched.pop()).collect();
        keys.sort_unstable();
        assert_eq!(keys, [1, 4]);
        touched.insert(4);
        assert_eq!((touched.pop(), touched.pop()), (Some(4), None));
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_map(steps in prop::collection::vec((0_usize..20, prop::option::of(0_u64..1000)), 1..200)) {
            let start = start();
            let at = |ms| start + Duration::from_millis(ms);
            let mut timers = Timers::new();
            let mut model: HashMap<usize, u64> = HashMap::new();
            for (key, deadline) in steps {
                timers.set(key, deadline.map(at));
                match deadline {
                    Some(ms) => { model.insert(key, ms); }
                    None => { model.remove(&key); }
                }
                prop_assert_eq!(timers.next(), model.values().min().map(|ms| at(*ms)));
            }
            let mut fired = Vec::new();
            while let Some(key) = timers.pop_expired(at(1000)) {
                fired.push(model[&key]);
            }
            prop_assert_eq!(fired.len(), model.len());
            prop_assert!(fired.is_sorted());
        }
    }
}
