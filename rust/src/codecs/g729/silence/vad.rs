//! Voice activity detection of Annex B: whether a frame of the encoder is speech.
//!
//! Compares energy, low-band energy, spectrum and zero crossings with their running means in background noise.
//! Clause B.3.

use super::tables::{FACTOR_FX, LBF_CORR, SHIFT_FX};
use crate::codecs::g729::M;
use crate::codecs::g729::functions::log2;
use crate::codecs::g729::lp_analysis::{Autocorrelation, L_WINDOW};
use crate::codecs::g729::lsp::Spectrum;
use crate::codecs::g729::operators::{Dpf, add, extract_h, l_deposit_h, l_mac, l_mult, l_shl, l_shr, sub};

/// Frames over which the means are initialized.
const INIT_FRAME: i16 = 32;
/// Frames after which the running minimum of the energy slides.
const MINIMUM_FRAMES: i16 = 128;
/// 15 dB in Q11 of log10: quieter frames are never speech.
const FLOOR: i16 = 3_072;
/// 3 dB.
const MARGIN: i16 = 614;
/// Updates of the means after which they become slower, and their pairs of weights (old and new, Q15) for energy, zero
/// crossings and spectrum.
const PACES: [(i16, [(i16, i16); 3]); 6] = [
    (20, [(24_576, 8_192), (26_214, 6_554), (19_661, 13_017)]),
    (30, [(31_130, 1_638), (30_147, 2_621), (21_299, 11_469)]),
    (40, [(31_785, 983), (30_802, 1_966), (22_938, 9_830)]),
    (50, [(32_440, 328), (31_457, 1_311), (24_576, 8_192)]),
    (60, [(32_604, 164), (32_440, 328), (24_576, 8_192)]),
    (i16::MAX, [(32_604, 164), (32_702, 66), (24_576, 8_192)]),
];

/// What the detector looks at.
struct Features {
    energy: i16,
    low_energy: i16,
    zero_crossings: i16,
    lsf: Spectrum,
}

#[derive(Debug, Clone)]
pub(in crate::codecs::g729) struct Detector {
    /// 1 to 32,767, then again from 256.
    frame: i16,
    /// The last two decisions, newest first.
    past: [bool; 2],
    mean_lsf: Spectrum,
    mean_start_energy: i16,
    mean_energy: i16,
    mean_low_energy: i16,
    mean_zero_crossings: i16,
    minima: Minima,
    previous_energy: i16,
    silent: i16,
    updates: i16,
    extended: i16,
    may_extend: bool,
    quiet_starts: usize,
}

impl Detector {
    pub(in crate::codecs::g729) fn new() -> Self {
        Self {
            frame: 0,
            past: [true; 2],
            mean_lsf: [0; M],
            mean_start_energy: 0,
            mean_energy: 0,
            mean_low_energy: 0,
            mean_zero_crossings: 0,
            minima: Minima { buffer: [0; 16], previous: 0, next: 0, least: i16::MAX },
            previous_energy: 0,
            silent: 0,
            updates: 0,
            extended: 0,
            may_extend: true,
            quiet_starts: 0,
        }
    }

    /// Whether the frame before was speech.
    pub(in crate::codecs::g729) fn was_speech(&self) -> bool {
        self.past[0]
    }

    /// `vad`. `r`: after the lag window; `reflection`: the second coefficient; `lsf`: 0 to 0.5 in Q15; `speech`: what is
    /// under the window; `is_forced`: whether it counts as speech in any case.
    pub(in crate::codecs::g729) fn is_speech(
        &mut self,
        r: &Autocorrelation,
        reflection: i16,
        lsf: &Spectrum,
        speech: &[i16; L_WINDOW],
        is_forced: bool,
    ) -> bool {
        self.frame = if self.frame == i16::MAX { 256 } else { self.frame + 1 };
        let features = Features {
            energy: level(r.r[0].compose(), r.exponent),
            low_energy: low_band_level(r),
            zero_crossings: zero_crossings(speech),
            lsf: *lsf,
        };
        self.minima.observe(self.frame, features.energy);
        let mut is_speech = features.energy >= FLOOR;
        if self.frame <= INIT_FRAME {
            self.initialize(&features, is_speech);
        }
        if self.frame >= INIT_FRAME {
            if self.frame == INIT_FRAME {
                self.finish_initialization();
            }
            let distortion = self.distortion(lsf);
            is_speech = is_speech && self.is_beyond_means(&features, distortion);
            is_speech = self.smooth(&features, reflection, is_speech);
            self.update(&features, reflection, distortion);
        }
        self.previous_energy = features.energy;
        is_speech |= is_forced;
        self.past = [is_speech, self.past[0]];
        is_speech
    }

    /// Sums up frames that are loud enough.
    fn initialize(&mut self, features: &Features, is_loud: bool) {
        if !is_loud {
            self.quiet_starts += 1;
            return;
        }
        let accumulate = |mean: &mut i16, value: i16| *mean = extract_h(l_mac(l_deposit_h(*mean), value, 1_024));
        accumulate(&mut self.mean_start_energy, features.energy);
        accumulate(&mut self.mean_zero_crossings, features.zero_crossings);
        for (mean, &lsf) in self.mean_lsf.iter_mut().zip(&features.lsf) {
            accumulate(mean, lsf);
        }
    }

    /// Makes means of the sums.
    fn finish_initialization(&mut self) {
        // At most 32 frames were quiet, which is the last entry.
        let index = self.quiet_starts.min(FACTOR_FX.len() - 1);
        let scale = |mean: &mut i16| *mean = extract_h(l_shl(l_mult(*mean, FACTOR_FX[index]), SHIFT_FX[index]));
        scale(&mut self.mean_start_energy);
        scale(&mut self.mean_zero_crossings);
        self.mean_lsf.iter_mut().for_each(scale);
        self.mean_energy = sub(self.mean_start_energy, 2_048);
        self.mean_low_energy = sub(self.mean_start_energy, 2_458);
    }

    /// Squared distance from the mean spectrum.
    fn distortion(&self, lsf: &Spectrum) -> i16 {
        let sum = lsf.iter().zip(&self.mean_lsf).fold(0, |sum, (&lsf, &mean)| {
            let difference = sub(lsf, mean);
            l_mac(sum, difference, difference)
        });
        extract_h(sum)
    }

    /// `MakeDec`: whether the frame lies beyond one of fourteen planes about the means.   Clause B.3.5.
    fn is_beyond_means(&self, features: &Features, distortion: i16) -> bool {
        let energy = sub(self.mean_energy, features.energy);
        let low_energy = sub(self.mean_low_energy, features.low_energy);
        let crossings = sub(self.mean_zero_crossings, features.zero_crossings);
        let crossed = |slope: i16, one: i16, offset: i16, shift: i16, value: i16| {
            l_shr(l_mac(l_mult(crossings, slope), one, offset), shift).saturating_add(l_deposit_h(value))
        };
        let line = |value: i16, slope: i16, one: i16, offset: i16| l_mac(l_mult(value, slope), one, offset);
        crossed(-14_680, 8_192, -28_521, 8, distortion) > 0
            || crossed(19_065, 8_192, -19_446, 7, distortion) > 0
            || crossed(20_480, 8_192, 16_384, 2, energy) < 0
            || crossed(-16_384, 8_192, 19_660, 2, energy) < 0
            || line(energy, 32_767, 1_024, 30_802) < 0
            || l_mac(line(distortion, -28_160, 64, 19_988), energy, 512) < 0
            || line(distortion, 32_767, 32, -30_199) > 0
            || crossed(-20_480, 8_192, 22_938, 2, energy) < 0
            || crossed(23_831, 4_096, 31_576, 2, energy) < 0
            || line(energy, 32_767, 2_048, 17_367) < 0
            || l_mac(line(distortion, -22_400, 32, 25_395), low_energy, 256) < 0
            || line(energy, -30_427, 256, -29_959).saturating_add(l_deposit_h(low_energy)) > 0
            || line(energy, -23_406, 512, 28_087).saturating_add(l_deposit_h(low_energy)) < 0
            || l_mac(line(energy, 24_576, 1_024, 29_491), low_energy, 16_384) < 0
    }

    /// Hangover, and the end of it.   Clause B.3.6.
    fn smooth(&mut self, features: &Features, reflection: i16, mut is_speech: bool) -> bool {
        let energy = features.energy;
        let mut is_held = false;
        let [before, earlier] = self.past;
        if before && !is_speech && add(sub(self.mean_energy, energy), 410) < 0 && energy > FLOOR {
            (is_speech, is_held) = (true, true);
        }
        if !self.may_extend {
            self.may_extend = true;
        } else if earlier && before && !is_speech && sub(self.previous_energy, energy).saturating_abs() <= MARGIN {
            self.extended += 1;
            (is_speech, is_held) = (true, true);
            if self.extended > 4 {
                self.extended = 0;
                self.may_extend = false;
            }
        }
        if !is_speech {
            self.silent = self.silent.saturating_add(1);
        }
        if is_speech && self.silent > 10 && sub(energy, self.previous_energy) <= MARGIN {
            is_speech = false;
            self.silent = 0;
        }
        if is_speech {
            self.silent = 0;
        }
        let is_low = sub(energy, MARGIN) < self.mean_energy;
        is_speech && !(is_low && self.frame > MINIMUM_FRAMES && !is_held && reflection < 19_661)
    }

    /// Lets the means follow the noise.   Clause B.3.7.
    fn update(&mut self, features: &Features, reflection: i16, distortion: i16) {
        if sub(features.energy, MARGIN) < self.mean_energy && reflection < 24_576 && distortion < 83 {
            self.updates = self.updates.saturating_add(1);
            let pace = PACES.iter().find(|(limit, _)| self.updates < *limit).unwrap_or(&PACES[PACES.len() - 1]);
            let [energy, crossings, spectrum] = pace.1;
            let follow = |mean: &mut i16, value: i16, (old, new): (i16, i16)| {
                *mean = extract_h(l_mac(l_mult(old, *mean), new, value));
            };
            follow(&mut self.mean_energy, features.energy, energy);
            follow(&mut self.mean_low_energy, features.low_energy, energy);
            follow(&mut self.mean_zero_crossings, features.zero_crossings, crossings);
            for (mean, &lsf) in self.mean_lsf.iter_mut().zip(&features.lsf) {
                follow(mean, lsf, spectrum);
            }
        }
        let least = self.minima.least;
        let is_below = self.mean_energy < least && distortion < 83;
        if self.frame > MINIMUM_FRAMES && (is_below || sub(self.mean_energy, least) > 2_048) {
            self.mean_energy = least;
            self.updates = 0;
        }
    }
}

/// The least energy of the last 128 frames, by groups of eight.
#[derive(Debug, Clone)]
struct Minima {
    buffer: [i16; 16],
    previous: i16,
    next: i16,
    least: i16,
}

impl Minima {
    fn observe(&mut self, frame: i16, energy: i16) {
        let ends_group = frame % 8 == 0;
        if frame <= MINIMUM_FRAMES {
            if energy < self.least {
                self.least = energy;
                self.previous = energy;
            }
            if ends_group {
                // Frames 8 to 128.
                self.buffer[usize::from((frame >> 3).cast_unsigned() - 1) & 15] = self.least;
                self.least = i16::MAX;
            }
        }
        if ends_group {
            self.previous = self.least_of_buffer();
        }
        if frame > MINIMUM_FRAMES {
            if frame % 8 == 1 {
                self.least = self.previous;
                self.next = i16::MAX;
            }
            self.least = self.least.min(energy);
            self.next = self.next.min(energy);
            if ends_group {
                self.buffer.rotate_left(1);
                self.buffer[15] = self.next;
                self.previous = self.least_of_buffer();
            }
        }
    }

    fn least_of_buffer(&self) -> i16 {
        self.buffer.iter().fold(i16::MAX, |least, &energy| least.min(energy))
    }
}

/// log10 of an energy, Q11. `exponent`: of the autocorrelation.
fn level(energy: i32, exponent: i16) -> i16 {
    let (whole, fraction) = log2(energy);
    let level = Dpf { hi: whole, lo: fraction }.mpy_32_16(9_864);
    sub(extract_h(l_shl(l_mac(level, 9_864, exponent - 2), 11)), 4_875)
}

/// The level below 1 kHz.
fn low_band_level(r: &Autocorrelation) -> i16 {
    let sum = r.r.iter().zip(&LBF_CORR).skip(1).fold(0, |sum, (r, &weight)| l_mac(sum, r.hi, weight));
    level(l_mac(l_shl(sum, 1), r.r[0].hi, LBF_CORR[0]), r.exponent)
}

/// Changes of sign in 10 ms, as a share of 80 in Q15.
fn zero_crossings(speech: &[i16; L_WINDOW]) -> i16 {
    speech[120..=200]
        .windows(2)
        .filter(|pair| i32::from(pair[0]) * i32::from(pair[1]) < 0)
        .fold(0, |crossings, _| add(crossings, 410))
}
