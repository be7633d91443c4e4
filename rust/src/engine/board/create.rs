//! How an endpoint comes into being, and what must be undone when it ends: names, ports and credentials.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use crate::bridge::CallId;
use crate::endpoint::{Endpoint, EndpointId, Identity, Lane, Limits, SocketIds};
use crate::error::MediaError;
use crate::ice::Credentials;
use crate::io::is_out_of_descriptors;
use crate::net::{SeqNo, Ssrc};
use crate::outbox::SocketId;
use crate::pipeline::FirstNumbers;

use super::{Board, Record, RecordKind};
use crate::engine::command::TransportKind;
use crate::engine::event::Local;
use crate::engine::random::Random;
use crate::engine::sockets::SHARED;

impl Board {
    /// Makes an endpoint and says what our SDP tells of it.
    pub(super) fn create(
        &mut self,
        now: Instant,
        call: CallId,
        id: EndpointId,
        transport: TransportKind,
    ) -> Result<Local, MediaError> {
        if self.endpoints.contains_key(&id) {
            return Err(MediaError::EndpointExists(id.0));
        }
        let mut random = Random::new()?;
        let identity = Identity {
            id,
            ssrc: Ssrc(random.next_u32()),
            cname: format!("{:016x}", random.next_u64()),
            seed: random.next_u64(),
        };
        let first = FirstNumbers {
            // Below the middle, so that the receiver cannot take an early loss for a wrap (RFC 3711 section 3.3.1).
            seq: SeqNo(random.next_u16() >> 1),
            timestamp: random.next_u32(),
        };
        match transport {
            TransportKind::WebRtc => self.create_web_rtc(now, call, identity, first),
            TransportKind::Rtp { is_muxed } => self.create_rtp(now, call, identity, first, (is_muxed, &mut random)),
        }
    }

    fn create_web_rtc(
        &mut self,
        now: Instant,
        call: CallId,
        identity: Identity,
        first: FirstNumbers,
    ) -> Result<Local, MediaError> {
        let bound = self.setup.sockets.local(SHARED).ok_or(MediaError::Closed)?;
        let credentials = Credentials::from_random(&Random::secret()?);
        let (id, ssrc, cname) = (identity.id, identity.ssrc, identity.cname.clone());
        let (ice_ufrag, ice_pwd) = (credentials.ufrag().to_owned(), credentials.pwd().to_owned());
        let certificate = self.setup.certificate.clone();
        let fingerprint = certificate.fingerprint().to_owned();
        let endpoint =
            Endpoint::web_rtc(identity, (SHARED, bound), (credentials, certificate), self.limits(), self.setup.clock);
        let place = self.admit(now, call, endpoint, first)?;
        self.by_ufrag.insert(ice_ufrag.clone(), place);
        let kind = RecordKind::WebRtc { ufrag: ice_ufrag.clone(), addresses: Vec::new() };
        self.endpoints.insert(id, Record { call, place, kind });
        let advertised = self.setup.config.webrtc_advertised.iter();
        let candidates = advertised.map(|ip| SocketAddr::new(*ip, bound.port())).collect();
        Ok(Local::WebRtc { candidates, ice_ufrag, ice_pwd, fingerprint, ssrc, cname })
    }

    fn create_rtp(
        &mut self,
        now: Instant,
        call: CallId,
        identity: Identity,
        first: FirstNumbers,
        (is_muxed, random): (bool, &mut Random),
    ) -> Result<Local, MediaError> {
        let sockets = self.setup.ports.allocate(now, is_muxed, || random.next_u32()).map_err(refusal)?;
        let port = sockets.rtp.local().port();
        let rtcp_port = sockets.rtcp.as_ref().map_or(port, |socket| socket.local().port());
        let bound = sockets.rtp.local().ip();
        let advertised = &self.setup.config.rtp_advertised;
        let advertised = if advertised.is_empty() { std::slice::from_ref(&bound) } else { advertised.as_slice() };
        let addresses =
            advertised.iter().map(|ip| (SocketAddr::new(*ip, port), SocketAddr::new(*ip, rtcp_port))).collect();
        let rtp = self.setup.sockets.add(sockets.rtp).map_err(|error| {
            self.setup.ports.release(now, port);
            refusal(error)
        })?;
        let rtcp = sockets.rtcp.map(|socket| self.setup.sockets.add(socket)).transpose().map_err(|error| {
            self.release_ports(now, rtp, None);
            refusal(error)
        })?;
        let (id, ssrc, cname) = (identity.id, identity.ssrc, identity.cname.clone());
        let certificate = self.setup.certificate.clone();
        let fingerprint = certificate.fingerprint().to_owned();
        let pair = SocketIds { rtp, rtcp: rtcp.unwrap_or(rtp) };
        let endpoint = Endpoint::rtp(identity, pair, certificate, self.limits(), self.setup.clock);
        let place = self.admit(now, call, endpoint, first).inspect_err(|_| {
            self.release_ports(now, rtp, rtcp);
        })?;
        self.setup.sockets.assign(rtp, place, Lane::Rtp);
        if let Some(rtcp) = rtcp {
            self.setup.sockets.assign(rtcp, place, Lane::Rtcp);
        }
        self.endpoints.insert(id, Record { call, place, kind: RecordKind::Rtp { rtp, rtcp } });
        Ok(Local::Rtp { addresses, fingerprint, ssrc, cname })
    }

    /// Undoes what the endpoint's creation did outside its bridge.
    pub(super) fn forget(&mut self, now: Instant, record: &Record) {
        match &record.kind {
            RecordKind::WebRtc { ufrag, addresses } => {
                self.by_ufrag.remove(ufrag);
                for address in addresses {
                    if self.by_address.get(address) == Some(&record.place) {
                        self.by_address.remove(address);
                    }
                }
            }
            RecordKind::Rtp { rtp, rtcp } => self.release_ports(now, *rtp, *rtcp),
        }
    }

    fn release_ports(&mut self, now: Instant, rtp: SocketId, rtcp: Option<SocketId>) {
        drop(rtcp.and_then(|id| self.setup.sockets.take(id)));
        let port = self.setup.sockets.take(rtp).map(|socket| socket.local().port());
        if let Some(port) = port {
            self.setup.ports.release(now, port);
        }
    }

    fn limits(&self) -> Limits {
        let config = &self.setup.config;
        Limits {
            setup: config.setup_timeout,
            consent: config.ice_consent,
            first_packet: config.first_packet,
            inactivity: config.media_inactivity,
            inactivity_held: config.media_inactivity_hold,
        }
    }
}

/// Why there are no sockets: the range or the process is full, or something is wrong.
fn refusal(error: io::Error) -> MediaError {
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        MediaError::NoFreePort
    } else if is_out_of_descriptors(&error) {
        MediaError::Capacity("open sockets")
    } else {
        MediaError::Io(error)
    }
}
