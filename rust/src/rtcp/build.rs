//! Compound packets of ours, built into the caller's buffer.   RFC 3550 section 6.

use crate::error::DropReason;
use crate::net::Ssrc;

use super::report::{PT_BYE, PT_RECEIVER_REPORT, PT_SDES, PT_SENDER_REPORT, ReportBlock, SDES_CNAME, VERSION};
use super::time::NtpTime;
use super::xr::{BT_DLRR, BT_VOIP_METRICS, DLRR_WORDS, Dlrr, PT_EXTENDED_REPORT, VOIP_METRICS_WORDS, VoipMetrics};

/// Most report blocks or sources that one packet counts.
const MAX_COUNT: usize = 31;

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
///
/// A compound begins with a report and holds a CNAME (RFC 3550 section 6.1), unless it is one of reduced size (RFC
/// 5506). Every step drops `BufferTooSmall` if `out`
/// has no room for it.
#[derive(Debug)]
pub struct Builder<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Builder<'a> {
    /// Begin a compound at the front of `out`.
    #[must_use]
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// SR; of more than 31 report blocks the first 31.   RFC 3550 section 6.4.1.
    pub fn sender_report(mut self, ssrc: Ssrc, info: &SenderInfo, reports: &[ReportBlock]) -> Result<Self, DropReason> {
        let start = self.len;
        self.header(ssrc)?;
        self.put(&info.ntp.0.to_be_bytes())?;
        self.put_u32(info.rtp_timestamp)?;
        self.put_u32(info.packets)?;
        self.put_u32(info.payload_bytes)?;
        let count = self.blocks(reports)?;
        self.close(start, PT_SENDER_REPORT, count)
    }

    /// RR; of more than 31 report blocks the first 31.   RFC 3550 section 6.4.2.
    pub fn receiver_report(mut self, ssrc: Ssrc, reports: &[ReportBlock]) -> Result<Self, DropReason> {
        let start = self.len;
        self.header(ssrc)?;
        let count = self.blocks(reports)?;
        self.close(start, PT_RECEIVER_REPORT, count)
    }

    /// SDES with one CNAME; drops `BufferTooSmall` for one of more than 255 bytes.   RFC 3550 section 6.5.1.
    pub fn cname(mut self, ssrc: Ssrc, cname: &str) -> Result<Self, DropReason> {
        let start = self.len;
        let len = u8::try_from(cname.len()).map_err(|_| DropReason::BufferTooSmall)?;
        self.header(ssrc)?;
        self.put(&[SDES_CNAME, len])?;
        self.put(cname.as_bytes())?;
        let zeros = 4 - (self.len - start) % 4;
        self.put([0; 4].get(..zeros).unwrap_or_default())?;
        self.close(start, PT_SDES, 1)
    }

    /// XR with the blocks that there are; nothing if there is none.   RFC 3611.
    pub fn extended_report(
        mut self,
        ssrc: Ssrc,
        answer: Option<Dlrr>,
        metrics: Option<&VoipMetrics>,
    ) -> Result<Self, DropReason> {
        if answer.is_none() && metrics.is_none() {
            return Ok(self);
        }
        let start = self.len;
        self.header(ssrc)?;
        if let Some(answer) = answer {
            self.block(BT_DLRR, DLRR_WORDS)?;
            self.put_u32(answer.ssrc.0)?;
            self.put_u32(answer.last_rr)?;
            self.put_u32(answer.delay)?;
        }
        if let Some(metrics) = metrics {
            self.block(BT_VOIP_METRICS, VOIP_METRICS_WORDS)?;
            self.put(&metrics.to_bytes())?;
        }
        self.close(start, PT_EXTENDED_REPORT, 0)
    }

    /// BYE of one source.   RFC 3550 section 6.6.
    pub fn bye(mut self, ssrc: Ssrc) -> Result<Self, DropReason> {
        let start = self.len;
        self.header(ssrc)?;
        self.close(start, PT_BYE, 1)
    }

    /// Bytes of the compound at the front of `out`.
    #[must_use]
    pub const fn finish(self) -> usize {
        self.len
    }

    /// Room for the common header, and the first source behind it.
    fn header(&mut self, ssrc: Ssrc) -> Result<(), DropReason> {
        self.put_u32(0)?;
        self.put_u32(ssrc.0)
    }

    fn blocks(&mut self, reports: &[ReportBlock]) -> Result<u8, DropReason> {
        let mut count = 0;
        for report in reports.iter().take(MAX_COUNT) {
            let [_, lost @ ..] = report.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes();
            self.put_u32(report.ssrc.0)?;
            self.put(&[report.fraction_lost])?;
            self.put(&lost)?;
            self.put_u32(report.extended_highest_seq)?;
            self.put_u32(report.jitter_ts)?;
            self.put_u32(report.last_sr)?;
            self.put_u32(report.delay_since_last_sr)?;
            count += 1;
        }
        Ok(count)
    }

    /// The header of one block of an extended report.
    fn block(&mut self, kind: u8, words: usize) -> Result<(), DropReason> {
        let [high, low] = u16::try_from(words).map_err(|_| DropReason::BufferTooSmall)?.to_be_bytes();
        self.put(&[kind, 0, high, low])
    }

    /// Fill in the common header of the packet that begins at `start`.
    fn close(self, start: usize, pt: u8, count: u8) -> Result<Self, DropReason> {
        let words = u16::try_from((self.len - start) / 4 - 1).map_err(|_| DropReason::BufferTooSmall)?;
        let [high, low] = words.to_be_bytes();
        let header = self.out.get_mut(start..).and_then(|packet| packet.first_chunk_mut());
        *header.ok_or(DropReason::BufferTooSmall)? = [(VERSION << 6) | count, pt, high, low];
        Ok(self)
    }

    fn put_u32(&mut self, value: u32) -> Result<(), DropReason> {
        self.put(&value.to_be_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), DropReason> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end).ok_or(DropReason::BufferTooSmall)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}
