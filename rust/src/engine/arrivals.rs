//! When datagrams came, by our own clock.
//!
//! A worker that is late reads late what came in time. To a jitter buffer that would look like a slow network, and it
//! would make its listener wait longer, for good; so the sockets of what is decoded are stamped (`SO_TIMESTAMPNS`). The
//! kernel stamps by the system's clock, which may be set at any time: what counts is how long ago that was, and nothing
//! that a turn finds has come before the turn before. Reads neither clock.

use std::time::{Duration, Instant, SystemTime};

/// Both clocks at the beginning of a turn.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    now: Option<Instant>,
    system: Option<SystemTime>,
    /// Time since the turn before.
    longest: Duration,
}

impl Arrivals {
    /// A turn begins. system: None if nothing is stamped.
    pub(super) fn begin(&mut self, now: Instant, system: Option<SystemTime>) {
        self.longest = self.now.map_or(Duration::ZERO, |before| now.saturating_duration_since(before));
        self.now = Some(now);
        self.system = system;
    }

    /// When a datagram came that this turn found: now, if nobody knows.
    pub(super) fn at(&self, now: Instant, stamp: Option<SystemTime>) -> Instant {
        let waited = self.system.zip(stamp).and_then(|(system, stamp)| system.duration_since(stamp).ok());
        waited.and_then(|waited| now.checked_sub(waited.min(self.longest))).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_came_when_it_was_stamped_and_never_before_the_turn_before() {
        #[expect(clippy::disallowed_methods, reason = "a test needs some first instant")]
        let start = Instant::now();
        let at = Duration::from_millis;
        let calendar = |ms| SystemTime::UNIX_EPOCH + at(ms);
        let mut arrivals = Arrivals::default();
        arrivals.begin(start, Some(calendar(7_000)));
        assert_eq!(arrivals.at(start, Some(calendar(6_990))), start, "the first turn knows of none before");
        let now = start + at(50);
        arrivals.begin(now, Some(calendar(7_050)));
        assert_eq!(arrivals.at(now, Some(calendar(7_020))), start + at(20));
        assert_eq!(arrivals.at(now, Some(calendar(7_051))), now, "it came while the turn ran");
        assert_eq!(arrivals.at(now, None), now, "its socket is not stamped");
        assert_eq!(arrivals.at(now, Some(calendar(3_000))), start, "the calendar was put forward");
        assert_eq!(arrivals.at(now, Some(calendar(9_000))), now, "the calendar was put back");
        arrivals.begin(now, None);
        assert_eq!(arrivals.at(now, Some(calendar(7_049))), now, "stamps begin amid a turn");
    }
}
