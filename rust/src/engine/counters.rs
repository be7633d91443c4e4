//! Counters that a worker writes and anyone may read.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::DropReason;

/// Totals of one worker since start, and its present load. One thread writes; reads are never torn but may be a moment
/// old.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    pub(super) datagrams_received: AtomicU64,
    pub(super) datagrams_sent: AtomicU64,
    pub(super) turns: AtomicU64,
    pub(super) pause_us: AtomicU64,
    pub(super) pause_delay_us: AtomicU64,
    pub(super) endpoints: AtomicU64,
    pub(super) ports_free: AtomicU64,
    pub(super) ports_resting: AtomicU64,
    pub(super) events_lost: AtomicU64,
    pub(super) bridges_failed: AtomicU64,
    drops: Drops,
}

#[derive(Debug)]
struct Drops([AtomicU64; DropReason::ALL.len()]);

impl Default for Drops {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; DropReason::ALL.len()])
    }
}

/// Adds to a counter that only this thread writes.
pub(super) fn add(counter: &AtomicU64, count: usize) {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(count as u64);
    counter.store(sum, Ordering::Relaxed);
}

impl WorkerCounters {
    pub(super) fn count_drops(&self, reason: DropReason, count: usize) {
        add(&self.drops.0[reason as usize], count);
    }
}

/// A moment's sum over all workers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Datagrams taken from sockets.
    pub datagrams_received: u64,
    /// Datagrams given to sockets.
    pub datagrams_sent: u64,
    /// Times that a worker woke and did what there was to do.
    pub turns: u64,
    /// The longest pause that a worker makes at present to take more packets at a time, in microseconds.
    pub pause_us: u64,
    /// Delay that such pauses have added, summed over all packets, in microseconds.
    pub pause_delay_us: u64,
    /// Endpoints alive.
    pub endpoints: u64,
    /// Port pairs that could be had.
    pub ports_free: u64,
    /// Port pairs in quarantine.
    pub ports_resting: u64,
    /// Statistics and digits that the event queue had no room for.
    pub events_lost: u64,
    /// Bridges that ended by a panic.
    pub bridges_failed: u64,
    /// Recordings that are being written.
    pub recordings: u64,
    /// Recordings that failed, at their start or later.
    pub recordings_failed: u64,
    /// Audio that recordings lack because the recorder was too slow.
    pub recording_dropped_ms: u64,
    /// Drops, in the order of [`DropReason::ALL`].
    pub drops: Vec<(&'static str, u64)>,
}

impl Totals {
    pub(super) fn sum<'a>(workers: impl Iterator<Item = &'a WorkerCounters>) -> Self {
        let mut totals =
            Self { drops: DropReason::ALL.iter().map(|reason| (reason.name(), 0)).collect(), ..Self::default() };
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for worker in workers {
            totals.datagrams_received += read(&worker.datagrams_received);
            totals.datagrams_sent += read(&worker.datagrams_sent);
            totals.turns += read(&worker.turns);
            totals.pause_us = totals.pause_us.max(read(&worker.pause_us));
            totals.pause_delay_us += read(&worker.pause_delay_us);
            totals.endpoints += read(&worker.endpoints);
            totals.ports_free += read(&worker.ports_free);
            totals.ports_resting += read(&worker.ports_resting);
            totals.events_lost += read(&worker.events_lost);
            totals.bridges_failed += read(&worker.bridges_failed);
            for ((_, sum), counter) in totals.drops.iter_mut().zip(&worker.drops.0) {
                *sum += read(counter);
            }
        }
        totals
    }
}
