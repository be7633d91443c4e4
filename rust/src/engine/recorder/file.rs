//! One recording on the disk.
//!
//! Owns the file from its first byte to its name: it is written as `<path>.part` and gets its own name when it is whole,
//! so that whoever watches a directory finds whole recordings only. What is there of a `.part` can be played after a
//! crash: a WAV header is brought up to date every few seconds, and Ogg needs no end. Nothing is ever overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::codecs::{CodecError, EncoderSettings};
use crate::engine::command::RecordingFormat;
use crate::error::MediaError;
use crate::files::{OpusWriter, WAV_HEADER_BYTES, wav_header};

const CHANNELS: u16 = 2;
const FRAME_BYTES: u64 = 4;

/// Bytes that are worth a system call.
const BLOCK_BYTES: usize = 8 * 1_024;

/// Samples of each channel between two headers, in seconds.
const HEADER_SECONDS: u64 = 5;

/// A WAV file cannot say that it is longer.
const MAX_WAV_BYTES: u64 = u32::MAX as u64 - 64;

/// Bits a second of each channel of Opus.
const BITRATE_BPS: u32 = 24_000;

/// Why writing ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("Opus: {0}")]
    Codec(#[from] CodecError),
    #[error("a WAV file can be no longer")]
    Full,
}

impl Fault {
    /// The stable word of `TapDone`.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Io(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => "disk_full",
            Self::Full => "size_limit",
            Self::Io(_) | Self::Codec(_) => "write_failed",
        }
    }
}

enum Kind {
    Wav { headed_samples: u64 },
    Opus(Option<OpusWriter>),
}

/// A file whose place is taken.
pub(super) struct Place {
    file: File,
    path: PathBuf,
    part: PathBuf,
}

/// A file that is being written.
pub(super) struct Recording {
    place: Place,
    kind: Kind,
    rate_hz: u32,
    buffer: Vec<u8>,
    samples: u64,
    bytes: u64,
}

impl Place {
    /// Takes the place of a recording.
    ///
    /// Fails with `UnwritablePath`, which names the path and the cause: one that exists, no directory, no right.
    pub(super) fn take(path: &Path) -> Result<Self, MediaError> {
        let fault = |cause: String| MediaError::UnwritablePath(format!("{}: {cause}", path.display()));
        let Some(name) = path.file_name() else { return Err(fault("not the name of a file".into())) };
        if path.exists() {
            return Err(fault("exists already".into()));
        }
        let mut part_name = name.to_owned();
        part_name.push(".part");
        let part = path.with_file_name(part_name);
        let opened = OpenOptions::new().write(true).create_new(true).open(&part);
        let file = opened.map_err(|error| fault(error.to_string()))?;
        Ok(Self { file, path: path.to_owned(), part })
    }

    /// Gives the place back.
    pub(super) fn abandon(self) {
        // An empty file that stays behind is all that can go wrong.
        let _ = fs::remove_file(&self.part);
    }
}

impl Recording {
    /// Begins the file. serial: any number, random.
    pub(super) fn begin(
        place: Place,
        (format, rate_hz): (RecordingFormat, u32),
        complexity: Option<u8>,
        serial: u32,
    ) -> Result<Self, Fault> {
        let mut buffer = Vec::with_capacity(2 * BLOCK_BYTES);
        let kind = match format {
            RecordingFormat::Wav => {
                buffer.extend(wav_header(rate_hz, CHANNELS, 0));
                Kind::Wav { headed_samples: 0 }
            }
            RecordingFormat::OggOpus => {
                let settings = EncoderSettings {
                    sample_rate_hz: rate_hz,
                    complexity,
                    bitrate_bps: BITRATE_BPS,
                    expected_loss_percent: 0,
                    leaves_silence_out: false,
                };
                Kind::Opus(Some(OpusWriter::new(&settings, serial, &mut buffer)?))
            }
        };
        Ok(Self { place, kind, rate_hz, buffer, samples: 0, bytes: 0 })
    }

    pub(super) fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Seconds of audio.
    #[expect(clippy::cast_precision_loss, reason = "samples of hours are far below 2^52")]
    pub(super) fn seconds(&self) -> f64 {
        self.samples as f64 / f64::from(self.rate_hz)
    }

    /// Bytes on the disk.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds 20 ms of both channels.
    pub(super) fn write(&mut self, left: &[i16], right: &[i16]) -> Result<(), Fault> {
        match &mut self.kind {
            Kind::Wav { .. } => {
                for (left, right) in left.iter().zip(right) {
                    self.buffer.extend(left.to_le_bytes());
                    self.buffer.extend(right.to_le_bytes());
                }
                if (self.samples + left.len() as u64) * FRAME_BYTES > MAX_WAV_BYTES {
                    return Err(Fault::Full);
                }
            }
            Kind::Opus(writer) => {
                if let Some(writer) = writer {
                    writer.write(left, right, &mut self.buffer)?;
                }
            }
        }
        self.samples += left.len() as u64;
        // A page of Ogg is written when it is whole.
        let block = if matches!(self.kind, Kind::Opus(_)) { 1 } else { BLOCK_BYTES };
        if self.buffer.len() >= block { self.flush() } else { Ok(()) }
    }

    /// Ends the file behind `samples` of what was written, and gives it its name.
    pub(super) fn finish(&mut self, samples: u64) -> Result<(), Fault> {
        self.samples = self.samples.min(samples);
        match &mut self.kind {
            Kind::Wav { .. } => {
                self.flush()?;
                let bytes = WAV_HEADER_BYTES as u64 + self.samples * FRAME_BYTES;
                self.place.file.set_len(bytes)?;
                self.bytes = bytes;
                self.write_header()?;
            }
            Kind::Opus(writer) => {
                if let Some(writer) = writer.take() {
                    writer.finish(self.samples, &mut self.buffer)?;
                }
                self.flush()?;
            }
        }
        if self.place.path.exists() {
            return Err(io::Error::from(ErrorKind::AlreadyExists).into());
        }
        Ok(fs::rename(&self.place.part, &self.place.path)?)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.place.file.write_all(&self.buffer)?;
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        if let Kind::Wav { headed_samples } = self.kind
            && self.samples - headed_samples >= HEADER_SECONDS * u64::from(self.rate_hz)
        {
            self.write_header()?;
        }
        Ok(())
    }

    fn write_header(&mut self) -> Result<(), Fault> {
        let data_bytes = self.samples * FRAME_BYTES;
        self.place.file.write_all_at(&wav_header(self.rate_hz, CHANNELS, data_bytes), 0)?;
        self.kind = Kind::Wav { headed_samples: self.samples };
        Ok(())
    }
}
