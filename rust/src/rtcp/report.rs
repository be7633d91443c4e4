//! Compound packets, read in place.   RFC 3550 sections 6.4 to 6.6, RFC 5506.

use crate::error::DropReason;
use crate::net::Ssrc;

use super::time::NtpTime;

/// A compound packet whose lengths were checked.
#[derive(Debug, Clone, Copy)]
pub struct Compound<'a> {
    data: &'a [u8],
}

/// One packet of a compound.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// SR.
    SenderReport(SenderReport<'a>),
    /// RR.
    ReceiverReport {
        /// Who reports.
        ssrc: Ssrc,
        /// What it received.
        reports: ReportBlocks<'a>,
    },
    /// SDES.
    Sdes(Sdes<'a>),
    /// BYE.
    Bye(Bye<'a>),
}

/// SR: what a source sent, and what it received.
#[derive(Debug, Clone)]
pub struct SenderReport<'a> {
    /// Who reports.
    pub ssrc: Ssrc,
    /// Wall-clock time of the report.
    pub ntp: NtpTime,
    /// The same moment in the stream's timestamp units.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub payload_bytes: u32,
    /// What it received.
    pub reports: ReportBlocks<'a>,
}

/// One reception report.   RFC 3550 section 6.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// Whom it is about.
    pub ssrc: Ssrc,
    /// Share of packets lost since the previous report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the source began; signed 24 bits on the wire.
    pub cumulative_lost: i32,
    /// Highest extended sequence number.
    pub extended_highest_seq: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter_ts: u32,
    /// Middle 32 bits of the NTP time of the last SR received, 0 if none.
    pub last_sr: u32,
    /// Time since that SR, in 1/65,536 s.
    pub delay_since_last_sr: u32,
}

/// Iterator over report blocks.
#[derive(Debug, Clone)]
pub struct ReportBlocks<'a> {
    data: &'a [u8],
}

/// Source descriptions.
#[derive(Debug, Clone)]
pub struct Sdes<'a> {
    data: &'a [u8],
}

/// BYE.
#[derive(Debug, Clone)]
pub struct Bye<'a> {
    sources: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Check the lengths.
    pub fn parse(data: &'a [u8]) -> Result<Self, DropReason> {
        Ok(Self { data })
    }

    /// The packets that we know, in order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'a>> + use<'a> {
        let _ = self.data;
        std::iter::empty()
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let _ = self.data;
        todo!()
    }
}

impl<'a> Sdes<'a> {
    /// Each source with its CNAME.
    pub fn cnames(&self) -> impl Iterator<Item = (Ssrc, &'a [u8])> + use<'a> {
        let _ = self.data;
        std::iter::empty()
    }
}

impl Bye<'_> {
    /// The sources that leave.
    pub fn sources(&self) -> impl Iterator<Item = Ssrc> {
        let _ = self.sources;
        std::iter::empty()
    }
}
