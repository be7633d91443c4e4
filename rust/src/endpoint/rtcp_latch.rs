//! Which address the RTCP of a plain RTP stream comes from and goes to, when it does not share the port of RTP.
//!
//! Whoever RTCP is sent to learns when and how much is spoken, so its address is learned as carefully as that of RTP:
//!
//! - the signalled address is taken at once; once RTP was learned at another host, it is the port above RTP's there;
//! - another port of the host that RTP comes from, after [`CONFIRMATIONS`] packets of one source in a row.
//!
//! It is locked then, until signalling names another address. RFC 3605, RFC 4961.

use std::net::SocketAddr;

use crate::error::DropReason;
use crate::net::Ssrc;

use super::latch::Latch;

/// Packets in a row by which another port is confirmed: about ten seconds of reports.
const CONFIRMATIONS: u8 = 3;

/// Learns and guards the source of one stream's RTCP.
#[derive(Debug)]
pub(super) struct RtcpLatch {
    signalled: SocketAddr,
    locked: Option<SocketAddr>,
    candidate: Option<Candidate>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    address: SocketAddr,
    ssrc: Ssrc,
    confirmations: u8,
}

impl RtcpLatch {
    /// Waits for packets of the far side whose SDP named `signalled`, or implied it.
    pub(super) fn new(signalled: SocketAddr) -> Self {
        Self { signalled, locked: None, candidate: None }
    }

    /// Signalling named an address again; the same one keeps the lock, unless RTP is to come from elsewhere.
    pub(super) fn signal(&mut self, signalled: SocketAddr, is_rtp_another: bool) {
        if signalled != self.signalled || is_rtp_another {
            *self = Self::new(signalled);
        }
    }

    /// Where to send, with RTP as `rtp` has learned it. None while that is unspecified (an old-style hold).
    pub(super) fn destination(&self, rtp: &Latch) -> Option<SocketAddr> {
        let expected = self.expected(rtp);
        let address = self.locked_at(expected).unwrap_or(expected);
        (!address.ip().is_unspecified() && address.port() != 0).then_some(address)
    }

    /// Judges whether a packet of this source could be admitted; changes nothing.
    pub(super) fn consider(&self, rtp: &Latch, source: SocketAddr) -> Result<(), DropReason> {
        let expected = self.expected(rtp);
        let is_possible = match self.locked_at(expected) {
            Some(locked) => source == locked,
            None => source == expected || is_host_of(rtp, source),
        };
        if is_possible { Ok(()) } else { Err(DropReason::UnverifiedSource) }
    }

    /// Judges the source of one RTCP packet that `ssrc` sent.
    ///
    /// Drops `UnverifiedSource` for a stranger, and for a port that is not yet confirmed.
    pub(super) fn admit(&mut self, rtp: &Latch, source: SocketAddr, ssrc: Ssrc) -> Result<(), DropReason> {
        let expected = self.expected(rtp);
        if let Some(locked) = self.locked_at(expected) {
            return if source == locked { Ok(()) } else { Err(DropReason::UnverifiedSource) };
        }
        if source == expected || (is_host_of(rtp, source) && self.confirm(source, ssrc) >= CONFIRMATIONS) {
            self.locked = Some(source);
            return Ok(());
        }
        Err(DropReason::UnverifiedSource)
    }

    /// The signalled address. Behind a NAT it means nothing, so that the port above RTP's is the best guess.
    fn expected(&self, rtp: &Latch) -> SocketAddr {
        let learned = rtp.locked().filter(|locked| locked.ip() != rtp.signalled().ip());
        let above = learned.and_then(|locked| Some(SocketAddr::new(locked.ip(), locked.port().checked_add(1)?)));
        above.unwrap_or(self.signalled)
    }

    /// The lock, if it is of the host that RTCP belongs to since RTP was learned.
    fn locked_at(&self, expected: SocketAddr) -> Option<SocketAddr> {
        self.locked.filter(|locked| locked.ip() == expected.ip())
    }

    /// Counts one packet and returns how many came in a row from one address and one source.
    fn confirm(&mut self, address: SocketAddr, ssrc: Ssrc) -> u8 {
        let confirmations = match self.candidate {
            Some(known) if known.address == address && known.ssrc == ssrc => known.confirmations.saturating_add(1),
            _ => 1,
        };
        self.candidate = Some(Candidate { address, ssrc, confirmations });
        confirmations
    }
}

/// Whether RTP was learned to come from this host.
fn is_host_of(rtp: &Latch, source: SocketAddr) -> bool {
    rtp.locked().is_some_and(|locked| locked.ip() == source.ip())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::net::{Pt, SeqNo};
    use crate::rtp::Header;

    const DROP: Result<(), DropReason> = Err(DropReason::UnverifiedSource);

    struct Scene {
        rtp: Latch,
        rtcp: RtcpLatch,
        start: Instant,
    }

    impl Scene {
        fn new(rtp: &str, rtcp: &str) -> Self {
            #[expect(clippy::disallowed_methods, reason = "a test needs some first instant")]
            let start = Instant::now();
            Self { rtp: Latch::new(start, address(rtp)), rtcp: RtcpLatch::new(address(rtcp)), start }
        }

        /// So much RTP from one address that the latch takes it, if it ever does.
        fn hear_rtp(&mut self, source: &str) {
            for seq in 0..40_u16 {
                let now = self.start + Duration::from_millis(20 * u64::from(seq));
                let _ = self.rtp.admit(now, address(source), &Header::new(Pt(0), SeqNo(seq), 0, Ssrc(1)));
            }
        }

        fn packet(&mut self, source: &str) -> Result<(), DropReason> {
            self.rtcp.admit(&self.rtp, address(source), Ssrc(1))
        }

        fn destination(&self) -> Option<SocketAddr> {
            self.rtcp.destination(&self.rtp)
        }
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_signalled_address_is_taken_at_once_and_no_other_port_of_its_host_afterwards() {
        let mut scene = Scene::new("192.0.2.1:4000", "192.0.2.1:4001");
        scene.hear_rtp("192.0.2.1:4000");
        assert_eq!(scene.packet("192.0.2.1:4001"), Ok(()));
        for _ in 0..10 {
            assert_eq!(scene.packet("192.0.2.1:7777"), DROP);
        }
        assert_eq!(scene.destination(), Some(address("192.0.2.1:4001")));
    }

    #[test]
    fn reports_may_come_and_go_at_another_host_if_the_sdp_says_so() {
        let mut scene = Scene::new("192.0.2.1:4000", "192.0.2.9:5005");
        assert_eq!(scene.packet("192.0.2.9:5005"), Ok(()));
        assert_eq!(scene.destination(), Some(address("192.0.2.9:5005")));
    }

    #[test]
    fn another_port_of_the_host_of_rtp_is_followed_when_it_persists_and_never_before_rtp() {
        let mut scene = Scene::new("192.0.2.1:4000", "192.0.2.1:4001");
        for _ in 0..10 {
            assert_eq!(scene.packet("192.0.2.1:7777"), DROP, "who sends RTP is not known yet");
        }
        scene.hear_rtp("192.0.2.1:4000");
        assert_eq!([(); 2].map(|()| scene.packet("192.0.2.1:7777")), [DROP; 2]);
        assert_eq!(scene.destination(), Some(address("192.0.2.1:4001")));
        assert_eq!(scene.packet("203.0.113.66:7777"), DROP, "a stranger does not disturb the count");
        assert_eq!(scene.packet("192.0.2.1:7777"), Ok(()));
        assert_eq!(scene.destination(), Some(address("192.0.2.1:7777")));
    }

    #[test]
    fn behind_a_nat_reports_go_above_the_learned_port_or_where_they_come_from() {
        let mut scene = Scene::new("192.168.1.5:4000", "192.168.1.5:4001");
        assert_eq!(scene.packet("192.168.1.5:4001"), Ok(()));
        scene.hear_rtp("203.0.113.9:61000");
        assert_eq!(scene.destination(), Some(address("203.0.113.9:61001")));
        assert_eq!(scene.packet("192.168.1.5:4001"), DROP, "means another machine here");
        assert_eq!([(); 3].map(|()| scene.packet("203.0.113.9:50123")), [DROP, DROP, Ok(())]);
        assert_eq!(scene.destination(), Some(address("203.0.113.9:50123")));
    }

    #[test]
    fn signalling_of_another_address_lifts_the_lock_and_a_repetition_keeps_it() {
        let mut scene = Scene::new("192.0.2.1:4000", "192.0.2.1:4001");
        assert_eq!(scene.packet("192.0.2.1:4001"), Ok(()));
        scene.rtcp.signal(address("192.0.2.1:4001"), false);
        assert_eq!(scene.rtcp.locked, Some(address("192.0.2.1:4001")));
        scene.rtcp.signal(address("192.0.2.1:4003"), false);
        assert_eq!(scene.packet("192.0.2.1:4001"), DROP);
        assert_eq!(scene.packet("192.0.2.1:4003"), Ok(()));
        scene.rtcp.signal(address("192.0.2.1:4003"), true);
        assert_eq!(scene.rtcp.locked, None);
    }

    #[test]
    fn an_old_style_hold_sends_nowhere() {
        assert_eq!(Scene::new("0.0.0.0:4000", "0.0.0.0:4001").destination(), None);
    }
}
