//! The SIP side: sockets of its own (two, or one with `rtcp-mux`) and their latches; RTP in the clear or SRTP.
//!
//! The keys of SRTP come from the signalling (SDES) or from DTLS, of which RTCP on a port of its own has no part: without
//! `rtcp-mux` such an endpoint neither sends nor takes RTCP. DTLS is taken only from the host that the SDP named, and
//! under SRTP nothing but an authentic packet moves a latch.   RFC 3550 section 11, RFC 5761, RFC 4568, RFC 5764.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::dtls::Certificate;
use crate::error::{DropReason, MediaError};
use crate::mac::Pending;
use crate::net::{DatagramKind, Pt};
use crate::outbox::{Destination, Outbox, SocketId};
use crate::rtcp::Compound;
use crate::rtp::Header;
use crate::srtp::Forecast;

use super::association::Association;
use super::latch::Latch;
use super::protection::Protection;
use super::rtcp_latch::RtcpLatch;
use super::types::Security;
use super::{CloseReason, Content, Events, Lane};

/// Sockets of one SIP-side endpoint, as the worker numbers them. Both are the same when RTCP shares the RTP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketIds {
    /// Even port.
    pub rtp: SocketId,
    /// Odd port.
    pub rtcp: SocketId,
}

/// What the far side's SDP says of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signalled {
    pub(super) rtp: SocketAddr,
    pub(super) rtcp: SocketAddr,
    pub(super) is_muxed: bool,
}

/// State of a SIP-side transport.
pub(super) struct Latched {
    sockets: SocketIds,
    certificate: Certificate,
    setup_timeout: Duration,
    remote: Option<Far>,
    /// Media is SRTP; there are no keys before DTLS has agreed some.
    is_protected: bool,
    dtls: Option<Box<Dtls>>,
    protection: Option<Box<Protection>>,
}

#[derive(Debug)]
struct Far {
    rtp: Latch,
    rtcp: RtcpLatch,
    is_muxed: bool,
}

struct Dtls {
    association: Association,
    /// Where DTLS comes from and goes to; the signalled address until it has come.
    path: Option<SocketAddr>,
}

impl Latched {
    pub(super) fn new(sockets: SocketIds, certificate: Certificate, setup_timeout: Duration) -> Self {
        Self { sockets, certificate, setup_timeout, remote: None, is_protected: false, dtls: None, protection: None }
    }

    /// The keys in use.
    pub(super) fn protection(&self) -> Option<&Protection> {
        self.protection.as_deref()
    }

    /// Takes what the SDP said. The locks of the latches survive a repetition of the same address, contexts of SRTP
    /// that of the same keys, and a DTLS association that of the same fingerprints, role and address.
    ///
    /// Returns whether RTP is to come from another address than before. Fails with `InvalidParameter` for keys that are
    /// not of their profile's length, and then nothing has changed.
    pub(super) fn set_remote(
        &mut self,
        now: Instant,
        signalled: Signalled,
        security: Security,
        outbox: &mut Outbox,
        events: &mut Events,
    ) -> Result<bool, MediaError> {
        let is_another = self.remote.as_ref().is_none_or(|far| far.rtp.signalled() != signalled.rtp);
        self.secure(now, security, is_another)?;
        let Signalled { rtp, rtcp, is_muxed } = signalled;
        if let Some(far) = &mut self.remote {
            far.rtp.signal(now, rtp);
            far.rtcp.signal(rtcp, is_another);
            far.is_muxed = is_muxed;
        } else {
            self.remote = Some(Far { rtp: Latch::new(now, rtp), rtcp: RtcpLatch::new(rtcp), is_muxed });
        }
        self.pump(now, outbox, events);
        Ok(is_another)
    }

    fn secure(&mut self, now: Instant, security: Security, is_another: bool) -> Result<(), MediaError> {
        match security {
            Security::Clear => {
                self.dtls = None;
                self.protection = None;
                self.is_protected = false;
            }
            Security::Sdes(keys) => {
                Protection::install(&mut self.protection, now, keys)
                    .map_err(|error| MediaError::InvalidParameter(format!("SRTP keys: {error}")))?;
                self.dtls = None;
                self.is_protected = true;
            }
            Security::Dtls { fingerprints, is_dtls_client } => {
                self.is_protected = true;
                let has_keys = self.dtls.is_some() && self.protection.is_some();
                match &mut self.dtls {
                    Some(dtls) if !is_another && dtls.association.is_with(&fingerprints, is_dtls_client) => {
                        dtls.association.set_remote(now, fingerprints, is_dtls_client, has_keys);
                    }
                    slot => {
                        // Keys of an earlier association serve until the new one has agreed others.
                        if slot.is_none() {
                            self.protection = None;
                        }
                        let mut association = Association::new(self.certificate.clone(), self.setup_timeout);
                        association.set_remote(now, fingerprints, is_dtls_client, false);
                        if association.is_ours_to_begin() {
                            association.begin(now);
                        }
                        *slot = Some(Box::new(Dtls { association, path: None }));
                    }
                }
            }
        }
        Ok(())
    }

    /// What the tag of the RTP packet that fills `data` must be made of, if it is worth computing.
    pub(super) fn foresee(&self, now: Instant, source: SocketAddr, data: &[u8]) -> Option<Forecast> {
        let protection = self.protection.as_ref()?;
        self.remote.as_ref()?.rtp.consider(now, source).ok()?;
        protection.foresee_rtp(data)
    }

    /// Sorts one datagram, decrypting it in place. RTP of an unconfirmed source is a drop; `is_negotiated` judges the
    /// payload type first.
    pub(super) fn handle_datagram(
        &mut self,
        (now, lane, source): (Instant, Lane, SocketAddr),
        (data, forecast): (&mut [u8], Option<&Forecast>),
        is_negotiated: impl FnOnce(Pt) -> bool,
        outbox: &mut Outbox,
        events: &mut Events,
    ) -> Result<Content, DropReason> {
        let kind = DatagramKind::of(data).ok_or(DropReason::Unclassified)?;
        let far = self.remote.as_mut().ok_or(DropReason::NotReady)?;
        match (kind, lane) {
            (DatagramKind::Rtp, Lane::Rtp) => {
                let header = match &mut self.protection {
                    Some(protection) => {
                        far.rtp.consider(now, source)?;
                        let len = protection.unprotect_rtp(now, data, forecast)?;
                        Header::parse(data.get(..len).ok_or(DropReason::SrtpMalformed)?)?
                    }
                    None if self.is_protected => return Err(DropReason::SrtpNoKeys),
                    None => Header::parse(data)?,
                };
                if !is_negotiated(header.pt) {
                    return Err(DropReason::RtpPayloadType);
                }
                far.rtp.admit(now, source, &header)?;
                Ok(Content::Rtp(header))
            }
            (DatagramKind::Rtcp, Lane::Rtcp) => {
                let len = match &mut self.protection {
                    // DTLS spoke for the port of RTP only.
                    _ if self.dtls.is_some() => return Err(DropReason::SrtpNoKeys),
                    Some(protection) => {
                        far.rtcp.consider(&far.rtp, source)?;
                        protection.unprotect_rtcp(now, data)?
                    }
                    None => data.len(),
                };
                let compound = Compound::parse(data.get(..len).ok_or(DropReason::SrtpMalformed)?)?;
                far.rtcp.admit(&far.rtp, source, compound.sender())?;
                Ok(Content::Rtcp(len))
            }
            (DatagramKind::Rtcp, Lane::Rtp) if far.is_muxed => {
                far.rtp.admit_rtcp(source)?;
                match &mut self.protection {
                    Some(protection) => protection.unprotect_rtcp(now, data).map(Content::Rtcp),
                    None if self.is_protected => Err(DropReason::SrtpNoKeys),
                    None => Ok(Content::Rtcp(data.len())),
                }
            }
            (DatagramKind::Dtls, Lane::Rtp) => {
                let dtls = self.dtls.as_mut().ok_or(DropReason::Unclassified)?;
                dtls.admit(far.rtp.signalled(), source)?;
                let result = dtls.association.handle_datagram(now, data);
                self.pump(now, outbox, events);
                result.map(|()| Content::Control)
            }
            _ => Err(DropReason::Unclassified),
        }
    }

    /// Lets DTLS repeat what is due, and its time limit run.
    pub(super) fn handle_timeout(&mut self, now: Instant, outbox: &mut Outbox, events: &mut Events) {
        let Some(dtls) = &mut self.dtls else { return };
        if dtls.association.poll_timeout().is_some_and(|due| due <= now) {
            if dtls.association.handle_timeout(now) {
                events.push_back(super::Event::Closed(CloseReason::DtlsTimeout));
            }
            self.pump(now, outbox, events);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.dtls.as_ref()?.association.poll_timeout()
    }

    /// Where RTP goes, once the far side is known and there are the keys that it wants.
    pub(super) fn rtp_destination(&self) -> Option<Destination> {
        if self.is_protected && self.protection.is_none() {
            return None;
        }
        self.remote.as_ref()?.rtp.destination().map(|remote| Destination { socket: self.sockets.rtp, remote })
    }

    /// Where RTCP goes: with RTP if multiplexed, else where its own latch says.
    pub(super) fn rtcp_destination(&self) -> Option<Destination> {
        let far = self.remote.as_ref()?;
        if far.is_muxed {
            return self.rtp_destination();
        }
        if self.dtls.is_some() {
            return None;
        }
        let remote = far.rtcp.destination(&far.rtp)?;
        Some(Destination { socket: self.sockets.rtcp, remote })
    }

    /// Encrypts the RTP packet in `buffer[..len]`, if it is to be encrypted; its tag may be left to the outbox.
    pub(super) fn encrypt_rtp(
        &mut self,
        buffer: &mut [u8],
        len: usize,
    ) -> Result<(usize, Option<Pending>), DropReason> {
        match &mut self.protection {
            Some(protection) => protection.encrypt_rtp(buffer, len),
            None if self.is_protected => Err(DropReason::NotReady),
            None => Ok((len, None)),
        }
    }

    /// Encrypts the RTCP packet in `buffer[..len]`, if it is to be encrypted; its length.
    pub(super) fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, DropReason> {
        match &mut self.protection {
            Some(protection) => protection.protect_rtcp(buffer, len),
            None if self.is_protected => Err(DropReason::NotReady),
            None => Ok(len),
        }
    }

    /// Says goodbye to the far side's DTLS.
    pub(super) fn close(&mut self, now: Instant, outbox: &mut Outbox, events: &mut Events) {
        if let Some(dtls) = &mut self.dtls {
            dtls.association.close(now);
            self.pump(now, outbox, events);
        }
    }

    fn pump(&mut self, now: Instant, outbox: &mut Outbox, events: &mut Events) {
        let Some(dtls) = &mut self.dtls else { return };
        let signalled = self.remote.as_ref().and_then(|far| far.rtp.reachable());
        let remote = dtls.path.or(signalled);
        let destination = remote.map(|remote| Destination { socket: self.sockets.rtp, remote });
        if let Some(keys) = dtls.association.pump(destination, outbox, events) {
            Protection::connect(&mut self.protection, now, keys, events);
        }
    }
}

impl Dtls {
    /// Judges where DTLS comes from: the signalled address, or the first other port of its host.
    ///
    /// Nobody else has a say, not even behind a NAT: until the certificate is verified, anyone may be anyone.
    fn admit(&mut self, signalled: SocketAddr, source: SocketAddr) -> Result<(), DropReason> {
        let is_known = self.path == Some(source);
        let is_first = self.path.is_none() && source.ip() == signalled.ip();
        if !(is_known || is_first || source == signalled) {
            return Err(DropReason::UnverifiedSource);
        }
        self.path = Some(source);
        Ok(())
    }
}
