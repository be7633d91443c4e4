//! The endpoints of one call, and what flows between them.
//!
//! Owns the legs of a call (an [`Endpoint`] with the [`Pipeline`] that feeds it and the receiver of its digits) and
//! which of them is joined to which: an endpoint joined to itself is an echo. Both legs of a packet's way are here, so
//! that a packet never leaves its thread. Must not know sockets or commands' origins.
//!
//! The worker gives each bridge a turn at a time, and a panic in one turn ends this bridge alone.

mod keys;
mod out;
mod types;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::codecs::{EncoderSettings, Kind};
use crate::dtmf::{self, Digit, Received};
use crate::endpoint::{Direction, Endpoint, EndpointId, Lane, Media, Remote};
use crate::error::{DropReason, MediaError};
use crate::net::SrtpProfile;
use crate::outbox::Outbox;
use crate::pipeline::{Channel, Copied, Ending, FirstNumbers, Format, Inbound, Pipeline, Source, Tap};
use crate::quality::{Heard, Played, emodel};
use crate::srtp::Forecast;

pub use types::{CallId, Dtmf, Event, LegIndex, Muted, Stats, StreamParameters, Voice};

use keys::Keys;
use out::Out;

/// Endpoints that one call may have at a time: two legs, and room for transfers and parallel ringing.
pub const MAX_LEGS: usize = 16;

/// Bytes of the longest payload that is replaced by silence.
const LONGEST_PAYLOAD_BYTES: usize = 1_500;

struct Leg {
    endpoint: Endpoint,
    pipeline: Pipeline,
    receive: Vec<Format>,
    send: Vec<Format>,
    ptime_ms: u32,
    heard: Option<Kind>,
    /// What its far side presses.
    keys: Keys,
    /// How digits get to its far side.
    sent_digits: dtmf::Kind,
    /// What other legs than the present peer heard of this one.
    played: Played,
    /// What of the far side's voice does not get through.
    said: Muted,
    /// What of our voice to the far side does not get through.
    hearing: Muted,
    /// Who records it.
    tap: Option<Tap>,
    /// Whom it is joined to.
    peer: Option<LegIndex>,
}

/// The media of one call.
pub struct Bridge {
    call: CallId,
    legs: Vec<Option<Box<Leg>>>,
    events: VecDeque<Event>,
    #[cfg(test)]
    pub(crate) fault: Option<Fault>,
}

/// Where a bridge panics, for the tests of who catches it.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Event,
    Timeout,
    Drop,
}

#[cfg(test)]
impl Bridge {
    fn pass(&self, place: Fault) {
        assert!(self.fault != Some(place), "a bug of ours");
    }
}

#[cfg(test)]
impl Drop for Bridge {
    fn drop(&mut self) {
        self.pass(Fault::Drop);
    }
}

impl Leg {
    /// Where its packets come from, and where they go.
    fn way_out<'a>(&'a mut self, now: Instant, outbox: &'a mut Outbox) -> (&'a mut Pipeline, Out<'a>) {
        let is_digit = self.pipeline.is_dialling();
        let tap = self.tap.as_mut().map(|tap| (tap, self.send.as_slice()));
        (&mut self.pipeline, Out { now, endpoint: &mut self.endpoint, outbox, tap, is_digit, refused: None })
    }

    /// Copies what the far side sent to who records it. What is muted is not recorded either.
    fn record(&mut self, now: Instant, media: &Media, payload: &[u8], is_digit: bool) {
        let header = &media.header;
        let Some(tap) = &mut self.tap else { return };
        let Some(format) = self.receive.iter().find(|format| format.pt == header.pt) else { return };
        if self.said == Muted::Nothing || !format.codec.kind().is_speech() {
            let packet = Copied {
                channel: Channel::Said,
                codec: &format.codec,
                seq: header.seq.0,
                timestamp: header.timestamp,
                is_restart: media.is_restart,
                is_digit,
                payload,
            };
            tap.write(now, &packet);
        }
    }
}

impl Bridge {
    /// A call without endpoints.
    #[must_use]
    pub fn new(call: CallId) -> Self {
        Self {
            call,
            legs: Vec::with_capacity(2),
            events: VecDeque::with_capacity(16),
            #[cfg(test)]
            fault: None,
        }
    }

    /// Whose media this is.
    #[must_use]
    pub fn call(&self) -> CallId {
        self.call
    }

    /// Takes an endpoint in. Fails with `Capacity` beyond [`MAX_LEGS`].
    pub fn add(
        &mut self,
        endpoint: Endpoint,
        first: FirstNumbers,
        encoder: EncoderSettings,
    ) -> Result<LegIndex, MediaError> {
        let pipeline = Pipeline::new(endpoint.ssrc(), first, encoder);
        let leg = Leg {
            endpoint,
            pipeline,
            receive: Vec::new(),
            send: Vec::new(),
            ptime_ms: 20,
            heard: None,
            keys: Keys::new(),
            sent_digits: dtmf::Kind::default(),
            played: Played::default(),
            said: Muted::default(),
            hearing: Muted::default(),
            tap: None,
            peer: None,
        };
        let place = match self.legs.iter().position(Option::is_none) {
            Some(place) => place,
            None if self.legs.len() < MAX_LEGS => {
                self.legs.push(None);
                self.legs.len() - 1
            }
            None => return Err(MediaError::Capacity("endpoints of one call")),
        };
        self.legs[place] = Some(Box::new(leg));
        Ok(LegIndex(place))
    }

    /// Where the endpoint of this name is.
    #[must_use]
    pub fn find(&self, id: EndpointId) -> Option<LegIndex> {
        let is_it = |leg: &Option<Box<Leg>>| leg.as_ref().is_some_and(|leg| leg.endpoint.id() == id);
        self.legs.iter().position(is_it).map(LegIndex)
    }

    /// The endpoint at `index`.
    #[must_use]
    pub fn endpoint(&self, index: LegIndex) -> Option<&Endpoint> {
        self.leg(index).map(|leg| &leg.endpoint)
    }

    /// Every endpoint with its place.
    pub fn endpoints(&self) -> impl Iterator<Item = (LegIndex, &Endpoint)> {
        let numbered = self.legs.iter().enumerate();
        numbered.filter_map(|(place, leg)| Some((LegIndex(place), &leg.as_ref()?.endpoint)))
    }

    /// Whether no endpoint is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.legs.iter().all(Option::is_none)
    }

    /// Parts the endpoint from its peer, says goodbye and forgets it.
    pub fn remove(&mut self, now: Instant, index: LegIndex, outbox: &mut Outbox) {
        self.part(index);
        self.note_heard(index);
        if let Some(mut leg) = self.legs.get_mut(index.0).and_then(Option::take) {
            leg.endpoint.close(now, outbox);
            if let Some(tap) = leg.tap.take() {
                tap.stop(now, Ending::Closed);
            }
        }
    }

    /// Tells an endpoint its far side, anew or again.
    pub fn set_remote(
        &mut self,
        now: Instant,
        index: LegIndex,
        remote: Remote,
        audio: &StreamParameters,
        outbox: &mut Outbox,
    ) -> Result<(), MediaError> {
        let leg = self.leg_mut(index)?;
        let formats = audio.receive.iter().map(|format| (format.pt, format.codec.clock_rate_hz()));
        leg.endpoint.set_remote(now, remote, formats, outbox)?;
        leg.endpoint.set_direction(now, audio.direction);
        leg.endpoint.set_rtcp(audio.rtcp);
        leg.receive.clone_from(&audio.receive);
        leg.send.clone_from(&audio.send);
        leg.ptime_ms = audio.ptime_ms;
        leg.sent_digits = audio.dtmf.sent;
        leg.keys.listen(audio.dtmf.hears_tones);
        leg.pipeline.set_send(&audio.send, audio.ptime_ms);
        if let Some(peer) = leg.peer {
            self.feed(index, peer);
        }
        Ok(())
    }

    /// What an endpoint sends and takes from now on.
    pub fn set_direction(&mut self, now: Instant, index: LegIndex, direction: Direction) -> Result<(), MediaError> {
        self.leg_mut(index)?.endpoint.set_direction(now, direction);
        Ok(())
    }

    /// The call is answered: from now on an endpoint's silence counts.
    pub fn expect_media(&mut self, now: Instant, index: LegIndex) -> Result<(), MediaError> {
        self.leg_mut(index)?.endpoint.expect_media(now);
        Ok(())
    }

    /// Joins two endpoints both ways, or one with itself. Whoever they were joined to before is left alone.
    pub fn join(&mut self, a: LegIndex, b: LegIndex) -> Result<(), MediaError> {
        if self.leg(a).is_none() || self.leg(b).is_none() {
            return Err(MediaError::UnknownEndpoint(0));
        }
        if self.leg(a).is_some_and(|leg| leg.peer == Some(b)) {
            return Ok(());
        }
        self.part(a);
        self.part(b);
        self.leg_mut(a)?.peer = Some(b);
        self.leg_mut(b)?.peer = Some(a);
        self.feed(a, b);
        self.feed(b, a);
        self.apply_mutes();
        Ok(())
    }

    /// Parts an endpoint from its peer; no error if it has none.
    pub fn part(&mut self, index: LegIndex) {
        let Some(peer) = self.leg(index).and_then(|leg| leg.peer) else { return };
        let both = if peer == index { [Some(index), None] } else { [Some(index), Some(peer)] };
        for (place, other) in both.into_iter().flatten().zip([peer, index]) {
            let Ok(leg) = self.leg_mut(place) else { continue };
            leg.peer = None;
            let played = leg.pipeline.disconnect();
            if let Ok(other) = self.leg_mut(other) {
                other.played = other.played.then(played);
            }
        }
    }

    /// Mutes one direction of an endpoint, or lets it through again; also for whom it will be joined to.
    pub fn mute(&mut self, index: LegIndex, voice: Voice, muted: Muted) -> Result<(), MediaError> {
        let leg = self.leg_mut(index)?;
        match voice {
            Voice::Says => leg.said = muted,
            Voice::Hears => leg.hearing = muted,
        }
        self.apply_mutes();
        Ok(())
    }

    /// Sends a source out of an endpoint, instead of what its peer says.
    pub fn play(&mut self, now: Instant, index: LegIndex, source: Source) -> Result<(), MediaError> {
        self.leg_mut(index)?.pipeline.play(now, source)
    }

    /// Ends what an endpoint plays.
    pub fn stop_play(&mut self, index: LegIndex) -> Result<(), MediaError> {
        self.leg_mut(index)?.pipeline.stop_play();
        Ok(())
    }

    /// Has an endpoint recorded, both ways. Fails with `InvalidState` if it is being recorded already.
    pub fn start_tap(&mut self, now: Instant, index: LegIndex, mut tap: Tap) -> Result<(), MediaError> {
        let leg = self.leg_mut(index)?;
        if leg.tap.as_ref().is_some_and(|tap| !tap.is_refused()) {
            let endpoint = leg.endpoint.id().0;
            return Err(MediaError::InvalidState { endpoint, reason: "it is being recorded already" });
        }
        tap.start(now);
        leg.tap = Some(tap);
        Ok(())
    }

    /// Ends the recording of an endpoint; no error if there is none.
    pub fn stop_tap(&mut self, now: Instant, index: LegIndex) -> Result<(), MediaError> {
        if let Some(tap) = self.leg_mut(index)?.tap.take() {
            tap.stop(now, Ending::Stopped);
        }
        Ok(())
    }

    /// Sends digits out of an endpoint.
    pub fn dial(
        &mut self,
        now: Instant,
        index: LegIndex,
        digits: &[Digit],
        (duration_ms, gap_ms): (u32, u32),
    ) -> Result<(), MediaError> {
        self.leg_mut(index)?.pipeline.dial(now, digits, duration_ms, gap_ms)
    }

    /// What is known of an endpoint.
    #[must_use]
    pub fn stats(&mut self, index: LegIndex) -> Option<Stats> {
        self.note_heard(index);
        let leg = self.leg(index)?;
        let codec_sent = leg.pipeline.codec_sent();
        Some(Stats {
            received: leg.endpoint.received(),
            sent: leg.endpoint.sent(codec_sent.and_then(impairment)),
            round_trip: leg.endpoint.round_trip(),
            codec_received: leg.heard,
            codec_sent,
            srtp_profile: leg.endpoint.srtp_profile().map(SrtpProfile::name),
            local: None,
            remote: leg.endpoint.remote(),
            is_said_muted: leg.said != Muted::Nothing,
            is_heard_muted: leg.hearing != Muted::Nothing,
            drops: leg.endpoint.drops().clone(),
        })
    }

    /// Takes one datagram for the leg at `index`; media in it goes to the peer, if there is one.
    ///
    /// A drop is counted at the endpoint that decided it, and returned for the worker's own count.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        (index, lane): (LegIndex, Lane),
        remote: SocketAddr,
        data: &mut [u8],
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        self.handle_foreseen(now, (index, lane, remote), (data, None), outbox)
    }

    /// What the tag of a datagram must be made of, if it is an SRTP packet whose tag is worth computing ahead.
    #[must_use]
    pub fn foresee(
        &self,
        now: Instant,
        (index, lane, remote): (LegIndex, Lane, SocketAddr),
        data: &[u8],
    ) -> Option<Forecast> {
        self.legs.get(index.0)?.as_ref()?.endpoint.foresee(now, lane, remote, data)
    }

    /// Does as [`handle_datagram`](Self::handle_datagram) with a datagram that may have a forecast.
    pub fn handle_foreseen(
        &mut self,
        now: Instant,
        (index, lane, remote): (LegIndex, Lane, SocketAddr),
        (data, forecast): (&mut [u8], Option<&Forecast>),
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        let Some(leg) = self.legs.get_mut(index.0).and_then(Option::as_deref_mut) else {
            return Err(DropReason::UnknownSource);
        };
        let result = match leg.endpoint.handle_datagram(now, (lane, remote), (&mut *data, forecast), outbox) {
            Ok(Some(media)) => self.forward(now, index, &media, data, outbox),
            Ok(None) => Ok(()),
            Err(reason) => Err(reason),
        };
        self.collect(index);
        result
    }

    /// Does what is due in every leg.
    pub fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox) {
        for place in 0..self.legs.len() {
            let index = LegIndex(place);
            if self.leg(index).is_some_and(|leg| leg.endpoint.is_report_due(now)) {
                self.note_heard(index);
            }
            let Ok(leg) = self.leg_mut(index) else { continue };
            if leg.endpoint.poll_timeout().is_some_and(|due| due <= now) {
                leg.endpoint.handle_timeout(now, outbox);
            }
            if leg.pipeline.poll_timeout().is_some_and(|due| due <= now) {
                let (pipeline, mut out) = leg.way_out(now, outbox);
                pipeline.handle_timeout(now, &mut out);
            }
            if leg.keys.poll_timeout().is_some_and(|due| due <= now) {
                leg.keys.handle_timeout(now);
                self.pass_digits(now, index);
            }
            self.collect(index);
        }
    }

    /// When something is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        #[cfg(test)]
        self.pass(Fault::Timeout);
        let legs = self.legs.iter().flatten();
        legs.filter_map(|leg| {
            let endpoint = leg.endpoint.poll_timeout();
            [endpoint, leg.pipeline.poll_timeout(), leg.keys.poll_timeout()].into_iter().flatten().min()
        })
        .min()
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        #[cfg(test)]
        self.pass(Fault::Event);
        self.events.pop_front()
    }

    /// Passes the packet in `data` to the peer of the leg at `index`.
    fn forward(
        &mut self,
        now: Instant,
        index: LegIndex,
        media: &Media,
        data: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        let Ok(leg) = self.leg_mut(index) else { return Err(DropReason::UnknownSource) };
        let header = &media.header;
        let payload = header.payload_of(data);
        let mut packet = Inbound { header, extended_seq: media.extended_seq, is_restart: media.is_restart, payload };
        let format = leg.receive.iter().find(|format| format.pt == header.pt).copied();
        let kind = format.map(|format| format.codec.kind());
        if let Some(format) = format.filter(|_| kind == Some(Kind::TelephoneEvent)) {
            leg.record(now, media, payload, false);
            let result = leg.keys.take_event(now, &packet, format.codec.clock_rate_hz());
            if result.is_err() {
                leg.endpoint.count_drop(DropReason::Codec);
            }
            self.pass_digits(now, index);
            return result.map_err(|_| DropReason::Codec);
        }
        if let Some(format) = format.filter(|format| format.codec.kind().is_speech()) {
            leg.heard = kind;
            if leg.keys.hear(now, &packet, format) {
                self.pass_digits(now, index);
            }
        }
        let Ok(leg) = self.leg_mut(index) else { return Err(DropReason::UnknownSource) };
        let (peer, pressed_by) = (leg.peer, leg.keys.pressed_by());
        leg.record(now, media, payload, pressed_by.is_some());
        let Some(peer) = peer else {
            leg.endpoint.count_drop(DropReason::NotBridged);
            return Err(DropReason::NotBridged);
        };
        let Ok(to) = self.leg_mut(peer) else { return Err(DropReason::NotBridged) };
        // Who is told of a key does not hear its tone as well.
        let is_told = pressed_by.is_some_and(|by| by != to.sent_digits || by != dtmf::Kind::Inband);
        let mut silence;
        if is_told {
            silence = [0; LONGEST_PAYLOAD_BYTES];
            let len = format.and_then(|format| format.codec.write_silence(payload, &mut silence));
            packet.payload = len.and_then(|len| silence.get(..len)).unwrap_or(payload);
        }
        let (pipeline, mut out) = to.way_out(now, outbox);
        let result = pipeline.handle_packet(now, &packet, &mut out);
        // What the way out refused is counted there.
        let refused = out.refused.map_or(Ok(()), Err);
        if let Err(reason) = result
            && let Ok(leg) = self.leg_mut(index)
        {
            leg.endpoint.count_drop(reason);
            if matches!(reason, DropReason::Late | DropReason::Overflow) {
                leg.endpoint.discard(media);
            }
        }
        result.and(refused)
    }

    /// Tells of digits that began or ended, and presses the same keys on the peer, unless its audio holds them already
    /// or the controller has to tell it.
    fn pass_digits(&mut self, now: Instant, index: LegIndex) {
        loop {
            let Ok(leg) = self.leg_mut(index) else { return };
            let Some((received, kind)) = leg.keys.poll_event() else { return };
            let (endpoint, peer, said) = (leg.endpoint.id(), leg.peer, leg.said);
            if let Received::Ended { digit, duration_ms } = received {
                self.events.push_back(Event::Digit { endpoint, digit, duration_ms, kind });
            }
            let Some(Ok(to)) = peer.map(|peer| self.leg_mut(peer)) else { continue };
            let muted = [said, to.hearing];
            let is_needed = match to.sent_digits {
                dtmf::Kind::Rfc4733 => true,
                dtmf::Kind::Inband => kind != dtmf::Kind::Inband || muted != [Muted::Nothing; 2],
                dtmf::Kind::Info => false,
            };
            match received {
                Received::Began { .. } if !is_needed || muted.contains(&Muted::AudioAndDigits) => {}
                Received::Began { digit, .. } if to.endpoint.can_send() => {
                    if let Err(reason) = to.pipeline.press(now, digit) {
                        to.endpoint.count_drop(reason);
                    }
                }
                Received::Began { .. } => to.endpoint.count_drop(DropReason::NotReady),
                Received::Ended { duration_ms, .. } => to.pipeline.release(duration_ms),
            }
        }
    }

    /// Tells an endpoint how it was heard, for its reports and figures.
    fn note_heard(&mut self, index: LegIndex) {
        let Some(leg) = self.leg(index) else { return };
        let peer = leg.peer.and_then(|peer| self.leg(peer));
        let played = peer.map_or(leg.played, |peer| leg.played.then(peer.pipeline.played()));
        let heard = Heard::new(leg.heard.and_then(impairment), leg.ptime_ms, played);
        if let Ok(leg) = self.leg_mut(index) {
            leg.endpoint.set_heard(heard);
        }
    }

    /// Lets the leg at `to` hear the leg at `from`.
    fn feed(&mut self, from: LegIndex, to: LegIndex) {
        let Some(leg) = self.leg(from) else { return };
        let (formats, ptime_ms) = (leg.receive.clone(), leg.ptime_ms);
        if let Ok(leg) = self.leg_mut(to) {
            leg.pipeline.connect(&formats, ptime_ms);
        }
    }

    /// Tells each pipeline whether what its source says gets through.
    fn apply_mutes(&mut self) {
        for place in 0..self.legs.len() {
            let Some(leg) = self.leg(LegIndex(place)) else { continue };
            let said = leg.peer.and_then(|peer| self.leg(peer)).map_or(Muted::Nothing, |peer| peer.said);
            let is_muted = [said, leg.hearing].iter().any(|muted| *muted != Muted::Nothing);
            if let Ok(leg) = self.leg_mut(LegIndex(place)) {
                leg.pipeline.set_muted(is_muted);
            }
        }
    }

    /// Moves the events of one leg to the bridge's own.
    fn collect(&mut self, index: LegIndex) {
        let Some(leg) = self.legs.get_mut(index.0).and_then(Option::as_deref_mut) else { return };
        let id = leg.endpoint.id();
        while let Some(event) = leg.endpoint.poll_event() {
            self.events.push_back(Event::Endpoint(id, event));
        }
        if leg.pipeline.take_play_done() {
            self.events.push_back(Event::PlayDone(id));
        }
    }

    fn leg(&self, index: LegIndex) -> Option<&Leg> {
        self.legs.get(index.0)?.as_deref()
    }

    fn leg_mut(&mut self, index: LegIndex) -> Result<&mut Leg, MediaError> {
        let leg = self.legs.get_mut(index.0).and_then(Option::as_deref_mut);
        leg.ok_or(MediaError::UnknownEndpoint(0))
    }
}

/// What the E-model says of a codec; None if it carries no speech.
fn impairment(codec: Kind) -> Option<emodel::Impairment> {
    match codec {
        Kind::Pcmu | Kind::Pcma => Some(emodel::G711),
        Kind::Opus => Some(emodel::OPUS),
        Kind::Cn | Kind::TelephoneEvent => None,
    }
}
