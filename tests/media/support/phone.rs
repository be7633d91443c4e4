//! A peer that speaks plain RTP: the SIP side, or a stranger.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use trunkline_media::endpoint::{Remote, Security};
use trunkline_media::net::{Pt, SeqNo, Ssrc};
use trunkline_media::rtp::Header;

/// One received RTP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        let header = Header::parse(data).ok()?;
        let payload = header.payload_of(data).to_vec();
        Some(Self { header, payload })
    }
}

/// A pair of sockets and the numbers of the stream that it sends.
pub(crate) struct Phone {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    pub(crate) ssrc: Ssrc,
    pub(crate) seq: SeqNo,
    pub(crate) timestamp: u32,
}

impl Phone {
    #[expect(clippy::disallowed_methods, reason = "a peer has sockets of its own")]
    pub(crate) fn new(ip: IpAddr) -> Self {
        let socket = || {
            let socket = UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        Self { rtp: socket(), rtcp: socket(), ssrc: Ssrc(0x5151_0000), seq: SeqNo(100), timestamp: 7_000 }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.rtp.local_addr().unwrap()
    }

    /// What its SDP says.
    pub(crate) fn remote(&self) -> Remote {
        Remote::Rtp {
            rtp: self.address(),
            rtcp: self.rtcp.local_addr().unwrap(),
            is_muxed: false,
            security: Security::Clear,
        }
    }

    /// Sends one packet that takes `step` timestamp units.
    pub(crate) fn send(&mut self, to: SocketAddr, pt: Pt, step: u32, payload: &[u8]) {
        self.send_marked(to, pt, (self.timestamp, false), payload);
        self.timestamp = self.timestamp.wrapping_add(step);
    }

    /// Sends one packet with a timestamp and marker of the caller's.
    pub(crate) fn send_marked(&mut self, to: SocketAddr, pt: Pt, (timestamp, marker): (u32, bool), payload: &[u8]) {
        let packet = self.packet(pt, (timestamp, marker), payload);
        self.rtp.send_to(&packet, to).unwrap();
    }

    /// The next packet of the stream.
    pub(crate) fn packet(&mut self, pt: Pt, (timestamp, marker): (u32, bool), payload: &[u8]) -> Vec<u8> {
        let header = Header { marker, ..Header::new(pt, self.seq, timestamp, self.ssrc) };
        self.seq = self.seq.next();
        let mut packet = vec![0; 12];
        header.write(&mut packet).unwrap();
        packet.extend(payload);
        packet
    }

    /// RTP packets that have arrived.
    pub(crate) fn received(&self) -> Vec<Packet> {
        datagrams(&self.rtp).iter().filter_map(|data| Packet::parse(data)).collect()
    }
}

/// Datagrams that have arrived at a socket that does not block.
pub(crate) fn datagrams(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = [0; 2_048];
    loop {
        match socket.recv(&mut buffer) {
            Ok(len) => all.push(buffer[..len].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return all,
            // An earlier datagram met a closed port.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => panic!("{error}"),
        }
    }
}
