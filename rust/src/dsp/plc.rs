//! Packet loss concealment for 8 kHz speech by repeating pitch periods. ITU-T G.711 Appendix I.
//!
//! Owns the history of one decoded stream and what is heard in place of its lost frames: the last pitch period over and
//! over, from the second 10 ms on the last two and then three, fading from there to silence at 60 ms. Joints are
//! overlap-added; the one at the start of a loss lies in the past, so everything comes out [`DELAY_SAMPLES`] late.

/// Rate that the lengths below are made for.
pub const SAMPLE_RATE_HZ: u32 = 8_000;

/// Samples of one call of [`Concealer::conceal`]: 10 ms.
pub const FRAME_SAMPLES: usize = 80;

/// How much later than they go in samples come out: 3.75 ms.
pub const DELAY_SAMPLES: usize = PITCH_MAX / 4;

/// Pitch periods looked for: 200 Hz to 66 Hz.
const PITCH_MIN: usize = 40;
const PITCH_MAX: usize = 120;

/// Three longest periods and the quarter period before them.
const HISTORY_SAMPLES: usize = 3 * PITCH_MAX + DELAY_SAMPLES;

/// Samples that are correlated to find the pitch: 20 ms.
const CORRELATION_SAMPLES: usize = 160;

/// Energy below which the correlation is not scaled up any more.
const LEAST_ENERGY: f64 = 250.0;

/// What each further lost frame adds to the overlap with the first good one: 4 ms.
const END_OVERLAP_SAMPLES: usize = 32;

/// Frames after which nothing is left to hear.
const AUDIBLE_FRAMES: usize = 6;

/// Share of the amplitude lost in each frame after the first.
const FADE: f64 = 0.2;

/// One stream's concealment.
#[derive(Debug, Clone)]
pub struct Concealer {
    /// The newest samples, concealed ones among them; the last [`DELAY_SAMPLES`] have not come out yet.
    history: [i16; HISTORY_SAMPLES],
    /// What the periods are taken from: the history when the loss began, its end smoothed into its beginning.
    source: [f64; HISTORY_SAMPLES],
    /// The end of the source as it was before any smoothing.
    tail: [f64; DELAY_SAMPLES],
    pitch: usize,
    /// Samples at the end of `source` that are repeated: one to three periods.
    span: usize,
    /// Where in them the next sample comes from.
    offset: usize,
    /// Frames concealed since the last good one.
    lost_frames: usize,
}

impl Default for Concealer {
    fn default() -> Self {
        Self::new()
    }
}

impl Concealer {
    /// A concealer with silence behind it.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            history: [0; HISTORY_SAMPLES],
            source: [0.0; HISTORY_SAMPLES],
            tail: [0.0; DELAY_SAMPLES],
            pitch: PITCH_MIN,
            span: PITCH_MIN,
            offset: 0,
            lost_frames: 0,
        }
    }

    /// Takes good samples, any number of them, and replaces them with what is to be heard now: the same
    /// [`DELAY_SAMPLES`] later, blended with the concealment if there was one.
    pub fn receive(&mut self, pcm: &mut [i16]) {
        if self.lost_frames > 0 {
            self.blend(pcm);
            self.lost_frames = 0;
        }
        self.delay(pcm);
    }

    /// Writes what is to be heard in place of one lost frame.
    pub fn conceal(&mut self, frame: &mut [i16; FRAME_SAMPLES]) {
        match self.lost_frames {
            0 => {
                self.begin();
                self.repeat(frame);
            }
            1 | 2 => {
                self.widen(frame);
                self.fade(frame);
            }
            3..AUDIBLE_FRAMES => {
                self.repeat(frame);
                self.fade(frame);
            }
            _ => frame.fill(0),
        }
        self.lost_frames = self.lost_frames.saturating_add(1);
        self.delay(frame);
    }

    /// Whether the present loss has lasted so long that only silence is left.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        self.lost_frames > AUDIBLE_FRAMES
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Length of the joint between two periods.
    const fn overlap(&self) -> usize {
        self.pitch / 4
    }

    /// Finds the pitch and makes the newest period fit to follow itself.
    fn begin(&mut self) {
        for (to, &from) in self.source.iter_mut().zip(&self.history) {
            *to = f64::from(from);
        }
        self.pitch = find_pitch(&self.source);
        let overlap = self.overlap();
        self.tail[..overlap].copy_from_slice(&self.source[HISTORY_SAMPLES - overlap..]);
        self.span = self.pitch;
        self.offset = 0;
        self.smooth();
        // The joint lies in samples that have not come out yet; this is what the delay is for.
        for (to, &from) in
            self.history[HISTORY_SAMPLES - overlap..].iter_mut().zip(&self.source[HISTORY_SAMPLES - overlap..])
        {
            *to = truncate(from);
        }
    }

    /// Blends the end of the source into what precedes the repeated span, so that the span can follow itself.
    fn smooth(&mut self) {
        let overlap = self.overlap();
        let ahead = HISTORY_SAMPLES - self.span - overlap;
        for place in 0..overlap {
            let weight = ramp(place, overlap);
            self.source[HISTORY_SAMPLES - overlap + place] =
                (1.0 - weight) * self.tail[place] + weight * self.source[ahead + place];
        }
    }

    /// Goes over to one more period: less of a buzz than one period for long.
    fn widen(&mut self, frame: &mut [i16; FRAME_SAMPLES]) {
        let overlap = self.overlap();
        let begin = self.offset;
        let mut old = [0; DELAY_SAMPLES];
        self.repeat(&mut old[..overlap]);
        self.offset = begin;
        while self.offset > self.pitch {
            self.offset -= self.pitch;
        }
        self.span += self.pitch;
        self.smooth();
        self.repeat(frame);
        for (place, (new, old)) in frame.iter_mut().zip(&old[..overlap]).enumerate() {
            let weight = ramp(place, overlap);
            *new = truncate((1.0 - weight) * f64::from(*old) + weight * f64::from(*new));
        }
    }

    /// Copies the next samples out of the repeated span.
    fn repeat(&mut self, pcm: &mut [i16]) {
        let span = &self.source[HISTORY_SAMPLES - self.span..];
        for sample in pcm {
            if self.offset >= span.len() {
                self.offset = 0;
            }
            *sample = truncate(span[self.offset]);
            self.offset += 1;
        }
        if self.offset >= span.len() {
            self.offset = 0;
        }
    }

    /// Amplitude at the start of the frame that follows `lost_frames` lost ones.
    fn gain(&self) -> f64 {
        let frames = u32::try_from(self.lost_frames.saturating_sub(1)).unwrap_or(u32::MAX);
        (1.0 - f64::from(frames) * FADE).max(0.0)
    }

    fn fade(&self, frame: &mut [i16; FRAME_SAMPLES]) {
        let mut gain = self.gain();
        for sample in frame {
            *sample = truncate(f64::from(*sample) * gain);
            gain = (gain - FADE / 80.0).max(0.0);
        }
    }

    /// Overlap-adds the beginning of good samples with the concealment going on beneath them.
    fn blend(&mut self, pcm: &mut [i16]) {
        let overlap = (self.overlap() + (self.lost_frames - 1) * END_OVERLAP_SAMPLES).min(FRAME_SAMPLES).min(pcm.len());
        let gain = self.gain();
        let mut made_up = [0; FRAME_SAMPLES];
        self.repeat(&mut made_up[..overlap]);
        for (place, (good, made_up)) in pcm.iter_mut().zip(&made_up[..overlap]).enumerate() {
            let weight = ramp(place, overlap);
            *good = truncate((1.0 - weight) * gain * f64::from(*made_up) + weight * f64::from(*good));
        }
    }

    /// Appends samples to the history and replaces them with those that are due.
    fn delay(&mut self, pcm: &mut [i16]) {
        for block in pcm.chunks_mut(HISTORY_SAMPLES - DELAY_SAMPLES) {
            let kept = HISTORY_SAMPLES - block.len();
            self.history.copy_within(block.len().., 0);
            self.history[kept..].copy_from_slice(block);
            block.copy_from_slice(&self.history[kept - DELAY_SAMPLES..HISTORY_SAMPLES - DELAY_SAMPLES]);
        }
    }
}

/// Weight of the incoming side at one place of an overlap: a line that ends at 1.
fn ramp(place: usize, overlap: usize) -> f64 {
    let line = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    line(place + 1) / line(overlap.max(1))
}

/// Towards zero, as the Recommendation rounds; saturates.
#[expect(clippy::cast_possible_truncation, reason = "a float-to-int cast saturates, which is what a sample should do")]
fn truncate(value: f64) -> i16 {
    value as i16
}

/// The distance at which the newest 20 ms resemble the past most: first every other sample and distance, then all of them
/// around the best.
fn find_pitch(source: &[f64; HISTORY_SAMPLES]) -> usize {
    let coarse = best_pitch(source, PITCH_MIN..=PITCH_MAX, 2);
    best_pitch(source, (coarse - 1).max(PITCH_MIN)..=(coarse + 1).min(PITCH_MAX), 1)
}

/// Longest first, so that of two equally good periods the shorter one wins in the coarse search (`stride` 2) and the
/// longer one in the fine search, as the Recommendation has it.
fn best_pitch(source: &[f64; HISTORY_SAMPLES], range: std::ops::RangeInclusive<usize>, stride: usize) -> usize {
    let newest = &source[HISTORY_SAMPLES - CORRELATION_SAMPLES..];
    let mut best = (f64::NEG_INFINITY, *range.end());
    for pitch in range.rev().step_by(stride) {
        let past = &source[HISTORY_SAMPLES - CORRELATION_SAMPLES - pitch..HISTORY_SAMPLES - pitch];
        let (mut energy, mut correlation) = (0.0, 0.0);
        for (now, then) in newest.iter().zip(past).step_by(stride) {
            energy += then * then;
            correlation += then * now;
        }
        let score = correlation / f64::max(energy, LEAST_ENERGY).sqrt();
        if score > best.0 || (stride > 1 && score >= best.0) {
            best = (score, pitch);
        }
    }
    best.1
}

#[cfg(test)]
mod tests;
