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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_a_plain_packet() {
        let mut packet = vec![0x80, 0x80 | 8, 0x12, 0x34, 0, 0, 0, 160, 0xca, 0xfe, 0xba, 0xbe];
        packet.extend([7; 160]);
        let header = Header::parse(&packet).unwrap();
        assert!(header.marker);
        assert_eq!((header.pt, header.seq, header.timestamp), (Pt(8), SeqNo(0x1234), 160));
        assert_eq!(header.ssrc, Ssrc(0xcafe_babe));
        assert_eq!(header.payload_of(&packet), [7; 160]);
    }

    #[test]
    fn payload_excludes_csrcs_extension_and_padding() {
        let mut packet = vec![0x80 | PADDING_BIT | EXTENSION_BIT | 2, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        packet.extend([0xaa; 8]);
        packet.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        packet.extend(b"speech");
        packet.extend([0, 0, 3]);
        assert_eq!(Header::parse(&packet).unwrap().payload_of(&packet), b"speech");
    }

    #[test]
    fn padding_may_be_the_whole_payload() {
        let packet = [0xa0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
        assert!(Header::parse(&packet).unwrap().payload.is_empty());
    }

    #[test]
    fn drops_what_its_own_lengths_overrun() {
        let fixed = [0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        let with_flags = |flags: u8, rest: &[u8]| {
            let mut packet = fixed.to_vec();
            packet[0] = flags;
            packet.extend(rest);
            Header::parse(&packet)
        };
        assert!(with_flags(0x80, &[]).is_ok());
        assert_eq!(Header::parse(&fixed[..11]), Err(DropReason::RtpMalformed), "short header");
        for (flags, rest) in [
            (0x40, &[0; 4][..]),
            (0x81, &[0; 3]),
            (0x90, &[0; 3]),
            (0x90, &[0, 0, 0, 1, 9, 9, 9]),
            (0xa0, &[]),
            (0xa0, &[0]),
            (0xa0, &[1, 3]),
        ] {
            assert_eq!(with_flags(flags, rest), Err(DropReason::RtpMalformed), "{flags:#x} {rest:?}");
        }
    }

    #[test]
    fn rewrite_keeps_everything_but_the_fields() {
        let mut packet = vec![0x91, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 9, 1, 2, 0, 1, 4, 4, 4, 4, 5, 6];
        let mut header = Header::parse(&packet).unwrap();
        (header.pt, header.seq, header.timestamp, header.ssrc, header.marker) =
            (Pt(111), SeqNo(500), 960, Ssrc(77), true);
        header.rewrite(&mut packet).unwrap();
        assert_eq!(Header::parse(&packet).unwrap(), header);
        assert_eq!((packet[0], &packet[12..]), (0x91, &[9, 9, 9, 9, 1, 2, 0, 1, 4, 4, 4, 4, 5, 6][..]));
        assert_eq!(header.rewrite(&mut packet[..11]), Err(DropReason::BufferTooSmall));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_header_or_a_drop(packet in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(header) = Header::parse(&packet) {
                prop_assert!(header.payload.start >= MIN_HEADER_BYTES);
                prop_assert_eq!(header.payload_of(&packet).len(), header.payload.len());
            }
        }

        #[test]
        fn written_header_reads_back(
            marker: bool, pt in 0_u8..128, seq: u16, timestamp: u32, ssrc: u32, payload in prop::collection::vec(any::<u8>(), 0..32)
        ) {
            let mut header = Header::new(Pt(pt), SeqNo(seq), timestamp, Ssrc(ssrc));
            header.marker = marker;
            header.payload = MIN_HEADER_BYTES..MIN_HEADER_BYTES + payload.len();
            let mut packet = vec![0xff; MIN_HEADER_BYTES + payload.len()];
            let written = header.write(&mut packet).unwrap();
            packet[written..].copy_from_slice(&payload);
            prop_assert_eq!(Header::parse(&packet), Ok(header));
        }
    }
}
