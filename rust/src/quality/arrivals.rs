//! Which packets of a stream came, were missing or were thrown away.
//!
//! A packet is given up as missing once [`WINDOW`] others have come after it: until then it is only late. Numbers are
//! extended ones of `rtp::Source`; a stream that begins anew says so.

use super::burst::{BurstFigures, Bursts};

/// Packets that may come before one that was sent earlier.
const WINDOW: u8 = 64;

/// The arrivals of one stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arrivals {
    highest: u32,
    /// Bit n: the packet n before the highest came and was not thrown away.
    window: u64,
    /// How many bits of it mean something; 0 before the first packet.
    filled: u8,
    expected: u64,
    came: u64,
    duplicates: u64,
    discarded: u64,
    /// Runs of missing packets, and the packets in them, that left the window.
    runs: u64,
    in_runs: u64,
    is_in_run: bool,
    bursts: Bursts,
}

/// What came of the arrivals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArrivalFigures {
    /// Packets that should have come.
    pub expected: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came too late, or found no room.
    pub discarded: u64,
    /// Packets that came again.
    pub duplicates: u64,
    /// Mean length of a run of missing packets against that of random loss (`BurstR` of G.107).
    pub burst_ratio: f64,
    /// Bursts and gaps.
    pub bursts: BurstFigures,
}

impl Default for ArrivalFigures {
    fn default() -> Self {
        Self { expected: 0, lost: 0, discarded: 0, duplicates: 0, burst_ratio: 1.0, bursts: BurstFigures::default() }
    }
}

impl ArrivalFigures {
    /// Packets that the listener misses, of those expected. flushed: thrown away later, nobody knows which.
    #[must_use]
    pub fn missing_percent(&self, flushed: u64) -> f64 {
        let missing = self.lost + self.discarded + flushed;
        if self.expected == 0 { 0.0 } else { (count(missing) * 100.0 / count(self.expected)).min(100.0) }
    }

    /// Lost packets, of those expected, in 1/256.   RFC 3611 section 4.7.1.
    #[must_use]
    pub fn loss_rate(&self) -> u8 {
        super::burst::ratio_256(self.lost, self.expected)
    }

    /// Discarded packets, of those expected, in 1/256.   RFC 3611 section 4.7.1.
    #[must_use]
    pub fn discard_rate(&self, flushed: u64) -> u8 {
        super::burst::ratio_256(self.discarded + flushed, self.expected)
    }
}

impl Arrivals {
    /// A packet came. `is_restart`: numbers from before are of another stream.
    pub fn came(&mut self, extended_seq: u32, is_restart: bool) {
        if is_restart || self.filled == 0 {
            self.begin(extended_seq);
            return;
        }
        let ahead = extended_seq.wrapping_sub(self.highest);
        if ahead == 1 {
            self.step(true);
            self.expected += 1;
            self.came += 1;
        } else if ahead.cast_signed() > 0 {
            self.skip(ahead - 1);
            self.step(true);
            self.expected += u64::from(ahead);
            self.came += 1;
        } else {
            self.came_late(ahead.wrapping_neg());
            return;
        }
        self.highest = extended_seq;
    }

    /// A packet that came was thrown away: its time was over, or there was no room for it.
    pub fn discarded(&mut self, extended_seq: u32) {
        self.discarded += 1;
        let behind = self.highest.wrapping_sub(extended_seq);
        if behind < u32::from(self.filled) {
            self.window &= !(1 << behind);
        }
    }

    /// The figures so far; a packet that is only late counts as lost.
    #[must_use]
    pub fn figures(&self) -> ArrivalFigures {
        let mut whole = *self;
        whole.flush();
        let missing = whole.expected.saturating_sub(whole.came) + whole.discarded;
        let burst_ratio = if whole.runs == 0 || whole.expected == 0 {
            1.0
        } else {
            let share = (count(missing) / count(whole.expected)).min(1.0);
            (count(whole.in_runs) / count(whole.runs) * (1.0 - share)).max(1.0)
        };
        ArrivalFigures {
            expected: whole.expected,
            lost: whole.expected.saturating_sub(whole.came),
            discarded: whole.discarded,
            duplicates: whole.duplicates,
            burst_ratio,
            bursts: whole.bursts.figures(),
        }
    }

    fn begin(&mut self, extended_seq: u32) {
        self.flush();
        self.highest = extended_seq;
        self.window = 1;
        self.filled = 1;
        self.expected += 1;
        self.came += 1;
    }

    /// A packet from before the highest: late, or here already.
    fn came_late(&mut self, behind: u32) {
        if behind >= u32::from(WINDOW) {
            self.came += 1;
            return;
        }
        if let Ok(behind) = u8::try_from(behind)
            && behind >= self.filled
        {
            // From before the stream's first packet: it was expected after all, and so were those between.
            self.expected += u64::from(behind + 1 - self.filled);
            self.filled = behind + 1;
        }
        let bit = 1 << behind;
        if self.window & bit == 0 {
            self.window |= bit;
            self.came += 1;
        } else {
            self.duplicates += 1;
        }
    }

    /// The next packet in turn, with what became of it.
    fn step(&mut self, has_come: bool) {
        if self.filled == WINDOW {
            self.leave(self.window >> (WINDOW - 1) != 0);
        } else {
            self.filled += 1;
        }
        self.window = self.window << 1 | u64::from(has_come);
    }

    /// So many packets did not come. No more work for a thousand than for a window of them.
    fn skip(&mut self, packets: u32) {
        let stepped = packets.min(u32::from(WINDOW));
        for _ in 0..stepped {
            self.step(false);
        }
        let rest = u64::from(packets - stepped);
        if rest > 0 {
            // The whole window is missing by now, and so is what passes through it.
            self.missing(rest);
        }
    }

    fn leave(&mut self, has_come: bool) {
        if has_come {
            self.is_in_run = false;
            self.bursts.came();
        } else {
            self.missing(1);
        }
    }

    fn missing(&mut self, packets: u64) {
        self.runs += u64::from(!self.is_in_run);
        self.in_runs += packets;
        self.is_in_run = true;
        self.bursts.missing(packets);
    }

    /// Everything in the window leaves it, oldest first.
    fn flush(&mut self) {
        for place in (0..self.filled).rev() {
            self.leave(self.window >> place & 1 != 0);
        }
        self.filled = 0;
        self.is_in_run = false;
    }
}

#[expect(clippy::cast_precision_loss, reason = "a call has fewer packets than a mantissa has numbers")]
fn count(packets: u64) -> f64 {
    packets as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(numbers: impl IntoIterator<Item = u32>) -> Arrivals {
        let mut arrivals = Arrivals::default();
        numbers.into_iter().for_each(|number| arrivals.came(number, false));
        arrivals
    }

    #[test]
    fn a_late_packet_is_not_lost_and_a_repeat_is_counted_apart() {
        let figures = after([100, 101, 104, 103, 104, 105, 105]).figures();
        assert_eq!((figures.expected, figures.lost, figures.duplicates), (6, 1, 2));
    }

    #[test]
    fn a_packet_before_the_first_was_expected_after_all() {
        let figures = after([100, 99, 101]).figures();
        assert_eq!((figures.expected, figures.lost), (3, 0));
    }

    #[test]
    fn a_restart_neither_loses_nor_forgets() {
        let mut arrivals = after([1, 2, 4]);
        arrivals.came(60_000, true);
        arrivals.came(60_001, false);
        let figures = arrivals.figures();
        assert_eq!((figures.expected, figures.lost), (6, 1));
    }

    #[test]
    fn what_was_thrown_away_is_missing_to_the_listener_and_not_lost() {
        let mut arrivals = after(0..200);
        (150..160).for_each(|number| arrivals.discarded(number));
        let figures = arrivals.figures();
        assert_eq!((figures.lost, figures.discarded), (0, 10));
        assert_eq!(figures.bursts.burst_packets, 10);
        assert!((figures.missing_percent(0) - 5.0).abs() < 1e-9);
        assert_eq!((figures.loss_rate(), figures.discard_rate(10)), (0, 25));
    }

    #[test]
    fn runs_are_longer_than_those_of_random_loss() {
        let in_runs = after((0..1_000).filter(|number| number % 100 >= 5)).figures();
        let alone = after((0..1_000).filter(|number| number % 20 != 7)).figures();
        assert!((4.5..=5.0).contains(&in_runs.burst_ratio), "{in_runs:?}");
        assert!((alone.burst_ratio - 1.0).abs() < 0.01, "{alone:?}");
    }

    #[test]
    fn a_hole_longer_than_the_window_is_one_run() {
        let figures = after((0..500).chain(2_500..3_000)).figures();
        assert_eq!((figures.expected, figures.lost, figures.bursts.burst_packets), (3_000, 2_000, 2_000));
    }

    proptest! {
        #[test]
        fn any_order_within_the_window_counts_every_packet_once(
            lost in prop::collection::btree_set(1_u32..400, 0..60), shifts in prop::collection::vec(0_u32..40, 400),
        ) {
            let mut order: Vec<u32> = (0..400).filter(|number| !lost.contains(number)).collect();
            order.sort_by_key(|number| number + shifts[*number as usize]);
            let highest = order.iter().copied().max().unwrap();
            let figures = after(order.iter().map(|number| number + 1_000)).figures();
            prop_assert_eq!(figures.duplicates, 0);
            prop_assert_eq!(figures.expected, u64::from(highest) + 1);
            prop_assert_eq!(figures.lost, lost.iter().filter(|number| **number < highest).count() as u64);
        }

        #[test]
        fn no_numbers_make_it_lose_more_than_it_expects(
            steps in prop::collection::vec((any::<u32>(), any::<bool>(), any::<bool>()), 0..200),
        ) {
            let mut arrivals = Arrivals::default();
            for (number, is_restart, is_discarded) in steps {
                arrivals.came(number, is_restart);
                if is_discarded {
                    arrivals.discarded(number);
                }
                let figures = arrivals.figures();
                prop_assert!(figures.lost <= figures.expected);
                prop_assert!((0.0..=100.0).contains(&figures.missing_percent(0)));
            }
        }
    }
}
