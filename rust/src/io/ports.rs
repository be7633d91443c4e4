//! The range of UDP ports for RTP: random choice, even/odd pairs, and rest after use.
//!
//! Each worker owns its own share of the range, so that no lock is needed. A port is random so that it cannot be
//! guessed, and rests in quarantine after use so that late packets of the last call do not reach the next one.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::{SocketOptions, UdpSocket};

/// Ports that may turn out to be taken by somebody else before an allocation gives up.
const BIND_ATTEMPTS: usize = 64;

/// Kernel buffer of one endpoint's socket: a second of audio in a burst.
const SOCKET_BUFFER_BYTES: usize = 64 * 1024;

/// The sockets of one plain RTP endpoint. `rtcp` is `None` when RTCP shares the RTP port.
#[derive(Debug)]
pub struct RtpSockets {
    /// Bound to an even port.
    pub rtp: UdpSocket,
    /// Bound to the odd port above it.
    pub rtcp: Option<UdpSocket>,
}

/// One worker's share of the port range. A unit is an even port and the odd one above it.
#[derive(Debug)]
pub struct PortAllocator {
    ip: IpAddr,
    free: Vec<u16>,
    resting: VecDeque<(Instant, u16)>,
    in_use: usize,
    quarantine: Duration,
    options: SocketOptions,
}

impl PortAllocator {
    /// The share of worker `worker` of `workers` in the ports `first..=last`.
    ///
    /// Pairs are dealt out like cards, so shares differ by one pair at most. Ports that do not form an even/odd
    /// pair inside the range are not used.
    #[must_use]
    pub fn new(ip: IpAddr, range: (u16, u16), share: (usize, usize), quarantine: Duration) -> Self {
        let (first, last) = range;
        let (worker, workers) = share;
        let free: Vec<u16> = (first..last)
            .filter(|port| port % 2 == 0)
            .enumerate()
            .filter(|(index, _)| index % workers.max(1) == worker)
            .map(|(_, port)| port)
            .collect();
        let resting = VecDeque::with_capacity(free.len());
        let options = SocketOptions { buffer_bytes: SOCKET_BUFFER_BYTES, dscp: 0 };
        Self { ip, free, resting, in_use: 0, quarantine, options }
    }

    /// The same, with sockets that mark what they send (RFC 2474).
    #[must_use]
    pub fn with_dscp(self, dscp: u8) -> Self {
        Self { options: SocketOptions { dscp, ..self.options }, ..self }
    }

    /// Binds a random free pair, or only its even port when `is_muxed`.
    ///
    /// random: a source of uniformly distributed numbers, which must not be predictable from outside. A pair that
    /// another program holds goes into quarantine and the next is tried. Fails with `AddrNotAvailable` when no pair
    /// is free.
    pub fn allocate(
        &mut self,
        now: Instant,
        is_muxed: bool,
        mut random: impl FnMut() -> u32,
    ) -> io::Result<RtpSockets> {
        self.reclaim(now);
        for _ in 0..BIND_ATTEMPTS {
            let Ok(count @ 1..) = u32::try_from(self.free.len()) else { break };
            let index = usize::try_from(random() % count).unwrap_or(0);
            let port = self.free.swap_remove(index);
            match self.bind(port, is_muxed) {
                Ok(sockets) => {
                    self.in_use += 1;
                    return Ok(sockets);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    self.resting.push_back((now + self.quarantine, port));
                }
                Err(error) => {
                    self.free.push(port);
                    return Err(error);
                }
            }
        }
        Err(io::Error::from(io::ErrorKind::AddrNotAvailable))
    }

    /// Lets a pair rest whose sockets are closed. port: the even one.
    pub fn release(&mut self, now: Instant, port: u16) {
        self.in_use = self.in_use.saturating_sub(1);
        self.resting.push_back((now + self.quarantine, port));
    }

    /// Pairs that could be had at `now`.
    pub fn available(&mut self, now: Instant) -> usize {
        self.reclaim(now);
        self.free.len()
    }

    /// Pairs bound by endpoints.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Pairs at rest, as of the last allocation.
    #[must_use]
    pub fn resting(&self) -> usize {
        self.resting.len()
    }

    fn bind(&self, port: u16, is_muxed: bool) -> io::Result<RtpSockets> {
        let rtp = UdpSocket::bind(SocketAddr::new(self.ip, port), self.options)?;
        let rtcp = if is_muxed {
            None
        } else {
            // An even port is never the highest, so the sum stays in range.
            Some(UdpSocket::bind(SocketAddr::new(self.ip, port | 1), self.options)?)
        };
        Ok(RtpSockets { rtp, rtcp })
    }

    fn reclaim(&mut self, now: Instant) {
        while self.resting.front().is_some_and(|(rested_at, _)| *rested_at <= now) {
            self.free.extend(self.resting.pop_front().map(|(_, port)| port));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const QUARANTINE: Duration = Duration::from_secs(10);

    fn now() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a test needs some first instant")]
        Instant::now()
    }

    /// A range that no other test uses: ports are a resource of the whole machine.
    fn allocator(first: u16, last: u16) -> PortAllocator {
        PortAllocator::new(Ipv4Addr::new(127, 0, 0, 2).into(), (first, last), (0, 1), QUARANTINE)
    }

    #[test]
    fn pairs_are_even_and_the_port_above() {
        let mut ports = allocator(25_011, 25_019);
        let mut seen = Vec::new();
        let mut held = Vec::new();
        while let Ok(sockets) = ports.allocate(now(), false, || 1) {
            let rtp = sockets.rtp.local().port();
            assert_eq!(sockets.rtcp.as_ref().unwrap().local().port(), rtp + 1);
            seen.push(rtp);
            held.push(sockets);
        }
        seen.sort_unstable();
        assert_eq!(seen, [25_012, 25_014, 25_016, 25_018]);
    }

    #[test]
    fn a_used_up_range_recovers_only_after_quarantine() {
        let mut ports = allocator(25_020, 25_021);
        let start = now();
        let sockets = ports.allocate(start, false, || 0).unwrap();
        assert_eq!(ports.allocate(start, false, || 0).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);

        let port = sockets.rtp.local().port();
        drop(sockets);
        ports.release(start, port);
        let almost = start + Duration::from_millis(9_999);
        assert!(ports.allocate(almost, false, || 0).is_err());
        assert_eq!((ports.in_use(), ports.resting()), (0, 1));
        assert!(ports.allocate(start + QUARANTINE, false, || 0).is_ok());
        assert_eq!((ports.in_use(), ports.resting()), (1, 0));
    }

    #[test]
    fn a_port_held_by_another_program_is_passed_over() {
        let mut ports = allocator(25_030, 25_033);
        let stranger = UdpSocket::bind("127.0.0.2:25031".parse().unwrap(), allocator(1, 2).options).unwrap();
        let sockets = ports.allocate(now(), false, || 0).unwrap();
        assert_eq!(sockets.rtp.local().port(), 25_032);
        drop(stranger);
    }

    #[test]
    fn shares_of_the_workers_do_not_overlap() {
        let share = |worker| PortAllocator::new(Ipv4Addr::LOCALHOST.into(), (26_000, 26_019), (worker, 3), QUARANTINE);
        let mut all: Vec<u16> = (0..3).flat_map(|worker| share(worker).free).collect();
        assert_eq!(all.len(), 10);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 10);
    }
}
