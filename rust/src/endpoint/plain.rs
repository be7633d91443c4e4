//! Plain RTP towards the SIP side: two sockets (or one with `rtcp-mux`) and their latches.   RFC 3550 section 11, RFC 5761.

use std::net::SocketAddr;
use std::time::Instant;

use crate::error::DropReason;
use crate::net::DatagramKind;
use crate::outbox::{Destination, SocketId};
use crate::rtcp::Compound;
use crate::rtp::Header;

use super::latch::Latch;
use super::rtcp_latch::RtcpLatch;
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
    rtp: Latch,
    rtcp: RtcpLatch,
    is_muxed: bool,
}

impl Plain {
    pub(super) fn new(sockets: PlainSockets) -> Self {
        Self { sockets, remote: None }
    }

    /// Takes what the SDP said. The locks of the latches survive a repetition of the same address.
    ///
    /// Returns whether RTP is to come from another address than before.
    pub(super) fn set_remote(&mut self, now: Instant, rtp: SocketAddr, rtcp: SocketAddr, is_muxed: bool) -> bool {
        let Some(far) = &mut self.remote else {
            self.remote = Some(Far { rtp: Latch::new(now, rtp), rtcp: RtcpLatch::new(rtcp), is_muxed });
            return true;
        };
        let is_another = far.rtp.signal(now, rtp);
        far.rtcp.signal(rtcp, is_another);
        far.is_muxed = is_muxed;
        is_another
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
                far.rtp.admit(now, source, &header)?;
                Ok(Content::Rtp(header))
            }
            (DatagramKind::Rtcp, Lane::Rtcp) => {
                far.rtcp.admit(&far.rtp, source, Compound::parse(data)?.sender())?;
                Ok(Content::Rtcp(data.len()))
            }
            (DatagramKind::Rtcp, Lane::Rtp) if far.is_muxed => {
                far.rtp.admit_rtcp(source)?;
                Ok(Content::Rtcp(data.len()))
            }
            _ => Err(DropReason::Unclassified),
        }
    }

    /// Where RTP goes, once the far side is known.
    pub(super) fn rtp_destination(&self) -> Option<Destination> {
        let remote = self.remote.as_ref()?.rtp.destination()?;
        Some(Destination { socket: self.sockets.rtp, remote })
    }

    /// Where RTCP goes: with RTP if multiplexed, else where its own latch says.
    pub(super) fn rtcp_destination(&self) -> Option<Destination> {
        let far = self.remote.as_ref()?;
        if far.is_muxed {
            return self.rtp_destination();
        }
        let remote = far.rtcp.destination(&far.rtp)?;
        Some(Destination { socket: self.sockets.rtcp, remote })
    }
}
