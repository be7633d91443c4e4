//! The browser's side: ICE-lite, then DTLS, then SRTP, all on one shared port.   RFC 8834, RFC 5764.
//!
//! DTLS and media are taken only from a path on which an authenticated ICE check came; anything else is dropped in
//! silence, so that a stranger cannot race the handshake.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::dtls::{self, Certificate, Fingerprint, Handshake, Role};
use crate::error::DropReason;
use crate::ice::{self, Agent};
use crate::net::{DatagramKind, Path};
use crate::outbox::{Destination, Outbox, SocketId};
use crate::rtp::Header;
use crate::srtp;

use super::{CloseReason, Content, Event, Events};

/// State of a browser-side transport.
pub(super) struct Secure {
    socket: SocketId,
    local: SocketAddr,
    agent: Agent,
    certificate: Certificate,
    setup_timeout: Duration,
    remote: Option<Far>,
    handshake: Option<Box<Handshake>>,
    handshake_path: Option<Path>,
    keys: Option<Box<Contexts>>,
}

/// What the far side's SDP said.
#[derive(Debug)]
struct Far {
    fingerprints: Vec<Fingerprint>,
    role: Role,
    /// By when media must be able to flow; None once it is.
    setup_by: Option<Instant>,
}

struct Contexts {
    inbound: srtp::Context,
    outbound: srtp::Context,
}

impl Secure {
    pub(super) fn new(
        socket: SocketId,
        local: SocketAddr,
        agent: Agent,
        certificate: Certificate,
        setup_timeout: Duration,
    ) -> Self {
        Self {
            socket,
            local,
            agent,
            certificate,
            setup_timeout,
            remote: None,
            handshake: None,
            handshake_path: None,
            keys: None,
        }
    }

    pub(super) fn agent(&self) -> &Agent {
        &self.agent
    }

    pub(super) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Whether an authenticated check came from `remote`.
    pub(super) fn is_verified(&self, remote: SocketAddr) -> bool {
        self.agent.is_valid(&Path::new(self.local, remote))
    }

    /// Whether both directions have keys and a path.
    pub(super) fn is_connected(&self) -> bool {
        self.keys.is_some() && self.agent.selected().is_some()
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
        let role = if is_dtls_client { Role::Server } else { Role::Client };
        let setup_by = self.keys.is_none().then(|| now + self.setup_timeout);
        if let Some(handshake) = &mut self.handshake {
            handshake.set_remote_fingerprints(&fingerprints);
        }
        self.remote = Some(Far { fingerprints, role, setup_by });
        if role == Role::Client && self.agent.selected().is_some() {
            self.handshake(now);
        }
        self.pump(outbox, events);
    }

    /// Takes one datagram; answers of ICE and DTLS go to the outbox. Decrypted media stays in `data`.
    pub(super) fn handle_datagram(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        data: &mut [u8],
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
                self.handshake_path = Some(path);
                let result = self.handshake(now).handle_datagram(now, data);
                self.pump(outbox, events);
                result.map(|()| Content::Control)
            }
            DatagramKind::Rtp => {
                let keys = self.keys.as_mut().ok_or(DropReason::SrtpNoKeys)?;
                let len = keys.inbound.unprotect_rtp(data)?;
                let packet = data.get(..len).ok_or(DropReason::SrtpMalformed)?;
                Header::parse(packet).map(Content::Rtp)
            }
            DatagramKind::Rtcp => {
                let keys = self.keys.as_mut().ok_or(DropReason::SrtpNoKeys)?;
                keys.inbound.unprotect_rtcp(data).map(Content::Rtcp)
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
        if let Some(handshake) = &mut self.handshake
            && handshake.poll_timeout().is_some_and(|due| due <= now)
        {
            handshake.handle_timeout(now);
            self.pump(outbox, events);
        }
        if let Some(far) = &mut self.remote
            && far.setup_by.is_some_and(|due| due <= now)
        {
            far.setup_by = None;
            let reason =
                if self.agent.selected().is_none() { CloseReason::IceTimeout } else { CloseReason::DtlsTimeout };
            events.push_back(Event::Closed(reason));
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let handshake = self.handshake.as_ref().and_then(|handshake| handshake.poll_timeout());
        let setup = self.remote.as_ref().and_then(|far| far.setup_by);
        [self.agent.poll_timeout(), handshake, setup].into_iter().flatten().min()
    }

    /// Where media goes, once there are keys and a nominated path with consent.
    pub(super) fn destination(&self) -> Option<Destination> {
        self.keys.as_ref()?;
        let remote = self.agent.selected()?.remote;
        Some(Destination { socket: self.socket, remote })
    }

    /// Encrypts the RTP packet in `buffer[..len]`.
    pub(super) fn protect_rtp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, DropReason> {
        self.keys.as_mut().ok_or(DropReason::NotReady)?.outbound.protect_rtp(buffer, len)
    }

    /// Encrypts the RTCP packet in `buffer[..len]`.
    pub(super) fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, DropReason> {
        self.keys.as_mut().ok_or(DropReason::NotReady)?.outbound.protect_rtcp(buffer, len)
    }

    /// Says goodbye to the far side's DTLS.
    pub(super) fn close(&mut self, now: Instant, outbox: &mut Outbox, events: &mut Events) {
        if let Some(handshake) = &mut self.handshake {
            handshake.close(now);
            self.pump(outbox, events);
        }
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
                if self.remote.as_ref().is_some_and(|far| far.role == Role::Client) {
                    self.handshake(now);
                    self.pump(outbox, events);
                }
            }
            ice::Event::Moved(path) => events.push_back(Event::IceConnected(path.remote)),
            ice::Event::Disconnected => {
                events.push_back(Event::IceDisconnected);
                events.push_back(Event::Closed(CloseReason::ConsentExpired));
            }
        }
    }

    /// The association, made when it is first needed. A browser may be faster than the signalling of its answer: then
    /// it is served as the DTLS client that our offer (`actpass`) made it, and keys wait for its fingerprints.
    fn handshake(&mut self, now: Instant) -> &mut Handshake {
        let remote = self.remote.as_ref();
        self.handshake.get_or_insert_with(|| {
            let role = remote.map_or(Role::Server, |far| far.role);
            let mut handshake = Handshake::new(now, &self.certificate, role, self.setup_timeout);
            if let Some(far) = remote {
                handshake.set_remote_fingerprints(&far.fingerprints);
            }
            Box::new(handshake)
        })
    }

    fn pump(&mut self, outbox: &mut Outbox, events: &mut Events) {
        let Some(handshake) = &mut self.handshake else { return };
        if let Some(path) = self.agent.selected().or(self.handshake_path) {
            let destination = Destination { socket: self.socket, remote: path.remote };
            let mut has_more = true;
            while has_more {
                has_more = false;
                let sent = outbox.push(destination, |buffer| {
                    let len = handshake.poll_transmit(buffer);
                    has_more = len.is_some();
                    Ok(len.unwrap_or(0))
                });
                if sent.is_err() {
                    break;
                }
            }
        }
        while let Some(event) = self.handshake.as_mut().and_then(|handshake| handshake.poll_event()) {
            match event {
                dtls::Event::Connected(keys) => self.install(&keys, events),
                dtls::Event::Failed(error) => {
                    let reason =
                        if error == dtls::Error::Timeout { CloseReason::DtlsTimeout } else { CloseReason::DtlsFailed };
                    events.push_back(Event::DtlsFailed(error.kind()));
                    events.push_back(Event::Closed(reason));
                }
                dtls::Event::Closed => events.push_back(Event::Closed(CloseReason::DtlsClosed)),
            }
        }
    }

    fn install(&mut self, keys: &dtls::SrtpKeys, events: &mut Events) {
        let contexts = srtp::Context::new(keys.profile, &keys.remote_key, &keys.remote_salt).and_then(|inbound| {
            let outbound = srtp::Context::new(keys.profile, &keys.local_key, &keys.local_salt)?;
            Ok(Contexts { inbound, outbound })
        });
        let Ok(contexts) = contexts else {
            events.push_back(Event::DtlsFailed("srtp_keys"));
            events.push_back(Event::Closed(CloseReason::DtlsFailed));
            return;
        };
        self.keys = Some(Box::new(contexts));
        if let Some(far) = &mut self.remote {
            far.setup_by = None;
        }
        events.push_back(Event::DtlsConnected(keys.profile.name()));
    }
}
