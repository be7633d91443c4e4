//! Noise as a description: its level, and the reflection coefficients of its spectrum.   RFC 3389 section 3.

use super::{Description, MIDDLE, QUIETEST, STEP};
use crate::dsp::approximate;

/// Reflection coefficients that are sent: enough for the slope and two peaks of a background.
pub(super) const ORDER: usize = 8;

/// What is left of earlier frames with each new one: the noise of about the last 200 ms is described.
const MEMORY: f64 = 0.9;

/// Keeps the recursion from perfect predictors: white noise 40 dB below.
const FLOOR: f64 = 1.000_1;

/// Listens to noise, frame by frame.
#[derive(Debug, Clone, Default)]
pub struct Describer {
    /// Autocorrelation of a sample with itself and the next ones, faded.
    correlation: [f64; ORDER + 1],
    /// Samples that it is the sum of, faded likewise.
    samples: f64,
}

impl Describer {
    /// Takes a frame: 10 to 60 ms.
    pub fn hear(&mut self, pcm: &[i16]) {
        self.samples = self.samples * MEMORY + f64::from(u32::try_from(pcm.len()).unwrap_or(u32::MAX));
        for (lag, sum) in self.correlation.iter_mut().enumerate() {
            let product: i64 =
                pcm.iter().zip(pcm.get(lag..).unwrap_or_default()).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum();
            *sum = *sum * MEMORY + approximate(product);
        }
    }

    /// What was heard of late; silence before the first frame.
    #[must_use]
    pub fn describe(&self) -> Description {
        let [power, ..] = self.correlation;
        let below_overload_db = -10.0 * (power / self.samples.max(1.0) / 32_767.0_f64.powi(2)).log10();
        let mut description = Description::white(nearest(below_overload_db, QUIETEST));
        for (index, k) in description.indices.iter_mut().zip(self.reflection()) {
            *index = nearest(k / STEP + f64::from(MIDDLE), u8::MAX - 1);
        }
        description
    }

    /// Forgets the noise: another one begins.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Levinson and Durbin's recursion.
    fn reflection(&self) -> [f64; ORDER] {
        let mut reflection = [0.0; ORDER];
        let mut predictor = [0.0; ORDER + 1];
        let mut rest = self.correlation[0] * FLOOR;
        for order in 1..=ORDER {
            if rest <= f64::EPSILON {
                break;
            }
            let known = (1..order).map(|tap| predictor[tap] * self.correlation[order - tap]).sum::<f64>();
            let k = (-(self.correlation[order] + known) / rest).clamp(-0.99, 0.99);
            let before = predictor;
            for tap in 1..order {
                predictor[tap] = before[tap] + k * before[order - tap];
            }
            predictor[order] = k;
            reflection[order - 1] = k;
            rest *= 1.0 - k * k;
        }
        reflection
    }
}

/// The nearest whole number from 0 to `most`; `most` for what is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float-to-int cast saturates")]
fn nearest(value: f64, most: u8) -> u8 {
    if value.is_nan() { most } else { (value.round() as u8).min(most) }
}
