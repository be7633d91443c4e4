//! How long packets should wait: the target delay of one stream.
//!
//! Owns the statistics of arrival times. A packet's transit is its arrival minus its media time, so it has an unknown
//! constant in it; what counts is how much later than the fastest recent packet it came, its lateness. The fastest packet
//! is looked for in the last seconds only, so that clock drift and route changes are followed.
//!
//! Lateness goes into a histogram that forgets, and the target is the delay that costs least: waiting costs its time, and
//! each per cent of packets that would be late costs [`MS_PER_LATE_PERCENT`]. So rare peaks are waited for where that is
//! cheap and not where it is dear, and packets overtaken by others count by how late they are, like any other.

/// Width of a histogram bin.
const BIN_US: i64 = 5_000;

/// Bins: lateness up to 500 ms; the last one takes all above.
const BINS: usize = 100;

/// Delay that is given for one per cent of packets in time. By the E-model (ITU-T G.107) loss weighs more, but a delay is
/// suffered all the time; this value was a fair trade on the traces in `tests/vectors/jitter` and on some published ones.
const MS_PER_LATE_PERCENT: u64 = 30;

/// Packets after which the weight of a packet has fallen to 1/e, once so many have come: 8 s of 20 ms packets.
const MEMORY_PACKETS: u32 = 400;

/// Weight of the first packets, fine enough to grow by 1 / `MEMORY_PACKETS`; and where all weights are scaled down. At
/// most `MEMORY_PACKETS` + 1 times the latter is in the histogram, which fits 32 bits.
const FIRST_WEIGHT: u32 = 1 << 16;
const SCALE_BITS: u32 = 6;
const GREATEST_WEIGHT: u32 = FIRST_WEIGHT << SCALE_BITS;

/// Packets in time between two looks for the best target; a late one is followed by a look at once.
const REVIEW_PACKETS: u32 = 16;

/// How far back the fastest packet is looked for: between one and two of these.
const WINDOW_US: i64 = 2_000_000;

/// Shares of packets by lateness. Old packets are not scaled down one by one: new ones weigh more and more.
#[derive(Debug, Clone)]
struct Histogram {
    bins: [u32; BINS],
    total: u32,
    weight: u32,
    packets: u32,
}

impl Histogram {
    const fn new() -> Self {
        Self { bins: [0; BINS], total: 0, weight: FIRST_WEIGHT, packets: 0 }
    }

    fn add(&mut self, bin: usize) {
        if let Some(share) = self.bins.get_mut(bin) {
            *share += self.weight;
            self.total += self.weight;
        }
        if self.packets < MEMORY_PACKETS {
            // While there is little to remember, each packet counts the same.
            self.packets += 1;
            return;
        }
        self.weight += self.weight / MEMORY_PACKETS;
        if self.weight >= GREATEST_WEIGHT {
            self.weight >>= SCALE_BITS;
            self.bins.iter_mut().for_each(|share| *share >>= SCALE_BITS);
            self.total = self.bins.iter().sum();
        }
    }

    /// The bin up to whose upper edge it is best to wait.
    fn cheapest(&self) -> usize {
        let mut late = u64::from(self.total);
        let mut wait = 0;
        let mut best = (u64::MAX, 0);
        for (bin, &share) in self.bins.iter().enumerate() {
            late -= u64::from(share);
            let cost = wait + late * 100 * MS_PER_LATE_PERCENT;
            if cost < best.0 {
                best = (cost, bin);
            }
            if late == 0 {
                break;
            }
            // The lowest bin costs nothing, the next one two bins' width.
            let bins = if bin == 0 { 2 } else { 1 };
            wait += u64::from(self.total) * bins * BIN_US.unsigned_abs() / 1_000;
        }
        best.1
    }
}

/// Arrival statistics of one stream. Times are microseconds since any fixed moment.
#[derive(Debug, Clone)]
pub(super) struct Estimator {
    lowest_us: i64,
    highest_us: i64,
    histogram: Histogram,
    /// Packets until the next look for a better target.
    until_review: u32,
    /// When the present window began, and the lowest transit in it and in the one before.
    window_began_us: i64,
    window: Option<i64>,
    window_before: Option<i64>,
    target_us: i64,
}

impl Estimator {
    /// The target stays between `lowest_ms` and `highest_ms`.
    pub(super) fn new(lowest_ms: u32, highest_ms: u32) -> Self {
        let (lowest_us, highest_us) = (i64::from(lowest_ms) * 1_000, i64::from(highest_ms.max(lowest_ms)) * 1_000);
        Self {
            lowest_us,
            highest_us,
            histogram: Histogram::new(),
            until_review: 0,
            window_began_us: 0,
            window: None,
            window_before: None,
            target_us: lowest_us,
        }
    }

    /// Counts one packet that arrived at `arrival_us` and whose timestamp stands for `media_us`.
    pub(super) fn observe(&mut self, arrival_us: i64, media_us: i64) {
        let transit = arrival_us - media_us;
        if self.window.is_some() && arrival_us - self.window_began_us >= WINDOW_US {
            self.window_before = self.window.take();
        }
        if self.window.is_none() {
            self.window_began_us = arrival_us;
        }
        self.window = Some(self.window.map_or(transit, |lowest| lowest.min(transit)));
        let lateness = transit - self.base_us().unwrap_or(transit);
        self.histogram.add(usize::try_from(lateness / BIN_US).unwrap_or(0).min(BINS - 1));
        if self.until_review == 0 || lateness > self.target_us {
            self.review();
        } else {
            self.until_review -= 1;
        }
    }

    /// Transit of the fastest recent packet; None before the first one.
    pub(super) fn base_us(&self) -> Option<i64> {
        match (self.window, self.window_before) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// The lateness that is to be waited for.
    pub(super) const fn target_us(&self) -> i64 {
        self.target_us
    }

    /// Forgets the stream.
    pub(super) fn reset(&mut self) {
        self.histogram = Histogram::new();
        self.until_review = 0;
        self.window = None;
        self.window_before = None;
        self.target_us = self.lowest_us;
    }

    /// Takes the best target. While little is known, each packet may change it.
    fn review(&mut self) {
        self.until_review = REVIEW_PACKETS.min(self.histogram.packets / 4);
        let wanted_us = match self.histogram.cheapest() {
            0 => 0,
            // There is no telling how late these were.
            bin if bin == BINS - 1 => self.highest_us,
            bin => i64::try_from(bin + 1).unwrap_or(0) * BIN_US,
        };
        self.target_us = wanted_us.clamp(self.lowest_us, self.highest_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds packets of 20 ms, each late by what `lateness_us` says.
    fn feed(estimator: &mut Estimator, packets: std::ops::Range<i64>, lateness_us: impl Fn(i64) -> i64) {
        for number in packets {
            estimator.observe(number * 20_000 + 7_000_000 + lateness_us(number), number * 20_000);
        }
    }

    #[test]
    fn aims_at_the_lowest_delay_when_packets_come_evenly() {
        let mut estimator = Estimator::new(10, 400);
        feed(&mut estimator, 0..500, |_| 0);
        assert_eq!(estimator.target_us(), 10_000);
        assert_eq!(estimator.base_us(), Some(7_000_000));
    }

    #[test]
    fn rises_to_the_jitter_within_some_packets_and_falls_when_it_is_over() {
        let mut estimator = Estimator::new(10, 400);
        let jitter = |number: i64| number * 7_919 % 60 * 1_000;
        feed(&mut estimator, 0..20, jitter);
        assert!((45_000..=65_000).contains(&estimator.target_us()), "{}", estimator.target_us());
        feed(&mut estimator, 20..5_000, jitter);
        assert!((55_000..=65_000).contains(&estimator.target_us()), "{}", estimator.target_us());
        feed(&mut estimator, 5_000..7_000, |_| 0);
        assert_eq!(estimator.target_us(), 10_000);
    }

    #[test]
    fn waits_for_rare_peaks_if_they_are_low_and_not_if_they_are_high() {
        for (height_us, expected_us) in [(30_000, 35_000), (150_000, 10_000)] {
            let mut estimator = Estimator::new(10, 400);
            feed(&mut estimator, 0..2_000, |number| if number % 50 == 49 { height_us } else { 0 });
            assert_eq!(estimator.target_us(), expected_us, "2 % of packets are {height_us} us late");
        }
    }

    #[test]
    fn waits_for_packets_that_are_overtaken() {
        let mut estimator = Estimator::new(10, 400);
        for pair in (0..1_000).step_by(2) {
            let arrival_us = (pair + 1) * 20_000;
            estimator.observe(arrival_us, (pair + 1) * 20_000);
            estimator.observe(arrival_us + 1_000, pair * 20_000);
        }
        assert_eq!(estimator.target_us(), 25_000);
    }

    #[test]
    fn follows_clock_drift() {
        let mut estimator = Estimator::new(10, 400);
        feed(&mut estimator, 0..30_000, |number| number * 20_000 / 5_000);
        assert_eq!(estimator.target_us(), 10_000, "200 ppm for ten minutes is no jitter");
    }

    #[test]
    fn stays_below_its_upper_bound() {
        let mut estimator = Estimator::new(10, 200);
        feed(&mut estimator, 0..500, |number| number % 2 * 2_000_000);
        assert_eq!(estimator.target_us(), 200_000);
    }

    #[test]
    fn never_overflows_in_days_of_packets() {
        let mut histogram = Histogram::new();
        for packet in 0..1_000_000_usize {
            histogram.add(packet % 7);
            assert!(histogram.weight < GREATEST_WEIGHT);
        }
        let last: u32 = histogram.bins[..7].iter().sum();
        assert_eq!((last, histogram.cheapest()), (histogram.total, 6));
    }
}
