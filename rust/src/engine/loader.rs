//! Reads audio files for `Play`, on a thread of its own so that no worker ever waits for a disk.
//!
//! Takes WAV files of 16-bit PCM at 8 to 48 kHz, one or two channels (RIFF/WAVE, format 1 or its extensible form).

#![expect(clippy::disallowed_methods, reason = "reading files is what this thread is for")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use crate::dsp::resample::resample;
use crate::error::MediaError;
use crate::io::Wake;
use crate::pipeline::{Clip, Source};

use super::command::{Command, PlaySource, Request};
use super::event::{Event, EventSender};

/// Longest file: a quarter of an hour at 16 kHz.
const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

const PCM: u16 = 1;
const EXTENSIBLE: u16 = 0xfffe;

/// The way to one worker.
#[derive(Clone)]
pub(super) struct WorkerInput {
    pub(super) commands: SyncSender<Request>,
    pub(super) wake: Arc<Wake>,
}

impl WorkerInput {
    /// Waits until the worker has room. Returns false if it is gone.
    fn pass_on(&self, request: Request) -> bool {
        let is_taken = self.commands.send(request).is_ok();
        self.wake.signal();
        is_taken
    }
}

/// Turns each `Play` of a file into a `Play` of its audio, until the engine lets go of the queue.
pub(super) fn run(jobs: &Receiver<Request>, workers: &[WorkerInput], events: &EventSender) {
    while let Ok(request) = jobs.recv() {
        let id = request.id;
        let failed =
            |error: &MediaError| Event::CommandFailed { request: id, kind: error.kind(), message: error.to_string() };
        match load_source(request) {
            Ok(request) => {
                let input = super::worker_of(request.call, workers.len()).and_then(|index| workers.get(index));
                if !input.is_some_and(|input| input.pass_on(request)) {
                    events.send(failed(&MediaError::Closed));
                }
            }
            Err(error) => events.send(failed(&error)),
        }
    }
}

fn load_source(request: Request) -> Result<Request, MediaError> {
    let Request { id, call, command } = request;
    let command = match command {
        Command::Play { endpoint, source: PlaySource::File { path, is_looped } } => {
            let clip = Arc::new(read_clip(&path)?);
            Command::Play { endpoint, source: PlaySource::Ready(Source::Clip { clip, is_looped }) }
        }
        other => other,
    };
    Ok(Request { id, call, command })
}

fn read_clip(path: &Path) -> Result<Clip, MediaError> {
    let fault = |text: String| MediaError::UnplayableSource(text);
    let unreadable = |error: std::io::Error| fault(format!("{}: {error}", path.display()));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(fault(format!("{}: not a file, or larger than {MAX_FILE_BYTES} bytes", path.display())));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let recording = parse_wav(&bytes).map_err(|text| fault(format!("{}: {text}", path.display())))?;
    Ok(recording.into_clip())
}

#[derive(Debug, PartialEq, Eq)]
struct Recording {
    sample_rate_hz: u32,
    samples: Vec<i16>,
}

impl Recording {
    fn into_clip(self) -> Clip {
        let wide = (self.sample_rate_hz > 8_000).then(|| resample(&self.samples, self.sample_rate_hz, 16_000));
        Clip { narrow: resample(&self.samples, self.sample_rate_hz, 8_000), wide }
    }
}

/// Reads a RIFF/WAVE file. Two channels are mixed into one.
fn parse_wav(bytes: &[u8]) -> Result<Recording, &'static str> {
    let (header, mut rest) = bytes.split_first_chunk::<12>().ok_or("too short")?;
    if &header[..4] != b"RIFF" || &header[8..] != b"WAVE" {
        return Err("not a WAV file");
    }
    let mut format = None;
    while let Some((head, tail)) = rest.split_first_chunk::<8>() {
        let &[a, b, c, d, s0, s1, s2, s3] = head;
        let size = usize::try_from(u32::from_le_bytes([s0, s1, s2, s3])).unwrap_or(usize::MAX);
        // Some writers leave the size of the last chunk open.
        let body = &tail[..size.min(tail.len())];
        match &[a, b, c, d] {
            b"fmt " => format = Some(parse_format(body)?),
            b"data" => {
                let (channels, sample_rate_hz) = format.ok_or("data before its format")?;
                let samples = if channels == 1 {
                    body.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
                } else {
                    body.chunks_exact(4).map(|quad| mix([quad[0], quad[1]], [quad[2], quad[3]])).collect()
                };
                return Ok(Recording { sample_rate_hz, samples });
            }
            _ => {}
        }
        let padded = size.saturating_add(size % 2);
        rest = tail.get(padded..).unwrap_or_default();
    }
    Err("no data")
}

/// Channels and sample rate.
fn parse_format(body: &[u8]) -> Result<(u16, u32), &'static str> {
    let fixed = body.first_chunk::<16>().ok_or("format too short")?;
    let word = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
    let sample_rate_hz = u32::from_le_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
    let tag = word(0);
    let extended = body.get(24..26).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let is_pcm = tag == PCM || (tag == EXTENSIBLE && extended == Some(PCM));
    if !is_pcm || word(14) != 16 {
        return Err("not 16-bit PCM");
    }
    if !matches!(word(2), 1 | 2) || !(8_000..=48_000).contains(&sample_rate_hz) {
        return Err("one or two channels of 8 to 48 kHz are taken");
    }
    Ok((word(2), sample_rate_hz))
}

fn mix(left: [u8; 2], right: [u8; 2]) -> i16 {
    let sum = i32::from(i16::from_le_bytes(left)) + i32::from(i16::from_le_bytes(right));
    // The mean of two samples is a sample.
    i16::try_from(sum / 2).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wav(channels: u16, sample_rate_hz: u32, bits: u16, samples: &[i16]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
        bytes.extend(PCM.to_le_bytes());
        bytes.extend(channels.to_le_bytes());
        bytes.extend(sample_rate_hz.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(bits.to_le_bytes());
        bytes.extend(b"LIST\x03\0\0\0abc\0data");
        bytes.extend(u32::try_from(samples.len() * 2).unwrap().to_le_bytes());
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    #[test]
    fn reads_mono_past_unknown_chunks() {
        let recording = parse_wav(&wav(1, 8_000, 16, &[1, -2, 3])).unwrap();
        assert_eq!(recording, Recording { sample_rate_hz: 8_000, samples: vec![1, -2, 3] });
    }

    #[test]
    fn mixes_two_channels() {
        let recording = parse_wav(&wav(2, 48_000, 16, &[10, 20, i16::MAX, i16::MAX])).unwrap();
        assert_eq!(recording.samples, [15, i16::MAX]);
    }

    #[test]
    fn refuses_what_it_cannot_play() {
        assert!(parse_wav(b"").is_err());
        assert!(parse_wav(&wav(1, 8_000, 8, &[1])).is_err());
        assert!(parse_wav(&wav(6, 8_000, 16, &[1])).is_err());
        assert!(parse_wav(&wav(1, 192_000, 16, &[1])).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_recording_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut file = wav(1, 8_000, 16, &[1, 2]);
            file.truncate(12);
            file.extend(bytes);
            let _ = parse_wav(&file);
        }
    }
}
