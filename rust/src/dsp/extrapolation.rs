//! What a signal would have gone on like: its last pitch periods over and over, fading to silence within 60 ms.
//!
//! Concealment for decoders of any sample rate that have none of their own. Unlike [`plc`](super::plc) it delays nothing:
//! a joint is made in the samples behind it. The step between the end of a period and its beginning is faded over a
//! quarter of the period, and good samples are faded in over 10 ms.

use std::ops::RangeInclusive;

/// Periods looked for: 400 Hz to 66 Hz.
const SHORTEST_US: usize = 2_500;
const LONGEST_US: usize = 15_000;

/// What is compared with the past to find the period.
const COMPARED_US: usize = 20_000;

/// What is kept: three of the longest periods.
const HISTORY_US: usize = 3 * LONGEST_US;

/// Concealment at full level, and when nothing is left of it.
const STEADY_US: usize = 10_000;
const SILENT_US: usize = 60_000;

/// Over what good samples are faded in.
const JOINT_US: usize = 10_000;

/// Samples of what is kept, thinned out to less than 16 kHz, and one more.
const MOST_THINNED: usize = HISTORY_US / 1_000 * 16 + 1;

/// Sums that run side by side.
const LANES: usize = 8;

/// Energy below which a likeness is not scaled up any more.
const LEAST_ENERGY: f32 = 250.0;

/// One stream's past, and how it would go on. Allocates when it is made and never again.
#[derive(Debug, Clone)]
pub struct Extrapolator {
    per_ms: usize,
    /// The newest samples, extrapolated ones among them.
    history: Box<[i16]>,
    /// The same when the loss began.
    source: Box<[i16]>,
    period: usize,
    /// Samples at the end of `source` that are repeated, one to three periods, and where in them the next one is.
    span: usize,
    offset: usize,
    /// What the present repetition is off at its beginning.
    step: f32,
    last: f32,
    /// Samples extrapolated since the last good one.
    lost: usize,
}

impl Extrapolator {
    /// With silence behind it. `sample_rate_hz`: from 8,000 on.
    #[must_use]
    pub fn new(sample_rate_hz: u32) -> Self {
        let per_ms = usize::try_from(sample_rate_hz / 1_000).unwrap_or(8).max(8);
        let silence = vec![0; HISTORY_US / 1_000 * per_ms + 1].into_boxed_slice();
        let source = silence.clone();
        Self { per_ms, history: silence, source, period: 1, span: 1, offset: 0, step: 0.0, last: 0.0, lost: 0 }
    }

    /// Takes good samples. If some were lost before them, their beginning is blended with what was made up.
    pub fn receive(&mut self, pcm: &mut [i16]) {
        if self.lost > 0 {
            let joint = self.samples(JOINT_US).min(pcm.len());
            for (place, good) in pcm[..joint].iter_mut().enumerate() {
                let made_up = self.next();
                let weight = float(place + 1) / float(joint + 1);
                *good = round(made_up * (1.0 - weight) + f32::from(*good) * weight);
            }
            self.lost = 0;
        }
        self.remember(pcm);
    }

    /// Fills the whole of `pcm` with what is to be heard in place of lost samples.
    pub fn conceal(&mut self, pcm: &mut [i16]) {
        if self.lost == 0 {
            self.begin();
        }
        for sample in &mut *pcm {
            *sample = round(self.next());
        }
        self.remember(pcm);
    }

    /// The newest samples heard.
    #[must_use]
    pub fn history(&self) -> &[i16] {
        &self.history
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.history.fill(0);
        self.lost = 0;
    }

    fn samples(&self, us: usize) -> usize {
        us * self.per_ms / 1_000
    }

    fn begin(&mut self) {
        self.source.copy_from_slice(&self.history);
        self.period = self.find_period();
        self.last = f32::from(self.source.last().copied().unwrap_or(0));
        self.span = self.period;
        self.repeat();
    }

    /// Goes back to the beginning of the span.
    fn repeat(&mut self) {
        self.offset = 0;
        let before = self.source.len() - self.span - 1;
        self.step = self.last - f32::from(self.source[before]);
    }

    /// The next sample, at its level.
    fn next(&mut self) -> f32 {
        if self.offset >= self.span {
            // Longer spans buzz less.
            let periods = (1 + self.lost / self.samples(STEADY_US)).min(3);
            self.span = periods * self.period;
            self.repeat();
        }
        let fade = (self.period / 4).max(1);
        let left = float(fade.saturating_sub(self.offset)) / float(fade + 1);
        let sample = f32::from(self.source[self.source.len() - self.span + self.offset]) + self.step * left;
        self.last = sample;
        self.offset += 1;
        self.lost += 1;
        let (steady, silent) = (self.samples(STEADY_US), self.samples(SILENT_US));
        sample * float(silent.saturating_sub(self.lost.max(steady))) / float(silent - steady)
    }

    fn remember(&mut self, pcm: &[i16]) {
        let length = self.history.len();
        let newest = &pcm[pcm.len().saturating_sub(length)..];
        self.history.copy_within(newest.len().., 0);
        self.history[length - newest.len()..].copy_from_slice(newest);
    }

    /// The distance at which the newest samples resemble the past most: at about 8 kHz first, then at every sample
    /// around the best.
    fn find_period(&self) -> usize {
        let stride = (self.per_ms / 8).max(1);
        let (shortest, longest) = (self.samples(SHORTEST_US), self.samples(LONGEST_US));
        let compared = self.samples(COMPARED_US);
        let mut room = [0.0; MOST_THINNED];
        let count = self.source.len().div_ceil(stride).min(MOST_THINNED);
        let thinned = &mut room[MOST_THINNED - count..];
        for (to, &from) in thinned.iter_mut().rev().zip(self.source.iter().rev().step_by(stride)) {
            *to = f32::from(from);
        }
        let coarse = stride * most_alike(thinned, compared / stride, shortest.div_ceil(stride)..=longest / stride);
        if stride == 1 {
            return coarse;
        }
        let near = coarse.saturating_sub(stride - 1).max(shortest)..=(coarse + stride - 1).min(longest);
        let begin = self.source.len() - compared;
        let likeness = |period: usize| {
            let mut sums = Sums::default();
            let pieces = self.source[begin..].as_chunks::<LANES>().0.iter();
            for (now, then) in pieces.zip(self.source[begin - period..].as_chunks::<LANES>().0) {
                sums.add(&now.map(f32::from), &then.map(f32::from));
            }
            sums.likeness()
        };
        best(near, likeness)
    }
}

/// The period after which the newest samples, so many of them, are most like those before.
fn most_alike(samples: &[f32], compared: usize, periods: RangeInclusive<usize>) -> usize {
    let begin = samples.len().saturating_sub(compared);
    let newest = samples[begin..].as_chunks::<LANES>().0;
    best(periods, |period| {
        let mut sums = Sums::default();
        for (now, then) in newest.iter().zip(samples[begin.saturating_sub(period)..].as_chunks::<LANES>().0) {
            sums.add(now, then);
        }
        sums.likeness()
    })
}

/// The period of the highest likeness.
fn best(periods: RangeInclusive<usize>, likeness: impl Fn(usize) -> f32) -> usize {
    let best = periods.map(|period| (likeness(period), period)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(1, |(_, period)| period)
}

/// Sums that run side by side, which keeps the processor busy.
#[derive(Default)]
struct Sums {
    products: [f32; LANES],
    energies: [f32; LANES],
}

impl Sums {
    #[inline]
    fn add(&mut self, now: &[f32; LANES], then: &[f32; LANES]) {
        for (sum, (now, then)) in self.products.iter_mut().zip(now.iter().zip(then)) {
            *sum += now * then;
        }
        for (sum, then) in self.energies.iter_mut().zip(then) {
            *sum += then * then;
        }
    }

    fn likeness(&self) -> f32 {
        self.products.iter().sum::<f32>() / self.energies.iter().sum::<f32>().max(LEAST_ENERGY).sqrt()
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of samples are far below 2^24")]
fn float(number: usize) -> f32 {
    number as f32
}

#[expect(clippy::cast_possible_truncation, reason = "a float-to-int cast saturates, which is what a sample should do")]
fn round(value: f32) -> i16 {
    value.round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::testing::{largest_step, level_dbm0, tone_level_dbm0};
    use crate::dsp::tone::Oscillator;

    fn tone(frequency_hz: f64, rate_hz: u32, ms: usize) -> Vec<i16> {
        let mut pcm = vec![0; usize::try_from(rate_hz / 1_000).unwrap() * ms];
        Oscillator::new(&[frequency_hz], -10.0, rate_hz).fill(&mut pcm);
        pcm
    }

    #[test]
    fn a_tone_goes_on_through_a_loss_without_a_click() {
        for (rate_hz, frequency_hz) in [(8_000, 150.0), (16_000, 440.0), (16_000, 1_100.0), (48_000, 300.0)] {
            let whole = tone(frequency_hz, rate_hz, 200);
            let per_ms = whole.len() / 200;
            let mut heard = whole.clone();
            let mut extrapolator = Extrapolator::new(rate_hz);
            for (number, packet) in heard.chunks_mut(10 * per_ms).enumerate() {
                if number == 10 { extrapolator.conceal(packet) } else { extrapolator.receive(packet) }
            }
            assert!(largest_step(&heard) <= largest_step(&whole) * 5 / 4, "{rate_hz} {frequency_hz}");
            let lost = &heard[100 * per_ms..110 * per_ms];
            assert!((level_dbm0(lost) + 10.0).abs() < 1.0, "{rate_hz} {frequency_hz}: {} dBm0", level_dbm0(lost));
            let behind = tone_level_dbm0(&heard[120 * per_ms..], frequency_hz, rate_hz);
            assert!((behind + 10.0).abs() < 0.1, "{behind} dBm0");
        }
    }

    #[test]
    fn fades_to_silence_within_60_ms_and_stays_there() {
        let mut extrapolator = Extrapolator::new(16_000);
        extrapolator.receive(&mut tone(440.0, 16_000, 100));
        let mut pcm = vec![0; 16 * 80];
        pcm.chunks_mut(320).for_each(|piece| extrapolator.conceal(piece));
        let levels: Vec<f64> = pcm.chunks(160).map(level_dbm0).collect();
        assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 0.1), "{levels:?}");
        assert!(pcm[16 * 60..].iter().all(|sample| *sample == 0));
    }

    #[test]
    fn makes_nothing_up_of_nothing_and_is_never_louder_than_what_was_heard() {
        let mut extrapolator = Extrapolator::new(16_000);
        let mut pcm = [1; 320];
        extrapolator.conceal(&mut pcm);
        assert_eq!(pcm, [0; 320]);
        let mut noise = vec![0; 3_200];
        let mut generator = crate::dsp::cn::Generator::new(7);
        generator.set(&crate::dsp::cn::Description::parse(&[10]).unwrap());
        (0..10).for_each(|_| generator.fill(&mut noise));
        let level = level_dbm0(&noise);
        extrapolator.receive(&mut noise);
        extrapolator.conceal(&mut pcm);
        assert!(level_dbm0(&pcm) < level + 2.0, "{} of {level} dBm0", level_dbm0(&pcm));
    }
}
