//! The browser's side of a call: ICE checks, DTLS as the client, SRTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trunkline_media::dtls::{Certificate, Event, Fingerprint, Handshake, Role};
use trunkline_media::error::DropReason;
use trunkline_media::ice::Credentials;
use trunkline_media::ice::stun::{Builder, Class, IntegrityKey, Message};
use trunkline_media::net::DatagramKind;
use trunkline_media::srtp;

use crate::leg::Contexts;

/// A check that is not answered is sent again.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
const DTLS_LIMIT: Duration = Duration::from_secs(10);
/// Priority of a host candidate of ours (RFC 8445 section 5.1.2).
const PRIORITY: u32 = 126 << 24 | 65_535 << 8 | 255;

/// What our side's SDP would say; the same for all legs.
#[derive(Clone)]
pub(crate) struct Identity {
    credentials: Credentials,
    certificate: Certificate,
}

impl Identity {
    pub(crate) fn generate() -> Self {
        // Nobody attacks the benches, so the credentials need not be secret.
        let random = std::array::from_fn(|index| u8::try_from(index).unwrap());
        Self { credentials: Credentials::from_random(&random), certificate: Certificate::generate().unwrap() }
    }

    pub(crate) fn ufrag(&self) -> &str {
        self.credentials.ufrag()
    }

    pub(crate) fn pwd(&self) -> &str {
        self.credentials.pwd()
    }

    pub(crate) fn fingerprint(&self) -> &str {
        self.certificate.fingerprint()
    }
}

/// A STUN answer: header, address, integrity, fingerprint.
const ANSWER_BYTES: usize = 128;

/// One leg's connection to the gateway.
pub(crate) struct Session {
    identity: Identity,
    gateway: SocketAddr,
    username: String,
    key: IntegrityKey,
    own_key: IntegrityKey,
    /// To a check of the gateway's, which need not be ICE-lite.
    answer: Option<([u8; ANSWER_BYTES], usize)>,
    fingerprint: Fingerprint,
    next_check: Option<Instant>,
    transactions: u32,
    handshake: Option<Handshake>,
    contexts: Option<Contexts>,
}

impl Session {
    /// A session with the gateway's endpoint at this address. credentials: its ufrag, pwd and SHA-256 fingerprint.
    pub(crate) fn new(identity: Identity, gateway: SocketAddr, credentials: [&str; 3]) -> Self {
        let [ufrag, pwd, fingerprint] = credentials;
        Self {
            gateway,
            username: format!("{ufrag}:{}", identity.ufrag()),
            key: IntegrityKey::new(pwd).unwrap(),
            own_key: IntegrityKey::new(identity.pwd()).unwrap(),
            answer: None,
            fingerprint: Fingerprint::parse("sha-256", fingerprint).unwrap(),
            identity,
            next_check: None,
            transactions: 0,
            handshake: None,
            contexts: None,
        }
    }

    pub(crate) const fn is_connected(&self) -> bool {
        self.contexts.is_some()
    }

    /// The next datagram of the set-up to be sent now, if there is one.
    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        if let Some((answer, length)) = self.answer.take() {
            out[..length].copy_from_slice(&answer[..length]);
            return Some(length);
        }
        if !self.is_connected() && self.next_check.is_none_or(|due| now >= due) {
            self.next_check = Some(now + CHECK_INTERVAL);
            return Some(self.write_check(out));
        }
        let handshake = self.handshake.as_mut()?;
        if handshake.poll_timeout().is_some_and(|due| now >= due) {
            handshake.handle_timeout(now);
        }
        handshake.poll_transmit(out)
    }

    /// Takes a datagram of the set-up: the first answer to a check begins DTLS, whose end brings the keys.
    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        match DatagramKind::of(datagram) {
            Some(DatagramKind::Stun) => self.handle_stun(now, &Message::parse(datagram).unwrap()),
            Some(DatagramKind::Dtls) => self.handle_dtls(now, datagram),
            _ => {}
        }
    }

    fn handle_stun(&mut self, now: Instant, message: &Message<'_>) {
        match message.class() {
            Class::Request => {
                let mut answer = [0; ANSWER_BYTES];
                let length = Builder::new(&mut answer, Class::Success, message.transaction())
                    .and_then(|builder| builder.mapped_address(self.gateway))
                    .and_then(|builder| builder.finish(&self.own_key))
                    .unwrap();
                self.answer = Some((answer, length));
            }
            Class::Success if self.handshake.is_none() => {
                let certificate = &self.identity.certificate;
                let mut handshake = Handshake::new(now, certificate, Role::Client, DTLS_LIMIT);
                handshake.set_remote_fingerprints(std::slice::from_ref(&self.fingerprint));
                self.handshake = Some(handshake);
            }
            Class::Error => panic!("{:?}", message.error()),
            _ => {}
        }
    }

    fn handle_dtls(&mut self, now: Instant, datagram: &[u8]) {
        let Some(handshake) = &mut self.handshake else { return };
        handshake.handle_datagram(now, datagram).unwrap();
        match handshake.poll_event() {
            Some(Event::Connected(keys)) => {
                self.contexts = Some(Contexts {
                    send: srtp::Context::new(keys.profile, &keys.local_key, &keys.local_salt).unwrap(),
                    receive: srtp::Context::new(keys.profile, &keys.remote_key, &keys.remote_salt).unwrap(),
                });
            }
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    }

    /// Writes a nominating check, which also keeps the gateway's consent fresh (RFC 7675); returns its length.
    pub(crate) fn write_check(&mut self, out: &mut [u8]) -> usize {
        self.transactions += 1;
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&self.transactions.to_be_bytes());
        let mut write = || -> Result<usize, DropReason> {
            Builder::new(out, Class::Request, transaction)?
                .username(&self.username)?
                .priority(PRIORITY)?
                .controlling(1)?
                .use_candidate()?
                .finish(&self.key)
        };
        write().unwrap()
    }

    /// Encrypts the packet in `buffer[..length]` in place; returns its new length.
    pub(crate) fn protect(&mut self, buffer: &mut [u8], length: usize) -> usize {
        self.contexts.as_mut().unwrap().send.protect_rtp(buffer, length).unwrap()
    }

    /// Decrypts a packet in place; returns its new length.
    pub(crate) fn unprotect(&mut self, packet: &mut [u8]) -> Result<usize, DropReason> {
        self.contexts.as_mut().unwrap().receive.unprotect_rtp(packet)
    }
}
