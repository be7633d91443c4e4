//! Two legs that hear each other.

use std::time::Duration;

use trunkline_media::bridge::CallId;
use trunkline_media::endpoint::Direction;
use trunkline_media::engine::Command;
use trunkline_media::net::Ssrc;
use trunkline_media::pipeline::Format;

use crate::support::browser::Browser;
use crate::support::phone::{Packet, Phone};
use crate::support::sound::{Listener, Speaker};
use crate::support::stalls::in_real_time;
use crate::support::{
    PATIENCE, Rig, RtpPort, WebPort, catch_up, g729, new_call, now, opus, own_address, pcma, pcmu, sleep_until, stream,
};

const FRAME: Duration = Duration::from_millis(20);

/// A browser and a phone in one call, connected.
pub(crate) struct Scene {
    pub(crate) rig: Rig,
    pub(crate) call: CallId,
    pub(crate) browser: Browser,
    pub(crate) web: WebPort,
    pub(crate) phone: Phone,
    pub(crate) port: RtpPort,
}

impl Scene {
    pub(crate) fn new(web_formats: &[Format], phone_formats: &[Format]) -> Self {
        Self::on(Rig::new(), web_formats, phone_formats)
    }

    pub(crate) fn on(mut rig: Rig, web_formats: &[Format], phone_formats: &[Format]) -> Self {
        let call = new_call();
        let (web, port) = (rig.web_port(call), rig.rtp_port(call));
        let (mut browser, phone) = (Browser::new(rig.ip, &web), Phone::new(rig.ip));
        rig.set_remote(call, web.id, browser.client.remote(), stream(web_formats));
        rig.set_remote(call, port.id, phone.remote(), stream(phone_formats));
        rig.join(call, web.id, port.id);
        browser.connect(&mut rig, PATIENCE);
        Self { rig, call, browser, web, phone, port }
    }

    /// Both sides speak for so many frames of 20 ms; what arrived at the browser and at the phone, with all that a relay
    /// makes of them. A jitter buffer keeps its last frames: who waited for them would pause, as a network does.
    pub(crate) fn talk(&mut self, frames: u32, web: (Format, f64), phone: (Format, f64)) -> (Vec<Packet>, Vec<Packet>) {
        let mut browser_voice = Speaker::new(web.0, web.1);
        let mut phone_voice = Speaker::new(phone.0, phone.1);
        let (mut at_browser, mut at_phone) = (Vec::new(), Vec::new());
        let taken = self.rig.taken();
        let start = now();
        for frame in 1..=frames {
            self.browser.speak(web.0.pt, web.0.codec.clock_rate_hz() / 50, &browser_voice.payload());
            let step = phone.0.codec.clock_rate_hz() / 50;
            self.phone.send(self.port.rtp, phone.0.pt, step, &phone_voice.payload());
            sleep_until(start + FRAME * frame);
            at_browser.extend(self.browser.received());
            at_phone.extend(self.phone.received());
        }
        self.rig.settle(self.call, taken + u64::from(2 * frames));
        at_browser.extend(self.browser.received());
        at_phone.extend(self.phone.received());
        (at_browser, at_phone)
    }

    /// Forgets what has arrived, and all that is still to come of what was said before.
    pub(crate) fn forget(&mut self) {
        self.rig.settle(self.call, 0);
        self.browser.received();
        self.phone.received();
    }
}

/// The audio in packets, in their order of arrival; every one must be of this format.
pub(crate) fn decode(packets: &[Packet], format: Format) -> Listener {
    let mut listener = Listener::new(format);
    for packet in packets {
        assert_eq!(packet.header.pt, format.pt);
        listener.hear(&packet.payload);
    }
    listener
}

/// Fails unless the packets are one unbroken stream whose timestamps advance by `step`.
#[track_caller]
pub(crate) fn assert_unbroken(packets: &[Packet], step: u32) {
    for pair in packets.windows(2) {
        let [before, after] = [&pair[0].header, &pair[1].header];
        assert_eq!(after.ssrc, before.ssrc);
        assert_eq!(after.seq, before.seq.next());
        assert_eq!(after.timestamp.wrapping_sub(before.timestamp), step, "at {}", after.seq);
    }
}

#[test]
fn an_opus_browser_and_a_mu_law_phone_hear_each_other() {
    in_real_time(|| {
        let mut scene = Scene::new(&[opus()], &[pcmu()]);
        let (at_browser, at_phone) = scene.talk(150, (opus(), 440.0), (pcmu(), 1_000.0));

        assert_unbroken(&at_phone, 160);
        assert_unbroken(&at_browser, 960);
        decode(&at_phone, pcmu()).heard.after_ms(600).assert_tone(440.0, -10.0, 2.0);
        decode(&at_browser, opus()).heard.after_ms(600).assert_tone(1_000.0, -10.0, 2.0);
        assert_eq!(scene.browser.client.profile, Some("SRTP_AEAD_AES_256_GCM"));
    });
}

#[test]
fn an_opus_browser_and_a_g729_phone_hear_each_other() {
    in_real_time(|| {
        let mut scene = Scene::new(&[opus()], &[g729()]);
        let (at_browser, at_phone) = scene.talk(150, (opus(), 440.0), (g729(), 1_000.0));

        decode(&at_phone, g729()).heard.after_ms(600).assert_tone(440.0, -10.0, 2.0);
        decode(&at_browser, opus()).heard.after_ms(600).assert_tone(1_000.0, -10.0, 2.0);
    });
}

#[test]
fn a_mu_law_browser_and_a_g729_phone_hear_each_other() {
    in_real_time(|| {
        let mut scene = Scene::new(&[pcmu()], &[g729()]);
        let (at_browser, at_phone) = scene.talk(150, (pcmu(), 440.0), (g729(), 1_000.0));

        decode(&at_phone, g729()).heard.after_ms(600).assert_tone(440.0, -10.0, 2.0);
        decode(&at_browser, pcmu()).heard.after_ms(600).assert_tone(1_000.0, -10.0, 2.0);
    });
}

#[test]
fn a_shared_codec_passes_through_untouched() {
    in_real_time(|| {
        let mut scene = Scene::new(&[opus(), pcmu()], &[pcmu()]);
        let mut sent = Vec::new();
        let mut received = Vec::new();
        let start = now();
        for frame in 1..=50_u8 {
            let payload = vec![frame; 160];
            scene.browser.speak(pcmu().pt, 160, &payload);
            sent.push(payload);
            sleep_until(start + FRAME * u32::from(frame));
            received.extend(scene.phone.received());
        }
        catch_up(&mut received, sent.len(), || scene.phone.received());
        assert_unbroken(&received, 160);
        assert!(received[0].header.marker, "the first packet of a stream");
        assert!(received[1..].iter().all(|packet| !packet.header.marker));
        assert_eq!(received.into_iter().map(|packet| packet.payload).collect::<Vec<_>>(), sent);
    });
}

#[test]
fn both_laws_of_g711_are_converted() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let call = new_call();
        let (one, other) = (rig.rtp_port(call), rig.rtp_port(call));
        let (mut caller, mut callee) = (Phone::new(rig.ip), Phone::new(rig.ip));
        rig.set_remote(call, one.id, caller.remote(), stream(&[pcmu()]));
        rig.set_remote(call, other.id, callee.remote(), stream(&[pcma()]));
        rig.join(call, one.id, other.id);

        let mut voices = (Speaker::new(pcmu(), 700.0), Speaker::new(pcma(), 1_500.0));
        let (mut at_caller, mut at_callee) = (Vec::new(), Vec::new());
        let start = now();
        for frame in 1..=100 {
            caller.send(one.rtp, pcmu().pt, 160, &voices.0.payload());
            callee.send(other.rtp, pcma().pt, 160, &voices.1.payload());
            sleep_until(start + FRAME * frame);
            at_caller.extend(caller.received());
            at_callee.extend(callee.received());
        }
        catch_up(&mut at_caller, 100, || caller.received());
        catch_up(&mut at_callee, 100, || callee.received());
        decode(&at_callee, pcma()).heard.after_ms(400).assert_tone(700.0, -10.0, 1.4);
        decode(&at_caller, pcmu()).heard.after_ms(400).assert_tone(1_500.0, -10.0, 1.4);
    });
}

#[test]
fn an_endpoint_joined_to_itself_echoes() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let call = new_call();
        let port = rig.rtp_port(call);
        let mut phone = Phone::new(rig.ip);
        rig.set_remote(call, port.id, phone.remote(), stream(&[pcmu()]));
        rig.join(call, port.id, port.id);

        let mut voice = Speaker::new(pcmu(), 440.0);
        let mut heard = Vec::new();
        let start = now();
        for frame in 1..=50 {
            phone.send(port.rtp, pcmu().pt, 160, &voice.payload());
            sleep_until(start + FRAME * frame);
            heard.extend(phone.received());
        }
        catch_up(&mut heard, 50, || phone.received());
        assert!(heard.iter().all(|packet| packet.header.ssrc != phone.ssrc), "our own source");
        decode(&heard, pcmu()).heard.after_ms(100).assert_tone(440.0, -10.0, 0.8);
    });
}

#[test]
fn a_held_leg_hears_nothing_until_it_is_taken_back() {
    in_real_time(|| {
        let mut scene = Scene::new(&[pcmu()], &[pcmu()]);
        let (_, before) = scene.talk(10, (pcmu(), 440.0), (pcmu(), 1_000.0));
        assert!(!before.is_empty());

        let hold = |direction| Command::UpdateEndpoint { endpoint: scene.port.id, direction };
        let (held, back) = (hold(Direction::Inactive), hold(Direction::SendRecv));
        scene.rig.tell(scene.call, held);
        scene.forget();
        let (at_browser, at_phone) = scene.talk(10, (pcmu(), 440.0), (pcmu(), 1_000.0));
        assert_eq!((at_browser, at_phone), (Vec::new(), Vec::new()));

        scene.rig.tell(scene.call, back);
        let (at_browser, at_phone) = scene.talk(10, (pcmu(), 440.0), (pcmu(), 1_000.0));
        assert!(at_browser.len() >= 8 && at_phone.len() >= 8, "{} and {}", at_browser.len(), at_phone.len());
    });
}

#[test]
fn another_source_of_the_far_side_continues_the_stream() {
    in_real_time(|| {
        let mut scene = Scene::new(&[pcmu()], &[pcmu()]);
        let (before, _) = scene.talk(20, (pcmu(), 440.0), (pcmu(), 1_000.0));
        scene.phone.ssrc = Ssrc(0x7777_7777);
        scene.phone.seq.0 = 60_000;
        scene.phone.timestamp = 3_000_000_000;
        let (after, _) = scene.talk(20, (pcmu(), 440.0), (pcmu(), 1_000.0));

        let (last, first) = (&before[before.len() - 1].header, &after[0].header);
        assert_eq!((first.ssrc, first.seq), (last.ssrc, last.seq.next()));
        let step = first.timestamp.wrapping_sub(last.timestamp);
        assert!((160..2_000).contains(&step), "the timestamp moved by {step}");
        assert!(first.marker);
        assert_unbroken(&after, 160);
    });
}

#[test]
fn unjoined_legs_go_on_alone() {
    in_real_time(|| {
        let mut scene = Scene::new(&[pcmu()], &[pcmu()]);
        scene.talk(5, (pcmu(), 440.0), (pcmu(), 1_000.0));
        scene.rig.tell(scene.call, Command::Unbridge { endpoint: scene.web.id });
        scene.forget();
        let (at_browser, at_phone) = scene.talk(10, (pcmu(), 440.0), (pcmu(), 1_000.0));
        assert_eq!((at_browser, at_phone), (Vec::new(), Vec::new()));
        let stats = scene.rig.stats(scene.call, scene.port.id);
        assert!(stats.received.packets >= 13, "what arrives is counted all the same");
    });
}

#[test]
fn calls_run_over_ipv6() {
    in_real_time(|| {
        let rig = Rig::on("::1".parse().unwrap(), |config| config.rtp_ports = (25_000, 25_099));
        let mut scene = Scene::on(rig, &[opus()], &[pcmu()]);
        let (at_browser, at_phone) = scene.talk(60, (opus(), 440.0), (pcmu(), 1_000.0));
        decode(&at_phone, pcmu()).heard.after_ms(400).assert_tone(440.0, -10.0, 0.5);
        decode(&at_browser, opus()).heard.after_ms(400).assert_tone(1_000.0, -10.0, 0.5);
    });
}

#[test]
fn calls_spread_over_workers_and_do_not_meet() {
    in_real_time(|| {
        let mut rig = Rig::on(own_address(), |config| config.workers = 2);
        assert_eq!(rig.engine.web_rtc_addresses().len(), 2);
        let mut phones = Vec::new();
        for value in 1..=4_u8 {
            let call = new_call();
            let port = rig.rtp_port(call);
            let phone = Phone::new(rig.ip);
            rig.set_remote(call, port.id, phone.remote(), stream(&[pcmu()]));
            rig.join(call, port.id, port.id);
            phones.push((phone, port, value));
        }
        let start = now();
        for frame in 1..=20 {
            for (phone, port, value) in &mut phones {
                phone.send(port.rtp, pcmu().pt, 160, &[*value; 160]);
            }
            sleep_until(start + FRAME * frame);
        }
        for (phone, _, value) in &phones {
            let mut received = Vec::new();
            catch_up(&mut received, 20, || phone.received());
            assert_eq!(received.len(), 20);
            assert!(received.iter().all(|packet| packet.payload == [*value; 160]));
        }
    });
}
