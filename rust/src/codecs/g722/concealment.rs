//! What is heard in place of lost packets, and how what follows them is kept in bounds.
//!
//! The output goes on by its pitch ([`Extrapolator`]) while both bands stand still. That is nearest to what their sender has
//! when the next packet comes: leading them along what was made up (Appendix III does) or starting them anew was tried,
//! and both came out worse, in speech and in tones. What they are off by shows as a level, mostly too high a one, which is
//! held back until they have found their way.

use super::SAMPLE_RATE_HZ;
use crate::dsp::ceiling::power;
use crate::dsp::extrapolation::Extrapolator;
use crate::dsp::to_i16;

/// How long a band may take to find its step size again.
const WARY_SAMPLES: usize = 40 * 16;

/// In what pieces the level is judged: 5 ms.
const PIECE: usize = 80;

/// How much stronger than all before it a piece may be: 6 dB.
const GREATEST_GROWTH: f64 = 4.0;

/// Mean square of speech so faint that it may always come: -40 dBm0.
const FAINT: f64 = 25_000.0;

/// One stream's concealment.
pub(super) struct Concealment {
    extrapolator: Extrapolator,
    /// Samples behind a loss whose level is still to be judged.
    wary: usize,
}

impl Concealment {
    pub(super) fn new() -> Self {
        Self { extrapolator: Extrapolator::new(SAMPLE_RATE_HZ), wary: 0 }
    }

    /// Takes good samples; blends their beginning with what was made up before them, if something was.
    pub(super) fn receive(&mut self, pcm: &mut [i16]) {
        if self.wary > 0 {
            self.limit(pcm);
        }
        self.extrapolator.receive(pcm);
    }

    /// Fills the whole of `pcm`.
    pub(super) fn conceal(&mut self, pcm: &mut [i16]) {
        self.extrapolator.conceal(pcm);
        self.wary = WARY_SAMPLES;
    }

    pub(super) fn reset(&mut self) {
        self.extrapolator.reset();
        self.wary = 0;
    }

    /// Turns down what is much louder than all before it.
    fn limit(&mut self, pcm: &mut [i16]) {
        let mut known = self.extrapolator.history().chunks(PIECE).map(power).fold(FAINT, f64::max);
        for piece in pcm.chunks_mut(PIECE) {
            if self.wary == 0 {
                return;
            }
            self.wary = self.wary.saturating_sub(piece.len());
            let power = power(piece);
            let allowed = known * GREATEST_GROWTH;
            if power > allowed {
                let gain = (allowed / power).sqrt();
                for sample in piece {
                    *sample = to_i16(f64::from(*sample) * gain);
                }
            }
            known = known.max(power.min(allowed));
        }
    }
}
