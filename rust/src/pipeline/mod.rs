//! What leaves an endpoint, and where it comes from: the other leg, relayed or transcoded, a player, or digits.
//!
//! Owns the outgoing stream's numbers and pace, the choice between relay and transcode for each payload type, players
//! and outgoing digits. Must not know transports: packets go to a [`Sink`]. RFC 3550, 3551, 4733, 7587.
//!
//! Who has the stream, first come first: digits, the player, the other leg.

mod continuity;
mod digits;
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
mod terms;
mod tick;
mod transcode;

use std::time::{Duration, Instant};

use crate::codecs::{Codec, EncoderSettings, Kind, USUAL_PTIME_MS};
use crate::dtmf::Digit;
use crate::error::{DropReason, MediaError};
use crate::net::{DATAGRAM_BYTES, Pt, SeqNo, Ssrc};
use crate::quality::Played;
use crate::rtp::Header;

pub use player::{Clip, Source};
pub use tap::{Channel, Copied, Ending, Reader as TapReader, Record, Tap, tap};

use digits::Digits;
use hush::Hush;
use mute::Mute;
use output::Output;
use pace::Pace;
use player::Player;
use relay::Relay;
use routes::{Route, Routes};
use sampler::Sampler;
use terms::no_send_codec;
use transcode::{Ear, Voice};

/// Beyond it redundancy, of one packet, helps no more and costs what the speech itself needs.
const MOST_EXPECTED_LOSS_PERCENT: u32 = 30;

/// Longest payload of G.711 that any datagram to us carries.
const LONGEST_LAW_BYTES: usize = 1_500;

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
    /// When it came to this machine: before it was read, by however late the worker is.
    pub arrived_at: Instant,
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
            Route::Relay(format) if !format.codec.takes(packet.payload) => Err(DropReason::Codec),
            Route::Relay(format) => self.pass(now, packet, format, sink),
            Route::Convert(format, law) => {
                let mut converted = [0; LONGEST_LAW_BYTES];
                let payload = law.convert(packet.payload, &mut converted).ok_or(DropReason::Codec)?;
                self.pass(now, &Inbound { payload, ..*packet }, format, sink)
            }
            Route::Transcode(codec) => {
                let sample_rate_hz = self.voice_for(&codec)?;
                self.ear.hear(now, packet, &codec, sample_rate_hz)?;
                self.follow(now, packet);
                Ok(())
            }
            Route::Noise(pt, codec) => {
                let sample_rate_hz = self.voice_for(&codec)?;
                self.ear.hear_noise(now, packet, (pt, &codec), sample_rate_hz)?;
                self.follow(now, packet);
                Ok(())
            }
        }
    }

    /// Begins to make packets from what was kept, half a packet time after the first of it came: so the worker's lateness at
    /// that moment, when a call has much to be made ready, stays out of the delay of the whole call.
    fn follow(&mut self, now: Instant, packet: &Inbound<'_>) {
        let half = Duration::from_millis(u64::from(self.ptime_ms / 2));
        self.start_pace(now, packet.arrived_at + half);
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
        let mut silence = [0; DATAGRAM_BYTES];
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
        self.start_pace(now, now);
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
            let queued = queue.push(*digit, duration_ms, gap_ms);
            queued.map_err(|_| MediaError::Capacity("digits in the queue"))?;
        }
        self.start_pace(now, now);
        Ok(())
    }

    /// A key of the other leg went down.
    pub fn press(&mut self, now: Instant, digit: Digit) -> Result<(), DropReason> {
        let queue = self.digits().map_err(|_| DropReason::NotReady)?;
        queue.press(digit).map_err(|_| DropReason::Overflow)?;
        self.start_pace(now, now);
        Ok(())
    }

    /// The key that went down first came up after `duration_ms`.
    pub fn release(&mut self, duration_ms: u32) {
        if let Some(queue) = &mut self.digits {
            queue.release(duration_ms);
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

    /// Whether the next packet is a digit's.
    #[must_use]
    pub fn is_dialling(&self) -> bool {
        self.digits.as_ref().is_some_and(Digits::is_active)
    }

    /// Codec of the audio sent last.
    #[must_use]
    pub fn codec_sent(&self) -> Option<Kind> {
        self.spoken
    }

    /// Whether anything of the other leg is decoded.
    #[must_use]
    pub fn is_transcoding(&self) -> bool {
        self.routes.transcoded().next().is_some()
    }

    /// What was heard of the other leg, since it is connected.
    #[must_use]
    pub fn played(&self) -> Played {
        let relayed = Played { meter: self.sampler.meter(), ..Played::default() };
        self.played.then(self.ear.played()).then(relayed)
    }
}
