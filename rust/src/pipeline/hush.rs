//! Silence of the other leg as packets of comfort noise, for a far side that takes them.   RFC 3389 section 4.
//!
//! Owns what was said of the noise, and whether it needs saying again. Who is silent has said so itself (DTX); speech is
//! judged only where the node is set to leave silence out by itself (ITU-T G.711 Appendix II), since judges err.

use crate::codecs::{Codec, Kind};
use crate::dsp::cn::{Describer, Description};
use crate::dsp::vad;

use super::Format;

/// Least time between two descriptions of one silence, and the greatest: a stream that says nothing for longer looks dead.
const LEAST_INTERVAL_MS: u32 = 100;
const GREATEST_INTERVAL_MS: u32 = 400;

/// Noise that goes on as speech does before it is described: some detectors take it for speech now and then, and a stream
/// should not change its kind with every packet.
const HANGOVER_MS: u32 = 60;

/// A change of the level that is worth a packet.
const CHANGE_DB: u8 = 3;

/// What becomes of a frame of noise.
#[derive(Debug)]
pub(super) enum Outcome<'a> {
    /// It is sent like speech.
    Speech,
    /// It is described by this payload.
    Packet(&'a [u8]),
    /// What was said of others still holds.
    Nothing,
}

/// The noise that leaves one endpoint.
#[derive(Debug)]
pub(super) struct Hush {
    format: Format,
    /// None if only the other side's word counts.
    detector: Option<vad::Detector>,
    describer: Describer,
    /// What is said of the spectrum is said at the rate of the clock; G.722, with more samples than that, says the level.
    is_coloured: bool,
    noise_ms: u32,
    /// What was said last in this silence, and how long ago.
    sent: Option<(Description, u32)>,
    payload: [u8; Description::MAX_BYTES],
}

impl Hush {
    /// Of an encoder of `speech`: None if the far side named no comfort noise for it, or it has its own way of being silent.
    ///
    /// `leaves_silence_out`: whether silence is looked for as well.
    pub(super) fn beside(speech: &Codec, send: &[Format], leaves_silence_out: bool) -> Option<Self> {
        let has_none_of_its_own = matches!(speech.kind(), Kind::Pcmu | Kind::Pcma | Kind::G722 | Kind::L16);
        let (rate_hz, clock_rate_hz) = (speech.native_sample_rate_hz(), speech.clock_rate_hz());
        let is_fit =
            |format: &&Format| format.codec.kind() == Kind::Cn && format.codec.clock_rate_hz() == clock_rate_hz;
        let format = send.iter().find(is_fit).filter(|_| has_none_of_its_own)?;
        let detector = leaves_silence_out.then(|| vad::Detector::new(rate_hz));
        let payload = [0; Description::MAX_BYTES];
        Some(Self {
            format: *format,
            detector,
            describer: Describer::default(),
            is_coloured: rate_hz == clock_rate_hz,
            noise_ms: 0,
            sent: None,
            payload,
        })
    }

    /// Listens to a frame of the other side, and says whether it may be left out.
    pub(super) fn hears_silence(&mut self, pcm: &[i16]) -> bool {
        self.detector.as_mut().is_some_and(|detector| !detector.is_speech(pcm))
    }

    /// How its packets are numbered.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Takes a frame of noise, and says what becomes of it.
    pub(super) fn describe(&mut self, pcm: &[i16], frame_ms: u32) -> Outcome<'_> {
        self.describer.hear(pcm);
        self.noise_ms = self.noise_ms.saturating_add(frame_ms);
        if self.noise_ms <= HANGOVER_MS {
            return Outcome::Speech;
        }
        let heard = self.describer.describe();
        let description = if self.is_coloured { heard } else { Description::white(heard.below_overload_db) };
        if let Some((sent, age_ms)) = &mut self.sent {
            *age_ms += frame_ms;
            let is_changed = sent.below_overload_db.abs_diff(description.below_overload_db) >= CHANGE_DB;
            if *age_ms < LEAST_INTERVAL_MS || (*age_ms < GREATEST_INTERVAL_MS && !is_changed) {
                return Outcome::Nothing;
            }
        }
        self.sent = Some((description, 0));
        let length = description.write(&mut self.payload).unwrap_or(0);
        Outcome::Packet(self.payload.get(..length).unwrap_or_default())
    }

    /// Something else is to be heard from now on. Returns whether there was silence before.
    pub(super) fn end(&mut self) -> bool {
        if self.noise_ms > 0 {
            self.noise_ms = 0;
            self.describer.reset();
        }
        self.sent.take().is_some()
    }
}
