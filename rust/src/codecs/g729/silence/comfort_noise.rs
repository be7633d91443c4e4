//! Comfort noise: an excitation of random pulses, noise and past excitation at a given gain; the decoder's state of it.
//!
//! Clause B.4.4. Encoder and decoder draw the same numbers, so that their filters stay in step.

use super::sid::{self, Energy};
use super::tables::TAB_SIDGAIN;
use crate::codecs::g729::adaptive_codebook::{HISTORY, Lag, predict};
use crate::codecs::g729::bitstream::Sid;
use crate::codecs::g729::functions::inv_sqrt;
use crate::codecs::g729::lsp::Spectrum;
use crate::codecs::g729::lsp_quantizer::Memory;
use crate::codecs::g729::operators::{
    Dpf, add, extract_h, extract_l, l_mac, l_mult, l_shl, l_shr, mult_r, negate, norm_l, norm_s, random, round,
    saturated_energy, shl, shr, shr_r, sub,
};
use crate::codecs::g729::{L_FRAME, L_SUBFR};

/// What the random numbers of each stretch of noise begin with.
pub(in crate::codecs::g729) const INIT_SEED: i16 = 11_111;
/// Weights of the last and of the sent gain: 7/8 and 1/8, Q15.
const A_GAIN0: i16 = 28_672;
const A_GAIN1: i16 = 4_096;
/// sqrt(40) / 4 - 1, Q15.
const FRAC1: i16 = 19_043;
/// 1 - 0.25, Q15.
const K0: i16 = 24_576;
/// Greatest height of a pulse.
const G_MAX: i16 = 5_000;

/// The gain in the frames of a stretch of noise: it moves slowly towards what was sent.
#[derive(Debug, Clone, Default)]
pub(in crate::codecs::g729) struct Gain {
    pub(in crate::codecs::g729) sent: i16,
    current: i16,
}

impl Gain {
    /// The gain of the next frame; `is_first` of its stretch.
    pub(in crate::codecs::g729) fn next(&mut self, is_first: bool) -> i16 {
        self.current =
            if is_first { self.sent } else { add(mult_r(self.current, A_GAIN0), mult_r(self.sent, A_GAIN1)) };
        self.current
    }
}

/// The decoder's noise.
#[derive(Debug, Clone)]
pub(in crate::codecs::g729) struct Noise {
    gain: Gain,
    lsp: Spectrum,
    seed: i16,
    /// Of the last frame's excitation, whose level is taken where a description was lost.
    energy: Energy,
}

impl Noise {
    pub(in crate::codecs::g729) fn new() -> Self {
        Self {
            gain: Gain { sent: TAB_SIDGAIN[0], current: 0 },
            lsp: [31_441, 27_566, 21_458, 13_612, 4_663, -4_663, -13_612, -21_458, -27_566, -31_441],
            seed: INIT_SEED,
            energy: Energy { mantissa: 0, shift: 1 },
        }
    }

    /// Takes the excitation of a frame that arrived.
    pub(in crate::codecs::g729) fn observe(&mut self, excitation: &[i16; HISTORY + L_FRAME]) {
        let energy = saturated_energy(0, &excitation[HISTORY..]);
        let norm = norm_l(energy);
        self.energy = Energy { mantissa: round(l_shl(energy, norm)), shift: 16 - norm };
    }

    /// Speech has come: the next stretch begins anew.
    pub(in crate::codecs::g729) fn rest(&mut self) {
        self.seed = INIT_SEED;
    }

    /// `Dec_cng`: the excitation of a frame of noise, and its pairs. `is_first`: the frame before was speech.
    pub(in crate::codecs::g729) fn decode(
        &mut self,
        sid: Option<&Sid>,
        is_first: bool,
        memory: &mut Memory,
        excitation: &mut [i16; HISTORY + L_FRAME],
    ) -> Spectrum {
        if let Some(sid) = sid {
            self.gain.sent = TAB_SIDGAIN[sid.gain];
            self.lsp = sid::dequantize(sid.spectrum, memory);
        } else if is_first {
            self.gain.sent = TAB_SIDGAIN[sid::estimate_gain(self.energy)];
        }
        let gain = self.gain.next(is_first);
        excite(gain, excitation, &mut self.seed);
        self.lsp
    }
}

/// The draws of one subframe.
struct Draw {
    lag: Lag,
    positions: [usize; 4],
    is_positive: [bool; 4],
    /// Q14.
    gain_pitch: i16,
}

impl Draw {
    fn new(seed: &mut i16) -> Self {
        let first = random(seed).cast_unsigned();
        let second = random(seed).cast_unsigned();
        let gain_pitch = extract_l(i32::from(random(seed)) & 0x1fff);
        let place = |bits: u16| usize::from(bits & 7) * 5;
        let lag = Lag {
            whole: usize::from((first >> 2) & 0x3f) + 40,
            thirds: match first & 3 {
                0 => -1,
                2 => 1,
                _ => 0,
            },
        };
        let is_odd = usize::from((second >> 4) & 1);
        Self {
            lag,
            positions: [place(first >> 8), place(first >> 12) + 1, place(second) + 2, place(second >> 5) + 3 + is_odd],
            is_positive: [first >> 11, first >> 15, second >> 3, second >> 8].map(|bits| bits & 1 == 1),
            gain_pitch,
        }
    }

    /// The sum of a signal at the pulses, with their signs.
    fn project(&self, at: impl Fn(usize) -> i16) -> i16 {
        self.positions.iter().zip(self.is_positive).fold(0, |sum, (&position, is_positive)| {
            if is_positive { add(sum, at(position)) } else { sub(sum, at(position)) }
        })
    }
}

/// `Calc_exc_rand`: fills the frame at the end of `excitation` with noise of this gain. Returns pitch gain (Q14) and
/// whole lag of both subframes, for the encoder's taming.
pub(in crate::codecs::g729) fn excite(
    gain: i16,
    excitation: &mut [i16; HISTORY + L_FRAME],
    seed: &mut i16,
) -> [(i16, usize); 2] {
    if gain == 0 {
        excitation[HISTORY..].fill(0);
        return [(0, L_SUBFR + 1); 2];
    }
    [HISTORY, HISTORY + L_SUBFR].map(|start| subframe(gain, excitation, start, seed))
}

fn subframe(gain: i16, excitation: &mut [i16; HISTORY + L_FRAME], start: usize, seed: &mut i16) -> (i16, usize) {
    let draw = Draw::new(seed);
    let noise = gaussian(gain, seed);
    predict(excitation, start, draw.lag);
    let subframe = &mut excitation[start..start + L_SUBFR];
    let double_gain = shl(draw.gain_pitch, 1);
    for (sample, &noise) in subframe.iter_mut().zip(&noise) {
        *sample = add(mult_r(*sample, double_gain), noise);
    }
    let peak = subframe.iter().fold(0, |peak: i16, sample| peak.max(sample.saturating_abs()));
    let shift = if peak == 0 { 0 } else { sub(3, norm_s(peak)).max(0) };
    let mut scaled = [0; L_SUBFR];
    for (scaled, &sample) in scaled.iter_mut().zip(&*subframe) {
        *scaled = shr(sample, shift);
    }
    // The pulses' height solves x^2 + 2 b x + c = 0, where the whole subframe has the energy of the gain.
    let energy = l_mult(gain, extract_l(l_shr(l_mult(gain, 40), 6)));
    let product = draw.project(|position| scaled[position]) >> 1;
    let discriminant = l_shr(energy, 1 + 2 * shift).saturating_sub(saturated_energy(0, &scaled));
    let discriminant = l_mac(discriminant, product, product);
    let (height, gain_pitch) = if discriminant >= 0 {
        (pulse_height(discriminant, product, shift + 1), draw.gain_pitch)
    } else {
        // Too much energy without any pulse: the noise alone then, which has three quarters of it.
        subframe.copy_from_slice(&noise);
        let bits = draw.positions.iter().fold(0, |bits, &position| bits | noise[position].saturating_abs());
        let shift = if bits & 0x4000 == 0 { 1 } else { 2 };
        let product = draw.project(|position| shr(noise[position], shift));
        let discriminant = l_shr(Dpf::extract(energy).mpy_32_16(K0), 2 * shift - 1);
        (pulse_height(l_mac(discriminant, product, product), product, shift), 0)
    };
    for (&position, is_positive) in draw.positions.iter().zip(draw.is_positive) {
        let sample = &mut subframe[position];
        *sample = if is_positive { add(*sample, height) } else { sub(*sample, height) };
    }
    (gain_pitch, draw.lag.whole)
}

/// The root that is smaller in magnitude.
fn pulse_height(discriminant: i32, product: i16, shift: i16) -> i16 {
    let root = sqrt(discriminant);
    let (x1, x2) = (sub(root, product), negate(add(product, root)));
    let height = if x2.saturating_abs() < x1.saturating_abs() { x2 } else { x1 };
    shr_r(height, 2 - shift).clamp(-G_MAX, G_MAX)
}

/// Gaussian noise of half of this gain.
fn gaussian(gain: i16, seed: &mut i16) -> [i16; L_SUBFR] {
    let mut noise = [0; L_SUBFR];
    for noise in &mut noise {
        let sum = (0..12).fold(0_i32, |sum, _| sum + i32::from(random(seed)));
        *noise = extract_l(l_shr(sum, 7));
    }
    let inverse = Dpf::extract(inv_sqrt(l_shr(saturated_energy(0, &noise), 1)));
    let factor = inverse.mpy_32_16(add(gain, mult_r(gain, FRAC1)));
    let norm = norm_l(factor);
    let mantissa = extract_h(l_shl(factor, norm));
    noise.map(|noise| shr_r(mult_r(noise, mantissa), norm - 14))
}

/// `Sqrt`: bit by bit, Q0 of a number in Q1.
fn sqrt(x: i32) -> i16 {
    let mut root = 0;
    let mut bit = 0x4000;
    for _ in 0..14 {
        let candidate = add(root, bit);
        if x.saturating_sub(l_mult(candidate, candidate)) >= 0 {
            root = candidate;
        }
        bit >>= 1;
    }
    root
}
