//! Whole handshakes on a network of our making and on virtual time: against the library's own client in both versions,
//! against ourselves, and with the ClientHello of a real browser.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use dimpl::{Dtls, Output};
use proptest::prelude::*;

use super::record::{HANDSHAKE_HEADER_BYTES, RECORD_HEADER_BYTES};
use super::*;
use crate::error::DropReason;
use crate::net::SrtpProfile;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Chromium repeats its ClientHello this soon.
const CHROMIUM_RETRANSMISSION: Duration = Duration::from_millis(50);

static OURS: LazyLock<Certificate> = LazyLock::new(|| Certificate::generate().unwrap());
static THEIRS: LazyLock<dimpl::DtlsCertificate> =
    LazyLock::new(|| dimpl::certificate::generate_self_signed_certificate().unwrap());

#[derive(Debug, Clone, Copy)]
enum Version {
    Dtls12,
    Dtls13,
}

const VERSIONS: [Version; 2] = [Version::Dtls12, Version::Dtls13];

/// The browser's side: the library's own client.
struct Browser {
    dtls: Dtls,
    sent: Vec<Vec<u8>>,
    timeout: Instant,
    certificate: Vec<u8>,
    keying: Option<(Vec<u8>, SrtpProfile)>,
    is_closed: bool,
}

impl Browser {
    fn new(version: Version, now: Instant) -> Self {
        let config =
            dimpl::Config::builder().flight_start_rto(CHROMIUM_RETRANSMISSION).flight_retries(20).build().unwrap();
        let mut dtls = match version {
            Version::Dtls12 => Dtls::new_12(Arc::new(config), THEIRS.clone(), now),
            Version::Dtls13 => Dtls::new_13(Arc::new(config), THEIRS.clone(), now),
        };
        dtls.set_active(true);
        let mut browser =
            Self { dtls, sent: vec![], timeout: now, certificate: vec![], keying: None, is_closed: false };
        browser.wait(now);
        browser
    }

    fn wait(&mut self, now: Instant) {
        self.dtls.handle_timeout(now).unwrap();
        self.poll();
    }

    fn receive(&mut self, now: Instant, datagram: &[u8]) {
        self.dtls.handle_timeout(now).unwrap();
        // After an alert of ours the library calls the association dead, which is right.
        let _ = self.dtls.handle_packet(datagram);
        self.poll();
    }

    fn poll(&mut self) {
        let mut scratch = [0; 4096];
        loop {
            match self.dtls.poll_output(&mut scratch) {
                Output::Packet(datagram) => self.sent.push(datagram.to_vec()),
                Output::Timeout(at) => {
                    self.timeout = at;
                    return;
                }
                Output::PeerCert(certificate) => self.certificate = certificate.to_vec(),
                Output::KeyingMaterial(keys, dimpl::SrtpProfile::AEAD_AES_256_GCM) => {
                    self.keying = Some((keys.to_vec(), SrtpProfile::AeadAes256Gcm));
                }
                Output::CloseNotify => self.is_closed = true,
                Output::KeyingMaterial(_, profile) => panic!("not what the library prefers: {profile}"),
                _ => {}
            }
        }
    }
}

/// A browser, the gateway, and the clock they share.
struct Call {
    now: Instant,
    browser: Browser,
    gateway: Handshake,
    events: Vec<Event>,
    sent: Vec<Vec<u8>>,
}

impl Call {
    fn new(version: Version) -> Self {
        let mut call = Self::without_fingerprints(version);
        call.gateway.set_remote_fingerprints(&[theirs()]);
        call
    }

    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    fn without_fingerprints(version: Version) -> Self {
        let now = Instant::now();
        let gateway = Handshake::new(now, &OURS, Role::Server, TIMEOUT);
        Self { now, browser: Browser::new(version, now), gateway, events: vec![], sent: vec![] }
    }

    fn deliver(&mut self, datagram: &[u8]) -> Result<(), DropReason> {
        let result = self.gateway.handle_datagram(self.now, datagram);
        self.poll();
        result
    }

    fn poll(&mut self) {
        let mut out = [0; 1500];
        while let Some(len) = self.gateway.poll_transmit(&mut out) {
            self.sent.push(out[..len].to_vec());
        }
        while let Some(event) = self.gateway.poll_event() {
            self.events.push(event);
        }
    }

    /// Deliver everything until nobody has anything more to say at this instant.
    fn settle(&mut self) {
        while !self.browser.sent.is_empty() || !self.sent.is_empty() {
            for datagram in std::mem::take(&mut self.browser.sent) {
                let _ = self.deliver(&datagram);
            }
            for datagram in std::mem::take(&mut self.sent) {
                self.browser.receive(self.now, &datagram);
            }
        }
    }

    /// Go on to the next timer of either side.
    fn tick(&mut self) {
        let gateway = self.gateway.poll_timeout();
        self.now = gateway.map_or(self.browser.timeout, |at| at.min(self.browser.timeout)).max(self.now);
        self.browser.wait(self.now);
        if self.gateway.poll_timeout().is_some_and(|at| at <= self.now) {
            self.gateway.handle_timeout(self.now);
        }
        self.poll();
    }

    /// The keys, which must be the browser's.
    fn assert_connected(&self) {
        let [Event::Connected(keys)] = &self.events[..] else { panic!("{:?}", self.events) };
        let (material, profile) = self.browser.keying.clone().unwrap();
        assert_eq!(keys.profile, profile);
        let ours = [&keys.remote_key[..], &keys.local_key, &keys.remote_salt, &keys.local_salt].concat();
        assert_eq!(ours, material, "client key, server key, client salt, server salt");
        let seen = Fingerprint::parse("sha-256", OURS.fingerprint()).unwrap();
        assert!(seen.matches(&self.browser.certificate));
    }

    fn keys_were_given(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Connected(_)))
    }
}

fn theirs() -> Fingerprint {
    Fingerprint::parse("sha-256", &dimpl::certificate::format_fingerprint(&THEIRS.fingerprint())).unwrap()
}

fn strangers() -> Fingerprint {
    Fingerprint::parse("sha-256", &dimpl::certificate::format_fingerprint(&[7; 32])).unwrap()
}

/// Cut a record with one whole handshake message into datagrams at `cuts`, each with a record number of its own.
fn fragment(record: &[u8], cuts: &[usize], first_number: u8) -> Vec<Vec<u8>> {
    let (header, message) = record.split_at(RECORD_HEADER_BYTES);
    let (message_header, body) = message.split_at(HANDSHAKE_HEADER_BYTES);
    let edges: Vec<_> = [&[0], cuts, &[body.len()]].concat();
    edges
        .windows(2)
        .zip(first_number..)
        .map(|(edge, number)| {
            let piece = &body[edge[0]..edge[1]];
            let mut datagram = header.to_vec();
            datagram[10] = number;
            datagram[11..13]
                .copy_from_slice(&u16::try_from(piece.len() + HANDSHAKE_HEADER_BYTES).unwrap().to_be_bytes());
            datagram.extend(&message_header[..6]);
            datagram.extend(&u32::try_from(edge[0]).unwrap().to_be_bytes()[1..]);
            datagram.extend(&u32::try_from(piece.len()).unwrap().to_be_bytes()[1..]);
            datagram.extend(piece);
            datagram
        })
        .collect()
}

/// The browser's ClientHello in two datagrams.
fn halves(call: &mut Call, cut: usize) -> [Vec<u8>; 2] {
    let hello = call.browser.sent.remove(0);
    fragment(&hello, &[cut], 0).try_into().unwrap()
}

#[test]
fn connects_with_a_client_of_either_version() {
    for version in VERSIONS {
        let mut call = Call::new(version);
        call.settle();
        call.assert_connected();
        assert_eq!(call.gateway.poll_timeout().filter(|at| *at > call.now + TIMEOUT), None, "no far-away timer");
    }
}

#[test]
fn connects_with_itself_as_client_in_one_round_trip_each() {
    let mut call = Call::new(Version::Dtls13);
    let mut client = Handshake::new(call.now, &OURS, Role::Client, TIMEOUT);
    let ours = Fingerprint::parse("sha-256", OURS.fingerprint()).unwrap();
    client.set_remote_fingerprints(std::slice::from_ref(&ours));
    call.gateway.set_remote_fingerprints(&[strangers(), ours]);
    let mut out = [0; 1500];
    let mut client_event = None;
    for _ in 0..6 {
        while let Some(len) = client.poll_transmit(&mut out) {
            call.deliver(&out[..len]).unwrap();
        }
        for datagram in std::mem::take(&mut call.sent) {
            client.handle_datagram(call.now, &datagram).unwrap();
        }
        client_event = client_event.or(client.poll_event());
    }
    let (Some(Event::Connected(at_client)), [Event::Connected(at_server)]) = (client_event, &call.events[..]) else {
        panic!("{:?}", call.events)
    };
    assert_eq!((at_client.profile, &at_client.local_key), (at_server.profile, &at_server.remote_key));
    assert_eq!((&at_client.remote_salt, &at_client.remote_key), (&at_server.local_salt, &at_server.local_key));
}

#[test]
fn client_waits_on_when_the_answer_does_not_begin_with_a_hello() {
    let mut call = Call::new(Version::Dtls13);
    let mut client = Handshake::new(call.now, &OURS, Role::Client, TIMEOUT);
    client.set_remote_fingerprints(&[Fingerprint::parse("sha-256", OURS.fingerprint()).unwrap()]);
    let mut out = [0; 1500];
    let len = client.poll_transmit(&mut out).unwrap();
    call.deliver(&out[..len]).unwrap();
    let reordered = [0x2f, 0, 1, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(client.handle_datagram(call.now, &reordered), Err(DropReason::DtlsUnexpected));
    for datagram in std::mem::take(&mut call.sent) {
        client.handle_datagram(call.now, &datagram).unwrap();
    }
    assert!(matches!(client.poll_event(), Some(Event::Connected(_))));
}

#[test]
fn client_hello_in_two_datagrams_is_taken_in_either_order() {
    for version in VERSIONS {
        for is_reversed in [false, true] {
            let mut call = Call::new(version);
            let mut datagrams = halves(&mut call, 60);
            if is_reversed {
                datagrams.reverse();
            }
            call.deliver(&datagrams[0]).unwrap();
            assert!(call.sent.is_empty(), "half a hello is no hello");
            call.deliver(&datagrams[1]).unwrap();
            call.settle();
            call.assert_connected();
        }
    }
}

#[test]
fn duplicated_halves_change_nothing() {
    for version in VERSIONS {
        let mut call = Call::new(version);
        let [first, second] = halves(&mut call, 60);
        call.deliver(&second).unwrap();
        for _ in 0..1000 {
            assert_eq!(call.deliver(&second), Err(DropReason::DtlsFragment));
        }
        call.deliver(&first).unwrap();
        call.deliver(&first).unwrap();
        call.deliver(&second).unwrap();
        call.settle();
        call.assert_connected();
    }
}

#[test]
fn lost_first_half_is_made_good_by_the_retransmission() {
    for version in VERSIONS {
        // The repeated hello may be cut in the same place or, on a smaller path, in others.
        for cuts in [&[60][..], &[40, 70]] {
            let mut call = Call::new(version);
            let [_, second] = halves(&mut call, 60);
            call.deliver(&second).unwrap();
            call.tick();
            let repeated = call.browser.sent.remove(0);
            for datagram in fragment(&repeated, cuts, 2) {
                let _ = call.deliver(&datagram);
            }
            call.settle();
            call.assert_connected();
        }
    }
}

#[test]
fn lost_answer_is_repeated_when_the_hello_comes_again() {
    for version in VERSIONS {
        let mut call = Call::new(version);
        for datagram in halves(&mut call, 60) {
            call.deliver(&datagram).unwrap();
        }
        assert!(!std::mem::take(&mut call.sent).is_empty(), "the answer, which is lost");
        call.tick();
        let repeated = call.browser.sent.remove(0);
        for datagram in fragment(&repeated, &[60], 2) {
            call.deliver(&datagram).unwrap();
        }
        call.settle();
        call.assert_connected();
    }
}

/// Chromium 156: 1,413 bytes of ClientHello in two datagrams, with a post-quantum key share beside X25519.
#[test]
fn hello_of_chromium_156_is_answered_in_either_order() {
    let halves = [
        &include_bytes!("../../../tests/vectors/dtls/chromium156-client-hello-1.bin")[..],
        include_bytes!("../../../tests/vectors/dtls/chromium156-client-hello-2.bin"),
    ];
    for order in [[0, 1], [1, 0]] {
        let mut call = Call::new(Version::Dtls13);
        call.deliver(halves[order[0]]).unwrap();
        assert!(call.sent.is_empty());
        call.deliver(halves[order[1]]).unwrap();
        let flight = call.sent.concat();
        // Record and handshake headers, legacy version, then the random, which would be a fixed one in a retry request.
        assert_eq!((flight[0], flight[RECORD_HEADER_BYTES]), (22, 2), "a ServerHello");
        assert_ne!(flight[RECORD_HEADER_BYTES + HANDSHAKE_HEADER_BYTES + 2..][..4], [0xcf, 0x21, 0xad, 0x74]);
        assert!(flight.windows(6).any(|window| window == [0, 0x2b, 0, 2, 0xfe, 0xfc]), "which selects DTLS 1.3");
        assert!(flight.windows(8).any(|window| window == [0, 0x33, 0, 36, 0, 0x1d, 0, 32]), "and X25519");
        assert!(call.sent.iter().all(|datagram| datagram.len() <= crate::net::SAFE_PAYLOAD_BYTES));
        assert_eq!(call.events, []);
    }
}

#[test]
fn wrong_certificate_fails_and_gives_no_keys() {
    for version in VERSIONS {
        for fingerprints in [&[strangers()][..], &[]] {
            let mut call = Call::new(version);
            call.gateway.set_remote_fingerprints(fingerprints);
            call.settle();
            assert_eq!(call.events, [Event::Failed(Error::FingerprintMismatch)]);
            assert_eq!(call.deliver(&[22, 0xfe, 0xfd]), Err(DropReason::DtlsClosed));
            assert_eq!(call.gateway.poll_timeout(), None);
            call.gateway.set_remote_fingerprints(&[theirs()]);
            call.settle();
            assert_eq!(call.events.len(), 1, "failed stays failed");
        }
    }
}

#[test]
fn keys_wait_for_the_fingerprints() {
    for version in VERSIONS {
        for (fingerprint, is_right) in [(theirs(), true), (strangers(), false)] {
            let mut call = Call::without_fingerprints(version);
            call.settle();
            assert!(call.browser.keying.is_some());
            assert_eq!(call.events, [], "nobody has said yet who the far side is");
            call.gateway.set_remote_fingerprints(&[fingerprint]);
            call.poll();
            if is_right {
                call.assert_connected();
            } else {
                assert_eq!(call.events, [Event::Failed(Error::FingerprintMismatch)]);
                call.settle();
                assert!(call.browser.is_closed, "a far side that is not told keeps waiting");
            }
        }
    }
}

#[test]
fn handshake_that_nobody_answers_times_out_once() {
    let mut call = Call::new(Version::Dtls13);
    let [first, _] = halves(&mut call, 60);
    let begin = call.now;
    assert_eq!(call.gateway.poll_timeout(), Some(begin + TIMEOUT));
    call.deliver(&first).unwrap();
    call.now = begin + Duration::from_millis(9_999);
    call.gateway.handle_timeout(call.now);
    call.poll();
    assert_eq!(call.events, []);
    for _ in 0..2 {
        call.now += Duration::from_millis(1);
        call.gateway.handle_timeout(call.now);
        call.poll();
    }
    assert_eq!(call.events, [Event::Failed(Error::Timeout)]);
    assert_eq!(call.gateway.poll_timeout(), None);
}

#[test]
fn browser_that_falls_silent_halfway_is_retried_until_the_deadline() {
    for version in VERSIONS {
        let mut call = Call::new(version);
        let begin = call.now;
        let hello = call.browser.sent.remove(0);
        call.deliver(&hello).unwrap();
        let flight = std::mem::take(&mut call.sent).len();
        while let Some(at) = call.gateway.poll_timeout() {
            call.now = at;
            call.gateway.handle_timeout(at);
            call.poll();
        }
        assert!(call.sent.len() >= 4 * flight, "only {} datagrams again", call.sent.len());
        assert_eq!(call.events, [Event::Failed(Error::Timeout)]);
        assert_eq!(call.now, begin + TIMEOUT);
    }
}

#[test]
fn garbage_is_dropped_at_every_stage_and_harms_nothing() {
    let garbage: [&[u8]; 9] = [
        &[],
        &[22],
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
        &[22, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[99, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        // A ClientHello longer than its record, one of 16 MB, one that is cut off.
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9],
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 13, 1, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        &[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0],
        &[0x16; 3000],
    ];
    for version in VERSIONS {
        let mut call = Call::new(version);
        for _ in 0..8 {
            for datagram in garbage.iter().skip(1) {
                for _ in 0..20 {
                    assert!(call.deliver(datagram).is_err(), "{datagram:x?}");
                }
            }
            for datagram in std::mem::take(&mut call.browser.sent) {
                call.deliver(&datagram).unwrap();
            }
            for datagram in std::mem::take(&mut call.sent) {
                call.browser.receive(call.now, &datagram);
            }
        }
        call.assert_connected();
    }
}

#[test]
fn anything_before_a_hello_is_unexpected() {
    let mut call = Call::new(Version::Dtls12);
    let alert = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];
    let ciphertext = [0x2f, 0, 1, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for _ in 0..100 {
        assert_eq!(call.deliver(&alert), Err(DropReason::DtlsUnexpected));
        assert_eq!(call.deliver(&ciphertext), Err(DropReason::DtlsUnexpected));
    }
    call.settle();
    call.assert_connected();
}

#[test]
fn alert_during_the_handshake_ends_it() {
    for version in VERSIONS {
        let mut call = Call::new(version);
        let hello = call.browser.sent.remove(0);
        call.deliver(&hello).unwrap();
        let bad_certificate = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 42];
        call.deliver(&bad_certificate).unwrap();
        match (version, &call.events[..]) {
            (Version::Dtls12, events) => assert_eq!(events, [Event::Failed(Error::Alert(42))]),
            // In 1.3 the keys for alerts are known by then, so one in the clear is a forgery.
            (Version::Dtls13, events) => assert_eq!(events, []),
        }
    }
}

#[test]
fn goodbye_of_the_browser_closes_once() {
    for version in VERSIONS {
        let mut call = Call::new(version);
        call.settle();
        call.browser.dtls.close().unwrap();
        call.browser.poll();
        call.settle();
        assert_eq!(call.events.len(), 2, "{:?}", call.events);
        assert_eq!(call.events[1], Event::Closed);
        assert_eq!(call.gateway.poll_timeout(), None);
    }
}

#[test]
fn closing_says_goodbye_to_the_browser_and_gives_no_event() {
    for version in VERSIONS {
        let mut call = Call::new(version);
        call.settle();
        call.gateway.close(call.now);
        call.poll();
        call.settle();
        assert!(call.browser.is_closed);
        assert_eq!(call.events.len(), 1);
        assert_eq!(call.deliver(&[22, 0xfe, 0xfd]), Err(DropReason::DtlsClosed));
    }
}

#[test]
fn lost_last_flight_is_repeated_after_connected() {
    for version in VERSIONS {
        let mut call = Call::new(version);
        for _ in 0..2 {
            for datagram in std::mem::take(&mut call.browser.sent) {
                call.deliver(&datagram).unwrap();
            }
            if call.keys_were_given() {
                break;
            }
            for datagram in std::mem::take(&mut call.sent) {
                call.browser.receive(call.now, &datagram);
            }
        }
        assert!(call.keys_were_given());
        assert!(!std::mem::take(&mut call.sent).is_empty(), "the last flight, which is lost");
        for _ in 0..3 {
            call.tick();
            call.settle();
        }
        call.assert_connected();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// All of 100 calls connect over a network that loses six datagrams of the first dozens, repeats and reorders.
    #[test]
    fn connects_over_a_bad_network(fates in prop::collection::vec(0_u8..16, 400), is_13: bool) {
        let mut call = Call::new(if is_13 { Version::Dtls13 } else { Version::Dtls12 });
        let mut losses = 0..6;
        let mut fates =
            fates.into_iter().cycle().map(|fate| if fate < LOST && losses.next().is_none() { SOUND } else { fate });
        for _ in 0..60 {
            let mut outgoing: Vec<Vec<u8>> = Vec::new();
            for datagram in std::mem::take(&mut call.browser.sent) {
                let is_hello = datagram[0] == 22 && datagram[RECORD_HEADER_BYTES] == 1;
                outgoing.extend(if is_hello { fragment(&datagram, &[70], 100) } else { vec![datagram] });
            }
            for datagram in disturb(outgoing, &mut fates) {
                let _ = call.deliver(&datagram);
            }
            for datagram in disturb(std::mem::take(&mut call.sent), &mut fates) {
                call.browser.receive(call.now, &datagram);
            }
            if call.keys_were_given() && call.browser.keying.is_some() {
                break;
            }
            if call.browser.sent.is_empty() {
                call.tick();
            }
        }
        call.assert_connected();
    }

    #[test]
    fn mutated_handshakes_give_keys_to_nobody_else(at in any::<prop::sample::Index>(), value: u8, is_13: bool) {
        let mut call = Call::new(if is_13 { Version::Dtls13 } else { Version::Dtls12 });
        for _ in 0..4 {
            for mut datagram in std::mem::take(&mut call.browser.sent) {
                let at = at.index(datagram.len());
                datagram[at] ^= value;
                let _ = call.deliver(&datagram);
            }
            for datagram in std::mem::take(&mut call.sent) {
                call.browser.receive(call.now, &datagram);
            }
        }
        if call.keys_were_given() {
            call.assert_connected();
        }
    }
}

const LOST: u8 = 4;
const SOUND: u8 = 15;

/// Lose, repeat and swap datagrams as fate has it.
fn disturb(datagrams: Vec<Vec<u8>>, fates: &mut impl Iterator<Item = u8>) -> Vec<Vec<u8>> {
    let mut arriving = Vec::new();
    for datagram in datagrams {
        match fates.next() {
            Some(0..LOST) => {}
            Some(LOST..6) => arriving.extend([datagram.clone(), datagram]),
            Some(6..9) => arriving.insert(0, datagram),
            _ => arriving.push(datagram),
        }
    }
    arriving
}
