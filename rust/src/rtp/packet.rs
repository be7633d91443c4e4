//! The RTP header, read from and written to the caller's buffer.   RFC 3550 section 5.1.

use std::ops::Range;

use crate::error::DropReason;
use crate::net::{Pt, SeqNo, Ssrc};

/// Bytes of a header without CSRCs and extension.
pub const MIN_HEADER_BYTES: usize = 12;

const VERSION: u8 = 2;
const PADDING_BIT: u8 = 0x20;
const EXTENSION_BIT: u8 = 0x10;
const CSRC_COUNT_MASK: u8 = 0x0f;
const MARKER_BIT: u8 = 0x80;
const PAYLOAD_TYPE_MASK: u8 = 0x7f;

/// An RTP header and where its payload lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// First packet of a talk spurt, or of an event.
    pub marker: bool,
    /// Payload type.
    pub pt: Pt,
    /// Sequence number as on the wire.
    pub seq: SeqNo,
    /// Media time in units of the clock rate.
    pub timestamp: u32,
    /// The sender's source.
    pub ssrc: Ssrc,
    /// The payload's place in the packet, without CSRCs, extension and padding. Empty if the packet carries none.
    pub payload: Range<usize>,
}

impl Header {
    /// A header of 12 bytes for a packet of ours; the payload, of unknown length yet, follows it.
    #[must_use]
    pub const fn new(pt: Pt, seq: SeqNo, timestamp: u32, ssrc: Ssrc) -> Self {
        Self { marker: false, pt, seq, timestamp, ssrc, payload: MIN_HEADER_BYTES..MIN_HEADER_BYTES }
    }

    /// Read the header of a whole, decrypted packet.
    ///
    /// CSRCs and a header extension are skipped, padding is cut off the payload. Drops `RtpMalformed` what is shorter
    /// than its own lengths say, and any other version.
    pub fn parse(packet: &[u8]) -> Result<Self, DropReason> {
        let (fixed, rest) = packet.split_first_chunk::<MIN_HEADER_BYTES>().ok_or(DropReason::RtpMalformed)?;
        let [flags, marker_and_pt, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *fixed;
        if flags >> 6 != VERSION {
            return Err(DropReason::RtpMalformed);
        }
        let csrc_bytes = 4 * usize::from(flags & CSRC_COUNT_MASK);
        let mut body = rest.get(csrc_bytes..).ok_or(DropReason::RtpMalformed)?;
        if flags & EXTENSION_BIT != 0 {
            let (&[_, _, words_high, words_low], after) =
                body.split_first_chunk::<4>().ok_or(DropReason::RtpMalformed)?;
            let extension_bytes = 4 * usize::from(u16::from_be_bytes([words_high, words_low]));
            body = after.get(extension_bytes..).ok_or(DropReason::RtpMalformed)?;
        }
        let start = packet.len() - body.len();
        let padding_bytes = match (flags & PADDING_BIT, body.last()) {
            (0, _) => 0,
            (_, Some(&count)) if count > 0 && usize::from(count) <= body.len() => usize::from(count),
            _ => return Err(DropReason::RtpMalformed),
        };
        Ok(Self {
            marker: marker_and_pt & MARKER_BIT != 0,
            pt: Pt(marker_and_pt & PAYLOAD_TYPE_MASK),
            seq: SeqNo(u16::from_be_bytes([s0, s1])),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: Ssrc(u32::from_be_bytes([i0, i1, i2, i3])),
            payload: start..packet.len() - padding_bytes,
        })
    }

    /// The payload within the packet that this header was read from; empty for any shorter slice.
    #[must_use]
    pub fn payload_of<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.payload.clone()).unwrap_or_default()
    }

    /// Write the fixed header of 12 bytes (no CSRC, extension or padding) at the front of `out`.
    ///
    /// Returns the bytes written; the payload belongs behind them. Drops `BufferTooSmall`.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, DropReason> {
        let fixed = out.first_chunk_mut::<MIN_HEADER_BYTES>().ok_or(DropReason::BufferTooSmall)?;
        fixed[0] = VERSION << 6;
        self.write_fields(fixed);
        Ok(MIN_HEADER_BYTES)
    }

    /// Put marker, payload type, sequence number, timestamp and source into a packet that stands in `packet`.
    ///
    /// CSRCs, extension, padding and payload stay as they are. Drops `BufferTooSmall` for less than a header.
    pub fn rewrite(&self, packet: &mut [u8]) -> Result<(), DropReason> {
        let fixed = packet.first_chunk_mut::<MIN_HEADER_BYTES>().ok_or(DropReason::BufferTooSmall)?;
        self.write_fields(fixed);
        Ok(())
    }

    fn write_fields(&self, fixed: &mut [u8; MIN_HEADER_BYTES]) {
        fixed[1] = (self.pt.0 & PAYLOAD_TYPE_MASK) | if self.marker { MARKER_BIT } else { 0 };
        fixed[2..4].copy_from_slice(&self.seq.0.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        fixed[8..12].copy_from_slice(&self.ssrc.0.to_be_bytes());
    }
}
