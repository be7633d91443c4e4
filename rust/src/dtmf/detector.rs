//! From audio to digits: DTMF tones within 16-bit PCM, told from speech, music and noise.
//!
//! Owns one stream's detector. It takes samples in pieces of any length, judges every 5 ms, and says which key went down
//! and how long it was held; nothing allocates after construction. Must not know packets or clocks: time is counted in
//! samples. ITU-T Q.23 (frequencies), Q.24 table A.1 (what a receiver must take and must refuse).
//!
//! Each block of 5 ms is correlated with the eight frequencies and with the second harmonics of the upper four
//! (Goertzel's recursion). Four blocks make a window of 20 ms, weighted 1, 2, 2, 1. A window is a *hit* if it holds one
//! wave of each group, both of them loud enough and of fitting levels, little else beside them, and if the phase of each
//! turned from one window to the next as it does on frequency: that tells 1.5 % from 3.5 %, which a window as short as
//! this could not tell by level. Five hits in a row are a digit; a stretch without hits ends it.

mod plan;

use crate::dsp::tone::DTMF_KEYS;

use super::{Digit, Received};
use plan::{BINS, BLOCKS_PER_SECOND, Complex, Plan, TONES, WEIGHTS};

/// Milliseconds of a block.
const BLOCK_MS: u32 = 5;

/// Hits in a row that are a digit: every tone of 40 ms makes them, none of 23 ms does.
const LEAST_HITS: u32 = 5;

/// Blocks without a hit that end a digit. A pause of 40 ms has more; an interruption of 10 ms, or a lost packet of 20 ms,
/// has fewer (Q.24 table A.1).
const PAUSE_BLOCKS: u32 = 6;

/// A tone of so many milliseconds more than its hits last: what the windows at its edges cannot see.
const EDGE_MS: u32 = 7;

/// More audio than this missing ends a digit (about two packets in a row).
const LONGEST_LOSS_MS: u32 = 60;

/// The column's power may be up to 4 dB above the row's and 8 dB below it (Q.24), measured with 1.5 dB to spare.
const GREATEST_TWIST: f32 = 3.55;
const LEAST_TWIST: f32 = 0.112;

/// Share of the window's power that lies in the two waves. White noise 15 dB below the digit leaves 0.97.
const PURITY: f32 = 0.72;

/// Greatest power of the column's second harmonic against the digit: -14 dB. Voices have more.
const GREATEST_HARMONIC: f32 = 0.04;

/// A window so much weaker than the digit's strongest is in its pause: -8 dB.
const PAUSE_POWER: f32 = 0.16;

/// The same in the purest window of a digit, which holds no edge of it.
const BEST_PURITY: f32 = 0.9;

/// Events of one call to [`Detector::hear`]: 120 ms of audio, the longest packet, cannot hold more.
const EVENTS: usize = 8;

/// One block, correlated with every bin from a common origin of phase.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    bins: [Complex; BINS],
    energy: f32,
}

/// A digit in one window.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Hit {
    digit: Digit,
    power: f32,
    /// Share of the window's power.
    purity: f32,
}

/// Hits of the same digit in a row.
#[derive(Debug, Clone, Copy)]
struct Run {
    digit: Digit,
    hits: u32,
    peak: f32,
    purity: f32,
    first: u64,
}

impl Run {
    fn new(hit: Hit, now: u64) -> Self {
        Self { digit: hit.digit, hits: 1, peak: hit.power, purity: hit.purity, first: now }
    }

    fn joined_by(self, hit: Hit) -> Self {
        Self { hits: self.hits + 1, peak: self.peak.max(hit.power), purity: self.purity.max(hit.purity), ..self }
    }

    fn is_digit(&self) -> bool {
        self.hits >= LEAST_HITS && self.purity >= BEST_PURITY
    }
}

/// The digit that is going on.
#[derive(Debug, Clone, Copy)]
struct Current {
    digit: Digit,
    peak: f32,
    first: u64,
    last: u64,
    misses: u32,
}

/// One stream's detector.
#[derive(Debug)]
pub struct Detector {
    plan: Plan,
    /// Goertzel's two delays, per bin.
    one: [f32; BINS],
    two: [f32; BINS],
    energy: f32,
    filled: u32,
    /// Where each bin's phase stands at the start of the present block.
    phases: [Complex; BINS],
    /// Newest first.
    blocks: [Block; WEIGHTS.len()],
    before: [Complex; TONES],
    /// Number of the present block since the start.
    now: u64,
    run: Option<Run>,
    current: Option<Current>,
    events: [Option<Received>; EVENTS],
}

impl Detector {
    /// A detector for mono PCM at `sample_rate_hz`: 8,000 to 48,000, a multiple of 200. None for any other rate.
    #[must_use]
    pub fn new(sample_rate_hz: u32) -> Option<Self> {
        let is_possible = (8_000..=48_000).contains(&sample_rate_hz) && sample_rate_hz.is_multiple_of(200);
        is_possible.then(|| Self {
            plan: Plan::new(sample_rate_hz),
            one: [0.0; BINS],
            two: [0.0; BINS],
            energy: 0.0,
            filled: 0,
            phases: [Complex { re: 1.0, im: 0.0 }; BINS],
            blocks: [Block::default(); WEIGHTS.len()],
            before: [Complex::default(); TONES],
            now: 0,
            run: None,
            current: None,
            events: [None; EVENTS],
        })
    }

    /// Takes the next samples, at most 120 ms of them. Drain [`poll_event`](Self::poll_event) after it.
    pub fn hear(&mut self, mut pcm: &[i16]) {
        while !pcm.is_empty() {
            let wanted = (self.plan.block_samples - self.filled) as usize;
            let (piece, rest) = pcm.split_at(wanted.min(pcm.len()));
            self.correlate(piece);
            pcm = rest;
            if self.filled == self.plan.block_samples {
                self.end_block();
            }
        }
    }

    /// Learns that so many samples will never come. A digit goes on across a short loss and ends at a long one.
    pub fn lose(&mut self, samples: u32) {
        let blocks = samples / self.plan.block_samples;
        if blocks.saturating_mul(BLOCK_MS) > LONGEST_LOSS_MS {
            self.finish();
            return;
        }
        for _ in 0..blocks {
            self.advance_phases();
        }
    }

    /// Ends a digit that is going on and forgets what was heard: the audio stopped, or is another's.
    pub fn finish(&mut self) {
        self.end_current();
        (self.one, self.two, self.energy, self.filled) = ([0.0; BINS], [0.0; BINS], 0.0, 0);
        self.blocks = [Block::default(); WEIGHTS.len()];
        self.before = [Complex::default(); TONES];
        self.run = None;
    }

    /// The next thing that happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Received> {
        let event = self.events[0].take();
        self.events.rotate_left(1);
        event
    }

    /// Whether a digit is going on, or the newest window looks like the beginning of one: time to keep the audio from
    /// those who would hear the digit twice.
    #[must_use]
    pub fn is_tone(&self) -> bool {
        self.current.is_some() || self.run.is_some()
    }

    /// Whether a digit is going on.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.current.is_some()
    }

    /// Goertzel's recursion over a piece of the present block.
    fn correlate(&mut self, piece: &[i16]) {
        let (mut one, mut two, mut energy) = (self.one, self.two, self.energy);
        for &sample in piece {
            let sample = f32::from(sample);
            energy += sample * sample;
            for bin in 0..BINS {
                let next = sample + self.plan.coefficients[bin] * one[bin] - two[bin];
                two[bin] = one[bin];
                one[bin] = next;
            }
        }
        (self.one, self.two, self.energy) = (one, two, energy);
        // A piece is no longer than a block.
        self.filled += u32::try_from(piece.len()).unwrap_or(0);
    }

    fn end_block(&mut self) {
        let mut bins = [Complex::default(); BINS];
        for (bin, correlation) in bins.iter_mut().enumerate() {
            let step = self.plan.steps[bin];
            let (one, two) = (self.one[bin], self.two[bin]);
            // The recursion leaves the phase at the last sample; the block's end is one sample on.
            let at_end = Complex { re: one - two * step.re, im: two * step.im }.times(step);
            let at_start = at_end.times(self.plan.turns[bin].conjugate());
            *correlation = at_start.times(self.phases[bin].conjugate());
        }
        self.blocks.rotate_right(1);
        self.blocks[0] = Block { bins, energy: self.energy };
        (self.one, self.two, self.energy, self.filled) = ([0.0; BINS], [0.0; BINS], 0.0, 0);
        self.advance_phases();
        let hit = self.judge();
        self.follow(hit);
    }

    fn advance_phases(&mut self) {
        self.now += 1;
        if self.now.is_multiple_of(u64::from(BLOCKS_PER_SECOND)) {
            // Every frequency is a whole number of turns a second: no rounding error lives longer than that.
            self.phases = [Complex { re: 1.0, im: 0.0 }; BINS];
            return;
        }
        for (phase, turn) in self.phases.iter_mut().zip(self.plan.turns) {
            *phase = phase.times(turn);
        }
    }

    /// Weighs the newest window.
    fn judge(&mut self) -> Option<Hit> {
        let mut window = Block::default();
        for (block, weight) in self.blocks.iter().zip(WEIGHTS) {
            for (sum, bin) in window.bins.iter_mut().zip(block.bins) {
                sum.re += weight * bin.re;
                sum.im += weight * bin.im;
            }
            window.energy += weight * block.energy;
        }
        let mut before = [Complex::default(); TONES];
        before.copy_from_slice(&window.bins[..TONES]);
        std::mem::swap(&mut before, &mut self.before);

        let (row, column) = (loudest(&window.bins, 0), loudest(&window.bins, 4));
        let low = self.plan.wave_power(row, window.bins[row], before[row])?;
        let high = self.plan.wave_power(column, window.bins[column], before[column])?;
        let harmonic = self.plan.power(window.bins[column + 4]);
        let power = low + high;
        let purity = power / self.plan.mean_power(window.energy);
        let is_digit = (LEAST_TWIST..=GREATEST_TWIST).contains(&(high / low))
            && harmonic <= GREATEST_HARMONIC * power
            && purity >= PURITY;
        let key = DTMF_KEYS.get(row * 4 + column - 4).filter(|_| is_digit)?;
        Some(Hit { digit: Digit::from_char(char::from(*key))?, power, purity })
    }

    /// Makes digits of hits and misses.
    fn follow(&mut self, hit: Option<Hit>) {
        let hit = hit.filter(|hit| {
            let known = self.current.filter(|current| current.digit == hit.digit);
            known.is_none_or(|current| hit.power >= PAUSE_POWER * current.peak)
        });
        self.run = hit.map(|hit| match self.run.filter(|run| run.digit == hit.digit) {
            Some(run) => run.joined_by(hit),
            None => Run::new(hit, self.now),
        });
        match (self.run, &mut self.current) {
            (Some(run), Some(current)) if run.digit == current.digit => {
                (current.last, current.misses) = (self.now, 0);
                current.peak = current.peak.max(run.peak);
            }
            (Some(run), _) if run.is_digit() => {
                self.end_current();
                self.push(Received::Began { digit: run.digit, volume: self.plan.volume(run.peak) });
                self.current =
                    Some(Current { digit: run.digit, peak: run.peak, first: run.first, last: self.now, misses: 0 });
            }
            (_, Some(current)) => {
                current.misses += 1;
                if current.misses >= PAUSE_BLOCKS {
                    self.end_current();
                }
            }
            (_, None) => {}
        }
    }

    fn end_current(&mut self) {
        if let Some(current) = self.current.take() {
            let blocks = u32::try_from(current.last - current.first + 1).unwrap_or(u32::MAX);
            let duration_ms = blocks.saturating_mul(BLOCK_MS).saturating_add(EDGE_MS);
            self.push(Received::Ended { digit: current.digit, duration_ms });
        }
    }

    fn push(&mut self, event: Received) {
        if let Some(free) = self.events.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(event);
        }
    }
}

/// The strongest of the four bins from `first`.
fn loudest(bins: &[Complex; BINS], first: usize) -> usize {
    let by_power = |one: &usize, other: &usize| bins[*one].power().total_cmp(&bins[*other].power());
    (first..first + 4).max_by(by_power).unwrap_or(first)
}

#[cfg(test)]
mod tests;
