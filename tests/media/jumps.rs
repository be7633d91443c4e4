//! A far side that changes its source or its numbers in the middle of a call, heard by the browser on the other leg.

use std::time::Duration;

use trunkline_media::net::{Pt, SeqNo, Ssrc};
use trunkline_media::pipeline::Format;
use trunkline_media::rtp::Header;

use crate::support::memory::{Lab, WEB};
use crate::support::phone::Packet;
use crate::support::sound::{Listener, Speaker};
use crate::support::{opus, pcma, pcmu};

const FRAME: Duration = Duration::from_millis(20);

/// Frames before the jump and after it.
const FRAMES: u32 = 100;

/// No frame of it begins at the phase of another, so that one left out or put in shows as a click.
const TONE_HZ: f64 = 470.0;

/// What the far side does to its numbers.
#[derive(Debug, Clone, Copy)]
struct Jump {
    ssrc: u32,
    seq: i32,
    timestamp: i64,
}

const NO_JUMP: Jump = Jump { ssrc: 0, seq: 0, timestamp: 0 };

const JUMPS: [Jump; 12] = [
    Jump { ssrc: 1, ..NO_JUMP },
    Jump { ssrc: 1, seq: 30_000, timestamp: 1 << 31 },
    Jump { ssrc: 1, seq: -50, timestamp: -8_000 },
    Jump { seq: 1_000, ..NO_JUMP },
    Jump { seq: 20_000, ..NO_JUMP },
    Jump { seq: -20, ..NO_JUMP },
    Jump { seq: -20_000, ..NO_JUMP },
    Jump { timestamp: 80_000, ..NO_JUMP },
    Jump { timestamp: -4_000, ..NO_JUMP },
    Jump { timestamp: 1 << 31, ..NO_JUMP },
    Jump { seq: 500, timestamp: 800_000, ..NO_JUMP },
    Jump { seq: -10_000, timestamp: -800_000, ..NO_JUMP },
];

fn shifted<T: TryFrom<i64>>(number: i64, bits: u32) -> T
where
    T::Error: std::fmt::Debug,
{
    T::try_from(number.rem_euclid(1 << bits)).unwrap()
}

/// What the browser gets of a phone that speaks `FRAMES`, jumps, and speaks as long again.
fn heard_over(jump: Jump, web: Format) -> Vec<Packet> {
    let mut lab = Lab::new();
    let (browser, mut client) = lab.web_leg(&[web]);
    let phone = lab.rtp_leg(&[pcmu()]);
    lab.bridge.join(browser, phone).unwrap();
    lab.outbox.clear();

    let mut voice = Speaker::new(pcmu(), TONE_HZ);
    let mut heard = Vec::new();
    for frame in 0..2 * FRAMES {
        let is_after = frame >= FRAMES;
        let by = if is_after { jump } else { NO_JUMP };
        let seq = SeqNo(shifted(25_000 + i64::from(frame) + i64::from(by.seq), 16));
        let timestamp = shifted(1_000_000 + 160 * i64::from(frame) + by.timestamp, 32);
        let mut data = vec![0; 12];
        Header::new(Pt(0), seq, timestamp, Ssrc(77 + by.ssrc)).write(&mut data).unwrap();
        data.extend(voice.payload());
        let _ = lab.rtp_datagram(phone, &mut data);
        lab.advance(FRAME);
        for mut data in lab.sent_through(WEB) {
            heard.extend(client.handle(lab.now, &mut data));
        }
        while lab.bridge.poll_event().is_some() {}
    }
    heard
}

/// The audio as a listener with an unlimited buffer plays it: every packet at its own time, silence where there is none.
fn play(packets: &[Packet], format: Format, step: u32) -> Vec<i16> {
    let mut listener = Listener::new(format);
    let rate = format.codec.native_sample_rate_hz() / format.codec.clock_rate_hz().min(8_000);
    let samples = usize::try_from(rate * 160).unwrap();
    let mut audio = Vec::new();
    let mut before = None;
    for packet in packets {
        if let Some(before) = before {
            let missing = packet.header.timestamp.wrapping_sub(before) / step - 1;
            audio.extend(vec![0; samples * usize::try_from(missing.min(1_000)).unwrap()]);
        }
        before = Some(packet.header.timestamp);
        let start = listener.heard.samples.len();
        listener.hear(&packet.payload);
        audio.extend(&listener.heard.samples[start..]);
    }
    audio
}

/// Milliseconds, in windows of five, that are not the tone at its level.
fn broken_ms(audio: &[i16], rate_hz: u32) -> usize {
    let window = usize::try_from(rate_hz / 200).unwrap();
    let turn = 2.0 * std::f64::consts::PI * TONE_HZ / f64::from(rate_hz);
    let is_tone = |samples: &[i16]| {
        let (mut one, mut two, mut total) = (0.0, 0.0, 0.0);
        for sample in samples {
            let sample = f64::from(*sample);
            let zero = sample + 2.0 * turn.cos() * one - two;
            (two, one) = (one, zero);
            total += sample * sample;
        }
        let tone = 2.0 * (one * one + two * two - 2.0 * turn.cos() * one * two) / f64::from(rate_hz / 200);
        // -10 dBm0 has a mean square of about 50 million over the window.
        total > 1e7 * f64::from(rate_hz / 200) && tone > 0.9 * total
    };
    5 * audio.chunks_exact(window).filter(|samples| !is_tone(samples)).count()
}

#[track_caller]
fn assert_unbroken_numbers(packets: &[Packet], step: u32, jump: Jump) {
    for pair in packets.windows(2) {
        let [before, after] = [&pair[0].header, &pair[1].header];
        let advance = after.timestamp.wrapping_sub(before.timestamp);
        assert_eq!((after.ssrc, after.seq), (before.ssrc, before.seq.next()), "{jump:?}");
        assert!(advance == step || advance == 2 * step, "{jump:?}: {advance} at {}", after.seq);
    }
    let (first, last) = (&packets[0].header, &packets[packets.len() - 1].header);
    let frames = last.timestamp.wrapping_sub(first.timestamp) / step;
    assert!((2 * FRAMES - 3..=2 * FRAMES).contains(&frames), "{jump:?}: {frames} frames of time");
}

#[test]
fn a_relayed_stream_loses_a_frame_at_most_and_its_numbers_go_on() {
    for jump in JUMPS.into_iter().chain([NO_JUMP]) {
        let packets = heard_over(jump, pcmu());
        assert_unbroken_numbers(&packets, 160, jump);
        let missing = usize::try_from(2 * FRAMES).unwrap() - packets.len();
        assert!(missing <= 1, "{jump:?}: {missing} frames are missing");
        let broken = broken_ms(&play(&packets, pcmu(), 160), 8_000);
        assert!(broken <= 20, "{jump:?}: {broken} ms");
    }
}

#[test]
fn a_transcoded_stream_clicks_for_a_frame_at_most_and_its_numbers_go_on() {
    for jump in JUMPS.into_iter().chain([NO_JUMP]) {
        let packets = heard_over(jump, pcma());
        assert_unbroken_numbers(&packets, 160, jump);
        let audio = play(&packets, pcma(), 160);
        // The buffer fills in the beginning.
        let broken = broken_ms(&audio[800..], 8_000);
        assert!(broken <= 20, "{jump:?}: {broken} ms");
    }
}

#[test]
fn an_opus_listener_hears_no_more_of_it() {
    for jump in JUMPS {
        let packets = heard_over(jump, opus());
        assert_unbroken_numbers(&packets, 960, jump);
        let audio = play(&packets, opus(), 960);
        let broken = broken_ms(&audio[9_600..], 48_000);
        assert!(broken <= 25, "{jump:?}: {broken} ms");
    }
}
