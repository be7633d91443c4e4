//! Opus in Ogg, read whole and written.   RFC 7845, RFC 6716 appendix B (packets of several streams).
//!
//! What we write has two channels of one Opus stream each, not one stereo stream: nothing of one leg can leak into the
//! other's channel. Mapping family 1 allows it, and every player that knows the family plays it.

use super::ogg::{self, Contents};
use super::{FileError, LONGEST_SECONDS, NARROW_HZ, Sound, WIDE_HZ};
use crate::codecs::{Codec, CodecError, Decoder, Encoded, Encoder, EncoderSettings, MAX_PACKET_MS};
use crate::dsp::to_i16;

const HEAD: &[u8] = b"OpusHead";
const TAGS: &[u8] = b"OpusTags";

/// Granule positions count samples at this rate, whatever the audio was recorded at (section 4).
const GRANULE_HZ: u32 = 48_000;

/// What the encoder needs to look ahead, in granules: 6.5 ms (libopus, any rate).
const PRE_SKIP: u16 = 312;

/// Length of the frames that we write.
const FRAME_MS: u32 = 20;

/// Contents of a page: a second, so that a crash costs no more.
const PAGE_PACKETS: u32 = 50;

/// One frame of silence, where the encoder would send none (RFC 6716 section 4.3: the silence flag of CELT).
const SILENT_FRAME: [u8; 3] = [0xf8, 0xff, 0xfe];

/// `OpusHead` (section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    /// Opus streams in one packet: 1, or 2 of one channel each.
    streams: u8,
    /// Granules to be left out at the beginning.
    pre_skip: u16,
    /// Q7.8 decibels.
    gain: i16,
}

impl Head {
    fn parse(packet: &[u8]) -> Result<Self, FileError> {
        let damaged = FileError::Damaged("OpusHead");
        let Some((fixed, mapping)) = packet.split_first_chunk::<19>() else { return Err(damaged) };
        if !fixed.starts_with(HEAD) || fixed[8] & 0xf0 != 0 {
            return Err(damaged);
        }
        let (channels, family) = (fixed[9], fixed[18]);
        let (streams, coupled) = match (family, mapping) {
            (0, _) => (1, channels.saturating_sub(1)),
            (_, &[streams, coupled, ..]) => (streams, coupled),
            _ => return Err(damaged),
        };
        if !matches!((channels, streams, coupled), (1 | 2, 1, 0 | 1) | (2, 2, 0)) {
            return Err(FileError::Unsupported("one or two channels are taken"));
        }
        let word = |at: usize| [fixed[at], fixed[at + 1]];
        Ok(Self { streams, pre_skip: u16::from_le_bytes(word(10)), gain: i16::from_le_bytes(word(16)) })
    }
}

/// The audio packets of a file and where its audio begins and ends, in granules.
struct Packed {
    head: Head,
    packets: Vec<Vec<u8>>,
    length: u64,
}

impl Packed {
    fn read(bytes: &[u8]) -> Result<Self, FileError> {
        let opus = codec()?;
        let mut reader = ogg::Reader::new(bytes, HEAD);
        let first = reader.next()?.ok_or(FileError::Unsupported("no Opus in this Ogg file"))?;
        let head = Head::parse(first.packets.first().map_or(&[], Vec::as_slice))?;
        let (mut packets, mut total, mut tags) = (Vec::new(), 0_u64, None);
        let (mut begin, mut end) = (None, None);
        while let Some(page) = reader.next()? {
            let Contents { packets: found, position, is_last } = page;
            let mut found = found.into_iter();
            if tags.is_none() {
                tags = found.next();
                if tags.as_ref().is_some_and(|tags| !tags.starts_with(TAGS)) {
                    return Err(FileError::Damaged("OpusTags"));
                }
            }
            for packet in found {
                // Streams of one packet are equally long (section 5.1.1), and the first one begins it.
                total += opus.duration_us(&packet) * u64::from(GRANULE_HZ / 1_000) / 1_000;
                packets.push(packet);
            }
            if total > u64::from(GRANULE_HZ) * u64::from(LONGEST_SECONDS) {
                return Err(FileError::TooLong);
            }
            let Some(position) = position.filter(|_| total > 0) else { continue };
            // A recording of something live need not begin at 0 (section 4.3); one that ends at once may begin before.
            let begin = *begin.get_or_insert(if is_last { 0 } else { position.saturating_sub(total) });
            // Only the last page may say less than is there (section 4.4).
            end = is_last.then(|| position.saturating_sub(begin));
        }
        Ok(Self { head, packets, length: end.unwrap_or(total).min(total) })
    }

    /// The audio at one of Opus' rates, mono.
    fn decode(&self, sample_rate_hz: u32) -> Result<Vec<i16>, FileError> {
        let at_rate = |granules: u64| usize::try_from(granules * u64::from(sample_rate_hz) / u64::from(GRANULE_HZ));
        let (skip, end) = (at_rate(self.head.pre_skip.into()), at_rate(self.length));
        let (skip, end) = (skip.unwrap_or(usize::MAX), end.unwrap_or(usize::MAX));
        let mut streams = Streams::new(self.head, sample_rate_hz)?;
        let mut samples = Vec::with_capacity(end.min(at_rate(self.length).unwrap_or(0)));
        for packet in &self.packets {
            streams.decode(packet, &mut samples)?;
        }
        samples.truncate(end);
        samples.drain(..skip.min(samples.len()));
        Ok(samples)
    }
}

/// Reads a whole file.
pub(super) fn read(bytes: &[u8]) -> Result<Sound, FileError> {
    let packed = Packed::read(bytes)?;
    Ok(Sound { narrow: packed.decode(NARROW_HZ)?, wide: Some(packed.decode(WIDE_HZ)?) })
}

/// The decoders of a file's streams.
struct Streams {
    decoders: Vec<Box<dyn Decoder>>,
    gain: Option<f64>,
    frame: Vec<i16>,
    other: Vec<i16>,
}

impl Streams {
    fn new(head: Head, sample_rate_hz: u32) -> Result<Self, FileError> {
        let opus = codec()?;
        let decoders = (0..head.streams).map(|_| opus.decoder(sample_rate_hz)).collect::<Result<_, _>>()?;
        let longest = usize::try_from(sample_rate_hz / 1_000 * MAX_PACKET_MS).unwrap_or(0);
        let gain = (head.gain != 0).then(|| 10_f64.powf(f64::from(head.gain) / (20.0 * 256.0)));
        Ok(Self { decoders, gain, frame: vec![0; longest], other: vec![0; longest] })
    }

    /// Appends one packet's audio, mixed into one channel.
    fn decode(&mut self, packet: &[u8], samples: &mut Vec<i16>) -> Result<(), FileError> {
        let count = if let [first, second] = self.decoders.as_mut_slice() {
            let (one, other) = undelimit(packet)?;
            let count = first.decode(&one, &mut self.frame)?.min(second.decode(other, &mut self.other)?);
            for (sample, other) in self.frame.iter_mut().zip(&self.other).take(count) {
                *sample = to_i16(f64::from(i32::from(*sample) + i32::from(*other)) / 2.0);
            }
            count
        } else {
            let Some(decoder) = self.decoders.first_mut() else { return Ok(()) };
            decoder.decode(packet, &mut self.frame)?
        };
        let frame = self.frame.get_mut(..count).unwrap_or_default();
        if let Some(gain) = self.gain {
            for sample in &mut *frame {
                *sample = to_i16(f64::from(*sample) * gain);
            }
        }
        samples.extend_from_slice(frame);
        Ok(())
    }
}

/// Parts the packets of two streams: the first one says its own length, the second one is the rest.
fn undelimit(packet: &[u8]) -> Result<(Vec<u8>, &[u8]), FileError> {
    let damaged = FileError::Damaged("a packet of two streams");
    let (&toc, rest) = packet.split_first().ok_or(damaged.clone())?;
    if toc & 3 != 0 {
        return Err(FileError::Unsupported("two streams with several frames in a packet"));
    }
    let (len, rest) = match *rest {
        [short @ 0..252, ..] => (usize::from(short), &rest[1..]),
        [low, high, ..] => (usize::from(low) + 4 * usize::from(high), &rest[2..]),
        _ => return Err(damaged),
    };
    let (frame, rest) = rest.split_at_checked(len).ok_or(damaged)?;
    Ok(([&[toc], frame].concat(), rest))
}

/// Appends a packet of one frame in the form that says its length.
fn delimit(packet: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let (&toc, frame) = packet.split_first().ok_or(CodecError::Malformed)?;
    if toc & 3 != 0 {
        return Err(CodecError::Malformed);
    }
    out.push(toc);
    // A frame has at most 1,275 bytes (RFC 6716 section 3.2.1), so that each of these is one byte.
    if frame.len() < 252 {
        out.push(frame.len().to_le_bytes()[0]);
    } else {
        let low = 252 + frame.len() % 4;
        out.push(low.to_le_bytes()[0]);
        out.push(((frame.len() - low) / 4).to_le_bytes()[0]);
    }
    out.extend(frame);
    Ok(())
}

fn codec() -> Result<Codec, CodecError> {
    Codec::new("opus", GRANULE_HZ, 2, [])
}

/// Writes a file of two channels. Appends to the caller's buffer; whoever writes that to a disk has a file that can be
/// played up to there.
pub struct Writer {
    pages: ogg::Writer,
    encoders: [Box<dyn Encoder>; 2],
    frame_samples: usize,
    packet: Vec<u8>,
    scratch: Vec<u8>,
    packets: u32,
    /// Granules encoded, those of the pre-skip among them.
    position: u64,
}

impl Writer {
    /// Begins a file with its headers. serial: any number, random.
    ///
    /// Fails with `BadSampleRate` for a rate that Opus does not have.
    pub fn new(settings: &EncoderSettings, serial: u32, out: &mut Vec<u8>) -> Result<Self, CodecError> {
        let encoder = || codec()?.encoder(settings);
        let mut pages = ogg::Writer::new(serial);
        pages.add(&head(settings.sample_rate_hz));
        pages.finish_page(0, false, out);
        pages.add(&tags());
        pages.finish_page(0, false, out);
        Ok(Self {
            pages,
            encoders: [encoder()?, encoder()?],
            frame_samples: usize::try_from(settings.sample_rate_hz * FRAME_MS / 1_000).unwrap_or(0),
            packet: Vec::new(),
            scratch: vec![0; 1_500],
            packets: 0,
            position: 0,
        })
    }

    /// Samples of each channel that [`write`](Self::write) takes.
    #[must_use]
    pub fn frame_samples(&self) -> usize {
        self.frame_samples
    }

    /// Encodes one frame of each channel; appends a page each second.
    pub fn write(&mut self, left: &[i16], right: &[i16], out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.packet.clear();
        for (number, pcm) in [left, right].into_iter().enumerate() {
            let payload = match self.encoders[number].encode(pcm, &mut self.scratch)? {
                Encoded::Payload(len) => self.scratch.get(..len).unwrap_or_default(),
                Encoded::Silence => &SILENT_FRAME,
            };
            if number == 0 {
                delimit(payload, &mut self.packet)?;
            } else {
                self.packet.extend(payload);
            }
        }
        if self.packets >= PAGE_PACKETS || !self.pages.has_room(self.packet.len()) {
            self.finish_page(false, out);
        }
        self.pages.add(&self.packet);
        self.packets += 1;
        self.position += u64::from(GRANULE_HZ / 1_000 * FRAME_MS);
        Ok(())
    }

    /// Ends the file `samples` behind its beginning, at the encoder's rate. What the encoder looked ahead for is
    /// flushed by silence.
    pub fn finish(mut self, samples: u64, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let rate_hz = u64::from(self.encoders[0].sample_rate_hz());
        let end = u64::from(PRE_SKIP) + samples * u64::from(GRANULE_HZ) / rate_hz;
        let silence = vec![0; self.frame_samples];
        while self.position < end {
            self.write(&silence, &silence, out)?;
        }
        self.position = end;
        self.finish_page(true, out);
        Ok(())
    }

    fn finish_page(&mut self, is_last: bool, out: &mut Vec<u8>) {
        self.pages.finish_page(self.position, is_last, out);
        self.packets = 0;
    }
}

fn head(sample_rate_hz: u32) -> Vec<u8> {
    let mut head = HEAD.to_vec();
    head.extend([1, 2]);
    head.extend(PRE_SKIP.to_le_bytes());
    head.extend(sample_rate_hz.to_le_bytes());
    head.extend([0, 0]);
    // Family 1: two streams, none of them stereo, the first on the left.
    head.extend([1, 2, 0, 0, 1]);
    head
}

fn tags() -> Vec<u8> {
    let vendor = concat!("Trunkline ", env!("CARGO_PKG_VERSION")).as_bytes();
    let mut tags = TAGS.to_vec();
    tags.extend(u32::try_from(vendor.len()).unwrap_or(0).to_le_bytes());
    tags.extend(vendor);
    tags.extend(0_u32.to_le_bytes());
    tags
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dsp::testing::{level_dbm0, tone_level_dbm0};
    use crate::dsp::tone::Oscillator;

    const SETTINGS: EncoderSettings = EncoderSettings {
        sample_rate_hz: 8_000,
        complexity: None,
        bitrate_bps: 24_000,
        expected_loss_percent: 0,
        leaves_silence_out: false,
    };

    /// A file with this on its left channel and silence on the right.
    fn file(left: &[i16]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&SETTINGS, 77, &mut bytes).unwrap();
        let silence = vec![0; writer.frame_samples()];
        for frame in left.chunks(writer.frame_samples()) {
            let mut whole = frame.to_vec();
            whole.resize(silence.len(), 0);
            writer.write(&whole, &silence, &mut bytes).unwrap();
        }
        writer.finish(left.len() as u64, &mut bytes).unwrap();
        bytes
    }

    fn tone(samples: usize) -> Vec<i16> {
        let mut pcm = vec![0; samples];
        Oscillator::new(&[440.0], -4.0, 8_000).fill(&mut pcm);
        pcm
    }

    #[test]
    fn reads_what_it_wrote_to_the_sample() {
        let mut pcm = vec![0; 4_000];
        pcm.extend(tone(8_123));
        let sound = read(&file(&pcm)).unwrap();
        assert_eq!((sound.narrow.len(), sound.wide.unwrap().len()), (12_123, 24_246));
        // The other channel is silent: half of the tone is left in the mix.
        let level = tone_level_dbm0(&sound.narrow[4_800..12_000], 440.0, 8_000);
        assert!((level - -10.0).abs() < 1.0, "{level} dBm0");
        let begin = sound.narrow.iter().position(|sample| sample.abs() > 1_000).unwrap();
        assert!((3_990..4_020).contains(&begin), "the tone begins at {begin}");
    }

    #[test]
    fn the_gain_of_the_header_is_applied() {
        let packed = Packed::read(&file(&tone(8_000))).unwrap();
        let quieter = Packed { head: Head { gain: -6 * 256, ..packed.head }, ..packed };
        let level = level_dbm0(&quieter.decode(8_000).unwrap()[800..]);
        assert!((level - -16.0).abs() < 1.0, "{level} dBm0");
    }

    #[test]
    fn a_file_that_was_cut_off_plays_up_to_there() {
        let mut bytes = file(&tone(24_000));
        bytes.truncate(bytes.len() - 10);
        let seconds = read(&bytes).unwrap().narrow.len() / 8_000;
        assert!((1..3).contains(&seconds), "{seconds} s");
    }

    #[test]
    fn says_why_it_cannot_read() {
        let mut surround = head(48_000);
        surround[9] = 6;
        assert!(matches!(Head::parse(&surround), Err(FileError::Unsupported(_))));
        assert!(matches!(Head::parse(&surround[..12]), Err(FileError::Damaged(_))));
        let (mut vorbis, mut pages) = (Vec::new(), ogg::Writer::new(1));
        pages.add(b"\x01vorbis");
        pages.finish_page(0, true, &mut vorbis);
        assert!(matches!(read(&vorbis), Err(FileError::Unsupported(_))));
    }

    #[test]
    fn frames_of_any_length_are_parted_again() {
        for len in [0, 1, 251, 252, 253, 600, 1_275] {
            let packet = [vec![8], vec![5; len]].concat();
            let mut both = Vec::new();
            delimit(&packet, &mut both).unwrap();
            both.extend([8, 9]);
            assert_eq!(undelimit(&both).unwrap(), (packet, &[8, 9][..]));
        }
    }

    proptest! {
        #[test]
        fn any_packets_end_in_audio_or_an_error(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..5)) {
            let (mut bytes, mut pages) = (Vec::new(), ogg::Writer::new(1));
            for packet in [head(8_000), tags()].iter().chain(&packets) {
                pages.add(packet);
                pages.finish_page(u64::from(packets[0].first().copied().unwrap_or(0)), false, &mut bytes);
            }
            let _ = read(&bytes);
            let _ = Head::parse(&packets[0]);
        }
    }
}
