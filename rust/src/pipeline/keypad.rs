//! DTMF digits as tones in the audio, for a far side that negotiated no telephone-events.   ITU-T Q.23, Q.24.

use std::collections::VecDeque;

use crate::dsp::tone::Oscillator;
use crate::dtmf::{Digit, DtmfError, QUEUE_DIGITS};

/// Shortest tone that every detector hears (Q.24 says 40 ms; detectors in the field want more).
const LEAST_TONE_MS: u32 = 60;

/// Silence after a digit whose key came up on the other leg.
const RELEASE_GAP_MS: u32 = 40;

/// A queue of digits being sounded one after the other. Allocates at construction only.
#[derive(Debug)]
pub(super) struct Keypad {
    sample_rate_hz: u32,
    queue: VecDeque<Order>,
    sounding: Option<Sounding>,
}

#[derive(Debug, Clone, Copy)]
struct Order {
    digit: Digit,
    /// None: until released.
    tone_samples: Option<u64>,
    gap_samples: u64,
}

#[derive(Debug)]
struct Sounding {
    order: Order,
    oscillator: Oscillator,
    position: u64,
}

impl Keypad {
    /// A keypad that is silent.
    pub(super) fn new(sample_rate_hz: u32) -> Self {
        Self { sample_rate_hz, queue: VecDeque::with_capacity(QUEUE_DIGITS), sounding: None }
    }

    /// Queues one digit. Fails with `QueueFull`.
    pub(super) fn push(&mut self, digit: Digit, tone_ms: u32, gap_ms: u32) -> Result<(), DtmfError> {
        let tone_samples = Some(self.samples(tone_ms));
        self.enqueue(Order { digit, tone_samples, gap_samples: self.samples(gap_ms) })
    }

    /// Queues one digit that sounds until [`release`](Self::release). Fails with `QueueFull`.
    pub(super) fn press(&mut self, digit: Digit) -> Result<(), DtmfError> {
        self.enqueue(Order { digit, tone_samples: None, gap_samples: self.samples(RELEASE_GAP_MS) })
    }

    /// The oldest pressed key came up after `duration_ms`.
    pub(super) fn release(&mut self, duration_ms: u32) {
        let tone_samples = self.samples(duration_ms.max(LEAST_TONE_MS));
        let sounding = self.sounding.as_mut().map(|sounding| &mut sounding.order);
        let mut orders = sounding.into_iter().chain(self.queue.iter_mut());
        if let Some(order) = orders.find(|order| order.tone_samples.is_none()) {
            order.tone_samples = Some(tone_samples);
        }
    }

    /// Whether a digit or its gap is sounding or waits.
    pub(super) fn is_active(&self) -> bool {
        self.sounding.is_some() || !self.queue.is_empty()
    }

    /// Fills the whole of `pcm` with tones and the silence between and behind them.
    pub(super) fn fill(&mut self, pcm: &mut [i16]) {
        for sample in pcm.iter_mut() {
            *sample = self.next_sample();
        }
        self.retire();
    }

    fn next_sample(&mut self) -> i16 {
        self.retire();
        if self.sounding.is_none() {
            let Some(order) = self.queue.pop_front() else { return 0 };
            // Every digit has its pair of frequencies.
            let Some(oscillator) = Oscillator::dtmf(order.digit.as_char(), self.sample_rate_hz) else { return 0 };
            self.sounding = Some(Sounding { order, oscillator, position: 0 });
        }
        let Some(sounding) = &mut self.sounding else { return 0 };
        let is_tone = sounding.order.tone_samples.is_none_or(|samples| sounding.position < samples);
        sounding.position += 1;
        let mut sample = [0];
        if is_tone {
            sounding.oscillator.fill(&mut sample);
        }
        sample[0]
    }

    /// Lets go of a digit that is over.
    fn retire(&mut self) {
        let is_over = self.sounding.as_ref().is_some_and(|sounding| {
            let order = sounding.order;
            order.tone_samples.is_some_and(|samples| sounding.position >= samples + order.gap_samples)
        });
        if is_over {
            self.sounding = None;
        }
    }

    fn enqueue(&mut self, order: Order) -> Result<(), DtmfError> {
        if self.queue.len() >= QUEUE_DIGITS {
            return Err(DtmfError::QueueFull);
        }
        self.queue.push_back(order);
        Ok(())
    }

    fn samples(&self, ms: u32) -> u64 {
        u64::from(ms) * u64::from(self.sample_rate_hz) / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digit(character: char) -> Digit {
        Digit::from_char(character).unwrap()
    }

    /// How many frames of 20 ms sound before the keypad is idle.
    fn sounding_frames(keypad: &mut Keypad) -> usize {
        let mut frames = 0;
        let mut pcm = [0; 160];
        while keypad.is_active() {
            keypad.fill(&mut pcm);
            frames += usize::from(pcm.iter().any(|sample| sample.abs() > 1_000));
        }
        frames
    }

    #[test]
    fn a_pressed_key_sounds_until_it_is_released() {
        let mut keypad = Keypad::new(8_000);
        keypad.press(digit('5')).unwrap();
        let mut pcm = [0; 160];
        for _ in 0..50 {
            keypad.fill(&mut pcm);
            assert!(pcm.iter().any(|sample| sample.abs() > 1_000));
        }
        keypad.release(200);
        assert_eq!(sounding_frames(&mut keypad), 0, "it has sounded longer than 200 ms already");
    }

    #[test]
    fn a_short_press_sounds_long_enough_to_be_heard() {
        let mut keypad = Keypad::new(8_000);
        keypad.press(digit('#')).unwrap();
        keypad.release(5);
        assert_eq!(sounding_frames(&mut keypad), 3);
    }

    #[test]
    fn refuses_more_digits_than_it_queues() {
        let mut keypad = Keypad::new(8_000);
        let taken = (0..=QUEUE_DIGITS).filter(|_| keypad.push(digit('1'), 100, 100).is_ok()).count();
        assert_eq!(taken, QUEUE_DIGITS);
    }
}
