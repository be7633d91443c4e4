//! Full queues and ranges, far sides that never finish, and the end of the engine.

use std::time::Duration;

use trunkline_media::bridge::CallId;
use trunkline_media::dtls::Fingerprint;
use trunkline_media::endpoint::{Direction, EndpointId, Remote, Security};
use trunkline_media::engine::{Command, EngineConfig, Event, Request, RequestId};

use crate::calls::{Scene, decode};
use crate::support::browser::Browser;
use crate::support::phone::{Phone, datagrams};
use crate::support::stalls::in_real_time;
use crate::support::{PATIENCE, Rig, catch_up, new_call, now, opus, pcmu, sleep_until, stream};

#[test]
fn a_full_port_range_is_an_error_until_a_port_has_rested() {
    in_real_time(|| {
        let quarantine = Duration::from_millis(300);
        let mut rig = Rig::with(|config| {
            config.rtp_ports = (20_000, 20_003);
            config.port_quarantine = quarantine;
        });
        let call = new_call();
        let (first, second) = (rig.rtp_port(call), rig.rtp_port(call));
        assert_eq!(rig.try_rtp_port(call).unwrap_err(), "no_free_port");

        rig.close(call, first.id);
        let closed_at = now();
        assert_eq!(rig.try_rtp_port(call).unwrap_err(), "no_free_port", "it rests");
        sleep_until(closed_at + quarantine + Duration::from_millis(50));
        assert_eq!(rig.rtp_port(call).rtp, first.rtp);
        rig.close(call, second.id);
    });
}

#[test]
fn a_browser_that_sends_no_check_is_given_up() {
    in_real_time(|| {
        let mut rig = Rig::with(|config| config.setup_timeout = Duration::from_millis(200));
        let call = new_call();
        let web = rig.web_port(call);
        let browser = Browser::new(rig.ip, &web);
        rig.set_remote(call, web.id, browser.client.remote(), stream(&[opus()]));
        assert_eq!(rig.end_of(web.id), "ice_timeout");
        assert_eq!(rig.engine.totals().endpoints, 0);
    });
}

#[test]
fn a_browser_that_never_shakes_hands_is_given_up() {
    in_real_time(|| {
        let mut rig = Rig::with(|config| config.setup_timeout = Duration::from_millis(200));
        let call = new_call();
        let web = rig.web_port(call);
        let mut browser = Browser::new(rig.ip, &web);
        rig.set_remote(call, web.id, browser.client.remote(), stream(&[opus()]));
        let check = browser.client.check();
        browser.send(&check);
        assert_eq!(rig.end_of(web.id), "dtls_timeout");
        assert_eq!(rig.engine.totals().endpoints, 0);
        datagrams(&browser.socket);
        let taken = rig.taken();
        browser.send(&check);
        rig.settle(call, taken + 1);
        assert_eq!(datagrams(&browser.socket).len(), 0, "the port knows it no more");
    });
}

#[test]
fn a_browser_may_be_faster_than_its_description() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let call = new_call();
        let (web, port) = (rig.web_port(call), rig.rtp_port(call));
        let mut browser = Browser::new(rig.ip, &web);
        let start = now();
        let check = browser.client.check();
        browser.send(&check);
        while now() < start + Duration::from_millis(300) {
            browser.received();
            sleep_until(now() + Duration::from_millis(5));
        }
        let phone = Phone::new(rig.ip);
        rig.set_remote(call, port.id, phone.remote(), stream(&[pcmu()]));
        rig.set_remote(call, web.id, browser.client.remote(), stream(&[pcmu()]));
        rig.join(call, web.id, port.id);
        browser.connect(&mut rig, PATIENCE);
        browser.speak(pcmu().pt, 160, &[1; 160]);
        let mut received = Vec::new();
        catch_up(&mut received, 1, || phone.received());
        assert_eq!(received.len(), 1);
    });
}

#[test]
fn another_certificate_than_the_described_one_ends_the_endpoint() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let call = new_call();
        let web = rig.web_port(call);
        let mut browser = Browser::new(rig.ip, &web);
        let foreign = vec![Fingerprint::parse("sha-256", &web.fingerprint).unwrap()];
        let remote = Remote::WebRtc { fingerprints: foreign, is_dtls_client: true };
        rig.set_remote(call, web.id, remote, stream(&[opus()]));
        let check = browser.client.check();
        browser.send(&check);
        let deadline = now() + PATIENCE;
        let mut told = Vec::new();
        while !told.iter().any(|event| matches!(event, Event::EndpointClosed { .. })) {
            assert!(now() < deadline, "{told:?}");
            browser.received();
            told.extend(rig.told());
            sleep_until(now() + Duration::from_millis(2));
        }
        let is_mismatch =
            |event: &Event| matches!(event, Event::DtlsStateChanged { result: Err("fingerprint_mismatch"), .. });
        assert!(told.iter().any(is_mismatch), "{told:?}");
        assert!(told.iter().any(|event| matches!(event, Event::EndpointClosed { reason: "dtls_failed", .. })));
    });
}

#[test]
fn a_hundred_browsers_connect_and_leave_nothing_behind() {
    in_real_time(|| {
        let mut rig = Rig::with(|config| config.rtp_ports = (20_000, 20_009));
        for _ in 0..100 {
            let call = new_call();
            let web = rig.web_port(call);
            let mut browser = Browser::new(rig.ip, &web);
            rig.set_remote(call, web.id, browser.client.remote(), stream(&[opus()]));
            browser.connect(&mut rig, PATIENCE);
            rig.close(call, web.id);
        }
        assert_eq!(rig.engine.totals().endpoints, 0);
    });
}

#[test]
fn unknown_names_are_refused() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let (call, other) = (new_call(), new_call());
        let port = rig.rtp_port(call);
        let nobody = EndpointId(u64::MAX);
        let direction = Direction::SendRecv;
        assert_eq!(rig.refusal(call, Command::UpdateEndpoint { endpoint: nobody, direction }), "unknown_endpoint");
        assert_eq!(rig.refusal(call, Command::Bridge { a: port.id, b: nobody }), "unknown_endpoint");
        assert_eq!(rig.refusal(other, Command::Close { endpoint: port.id }), "unknown_endpoint", "of another call");
        assert_eq!(rig.refusal(call, Command::GetStats { endpoint: nobody }), "unknown_endpoint");
    });
}

#[test]
fn an_address_family_that_we_do_not_have_is_refused() {
    in_real_time(|| {
        let mut rig = Rig::new();
        let call = new_call();
        let port = rig.rtp_port(call);
        let far = "[2001:db8::1]:5004".parse().unwrap();
        let remote = Remote::Rtp { rtp: far, rtcp: far, is_muxed: false, security: Security::Clear };
        let command = Command::SetRemote { endpoint: port.id, remote, audio: stream(&[pcmu()]) };
        assert_eq!(rig.refusal(call, command), "invalid_parameter");
    });
}

#[test]
fn a_controller_that_reads_no_events_is_held_up_and_loses_no_answer() {
    in_real_time(|| {
        let rig = Rig::with(|config| {
            config.command_queue = 8;
            config.event_queue = 16;
        });
        let mut accepted = 0;
        let deadline = now() + PATIENCE;
        loop {
            let request = Request {
                id: RequestId(accepted),
                call: CallId(0),
                command: Command::Unbridge { endpoint: EndpointId(1) },
            };
            match rig.engine.submit(request) {
                Ok(()) => accepted += 1,
                // Full for good once the worker is blocked; until then it only lags behind.
                Err(error) if accepted >= 20 => {
                    assert_eq!(error.kind(), "capacity");
                    break;
                }
                Err(_) => sleep_until(now() + Duration::from_millis(1)),
            }
            assert!(now() < deadline && accepted < 100, "never full");
        }
        let mut answers = Vec::new();
        while answers.len() < usize::try_from(accepted).unwrap() {
            assert!(rig.engine.wait(PATIENCE), "{} of {accepted} answers", answers.len());
            rig.engine.poll_events(&mut answers, 4);
        }
        assert!(answers.iter().all(|event| matches!(event, Event::CommandFailed { kind: "unknown_endpoint", .. })));
    });
}

#[test]
fn shutdown_says_goodbye_and_is_quick() {
    in_real_time(|| {
        let mut scene = Scene::new(&[pcmu()], &[pcmu()]);
        scene.talk(5, (pcmu(), 440.0), (pcmu(), 1_000.0));
        let began_at = now();
        assert!(scene.rig.engine.shutdown());
        assert!(now() - began_at < Duration::from_secs(1));
        let told = scene.rig.told();
        for id in [scene.web.id, scene.port.id] {
            let is_its_end = |event: &Event| matches!(event, Event::EndpointClosed { endpoint, reason: "shutdown", .. } if *endpoint == id);
            assert!(told.iter().any(is_its_end), "{told:?}");
        }
        let reports = datagrams(&scene.phone.rtcp);
        let is_goodbye = |data: &Vec<u8>| data.windows(2).any(|pair| pair == [0x81, 203]);
        assert!(reports.iter().any(is_goodbye), "an RTCP BYE");
        let late =
            Request { id: RequestId(1), call: scene.call, command: Command::GetStats { endpoint: scene.web.id } };
        assert_eq!(scene.rig.engine.submit(late).unwrap_err().kind(), "closed");
        assert!(scene.rig.engine.shutdown(), "again: nothing");
    });
}

#[test]
fn a_silent_far_side_is_reported_once_until_it_speaks_again() {
    in_real_time(|| {
        let mut rig = Rig::with(|config| config.media_inactivity = Duration::from_millis(150));
        let call = new_call();
        let port = rig.rtp_port(call);
        let mut phone = Phone::new(rig.ip);
        rig.set_remote(call, port.id, phone.remote(), stream(&[pcmu()]));
        let is_silence = |event: &Event| matches!(event, Event::MediaInactive { .. }).then_some(());
        rig.expect(is_silence);
        sleep_until(now() + Duration::from_millis(400));
        assert_eq!(rig.told().iter().filter_map(is_silence).count(), 0);
        for _ in 0..3 {
            phone.send(port.rtp, pcmu().pt, 160, &[1; 160]);
        }
        rig.expect(|event| matches!(event, Event::FirstPacket { .. }).then_some(()));
        rig.expect(is_silence);
    });
}

#[test]
fn a_port_that_is_taken_is_an_error_at_start() {
    in_real_time(|| {
        let rig = Rig::new();
        let taken = rig.engine.web_rtc_addresses()[0];
        let config = EngineConfig { workers: 1, webrtc_bind: taken, ..EngineConfig::default() };
        let error = trunkline_media::engine::Engine::start(config).err().unwrap();
        assert_eq!(error.kind(), "io");
    });
}

#[test]
fn one_call_ends_and_the_one_beside_it_is_unharmed() {
    in_real_time(|| {
        let mut scene = Scene::new(&[opus()], &[pcmu()]);
        let other = new_call();
        let extra = scene.rig.rtp_port(other);
        scene.rig.close(other, extra.id);
        let (at_browser, at_phone) = scene.talk(60, (opus(), 440.0), (pcmu(), 1_000.0));
        decode(&at_phone, pcmu()).heard.after_ms(400).assert_tone(440.0, -10.0, 0.5);
        decode(&at_browser, opus()).heard.after_ms(400).assert_tone(1_000.0, -10.0, 0.5);
    });
}
