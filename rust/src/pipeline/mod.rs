//! What leaves an endpoint, and where it comes from: the other leg, relayed or transcoded, a player, or digits.
//!
//! Owns the outgoing stream's numbers and pace, the choice between relay and transcode for each payload type, players
//! and outgoing digits. Must not know transports: packets go to a [`Sink`]. RFC 3550, 3551, 4733, 7587.
//!
//! Who has the stream, first come first: digits, the player, the other leg.

mod continuity;
mod hush;
mod keypad;
mod mute;
mod output;
mod pace;
mod player;
mod relay;
mod routes;
mod sampler;
mod tap;
mod transcode;

use std::time::{Duration, Instant};

use crate::codecs::{Codec, EncoderSettings, Kind};
use crate::dtmf::{self, Digit};
use crate::error::{DropReason, MediaError};
use crate::net::{Pt, SeqNo, Ssrc};
use crate::quality::Played;
use crate::rtp::Header;

pub use player::{Clip, Source};
pub use tap::{Channel, Copied, Ending, Reader as TapReader, Record, Tap, tap};

use hush::Hush;
use keypad::Keypad;
use mute::Mute;
use output::Output;
use pace::Pace;
use player::Player;
use relay::Relay;
use routes::{Route, Routes};
use sampler::Sampler;
use transcode::{Ear, Voice};

/// Rate at which a wideband codec is fed when nothing but a player feeds it.
const PLAYER_RATE_HZ: u32 = 16_000;

/// Packet time where nothing else is said (RFC 3551 section 4.2).
const USUAL_PTIME_MS: u32 = 20;

/// Beyond it redundancy, of one packet, helps no more and costs what the speech itself needs.
const MOST_EXPECTED_LOSS_PERCENT: u32 = 30;

/// Longest payload that any datagram of ours or to us carries.
const LONGEST_PAYLOAD_BYTES: usize = 1_500;

/// One payload type of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Its number on the wire.
    pub pt: Pt,
    /// What it means.
    pub codec: Codec,
}

/// One packet of the other leg.
#[derive(Debug, Clone, Copy)]
pub struct Inbound<'a> {
    /// As received.
    pub header: &'a Header,
    /// Unwrapped sequence number.
    pub extended_seq: u32,
    /// The stream began anew with this packet.
    pub is_restart: bool,
    /// The payload.
    pub payload: &'a [u8],
}

/// Where packets go.
pub trait Sink {
    /// Whether a packet could leave now.
    fn can_send(&self) -> bool;

    /// Sends one packet. `clock_rate_hz`: of its payload type. The sink counts what it drops.
    fn send(&mut self, header: &Header, clock_rate_hz: u32, payload: &[u8]);

    /// Counts a frame that could not be made into a packet.
    fn count_drop(&mut self, reason: DropReason);
}

/// First numbers of an outgoing stream, random.
#[derive(Debug, Clone, Copy)]
pub struct FirstNumbers {
    /// Sequence number.
    pub seq: SeqNo,
    /// Timestamp.
    pub timestamp: u32,
}

/// How outgoing digits are made.
#[derive(Debug)]
enum Digits {
    Events { sender: Box<dtmf::Sender>, format: Format },
    Tones(Box<Keypad>),
}

/// Everything that is sent out of one endpoint.
pub struct Pipeline {
    output: Output,
    settings: EncoderSettings,
    send: Vec<Format>,
    wanted_ptime_ms: u32,
    /// What is wanted, or what the codec has instead.
    ptime_ms: u32,
    source: Vec<Format>,
    source_ptime_ms: u32,
    routes: Routes,
    relay: Relay,
    sampler: Sampler,
    ear: Ear,
    voice: Option<Voice>,
    hush: Option<Box<Hush>>,
    player: Option<Player>,
    digits: Option<Digits>,
    mute: Mute,
    pace: Option<Pace>,
    spoken: Option<Kind>,
    /// By what was made for other routes.
    played: Played,
    is_play_done: bool,
}

impl Pipeline {
    /// A pipeline that has nothing to send and nowhere to send it. The sample rate of `settings` is not used.
    #[must_use]
    pub fn new(ssrc: Ssrc, first: FirstNumbers, settings: EncoderSettings) -> Self {
        Self {
            output: Output::new(ssrc, first.seq, first.timestamp),
            settings,
            send: Vec::new(),
            wanted_ptime_ms: USUAL_PTIME_MS,
            ptime_ms: USUAL_PTIME_MS,
            source: Vec::new(),
            source_ptime_ms: USUAL_PTIME_MS,
            routes: Routes::default(),
            relay: Relay::default(),
            sampler: Sampler::default(),
            ear: Ear::default(),
            voice: None,
            hush: None,
            player: None,
            digits: None,
            mute: Mute::default(),
            pace: None,
            spoken: None,
            played: Played::default(),
            is_play_done: false,
        }
    }

    /// Takes the payload types that may be sent, in order of preference, and the packet time that the far side wants.
    pub fn set_send(&mut self, formats: &[Format], ptime_ms: u32) {
        if self.send != formats || self.wanted_ptime_ms != ptime_ms {
            self.send = formats.to_vec();
            self.wanted_ptime_ms = ptime_ms;
            self.ptime_ms = self.possible_ptime_ms();
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

    /// Takes one packet of the other leg and passes it on, or keeps it for the next ticks.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        packet: &Inbound<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), DropReason> {
        if !sink.can_send() {
            return Err(DropReason::NotReady);
        }
        match self.routes.find(packet.header.pt).ok_or(DropReason::Codec)? {
            _ if self.player.is_some() => {
                self.ear.rest();
                Ok(())
            }
            Route::Relay(format) => self.pass(now, packet, format, sink),
            Route::Convert(format, law) => {
                let mut converted = [0; LONGEST_PAYLOAD_BYTES];
                let payload = law.convert(packet.payload, &mut converted).ok_or(DropReason::Codec)?;
                self.pass(now, &Inbound { payload, ..*packet }, format, sink)
            }
            Route::Transcode(codec) => {
                let sample_rate_hz = self.voice_for(&codec)?;
                self.ear.hear(now, packet, &codec, sample_rate_hz)?;
                self.start_pace(now, Duration::from_millis(u64::from(self.ptime_ms / 2)));
                Ok(())
            }
            Route::Noise(pt, codec) => {
                let sample_rate_hz = self.voice_for(&codec)?;
                self.ear.hear_noise(now, packet, (pt, &codec), sample_rate_hz)?;
                self.start_pace(now, Duration::from_millis(u64::from(self.ptime_ms / 2)));
                Ok(())
            }
        }
    }

    /// Sends a packet of the other leg on as one of `format`, whose payload it carries.
    fn pass(
        &mut self,
        now: Instant,
        packet: &Inbound<'_>,
        format: Format,
        sink: &mut impl Sink,
    ) -> Result<(), DropReason> {
        self.ear.rest();
        if self.is_dialling() {
            return Ok(());
        }
        let clock_rate_hz = format.codec.clock_rate_hz();
        let header = self.relay.rewrite(now, packet, (format.pt, clock_rate_hz), &mut self.output)?;
        self.spoken = Some(format.codec.kind());
        self.sampler.pass(&format.codec, packet.payload);
        if !self.mute.is_on() {
            sink.send(&header, clock_rate_hz, packet.payload);
            return Ok(());
        }
        let mut silence = [0; LONGEST_PAYLOAD_BYTES];
        let len = format.codec.write_silence(packet.payload, &mut silence).ok_or(DropReason::Codec)?;
        sink.send(&header, clock_rate_hz, &silence[..len]);
        Ok(())
    }

    /// Sends `source` instead of what the other leg says, until it ends.
    pub fn play(&mut self, now: Instant, source: Source) -> Result<(), MediaError> {
        if let Some(fault) = source.fault() {
            return Err(MediaError::UnplayableSource(fault.into()));
        }
        let sample_rate_hz = self.voice().map_err(|_| no_send_codec())?.sample_rate_hz();
        self.player = Some(Player::new(source, sample_rate_hz));
        self.start_pace(now, Duration::ZERO);
        Ok(())
    }

    /// Ends what plays, if anything does.
    pub fn stop_play(&mut self) {
        self.player = None;
    }

    /// Whether a source came to its end since the last call.
    pub fn take_play_done(&mut self) -> bool {
        std::mem::take(&mut self.is_play_done)
    }

    /// Whether silence goes out in place of what the other leg says. Players and digits are heard all the same.
    pub fn set_muted(&mut self, is_muted: bool) {
        self.mute.set(is_muted);
    }

    /// Queues digits of a known length, as events or as tones.
    ///
    /// Fails with `InvalidState` before anything may be sent, with `Capacity` if they are more than the queue holds;
    /// then those that fit are sent.
    pub fn dial(&mut self, now: Instant, digits: &[Digit], duration_ms: u32, gap_ms: u32) -> Result<(), MediaError> {
        let queue = self.digits()?;
        for digit in digits {
            let queued = match queue {
                Digits::Events { sender, .. } => sender.push(*digit, duration_ms, gap_ms),
                Digits::Tones(keypad) => keypad.push(*digit, duration_ms, gap_ms),
            };
            queued.map_err(|_| MediaError::Capacity("digits in the queue"))?;
        }
        self.start_pace(now, Duration::ZERO);
        Ok(())
    }

    /// A key of the other leg went down.
    pub fn press(&mut self, now: Instant, digit: Digit) -> Result<(), DropReason> {
        let queued = match self.digits().map_err(|_| DropReason::NotReady)? {
            Digits::Events { sender, .. } => sender.press(digit),
            Digits::Tones(keypad) => keypad.press(digit),
        };
        queued.map_err(|_| DropReason::Overflow)?;
        self.start_pace(now, Duration::ZERO);
        Ok(())
    }

    /// The key that went down first came up after `duration_ms`.
    pub fn release(&mut self, duration_ms: u32) {
        match &mut self.digits {
            Some(Digits::Events { sender, .. }) => sender.release(duration_ms),
            Some(Digits::Tones(keypad)) => keypad.release(duration_ms),
            None => {}
        }
    }

    /// The far side reported how many of the packets before it missed, in 1/256: an encoder that has redundancy protects
    /// against as many. More at once, less only by and by, since losses come back.
    pub fn expect_loss(&mut self, fraction_lost: u8) {
        let told = (u32::from(fraction_lost) * 100).div_ceil(256);
        let before = u32::from(self.settings.expected_loss_percent);
        let percent = told.max((3 * before + told) / 4).min(MOST_EXPECTED_LOSS_PERCENT);
        self.settings.expected_loss_percent = u8::try_from(percent).unwrap_or(0);
        if let Some(voice) = &mut self.voice {
            voice.expect_loss(self.settings.expected_loss_percent);
        }
    }

    /// Makes the packets that are due.
    pub fn handle_timeout(&mut self, now: Instant, sink: &mut impl Sink) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            self.tick(now, sink);
        }
    }

    /// When the next packet is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pace.as_ref().map(Pace::next_at)
    }

    /// Whether the next packet is a digit's.
    #[must_use]
    pub fn is_dialling(&self) -> bool {
        match &self.digits {
            Some(Digits::Events { sender, .. }) => sender.is_active(),
            Some(Digits::Tones(keypad)) => keypad.is_active(),
            None => false,
        }
    }

    /// Codec of the audio sent last.
    #[must_use]
    pub fn codec_sent(&self) -> Option<Kind> {
        self.spoken
    }

    /// What was heard of the other leg, since it is connected.
    #[must_use]
    pub fn played(&self) -> Played {
        let relayed = Played { meter: self.sampler.meter(), ..Played::default() };
        self.played.then(self.ear.played()).then(relayed)
    }

    fn tick(&mut self, now: Instant, sink: &mut impl Sink) {
        let is_heard = self.ear.is_active(now);
        if !is_heard && self.player.is_none() && !self.is_dialling() {
            self.ear.rest();
            self.pace = None;
            return;
        }
        let frame_ms = self.ptime_ms;
        let Some(pace) = &mut self.pace else { return };
        let beat = pace.advance(now, frame_ms);
        if !sink.can_send() {
            return;
        }
        let moment = beat.timestamp(self.clock_rate_hz());
        match &mut self.digits {
            Some(Digits::Events { sender, format }) if sender.is_active() => {
                if let Some(voice) = &mut self.voice {
                    // What is said meanwhile is not heard, but its time goes by.
                    self.ear.pull(now, voice.pcm());
                }
                let event_rate_hz = format.codec.clock_rate_hz();
                let Some(outgoing) = sender.poll(beat.timestamp(event_rate_hz)) else { return };
                let stamp = (outgoing.timestamp, outgoing.marker);
                let header = self.output.next(now, moment, format.pt, stamp);
                sink.send(&header, event_rate_hz, &outgoing.event.to_bytes());
            }
            _ => self.speak(now, moment, beat.is_first, sink),
        }
    }

    /// One frame of tones, player or the other leg, encoded.
    fn speak(&mut self, now: Instant, moment: u32, is_first: bool, sink: &mut impl Sink) {
        let Some(voice) = &mut self.voice else { return };
        let format = voice.format();
        let mut is_noise = false;
        match (&mut self.digits, &mut self.player) {
            (Some(Digits::Tones(keypad)), _) if keypad.is_active() => {
                self.ear.pull(now, voice.pcm());
                keypad.fill(voice.pcm());
            }
            (_, Some(player)) => {
                if !player.fill(voice.pcm()) {
                    self.player = None;
                    self.is_play_done = true;
                }
            }
            _ => {
                is_noise = self.ear.pull(now, voice.pcm()) && !self.mute.is_on();
                self.mute.apply(voice.pcm());
            }
        }
        let mut is_first = is_first;
        if let Some(hush) = &mut self.hush {
            let format = hush.format();
            match if is_noise { hush.describe(voice.pcm(), self.ptime_ms) } else { hush::Outcome::Speech } {
                hush::Outcome::Packet(payload) => {
                    let header = self.output.next(now, moment, format.pt, (moment, false));
                    return sink.send(&header, format.codec.clock_rate_hz(), payload);
                }
                hush::Outcome::Nothing => return,
                // The first packet after silence is marked, so that the far side may set its delay anew (RFC 3551 4.1).
                hush::Outcome::Speech => is_first |= !is_noise && hush.end(),
            }
        }
        match voice.encode() {
            Ok(Some(payload)) => {
                let header = self.output.next(now, moment, format.pt, (moment, is_first));
                self.spoken = Some(format.codec.kind());
                sink.send(&header, format.codec.clock_rate_hz(), payload);
            }
            Ok(None) => {}
            Err(reason) => sink.count_drop(reason),
        }
    }

    fn start_pace(&mut self, now: Instant, delay: Duration) {
        if self.pace.is_none() {
            let base = self.output.timestamp_at(now, self.clock_rate_hz());
            self.pace = Some(Pace::new(now + delay, base));
        }
    }

    /// Packet times that the codec can make: Opus has its frame lengths (RFC 6716 section 2.1.4), others take any.
    fn possible_ptime_ms(&self) -> u32 {
        let is_possible = match self.audio().map(|format| format.codec.kind()) {
            Some(Kind::Speex) => (20..=120).contains(&self.wanted_ptime_ms) && self.wanted_ptime_ms.is_multiple_of(20),
            Some(Kind::Opus) => matches!(self.wanted_ptime_ms, 10 | 20 | 40 | 60 | 80 | 100 | 120),
            _ => (10..=120).contains(&self.wanted_ptime_ms),
        };
        if is_possible { self.wanted_ptime_ms } else { USUAL_PTIME_MS }
    }

    /// The audio codec that we encode: the far side's favourite among those that we have.
    fn audio(&self) -> Option<Format> {
        self.send.iter().copied().find(|format| format.codec.kind().is_speech())
    }

    fn clock_rate_hz(&self) -> u32 {
        self.audio().map_or(8_000, |format| format.codec.clock_rate_hz())
    }

    /// The encoder, made when it is first needed.
    fn voice(&mut self) -> Result<&mut Voice, DropReason> {
        if self.voice.is_none() {
            let format = self.audio().ok_or(DropReason::NotReady)?;
            let settings = EncoderSettings { sample_rate_hz: self.sample_rate_hz(format), ..self.settings };
            self.voice = Some(Voice::new(format, self.ptime_ms, &settings).map_err(|_| DropReason::Codec)?);
            self.hush = Hush::beside(&format.codec, &self.send).map(Box::new);
        }
        self.voice.as_mut().ok_or(DropReason::Codec)
    }

    /// Makes the encoder fit for all that `codec`, of the other leg, lets through, and returns its rate.
    ///
    /// It was made for the codec that the other leg named first. One that is heard instead and has more needs a rate of
    /// its own: the encoder begins anew, at most once for each of its rates, but not amid digits that it sounds.
    fn voice_for(&mut self, codec: &Codec) -> Result<u32, DropReason> {
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
    fn digits(&mut self) -> Result<&mut Digits, MediaError> {
        if self.digits.is_none() {
            let clock_rate_hz = self.clock_rate_hz();
            let events = self.send.iter().filter(|format| format.codec.kind() == Kind::TelephoneEvent);
            let best = events.max_by_key(|format| format.codec.clock_rate_hz() == clock_rate_hz).copied();
            self.digits = Some(if let Some(format) = best {
                let sender = Box::new(dtmf::Sender::new(format.codec.clock_rate_hz(), self.ptime_ms));
                Digits::Events { sender, format }
            } else {
                let sample_rate_hz = self.voice().map_err(|_| no_send_codec())?.sample_rate_hz();
                Digits::Tones(Box::new(Keypad::new(sample_rate_hz)))
            });
        }
        self.digits.as_mut().ok_or_else(no_send_codec)
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
}

fn no_send_codec() -> MediaError {
    MediaError::InvalidParameter("the far side has named no codec to send".into())
}
