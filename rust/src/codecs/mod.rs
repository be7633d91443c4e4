//! Speech codecs: from an RTP payload to 16-bit PCM and back.
//!
//! Owns the codec registry ([`Kind`], [`Codec`]), the [`Encoder`] and [`Decoder`] traits and the codecs behind them.
//! State is allocated when a codec is made and never per frame. Must not know of packets, clocks or timers: whoever
//! calls decides what is lost (see [`jitter`](crate::jitter)) and when a frame is due. Payloads come from the network, so
//! every decoder takes any bytes and answers with samples or an error.
//!
//! RFC 3551 (static payload types, G.722, G.729, L16), 5574 (Speex), 7587 (Opus), 3389 (comfort noise), 4733
//! (telephone-event).

mod g711;
mod g722;
mod g729;
mod l16;
mod opus;
mod silence;
mod speex;

pub use g711::{Law, alaw_to_ulaw, ulaw_to_alaw};
pub use g729::Parameters as G729Parameters;
pub use opus::Parameters as OpusParameters;
pub use speex::{Parameters as SpeexParameters, Rate as SpeexRate, is_available as is_speex_available};

use thiserror::Error;

/// The longest stretch of audio that one packet may carry, in milliseconds (RFC 6716 section 3.2, the Opus limit).
pub const MAX_PACKET_MS: u32 = 120;

/// Packet time where nothing else is said (RFC 3551 section 4.2).
pub const USUAL_PTIME_MS: u32 = 20;

/// Why a codec could not be made or a frame not be coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// No codec of ours has this name.
    #[error("unknown codec")]
    UnknownName,
    /// The codec is known, but not with this clock rate or number of channels.
    #[error("clock rate or channels do not fit the codec")]
    BadFormat,
    /// Comfort noise and telephone-events carry no frames to code.
    #[error("the payload format carries no coded audio")]
    NotSpeech,
    /// The codec cannot run at the sample rate asked for.
    #[error("sample rate is not supported by the codec")]
    BadSampleRate,
    /// The bytes are not a frame of this codec.
    #[error("malformed payload")]
    Malformed,
    /// The number of samples is not a frame length of this codec.
    #[error("frame length is not supported by the codec")]
    BadFrameLength,
    /// The caller's buffer cannot hold the result.
    #[error("output buffer is too small")]
    OutputTooSmall,
    /// The codec library failed, with its own error number.
    #[error("codec library error {0}")]
    Library(i32),
}

/// A payload format that we know by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Opus (RFC 7587).
    Opus,
    /// G.711 mu-law (RFC 3551 section 4.5.14).
    Pcmu,
    /// G.711 A-law (RFC 3551 section 4.5.14).
    Pcma,
    /// G.722 at 64 kbit/s (RFC 3551 section 4.5.2).
    G722,
    /// G.729 with Annexes A and B (RFC 3551 section 4.5.6).
    G729,
    /// Speex, narrow-band and wide-band (RFC 5574).
    Speex,
    /// Samples of 16 bits (RFC 3551 section 4.5.11).
    L16,
    /// Comfort noise (RFC 3389).
    Cn,
    /// DTMF and other events (RFC 4733).
    TelephoneEvent,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Opus,
        Self::Pcmu,
        Self::Pcma,
        Self::G722,
        Self::G729,
        Self::Speex,
        Self::L16,
        Self::Cn,
        Self::TelephoneEvent,
    ];

    /// The canonical spelling of the encoding name in `rtpmap`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::G729 => "G729",
            Self::Speex => "speex",
            Self::L16 => "L16",
            Self::Cn => "CN",
            Self::TelephoneEvent => "telephone-event",
        }
    }

    /// The kind with this encoding name, in any case (RFC 8866 section 6.6).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// Whether packets of this kind carry coded audio, so that an encoder and a decoder exist.
    #[must_use]
    pub const fn is_speech(self) -> bool {
        !matches!(self, Self::Cn | Self::TelephoneEvent)
    }
}

/// One negotiated payload format: what `rtpmap` and `fmtp` said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    kind: Kind,
    clock_rate_hz: u32,
    channels: u8,
    opus: OpusParameters,
    g729: G729Parameters,
    speex: SpeexParameters,
}

impl Codec {
    /// Checks a negotiated format and keeps what we use of its parameters.
    ///
    /// `name` in any case; `clock_rate_hz` and `channels` as in `rtpmap`; `parameters` are the (name, value) pairs of
    /// `fmtp` in lower case, and unknown or malformed ones are ignored as RFC 7587 section 7.1 asks.
    /// Fails with [`CodecError::UnknownName`] or [`CodecError::BadFormat`].
    pub fn new<'a>(
        name: &str,
        clock_rate_hz: u32,
        channels: u8,
        parameters: impl IntoIterator<Item = (&'a str, &'a str), IntoIter: Clone>,
    ) -> Result<Self, CodecError> {
        let kind = Kind::from_name(name).ok_or(CodecError::UnknownName)?;
        let fits = match kind {
            // RFC 7587 section 7: always "opus/48000/2", whatever is sent. Some stacks leave the 2 out.
            Kind::Opus => clock_rate_hz == 48_000 && (1..=2).contains(&channels),
            Kind::Pcmu | Kind::Pcma | Kind::G722 | Kind::G729 => clock_rate_hz == 8_000 && channels == 1,
            Kind::Speex => matches!(clock_rate_hz, 8_000 | 16_000) && channels == 1,
            Kind::L16 => l16::has_rate(clock_rate_hz) && channels == 1,
            Kind::Cn | Kind::TelephoneEvent => (8_000..=48_000).contains(&clock_rate_hz) && channels == 1,
        };
        if !fits {
            return Err(CodecError::BadFormat);
        }
        let parameters = parameters.into_iter();
        let g729 = G729Parameters::from_fmtp(parameters.clone());
        let speex = SpeexParameters::from_fmtp(parameters.clone());
        Ok(Self { kind, clock_rate_hz, channels, opus: OpusParameters::from_fmtp(parameters), g729, speex })
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// RTP timestamp units per second.
    #[must_use]
    pub const fn clock_rate_hz(&self) -> u32 {
        self.clock_rate_hz
    }

    /// Channels as in `rtpmap`; the PCM of our encoders and decoders is mono in any case.
    #[must_use]
    pub const fn channels(&self) -> u8 {
        self.channels
    }

    /// Opus parameters that the receiver of this format asked for; defaults for any other kind.
    #[must_use]
    pub const fn opus(&self) -> &OpusParameters {
        &self.opus
    }

    /// G.729 parameters that the receiver of this format asked for; defaults for any other kind.
    #[must_use]
    pub const fn g729(&self) -> &G729Parameters {
        &self.g729
    }

    /// Whether the receiver of this format takes a payload of its codec: not a description of silence that it forbade
    /// (G.729 Annex B).
    #[must_use]
    pub fn takes(&self, payload: &[u8]) -> bool {
        self.kind != Kind::G729 || self.g729.allow(payload)
    }

    /// The sample rate at which nothing of the codec's bandwidth is lost.
    #[must_use]
    pub const fn native_sample_rate_hz(&self) -> u32 {
        match self.kind {
            Kind::Opus => 48_000,
            Kind::G722 => g722::SAMPLE_RATE_HZ,
            Kind::Speex | Kind::L16 => self.clock_rate_hz,
            Kind::Pcmu | Kind::Pcma | Kind::G729 | Kind::Cn | Kind::TelephoneEvent => 8_000,
        }
    }

    /// The rate at which to run this codec beside PCM at `other_hz`, with no resampler if it can be: Opus runs at any of
    /// its rates, so at the lowest that loses nothing of the other side; the others have one rate.
    #[must_use]
    pub fn sample_rate_beside(&self, other_hz: u32) -> u32 {
        match self.kind {
            Kind::Opus => opus::rate_beside(other_hz),
            _ => self.native_sample_rate_hz(),
        }
    }

    /// The packet time that comes nearest to what a far side wants and can be made, in milliseconds: 20 where the codec
    /// has no such packets, or none so long that it crosses a path in one piece.
    ///
    /// Opus has its frame lengths (RFC 6716 section 2.1.4), Speex whole frames (RFC 5574 section 3.3), L16 a bound in
    /// bytes; others take any from 10 ms to [`MAX_PACKET_MS`].
    #[must_use]
    pub fn possible_ptime_ms(&self, wanted_ms: u32) -> u32 {
        let is_possible = match self.kind {
            Kind::Opus => matches!(wanted_ms, 10 | 20 | 40 | 60 | 80 | 100 | 120),
            Kind::Speex => (20..=MAX_PACKET_MS).contains(&wanted_ms) && wanted_ms.is_multiple_of(20),
            _ => (10..=MAX_PACKET_MS).contains(&wanted_ms),
        };
        let ptime_ms = if is_possible { wanted_ms } else { USUAL_PTIME_MS };
        match self.kind {
            Kind::L16 => ptime_ms.min(l16::longest_ptime_ms(self.clock_rate_hz)),
            _ => ptime_ms,
        }
    }

    /// The largest payload that a jitter buffer need hold for this codec, in bytes.
    #[must_use]
    pub const fn max_payload_bytes(&self) -> usize {
        match self.kind {
            // What fits into a datagram of 1,500 bytes; one frame is at most 1,275 bytes (RFC 6716 section 3.4).
            Kind::Opus => 1_460,
            // 120 ms at a byte a sample.
            Kind::Pcmu | Kind::Pcma | Kind::G722 => 960,
            // 120 ms at ten bytes a frame; a description of silence is shorter than the frame in its place.
            Kind::G729 => 120,
            Kind::Speex => speex::MAX_PAYLOAD_BYTES,
            Kind::L16 => l16::MAX_PAYLOAD_BYTES,
            Kind::Cn | Kind::TelephoneEvent => 64,
        }
    }

    /// Bytes of [`MAX_PACKET_MS`] of audio, at most: of one packet, or of several where one holds less.
    #[must_use]
    pub fn max_audio_bytes(&self) -> usize {
        match self.kind {
            Kind::L16 => l16::audio_bytes(self.clock_rate_hz, MAX_PACKET_MS),
            _ => self.max_payload_bytes(),
        }
    }

    /// Makes a decoder to mono PCM at `sample_rate_hz`. Allocates here and never again.
    ///
    /// Fails with [`CodecError::NotSpeech`], [`CodecError::BadSampleRate`] or [`CodecError::Library`].
    pub fn decoder(&self, sample_rate_hz: u32) -> Result<Box<dyn Decoder>, CodecError> {
        match self.kind {
            Kind::Opus => Ok(Box::new(opus::Decoder::new(sample_rate_hz)?)),
            Kind::Pcmu => Ok(Box::new(g711::Coder::new(Law::Ulaw, sample_rate_hz)?)),
            Kind::Pcma => Ok(Box::new(g711::Coder::new(Law::Alaw, sample_rate_hz)?)),
            Kind::G722 => Ok(Box::new(g722::Decoder::new(sample_rate_hz)?)),
            Kind::G729 => Ok(Box::new(g729::Decoder::new(sample_rate_hz, self.g729)?)),
            Kind::Speex => Ok(Box::new(speex::Decoder::new(self.clock_rate_hz, sample_rate_hz)?)),
            Kind::L16 => Ok(Box::new(l16::Decoder::new(self.clock_rate_hz, sample_rate_hz)?)),
            Kind::Cn | Kind::TelephoneEvent => Err(CodecError::NotSpeech),
        }
    }

    /// Makes an encoder of mono PCM. Allocates here and never again.
    ///
    /// What the receiver asked for in `fmtp` (lower bitrate, FEC, DTX, Annex B) wins over `settings`.
    /// Fails with [`CodecError::NotSpeech`], [`CodecError::BadSampleRate`] or [`CodecError::Library`].
    pub fn encoder(&self, settings: &EncoderSettings) -> Result<Box<dyn Encoder>, CodecError> {
        match self.kind {
            Kind::Opus => Ok(Box::new(opus::Encoder::new(settings, &self.opus)?)),
            Kind::Pcmu => Ok(Box::new(g711::Coder::new(Law::Ulaw, settings.sample_rate_hz)?)),
            Kind::Pcma => Ok(Box::new(g711::Coder::new(Law::Alaw, settings.sample_rate_hz)?)),
            Kind::G722 => Ok(Box::new(g722::Encoder::new(settings.sample_rate_hz)?)),
            Kind::G729 => Ok(Box::new(g729::Encoder::new(settings, self.g729)?)),
            Kind::Speex => Ok(Box::new(speex::Encoder::new(self.clock_rate_hz, settings, self.speex)?)),
            Kind::L16 => Ok(Box::new(l16::Encoder::new(self.clock_rate_hz, settings.sample_rate_hz)?)),
            Kind::Cn | Kind::TelephoneEvent => Err(CodecError::NotSpeech),
        }
    }
}

/// How an encoder should run. A codec ignores what it has no use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderSettings {
    /// Rate of the PCM given to the encoder: 8,000 for G.711 and G.729; 16,000 for G.722; the clock rate for Speex and
    /// L16; 8,000, 12,000, 16,000, 24,000 or 48,000 for Opus.
    pub sample_rate_hz: u32,
    /// Complexity of Opus and Speex, 0 (least CPU) to 10; `None` is the codec's own choice for the sample rate.
    pub complexity: Option<u8>,
    /// Opus target in bits per second.
    pub bitrate_bps: u32,
    /// Packet loss to protect against by in-band FEC, 0 to 100; see [`Encoder::set_expected_loss`].
    pub expected_loss_percent: u8,
    /// Whether silence is looked for in what a codec without a detector of its own carries, to be described by comfort
    /// noise packets where the receiver takes them (ITU-T G.711 Appendix II). Of use to who packs, not to the encoder.
    pub leaves_silence_out: bool,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        Self {
            sample_rate_hz: 8_000,
            complexity: None,
            bitrate_bps: 24_000,
            expected_loss_percent: 5,
            leaves_silence_out: false,
        }
    }
}

/// What came of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoded {
    /// A payload of so many bytes, to be sent.
    Payload(usize),
    /// Discontinuous transmission: send nothing for this frame, but let the timestamp go on.
    Silence,
}

/// Turns mono PCM into payloads. One per direction and stream; the state is the codec's history.
pub trait Encoder: Send {
    /// Rate of the PCM taken by [`encode`](Self::encode).
    fn sample_rate_hz(&self) -> u32;

    /// Whether one payload can carry exactly so many samples.
    fn is_frame_length(&self, samples: usize) -> bool;

    /// Codes one packet's worth of mono PCM into the front of `payload`.
    ///
    /// Fails with [`CodecError::BadFrameLength`], [`CodecError::OutputTooSmall`] or [`CodecError::Library`]; the state
    /// stays usable.
    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<Encoded, CodecError>;

    /// Tells how much loss the far side reports (0 to 100), for codecs that can add redundancy.
    fn set_expected_loss(&mut self, _percent: u8) {}

    /// Forgets the history, as at the start of a stream.
    fn reset(&mut self);
}

/// Turns payloads into mono PCM. One per stream; the state is the codec's history.
pub trait Decoder: Send {
    /// Rate of the PCM that comes out.
    fn sample_rate_hz(&self) -> u32;

    /// How many samples `payload` will decode to, or None if it is no packet of this codec. At most
    /// [`MAX_PACKET_MS`].
    fn packet_samples(&self, payload: &[u8]) -> Option<usize>;

    /// Decodes one payload into the front of `pcm` and returns the number of samples.
    ///
    /// Fails with [`CodecError::Malformed`] for bytes that are no packet, [`CodecError::OutputTooSmall`] if `pcm` is
    /// shorter than [`packet_samples`](Self::packet_samples) says; the state stays usable.
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError>;

    /// Whether `payload` says that its sender fell silent and will send less until speech returns (DTX).
    fn is_silence(&self, _payload: &[u8]) -> bool {
        false
    }

    /// Whether any bytes are samples to this codec, so that packets of another one are white noise instead of errors.
    fn takes_any_bytes(&self) -> bool {
        false
    }

    /// Whether `payload` holds a redundant copy of the frame before it (Opus in-band FEC).
    fn has_redundancy(&self, _payload: &[u8]) -> bool {
        false
    }

    /// Decodes the redundant copy of the lost frame before `following` into the whole of `pcm`, whose length is what
    /// was lost. `following` itself must be decoded next.
    ///
    /// Fails with [`CodecError::Malformed`] if there is none.
    fn decode_redundancy(&mut self, _following: &[u8], _pcm: &mut [i16]) -> Result<(), CodecError> {
        Err(CodecError::Malformed)
    }

    /// Fills the whole of `pcm` (a multiple of 10 ms) from the history in place of lost frames, and returns true; or
    /// leaves it alone and returns false if the codec has no concealment of its own, when the caller conceals with
    /// [`dsp::plc`](crate::dsp::plc).
    fn conceal(&mut self, _pcm: &mut [i16]) -> bool {
        false
    }

    /// Forgets the history, as at the start of a stream.
    fn reset(&mut self);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_codecs_by_any_spelling_of_their_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(&kind.name().to_uppercase()), Some(kind));
            assert_eq!(Kind::from_name(&kind.name().to_lowercase()), Some(kind));
        }
        assert_eq!(Kind::from_name("G728"), None);
    }

    #[test]
    fn refuses_formats_that_the_codec_does_not_have() {
        let codec = |name, clock_rate_hz, channels| Codec::new(name, clock_rate_hz, channels, []).err();
        assert_eq!(codec("G728", 8_000, 1), Some(CodecError::UnknownName));
        assert_eq!(codec("PCMU", 16_000, 1), Some(CodecError::BadFormat));
        assert_eq!(codec("PCMA", 8_000, 2), Some(CodecError::BadFormat));
        assert_eq!(codec("opus", 8_000, 2), Some(CodecError::BadFormat));
        assert_eq!(codec("telephone-event", 0, 1), Some(CodecError::BadFormat));
        assert_eq!(codec("L16", 44_100, 2), Some(CodecError::BadFormat));
        assert_eq!(codec("L16", 11_025, 1), Some(CodecError::BadFormat));
        assert_eq!(codec("opus", 48_000, 1), None, "some stacks leave the two channels out");
    }

    #[test]
    fn makes_no_coder_of_formats_without_audio() {
        for name in ["CN", "telephone-event"] {
            let codec = Codec::new(name, 8_000, 1, []).unwrap();
            assert_eq!(codec.decoder(8_000).err(), Some(CodecError::NotSpeech));
            assert_eq!(codec.encoder(&EncoderSettings::default()).err(), Some(CodecError::NotSpeech));
        }
    }

    #[test]
    fn picks_a_rate_that_needs_no_resampler_if_it_can() {
        let opus = Codec::new("opus", 48_000, 2, []).unwrap();
        let pcmu = Codec::new("PCMU", 8_000, 1, []).unwrap();
        assert_eq!(
            [8_000, 16_000, 32_000, 44_100, 48_000].map(|hz| opus.sample_rate_beside(hz)),
            [8_000, 16_000, 48_000, 48_000, 48_000]
        );
        assert_eq!(pcmu.sample_rate_beside(48_000), 8_000);
    }

    #[test]
    fn makes_packets_of_the_length_asked_for_where_it_can() {
        for (name, clock_rate_hz, wanted_and_made_ms) in [
            ("opus", 48_000, [(10, 10), (30, 20), (60, 60), (130, 20)]),
            ("PCMU", 8_000, [(0, 20), (30, 30), (120, 120), (130, 20)]),
            ("speex", 16_000, [(10, 20), (30, 20), (40, 40), (120, 120)]),
            ("L16", 8_000, [(5, 20), (30, 30), (60, 60), (120, 70)]),
            ("L16", 16_000, [(10, 10), (20, 20), (30, 30), (60, 30)]),
            ("L16", 44_100, [(10, 10), (20, 10), (60, 10), (0, 10)]),
        ] {
            let codec = Codec::new(name, clock_rate_hz, 1, []).unwrap();
            for (wanted_ms, made_ms) in wanted_and_made_ms {
                assert_eq!(codec.possible_ptime_ms(wanted_ms), made_ms, "{name}/{clock_rate_hz}, {wanted_ms} ms");
            }
        }
    }

    #[test]
    fn sends_silence_in_g729_unless_the_receiver_forbids_it() {
        let annex_b =
            |fmtp: &[(&str, &str)]| Codec::new("g729", 8_000, 1, fmtp.iter().copied()).unwrap().g729().annex_b;
        assert!(annex_b(&[]) && annex_b(&[("annexb", "yes")]) && annex_b(&[("annexb", "perhaps")]));
        assert!(!annex_b(&[("annexb", "no")]) && !annex_b(&[("annexb", "NO")]));
    }

    #[test]
    fn reads_what_the_receiver_of_opus_asked_for() {
        let fmtp =
            [("minptime", "10"), ("useinbandfec", "1"), ("maxplaybackrate", "16000"), ("maxaveragebitrate", "1")];
        let codec = Codec::new("OPUS", 48_000, 2, fmtp).unwrap();
        assert!(codec.opus().use_inband_fec && !codec.opus().use_dtx);
        assert_eq!((codec.opus().max_playback_rate_hz, codec.opus().max_average_bitrate_bps), (16_000, None));
    }
}
