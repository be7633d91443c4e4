//! Silence that one side leaves out (DTX): the other side hears the noise of it all the same.

use std::time::Duration;

use trunkline_media::bridge::{LegIndex, StreamParameters};
use trunkline_media::codecs::{Codec, Encoded, EncoderSettings};
use trunkline_media::dsp::cn::{Description, Generator};
use trunkline_media::dsp::tone::Oscillator;
use trunkline_media::endpoint::SocketIds;
use trunkline_media::net::{Pt, SeqNo, Ssrc};
use trunkline_media::outbox::SocketId;
use trunkline_media::pipeline::Format;
use trunkline_media::rtp::Header;

use crate::support::memory::Lab;
use crate::support::sound::{Heard, Listener};
use crate::support::{codec, g729, pcma, pcmu, stream};

const A: SocketIds = SocketIds { rtp: SocketId(1), rtcp: SocketId(2) };
const B: SocketIds = SocketIds { rtp: SocketId(3), rtcp: SocketId(4) };
const TONE_HZ: f64 = 700.0;
/// Of the noise behind the voice, in dB below overload, and so in dBm0.
const NOISE: u8 = 50;
const NOISE_DBM0: f64 = 6.15 - 50.0;

fn cn() -> Format {
    Format { pt: Pt(13), codec: codec("CN", 8_000, 1) }
}

/// A talks to B: a second of a tone, two of noise that may be left out, a second of the tone.
struct Talk {
    lab: Lab,
    a: LegIndex,
    number: u16,
    sent: Vec<(Header, Vec<u8>)>,
}

impl Talk {
    fn new(a: &[Format], b: &[Format]) -> Self {
        Self::with_ptime(a, b, 20)
    }

    /// `ptime_ms`: of the packets to B.
    fn with_ptime(a: &[Format], b: &[Format], ptime_ms: u32) -> Self {
        let mut lab = Lab::new();
        let b = StreamParameters { ptime_ms, ..stream(b) };
        let (a, b) = (lab.rtp_leg_on(A, &stream(a)), lab.rtp_leg_on(B, &b));
        lab.bridge.join(a, b).unwrap();
        Self { lab, a, number: 0, sent: Vec::new() }
    }

    /// 20 ms, with a packet or without one.
    fn step(&mut self, step: u32, packet: Option<(Pt, &[u8])>) {
        if let Some((pt, payload)) = packet {
            let header = Header::new(pt, SeqNo(65_500_u16.wrapping_add(self.number)), step * 160, Ssrc(77));
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
        let mut encoder = format.codec.encoder(&EncoderSettings::default()).unwrap();
        let mut voice = Oscillator::new(&[TONE_HZ], -10.0, 8_000);
        let mut noise = Generator::new(3);
        noise.set(&Description::white(NOISE));
        for step in 0..200 {
            let mut pcm = [0; 160];
            let is_noise = (50..150).contains(&step);
            if is_noise {
                noise.fill(&mut pcm);
            } else {
                voice.fill(&mut pcm);
            }
            match noise_packet {
                Some(payload) if step == 50 => self.step(step, Some((Pt(13), payload))),
                Some(_) if is_noise => self.step(step, None),
                _ => {
                    let mut payload = [0; 200];
                    match encoder.encode(&pcm, &mut payload).unwrap() {
                        Encoded::Payload(len) => self.step(step, Some((format.pt, &payload[..len]))),
                        Encoded::Silence => self.step(step, None),
                    }
                }
            }
        }
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
            assert!((80..=400).contains(&step), "a step of {step} after packet {index}");
        }
    }
    listener.heard
}

fn between(heard: &Heard, from_ms: u32, to_ms: u32) -> Heard {
    let at = |ms: u32| usize::try_from(ms * heard.rate_hz / 1_000).unwrap().min(heard.samples.len());
    Heard { samples: heard.samples[at(from_ms)..at(to_ms)].to_vec(), rate_hz: heard.rate_hz }
}

#[track_caller]
fn assert_noise_between_tones(heard: &Heard, end_ms: u32) {
    between(heard, 300, 900).assert_tone(TONE_HZ, -10.0, 0.55);
    let noise = between(heard, 1_500, 2_800);
    assert!((noise.level_dbm0() - NOISE_DBM0).abs() < 7.0, "noise of {} dBm0", noise.level_dbm0());
    between(heard, end_ms - 600, end_ms - 100).assert_tone(TONE_HZ, -10.0, 0.45);
}

#[test]
fn who_takes_no_comfort_noise_hears_it_without_end_on_every_way() {
    let without_annex_b = Codec::new("G729", 8_000, 1, [("annexb", "no")]).unwrap();
    let without_annex_b = Format { codec: without_annex_b, ..g729() };
    for (from, to) in [(pcmu(), pcmu()), (pcma(), pcmu()), (pcmu(), without_annex_b)] {
        let sent = Talk::new(&[from, cn()], &[to]).run(from, Some(&[NOISE]));
        assert!((190..=205).contains(&sent.len()), "{} packets of 20 ms in four seconds", sent.len());
        assert_noise_between_tones(&unbroken(&sent, to), 3_950);
    }
    let sent = Talk::new(&[g729()], &[pcmu()]).run(g729(), None);
    assert_noise_between_tones(&unbroken(&sent, pcmu()), 3_900);
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
