//! What is in audio: speech, silence, or a signal that was clipped.
//!
//! Owns levels and counts of frames. One pass over a frame, additions and comparisons only.

/// Mean square of a sine at 0 dBm0, of 16-bit samples: full scale is +3.14 dBm0 (G.711).
const MEAN_SQUARE_0_DBM0: f64 = 32_767.0 * 32_767.0 / 2.0 / 2.060_6;

/// Below this a frame is silence: -50 dBm0, where speech is 20 dB and more above it.
const SILENCE_DBM0: f64 = -50.0;

/// A sample as loud is at the end of both laws of G.711, whose greatest values are 32,124 and 32,256.
const CLIPPED: u16 = 32_000;

/// Samples at the end that make a clipped frame: fewer are a peak.
const CLIPPED_SAMPLES: u32 = 3;

/// Listens to a stream, frame by frame.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meter {
    frames: u64,
    clipped: u64,
    active: Level,
    quiet: Level,
}

#[derive(Debug, Clone, Copy, Default)]
struct Level {
    frames: u64,
    /// Of the frames' mean squares.
    sum: f64,
}

/// What was heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoundFigures {
    /// Frames that were listened to; of which length is the caller's.
    pub frames: u64,
    /// Frames with samples at the end of the scale.
    pub clipped_frames: u64,
    /// Frames of silence.
    pub silent_frames: u64,
    /// Mean level of what was not silence, in dBm0.
    pub signal_dbm0: Option<f64>,
    /// Mean level of the silence, in dBm0.
    pub noise_dbm0: Option<f64>,
}

impl Meter {
    /// Listens to one frame of mono PCM at any rate.
    pub fn hear(&mut self, pcm: &[i16]) {
        let Ok(samples) = u32::try_from(pcm.len()) else { return };
        if samples == 0 {
            return;
        }
        // No square is above 2^30 and no frame above 2^32 samples, so that nothing wraps; checks would keep this from
        // being done many samples at a time.
        let (mut sum, mut loud) = (0_u64, 0_u32);
        for sample in pcm {
            let size = u32::from(sample.unsigned_abs());
            sum = sum.wrapping_add(u64::from(size.wrapping_mul(size)));
            loud = loud.wrapping_add(u32::from(size >= u32::from(CLIPPED)));
        }
        #[expect(clippy::cast_precision_loss, reason = "a level needs no more")]
        let mean_square = sum as f64 / f64::from(samples);
        self.frames += 1;
        self.clipped += u64::from(loud >= CLIPPED_SAMPLES);
        let level = if mean_square < silence() { &mut self.quiet } else { &mut self.active };
        level.frames += 1;
        level.sum += mean_square;
    }

    /// What was heard so far; None if nothing was.
    #[must_use]
    pub fn figures(&self) -> Option<SoundFigures> {
        (self.frames > 0).then(|| SoundFigures {
            frames: self.frames,
            clipped_frames: self.clipped,
            silent_frames: self.quiet.frames,
            signal_dbm0: self.active.dbm0(),
            noise_dbm0: self.quiet.dbm0(),
        })
    }

    /// What both heard, one after the other.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            frames: self.frames + later.frames,
            clipped: self.clipped + later.clipped,
            active: self.active.then(later.active),
            quiet: self.quiet.then(later.quiet),
        }
    }
}

impl SoundFigures {
    /// Whether nothing but silence was heard: the sign of a muted or broken microphone.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        self.silent_frames == self.frames
    }

    /// Whether more than one frame in a hundred was clipped.
    #[must_use]
    pub const fn is_clipped(&self) -> bool {
        self.clipped_frames * 100 > self.frames
    }
}

impl Level {
    fn dbm0(self) -> Option<f64> {
        if self.frames == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a level needs no more")]
        let mean = self.sum / self.frames as f64;
        // Digital silence has no level; a quantum in a second does.
        Some((10.0 * (mean.max(1e-3) / MEAN_SQUARE_0_DBM0).log10()).max(-127.0))
    }

    fn then(self, later: Self) -> Self {
        Self { frames: self.frames + later.frames, sum: self.sum + later.sum }
    }
}

fn silence() -> f64 {
    MEAN_SQUARE_0_DBM0 * 10.0_f64.powf(SILENCE_DBM0 / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of 20 ms with a tone of 400 Hz of this amplitude, cut off at the end of the scale.
    fn tone(amplitude: f64) -> Vec<i16> {
        let sample = |number: u32| amplitude * (f64::from(number) * std::f64::consts::TAU / 20.0).sin();
        #[expect(clippy::cast_possible_truncation, reason = "clamped before")]
        (0..160).map(|number| sample(number).clamp(-32_124.0, 32_124.0) as i16).collect()
    }

    fn heard(frames: &[(usize, f64)]) -> SoundFigures {
        let mut meter = Meter::default();
        for &(count, amplitude) in frames {
            (0..count).for_each(|_| meter.hear(&tone(amplitude)));
        }
        meter.figures().unwrap()
    }

    #[test]
    fn a_full_scale_sine_is_3_14_dbm0_and_half_of_it_6_db_less() {
        let full = heard(&[(10, 32_000.0)]).signal_dbm0.unwrap();
        let half = heard(&[(10, 16_000.0)]).signal_dbm0.unwrap();
        assert!((full - 2.93).abs() < 0.02, "{full}");
        assert!((full - half - 6.02).abs() < 0.02, "{half}");
    }

    #[test]
    fn silence_and_speech_have_a_level_each() {
        let figures = heard(&[(50, 5_000.0), (150, 20.0)]);
        assert_eq!((figures.frames, figures.silent_frames), (200, 150));
        assert!((figures.signal_dbm0.unwrap() + 13.2).abs() < 0.2, "{figures:?}");
        assert!((figures.noise_dbm0.unwrap() + 61.2).abs() < 0.3, "{figures:?}");
        assert!(!figures.is_silent() && !figures.is_clipped());
    }

    #[test]
    fn a_dead_microphone_is_silent() {
        let figures = heard(&[(100, 0.0)]);
        assert!(figures.is_silent());
        assert_eq!(figures.signal_dbm0, None);
    }

    #[test]
    fn an_overdriven_signal_is_clipped_and_a_loud_one_is_not() {
        assert!(heard(&[(100, 60_000.0)]).is_clipped());
        assert!(!heard(&[(100, 31_000.0)]).is_clipped());
    }

    #[test]
    fn nothing_heard_says_nothing() {
        assert_eq!(Meter::default().figures(), None);
    }
}
