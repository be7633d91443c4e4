//! What a relayed stream sounds like, where its bytes can be read by a table or are samples: G.711 and L16.
//!
//! A relayed packet is not decoded, so that one in [`EVERY`] is listened to, and no more than its first 20 ms of G.711:
//! enough to tell a dead microphone or an overdriven one, and a level. Other codecs stay unknown; to decode them would
//! cost more than all else that a relay does.

use crate::codecs::{Codec, Kind, Law};
use crate::quality::Meter;

/// One packet in so many is listened to: three a second of the usual ones.
const EVERY: u8 = 16;

/// Samples that are listened to, at most.
const FRAME_SAMPLES: usize = 160;

/// Listens to some of the packets that a relay passes on.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    meter: Meter,
    /// Packets to leave out until the next that is listened to.
    skip: u8,
}

impl Sampler {
    /// Takes a packet of `codec` that is passed on. Allocates nothing.
    #[inline]
    pub(super) fn pass(&mut self, codec: &Codec, payload: &[u8]) {
        if let Some(left) = self.skip.checked_sub(1) {
            self.skip = left;
            return;
        }
        self.skip = EVERY - 1;
        let mut frame = [0; FRAME_SAMPLES];
        let samples = match codec.kind() {
            Kind::Pcmu => expand(Law::Ulaw, payload, &mut frame),
            Kind::Pcma => expand(Law::Alaw, payload, &mut frame),
            Kind::L16 => {
                let samples = payload.as_chunks().0;
                frame.iter_mut().zip(samples).for_each(|(sample, bytes)| *sample = i16::from_be_bytes(*bytes));
                samples.len()
            }
            _ => return,
        };
        self.meter.hear(frame.get(..samples).unwrap_or(&frame));
    }

    /// What was heard so far.
    pub(super) fn meter(&self) -> Meter {
        self.meter
    }
}

/// Reads what fits into `frame`; returns how many samples there are.
fn expand(law: Law, payload: &[u8], frame: &mut [i16]) -> usize {
    for (sample, byte) in frame.iter_mut().zip(payload) {
        *sample = law.expand(*byte);
    }
    payload.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(name: &str, clock_rate_hz: u32, channels: u8) -> Codec {
        Codec::new(name, clock_rate_hz, channels, []).unwrap()
    }

    #[test]
    fn one_packet_in_sixteen_is_listened_to_whatever_its_length() {
        let mut sampler = Sampler::default();
        for length in (0..=1_500).cycle().take(16 * 100) {
            sampler.pass(&codec("PCMA", 8_000, 1), &vec![0xd5; length]);
        }
        let figures = sampler.meter().figures().unwrap();
        // The very first one is empty, which is no frame.
        assert_eq!((figures.frames, figures.is_silent()), (99, true));
    }

    #[test]
    fn laws_and_samples_are_read_and_other_codecs_stay_unknown() {
        // The loudest bytes of each law, of both signs.
        for (name, loud) in [("PCMU", [0x80, 0x00]), ("PCMA", [0xaa, 0x2a])] {
            let mut sampler = Sampler::default();
            sampler.pass(&codec(name, 8_000, 1), &loud.repeat(80));
            let figures = sampler.meter().figures().unwrap();
            assert!(figures.is_clipped() && figures.signal_dbm0.unwrap() > 5.5, "{name}: {figures:?}");
        }
        let mut sampler = Sampler::default();
        sampler.pass(&codec("L16", 16_000, 1), &[0x40, 0x00, 0xc0, 0x00].repeat(160));
        // Half of full scale, of both signs.
        assert!((sampler.meter().figures().unwrap().signal_dbm0.unwrap() - 0.13).abs() < 0.1);
        let mut sampler = Sampler::default();
        sampler.pass(&codec("opus", 48_000, 2), &[0xf8; 80]);
        assert_eq!(sampler.meter().figures(), None);
    }
}
