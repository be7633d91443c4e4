//! Tones, digits and files played into a leg, with or without a bridge.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use trunkline_media::bridge::CallId;
use trunkline_media::dtmf::Digit;
use trunkline_media::endpoint::EndpointId;
use trunkline_media::engine::{Command, Event, PlaySource};
use trunkline_media::pipeline::Source;

use crate::calls::{Scene, assert_unbroken, decode};
use crate::support::phone::{Packet, Phone};
use crate::support::sound::Speaker;
use crate::support::stalls::in_real_time;
use crate::support::{Rig, RtpPort, new_call, now, opus, pcmu, sleep_until, stream};

fn alone() -> (Rig, CallId, RtpPort, Phone) {
    let mut rig = Rig::new();
    let call = new_call();
    let port = rig.rtp_port(call);
    let phone = Phone::new(rig.ip);
    rig.set_remote(call, port.id, phone.remote(), stream(&[pcmu()]));
    (rig, call, port, phone)
}

fn tone(frequency_hz: f64) -> Source {
    Source::Tone { frequencies_hz: vec![frequency_hz], level_dbm0: -15.0, cadence_ms: vec![] }
}

/// What arrives while the phone speaks for so many frames.
fn listen(phone: &mut Phone, to: RtpPort, frames: u32) -> Vec<Packet> {
    let mut voice = Speaker::new(pcmu(), 1_700.0);
    let mut received = Vec::new();
    let start = now();
    for frame in 1..=frames {
        phone.send(to.rtp, pcmu().pt, 160, &voice.payload());
        sleep_until(start + Duration::from_millis(20) * frame);
        received.extend(phone.received());
    }
    received
}

fn wait_for_end(rig: &mut Rig, wanted: EndpointId) {
    rig.expect(|event| matches!(event, Event::PlayDone { endpoint, .. } if *endpoint == wanted).then_some(()));
}

#[test]
fn a_tone_plays_into_a_leg_that_has_no_other_side() {
    in_real_time(|| {
        let (mut rig, call, port, mut phone) = alone();
        rig.play(call, port.id, tone(440.0));
        let received = listen(&mut phone, port, 50);
        assert_unbroken(&received, 160);
        decode(&received, pcmu()).heard.assert_tone(440.0, -15.0, 0.9);
        rig.settle(call, 50);
        let stats = rig.stats(call, port.id);
        assert!(stats.received.packets >= 48, "what the phone says is counted");

        rig.tell(call, Command::StopPlay { endpoint: port.id });
        rig.settle(call, 0);
        phone.received();
        assert_eq!(listen(&mut phone, port, 10), []);
    });
}

#[test]
fn a_player_is_heard_instead_of_the_other_leg_and_then_the_leg_again() {
    in_real_time(|| {
        let mut scene = Scene::new(&[opus()], &[pcmu()]);
        scene.talk(20, (opus(), 1_000.0), (pcmu(), 1_700.0));
        scene.rig.play(scene.call, scene.port.id, tone(440.0));
        let (_, while_playing) = scene.talk(40, (opus(), 1_000.0), (pcmu(), 1_700.0));
        scene.rig.tell(scene.call, Command::StopPlay { endpoint: scene.port.id });
        let (_, afterwards) = scene.talk(40, (opus(), 1_000.0), (pcmu(), 1_700.0));

        decode(&while_playing, pcmu()).heard.after_ms(100).assert_tone(440.0, -15.0, 0.6);
        decode(&afterwards, pcmu()).heard.after_ms(200).assert_tone(1_000.0, -10.0, 0.5);
        let all: Vec<Packet> = while_playing.into_iter().chain(afterwards).collect();
        assert!(all.windows(2).all(|pair| pair[1].header.seq == pair[0].header.seq.next()), "one stream");
    });
}

#[test]
fn digits_play_as_tones_and_end() {
    in_real_time(|| {
        let (mut rig, call, port, mut phone) = alone();
        let digits = "7".chars().filter_map(Digit::from_char).collect();
        rig.play(call, port.id, Source::Digits { digits, on_ms: 200, off_ms: 40 });
        let mut received = listen(&mut phone, port, 25);
        wait_for_end(&mut rig, port.id);
        rig.settle(call, 0);
        received.extend(phone.received());
        let heard = decode(&received, pcmu()).heard;
        let first = crate::support::sound::Heard { samples: heard.samples[..1_600].to_vec(), rate_hz: 8_000 };
        assert!(first.share_of(852.0) > 0.4 && first.share_of(1_209.0) > 0.4);
        assert!((0.2..0.3).contains(&heard.seconds()), "{}", heard.seconds());
    });
}

/// A WAV file of half a second of a tone.
fn write_wav(name: &str, rate_hz: u32, frequency_hz: f64) -> PathBuf {
    let mut pcm = vec![0; usize::try_from(rate_hz / 2).unwrap()];
    trunkline_media::dsp::tone::Oscillator::new(&[frequency_hz], -10.0, rate_hz).fill(&mut pcm);
    let path = std::env::temp_dir().join(format!("trunkline-{}-{name}.wav", std::process::id()));
    let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    bytes.extend(rate_hz.to_le_bytes());
    bytes.extend((rate_hz * 2).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend((rate_hz).to_le_bytes());
    bytes.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
    std::fs::File::create(&path).unwrap().write_all(&bytes).unwrap();
    path
}

#[test]
fn a_file_plays_at_the_legs_rate_and_ends() {
    in_real_time(|| {
        let (mut rig, call, port, mut phone) = alone();
        let path = write_wav("44k", 44_100, 600.0);
        let source = PlaySource::File { path: path.clone(), is_looped: false };
        rig.tell(call, Command::Play { endpoint: port.id, source });
        let mut received = listen(&mut phone, port, 40);
        wait_for_end(&mut rig, port.id);
        rig.settle(call, 0);
        received.extend(phone.received());
        std::fs::remove_file(path).unwrap();
        let heard = decode(&received, pcmu()).heard;
        assert!((0.45..0.56).contains(&heard.seconds()), "{}", heard.seconds());
        heard.assert_tone(600.0, -10.0, 0.45);
    });
}

#[test]
fn what_cannot_be_played_is_refused() {
    in_real_time(|| {
        let (mut rig, call, port, _phone) = alone();
        let file = |path: &str| PlaySource::File { path: path.into(), is_looped: true };
        let mut refusal = |source| rig.refusal(call, Command::Play { endpoint: port.id, source });
        assert_eq!(refusal(file("/nonexistent.wav")), "unplayable_source");
        assert_eq!(refusal(file("/dev/null")), "unplayable_source");
        assert_eq!(refusal(PlaySource::Ready(tone(-1.0))), "unplayable_source");

        let early = rig.rtp_port(call);
        let command = Command::Play { endpoint: early.id, source: PlaySource::Ready(tone(440.0)) };
        assert_eq!(rig.refusal(call, command), "invalid_parameter", "no codec is known yet");
    });
}
