//! G.729 with Annexes A and B: 8 kbit/s, frames of 10 ms in 10 bytes; silence as descriptions of 2 bytes, or as nothing.
//!
//! Owns the codec and the packing of its frames. Bit-exact as the fixed-point description of the Recommendation defines
//! it, whose names the modules and functions bear. State is fixed and made once; any bytes and any samples are taken.
//! Must not know of packets, clocks or timers, like its neighbours.
//!
//! ITU-T G.729 (the codec), Annex A (reduced complexity), Annex B (voice activity detection, discontinuous transmission,
//! comfort noise); RFC 3551 section 4.5.6 (packing), RFC 4856 section 2.1.9 and RFC 7261 (`annexb`).

mod adaptive_codebook;
mod bitstream;
mod doubts;
mod filters;
mod fixed_codebook;
mod frame_decoder;
mod frame_encoder;
mod functions;
mod gain;
mod gain_quantizer;
mod lp_analysis;
mod lsp;
mod lsp_quantizer;
mod lsp_tables;
mod operators;
mod pitch;
mod postfilter;
mod silence;
mod tables;
mod taming;

use super::{CodecError, Encoded, EncoderSettings, MAX_PACKET_MS};
use crate::dsp::ceiling::DoubtCeiling;
use bitstream::{Frame, SID_BYTES, SPEECH_BYTES, Sid, Speech};
use frame_decoder::FrameDecoder;
use frame_encoder::FrameEncoder;

const SAMPLE_RATE_HZ: u32 = 8_000;
/// Samples of a frame.
const L_FRAME: usize = 80;
/// Samples of a subframe.
const L_SUBFR: usize = 40;
/// Order of the linear prediction.
const M: usize = 10;
/// Range of the pitch lag in samples.
const PIT_MIN: usize = 20;
const PIT_MAX: usize = 143;
/// Least pitch sharpening: 0.2, Q14.
const SHARPMIN: i16 = 3_277;

/// Frames of a packet, at most.
const MAX_FRAMES: usize = (MAX_PACKET_MS / 10) as usize;

/// 10 ms of digital silence as the encoder codes it, for streams of speech that must not be heard.
pub(super) const SILENT_FRAME: [u8; SPEECH_BYTES] = [0x78, 0x52, 0x80, 0xa0, 0x00, 0xfa, 0xc2, 0x00, 0x07, 0xd6];

/// What the receiver of a stream asked for in `fmtp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// It takes descriptions of silence, and then nothing (`annexb`, which is "yes" where it is absent).
    pub annex_b: bool,
}

impl Parameters {
    /// `parameters`: (name, value) pairs of `fmtp`; whatever is not "no" means "yes" (RFC 7261 section 3.1).
    pub(super) fn from_fmtp<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let is_no =
            |(name, value): (&str, &str)| name.eq_ignore_ascii_case("annexb") && value.eq_ignore_ascii_case("no");
        Self { annex_b: !parameters.into_iter().any(is_no) }
    }

    /// Whether the receiver takes `payload`, as far as descriptions of silence go.
    pub(super) fn allow(self, payload: &[u8]) -> bool {
        self.annex_b || !has_description(payload)
    }
}

/// Whether `payload` ends with a description of silence.
fn has_description(payload: &[u8]) -> bool {
    payload.len() % SPEECH_BYTES == SID_BYTES
}

/// How many frames `payload` holds, the description of silence among them; None if it is no packet.   RFC 3551 4.5.6.
pub(super) fn frame_count(payload: &[u8]) -> Option<usize> {
    let description = match payload.len() % SPEECH_BYTES {
        0 => 0,
        SID_BYTES => 1,
        _ => return None,
    };
    let frames = payload.len() / SPEECH_BYTES + description;
    (1..=MAX_FRAMES).contains(&frames).then_some(frames)
}

/// Packs whole packets.
pub(super) struct Encoder {
    frames: FrameEncoder,
    parameters: Parameters,
}

impl Encoder {
    /// Fails with [`CodecError::BadSampleRate`] for any rate but 8,000 Hz.
    pub(super) fn new(settings: &EncoderSettings, parameters: Parameters) -> Result<Self, CodecError> {
        if settings.sample_rate_hz == SAMPLE_RATE_HZ {
            Ok(Self { frames: FrameEncoder::new(parameters.annex_b), parameters })
        } else {
            Err(CodecError::BadSampleRate)
        }
    }

    /// Codes frames until one cannot follow another in a packet: speech does not follow silence. Returns the bytes.
    fn pack(&mut self, pcm: &[i16], payload: &mut [u8]) -> Option<usize> {
        let mut speech = 0;
        let mut description = None;
        let mut is_silent = false;
        for pcm in pcm.as_chunks::<L_FRAME>().0 {
            match self.frames.encode(pcm) {
                Frame::Speech(_) if is_silent => return None,
                Frame::Speech(frame) => {
                    frame.write(payload[speech..].first_chunk_mut()?);
                    speech += SPEECH_BYTES;
                }
                Frame::Sid(sid) => (description, is_silent) = (Some(sid), true),
                Frame::Untransmitted | Frame::Lost => is_silent = true,
            }
        }
        let Some(sid) = description else { return Some(speech) };
        // The last of several: it describes the noise best.
        payload[speech..].first_chunk_mut().map(|bytes| *bytes = sid.write())?;
        Some(speech + SID_BYTES)
    }
}

impl super::Encoder for Encoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn is_frame_length(&self, samples: usize) -> bool {
        samples.is_multiple_of(L_FRAME) && (1..=MAX_FRAMES).contains(&(samples / L_FRAME))
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<Encoded, CodecError> {
        if !self.is_frame_length(pcm.len()) {
            return Err(CodecError::BadFrameLength);
        }
        let payload = payload.get_mut(..pcm.len() / L_FRAME * SPEECH_BYTES).ok_or(CodecError::OutputTooSmall)?;
        let before = self.parameters.annex_b.then(|| self.frames.clone());
        let len = match (self.pack(pcm, payload), before) {
            (Some(len), _) => len,
            (None, Some(before)) => {
                // Somebody begins to speak amid the packet, and a description can only stand at its end: speech then.
                self.frames = before;
                self.frames.suspend_silence(true);
                let len = self.pack(pcm, payload).unwrap_or(0);
                self.frames.suspend_silence(false);
                len
            }
            (None, None) => 0,
        };
        Ok(if len == 0 { Encoded::Silence } else { Encoded::Payload(len) })
    }

    fn reset(&mut self) {
        self.frames = FrameEncoder::new(self.parameters.annex_b);
    }
}

/// Unpacks whole packets.
pub(super) struct Decoder {
    frames: FrameDecoder,
    ceiling: DoubtCeiling,
    parameters: Parameters,
}

impl Decoder {
    /// Of a stream that was asked for with these parameters: where they forbid descriptions of silence, packets with one
    /// are malformed. Fails with [`CodecError::BadSampleRate`] for any rate but 8,000 Hz.
    pub(super) fn new(sample_rate_hz: u32, parameters: Parameters) -> Result<Self, CodecError> {
        if sample_rate_hz == SAMPLE_RATE_HZ {
            Ok(Self { frames: FrameDecoder::new(), ceiling: DoubtCeiling::new(SAMPLE_RATE_HZ), parameters })
        } else {
            Err(CodecError::BadSampleRate)
        }
    }
}

impl super::Decoder for Decoder {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    fn packet_samples(&self, payload: &[u8]) -> Option<usize> {
        let frames = frame_count(payload).filter(|_| self.parameters.allow(payload))?;
        Some(frames * L_FRAME)
    }

    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        let samples = self.packet_samples(payload).ok_or(CodecError::Malformed)?;
        let (pcm, _) = pcm.get_mut(..samples).ok_or(CodecError::OutputTooSmall)?.as_chunks_mut::<L_FRAME>();
        let (frames, rest) = payload.as_chunks::<SPEECH_BYTES>();
        let speech = frames.iter().map(Speech::read);
        // No bits are lost on a datagram's way. Of random frames every second one has a wrong parity.
        if !speech.clone().all(|speech| speech.has_right_parity()) {
            self.ceiling.doubt();
        }
        let description = rest.first_chunk().map(|&bytes| Frame::Sid(Sid::read(bytes)));
        for (frame, pcm) in speech.map(Frame::Speech).chain(description).zip(pcm) {
            self.frames.decode(frame, pcm);
            self.ceiling.bound(pcm);
        }
        Ok(samples)
    }

    fn is_silence(&self, payload: &[u8]) -> bool {
        has_description(payload)
    }

    /// Amid speech the frames count as lost, after a description of silence as not sent.
    fn conceal(&mut self, pcm: &mut [i16]) -> bool {
        let (frames, rest) = pcm.as_chunks_mut::<L_FRAME>();
        for pcm in frames {
            self.frames.decode(Frame::Lost, pcm);
            self.ceiling.bound(pcm);
        }
        rest.fill(0);
        true
    }

    fn reset(&mut self) {
        self.frames = FrameDecoder::new();
        self.ceiling = DoubtCeiling::new(SAMPLE_RATE_HZ);
    }
}

#[cfg(test)]
mod tests;
