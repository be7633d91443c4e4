//! Compound packets, read in place.   RFC 3550 sections 6.4 to 6.6, RFC 3611, RFC 5506.

use crate::error::DropReason;
use crate::net::Ssrc;

use super::time::NtpTime;
use super::xr::{ExtendedReport, PT_EXTENDED_REPORT};

pub(super) const VERSION: u8 = 2;
pub(super) const PT_SENDER_REPORT: u8 = 200;
pub(super) const PT_RECEIVER_REPORT: u8 = 201;
pub(super) const PT_SDES: u8 = 202;
pub(super) const PT_BYE: u8 = 203;
pub(super) const SDES_CNAME: u8 = 1;
const SDES_END: u8 = 0;
const PADDING_BIT: u8 = 0x20;
const COUNT_MASK: u8 = 0x1f;
const REPORT_BLOCK_BYTES: usize = 24;

/// A compound packet, checked as a whole: every packet in it can be read.
///
/// A single packet of any kind counts as a compound too (reduced size, RFC 5506).
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
    /// XR.
    ExtendedReport(ExtendedReport<'a>),
}

/// SR: what a source sent, and what it received.   RFC 3550 section 6.4.1.
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
    /// Packets lost since the source began; signed, 24 bits on the wire.
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

/// The report blocks of a report, one by one.
#[derive(Debug, Clone)]
pub struct ReportBlocks<'a> {
    data: &'a [u8],
}

/// Source descriptions.   RFC 3550 section 6.5.
#[derive(Debug, Clone)]
pub struct Sdes<'a> {
    chunks: &'a [u8],
    count: u8,
}

/// BYE.   RFC 3550 section 6.6.
#[derive(Debug, Clone)]
pub struct Bye<'a> {
    sources: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Check a whole, decrypted datagram.   RFC 3550 A.2.
    ///
    /// Drops `RtcpMalformed` if a packet is not of version 2, overruns the datagram or its own length, or is padded
    /// without being the last. Packets of types that we do not know need a sound header only.
    pub fn parse(data: &'a [u8]) -> Result<Self, DropReason> {
        let mut rest = data;
        while let Some((raw, after)) = split_packet(rest)? {
            read_packet(&raw)?;
            rest = after;
        }
        if data.is_empty() { Err(DropReason::RtcpMalformed) } else { Ok(Self { data }) }
    }

    /// Who sent it: the first packet of any type begins with its sender's SSRC; 0 if that packet is empty.
    #[must_use]
    pub fn sender(&self) -> Ssrc {
        let ssrc = self.data.get(4..8).and_then(|bytes| bytes.try_into().ok());
        Ssrc(ssrc.map_or(0, u32::from_be_bytes))
    }

    /// The packets of types that we know, in order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'a>> + use<'a> {
        let mut rest = self.data;
        // `parse` read every packet once, so neither step fails here.
        std::iter::from_fn(move || {
            let (raw, after) = split_packet(rest).ok().flatten()?;
            rest = after;
            Some(read_packet(&raw).ok().flatten())
        })
        .flatten()
    }
}

/// One packet of a compound: its header's fields and what follows the header, without padding.
struct RawPacket<'a> {
    count: u8,
    pt: u8,
    body: &'a [u8],
}

/// Cut the first packet off; None at the end.
fn split_packet(data: &[u8]) -> Result<Option<(RawPacket<'_>, &[u8])>, DropReason> {
    if data.is_empty() {
        return Ok(None);
    }
    let (&[flags, pt, high, low], rest) = data.split_first_chunk::<4>().ok_or(DropReason::RtcpMalformed)?;
    let body_bytes = 4 * usize::from(u16::from_be_bytes([high, low]));
    let (mut body, after) = rest.split_at_checked(body_bytes).ok_or(DropReason::RtcpMalformed)?;
    if flags >> 6 != VERSION {
        return Err(DropReason::RtcpMalformed);
    }
    if flags & PADDING_BIT != 0 {
        let padding_bytes = body.last().map_or(0, |count| usize::from(*count));
        let kept = body.len().checked_sub(padding_bytes).filter(|_| padding_bytes > 0 && after.is_empty());
        body = kept.and_then(|kept| body.get(..kept)).ok_or(DropReason::RtcpMalformed)?;
    }
    Ok(Some((RawPacket { count: flags & COUNT_MASK, pt, body }, after)))
}

/// Read a packet of a type that we know; None for any other.
fn read_packet<'a>(raw: &RawPacket<'a>) -> Result<Option<Packet<'a>>, DropReason> {
    let packet = match raw.pt {
        PT_SENDER_REPORT => read_sender_report(raw).map(Packet::SenderReport),
        PT_RECEIVER_REPORT => read_receiver_report(raw),
        PT_SDES => Some(Sdes { chunks: raw.body, count: raw.count }).filter(Sdes::is_sound).map(Packet::Sdes),
        PT_BYE => raw.body.get(..4 * usize::from(raw.count)).map(|sources| Packet::Bye(Bye { sources })),
        PT_EXTENDED_REPORT => ExtendedReport::read(raw.body).map(Packet::ExtendedReport),
        _ => return Ok(None),
    };
    packet.map(Some).ok_or(DropReason::RtcpMalformed)
}

fn read_sender_report<'a>(raw: &RawPacket<'a>) -> Option<SenderReport<'a>> {
    let (ssrc, rest) = split_u32(raw.body)?;
    let (ntp, rest) = rest.split_first_chunk::<8>()?;
    let (rtp_timestamp, rest) = split_u32(rest)?;
    let (packets, rest) = split_u32(rest)?;
    let (payload_bytes, rest) = split_u32(rest)?;
    let ntp = NtpTime(u64::from_be_bytes(*ntp));
    let reports = ReportBlocks::read(rest, raw.count)?;
    Some(SenderReport { ssrc: Ssrc(ssrc), ntp, rtp_timestamp, packets, payload_bytes, reports })
}

fn read_receiver_report<'a>(raw: &RawPacket<'a>) -> Option<Packet<'a>> {
    let (ssrc, rest) = split_u32(raw.body)?;
    Some(Packet::ReceiverReport { ssrc: Ssrc(ssrc), reports: ReportBlocks::read(rest, raw.count)? })
}

pub(super) fn split_u32(data: &[u8]) -> Option<(u32, &[u8])> {
    let (bytes, rest) = data.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*bytes), rest))
}

impl<'a> ReportBlocks<'a> {
    /// The blocks at the front of `data`; profile-specific extensions behind them are left alone.
    fn read(data: &'a [u8], count: u8) -> Option<Self> {
        data.get(..REPORT_BLOCK_BYTES * usize::from(count)).map(|data| Self { data })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (ssrc, rest) = split_u32(self.data)?;
        let (loss, rest) = split_u32(rest)?;
        let (extended_highest_seq, rest) = split_u32(rest)?;
        let (jitter_ts, rest) = split_u32(rest)?;
        let (last_sr, rest) = split_u32(rest)?;
        let (delay_since_last_sr, rest) = split_u32(rest)?;
        self.data = rest;
        let [fraction_lost, ..] = loss.to_be_bytes();
        Some(ReportBlock {
            ssrc: Ssrc(ssrc),
            fraction_lost,
            // The lower 24 bits, sign-extended.
            cumulative_lost: (loss << 8).cast_signed() >> 8,
            extended_highest_seq,
            jitter_ts,
            last_sr,
            delay_since_last_sr,
        })
    }
}

impl<'a> Sdes<'a> {
    /// Each source with its CNAME; sources without one are left out.
    pub fn cnames(&self) -> impl Iterator<Item = (Ssrc, &'a [u8])> + use<'a> {
        let mut rest = self.chunks;
        (0..self.count)
            .map_while(move |_| {
                let (chunk, after) = split_chunk(rest)?;
                rest = after;
                Some(chunk)
            })
            .filter_map(|chunk| Some((chunk.ssrc, chunk.cname?)))
    }

    fn is_sound(&self) -> bool {
        let mut rest = self.chunks;
        (0..self.count).all(|_| split_chunk(rest).map(|(_, after)| rest = after).is_some())
    }
}

/// What we read of the descriptions of one source.
struct Chunk<'a> {
    ssrc: Ssrc,
    cname: Option<&'a [u8]>,
}

/// Cut the first chunk off.
fn split_chunk(chunks: &[u8]) -> Option<(Chunk<'_>, &[u8])> {
    let (ssrc, items) = split_u32(chunks)?;
    let mut cname = None;
    let mut rest = items;
    loop {
        match *rest {
            [SDES_END, ..] => break,
            [kind, len, ref tail @ ..] => {
                let (text, after) = tail.split_at_checked(usize::from(len))?;
                if kind == SDES_CNAME {
                    cname = Some(text);
                }
                rest = after;
            }
            _ => return None,
        }
    }
    // The list ends with one to four zero bytes, on a boundary of 32 bits.
    let list_bytes = items.len() - rest.len();
    let after = items.get((list_bytes / 4 + 1) * 4..)?;
    Some((Chunk { ssrc: Ssrc(ssrc), cname }, after))
}

impl Bye<'_> {
    /// The sources that leave.
    pub fn sources(&self) -> impl Iterator<Item = Ssrc> {
        self.sources.as_chunks::<4>().0.iter().map(|bytes| Ssrc(u32::from_be_bytes(*bytes)))
    }
}
