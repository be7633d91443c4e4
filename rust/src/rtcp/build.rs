//! Compound packets of ours, built into the caller's buffer.   RFC 3550 section 6.

use crate::error::DropReason;
use crate::net::Ssrc;

use super::report::ReportBlock;
use super::time::NtpTime;

/// What we sent, for a sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderInfo {
    /// Wall-clock time of the report.
    pub ntp: NtpTime,
    /// The same moment in the stream's timestamp units.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent, without headers and padding.
    pub payload_bytes: u32,
}

/// Writes one compound packet, front to back.
#[derive(Debug)]
pub struct Builder<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Builder<'a> {
    /// Begin a compound at the front of `out`; begin with a report.
    #[must_use]
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// SR with up to 31 report blocks.
    pub fn sender_report(self, ssrc: Ssrc, info: &SenderInfo, reports: &[ReportBlock]) -> Result<Self, DropReason> {
        let _ = (ssrc, info, reports);
        todo!()
    }

    /// RR with up to 31 report blocks.
    pub fn receiver_report(self, ssrc: Ssrc, reports: &[ReportBlock]) -> Result<Self, DropReason> {
        let _ = (ssrc, reports);
        todo!()
    }

    /// SDES with one CNAME of up to 255 bytes.
    pub fn cname(self, ssrc: Ssrc, cname: &str) -> Result<Self, DropReason> {
        let _ = (ssrc, cname);
        todo!()
    }

    /// BYE of one source.
    pub fn bye(self, ssrc: Ssrc) -> Result<Self, DropReason> {
        let _ = ssrc;
        todo!()
    }

    /// Bytes of the compound.
    #[must_use]
    pub fn finish(self) -> usize {
        let _ = self.out;
        self.len
    }
}
