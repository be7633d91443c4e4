//! NTP timestamps without a clock of our own.   RFC 3550 section 4.

use std::time::{Duration, Instant};

/// Seconds between the NTP epoch (1900) and the Unix epoch (1970).
const UNIX_EPOCH_IN_NTP_S: u64 = 2_208_988_800;

/// A 64-bit NTP timestamp: seconds since 1900 above, fraction of a second below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The middle 32 bits, as `LSR` and `DLSR` use them: 16 bits of seconds, 16 of fraction.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the middle of 64 bits is asked for")]
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// Maps the monotonic clock to wall-clock time by one anchor taken at start.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    anchor: Instant,
    unix_at_anchor: Duration,
}

impl WallClock {
    /// `unix_at_anchor`: time since the Unix epoch at the instant `anchor`.
    #[must_use]
    pub const fn new(anchor: Instant, unix_at_anchor: Duration) -> Self {
        Self { anchor, unix_at_anchor }
    }

    /// NTP time at `now`; instants before the anchor read as the anchor.
    #[must_use]
    pub fn ntp(&self, now: Instant) -> NtpTime {
        let unix = self.unix_at_anchor.saturating_add(now.saturating_duration_since(self.anchor));
        let seconds = unix.as_secs().wrapping_add(UNIX_EPOCH_IN_NTP_S);
        let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
        NtpTime((seconds << 32) | fraction)
    }
}
