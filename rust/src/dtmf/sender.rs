//! From digits to event packets.
//!
//! Owns the queue of digits of one stream and the packets of the one being sent: an update every packet time, three end
//! packets, segments for long events. The caller asks once per packet time, in place of the audio packet of that time.
//! RFC 4733 section 2.5.1.

use super::event::DEFAULT_VOLUME;
use super::{Digit, DtmfError, Event};

/// Times that the final packet is sent (RFC 4733 section 2.5.1.4).
const END_PACKETS: u8 = 3;

/// Digits that may wait.
pub const QUEUE_DIGITS: usize = 64;

/// One packet to send, with the telephone-event payload type of the clock rate that the sender was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    /// RTP timestamp: that of the beginning of the event, the same in all of its packets.
    pub timestamp: u32,
    /// Marker bit: set in the first packet of an event.
    pub marker: bool,
    /// What it reports.
    pub event: Event,
}

/// One digit of the queue, lengths in timestamp units.
#[derive(Debug, Clone, Copy)]
struct Order {
    digit: Digit,
    /// None: until [`Sender::release`].
    duration_ts: Option<u32>,
    gap_ts: u32,
}

/// Where the digit at the head of the queue stands.
#[derive(Debug, Clone, Copy)]
enum State {
    Idle,
    /// Updates go out; the segment that started at `timestamp` was preceded by `earlier_ts` units.
    Sounding {
        order: Order,
        timestamp: u32,
        earlier_ts: u32,
    },
    /// Final packets go out, then silence until `resume`.
    Ending {
        event: Event,
        timestamp: u32,
        left: u8,
        resume: u32,
    },
}

/// One stream's event sender.
#[derive(Debug)]
pub struct Sender {
    clock_rate_hz: u32,
    packet_ts: u32,
    queue: [Option<Order>; QUEUE_DIGITS],
    state: State,
}

impl Sender {
    /// `clock_rate_hz`: that of the telephone-event payload type. `ptime_ms`: how often [`poll`](Self::poll) is called.
    #[must_use]
    pub fn new(clock_rate_hz: u32, ptime_ms: u32) -> Self {
        Self {
            clock_rate_hz,
            packet_ts: units(clock_rate_hz, ptime_ms).clamp(1, u32::from(u16::MAX)),
            queue: [None; QUEUE_DIGITS],
            state: State::Idle,
        }
    }

    /// Queues one digit of `duration_ms`, with at least `gap_ms` before the next one.
    ///
    /// Fails with [`DtmfError::QueueFull`].
    pub fn push(&mut self, digit: Digit, duration_ms: u32, gap_ms: u32) -> Result<(), DtmfError> {
        let duration_ts = Some(units(self.clock_rate_hz, duration_ms));
        self.enqueue(Order { digit, duration_ts, gap_ts: units(self.clock_rate_hz, gap_ms) })
    }

    /// Queues one digit that lasts until [`release`](Self::release): a key held down on the other leg.
    ///
    /// Fails with [`DtmfError::QueueFull`].
    pub fn press(&mut self, digit: Digit) -> Result<(), DtmfError> {
        self.enqueue(Order { digit, duration_ts: None, gap_ts: 0 })
    }

    /// The key of the oldest unreleased [`press`](Self::press) came up after `duration_ms`. The digit lasts so long, or
    /// as long as it has sounded by now, if that is more.
    pub fn release(&mut self, duration_ms: u32) {
        let duration_ts = units(self.clock_rate_hz, duration_ms);
        let sounding = match &mut self.state {
            State::Sounding { order, .. } => Some(order),
            State::Idle | State::Ending { .. } => None,
        };
        let mut orders = sounding.into_iter().chain(self.queue.iter_mut().flatten());
        if let Some(order) = orders.find(|order| order.duration_ts.is_none()) {
            order.duration_ts = Some(duration_ts);
        }
    }

    /// Whether a digit is being sent or waits: audio stays out of the way while this is true.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !matches!(self.state, State::Idle) || self.queue[0].is_some()
    }

    /// The packet due at `timestamp`, the RTP timestamp of this packet time in the clock of the payload type. None if no
    /// event packet is due (idle, or in the gap between two digits).
    pub fn poll(&mut self, timestamp: u32) -> Option<Outgoing> {
        match self.state {
            State::Idle => self.start(timestamp),
            State::Sounding { order, timestamp: began, earlier_ts } => {
                Some(self.update(timestamp, order, began, earlier_ts))
            }
            State::Ending { event, timestamp: began, left, resume } => {
                if left > 0 {
                    self.state = State::Ending { event, timestamp: began, left: left - 1, resume };
                    return Some(Outgoing { timestamp: began, marker: false, event });
                }
                if before(timestamp, resume) {
                    return None;
                }
                self.state = State::Idle;
                self.start(timestamp)
            }
        }
    }

    /// Drops everything that waits and is being sent.
    pub fn clear(&mut self) {
        self.queue = [None; QUEUE_DIGITS];
        self.state = State::Idle;
    }

    fn enqueue(&mut self, order: Order) -> Result<(), DtmfError> {
        let free = self.queue.iter_mut().find(|slot| slot.is_none()).ok_or(DtmfError::QueueFull)?;
        *free = Some(order);
        Ok(())
    }

    fn start(&mut self, timestamp: u32) -> Option<Outgoing> {
        let order = self.queue[0].take()?;
        self.queue.rotate_left(1);
        let first = self.update(timestamp, order, timestamp, 0);
        Some(Outgoing { marker: true, ..first })
    }

    /// The report at the end of the packet time that starts at `now`, final if the digit's length is reached by then.
    fn update(&mut self, now: u32, order: Order, mut began: u32, mut earlier_ts: u32) -> Outgoing {
        let full = u32::from(u16::MAX);
        let mut elapsed = now.wrapping_sub(began).saturating_add(self.packet_ts);
        if elapsed > full {
            // RFC 4733 section 2.5.1.3: the next segment starts where this one is full, without marker.
            began = began.wrapping_add(full);
            earlier_ts = earlier_ts.saturating_add(full);
            elapsed -= full;
        }
        let sounded = earlier_ts.saturating_add(elapsed);
        let left = order.duration_ts.filter(|&duration| sounded >= duration).map(|duration| sounded - duration);
        // A key that was released in the past cannot be made shorter than what has been reported already.
        let overshoot = left.unwrap_or(0).min(self.packet_ts - 1).min(elapsed - 1);
        let duration_ts = u16::try_from(elapsed - overshoot).unwrap_or(u16::MAX);
        let event = Event { code: order.digit.code(), is_end: left.is_some(), volume: DEFAULT_VOLUME, duration_ts };
        self.state = if left.is_some() {
            let resume = began.wrapping_add(u32::from(duration_ts)).wrapping_add(order.gap_ts);
            State::Ending { event, timestamp: began, left: END_PACKETS - 1, resume }
        } else {
            State::Sounding { order, timestamp: began, earlier_ts }
        };
        Outgoing { timestamp: began, marker: false, event }
    }
}

/// Milliseconds in timestamp units, saturating.
fn units(clock_rate_hz: u32, ms: u32) -> u32 {
    u32::try_from(u64::from(clock_rate_hz) * u64::from(ms) / 1_000).unwrap_or(u32::MAX)
}

/// Whether `timestamp` lies before `deadline` (modulo 2^32).
fn before(timestamp: u32, deadline: u32) -> bool {
    (1..0x8000_0000).contains(&deadline.wrapping_sub(timestamp))
}
