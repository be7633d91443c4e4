//! What can be played into a leg: tones, DTMF digits and audio files, as PCM at any sample rate.
//!
//! Owns the source's position. Must not read files: a [`Clip`] is made elsewhere, off the worker threads.

use std::sync::Arc;

use crate::codecs::MAX_PACKET_MS;
use crate::dsp::resample::Resampler;
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

/// Recorded mono audio at the two rates that encoders mostly run at.
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
    Clip(Box<ClipState>),
}

/// Where in a clip its player is.
#[derive(Debug)]
struct ClipState {
    position: usize,
    /// For encoders that run at another rate than the clip was kept at, with room for what goes in.
    resampler: Option<(Resampler, Box<[i16]>)>,
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
            Source::Clip { clip, .. } => State::Clip(Box::new(ClipState::new(clip, sample_rate_hz))),
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
            (State::Clip(state), Source::Clip { clip, is_looped }) => {
                state.fill(clip.at_rate(self.sample_rate_hz).0, *is_looped, pcm)
            }
            (State::Digits { .. } | State::Clip(_), _) => false,
        }
    }
}

impl Clip {
    /// The samples that suit an output rate, and theirs.
    fn at_rate(&self, sample_rate_hz: u32) -> (&[i16], u32) {
        match &self.wide {
            Some(wide) if sample_rate_hz > 8_000 => (wide, 16_000),
            _ => (&self.narrow, 8_000),
        }
    }
}

impl ClipState {
    fn new(clip: &Clip, sample_rate_hz: u32) -> Self {
        let (_, own_hz) = clip.at_rate(sample_rate_hz);
        let longest = usize::try_from(own_hz * MAX_PACKET_MS / 1_000).unwrap_or(0);
        let resampler = Resampler::new(own_hz, sample_rate_hz).ok().filter(|_| own_hz != sample_rate_hz);
        Self { position: 0, resampler: resampler.map(|resampler| (resampler, vec![0; longest].into_boxed_slice())) }
    }

    /// Fills the whole of `pcm`, at most [`MAX_PACKET_MS`]. Returns whether there is more to come.
    fn fill(&mut self, samples: &[i16], is_looped: bool, pcm: &mut [i16]) -> bool {
        let Some((resampler, room)) = &mut self.resampler else {
            copy(samples, is_looped, &mut self.position, pcm);
            return is_looped || self.position < samples.len();
        };
        let length = resampler.input_samples(pcm.len()).min(room.len());
        copy(samples, is_looped, &mut self.position, &mut room[..length]);
        resampler.process(&room[..length], pcm);
        is_looped || self.position < samples.len() + resampler.delay_samples()
    }
}

/// Copies what comes next at `position`, and silence behind the end.
fn copy(samples: &[i16], is_looped: bool, position: &mut usize, pcm: &mut [i16]) {
    for sample in pcm {
        if *position >= samples.len() && is_looped {
            *position = 0;
        }
        *sample = samples.get(*position).copied().unwrap_or(0);
        *position = position.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::testing::tone_level_dbm0;

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
    fn a_clip_sounds_the_same_at_any_rate_of_an_encoder() {
        let mut narrow = vec![0; 8_000];
        Oscillator::new(&[1_000.0], -10.0, 8_000).fill(&mut narrow);
        let source = Source::Clip { clip: Arc::new(Clip { narrow, wide: None }), is_looped: true };
        for (rate_hz, samples) in [(8_000, 160), (16_000, 320), (32_000, 640), (44_100, 882), (48_000, 960)] {
            let mut player = Player::new(source.clone(), rate_hz);
            let mut heard = Vec::new();
            for _ in 0..20 {
                let mut pcm = vec![0; samples];
                player.fill(&mut pcm);
                heard.extend(pcm);
            }
            let level = tone_level_dbm0(&heard[heard.len() / 2..], 1_000.0, rate_hz);
            assert!((level + 10.0).abs() < 0.1, "{level} dBm0 at {rate_hz} Hz");
        }
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
