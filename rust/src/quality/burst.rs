//! Bursts and gaps of loss.   RFC 3611 section 4.7.2 and appendix A.2.
//!
//! Counts of transitions of the RFC's model, under its names: in a gap losses stand alone among at least [`GMIN`]
//! packets that came, in a burst they stand closer.

/// Packets that must have come between two losses for the second to be one of a gap.
pub const GMIN: u8 = 16;

/// The RFC's transition counts; its `pkt` and `lost` are the present run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bursts {
    pkt: u64,
    lost: u64,
    c11: u64,
    c13: u64,
    c14: u64,
    c22: u64,
    c23: u64,
    c33: u64,
}

/// Burst metrics of a report.   RFC 3611 section 4.7.2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BurstFigures {
    /// Share of packets missing within bursts, in 1/256.
    pub burst_density: u8,
    /// Share of packets missing within gaps, in 1/256.
    pub gap_density: u8,
    /// Mean length of a burst in packets.
    pub burst_packets: u64,
    /// Mean length of a gap in packets.
    pub gap_packets: u64,
}

impl Bursts {
    /// One packet came, in its turn.
    pub const fn came(&mut self) {
        self.pkt += 1;
    }

    /// So many packets in a row are missing: lost or discarded.
    pub fn missing(&mut self, packets: u64) {
        let Some(more) = packets.checked_sub(1) else { return };
        if self.pkt >= u64::from(GMIN) {
            if self.lost == 1 {
                self.c14 += 1;
            } else {
                self.c13 += 1;
            }
            self.lost = 1;
            self.c11 += self.pkt;
        } else {
            self.lost += 1;
            if self.pkt == 0 {
                self.c33 += 1;
            } else {
                self.c23 += 1;
                self.c22 += self.pkt - 1;
            }
        }
        self.pkt = 0;
        self.lost += more;
        self.c33 += more;
    }

    /// The metrics so far. The packets since the last loss count to the gap that they will be if they last.
    #[must_use]
    pub fn figures(&self) -> BurstFigures {
        let Self { c13, c14, c22, c23, c33, .. } = *self;
        let c11 = if self.pkt >= u64::from(GMIN) { self.c11 + self.pkt } else { self.c11 };
        let (c31, c32) = (c13, c23);
        let total = c11 + c14 + c13 + c22 + c23 + c31 + c32 + c33;
        let gap_density = ratio_256(c14, c11 + c14);
        if c13 + c23 + c33 == 0 {
            return BurstFigures { burst_density: 0, gap_density, burst_packets: 0, gap_packets: total };
        }
        // p23 / (p23 + p32), with p23 = c23 / (c22 + c23), or 1 if both are 0, and p32 = c32 / (c31 + c32 + c33).
        let (p23_above, p23_below) = if c22 + c23 == 0 { (1, 1) } else { (c23, c22 + c23) };
        let (p32_above, p32_below) = (c32, c31 + c32 + c33);
        let burst_density = ratio_256(p23_above * p32_below, p23_above * p32_below + p32_above * p23_below);
        let bursts = c13.max(1);
        let gap_packets = (c11 + c14 + c13) / bursts;
        BurstFigures {
            burst_density,
            gap_density,
            burst_packets: (total / bursts).saturating_sub(gap_packets),
            gap_packets,
        }
    }
}

/// A share in 1/256; all of it is 255.
pub(super) fn ratio_256(part: u64, whole: u64) -> u8 {
    let share = (u128::from(part) << 8).checked_div(u128::from(whole)).unwrap_or(0);
    u8::try_from(share).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(runs: &[(u64, u64)]) -> BurstFigures {
        let mut bursts = Bursts::default();
        for &(came, missing) in runs {
            (0..came).for_each(|_| bursts.came());
            bursts.missing(missing);
        }
        bursts.figures()
    }

    #[test]
    fn a_whole_stream_is_one_gap() {
        assert_eq!(after(&[(1_000, 0)]), BurstFigures { gap_packets: 1_000, ..BurstFigures::default() });
    }

    #[test]
    fn lone_losses_belong_to_the_gap() {
        let figures = after(&[(100, 1), (99, 1), (99, 1), (99, 1), (50, 0)]);
        // The model takes the first loss of all for a burst's end; the three others stand alone.
        assert_eq!(figures.gap_density, 1, "three of 450 in 1/256");
        assert!(figures.burst_packets <= 1, "{figures:?}");
    }

    /// Ten bursts of nine packets each, of which every second is missing, with gaps of 100 packets between.
    #[test]
    fn a_burst_has_its_density_and_its_length() {
        let burst = [(100, 1), (1, 1), (1, 1), (1, 1), (1, 1)];
        let figures = after(&burst.repeat(10));
        assert!((125..=160).contains(&figures.burst_density), "about a half: {figures:?}");
        assert!((8..=10).contains(&figures.burst_packets), "{figures:?}");
        assert!((99..=102).contains(&figures.gap_packets), "{figures:?}");
        assert_eq!(figures.gap_density, 0);
    }

    #[test]
    fn a_hole_is_all_missing() {
        let figures = after(&[(500, 100), (500, 0)]);
        assert_eq!((figures.burst_density, figures.burst_packets), (255, 100));
    }

    #[test]
    fn a_run_counts_as_its_packets_one_by_one() {
        let (mut run, mut single) = (Bursts::default(), Bursts::default());
        for bursts in [&mut run, &mut single] {
            (0..40).for_each(|_| bursts.came());
        }
        run.missing(30);
        (0..30).for_each(|_| single.missing(1));
        assert_eq!(run, single);
    }
}
