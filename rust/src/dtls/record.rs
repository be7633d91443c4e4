//! The record layer, as far as an adapter must see it.   RFC 6347 section 4.1, RFC 9147 section 4.

use crate::error::DropReason;

/// Content type, version, epoch, sequence number, length.
pub(super) const RECORD_HEADER_BYTES: usize = 13;
/// Type, length, message sequence, fragment offset, fragment length.   RFC 6347 section 4.2.2.
pub(super) const HANDSHAKE_HEADER_BYTES: usize = 12;
const CONTENT_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;

/// One record of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// A fragment of a ClientHello, in the clear.
    Hello(HelloFragment<'a>),
    /// Any other record, whole.
    Other(&'a [u8]),
}

/// A fragment of a ClientHello, or all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HelloFragment<'a> {
    /// The header of its record.
    pub(super) record_header: &'a [u8; RECORD_HEADER_BYTES],
    /// 0 for the first ClientHello, 1 for the one that answers a cookie or retry request.
    pub(super) message_seq: u16,
    /// Bytes of the whole message.
    pub(super) message_bytes: usize,
    /// Where the fragment belongs.
    pub(super) offset: usize,
    /// The fragment.
    pub(super) data: &'a [u8],
}

/// Cut a datagram into records, all of which must be sound. Drops `DtlsMalformed`.
///
/// Encrypted records of DTLS 1.3 have a header whose length depends on the connection; they come in `Other`, together
/// with everything behind them.
pub(super) fn records(datagram: &[u8]) -> impl Iterator<Item = Result<Record<'_>, DropReason>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = split_record(rest);
        rest = record.as_ref().map_or(&[], |(_, after)| after);
        Some(record.map(|(record, _)| record))
    })
}

fn split_record(data: &[u8]) -> Result<(Record<'_>, &[u8]), DropReason> {
    // The unified header: bits 001, then flags (RFC 9147 section 4).
    if data.first().is_some_and(|first| first >> 5 == 1) {
        return Ok((Record::Other(data), &[]));
    }
    let (record_header, body) = data.split_first_chunk::<RECORD_HEADER_BYTES>().ok_or(DropReason::DtlsMalformed)?;
    let &[content, major, _, epoch_high, epoch_low, .., length_high, length_low] = record_header;
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    // Change cipher spec, alert, handshake, application data, heartbeat, with connection id, ack. Versions count down
    // from 0xfeff.
    if !(20..=26).contains(&content) || major != 0xfe {
        return Err(DropReason::DtlsMalformed);
    }
    let (fragment, after) = body.split_at_checked(length).ok_or(DropReason::DtlsMalformed)?;
    let is_clear_handshake = content == CONTENT_HANDSHAKE && (epoch_high, epoch_low) == (0, 0);
    let record = if is_clear_handshake && fragment.first() == Some(&MESSAGE_CLIENT_HELLO) {
        Record::Hello(read_hello(record_header, fragment)?)
    } else {
        let whole = data.get(..RECORD_HEADER_BYTES + length).ok_or(DropReason::DtlsMalformed)?;
        Record::Other(whole)
    };
    Ok((record, after))
}

fn read_hello<'a>(
    record_header: &'a [u8; RECORD_HEADER_BYTES],
    message: &'a [u8],
) -> Result<HelloFragment<'a>, DropReason> {
    let (header, data) = message.split_first_chunk::<HANDSHAKE_HEADER_BYTES>().ok_or(DropReason::DtlsMalformed)?;
    let &[_, l0, l1, l2, s0, s1, o0, o1, o2, f0, f1, f2] = header;
    let message_bytes = read_u24([l0, l1, l2]);
    let offset = read_u24([o0, o1, o2]);
    if read_u24([f0, f1, f2]) != data.len() || offset + data.len() > message_bytes {
        return Err(DropReason::DtlsMalformed);
    }
    Ok(HelloFragment { record_header, message_seq: u16::from_be_bytes([s0, s1]), message_bytes, offset, data })
}

fn read_u24([high, middle, low]: [u8; 3]) -> usize {
    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
}
