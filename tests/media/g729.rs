//! Our G.729 with somebody else's: libbcg729 at the far side, in both directions.

use trunkline_media::codecs::{Encoded, EncoderSettings};
use trunkline_media::dsp::cn::{Description, Generator};
use trunkline_media::dsp::tone::Oscillator;

use crate::support::g729;
use crate::support::libbcg729::{Decoder, Encoder, Library};
use crate::support::sound::{Heard, Speaker};

/// Three seconds of a tone at -10 dBm0.
fn tone(frequency_hz: f64) -> Vec<i16> {
    let mut oscillator = Oscillator::new(&[frequency_hz], -10.0, 8_000);
    let mut pcm = vec![0; 24_000];
    oscillator.fill(&mut pcm);
    pcm
}

#[test]
fn libbcg729_hears_what_we_say() {
    let Some(library) = Library::load() else { return };
    let mut theirs = Decoder::new(library);
    let mut speaker = Speaker::new(g729(), 440.0);
    let payloads: Vec<Vec<u8>> = (0..150).map(|_| speaker.payload()).collect();
    let frames = payloads.iter().flat_map(|payload| payload.chunks(10));
    let samples = frames.flat_map(|frame| theirs.decode(frame)).collect();
    Heard { samples, rate_hz: 8_000 }.after_ms(200).assert_tone(440.0, -10.0, 2.5);
}

#[test]
fn we_hear_what_libbcg729_says() {
    let Some(library) = Library::load() else { return };
    let mut theirs = Encoder::new(library);
    let mut ours = g729().codec.decoder(8_000).unwrap();
    let mut samples = Vec::new();
    for pcm in tone(1_000.0).as_chunks().0 {
        let mut decoded = [0; 80];
        ours.decode(&theirs.encode(pcm), &mut decoded).unwrap();
        samples.extend(decoded);
    }
    Heard { samples, rate_hz: 8_000 }.after_ms(200).assert_tone(1_000.0, -10.0, 2.5);
}

/// A second of a tone, two of noise of -44 dBm0, and a second of the tone.
fn talk() -> Vec<i16> {
    let (mut voice, mut noise) = (Oscillator::new(&[700.0], -10.0, 8_000), Generator::new(5));
    noise.set(&Description::white(50));
    let mut pcm = vec![0; 32_000];
    for (number, frame) in pcm.chunks_exact_mut(80).enumerate() {
        if (100..300).contains(&number) { noise.fill(frame) } else { voice.fill(frame) }
    }
    pcm
}

#[test]
fn noise_that_we_describe_and_packets_that_are_lost_sound_alike_at_both() {
    let Some(library) = Library::load() else { return };
    let mut encoder = g729().codec.encoder(&EncoderSettings::default()).unwrap();
    let (mut theirs, mut ours) = (Decoder::new(library), g729().codec.decoder(8_000).unwrap());
    let (mut at_theirs, mut at_ours) = (Vec::new(), Vec::new());
    let mut described = 0;
    for (number, pcm) in talk().chunks_exact(80).enumerate() {
        let mut payload = [0; 10];
        let sent = match encoder.encode(pcm, &mut payload).unwrap() {
            Encoded::Payload(len) => &payload[..len],
            Encoded::Silence => &[],
        };
        described += usize::from(sent.len() == 2);
        // Every eleventh of the speech is lost.
        let arrived = if number % 11 == 7 && sent.len() == 10 { &[][..] } else { sent };
        at_theirs.extend(theirs.decode(arrived));
        let mut decoded = [0; 80];
        if arrived.is_empty() {
            assert!(ours.conceal(&mut decoded));
        } else {
            ours.decode(arrived, &mut decoded).unwrap();
        }
        at_ours.extend(decoded);
    }
    assert!(described > 0, "the noise is described");
    for (from, to, expected) in [(2_400, 7_500, -10.5), (12_000, 23_000, -44.0), (27_000, 31_500, -10.5)] {
        let level = |samples: &[i16]| Heard { samples: samples[from..to].to_vec(), rate_hz: 8_000 }.level_dbm0();
        let (their, our) = (level(&at_theirs), level(&at_ours));
        assert!((their - our).abs() < 1.5, "samples {from} to {to}: {their:.1} dBm0 there, {our:.1} here");
        assert!((our - expected).abs() < 6.5, "samples {from} to {to}: {our:.1} dBm0");
    }
}
