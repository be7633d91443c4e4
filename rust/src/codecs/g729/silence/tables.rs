//! Tables of Annex B: speech detection and the quantizers of SID frames.
//!
//! Source: the tables of ITU-T Recommendation G.729 (11/2006), under the names of its fixed-point description.

/// Autocorrelation of the low-band filter of the VAD (clause B.3.1.1).
pub(in crate::codecs::g729) static LBF_CORR: [i16; 13] =
    [7_869, 7_011, 4_838, 2_299, 321, -660, -782, -484, -164, 3, 39, 21, 4];

/// Shift of the mean of 32 - n frames.
pub(in crate::codecs::g729) static SHIFT_FX: [i16; 33] =
    [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 0];

/// Factor of the mean of 32 - n frames, Q15.
pub(in crate::codecs::g729) static FACTOR_FX: [i16; 33] = [
    32_767, 16_913, 17_476, 18_079, 18_725, 19_418, 20_165, 20_972, 21_845, 22_795, 23_831, 24_966, 26_214, 27_594,
    29_127, 30_840, 32_767, 17_476, 18_725, 20_165, 21_845, 23_831, 26_214, 29_127, 32_767, 18_725, 21_845, 26_214,
    32_767, 21_845, 32_767, 32_767, 0,
];

/// Factors of the energy of a SID frame (clause B.4.2.1).
pub(in crate::codecs::g729) static FACT: [i16; 3] = [410, 26, 13];

/// Margins of the energy of a SID frame, in bits.
pub(in crate::codecs::g729) static MARG: [i16; 3] = [0, 0, 1];

/// Decoded gains of a SID frame.
pub(in crate::codecs::g729) static TAB_SIDGAIN: [i16; 32] = [
    2, 5, 8, 13, 20, 32, 50, 64, 80, 101, 127, 160, 201, 253, 318, 401, 505, 635, 800, 1_007, 1_268, 1_596, 2_010,
    2_530, 3_185, 4_009, 5_048, 6_355, 8_000, 10_071, 12_679, 15_962,
];

/// What the predictors leave to the codebooks in SID frames, Q15.
pub(in crate::codecs::g729) static NOISE_FG_SUM: [[i16; 10]; 2] = [
    [7_798, 8_447, 8_205, 8_293, 8_126, 8_477, 8_447, 8_703, 9_043, 8_604],
    [10_514, 12_402, 12_833, 11_914, 11_447, 11_670, 11_132, 11_311, 11_844, 11_447],
];

/// Inverse of [`NOISE_FG_SUM`], Q12.
pub(in crate::codecs::g729) static NOISE_FG_SUM_INV: [[i16; 10]; 2] = [
    [17_210, 15_888, 16_357, 16_183, 16_516, 15_833, 15_888, 15_421, 14_840, 15_597],
    [12_764, 10_821, 10_458, 11_264, 11_724, 11_500, 12_056, 11_865, 11_331, 11_724],
];

/// Entries of the first LSP stage that SID frames can name.
pub(in crate::codecs::g729) static PTR_TAB_1: [usize; 32] = [
    96, 52, 20, 54, 86, 114, 82, 68, 36, 121, 48, 92, 18, 120, 94, 124, 50, 125, 4, 100, 28, 76, 12, 117, 81, 22, 90,
    116, 127, 21, 108, 66,
];

/// Entries of the second LSP stage, lower and upper half, that SID frames can name.
pub(in crate::codecs::g729) static PTR_TAB_2: [[usize; 16]; 2] = [
    [31, 21, 9, 3, 10, 2, 19, 26, 4, 3, 11, 29, 15, 27, 21, 12],
    [16, 1, 0, 0, 8, 25, 22, 20, 19, 23, 20, 31, 4, 31, 20, 31],
];

/// Weights of the two predictors in the first stage, Q15.
pub(in crate::codecs::g729) static MP: [i16; 2] = [8_644, 16_572];
