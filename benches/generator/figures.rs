//! What one run came to.

use std::time::{Duration, Instant};

/// Counts and delays of the packets that were sent in the window.
pub(crate) struct Figures {
    /// Zero of the stamps.
    pub(crate) start: Instant,
    /// Whether the window is open.
    pub(crate) is_counting: bool,
    pub(crate) sent: u64,
    /// Packets sent in the window that arrived whole, at any time; where sound is timed, packets that arrived in it.
    pub(crate) received: u64,
    /// Packets of any kind that arrived in the window: what the relay's work is divided by.
    pub(crate) arrived: u64,
    /// Numbers missing in the streams that arrived.
    pub(crate) lost: u64,
    /// Packets that were not what they should be.
    pub(crate) wrong: u64,
    delays: Vec<Duration>,
    slip: Duration,
}

impl Figures {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            is_counting: false,
            sent: 0,
            received: 0,
            arrived: 0,
            lost: 0,
            wrong: 0,
            delays: Vec::with_capacity(1 << 20),
            slip: Duration::ZERO,
        }
    }

    /// A packet took so long.
    pub(crate) fn note_delay(&mut self, delay: Duration) {
        self.delays.push(delay);
    }

    /// A mark was made (if it was) and heard.
    pub(crate) fn note_mark(&mut self, made: Option<Instant>, heard: Instant) {
        if let (true, Some(made)) = (self.is_counting, made) {
            self.note_delay(heard.saturating_duration_since(made));
        }
    }

    /// A packet was sent so long after it was due: the generator was held up.
    pub(crate) fn note_slip(&mut self, slip: Duration) {
        if self.is_counting {
            self.slip = self.slip.max(slip);
        }
    }

    /// Prints one line of `name=value`. Delays in microseconds.
    pub(crate) fn print(mut self) {
        self.delays.sort_unstable();
        println!(
            "figures sent={} received={} arrived={} lost={} wrong={} delays={} p50={:.1} p99={:.1} max={:.1} slip={:.1}",
            self.sent,
            self.received,
            self.arrived,
            self.lost,
            self.wrong,
            self.delays.len(),
            self.delay_us(50),
            self.delay_us(99),
            self.delay_us(100),
            self.slip.as_secs_f64() * 1e6,
        );
    }

    /// The delay that so many per cent of the packets did not exceed; NaN if there are none.
    fn delay_us(&self, per_cent: usize) -> f64 {
        let rank = (self.delays.len() * per_cent).div_ceil(100).saturating_sub(1);
        self.delays.get(rank).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1e6)
    }
}
