//! The SRTP of one endpoint: what it sends and what it receives under the keys of the moment.   RFC 3711.
//!
//! Owns both directions' contexts and what happens to them when keys change. A direction whose key stays goes on with
//! its rollover counter and replay window: to begin it anew would use the same keystream twice and let old packets in
//! again. Must not know how keys are agreed, nor where packets come from.

use std::time::{Duration, Instant};

use crate::error::DropReason;
use crate::mac::Pending;
use crate::net::{DATAGRAM_BYTES, SrtpKeys, SrtpProfile};
use crate::srtp::{Context, Error, Forecast};

use super::{CloseReason, Event, Events};

/// How long packets under the keys of before are taken beside the new ones: they were on their way when keys changed,
/// or the far side has not learned yet that its offer was taken.
const TRANSITION: Duration = Duration::from_secs(5);

/// Both directions under their keys.
pub(super) struct Protection {
    keys: SrtpKeys,
    inbound: Context,
    outbound: Context,
    previous: Option<Previous>,
}

/// What the far side used until its key changed.
struct Previous {
    inbound: Context,
    until: Instant,
}

impl Protection {
    /// Schedules the keys. Fails if one is not of its profile's length.
    pub(super) fn new(keys: SrtpKeys) -> Result<Self, Error> {
        let inbound = inbound(&keys)?;
        let outbound = outbound(&keys)?;
        Ok(Self { keys, inbound, outbound, previous: None })
    }

    /// Puts keys into use: for the first time if `slot` is empty, else in the directions whose key is another one.
    pub(super) fn install(slot: &mut Option<Box<Self>>, now: Instant, keys: SrtpKeys) -> Result<(), Error> {
        match slot {
            Some(protection) => protection.renew(now, keys)?,
            None => *slot = Some(Box::new(Self::new(keys)?)),
        }
        Ok(())
    }

    /// Puts the keys of a DTLS association into use, and tells so.
    pub(super) fn connect(slot: &mut Option<Box<Self>>, now: Instant, keys: SrtpKeys, events: &mut Events) {
        let profile = keys.profile;
        if Self::install(slot, now, keys).is_ok() {
            events.push_back(Event::DtlsConnected(profile.name()));
        } else {
            events.push_back(Event::DtlsFailed("srtp_keys"));
            events.push_back(Event::Closed(CloseReason::DtlsFailed));
        }
    }

    fn renew(&mut self, now: Instant, keys: SrtpKeys) -> Result<(), Error> {
        let is_same = self.keys.profile == keys.profile;
        let is_inbound_same =
            is_same && self.keys.remote_key == keys.remote_key && self.keys.remote_salt == keys.remote_salt;
        let is_outbound_same =
            is_same && self.keys.local_key == keys.local_key && self.keys.local_salt == keys.local_salt;
        let renewed = (!is_inbound_same).then(|| inbound(&keys)).transpose()?;
        if !is_outbound_same {
            self.outbound = outbound(&keys)?;
        }
        if let Some(renewed) = renewed {
            let inbound = std::mem::replace(&mut self.inbound, renewed);
            self.previous = Some(Previous { inbound, until: now + TRANSITION });
        }
        self.keys = keys;
        Ok(())
    }

    /// How packets are protected.
    pub(super) fn profile(&self) -> SrtpProfile {
        self.keys.profile
    }

    /// What the tag of the RTP packet that fills `data` must be made of, under the newest key.
    pub(super) fn foresee_rtp(&self, data: &[u8]) -> Option<Forecast> {
        self.inbound.foresee_rtp(data)
    }

    /// Decrypts the RTP packet that fills `data`, in place; its length. forecast: made for these bytes, if at all.
    pub(super) fn unprotect_rtp(
        &mut self,
        now: Instant,
        data: &mut [u8],
        forecast: Option<&Forecast>,
    ) -> Result<usize, DropReason> {
        if self.previous.is_none() {
            return self.inbound.unprotect_rtp_foreseen(data, forecast);
        }
        self.unprotect_either(now, data, Context::unprotect_rtp)
    }

    /// Decrypts the RTCP packet that fills `data`, in place; its length.
    pub(super) fn unprotect_rtcp(&mut self, now: Instant, data: &mut [u8]) -> Result<usize, DropReason> {
        if self.previous.is_none() {
            return self.inbound.unprotect_rtcp(data);
        }
        self.unprotect_either(now, data, Context::unprotect_rtcp)
    }

    /// Encrypts the RTP packet in `buffer[..len]`; its tag may be left to the outbox.
    pub(super) fn encrypt_rtp(
        &mut self,
        buffer: &mut [u8],
        len: usize,
    ) -> Result<(usize, Option<Pending>), DropReason> {
        self.outbound.encrypt_rtp(buffer, len)
    }

    /// Encrypts the RTCP packet in `buffer[..len]`.
    pub(super) fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, DropReason> {
        self.outbound.protect_rtcp(buffer, len)
    }

    /// Decrypts under the new key or, until it has shown itself, under the one of before.
    fn unprotect_either(
        &mut self,
        now: Instant,
        data: &mut [u8],
        unprotect: fn(&mut Context, &mut [u8]) -> Result<usize, DropReason>,
    ) -> Result<usize, DropReason> {
        // A failed attempt garbles its buffer, so that the first one works on a copy.
        let mut copy = [0; DATAGRAM_BYTES];
        let trial = copy.get_mut(..data.len()).ok_or(DropReason::Oversize)?;
        trial.copy_from_slice(data);
        match (unprotect(&mut self.inbound, trial), &mut self.previous) {
            (Ok(len), _) => {
                data.copy_from_slice(trial);
                self.previous = None;
                Ok(len)
            }
            (Err(_), Some(previous)) if now < previous.until => unprotect(&mut previous.inbound, data),
            (Err(reason), _) => {
                self.previous = None;
                Err(reason)
            }
        }
    }
}

fn inbound(keys: &SrtpKeys) -> Result<Context, Error> {
    Context::new(keys.profile, &keys.remote_key, &keys.remote_salt)
}

fn outbound(keys: &SrtpKeys) -> Result<Context, Error> {
    Context::new(keys.profile, &keys.local_key, &keys.local_salt)
}
