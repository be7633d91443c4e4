//! How a figure is taken and told.

use std::time::Instant;

/// Seconds that `work` took.
pub(crate) fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// The least of what the repetitions took: that of the one which nobody else on the machine has disturbed.
pub(crate) fn fastest(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Times of stretches of sound that is gone through several times: of each stretch the least one counts, since others on
/// the machine disturb some of them every time.
#[derive(Default)]
pub(crate) struct Stretches {
    least: Vec<f64>,
}

impl Stretches {
    /// Seconds that a stretch, the first one being 0, took this time.
    pub(crate) fn note(&mut self, place: usize, seconds: f64) {
        if place >= self.least.len() {
            self.least.resize(place + 1, f64::INFINITY);
        }
        self.least[place] = self.least[place].min(seconds);
    }

    /// Microseconds a packet, if a stretch has so many.
    pub(crate) fn us(&self, packets: usize) -> f64 {
        self.least.iter().sum::<f64>() * 1e6 / float(self.least.len() * packets)
    }
}

/// `count` as a divisor.
pub(crate) fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

/// A line of the bench's output, its columns divided by tabs: what was done, by whom, and what came out.
#[expect(clippy::print_stdout, reason = "a bench tells what it has measured")]
pub(crate) fn tell(part: &str, work: &str, subject: &str, value: f64) {
    println!("{part}\t{work}\t{subject}\t{value:.4}");
}
