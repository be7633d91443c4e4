//! A packet's way through the bridge: from the endpoint that it came to, into the pipeline that feeds the peer.
//!
//! Owns what is decided on that way: which packets are digits, who hears their tones, and at whom a drop is counted.

use std::net::SocketAddr;
use std::time::Instant;

use crate::codecs::Kind;
use crate::dtmf::{self, Received};
use crate::endpoint::{Lane, Media};
use crate::error::DropReason;
use crate::net::DATAGRAM_BYTES;
use crate::outbox::Outbox;
use crate::pipeline::Inbound;
use crate::srtp::Forecast;

use super::{Arrival, Bridge, Event, LegIndex, Muted};

impl Bridge {
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
        self.handle_arrival(now, (index, lane, remote), (data, Arrival { at: now, forecast: None }), outbox)
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

    /// Does as [`handle_datagram`](Self::handle_datagram) with a datagram of which more is known.
    pub fn handle_arrival(
        &mut self,
        now: Instant,
        (index, lane, remote): (LegIndex, Lane, SocketAddr),
        (data, arrival): (&mut [u8], Arrival<'_>),
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        let Some(leg) = self.legs.get_mut(index.0).and_then(Option::as_deref_mut) else {
            return Err(DropReason::UnknownSource);
        };
        let result = match leg.endpoint.handle_datagram(now, (lane, remote), (&mut *data, arrival.forecast), outbox) {
            Ok(Some(media)) => self.forward((now, arrival.at), index, &media, data, outbox),
            Ok(None) => {
                if let Some(fraction_lost) = leg.endpoint.take_told_loss() {
                    leg.pipeline.expect_loss(fraction_lost);
                }
                Ok(())
            }
            Err(reason) => Err(reason),
        };
        self.collect(index);
        result
    }

    /// Passes the packet in `data`, which has arrived a moment ago, to the peer of the leg at `index`.
    fn forward(
        &mut self,
        (now, arrived_at): (Instant, Instant),
        index: LegIndex,
        media: &Media,
        data: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        let Ok(leg) = self.leg_mut(index) else { return Err(DropReason::UnknownSource) };
        let header = &media.header;
        let payload = header.payload_of(data);
        let Media { extended_seq, is_restart, .. } = *media;
        let mut packet = Inbound { arrived_at, header, extended_seq, is_restart, payload };
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
            silence = [0; DATAGRAM_BYTES];
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
    pub(super) fn pass_digits(&mut self, now: Instant, index: LegIndex) {
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
}
