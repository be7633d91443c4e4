//! Opus by way of libopus, which `opusic-sys` builds and links.
//!
//! Owns the library's encoder and decoder states behind a safe face: each is allocated once, freed once and never shared.
//! PCM is mono at any of Opus' own rates, so that no resampler is needed beside G.711; stereo packets are mixed down by
//! the library. RFC 6716 (codec), 7587 (RTP payload).
#![expect(unsafe_code, reason = "libopus is a C library; every call into it is in this file")]

mod modes;

use std::ffi::c_int;
use std::ptr::NonNull;

use opusic_sys as ffi;

use super::{CodecError, Encoded, EncoderSettings, MAX_PACKET_MS};
use crate::dsp::ceiling::{DoubtCeiling, power};
use crate::dsp::to_i16;
use modes::Modes;

/// Rates that libopus can run at, lowest first.
const SAMPLE_RATES_HZ: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];

/// Bitrates that the encoder accepts (RFC 6716 section 2.1.1), in bits per second.
const BITRATES_BPS: std::ops::RangeInclusive<u32> = 6_000..=510_000;

/// Frame lengths of the encoder in units of 2.5 ms (RFC 6716 section 2.1.4 and packets of several frames).
const FRAME_LENGTHS: [usize; 9] = [1, 2, 4, 8, 16, 24, 32, 40, 48];

/// A TOC byte with an empty or one-byte frame is how encoders say that a frame need not be sent (DTX).
const LONGEST_SILENCE_BYTES: usize = 2;

/// What the receiver of an Opus stream asked for (RFC 7587 section 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// `maxaveragebitrate`, in bits per second: the receiver's upper limit.
    pub max_average_bitrate_bps: Option<u32>,
    /// `maxplaybackrate`: more bandwidth than this is wasted on the receiver.
    pub max_playback_rate_hz: u32,
    /// `useinbandfec`: the receiver can make use of in-band FEC.
    pub use_inband_fec: bool,
    /// `usedtx`: the receiver would have us stop sending in silence.
    pub use_dtx: bool,
    /// `cbr`: the receiver wants a constant bitrate.
    pub is_constant_bitrate: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            max_average_bitrate_bps: None,
            max_playback_rate_hz: 48_000,
            use_inband_fec: false,
            use_dtx: false,
            is_constant_bitrate: false,
        }
    }
}

impl Parameters {
    /// Reads `fmtp` pairs; what is unknown or makes no sense counts as absent.
    pub(super) fn from_fmtp<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut parameters = Self::default();
        for (name, value) in pairs {
            match name {
                "maxaveragebitrate" => {
                    parameters.max_average_bitrate_bps = value.parse().ok().filter(|bps| BITRATES_BPS.contains(bps));
                }
                "maxplaybackrate" => {
                    if let Some(rate) = value.parse().ok().filter(|rate| (8_000..=48_000).contains(rate)) {
                        parameters.max_playback_rate_hz = rate;
                    }
                }
                "useinbandfec" => parameters.use_inband_fec = value == "1",
                "usedtx" => parameters.use_dtx = value == "1",
                "cbr" => parameters.is_constant_bitrate = value == "1",
                _ => {}
            }
        }
        parameters
    }
}

/// Turns the library's answer into a count or an error.
fn count(answer: c_int) -> Result<usize, CodecError> {
    usize::try_from(answer).map_err(|_| match answer {
        ffi::OPUS_INVALID_PACKET => CodecError::Malformed,
        ffi::OPUS_BUFFER_TOO_SMALL => CodecError::OutputTooSmall,
        other => CodecError::Library(other),
    })
}

/// A length as the library takes it. Payloads and frames are far below 2^31; a longer one is cut, which is safe.
fn length(len: usize) -> c_int {
    c_int::try_from(len).unwrap_or(c_int::MAX)
}

fn rate(sample_rate_hz: u32) -> Result<c_int, CodecError> {
    if !SAMPLE_RATES_HZ.contains(&sample_rate_hz) {
        return Err(CodecError::BadSampleRate);
    }
    c_int::try_from(sample_rate_hz).map_err(|_| CodecError::BadSampleRate)
}

/// The lowest rate that holds all that PCM at `other_hz` can have.
pub(super) fn rate_beside(other_hz: u32) -> u32 {
    SAMPLE_RATES_HZ.into_iter().find(|rate_hz| *rate_hz >= other_hz).unwrap_or(48_000)
}

/// Samples of `units` times 2.5 ms.
const fn samples(sample_rate_hz: u32, units: usize) -> usize {
    sample_rate_hz as usize / 400 * units
}

/// An Opus encoder for mono speech.
pub(super) struct Encoder {
    state: NonNull<ffi::OpusEncoder>,
    sample_rate_hz: u32,
    /// The frame before this one was silence (DTX).
    is_silent: bool,
    /// The complexity is not given and depends on the loss.
    is_adaptive: bool,
}

// SAFETY: the state is plain memory that only this value points to; libopus keeps no thread-local or global state, so
// it may be used from any one thread at a time, which `&mut self` ensures.
unsafe impl Send for Encoder {}

impl Encoder {
    pub(super) fn new(settings: &EncoderSettings, asked: &Parameters) -> Result<Self, CodecError> {
        let rate_hz = rate(settings.sample_rate_hz)?;
        let mut error = ffi::OPUS_OK;
        let application = application(settings.sample_rate_hz);
        // SAFETY: any arguments are allowed; `error` outlives the call. The result is null or a state that is ours.
        let state = unsafe { ffi::opus_encoder_create(rate_hz, 1, application, &raw mut error) };
        let state = NonNull::new(state).ok_or(CodecError::Library(error))?;
        let is_adaptive = settings.complexity.is_none() && asked.use_inband_fec;
        let mut encoder = Self { state, sample_rate_hz: settings.sample_rate_hz, is_silent: false, is_adaptive };
        let bitrate_bps = settings
            .bitrate_bps
            .min(asked.max_average_bitrate_bps.unwrap_or(u32::MAX))
            .clamp(*BITRATES_BPS.start(), *BITRATES_BPS.end());
        encoder.set(ffi::OPUS_SET_SIGNAL_REQUEST, ffi::OPUS_SIGNAL_VOICE)?;
        let is_protected = asked.use_inband_fec && settings.expected_loss_percent > 0;
        let complexity = settings.complexity.unwrap_or(complexity_at(settings.sample_rate_hz, is_protected));
        encoder.set(ffi::OPUS_SET_COMPLEXITY_REQUEST, c_int::from(complexity.min(10)))?;
        encoder.set(ffi::OPUS_SET_BITRATE_REQUEST, c_int::try_from(bitrate_bps).unwrap_or(c_int::MAX))?;
        encoder.set(ffi::OPUS_SET_MAX_BANDWIDTH_REQUEST, max_bandwidth(asked.max_playback_rate_hz))?;
        encoder.set(ffi::OPUS_SET_VBR_REQUEST, c_int::from(!asked.is_constant_bitrate))?;
        encoder.set(ffi::OPUS_SET_INBAND_FEC_REQUEST, c_int::from(asked.use_inband_fec))?;
        encoder.set(ffi::OPUS_SET_DTX_REQUEST, c_int::from(asked.use_dtx))?;
        encoder.set(ffi::OPUS_SET_PACKET_LOSS_PERC_REQUEST, c_int::from(settings.expected_loss_percent.min(100)))?;
        Ok(encoder)
    }

    /// One setting that takes an integer.
    fn set(&mut self, request: c_int, value: c_int) -> Result<(), CodecError> {
        // SAFETY: the state is live, and each request used in this file takes exactly one `opus_int32`.
        count(unsafe { ffi::opus_encoder_ctl(self.state.as_ptr(), request, value) }).map(|_| ())
    }
}

/// The least complexity whose sound is as good to the ear as that of a higher one, by PESQ (benches/README.md).
///
/// Below 2, libopus 1.6 takes a fifth of the bit rate for lost and adds no redundancy unless the rest is plenty
/// (`compute_equiv_rate`, `decide_fec`): so 2 where there is to be some.
const fn complexity_at(sample_rate_hz: u32, is_protected: bool) -> u8 {
    match (sample_rate_hz, is_protected) {
        (..=8_000, false) => 0,
        (..=16_000, _) => 2,
        _ => 5,
    }
}

/// Below 24 kHz speech is SILK's anyway: without the other layer an encoder is a quarter smaller and somewhat faster.
const fn application(sample_rate_hz: u32) -> c_int {
    if sample_rate_hz <= 16_000 { ffi::OPUS_APPLICATION_RESTRICTED_SILK } else { ffi::OPUS_APPLICATION_VOIP }
}

/// The library's name for the bandwidth that fits a playback rate (RFC 7587 section 3.1.1).
const fn max_bandwidth(playback_rate_hz: u32) -> c_int {
    match playback_rate_hz {
        0..12_000 => ffi::OPUS_BANDWIDTH_NARROWBAND,
        12_000..16_000 => ffi::OPUS_BANDWIDTH_MEDIUMBAND,
        16_000..24_000 => ffi::OPUS_BANDWIDTH_WIDEBAND,
        24_000..48_000 => ffi::OPUS_BANDWIDTH_SUPERWIDEBAND,
        _ => ffi::OPUS_BANDWIDTH_FULLBAND,
    }
}

impl super::Encoder for Encoder {
    fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    fn is_frame_length(&self, frame: usize) -> bool {
        // SILK has no frame below 10 ms (RFC 6716 section 2.1.4).
        let is_silk = application(self.sample_rate_hz) == ffi::OPUS_APPLICATION_RESTRICTED_SILK;
        let mut lengths = FRAME_LENGTHS.iter().filter(|&&units| !is_silk || units >= 4);
        lengths.any(|&units| samples(self.sample_rate_hz, units) == frame)
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<Encoded, CodecError> {
        if !self.is_frame_length(pcm.len()) {
            return Err(CodecError::BadFrameLength);
        }
        let (frame, room) = (length(pcm.len()), length(payload.len()));
        // SAFETY: the state is live and mono, so it reads `pcm.len()` samples and writes at most `payload.len()` bytes.
        let answer = unsafe { ffi::opus_encode(self.state.as_ptr(), pcm.as_ptr(), frame, payload.as_mut_ptr(), room) };
        let bytes = count(answer)?;
        let was_silent = std::mem::replace(&mut self.is_silent, bytes <= LONGEST_SILENCE_BYTES);
        // The first frame of a silence is sent all the same: it tells the receiver that what follows is no loss.
        Ok(if self.is_silent && was_silent { Encoded::Silence } else { Encoded::Payload(bytes) })
    }

    fn set_expected_loss(&mut self, percent: u8) {
        // Cannot fail: the value is in range and the state live. If it did, the old setting would stay.
        let _ = self.set(ffi::OPUS_SET_PACKET_LOSS_PERC_REQUEST, c_int::from(percent.min(100)));
        if self.is_adaptive {
            let complexity = complexity_at(self.sample_rate_hz, percent > 0);
            let _ = self.set(ffi::OPUS_SET_COMPLEXITY_REQUEST, c_int::from(complexity));
        }
    }

    fn reset(&mut self) {
        // SAFETY: the state is live; the request takes no argument and keeps the settings.
        unsafe { ffi::opus_encoder_ctl(self.state.as_ptr(), ffi::OPUS_RESET_STATE) };
        self.is_silent = false;
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: made by `opus_encoder_create` and never handed out, so this is the only release.
        unsafe { ffi::opus_encoder_destroy(self.state.as_ptr()) };
    }
}

/// An Opus decoder to mono.
pub(super) struct Decoder {
    state: NonNull<ffi::OpusDecoder>,
    sample_rate_hz: u32,
    rate_hz: c_int,
    /// Mean square of the frame decoded last.
    power: f64,
    modes: Modes,
    ceiling: DoubtCeiling,
}

// SAFETY: as for `Encoder`.
unsafe impl Send for Decoder {}

impl Decoder {
    pub(super) fn new(sample_rate_hz: u32) -> Result<Self, CodecError> {
        let rate_hz = rate(sample_rate_hz)?;
        let mut error = ffi::OPUS_OK;
        // SAFETY: any arguments are allowed; `error` outlives the call. The result is null or a state that is ours.
        let state = unsafe { ffi::opus_decoder_create(rate_hz, 1, &raw mut error) };
        let state = NonNull::new(state).ok_or(CodecError::Library(error))?;
        Ok(Self {
            state,
            sample_rate_hz,
            rate_hz,
            power: 0.0,
            modes: Modes::new(),
            ceiling: DoubtCeiling::new(sample_rate_hz),
        })
    }

    /// Runs the decoder over `payload` (None: conceal) into `pcm`.
    fn run(&mut self, payload: Option<&[u8]>, pcm: &mut [i16], use_fec: bool) -> Result<usize, CodecError> {
        let (data, bytes) = payload.map_or((std::ptr::null(), 0), |bytes| (bytes.as_ptr(), length(bytes.len())));
        // SAFETY: the state is live and mono, so it reads `bytes` bytes (or takes null as a loss) and writes at most
        // `pcm.len()` samples; the library checks every length field of the payload.
        count(unsafe {
            ffi::opus_decode(
                self.state.as_ptr(),
                data,
                bytes,
                pcm.as_mut_ptr(),
                length(pcm.len()),
                c_int::from(use_fec),
            )
        })
    }
}

impl super::Decoder for Decoder {
    fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    fn packet_samples(&self, payload: &[u8]) -> Option<usize> {
        if payload.is_empty() {
            return None;
        }
        // SAFETY: reads at most `payload.len()` bytes, which is not 0.
        let answer = unsafe { ffi::opus_packet_get_nb_samples(payload.as_ptr(), length(payload.len()), self.rate_hz) };
        count(answer).ok().filter(|&samples| samples > 0)
    }

    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        let samples = self.packet_samples(payload).ok_or(CodecError::Malformed)?;
        let pcm = pcm.get_mut(..samples).ok_or(CodecError::OutputTooSmall)?;
        let samples = self.run(Some(payload), pcm, false)?;
        if self.modes.are_changing(payload) {
            self.ceiling.doubt();
        }
        self.ceiling.bound(pcm);
        self.power = power(pcm);
        Ok(samples)
    }

    fn is_silence(&self, payload: &[u8]) -> bool {
        payload.len() <= LONGEST_SILENCE_BYTES
    }

    fn has_redundancy(&self, payload: &[u8]) -> bool {
        // SAFETY: reads at most `payload.len()` bytes, which is not 0.
        !payload.is_empty() && unsafe { ffi::opus_packet_has_lbrr(payload.as_ptr(), length(payload.len())) } == 1
    }

    fn decode_redundancy(&mut self, following: &[u8], pcm: &mut [i16]) -> Result<(), CodecError> {
        if following.is_empty() || pcm.len() > samples(self.sample_rate_hz, MAX_PACKET_MS as usize * 2 / 5) {
            return Err(CodecError::Malformed);
        }
        self.run(Some(following), pcm, true).map(|_| ())
    }

    fn conceal(&mut self, pcm: &mut [i16]) -> bool {
        if self.run(None, pcm, false).is_err() {
            return false;
        }
        // libopus 1.6 may ring at full scale when it conceals a steady tone that was coded at 8 kHz (a dial tone, say):
        // nothing made up is louder than what was heard.
        let excess = power(pcm) / self.power.max(1.0);
        if excess > 1.0 {
            let gain = excess.sqrt().recip();
            for sample in pcm {
                *sample = to_i16(f64::from(*sample) * gain);
            }
        }
        true
    }

    fn reset(&mut self) {
        // SAFETY: the state is live; the request takes no argument.
        unsafe { ffi::opus_decoder_ctl(self.state.as_ptr(), ffi::OPUS_RESET_STATE) };
        self.power = 0.0;
        self.modes = Modes::new();
        self.ceiling = DoubtCeiling::new(self.sample_rate_hz);
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: made by `opus_decoder_create` and never handed out, so this is the only release.
        unsafe { ffi::opus_decoder_destroy(self.state.as_ptr()) };
    }
}

#[cfg(test)]
mod tests;
