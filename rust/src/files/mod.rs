//! Audio files: WAV and Ogg Opus, read whole and written piece by piece.
//!
//! Owns the containers and what lies in them, from bytes and to bytes. Must not know a file system, a call or a thread:
//! the engine's loader reads files for players, its recorder writes those of taps. Whatever the bytes are, reading ends
//! in audio or an error.
//!
//! RIFF/WAVE (Multimedia Programming Interface 1.0), RFC 3533 (Ogg), RFC 7845 (Opus in Ogg).

mod ogg;
mod opus;
mod wav;

pub use opus::Writer as OpusWriter;
pub use wav::{HEADER_BYTES as WAV_HEADER_BYTES, header as wav_header};

use crate::codecs::CodecError;
use crate::dsp::resample::{Ends, resample};

/// Longest audio that is read: a quarter of an hour.
pub const LONGEST_SECONDS: u32 = 900;

/// Rates at which audio is kept: those at which encoders run.
const NARROW_HZ: u32 = 8_000;
const WIDE_HZ: u32 = 16_000;

/// Why a file cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Another kind of file, or a damaged beginning.
    #[error("neither WAV nor Ogg Opus")]
    UnknownKind,
    /// The container contradicts itself.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// A kind of audio that is not taken.
    #[error("{0}")]
    Unsupported(&'static str),
    /// Longer than [`LONGEST_SECONDS`].
    #[error("longer than {LONGEST_SECONDS} s")]
    TooLong,
    /// No audio in it.
    #[error("no audio")]
    Empty,
    /// Opus could not be decoded.
    #[error("Opus: {0}")]
    Codec(#[from] CodecError),
}

/// The audio of a file, mono, at the two rates that encoders run at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// At 8,000 Hz.
    pub narrow: Vec<i16>,
    /// At 16,000 Hz, if there can be anything above 4 kHz.
    pub wide: Option<Vec<i16>>,
}

/// Reads a whole file of either kind. Channels are mixed into one.
///
/// ends: what the resampler takes to lie before the beginning and behind the end: the audio itself if it is looped, so
/// that the seam is not heard.
pub fn read(bytes: &[u8], ends: Ends) -> Result<Sound, FileError> {
    let sound = if bytes.starts_with(b"OggS") {
        opus::read(bytes)?
    } else {
        let recording = wav::read(bytes)?;
        let (samples, rate_hz) = (&recording.samples, recording.sample_rate_hz);
        let wide = (rate_hz > NARROW_HZ).then(|| resample(samples, (rate_hz, WIDE_HZ), ends));
        Sound { narrow: resample(samples, (rate_hz, NARROW_HZ), ends), wide }
    };
    if sound.narrow.is_empty() { Err(FileError::Empty) } else { Ok(sound) }
}
