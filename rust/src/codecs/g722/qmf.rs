//! The quadrature mirror filters that split 16 kHz into two bands of 8 kHz and join them again (section 6.2.1.1, 6.2.2.4).

use super::band::{LIMITS, saturate};

/// Every other coefficient of the 24 (table 11), and the others, which are the same in reverse.
const COEFFICIENTS: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];

/// The past of one of the two phases, newest first.
type Line = [i16; 12];

fn push(line: &mut Line, sample: i16) {
    line.copy_within(..11, 1);
    line[0] = sample;
}

/// Sums of both phases: the newer sample's line with the coefficients, the older one's with them in reverse.
fn sums([newer, older]: &[Line; 2]) -> [i32; 2] {
    let products = |line: &Line, coefficients: [i32; 12]| -> i32 {
        line.iter().zip(coefficients).map(|(&sample, coefficient)| i32::from(sample) * coefficient).sum()
    };
    let mut reverse = COEFFICIENTS;
    reverse.reverse();
    [products(newer, COEFFICIENTS), products(older, reverse)]
}

/// From 16 kHz to two bands.
#[derive(Debug, Clone)]
pub(super) struct Analysis {
    lines: [Line; 2],
}

impl Analysis {
    pub(super) const fn new() -> Self {
        Self { lines: [[0; 12]; 2] }
    }

    /// Takes two samples in order, and returns one of the lower band and one of the upper.
    pub(super) fn split(&mut self, [first, second]: [i16; 2]) -> (i16, i16) {
        push(&mut self.lines[0], second);
        push(&mut self.lines[1], first);
        let [a, b] = sums(&self.lines);
        let limit = |sum: i32| saturate(sum >> 14).clamp(LIMITS.0, LIMITS.1);
        (limit(a + b), limit(a - b))
    }
}

/// From two bands to 16 kHz.
#[derive(Debug, Clone)]
pub(super) struct Synthesis {
    lines: [Line; 2],
}

impl Synthesis {
    pub(super) const fn new() -> Self {
        Self { lines: [[0; 12]; 2] }
    }

    /// Takes a sample of the lower band and one of the upper, and returns two in order.
    pub(super) fn join(&mut self, low: i16, high: i16) -> [i16; 2] {
        push(&mut self.lines[0], low.saturating_sub(high));
        push(&mut self.lines[1], low.saturating_add(high));
        sums(&self.lines).map(|sum| saturate(sum >> 11))
    }
}
