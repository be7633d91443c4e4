//! Speex, narrow-band and wide-band, by way of libspeex where it is installed: frames of 20 ms, several in a packet.
//!
//! Owns the library's encoder and decoder states behind a safe face, and the packing of frames. What a receiver asks for
//! (`mode`, `vbr`, `cng`) is followed. The library conceals losses and makes comfort noise by itself. RFC 5574.

mod drift;
mod library;
mod packing;

use super::{CodecError, Encoded, EncoderSettings, MAX_PACKET_MS};
use drift::Drift;
use library::{Band, Library, RawDecoder, RawEncoder, Request};

/// Milliseconds of a frame.
const FRAME_MS: u32 = 20;

/// Frames of a packet, at most.
const MAX_FRAMES: usize = (MAX_PACKET_MS / FRAME_MS) as usize;

/// Samples of a frame, at most.
const MAX_FRAME_SAMPLES: usize = 320;

/// Bytes of a packet, at most: six frames of the highest mode of both bands.
pub(super) const MAX_PAYLOAD_BYTES: usize = 640;

/// Quality where the receiver names no mode: 15 kbit/s of narrow band, 27.8 kbit/s of wide band. RFC 5574 section 3.2 has
/// 8 kbit/s stand for an absent wish of narrow band, with any other mode allowed, and that is hardly a telephone.
const QUALITY: i32 = 8;

/// The highest mode that either band has.
const MAX_MODE: u8 = 10;

/// Whether libspeex is there. Looks for it at the first call, which takes a while.
#[must_use]
pub fn is_available() -> bool {
    Library::load().is_some()
}

/// What the receiver of a stream asked for in `fmtp` (RFC 5574 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parameters {
    /// The first of its `mode`s: a mode of narrow band from 1 to 8, a quality of wide band from 0 to 10.
    pub mode: Option<u8>,
    /// `vbr`: the bit rate may follow the sound.
    pub rate: Rate,
    /// `cng`: it makes comfort noise, so silence need not be sent.
    pub comfort_noise: bool,
}

/// What may become of the bit rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rate {
    /// It is constant.
    #[default]
    Constant,
    /// It is constant in speech, and low in silence.
    SpeechOnly,
    /// It follows the sound.
    Variable,
}

impl Parameters {
    /// Reads `fmtp` pairs; what is unknown or makes no sense counts as absent.
    pub(super) fn from_fmtp<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut parameters = Self::default();
        for (name, value) in pairs {
            let value = value.trim_matches('"');
            match name {
                "mode" => {
                    // Behind `any`, nothing is wished for any more.
                    let mut modes = value.split(',').map(str::trim).take_while(|mode| *mode != "any");
                    parameters.mode = modes.find_map(|mode| mode.parse().ok().filter(|mode| *mode <= MAX_MODE));
                }
                "vbr" => {
                    parameters.rate = match value {
                        "on" => Rate::Variable,
                        "vad" => Rate::SpeechOnly,
                        _ => Rate::Constant,
                    };
                }
                "cng" => parameters.comfort_noise = value == "on",
                _ => {}
            }
        }
        parameters
    }
}

/// How many frames `payload` holds; None if it is no packet.
pub(super) fn frame_count(payload: &[u8]) -> Option<usize> {
    let contents = packing::contents(payload).filter(|contents| contents.frames <= MAX_FRAMES);
    contents.filter(|_| payload.len() <= MAX_PAYLOAD_BYTES).map(|contents| contents.frames)
}

/// Writes so many frames of nothing into the front of `payload`. Returns the length; None if they do not fit.
pub(super) fn write_silence(frames: usize, payload: &mut [u8]) -> Option<usize> {
    packing::write_silence(frames, payload)
}

/// The band whose sample rate, and RTP clock, this is.
fn band(sample_rate_hz: u32) -> Result<Band, CodecError> {
    match sample_rate_hz {
        8_000 => Ok(Band::Narrow),
        16_000 => Ok(Band::Wide),
        _ => Err(CodecError::BadSampleRate),
    }
}

const fn frame_samples(sample_rate_hz: u32) -> usize {
    (sample_rate_hz / 1_000 * FRAME_MS) as usize
}

/// Packs whole packets.
pub(super) struct Encoder {
    raw: RawEncoder,
    sample_rate_hz: u32,
}

impl Encoder {
    /// `clock_rate_hz`: of the payload format. Fails with [`CodecError::BadSampleRate`] if the PCM has another rate, and
    /// with [`CodecError::UnknownName`] if libspeex is missing.
    pub(super) fn new(clock_rate_hz: u32, settings: &EncoderSettings, asked: Parameters) -> Result<Self, CodecError> {
        let sample_rate_hz = settings.sample_rate_hz;
        if sample_rate_hz != clock_rate_hz {
            return Err(CodecError::BadSampleRate);
        }
        let band = band(sample_rate_hz)?;
        let library = Library::load().ok_or(CodecError::UnknownName)?;
        let mut raw = RawEncoder::new(library, band, frame_samples(sample_rate_hz)).ok_or(CodecError::Library(0))?;
        raw.set(Request::SetQuality, QUALITY);
        match (band, asked.mode) {
            (Band::Narrow, Some(mode @ 1..=8)) => raw.set(Request::SetMode, i32::from(mode)),
            (Band::Wide, Some(quality @ 0..=10)) => raw.set(Request::SetQuality, i32::from(quality)),
            _ => {}
        }
        // The library's scale goes as far as that of Opus; above 4 hardly anything is won.
        raw.set(Request::SetComplexity, i32::from(settings.complexity.unwrap_or(4).clamp(1, 4)));
        raw.set(Request::SetVbr, i32::from(asked.rate == Rate::Variable));
        raw.set(Request::SetVad, i32::from(asked.rate == Rate::SpeechOnly || asked.comfort_noise));
        raw.set(Request::SetDtx, i32::from(asked.comfort_noise));
        Ok(Self { raw, sample_rate_hz })
    }
}

impl super::Encoder for Encoder {
    fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    fn is_frame_length(&self, samples: usize) -> bool {
        let frame = frame_samples(self.sample_rate_hz);
        samples.is_multiple_of(frame) && (1..=MAX_FRAMES).contains(&(samples / frame))
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<Encoded, CodecError> {
        if !self.is_frame_length(pcm.len()) {
            return Err(CodecError::BadFrameLength);
        }
        self.raw.begin();
        let mut is_sent = false;
        let mut room = [0; MAX_FRAME_SAMPLES];
        for pcm in pcm.chunks(frame_samples(self.sample_rate_hz)) {
            let frame = &mut room[..pcm.len()];
            frame.copy_from_slice(pcm);
            is_sent |= self.raw.add(frame);
        }
        let len = self.raw.finish(payload).ok_or(CodecError::OutputTooSmall)?;
        Ok(if is_sent { Encoded::Payload(len) } else { Encoded::Silence })
    }

    fn reset(&mut self) {
        self.raw.set(Request::ResetState, 0);
    }
}

/// Unpacks whole packets.
pub(super) struct Decoder {
    raw: RawDecoder,
    sample_rate_hz: u32,
    /// The second half of a frame that was made up for a gap of 10 ms.
    spare: [i16; MAX_FRAME_SAMPLES / 2],
    has_spare: bool,
    /// A frame was decoded, so that there is something to go on from. The library's state is never right again once it
    /// has made up a frame before the first (1.2.1: its memories then hold no numbers, and a reset leaves them).
    has_history: bool,
    drift: Drift,
}

impl Decoder {
    /// `clock_rate_hz`: of the payload format. Fails with [`CodecError::BadSampleRate`] for any other rate, and with
    /// [`CodecError::UnknownName`] if libspeex is missing.
    pub(super) fn new(clock_rate_hz: u32, sample_rate_hz: u32) -> Result<Self, CodecError> {
        if sample_rate_hz != clock_rate_hz {
            return Err(CodecError::BadSampleRate);
        }
        let band = band(sample_rate_hz)?;
        let library = Library::load().ok_or(CodecError::UnknownName)?;
        let mut raw = RawDecoder::new(library, band, frame_samples(sample_rate_hz)).ok_or(CodecError::Library(0))?;
        raw.set(Request::SetEnhancement, 1);
        Ok(Self {
            raw,
            sample_rate_hz,
            spare: [0; MAX_FRAME_SAMPLES / 2],
            has_spare: false,
            has_history: false,
            drift: Drift::new(),
        })
    }

    fn make_up(&mut self, frame: &mut [i16]) {
        if !self.has_history || !self.raw.next(frame, true) {
            frame.fill(0);
        }
        self.drift.begin(frame);
    }
}

impl super::Decoder for Decoder {
    fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    fn packet_samples(&self, payload: &[u8]) -> Option<usize> {
        let layers = usize::from(self.sample_rate_hz > 8_000);
        let is_ours = packing::contents(payload).is_some_and(|contents| contents.layers <= layers);
        frame_count(payload).filter(|_| is_ours).map(|frames| frames * frame_samples(self.sample_rate_hz))
    }

    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        let samples = self.packet_samples(payload).ok_or(CodecError::Malformed)?;
        let pcm = pcm.get_mut(..samples).ok_or(CodecError::OutputTooSmall)?;
        self.has_spare = false;
        self.raw.begin(payload);
        let mut is_sound = true;
        for frame in pcm.chunks_mut(frame_samples(self.sample_rate_hz)) {
            is_sound = is_sound && self.raw.next(frame, false);
            self.has_history |= is_sound;
            if is_sound {
                self.drift.bound(frame);
            } else {
                // Contents that the library refuses, of a structure that is right: as good as lost.
                self.make_up(frame);
            }
        }
        Ok(samples)
    }

    fn is_silence(&self, payload: &[u8]) -> bool {
        packing::contents(payload).is_some_and(|contents| contents.is_silence)
    }

    fn conceal(&mut self, pcm: &mut [i16]) -> bool {
        let half = frame_samples(self.sample_rate_hz) / 2;
        for piece in pcm.chunks_mut(half) {
            if std::mem::take(&mut self.has_spare) {
                piece.copy_from_slice(&self.spare[..piece.len()]);
                continue;
            }
            let mut room = [0; MAX_FRAME_SAMPLES];
            let frame = &mut room[..2 * half];
            self.make_up(frame);
            let (first, second) = frame.split_at(half);
            piece.copy_from_slice(&first[..piece.len()]);
            self.spare[..half].copy_from_slice(second);
            self.has_spare = true;
        }
        true
    }

    fn reset(&mut self) {
        self.raw.set(Request::ResetState, 0);
        self.has_spare = false;
        self.has_history = false;
        self.drift = Drift::new();
    }
}

#[cfg(test)]
mod tests;
