//! The audio of one channel's packets, and of those that are missing between them.
//!
//! A lost packet is taken from the copy in the next one (Opus), concealed by its codec, or by repetition of the pitch
//! (G.711 Appendix I).

use crate::codecs::{Decoder, Kind, MAX_PACKET_MS};
use crate::dsp::plc::{Concealer, DELAY_SAMPLES, FRAME_SAMPLES};
use crate::pipeline::Record;

/// One codec's decoder with what it needs to conceal.
pub(super) struct Voice {
    kind: Kind,
    decoder: Box<dyn Decoder>,
    /// For a decoder that cannot conceal; it hears what is played.
    concealer: Option<Box<Concealer>>,
    frame: Vec<i16>,
}

impl Voice {
    /// For the codec of `record`, at `rate_hz` if it runs at that, else at a rate of its own. None if there is no such codec.
    pub(super) fn new(record: &Record, rate_hz: u32) -> Option<Self> {
        let codec = record.codec()?;
        let rate_hz = codec.sample_rate_beside(rate_hz.min(codec.native_sample_rate_hz()));
        let mut decoder = codec.decoder(rate_hz).ok()?;
        let mut frame = vec![0; usize::try_from(rate_hz / 1_000 * MAX_PACKET_MS).unwrap_or(0)];
        let conceals = decoder.conceal(frame.get_mut(..usize::try_from(rate_hz / 100).unwrap_or(0))?);
        decoder.reset();
        let concealer = (!conceals && rate_hz == crate::dsp::plc::SAMPLE_RATE_HZ).then(Box::default);
        Some(Self { kind: record.kind, decoder, concealer, frame })
    }

    /// Whose packets it decodes.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Of what it gives.
    pub(super) fn rate_hz(&self) -> u32 {
        self.decoder.sample_rate_hz()
    }

    /// Samples in a packet; None if it is none of this codec.
    pub(super) fn samples(&self, payload: &[u8]) -> Option<usize> {
        self.decoder.packet_samples(payload).filter(|samples| *samples <= self.frame.len())
    }

    /// Makes up at most `lost` samples that are missing before `payload`, as many as can be, and decodes it.
    ///
    /// Returns both; None if it is no packet of this codec.
    pub(super) fn play(&mut self, lost: usize, payload: &[u8]) -> Option<(Vec<i16>, Vec<i16>)> {
        let samples = self.samples(payload)?;
        let mut gap = if self.concealer.is_some() { self.repeat(lost) } else { self.recover(lost, samples, payload) };
        let decoded = self.decoder.decode(payload, &mut self.frame).ok()?;
        let mut packet = self.frame.get(..decoded)?.to_vec();
        if let Some(concealer) = &mut self.concealer {
            let mut blended = packet.clone();
            concealer.receive(&mut blended);
            if !gap.is_empty() && decoded > DELAY_SAMPLES {
                // The concealer is late by so much: its end comes with the packet, and the packet's end is still in it.
                gap.extend(blended.drain(..DELAY_SAMPLES));
                packet.splice(..blended.len(), blended);
            }
        }
        Some((gap, packet))
    }

    /// Repeats the pitch, all but the last [`DELAY_SAMPLES`].
    fn repeat(&mut self, lost: usize) -> Vec<i16> {
        let mut made = Vec::new();
        if let Some(concealer) = &mut self.concealer {
            for _ in 0..lost / FRAME_SAMPLES {
                let mut frame = [0; FRAME_SAMPLES];
                concealer.conceal(&mut frame);
                made.extend(frame);
            }
        }
        // What it gives first is what was played last.
        made.drain(..DELAY_SAMPLES.min(made.len()));
        made
    }

    /// Lets the codec conceal, and takes the packet before this one from its copy in it, if there is one.
    fn recover(&mut self, lost: usize, samples: usize, payload: &[u8]) -> Vec<i16> {
        let is_copied = lost >= samples && self.decoder.has_redundancy(payload);
        let copied = if is_copied { samples } else { 0 };
        let unit = usize::try_from(self.rate_hz() / 100).unwrap_or(1).max(1);
        let mut units = (lost - copied) / unit;
        let mut made = Vec::new();
        while units > 0 {
            // A decoder fades with each call, so that it conceals in frames like those that it had.
            let step = units.min((samples / unit).clamp(1, 2));
            let Some(piece) = self.frame.get_mut(..step * unit) else { break };
            if !self.decoder.conceal(piece) {
                break;
            }
            made.extend_from_slice(piece);
            units -= step;
        }
        if let Some(piece) = self.frame.get_mut(..copied).filter(|piece| !piece.is_empty())
            && self.decoder.decode_redundancy(payload, piece).is_ok()
        {
            made.extend_from_slice(piece);
        }
        made
    }
}
