//! Ogg: packets in pages.   RFC 3533.

use super::FileError;

const CAPTURE: &[u8; 4] = b"OggS";
const HEAD_BYTES: usize = 27;

/// Segments that a page can name (RFC 3533 section 6, field 8).
const MAX_SEGMENTS: usize = 255;

const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// A page of no end of a packet has this position.
const NO_POSITION: u64 = u64::MAX;

/// The checksum of a page whose own field is zero: polynomial 0x04c11db7, not reflected, no inversion (section 6, 7).
const fn checksum_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        // Below 256.
        let mut value = u32::from_be_bytes([byte.to_le_bytes()[0], 0, 0, 0]);
        let mut bit = 0;
        while bit < 8 {
            value = if value & 0x8000_0000 == 0 { value << 1 } else { value << 1 ^ 0x04c1_1db7 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

static CHECKSUMS: [u32; 256] = checksum_table();

fn checksum(parts: &[&[u8]]) -> u32 {
    parts.iter().flat_map(|part| part.iter()).fold(0, |sum: u32, byte| {
        let [high, ..] = sum.to_be_bytes();
        sum << 8 ^ CHECKSUMS[usize::from(high ^ byte)]
    })
}

/// One page as read.
#[derive(Debug, Clone, Copy)]
struct Page<'a> {
    flags: u8,
    position: u64,
    serial: u32,
    lacing: &'a [u8],
    body: &'a [u8],
}

/// Cuts the first page off `bytes`. None at their end, also in the midst of a page: a copy may have been cut off.
fn next_page<'a>(bytes: &mut &'a [u8]) -> Result<Option<Page<'a>>, FileError> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    if &head[..4] != CAPTURE || head[4] != 0 {
        return Err(FileError::Damaged("no page of Ogg where one should begin"));
    }
    let Some((lacing, rest)) = rest.split_at_checked(usize::from(head[26])) else { return Ok(None) };
    let size = lacing.iter().map(|len| usize::from(*len)).sum();
    let Some((body, rest)) = rest.split_at_checked(size) else { return Ok(None) };
    let said = u32::from_le_bytes([head[22], head[23], head[24], head[25]]);
    if checksum(&[&head[..22], &[0; 4], &head[26..], lacing, body]) != said {
        return Err(FileError::Damaged("the checksum of a page is wrong"));
    }
    *bytes = rest;
    Ok(Some(Page {
        flags: head[5],
        position: u64::from_le_bytes([head[6], head[7], head[8], head[9], head[10], head[11], head[12], head[13]]),
        serial: u32::from_le_bytes([head[14], head[15], head[16], head[17]]),
        lacing,
        body,
    }))
}

/// What a page adds to its stream: the packets that end in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) packets: Vec<Vec<u8>>,
    /// Granule position; None on a page in which no packet ends.
    pub(super) position: Option<u64>,
    pub(super) is_last: bool,
}

/// Reads one logical stream: the first that begins with `signature`. Others beside it are passed over, and those chained
/// behind it as well.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    signature: &'static [u8],
    serial: Option<u32>,
    /// The beginning of a packet that goes on in the next page.
    open: Option<Vec<u8>>,
    is_over: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], signature: &'static [u8]) -> Self {
        Self { bytes, signature, serial: None, open: None, is_over: false }
    }

    /// The next page of the stream; None behind its last one.
    pub(super) fn next(&mut self) -> Result<Option<Contents>, FileError> {
        while !self.is_over {
            let Some(page) = next_page(&mut self.bytes)? else { break };
            if self.serial.is_none() && page.flags & FIRST != 0 && page.body.starts_with(self.signature) {
                self.serial = Some(page.serial);
            }
            if self.serial == Some(page.serial) {
                return Ok(Some(self.take(page)));
            }
        }
        Ok(None)
    }

    fn take(&mut self, page: Page<'_>) -> Contents {
        let open = self.open.take().filter(|_| page.flags & CONTINUED != 0);
        // The end of a packet whose beginning is not there is of no use.
        let mut is_orphan = page.flags & CONTINUED != 0 && open.is_none();
        let mut packet = open.unwrap_or_default();
        let (mut packets, mut rest, mut is_open) = (Vec::new(), page.body, false);
        for &len in page.lacing {
            let (segment, after) = rest.split_at_checked(usize::from(len)).unwrap_or((rest, &[]));
            packet.extend(segment);
            rest = after;
            is_open = len == 255;
            if !is_open {
                let whole = std::mem::take(&mut packet);
                if !std::mem::take(&mut is_orphan) {
                    packets.push(whole);
                }
            }
        }
        self.open = (is_open && !is_orphan).then_some(packet);
        self.is_over = page.flags & LAST != 0;
        let position = Some(page.position).filter(|position| *position != NO_POSITION);
        Contents { packets, position, is_last: self.is_over }
    }
}

/// Writes one logical stream.
pub(super) struct Writer {
    serial: u32,
    next_page: u32,
    lacing: Vec<u8>,
    body: Vec<u8>,
}

impl Writer {
    pub(super) fn new(serial: u32) -> Self {
        Self { serial, next_page: 0, lacing: Vec::with_capacity(MAX_SEGMENTS), body: Vec::new() }
    }

    /// Whether a packet of so many bytes fits into the page that is being filled.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.lacing.len() + bytes / 255 < MAX_SEGMENTS
    }

    /// Adds a packet to the page; there must be [room](Self::has_room) for it.
    pub(super) fn add(&mut self, packet: &[u8]) {
        self.lacing.extend(std::iter::repeat_n(255, packet.len() / 255));
        // Below 255.
        self.lacing.push((packet.len() % 255).to_le_bytes()[0]);
        self.body.extend(packet);
    }

    /// Ends the page behind what was added, at this granule position, and appends it to `out`.
    pub(super) fn finish_page(&mut self, position: u64, is_last: bool, out: &mut Vec<u8>) {
        let first = if self.next_page == 0 { FIRST } else { 0 };
        let last = if is_last { LAST } else { 0 };
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(CAPTURE);
        head[5] = first | last;
        head[6..14].copy_from_slice(&position.to_le_bytes());
        head[14..18].copy_from_slice(&self.serial.to_le_bytes());
        head[18..22].copy_from_slice(&self.next_page.to_le_bytes());
        // At most 255.
        head[26] = self.lacing.len().to_le_bytes()[0];
        let sum = checksum(&[&head, &self.lacing, &self.body]);
        head[22..26].copy_from_slice(&sum.to_le_bytes());
        out.extend(head);
        out.extend(&self.lacing);
        out.extend(&self.body);
        self.next_page = self.next_page.wrapping_add(1);
        self.lacing.clear();
        self.body.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(bytes: &[u8]) -> Result<Vec<Contents>, FileError> {
        let mut reader = Reader::new(bytes, b"Test");
        std::iter::from_fn(|| reader.next().transpose()).collect()
    }

    fn file(packets: &[&[u8]]) -> Vec<u8> {
        let (mut writer, mut bytes) = (Writer::new(9), Vec::new());
        for (number, packet) in (0..).zip(packets) {
            writer.add(packet);
            writer.finish_page(number, false, &mut bytes);
        }
        bytes
    }

    #[test]
    fn knows_the_checksum_of_a_page_of_another_writer() {
        // The first page of a file by FFmpeg 8.1.2 (libavformat), 8 kHz mono, `OpusHead`.
        let page = b"OggS\0\x02\0\0\0\0\0\0\0\0\x36\xdf\x66\x11\0\0\0\0\xb9\x27\xa0\x63\x01\x13\
            OpusHead\x01\x01\x38\x01\x40\x1f\0\0\0\0\0";
        assert!(next_page(&mut &page[..]).unwrap().is_some());
    }

    #[test]
    fn reads_the_packets_that_it_wrote() {
        let long = vec![7; 255 * 2];
        let pages = read_all(&file(&[b"Test", &long, b""])).unwrap();
        let packets: Vec<_> = pages.iter().map(|page| (page.packets.clone(), page.position)).collect();
        assert_eq!(packets, [(vec![b"Test".to_vec()], Some(0)), (vec![long], Some(1)), (vec![vec![]], Some(2))]);
    }

    #[test]
    fn puts_together_a_packet_that_spans_pages() {
        let mut bytes = file(&[b"Test"]);
        let (mut writer, packet) = (Writer::new(9), vec![3; 300]);
        writer.next_page = 1;
        writer.lacing = vec![255];
        writer.body = packet[..255].to_vec();
        writer.finish_page(NO_POSITION, false, &mut bytes);
        let start = bytes.len();
        writer.add(&packet[255..]);
        writer.finish_page(5, true, &mut bytes);
        bytes[start + 5] |= CONTINUED;
        bytes[start + 22..start + 26].fill(0);
        let sum = checksum(&[&bytes[start..]]);
        bytes[start + 22..start + 26].copy_from_slice(&sum.to_le_bytes());
        let pages = read_all(&bytes).unwrap();
        assert_eq!(pages[1], Contents { packets: vec![], position: None, is_last: false });
        assert_eq!(pages[2], Contents { packets: vec![packet], position: Some(5), is_last: true });
    }

    #[test]
    fn passes_over_other_streams_and_stops_where_a_copy_was_cut_off() {
        let mut bytes = Vec::new();
        let mut other = Writer::new(1);
        other.add(b"video");
        other.finish_page(0, false, &mut bytes);
        bytes.extend(file(&[b"Test", b"two"]));
        assert_eq!(read_all(&bytes).unwrap().len(), 2);
        bytes.pop();
        assert_eq!(read_all(&bytes).unwrap().len(), 1);
    }

    #[test]
    fn a_damaged_page_is_an_error() {
        let mut bytes = file(&[b"Test", b"two"]);
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(read_all(&bytes).unwrap_err(), FileError::Damaged("the checksum of a page is wrong"));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_packets_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), flags in 0..8_u8) {
            let _ = read_all(&bytes);
            let mut file = file(&[b"Test", &bytes]);
            file[5] = flags;
            file[22..26].fill(0);
            let sum = checksum(&[&file[..28 + 4]]);
            file[22..26].copy_from_slice(&sum.to_le_bytes());
            let _ = read_all(&file);
        }
    }
}
