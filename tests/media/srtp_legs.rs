//! SRTP on the SIP side: keys of the signalling and of DTLS, changes of keys, forgeries.

use std::net::SocketAddr;
use std::time::Duration;

use trunkline_media::bridge::LegIndex;
use trunkline_media::dtls::{Certificate, Fingerprint, Handshake, Role};
use trunkline_media::endpoint::{Lane, Remote, Security};
use trunkline_media::error::DropReason;
use trunkline_media::net::{Pt, SeqNo, SrtpKeys, SrtpProfile, Ssrc};
use trunkline_media::rtp::Header;
use trunkline_media::srtp::Context;

use crate::calls::{assert_unbroken, decode};
use crate::support::browser::Browser;
use crate::support::memory::{Lab, RTCP, RTP};
use crate::support::phone::{Packet, Phone};
use crate::support::secure::{SecurePhone, contexts, keys, protect, unprotect};
use crate::support::sound::Speaker;
use crate::support::stalls::in_real_time;
use crate::support::{PATIENCE, Rig, RtpPort, catch_up, new_call, now, pcmu, sleep_until, stream};

const FRAME: Duration = Duration::from_millis(20);

/// Both sides speak for two seconds and hear each other's tone.
fn talk(secure: &mut SecurePhone, secure_port: &RtpPort, phone: &mut Phone, port: &RtpPort) {
    let mut voices = (Speaker::new(pcmu(), 700.0), Speaker::new(pcmu(), 1_500.0));
    let (mut at_secure, mut at_phone) = (Vec::new(), Vec::new());
    let start = now();
    for frame in 1..=100 {
        secure.send(secure_port.rtp, pcmu().pt, 160, &voices.0.payload());
        phone.send(port.rtp, pcmu().pt, 160, &voices.1.payload());
        sleep_until(start + FRAME * frame);
        at_secure.extend(secure.received());
        at_phone.extend(phone.received());
    }
    catch_up(&mut at_secure, 100, || secure.received());
    catch_up(&mut at_phone, 100, || phone.received());
    assert_unbroken(&at_phone, 160);
    assert_unbroken(&at_secure, 160);
    decode(&at_phone, pcmu()).heard.after_ms(200).assert_tone(700.0, -10.0, 1.6);
    decode(&at_secure, pcmu()).heard.after_ms(200).assert_tone(1_500.0, -10.0, 1.6);
}

#[test]
fn a_phone_with_keys_of_the_signalling_and_a_plain_one_hear_each_other() {
    in_real_time(|| {
        let mut rig = Rig::new();
        for profile in SrtpProfile::ALL {
            let call = new_call();
            let keys = keys(profile, 3);
            let (one, other) = (rig.rtp_port(call), rig.rtp_port(call));
            let (mut secure, mut phone) = (SecurePhone::sdes(rig.ip, &keys), Phone::new(rig.ip));
            rig.set_remote(call, one.id, secure.remote(Security::Sdes(keys)), stream(&[pcmu()]));
            rig.set_remote(call, other.id, phone.remote(), stream(&[pcmu()]));
            rig.join(call, one.id, other.id);
            talk(&mut secure, &one, &mut phone, &other);
        }
    });
}

#[test]
fn a_phone_with_keys_of_the_signalling_and_a_browser_hear_each_other() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let call = new_call();
        let keys = keys(SrtpProfile::Aes128CmSha1_80, 3);
        let (web, port) = (rig.web_port(call), rig.rtp_port(call));
        let (mut browser, mut phone) = (Browser::new(rig.ip, &web), SecurePhone::sdes(rig.ip, &keys));
        rig.set_remote(call, web.id, browser.client.remote(), stream(&[pcmu()]));
        rig.set_remote(call, port.id, phone.remote(Security::Sdes(keys)), stream(&[pcmu()]));
        rig.join(call, web.id, port.id);
        browser.connect(&mut rig, PATIENCE);

        let mut voices = (Speaker::new(pcmu(), 700.0), Speaker::new(pcmu(), 1_500.0));
        let (mut at_browser, mut at_phone) = (Vec::new(), Vec::new());
        let start = now();
        for frame in 1..=100 {
            browser.speak(pcmu().pt, 160, &voices.0.payload());
            phone.send(port.rtp, pcmu().pt, 160, &voices.1.payload());
            sleep_until(start + FRAME * frame);
            at_browser.extend(browser.received());
            at_phone.extend(phone.received());
        }
        catch_up(&mut at_browser, 100, || browser.received());
        catch_up(&mut at_phone, 100, || phone.received());
        decode(&at_phone, pcmu()).heard.after_ms(200).assert_tone(700.0, -10.0, 1.6);
        decode(&at_browser, pcmu()).heard.after_ms(200).assert_tone(1_500.0, -10.0, 1.6);
    });
}

#[test]
fn a_phone_that_shakes_hands_in_either_role_and_a_plain_one_hear_each_other() {
    in_real_time(|| {
        for role in [Role::Client, Role::Server] {
            let mut rig = Rig::new();
            let call = new_call();
            let (one, other) = (rig.rtp_port(call), rig.rtp_port(call));
            let (mut secure, security) = SecurePhone::dtls(rig.ip, &rig.fingerprint, role);
            let mut phone = Phone::new(rig.ip);
            rig.set_remote(call, one.id, secure.remote(security), stream(&[pcmu()]));
            rig.set_remote(call, other.id, phone.remote(), stream(&[pcmu()]));
            rig.join(call, one.id, other.id);
            secure.connect(&mut rig, &one, PATIENCE);
            talk(&mut secure, &one, &mut phone, &other);
        }
    });
}

#[test]
fn a_certificate_that_the_sdp_did_not_name_ends_the_leg_and_no_media_flows() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let call = new_call();
        let port = rig.rtp_port(call);
        let (mut phone, _) = SecurePhone::dtls(rig.ip, &rig.fingerprint, Role::Server);
        let another = Certificate::generate().unwrap();
        let fingerprints = vec![Fingerprint::parse("sha-256", another.fingerprint()).unwrap()];
        let security = Security::Dtls { fingerprints, is_dtls_client: false };
        rig.set_remote(call, port.id, phone.remote(security), stream(&[pcmu()]));
        rig.join(call, port.id, port.id);
        let deadline = now() + PATIENCE;
        while rig.engine.totals().endpoints > 0 {
            assert!(now() < deadline, "the endpoint lives on");
            phone.shake_hands(port.rtp);
            sleep_until(now() + Duration::from_millis(1));
        }
        assert_eq!(rig.end_of(port.id), "dtls_failed");
    });
}

#[test]
fn a_strangers_hello_neither_disturbs_a_handshake_nor_is_answered() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let call = new_call();
        let (one, other) = (rig.rtp_port(call), rig.rtp_port(call));
        let stranger = Phone::new("127.0.0.66".parse().unwrap());
        let mut hello = Handshake::new(now(), &Certificate::generate().unwrap(), Role::Client, PATIENCE);
        let mut buffer = [0; 2_048];
        let len = hello.poll_transmit(&mut buffer).unwrap();
        let (mut secure, security) = SecurePhone::dtls(rig.ip, &rig.fingerprint, Role::Client);
        let mut phone = Phone::new(rig.ip);
        rig.set_remote(call, one.id, secure.remote(security), stream(&[pcmu()]));
        rig.set_remote(call, other.id, phone.remote(), stream(&[pcmu()]));
        rig.join(call, one.id, other.id);
        for _ in 0..50 {
            stranger.rtp.send_to(&buffer[..len], one.rtp).unwrap();
        }
        secure.connect(&mut rig, &one, PATIENCE);
        stranger.rtp.send_to(&buffer[..len], one.rtp).unwrap();
        talk(&mut secure, &one, &mut phone, &other);
        assert_eq!(crate::support::phone::datagrams(&stranger.rtp).len(), 0);
    });
}

/// A leg in the lab that hears itself, and its far side.
struct Echo {
    lab: Lab,
    leg: LegIndex,
    outbound: Context,
    inbound: Context,
    seq: SeqNo,
}

impl Echo {
    fn new(keys: &SrtpKeys) -> Self {
        Self::that_sends_from(SeqNo(1), keys)
    }

    /// first: the number of the first packet that comes back.
    fn that_sends_from(first: SeqNo, keys: &SrtpKeys) -> Self {
        let mut lab = Lab::new();
        lab.first_seq = first;
        let leg = lab.rtp_leg(&[pcmu()]);
        lab.bridge.join(leg, leg).unwrap();
        let (outbound, inbound) = contexts(keys);
        let mut echo = Self { lab, leg, outbound, inbound, seq: SeqNo(1) };
        echo.signal(keys, Lab::far_rtp());
        echo
    }

    /// The signalling says these keys and this address.
    fn signal(&mut self, keys: &SrtpKeys, rtp: SocketAddr) {
        let security = Security::Sdes(keys.clone());
        let remote = Remote::Rtp { rtp, rtcp: Lab::far_rtcp(), is_muxed: false, security };
        self.lab.bridge.set_remote(self.lab.now, self.leg, remote, &stream(&[pcmu()]), &mut self.lab.outbox).unwrap();
    }

    fn packet(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 12];
        let header = Header::new(Pt(0), self.seq, u32::from(self.seq.0) * 160, Ssrc(77));
        header.write(&mut packet).unwrap();
        self.seq = self.seq.next();
        packet.extend(payload);
        protect(&mut self.outbound, packet)
    }

    fn give_from(&mut self, source: SocketAddr, data: &mut [u8]) -> Result<(), DropReason> {
        self.lab.bridge.handle_datagram(self.lab.now, (self.leg, Lane::Rtp), source, data, &mut self.lab.outbox)
    }

    /// Sends a packet and returns what comes back, which must be authentic.
    fn speak(&mut self, payload: &[u8]) -> Option<Packet> {
        let mut data = self.packet(payload);
        self.lab.now += FRAME;
        self.give_from(Lab::far_rtp(), &mut data).unwrap();
        let mut sent = self.lab.sent_through(RTP);
        assert_eq!(sent.len(), 1);
        unprotect(&mut self.inbound, &mut sent[0])
    }
}

#[test]
fn a_repetition_of_the_same_keys_keeps_rollover_counters_and_replay_window() {
    let keys = keys(SrtpProfile::Aes128CmSha1_80, 9);
    let mut echo = Echo::new(&keys);
    echo.seq = SeqNo(60_000);
    for _ in 0..10_000 {
        assert_eq!(echo.speak(&[5; 160]).map(|packet| packet.payload), Some(vec![5; 160]));
    }
    assert!(echo.seq.0 < 10_000, "the numbers have wrapped");
    let mut old = echo.packet(&[6; 160]);
    let mut again = old.clone();
    echo.give_from(Lab::far_rtp(), &mut old).unwrap();
    let mut sent = echo.lab.sent_through(RTP);
    assert!(unprotect(&mut echo.inbound, &mut sent[0]).is_some());

    echo.signal(&keys, Lab::far_rtp());
    // Longer than keys of before would be taken.
    echo.lab.advance(Duration::from_secs(6));
    echo.lab.outbox.clear();
    assert_eq!(echo.give_from(Lab::far_rtp(), &mut again), Err(DropReason::SrtpReplay));
    assert_eq!(echo.speak(&[7; 160]).map(|packet| packet.payload), Some(vec![7; 160]));
}

#[test]
fn a_new_key_of_the_far_side_takes_over_with_its_first_packet_and_the_old_one_serves_until_then() {
    let first = keys(SrtpProfile::AeadAes128Gcm, 1);
    let second = SrtpKeys { remote_key: vec![0xab; 16], ..first.clone() };
    let mut echo = Echo::new(&first);
    assert!(echo.speak(&[1; 160]).is_some());

    echo.signal(&second, Lab::far_rtp());
    assert!(echo.speak(&[2; 160]).is_some(), "on its way, or sent before the answer came");
    let mut late = echo.packet(&[3; 160]);
    let mut later = late.clone();
    echo.outbound = contexts(&second).0;
    let answer = echo.speak(&[4; 160]).unwrap();
    assert_eq!(answer.payload, [4; 160], "our own key stays, and with it its counter");
    assert_eq!(echo.give_from(Lab::far_rtp(), &mut late), Err(DropReason::SrtpAuthentication));

    let mut echo = Echo::new(&first);
    echo.signal(&second, Lab::far_rtp());
    echo.lab.advance(Duration::from_secs(6));
    echo.lab.outbox.clear();
    assert_eq!(echo.give_from(Lab::far_rtp(), &mut later), Err(DropReason::SrtpAuthentication), "too late");
}

#[test]
fn new_keys_of_both_directions_are_used_at_once() {
    let (first, second) = (keys(SrtpProfile::AeadAes128Gcm, 1), keys(SrtpProfile::Aes128CmSha1_80, 2));
    let mut echo = Echo::new(&first);
    assert!(echo.speak(&[1; 160]).is_some());
    echo.signal(&second, Lab::far_rtp());
    (echo.outbound, echo.inbound) = contexts(&second);
    assert_eq!(echo.speak(&[2; 160]).map(|packet| packet.payload), Some(vec![2; 160]));
}

/// A far side that keeps its key keeps our rollover counter too; one with another key begins with counter 0, as we do.
#[test]
fn our_own_rollover_counter_goes_on_under_the_same_keys_and_begins_anew_under_others() {
    for profile in SrtpProfile::ALL {
        let (first, second) = (keys(profile, 5), keys(profile, 6));
        let mut echo = Echo::that_sends_from(SeqNo(65_533), &first);
        let mut sent = Vec::new();
        let mut speak = |echo: &mut Echo| {
            let packet = echo.speak(&[5; 160]).unwrap_or_else(|| panic!("{profile:?}: not authentic after {sent:?}"));
            sent.push(packet.header.seq.0);
        };
        speak(&mut echo);
        echo.signal(&first, Lab::far_rtp());
        (0..4).for_each(|_| speak(&mut echo));
        echo.signal(&first, Lab::far_rtp());
        speak(&mut echo);
        echo.signal(&second, Lab::far_rtp());
        (echo.outbound, echo.inbound) = contexts(&second);
        (0..2).for_each(|_| speak(&mut echo));
        assert_eq!(sent, [65_533, 65_534, 65_535, 0, 1, 2, 3, 4], "{profile:?}");

        let mut echo = Echo::that_sends_from(SeqNo(65_533), &first);
        assert!(echo.speak(&[1; 160]).is_some());
        echo.signal(&second, Lab::far_rtp());
        (echo.outbound, echo.inbound) = contexts(&second);
        let seqs: Vec<_> = (0..4).map(|_| echo.speak(&[2; 160]).map(|packet| packet.header.seq.0)).collect();
        assert_eq!(seqs, [65_534, 65_535, 0, 1].map(Some), "{profile:?}: across the wrap under the new key");
    }
}

#[test]
fn a_flipped_bit_a_wrong_key_and_plain_rtp_are_not_forwarded() {
    for profile in SrtpProfile::ALL {
        let keys = keys(profile, 9);
        let mut echo = Echo::new(&keys);
        assert!(echo.speak(&[1; 160]).is_some());
        let packet = echo.packet(&[2; 160]);
        for place in [12, packet.len() / 2, packet.len() - 1] {
            let mut forged = packet.clone();
            forged[place] ^= 1;
            assert_eq!(echo.give_from(Lab::far_rtp(), &mut forged), Err(DropReason::SrtpAuthentication));
        }
        let mut plain = vec![0; 172];
        Header::new(Pt(0), SeqNo(50), 0, Ssrc(77)).write(&mut plain).unwrap();
        assert_eq!(echo.give_from(Lab::far_rtp(), &mut plain), Err(DropReason::SrtpAuthentication));
        assert_eq!(echo.lab.sent_through(RTP), Vec::<Vec<u8>>::new());
        assert!(echo.give_from(Lab::far_rtp(), &mut packet.clone()).is_ok(), "no forgery has used its number up");
    }
}

#[test]
fn reports_of_a_secure_leg_are_encrypted_and_those_in_the_clear_are_not_taken() {
    let keys = keys(SrtpProfile::Aes128CmSha1_80, 4);
    let mut echo = Echo::new(&keys);
    echo.speak(&[1; 160]);
    echo.lab.advance(Duration::from_secs(8));
    let mut reports = echo.lab.sent_through(RTCP);
    assert!(!reports[0].windows(2).any(|text| text == b"us"), "the name is not readable");
    let len = echo.inbound.unprotect_rtcp(&mut reports[0]).unwrap();
    assert!(reports[0][..len].windows(2).any(|text| text == b"us"));

    let mut report = [0x80, 201, 0, 1, 0, 0, 0, 77];
    let lane = (echo.leg, Lane::Rtcp);
    let result =
        echo.lab.bridge.handle_datagram(echo.lab.now, lane, Lab::far_rtcp(), &mut report, &mut echo.lab.outbox);
    assert_eq!(result, Err(DropReason::SrtpMalformed));
    let mut sealed = vec![0x80, 201, 0, 1, 0, 0, 0, 77];
    sealed.resize(40, 0);
    let len = echo.outbound.protect_rtcp(&mut sealed, 8).unwrap();
    let stranger = "203.0.113.66:4001".parse().unwrap();
    let (now, outbox) = (echo.lab.now, &mut echo.lab.outbox);
    let result = echo.lab.bridge.handle_datagram(now, lane, stranger, &mut sealed.clone()[..len], outbox);
    assert_eq!(result, Err(DropReason::UnverifiedSource));
    let result = echo.lab.bridge.handle_datagram(now, lane, Lab::far_rtcp(), &mut sealed[..len], outbox);
    assert_eq!(result, Ok(()));
}

#[test]
fn only_authentic_packets_move_the_latch_of_a_secure_leg() {
    let keys = keys(SrtpProfile::Aes128CmSha1_80, 4);
    let mut echo = Echo::new(&keys);
    let other_port: SocketAddr = "198.51.100.1:6000".parse().unwrap();
    for number in 0..50_u16 {
        let mut junk = vec![0; 182];
        Header::new(Pt(0), SeqNo(number), 0, Ssrc(9)).write(&mut junk).unwrap();
        assert_eq!(echo.give_from(other_port, &mut junk), Err(DropReason::SrtpAuthentication));
        assert_eq!(echo.give_from("203.0.113.66:4000".parse().unwrap(), &mut junk), Err(DropReason::UnverifiedSource));
    }
    let results: Vec<_> = (0..5)
        .map(|_| {
            let mut data = echo.packet(&[1; 160]);
            echo.give_from(other_port, &mut data).is_ok()
        })
        .collect();
    assert_eq!(results, [false, false, false, true, true]);
    let destinations: Vec<_> = echo.lab.outbox.iter().map(|transmit| transmit.destination.remote).collect();
    assert_eq!(destinations, [other_port, other_port]);
}

#[test]
fn keys_of_the_wrong_length_are_refused_and_change_nothing() {
    let good = keys(SrtpProfile::AeadAes256Gcm, 9);
    let mut echo = Echo::new(&good);
    let bad = SrtpKeys { local_key: vec![1; 16], remote_key: vec![2; 32], ..good };
    let remote = Remote::Rtp {
        rtp: Lab::far_rtp(),
        rtcp: Lab::far_rtcp(),
        is_muxed: false,
        security: Security::Sdes(bad.clone()),
    };
    let (now, leg) = (echo.lab.now, echo.leg);
    let error = echo.lab.bridge.set_remote(now, leg, remote, &stream(&[pcmu()]), &mut echo.lab.outbox).unwrap_err();
    assert_eq!(error.kind(), "invalid_parameter");
    assert!(echo.speak(&[1; 160]).is_some());
    assert!(!format!("{bad:?}").contains("[1, 1"), "keys are not shown: {bad:?}");
}
