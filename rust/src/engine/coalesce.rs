//! How long a worker sleeps on although packets arrive, so that one wake-up takes many.
//!
//! A wake-up costs several times what a packet does, most of all where a hypervisor has a part in each timer. When the
//! load is such that the longest pause (a millisecond or so) finds several packets, the worker takes it after each turn.
//! Where it finds enough of them, wake-ups are no longer what costs, and what adds delay is the turn's own work: from
//! there on the pause falls with the square of the load, down to a third. What a turn works counts as part of its pause,
//! so a worker that is busy for so long takes none; nor does one whose rest of a pause is not worth falling asleep. An idle worker wakes for each packet at once. Time is an argument.

use std::time::{Duration, Instant};

/// Datagrams that are enough for one turn.
const ENOUGH: u64 = 38;

/// The shortest pause of a busy worker, as a divisor of the longest.
const SHORTEST: u64 = 3;

/// Share of the past that each turn forgets: a divisor.
const FORGETTING: u64 = 16;

/// Fixed point of the counts below.
const UNIT: u64 = 1 << 10;

/// A pause that would be shorter is not made: to fall asleep and to wake up costs more.
const SHORTEST_SLEEP: Duration = Duration::from_micros(150);

/// Longest span of one turn that counts, so that an hour of silence is forgotten as fast as a second.
const LONGEST_SPAN: Duration = Duration::from_secs(1);

/// The choice of pauses, by what the last turns found.
#[derive(Debug)]
pub(super) struct Coalescer {
    longest: Duration,
    turned_at: Option<Instant>,
    /// Faded sums of what was found, in `UNIT`s, and of the time in which it came, in nanoseconds.
    found: u64,
    span_ns: u64,
    pause: Duration,
}

impl Coalescer {
    /// longest: what a pause may be at most; zero is none ever.
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, turned_at: None, found: 0, span_ns: 0, pause: Duration::ZERO }
    }

    /// The pause after a turn that began at `now` and found so much to do.
    pub(super) fn pause(&mut self, now: Instant, found: usize) -> Duration {
        let span = self.turned_at.map_or(LONGEST_SPAN, |before| now.saturating_duration_since(before));
        self.turned_at = Some(now);
        let fade = |sum: u64| sum - sum / FORGETTING;
        self.found = fade(self.found) + u64::try_from(found).unwrap_or(u64::MAX).min(UNIT) * UNIT;
        self.span_ns = fade(self.span_ns) + nanoseconds(span.min(LONGEST_SPAN)).max(1);

        let longest_ns = nanoseconds(self.longest.min(LONGEST_SPAN));
        // What the longest pause would find, in `UNIT`s. The sums are below 2^35 each and the pause below 2^30, so the
        // product fits.
        let expected = self.found.saturating_mul(longest_ns) / self.span_ns;
        // From turn to turn: none where a pause would mostly find nothing; then growing, whole from 1.75 datagrams on.
        let worth_ns = longest_ns * expected.saturating_sub(UNIT * 3 / 4).min(UNIT) / UNIT;
        let shrink = |pause_ns: u64| pause_ns.saturating_mul(ENOUGH * UNIT) / expected.max(1);
        let enough_ns = if expected > ENOUGH * UNIT { shrink(shrink(longest_ns)) } else { longest_ns };
        let period = Duration::from_nanos(worth_ns.min(enough_ns.max(longest_ns / SHORTEST)));
        // What the last turn worked on is time in which packets were gathered, too.
        let rest = period.saturating_sub(span.saturating_sub(self.pause));
        self.pause = if rest < SHORTEST_SLEEP { Duration::ZERO } else { rest };
        self.pause
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_micros(1_200);

    /// The pause that a steady load leads to, when each turn itself takes no time.
    fn settled(coalescer: &mut Coalescer, start: &mut Instant, packets_per_s: u64) -> Duration {
        let (mut pause, mut owed) = (Duration::ZERO, 0);
        for _ in 0..400 {
            // After its pause the worker sleeps until something is there.
            let mut slept_ns = nanoseconds(pause);
            let apart_ns = 1_000_000_000 / packets_per_s;
            if owed + slept_ns < apart_ns {
                slept_ns = apart_ns - owed;
            }
            *start += Duration::from_nanos(slept_ns);
            let found = (owed + slept_ns) / apart_ns;
            owed = (owed + slept_ns) % apart_ns;
            pause = coalescer.pause(*start, usize::try_from(found).unwrap());
        }
        pause
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test needs some first instant")]
        Instant::now()
    }

    #[test]
    fn pauses_begin_with_the_load_reach_the_longest_and_fall_when_less_finds_enough() {
        let mut coalescer = Coalescer::new(LONGEST);
        let mut now = start();
        let mut at = |rate| settled(&mut coalescer, &mut now, rate).as_micros();
        assert_eq!(at(50), 0, "one call");
        assert_eq!(at(500), 0, "ten calls of one direction");
        assert!((1_000..=1_200).contains(&at(1_600)), "sixteen calls: {}", at(1_600));
        assert!((1_000..=1_200).contains(&at(5_000)), "{}", at(5_000));
        assert!((1_150..=1_200).contains(&at(30_000)), "three hundred calls: {}", at(30_000));
        assert!((460..=500).contains(&at(50_000)), "five hundred calls: {}", at(50_000));
        assert!((390..=410).contains(&at(100_000)), "{}", at(100_000));
        assert!((390..=410).contains(&at(200_000)), "{}", at(200_000));
        assert!((1_000..=1_200).contains(&at(5_000)), "and back");
        assert_eq!(at(50), 0, "and back");
    }

    #[test]
    fn a_lone_packet_after_silence_is_followed_by_no_pause() {
        let mut coalescer = Coalescer::new(LONGEST);
        let mut now = start();
        for wait in [0, 20_000, 3_600_000, 1_000] {
            now += Duration::from_millis(wait);
            assert_eq!(coalescer.pause(now, 1), Duration::ZERO);
        }
    }

    #[test]
    fn a_turn_that_takes_longer_than_the_pause_is_followed_by_none() {
        let mut coalescer = Coalescer::new(LONGEST);
        let mut now = start();
        let mut pause = Duration::ZERO;
        for _ in 0..100 {
            now += pause + Duration::from_millis(2);
            pause = coalescer.pause(now, 400);
        }
        assert_eq!(pause, Duration::ZERO, "enough waits already");
    }

    #[test]
    fn what_is_left_of_a_pause_is_slept_only_if_it_is_longer_than_falling_asleep() {
        let after_turns_of = |work_us| {
            let mut coalescer = Coalescer::new(LONGEST);
            let (mut now, mut pause) = (start(), Duration::ZERO);
            for _ in 0..400 {
                now += pause + Duration::from_micros(work_us);
                pause = coalescer.pause(now, 40);
            }
            pause
        };
        assert!(after_turns_of(100) > Duration::from_micros(250), "{:?}", after_turns_of(100));
        assert_eq!(after_turns_of(350), Duration::ZERO, "40 datagrams in 0.35 ms: 50 us would be left");
    }

    #[test]
    fn none_when_switched_off_whatever_comes() {
        let mut coalescer = Coalescer::new(Duration::ZERO);
        let now = start();
        for step in 0..100 {
            assert_eq!(coalescer.pause(now + Duration::from_micros(step), usize::MAX), Duration::ZERO);
        }
    }
}
