//! The browser's side: ICE-lite, then DTLS, then SRTP, all on one shared port.   RFC 8834, RFC 5764.
//!
//! DTLS and media are taken only from a path on which an authenticated ICE check came; anything else is dropped in
//! silence, so that a stranger cannot race the handshake.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::dtls::{Certificate, Fingerprint};
use crate::error::DropReason;
use crate::ice::{self, Agent};
use crate::mac::Pending;
use crate::net::{DatagramKind, Path};
use crate::outbox::{Destination, Outbox, SocketId};
use crate::rtp::Header;
use crate::srtp::Forecast;

use super::association::Association;
use super::protection::Protection;
use super::{CloseReason, Content, Event, Events};

/// State of a browser-side transport.
pub(super) struct Secure {
    socket: SocketId,
    local: SocketAddr,
    agent: Agent,
    association: Association,
    /// Where DTLS came from before a path was nominated.
    dtls_path: Option<Path>,
    protection: Option<Box<Protection>>,
}

impl Secure {
    pub(super) fn new(
        socket: SocketId,
        local: SocketAddr,
        agent: Agent,
        certificate: Certificate,
        setup_timeout: Duration,
    ) -> Self {
        let association = Association::new(certificate, setup_timeout);
        Self { socket, local, agent, association, dtls_path: None, protection: None }
    }

    /// The keys in use.
    pub(super) fn protection(&self) -> Option<&Protection> {
        self.protection.as_deref()
    }

    /// Whether an authenticated check came from `remote`.
    pub(super) fn is_verified(&self, remote: SocketAddr) -> bool {
        self.agent.is_valid(&Path::new(self.local, remote))
    }

    /// Whether both directions have keys and a path.
    pub(super) fn is_connected(&self) -> bool {
        self.protection.is_some() && self.agent.selected().is_some()
    }

    /// Takes what the SDP said. From now on the set-up has its time limit.
    pub(super) fn set_remote(
        &mut self,
        now: Instant,
        fingerprints: Vec<Fingerprint>,
        is_dtls_client: bool,
        outbox: &mut Outbox,
        events: &mut Events,
    ) {
        self.association.set_remote(now, fingerprints, is_dtls_client, self.protection.is_some());
        if self.association.is_ours_to_begin() && self.agent.selected().is_some() {
            self.association.begin(now);
        }
        self.pump(now, outbox, events);
    }

    /// What the tag of the RTP packet that fills `data` must be made of, if it is worth computing.
    pub(super) fn foresee(&self, remote: SocketAddr, data: &[u8]) -> Option<Forecast> {
        self.is_verified(remote).then_some(self.protection.as_ref()?)?.foresee_rtp(data)
    }

    /// Takes one datagram; answers of ICE and DTLS go to the outbox. Decrypted media stays in `data`.
    pub(super) fn handle_datagram(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        (data, forecast): (&mut [u8], Option<&Forecast>),
        outbox: &mut Outbox,
        events: &mut Events,
    ) -> Result<Content, DropReason> {
        let path = Path::new(self.local, remote);
        let kind = DatagramKind::of(data).ok_or(DropReason::Unclassified)?;
        if kind == DatagramKind::Stun {
            self.handle_stun(now, path, data, outbox, events)?;
            return Ok(Content::Control);
        }
        if !self.agent.is_valid(&path) {
            return Err(DropReason::UnverifiedSource);
        }
        match kind {
            DatagramKind::Dtls => {
                self.dtls_path = Some(path);
                let result = self.association.handle_datagram(now, data);
                self.pump(now, outbox, events);
                result.map(|()| Content::Control)
            }
            DatagramKind::Rtp => {
                let protection = self.protection.as_mut().ok_or(DropReason::SrtpNoKeys)?;
                let len = protection.unprotect_rtp(now, data, forecast)?;
                let packet = data.get(..len).ok_or(DropReason::SrtpMalformed)?;
                Header::parse(packet).map(Content::Rtp)
            }
            DatagramKind::Rtcp => {
                let protection = self.protection.as_mut().ok_or(DropReason::SrtpNoKeys)?;
                protection.unprotect_rtcp(now, data).map(Content::Rtcp)
            }
            DatagramKind::Stun => Ok(Content::Control),
        }
    }

    /// Lets consent, retransmissions and the set-up's time limit run.
    pub(super) fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox, events: &mut Events) {
        if self.agent.poll_timeout().is_some_and(|due| due <= now)
            && let Some(event) = self.agent.handle_timeout(now)
        {
            self.on_ice_event(now, event, outbox, events);
        }
        if self.association.poll_timeout().is_some_and(|due| due <= now) {
            if self.association.handle_timeout(now) {
                let reason =
                    if self.agent.selected().is_none() { CloseReason::IceTimeout } else { CloseReason::DtlsTimeout };
                events.push_back(Event::Closed(reason));
            }
            self.pump(now, outbox, events);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.agent.poll_timeout(), self.association.poll_timeout()].into_iter().flatten().min()
    }

    /// Where media goes, once there are keys and a nominated path with consent.
    pub(super) fn destination(&self) -> Option<Destination> {
        self.protection.as_ref()?;
        let remote = self.agent.selected()?.remote;
        Some(Destination { socket: self.socket, remote })
    }

    /// Encrypts the RTP packet in `buffer[..len]`; its tag may be left to the outbox.
    pub(super) fn encrypt_rtp(
        &mut self,
        buffer: &mut [u8],
        len: usize,
    ) -> Result<(usize, Option<Pending>), DropReason> {
        self.protection.as_mut().ok_or(DropReason::NotReady)?.encrypt_rtp(buffer, len)
    }

    /// Encrypts the RTCP packet in `buffer[..len]`.
    pub(super) fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, DropReason> {
        self.protection.as_mut().ok_or(DropReason::NotReady)?.protect_rtcp(buffer, len)
    }

    /// Says goodbye to the far side's DTLS.
    pub(super) fn close(&mut self, now: Instant, outbox: &mut Outbox, events: &mut Events) {
        self.association.close(now);
        self.pump(now, outbox, events);
    }

    fn handle_stun(
        &mut self,
        now: Instant,
        path: Path,
        data: &[u8],
        outbox: &mut Outbox,
        events: &mut Events,
    ) -> Result<(), DropReason> {
        let mut event = None;
        let back = Destination { socket: self.socket, remote: path.remote };
        let agent = &mut self.agent;
        outbox.push(back, |buffer| {
            let answer = agent.handle_datagram(now, path, data, buffer)?;
            event = answer.event;
            Ok(answer.len)
        })?;
        if let Some(event) = event {
            self.on_ice_event(now, event, outbox, events);
        }
        Ok(())
    }

    fn on_ice_event(&mut self, now: Instant, event: ice::Event, outbox: &mut Outbox, events: &mut Events) {
        match event {
            ice::Event::Connected(path) => {
                events.push_back(Event::IceConnected(path.remote));
                if self.association.is_ours_to_begin() {
                    self.association.begin(now);
                    self.pump(now, outbox, events);
                }
            }
            ice::Event::Moved(path) => events.push_back(Event::IceConnected(path.remote)),
            ice::Event::Disconnected => {
                events.push_back(Event::IceDisconnected);
                events.push_back(Event::Closed(CloseReason::ConsentExpired));
            }
        }
    }

    fn pump(&mut self, now: Instant, outbox: &mut Outbox, events: &mut Events) {
        let path = self.agent.selected().or(self.dtls_path);
        let destination = path.map(|path| Destination { socket: self.socket, remote: path.remote });
        if let Some(keys) = self.association.pump(destination, outbox, events) {
            Protection::connect(&mut self.protection, now, keys, events);
        }
    }
}
