//! Opus through the whole pipeline: packets of every length, and what the receiver asked for in `fmtp`.

use std::time::Duration;

use trunkline_media::bridge::StreamParameters;
use trunkline_media::codecs::{Codec, Encoded, EncoderSettings};
use trunkline_media::dsp::tone::Oscillator;
use trunkline_media::net::{Pt, SeqNo, Ssrc};
use trunkline_media::pipeline::Format;
use trunkline_media::rtp::Header;

use crate::support::sound::{Heard, Listener};
use crate::support::talk::{B, joined, with_ptime};
use crate::support::{opus, pcmu, stream};

const TONE_HZ: f64 = 440.0;

/// A sends `packets` of so many units of 2.5 ms, B hears them coded anew: the packets that B gets.
fn through(from: &Format, to: &StreamParameters, units: u32, packets: &[Option<Vec<u8>>]) -> Vec<Vec<u8>> {
    let (mut lab, a, _) = joined(&stream(&[*from]), to);
    let mut sent = Vec::new();
    for (number, payload) in (0..).zip(packets) {
        if let Some(payload) = payload {
            let timestamp = number * units * from.codec.clock_rate_hz() / 400;
            let seq = SeqNo(u16::try_from(number & 0xffff).unwrap());
            let mut data = vec![0; 12];
            Header::new(from.pt, seq, timestamp, Ssrc(77)).write(&mut data).unwrap();
            data.extend(payload);
            lab.rtp_datagram(a, &mut data).unwrap();
        }
        lab.advance(Duration::from_micros(2_500) * units);
        sent.extend(lab.sent_through(B.rtp));
    }
    sent
}

fn payload_of(datagram: &[u8]) -> &[u8] {
    Header::parse(datagram).unwrap().payload_of(datagram)
}

/// `seconds` of a tone at -10 dBm0, or of silence, in packets of so many units of 2.5 ms.
fn coded(codec: &Codec, units: u32, seconds: u32, is_tone: bool) -> Vec<Option<Vec<u8>>> {
    let sample_rate_hz = codec.native_sample_rate_hz();
    let mut encoder = codec.encoder(&EncoderSettings { sample_rate_hz, ..EncoderSettings::default() }).unwrap();
    let mut voice = Oscillator::new(&[TONE_HZ], -10.0, sample_rate_hz);
    let mut pcm = vec![0; usize::try_from(sample_rate_hz / 400 * units).unwrap()];
    (0..seconds * 400 / units)
        .map(|_| {
            if is_tone {
                voice.fill(&mut pcm);
            }
            let mut payload = vec![0; 1_400];
            match encoder.encode(&pcm, &mut payload).unwrap() {
                Encoded::Payload(len) => payload.truncate(len),
                Encoded::Silence => return None,
            }
            Some(payload)
        })
        .collect()
}

fn with(fmtp: &[(&str, &str)]) -> Format {
    Format { codec: Codec::new("opus", 48_000, 2, fmtp.iter().copied()).unwrap(), pt: Pt(111) }
}

#[test]
fn packets_of_every_length_are_heard_without_a_gap() {
    // 2.5 to 120 ms (RFC 6716 section 2.1.4, RFC 7587 section 4.2).
    for units in [1, 2, 4, 8, 16, 24, 32, 40, 48] {
        let packets = coded(&opus().codec, units, 3, true);
        let sent = through(&opus(), &stream(&[pcmu()]), units, &packets);
        let mut listener = Listener::new(pcmu());
        for data in &sent {
            listener.hear(payload_of(data));
        }
        let heard = listener.heard.after_ms(400);
        heard.assert_tone(TONE_HZ, -10.0, 2.2);
        for (place, block) in heard.samples.chunks_exact(160).enumerate() {
            let level = Heard { samples: block.to_vec(), rate_hz: 8_000 }.level_dbm0();
            assert!((level - -10.0).abs() < 3.0, "{units} units: {level:.1} dBm0 {} ms later", place * 20);
        }
    }
}

#[test]
fn who_wants_other_packet_times_gets_them() {
    let packets = coded(&pcmu().codec, 8, 2, true);
    for (ptime_ms, samples) in [(10, 480), (20, 960), (40, 1_920), (60, 2_880), (120, 5_760)] {
        let sent = through(&pcmu(), &with_ptime(&[opus()], ptime_ms), 8, &packets);
        let decoder = opus().codec.decoder(48_000).unwrap();
        assert!(sent.iter().all(|data| decoder.packet_samples(payload_of(data)) == Some(samples)), "{ptime_ms} ms");
        let mut listener = Listener::new(opus());
        for data in &sent {
            listener.hear(payload_of(data));
        }
        listener.heard.after_ms(400).assert_tone(TONE_HZ, -10.0, 1.2);
    }
}

#[test]
fn silence_is_left_out_for_who_asked_for_that_and_for_nobody_else() {
    let packets = coded(&pcmu().codec, 8, 4, false);
    for (fmtp, most, least) in [(&[("usedtx", "1")][..], 60, 1), (&[], 200, 190)] {
        let sent = through(&pcmu(), &stream(&[with(fmtp)]), 8, &packets);
        assert!((least..=most).contains(&sent.len()), "{fmtp:?}: {} packets in 4 s", sent.len());
    }
}
