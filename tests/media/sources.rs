//! A far side that speaks under one SSRC and presses keys under another, at one address: a media server that plays
//! captures beside its own voice, or a phone that echoes what it hears.

use std::time::Duration;

use trunkline_media::bridge::{Event, LegIndex};
use trunkline_media::dtmf::Event as DigitEvent;
use trunkline_media::error::DropReason;
use trunkline_media::net::{Pt, SeqNo, Ssrc};
use trunkline_media::rtp::Header;

use crate::support::memory::{Lab, RTP};
use crate::support::phone::Packet;
use crate::support::sound::Speaker;
use crate::support::{events, pcmu};

const FRAME: Duration = Duration::from_millis(20);
const SPEAKS: Ssrc = Ssrc(77);
const PRESSES: Ssrc = Ssrc(88);
const KEYS: Pt = Pt(101);

/// A leg that hears itself, and what it told.
struct Scene {
    lab: Lab,
    leg: LegIndex,
    voice: Speaker,
    frames: u16,
    digits: Vec<char>,
    heard: Vec<Packet>,
}

impl Scene {
    fn new() -> Self {
        let mut lab = Lab::new();
        let leg = lab.rtp_leg(&[pcmu(), events(KEYS.0, 8_000)]);
        lab.bridge.join(leg, leg).unwrap();
        Self { lab, leg, voice: Speaker::new(pcmu(), 440.0), frames: 0, digits: Vec::new(), heard: Vec::new() }
    }

    fn give(&mut self, header: &Header, payload: &[u8]) -> Result<(), DropReason> {
        let mut data = vec![0; 12];
        header.write(&mut data).unwrap();
        data.extend(payload);
        self.lab.rtp_datagram(self.leg, &mut data)
    }

    /// One frame of speech, unless it is silent, and 20 ms.
    fn frame(&mut self, speaks: bool) {
        self.frames += 1;
        if speaks {
            let payload = self.voice.payload();
            let header = Header::new(Pt(0), SeqNo(self.frames), u32::from(self.frames) * 160, SPEAKS);
            let _ = self.give(&header, &payload);
        }
        self.lab.advance(FRAME);
        self.heard.extend(self.lab.sent_through(RTP).iter().filter_map(|data| Packet::parse(data)));
        for event in self.lab.events() {
            if let Event::Digit { digit, .. } = event {
                self.digits.push(digit.as_char());
            }
        }
    }

    /// A key of 100 ms as events from another source, a packet beside each frame of speech.
    fn press(&mut self, code: u8, (seq, timestamp): (u16, u32), speaks: impl Fn(u16) -> bool) {
        for number in 0..8 {
            let event = DigitEvent { code, is_end: number > 4, volume: 10, duration_ts: 160 * (number + 1).min(5) };
            let header = Header::new(KEYS, SeqNo(seq.wrapping_add(number)), timestamp, PRESSES);
            let _ = self.give(&Header { marker: number == 0, ..header }, &event.to_bytes());
            self.frame(speaks(number));
        }
    }
}

#[test]
fn every_key_of_a_second_source_is_one_digit_while_the_first_one_speaks_on() {
    let mut scene = Scene::new();
    (0..25).for_each(|_| scene.frame(true));
    // The numbers of each key are from another capture.
    for code in 0..16_u8 {
        let numbers = (5_000 * u16::from(code % 13), 90_000 - 5_000 * u32::from(code));
        scene.press(code, numbers, |_| true);
        (0..15).for_each(|_| scene.frame(true));
    }
    assert_eq!(scene.digits.iter().collect::<String>(), "0123456789*#ABCD");
    let pressed = scene.heard.iter().filter(|packet| packet.header.pt == KEYS && packet.header.marker).count();
    assert_eq!(pressed, 16, "each is passed on");
    let received = scene.lab.bridge.stats(scene.leg).unwrap().received;
    assert_eq!((received.arrivals.lost, received.jitter.max_ms < 1.0), (0, true), "what speaks is whole: {received:?}");
}

#[test]
fn a_key_is_one_digit_though_its_source_becomes_the_one_that_speaks() {
    let mut scene = Scene::new();
    (0..25).for_each(|_| scene.frame(true));
    scene.press(5, (4_000, 70_000), |number| number < 3);
    scene.press(6, (4_008, 80_000), |_| false);
    (0..10).for_each(|_| scene.frame(true));
    assert_eq!(scene.digits, ['5', '6']);
}

#[test]
fn speech_of_a_second_source_is_not_mixed_in() {
    let mut scene = Scene::new();
    (0..25).for_each(|_| scene.frame(true));
    scene.heard.clear();
    for number in 0..25 {
        let header = Header::new(Pt(0), SeqNo(9_000 + number), 5, PRESSES);
        assert_eq!(scene.give(&header, &[0x55; 160]), Err(DropReason::RtpProbation));
        scene.frame(true);
    }
    assert_eq!(scene.heard.len(), 25);
    assert!(scene.heard.iter().all(|packet| packet.payload != [0x55; 160]));
}
