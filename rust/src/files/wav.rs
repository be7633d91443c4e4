//! WAV files: PCM, floating point and G.711, read whole; PCM written.
//!
//! RIFF/WAVE, with the format tags of RFC 2361 and the extensible form.

use super::{FileError, LONGEST_SECONDS};
use crate::codecs::Law;
use crate::dsp::to_i16;

/// Bytes before the first sample of what [`header`] begins.
pub const HEADER_BYTES: usize = 44;

const PCM: u16 = 1;
const FLOAT: u16 = 3;
const ALAW: u16 = 6;
const ULAW: u16 = 7;
const EXTENSIBLE: u16 = 0xfffe;

/// What a file holds, mixed into one channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recording {
    pub(super) sample_rate_hz: u32,
    pub(super) samples: Vec<i16>,
}

/// How a sample is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Unsigned8,
    Signed16,
    Signed24,
    Signed32,
    Float32,
    Float64,
    G711(Law),
}

#[derive(Debug, Clone, Copy)]
struct Format {
    encoding: Encoding,
    channels: usize,
    sample_rate_hz: u32,
}

/// The first bytes of a file of 16-bit PCM, before `data_bytes` of samples. A size beyond 32 bits is said as the largest.
#[must_use]
pub fn header(sample_rate_hz: u32, channels: u16, data_bytes: u64) -> [u8; HEADER_BYTES] {
    let frame_bytes = channels * 2;
    let size = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let mut header = [0; HEADER_BYTES];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(b"RIFF");
    put(&size(data_bytes.saturating_add(HEADER_BYTES as u64 - 8)));
    put(b"WAVEfmt ");
    put(&16_u32.to_le_bytes());
    put(&PCM.to_le_bytes());
    put(&channels.to_le_bytes());
    put(&sample_rate_hz.to_le_bytes());
    put(&(sample_rate_hz * u32::from(frame_bytes)).to_le_bytes());
    put(&frame_bytes.to_le_bytes());
    put(&16_u16.to_le_bytes());
    put(b"data");
    put(&size(data_bytes));
    header
}

/// Reads a whole file.
pub(super) fn read(bytes: &[u8]) -> Result<Recording, FileError> {
    let (head, mut rest) = bytes.split_first_chunk::<12>().ok_or(FileError::UnknownKind)?;
    if &head[..4] != b"RIFF" || &head[8..] != b"WAVE" {
        return Err(FileError::UnknownKind);
    }
    let mut format = None;
    while let Some((head, tail)) = rest.split_first_chunk::<8>() {
        let &[a, b, c, d, s0, s1, s2, s3] = head;
        let size = usize::try_from(u32::from_le_bytes([s0, s1, s2, s3])).unwrap_or(usize::MAX);
        // Some writers leave the size of the last chunk open, and a copy may have been cut off.
        let body = &tail[..size.min(tail.len())];
        match &[a, b, c, d] {
            b"fmt " => format = Some(read_format(body)?),
            b"data" => return format.ok_or(FileError::Damaged("samples before their format"))?.read(body),
            _ => {}
        }
        let padded = size.saturating_add(size % 2);
        rest = tail.get(padded..).unwrap_or_default();
    }
    Err(FileError::Empty)
}

fn read_format(body: &[u8]) -> Result<Format, FileError> {
    let fixed = body.first_chunk::<16>().ok_or(FileError::Damaged("its format is too short"))?;
    let word = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
    let sample_rate_hz = u32::from_le_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
    // The sub-format of an extensible one is a GUID that begins with the tag.
    let extended = body.get(24..26).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    let tag = if word(0) == EXTENSIBLE { extended.unwrap_or(EXTENSIBLE) } else { word(0) };
    let encoding = match (tag, word(14)) {
        (PCM, 8) => Encoding::Unsigned8,
        (PCM, 16) => Encoding::Signed16,
        (PCM, 24) => Encoding::Signed24,
        (PCM, 32) => Encoding::Signed32,
        (FLOAT, 32) => Encoding::Float32,
        (FLOAT, 64) => Encoding::Float64,
        (ALAW, 8) => Encoding::G711(Law::Alaw),
        (ULAW, 8) => Encoding::G711(Law::Ulaw),
        _ => return Err(FileError::Unsupported("a WAV file may hold PCM, floating point or G.711")),
    };
    if !matches!(word(2), 1 | 2) || !(8_000..=48_000).contains(&sample_rate_hz) {
        return Err(FileError::Unsupported("one or two channels of 8 to 48 kHz are taken"));
    }
    Ok(Format { encoding, channels: usize::from(word(2)), sample_rate_hz })
}

impl Format {
    fn read(self, body: &[u8]) -> Result<Recording, FileError> {
        let bytes = self.encoding.bytes();
        let frames = body.chunks_exact(bytes * self.channels);
        if frames.len() > usize::try_from(self.sample_rate_hz * LONGEST_SECONDS).unwrap_or(usize::MAX) {
            return Err(FileError::TooLong);
        }
        let samples = frames.map(|frame| {
            let sum: i32 = frame.chunks_exact(bytes).map(|sample| i32::from(self.encoding.sample(sample))).sum();
            // The mean of one or two samples is a sample.
            i16::try_from(sum / if self.channels == 2 { 2 } else { 1 }).unwrap_or(0)
        });
        Ok(Recording { sample_rate_hz: self.sample_rate_hz, samples: samples.collect() })
    }
}

impl Encoding {
    const fn bytes(self) -> usize {
        match self {
            Self::Unsigned8 | Self::G711(_) => 1,
            Self::Signed16 => 2,
            Self::Signed24 => 3,
            Self::Signed32 | Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    /// One sample of [`bytes`](Self::bytes) bytes; anything else is silence.
    fn sample(self, bytes: &[u8]) -> i16 {
        match (self, bytes) {
            (Self::Unsigned8, &[byte]) => (i16::from(byte) - 128) * 256,
            (Self::G711(law), &[byte]) => law.expand(byte),
            (Self::Signed16, &[a, b]) => i16::from_le_bytes([a, b]),
            (Self::Signed24, &[a, b, c]) => rounded(i32::from_le_bytes([0, a, b, c])),
            (Self::Signed32, &[a, b, c, d]) => rounded(i32::from_le_bytes([a, b, c, d])),
            (Self::Float32, &[a, b, c, d]) => to_i16(f64::from(f32::from_le_bytes([a, b, c, d])) * 32_768.0),
            (Self::Float64, bytes) => {
                bytes.first_chunk().map_or(0, |bytes| to_i16(f64::from_le_bytes(*bytes) * 32_768.0))
            }
            _ => 0,
        }
    }
}

/// The upper half of a sample.
fn rounded(sample: i32) -> i16 {
    to_i16(f64::from(sample) / 65_536.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wav((tag, bits): (u16, u16), channels: u16, sample_rate_hz: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
        bytes.extend(tag.to_le_bytes());
        bytes.extend(channels.to_le_bytes());
        bytes.extend(sample_rate_hz.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(bits.to_le_bytes());
        bytes.extend(b"LIST\x03\0\0\0abc\0data");
        bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        bytes.extend(data);
        bytes
    }

    fn samples(format: (u16, u16), data: &[u8]) -> Vec<i16> {
        read(&wav(format, 1, 8_000, data)).unwrap().samples
    }

    #[test]
    fn reads_every_kind_of_sample_past_unknown_chunks() {
        assert_eq!(samples((PCM, 8), &[0, 128, 255]), [-32_768, 0, 32_512]);
        assert_eq!(samples((PCM, 16), &[1, 0, 0xfe, 0xff]), [1, -2]);
        assert_eq!(samples((PCM, 24), &[0xff, 1, 0, 0, 0, 0x80, 0xff, 0xff, 0x7f]), [2, -32_768, 32_767]);
        assert_eq!(samples((PCM, 32), &[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), [-1, 32_767]);
        let floats: Vec<u8> = [0.5_f32, -1.0, 2.0, f32::NAN].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(samples((FLOAT, 32), &floats), [16_384, -32_768, 32_767, 0]);
        assert_eq!(samples((FLOAT, 64), &0.25_f64.to_le_bytes()), [8_192]);
        assert_eq!(samples((ALAW, 8), &[0xd5, 0xaa]), [8, 32_256]);
        assert_eq!(samples((ULAW, 8), &[0xff, 0x80]), [0, 32_124]);
    }

    #[test]
    fn reads_the_extensible_form() {
        let mut bytes = wav((EXTENSIBLE, 16), 1, 8_000, &[7, 0]);
        let rest = bytes.split_off(36);
        bytes[16] = 40;
        bytes.extend([22, 0, 16, 0, 4, 0, 0, 0]);
        bytes.extend(b"\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
        bytes.extend(rest);
        assert_eq!(read(&bytes).unwrap().samples, [7]);
    }

    #[test]
    fn mixes_two_channels() {
        let data: Vec<u8> = [10_i16, 20, i16::MAX, i16::MAX].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let recording = read(&wav((PCM, 16), 2, 48_000, &data)).unwrap();
        assert_eq!(recording, Recording { sample_rate_hz: 48_000, samples: vec![15, i16::MAX] });
    }

    #[test]
    fn says_why_it_cannot_read() {
        assert_eq!(read(b"").unwrap_err(), FileError::UnknownKind);
        assert_eq!(read(b"ID3\x04 and so on, an MP3 file").unwrap_err(), FileError::UnknownKind);
        assert_eq!(read(&wav((PCM, 16), 1, 8_000, &[])[..36]).unwrap_err(), FileError::Empty);
        assert_eq!(
            read(b"RIFF\0\0\0\0WAVEdata\0\0\0\0").unwrap_err(),
            FileError::Damaged("samples before their format")
        );
        for (format, channels, rate_hz) in [((2, 4), 1, 8_000), ((PCM, 16), 6, 8_000), ((PCM, 16), 1, 192_000)] {
            assert!(matches!(read(&wav(format, channels, rate_hz, &[1, 2])), Err(FileError::Unsupported(_))));
        }
        let quarter = vec![0; usize::try_from(8_000 * LONGEST_SECONDS + 1).unwrap()];
        assert_eq!(read(&wav((PCM, 8), 1, 8_000, &quarter)).unwrap_err(), FileError::TooLong);
    }

    #[test]
    fn reads_what_it_writes() {
        let mut bytes = header(16_000, 2, 8).to_vec();
        bytes.extend([1, 0, 3, 0, 5, 0, 7, 0]);
        assert_eq!(read(&bytes).unwrap(), Recording { sample_rate_hz: 16_000, samples: vec![2, 6] });
        assert_eq!(bytes[4..8], 44_u32.to_le_bytes(), "all that follows the size");
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_recording_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut file = wav((PCM, 16), 1, 8_000, &[1, 0]);
            file.truncate(12);
            file.extend(bytes);
            let _ = read(&file);
        }
    }
}
