//! Where the SIP side sends from and to: both address families, NATs, advertised addresses, packets of any size.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use trunkline_media::endpoint::{EndpointId, Lane, Remote, Security};
use trunkline_media::error::DropReason;
use trunkline_media::net::{Pt, SAFE_PAYLOAD_BYTES, SeqNo, SrtpProfile, Ssrc};
use trunkline_media::rtp::Header;

use crate::calls::{assert_unbroken, decode};
use crate::support::browser::Browser;
use crate::support::memory::{Lab, RTP};
use crate::support::phone::Phone;
use crate::support::secure::{SecurePhone, keys};
use crate::support::sound::Speaker;
use crate::support::stalls::in_real_time;
use crate::support::{PATIENCE, Rig, catch_up, new_call, now, own_address, pcmu, sleep_until, stream};

const FRAME: Duration = Duration::from_millis(20);
/// Ports that no other test's range meets, since a wildcard takes them on every address.
const WILDCARD_PORTS: (u16, u16) = (24_000, 24_999);

#[test]
fn a_phone_of_each_address_family_hears_the_other() {
    in_real_time(|| {
        let ip = own_address();
        let mut rig = Rig::on(ip, |config| {
            config.rtp_bind = Ipv6Addr::UNSPECIFIED.into();
            config.rtp_ports = WILDCARD_PORTS;
            config.rtp_advertised = vec![ip, Ipv6Addr::LOCALHOST.into()];
        });
        let call = new_call();
        let old = rig.rtp_port(call);
        assert_eq!(old.rtp.ip(), ip);
        let new = rig.rtp_port(call);
        let (new_rtp, new_rtcp) = rig.other_family.unwrap();
        assert_eq!((new_rtp.ip(), new_rtcp.port()), (IpAddr::V6(Ipv6Addr::LOCALHOST), new_rtp.port() + 1));
        let (mut old_phone, mut new_phone) = (Phone::new(ip), Phone::new(Ipv6Addr::LOCALHOST.into()));
        rig.set_remote(call, old.id, old_phone.remote(), stream(&[pcmu()]));
        rig.set_remote(call, new.id, new_phone.remote(), stream(&[pcmu()]));
        rig.join(call, old.id, new.id);

        let mut voices = (Speaker::new(pcmu(), 700.0), Speaker::new(pcmu(), 1_500.0));
        let (mut at_old, mut at_new) = (Vec::new(), Vec::new());
        let start = now();
        for frame in 1..=100 {
            old_phone.send(old.rtp, pcmu().pt, 160, &voices.0.payload());
            new_phone.send(new_rtp, pcmu().pt, 160, &voices.1.payload());
            sleep_until(start + FRAME * frame);
            at_old.extend(old_phone.received());
            at_new.extend(new_phone.received());
        }
        catch_up(&mut at_old, 100, || old_phone.received());
        catch_up(&mut at_new, 100, || new_phone.received());
        assert_unbroken(&at_old, 160);
        assert_unbroken(&at_new, 160);
        decode(&at_new, pcmu()).heard.after_ms(200).assert_tone(700.0, -10.0, 1.6);
        decode(&at_old, pcmu()).heard.after_ms(200).assert_tone(1_500.0, -10.0, 1.6);
    });
}

#[test]
fn the_advertised_address_may_differ_from_the_bound_one() {
    in_real_time(|| {
        let public: IpAddr = "203.0.113.7".parse().unwrap();
        let mut rig = Rig::with(|config| config.rtp_advertised = vec![public]);
        let call = new_call();
        let port = rig.rtp_port(call);
        assert_eq!((port.rtp.ip(), port.rtcp.ip(), port.rtcp.port()), (public, public, port.rtp.port() + 1));
        let mut phone = Phone::new(rig.ip);
        rig.set_remote(call, port.id, phone.remote(), stream(&[pcmu()]));
        rig.join(call, port.id, port.id);
        // What the 1:1 NAT before us does.
        let bound = SocketAddr::new(rig.ip, port.rtp.port());
        let start = now();
        for frame in 1..=20 {
            phone.send(bound, pcmu().pt, 160, &[0x33; 160]);
            sleep_until(start + FRAME * frame);
        }
        let mut received = Vec::new();
        catch_up(&mut received, 20, || phone.received());
        assert_eq!(received.len(), 20);
    });
}

#[test]
fn a_phone_behind_a_nat_is_heard_and_answered_at_its_public_address_and_nobody_else_is() {
    let mut lab = Lab::new();
    let leg = lab.rtp_leg(&[pcmu()]);
    lab.bridge.join(leg, leg).unwrap();
    let private: SocketAddr = "192.168.1.5:4000".parse().unwrap();
    let public: SocketAddr = "203.0.113.9:61000".parse().unwrap();
    let strangers = ["203.0.113.66:5000", "10.0.0.66:5000", "127.0.0.66:5000"].map(|text| text.parse().unwrap());
    let remote = Remote::Rtp { rtp: private, rtcp: Lab::far_rtcp(), is_muxed: false, security: Security::Clear };
    lab.bridge.set_remote(lab.now, leg, remote, &stream(&[pcmu()]), &mut lab.outbox).unwrap();

    let mut heard_at = Vec::new();
    for seq in 0..500_u16 {
        lab.advance(FRAME);
        let mut packet = vec![0; 172];
        Header::new(Pt(0), SeqNo(seq), u32::from(seq) * 160, Ssrc(1)).write(&mut packet).unwrap();
        // The stranger's numbers have gaps, as those of one who sprays many ports have; later it sends a whole stream.
        for stranger in strangers {
            let mut stray = packet.clone();
            let step = if seq < 100 { 3 } else { 1 };
            Header::new(Pt(0), SeqNo(seq * step), 0, Ssrc(66)).write(&mut stray).unwrap();
            let result = lab.bridge.handle_datagram(lab.now, (leg, Lane::Rtp), stranger, &mut stray, &mut lab.outbox);
            assert_eq!(result, Err(DropReason::UnverifiedSource), "{stranger}");
        }
        if lab.bridge.handle_datagram(lab.now, (leg, Lane::Rtp), public, &mut packet, &mut lab.outbox).is_ok() {
            heard_at.push(seq);
        }
        let media = lab.outbox.iter().filter(|transmit| transmit.destination.socket == RTP);
        assert!(media.map(|transmit| transmit.destination.remote).all(|remote| remote == public));
        lab.outbox.clear();
    }
    assert_eq!(heard_at.first(), Some(&31), "eight packets after the first half second");
    assert_eq!(heard_at.len(), 500 - 31);
}

/// As in a packet of video: nearly all that a safe datagram carries.
#[test]
fn packets_of_1200_bytes_pass_with_every_trailer() {
    in_real_time(|| {
        let payload: Vec<u8> = (0..SAFE_PAYLOAD_BYTES).map(|place| u8::try_from(place % 251).unwrap()).collect();
        let mut rig = Rig::new();
        for profile in SrtpProfile::ALL {
            let call = new_call();
            let keys = keys(profile, 3);
            let (web, port, plain) = (rig.web_port(call), rig.rtp_port(call), rig.rtp_port(call));
            let mut browser = Browser::new(rig.ip, &web);
            let (mut secure, mut phone) = (SecurePhone::sdes(rig.ip, &keys), Phone::new(rig.ip));
            rig.set_remote(call, web.id, browser.client.remote(), stream(&[pcmu()]));
            rig.set_remote(call, port.id, secure.remote(Security::Sdes(keys)), stream(&[pcmu()]));
            rig.set_remote(call, plain.id, phone.remote(), stream(&[pcmu()]));
            browser.connect(&mut rig, PATIENCE);
            let mut relay = |a: EndpointId, b: EndpointId| rig.join(call, a, b);

            relay(web.id, port.id);
            let (mut at_browser, mut at_secure) = (Vec::new(), Vec::new());
            for _ in 0..5 {
                browser.speak(pcmu().pt, 160, &payload);
                secure.send(port.rtp, pcmu().pt, 160, &payload);
                sleep_until(now() + FRAME);
                at_browser.extend(browser.received());
                at_secure.extend(secure.received());
            }
            catch_up(&mut at_browser, 5, || browser.received());
            catch_up(&mut at_secure, 5, || secure.received());
            assert!(at_browser.len() >= 4 && at_secure.len() >= 4, "{} and {}", at_browser.len(), at_secure.len());

            relay(port.id, plain.id);
            let mut at_phone = Vec::new();
            for _ in 0..5 {
                phone.send(plain.rtp, pcmu().pt, 160, &payload);
                secure.send(port.rtp, pcmu().pt, 160, &payload);
                sleep_until(now() + FRAME);
                at_phone.extend(phone.received());
                at_secure.extend(secure.received());
            }
            catch_up(&mut at_phone, 5, || phone.received());
            catch_up(&mut at_secure, 10, || secure.received());
            assert!(at_phone.len() >= 4 && at_secure.len() >= 8, "{} and {}", at_phone.len(), at_secure.len());
            let packets = at_browser.iter().chain(&at_secure).chain(&at_phone);
            assert!(packets.map(|packet| &packet.payload).all(|received| *received == payload));
        }
    });
}
