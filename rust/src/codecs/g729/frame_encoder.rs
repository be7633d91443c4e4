//! The encoder proper: from 80 samples to the parameters of a frame.
//!
//! Owns the whole state of an encoder; packets are its caller's affair. Clauses 3.1 to 3.10 with those of Annex A.

use super::adaptive_codebook::{HISTORY, parity, range_about, range_after};
use super::bitstream::{Frame, Speech, Subframe};
use super::filters::{HighPass, Predictor, residu, sharpen, syn_filt, tilted, total_excitation, weight_az};
use super::fixed_codebook;
use super::gain::{self, sharpening};
use super::gain_quantizer;
use super::lp_analysis::{Autocorrelation, L_WINDOW, Levinson, NP, Prediction, autocorrelation};
use super::lsp::{INITIAL_LSP, Spectrum, az_lsp, interpolate, lsp_lsf};
use super::lsp_quantizer::{self, Memory};
use super::operators::{add, extract_h, l_mult, l_shl, sub};
use super::pitch::{adaptive_gain, backward_filtered, closed_loop, open_loop};
use super::silence::comfort_noise::{self, INIT_SEED};
use super::silence::dtx::Dtx;
use super::silence::vad::Detector;
use super::taming::{GPCLIP, Taming};
use super::{L_FRAME, L_SUBFR, M, PIT_MAX, SHARPMIN};

/// Look-ahead of the LP analysis.
const L_NEXT: usize = 40;
/// Where the frame that is coded begins in the speech.
const FRAME: usize = L_WINDOW - L_FRAME - L_NEXT;
/// Bandwidth of the perceptual weighting: 0.75, Q15.
const GAMMA1: i16 = 24_576;

#[derive(Debug, Clone)]
pub(super) struct FrameEncoder {
    high_pass: HighPass,
    /// The past, the frame that is coded, and the look-ahead; under the window of the LP analysis.
    speech: [i16; L_WINDOW],
    /// Weighted speech: [`PIT_MAX`] samples of the past, then the frame.
    weighted: [i16; PIT_MAX + L_FRAME],
    /// [`HISTORY`] samples of the past, then the frame.
    excitation: [i16; HISTORY + L_FRAME],
    levinson: Levinson,
    lsp: Spectrum,
    quantized_lsp: Spectrum,
    lsp_memory: Memory,
    /// Memories of the weighting filters: of the open loop, and of the target.
    mem_w: [i16; M],
    mem_w0: [i16; M],
    sharp: i16,
    taming: Taming,
    gains: gain::Predictor,
    annex_b: Option<AnnexB>,
}

/// What the encoder needs in order to be silent.
#[derive(Debug, Clone)]
struct AnnexB {
    detector: Detector,
    dtx: Dtx,
    seed: i16,
    is_suspended: bool,
}

impl FrameEncoder {
    /// `is_discontinuous`: whether Annex B may leave frames out.
    pub(super) fn new(is_discontinuous: bool) -> Self {
        let annex_b = || AnnexB { detector: Detector::new(), dtx: Dtx::new(), seed: INIT_SEED, is_suspended: false };
        Self {
            high_pass: HighPass::input(),
            speech: [0; L_WINDOW],
            weighted: [0; PIT_MAX + L_FRAME],
            excitation: [0; HISTORY + L_FRAME],
            levinson: Levinson::new(),
            lsp: INITIAL_LSP,
            quantized_lsp: INITIAL_LSP,
            lsp_memory: Memory::new(),
            mem_w: [0; M],
            mem_w0: [0; M],
            sharp: SHARPMIN,
            taming: Taming::new(),
            gains: gain::Predictor::new(),
            annex_b: is_discontinuous.then(annex_b),
        }
    }

    /// Whether the next frames are coded as speech, whatever is in them.
    pub(super) fn suspend_silence(&mut self, is_suspended: bool) {
        if let Some(annex_b) = &mut self.annex_b {
            annex_b.is_suspended = is_suspended;
        }
    }

    /// Codes 10 ms. Without Annex B every frame is speech.
    pub(super) fn encode(&mut self, pcm: &[i16; L_FRAME]) -> Frame {
        self.speech.copy_within(L_FRAME.., 0);
        let input = &mut self.speech[L_WINDOW - L_FRAME..];
        input.copy_from_slice(pcm);
        self.high_pass.run(input);

        let r = autocorrelation(&self.speech, if self.annex_b.is_some() { NP } else { M });
        let windowed = r.windowed();
        let prediction = self.levinson.run(&windowed.head());
        let lsp = az_lsp(&prediction.predictor, &self.lsp);
        let frame = match self.silence(&r, &windowed, &prediction, &lsp) {
            Some(frame) => frame,
            None => Frame::Speech(self.speech_frame(&lsp)),
        };
        self.weighted.copy_within(L_FRAME.., 0);
        self.excitation.copy_within(L_FRAME.., 0);
        frame
    }

    /// The frame of Annex B, if nobody speaks.
    fn silence(
        &mut self,
        r: &Autocorrelation,
        windowed: &Autocorrelation,
        prediction: &Prediction,
        lsp: &Spectrum,
    ) -> Option<Frame> {
        let annex_b = self.annex_b.as_mut()?;
        let was_speech = annex_b.detector.was_speech();
        let lsf = lsp_lsf(lsp);
        let is_suspended = annex_b.is_suspended;
        let is_speech =
            annex_b.detector.is_speech(windowed, prediction.reflection[1], &lsf, &self.speech, is_suspended);
        annex_b.dtx.observe(r, is_speech);
        if is_speech {
            annex_b.seed = INIT_SEED;
            return None;
        }
        let Self { levinson, lsp_memory, quantized_lsp, .. } = self;
        let sid = annex_b.dtx.describe(was_speech, quantized_lsp, levinson, lsp_memory);
        let gain = annex_b.dtx.gain.next(was_speech);
        let excited = comfort_noise::excite(gain, &mut self.excitation, &mut annex_b.seed);
        let noise = annex_b.dtx.lsp;
        for (gain, lag) in excited {
            self.taming.update(gain, lag);
        }
        let predictors = interpolate(&self.quantized_lsp, &noise);
        self.quantized_lsp = noise;
        self.follow_noise(&predictors);
        Some(sid.map_or(Frame::Untransmitted, Frame::Sid))
    }

    /// Keeps the memories of the filters in step through a frame of noise.
    fn follow_noise(&mut self, predictors: &[Predictor; 2]) {
        for (index, predictor) in predictors.iter().enumerate() {
            let weighting = weight_az(predictor, GAMMA1);
            let mut error = self.residual(index, predictor);
            self.weight(index, &error, &weighting);
            let start = HISTORY + index * L_SUBFR;
            for (error, &noise) in error.iter_mut().zip(&self.excitation[start..]) {
                *error = sub(*error, noise);
            }
            let mut target = [0; L_SUBFR];
            syn_filt(&weighting, &error, &mut target, &self.mem_w0);
            self.mem_w0.copy_from_slice(&target[L_SUBFR - M..]);
        }
        self.sharp = SHARPMIN;
    }

    fn speech_frame(&mut self, lsp: &Spectrum) -> Speech {
        let (indices, quantized) = lsp_quantizer::quantize(lsp, &mut self.lsp_memory);
        let predictors = interpolate(&self.quantized_lsp, &quantized);
        self.lsp = *lsp;
        self.quantized_lsp = quantized;
        let weighting = predictors.map(|predictor| weight_az(&predictor, GAMMA1));
        for (index, (predictor, weighting)) in predictors.iter().zip(&weighting).enumerate() {
            let residual = self.residual(index, predictor);
            self.weight(index, &residual, weighting);
            let start = HISTORY + index * L_SUBFR;
            self.excitation[start..start + L_SUBFR].copy_from_slice(&residual);
        }
        let open = open_loop(&self.weighted);
        let mut frame = Speech { lsp: indices, ..Speech::default() };
        let mut range = range_about(open);
        let mut first_lag = None;
        for (index, (subframe, weighting)) in frame.subframes.iter_mut().zip(&weighting).enumerate() {
            let lag;
            (lag, *subframe) = self.subframe(index, weighting, range, first_lag);
            range = range_after(lag);
            first_lag = Some(lag);
        }
        frame.parity = parity(frame.subframes[0].lag);
        frame
    }

    /// LP residual of a subframe.
    fn residual(&self, index: usize, predictor: &Predictor) -> [i16; L_SUBFR] {
        let mut input = [0; M + L_SUBFR];
        let start = FRAME + index * L_SUBFR;
        input.copy_from_slice(&self.speech[start - M..start + L_SUBFR]);
        residu(predictor, &input)
    }

    /// Weighted speech of a subframe, for the open loop.   Equation A.3.
    fn weight(&mut self, index: usize, residual: &[i16; L_SUBFR], weighting: &Predictor) {
        let start = PIT_MAX + index * L_SUBFR;
        let weighted = &mut self.weighted[start..start + L_SUBFR];
        syn_filt(&tilted(weighting), residual, weighted, &self.mem_w);
        self.mem_w.copy_from_slice(&weighted[L_SUBFR - M..]);
    }

    /// Codes the excitation of a subframe. Returns its whole lag, too. `first_lag`: that of the first subframe.
    fn subframe(
        &mut self,
        index: usize,
        weighting: &Predictor,
        range: (usize, usize),
        first_lag: Option<usize>,
    ) -> (usize, Subframe) {
        let start = HISTORY + index * L_SUBFR;
        let span = start..start + L_SUBFR;
        let mut impulse = [0; L_SUBFR];
        impulse[0] = 4_096;
        let mut h = [0; L_SUBFR];
        syn_filt(weighting, &impulse, &mut h, &[0; M]);
        let mut target = [0; L_SUBFR];
        syn_filt(weighting, &self.excitation[span.clone()], &mut target, &self.mem_w0);

        let backward = backward_filtered(&h, &target);
        let lag = closed_loop(&mut self.excitation, start, &backward, range, first_lag.is_some());
        let mut adaptive = [0; L_SUBFR];
        syn_filt(weighting, &self.excitation[span.clone()], &mut adaptive, &[0; M]);
        let (pitch, energy, correlation) = adaptive_gain(&target, &adaptive);
        let is_tamed = self.taming.is_needed(lag);
        let pitch = if is_tamed { pitch.min(GPCLIP) } else { pitch };
        let mut rest = [0; L_SUBFR];
        for (rest, (&target, &adaptive)) in rest.iter_mut().zip(target.iter().zip(&adaptive)) {
            *rest = sub(target, extract_h(l_shl(l_mult(adaptive, pitch), 1)));
        }

        sharpen(&mut h, lag.whole, self.sharp);
        let mut innovation = fixed_codebook::search(&h, &backward_filtered(&h, &rest));
        sharpen(&mut innovation.pulses, lag.whole, self.sharp);
        let terms = gain_quantizer::terms(&target, &adaptive, &innovation.filtered, (energy, correlation));
        let (index, gains) = gain_quantizer::quantize(&mut self.gains, &innovation.pulses, &terms, is_tamed);

        self.sharp = sharpening(gains.pitch);
        total_excitation(&mut self.excitation[span], &innovation.pulses, gains);
        self.taming.update(gains.pitch, lag.whole);
        for (n, memory) in (L_SUBFR - M..).zip(&mut self.mem_w0) {
            let adaptive = extract_h(l_shl(l_mult(adaptive[n], gains.pitch), 1));
            let fixed = extract_h(l_shl(l_mult(innovation.filtered[n], gains.code), 2));
            *memory = sub(target[n], add(adaptive, fixed));
        }
        let lag_index = first_lag.map_or_else(|| lag.first_index(), |first| lag.second_index(first));
        (lag.whole, Subframe { lag: lag_index, code: innovation.code, gains: index })
    }
}
