//! Which address an RTP stream comes from: symmetric RTP under a guard against hijack.
//!
//! The far side's SDP names an address, but a phone behind a NAT sends from another. Following whoever sends first
//! would hand the call to a stranger, so an address is learned only before the first valid packet, only after several
//! packets in sequence, and then it is locked until signalling names a new one:
//!
//! - the signalled address itself is taken at once;
//! - another port of the signalled IP address after [`CONFIRMATIONS`] packets in sequence;
//! - another IP address only if the signalled one is private and the source is not (a phone behind a NAT), only within
//!   [`NAT_WINDOW`] of the signalling, only when the signalled address stayed silent for [`NAT_GRACE`], and only after
//!   [`NAT_CONFIRMATIONS`] packets in sequence.
//!
//! RFC 4961 (symmetric RTP), RFC 7362 (latching and its dangers).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::error::DropReason;
use crate::net::{SeqNo, Ssrc};
use crate::rtp::Header;

/// Packets in sequence by which another port of the signalled IP address is confirmed.
const CONFIRMATIONS: u8 = 4;

/// Packets in sequence by which a source behind a NAT is confirmed.
const NAT_CONFIRMATIONS: u8 = 8;

/// Sources of each kind that are counted at a time.
const CANDIDATES: usize = 4;

/// Silence after which a source that is being counted gives its place up: longer than any packet time.
const FRESH: Duration = Duration::from_millis(250);

/// How long the signalled address itself has the first word.
const NAT_GRACE: Duration = Duration::from_millis(500);

/// How long after signalling another IP address may be learned.
const NAT_WINDOW: Duration = Duration::from_secs(5);

/// Learns and guards the source of one RTP stream.
#[derive(Debug)]
pub(super) struct Latch {
    signalled: SocketAddr,
    armed_at: Instant,
    locked: Option<SocketAddr>,
    // Apart, so that strangers cannot push the signalled host's ports out.
    same_host: Candidates,
    other_host: Candidates,
}

/// Sources that are on their way to be confirmed, each with a count of its own, so that none disturbs another's.
#[derive(Debug, Default)]
struct Candidates([Option<Candidate>; CANDIDATES]);

#[derive(Debug, Clone, Copy)]
struct Candidate {
    address: SocketAddr,
    ssrc: Ssrc,
    next_seq: SeqNo,
    confirmations: u8,
    heard_at: Instant,
}

impl Latch {
    /// Waits for packets of the far side whose SDP named `signalled`.
    pub(super) fn new(now: Instant, signalled: SocketAddr) -> Self {
        let (same_host, other_host) = (Candidates::default(), Candidates::default());
        Self { signalled, armed_at: now, locked: None, same_host, other_host }
    }

    /// Signalling named an address again. Another one than before lifts the lock; the same one keeps it.
    ///
    /// Without a lock everything begins anew, the window for a phone behind a NAT with it: many a phone that was named
    /// in a 183 sends nothing before the 200. Returns whether the address is another one.
    pub(super) fn signal(&mut self, now: Instant, signalled: SocketAddr) -> bool {
        let is_another = signalled != self.signalled;
        if is_another || self.locked.is_none() {
            *self = Self::new(now, signalled);
        }
        is_another
    }

    /// Where to send: the learned address, else the signalled one. None while that is unspecified (an old-style hold).
    pub(super) fn destination(&self) -> Option<SocketAddr> {
        self.locked.or_else(|| self.reachable())
    }

    /// The signalled address, unless it is unspecified.
    pub(super) fn reachable(&self) -> Option<SocketAddr> {
        (!self.signalled.ip().is_unspecified() && self.signalled.port() != 0).then_some(self.signalled)
    }

    /// Judges whether a packet of this source could be admitted, so that no work is done for those that cannot.
    ///
    /// Changes nothing: a packet that must prove to be authentic does so before [`admit`](Self::admit) learns from it.
    pub(super) fn consider(&self, now: Instant, source: SocketAddr) -> Result<(), DropReason> {
        let is_possible = match self.locked {
            Some(locked) => source == locked,
            None => source.ip() == self.signalled.ip() || self.may_be_behind_nat(now, source),
        };
        if is_possible { Ok(()) } else { Err(DropReason::UnverifiedSource) }
    }

    /// Judges the source of one RTP packet, whose payload type was negotiated.
    ///
    /// Drops `UnverifiedSource` for a stranger, and for a source that is not yet confirmed.
    pub(super) fn admit(&mut self, now: Instant, source: SocketAddr, header: &Header) -> Result<(), DropReason> {
        if let Some(locked) = self.locked {
            return if source == locked { Ok(()) } else { Err(DropReason::UnverifiedSource) };
        }
        let is_confirmed = if source == self.signalled {
            true
        } else if source.ip() == self.signalled.ip() {
            self.same_host.confirm(now, source, header) >= CONFIRMATIONS
        } else if self.may_be_behind_nat(now, source) {
            self.other_host.confirm(now, source, header) >= NAT_CONFIRMATIONS
        } else {
            false
        };
        if !is_confirmed {
            return Err(DropReason::UnverifiedSource);
        }
        self.locked = Some(source);
        Ok(())
    }

    /// Judges the source of one RTCP packet on the port of RTP: the address that RTP comes from, or will as signalled.
    pub(super) fn admit_rtcp(&self, source: SocketAddr) -> Result<(), DropReason> {
        let address = self.locked.unwrap_or(self.signalled);
        if source == address { Ok(()) } else { Err(DropReason::UnverifiedSource) }
    }

    /// The address that was learned.
    pub(super) fn locked(&self) -> Option<SocketAddr> {
        self.locked
    }

    /// The address that the SDP named.
    pub(super) fn signalled(&self) -> SocketAddr {
        self.signalled
    }

    fn may_be_behind_nat(&self, now: Instant, source: SocketAddr) -> bool {
        let since_signalled = now.saturating_duration_since(self.armed_at);
        (NAT_GRACE..NAT_WINDOW).contains(&since_signalled)
            && is_private(self.signalled.ip())
            && !is_private(source.ip())
            && !source.ip().is_loopback()
    }
}

impl Candidates {
    /// Counts one packet and returns how many came in sequence from its address and its source.
    ///
    /// A break in the sequence, or silence for [`FRESH`], gives the place up, and nobody is pushed out before: whoever
    /// sprays from many ports may delay a stream, but does not keep it from being counted.
    fn confirm(&mut self, now: Instant, address: SocketAddr, header: &Header) -> u8 {
        let is_stale = |candidate: &Candidate| now.saturating_duration_since(candidate.heard_at) > FRESH;
        let known = self.0.iter_mut().find(|slot| slot.is_some_and(|candidate| candidate.address == address));
        let confirmations = match known {
            Some(slot) => {
                let in_sequence = slot.take_if(|known| known.ssrc == header.ssrc && known.next_seq == header.seq);
                *slot = None;
                match in_sequence {
                    Some(known) => known.confirmations.saturating_add(1),
                    None => return 0,
                }
            }
            None => 1,
        };
        let Some(slot) = self.0.iter_mut().find(|slot| slot.as_ref().is_none_or(is_stale)) else { return 0 };
        let next_seq = header.seq.next();
        *slot = Some(Candidate { address, ssrc: header.ssrc, next_seq, confirmations, heard_at: now });
        confirmations
    }
}

/// Addresses that mean nothing outside their own network (RFC 1918, RFC 6598, RFC 4193).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Pt;

    const DROP: Result<(), DropReason> = Err(DropReason::UnverifiedSource);

    struct Scene {
        latch: Latch,
        start: Instant,
    }

    impl Scene {
        fn new(signalled: &str) -> Self {
            #[expect(clippy::disallowed_methods, reason = "a test needs some first instant")]
            let start = Instant::now();
            Self { latch: Latch::new(start, address(signalled)), start }
        }

        fn signal(&mut self, at_ms: u64, signalled: &str) {
            self.latch.signal(self.start + Duration::from_millis(at_ms), address(signalled));
        }

        fn packet(&mut self, at_ms: u64, source: &str, seq: u16) -> Result<(), DropReason> {
            let header = Header::new(Pt(0), SeqNo(seq), 0, Ssrc(1));
            self.latch.admit(self.start + Duration::from_millis(at_ms), address(source), &header)
        }

        /// A packet every 20 ms; when the first was let through.
        fn first_admitted(&mut self, source: &str, from_ms: u64, to_ms: u64) -> Option<u64> {
            (from_ms..to_ms)
                .step_by(20)
                .zip(100_u16..)
                .find_map(|(at, seq)| self.packet(at, source, seq).ok().map(|()| at))
        }
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_signalled_address_is_locked_by_its_first_packet() {
        let mut scene = Scene::new("192.0.2.1:4000");
        assert_eq!(scene.packet(0, "192.0.2.1:4000", 1), Ok(()));
        assert_eq!(scene.packet(1, "192.0.2.1:4002", 2), DROP);
        assert_eq!(scene.first_admitted("203.0.113.9:4000", 2, 10_000), None);
        assert_eq!(scene.latch.destination(), Some(address("192.0.2.1:4000")));
    }

    #[test]
    fn another_port_of_the_signalled_host_needs_packets_in_sequence() {
        let mut scene = Scene::new("192.0.2.1:4000");
        for seq in [1, 2, 3, 5, 6, 7, 8] {
            assert_eq!(scene.packet(0, "192.0.2.1:5555", seq), DROP);
        }
        assert_eq!(scene.latch.destination(), Some(address("192.0.2.1:4000")));
        assert_eq!(scene.packet(0, "192.0.2.1:5555", 9), Ok(()), "four in a row since the break");
        assert_eq!(scene.latch.destination(), Some(address("192.0.2.1:5555")));
    }

    #[test]
    fn a_stranger_neither_latches_nor_disturbs_the_count() {
        let mut scene = Scene::new("192.0.2.1:4000");
        for seq in 1..4 {
            assert_eq!(scene.packet(0, "192.0.2.1:5555", seq), DROP);
            assert_eq!(scene.packet(0, "203.0.113.9:5555", seq), DROP);
        }
        assert_eq!(scene.packet(0, "192.0.2.1:5555", 4), Ok(()));
        assert_eq!(scene.first_admitted("203.0.113.9:5555", 0, 10_000), None);
    }

    #[test]
    fn whoever_sprays_from_many_ports_does_not_keep_a_phone_behind_a_nat_from_being_learned() {
        let mut scene = Scene::new("192.168.1.5:4000");
        let mut first_admitted = None;
        for number in 0..100_u16 {
            let at = u64::from(number) * 20;
            for port in 5_000..5_010 {
                assert_eq!(scene.packet(at, &format!("203.0.113.66:{port}"), number.wrapping_mul(3)), DROP);
            }
            if scene.packet(at, "203.0.113.9:61000", number).is_ok() {
                first_admitted.get_or_insert(at);
            }
        }
        assert_eq!(first_admitted, Some(680), "two packets later than without them");
    }

    #[test]
    fn a_phone_behind_a_nat_is_followed_only_within_the_window() {
        assert_eq!(Scene::new("192.168.1.5:4000").first_admitted("203.0.113.9:61000", 0, 10_000), Some(640));
        assert_eq!(Scene::new("192.168.1.5:4000").first_admitted("203.0.113.9:61000", 5_000, 20_000), None);
        assert_eq!(Scene::new("192.168.1.5:4000").first_admitted("10.0.0.9:61000", 0, 10_000), None, "private source");
        assert_eq!(Scene::new("198.51.100.7:4000").first_admitted("203.0.113.9:61000", 0, 10_000), None, "public SDP");
        assert_eq!(Scene::new("127.0.0.1:4000").first_admitted("127.0.0.66:61000", 0, 10_000), None, "loopback");
    }

    #[test]
    fn only_signalling_of_another_address_lifts_the_lock() {
        let mut scene = Scene::new("192.0.2.1:4000");
        assert_eq!(scene.packet(0, "192.0.2.1:4000", 1), Ok(()));
        scene.latch.signal(scene.start, address("192.0.2.1:4000"));
        assert_eq!(scene.packet(1, "192.0.2.1:4002", 2), DROP);
        scene.latch.signal(scene.start, address("192.0.2.2:4000"));
        assert_eq!(scene.packet(2, "192.0.2.1:4000", 3), DROP);
        assert_eq!(scene.packet(3, "192.0.2.2:4000", 1), Ok(()));
    }

    #[test]
    fn a_phone_behind_a_nat_that_speaks_only_after_the_answer_is_followed_and_a_stranger_after_it_is_not() {
        let mut scene = Scene::new("192.168.1.5:4000");
        assert_eq!(scene.first_admitted("203.0.113.9:61000", 8_000, 9_000), None, "long after the 183");
        scene.signal(10_000, "192.168.1.5:4000");
        assert_eq!(scene.first_admitted("203.0.113.9:61000", 10_000, 12_000), Some(10_640), "right after the 200");
        scene.signal(12_000, "192.168.1.5:4000");
        assert_eq!(scene.first_admitted("203.0.113.66:5000", 12_000, 20_000), None, "the lock outlives a repetition");
        assert_eq!(scene.packet(20_000, "203.0.113.9:61000", 1), Ok(()));

        scene.signal(30_000, "192.168.1.6:4000");
        assert_eq!(scene.first_admitted("203.0.113.9:62000", 30_000, 36_000), Some(30_640), "the phone moved");
    }

    #[test]
    fn rtcp_that_shares_the_port_is_taken_from_the_address_of_rtp_only() {
        let mut scene = Scene::new("192.168.1.5:4000");
        assert_eq!(scene.latch.admit_rtcp(address("192.168.1.5:4000")), Ok(()));
        assert_eq!(scene.first_admitted("203.0.113.9:61000", 0, 1000), Some(640));
        assert_eq!(scene.latch.admit_rtcp(address("203.0.113.9:61000")), Ok(()));
        assert_eq!(scene.latch.admit_rtcp(address("203.0.113.9:61001")), DROP);
        assert_eq!(scene.latch.admit_rtcp(address("192.168.1.5:4000")), DROP);
    }

    #[test]
    fn an_old_style_hold_sends_nowhere() {
        assert_eq!(Scene::new("0.0.0.0:4000").latch.destination(), None);
        assert_eq!(Scene::new("192.0.2.1:0").latch.destination(), None);
    }
}
