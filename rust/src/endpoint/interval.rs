//! How long until the next RTCP packet.   RFC 3550 sections 6.2, 6.3.1 and A.7.
//!
//! For the two members of a call, who both may send: reconsideration and time-outs of members mean nothing here.

use std::time::Duration;

/// Least mean interval, and half of it before the first packet.
const T_MIN: Duration = Duration::from_secs(5);

/// Us and the far side.
const MEMBERS: f64 = 2.0;

/// Five per cent of an audio stream of 64 kbit/s, in bytes a second.
const RTCP_BANDWIDTH: f64 = 64_000.0 / 8.0 * 0.05;

/// e - 3/2: undoes what randomizing does to the mean.
const COMPENSATION: f64 = 1.218_28;

/// Headers of IP and UDP, which the average counts.
const LOWER_HEADERS: usize = 28;

/// Size of a first packet: a report with one block, a name, and the headers.
const PROBABLE_BYTES: f64 = 128.0;

/// Draws the intervals of one endpoint.
#[derive(Debug)]
pub(super) struct Interval {
    random: SplitMix,
    average_bytes: f64,
    is_initial: bool,
}

impl Interval {
    /// seed: any random number; it spreads the reports of many endpoints over time.
    pub(super) const fn new(seed: u64) -> Self {
        Self { random: SplitMix(seed), average_bytes: PROBABLE_BYTES, is_initial: true }
    }

    /// A packet of so many bytes was sent or received.   RFC 3550 section 6.3.3.
    pub(super) fn count(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes + LOWER_HEADERS).map_or(f64::MAX, f64::from);
        self.average_bytes += (bytes - self.average_bytes) / 16.0;
    }

    /// The time until the next packet: 0.5 to 1.5 times the mean.
    pub(super) fn next(&mut self) -> Duration {
        let least = T_MIN.as_secs_f64() / if std::mem::take(&mut self.is_initial) { 2.0 } else { 1.0 };
        let mean = least.max(MEMBERS * self.average_bytes / RTCP_BANDWIDTH);
        Duration::from_secs_f64(mean * (0.5 + self.random.next()) / COMPENSATION)
    }
}

/// A small generator; nothing secret depends on it.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    /// Evenly from 0 up to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [a, b, c, d, ..] = (mixed ^ (mixed >> 31)).to_be_bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_s(interval: &mut Interval, draws: u32) -> f64 {
        (0..draws).map(|_| interval.next().as_secs_f64()).sum::<f64>() / f64::from(draws)
    }

    #[test]
    fn the_first_comes_after_half_the_time_and_all_are_spread() {
        for seed in 0..1_000 {
            let mut interval = Interval::new(seed);
            assert!((1.02..=3.08).contains(&interval.next().as_secs_f64()), "seed {seed}");
            assert!((2.05..=6.16).contains(&interval.next().as_secs_f64()), "seed {seed}");
        }
    }

    #[test]
    fn the_mean_is_the_least_interval_less_the_compensation() {
        let mean_s = mean_s(&mut Interval::new(7), 10_000);
        assert!((mean_s - 5.0 / COMPENSATION).abs() < 0.05, "{mean_s} s");
    }

    #[test]
    fn large_packets_are_sent_less_often() {
        let mut interval = Interval::new(7);
        (0..200).for_each(|_| interval.count(1_400));
        let mean_s = mean_s(&mut interval, 10_000);
        assert!((mean_s - 2.0 * 1_428.0 / RTCP_BANDWIDTH / COMPENSATION).abs() < 0.1, "{mean_s} s");
    }
}
