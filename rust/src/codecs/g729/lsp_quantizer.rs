//! The predictive two-stage quantizer of the line spectral frequencies: memory, decoding, search.
//!
//! Clauses 3.2.4 (quantization), 4.1.1 (decoding) and 4.4.1 (lost frames).

use super::M;
use super::lsp::{Spectrum, lsf_lsp2, lsp_lsf2};
use super::lsp_tables::{FG, FG_SUM, FG_SUM_INV, LSPCB1, LSPCB2};
use super::operators::{
    add, extract_h, extract_l, l_deposit_h, l_mac, l_msu, l_mult, l_shl, mult, norm_s, shl, shr, sub,
};

/// Order of the moving average.
const MA_NP: usize = 4;
/// The lower half of a vector has a second stage of its own, and the upper half.
const NC: usize = M / 2;
/// Least distances between frequencies before quantization, Q13.
const GAP1: i16 = 10;
const GAP2: i16 = 5;
/// Least distance between the frequencies of a stable filter, Q13.
pub(super) const GAP3: i16 = 321;
/// Lowest and highest frequency of a stable filter, Q13.
pub(super) const L_LIMIT: i16 = 40;
pub(super) const M_LIMIT: i16 = 25_681;

/// A moving-average predictor: one row for each frame back.
pub(super) type Predictor = [Spectrum; MA_NP];

/// What the quantizer sends: the predictor's mode, the first stage (7 bits) and the halves of the second (5 bits each).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Indices {
    pub(super) mode: usize,
    pub(super) first: usize,
    pub(super) lower: usize,
    pub(super) upper: usize,
}

/// The quantizer outputs of the last four frames, newest first.
#[derive(Debug, Clone)]
pub(super) struct Memory([Spectrum; MA_NP]);

impl Memory {
    pub(super) fn new() -> Self {
        Self([[2_339, 4_679, 7_018, 9_358, 11_698, 14_037, 16_377, 18_717, 21_056, 23_396]; MA_NP])
    }

    /// `Lsp_prev_compose`: frequencies of a quantizer output.   Equation 20.
    pub(super) fn compose(&self, output: &Spectrum, predictor: &Predictor, rest: &Spectrum) -> Spectrum {
        let mut lsf = [0; M];
        for (j, lsf) in lsf.iter_mut().enumerate() {
            let start = l_mult(output[j], rest[j]);
            *lsf = extract_h((0..MA_NP).fold(start, |sum, k| l_mac(sum, self.0[k][j], predictor[k][j])));
        }
        lsf
    }

    /// `Lsp_prev_extract`: the quantizer output that gives these frequencies.   Equation 23.
    pub(super) fn extract(&self, lsf: &Spectrum, predictor: &Predictor, rest_inverse: &Spectrum) -> Spectrum {
        let mut output = [0; M];
        for (j, output) in output.iter_mut().enumerate() {
            let start = l_deposit_h(lsf[j]);
            let left = extract_h((0..MA_NP).fold(start, |sum, k| l_msu(sum, self.0[k][j], predictor[k][j])));
            *output = extract_h(l_shl(l_mult(left, rest_inverse[j]), 3));
        }
        output
    }

    /// `Lsp_prev_update`
    pub(super) fn push(&mut self, output: Spectrum) {
        self.0.rotate_right(1);
        self.0[0] = output;
    }

    /// `Lsp_get_quant`: frequencies of sent indices, which become part of the memory.
    fn dequantize(&mut self, indices: Indices) -> Spectrum {
        let Indices { mode, first, lower, upper } = indices;
        let mut output = [0; M];
        for (j, output) in output.iter_mut().enumerate() {
            *output = add(LSPCB1[first][j], LSPCB2[if j < NC { lower } else { upper }][j]);
        }
        expand(&mut output, GAP1);
        expand(&mut output, GAP2);
        let mut lsf = self.compose(&output, &FG[mode], &FG_SUM[mode]);
        self.push(output);
        stabilize(&mut lsf);
        lsf
    }
}

/// `Lsp_expand_1_2`: moves neighbours apart that are closer than `gap`.
pub(super) fn expand(lsf: &mut [i16], gap: i16) {
    for j in 1..lsf.len() {
        let excess = shr(add(sub(lsf[j - 1], lsf[j]), gap), 1);
        if excess > 0 {
            lsf[j - 1] = sub(lsf[j - 1], excess);
            lsf[j] = add(lsf[j], excess);
        }
    }
}

/// `Lsp_stability`: order, distance and range of the frequencies of a stable filter.   Clause 3.2.4, end.
pub(super) fn stabilize(lsf: &mut Spectrum) {
    for j in 0..M - 1 {
        if lsf[j + 1] < lsf[j] {
            lsf.swap(j, j + 1);
        }
    }
    lsf[0] = lsf[0].max(L_LIMIT);
    for j in 0..M - 1 {
        if i32::from(lsf[j + 1]) - i32::from(lsf[j]) < i32::from(GAP3) {
            lsf[j + 1] = add(lsf[j], GAP3);
        }
    }
    lsf[M - 1] = lsf[M - 1].min(M_LIMIT);
}

/// `Lsp_iqua_cs`: the decoder's side.
#[derive(Debug, Clone)]
pub(super) struct Decoder {
    pub(super) memory: Memory,
    mode: usize,
    lsf: Spectrum,
}

impl Decoder {
    pub(super) fn new() -> Self {
        let memory = Memory::new();
        Self { lsf: memory.0[0], memory, mode: 0 }
    }

    /// The pairs of a frame. `indices`: None if it was lost, when those of the frame before are repeated.
    pub(super) fn decode(&mut self, indices: Option<Indices>) -> Spectrum {
        if let Some(indices) = indices {
            self.lsf = self.memory.dequantize(indices);
            self.mode = indices.mode;
        } else {
            let output = self.memory.extract(&self.lsf, &FG[self.mode], &FG_SUM_INV[self.mode]);
            self.memory.push(output);
        }
        lsf_lsp2(&self.lsf)
    }
}

/// `Qua_lsp`: the indices that come closest to these pairs, and the pairs they stand for.
pub(super) fn quantize(lsp: &Spectrum, memory: &mut Memory) -> (Indices, Spectrum) {
    let lsf = lsp_lsf2(lsp);
    let weights = weights(&lsf);
    let candidates = [0, 1].map(|mode| {
        let target = memory.extract(&lsf, &FG[mode], &FG_SUM_INV[mode]);
        let first = nearest_first_stage(&target);
        let code = &LSPCB1[first];
        let mut rest = [0; M];
        for (j, rest) in rest.iter_mut().enumerate() {
            *rest = sub(target[j], code[j]);
        }
        let lower = nearest_second_stage(&rest, &weights, 0);
        let upper = nearest_second_stage(&rest, &weights, NC);
        let mut output = [0; M];
        for (j, output) in output.iter_mut().enumerate() {
            *output = add(code[j], LSPCB2[if j < NC { lower } else { upper }][j]);
        }
        expand(&mut output, GAP1);
        expand(&mut output, GAP2);
        let distance = distance(&output, &target, &weights, &FG_SUM[mode]);
        (distance, Indices { mode, first, lower, upper })
    });
    let indices = if candidates[1].0 < candidates[0].0 { candidates[1].1 } else { candidates[0].1 };
    (indices, lsf_lsp2(&memory.dequantize(indices)))
}

/// Entries of a codebook that are compared at a time.
const LANES: usize = 8;

/// A codebook by coefficients, each that of [`LANES`] entries, and the range of each coefficient.
struct Columns<const BLOCKS: usize> {
    blocks: [[[i16; LANES]; M]; BLOCKS],
    lowest: Spectrum,
    highest: Spectrum,
}

impl<const BLOCKS: usize> Columns<BLOCKS> {
    const fn of(codebook: &[Spectrum]) -> Self {
        let mut columns = Self { blocks: [[[0; LANES]; M]; BLOCKS], lowest: [i16::MAX; M], highest: [i16::MIN; M] };
        let mut entry = 0;
        while entry < BLOCKS * LANES {
            let mut j = 0;
            while j < M {
                let value = codebook[entry][j];
                columns.blocks[entry / LANES][j][entry % LANES] = value;
                if value < columns.lowest[j] {
                    columns.lowest[j] = value;
                }
                if value > columns.highest[j] {
                    columns.highest[j] = value;
                }
                j += 1;
            }
            entry += 1;
        }
        columns
    }

    /// Whether no difference between `target` and an entry saturates, nor the sum of their squares, doubled.
    fn is_near(&self, target: &Spectrum) -> bool {
        let mut sum = 0_i64;
        for (&target, (&low, &high)) in target.iter().zip(self.lowest.iter().zip(&self.highest)) {
            let farthest = i64::from(target).abs_diff(i64::from(low)).max(i64::from(target).abs_diff(i64::from(high)));
            if farthest > 0x7fff {
                return false;
            }
            sum += farthest.cast_signed().pow(2);
        }
        sum < 1 << 30
    }

    /// The first of the entries nearest to a target that [is near](Self::is_near). `weights`: None if all differences
    /// weigh the same, else at most 1 in Q15.
    fn nearest(&self, target: &Spectrum, weights: Option<&Spectrum>, halves: std::ops::Range<usize>) -> usize {
        let mut best = (i32::MAX, 0);
        for (block, columns) in self.blocks.iter().enumerate() {
            let mut distances = [0_i32; LANES];
            for j in halves.clone() {
                let weight = weights.map(|weights| weights[j]);
                for (distance, &code) in distances.iter_mut().zip(&columns[j]) {
                    let difference = target[j].wrapping_sub(code);
                    let weighted = weight.map_or(difference, |weight| {
                        extract_l(i32::from(weight).wrapping_mul(i32::from(difference)) >> 15)
                    });
                    *distance = distance.wrapping_add(i32::from(weighted).wrapping_mul(i32::from(difference)));
                }
            }
            for (lane, &distance) in distances.iter().enumerate() {
                if distance < best.0 {
                    best = (distance, block * LANES + lane);
                }
            }
        }
        best.1
    }
}

static FIRST_STAGE: Columns<16> = Columns::of(&LSPCB1);
static SECOND_STAGE: Columns<4> = Columns::of(&LSPCB2);

/// `Lsp_pre_select`: the entry of the first stage that is nearest, unweighted.
fn nearest_first_stage(target: &Spectrum) -> usize {
    if FIRST_STAGE.is_near(target) {
        return FIRST_STAGE.nearest(target, None, 0..M);
    }
    let distance = |code: &Spectrum| {
        target.iter().zip(code).fold(0_i32, |sum, (&target, &code)| {
            let difference = sub(target, code);
            l_mac(sum, difference, difference)
        })
    };
    first_least(LSPCB1.iter().map(distance))
}

/// `Lsp_select_1` and `Lsp_select_2`: the entry of the second stage whose half from `start` is nearest.
fn nearest_second_stage(rest: &Spectrum, weights: &Spectrum, start: usize) -> usize {
    if SECOND_STAGE.is_near(rest) {
        return SECOND_STAGE.nearest(rest, Some(weights), start..start + NC);
    }
    let distance = |code: &Spectrum| {
        (start..start + NC).fold(0_i32, |sum, j| {
            let difference = sub(rest[j], code[j]);
            l_mac(sum, mult(weights[j], difference), difference)
        })
    };
    first_least(LSPCB2.iter().map(distance))
}

/// The place of the least distance below the greatest number, the first of equals; 0 if there is none.
fn first_least(distances: impl Iterator<Item = i32>) -> usize {
    let mut best = (i32::MAX, 0);
    for (index, distance) in distances.enumerate() {
        if distance < best.0 {
            best = (distance, index);
        }
    }
    best.1
}

/// `Lsp_get_tdist`
fn distance(output: &Spectrum, target: &Spectrum, weights: &Spectrum, rest: &Spectrum) -> i32 {
    (0..M).fold(0, |sum, j| {
        let difference = mult(sub(output[j], target[j]), rest[j]);
        l_mac(sum, extract_h(l_shl(l_mult(weights[j], difference), 4)), difference)
    })
}

/// `Get_wegt`: frequencies that lie close to each other count more.   Equation 22.
pub(super) fn weights(lsf: &Spectrum) -> Spectrum {
    /// 0.04 pi and 0.92 pi, Q13.
    const PI04: i16 = 1_029;
    const PI92: i16 = 23_677;
    /// 10 in Q11 and 1.2 in Q14.
    const CONST10: i16 = 20_480;
    const CONST12: i16 = 19_661;
    let mut weights = [0; M];
    for (i, weight) in weights.iter_mut().enumerate() {
        let distance = match i {
            0 => sub(lsf[1], PI04 + 8_192),
            9 => sub(PI92 - 8_192, lsf[8]),
            _ => sub(sub(lsf[i + 1], lsf[i - 1]), 8_192),
        };
        *weight = if distance > 0 {
            2_048
        } else {
            let square = extract_h(l_shl(l_mult(distance, distance), 2));
            add(extract_h(l_shl(l_mult(square, CONST10), 2)), 2_048)
        };
    }
    for weight in &mut weights[4..=5] {
        *weight = extract_h(l_shl(l_mult(*weight, CONST12), 1));
    }
    let shift = norm_s(weights.iter().fold(0, |greatest, &weight| greatest.max(weight)));
    weights.map(|weight| shl(weight, shift))
}
