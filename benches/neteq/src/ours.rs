//! Our side: `jitter::Playout` with a decoder that writes the packets' numbers.

use std::time::{Duration, Instant};

use trunkline_media::codecs::{CodecError, Decoder};
use trunkline_media::jitter::{Config, Content, Packet, Playout};

use crate::trace::Trace;
use crate::{FRAME_US, Heard, RATE_HZ};

struct Numbers {
    samples: usize,
}

impl Decoder for Numbers {
    fn sample_rate_hz(&self) -> u32 {
        RATE_HZ
    }

    fn packet_samples(&self, payload: &[u8]) -> Option<usize> {
        (payload.len() == 2).then_some(self.samples)
    }

    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        pcm[..self.samples].fill(i16::from_be_bytes([payload[0], payload[1]]));
        Ok(self.samples)
    }

    fn conceal(&mut self, pcm: &mut [i16]) -> bool {
        pcm.fill(0);
        true
    }

    fn reset(&mut self) {}
}

/// Plays a trace, 10 ms at a time.
pub fn listen(trace: &Trace) -> Heard {
    let samples = (trace.ptime_ms * RATE_HZ / 1_000) as usize;
    // The buffer is as long as that of a codec whose longest payload, of 120 ms, has as many bytes a packet.
    let longest_bytes = 2 * 120 / trace.ptime_ms as usize;
    let mut playout = Playout::new(Config::new(RATE_HZ, longest_bytes), Box::new(Numbers { samples }));
    let began = Instant::now();
    let at = |us: i64| began + Duration::from_micros(us.try_into().expect("after the start"));
    let arrivals = trace.arrivals();
    let mut waiting = arrivals.iter().peekable();
    let mut heard = Vec::new();
    let mut newest = 0;
    let mut now_us = arrivals.first().expect("a packet").0 + FRAME_US / 2;
    while waiting.peek().is_some() {
        while let Some((us, number)) = waiting.next_if(|(us, _)| *us <= now_us) {
            let packet = Packet {
                seq: u16::try_from(*number).expect("few packets"),
                timestamp: u32::try_from(number * samples).expect("few packets"),
                content: Content::Speech,
                payload: &i16::try_from(number + 1).expect("few packets").to_be_bytes(),
            };
            playout.insert(at(*us), &packet);
        }
        let mut pcm = [0; (RATE_HZ / 100) as usize];
        playout.pull(at(now_us), &mut pcm);
        for (place, sample) in (0..).zip(pcm) {
            if sample > newest {
                newest = sample;
                let number = usize::try_from(sample - 1).expect("a packet's number");
                heard.push((number, now_us + place * 1_000_000 / i64::from(RATE_HZ) - trace.sent_us(number)));
            }
        }
        now_us += FRAME_US;
    }
    let stats = playout.stats();
    Heard {
        delays_us: heard,
        concealed: stats.concealed_samples as f64 / stats.played_samples as f64,
        discarded: stats.late + stats.flushed,
    }
}
