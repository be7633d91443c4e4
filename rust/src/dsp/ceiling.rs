//! A bound on the loudness of what nothing vouches for: packets that are none of their codec, or not of their stream, must
//! not roar.
//!
//! Owns how loud the voice has been. What is doubtful the decoders alone know. No conforming stream should ever reach the
//! bound; each user of it has to show so.

/// The level of speech, 26 dB below overload, as a share of the power of overload: allowed without having heard any.
const SPEECH: f64 = 1.0 / 398.107;

/// What the doubtful may have of the voice's loudest frame: twice its power.
const MARGIN: f64 = 2.0;

/// 9 dB below overload, as a share of its power: beside a voice that loud nothing is a burst, for most codecs.
pub const LOUD: f64 = 1.0 / 7.943;

/// A single frame is no voice: by so much, 1 dB, may one raise what is known of it.
const ATTACK: f64 = 1.259;

/// What the next frame leaves of the loudest one: 0.85 dB a second are forgotten, in frames of 10 ms.
const MEMORY: f64 = 1.0 - 1.0 / 512.0;

/// Share of the power that a prediction of white noise leaves: 1, and in 10 ms of it seldom less than this.
const WHITE: f64 = 0.7;

/// How loud one stream has been.
#[derive(Debug, Clone)]
pub struct Ceiling {
    /// Mean squares: at the level of speech, and of a voice beside which there is no bound.
    speech: f64,
    loud: f64,
    /// Mean square of the loudest frame.
    voice: f64,
}

impl Ceiling {
    /// Of a stream that has not begun. `overload`: the greatest sample; `loud`: the share of its power from which on a
    /// voice has no bound beside it.
    #[must_use]
    pub fn new(overload: i16, loud: f64) -> Self {
        let power = f64::from(overload).powi(2);
        Self { speech: power * SPEECH, loud: power * loud, voice: 0.0 }
    }

    /// Takes a frame that nothing speaks against, but that may be the first of others that are doubtful.
    pub fn trust(&mut self, pcm: &[i16]) {
        let power = power(pcm).min((self.voice * ATTACK).max(self.speech));
        self.voice = power.max(self.voice * MEMORY);
    }

    /// Takes a frame that is sound.
    pub fn believe(&mut self, pcm: &[i16]) {
        self.voice = power(pcm).max(self.voice * MEMORY);
    }

    /// By what a doubtful frame is to be multiplied; None if it is not too loud.
    #[must_use]
    pub fn gain(&self, pcm: &[i16]) -> Option<f64> {
        let (power, bound) = (power(pcm), (self.voice * MARGIN).max(self.speech));
        (power > bound && self.voice < self.loud).then(|| (bound / power).sqrt())
    }

    /// Turns a doubtful frame down, if it is too loud. Returns whether it was.
    pub fn limit(&self, pcm: &mut [i16]) -> bool {
        let gain = self.gain(pcm);
        if let Some(gain) = gain {
            for sample in pcm {
                *sample = super::to_i16(f64::from(*sample) * gain);
            }
        }
        gain.is_some()
    }
}

/// Frames, of 10 ms at most, that are doubtful from a packet on that gave itself away.
const DOUBTFUL_FRAMES: u32 = 50;

/// A ceiling for codecs whose packets can give themselves away to be of no encoder: others of that kind do not.
#[derive(Debug, Clone)]
pub struct DoubtCeiling {
    ceiling: Ceiling,
    /// Samples of 10 ms.
    frame: usize,
    /// Frames to come that are doubtful.
    doubtful_frames: u32,
}

impl DoubtCeiling {
    /// Of a stream that has not begun. `sample_rate_hz`: of the PCM.
    #[must_use]
    pub fn new(sample_rate_hz: u32) -> Self {
        Self { ceiling: Ceiling::new(i16::MAX, LOUD), frame: frame_samples(sample_rate_hz), doubtful_frames: 0 }
    }

    /// The packet to come, and those close behind it, are doubtful.
    pub fn doubt(&mut self) {
        self.doubtful_frames = DOUBTFUL_FRAMES;
    }

    /// Takes what was decoded, and turns it down where it is doubtful and too loud.
    pub fn bound(&mut self, pcm: &mut [i16]) {
        for pcm in pcm.chunks_mut(self.frame) {
            if self.doubtful_frames == 0 {
                self.ceiling.trust(pcm);
            } else {
                self.ceiling.limit(pcm);
                self.doubtful_frames -= 1;
            }
        }
    }
}

/// A ceiling for codecs that take any bytes for samples: doubtful is what is loud and white, which nobody says.
#[derive(Debug, Clone)]
pub struct WhiteCeiling {
    ceiling: Ceiling,
    /// Samples of 10 ms.
    frame: usize,
}

impl WhiteCeiling {
    /// `sample_rate_hz`: of the PCM.
    #[must_use]
    pub fn new(sample_rate_hz: u32) -> Self {
        Self { ceiling: Ceiling::new(i16::MAX, LOUD), frame: frame_samples(sample_rate_hz) }
    }

    /// Takes what was decoded, and turns it down where it is too loud to be a voice's hiss.
    pub fn bound(&mut self, pcm: &mut [i16]) {
        for pcm in pcm.chunks_mut(self.frame) {
            let power = power(pcm);
            if power <= self.ceiling.voice.max(self.ceiling.speech) || !is_white(pcm) {
                self.ceiling.voice = power.max(self.ceiling.voice * MEMORY);
            } else {
                self.ceiling.limit(pcm);
            }
        }
    }
}

/// Whether a short linear prediction leaves nearly all of the power: of a voice, of tones and of most music it leaves a
/// small part. Levinson and Durbin's recursion.
fn is_white(pcm: &[i16]) -> bool {
    const ORDER: usize = 4;
    let r: [f64; ORDER + 1] = std::array::from_fn(|lag| {
        let products = pcm.iter().zip(pcm.get(lag..).unwrap_or_default());
        super::approximate(products.map(|(&one, &other)| i64::from(one) * i64::from(other)).sum())
    });
    let mut predictor = [0.0; ORDER];
    let mut left = r[0];
    for order in 0..ORDER {
        if left <= r[0] * WHITE {
            return false;
        }
        let known: f64 = (0..order).map(|i| predictor[i] * r[order - i]).sum();
        let reflection = (r[order + 1] - known) / left;
        let before = predictor;
        predictor[order] = reflection;
        for i in 0..order {
            predictor[i] = before[i] - reflection * before[order - 1 - i];
        }
        left *= 1.0 - reflection * reflection;
    }
    left > r[0] * WHITE
}

/// Samples of 10 ms.
fn frame_samples(sample_rate_hz: u32) -> usize {
    usize::try_from(sample_rate_hz / 100).unwrap_or(1).max(1)
}

/// The mean square of samples.
#[must_use]
pub fn power(pcm: &[i16]) -> f64 {
    let energy = pcm.iter().map(|&sample| i64::from(sample) * i64::from(sample)).sum();
    super::approximate(energy) / f64::from(u32::try_from(pcm.len().max(1)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of this level, in dB below overload.
    fn frame(below_overload_db: i32) -> Vec<i16> {
        vec![super::super::to_i16(32_767.0 * 10.0_f64.powf(-f64::from(below_overload_db) / 20.0)); 160]
    }

    #[test]
    fn what_is_turned_down_has_its_shape() {
        let ceiling = Ceiling::new(32_767, LOUD);
        let (mut loud, mut faint) = (vec![20_000, -10_000, 4_000, 0], vec![900, -800, 0, 3]);
        assert!(ceiling.limit(&mut loud) && !ceiling.limit(&mut faint));
        assert!(loud[0] < 3_300 && (loud[0] + 2 * loud[1]).abs() <= 2 && loud[3] == 0, "{loud:?}");
        assert_eq!(faint, [900, -800, 0, 3]);
    }

    fn level_after(ceiling: &Ceiling, below_overload_db: i32) -> f64 {
        f64::from(-below_overload_db) + 20.0 * ceiling.gain(&frame(below_overload_db)).unwrap_or(1.0).log10()
    }

    #[test]
    fn the_doubtful_is_as_loud_as_speech_at_most_or_as_the_voice() {
        let mut ceiling = Ceiling::new(32_767, LOUD);
        assert!((level_after(&ceiling, 0) + 26.0).abs() < 0.1);
        assert!((level_after(&ceiling, 30) + 30.0).abs() < 0.1);
        (0..20).for_each(|_| ceiling.trust(&frame(13)));
        assert!((level_after(&ceiling, 0) + 10.0).abs() < 0.2, "3 dB above the voice");
        (0..1_000).for_each(|_| ceiling.trust(&frame(60)));
        assert!((level_after(&ceiling, 0) + 18.5).abs() < 0.5, "faint speech lets it forget the loud, slowly");
        ceiling.believe(&frame(8));
        assert_eq!(ceiling.gain(&frame(0)), None, "nothing is a burst beside a voice that loud");
    }

    #[test]
    fn what_is_loud_and_white_is_bounded_and_all_else_left_alone() {
        let mut state = 1_u32;
        let mut noise = |amplitude: f64| -> Vec<i16> {
            let mut sample = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let [high, low, ..] = state.to_be_bytes();
                super::super::to_i16(f64::from(i16::from_be_bytes([high, low])) * amplitude)
            };
            (0..160).map(|_| sample()).collect()
        };
        let mut ceiling = WhiteCeiling::new(8_000);
        for _ in 0..200 {
            let mut pcm = noise(1.0);
            ceiling.bound(&mut pcm);
            assert!(power(&pcm) < 1.1 * 32_767.0_f64.powi(2) * SPEECH, "random bytes");
            let (mut pcm, faint) = {
                let pcm = noise(0.05);
                (pcm.clone(), pcm)
            };
            ceiling.bound(&mut pcm);
            assert_eq!(pcm, faint, "the hiss of a voice");
        }
        for frequency_hz in [100.0, 425.0, 1_000.0, 1_900.0, 2_000.0, 2_100.0, 3_000.0, 3_400.0] {
            let mut tone = vec![0; 1_600];
            crate::dsp::tone::Oscillator::new(&[frequency_hz], 3.0, 8_000).fill(&mut tone);
            let mut pcm = tone.clone();
            WhiteCeiling::new(8_000).bound(&mut pcm);
            assert_eq!(pcm, tone, "{frequency_hz} Hz");
        }
        for pair in [[697.0, 1_209.0], [941.0, 1_633.0], [350.0, 440.0], [1_300.0, 2_700.0]] {
            let mut tone = vec![0; 1_600];
            crate::dsp::tone::Oscillator::new(&pair, 0.0, 8_000).fill(&mut tone);
            let mut pcm = tone.clone();
            WhiteCeiling::new(8_000).bound(&mut pcm);
            assert_eq!(pcm, tone, "{pair:?} Hz");
        }
    }

    #[test]
    fn what_gave_itself_away_is_doubtful_for_half_a_second_and_all_else_is_left_alone() {
        let mut ceiling = DoubtCeiling::new(16_000);
        let mut bounded = |below_overload_db| {
            let mut pcm = frame(below_overload_db);
            ceiling.bound(&mut pcm);
            pcm
        };
        assert!((0..20).all(|_| bounded(12) == frame(12)), "loud from the beginning");
        assert_eq!(bounded(0), frame(0));
        ceiling.doubt();
        let level = |pcm: &[i16]| 10.0 * (power(pcm) / 32_767.0_f64.powi(2)).log10();
        for _ in 0..25 {
            let mut pcm = [frame(0), frame(30)].concat();
            ceiling.bound(&mut pcm);
            assert!((-9.5..-7.5).contains(&level(&pcm[..160])), "{}", level(&pcm[..160]));
            assert_eq!(pcm[160..], frame(30));
        }
        let mut pcm = frame(0);
        ceiling.bound(&mut pcm);
        assert_eq!(pcm, frame(0));
    }

    #[test]
    fn one_loud_frame_does_not_make_a_voice() {
        let mut ceiling = Ceiling::new(32_767, LOUD);
        ceiling.trust(&frame(0));
        assert!(level_after(&ceiling, 0) < -22.0);
    }
}
