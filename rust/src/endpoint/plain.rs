//! Plain RTP towards the SIP side: two sockets (or one with `rtcp-mux`) and the latch.   RFC 3550 section 11, RFC 5761.

use std::net::SocketAddr;
use std::time::Instant;

use crate::error::DropReason;
use crate::net::DatagramKind;
use crate::outbox::{Destination, SocketId};
use crate::rtp::Header;

use super::latch::Latch;
use super::{Content, Lane};

/// Sockets of one plain RTP endpoint, as the worker numbers them. Both are the same when RTCP shares the RTP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainSockets {
    /// Even port.
    pub rtp: SocketId,
    /// Odd port.
    pub rtcp: SocketId,
}

/// State of a plain RTP transport.
#[derive(Debug)]
pub(super) struct Plain {
    sockets: PlainSockets,
    remote: Option<Far>,
}

#[derive(Debug)]
struct Far {
    latch: Latch,
    rtcp: SocketAddr,
    learned_rtcp: Option<SocketAddr>,
    is_muxed: bool,
}

impl Plain {
    pub(super) fn new(sockets: PlainSockets) -> Self {
        Self { sockets, remote: None }
    }

    /// Takes what the SDP said. The lock of the latch survives a repetition of the same address.
    ///
    /// Returns whether RTP is to come from another address than before.
    pub(super) fn set_remote(&mut self, now: Instant, rtp: SocketAddr, rtcp: SocketAddr, is_muxed: bool) -> bool {
        match &mut self.remote {
            Some(far) => {
                let is_another = far.latch.signal(now, rtp);
                if far.rtcp != rtcp {
                    far.learned_rtcp = None;
                }
                far.rtcp = rtcp;
                far.is_muxed = is_muxed;
                is_another
            }
            None => {
                self.remote = Some(Far { latch: Latch::new(now, rtp), rtcp, learned_rtcp: None, is_muxed });
                true
            }
        }
    }

    /// Sorts one datagram. RTP of an unconfirmed source is a drop; `is_negotiated` judges the payload type first.
    pub(super) fn handle_datagram(
        &mut self,
        now: Instant,
        lane: Lane,
        source: SocketAddr,
        data: &[u8],
        is_negotiated: impl FnOnce(&Header) -> bool,
    ) -> Result<Content, DropReason> {
        let kind = DatagramKind::of(data).ok_or(DropReason::Unclassified)?;
        let far = self.remote.as_mut().ok_or(DropReason::NotReady)?;
        match (kind, lane) {
            (DatagramKind::Rtp, Lane::Rtp) => {
                let header = Header::parse(data)?;
                if !is_negotiated(&header) {
                    return Err(DropReason::RtpPayloadType);
                }
                far.latch.admit(now, source, &header)?;
                Ok(Content::Rtp(header))
            }
            (DatagramKind::Rtcp, Lane::Rtcp) => {
                far.latch.admit_rtcp(source)?;
                far.learned_rtcp = Some(source);
                Ok(Content::Rtcp(data.len()))
            }
            (DatagramKind::Rtcp, Lane::Rtp) if far.is_muxed => {
                far.latch.admit_rtcp(source)?;
                Ok(Content::Rtcp(data.len()))
            }
            _ => Err(DropReason::Unclassified),
        }
    }

    /// Where RTP goes, once the far side is known.
    pub(super) fn rtp_destination(&self) -> Option<Destination> {
        let remote = self.remote.as_ref()?.latch.destination()?;
        Some(Destination { socket: self.sockets.rtp, remote })
    }

    /// Where RTCP goes: with RTP if multiplexed, else to the signalled address, or where it comes from on that host.
    pub(super) fn rtcp_destination(&self) -> Option<Destination> {
        let far = self.remote.as_ref()?;
        if far.is_muxed {
            return self.rtp_destination();
        }
        let remote = far.learned_rtcp.unwrap_or(far.rtcp);
        let is_usable = !remote.ip().is_unspecified() && remote.port() != 0;
        is_usable.then_some(Destination { socket: self.sockets.rtcp, remote })
    }
}
