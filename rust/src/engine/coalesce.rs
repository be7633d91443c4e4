//! How long a worker sleeps on although packets arrive, so that one wake-up takes many.
//!
//! A wake-up costs several times what a packet does, most of all where a hypervisor has a part in each timer. When the
//! load is such that a pause of a millisecond finds several packets, the worker takes it after each turn; the more
//! arrive, the shorter the pause that finds enough of them, down to a half, so that the delay falls again as the load
//! rises. What a turn works counts as part of its pause, so a worker that is busy for so long takes none. An idle worker
//! wakes for each packet at once. Time is an argument.

use std::time::{Duration, Instant};

/// Datagrams and deadlines for a turn to find.
const ENOUGH: u64 = 24;

/// The shortest pause that finds more than enough, as a divisor of the longest: shorter ones would save no delay worth
/// their wake-ups.
const SHORTEST: u64 = 2;

/// Share of the past that each turn forgets: a divisor.
const FORGETTING: u64 = 16;

/// Fixed point of the counts below.
const UNIT: u64 = 1 << 10;

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
        // From turn to turn: none where less than half a one is to be expected; then growing, whole from one and a half on.
        let worth_ns = longest_ns * expected.saturating_sub(UNIT / 2).min(UNIT) / UNIT;
        let enough_ns = longest_ns.saturating_mul(ENOUGH * UNIT) / expected.max(1);
        let period = Duration::from_nanos(worth_ns.min(enough_ns.max(longest_ns / SHORTEST)));
        // What the last turn worked on is time in which packets were gathered, too.
        self.pause = period.saturating_sub(span.saturating_sub(self.pause));
        self.pause
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(1);

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
        assert!((800..=1_000).contains(&at(1_600)), "sixteen calls: {}", at(1_600));
        assert!((750..=1_000).contains(&at(5_000)), "{}", at(5_000));
        assert!((780..=820).contains(&at(30_000)), "{}", at(30_000));
        assert!((490..=510).contains(&at(50_000)), "{}", at(50_000));
        assert!((490..=510).contains(&at(200_000)), "{}", at(200_000));
        assert!((750..=1_000).contains(&at(5_000)), "and back");
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
    fn none_when_switched_off_whatever_comes() {
        let mut coalescer = Coalescer::new(Duration::ZERO);
        let now = start();
        for step in 0..100 {
            assert_eq!(coalescer.pause(now + Duration::from_micros(step), usize::MAX), Duration::ZERO);
        }
    }
}
