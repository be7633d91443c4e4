//! What can be played into a leg: tones, DTMF digits and audio files, as PCM at any sample rate.
//!
//! Owns the source's position. Must not read files: a [`Clip`] is made elsewhere, off the worker threads.

use std::sync::Arc;

use crate::dsp::tone::{MAX_CADENCE, MAX_FREQUENCIES, Oscillator};
use crate::dtmf::Digit;

use super::keypad::Keypad;

/// Something to play.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// One or more sine waves.
    Tone {
        /// Of each wave; at most [`MAX_FREQUENCIES`].
        frequencies_hz: Vec<f64>,
        /// Of each wave.
        level_dbm0: f64,
        /// Milliseconds of sound and silence in turn, over and over; empty: a continuous tone.
        cadence_ms: Vec<u32>,
    },
    /// Digits as tones.
    Digits {
        /// In order.
        digits: Vec<Digit>,
        /// Of each digit.
        on_ms: u32,
        /// After each digit.
        off_ms: u32,
    },
    /// Recorded audio.
    Clip {
        /// Shared by all who play it.
        clip: Arc<Clip>,
        /// Begins again at its end, for ever.
        is_looped: bool,
    },
}

impl Source {
    /// Says why this cannot be played, if it cannot.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Tone { frequencies_hz, level_dbm0, cadence_ms } => {
                let is_audible = |hz: &f64| (1.0..4_000.0).contains(hz);
                if frequencies_hz.is_empty() || frequencies_hz.len() > MAX_FREQUENCIES {
                    Some("a tone has one to four frequencies")
                } else if !frequencies_hz.iter().all(is_audible) {
                    Some("a frequency is from 1 to 4000 Hz")
                } else if cadence_ms.len() % 2 != 0 || cadence_ms.len() > MAX_CADENCE || cadence_ms.contains(&0) {
                    Some("a cadence has up to four pairs of sound and silence")
                } else if !(-90.0..=3.0).contains(level_dbm0) {
                    Some("a level is from -90 to 3 dBm0")
                } else {
                    None
                }
            }
            Self::Digits { digits, .. } if digits.is_empty() => Some("no digits"),
            Self::Clip { clip, .. } if clip.narrow.is_empty() => Some("no audio"),
            Self::Digits { .. } | Self::Clip { .. } => None,
        }
    }
}

/// Recorded mono audio at the two rates that encoders run at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    /// At 8,000 Hz.
    pub narrow: Vec<i16>,
    /// At 16,000 Hz, if the recording has anything above 4 kHz.
    pub wide: Option<Vec<i16>>,
}

impl Clip {
    /// Memory that its samples take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let samples = self.narrow.len() + self.wide.as_ref().map_or(0, Vec::len);
        samples * size_of::<i16>()
    }
}

/// Plays one source into frames of PCM.
#[derive(Debug)]
pub(super) struct Player {
    source: Source,
    sample_rate_hz: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Tone(Box<Oscillator>),
    Digits { keypad: Box<Keypad>, next: usize },
    Clip { position: usize },
}

impl Player {
    /// Plays `source`, which has no [`fault`](Source::fault), at `sample_rate_hz` from its beginning.
    pub(super) fn new(source: Source, sample_rate_hz: u32) -> Self {
        let state = match &source {
            Source::Tone { frequencies_hz, level_dbm0, cadence_ms } => {
                let samples = |ms: u32| u64::from(ms) * u64::from(sample_rate_hz) / 1_000;
                let oscillator = Oscillator::new(frequencies_hz, *level_dbm0, sample_rate_hz);
                State::Tone(Box::new(oscillator.with_cadence(cadence_ms.iter().map(|ms| samples(*ms)))))
            }
            Source::Digits { .. } => State::Digits { keypad: Box::new(Keypad::new(sample_rate_hz)), next: 0 },
            Source::Clip { .. } => State::Clip { position: 0 },
        };
        Self { source, sample_rate_hz, state }
    }

    /// The same source at this rate; from its beginning if it was at another.
    pub(super) fn at_rate(self, sample_rate_hz: u32) -> Self {
        if self.sample_rate_hz == sample_rate_hz { self } else { Self::new(self.source, sample_rate_hz) }
    }

    /// Fills the whole of `pcm`, with silence behind the end. Returns whether there is more to come.
    pub(super) fn fill(&mut self, pcm: &mut [i16]) -> bool {
        match (&mut self.state, &self.source) {
            (State::Tone(oscillator), _) => {
                oscillator.fill(pcm);
                true
            }
            (State::Digits { keypad, next }, Source::Digits { digits, on_ms, off_ms }) => {
                while let Some(digit) = digits.get(*next) {
                    if keypad.push(*digit, *on_ms, *off_ms).is_err() {
                        break;
                    }
                    *next += 1;
                }
                keypad.fill(pcm);
                keypad.is_active()
            }
            (State::Clip { position }, Source::Clip { clip, is_looped }) => {
                let (samples, step) = clip.at_rate(self.sample_rate_hz);
                play_clip(samples, step, *is_looped, position, pcm)
            }
            (State::Digits { .. } | State::Clip { .. }, _) => false,
        }
    }
}

impl Clip {
    /// Samples for an output rate, and how many output samples each of them lasts. Rates of ours are multiples of
    /// 8,000 or (12,000) come close enough only by holding samples; no encoder is run at such a rate.
    fn at_rate(&self, sample_rate_hz: u32) -> (&[i16], usize) {
        let hold = |own_rate: u32| usize::try_from(sample_rate_hz / own_rate).unwrap_or(1).max(1);
        match &self.wide {
            Some(wide) if sample_rate_hz >= 16_000 => (wide, hold(16_000)),
            _ => (&self.narrow, hold(8_000)),
        }
    }
}

fn play_clip(samples: &[i16], hold: usize, is_looped: bool, position: &mut usize, pcm: &mut [i16]) -> bool {
    let length = samples.len() * hold;
    for sample in pcm.iter_mut() {
        if *position >= length && is_looped {
            *position = 0;
        }
        *sample = samples.get(*position / hold).copied().unwrap_or(0);
        *position = (*position + 1).min(length);
    }
    is_looped || *position < length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(is_looped: bool) -> Source {
        Source::Clip { clip: Arc::new(Clip { narrow: vec![1, 2, 3], wide: None }), is_looped }
    }

    #[test]
    fn a_clip_ends_with_silence_and_says_so() {
        let mut player = Player::new(clip(false), 8_000);
        let mut pcm = [9; 2];
        assert!(player.fill(&mut pcm));
        assert_eq!(pcm, [1, 2]);
        assert!(!player.fill(&mut pcm));
        assert_eq!(pcm, [3, 0]);
    }

    #[test]
    fn a_looped_clip_has_no_end() {
        let mut player = Player::new(clip(true), 8_000);
        let mut pcm = [9; 7];
        assert!(player.fill(&mut pcm));
        assert_eq!(pcm, [1, 2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn digits_end_after_the_last_gap() {
        let digits = "12".chars().filter_map(Digit::from_char).collect();
        let mut player = Player::new(Source::Digits { digits, on_ms: 40, off_ms: 40 }, 8_000);
        let mut pcm = [0; 160];
        let mut sounding = Vec::new();
        loop {
            let has_more = player.fill(&mut pcm);
            sounding.push(pcm.iter().any(|sample| sample.abs() > 1_000));
            if !has_more {
                break;
            }
        }
        assert_eq!(sounding, [true, true, false, false, true, true, false, false]);
    }

    #[test]
    fn nonsense_is_refused() {
        let tone = |frequencies_hz: Vec<f64>| Source::Tone { frequencies_hz, level_dbm0: -10.0, cadence_ms: vec![] };
        assert_eq!(tone(vec![440.0]).fault(), None);
        for frequencies_hz in [vec![], vec![0.0], vec![f64::NAN], vec![9_000.0], vec![440.0; 5]] {
            assert!(tone(frequencies_hz).fault().is_some());
        }
        assert!(Source::Digits { digits: vec![], on_ms: 1, off_ms: 1 }.fault().is_some());
    }
}
