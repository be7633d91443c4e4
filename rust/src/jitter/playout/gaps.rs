//! What is heard when no packet is: the lost packet's copy in the next one, concealment, noise, silence.
//!
//! Owns the concealer of codecs that have none of their own, [`dsp::plc`](crate::dsp::plc) (G.711 Appendix I), and the
//! noise that CN packets describe, [`dsp::cn`](crate::dsp::cn), beside any codec. Who falls silent by packets of the codec
//! itself has a decoder that makes the noise.

use super::{Entry, Phase, Playout, samples};
use crate::codecs::{Decoder, MAX_PACKET_MS};
use crate::dsp::ceiling::WhiteCeiling;
use crate::dsp::{cn, plc};
use crate::jitter::Signal;

/// Concealment after which the stream counts as silent.
const LONGEST_CONCEALMENT_MS: u32 = 120;

/// Fills gaps in the way of one decoder.
pub(super) struct Filler {
    /// What is made at a time.
    chunk: usize,
    rate_hz: u32,
    /// None if the decoder conceals by itself.
    concealer: Option<Box<plc::Concealer>>,
    /// Of codecs to which any bytes are sound.
    ceiling: Option<WhiteCeiling>,
    noise: cn::Generator,
    /// The present silence was described by CN packets.
    is_described: bool,
    /// What such a packet says of the spectrum holds for samples of the clock's rate: the level alone is used at another.
    is_coloured: bool,
}

impl Filler {
    /// `clock_rate_hz`: of the packets.
    pub(super) fn new(decoder: &mut dyn Decoder, clock_rate_hz: u32) -> Self {
        let rate_hz = decoder.sample_rate_hz();
        let mut probe = [0; 480];
        let chunk = samples(rate_hz, 10).min(probe.len());
        let conceals = decoder.conceal(&mut probe[..chunk]);
        decoder.reset();
        let concealer = (!conceals).then(|| Box::new(plc::Concealer::new()));
        let noise = cn::Generator::new(u64::from(rate_hz));
        Self {
            chunk,
            rate_hz,
            concealer,
            ceiling: decoder.takes_any_bytes().then(|| WhiteCeiling::new(rate_hz)),
            noise,
            is_described: false,
            is_coloured: rate_hz == clock_rate_hz,
        }
    }

    /// Takes good samples on their way out, which the concealer delays and joins to what it made up.
    pub(super) fn receive(&mut self, pcm: &mut [i16]) {
        self.is_described = false;
        if let Some(ceiling) = &mut self.ceiling {
            ceiling.bound(pcm);
        }
        if let Some(concealer) = &mut self.concealer {
            concealer.receive(pcm);
        }
    }

    /// Takes the level and colour of a comfort noise packet.
    pub(super) fn set_noise(&mut self, payload: &[u8]) {
        if let Some(heard) = cn::Description::parse(payload) {
            let level = cn::Description::white(heard.below_overload_db);
            self.noise.set(if self.is_coloured { &heard } else { &level });
            self.is_described = true;
        }
    }

    /// A packet of so many samples was decoded. A decoder fades with each call, so it should conceal in frames like its
    /// own; ours is made for 10 ms.
    pub(super) fn follow(&mut self, length: usize) {
        let is_long = self.concealer.is_none() && length >= samples(self.rate_hz, 20);
        self.chunk = samples(self.rate_hz, if is_long { 20 } else { 10 });
    }

    /// Writes what is to be heard into the front of `free`; returns how much.
    fn fill(&mut self, decoder: &mut dyn Decoder, is_noise: bool, free: &mut [i16]) -> usize {
        let length = self.chunk.min(free.len());
        let free = &mut free[..length];
        match &mut self.concealer {
            concealer if is_noise && self.is_described => {
                self.noise.fill(free);
                if let Some(concealer) = concealer {
                    concealer.receive(free);
                }
            }
            Some(concealer) => conceal(concealer, free),
            None => {
                if !decoder.conceal(free) {
                    free.fill(0);
                }
                // It goes on with what it decoded, whatever that was.
                if let Some(ceiling) = &mut self.ceiling {
                    ceiling.bound(free);
                }
            }
        }
        length
    }
}

impl Playout {
    /// Fills the gap of one lost packet from the redundancy in the packet after it, if that is possible.
    pub(super) fn recover(&mut self, entry: &Entry) -> bool {
        let (Phase::Speech, Some(last_seq), Some(next)) = (self.phase, self.last_seq, self.next_timestamp) else {
            return false;
        };
        let gap = self.sample_count(entry.timestamp - next);
        let unit = samples(self.rate_hz, 10) / 4;
        let Self { decoder, buffer, queue, .. } = self;
        let payload = buffer.payload(entry);
        let is_possible = entry.seq == last_seq + 2
            && gap > 0
            && gap <= samples(self.rate_hz, MAX_PACKET_MS).min(queue.room())
            && gap.is_multiple_of(unit.max(1))
            && decoder.has_redundancy(payload);
        if !is_possible {
            return false;
        }
        let recovered = queue.append(|free| {
            let is_recovered = decoder.decode_redundancy(payload, &mut free[..gap]).is_ok();
            if is_recovered { gap } else { 0 }
        });
        if recovered > 0 {
            self.next_timestamp = Some(entry.timestamp);
            self.stats.recovered_samples += recovered as u64;
        }
        recovered > 0
    }

    /// Appends 10 or 20 ms of what is heard when no packet is, or as much silence as is `needed`.
    pub(super) fn fill(&mut self, needed: usize) -> Signal {
        let signal = match self.phase {
            Phase::Idle if self.filler.concealer.is_none() => {
                let missing = needed.saturating_sub(self.queue.len()).max(1);
                self.queue.append(|free| {
                    let length = missing.min(free.len());
                    free[..length].fill(0);
                    length
                });
                return Signal::Silence;
            }
            Phase::Idle => Signal::Silence,
            Phase::Noise => Signal::Noise,
            Phase::Speech => {
                self.stats.concealments += 1;
                self.phase = Phase::Gap(0);
                Signal::Concealed
            }
            Phase::Gap(_) => Signal::Concealed,
        };
        let is_noise = self.phase == Phase::Noise;
        let Self { decoder, filler, queue, .. } = self;
        let filled = queue.append(|free| filler.fill(&mut **decoder, is_noise, free));
        if let Phase::Gap(before) = self.phase {
            self.stats.concealed_samples += filled as u64;
            self.phase = Phase::Gap(before + filled);
            if before + filled >= samples(self.rate_hz, LONGEST_CONCEALMENT_MS) {
                self.fall_silent(filled);
            }
        }
        signal
    }

    /// Ends a concealment that nobody relieves, fading out its last `length` samples.
    fn fall_silent(&mut self, length: usize) {
        self.queue.edit(|samples, queued| {
            let begin = queued.saturating_sub(length);
            for (left, sample) in (0..).zip(samples[begin..queued].iter_mut().rev()) {
                let share = f64::from(left) / f64::from(u32::try_from(length).unwrap_or(u32::MAX));
                *sample = crate::dsp::to_i16(f64::from(*sample) * share);
            }
            queued
        });
        self.phase = Phase::Idle;
        self.waits.forget();
    }
}

/// Conceals a stretch of whole 10 ms frames; what is left over becomes silence.
fn conceal(concealer: &mut plc::Concealer, pcm: &mut [i16]) {
    let (frames, rest) = pcm.as_chunks_mut::<{ plc::FRAME_SAMPLES }>();
    for frame in frames {
        concealer.conceal(frame);
    }
    rest.fill(0);
}
