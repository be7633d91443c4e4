//! Strangers on the network get nothing and change nothing.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use trunkline_media::dtls::{Certificate, Handshake, Role};
use trunkline_media::net::{SeqNo, Ssrc};

use crate::calls::Scene;
use crate::support::browser::Browser;
use crate::support::phone::{Phone, datagrams};
use crate::support::stalls::in_real_time;
use crate::support::{PATIENCE, Rig, catch_up, new_call, now, opus, pcmu, sleep_until, stream};

const FRAME: Duration = Duration::from_millis(20);
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));

#[test]
fn a_stranger_on_the_rtp_port_gets_and_injects_nothing_early_or_late() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let call = new_call();
        let (one, other) = (rig.rtp_port(call), rig.rtp_port(call));
        let (mut caller, mut callee, mut stranger) = (Phone::new(rig.ip), Phone::new(rig.ip), Phone::new(STRANGER));
        stranger.ssrc = Ssrc(0xbad);
        let spray = |stranger: &mut Phone| {
            for port in [one, other] {
                stranger.send(port.rtp, pcmu().pt, 160, &[0x66; 160]);
                stranger.rtp.send_to(&[0x80, 200, 0, 0], port.rtcp).unwrap();
                stranger.rtp.send_to(&[0x81, 203, 0, 1, 0x51, 0x51, 0, 0], port.rtcp).unwrap();
            }
        };
        for _ in 0..25 {
            spray(&mut stranger);
            sleep_until(now() + Duration::from_millis(4));
        }
        rig.set_remote(call, one.id, caller.remote(), stream(&[pcmu()]));
        rig.set_remote(call, other.id, callee.remote(), stream(&[pcmu()]));
        rig.join(call, one.id, other.id);

        let (mut at_caller, mut at_callee) = (Vec::new(), Vec::new());
        let start = now();
        for frame in 1..=100_u32 {
            spray(&mut stranger);
            // The phones begin after a second: the stranger has the line to itself until then.
            if frame > 50 {
                caller.send(one.rtp, pcmu().pt, 160, &[0x11; 160]);
                callee.send(other.rtp, pcmu().pt, 160, &[0x22; 160]);
            }
            sleep_until(start + FRAME * frame);
            at_caller.extend(caller.received());
            at_callee.extend(callee.received());
        }
        catch_up(&mut at_caller, 50, || caller.received());
        catch_up(&mut at_callee, 50, || callee.received());
        assert_eq!(datagrams(&stranger.rtp).len() + datagrams(&stranger.rtcp).len(), 0, "nothing for the stranger");
        assert!(at_caller.iter().all(|packet| packet.payload == [0x22; 160]), "nothing of the stranger");
        assert!(at_callee.iter().all(|packet| packet.payload == [0x11; 160]), "nothing of the stranger");
        assert!(at_caller.len() >= 48 && at_callee.len() >= 48, "{} and {}", at_caller.len(), at_callee.len());
    });
}

#[test]
fn a_phone_that_sends_from_another_port_of_its_host_is_followed() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let call = new_call();
        let port = rig.rtp_port(call);
        let (mut phone, signalled) = (Phone::new(rig.ip), Phone::new(rig.ip));
        rig.set_remote(call, port.id, signalled.remote(), stream(&[pcmu()]));
        rig.join(call, port.id, port.id);
        let taken = rig.taken();
        let start = now();
        for frame in 1..=30 {
            phone.send(port.rtp, pcmu().pt, 160, &[0x33; 160]);
            sleep_until(start + FRAME * frame);
        }
        rig.settle(call, taken + 30);
        let received = phone.received();
        assert!(received.len() >= 24, "{}", received.len());
        assert_eq!(signalled.received(), []);
    });
}

#[test]
fn forged_and_replayed_srtp_goes_nowhere_and_the_call_goes_on() {
    in_real_time(|| {
        let mut scene = Scene::new(&[pcmu()], &[pcmu()]);
        scene.talk(5, (pcmu(), 440.0), (pcmu(), 1_000.0));
        let mut packets = Vec::new();
        let taken = scene.rig.taken();
        for value in 0..100_u8 {
            let packet = scene.browser.client.packet(pcmu().pt, (u32::from(value) * 160, false), &[value; 160]);
            scene.browser.send(&packet);
            packets.push(packet);
        }
        scene.rig.settle(scene.call, taken + 100);
        scene.phone.received();

        scene.rig.after_burst(|| {
            for packet in &packets {
                scene.browser.send(packet);
            }
            100
        });
        let mut forged = scene.browser.client.packet(pcmu().pt, (50_000, false), &[0xee; 160]);
        *forged.last_mut().unwrap() ^= 1;
        scene.browser.send(&forged);
        for number in 0..200_u8 {
            let mut junk = [number; 60];
            junk[..4].copy_from_slice(&[0x80, 0, 0, number]);
            scene.browser.send(&junk);
        }
        scene.rig.settle(scene.call, taken + 401);
        assert_eq!(scene.phone.received(), []);
        assert!(scene.rig.drops("srtp_replay") + scene.rig.drops("srtp_too_old") >= 100);
        assert!(scene.rig.drops("srtp_authentication") >= 201);

        let (at_browser, at_phone) = scene.talk(20, (pcmu(), 440.0), (pcmu(), 1_000.0));
        assert!(at_browser.len() >= 18 && at_phone.len() >= 18);
    });
}

#[test]
fn a_stranger_at_the_shared_port_is_neither_answered_nor_heard() {
    in_real_time(|| {
        let mut scene = Scene::new(&[pcmu()], &[pcmu()]);
        let stranger = Phone::new(STRANGER);
        let certificate = Certificate::generate().unwrap();
        let mut hello = Handshake::new(now(), &certificate, Role::Client, PATIENCE);
        let mut buffer = [0; 2_048];
        let hello_len = hello.poll_transmit(&mut buffer).unwrap();
        let own = scene.browser.client.packet(pcmu().pt, (0, false), &[0xdd; 160]);
        let mut unsigned_check = scene.browser.client.check();
        let len = unsigned_check.len();
        unsigned_check[len - 20] ^= 1;
        for data in
            [&buffer[..hello_len], &own, &unsigned_check, b"\0\x01\0\0\x21\x12\xa4\x42aaaaaaaaaaaa", b"garbage", b""]
        {
            for _ in 0..20 {
                stranger.rtp.send_to(data, scene.web.address).unwrap();
            }
        }
        scene.phone.received();
        let (at_browser, at_phone) = scene.talk(20, (pcmu(), 440.0), (pcmu(), 1_000.0));
        assert_eq!(datagrams(&stranger.rtp).len(), 0, "no answer, no alert, no media");
        assert!(at_phone.iter().all(|packet| packet.payload != [0xdd; 160]));
        assert!(at_browser.len() >= 18 && at_phone.len() >= 18);
    });
}

#[test]
fn a_clienthello_race_does_not_keep_browsers_from_connecting() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let call = new_call();
        let stranger = Phone::new(STRANGER);
        let certificate = Certificate::generate().unwrap();
        let mut hello = Handshake::new(now(), &certificate, Role::Client, PATIENCE);
        let mut buffer = [0; 2_048];
        let hello_len = hello.poll_transmit(&mut buffer).unwrap();
        for _ in 0..10 {
            let web = rig.web_port(call);
            let mut browser = Browser::new(rig.ip, &web);
            for _ in 0..10 {
                stranger.rtp.send_to(&buffer[..hello_len], web.address).unwrap();
            }
            rig.set_remote(call, web.id, browser.client.remote(), stream(&[opus()]));
            browser.connect(&mut rig, PATIENCE);
            stranger.rtp.send_to(&buffer[..hello_len], web.address).unwrap();
            rig.close(call, web.id);
        }
        assert_eq!(datagrams(&stranger.rtp).len(), 0);
    });
}

#[test]
fn garbage_on_every_port_is_counted_and_changes_nothing() {
    in_real_time(|| {
        let mut scene = Scene::new(&[pcmu()], &[pcmu()]);
        scene.talk(10, (pcmu(), 440.0), (pcmu(), 1_000.0));
        let before = scene.rig.engine.totals().drops.iter().map(|(_, count)| count).sum::<u64>();
        let mut state = 0x1234_5678_u32;
        let mut garbage = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let len = usize::try_from(state >> 24).unwrap();
            (0..len)
                .map(|place| (state.rotate_left(u32::try_from(place % 32).unwrap()) & 0xff) as u8)
                .collect::<Vec<u8>>()
        };
        for _ in 0..30 {
            scene.rig.after_burst(|| {
                for _ in 0..10 {
                    let data = garbage();
                    scene.browser.send(&data);
                    scene.phone.rtp.send_to(&data, scene.port.rtp).unwrap();
                    scene.phone.rtcp.send_to(&data, scene.port.rtcp).unwrap();
                }
                30
            });
        }
        scene.rig.after_burst(|| {
            scene.phone.rtp.send_to(&[0x80; 4_000], scene.port.rtp).unwrap();
            1
        });
        scene.phone.seq = SeqNo(scene.phone.seq.0);
        let (at_browser, at_phone) = scene.talk(50, (pcmu(), 440.0), (pcmu(), 1_000.0));
        assert!(at_browser.len() >= 45 && at_phone.len() >= 45, "{} and {}", at_browser.len(), at_phone.len());
        let after = scene.rig.engine.totals().drops.iter().map(|(_, count)| count).sum::<u64>();
        assert!(after - before >= 600, "only {} counted", after - before);
        assert_eq!(scene.rig.drops("oversize"), 1);
    });
}
