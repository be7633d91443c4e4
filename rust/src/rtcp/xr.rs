//! Extended reports, read in place and built: VoIP metrics, and the round trip of those who only receive.   RFC 3611.

use crate::error::DropReason;
use crate::net::Ssrc;

use super::report::split_u32;
use super::time::NtpTime;

pub(super) const PT_EXTENDED_REPORT: u8 = 207;
const BT_RECEIVER_REFERENCE_TIME: u8 = 4;
pub(super) const BT_DLRR: u8 = 5;
pub(super) const BT_VOIP_METRICS: u8 = 7;

/// Words of the blocks that we write, without their headers; a DLRR with one answer.
pub(super) const DLRR_WORDS: usize = 3;
pub(super) const VOIP_METRICS_WORDS: usize = 8;

/// An extended report: who wrote it, and its blocks.   RFC 3611 section 2.
#[derive(Debug, Clone)]
pub struct ExtendedReport<'a> {
    /// Who reports.
    pub ssrc: Ssrc,
    blocks: &'a [u8],
}

/// One block of an extended report.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Block {
    /// When it was sent: whoever answers by [`Dlrr`] tells the sender its round trip.   RFC 3611 section 4.4.
    ReceiverReferenceTime(NtpTime),
    /// How a call sounds to the reporter.   RFC 3611 section 4.7.
    VoipMetrics(VoipMetrics),
}

/// The answer to a receiver's reference time.   RFC 3611 section 4.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dlrr {
    /// Whose time it was.
    pub ssrc: Ssrc,
    /// Middle 32 bits of that time.
    pub last_rr: u32,
    /// How long ago it came, in 1/65,536 s.
    pub delay: u32,
}

/// VoIP metrics as they are on the wire.   RFC 3611 section 4.7.
///
/// Rates and densities are in 1/256, times in milliseconds, levels in dBm0, MOS times ten. Levels, R and MOS are
/// [`UNKNOWN`](Self::UNKNOWN) where nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and their order are the RFC's, and its section tells them")]
pub struct VoipMetrics {
    pub ssrc: Ssrc,
    pub loss_rate: u8,
    pub discard_rate: u8,
    pub burst_density: u8,
    pub gap_density: u8,
    pub burst_duration_ms: u16,
    pub gap_duration_ms: u16,
    pub round_trip_delay_ms: u16,
    pub end_system_delay_ms: u16,
    pub signal_level_dbm0: i8,
    pub noise_level_dbm0: i8,
    pub rerl_db: u8,
    pub gmin: u8,
    pub r_factor: u8,
    pub ext_r_factor: u8,
    pub mos_lq: u8,
    pub mos_cq: u8,
    pub rx_config: u8,
    pub jb_nominal_ms: u16,
    pub jb_maximum_ms: u16,
    pub jb_abs_max_ms: u16,
}

impl VoipMetrics {
    /// What stands for a level, R or MOS that nobody knows.
    pub const UNKNOWN: u8 = 127;

    /// The same for a signed level.
    pub const UNKNOWN_LEVEL: i8 = 127;

    /// `rx_config` of a receiver with standard concealment and an adaptive jitter buffer.   RFC 3611 section 4.7.6.
    pub const STANDARD_PLC_ADAPTIVE_JB: u8 = 0b1111_0000;

    /// A MOS as a number, if it is known and on its scale.
    #[must_use]
    pub fn mos(tenths: u8) -> Option<f64> {
        (10..=50).contains(&tenths).then(|| f64::from(tenths) / 10.0)
    }

    /// The block behind its header, in the order of the RFC.
    pub(super) fn to_bytes(self) -> [u8; 4 * VOIP_METRICS_WORDS] {
        let mut bytes = [0; 4 * VOIP_METRICS_WORDS];
        bytes[..4].copy_from_slice(&self.ssrc.0.to_be_bytes());
        bytes[4..8].copy_from_slice(&[self.loss_rate, self.discard_rate, self.burst_density, self.gap_density]);
        bytes[8..10].copy_from_slice(&self.burst_duration_ms.to_be_bytes());
        bytes[10..12].copy_from_slice(&self.gap_duration_ms.to_be_bytes());
        bytes[12..14].copy_from_slice(&self.round_trip_delay_ms.to_be_bytes());
        bytes[14..16].copy_from_slice(&self.end_system_delay_ms.to_be_bytes());
        let levels = [self.signal_level_dbm0.cast_unsigned(), self.noise_level_dbm0.cast_unsigned()];
        bytes[16..20].copy_from_slice(&[levels[0], levels[1], self.rerl_db, self.gmin]);
        bytes[20..24].copy_from_slice(&[self.r_factor, self.ext_r_factor, self.mos_lq, self.mos_cq]);
        // A reserved byte follows the configuration.
        bytes[24] = self.rx_config;
        bytes[26..28].copy_from_slice(&self.jb_nominal_ms.to_be_bytes());
        bytes[28..30].copy_from_slice(&self.jb_maximum_ms.to_be_bytes());
        bytes[30..32].copy_from_slice(&self.jb_abs_max_ms.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; 4 * VOIP_METRICS_WORDS]) -> Self {
        let pair = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let [s0, s1, s2, s3, ..] = *bytes;
        Self {
            ssrc: Ssrc(u32::from_be_bytes([s0, s1, s2, s3])),
            loss_rate: bytes[4],
            discard_rate: bytes[5],
            burst_density: bytes[6],
            gap_density: bytes[7],
            burst_duration_ms: pair(8),
            gap_duration_ms: pair(10),
            round_trip_delay_ms: pair(12),
            end_system_delay_ms: pair(14),
            signal_level_dbm0: bytes[16].cast_signed(),
            noise_level_dbm0: bytes[17].cast_signed(),
            rerl_db: bytes[18],
            gmin: bytes[19],
            r_factor: bytes[20],
            ext_r_factor: bytes[21],
            mos_lq: bytes[22],
            mos_cq: bytes[23],
            rx_config: bytes[24],
            jb_nominal_ms: pair(26),
            jb_maximum_ms: pair(28),
            jb_abs_max_ms: pair(30),
        }
    }
}

impl<'a> ExtendedReport<'a> {
    /// The report in the body of a packet; None if a block overruns it or has not the length of its type.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let (ssrc, blocks) = split_u32(body)?;
        let mut rest = blocks;
        while !rest.is_empty() {
            let (kind, content, after) = split_block(rest)?;
            read_block(kind, content).ok()?;
            rest = after;
        }
        Some(Self { ssrc: Ssrc(ssrc), blocks })
    }

    /// The blocks of types that we know, in order.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + use<'a> {
        let mut rest = self.blocks;
        // `read` went through every block once, so neither step fails here.
        std::iter::from_fn(move || {
            let (kind, content, after) = split_block(rest)?;
            rest = after;
            read_block(kind, content).ok()
        })
        .flatten()
    }
}

/// Cut the first block off: its type, what follows its header, and the rest.
fn split_block(blocks: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, _, high, low], rest) = blocks.split_first_chunk::<4>()?;
    let (content, after) = rest.split_at_checked(4 * usize::from(u16::from_be_bytes([high, low])))?;
    Some((kind, content, after))
}

/// Read a block; None for one of a type that we do not know. Drops one that has not the length of its type.
fn read_block(kind: u8, content: &[u8]) -> Result<Option<Block>, DropReason> {
    let block = match kind {
        BT_RECEIVER_REFERENCE_TIME => {
            content.try_into().map(|time| Block::ReceiverReferenceTime(NtpTime(u64::from_be_bytes(time))))
        }
        BT_VOIP_METRICS => content.try_into().map(|content| Block::VoipMetrics(VoipMetrics::from_bytes(content))),
        _ => return Ok(None),
    };
    block.map(Some).map_err(|_| DropReason::RtcpMalformed)
}
