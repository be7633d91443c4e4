//! Our G.729 with somebody else's: libbcg729 at the far side, in both directions.

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
    let frames = payloads.iter().flat_map(|payload| payload.as_chunks().0);
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
