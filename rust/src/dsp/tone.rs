//! Sine tones by level in dBm0, with cadence; DTMF pairs.
//!
//! Owns the oscillator and the DTMF frequency table. ITU-T G.711 (level of full scale), Q.23 and Q.24 (DTMF).

use std::f64::consts::TAU;

/// Level of a sine wave that just fills 16-bit PCM, in dBm0: between A-law's +3.14 and mu-law's +3.17 (ITU-T G.711).
#[expect(clippy::approx_constant, reason = "it is a level, not pi")]
pub const FULL_SCALE_DBM0: f64 = 3.14;

/// Most simultaneous sine waves of one tone.
pub const MAX_FREQUENCIES: usize = 4;

/// Most phases of a cadence: four times sound and silence.
pub const MAX_CADENCE: usize = 8;

/// Level of each of the two waves of a DTMF digit, in dBm0 (Q.24: far above any detector's floor, no clipping).
pub const DTMF_LEVEL_DBM0: f64 = -10.0;

/// Lower frequency of the keys of each row, top first, in Hz (Q.23).
pub const DTMF_ROWS_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];

/// Upper frequency of the keys of each column, left first, in Hz (Q.23).
pub const DTMF_COLUMNS_HZ: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

/// The keys row by row.
pub const DTMF_KEYS: [u8; 16] = *b"123A456B789C*0#D";

/// Peak amplitude, in 16-bit steps, of a sine wave of this level.
#[must_use]
pub fn amplitude(level_dbm0: f64) -> f64 {
    32_767.0 * 10_f64.powf((level_dbm0 - FULL_SCALE_DBM0) / 20.0)
}

/// Row and column frequency of a DTMF digit (`0`-`9`, `*`, `#`, `A`-`D`), in Hz; None for any other character.
#[must_use]
pub fn dtmf_frequencies(digit: char) -> Option<[f64; 2]> {
    let key = u8::try_from(digit.to_ascii_uppercase()).ok()?;
    let place = DTMF_KEYS.iter().position(|&known| known == key)?;
    Some([DTMF_ROWS_HZ[place / 4], DTMF_COLUMNS_HZ[place % 4]])
}

/// One sine wave as a rotating unit vector: two multiplications a sample and no drift worth correcting more than once
/// a block.
#[derive(Debug, Clone, Copy, Default)]
struct Wave {
    sine: f64,
    cosine: f64,
    step_sine: f64,
    step_cosine: f64,
}

impl Wave {
    fn new(frequency_hz: f64, sample_rate_hz: u32) -> Self {
        let (step_sine, step_cosine) = (TAU * frequency_hz / f64::from(sample_rate_hz)).sin_cos();
        Self { sine: 0.0, cosine: 1.0, step_sine, step_cosine }
    }

    fn advance(&mut self) -> f64 {
        let now = self.sine;
        self.sine = now * self.step_cosine + self.cosine * self.step_sine;
        self.cosine = self.cosine * self.step_cosine - now * self.step_sine;
        now
    }

    /// Undoes the rounding that would let the vector grow or shrink.
    fn normalise(&mut self) {
        let scale = self.sine.hypot(self.cosine).recip();
        self.sine *= scale;
        self.cosine *= scale;
    }
}

/// One to four sine waves of equal level, continuous or with an on/off cadence, phase-continuous across calls.
#[derive(Debug, Clone)]
pub struct Oscillator {
    waves: [Wave; MAX_FREQUENCIES],
    used: usize,
    amplitude: f64,
    /// Samples of sound and silence in turn.
    cadence: [u64; MAX_CADENCE],
    phases: usize,
    /// Which of them, and how much of it is over.
    phase: usize,
    position: u64,
}

impl Oscillator {
    /// A continuous tone. `level_dbm0` is that of each wave; frequencies past [`MAX_FREQUENCIES`] are left out.
    #[must_use]
    pub fn new(frequencies_hz: &[f64], level_dbm0: f64, sample_rate_hz: u32) -> Self {
        let mut waves = [Wave::default(); MAX_FREQUENCIES];
        let mut used = 0;
        for (wave, &frequency_hz) in waves.iter_mut().zip(frequencies_hz) {
            *wave = Wave::new(frequency_hz, sample_rate_hz);
            used += 1;
        }
        let amplitude = amplitude(level_dbm0);
        Self { waves, used, amplitude, cadence: [0; MAX_CADENCE], phases: 0, phase: 0, position: 0 }
    }

    /// The two waves of a DTMF digit, or None if it is none.
    #[must_use]
    pub fn dtmf(digit: char, sample_rate_hz: u32) -> Option<Self> {
        dtmf_frequencies(digit).map(|pair| Self::new(&pair, DTMF_LEVEL_DBM0, sample_rate_hz))
    }

    /// Sounds and rests in turn for so many samples each, over and over. None: continuous. Phases past
    /// [`MAX_CADENCE`] are left out.
    #[must_use]
    pub fn with_cadence(mut self, samples: impl IntoIterator<Item = u64>) -> Self {
        for (phase, samples) in self.cadence.iter_mut().zip(samples) {
            *phase = samples;
            self.phases += 1;
        }
        self
    }

    /// Writes the next `pcm.len()` samples.
    pub fn fill(&mut self, pcm: &mut [i16]) {
        for sample in &mut *pcm {
            let sum: f64 = self.waves[..self.used].iter_mut().map(Wave::advance).sum();
            *sample = if self.phase.is_multiple_of(2) { super::to_i16(sum * self.amplitude) } else { 0 };
            self.position += 1;
            if self.phases > 0 && self.position >= self.cadence[self.phase] {
                self.position = 0;
                self.phase = (self.phase + 1) % self.phases;
            }
        }
        self.waves[..self.used].iter_mut().for_each(Wave::normalise);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::testing::{level_dbm0, tone_level_dbm0};

    #[test]
    fn makes_a_tone_of_the_level_and_frequency_asked_for() {
        for rate_hz in [8_000, 16_000, 48_000] {
            for level in [0.0, -10.0, -30.0] {
                let mut pcm = vec![0; rate_hz as usize];
                Oscillator::new(&[440.0], level, rate_hz).fill(&mut pcm);
                assert!((tone_level_dbm0(&pcm, 440.0, rate_hz) - level).abs() < 0.01);
                assert!((level_dbm0(&pcm) - level).abs() < 0.01);
            }
        }
    }

    #[test]
    fn fills_16_bits_at_the_overload_level_of_g711() {
        let mut pcm = vec![0; 8_000];
        Oscillator::new(&[100.0], FULL_SCALE_DBM0, 8_000).fill(&mut pcm);
        assert!(pcm.iter().all(|&sample| (-32_767..=32_767).contains(&sample)));
        assert!(pcm.iter().any(|&sample| sample > 32_700));
    }

    #[test]
    fn is_phase_continuous_however_it_is_asked_for() {
        let (mut whole, mut pieces) = (vec![0; 960], vec![0; 960]);
        Oscillator::new(&[441.0, 350.0], -13.0, 8_000).fill(&mut whole);
        let mut oscillator = Oscillator::new(&[441.0, 350.0], -13.0, 8_000);
        pieces.chunks_mut(37).for_each(|piece| oscillator.fill(piece));
        assert!(whole.iter().zip(&pieces).all(|(a, b)| (a - b).abs() <= 1));
    }

    #[test]
    fn keeps_its_level_for_an_hour() {
        let mut oscillator = Oscillator::new(&[425.0], -10.0, 8_000);
        let mut pcm = [0; 8_000];
        (0..3_600).for_each(|_| oscillator.fill(&mut pcm));
        assert!((tone_level_dbm0(&pcm, 425.0, 8_000) - -10.0).abs() < 0.01);
    }

    #[test]
    fn rests_and_sounds_by_its_cadence() {
        let mut pcm = vec![0; 8_000];
        Oscillator::new(&[400.0], -10.0, 8_000).with_cadence([1_600, 2_400]).fill(&mut pcm);
        for (range, sounds) in [(0..1_600, true), (1_600..4_000, false), (4_000..5_600, true), (5_600..8_000, false)] {
            assert_eq!(level_dbm0(&pcm[range.clone()]) > -11.0, sounds, "{range:?}");
        }
    }

    #[test]
    fn rings_twice_and_rests_as_in_britain() {
        let mut pcm = vec![0; 24_000];
        Oscillator::new(&[400.0, 450.0], -16.0, 8_000).with_cadence([3_200, 1_600, 3_200, 16_000]).fill(&mut pcm);
        let sounds = |ms: usize| level_dbm0(&pcm[ms * 8..][..400]) > -20.0;
        assert_eq!(
            [0, 350, 400, 550, 600, 950, 1_000, 2_900].map(sounds),
            [true, true, false, false, true, true, false, false]
        );
    }

    #[test]
    fn makes_the_two_frequencies_of_each_dtmf_digit() {
        for (digit, row, column) in [
            ('1', 697.0, 1_209.0),
            ('5', 770.0, 1_336.0),
            ('#', 941.0, 1_477.0),
            ('*', 941.0, 1_209.0),
            ('d', 941.0, 1_633.0),
        ] {
            let mut pcm = vec![0; 8_000];
            Oscillator::dtmf(digit, 8_000).unwrap().fill(&mut pcm);
            for frequency_hz in [row, column] {
                let level = tone_level_dbm0(&pcm, frequency_hz, 8_000);
                assert!((level - DTMF_LEVEL_DBM0).abs() < 0.1, "{digit}: {level} dBm0 at {frequency_hz} Hz");
            }
        }
        assert!(Oscillator::dtmf('x', 8_000).is_none());
        assert!(Oscillator::dtmf('☎', 8_000).is_none());
    }
}
