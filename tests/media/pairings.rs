//! Digits from one kind to another: events, tones and signalling on either leg, each digit once.

use std::time::Duration;

use proptest::prelude::*;
use trunkline_media::bridge::{Dtmf, Event, LegIndex, StreamParameters};
use trunkline_media::codecs::{Encoded, Encoder, EncoderSettings};
use trunkline_media::dsp::tone::{Oscillator, dtmf_frequencies};
use trunkline_media::dtmf::{self, Detector, Digit, Kind, Received, Receiver};
use trunkline_media::endpoint::SocketIds;
use trunkline_media::net::{Pt, SeqNo, Ssrc};
use trunkline_media::outbox::SocketId;
use trunkline_media::pipeline::Format;
use trunkline_media::rtp::Header;

use crate::support::memory::Lab;
use crate::support::sound::{Heard, Listener};
use crate::support::{events, opus, pcma, pcmu, stream};

const DIGITS: &str = "0123456789*#ABCD";
const FRAME_MS: u32 = 20;
const EVENT_PT: u8 = 101;
const A: SocketIds = SocketIds { rtp: SocketId(1), rtcp: SocketId(2) };
const B: SocketIds = SocketIds { rtp: SocketId(3), rtcp: SocketId(4) };

/// What a leg negotiated.
fn negotiated(kind: Kind, audio: Format) -> StreamParameters {
    let dtmf = Dtmf { sent: kind, hears_tones: kind == Kind::Inband };
    let formats = match kind {
        Kind::Rfc4733 => vec![audio, events(EVENT_PT, audio.codec.clock_rate_hz().min(48_000))],
        Kind::Inband | Kind::Info => vec![audio],
    };
    StreamParameters { dtmf, ..stream(&formats) }
}

/// A key, and for how long it is down and up.
#[derive(Debug, Clone, Copy)]
struct Press {
    digit: char,
    down_ms: u32,
    up_ms: u32,
}

/// A far side that presses keys, and sends audio all the while.
struct Caller {
    kind: Kind,
    /// A tone in the audio beside events or signalling, as some gateways leave it.
    is_double: bool,
    format: Format,
    encoder: Box<dyn Encoder>,
    rate_hz: u32,
    seq: u16,
    timestamp: u32,
}

impl Caller {
    fn new(kind: Kind, format: Format, is_double: bool) -> Self {
        let rate_hz = format.codec.native_sample_rate_hz();
        let settings = EncoderSettings { sample_rate_hz: rate_hz, ..EncoderSettings::default() };
        let encoder = format.codec.encoder(&settings).unwrap();
        Self { kind, is_double, format, encoder, rate_hz, seq: 65_530, timestamp: 7_000 }
    }

    fn packet(&mut self, pt: Pt, (timestamp, marker): (u32, bool), payload: &[u8]) -> Vec<u8> {
        let header = Header { marker, ..Header::new(pt, SeqNo(self.seq), timestamp, Ssrc(77)) };
        self.seq = self.seq.wrapping_add(1);
        let mut data = vec![0; 12];
        header.write(&mut data).unwrap();
        data.extend(payload);
        data
    }

    /// All packets of the presses, a list for each 20 ms.
    fn packets(&mut self, presses: &[Press]) -> Vec<Vec<Vec<u8>>> {
        let per_ms = self.rate_hz / 1_000;
        let mut pcm: Vec<i16> = vec![0; size(200 * per_ms)];
        for press in presses {
            let start = pcm.len();
            pcm.resize(start + size(press.down_ms * per_ms), 0);
            if self.kind == Kind::Inband || self.is_double {
                Oscillator::dtmf(press.digit, self.rate_hz).unwrap().fill(&mut pcm[start..]);
            }
            pcm.resize(pcm.len() + size(press.up_ms * per_ms), 0);
        }
        pcm.resize(pcm.len().next_multiple_of(size(FRAME_MS * per_ms)) + size(600 * per_ms), 0);

        let clock_rate_hz = self.format.codec.clock_rate_hz();
        let mut sender = dtmf::Sender::new(clock_rate_hz, FRAME_MS);
        let mut starts: Vec<(u32, Press)> = Vec::new();
        let mut at_ms = 200;
        for press in presses {
            starts.push((at_ms, *press));
            at_ms += press.down_ms + press.up_ms;
        }
        starts.reverse();
        let mut all = Vec::new();
        for (frame, now_ms) in pcm.chunks(size(FRAME_MS * per_ms)).zip((0..).step_by(20)) {
            while starts.last().is_some_and(|(start, _)| *start <= now_ms) {
                let (_, press) = starts.pop().unwrap();
                if self.kind == Kind::Rfc4733 {
                    sender.push(Digit::from_char(press.digit).unwrap(), press.down_ms, 0).unwrap();
                }
            }
            let mut payload = vec![0; 1_400];
            let Encoded::Payload(len) = self.encoder.encode(frame, &mut payload).unwrap() else { panic!("silence") };
            let mut packets = vec![self.packet(self.format.pt, (self.timestamp, false), &payload[..len])];
            if let Some(event) = sender.poll(self.timestamp) {
                packets.push(self.packet(Pt(EVENT_PT), (event.timestamp, event.marker), &event.event.to_bytes()));
            }
            self.timestamp = self.timestamp.wrapping_add(FRAME_MS * (clock_rate_hz / 1_000));
            all.push(packets);
        }
        all
    }
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap()
}

/// What a far side, and the controller, made of it all.
#[derive(Default)]
struct Outcome {
    events: Vec<(char, u32)>,
    tones: Vec<(char, u32)>,
    told: Vec<(char, u32, Kind)>,
    audio: Heard,
}

/// Listens at one leg: to events with a receiver of its own, to the audio with a detector of its own.
struct Callee {
    events: Receiver,
    listener: Listener,
    format: Format,
    outcome: Outcome,
    began: Option<char>,
}

impl Callee {
    fn new(format: Format) -> Self {
        let events = Receiver::new(format.codec.clock_rate_hz());
        Self { events, listener: Listener::new(format), format, outcome: Outcome::default(), began: None }
    }

    fn hear(&mut self, lab: &Lab, data: &[u8]) {
        let header = Header::parse(data).unwrap();
        let payload = header.payload_of(data);
        if header.pt == self.format.pt {
            self.listener.hear(payload);
            return;
        }
        assert_eq!(header.pt, Pt(EVENT_PT));
        self.events.handle_packet(lab.now, header.timestamp, header.marker, payload).unwrap();
        while let Some(event) = self.events.poll_event() {
            match event {
                Received::Began { digit, .. } => self.began = Some(digit.as_char()),
                Received::Ended { digit, duration_ms } => self.outcome.events.push((digit.as_char(), duration_ms)),
            }
        }
    }

    fn finish(mut self) -> Outcome {
        self.outcome.audio = self.listener.heard;
        let mut detector = Detector::new(self.outcome.audio.rate_hz).unwrap();
        for piece in self.outcome.audio.samples.chunks(400) {
            detector.hear(piece);
            while let Some(event) = detector.poll_event() {
                if let Received::Ended { digit, duration_ms } = event {
                    self.outcome.tones.push((digit.as_char(), duration_ms));
                }
            }
        }
        self.outcome
    }
}

/// One call: A presses, B listens. `is_kept`: which of A's packets arrive.
struct Call {
    from: (Kind, Format),
    to: (Kind, Format),
    is_double: bool,
    is_kept: fn(usize) -> bool,
}

impl Call {
    fn new(from: (Kind, Format), to: (Kind, Format)) -> Self {
        Self { from, to, is_double: false, is_kept: |_| true }
    }

    fn press(&self, presses: &[Press]) -> Outcome {
        let mut lab = Lab::new();
        let a = lab.rtp_leg_on(A, &negotiated(self.from.0, self.from.1));
        let b = lab.rtp_leg_on(B, &negotiated(self.to.0, self.to.1));
        lab.bridge.join(a, b).unwrap();
        let mut caller = Caller::new(self.from.0, self.from.1, self.is_double);
        let mut callee = Callee::new(self.to.1);
        let mut number = 0;
        for (step, packets) in caller.packets(presses).into_iter().enumerate() {
            if step == 10 && self.from.0 == Kind::Info && self.to.0 != Kind::Info {
                signal(&mut lab, b, presses);
            }
            for mut packet in packets {
                number += 1;
                if (self.is_kept)(number) {
                    // Early packets may be refused: the far side's address is being learned.
                    let _ = lab.rtp_datagram(a, &mut packet);
                }
            }
            lab.advance(Duration::from_millis(u64::from(FRAME_MS)));
            for data in lab.sent_through(B.rtp) {
                callee.hear(&lab, &data);
            }
            for event in lab.events() {
                if let Event::Digit { digit, duration_ms, kind, .. } = event {
                    callee.outcome.told.push((digit.as_char(), duration_ms, kind));
                }
            }
        }
        callee.finish()
    }
}

/// What the controller does with digits that came by INFO.
fn signal(lab: &mut Lab, to: LegIndex, presses: &[Press]) {
    for press in presses {
        let digit = [Digit::from_char(press.digit).unwrap()];
        lab.bridge.dial(lab.now, to, &digit, (press.down_ms, press.up_ms)).unwrap();
    }
}

fn presses(digits: &str, down_ms: u32, up_ms: u32) -> Vec<Press> {
    digits.chars().map(|digit| Press { digit, down_ms, up_ms }).collect()
}

fn text<T>(heard: &[T], digit: impl Fn(&T) -> char) -> String {
    heard.iter().map(digit).collect()
}

/// Fails unless B was given every digit by its own kind, in order, and by no other; and the controller was told.
#[track_caller]
fn assert_given(call: &Call, outcome: &Outcome, wanted: &[Press], slack_ms: u32) {
    let (from, to) = (call.from.0, call.to.0);
    let digits = text(wanted, |press| press.digit);
    let (events, tones) = match to {
        Kind::Rfc4733 => (digits.as_str(), ""),
        Kind::Inband => ("", digits.as_str()),
        Kind::Info => ("", ""),
    };
    assert_eq!(text(&outcome.events, |heard| heard.0), events, "events from {from:?} to {to:?}");
    assert_eq!(text(&outcome.tones, |heard| heard.0), tones, "tones from {from:?} to {to:?}");
    let told = if from == Kind::Info { "" } else { digits.as_str() };
    assert_eq!(text(&outcome.told, |heard| heard.0), told, "told of {from:?}");
    assert!(outcome.told.iter().all(|heard| heard.2 == from));

    let told = outcome.told.iter().map(|heard| heard.1);
    let given = outcome.events.iter().chain(&outcome.tones).map(|heard| heard.1);
    for (what, heard) in [("told", told.collect::<Vec<_>>()), ("given", given.collect())] {
        for (heard_ms, press) in heard.into_iter().zip(wanted) {
            // A digit may be made longer so that everybody hears it, never shorter.
            let range = press.down_ms.saturating_sub(slack_ms)..=press.down_ms.max(60) + slack_ms;
            assert!(range.contains(&heard_ms), "{what} {heard_ms} ms for {press:?} from {from:?} to {to:?}");
        }
    }
}

fn every_pairing(check: impl Fn((Kind, Format), (Kind, Format))) {
    for from in Kind::ALL {
        for to in Kind::ALL {
            for (a, b) in [(pcmu(), pcmu()), (pcma(), pcmu())] {
                check((from, a), (to, b));
            }
        }
    }
}

#[test]
fn every_digit_crosses_every_pairing_once_with_its_length() {
    let wanted = presses(DIGITS, 100, 100);
    every_pairing(|from, to| {
        let call = Call::new(from, to);
        assert_given(&call, &call.press(&wanted), &wanted, 25);
    });
}

#[test]
fn short_digits_back_to_back_cross_every_pairing() {
    let wanted = presses("155#D0A", 40, 40);
    every_pairing(|from, to| {
        let call = Call::new(from, to);
        assert_given(&call, &call.press(&wanted), &wanted, 25);
    });
}

#[test]
fn a_key_held_for_seconds_is_one_digit_in_every_pairing() {
    let wanted = presses("7", 5_000, 100);
    every_pairing(|from, to| {
        let call = Call::new(from, to);
        assert_given(&call, &call.press(&wanted), &wanted, 60);
    });
}

#[test]
fn a_tone_beside_events_is_no_second_digit() {
    let wanted = presses("42#", 120, 100);
    for to in Kind::ALL {
        for codec in [pcmu(), pcma()] {
            let call = Call { is_double: true, ..Call::new((Kind::Rfc4733, pcmu()), (to, codec)) };
            assert_given(&call, &call.press(&wanted), &wanted, 25);
        }
    }
}

#[test]
fn digits_cross_between_opus_and_g711() {
    let wanted = presses("0A5#", 120, 120);
    for (from, to) in [(opus(), pcmu()), (pcmu(), opus()), (opus(), opus())] {
        for (one, other) in [(Kind::Inband, Kind::Rfc4733), (Kind::Inband, Kind::Info), (Kind::Rfc4733, Kind::Inband)] {
            let call = Call::new((one, from), (other, to));
            assert_given(&call, &call.press(&wanted), &wanted, 40);
        }
    }
}

#[test]
fn every_seventh_packet_may_be_lost() {
    let wanted = presses(DIGITS, 160, 100);
    for to in Kind::ALL {
        let call = Call { is_kept: |number| number % 7 != 0, ..Call::new((Kind::Rfc4733, pcmu()), (to, pcmu())) };
        assert_given(&call, &call.press(&wanted), &wanted, 60);
    }
    for to in [Kind::Rfc4733, Kind::Info] {
        let call = Call { is_kept: |number| number % 7 != 0, ..Call::new((Kind::Inband, pcmu()), (to, pcmu())) };
        assert_given(&call, &call.press(&wanted), &wanted, 60);
    }
}

/// The tones that we make are judged by a transform over the whole of each, not by our own detector.
#[test]
fn tones_have_the_frequencies_and_the_level_of_their_digit() {
    for digit in DIGITS.chars() {
        let call = Call::new((Kind::Rfc4733, pcmu()), (Kind::Inband, pcmu()));
        let outcome = call.press(&presses(&digit.to_string(), 400, 100));
        let loud = |frame: &&[i16]| frame.iter().all(|_| frame.iter().any(|sample| sample.abs() > 4_000));
        let samples: Vec<i16> = outcome.audio.samples.chunks(80).filter(loud).flatten().copied().collect();
        let tone = Heard { samples, rate_hz: 8_000 };
        assert!((0.38..0.45).contains(&tone.seconds()), "{} s of {digit}", tone.seconds());
        let shares = dtmf_frequencies(digit).unwrap().map(|hz| tone.share_of(hz));
        assert!(shares.iter().all(|share| (0.42..0.55).contains(share)), "{shares:?} of {digit}");
        let level = tone.level_dbm0();
        assert!((-8.0..-6.0).contains(&level), "{level} dBm0 for two waves of -10 dBm0");
    }
}

/// What the callee hears of a tone that is told in another way is too short for any receiver.
#[test]
fn a_tone_that_is_told_is_kept_from_the_audio() {
    for to in [Kind::Rfc4733, Kind::Info] {
        for (one, other) in [(pcmu(), pcmu()), (pcmu(), pcma())] {
            let call = Call::new((Kind::Inband, one), (to, other));
            let outcome = call.press(&presses("1*", 200, 110));
            let loud = outcome.audio.samples.iter().filter(|sample| sample.abs() > 500).count();
            assert!(loud < 2 * 8 * 20, "{loud} samples of tone at a callee that is told by {to:?}");
        }
    }
}

#[test]
fn a_leg_that_is_not_listened_to_reports_no_tones() {
    let call = Call { is_double: true, ..Call::new((Kind::Info, pcmu()), (Kind::Inband, pcmu())) };
    assert_eq!(call.press(&presses("5", 200, 100)).told, []);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_number_crosses_any_pairing(
        keys in prop::collection::vec((0_usize..16, 50_u32..400, 60_u32..300), 1..8),
        from in prop::sample::select(Kind::ALL.to_vec()),
        to in prop::sample::select(Kind::ALL.to_vec()),
    ) {
        let wanted: Vec<Press> = keys
            .iter()
            .map(|&(place, down_ms, up_ms)| Press { digit: DIGITS.chars().nth(place).unwrap(), down_ms, up_ms })
            .collect();
        let call = Call::new((from, pcmu()), (to, pcmu()));
        assert_given(&call, &call.press(&wanted), &wanted, 45);
    }
}
