//! Voice activity detection: whether a frame may be left out and described as noise instead.
//!
//! Owns the floor of the background and the hangover behind speech. For codecs without a detector of their own; ITU-T G.711
//! Appendix II and RFC 3389 leave it to the sender. In doubt it is speech: whatever is loud, whatever rises from the
//! background, whatever the background is not known for yet. Music that is played belongs to nobody's background and should
//! not be asked about.

/// What is judged at a time.
const FRAME_MS: u32 = 10;

/// Frames before the background is known.
const LEARNING_FRAMES: u32 = 30;

/// What teaches nothing: silence at the beginning, of so many frames at most, and so many frames after it. A jitter buffer
/// gives silence until its first packet is due, and has a gap or two while it finds its delay; as a floor they would have the
/// background for speech until they are forgotten.
const EMPTY_FRAMES: u32 = 50;
const SETTLING_FRAMES: u32 = 15;

/// The floor is the least of so many blocks of so many frames, 1.6 s: nobody speaks for longer without a gap.
const BLOCKS: usize = 8;
const BLOCK_FRAMES: u32 = 20;

/// Share of a new frame in the level whose least is the floor: single frames of noise stray too far.
const SMOOTHING: f64 = 0.1;

/// How far above the floor speech begins: of one frame, and of two in a row. Single frames of low noise stray by 5 dB.
const MARGIN_DB: f64 = 8.0;
const LASTING_MARGIN_DB: f64 = 5.0;

/// Levels relative to a full-scale square wave. Louder is never background: quiet talkers begin here.
const CEILING_DBOV: f64 = -40.0;
/// Quieter is never speech: what quantization leaves of an idle line.
const BOTTOM_DBOV: f64 = -68.0;

/// Speech of so many frames is followed by the longer hangover, so that no faint ending is cut; anything shorter, a click
/// perhaps, by the shorter one.
const BURST_FRAMES: u32 = 3;
const LONG_HANGOVER_FRAMES: u32 = 20;
const SHORT_HANGOVER_FRAMES: u32 = 4;

/// Listens to one stream.
#[derive(Debug, Clone)]
pub struct Detector {
    frame_samples: usize,
    /// The sample before the next one.
    last: i16,
    /// Of the whole signal.
    floor: Floor,
    /// Of its differences: consonants are faint, but high.
    treble_floor: Floor,
    /// Frames that still teach nothing.
    untaught: u32,
    heard: u32,
    /// Frames of speech in a row.
    burst: u32,
    /// Frames still to be taken for speech.
    hangover: u32,
}

impl Detector {
    /// A detector that has heard nothing. `sample_rate_hz`: of the PCM.
    #[must_use]
    pub fn new(sample_rate_hz: u32) -> Self {
        Self {
            frame_samples: usize::try_from(sample_rate_hz * FRAME_MS / 1_000).unwrap_or(1).max(1),
            last: 0,
            floor: Floor::new(),
            treble_floor: Floor::new(),
            untaught: EMPTY_FRAMES + SETTLING_FRAMES,
            heard: 0,
            burst: 0,
            hangover: 0,
        }
    }

    /// Takes the next `pcm`, mono, best a multiple of 10 ms, and says whether any of it may be speech.
    pub fn is_speech(&mut self, pcm: &[i16]) -> bool {
        pcm.chunks(self.frame_samples).fold(false, |is_speech, frame| self.judge(frame) | is_speech)
    }

    fn judge(&mut self, frame: &[i16]) -> bool {
        let (mut energy, mut treble) = (0_i64, 0_i64);
        for &sample in frame {
            let difference = i64::from(sample) - i64::from(self.last);
            energy += i64::from(sample) * i64::from(sample);
            treble += difference * difference;
            self.last = sample;
        }
        let level = level_dbov(energy, frame.len());
        if self.untaught > 0 {
            let is_sound = level > BOTTOM_DBOV;
            self.untaught = if is_sound { self.untaught.min(SETTLING_FRAMES) } else { self.untaught } - 1;
            return is_sound;
        }
        let rises =
            self.floor.is_exceeded_by(level) | self.treble_floor.is_exceeded_by(level_dbov(treble, frame.len()));
        self.heard = self.heard.saturating_add(1);
        let is_active = level > CEILING_DBOV || (level > BOTTOM_DBOV && (rises || self.heard <= LEARNING_FRAMES));
        if is_active {
            self.burst = self.burst.saturating_add(1);
            let hangover = if self.burst >= BURST_FRAMES { LONG_HANGOVER_FRAMES } else { SHORT_HANGOVER_FRAMES };
            self.hangover = self.hangover.max(hangover);
            return true;
        }
        self.burst = 0;
        let is_held = self.hangover > 0;
        self.hangover = self.hangover.saturating_sub(1);
        is_held
    }
}

/// The level of what is always there.
#[derive(Debug, Clone)]
struct Floor {
    /// None before the first frame.
    smooth: Option<f64>,
    /// The least of each block, the present one first.
    least: [f64; BLOCKS],
    frames: u32,
    /// By how much the frame before was louder.
    excess: f64,
}

impl Floor {
    const fn new() -> Self {
        Self { smooth: None, least: [f64::INFINITY; BLOCKS], frames: 0, excess: 0.0 }
    }

    /// Takes the level of the next frame, and says whether that is more than background.
    fn is_exceeded_by(&mut self, level: f64) -> bool {
        let smooth = self.smooth.map_or(level, |before| before + (level - before) * SMOOTHING);
        self.smooth = Some(smooth);
        if self.frames == BLOCK_FRAMES {
            self.least.rotate_right(1);
            self.least[0] = f64::INFINITY;
            self.frames = 0;
        }
        self.frames += 1;
        self.least[0] = self.least[0].min(smooth);
        let floor = self.least.iter().copied().fold(f64::INFINITY, f64::min);
        let excess = level - floor;
        let before = std::mem::replace(&mut self.excess, excess);
        excess > MARGIN_DB || excess.min(before) > LASTING_MARGIN_DB
    }
}

/// `energy`: the sum of the squares of so many samples.
fn level_dbov(energy: i64, samples: usize) -> f64 {
    let mean = super::approximate(energy) / f64::from(u32::try_from(samples.max(1)).unwrap_or(u32::MAX));
    // An energy of 0 is -100 dBov: far below anything that is asked for.
    10.0 * (mean / 32_767.0_f64.powi(2)).max(1e-10).log10()
}

#[cfg(test)]
mod tests;
