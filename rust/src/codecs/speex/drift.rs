//! A bound on what the library's decoder makes of its own past.
//!
//! Behind a lost frame, or where it begins amid a stream, the decoder's memory is not the encoder's. In speech that heals
//! within a syllable. In a steady tone the pitch predictor lets the difference grow without end: with libspeex 1.2.1, a tone
//! of -20 dBm0 that missed one frame is at +6 dBm0 two to four seconds later, in either band, and stays there. Such growth
//! is slow; whatever begins at once is real.

use crate::dsp::ceiling::{Ceiling, LOUD, power};

/// Frames that may drift behind a loss, or behind one that has drifted: ten seconds.
const DOUBTFUL_FRAMES: u32 = 500;

/// What begins at once has four times the power of the frame before. The drift grows by less than 1 dB a frame.
const ONSET: f64 = 4.0;

/// Frames at the beginning that show how loud the voice is: too few for a drift.
const FIRST_FRAMES: u32 = 5;

#[derive(Debug, Clone)]
pub(super) struct Drift {
    ceiling: Ceiling,
    /// Frames to come that may drift.
    doubtful_frames: u32,
    /// Frames of the beginning to come.
    first_frames: u32,
    /// Mean square of the frame before.
    before: f64,
}

impl Drift {
    /// Of a decoder that may begin anywhere in a stream.
    pub(super) fn new() -> Self {
        Self {
            ceiling: Ceiling::new(i16::MAX, LOUD),
            doubtful_frames: DOUBTFUL_FRAMES,
            first_frames: FIRST_FRAMES,
            before: 0.0,
        }
    }

    /// Takes a frame that was made up.
    pub(super) fn begin(&mut self, pcm: &mut [i16]) {
        self.ceiling.limit(pcm);
        self.before = self.before.max(power(pcm));
        self.doubtful_frames = DOUBTFUL_FRAMES;
    }

    /// Takes a decoded frame, and turns it down if it has drifted away from how loud the voice was.
    pub(super) fn bound(&mut self, pcm: &mut [i16]) {
        let power = power(pcm);
        let is_onset = power > ONSET * self.before;
        self.before = power;
        let is_first = self.first_frames > 0;
        self.first_frames = self.first_frames.saturating_sub(1);
        if self.doubtful_frames == 0 || is_first || is_onset {
            self.ceiling.believe(pcm);
        } else if self.ceiling.limit(pcm) {
            self.doubtful_frames = DOUBTFUL_FRAMES;
        }
        self.doubtful_frames = self.doubtful_frames.saturating_sub(1);
    }
}
