//! Bad packets amid good ones, through the whole pipeline: what they were worth is made up or left out, and counted; nobody
//! hears a burst of noise.

use std::time::Duration;

use trunkline_media::bridge::LegIndex;
use trunkline_media::codecs::{Codec, Encoded, Encoder, EncoderSettings};
use trunkline_media::dsp::tone::Oscillator;
use trunkline_media::error::DropReason;
use trunkline_media::net::{Pt, SeqNo, Ssrc};
use trunkline_media::pipeline::Format;
use trunkline_media::rtp::Header;

use crate::support::memory::Lab;
use crate::support::sound::{Heard, Listener};
use crate::support::talk::{B, joined, with_ptime};
use crate::support::{asked, g722, g729, l16, opus, pcma, pcmu, speex, stream};

const TONE_HZ: f64 = 600.0;
const TONE_DBM0: f64 = -20.0;
/// How much louder than the loudest 20 ms before the bad packets any 20 ms may be: a joint adds a little.
const MARGIN_DB: f64 = 3.0;
/// What a decoder lets doubtful frames have above the voice's loudest 10 ms.
const CEILING_MARGIN_DB: f64 = 4.5;
/// Turns of 20 ms before the bad ones, of the bad ones, and after them.
const BEFORE: u32 = 60;
const BAD: u32 = 50;
const AFTER: u32 = 60;

/// What A sends in one turn instead of a good packet.
enum Turn {
    Good,
    Nothing,
    /// In the place of the good one.
    Instead(Pt, Vec<u8>),
    /// With the number after the good one.
    Beside(Pt, Vec<u8>),
}

/// A speaks a tone in `formats[0]`; B hears it, coded anew.
struct Talk {
    lab: Lab,
    a: LegIndex,
    seq: u16,
    listener: Listener,
    drops: Vec<DropReason>,
}

impl Talk {
    fn new(formats: &[Format]) -> Self {
        // Of another packet time, so that G.711 is decoded as well.
        let to = if formats[0].codec.kind() == pcmu().codec.kind() { g722() } else { pcmu() };
        let (lab, a, _) = joined(&stream(formats), &with_ptime(&[to], 30));
        Self { lab, a, seq: 65_500, listener: Listener::new(to), drops: Vec::new() }
    }

    fn send(&mut self, turn: u32, format: Format, pt: Pt, payload: &[u8]) {
        let timestamp = turn * format.codec.clock_rate_hz() / 50;
        let mut data = vec![0; 12];
        Header::new(pt, SeqNo(self.seq), timestamp, Ssrc(77)).write(&mut data).unwrap();
        data.extend(payload);
        self.drops.extend(self.lab.rtp_datagram(self.a, &mut data).err());
    }

    /// Runs the whole talk; `bad` says what each of the bad turns has.
    fn run(mut self, format: Format, mut bad: impl FnMut(u32, &[u8]) -> Turn) -> Outcome {
        let mut voice = Voice::new(&format.codec);
        for turn in 0..BEFORE + BAD + AFTER {
            let good = voice.payload();
            let is_bad = (BEFORE..BEFORE + BAD).contains(&turn);
            match if is_bad { bad(turn - BEFORE, &good) } else { Turn::Good } {
                Turn::Good => self.send(turn, format, format.pt, &good),
                Turn::Nothing => {}
                Turn::Instead(pt, payload) => self.send(turn, format, pt, &payload),
                Turn::Beside(pt, payload) => {
                    self.send(turn, format, format.pt, &good);
                    self.seq = self.seq.wrapping_add(1);
                    self.send(turn, format, pt, &payload);
                }
            }
            self.seq = self.seq.wrapping_add(1);
            self.lab.advance(Duration::from_millis(20));
            for data in self.lab.sent_through(B.rtp) {
                let header = Header::parse(&data).unwrap();
                self.listener.hear(header.payload_of(&data));
            }
        }
        let is_speex = format.codec.kind() == speex(8_000).codec.kind();
        let margin_db = if is_speex { CEILING_MARGIN_DB } else { MARGIN_DB };
        Outcome { heard: self.listener.heard, drops: self.drops, margin_db }
    }
}

/// A tone at the native rate of a codec, packet by packet.
struct Voice {
    oscillator: Oscillator,
    encoder: Box<dyn Encoder>,
    pcm: Vec<i16>,
}

impl Voice {
    fn new(codec: &Codec) -> Self {
        let sample_rate_hz = codec.native_sample_rate_hz();
        let settings = EncoderSettings { sample_rate_hz, ..EncoderSettings::default() };
        Self {
            oscillator: Oscillator::new(&[TONE_HZ], TONE_DBM0, sample_rate_hz),
            encoder: codec.encoder(&settings).unwrap(),
            pcm: vec![0; usize::try_from(sample_rate_hz / 50).unwrap()],
        }
    }

    fn payload(&mut self) -> Vec<u8> {
        self.oscillator.fill(&mut self.pcm);
        let mut payload = vec![0; 1_400];
        let Encoded::Payload(len) = self.encoder.encode(&self.pcm, &mut payload).unwrap() else { panic!("a tone") };
        payload.truncate(len);
        payload
    }
}

struct Outcome {
    heard: Heard,
    drops: Vec<DropReason>,
    margin_db: f64,
}

impl Outcome {
    /// Of each 20 ms, in dBm0.
    fn levels(&self) -> Vec<f64> {
        let rate_hz = self.heard.rate_hz;
        let blocks = self.heard.samples.chunks_exact(usize::try_from(rate_hz / 50).unwrap());
        blocks.map(|samples| Heard { samples: samples.to_vec(), rate_hz }.level_dbm0()).collect()
    }

    /// Fails if any 20 ms are louder than the tone was, or the tone is not there afterwards as it was before.
    #[track_caller]
    fn assert_no_burst(&self, case: &str) -> &Self {
        let rate_hz = self.heard.rate_hz;
        let block = usize::try_from(rate_hz / 50).unwrap();
        let levels = self.levels();
        // A decoder's first packets may ring.
        let before = levels[15..50].iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert!((before - TONE_DBM0).abs() < 4.0, "{case}: {before:.1} dBm0 at first");
        for (place, level) in levels.iter().enumerate().skip(50) {
            assert!(*level <= before + self.margin_db, "{case}: {level:.1} dBm0 after {} ms", place * 20);
        }
        let seconds = f64::from(BEFORE + BAD + AFTER) / 50.0;
        assert!((self.heard.seconds() - seconds).abs() < 0.5, "{case}: {:.1} s heard", self.heard.seconds());
        let last = self.heard.after_ms((BEFORE + BAD + AFTER) * 20 - 700);
        let first = Heard { samples: self.heard.samples[15 * block..50 * block].to_vec(), rate_hz };
        let (share, expected) = (last.share_of(TONE_HZ), first.share_of(TONE_HZ));
        assert!(
            share > expected - if self.margin_db > MARGIN_DB { 1.0 } else { 0.1 },
            "{case}: {share:.2} of the power is the tone's, {expected:.2} before"
        );
        assert!(
            (last.level_dbm0() - first.level_dbm0()).abs() < self.margin_db.clamp(2.0, 6.0),
            "{case}: {:.1} dBm0 at last",
            last.level_dbm0()
        );
        self
    }

    #[track_caller]
    fn assert_drops(&self, reason: DropReason, count: usize) {
        assert_eq!(self.drops, vec![reason; count]);
    }
}

/// Every codec but Speex, where its library is missing.
fn formats() -> Vec<Format> {
    let all = [pcmu(), pcma(), g722(), g729(), opus(), speex(8_000), speex(16_000), l16(16_000)];
    all.into_iter().filter(|format| format.codec.decoder(format.codec.native_sample_rate_hz()).is_ok()).collect()
}

/// Numbers that look random and are the same in every run.
fn bytes(turn: u32, len: usize) -> Vec<u8> {
    let mut state = turn.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn bursts_of_loss_up_to_one_half_are_concealed_at_no_more_than_the_level_of_the_voice() {
    for format in formats() {
        let name = format.codec.kind().name();
        for burst in [1, 2, 5, 10] {
            let is_lost = |turn: u32| (turn / burst).is_multiple_of(2);
            let outcome =
                Talk::new(&[format]).run(format, |turn, _| if is_lost(turn) { Turn::Nothing } else { Turn::Good });
            outcome.assert_no_burst(&format!("{name}, {burst} lost at a time")).assert_drops(DropReason::Codec, 0);
        }
    }
}

#[test]
fn packets_that_no_codec_makes_are_counted_and_concealed() {
    for (format, lengths) in [
        (g729(), &[1, 3, 9, 11, 13, 19, 130, 1_000][..]),
        (pcmu(), &[0, 961, 1_200]),
        (pcma(), &[0, 961, 1_200]),
        (g722(), &[0, 961, 1_200]),
        (opus(), &[0]),
    ] {
        let name = format.codec.kind().name();
        for &len in lengths {
            let is_bad = |turn: u32| !turn.is_multiple_of(3);
            let outcome = Talk::new(&[format]).run(format, |turn, _| {
                if is_bad(turn) { Turn::Instead(format.pt, bytes(turn, len)) } else { Turn::Good }
            });
            let count = (0..BAD).filter(|turn| is_bad(*turn)).count();
            outcome.assert_no_burst(&format!("{name}, {len} bytes")).assert_drops(DropReason::Codec, count);
        }
    }
}

#[test]
fn packets_cut_short_are_heard_as_far_as_they_go() {
    for format in formats() {
        let name = format.codec.kind().name();
        for share in [2, 4] {
            Talk::new(&[format])
                .run(format, |turn, good| match turn % 3 {
                    0 => Turn::Good,
                    _ => Turn::Instead(format.pt, good[..good.len() / share].to_vec()),
                })
                .assert_no_burst(&format!("{name}, one part of {share}"));
        }
    }
}

#[test]
fn packets_of_a_codec_that_was_not_agreed_on_are_counted_and_change_nothing() {
    for format in formats() {
        let name = format.codec.kind().name();
        let outcome = Talk::new(&[format]).run(format, |turn, _| Turn::Beside(Pt(77), bytes(turn, 160)));
        outcome.assert_no_burst(name).assert_drops(DropReason::RtpPayloadType, usize::try_from(BAD).unwrap());
    }
}

#[test]
fn comfort_noise_that_was_not_agreed_on_is_counted_and_not_heard() {
    for format in [pcmu(), pcma(), g722()] {
        let outcome = Talk::new(&[format]).run(format, |_, _| Turn::Beside(Pt(13), vec![0, 200, 3, 250]));
        let name = format.codec.kind().name();
        outcome.assert_no_burst(name).assert_drops(DropReason::RtpPayloadType, usize::try_from(BAD).unwrap());
    }
}

#[test]
fn descriptions_of_silence_that_were_refused_are_counted_and_never_decoded() {
    let format = asked(g729(), &[("annexb", "no")]);
    for len in [2, 12] {
        let outcome = Talk::new(&[format]).run(format, |turn, good| described(format, turn, good, len));
        let count = usize::try_from(BAD).unwrap();
        outcome.assert_no_burst(&format!("{len} bytes")).assert_drops(DropReason::Codec, count);
    }
}

#[test]
fn descriptions_of_any_silence_make_no_noise_that_is_louder_than_the_voice() {
    let format = g729();
    for len in [2, 12] {
        let mut outcome = Talk::new(&[format]).run(format, |turn, good| described(format, turn, good, len));
        outcome.margin_db = CEILING_MARGIN_DB;
        outcome.assert_no_burst(&format!("{len} bytes")).assert_drops(DropReason::Codec, 0);
    }
}

/// Noise as loud as can be described, of any spectrum: alone, or behind a frame of speech.
fn described(format: Format, turn: u32, good: &[u8], len: usize) -> Turn {
    let description = [bytes(turn, 1)[0], 0xfe];
    Turn::Instead(format.pt, if len == 2 { description.to_vec() } else { [&good[..10], &description].concat() })
}

#[test]
fn descriptions_of_silence_are_not_passed_on_to_who_refused_them() {
    let refuses = asked(g729(), &[("annexb", "no")]);
    let (mut lab, a, _) = joined(&stream(&[refuses]), &stream(&[refuses]));
    let mut voice = Voice::new(&refuses.codec);
    let mut arrived = Vec::new();
    for turn in 0..20_u16 {
        let payload = if turn % 2 == 0 { voice.payload() } else { vec![0x55, 0xfe] };
        let mut data = vec![0; 12];
        Header::new(refuses.pt, SeqNo(turn), u32::from(turn) * 160, Ssrc(77)).write(&mut data).unwrap();
        data.extend(payload);
        let taken = lab.rtp_datagram(a, &mut data);
        assert_eq!(taken, if turn % 2 == 0 { Ok(()) } else { Err(DropReason::Codec) });
        lab.advance(Duration::from_millis(20));
        arrived.extend(lab.sent_through(B.rtp));
    }
    assert_eq!(arrived.iter().map(Vec::len).collect::<Vec<_>>(), [32; 10]);
}

#[test]
fn a_codec_that_changes_from_packet_to_packet_is_followed_without_a_burst() {
    for every in [1, 3, 10] {
        let all = [g729(), pcma(), pcmu(), opus()];
        let mut others: Vec<(Format, Voice)> =
            all[1..3].iter().map(|format| (*format, Voice::new(&format.codec))).collect();
        let outcome = Talk::new(&all).run(g729(), |turn, _| {
            let packets: Vec<(Pt, Vec<u8>)> =
                others.iter_mut().map(|(format, voice)| (format.pt, voice.payload())).collect();
            match turn / every % 3 {
                0 => Turn::Good,
                place => {
                    let (pt, payload) = &packets[usize::try_from(place).unwrap() - 1];
                    Turn::Instead(*pt, payload.clone())
                }
            }
        });
        outcome.assert_no_burst(&format!("every {every} packets")).assert_drops(DropReason::Codec, 0);
    }
}

#[test]
fn packets_of_another_codec_under_the_agreed_number_are_dropped_where_their_form_tells() {
    for (format, other) in [(g729(), pcmu()), (opus(), g729())] {
        let mut voice = Voice::new(&other.codec);
        let (name, other) = (format.codec.kind().name(), other.codec.kind().name());
        let outcome = Talk::new(&[format]).run(format, |_, _| Turn::Instead(format.pt, voice.payload()));
        outcome.assert_no_burst(&format!("{other} as {name}"));
    }
}

#[test]
fn random_bytes_of_a_likely_length_are_no_louder_than_speech_or_the_voice() {
    for format in formats() {
        let name = format.codec.kind().name();
        for every in [1, 3] {
            let mut outcome = Talk::new(&[format]).run(format, |turn, good| {
                if turn % every == 0 { Turn::Instead(format.pt, bytes(turn, good.len())) } else { Turn::Good }
            });
            outcome.margin_db = CEILING_MARGIN_DB;
            outcome.assert_no_burst(&format!("{name}, one of {every}"));
        }
    }
}
