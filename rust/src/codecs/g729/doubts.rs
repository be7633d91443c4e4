//! A bound on frames that no encoder vouches for. Not of the Recommendation, whose sequences it leaves as they are.
//!
//! Owns what is doubtful: noise, since a description may ask for any level; the first frame of speech behind it, if the noise
//! is what it is made of; and whatever comes close behind a frame that was too loud. Must not know of packets.

use super::L_FRAME;
use super::bitstream::Frame;
use crate::dsp::ceiling::Ceiling;

/// The greatest sample before the output filter doubles it.
const OVERLOAD: i16 = 16_383;

/// 12 dB below overload, as a share of its power: a voice that loud has no bound.
const LOUD: f64 = 1.0 / 15.849;

/// Frames that are doubtful from one on that was too loud.
const DOUBTFUL_FRAMES: u8 = 50;

#[derive(Debug, Clone)]
pub(super) struct Doubts {
    ceiling: Ceiling,
    /// Frames to come that are doubtful.
    doubtful_frames: u8,
}

impl Doubts {
    pub(super) fn new() -> Self {
        Self { ceiling: Ceiling::new(OVERLOAD, LOUD), doubtful_frames: 0 }
    }

    /// Whether a frame was too loud lately.
    #[cfg(test)]
    pub(super) fn is_any(&self) -> bool {
        self.doubtful_frames > 0
    }

    /// Takes what a frame was decoded to, and says by what that is to be multiplied. `is_noise`: made of a description, or
    /// of such noise.
    pub(super) fn judge(&mut self, frame: Frame, is_noise: bool, pcm: &[i16; L_FRAME]) -> Option<f64> {
        if let Frame::Speech(_) = frame {
            self.doubtful_frames = self.doubtful_frames.saturating_sub(1);
        }
        if is_noise || self.doubtful_frames > 0 {
            let gain = self.ceiling.gain(pcm);
            if gain.is_some() {
                self.doubtful_frames = DOUBTFUL_FRAMES;
            }
            return gain;
        }
        if frame != Frame::Lost {
            self.ceiling.believe(pcm);
        }
        None
    }
}
