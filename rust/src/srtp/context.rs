//! The crypto context of one direction.   RFC 3711 section 3.2.3.

use crate::error::DropReason;
use crate::mac::{self, Backend, Pending};
use crate::net::{SrtpProfile, Ssrc};

use super::cipher::{Cipher, RTCP_CLEAR_BYTES};
use super::forecast::Forecast;
use super::kdf::{Kdf, Usage};
use super::replay::Window;

/// Most bytes that protection adds behind a packet: an SRTCP index and a tag of 16 bytes.
pub const MAX_TRAILER_BYTES: usize = 20;

/// Sources under one key that a context keeps state for. A stream has one, a new one after each restart of the sender.
pub const MAX_SOURCES: usize = 16;

/// Packet indices of SRTP have 48 bits, and no index may come twice (RFC 3711 section 9.2).
const MAX_RTP_INDEX: u64 = (1 << 48) - 1;
/// Packet indices of SRTCP have 31 bits.
const MAX_RTCP_INDEX: u64 = (1 << 31) - 1;

/// A context cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The master key or salt is not of the profile's length.
    #[error("master key or salt of the wrong length")]
    KeyLength,
    /// The crypto library refused a derived key.
    #[error("the crypto library refused a derived key")]
    Library,
}

/// Keys and per-source state of one direction: either all that we send or all that we receive under one master key.
///
/// Both rely on the index that RFC 3711 section 3.3.1 estimates from the sequence number, so a sender may pass on
/// packets in the order in which they came.
#[derive(Debug)]
pub struct Context {
    rtp: Cipher,
    rtcp: Cipher,
    sources: Sources,
}

/// State of the sources seen, in a table of fixed size.
#[derive(Debug, Default)]
struct Sources {
    slots: [Source; MAX_SOURCES],
    used: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Source {
    ssrc: Ssrc,
    rtp: Window,
    rtcp: Window,
}

impl Context {
    /// Derive and schedule the session keys of a master key and salt, whose lengths are the profile's
    /// [`key_bytes`](SrtpProfile::key_bytes) and [`salt_bytes`](SrtpProfile::salt_bytes).
    pub fn new(profile: SrtpProfile, master_key: &[u8], master_salt: &[u8]) -> Result<Self, Error> {
        if master_key.len() != profile.key_bytes() || master_salt.len() != profile.salt_bytes() {
            return Err(Error::KeyLength);
        }
        let kdf = Kdf::new(master_key, master_salt)?;
        Ok(Self {
            rtp: Cipher::new(profile, &kdf, Usage::Rtp)?,
            rtcp: Cipher::new(profile, &kdf, Usage::Rtcp)?,
            sources: Sources::default(),
        })
    }

    /// Encrypt and authenticate the RTP packet in `buf[..len]`.   RFC 3711 section 3.3, RFC 7714 section 8.
    ///
    /// `buf` needs room for [`MAX_TRAILER_BYTES`] behind the packet. Returns the SRTP packet's length. Drops
    /// `SrtpReplay` and `SrtpTooOld` for a sequence number that was sent already or may have been: protecting another
    /// packet under its index would give both away.
    pub fn protect_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, DropReason> {
        let (protected, pending) = self.encrypt_rtp(buf, len)?;
        let packet = buf.get_mut(..protected);
        let message = pending.as_ref().zip(packet).and_then(|(pending, packet)| pending.message(packet));
        mac::sign(Backend::detect(), message);
        Ok(protected)
    }

    /// Does as [`protect_rtp`](Self::protect_rtp), but for the tag of a counter-mode profile: that is left to be computed
    /// with those of other packets.
    ///
    /// Returns the SRTP packet's length, and what its tag will be made of. The index is used up at once.
    pub fn encrypt_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<(usize, Option<Pending>), DropReason> {
        let (header_bytes, ssrc, seq) = read_rtp(buf.get(..len).ok_or(DropReason::SrtpMalformed)?)?;
        let (mut source, slot) = self.sources.find(ssrc)?;
        let index = rtp_index(source.rtp, seq)?;
        let protected = len + self.rtp.rtp_trailer_bytes();
        let packet = buf.get_mut(..protected).ok_or(DropReason::BufferTooSmall)?;
        let pending = self.rtp.seal_rtp(packet, header_bytes, (ssrc, index))?;
        source.rtp.accept(index);
        self.sources.store(slot, source);
        Ok((protected, pending))
    }

    /// Authenticate and decrypt the SRTP packet that fills `buf`.   RFC 3711 section 3.3, RFC 7714 section 8.
    ///
    /// Returns the length of the RTP packet that now stands at the front of `buf`. Drops, besides malformed packets,
    /// `SrtpReplay`, `SrtpTooOld` and `SrtpAuthentication`; `buf` is then garbled and no state has changed.
    pub fn unprotect_rtp(&mut self, buf: &mut [u8]) -> Result<usize, DropReason> {
        self.unprotect_rtp_foreseen(buf, None)
    }

    /// Does as [`unprotect_rtp`](Self::unprotect_rtp), and takes the tag that the packet must have from a forecast that
    /// was made for these very bytes, if that still holds.
    pub fn unprotect_rtp_foreseen(&mut self, buf: &mut [u8], forecast: Option<&Forecast>) -> Result<usize, DropReason> {
        let len = buf.len().checked_sub(self.rtp.rtp_trailer_bytes()).ok_or(DropReason::SrtpMalformed)?;
        let (header_bytes, ssrc, seq) = read_rtp(buf.get(..len).ok_or(DropReason::SrtpMalformed)?)?;
        let (mut source, slot) = self.sources.find(ssrc)?;
        let index = rtp_index(source.rtp, seq)?;
        self.rtp.open_rtp(buf, header_bytes, (ssrc, index), forecast)?;
        source.rtp.accept(index);
        self.sources.store(slot, source);
        Ok(len)
    }

    /// What the tag of the SRTP packet that fills `buf` must be made of, as far as the packets before it tell.
    ///
    /// None where there is nothing to compute ahead: GCM, and packets that would be dropped unheard.
    #[must_use]
    pub fn foresee_rtp(&self, buf: &[u8]) -> Option<Forecast> {
        let len = buf.len().checked_sub(self.rtp.rtp_trailer_bytes())?;
        let (_, ssrc, seq) = read_rtp(buf.get(..len)?).ok()?;
        let (source, _) = self.sources.find(ssrc).ok()?;
        self.rtp.rtp_code(rtp_index(source.rtp, seq).ok()?).map(Forecast::new)
    }

    /// Encrypt and authenticate the compound RTCP packet in `buf[..len]`.   RFC 3711 section 3.4, RFC 7714 section 9.
    ///
    /// `buf` needs room for [`MAX_TRAILER_BYTES`] behind the packet. Returns the SRTCP packet's length.
    pub fn protect_rtcp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, DropReason> {
        let ssrc = read_rtcp(buf.get(..len).ok_or(DropReason::SrtpMalformed)?)?;
        let (mut source, slot) = self.sources.find(ssrc)?;
        let index = source.rtcp.next();
        let wire_index = u32::try_from(index).ok().filter(|_| index <= MAX_RTCP_INDEX);
        let wire_index = wire_index.ok_or(DropReason::SrtpKeyExhausted)?;
        let protected = len + self.rtcp.rtcp_trailer_bytes();
        let packet = buf.get_mut(..protected).ok_or(DropReason::BufferTooSmall)?;
        self.rtcp.seal_rtcp(packet, ssrc, wire_index)?;
        source.rtcp.accept(index);
        self.sources.store(slot, source);
        Ok(protected)
    }

    /// Authenticate and decrypt the SRTCP packet that fills `buf`.   RFC 3711 section 3.4, RFC 7714 section 9.
    ///
    /// Returns the length of the RTCP packet that now stands at the front of `buf`. Drops as
    /// [`unprotect_rtp`](Self::unprotect_rtp) does, and `SrtcpNotEncrypted` for a packet whose E flag is not set.
    pub fn unprotect_rtcp(&mut self, buf: &mut [u8]) -> Result<usize, DropReason> {
        let len = buf.len().checked_sub(self.rtcp.rtcp_trailer_bytes()).ok_or(DropReason::SrtpMalformed)?;
        let ssrc = read_rtcp(buf.get(..len).ok_or(DropReason::SrtpMalformed)?)?;
        let (is_encrypted, index) = self.rtcp.rtcp_index(buf)?;
        if !is_encrypted {
            return Err(DropReason::SrtcpNotEncrypted);
        }
        let (mut source, slot) = self.sources.find(ssrc)?;
        source.rtcp.check(index.into())?;
        self.rtcp.open_rtcp(buf, ssrc, index)?;
        source.rtcp.accept(index.into());
        self.sources.store(slot, source);
        Ok(len)
    }
}

impl Sources {
    /// A copy of the source's state and the slot that it belongs to; fresh state if it is new.
    ///
    /// Nothing is kept until [`store`](Self::store), so a forged packet leaves no trace. Drops `SrtpSources` when the
    /// table is full: to forget a source would open its replay window.
    fn find(&self, ssrc: Ssrc) -> Result<(Source, usize), DropReason> {
        let known = self.slots.iter().take(self.used).position(|source| source.ssrc == ssrc);
        let slot = known.unwrap_or(self.used);
        let source = self.slots.get(slot).ok_or(DropReason::SrtpSources)?;
        Ok((Source { ssrc, ..*source }, slot))
    }

    fn store(&mut self, slot: usize, source: Source) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = source;
            self.used = self.used.max(slot + 1);
        }
    }
}

/// The packet index nearest to the highest one, if it is new.   RFC 3711 section 3.3.1.
///
/// A source begins with rollover counter 0, and before it has rolled over once there is nothing below 0 to belong to.
fn rtp_index(window: Window, seq: u16) -> Result<u64, DropReason> {
    let first_cycle = u64::from(seq);
    let index = window.highest().map_or(first_cycle, |highest| {
        let [.., high, low] = highest.to_be_bytes();
        let distance = seq.wrapping_sub(u16::from_be_bytes([high, low])).cast_signed();
        highest.checked_add_signed(distance.into()).unwrap_or(first_cycle)
    });
    if index > MAX_RTP_INDEX {
        return Err(DropReason::SrtpKeyExhausted);
    }
    window.check(index)?;
    Ok(index)
}

/// Header length with CSRCs and extension, source, sequence number.   RFC 3550 section 5.1.
fn read_rtp(packet: &[u8]) -> Result<(usize, Ssrc, u16), DropReason> {
    let (fixed, rest) = packet.split_first_chunk::<12>().ok_or(DropReason::SrtpMalformed)?;
    let [flags, _, s0, s1, _, _, _, _, i0, i1, i2, i3] = *fixed;
    let csrc_bytes = 4 * usize::from(flags & 0x0f);
    let mut header_bytes = fixed.len() + csrc_bytes;
    if flags & 0x10 != 0 {
        let extension = rest.get(csrc_bytes..).and_then(|rest| rest.first_chunk::<4>());
        let [_, _, high, low] = *extension.ok_or(DropReason::SrtpMalformed)?;
        header_bytes += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
    }
    if flags >> 6 != 2 || header_bytes > packet.len() {
        return Err(DropReason::SrtpMalformed);
    }
    Ok((header_bytes, Ssrc(u32::from_be_bytes([i0, i1, i2, i3])), u16::from_be_bytes([s0, s1])))
}

/// The sender of a compound's first packet.   RFC 3550 section 6.1.
fn read_rtcp(packet: &[u8]) -> Result<Ssrc, DropReason> {
    match packet.first_chunk::<RTCP_CLEAR_BYTES>() {
        Some(&[flags, _, _, _, i0, i1, i2, i3]) if flags >> 6 == 2 => Ok(Ssrc(u32::from_be_bytes([i0, i1, i2, i3]))),
        _ => Err(DropReason::SrtpMalformed),
    }
}
