//! Digits on their way out: as events where the far side has a payload type for them, else as tones in the audio.

use crate::dtmf::{self, Digit, DtmfError};

use super::Format;
use super::keypad::Keypad;

/// The queue of outgoing digits, by the way they are made.
#[derive(Debug)]
pub(super) enum Digits {
    Events { sender: Box<dtmf::Sender>, format: Format },
    Tones(Box<Keypad>),
}

impl Digits {
    /// Telephone-events of `format` in packets of `ptime_ms`.
    pub(super) fn events(format: Format, ptime_ms: u32) -> Self {
        Self::Events { sender: Box::new(dtmf::Sender::new(format.codec.clock_rate_hz(), ptime_ms)), format }
    }

    /// Tones in PCM of this rate.
    pub(super) fn tones(sample_rate_hz: u32) -> Self {
        Self::Tones(Box::new(Keypad::new(sample_rate_hz)))
    }

    /// Queues one digit of a known length. Fails with `QueueFull`.
    pub(super) fn push(&mut self, digit: Digit, duration_ms: u32, gap_ms: u32) -> Result<(), DtmfError> {
        match self {
            Self::Events { sender, .. } => sender.push(digit, duration_ms, gap_ms),
            Self::Tones(keypad) => keypad.push(digit, duration_ms, gap_ms),
        }
    }

    /// Queues one digit that goes on until [`release`](Self::release). Fails with `QueueFull`.
    pub(super) fn press(&mut self, digit: Digit) -> Result<(), DtmfError> {
        match self {
            Self::Events { sender, .. } => sender.press(digit),
            Self::Tones(keypad) => keypad.press(digit),
        }
    }

    /// The oldest pressed key came up after `duration_ms`.
    pub(super) fn release(&mut self, duration_ms: u32) {
        match self {
            Self::Events { sender, .. } => sender.release(duration_ms),
            Self::Tones(keypad) => keypad.release(duration_ms),
        }
    }

    /// Whether a digit or its gap is going out or waits.
    pub(super) fn is_active(&self) -> bool {
        match self {
            Self::Events { sender, .. } => sender.is_active(),
            Self::Tones(keypad) => keypad.is_active(),
        }
    }
}
