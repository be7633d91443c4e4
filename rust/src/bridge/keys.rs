//! The keys that one leg's far side presses: told by RFC 4733 events, or heard as tones in its audio.
//!
//! Owns the receivers of events, one for each of two sources, since a far side may speak under one SSRC and press keys
//! under another; and, where the leg is listened to, a decoder and a detector beside the audio's own way:
//! a relayed packet stays a relayed packet. Packets are heard in the order of arrival without a jitter buffer, so that a
//! tone is known before it has been passed on; late ones are left out, lost ones are bridged by the detector. Must not
//! know what becomes of a digit.   RFC 4733, ITU-T Q.24.

use std::time::Instant;

use crate::codecs::{Codec, Decoder, MAX_PACKET_MS};
use crate::dsp::resample::Resampler;
use crate::dtmf::{Detector, DtmfError, END_TIMEOUT, Kind, Received, Receiver};
use crate::net::{Pt, Ssrc};
use crate::pipeline::{Format, Inbound};
use crate::rtp::Header;

/// Clock of telephone-events until a packet says otherwise (RFC 4733 section 2.5.1.1).
const EVENT_CLOCK_RATE_HZ: u32 = 8_000;

/// Rate at which audio is listened to: no digit has a wave above half of it.
const LISTENING_RATE_HZ: u32 = 8_000;

const LONGEST_PACKET_SAMPLES: usize = (LISTENING_RATE_HZ / 1_000 * MAX_PACKET_MS) as usize;

/// One leg's keys.
pub(super) struct Keys {
    /// The source of the newest event, and the one before it.
    sources: [Source; 2],
    tones: Option<Box<Tones>>,
}

/// A source of events.
struct Source {
    ssrc: Ssrc,
    clock_rate_hz: u32,
    events: Receiver,
}

/// A listener beside the audio's way.
struct Tones {
    detector: Detector,
    ear: Option<Ear>,
    pcm: [i16; LONGEST_PACKET_SAMPLES],
    /// Unwrapped sequence number and samples of the newest packet.
    newest: Option<(u32, u32)>,
    heard_at: Option<Instant>,
}

/// The decoder of one payload type.
struct Ear {
    pt: Pt,
    decoder: Box<dyn Decoder>,
    /// For codecs that do not decode to our rate, with room for what they decode to.
    resampler: Option<(Resampler, Box<[i16]>)>,
}

impl Keys {
    /// Keys told by events only.
    pub(super) fn new() -> Self {
        Self { sources: [Ssrc(0), Ssrc(0)].map(|ssrc| Source::new(ssrc, EVENT_CLOCK_RATE_HZ)), tones: None }
    }

    /// Begins or ends to listen for tones. Allocates.
    pub(super) fn listen(&mut self, is_listening: bool) {
        if is_listening == self.tones.is_some() {
            return;
        }
        self.tones = Detector::new(LISTENING_RATE_HZ).filter(|_| is_listening).map(|detector| {
            let pcm = [0; LONGEST_PACKET_SAMPLES];
            Box::new(Tones { detector, ear: None, pcm, newest: None, heard_at: None })
        });
    }

    /// Takes a telephone-event packet of a payload type with this clock rate. Fails as [`Receiver::handle_packet`] does.
    pub(super) fn take_event(
        &mut self,
        now: Instant,
        packet: &Inbound<'_>,
        clock_rate_hz: u32,
    ) -> Result<(), DtmfError> {
        let Header { ssrc, timestamp, marker, .. } = *packet.header;
        let [newest, before] = &mut self.sources;
        if newest.ssrc != ssrc {
            std::mem::swap(newest, before);
        }
        if newest.ssrc != ssrc {
            // A third one, whose numbers have nothing to do with theirs. The key that the eldest held is up.
            newest.ssrc = ssrc;
            newest.events.restart(timestamp);
        }
        if newest.clock_rate_hz != clock_rate_hz {
            *newest = Source::new(ssrc, clock_rate_hz);
        }
        if packet.is_restart {
            newest.events.restart(timestamp);
        }
        newest.events.handle_packet(now, timestamp, marker, packet.payload)
    }

    /// Listens to an audio packet, and returns true; or returns false if the leg is not listened to.
    pub(super) fn hear(&mut self, now: Instant, packet: &Inbound<'_>, format: Format) -> bool {
        let Some(tones) = &mut self.tones else { return false };
        tones.hear(now, packet, format);
        true
    }

    /// By what a key is going down or held at the moment, if one is: its tone may be in the audio.
    pub(super) fn pressed_by(&self) -> Option<Kind> {
        if self.sources.iter().any(|source| source.events.is_active()) {
            return Some(Kind::Rfc4733);
        }
        let is_tone = self.tones.as_ref().is_some_and(|tones| tones.detector.is_tone());
        is_tone.then_some(Kind::Inband)
    }

    /// The next thing that happened, and how it was noticed.
    pub(super) fn poll_event(&mut self) -> Option<(Received, Kind)> {
        let event = self.sources.iter_mut().find_map(|source| source.events.poll_event());
        let event = event.map(|event| (event, Kind::Rfc4733));
        event.or_else(|| Some((self.tones.as_mut()?.detector.poll_event()?, Kind::Inband)))
    }

    /// Ends keys of which nothing is heard any more.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.sources.iter_mut().for_each(|source| source.events.handle_timeout(now));
        if let Some(tones) = &mut self.tones
            && tones.poll_timeout().is_some_and(|due| due <= now)
        {
            tones.detector.finish();
        }
    }

    /// When that is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let tones = self.tones.as_ref().and_then(|tones| tones.poll_timeout());
        let events = self.sources.iter().filter_map(|source| source.events.poll_timeout());
        events.chain(tones).min()
    }
}

impl Source {
    fn new(ssrc: Ssrc, clock_rate_hz: u32) -> Self {
        Self { ssrc, clock_rate_hz, events: Receiver::new(clock_rate_hz) }
    }
}

impl Tones {
    fn hear(&mut self, now: Instant, packet: &Inbound<'_>, format: Format) {
        if packet.is_restart {
            self.detector.finish();
            self.newest = None;
        }
        let missing = match self.newest {
            Some((newest, samples)) => {
                let ahead = packet.extended_seq.wrapping_sub(newest);
                if ahead.cast_signed() <= 0 {
                    return;
                }
                (ahead - 1).saturating_mul(samples)
            }
            None => 0,
        };
        // What cannot be decoded here is counted where the audio goes.
        let Some(samples) = self.decode(packet.payload, format.pt, &format.codec) else { return };
        self.newest = Some((packet.extended_seq, u32::try_from(samples).unwrap_or(0)));
        self.heard_at = Some(now);
        if missing > 0 {
            self.detector.lose(missing);
        }
        self.detector.hear(self.pcm.get(..samples).unwrap_or(&[]));
    }

    /// Fills the front of `pcm`; returns how much of it.
    fn decode(&mut self, payload: &[u8], pt: Pt, codec: &Codec) -> Option<usize> {
        if self.ear.as_ref().is_none_or(|ear| ear.pt != pt) {
            self.ear = Some(Ear::new(pt, codec)?);
        }
        self.ear.as_mut()?.decode(payload, &mut self.pcm)
    }

    /// When a digit ends because its stream fell silent.
    fn poll_timeout(&self) -> Option<Instant> {
        self.heard_at.filter(|_| self.detector.is_tone()).map(|at| at + END_TIMEOUT)
    }
}

impl Ear {
    fn new(pt: Pt, codec: &Codec) -> Option<Self> {
        let rate_hz = codec.sample_rate_beside(LISTENING_RATE_HZ);
        let decoder = codec.decoder(rate_hz).ok()?;
        let resampler = if rate_hz == LISTENING_RATE_HZ {
            None
        } else {
            let longest = usize::try_from(rate_hz * MAX_PACKET_MS / 1_000).ok()?;
            Some((Resampler::new(rate_hz, LISTENING_RATE_HZ).ok()?, vec![0; longest].into_boxed_slice()))
        };
        Some(Self { pt, decoder, resampler })
    }

    /// Fills the front of `pcm`, at our rate; returns how much of it.
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Option<usize> {
        let Some((resampler, room)) = &mut self.resampler else { return self.decoder.decode(payload, pcm).ok() };
        let decoded = self.decoder.decode(payload, room).ok()?;
        let samples = resampler.output_samples(decoded).min(pcm.len());
        resampler.process(room.get(..decoded)?, &mut pcm[..samples]);
        Some(samples)
    }
}
