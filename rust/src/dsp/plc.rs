//! Packet loss concealment for 8 kHz speech by repeating pitch periods. ITU-T G.711 Appendix I.
//!
//! Owns the history of one decoded stream and what is heard in place of its lost frames: the last pitch period over and
//! over, from the second 10 ms on the last two and then three, fading from there to silence at 60 ms. Joints are
//! overlap-added; the one at the start of a loss lies in the past, so everything comes out [`DELAY_SAMPLES`] late.
//!
//! Bit-exact on the vectors of the ITU-T Software Tool Library, which were made in double precision. Their ramps are sums of
//! steps, not quotients: where a sum misses the line by its last bit, a sample is cut to the next lower number, so that the
//! ramps here are added up in the same order.

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

/// Samples that are correlated to find the pitch: 20 ms. Half of them are a multiple of eight.
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
        for (place, (old, new)) in ramp(overlap, 1.0).enumerate() {
            self.source[HISTORY_SAMPLES - overlap + place] =
                clamp(old * self.tail[place] + new * self.source[ahead + place]);
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
        for ((new, old), weights) in frame.iter_mut().zip(&old).zip(ramp(overlap, 1.0)) {
            *new = truncate(weights.0 * f64::from(*old) + weights.1 * f64::from(*new));
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
            gain -= FADE / 80.0;
        }
    }

    /// Overlap-adds the beginning of good samples with the concealment going on beneath them.
    fn blend(&mut self, pcm: &mut [i16]) {
        let overlap = (self.overlap() + (self.lost_frames - 1) * END_OVERLAP_SAMPLES).min(FRAME_SAMPLES).min(pcm.len());
        let gain = self.gain();
        let mut made_up = [0; FRAME_SAMPLES];
        self.repeat(&mut made_up[..overlap]);
        for ((good, made_up), weights) in pcm.iter_mut().zip(&made_up).zip(ramp(overlap, gain)) {
            *good = truncate(weights.0 * f64::from(*made_up) + weights.1 * f64::from(*good));
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

/// Weights of the outgoing side, which begins at nearly `gain`, and of the incoming one, which ends at 1, at each place of
/// an overlap.
fn ramp(overlap: usize, gain: f64) -> impl Iterator<Item = (f64, f64)> {
    let step = 1.0 / f64::from(u32::try_from(overlap.max(1)).unwrap_or(u32::MAX));
    let first = ((1.0 - step) * gain, step);
    std::iter::successors(Some(first), move |(old, new)| Some((old - step * gain, new + step))).take(overlap)
}

/// What a sample can be.
fn clamp(value: f64) -> f64 {
    value.clamp(f64::from(i16::MIN), f64::from(i16::MAX))
}

/// Towards zero, as the Recommendation rounds; saturates.
#[expect(clippy::cast_possible_truncation, reason = "a float-to-int cast saturates, which is what a sample should do")]
fn truncate(value: f64) -> i16 {
    value as i16
}

/// The distance at which the newest 20 ms resemble the past most: first every other sample and distance, then all of them
/// around the best. Of two equally good periods the shorter one wins in the first search and the longer one in the second,
/// as the Recommendation has it.
fn find_pitch(source: &[f64; HISTORY_SAMPLES]) -> usize {
    let mut thinned = [0.0; HISTORY_SAMPLES / 2];
    for (to, from) in thinned.iter_mut().zip(source.iter().step_by(2)) {
        *to = *from;
    }
    let scores = Scores { samples: &thinned, compared: CORRELATION_SAMPLES / 2 };
    let coarse = 2 * scores.best(PITCH_MIN / 2..=PITCH_MAX / 2, |score, best| score >= best);
    let scores = Scores { samples: source, compared: CORRELATION_SAMPLES };
    scores.best((coarse - 1).max(PITCH_MIN)..=(coarse + 1).min(PITCH_MAX), |score, best| score > best)
}

/// How much the newest samples, so many of them, resemble earlier ones.
struct Scores<'a> {
    samples: &'a [f64],
    compared: usize,
}

impl Scores<'_> {
    /// The distance whose score `wins` over that of every one behind it, longest first.
    fn best(&self, distances: std::ops::RangeInclusive<usize>, wins: fn(f64, f64) -> bool) -> usize {
        let mut best = (f64::NEG_INFINITY, *distances.end());
        for distance in distances.rev() {
            let score = self.score(distance);
            if wins(score, best.0) {
                best = (score, distance);
            }
        }
        best.1
    }

    fn score(&self, distance: usize) -> f64 {
        let begin = self.samples.len() - self.compared;
        let newest = &self.samples[begin..];
        let past = &self.samples[begin - distance..begin - distance + self.compared];
        product(newest, past) / f64::max(product(past, past), LEAST_ENERGY).sqrt()
    }
}

/// The sum of the products. Those of 16-bit samples are whole numbers far below 2^53, so their order makes no difference,
/// and several sums side by side keep the processor busy.
fn product(one: &[f64], other: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    for (one, other) in one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0) {
        for ((sum, a), b) in sums.iter_mut().zip(one).zip(other) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests;
