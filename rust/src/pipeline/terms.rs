//! What was negotiated, and what is made for it: routes, encoder, queue of digits.
//!
//! New terms drop what was made for the old ones; the encoder and the queue are made when they are first needed.

use crate::codecs::{Codec, EncoderSettings, Kind, USUAL_PTIME_MS};
use crate::error::{DropReason, MediaError};
use crate::quality::Played;

use super::digits::Digits;
use super::hush::Hush;
use super::routes::Routes;
use super::sampler::Sampler;
use super::transcode::{Ear, Voice};
use super::{Format, Pipeline};

/// Rate at which a wideband codec is fed when nothing but a player feeds it.
const PLAYER_RATE_HZ: u32 = 16_000;

impl Pipeline {
    /// Takes the payload types that may be sent, in order of preference, and the packet time that the far side wants.
    pub fn set_send(&mut self, formats: &[Format], ptime_ms: u32) {
        if self.send != formats || self.wanted_ptime_ms != ptime_ms {
            self.send = formats.to_vec();
            self.wanted_ptime_ms = ptime_ms;
            self.ptime_ms = self.audio().map_or(USUAL_PTIME_MS, |format| format.codec.possible_ptime_ms(ptime_ms));
            self.digits = None;
            self.configure();
        }
    }

    /// Feeds from another leg, which receives `formats` in packets of `ptime_ms`.
    pub fn connect(&mut self, formats: &[Format], ptime_ms: u32) {
        if self.source != formats || self.source_ptime_ms != ptime_ms {
            self.source = formats.to_vec();
            self.source_ptime_ms = ptime_ms;
            self.configure();
        }
    }

    /// Feeds from nobody. Returns what was heard of the one who was connected.
    pub fn disconnect(&mut self) -> Played {
        self.connect(&[], USUAL_PTIME_MS);
        std::mem::take(&mut self.played)
    }

    /// Chooses routes anew and drops what was made for the old ones.
    fn configure(&mut self) {
        let is_same_ptime = self.wanted_ptime_ms == self.source_ptime_ms;
        self.routes = Routes::choose(&self.source, &self.send, is_same_ptime);
        self.played = self.played();
        (self.ear, self.sampler) = (Ear::default(), Sampler::default());
        self.voice = None;
        self.forget_tones();
        // A held key cannot come up any more.
        self.release(0);
        if let Some(player) = self.player.take() {
            self.player = self.voice().ok().map(|voice| voice.sample_rate_hz()).map(|rate| player.at_rate(rate));
        }
    }

    /// The audio codec that we encode: the far side's favourite among those that we have.
    pub(super) fn audio(&self) -> Option<Format> {
        self.send.iter().copied().find(|format| format.codec.kind().is_speech())
    }

    pub(super) fn clock_rate_hz(&self) -> u32 {
        self.audio().map_or(8_000, |format| format.codec.clock_rate_hz())
    }

    /// The encoder, made when it is first needed.
    pub(super) fn voice(&mut self) -> Result<&mut Voice, DropReason> {
        if self.voice.is_none() {
            let format = self.audio().ok_or(DropReason::NotReady)?;
            let settings = EncoderSettings { sample_rate_hz: self.sample_rate_hz(format), ..self.settings };
            self.voice = Some(Voice::new(format, self.ptime_ms, &settings).map_err(|_| DropReason::Codec)?);
            self.hush = Hush::beside(&format.codec, &self.send, settings.leaves_silence_out).map(Box::new);
        }
        self.voice.as_mut().ok_or(DropReason::Codec)
    }

    /// Makes the encoder fit for all that `codec`, of the other leg, lets through, and returns its rate.
    ///
    /// It was made for the codec that the other leg named first. One that is heard instead and has more needs a rate of
    /// its own: the encoder begins anew, at most once for each of its rates, but not amid digits that it sounds.
    pub(super) fn voice_for(&mut self, codec: &Codec) -> Result<u32, DropReason> {
        let voice = self.voice()?;
        let (rate_hz, format) = (voice.sample_rate_hz(), voice.format());
        let wanted_hz = format.codec.sample_rate_beside(codec.native_sample_rate_hz());
        if wanted_hz <= rate_hz || self.is_dialling() {
            return Ok(rate_hz);
        }
        let settings = EncoderSettings { sample_rate_hz: wanted_hz, ..self.settings };
        self.voice = Some(Voice::new(format, self.ptime_ms, &settings).map_err(|_| DropReason::Codec)?);
        self.played = self.played();
        (self.ear, self.sampler) = (Ear::default(), Sampler::default());
        self.forget_tones();
        Ok(wanted_hz)
    }

    /// The rate at which the encoder runs: what suits the codec that the other leg named first, or else a player.
    fn sample_rate_hz(&self, format: Format) -> u32 {
        let other_hz = self.routes.transcoded().next().map(|codec| codec.native_sample_rate_hz());
        format.codec.sample_rate_beside(other_hz.unwrap_or(PLAYER_RATE_HZ))
    }

    /// Tones are made at the rate of the encoder, which may be another now.
    fn forget_tones(&mut self) {
        if matches!(self.digits, Some(Digits::Tones(_))) {
            self.digits = None;
        }
    }

    /// The queue of outgoing digits, made when it is first needed: events if there is a payload type for them, best
    /// with the clock of the audio (RFC 4733 section 2.1), else tones.
    pub(super) fn digits(&mut self) -> Result<&mut Digits, MediaError> {
        if self.digits.is_none() {
            let clock_rate_hz = self.clock_rate_hz();
            let events = self.send.iter().filter(|format| format.codec.kind() == Kind::TelephoneEvent);
            let best = events.max_by_key(|format| format.codec.clock_rate_hz() == clock_rate_hz).copied();
            self.digits = Some(match best {
                Some(format) => Digits::events(format, self.ptime_ms),
                None => Digits::tones(self.voice().map_err(|_| no_send_codec())?.sample_rate_hz()),
            });
        }
        self.digits.as_mut().ok_or_else(no_send_codec)
    }
}

pub(super) fn no_send_codec() -> MediaError {
    MediaError::InvalidParameter("the far side has named no codec to send".into())
}
