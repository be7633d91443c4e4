//! The endpoints of one call, and what flows between them.
//!
//! Owns the legs of a call (an [`Endpoint`] with the [`Pipeline`] that feeds it and the receiver of its digits) and
//! which of them is joined to which: an endpoint joined to itself is an echo. Both legs of a packet's way are here, so
//! that a packet never leaves its thread. Must not know sockets or commands' origins.
//!
//! The worker gives each bridge a turn at a time, and a panic in one turn ends this bridge alone.

mod figures;
mod keys;
mod leg;
mod out;
mod passage;
mod types;

use std::collections::VecDeque;
use std::time::Instant;

use crate::codecs::{EncoderSettings, Kind};
use crate::dtmf::Digit;
use crate::endpoint::{Accepts, Direction, Endpoint, EndpointId, Remote};
use crate::error::MediaError;
use crate::outbox::Outbox;
use crate::pipeline::{Ending, FirstNumbers, Source, Tap};

pub use types::{Arrival, CallId, Dtmf, Event, LegIndex, Muted, Stats, StreamParameters, Voice};

use leg::Leg;

/// Endpoints that one call may have at a time: two legs, and room for transfers and parallel ringing.
pub const MAX_LEGS: usize = 16;

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
        let leg = Leg::new(endpoint, first, encoder);
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

    /// The endpoints of which something is decoded on its way to the peer.
    pub fn decoded(&self) -> impl Iterator<Item = EndpointId> {
        self.legs.iter().flatten().filter_map(|leg| {
            let peer = self.leg(leg.peer?)?;
            peer.pipeline.is_transcoding().then(|| leg.endpoint.id())
        })
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
        let formats = audio.receive.iter().map(|format| Accepts {
            pt: format.pt,
            clock_rate_hz: format.codec.clock_rate_hz(),
            is_keys: format.codec.kind() == Kind::TelephoneEvent,
        });
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
