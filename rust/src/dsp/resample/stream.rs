//! Conversion of a stream on its way, block by block.

use std::sync::Arc;

use super::design::{Design, LANES, UnknownRate};

/// Samples that are converted at a time, about: 10 ms at the highest rate.
const BLOCK_SAMPLES: usize = 480;

/// Fills the output from a history whose oldest sample is the oldest that the first output needs.
pub(super) type Way = fn(&Design, &[f32], &mut [i16]);

/// Converts one stream of mono PCM from one rate to another. Allocates when it is made and never again.
///
/// The pass band reaches to 0.45 of the lower rate; from 0.5 of it on everything is 80 dB down, so that neither a mirror
/// image nor an alias is heard. The delay is the same for every frequency.
#[derive(Debug, Clone)]
pub struct Resampler {
    design: Arc<Design>,
    /// The newest samples of the stream, as many as the filter needs behind a block, and room for the block.
    history: Box<[f32]>,
    /// Samples of the input in a block, a multiple of the filter's step.
    block: usize,
    rates_hz: (u32, u32),
    run: Way,
}

impl Resampler {
    /// A converter with silence behind it, by the processor's widest instructions.
    ///
    /// Fails with [`UnknownRate`] unless both rates are among [`RATES_HZ`](super::RATES_HZ).
    pub fn new(from_hz: u32, to_hz: u32) -> Result<Self, UnknownRate> {
        let design = Design::between(from_hz, to_hz)?;
        let block = design.step * (BLOCK_SAMPLES / design.step).max(1);
        let history = vec![0.0; design.length - 1 + block].into_boxed_slice();
        Ok(Self { design, history, block, rates_hz: (from_hz, to_hz), run: widest() })
    }

    /// Converts `input` into the whole of `output`, which lasts as long: `output.len()` is `input.len()` times the
    /// ratio of the rates, a whole number (as it is for every 10 ms). What `output` has beyond that is left alone.
    pub fn process(&mut self, input: &[i16], output: &mut [i16]) {
        let Self { design, history, block, run, .. } = self;
        let kept = design.length - 1;
        let outputs = output.chunks_mut(*block / design.step * design.phases);
        for (input, output) in input.chunks(*block).zip(outputs) {
            for (place, &sample) in history[kept..].iter_mut().zip(input) {
                *place = f32::from(sample);
            }
            run(design, history, output);
            history.copy_within(input.len()..input.len() + kept, 0);
        }
    }

    /// How many samples of the input's rate last as long as so many of the output's; rounded down.
    #[must_use]
    pub fn input_samples(&self, output: usize) -> usize {
        output * self.design.step / self.design.phases
    }

    /// How many samples of the output's rate last as long as so many of the input's; rounded down.
    #[must_use]
    pub fn output_samples(&self, input: usize) -> usize {
        input * self.design.phases / self.design.step
    }

    /// Rates of the input and of the output.
    #[must_use]
    pub fn rates_hz(&self) -> (u32, u32) {
        self.rates_hz
    }

    /// How much later the output is than the input, in samples of the input.
    #[must_use]
    pub fn delay_samples(&self) -> usize {
        self.design.delay
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.history.fill(0.0);
    }
}

/// What suits this processor.
fn widest() -> Way {
    #[cfg(target_arch = "x86_64")]
    if let Some(run) = super::x86::run() {
        return run;
    }
    portable
}

/// The filter in plain Rust.
pub(super) fn portable(design: &Design, history: &[f32], output: &mut [i16]) {
    let mut cursor = Cursor::new(design, history);
    for sample in output {
        *sample = round(product(cursor.next()));
    }
}

/// Goes from output to output.
struct Cursor<'a> {
    design: &'a Design,
    history: &'a [f32],
    oldest: usize,
    phase: usize,
    /// Whole and further steps from an output to the next.
    stride: (usize, usize),
}

impl<'a> Cursor<'a> {
    fn new(design: &'a Design, history: &'a [f32]) -> Self {
        let stride = (design.step / design.phases, design.step % design.phases);
        Self { design, history, oldest: 0, phase: 0, stride }
    }

    /// Taps of the next output, and as many samples; none behind the end of the history.
    #[inline]
    fn next(&mut self) -> (&'a [f32], &'a [f32]) {
        let taps = self.design.phase(self.phase);
        let window = self.history.get(self.oldest..self.oldest + taps.len()).unwrap_or(&[]);
        self.oldest += self.stride.0;
        self.phase += self.stride.1;
        if self.phase >= self.design.phases {
            self.phase -= self.design.phases;
            self.oldest += 1;
        }
        (taps, window)
    }
}

/// Several sums side by side fill the processor's registers; their order is that of every way to run.
fn product((taps, window): (&[f32], &[f32])) -> f32 {
    let mut sums = [0.0; LANES];
    for (taps, window) in taps.as_chunks::<LANES>().0.iter().zip(window.as_chunks::<LANES>().0) {
        for ((sum, tap), sample) in sums.iter_mut().zip(taps).zip(window) {
            *sum += tap * sample;
        }
    }
    let halves = sums.as_chunks::<4>().0.iter().map(|four| (four[0] + four[1]) + (four[2] + four[3]));
    halves.sum()
}

/// The nearest 16-bit sample; saturates.
#[expect(clippy::cast_possible_truncation, reason = "a float-to-int cast saturates, which is what a sample should do")]
fn round(value: f32) -> i16 {
    value.round_ties_even() as i16
}
