//! A transcoded call in the whole pipeline: beside the bare calls of libopus that it contains, and for each pairing.
//!
//! A call is two legs in memory, one under SDES-SRTP and one plain, that speak to each other for some seconds of a
//! simulated clock: SRTP, RTP, jitter buffer, decoder, encoder, RTP, SRTP, in both directions, and no socket.

use trunkline_media::codecs::EncoderSettings;

use crate::call::{CODECS, Call, Recording};
use crate::figures::{Stretches, seconds, tell};
use crate::libopus;

/// As it is where nothing is lost.
const CALM: EncoderSettings = EncoderSettings {
    sample_rate_hz: 8_000,
    complexity: None,
    bitrate_bps: 24_000,
    expected_loss_percent: 0,
    leaves_silence_out: false,
};

/// Of Opus beside libopus: what is chosen at 8 kHz, and what many programs take.
const COMPLEXITIES: [u8; 2] = [1, 5];

/// How often the same sound is gone through.
const PASSES: usize = 6;

/// Packets of a stretch, and stretches: eight seconds of speech.
const PACKETS: usize = 10;
const STRETCHES: usize = 40;

fn recordings(labels: &[&str]) -> Vec<Recording> {
    let asked = CODECS.iter().filter(|codec| labels.is_empty() || labels.contains(&codec.label));
    asked.map(|codec| Recording::new(codec, STRETCHES * PACKETS)).collect()
}

/// Opus and PCMU: the whole pipeline beside the calls of libopus that are in it, in turns.
pub(crate) fn measure_beside_libopus() {
    let recordings = recordings(&["Opus", "PCMU"]);
    for complexity in COMPLEXITIES {
        beside_libopus(&recordings, complexity);
    }
}

fn beside_libopus(recordings: &[Recording], complexity: u8) {
    let [opus, pcmu] = recordings else { panic!("two recordings") };
    let settings = EncoderSettings { complexity: Some(complexity), ..CALM };
    let (mut whole, mut inside) = (Stretches::default(), Stretches::default());
    for _ in 0..PASSES {
        let mut call = Call::new(opus, pcmu, settings);
        let mut bare = libopus::Bare::new(settings);
        for place in 0..STRETCHES {
            let steps = place * PACKETS..(place + 1) * PACKETS;
            let mut packets = call.packets(steps.clone());
            whole.note(place, seconds(|| call.run(&mut packets)));
            let frames = bare.frames(&opus.payloads[steps.clone()], &pcmu.payloads[steps]);
            inside.note(place, seconds(|| bare.run(&frames)));
        }
        call.assert_spoken();
    }
    let work = format!("Opus at complexity {complexity} <-> PCMU, whole pipeline, 20 ms each way, us");
    tell("opus", &work, "trunkline", whole.us(PACKETS));
    tell("opus", &work, "libopus", inside.us(PACKETS));
}

/// Every two codecs.
pub(crate) fn measure_pairings() {
    let recordings = recordings(&[]);
    for (place, one) in recordings.iter().enumerate() {
        for other in &recordings[place + 1..] {
            let mut times = Stretches::default();
            for _ in 0..PASSES {
                let mut call = Call::new(one, other, CALM);
                for stretch in 0..STRETCHES {
                    let mut packets = call.packets(stretch * PACKETS..(stretch + 1) * PACKETS);
                    times.note(stretch, seconds(|| call.run(&mut packets)));
                }
                call.assert_spoken();
            }
            let work = format!("{} <-> {}", one.codec.label, other.codec.label);
            tell("pairings", &work, "trunkline", times.us(PACKETS));
        }
    }
}
