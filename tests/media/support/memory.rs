//! A bridge without sockets: both legs' datagrams pass through memory, on a clock that the test moves.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trunkline_media::bridge::{Bridge, CallId, Event, LegIndex, StreamParameters};
use trunkline_media::codecs::EncoderSettings;
use trunkline_media::dtls::Certificate;
use trunkline_media::endpoint::{Endpoint, EndpointId, Identity, Lane, Limits, Remote, Security, SocketIds};
use trunkline_media::ice::Credentials;
use trunkline_media::net::{SeqNo, Ssrc};
use trunkline_media::outbox::{Outbox, SocketId};
use trunkline_media::pipeline::{FirstNumbers, Format};
use trunkline_media::rtcp::WallClock;

use super::browser::Client;
use super::{WebPort, now, stream};

pub(crate) const WEB: SocketId = SocketId(0);
pub(crate) const RTP: SocketId = SocketId(1);
pub(crate) const RTCP: SocketId = SocketId(2);

pub(crate) struct Lab {
    pub(crate) bridge: Bridge,
    pub(crate) outbox: Outbox,
    pub(crate) now: Instant,
    certificate: Certificate,
    clock: WallClock,
    pub(crate) limits: Limits,
    /// Of what endpoints send that are made from now on.
    pub(crate) first_seq: SeqNo,
    /// Of the encoders of such endpoints.
    pub(crate) settings: EncoderSettings,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let start = now();
        let limits = Limits {
            setup: Duration::from_secs(15),
            consent: Duration::from_secs(30),
            first_packet: Duration::from_secs(30),
            inactivity: Duration::from_secs(60),
            inactivity_held: Duration::from_secs(1_800),
        };
        Self {
            bridge: Bridge::new(CallId(1)),
            outbox: Outbox::new(64),
            now: start,
            certificate: Certificate::generate().unwrap(),
            clock: WallClock::new(start, Duration::from_secs(1_700_000_000)),
            limits,
            first_seq: SeqNo(1),
            settings: EncoderSettings::default(),
        }
    }

    pub(crate) fn far_web() -> SocketAddr {
        "192.0.2.1:50000".parse().unwrap()
    }

    pub(crate) fn far_rtp() -> SocketAddr {
        "198.51.100.1:4000".parse().unwrap()
    }

    pub(crate) fn far_rtcp() -> SocketAddr {
        "198.51.100.1:4001".parse().unwrap()
    }

    fn add(&mut self, endpoint: Endpoint) -> LegIndex {
        let first = FirstNumbers { seq: self.first_seq, timestamp: 1 };
        self.bridge.add(endpoint, first, self.settings).unwrap()
    }

    fn identity(id: u64) -> Identity {
        Identity { id: EndpointId(id), ssrc: Ssrc(u32::try_from(id).unwrap()), cname: "us".into(), seed: id }
    }

    /// A plain leg whose far side is known.
    pub(crate) fn rtp_leg(&mut self, formats: &[Format]) -> LegIndex {
        self.rtp_leg_on(SocketIds { rtp: RTP, rtcp: RTCP }, &stream(formats))
    }

    /// The same on sockets of its own.
    pub(crate) fn rtp_leg_on(&mut self, sockets: SocketIds, stream: &StreamParameters) -> LegIndex {
        let identity = Self::identity(10 + u64::from(sockets.rtp.0));
        let leg = self.add(Endpoint::rtp(identity, sockets, self.certificate.clone(), self.limits, self.clock));
        let remote =
            Remote::Rtp { rtp: Self::far_rtp(), rtcp: Self::far_rtcp(), is_muxed: false, security: Security::Clear };
        self.bridge.set_remote(self.now, leg, remote, stream, &mut self.outbox).unwrap();
        leg
    }

    /// Gives a leg that was made by `rtp_leg_on` another description of its stream.
    pub(crate) fn describe_anew(&mut self, leg: LegIndex, stream: &StreamParameters) {
        let remote =
            Remote::Rtp { rtp: Self::far_rtp(), rtcp: Self::far_rtcp(), is_muxed: false, security: Security::Clear };
        self.bridge.set_remote(self.now, leg, remote, stream, &mut self.outbox).unwrap();
    }

    /// A browser-side leg with a client that has connected to it.
    pub(crate) fn web_leg(&mut self, formats: &[Format]) -> (LegIndex, Client) {
        let local: SocketAddr = "203.0.113.1:3478".parse().unwrap();
        let credentials = Credentials::from_random(&[7; Credentials::RANDOM_BYTES]);
        let port = WebPort {
            id: EndpointId(12),
            address: local,
            ufrag: credentials.ufrag().into(),
            pwd: credentials.pwd().into(),
            fingerprint: self.certificate.fingerprint().into(),
        };
        let keys = (credentials, self.certificate.clone());
        let leg = self.add(Endpoint::web_rtc(Self::identity(12), (WEB, local), keys, self.limits, self.clock));
        let mut client = Client::new(self.now, &port);
        self.bridge.set_remote(self.now, leg, client.remote(), &stream(formats), &mut self.outbox).unwrap();
        let mut check = client.check();
        self.web_datagram(leg, &mut check).unwrap();
        for _ in 0..100 {
            for mut data in self.sent_through(WEB) {
                client.handle(self.now, &mut data);
            }
            for mut data in client.poll(self.now) {
                // Retransmissions may come twice.
                let _ = self.web_datagram(leg, &mut data);
            }
            self.advance(Duration::from_millis(5));
            if client.is_connected() && self.bridge.endpoint(leg).unwrap().can_send() {
                return (leg, client);
            }
        }
        panic!("not connected");
    }

    pub(crate) fn web_datagram(
        &mut self,
        leg: LegIndex,
        data: &mut [u8],
    ) -> Result<(), trunkline_media::error::DropReason> {
        self.bridge.handle_datagram(self.now, (leg, Lane::Rtp), Self::far_web(), data, &mut self.outbox)
    }

    pub(crate) fn rtp_datagram(
        &mut self,
        leg: LegIndex,
        data: &mut [u8],
    ) -> Result<(), trunkline_media::error::DropReason> {
        self.bridge.handle_datagram(self.now, (leg, Lane::Rtp), Self::far_rtp(), data, &mut self.outbox)
    }

    /// Moves the clock, stopping at every deadline on the way.
    pub(crate) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(due) = self.bridge.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.bridge.handle_timeout(self.now, &mut self.outbox);
        }
        self.now = end;
    }

    /// Takes what was sent out of one socket; what went out of others is forgotten.
    pub(crate) fn sent_through(&mut self, socket: SocketId) -> Vec<Vec<u8>> {
        let sent = self.outbox.iter().filter(|transmit| transmit.destination.socket == socket);
        let sent = sent.map(|transmit| transmit.data.to_vec()).collect();
        self.outbox.clear();
        sent
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.bridge.poll_event()).collect()
    }
}
