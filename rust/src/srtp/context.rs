//! The crypto context of one direction.   RFC 3711 section 3.2.3.

use crate::error::DropReason;
use crate::net::SrtpProfile as Profile;

/// Most bytes that protection adds behind a packet: SRTCP index and a tag of 16 bytes.
pub const MAX_TRAILER_BYTES: usize = 20;

/// Sources under one key that a context keeps state for.
pub const MAX_SOURCES: usize = 8;

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
#[derive(Debug)]
pub struct Context {}

impl Context {
    /// Derive the session keys of a master key and salt.
    pub fn new(profile: Profile, master_key: &[u8], master_salt: &[u8]) -> Result<Self, Error> {
        let _ = (profile, master_key, master_salt);
        todo!()
    }

    /// Encrypt and authenticate the RTP packet in `buf[..len]`; returns its new length.
    ///
    /// `buf` needs room for [`MAX_TRAILER_BYTES`] behind the packet.
    pub fn protect_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, DropReason> {
        let _ = (buf, len);
        todo!()
    }

    /// Authenticate and decrypt the SRTP packet that fills `buf`; returns the length of the RTP packet at its front.
    pub fn unprotect_rtp(&mut self, buf: &mut [u8]) -> Result<usize, DropReason> {
        let _ = buf;
        todo!()
    }

    /// Encrypt and authenticate the compound RTCP packet in `buf[..len]`; returns its new length.
    pub fn protect_rtcp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, DropReason> {
        let _ = (buf, len);
        todo!()
    }

    /// Authenticate and decrypt the SRTCP packet that fills `buf`; returns the length of the RTCP packet at its front.
    pub fn unprotect_rtcp(&mut self, buf: &mut [u8]) -> Result<usize, DropReason> {
        let _ = buf;
        todo!()
    }
}
