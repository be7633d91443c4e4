//! Transcode: packets of the other leg become PCM, and PCM becomes packets of this leg's codec, on this leg's clock.
//!
//! [`Ear`] is the first half: for each payload type of the source a jitter buffer with decoder, and a resampler where
//! decoder and encoder have no rate in common. [`Voice`] is the second: the encoder with its frame. Both are made when a
//! stream is set up, or once for each payload type that is really used; no frame allocates.

use std::time::{Duration, Instant};

use crate::codecs::{Codec, CodecError, Encoded, Encoder, EncoderSettings, MAX_PACKET_MS};
use crate::dsp::resample::Resampler;
use crate::error::DropReason;
use crate::jitter::{Config, Content, Inserted, Packet, Playout, Signal};
use crate::net::Pt;
use crate::quality::{Meter, Played, PlayoutFigures};

use super::{Format, Inbound};

/// How long silence goes on being sent after the source stopped. Longer than any gap of discontinuous transmission;
/// after it, the worker may sleep.
const HOLD: Duration = Duration::from_secs(5);

/// Largest payload of any encoder: one Opus packet of several frames stays below this.
const MAX_PAYLOAD_BYTES: usize = 1_400;

/// Decodes whatever the source sends.
#[derive(Default)]
pub(super) struct Ear {
    lines: Vec<Line>,
    /// Which of them plays.
    current: Option<usize>,
    heard_at: Option<Instant>,
    /// What was heard last was the noise of somebody silent.
    is_noise: bool,
    meter: Meter,
}

impl Ear {
    /// Takes one packet of a speech codec, to be heard at `sample_rate_hz`, which is the same for every packet.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        packet: &Inbound<'_>,
        codec: &Codec,
        sample_rate_hz: u32,
    ) -> Result<(), DropReason> {
        let index = self.select(packet.header.pt, codec, sample_rate_hz)?;
        self.insert(now, index, packet, Content::Speech)
    }

    /// Takes a comfort noise packet amid the speech of `codec`, which may have been heard by others so far.
    pub(super) fn hear_noise(
        &mut self,
        now: Instant,
        packet: &Inbound<'_>,
        (pt, codec): (Pt, &Codec),
        sample_rate_hz: u32,
    ) -> Result<(), DropReason> {
        let index = match self.current {
            Some(current) => current,
            None => self.select(pt, codec, sample_rate_hz)?,
        };
        self.insert(now, index, packet, Content::ComfortNoise)
    }

    /// Whether there is something to hear, or was until lately. Who has said that he is silent may be so for long.
    pub(super) fn is_active(&self, now: Instant) -> bool {
        let is_held = || self.heard_at.is_some_and(|at| now.saturating_duration_since(at) < HOLD);
        self.current.is_some() && (self.is_noise || is_held())
    }

    /// Stops playing: the source sends something that is not decoded here, or nothing.
    pub(super) fn rest(&mut self) {
        self.current = None;
        self.is_noise = false;
    }

    /// Fills the whole of `pcm` with what is to be heard at `now`. Returns whether that is the noise of somebody silent.
    pub(super) fn pull(&mut self, now: Instant, pcm: &mut [i16]) -> bool {
        self.is_noise = if let Some(line) = self.current.and_then(|index| self.lines.get_mut(index)) {
            let signal = line.pull(now, pcm);
            self.meter.hear(pcm);
            signal == Signal::Noise
        } else {
            pcm.fill(0);
            false
        };
        self.is_noise
    }

    /// What was pulled so far, and how the buffers fared.
    pub(super) fn played(&self) -> Played {
        let playout = self.lines.iter().fold(PlayoutFigures::default(), |sum, Line { playout, .. }| {
            let stats = playout.stats();
            let ms = |samples: u64| samples * 1_000 / u64::from(playout.sample_rate_hz().max(1));
            sum.then(PlayoutFigures {
                played_ms: ms(stats.played_samples),
                concealed_ms: ms(stats.concealed_samples),
                flushed: stats.flushed,
                delay_ms: stats.playout_delay_ms,
                max_delay_ms: stats.longest_playout_delay_ms,
                bound_ms: Config::new(1, 0).max_delay_ms,
            })
        });
        Played { playout, meter: self.meter }
    }

    fn select(&mut self, pt: Pt, codec: &Codec, sample_rate_hz: u32) -> Result<usize, DropReason> {
        if let Some(current) = self.current
            && self.lines.get(current).is_some_and(|line| line.pt == pt)
        {
            return Ok(current);
        }
        let known = self.lines.iter().position(|line| line.pt == pt);
        let index = if let Some(index) = known {
            self.lines[index].reset();
            index
        } else {
            // Nearly every source has one type of payload only.
            self.lines.reserve_exact(1);
            self.lines.push(Line::new(pt, codec, sample_rate_hz).ok_or(DropReason::Codec)?);
            self.lines.len() - 1
        };
        self.current = Some(index);
        Ok(index)
    }

    fn insert(&mut self, now: Instant, index: usize, packet: &Inbound<'_>, content: Content) -> Result<(), DropReason> {
        let Some(line) = self.lines.get_mut(index) else { return Err(DropReason::Codec) };
        if packet.is_restart {
            line.reset();
        }
        let arrived_at = packet.arrived_at;
        let packet =
            Packet { seq: packet.header.seq.0, timestamp: packet.header.timestamp, content, payload: packet.payload };
        self.heard_at = Some(now);
        match line.playout.insert(arrived_at, &packet) {
            Inserted::Kept => Ok(()),
            Inserted::Duplicate => Err(DropReason::Duplicate),
            Inserted::Late => Err(DropReason::Late),
            Inserted::Stray => Err(DropReason::RtpSequence),
            Inserted::Malformed => Err(DropReason::Codec),
        }
    }
}

/// What one payload type goes through.
struct Line {
    pt: Pt,
    playout: Playout,
    /// From the decoder's rate to the encoder's, where they differ, with room for what goes in.
    resampler: Option<(Resampler, Box<[i16]>)>,
}

impl Line {
    /// None if the codec cannot be decoded, or not be heard at this rate.
    fn new(pt: Pt, codec: &Codec, sample_rate_hz: u32) -> Option<Self> {
        let decoder = codec.decoder(codec.sample_rate_beside(sample_rate_hz)).ok()?;
        let config = Config::new(codec.clock_rate_hz(), codec.max_payload_bytes());
        let config = Config { buffer_bytes: 4 * codec.max_audio_bytes(), ..config };
        let playout = Playout::new(config, decoder);
        let rate_hz = playout.sample_rate_hz();
        let resampler = if rate_hz == sample_rate_hz {
            None
        } else {
            let longest = usize::try_from(rate_hz * MAX_PACKET_MS / 1_000).ok()?;
            Some((Resampler::new(rate_hz, sample_rate_hz).ok()?, vec![0; longest].into_boxed_slice()))
        };
        Some(Self { pt, playout, resampler })
    }

    /// Fills the whole of `pcm`, at most [`MAX_PACKET_MS`].
    fn pull(&mut self, now: Instant, pcm: &mut [i16]) -> Signal {
        let Some((resampler, room)) = &mut self.resampler else {
            return self.playout.pull(now, pcm);
        };
        let samples = resampler.input_samples(pcm.len()).min(room.len());
        let input = &mut room[..samples];
        let signal = self.playout.pull(now, input);
        resampler.process(input, pcm);
        signal
    }

    /// Forgets the stream.
    fn reset(&mut self) {
        self.playout.reset();
        if let Some((resampler, _)) = &mut self.resampler {
            resampler.reset();
        }
    }
}

/// Encodes PCM into this leg's codec, one packet time at a time.
pub(super) struct Voice {
    format: Format,
    encoder: Box<dyn Encoder>,
    pcm: Box<[i16]>,
    payload: Box<[u8]>,
}

impl Voice {
    /// `ptime_ms`: a packet time that the codec has; fails with `BadFrameLength` for any other.
    pub(super) fn new(format: Format, ptime_ms: u32, settings: &EncoderSettings) -> Result<Self, CodecError> {
        let encoder = format.codec.encoder(settings)?;
        let samples = usize::try_from(settings.sample_rate_hz * ptime_ms / 1_000).unwrap_or(0);
        if !encoder.is_frame_length(samples) {
            return Err(CodecError::BadFrameLength);
        }
        let pcm = vec![0; samples].into_boxed_slice();
        let payload = vec![0; format.codec.max_payload_bytes().min(MAX_PAYLOAD_BYTES)].into_boxed_slice();
        Ok(Self { format, encoder, pcm, payload })
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn sample_rate_hz(&self) -> u32 {
        self.encoder.sample_rate_hz()
    }

    /// How many packets are lost on their way, from now on.
    pub(super) fn expect_loss(&mut self, percent: u8) {
        self.encoder.set_expected_loss(percent);
    }

    /// The frame to be filled before [`encode`](Self::encode).
    pub(super) fn pcm(&mut self) -> &mut [i16] {
        &mut self.pcm
    }

    /// Encodes the frame. None while the codec wants to send nothing.
    pub(super) fn encode(&mut self) -> Result<Option<&[u8]>, DropReason> {
        match self.encoder.encode(&self.pcm, &mut self.payload) {
            Ok(Encoded::Payload(len)) => Ok(self.payload.get(..len)),
            Ok(Encoded::Silence) => Ok(None),
            Err(_) => Err(DropReason::Codec),
        }
    }
}
