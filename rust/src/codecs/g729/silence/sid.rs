//! The quantizers of SID frames: spectrum and gain of the comfort noise.
//!
//! Clauses B.4.2.1 (gain) and B.4.3 (spectrum). Encoder and decoder share the LSP memory of speech.

use super::tables::{FACT, MARG, MP, NOISE_FG_SUM, NOISE_FG_SUM_INV, PTR_TAB_1, PTR_TAB_2};
use crate::codecs::g729::M;
use crate::codecs::g729::functions::log2;
use crate::codecs::g729::lsp::{Spectrum, lsf_lsp2, lsp_lsf2};
use crate::codecs::g729::lsp_quantizer::{GAP3, L_LIMIT, M_LIMIT, Memory, Predictor, expand, stabilize, weights};
use crate::codecs::g729::lsp_tables::{FG, LSPCB1, LSPCB2};
use crate::codecs::g729::operators::{Dpf, add, extract_h, l_mac, l_mult, l_shl, mult, mult_r, shl, shr, sub};

/// Candidates of the first stage that the second one tries.
const SURVIVORS: usize = 4;

/// Indices of a spectrum: predictor (1 bit), first stage (5 bits), second stage (4 bits).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::codecs::g729) struct Indices {
    pub(in crate::codecs::g729) mode: usize,
    pub(in crate::codecs::g729) first: usize,
    pub(in crate::codecs::g729) second: usize,
}

/// The predictors of SID frames: that of speech, and a mixture of 0.6 and 0.4 of both.
static NOISE_FG: [Predictor; 2] = {
    let mut predictors = [FG[0]; 2];
    let mut i = 0;
    while i < predictors[1].len() {
        let mut j = 0;
        while j < M {
            predictors[1][i][j] = extract_h(l_mac(l_mult(FG[0][i][j], 19_660), FG[1][i][j], 13_107));
            j += 1;
        }
        i += 1;
    }
    predictors
};

/// An entry of the second stage.
fn second_stage(index: usize, j: usize) -> i16 {
    LSPCB2[PTR_TAB_2[usize::from(j >= M / 2)][index]][j]
}

/// `sid_lsfq_decode`: the pairs of sent indices, which become part of the memory.
pub(in crate::codecs::g729) fn dequantize(indices: Indices, memory: &mut Memory) -> Spectrum {
    let Indices { mode, first, second } = indices;
    let mut output = LSPCB1[PTR_TAB_1[first]];
    for (j, output) in output.iter_mut().enumerate() {
        *output = add(*output, second_stage(second, j));
    }
    expand(&mut output, 10);
    let mut lsf = memory.compose(&output, &NOISE_FG[mode], &NOISE_FG_SUM[mode]);
    memory.push(output);
    stabilize(&mut lsf);
    lsf_lsp2(&lsf)
}

/// `lsfq_noise`: the indices that come closest to these pairs, and the pairs they stand for.
pub(in crate::codecs::g729) fn quantize(lsp: &Spectrum, memory: &mut Memory) -> (Indices, Spectrum) {
    let mut lsf = lsp_lsf2(lsp);
    lsf[0] = lsf[0].max(L_LIMIT);
    for i in 0..M - 1 {
        if sub(lsf[i + 1], lsf[i]) < 2 * GAP3 {
            lsf[i + 1] = add(lsf[i], 2 * GAP3);
        }
    }
    lsf[M - 1] = lsf[M - 1].min(M_LIMIT);
    if lsf[M - 1] < lsf[M - 2] {
        lsf[M - 2] = sub(lsf[M - 1], GAP3);
    }
    let weights = weights(&lsf);
    let targets = [0, 1].map(|mode| memory.extract(&lsf, &NOISE_FG[mode], &NOISE_FG_SUM_INV[mode]));
    let indices = search(&targets, &weights);
    (indices, dequantize(indices, memory))
}

/// `Qnt_e`: a delayed decision over both stages.
fn search(targets: &[Spectrum; 2], weights: &Spectrum) -> Indices {
    let mut best = (i16::MAX, Indices::default());
    let mut is_found = false;
    for (mode, first) in first_stage(targets) {
        let code = &LSPCB1[PTR_TAB_1[first]];
        for second in 0..PTR_TAB_2[0].len() {
            let error = (0..M).fold(0, |sum, j| {
                let rest = extract_h(l_shl(l_mult(NOISE_FG_SUM[mode][j], NOISE_FG_SUM[mode][j]), 2));
                let difference = sub(sub(targets[mode][j], code[j]), second_stage(second, j));
                let weighted = extract_h(l_shl(l_mult(mult(rest, weights[j]), difference), 3));
                l_mac(sum, weighted, difference)
            });
            if extract_h(error) < best.0 || !is_found {
                best = (extract_h(error), Indices { mode, first, second });
                is_found = true;
            }
        }
    }
    best.1
}

/// `New_ML_search_1`: modes and entries of the first stage with the least errors, in their order.
fn first_stage(targets: &[Spectrum; 2]) -> [(usize, usize); SURVIVORS] {
    let mut errors = [[0; PTR_TAB_1.len()]; 2];
    for (mode, errors) in errors.iter_mut().enumerate() {
        for (error, &entry) in errors.iter_mut().zip(&PTR_TAB_1) {
            let sum = targets[mode].iter().zip(&LSPCB1[entry]).fold(0, |sum, (&target, &code)| {
                let difference = sub(target, code);
                l_mac(sum, difference, difference)
            });
            *error = mult(extract_h(sum), MP[mode]);
        }
    }
    let mut survivors = [(0, 0); SURVIVORS];
    for survivor in &mut survivors {
        let mut least = i16::MAX;
        for (mode, errors) in errors.iter().enumerate() {
            for (index, &error) in errors.iter().enumerate() {
                if error < least {
                    least = error;
                    *survivor = (mode, index);
                }
            }
        }
        errors[survivor.0][survivor.1] = i16::MAX;
    }
    survivors
}

/// An energy as a mantissa and the bits it was shifted by.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::codecs::g729) struct Energy {
    pub(in crate::codecs::g729) mantissa: i16,
    pub(in crate::codecs::g729) shift: i16,
}

/// `Qua_Sidgain`: the index of the gain, and the energy it stands for in 2 dB. `energies`: one or two of the last frames.
pub(in crate::codecs::g729) fn quantize_gain(energies: &[Energy]) -> (usize, i16) {
    let count = energies.len().clamp(1, 2);
    let least = energies.iter().fold(i16::MAX, |least, energy| least.min(energy.shift));
    let shift = add(least, 16 - MARG[count]);
    let sum = energies
        .iter()
        .fold(0_i32, |sum, energy| sum.saturating_add(l_shl(i32::from(energy.mantissa), sub(shift, energy.shift))));
    level_index(Dpf::extract(sum).mpy_32_16(FACT[count]), shift)
}

/// `Qua_Sidgain` in the decoder: the index of the gain of a frame's excitation.
pub(in crate::codecs::g729) fn estimate_gain(excitation: Energy) -> usize {
    let energy = l_shl(i32::from(excitation.mantissa), excitation.shift);
    level_index(Dpf::extract(energy).mpy_32_16(FACT[0]), 0).0
}

/// `Quant_Energy`
fn level_index(energy: i32, shift: i16) -> (usize, i16) {
    let (exponent, fraction) = log2(energy);
    let level = add(shl(sub(exponent, shift), 10), mult_r(fraction, 1_024));
    let (index, energy) = if level <= -2_721 {
        (0, -12)
    } else if level > 22_111 {
        (31, 66)
    } else if level <= 4_762 {
        let index = mult(add(level, 3_401), 24).max(1);
        (index, sub(shl(index, 2), 8))
    } else {
        let index = sub(shr(mult(sub(level, 340), 193), 2), 1).max(6);
        (index, add(shl(index, 1), 4))
    };
    (usize::from(index.cast_unsigned()).min(31), energy)
}
