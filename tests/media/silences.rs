//! Silence that one side leaves out (DTX): the other side hears the noise of it all the same.

use std::time::Duration;

use trunkline_media::bridge::{LegIndex, StreamParameters};
use trunkline_media::codecs::{Encoded, EncoderSettings, Kind};
use trunkline_media::dsp::cn::{Description, Generator};
use trunkline_media::dsp::tone::Oscillator;
use trunkline_media::endpoint::SocketIds;
use trunkline_media::net::{Pt, SeqNo, Ssrc};
use trunkline_media::outbox::SocketId;
use trunkline_media::pipeline::{Format, Source};
use trunkline_media::rtp::Header;

use crate::support::memory::Lab;
use crate::support::phone::Phone;
use crate::support::sound::{Heard, Listener};
use crate::support::stalls::in_real_time;
use crate::support::talk::with_ptime;
use crate::support::{
    Rig, asked, cn, g722, g729, l16, name, new_call, now, opus, pcma, pcmu, sleep_until, speech, speex, stream,
};

const A: SocketIds = SocketIds { rtp: SocketId(1), rtcp: SocketId(2) };
const B: SocketIds = SocketIds { rtp: SocketId(3), rtcp: SocketId(4) };
const TONE_HZ: f64 = 700.0;
/// Of the noise behind the voice, in dB below overload, and so in dBm0.
const NOISE: u8 = 50;
const NOISE_DBM0: f64 = 6.15 - 50.0;

/// A talks to B before some noise: a second of a tone, two of noise alone that may be left out, a second of the tone.
struct Talk {
    lab: Lab,
    a: LegIndex,
    b: LegIndex,
    number: u16,
    sent: Vec<(Header, Vec<u8>)>,
}

impl Talk {
    fn new(a: &[Format], b: &[Format]) -> Self {
        Self::with_ptime(a, b, 20)
    }

    /// `ptime_ms`: of the packets to B.
    fn with_ptime(a: &[Format], b: &[Format], ptime_ms: u32) -> Self {
        Self::on_node(EncoderSettings::default(), a, b, ptime_ms)
    }

    /// On a node with these settings.
    fn on_node(settings: EncoderSettings, a: &[Format], b: &[Format], ptime_ms: u32) -> Self {
        let mut lab = Lab::new();
        lab.settings = settings;
        let b = StreamParameters { ptime_ms, ..stream(b) };
        let (a, b) = (lab.rtp_leg_on(A, &stream(a)), lab.rtp_leg_on(B, &b));
        lab.bridge.join(a, b).unwrap();
        Self { lab, a, b, number: 0, sent: Vec::new() }
    }

    /// 20 ms of a clock, with a packet or without one.
    fn step(&mut self, (step, clock_rate_hz): (u32, u32), packet: Option<(Pt, &[u8])>) {
        if let Some((pt, payload)) = packet {
            let timestamp = step * (clock_rate_hz / 50);
            let header = Header::new(pt, SeqNo(65_500_u16.wrapping_add(self.number)), timestamp, Ssrc(77));
            let mut data = vec![0; 12];
            header.write(&mut data).unwrap();
            data.extend(payload);
            self.lab.rtp_datagram(self.a, &mut data).unwrap();
            self.number += 1;
        }
        self.lab.advance(Duration::from_millis(20));
        for data in self.lab.sent_through(B.rtp) {
            let header = Header::parse(&data).unwrap();
            let payload = header.payload_of(&data).to_vec();
            self.sent.push((header, payload));
        }
    }

    /// The whole talk. `encoder`: of A's speech. `noise_packet`: the one that begins the noise; None if the encoder finds
    /// out by itself.
    fn run(mut self, format: Format, noise_packet: Option<&[u8]>) -> Vec<(Header, Vec<u8>)> {
        let sample_rate_hz = format.codec.sample_rate_beside(8_000);
        let clock_rate_hz = format.codec.clock_rate_hz();
        let mut encoder =
            format.codec.encoder(&EncoderSettings { sample_rate_hz, ..EncoderSettings::default() }).unwrap();
        // Syllables, since voice detection takes what stands still for noise.
        let syllable = [u64::from(sample_rate_hz / 100 * 18), u64::from(sample_rate_hz / 100 * 4)];
        let mut voice = Oscillator::new(&[TONE_HZ], -10.0, sample_rate_hz).with_cadence(syllable);
        let mut noise = Generator::new(3);
        noise.set(&Description::white(NOISE));
        for number in 0..200 {
            let step = (number, clock_rate_hz);
            let mut pcm = vec![0; usize::try_from(sample_rate_hz / 50).unwrap()];
            let mut room = pcm.clone();
            // Who has to find out learns first what is noise.
            let is_noise = (50..150).contains(&number) || (number < 20 && noise_packet.is_none());
            if !is_noise {
                voice.fill(&mut pcm);
            }
            noise.fill(&mut room);
            pcm.iter_mut().zip(&room).for_each(|(sample, noise)| *sample += noise);
            match noise_packet {
                Some(payload) if number == 50 => self.step(step, Some((Pt(13), payload))),
                Some(_) if is_noise => self.step(step, None),
                _ => {
                    let mut payload = [0; 1_920];
                    match encoder.encode(&pcm, &mut payload).unwrap() {
                        Encoded::Payload(len) => self.step(step, Some((format.pt, &payload[..len]))),
                        Encoded::Silence => self.step(step, None),
                    }
                }
            }
        }
        // G.711 has no way of its own to leave anything out.
        let leaves_out = noise_packet.is_some() || format != pcma();
        assert!(!leaves_out || self.number < 185, "{} of 200 packets came: nothing was left out", self.number);
        self.sent
    }
}

/// The audio of consecutive packets, each of which must be 20 ms of `format` behind the one before.
#[track_caller]
fn unbroken(sent: &[(Header, Vec<u8>)], format: Format) -> Heard {
    let mut listener = Listener::new(format);
    for (index, (header, payload)) in sent.iter().enumerate() {
        assert_eq!(header.pt, format.pt);
        listener.hear(payload);
        if let Some((next, _)) = sent.get(index + 1) {
            assert_eq!(next.seq, SeqNo(header.seq.0.wrapping_add(1)), "packet {index}");
            let step = next.timestamp.wrapping_sub(header.timestamp);
            // A change of the feed may move the clock by what its first packet waited.
            let step_ms = step / (format.codec.clock_rate_hz() / 1_000);
            assert!((10..=50).contains(&step_ms), "a step of {step_ms} ms after packet {index}");
        }
    }
    listener.heard
}

fn between(heard: &Heard, from_ms: u32, to_ms: u32) -> Heard {
    let at = |ms: u32| usize::try_from(ms * heard.rate_hz / 1_000).unwrap().min(heard.samples.len());
    Heard { samples: heard.samples[at(from_ms)..at(to_ms)].to_vec(), rate_hz: heard.rate_hz }
}

#[track_caller]
fn assert_noise_between_tones(heard: &Heard, end_ms: u32, told: &str) {
    for (from_ms, to_ms) in [(550, 950), (end_ms - 600, end_ms - 100)] {
        let tone = between(heard, from_ms, to_ms);
        let (share, level) = (tone.share_of(TONE_HZ), tone.level_dbm0());
        assert!(share > 0.8 && (level + 11.0).abs() < 3.0, "{told}: {share:.2} of {level:.1} dBm0 after {from_ms} ms");
    }
    // No part of it is silent, or as loud as speech.
    for from_ms in (1_500..2_800).step_by(260) {
        let level = between(heard, from_ms, from_ms + 260).level_dbm0();
        // What is wide loses half of it beside what is narrow, and much of it in Speex and G.729.
        assert!((-13.0..7.0).contains(&(level - NOISE_DBM0)), "{told}: noise of {level:.1} dBm0 after {from_ms} ms");
    }
}

#[test]
fn who_takes_no_comfort_noise_hears_it_without_end_on_every_way() {
    for from in [pcmu(), pcma(), g722(), l16(8_000)] {
        for to in who_hears_all() {
            let sent = Talk::new(&[from, cn()], &[to]).run(from, Some(&[NOISE]));
            let told = format!("{} to {}", name(from), name(to));
            assert!((190..=205).contains(&sent.len()), "{told}: {} packets of 20 ms in four seconds", sent.len());
            assert_noise_between_tones(&unbroken(&sent, to), 3_950, &told);
        }
    }
}

/// Each codec, as it is agreed on with somebody who is sent every packet.
fn who_hears_all() -> Vec<Format> {
    let short = |format: &Format| format.codec.possible_ptime_ms(20) == 20;
    speech().into_iter().filter(short).map(|format| asked(format, &[("annexb", "no")])).collect()
}

/// Codecs that leave silence out by themselves.
fn who_falls_silent() -> Vec<Format> {
    let wish = [("usedtx", "1"), ("vbr", "vad"), ("cng", "on")];
    let known = speech();
    let speex = [speex(8_000), speex(16_000)].into_iter().filter(|format| known.contains(format));
    [opus(), g729()].into_iter().chain(speex).map(|format| asked(format, &wish)).collect()
}

#[test]
fn silence_of_a_codec_that_leaves_it_out_is_noise_in_every_other() {
    for from in who_falls_silent() {
        for to in who_hears_all().into_iter().filter(|to| to.codec.kind() != from.codec.kind()) {
            let sent = Talk::new(&[from], &[to]).run(from, None);
            let told = format!("{} to {}", name(from), name(to));
            assert!((185..=205).contains(&sent.len()), "{told}: {} packets of 20 ms in four seconds", sent.len());
            assert_noise_between_tones(&unbroken(&sent, to), 3_900, &told);
        }
    }
}

#[test]
fn silence_of_a_codec_that_leaves_it_out_is_described_to_who_takes_comfort_noise() {
    for from in who_falls_silent().into_iter().filter(|from| from.codec.kind() != Kind::Opus) {
        for to in [pcmu(), pcma(), g722(), l16(8_000)] {
            let sent = Talk::new(&[from], &[to, cn()]).run(from, None);
            let told = format!("{} to {}", name(from), name(to));
            let noise: Vec<&[u8]> =
                sent.iter().filter(|(header, _)| header.pt == cn().pt).map(|(_, it)| &it[..]).collect();
            assert!(noise.len() >= 2 && sent.len() < 170, "{told}: {} of {} packets", noise.len(), sent.len());
            let level = 6.15 - f64::from(noise[noise.len() - 1][0]);
            assert!((level - NOISE_DBM0).abs() < 10.0, "{told}: described as {level} dBm0");
            // What is said of the spectrum is said at the rate of the clock.
            assert!(to != g722() || noise.iter().all(|payload| payload.len() == 1), "{told}: {noise:?}");
        }
    }
}

#[test]
fn who_takes_comfort_noise_is_told_of_it_and_hears_no_packets_meanwhile() {
    // Another packet time, so that nothing can go on as it came.
    let sent = Talk::with_ptime(&[pcma(), cn()], &[pcmu(), cn()], 30).run(pcma(), Some(&[NOISE]));
    let noise: Vec<&(Header, Vec<u8>)> = sent.iter().filter(|(header, _)| header.pt == cn().pt).collect();
    assert!((4..=20).contains(&noise.len()), "{} descriptions in two seconds", noise.len());
    let level = 6.15 - f64::from(noise[noise.len() - 1].1[0]);
    assert!((level - NOISE_DBM0).abs() < 3.0, "described as {level} dBm0");
    // Numbers go on without a hole, and time goes by.
    for (before, after) in sent.iter().zip(&sent[1..]) {
        assert_eq!(after.0.seq, SeqNo(before.0.seq.0.wrapping_add(1)));
        assert!(after.0.timestamp.wrapping_sub(before.0.timestamp) <= 8 * 450);
    }
    let resumed = sent.iter().rposition(|(header, _)| header.pt == cn().pt).unwrap() + 1;
    assert!(sent[resumed].0.marker, "speech that begins again is marked");
    assert!(sent[resumed + 1..].iter().all(|(header, _)| !header.marker));
    let mut listener = Listener::new(pcmu());
    sent[resumed + 8..].iter().for_each(|(_, payload)| listener.hear(payload));
    listener.heard.assert_tone(TONE_HZ, -10.0, 0.5);
    assert!(sent.len() < 100, "{} packets", sent.len());
}

/// Of a node that looks for silence.
const LEAVES_SILENCE_OUT: EncoderSettings = EncoderSettings {
    sample_rate_hz: 8_000,
    complexity: None,
    bitrate_bps: 24_000,
    expected_loss_percent: 5,
    leaves_silence_out: true,
};

/// A talks without ever leaving silence out, in packets that are coded anew towards B.
fn talk_to_who_takes_comfort_noise(settings: EncoderSettings) -> Vec<(Header, Vec<u8>)> {
    Talk::on_node(settings, &[pcma()], &[pcmu(), cn()], 30).run(pcma(), None)
}

#[test]
fn silence_that_nobody_speaks_of_is_found_and_described_on_a_node_that_looks_for_it() {
    let sent = talk_to_who_takes_comfort_noise(LEAVES_SILENCE_OUT);
    let is_noise = |(header, _): &&(Header, Vec<u8>)| header.pt == cn().pt;
    let descriptions: Vec<_> = sent.iter().filter(is_noise).collect();
    assert!((3..=12).contains(&descriptions.len()), "{} descriptions in two seconds", descriptions.len());
    for (_, payload) in &descriptions {
        let level = 6.15 - f64::from(payload[0]);
        assert!((level - NOISE_DBM0).abs() < 3.0, "described as {level} dBm0");
        assert!(payload.len() > 1, "with its colour");
    }
    assert!(sent.len() < 95, "{} packets instead of 133", sent.len());

    // The voice on both sides of the silence is whole.
    let began = sent.iter().position(|packet| is_noise(&packet)).unwrap();
    let resumed = sent.iter().rposition(|packet| is_noise(&packet)).unwrap() + 1;
    assert!(sent[resumed].0.marker, "speech that begins again is marked");
    let mut before = Listener::new(pcmu());
    sent[..began].iter().for_each(|(_, payload)| before.hear(payload));
    assert_syllables(&between(&before.heard, 450, 950));
    let mut after = Listener::new(pcmu());
    sent[resumed..].iter().for_each(|(_, payload)| after.hear(payload));
    assert!(after.heard.seconds() > 0.9, "{} s after the silence", after.heard.seconds());
    assert_syllables(&after.heard.after_ms(30));
}

/// Fails unless these are syllables of the tone: the pauses between them cost 0.9 dB and, in windows that they begin or
/// end in, some of the tone's share.
#[track_caller]
fn assert_syllables(heard: &Heard) {
    let (share, level) = (heard.share_of(TONE_HZ), heard.level_dbm0());
    assert!(share > 0.75 && (level + 10.9).abs() < 2.0, "{share:.2} of {level:.1} dBm0 is the tone's");
}

#[test]
fn silence_is_sent_like_speech_where_nobody_looks_for_it_or_nobody_takes_noise() {
    let sent = talk_to_who_takes_comfort_noise(EncoderSettings::default());
    assert!(sent.len() > 125 && sent.iter().all(|(header, _)| header.pt == pcmu().pt), "{} packets", sent.len());
    let sent = Talk::on_node(LEAVES_SILENCE_OUT, &[pcma()], &[pcmu()], 30).run(pcma(), None);
    assert!(sent.len() > 125 && sent.iter().all(|(header, _)| header.pt == pcmu().pt), "{} packets", sent.len());
}

#[test]
fn what_is_played_is_never_left_out_however_faint_it_is() {
    let mut talk = Talk::on_node(LEAVES_SILENCE_OUT, &[pcma()], &[pcmu(), cn()], 20);
    let source = Source::Tone { frequencies_hz: vec![TONE_HZ], level_dbm0: -45.0, cadence_ms: vec![] };
    talk.lab.bridge.play(talk.lab.now, talk.b, source).unwrap();
    (0..150).for_each(|step| talk.step((step, 8_000), None));
    unbroken(&talk.sent, pcmu()).assert_tone(TONE_HZ, -45.0, 2.9);
}

#[test]
fn comfort_noise_of_both_sides_goes_on_untouched() {
    for to in [pcmu(), pcma()] {
        let sent = Talk::new(&[pcmu(), cn()], &[to, cn()]).run(pcmu(), Some(&[NOISE, 140, 99]));
        let noise: Vec<&(Header, Vec<u8>)> = sent.iter().filter(|(header, _)| header.pt == cn().pt).collect();
        assert_eq!(noise.iter().map(|(_, payload)| &payload[..]).collect::<Vec<_>>(), [&[NOISE, 140, 99]]);
        assert_eq!(sent.len(), 101);
    }
}

#[test]
fn a_packet_that_claims_to_be_loud_makes_no_loud_noise() {
    let sent = Talk::new(&[pcmu(), cn()], &[pcmu()]).run(pcmu(), Some(&[0]));
    let noise = between(&unbroken(&sent, pcmu()), 1_500, 2_800);
    assert!(noise.level_dbm0() < -18.0, "noise of {} dBm0", noise.level_dbm0());
}

#[test]
fn a_node_that_is_set_to_look_for_silence_does() {
    in_real_time(|| {
        let mut rig = Rig::with(|config| config.leaves_silence_out = true);
        let call = new_call();
        let [from, to] = [rig.rtp_port(call), rig.rtp_port(call)];
        let (mut caller, callee) = (Phone::new(rig.ip), Phone::new(rig.ip));
        rig.set_remote(call, from.id, caller.remote(), stream(&[pcma()]));
        rig.set_remote(call, to.id, callee.remote(), with_ptime(&[pcmu(), cn()], 30));
        rig.join(call, from.id, to.id);
        let (start, mut heard) = (now(), Vec::new());
        for frame in 1..=75 {
            caller.send(from.rtp, pcma().pt, 160, &[0xd5; 160]);
            sleep_until(start + Duration::from_millis(20) * frame);
            heard.extend(callee.received());
        }
        let descriptions = heard.iter().filter(|packet| packet.header.pt == cn().pt).count();
        assert!(descriptions > 0 && heard.len() < 25, "{descriptions} of {} packets", heard.len());
    });
}
