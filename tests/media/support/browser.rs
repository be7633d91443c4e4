//! A browser without a browser: ICE checks, a DTLS client and SRTP, over a socket or in memory.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use trunkline_media::dtls::{Certificate, Event, Fingerprint, Handshake, Role};
use trunkline_media::endpoint::{EndpointId, Remote};
use trunkline_media::ice::stun::{Builder, Class, IntegrityKey};
use trunkline_media::net::{DatagramKind, Pt, SeqNo, Ssrc};
use trunkline_media::rtp::Header;
use trunkline_media::srtp::Context;

use super::phone::{Packet, datagrams};
use super::{Rig, WebPort, now, sleep_until};

/// The protocol side: datagrams in, datagrams out.
pub(crate) struct Client {
    ufrag: String,
    key: IntegrityKey,
    fingerprint: String,
    pub(crate) handshake: Handshake,
    keys: Option<(Context, Context)>,
    pub(crate) profile: Option<&'static str>,
    transactions: u8,
    is_checked: bool,
    pub(crate) ssrc: Ssrc,
    pub(crate) seq: SeqNo,
    pub(crate) timestamp: u32,
}

impl Client {
    /// A browser that knows what the gateway's SDP says.
    pub(crate) fn new(now: Instant, port: &WebPort) -> Self {
        let certificate = Certificate::generate().unwrap();
        let mut handshake = Handshake::new(now, &certificate, Role::Client, Duration::from_secs(10));
        handshake.set_remote_fingerprints(&[Fingerprint::parse("sha-256", &port.fingerprint).unwrap()]);
        Self {
            ufrag: port.ufrag.clone(),
            key: IntegrityKey::new(&port.pwd).unwrap(),
            fingerprint: certificate.fingerprint().to_owned(),
            handshake,
            keys: None,
            profile: None,
            transactions: 0,
            is_checked: false,
            ssrc: Ssrc(0xb0b0_0000),
            seq: SeqNo(2_000),
            timestamp: 90_000,
        }
    }

    /// What its SDP says.
    pub(crate) fn remote(&self) -> Remote {
        let fingerprints = vec![Fingerprint::parse("sha-256", &self.fingerprint).unwrap()];
        Remote::WebRtc { fingerprints, is_dtls_client: true }
    }

    /// An ICE check that nominates.
    pub(crate) fn check(&mut self) -> Vec<u8> {
        self.transactions += 1;
        let mut out = vec![0; 256];
        let len = Builder::new(&mut out, Class::Request, [self.transactions; 12])
            .and_then(|message| message.username(&format!("{}:them", self.ufrag)))
            .and_then(|message| message.priority(1))
            .and_then(Builder::use_candidate)
            .and_then(|message| message.controlling(1))
            .and_then(|message| message.finish(&self.key))
            .unwrap();
        out.truncate(len);
        out
    }

    /// Takes one datagram; a media packet if it was one.
    pub(crate) fn handle(&mut self, now: Instant, data: &mut [u8]) -> Option<Packet> {
        match DatagramKind::of(data)? {
            DatagramKind::Stun => self.is_checked = true,
            DatagramKind::Dtls => {
                let _ = self.handshake.handle_datagram(now, data);
                while let Some(event) = self.handshake.poll_event() {
                    if let Event::Connected(keys) = event {
                        let outbound = Context::new(keys.profile, &keys.local_key, &keys.local_salt).unwrap();
                        let inbound = Context::new(keys.profile, &keys.remote_key, &keys.remote_salt).unwrap();
                        self.profile = Some(keys.profile.name());
                        self.keys = Some((outbound, inbound));
                    }
                }
            }
            DatagramKind::Rtp => {
                let len = self.keys.as_mut()?.1.unprotect_rtp(data).ok()?;
                return Packet::parse(&data[..len]);
            }
            DatagramKind::Rtcp => {}
        }
        None
    }

    /// DTLS datagrams to send, once a check was answered.
    pub(crate) fn poll(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if !self.is_checked {
            return Vec::new();
        }
        if self.handshake.poll_timeout().is_some_and(|due| due <= now) {
            self.handshake.handle_timeout(now);
        }
        let mut buffer = [0; 2_048];
        std::iter::from_fn(|| self.handshake.poll_transmit(&mut buffer).map(|len| buffer[..len].to_vec())).collect()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.keys.is_some()
    }

    /// One encrypted packet.
    pub(crate) fn packet(&mut self, pt: Pt, (timestamp, marker): (u32, bool), payload: &[u8]) -> Vec<u8> {
        let header = Header { marker, ..Header::new(pt, self.seq, timestamp, self.ssrc) };
        self.seq = self.seq.next();
        let mut packet = vec![0; 12 + payload.len() + 32];
        header.write(&mut packet).unwrap();
        packet[12..12 + payload.len()].copy_from_slice(payload);
        let len = self.keys.as_mut().unwrap().0.protect_rtp(&mut packet, 12 + payload.len()).unwrap();
        packet.truncate(len);
        packet
    }
}

/// A client with a socket.
pub(crate) struct Browser {
    pub(crate) socket: UdpSocket,
    pub(crate) client: Client,
    gateway: SocketAddr,
    endpoint: EndpointId,
}

impl Browser {
    #[expect(clippy::disallowed_methods, reason = "a peer has sockets of its own")]
    pub(crate) fn new(ip: IpAddr, port: &WebPort) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, client: Client::new(now(), port), gateway: port.address, endpoint: port.id }
    }

    /// Checks and shakes hands until both ends have keys, or fails after `patience`.
    pub(crate) fn connect(&mut self, rig: &mut Rig, patience: Duration) {
        let deadline = now() + patience;
        let mut next_check = now();
        while !self.client.is_connected() {
            assert!(now() < deadline, "not connected in {patience:?}");
            if !self.client.is_checked && now() >= next_check {
                let check = self.client.check();
                self.send(&check);
                next_check += Duration::from_millis(50);
            }
            self.received();
            sleep_until(now() + Duration::from_millis(1));
        }
        // The last flight; the engine has keys once it has read it.
        self.received();
        rig.expect_keys(self.endpoint);
    }

    /// Sends one packet that takes `step` timestamp units.
    pub(crate) fn speak(&mut self, pt: Pt, step: u32, payload: &[u8]) {
        let packet = self.client.packet(pt, (self.client.timestamp, false), payload);
        self.client.timestamp = self.client.timestamp.wrapping_add(step);
        self.send(&packet);
    }

    pub(crate) fn send(&self, data: &[u8]) {
        self.socket.send_to(data, self.gateway).unwrap();
    }

    /// Media packets that have arrived; the rest is dealt with.
    pub(crate) fn received(&mut self) -> Vec<Packet> {
        let now = now();
        let mut packets = Vec::new();
        for mut data in datagrams(&self.socket) {
            packets.extend(self.client.handle(now, &mut data));
        }
        for data in self.client.poll(now) {
            self.send(&data);
        }
        packets
    }
}
