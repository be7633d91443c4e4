//! The four bytes of a telephone-event payload. RFC 4733 section 2.3.

/// Bytes of one event payload.
pub const EVENT_BYTES: usize = 4;

/// Level that we name in events of our own, in dB below 0 dBm0 (RFC 4733 section 2.3.3: 0 to 63).
pub const DEFAULT_VOLUME: u8 = 10;

/// One event report.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |     event     |E|R| volume    |          duration             |
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Event code; 0 to 15 are DTMF digits.
    pub code: u8,
    /// E: the event has ended, and `duration_ts` is final.
    pub is_end: bool,
    /// Power as dB below 0 dBm0, 0 to 63.
    pub volume: u8,
    /// How long the event has lasted since its timestamp, in timestamp units.
    pub duration_ts: u16,
}

impl Event {
    /// Reads the first event of a payload; whatever follows (RFC 4733 section 2.5.1.5 permits several) is ignored.
    /// None if there are fewer than four bytes. The reserved bit is ignored.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let &[code, flags, high, low, ..] = payload else { return None };
        Some(Self {
            code,
            is_end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration_ts: u16::from_be_bytes([high, low]),
        })
    }

    /// The payload.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; EVENT_BYTES] {
        let [high, low] = self.duration_ts.to_be_bytes();
        [self.code, (self.is_end as u8) << 7 | (self.volume & 0x3f), high, low]
    }
}
