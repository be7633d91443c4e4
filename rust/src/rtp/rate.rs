//! How many packets a far side may send.
//!
//! Owns one number: the moment up to which the far side has used up its share (the generic cell rate algorithm, ITU-T
//! I.371 annex A). A far side that sends far above what its stream needs gets its excess dropped, so that it can neither
//! multiply its load onto the other leg nor fill a buffer behind it.

use std::time::{Duration, Instant};

/// The share of one audio stream: the shortest packets of any codec (Opus, RFC 6716 section 2.1.4), when 20 ms are usual.
const INTERVAL: Duration = Duration::from_micros(2_500);

/// What may come at once after a network stood still: 128 packets, two seconds of the usual ones, with room.
const BURST: Duration = Duration::from_millis(320);

/// The allowance of one far side.
#[derive(Debug, Clone, Default)]
pub struct Allowance {
    used_up_to: Option<Instant>,
}

impl Allowance {
    /// Takes one packet's share, if it is there.
    ///
    /// Only what is refused is free: a stranger's packets must not be counted here, or it could use up the share of the
    /// far side.
    pub fn take(&mut self, now: Instant) -> bool {
        let used_up_to = self.used_up_to.map_or(now, |moment| moment.max(now));
        if used_up_to - now > BURST {
            return false;
        }
        self.used_up_to = Some(used_up_to + INTERVAL);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(allowance: &mut Allowance, start: Instant, packets: u32, every: Duration) -> usize {
        (0..packets).filter(|number| allowance.take(start + every * *number)).count()
    }

    #[test]
    fn every_packet_time_that_a_codec_has_is_free() {
        for every_us in [2_500, 5_000, 10_000, 20_000, 60_000] {
            assert_eq!(taken(&mut Allowance::default(), origin(), 10_000, Duration::from_micros(every_us)), 10_000);
        }
    }

    #[test]
    fn two_seconds_of_packets_may_come_at_once_and_again_when_time_has_passed() {
        let mut allowance = Allowance::default();
        assert_eq!(taken(&mut allowance, origin(), 100, Duration::ZERO), 100);
        let later = origin() + Duration::from_secs(2);
        assert_eq!(taken(&mut allowance, later, 100, Duration::ZERO), 100);
    }

    #[test]
    fn ten_times_the_usual_rate_is_cut_to_the_share() {
        let passed = taken(&mut Allowance::default(), origin(), 5_000, Duration::from_millis(2));
        assert!((4_000..4_200).contains(&passed), "{passed} of 5,000 in ten seconds");
    }

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn origin() -> Instant {
        Instant::now()
    }
}
