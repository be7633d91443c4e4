//! The crate's side: `neteq::NetEq` with its defaults and a decoder that writes the packets' numbers.

use std::time::Duration;

use neteq::codec::AudioDecoder;
use neteq::neteq::SpeechType;
use neteq::{AudioPacket, NetEq, NetEqConfig, RtpHeader};

use crate::trace::Trace;
use crate::{FRAME_US, Heard, RATE_HZ};

/// A packet's number times this is the level of its samples, far from what may count as silence.
const STEP: f32 = 1.0 / 32_768.0;

struct Numbers {
    samples: usize,
}

impl AudioDecoder for Numbers {
    fn sample_rate(&self) -> u32 {
        RATE_HZ
    }

    fn channels(&self) -> u8 {
        1
    }

    fn decode(&mut self, encoded: &[u8]) -> neteq::Result<Vec<f32>> {
        Ok(vec![f32::from(i16::from_be_bytes([encoded[0], encoded[1]])) * STEP; self.samples])
    }
}

/// Plays a trace, 10 ms at a time.
pub fn listen(trace: &Trace) -> Heard {
    let samples = (trace.ptime_ms * RATE_HZ / 1_000) as usize;
    web_time::set(Duration::from_secs(10));
    let config = NetEqConfig { sample_rate: RATE_HZ, ..NetEqConfig::default() };
    let mut neteq = NetEq::new(config).expect("a configuration");
    neteq.register_decoder(0, Box::new(Numbers { samples }));
    let arrivals = trace.arrivals();
    let mut waiting = arrivals.iter().peekable();
    let mut heard = Vec::new();
    let (mut newest, mut frames, mut concealed) = (0, 0_u32, 0_u32);
    let mut now_us = arrivals.first().expect("a packet").0 + FRAME_US / 2;
    let set = |us: i64| web_time::set(Duration::from_secs(10) + Duration::from_micros(us.try_into().expect("a time")));
    while waiting.peek().is_some() {
        while let Some((us, number)) = waiting.next_if(|(us, _)| *us <= now_us) {
            set(*us);
            let header = RtpHeader::new(
                u16::try_from(*number).expect("few packets"),
                u32::try_from(number * samples).expect("few packets"),
                1,
                0,
                false,
            );
            let payload = i16::try_from(number + 1).expect("few packets").to_be_bytes().to_vec();
            let _ = neteq.insert_packet(AudioPacket::new(header, payload, RATE_HZ, 1, trace.ptime_ms));
        }
        set(now_us);
        let frame = neteq.get_audio().expect("a frame");
        frames += 1;
        if frame.speech_type == SpeechType::Expand {
            concealed += 1;
        } else {
            for (place, sample) in (0..).zip(&frame.samples) {
                let number = (sample / STEP + 0.01) as i64;
                if number > newest {
                    newest = number;
                    let number = usize::try_from(number - 1).expect("a packet's number");
                    heard.push((number, now_us + place * 1_000_000 / i64::from(RATE_HZ) - trace.sent_us(number)));
                }
            }
        }
        now_us += FRAME_US;
    }
    let discarded = neteq.get_statistics().lifetime.late_packets_discarded;
    Heard { delays_us: heard, concealed: f64::from(concealed) / f64::from(frames), discarded }
}
