//! DTMF digits, RFC 4733 telephone-events that carry them, and the tones of them in audio.
//!
//! Owns [`Digit`], the event payload ([`event::Event`]), the [`Receiver`] that makes exactly one digit of many packets, the
//! [`Sender`] that makes packets of digits, and the [`Detector`] that hears digits in PCM. Must not know of sockets, RTP
//! headers or clocks: time and timestamps are arguments. RFC 4733, ITU-T Q.23, Q.24.

mod detector;
pub mod event;
mod receiver;
mod sender;

pub use detector::Detector;
pub use event::Event;
pub use receiver::{END_TIMEOUT, Received, Receiver};
pub use sender::{Outgoing, QUEUE_DIGITS, Sender};

use thiserror::Error;

/// Why an event packet or a digit was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DtmfError {
    /// Fewer bytes than an event has.
    #[error("event payload is too short")]
    Malformed,
    /// A well-formed event that is not a DTMF digit (flash hook, tones, alarms).
    #[error("event is not a DTMF digit")]
    NotDigit,
    /// More digits a second than a person or a dialler makes; this one is not reported.
    #[error("too many digits a second")]
    RateLimited,
    /// The send queue is full.
    #[error("too many digits are waiting")]
    QueueFull,
}

/// How a digit travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    /// As telephone-events (RFC 4733); to a far side that negotiated none, as tones.
    #[default]
    Rfc4733,
    /// As two tones in the audio (ITU-T Q.23).
    Inband,
    /// In the signalling (SIP INFO), which the media plane knows nothing of.
    Info,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Rfc4733, Self::Inband, Self::Info];

    /// A stable word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rfc4733 => "rfc4733",
            Self::Inband => "inband",
            Self::Info => "info",
        }
    }
}

/// One of the sixteen DTMF digits (RFC 4733 section 3.2, codes 0 to 15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digit(u8);

/// The digits in order of their event codes.
const CHARACTERS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

impl Digit {
    /// The digit of an event code; None above 15.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        if code < 16 { Some(Self(code)) } else { None }
    }

    /// The digit written so (`0`-`9`, `*`, `#`, `A`-`D` in either case).
    #[must_use]
    pub fn from_char(character: char) -> Option<Self> {
        let upper = character.to_ascii_uppercase();
        let place = CHARACTERS.iter().position(|&known| known == upper)?;
        u8::try_from(place).ok().map(Self)
    }

    /// The event code, 0 to 15.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The digit as it is written; letters in upper case.
    #[must_use]
    pub fn as_char(self) -> char {
        CHARACTERS[usize::from(self.0 & 0x0f)]
    }
}

#[cfg(test)]
mod tests;
