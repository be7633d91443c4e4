//! The decoder proper: from the parameters of a frame to 80 samples.
//!
//! Owns the whole state of a decoder and the concealment of lost frames; packets are its caller's affair.
//! Clauses 4.1, 4.2, 4.4; Annex A; the frame types of Annex B.

use super::adaptive_codebook::{self, HISTORY, decode_first, decode_second, predict};
use super::bitstream::{Code, Frame, Sid, Speech, Subframe, pulses};
use super::doubts::Doubts;
use super::filters::{HighPass, Predictor, sharpen, syn_filt, total_excitation};
use super::gain::{self, Gains, sharpening};
use super::lsp::{INITIAL_LSP, Spectrum, interpolate};
use super::lsp_quantizer;
use super::operators::random;
use super::postfilter::Postfilter;
use super::silence::comfort_noise::Noise;
use super::{L_FRAME, L_SUBFR, M, PIT_MAX, SHARPMIN};
use crate::dsp::to_i16;

/// What the last frame was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Speech,
    Noise,
}

/// A frame before the postfilter: its kind, and the predictors and whole lags of its subframes.
type Decoded = (Kind, [Predictor; 2], [usize; 2]);

#[derive(Debug, Clone)]
pub(super) struct FrameDecoder {
    /// [`HISTORY`] samples of the past, then the frame.
    excitation: [i16; HISTORY + L_FRAME],
    lsp: Spectrum,
    quantizer: lsp_quantizer::Decoder,
    synthesis: [i16; M],
    sharp: i16,
    /// Whole lag of the last subframe; grows by one with each that is lost.
    lag: usize,
    gains: Gains,
    predictor: gain::Predictor,
    /// Draws codes for lost frames.
    seed: i16,
    last: Kind,
    noise: Noise,
    postfilter: Postfilter,
    high_pass: HighPass,
    doubts: Doubts,
    /// The last subframe behind noise was made of it, more than of its own code.
    is_echo: bool,
}

impl FrameDecoder {
    pub(super) fn new() -> Self {
        Self {
            excitation: [0; HISTORY + L_FRAME],
            lsp: INITIAL_LSP,
            quantizer: lsp_quantizer::Decoder::new(),
            synthesis: [0; M],
            sharp: SHARPMIN,
            lag: 60,
            gains: Gains::default(),
            predictor: gain::Predictor::new(),
            seed: 21_845,
            last: Kind::Speech,
            noise: Noise::new(),
            postfilter: Postfilter::new(),
            high_pass: HighPass::output(),
            doubts: Doubts::new(),
            is_echo: false,
        }
    }

    /// Decodes 10 ms.
    pub(super) fn decode(&mut self, frame: Frame, pcm: &mut [i16; L_FRAME]) {
        let before = self.last;
        let (kind, predictors, lags) = match (frame, self.last) {
            (Frame::Speech(speech), _) => self.speech(Some(&speech), pcm),
            (Frame::Sid(sid), _) => self.comfort_noise(Some(&sid), pcm),
            (Frame::Lost, Kind::Speech) => self.speech(None, pcm),
            (Frame::Lost, Kind::Noise) | (Frame::Untransmitted, _) => self.comfort_noise(None, pcm),
        };
        self.last = kind;
        let is_noise = kind == Kind::Noise || (before == Kind::Noise && self.is_echo);
        if let Some(gain) = self.doubts.judge(frame, is_noise, pcm) {
            self.turn_down(gain, pcm);
        }
        if frame != Frame::Lost {
            self.noise.observe(&self.excitation);
        }
        self.excitation.copy_within(L_FRAME.., 0);
        self.postfilter.run(pcm, &predictors, lags, kind == Kind::Speech);
        self.high_pass.run(pcm);
    }

    /// Whether a frame was too loud lately.
    #[cfg(test)]
    pub(super) fn has_doubts(&self) -> bool {
        self.doubts.is_any()
    }

    /// Makes the last frame fainter, and so all of its past that others are made of.
    fn turn_down(&mut self, gain: f64, pcm: &mut [i16; L_FRAME]) {
        for sample in self.excitation.iter_mut().chain(&mut self.synthesis).chain(pcm) {
            *sample = to_i16(f64::from(*sample) * gain);
        }
    }

    /// A frame of speech, or one that is lost amid speech.
    fn speech(&mut self, frame: Option<&Speech>, pcm: &mut [i16; L_FRAME]) -> Decoded {
        self.noise.rest();
        let lsp = self.quantizer.decode(frame.map(|frame| frame.lsp));
        let predictors = interpolate(&self.lsp, &lsp);
        self.lsp = lsp;
        let mut lags = [0; 2];
        for (index, (output, predictor)) in pcm.chunks_exact_mut(L_SUBFR).zip(&predictors).enumerate() {
            let subframe = frame.map(|frame| &frame.subframes[index]);
            let lag = match subframe {
                Some(subframe) if index == 1 => Some(decode_second(subframe.lag, lags[0])),
                Some(subframe) if frame.is_some_and(Speech::has_right_parity) => Some(decode_first(subframe.lag)),
                _ => None,
            };
            lags[index] = self.excite(index * L_SUBFR + HISTORY, lag, subframe);
            self.synthesize(index * L_SUBFR + HISTORY, predictor, output);
        }
        (Kind::Speech, predictors, lags)
    }

    /// A frame of comfort noise, with a description or without.   Annex B, clause B.4.4.
    fn comfort_noise(&mut self, sid: Option<&Sid>, pcm: &mut [i16; L_FRAME]) -> Decoded {
        let is_first = self.last == Kind::Speech;
        let lsp = self.noise.decode(sid, is_first, &mut self.quantizer.memory, &mut self.excitation);
        let predictors = interpolate(&self.lsp, &lsp);
        self.lsp = lsp;
        for (index, (output, predictor)) in pcm.chunks_exact_mut(L_SUBFR).zip(&predictors).enumerate() {
            self.synthesize(index * L_SUBFR + HISTORY, predictor, output);
        }
        self.sharp = SHARPMIN;
        (Kind::Noise, predictors, [self.lag; 2])
    }

    /// Makes the excitation of one subframe. Returns its whole lag.   Clauses 4.1.3 to 4.1.6, 4.4.
    fn excite(&mut self, start: usize, lag: Option<adaptive_codebook::Lag>, subframe: Option<&Subframe>) -> usize {
        let lag = if let Some(lag) = lag {
            self.lag = lag.whole;
            lag
        } else {
            let whole = self.lag;
            self.lag = (whole + 1).min(PIT_MAX);
            adaptive_codebook::Lag { whole, thirds: 0 }
        };
        predict(&mut self.excitation, start, lag);
        let code = subframe.map_or_else(|| self.random_code(), |subframe| subframe.code);
        let mut code = pulses(code);
        sharpen(&mut code, lag.whole, self.sharp);
        self.gains = match subframe {
            Some(subframe) => self.predictor.decode(subframe.gains, &code),
            None => self.predictor.conceal(self.gains),
        };
        self.sharp = sharpening(self.gains.pitch);
        if self.last == Kind::Noise && start == HISTORY {
            self.is_echo = is_mostly_past(&self.excitation[start..start + L_SUBFR], &code, self.gains);
        }
        total_excitation(&mut self.excitation[start..start + L_SUBFR], &code, self.gains);
        lag.whole
    }

    fn random_code(&mut self) -> Code {
        let positions = random(&mut self.seed).cast_unsigned() & 0x1fff;
        Code { positions, signs: random(&mut self.seed).to_le_bytes()[0] & 0x0f }
    }

    /// Speech of one subframe's excitation. Where it overflows, all of the excitation is scaled down first.
    fn synthesize(&mut self, start: usize, predictor: &Predictor, output: &mut [i16]) {
        let is_saturated = syn_filt(predictor, &self.excitation[start..start + L_SUBFR], output, &self.synthesis);
        if is_saturated {
            for sample in &mut self.excitation {
                *sample >>= 2;
            }
            syn_filt(predictor, &self.excitation[start..start + L_SUBFR], output, &self.synthesis);
        }
        self.synthesis.copy_from_slice(&output[L_SUBFR - M..]);
    }
}

/// Whether of both parts of an excitation the adaptive one has most of the energy.
fn is_mostly_past(adaptive: &[i16], code: &[i16; L_SUBFR], gains: Gains) -> bool {
    let energy = |samples: &[i16], gain: i16| -> i64 {
        let power: i64 = samples.iter().map(|&sample| i64::from(sample) * i64::from(sample)).sum();
        power / 64 * i64::from(gain) * i64::from(gain)
    };
    energy(adaptive, gains.pitch) > 4 * energy(code, gains.code)
}
