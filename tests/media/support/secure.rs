//! A peer of the SIP side that speaks SRTP: under keys of the signalling, or of DTLS without ICE.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use trunkline_media::dtls::{Certificate, Event, Fingerprint, Handshake, Role};
use trunkline_media::endpoint::{Remote, Security};
use trunkline_media::net::{DatagramKind, Pt, SrtpKeys, SrtpProfile};
use trunkline_media::srtp::Context;

use super::phone::{Packet, Phone, datagrams};
use super::{Rig, RtpPort, now, sleep_until};

/// Keys of both directions as the gateway names them; different ones for each seed.
pub(crate) fn keys(profile: SrtpProfile, seed: u8) -> SrtpKeys {
    SrtpKeys {
        profile,
        local_key: vec![seed; profile.key_bytes()],
        local_salt: vec![seed ^ 0x0f; profile.salt_bytes()],
        remote_key: vec![seed ^ 0xf0; profile.key_bytes()],
        remote_salt: vec![seed ^ 0xff; profile.salt_bytes()],
    }
}

/// The far side's contexts under the gateway's keys: what it sends with, what it receives with.
pub(crate) fn contexts(keys: &SrtpKeys) -> (Context, Context) {
    let outbound = Context::new(keys.profile, &keys.remote_key, &keys.remote_salt).unwrap();
    let inbound = Context::new(keys.profile, &keys.local_key, &keys.local_salt).unwrap();
    (outbound, inbound)
}

/// An RTP packet as SRTP.
pub(crate) fn protect(context: &mut Context, mut packet: Vec<u8>) -> Vec<u8> {
    let len = packet.len();
    packet.resize(len + 32, 0);
    let len = context.protect_rtp(&mut packet, len).unwrap();
    packet.truncate(len);
    packet
}

/// The RTP packet in an SRTP packet, if it is authentic.
pub(crate) fn unprotect(context: &mut Context, data: &mut [u8]) -> Option<Packet> {
    let len = context.unprotect_rtp(data).ok()?;
    Packet::parse(&data[..len])
}

/// A phone whose media is SRTP.
pub(crate) struct SecurePhone {
    pub(crate) phone: Phone,
    contexts: Option<(Context, Context)>,
    handshake: Option<Handshake>,
}

impl SecurePhone {
    /// It and the gateway know these keys.
    pub(crate) fn sdes(ip: IpAddr, keys: &SrtpKeys) -> Self {
        Self { phone: Phone::new(ip), contexts: Some(contexts(keys)), handshake: None }
    }

    /// It has a certificate, and knows the gateway's fingerprint. What the gateway is to be told of it comes along.
    pub(crate) fn dtls(ip: IpAddr, gateway: &str, role: Role) -> (Self, Security) {
        let certificate = Certificate::generate().unwrap();
        let mut handshake = Handshake::new(now(), &certificate, role, Duration::from_secs(10));
        handshake.set_remote_fingerprints(&[Fingerprint::parse("sha-256", gateway).unwrap()]);
        let fingerprints = vec![Fingerprint::parse("sha-256", certificate.fingerprint()).unwrap()];
        let security = Security::Dtls { fingerprints, is_dtls_client: role == Role::Client };
        (Self { phone: Phone::new(ip), contexts: None, handshake: Some(handshake) }, security)
    }

    /// What its SDP says.
    pub(crate) fn remote(&self, security: Security) -> Remote {
        match self.phone.remote() {
            Remote::Rtp { rtp, rtcp, is_muxed, .. } => Remote::Rtp { rtp, rtcp, is_muxed, security },
            other @ Remote::WebRtc { .. } => other,
        }
    }

    /// Shakes hands until both ends have keys, or fails after `patience`.
    pub(crate) fn connect(&mut self, rig: &mut Rig, port: &RtpPort, patience: Duration) {
        let deadline = now() + patience;
        while self.contexts.is_none() {
            assert!(now() < deadline, "no keys in {patience:?}");
            self.shake_hands(port.rtp);
            sleep_until(now() + Duration::from_millis(1));
        }
        // The last flight; the engine has keys once it has read it.
        self.shake_hands(port.rtp);
        rig.expect_keys(port.id);
    }

    pub(crate) fn shake_hands(&mut self, gateway: SocketAddr) {
        let Some(handshake) = &mut self.handshake else { return };
        for data in datagrams(&self.phone.rtp) {
            if DatagramKind::of(&data) == Some(DatagramKind::Dtls) {
                let _ = handshake.handle_datagram(now(), &data);
            }
        }
        if handshake.poll_timeout().is_some_and(|due| due <= now()) {
            handshake.handle_timeout(now());
        }
        let mut buffer = [0; 2_048];
        while let Some(len) = handshake.poll_transmit(&mut buffer) {
            self.phone.rtp.send_to(&buffer[..len], gateway).unwrap();
        }
        while let Some(event) = handshake.poll_event() {
            if let Event::Connected(keys) = event {
                let outbound = Context::new(keys.profile, &keys.local_key, &keys.local_salt).unwrap();
                let inbound = Context::new(keys.profile, &keys.remote_key, &keys.remote_salt).unwrap();
                self.contexts = Some((outbound, inbound));
            }
        }
    }

    /// One encrypted packet, which takes `step` timestamp units.
    pub(crate) fn packet(&mut self, pt: Pt, step: u32, payload: &[u8]) -> Vec<u8> {
        let plain = self.phone.packet(pt, (self.phone.timestamp, false), payload);
        self.phone.timestamp = self.phone.timestamp.wrapping_add(step);
        protect(&mut self.contexts.as_mut().unwrap().0, plain)
    }

    /// Sends one encrypted packet.
    pub(crate) fn send(&mut self, to: SocketAddr, pt: Pt, step: u32, payload: &[u8]) {
        let packet = self.packet(pt, step, payload);
        self.phone.rtp.send_to(&packet, to).unwrap();
    }

    /// Authentic RTP packets that have arrived.
    pub(crate) fn received(&mut self) -> Vec<Packet> {
        let inbound = &mut self.contexts.as_mut().unwrap().1;
        datagrams(&self.phone.rtp).iter_mut().filter_map(|data| unprotect(inbound, data)).collect()
    }
}
