//! One leg's transport: datagrams in, RTP packets up; RTP packets down, datagrams out.
//!
//! Owns what belongs to one far side: ICE or the latches, DTLS, SRTP keys, the received source, RTCP,
//! the stream's direction and its counters. Must not know a codec, the other leg or a socket (only its number).
//!
//! The verbs are those of every core here: `handle_datagram`, `handle_timeout`, `poll_event`, `poll_timeout`; what is
//! sent goes to the [`Outbox`] that the caller lends. RFC 3550, 3711, 5764, 7983, 8445.

mod association;
mod figures;
mod interval;
mod latch;
mod latched;
mod protection;
mod reports;
mod rtcp_latch;
mod secure;
mod types;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::dtls::Certificate;
use crate::error::{DropCounters, DropReason, MediaError};
use crate::ice::{Agent, Credentials};
use crate::net::{DatagramKind, Pt, SrtpProfile, Ssrc};
use crate::outbox::{Outbox, SocketId};
use crate::quality::{Arrivals, Heard};
use crate::rtcp::{Compound, Packet, WallClock};
use crate::rtp::{Allowance, Header, Source};
use crate::srtp::Forecast;

pub use figures::{ReceivedFigures, SentFigures};
pub use latched::SocketIds;
pub use types::{
    Accepts, CloseReason, Direction, EndpointId, Event, Identity, Lane, Limits, Media, Remote, RtcpParameters, Security,
};

use latched::{Latched, Signalled};
use protection::Protection;
use reports::Reports;
use secure::Secure;

type Events = VecDeque<Event>;

/// Events that fit without allocation; an endpoint rarely has more than two at a time.
const EVENT_ROOM: usize = 8;

/// What one datagram was for.
#[derive(Debug)]
enum Content {
    /// ICE or DTLS; dealt with.
    Control,
    /// A decrypted RTP packet at the front of the buffer.
    Rtp(Header),
    /// So many bytes of decrypted RTCP at the front of the buffer.
    Rtcp(usize),
}

enum Transport {
    Secure(Box<Secure>),
    Latched(Box<Latched>),
}

/// RTP packets and their payload bytes since the endpoint was made.
#[derive(Debug, Default)]
struct Counters {
    packets_received: u64,
    bytes_received: u64,
    packets_sent: u64,
    bytes_sent: u64,
    /// Payload type of the last packet taken.
    pt_received: Option<Pt>,
}

/// One leg's transport.
pub struct Endpoint {
    id: EndpointId,
    ssrc: Ssrc,
    transport: Transport,
    limits: Limits,
    direction: Direction,
    /// Clock rate of each payload type that the far side may send; 0 is not negotiated.
    clock_rates_hz: [u32; 128],
    /// Payload types of keys, a bit each.
    keys: u128,
    source: Source,
    /// Who presses keys beside the source that speaks.
    aside: Source,
    allowance: Allowance,
    arrivals: Arrivals,
    heard: Heard,
    reports: Reports,
    counters: Counters,
    drops: DropCounters,
    events: Events,
    /// When silence becomes inactivity; looked at when due, not moved by every packet.
    inactive_at: Option<Instant>,
    heard_at: Option<Instant>,
    /// The call is answered: the far side has no more reason not to send.
    is_media_expected: bool,
}

impl Endpoint {
    /// A browser-side endpoint on the shared socket `socket`, bound to `local`.
    #[must_use]
    pub fn web_rtc(
        identity: Identity,
        (socket, local): (SocketId, SocketAddr),
        (credentials, certificate): (Credentials, Certificate),
        limits: Limits,
        clock: WallClock,
    ) -> Self {
        let agent = Agent::new(credentials, limits.consent);
        let secure = Secure::new(socket, local, agent, certificate, limits.setup);
        Self::new(identity, Transport::Secure(Box::new(secure)), limits, clock, 0)
    }

    /// A SIP-side endpoint on sockets of its own. certificate: for a far side that wants DTLS.
    #[must_use]
    pub fn rtp(
        identity: Identity,
        sockets: SocketIds,
        certificate: Certificate,
        limits: Limits,
        clock: WallClock,
    ) -> Self {
        let transport = Transport::Latched(Box::new(Latched::new(sockets, certificate, limits.setup)));
        Self::new(identity, transport, limits, clock, Source::UNAUTHENTICATED_PROBATION)
    }

    fn new(identity: Identity, transport: Transport, limits: Limits, clock: WallClock, probation: u8) -> Self {
        Self {
            id: identity.id,
            ssrc: identity.ssrc,
            transport,
            limits,
            direction: Direction::default(),
            clock_rates_hz: [0; 128],
            keys: 0,
            source: Source::new(8_000, probation),
            aside: Source::new(8_000, probation),
            allowance: Allowance::default(),
            arrivals: Arrivals::default(),
            heard: Heard::default(),
            reports: Reports::new(identity.ssrc, identity.cname, clock, identity.seed),
            counters: Counters::default(),
            drops: DropCounters::new(),
            events: VecDeque::with_capacity(EVENT_ROOM),
            inactive_at: None,
            heard_at: None,
            is_media_expected: false,
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// Source of what we send.
    #[must_use]
    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// How media is protected, once there are keys; None for RTP in the clear.
    #[must_use]
    pub fn srtp_profile(&self) -> Option<SrtpProfile> {
        let protection = match &self.transport {
            Transport::Secure(secure) => secure.protection(),
            Transport::Latched(latched) => latched.protection(),
        };
        protection.map(Protection::profile)
    }

    /// Whether the browser proved, by an authenticated ICE check, to be at `remote`.
    #[must_use]
    pub fn is_verified(&self, remote: SocketAddr) -> bool {
        match &self.transport {
            Transport::Secure(secure) => secure.is_verified(remote),
            Transport::Latched(_) => false,
        }
    }

    /// Takes what the far side's SDP said, anew or again.
    ///
    /// formats: payload types that it may send. Fails with `InvalidParameter` for a
    /// description of the other kind of transport, or for SRTP keys of the wrong length.
    pub fn set_remote(
        &mut self,
        now: Instant,
        remote: Remote,
        formats: impl IntoIterator<Item = Accepts>,
        outbox: &mut Outbox,
    ) -> Result<(), MediaError> {
        match (&mut self.transport, remote) {
            (Transport::Secure(secure), Remote::WebRtc { fingerprints, is_dtls_client }) => {
                secure.set_remote(now, fingerprints, is_dtls_client, outbox, &mut self.events);
            }
            (Transport::Latched(latched), Remote::Rtp { rtp, rtcp, is_muxed, security }) => {
                let signalled = Signalled { rtp, rtcp, is_muxed };
                if latched.set_remote(now, signalled, security, outbox, &mut self.events)? {
                    self.source.renew();
                    self.aside.renew();
                }
                self.reports.start(now);
            }
            _ => return Err(MediaError::InvalidParameter("the remote description is of another transport".into())),
        }
        (self.clock_rates_hz, self.keys) = ([0; 128], 0);
        for Accepts { pt, clock_rate_hz, is_keys } in formats {
            if let Some(rate) = self.clock_rates_hz.get_mut(usize::from(pt.0)) {
                *rate = clock_rate_hz;
                self.keys |= u128::from(is_keys) << pt.0;
            }
        }
        self.start_listening(now);
        self.settle(now);
        Ok(())
    }

    /// What is sent and taken from now on.
    pub fn set_direction(&mut self, now: Instant, direction: Direction) {
        if direction != self.direction {
            self.direction = direction;
            self.start_listening(now);
        }
    }

    /// The call is answered, so the far side should be heard from now on: the clocks of its first packet and of its
    /// silence begin. Before, silence means little, since many callees play nothing while they ring.
    pub fn expect_media(&mut self, now: Instant) {
        self.is_media_expected = true;
        self.start_listening(now);
    }

    /// What is sent and taken.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Whether a packet given to [`send_rtp`](Self::send_rtp) could leave now.
    #[must_use]
    pub fn can_send(&self) -> bool {
        self.direction.sends()
            && match &self.transport {
                Transport::Secure(secure) => secure.destination().is_some(),
                Transport::Latched(latched) => latched.rtp_destination().is_some(),
            }
    }

    /// What the tag of a datagram must be made of, if it is an SRTP packet whose tag is worth computing ahead.
    #[must_use]
    pub fn foresee(&self, now: Instant, lane: Lane, remote: SocketAddr, data: &[u8]) -> Option<Forecast> {
        if lane != Lane::Rtp || DatagramKind::of(data) != Some(DatagramKind::Rtp) {
            return None;
        }
        match &self.transport {
            Transport::Secure(secure) => secure.foresee(remote, data),
            Transport::Latched(latched) => latched.foresee(now, remote, data),
        }
    }

    /// Takes one datagram, decrypting it in place. forecast: made for these bytes, if at all.
    ///
    /// Returns the RTP packet that it held, for the bridge, or None if it was for the endpoint itself. A drop is
    /// counted here.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        (lane, remote): (Lane, SocketAddr),
        (data, forecast): (&mut [u8], Option<&Forecast>),
        outbox: &mut Outbox,
    ) -> Result<Option<Media>, DropReason> {
        let result = self.receive(now, (lane, remote), (data, forecast), outbox);
        if let Err(reason) = result {
            self.drops.count(reason);
        }
        result
    }

    /// Sends one RTP packet: `payload` under `header`, whose SSRC is ours. A drop is counted here.
    pub fn send_rtp(
        &mut self,
        now: Instant,
        header: &Header,
        clock_rate_hz: u32,
        payload: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), DropReason> {
        let result = self.transmit(header, payload, outbox);
        match result {
            Ok(()) => {
                self.counters.packets_sent += 1;
                self.counters.bytes_sent += payload.len() as u64;
                self.reports.sent(now, header, payload.len(), clock_rate_hz);
            }
            Err(reason) => self.drops.count(reason),
        }
        result
    }

    /// Counts a drop that the bridge decided on.
    pub fn count_drop(&mut self, reason: DropReason) {
        self.drops.count(reason);
    }

    /// A packet that was taken will not be heard: it came too late, or found no room.
    pub fn discard(&mut self, media: &Media) {
        self.arrivals.discarded(media.extended_seq);
    }

    /// How the far side wants its reports.
    pub fn set_rtcp(&mut self, parameters: RtcpParameters) {
        self.reports.set_parameters(parameters);
    }

    /// What the far side's latest report says it missed of our packets, in 1/256, if that was not taken before.
    pub fn take_told_loss(&mut self) -> Option<u8> {
        self.reports.take_told_loss()
    }

    /// Whether a report is due, which [`set_heard`](Self::set_heard) should come before.
    #[must_use]
    pub fn is_report_due(&self, now: Instant) -> bool {
        self.reports.poll_timeout().is_some_and(|due| due <= now)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox) {
        match &mut self.transport {
            Transport::Secure(secure) => {
                secure.handle_timeout(now, outbox, &mut self.events);
                self.settle(now);
            }
            Transport::Latched(latched) => latched.handle_timeout(now, outbox, &mut self.events),
        }
        if self.reports.take_due(now) {
            self.report(now, false, outbox);
        }
        self.check_inactivity(now);
    }

    /// When something is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let transport = match &self.transport {
            Transport::Secure(secure) => secure.poll_timeout(),
            Transport::Latched(latched) => latched.poll_timeout(),
        };
        [transport, self.reports.poll_timeout(), self.inactive_at].into_iter().flatten().min()
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Says goodbye: RTCP BYE, then DTLS close. The endpoint takes and sends nothing afterwards.
    pub fn close(&mut self, now: Instant, outbox: &mut Outbox) {
        self.report(now, true, outbox);
        match &mut self.transport {
            Transport::Secure(secure) => secure.close(now, outbox, &mut self.events),
            Transport::Latched(latched) => latched.close(now, outbox, &mut self.events),
        }
        self.events.clear();
    }

    /// What was dropped, by reason.
    #[must_use]
    pub fn drops(&self) -> &DropCounters {
        &self.drops
    }

    fn receive(
        &mut self,
        now: Instant,
        (lane, remote): (Lane, SocketAddr),
        (data, forecast): (&mut [u8], Option<&Forecast>),
        outbox: &mut Outbox,
    ) -> Result<Option<Media>, DropReason> {
        let content = match &mut self.transport {
            Transport::Secure(secure) => {
                let content = secure.handle_datagram(now, remote, (&mut *data, forecast), outbox, &mut self.events)?;
                if matches!(content, Content::Control) {
                    self.settle(now);
                }
                content
            }
            Transport::Latched(latched) => {
                let clock_rates_hz = &self.clock_rates_hz;
                let is_negotiated = |pt| clock_rate_of(clock_rates_hz, pt) != 0;
                let packet = (&mut *data, forecast);
                latched.handle_datagram((now, lane, remote), packet, is_negotiated, outbox, &mut self.events)?
            }
        };
        match content {
            Content::Control => Ok(None),
            Content::Rtp(header) => self.receive_rtp(now, header).map(Some),
            Content::Rtcp(len) => {
                self.receive_rtcp(now, data.get(..len).unwrap_or_default())?;
                if self.direction.is_held() {
                    self.hear(now);
                }
                Ok(None)
            }
        }
    }

    fn receive_rtp(&mut self, now: Instant, header: Header) -> Result<Media, DropReason> {
        let clock_rate_hz = self.clock_rate_hz(header.pt);
        if clock_rate_hz == 0 {
            return Err(DropReason::RtpPayloadType);
        }
        if !self.allowance.take(now) {
            return Err(DropReason::RtpRate);
        }
        if self.counters.pt_received.is_none_or(|before| self.clock_rate_hz(before) != clock_rate_hz) {
            self.source.set_clock_rate(clock_rate_hz);
        }
        let (accepted, is_aside) = match self.source.receive(now, &header) {
            Ok(accepted) => {
                self.arrivals.came(accepted.extended_seq, accepted.is_restart);
                self.counters.pt_received = Some(header.pt);
                (accepted, false)
            }
            // A media server, or a phone that echoes, may press keys under another SSRC while it speaks.
            Err(DropReason::RtpProbation) if self.carries_keys(header.pt) => (self.aside.receive(now, &header)?, true),
            Err(reason) => return Err(reason),
        };
        self.counters.packets_received += 1;
        self.counters.bytes_received += header.payload.len() as u64;
        if self.counters.packets_received == 1 {
            self.events.push_back(Event::FirstPacket);
            // Another limit holds from here on.
            self.start_listening(now);
        } else {
            self.hear(now);
        }
        if !self.direction.receives() {
            return Err(DropReason::Direction);
        }
        Ok(Media { header, extended_seq: accepted.extended_seq, is_restart: accepted.is_restart, is_aside })
    }

    /// RFC 3550 section 6.3.
    fn receive_rtcp(&mut self, now: Instant, data: &[u8]) -> Result<(), DropReason> {
        let compound = Compound::parse(data)?;
        if compound.sender() == self.ssrc {
            return Err(DropReason::RtcpLoop);
        }
        // The call ends by signalling, never by a packet that anyone may forge.
        let goodbyes =
            compound.packets().filter_map(|packet| if let Packet::Bye(bye) = packet { Some(bye) } else { None });
        for goodbye in goodbyes {
            goodbye.sources().for_each(|ssrc| self.source.leave(ssrc));
        }
        self.reports.received(now, &compound, data.len());
        Ok(())
    }

    fn transmit(&mut self, header: &Header, payload: &[u8], outbox: &mut Outbox) -> Result<(), DropReason> {
        if !self.direction.sends() {
            return Err(DropReason::Direction);
        }
        match &mut self.transport {
            Transport::Secure(secure) => {
                let destination = secure.destination().ok_or(DropReason::NotReady)?;
                outbox.push_unsigned(destination, |buffer| {
                    let len = write_packet(header, payload, buffer)?;
                    secure.encrypt_rtp(buffer, len)
                })
            }
            Transport::Latched(latched) => {
                let destination = latched.rtp_destination().ok_or(DropReason::NotReady)?;
                outbox.push_unsigned(destination, |buffer| {
                    let len = write_packet(header, payload, buffer)?;
                    latched.encrypt_rtp(buffer, len)
                })
            }
        }
    }

    fn report(&mut self, now: Instant, is_farewell: bool, outbox: &mut Outbox) {
        let reception = self.source.report();
        let metrics = if self.reports.wants_metrics() { self.voip_metrics() } else { None };
        let told = (reception, metrics.as_ref());
        let reports = &mut self.reports;
        let result = match &mut self.transport {
            Transport::Secure(secure) => match secure.destination() {
                Some(destination) => outbox.push(destination, |buffer| {
                    let len = reports.write(now, told, is_farewell, buffer)?;
                    secure.protect_rtcp(buffer, len)
                }),
                None => Ok(()),
            },
            Transport::Latched(latched) => match latched.rtcp_destination() {
                Some(destination) => outbox.push(destination, |buffer| {
                    let len = reports.write(now, told, is_farewell, buffer)?;
                    latched.protect_rtcp(buffer, len)
                }),
                None => Ok(()),
            },
        };
        if let Err(reason) = result {
            self.drops.count(reason);
        }
    }

    /// After the transport moved: reports begin when it is connected.
    fn settle(&mut self, now: Instant) {
        if let Transport::Secure(secure) = &self.transport
            && secure.is_connected()
        {
            self.reports.start(now);
        }
    }

    /// Whether the far side owes us its first packet. One that is on hold owes nothing.
    fn is_first_packet_due(&self) -> bool {
        self.is_media_expected
            && self.counters.packets_received == 0
            && !self.direction.is_held()
            && !self.limits.first_packet.is_zero()
    }

    /// How long the far side may be silent; zero is for ever.
    fn inactivity(&self) -> Duration {
        if self.direction.is_held() {
            self.limits.inactivity_held
        } else if self.is_first_packet_due() {
            self.limits.first_packet
        } else {
            self.limits.inactivity
        }
    }

    /// Silence counts from now.
    fn start_listening(&mut self, now: Instant) {
        self.heard_at = Some(now);
        let limit = self.inactivity();
        self.inactive_at = (!limit.is_zero()).then(|| now + limit);
    }

    /// The far side lives: silence begins anew.
    fn hear(&mut self, now: Instant) {
        self.heard_at = Some(now);
        if self.inactive_at.is_none() {
            self.start_listening(now);
        }
    }

    fn check_inactivity(&mut self, now: Instant) {
        if self.inactive_at.is_none_or(|due| due > now) {
            return;
        }
        let limit = self.inactivity();
        let silence = self.heard_at.map_or(limit, |heard| now.saturating_duration_since(heard));
        match limit.checked_sub(silence) {
            Some(rest) if !rest.is_zero() => self.inactive_at = Some(now + rest),
            _ => {
                self.inactive_at = None;
                let is_missing = self.is_first_packet_due();
                let event = if is_missing { Event::FirstPacketMissing } else { Event::MediaInactive };
                self.events.push_back(event(silence));
            }
        }
    }

    fn carries_keys(&self, pt: Pt) -> bool {
        self.keys.checked_shr(u32::from(pt.0)).is_some_and(|keys| keys & 1 == 1)
    }

    fn clock_rate_hz(&self, pt: Pt) -> u32 {
        clock_rate_of(&self.clock_rates_hz, pt)
    }
}

fn clock_rate_of(table: &[u32; 128], pt: Pt) -> u32 {
    table.get(usize::from(pt.0)).copied().unwrap_or(0)
}

fn write_packet(header: &Header, payload: &[u8], buffer: &mut [u8]) -> Result<usize, DropReason> {
    let start = header.write(buffer)?;
    let end = start + payload.len();
    buffer.get_mut(start..end).ok_or(DropReason::BufferTooSmall)?.copy_from_slice(payload);
    Ok(end)
}
