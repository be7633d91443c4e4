//! Fuzz bodies of what carries sound: each decoder, the jitter buffer in front of it, and the pipeline between two legs.
//!
//! The first byte names the codec, the rest is a script: packets of any bytes, losses, jumps, noise and pauses. Whatever it
//! says, nothing panics, every packet lasts as long as it says, and nothing roars on once the garbage is over.

use std::time::{Duration, Instant};

use trunkline_media::codecs::{Codec, Decoder, Encoded, EncoderSettings, Kind, MAX_PACKET_MS};
use trunkline_media::error::DropReason;
use trunkline_media::jitter::{Config, Content, Packet, Playout, Signal};
use trunkline_media::net::{Pt, SeqNo, Ssrc};
use trunkline_media::pipeline::{FirstNumbers, Format, Inbound, Pipeline, Sink};
use trunkline_media::rtp::Header;

/// Every codec at each of its rates that differ: name, clock rate, channels.
const FORMATS: [(&str, u32, u8); 9] = [
    ("PCMU", 8_000, 1),
    ("PCMA", 8_000, 1),
    ("G722", 8_000, 1),
    ("G729", 8_000, 1),
    ("opus", 48_000, 2),
    ("speex", 8_000, 1),
    ("speex", 16_000, 1),
    ("L16", 16_000, 1),
    ("L16", 44_100, 1),
];

const CN: Pt = Pt(13);
const EVENTS: Pt = Pt(101);

/// Louder than this nothing may be that is silence: 48 dB below full scale.
const FAINT: u16 = 128;

/// One line of a script.
struct Step<'a> {
    verb: u8,
    number: u8,
    payload: &'a [u8],
}

/// Cuts a script into lines: a verb, a number, a length, and so many bytes.
fn steps(mut script: &[u8]) -> impl Iterator<Item = Step<'_>> {
    std::iter::from_fn(move || {
        let [verb, number, len, rest @ ..] = script else { return None };
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        script = rest;
        Some(Step { verb: *verb, number: *number, payload })
    })
}

fn codec(choice: u8) -> Option<Codec> {
    let (name, clock_rate_hz, channels) = FORMATS[usize::from(choice) % FORMATS.len()];
    Codec::new(name, clock_rate_hz, channels, []).ok()
}

/// The codec that the first byte names, a decoder of it (None for Speex where its library is missing), and the script.
fn begin(data: &[u8]) -> Option<(Codec, Box<dyn Decoder>, &[u8])> {
    let (&choice, script) = data.split_first()?;
    let codec = codec(choice)?;
    let rate_hz = codec.sample_rate_beside([8_000, 16_000, 48_000][usize::from(choice >> 4) % 3]);
    Some((codec, codec.decoder(rate_hz).ok()?, script))
}

fn loudest(pcm: &[i16]) -> u16 {
    pcm.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0)
}

fn samples(rate_hz: u32, ms: u32) -> usize {
    usize::try_from(rate_hz * ms / 1_000).unwrap_or(0)
}

/// A decoder: packets, losses and copies of lost packets in any order; then silence, which must be silent.
pub(super) fn decoder(data: &[u8]) {
    let Some((codec, mut decoder, script)) = begin(data) else { return };
    let rate_hz = decoder.sample_rate_hz();
    let mut pcm = vec![0; samples(rate_hz, MAX_PACKET_MS)];
    for Step { verb, number, payload } in steps(script) {
        match verb % 8 {
            0 => drop(decoder.conceal(&mut pcm[..samples(rate_hz, 10) * (1 + usize::from(number % 12))])),
            1 if decoder.has_redundancy(payload) => {
                let lost = samples(rate_hz, 10) / 4 * usize::from(1 + number % 48);
                let _ = decoder.decode_redundancy(payload, &mut pcm[..lost]);
            }
            2 if number == 0 => decoder.reset(),
            _ => decode(&codec, &mut *decoder, payload, &mut pcm),
        }
    }
    // Half a second of it: predictors and the level of comfort noise take a while to forget.
    let settings = EncoderSettings { sample_rate_hz: rate_hz, ..EncoderSettings::default() };
    let Ok(mut encoder) = codec.encoder(&settings) else { return };
    let (silence, mut payload) = (vec![0; samples(rate_hz, 20)], [0; 1_920]);
    let mut loudness = 0;
    for _ in 0..25 {
        let heard = &mut pcm[..silence.len()];
        match encoder.encode(&silence, &mut payload) {
            Ok(Encoded::Payload(len)) => {
                let decoded = decoder.decode(&payload[..len], heard);
                assert!(decoded.is_ok(), "a sound packet after garbage: {decoded:?}");
                // G.729 may have left a frame of noise out before the one that it describes.
                if let Some(rest) = heard.get_mut(decoded.unwrap_or(0)..).filter(|rest| !rest.is_empty()) {
                    decoder.conceal(rest);
                }
            }
            _ => drop(decoder.conceal(heard)),
        }
        loudness = loudest(heard);
    }
    assert!(loudness <= FAINT, "{:?} roars on at {loudness} after the garbage", codec.kind());
}

/// One payload of the network: it lasts as long as it says, and so does the silence in its place; or it is refused.
fn decode(codec: &Codec, decoder: &mut dyn Decoder, payload: &[u8], pcm: &mut [i16]) {
    let foretold = decoder.packet_samples(payload);
    let _ = decoder.is_silence(payload);
    match decoder.decode(payload, pcm) {
        Ok(decoded) => assert_eq!(Some(decoded), foretold, "{:?}", codec.kind()),
        // What looks sound outside may not be so inside.
        Err(_) => return,
    }
    let duration_us = codec.duration_us(payload);
    // At 44,100 Hz a sample is no whole number of microseconds.
    let samples = (duration_us * u64::from(decoder.sample_rate_hz()) + 500_000) / 1_000_000;
    assert_eq!(samples, foretold.unwrap_or(0) as u64);
    let mut silence = [0; 1_500];
    let len = codec.write_silence(payload, &mut silence).unwrap_or(0);
    assert_eq!(codec.duration_us(&silence[..len]), duration_us, "silence in the place of {:?}", codec.kind());
}

/// A jitter buffer: packets of any bytes, order and time. It always yields what is asked of it, and ends silent.
pub(super) fn playout(now: Instant, data: &[u8]) {
    let Some((codec, decoder, script)) = begin(data) else { return };
    let mut playout = Playout::new(Config::new(codec.clock_rate_hz(), codec.max_payload_bytes()), decoder);
    let rate_hz = playout.sample_rate_hz();
    let mut now = now;
    let mut pcm = vec![0; samples(rate_hz, 60)];
    let (mut seq, mut timestamp, mut pulled) = (u16::MAX - 3, u32::MAX - 3_000, 0);
    for Step { verb, number, payload } in steps(script) {
        let mut content = Content::Speech;
        match verb % 8 {
            0 => content = Content::ComfortNoise,
            1 => seq = seq.wrapping_add(u16::from(number)),
            2 => seq = seq.wrapping_sub(u16::from(number % 8)),
            3 => timestamp = timestamp.wrapping_add(u32::from(number) << (number % 24)),
            4 if number == 0 => playout.reset(),
            _ => {}
        }
        playout.insert(now, &Packet { seq, timestamp, content, payload });
        seq = seq.wrapping_add(1);
        let lasted = codec.duration_us(payload) * u64::from(codec.clock_rate_hz()) / 1_000_000;
        timestamp = timestamp.wrapping_add(u32::try_from(lasted).unwrap_or(0));
        // 10 to 60 ms, in one pull, or none at all.
        let piece = samples(rate_hz, u32::from(verb >> 5) * 10).min(pcm.len());
        now += Duration::from_millis(u64::from(verb >> 5) * 10);
        playout.pull(now, &mut pcm[..piece]);
        pulled += piece as u64;
    }
    let mut signal = Signal::Silence;
    for _ in 0..50 {
        now += Duration::from_millis(20);
        signal = playout.pull(now, &mut pcm[..samples(rate_hz, 20)]);
        pulled += samples(rate_hz, 20) as u64;
    }
    assert!(matches!(signal, Signal::Silence | Signal::Noise), "{signal:?} a second after the last packet");
    assert!(signal == Signal::Noise || loudest(&pcm[..samples(rate_hz, 20)]) == 0, "silence that is heard");
    let stats = playout.stats();
    assert_eq!(stats.played_samples, pulled);
    assert!(stats.concealed_samples + stats.recovered_samples <= pulled + samples(rate_hz, MAX_PACKET_MS) as u64);
}

/// Takes what a pipeline sends and looks whether the far side can make use of it.
struct FarSide {
    decoder: Option<Box<dyn Decoder>>,
    pt: Pt,
    pcm: Vec<i16>,
    packets: usize,
}

impl Sink for FarSide {
    fn can_send(&self) -> bool {
        true
    }

    fn send(&mut self, header: &Header, _clock_rate_hz: u32, payload: &[u8]) {
        self.packets += 1;
        assert!([self.pt, CN, EVENTS].contains(&header.pt) && payload.len() <= 1_460, "nobody agreed to this");
        // What is passed on is the other side's affair; what we code ourselves is sound.
        if let Some(decoder) = self.decoder.as_mut().filter(|_| header.pt == self.pt) {
            let decoded = decoder.decode(payload, &mut self.pcm);
            assert!(decoded.is_ok(), "a packet of ours: {decoded:?}");
        }
    }

    fn count_drop(&mut self, reason: DropReason) {
        panic!("a frame that was not coded: {reason:?}");
    }
}

/// A pipeline between any two codecs: packets of every payload type, agreed on or not. What leaves it is sound.
pub(super) fn pipeline(now: Instant, data: &[u8]) {
    let [from, to, script @ ..] = data else { return };
    let (Some(from), Some(to), Ok(noise), Ok(events)) =
        (codec(*from), codec(*to), Codec::new("CN", 8_000, 1, []), Codec::new("telephone-event", 8_000, 1, []))
    else {
        return;
    };
    let settings = EncoderSettings { leaves_silence_out: true, ..EncoderSettings::default() };
    let first = FirstNumbers { seq: SeqNo(65_530), timestamp: u32::MAX - 100 };
    let mut pipeline = Pipeline::new(Ssrc(1), first, settings);
    let beside = [Format { pt: CN, codec: noise }, Format { pt: EVENTS, codec: events }];
    let with = |format: Format| [&[format][..], &beside].concat();
    pipeline.set_send(&with(Format { pt: Pt(96), codec: to }), 20);
    pipeline.connect(&with(Format { pt: Pt(97), codec: from }), 20);
    let is_law = |codec: &Codec| matches!(codec.kind(), Kind::Pcmu | Kind::Pcma);
    let is_passed_on = from == to || (is_law(&from) && is_law(&to));
    let decoder = (!is_passed_on).then(|| to.decoder(to.native_sample_rate_hz()).ok()).flatten();
    let mut far = FarSide { decoder, pt: Pt(96), pcm: vec![0; 5_760], packets: 0 };
    let (began, mut now, mut seq, mut timestamp) = (now, now, 0_u32, 7_u32);
    for Step { verb, number, payload } in steps(script) {
        let pt = [Pt(97), Pt(97), Pt(97), CN, EVENTS, Pt(number & 0x7f), Pt(97), Pt(97)][usize::from(verb % 8)];
        seq = seq.wrapping_add(if verb % 8 == 6 { u32::from(number) } else { 1 });
        let [.., high, low] = seq.to_be_bytes();
        let header = Header::new(pt, SeqNo(u16::from_be_bytes([high, low])), timestamp, Ssrc(2));
        let is_restart = verb % 8 == 7 && number == 0;
        let inbound = Inbound { header: &header, extended_seq: seq, arrived_at: now, is_restart, payload };
        let _ = pipeline.handle_packet(now, &inbound, &mut far);
        timestamp = timestamp.wrapping_add(from.clock_rate_hz() / 50);
        now += Duration::from_millis(u64::from(verb >> 5) * 10);
        pipeline.handle_timeout(now, &mut far);
    }
    now += Duration::from_secs(1);
    pipeline.handle_timeout(now, &mut far);
    // One for each that came, and one for every 20 ms that went by, or 10 where more of it is too much for a packet.
    let lasted = (now - began).as_millis() / u128::from(to.possible_ptime_ms(20));
    assert!(far.packets as u128 <= steps(script).count() as u128 + lasted + 1, "{} packets", far.packets);
}
