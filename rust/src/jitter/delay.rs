//! How long packets should wait: the target delay of one stream.
//!
//! Owns the statistics of arrival times. A packet's transit is its arrival minus its media time, so it has an unknown
//! constant in it; what counts is how much later than the fastest recent packet it came, its lateness. A histogram of
//! lateness that forgets gives the delay at which nearly all packets are in time. The fastest packet is looked for in the
//! last seconds only, so that clock drift and route changes are followed.

/// Width of a histogram bin.
const BIN_US: i64 = 5_000;

/// Bins: lateness up to 500 ms; the last one takes all above.
const BINS: usize = 100;

/// Weight left to the past by each packet once the histogram is warm: an average over about 100 packets, 2 s of speech.
/// More would hold the delay of a network that stood still once for long.
const MEMORY: f64 = 0.99;

/// Share of packets that shall be in time.
const IN_TIME: f64 = 0.97;

/// How far back the fastest packet is looked for: between one and two of these.
const WINDOW_US: i64 = 2_000_000;

/// Arrival statistics of one stream. Times are microseconds since any fixed moment.
#[derive(Debug, Clone)]
pub(super) struct Estimator {
    lowest_us: i64,
    highest_us: i64,
    bins: [f64; BINS],
    /// Packets in the histogram, up to the point where `MEMORY` rules.
    packets: f64,
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
            bins: [0.0; BINS],
            packets: 0.0,
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
        let bin = usize::try_from(lateness / BIN_US).unwrap_or(0).min(BINS - 1);
        self.packets += 1.0;
        // While there is little to remember, each packet counts the same.
        let memory = MEMORY.min(1.0 - self.packets.recip());
        for (number, share) in self.bins.iter_mut().enumerate() {
            *share = *share * memory + if number == bin { 1.0 - memory } else { 0.0 };
        }
        self.target_us = self.quantile_us().clamp(self.lowest_us, self.highest_us);
    }

    /// Transit of the fastest recent packet; None before the first one.
    pub(super) fn base_us(&self) -> Option<i64> {
        [self.window, self.window_before].into_iter().flatten().min()
    }

    /// The lateness that is to be waited for.
    pub(super) const fn target_us(&self) -> i64 {
        self.target_us
    }

    /// Forgets the stream.
    pub(super) fn reset(&mut self) {
        self.bins = [0.0; BINS];
        self.packets = 0.0;
        self.window = None;
        self.window_before = None;
        self.target_us = self.lowest_us;
    }

    /// Upper edge of the bin that reaches `IN_TIME`. The lowest bin counts as no lateness at all.
    fn quantile_us(&self) -> i64 {
        let mut share = 0.0;
        for (edge, bin) in (0..).step_by(BIN_US.unsigned_abs().try_into().unwrap_or(usize::MAX)).zip(&self.bins) {
            share += bin;
            if share >= IN_TIME {
                return if edge == 0 { 0 } else { edge + BIN_US };
            }
        }
        self.highest_us
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
    fn rises_to_the_jitter_and_falls_when_it_is_over() {
        let mut estimator = Estimator::new(10, 400);
        let jitter = |number: i64| number * 7_919 % 60 * 1_000;
        feed(&mut estimator, 0..500, jitter);
        assert!((55_000..=65_000).contains(&estimator.target_us()), "{}", estimator.target_us());
        feed(&mut estimator, 500..2_000, |_| 0);
        assert_eq!(estimator.target_us(), 10_000);
    }

    #[test]
    fn takes_no_notice_of_one_packet_in_a_hundred() {
        let mut estimator = Estimator::new(10, 400);
        feed(&mut estimator, 0..1_000, |number| if number % 100 == 99 { 150_000 } else { 0 });
        assert_eq!(estimator.target_us(), 10_000);
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
}
