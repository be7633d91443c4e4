//! Floods: bounded work, nothing kept, and the call beside it loses no packet.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use trunkline_media::endpoint::Lane;
use trunkline_media::net::SeqNo;

use crate::allocation::kept_bytes;
use crate::calls::Scene;
use crate::support::browser::{Browser, Client};
use crate::support::memory::Lab;
use crate::support::phone::{Phone, datagrams};
use crate::support::stalls::in_real_time;
use crate::support::{PATIENCE, Rig, RtpPort, WebPort, catch_up, new_call, now, opus, pcmu, sleep_until, stream};

const FRAME: Duration = Duration::from_millis(20);
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 67));
const FRAMES: u32 = 75;

/// Two phones that speak and hear, on the worker that is being flooded.
struct CallBeside {
    caller: Phone,
    callee: Phone,
    ports: [RtpPort; 2],
}

impl CallBeside {
    fn new(rig: &mut Rig) -> Self {
        let call = new_call();
        let ports = [rig.rtp_port(call), rig.rtp_port(call)];
        let (caller, callee) = (Phone::new(rig.ip), Phone::new(rig.ip));
        rig.set_remote(call, ports[0].id, caller.remote(), stream(&[pcmu()]));
        rig.set_remote(call, ports[1].id, callee.remote(), stream(&[pcmu()]));
        rig.join(call, ports[0].id, ports[1].id);
        Self { caller, callee, ports }
    }

    /// Speaks both ways while `flood` runs once a frame; every packet must arrive, in order.
    fn is_undisturbed_by(&mut self, mut flood: impl FnMut(u32)) {
        let [one, other] = self.ports;
        let (mut at_caller, mut at_callee) = (Vec::new(), Vec::new());
        let start = now();
        for frame in 0..FRAMES {
            self.caller.send(one.rtp, pcmu().pt, 160, &[0x11; 160]);
            self.callee.send(other.rtp, pcmu().pt, 160, &[0x22; 160]);
            flood(frame);
            sleep_until(start + FRAME * (frame + 1));
            at_caller.extend(self.caller.received());
            at_callee.extend(self.callee.received());
        }
        let wanted = usize::try_from(FRAMES).unwrap();
        catch_up(&mut at_caller, wanted, || self.caller.received());
        catch_up(&mut at_callee, wanted, || self.callee.received());
        for heard in [at_caller, at_callee] {
            assert!(heard.len() >= wanted, "{} of {FRAMES} packets", heard.len());
            assert!(heard.windows(2).all(|pair| pair[1].header.seq == pair[0].header.seq.next()), "a gap");
        }
    }
}

/// One DTLS record with a fragment of a ClientHello of `message_bytes`.
fn hello_fragment(message_seq: u16, message_bytes: u16, offset: u16, data: &[u8]) -> Vec<u8> {
    let fragment_bytes = u16::try_from(data.len()).unwrap();
    let mut record = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0];
    record.extend((fragment_bytes + 12).to_be_bytes());
    record.push(1);
    for (place, value) in [message_bytes, message_seq, offset, fragment_bytes].into_iter().enumerate() {
        if place != 1 {
            record.push(0);
        }
        record.extend(value.to_be_bytes());
    }
    record.extend(data);
    record
}

/// A check in good order but for its password.
fn forged_check(web: &WebPort) -> Vec<u8> {
    let guessed = WebPort { pwd: "a".repeat(web.pwd.len()), ..web.clone() };
    Client::new(now(), &guessed).check()
}

#[test]
fn a_far_side_that_sends_twenty_times_its_rate_is_cut_down() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let mut beside = CallBeside::new(&mut rig);
        let call = new_call();
        let (flooded, quiet) = (rig.rtp_port(call), rig.rtp_port(call));
        let (mut flooder, victim) = (Phone::new(rig.ip), Phone::new(rig.ip));
        rig.set_remote(call, flooded.id, flooder.remote(), stream(&[pcmu()]));
        rig.set_remote(call, quiet.id, victim.remote(), stream(&[pcmu()]));
        rig.join(call, flooded.id, quiet.id);

        let start = now();
        let mut heard = 0;
        beside.is_undisturbed_by(|_| {
            for _ in 0..20 {
                flooder.send(flooded.rtp, pcmu().pt, 160, &[0x66; 160]);
            }
            heard += victim.received().len();
        });
        let took = now() - start;
        heard += victim.received().len();
        let share = usize::try_from(took.as_micros() / 2_500).unwrap() + 130;
        assert!((300..=share).contains(&heard), "{heard} packets in {took:?}");
        assert!(rig.drops("rtp_rate") > 100, "only {} counted", rig.drops("rtp_rate"));
    });
}

#[test]
fn a_flood_of_stun_is_not_answered_and_disturbs_nobody() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let mut beside = CallBeside::new(&mut rig);
        let call = new_call();
        let web = rig.web_port(call);
        let mut browser = Browser::new(rig.ip, &web);
        rig.set_remote(call, web.id, browser.client.remote(), stream(&[opus()]));
        browser.connect(&mut rig, PATIENCE);
        let stranger = Phone::new(STRANGER);
        let unsigned = forged_check(&web);
        let nobodys = b"\0\x01\0\x0c\x21\x12\xa4\x42aaaaaaaaaaaa\0\x06\0\x07nobody:";
        beside.is_undisturbed_by(|_| {
            rig.after_burst(|| {
                for _ in 0..50 {
                    stranger.rtp.send_to(&unsigned, web.address).unwrap();
                    stranger.rtp.send_to(nobodys, web.address).unwrap();
                    browser.send(&unsigned);
                }
                150
            });
        });
        assert_eq!(datagrams(&stranger.rtp).len(), 0, "no answer, no error response");
        assert!(rig.drops("stun_integrity") >= u64::from(FRAMES) * 90, "{}", rig.drops("stun_integrity"));
        // The browser that was connected still is.
        let check = browser.client.check();
        browser.send(&check);
        let mut answers = Vec::new();
        catch_up(&mut answers, 1, || datagrams(&browser.socket));
        assert!(!answers.is_empty(), "a good check is answered");
    });
}

#[test]
fn a_flood_of_hello_fragments_disturbs_nobody_and_the_handshake_still_completes() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let mut beside = CallBeside::new(&mut rig);
        let call = new_call();
        let web = rig.web_port(call);
        let mut browser = Browser::new(rig.ip, &web);
        rig.set_remote(call, web.id, browser.client.remote(), stream(&[opus()]));
        // From here on the browser's address is proven, and its DTLS is heard.
        let check = browser.client.check();
        browser.send(&check);
        beside.is_undisturbed_by(|frame| {
            rig.after_burst(|| {
                for number in 0..40_u16 {
                    let seq = u16::try_from(frame % 3).unwrap();
                    browser.send(&hello_fragment(seq, 1_400 + number, 100 + number * 4, &[0x55; 3]));
                    browser.send(&hello_fragment(seq, 60_000, number, &[0x55; 300]));
                }
                80
            });
        });
        assert!(rig.drops("dtls_fragment") >= u64::from(FRAMES) * 40, "{}", rig.drops("dtls_fragment"));
        browser.connect(&mut rig, PATIENCE);
    });
}

#[test]
fn rtcp_with_lying_lengths_is_counted_and_disturbs_nobody() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let mut beside = CallBeside::new(&mut rig);
        let to = beside.ports[0].rtcp;
        let rtcp = beside.caller.rtcp.try_clone().unwrap();
        let lies: [&[u8]; 5] = [
            &[0x80, 200, 0xff, 0xff, 0, 0, 0, 1],
            &[0x9f, 201, 0, 1, 0, 0, 0, 1],
            &[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 0xff, b'a', 0],
            &[0x80, 201, 0, 0],
            &[0x81],
        ];
        beside.is_undisturbed_by(|_| {
            rig.after_burst(|| {
                for lie in lies {
                    for _ in 0..10 {
                        rtcp.send_to(lie, to).unwrap();
                    }
                }
                50
            });
        });
        let counted = rig.drops("rtcp_malformed") + rig.drops("unclassified") + rig.drops("unverified_source");
        assert!(counted >= u64::from(FRAMES) * 40, "only {counted} counted");
    });
}

#[test]
fn numbers_may_wrap_with_packets_out_of_order_in_the_clear_and_encrypted() {
    in_real_time(|| {
        let mut scene = Scene::new(&[pcmu()], &[pcmu()]);
        scene.browser.client.seq = SeqNo(65_500);
        scene.phone.seq = SeqNo(65_500);
        let packets = 80_u8;
        let taken = scene.rig.taken();
        let (mut at_browser, mut at_phone) = (Vec::new(), Vec::new());
        let start = now();
        for pair in 0..packets / 2 {
            // Every fourth pair changes places.
            let [first, second] = if pair % 4 == 3 { [1, 0] } else { [0, 1] };
            let value = |place: u8| [pair * 2 + place; 160];
            let mut web = [0, 1].map(|place| {
                scene.browser.client.timestamp += 160;
                let at = (scene.browser.client.timestamp, false);
                Some(scene.browser.client.packet(pcmu().pt, at, &value(place)))
            });
            let seq = scene.phone.seq;
            for place in [first, second] {
                scene.browser.send(&web[usize::from(place)].take().unwrap());
                scene.phone.seq = if place == 0 { seq } else { seq.next() };
                let timestamp = 7_000 + (u32::from(pair) * 2 + u32::from(place)) * 160;
                scene.phone.send_marked(scene.port.rtp, pcmu().pt, (timestamp, false), &value(place));
            }
            scene.phone.seq = seq.next().next();
            sleep_until(start + 2 * FRAME * (u32::from(pair) + 1));
            at_browser.extend(scene.browser.received());
            at_phone.extend(scene.phone.received());
        }
        scene.rig.settle(scene.call, taken + 2 * u64::from(packets));
        at_browser.extend(scene.browser.received());
        at_phone.extend(scene.phone.received());
        for (heard, side) in [(&at_browser, "browser"), (&at_phone, "phone")] {
            let mut values: Vec<u8> = heard.iter().map(|packet| packet.payload[0]).collect();
            values.sort_unstable();
            values.dedup();
            assert!(values.len() >= usize::from(packets) - 2, "{} of {packets} at the {side}", values.len());
            assert!(heard.iter().all(|packet| packet.header.ssrc == heard[0].header.ssrc));
        }
    });
}

#[test]
fn a_flood_leaves_no_memory_behind() {
    let mut lab = Lab::new();
    let (browser, mut client) = lab.web_leg(&[pcmu()]);
    let phone = lab.rtp_leg(&[pcmu()]);
    lab.bridge.join(browser, phone).unwrap();
    let mut check = client.check();
    let integrity = check.len() - 20;
    check[integrity] ^= 1;
    let flood = |lab: &mut Lab, numbers: std::ops::Range<u32>| {
        for number in numbers {
            let [.., high, low] = number.to_be_bytes();
            let mut forged = vec![0x80, 0, high, low, 0, 0, 0, 0, 9, 9, high, low];
            forged.resize(190, high);
            let mut strange = forged.clone();
            let mut report = [0x80, 200, 0xff, 0xff, 9, 9, high, low];
            let mut fragment = hello_fragment(u16::from(low), 1_000, u16::from(high), &[low; 30]);
            let _ = lab.web_datagram(browser, &mut forged);
            let _ = lab.web_datagram(browser, &mut fragment);
            let _ = lab.rtp_datagram(phone, &mut strange);
            let stranger = "192.0.2.99:1".parse().unwrap();
            let (at, outbox) = (lab.now, &mut lab.outbox);
            let _ = lab.bridge.handle_datagram(at, (phone, Lane::Rtp), stranger, &mut strange, outbox);
            let _ = lab.bridge.handle_datagram(at, (phone, Lane::Rtcp), Lab::far_rtcp(), &mut report, outbox);
            let _ = lab.web_datagram(browser, &mut check.clone());
            lab.outbox.clear();
            lab.advance(Duration::from_micros(100));
            while lab.bridge.poll_event().is_some() {}
        }
    };
    flood(&mut lab, 0..2_000);
    let kept = kept_bytes(|| flood(&mut lab, 2_000..12_000));
    assert!(kept <= 0, "{kept} bytes of 10,000 rounds");
}
