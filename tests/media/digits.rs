//! DTMF across the gateway and out of it.

use std::time::Duration;

use trunkline_media::bridge::{Muted, Voice};
use trunkline_media::dtmf::{Digit, Event as DigitEvent};
use trunkline_media::engine::{Command, Event};
use trunkline_media::net::Pt;

use crate::calls::{Scene, decode};
use crate::support::phone::Packet;
use crate::support::stalls::in_real_time;
use crate::support::{catch_up, events, now, opus, pcmu, sleep_until};

const FRAME: Duration = Duration::from_millis(20);

/// The digits in received event packets, each with its final duration, in order.
fn digits_of(packets: &[Packet], pt: u8) -> Vec<(char, u16)> {
    let mut digits: Vec<(u32, char, u16)> = Vec::new();
    for packet in packets.iter().filter(|packet| packet.header.pt == Pt(pt)) {
        let event = DigitEvent::parse(&packet.payload).unwrap();
        let digit = Digit::from_code(event.code).unwrap().as_char();
        match digits.last_mut() {
            Some((timestamp, _, duration)) if *timestamp == packet.header.timestamp => *duration = event.duration_ts,
            _ => {
                assert!(packet.header.marker, "the first packet of an event");
                digits.push((packet.header.timestamp, digit, event.duration_ts));
            }
        }
    }
    digits.into_iter().map(|(_, digit, duration)| (digit, duration)).collect()
}

/// The browser holds a key down for so many packets of 20 ms, at 48 kHz.
fn press(scene: &mut Scene, pt: u8, code: u8, packets: u16) -> Vec<Packet> {
    let timestamp = scene.browser.client.timestamp;
    let mut received = Vec::new();
    let start = now();
    for number in 1..=packets + 2 {
        let duration_ts = 960 * number.min(packets);
        let event = DigitEvent { code, is_end: number >= packets, volume: 10, duration_ts };
        let packet = scene.browser.client.packet(Pt(pt), (timestamp, number == 1), &event.to_bytes());
        scene.browser.send(&packet);
        sleep_until(start + FRAME * u32::from(number));
        received.extend(scene.phone.received());
    }
    scene.browser.client.timestamp = timestamp.wrapping_add(960 * u32::from(packets + 2));
    received
}

/// The digits that the controller was told of, awaited until there are so many.
fn told_digits(scene: &mut Scene, wanted: usize) -> Vec<(char, u32)> {
    let digit = |event: Event| match event {
        Event::DtmfReceived { digit, duration_ms, .. } => Some((digit, duration_ms)),
        _ => None,
    };
    let mut digits = Vec::new();
    catch_up(&mut digits, wanted, || scene.rig.told().into_iter().filter_map(digit).collect());
    digits
}

#[test]
fn a_key_pressed_in_the_browser_reaches_the_phone_once_in_its_own_clock() {
    in_real_time(|| {
        let mut scene = Scene::new(&[opus(), events(110, 48_000)], &[pcmu(), events(101, 8_000)]);
        let (_, mut received) = scene.talk(25, (opus(), 440.0), (pcmu(), 1_000.0));
        received.extend(press(&mut scene, 110, 5, 6));
        received.extend(scene.talk(25, (opus(), 440.0), (pcmu(), 1_000.0)).1);
        received.extend(press(&mut scene, 110, 11, 10));
        received.extend(scene.talk(25, (opus(), 440.0), (pcmu(), 1_000.0)).1);

        let digits = digits_of(&received, 101);
        assert_eq!(digits.iter().map(|(digit, _)| *digit).collect::<String>(), "5#");
        for ((_, duration_ts), wanted_ms) in digits.iter().zip([120, 200]) {
            let duration_ms = i32::from(*duration_ts) / 8;
            // A key that is held up on its way here lasts longer, never shorter.
            assert!(
                (wanted_ms - 20..wanted_ms + 160).contains(&duration_ms),
                "{duration_ms} ms instead of {wanted_ms}"
            );
        }
        assert_eq!(told_digits(&mut scene, 2), [('5', 120), ('#', 200)]);

        let audio: Vec<Packet> = received.into_iter().filter(|packet| packet.header.pt == Pt(0)).collect();
        decode(&audio[audio.len() - 15..], pcmu()).heard.assert_tone(440.0, -10.0, 0.3);
    });
}

#[test]
fn a_key_becomes_a_tone_where_no_events_were_negotiated() {
    in_real_time(|| {
        let mut scene = Scene::new(&[opus(), events(110, 48_000)], &[pcmu()]);
        scene.talk(10, (opus(), 440.0), (pcmu(), 1_000.0));
        let mut received = press(&mut scene, 110, 1, 15);
        let start = now();
        sleep_until(start + 5 * FRAME);
        received.extend(scene.phone.received());

        let heard = decode(&received, pcmu()).heard;
        let loud: Vec<i16> = heard
            .samples
            .chunks(160)
            .filter(|frame| frame.iter().any(|s| s.abs() > 4_000))
            .flatten()
            .copied()
            .collect();
        let tone = crate::support::sound::Heard { samples: loud, rate_hz: 8_000 };
        assert!(tone.seconds() >= 0.2, "{}", tone.seconds());
        let (row, column) = (tone.share_of(697.0), tone.share_of(1_209.0));
        assert!(row > 0.3 && column > 0.3, "{row} and {column}");
        assert_eq!(told_digits(&mut scene, 1), [('1', 300)]);
    });
}

#[test]
fn digits_are_dialled_out_of_an_endpoint() {
    in_real_time(|| {
        let mut scene = Scene::new(&[pcmu(), events(126, 8_000)], &[pcmu(), events(101, 8_000)]);
        let digits = "12#".chars().filter_map(Digit::from_char).collect();
        let command = Command::SendDtmf { endpoint: scene.port.id, digits, duration_ms: 100, gap_ms: 60 };
        scene.rig.tell(scene.call, command);
        let (_, received) = scene.talk(50, (pcmu(), 440.0), (pcmu(), 1_000.0));

        assert_eq!(digits_of(&received, 101), [('1', 800), ('2', 800), ('#', 800)]);
        let ends = received.iter().filter(|packet| packet.header.pt == Pt(101) && packet.payload[1] & 0x80 != 0);
        assert_eq!(ends.count(), 9, "three end packets a digit");
        let audio = received.iter().rev().take(10);
        assert!(audio.into_iter().all(|packet| packet.header.pt == Pt(0)), "speech goes on afterwards");
        assert!(received.windows(2).all(|pair| pair[1].header.seq == pair[0].header.seq.next()), "one stream");
    });
}

#[test]
fn keys_of_a_muted_side_get_through_unless_they_are_muted_too() {
    in_real_time(|| {
        let mut scene = Scene::new(&[opus(), events(110, 48_000)], &[pcmu(), events(101, 8_000)]);
        scene.talk(10, (opus(), 440.0), (pcmu(), 1_000.0));
        let web = scene.web.id;
        let mut mute = |muted| {
            scene.rig.tell(scene.call, Command::Mute { endpoint: web, voice: Voice::Says, muted });
            scene.rig.told();
            let mut received = press(&mut scene, 110, 5, 8);
            sleep_until(now() + 10 * FRAME);
            received.extend(scene.phone.received());
            (digits_of(&received, 101).len(), told_digits(&mut scene, 1).len())
        };
        assert_eq!(mute(Muted::Audio), (1, 1));
        assert_eq!(mute(Muted::AudioAndDigits), (0, 1), "the application hears of them all the same");
        assert_eq!(mute(Muted::Nothing), (1, 1));
    });
}
