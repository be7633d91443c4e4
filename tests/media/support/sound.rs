//! Tones, and how to tell what is in the audio that arrived.

use trunkline_media::codecs::{Decoder, Encoded, Encoder, EncoderSettings};
use trunkline_media::dsp::tone::{FULL_SCALE_DBM0, Oscillator};
use trunkline_media::pipeline::Format;

/// What the far side speaks or hears: one codec with its history.
pub(crate) struct Speaker {
    oscillator: Oscillator,
    encoder: Box<dyn Encoder>,
    samples: usize,
}

impl Speaker {
    /// A tone at -10 dBm0 in frames of 20 ms.
    pub(crate) fn new(format: Format, frequency_hz: f64) -> Self {
        let sample_rate_hz = format.codec.native_sample_rate_hz();
        let settings = EncoderSettings { sample_rate_hz, ..EncoderSettings::default() };
        Self {
            oscillator: Oscillator::new(&[frequency_hz], -10.0, sample_rate_hz),
            encoder: format.codec.encoder(&settings).unwrap(),
            samples: usize::try_from(sample_rate_hz / 50).unwrap(),
        }
    }

    pub(crate) fn payload(&mut self) -> Vec<u8> {
        let mut pcm = vec![0; self.samples];
        self.oscillator.fill(&mut pcm);
        let mut payload = vec![0; 1_920];
        match self.encoder.encode(&pcm, &mut payload).unwrap() {
            Encoded::Payload(len) => payload.truncate(len),
            Encoded::Silence => payload.clear(),
        }
        payload
    }
}

/// Decoded audio of one codec.
pub(crate) struct Listener {
    decoder: Box<dyn Decoder>,
    pub(crate) heard: Heard,
}

/// Mono PCM.
#[derive(Default, Clone)]
pub(crate) struct Heard {
    pub(crate) samples: Vec<i16>,
    pub(crate) rate_hz: u32,
}

impl Listener {
    pub(crate) fn new(format: Format) -> Self {
        let rate_hz = format.codec.native_sample_rate_hz();
        let decoder = format.codec.decoder(rate_hz).unwrap();
        Self { decoder, heard: Heard { samples: Vec::new(), rate_hz } }
    }

    pub(crate) fn hear(&mut self, payload: &[u8]) {
        let mut pcm = vec![0; 5_760];
        let count = self.decoder.decode(payload, &mut pcm).unwrap();
        self.heard.samples.extend(&pcm[..count]);
    }
}

impl Heard {
    /// The audio after its first `ms` milliseconds.
    pub(crate) fn after_ms(&self, ms: u32) -> Self {
        let start = usize::try_from(ms * self.rate_hz / 1_000).unwrap().min(self.samples.len());
        Self { samples: self.samples[start..].to_vec(), rate_hz: self.rate_hz }
    }

    pub(crate) fn seconds(&self) -> f64 {
        count(self.samples.len()) / f64::from(self.rate_hz)
    }

    /// Level in dBm0.
    pub(crate) fn level_dbm0(&self) -> f64 {
        10.0 * (self.power().max(1e-9) / (32_767.0_f64.powi(2) / 2.0)).log10() + FULL_SCALE_DBM0
    }

    /// Share of all power that lies at one frequency (Goertzel over windows of 50 ms).
    pub(crate) fn share_of(&self, frequency_hz: f64) -> f64 {
        let window = usize::try_from(self.rate_hz / 20).unwrap();
        let turn = 2.0 * std::f64::consts::PI * frequency_hz / f64::from(self.rate_hz);
        let mut tone = 0.0;
        let mut total = 0.0;
        for chunk in self.samples.chunks_exact(window) {
            let (mut one, mut two) = (0.0, 0.0);
            for sample in chunk {
                let zero = f64::from(*sample) + 2.0 * turn.cos() * one - two;
                (two, one) = (one, zero);
            }
            let power = one * one + two * two - 2.0 * turn.cos() * one * two;
            tone += 2.0 * power / count(window);
            total += chunk.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
        }
        if total == 0.0 { 0.0 } else { tone / total }
    }

    /// Fails unless this is one tone of this frequency, near this level, and as long as it should be.
    #[track_caller]
    pub(crate) fn assert_tone(&self, frequency_hz: f64, level_dbm0: f64, seconds: f64) {
        assert!(self.seconds() >= seconds, "only {:.2} s heard", self.seconds());
        let (share, level) = (self.share_of(frequency_hz), self.level_dbm0());
        assert!(share > 0.9, "{frequency_hz} Hz has only {share:.2} of the power");
        assert!((level - level_dbm0).abs() < 2.0, "level is {level:.1} dBm0");
    }

    fn power(&self) -> f64 {
        let sum: f64 = self.samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        sum / count(self.samples.len()).max(1.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of samples are small")]
fn count(number: usize) -> f64 {
    number as f64
}
