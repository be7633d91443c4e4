//! What the generator sends, and how it knows it again.

use std::f64::consts::TAU;
use std::rc::Rc;

use trunkline_media::codecs::{Codec, Decoder, Encoded, EncoderSettings};

/// Samples of 20 ms at 8 kHz.
const FRAME_SAMPLES: usize = 160;
const RATE_HZ: f64 = 8_000.0;
/// The sound repeats after so many frames, with one mark each time.
const CYCLE_FRAMES: usize = 50;
const MARK_FRAMES: usize = 2;
const MARK_HZ: f64 = 1_000.0;
const MARK_LEVEL: f64 = 20_000.0;
/// What is louder is the mark: the voice stays below half of it.
const HEARD_LEVEL: u16 = 10_000;
const VOICE_HZ: f64 = 125.0;
const VOICE_LEVEL: f64 = 1_200.0;
const SYLLABLES_HZ: f64 = 4.0;
const STAMPED_BYTES: usize = 160;

/// The payloads of one stream, made before the clock starts, and the ear for what comes back.
pub(crate) struct Sound {
    payloads: Rc<[Vec<u8>]>,
    pub(crate) pt: u8,
    pub(crate) timestamp_step: u32,
    ear: Option<Ear>,
}

/// What the two sides of a call say.
pub(crate) struct Sounds {
    pub(crate) a: Sound,
    pub(crate) b: Sound,
}

/// Hears where a mark begins.
struct Ear {
    codec: Codec,
    decoder: Box<dyn Decoder>,
    is_in_mark: bool,
}

impl Ear {
    fn new(codec: Codec) -> Self {
        Self { decoder: codec.decoder(8_000).unwrap(), codec, is_in_mark: false }
    }
}

/// For another leg: the same payloads, an ear of its own.
impl Clone for Sound {
    fn clone(&self) -> Self {
        let ear = self.ear.as_ref().map(|ear| Ear::new(ear.codec));
        Self { payloads: Rc::clone(&self.payloads), pt: self.pt, timestamp_step: self.timestamp_step, ear }
    }
}

impl Sound {
    /// PCMU by name, of which the first eight bytes are for a stamp, for a relay that does not touch payloads.
    pub(crate) fn stamped() -> Self {
        Self { payloads: Rc::new([vec![0xd5; STAMPED_BYTES]]), pt: 0, timestamp_step: 160, ear: None }
    }

    /// Opus out, Opus back: leg A of a transcoded call.
    pub(crate) fn opus() -> Self {
        Self::spoken(Codec::new("opus", 48_000, 2, []).unwrap(), 111, 960)
    }

    /// PCMU out, PCMU back: leg B of a transcoded call.
    pub(crate) fn pcmu() -> Self {
        Self::spoken(Codec::new("PCMU", 8_000, 1, []).unwrap(), 0, 160)
    }

    /// PCMA out, PCMA back: leg A of a call that is transcoded between the two laws.
    pub(crate) fn pcma() -> Self {
        Self::spoken(Codec::new("PCMA", 8_000, 1, []).unwrap(), 8, 160)
    }

    /// G.729 out, G.729 back: leg A of a transcoded call.
    pub(crate) fn g729() -> Self {
        Self::spoken(Codec::new("G729", 8_000, 1, [("annexb", "no")]).unwrap(), 18, 160)
    }

    fn spoken(codec: Codec, pt: u8, timestamp_step: u32) -> Self {
        let mut encoder = codec.encoder(&EncoderSettings::default()).unwrap();
        let mut payload_of = |frame: usize| {
            let mut payload = [0; 1_460];
            match encoder.encode(&frame_of_cycle(frame), &mut payload).unwrap() {
                Encoded::Payload(bytes) => payload[..bytes].to_vec(),
                Encoded::Silence => panic!("DTX is off by default"),
            }
        };
        // The first round only warms the encoder up, so that the end of a cycle fits its beginning.
        let payloads = (0..2 * CYCLE_FRAMES).map(&mut payload_of).skip(CYCLE_FRAMES).collect();
        Self { payloads, pt, timestamp_step, ear: Some(Ear::new(codec)) }
    }

    /// Whether payloads are opaque and stamped.
    pub(crate) const fn is_stamped(&self) -> bool {
        self.ear.is_none()
    }

    /// The payload of the n-th packet.
    pub(crate) fn payload(&self, packet: usize) -> &[u8] {
        &self.payloads[packet % self.payloads.len()]
    }

    /// Whether a mark begins with the n-th packet's first sample.
    pub(crate) const fn is_mark(&self, packet: usize) -> bool {
        self.ear.is_some() && packet % CYCLE_FRAMES == CYCLE_FRAMES - MARK_FRAMES
    }

    /// The sample of this payload at which a mark begins, if one does. None as well for what cannot be decoded.
    pub(crate) fn hear(&mut self, payload: &[u8]) -> Option<usize> {
        let ear = self.ear.as_mut()?;
        let mut pcm = [0_i16; 960];
        let samples = ear.decoder.decode(payload, &mut pcm).ok()?;
        let loud_at = pcm[..samples].iter().position(|sample| sample.unsigned_abs() > HEARD_LEVEL);
        let was_in_mark = std::mem::replace(&mut ear.is_in_mark, loud_at.is_some());
        loud_at.filter(|_| !was_in_mark)
    }
}

/// A voice that never rests, as far as codecs can tell (with pauses their work would be less), and the mark.
///
/// Harmonics of a pitch, weaker as they rise, swelling and falling four times a second.
#[expect(clippy::cast_possible_truncation, reason = "levels are far below the limit of i16")]
fn frame_of_cycle(frame: usize) -> [i16; FRAME_SAMPLES] {
    let is_mark = frame % CYCLE_FRAMES >= CYCLE_FRAMES - MARK_FRAMES;
    let first = u32::try_from(frame * FRAME_SAMPLES).unwrap();
    let mut time = (first..).map(|sample| f64::from(sample) / RATE_HZ);
    std::array::from_fn(|_| {
        let seconds = time.next().unwrap();
        // A cosine is loud from its first sample on.
        let sample = if is_mark { MARK_LEVEL * (TAU * MARK_HZ * seconds).cos() } else { voice(seconds) };
        sample as i16
    })
}

fn voice(seconds: f64) -> f64 {
    let swell = 0.6 - 0.4 * (TAU * SYLLABLES_HZ * seconds).cos();
    let harmonic = |number: u32| {
        let number = f64::from(number);
        (TAU * VOICE_HZ * number * seconds + number * number).sin() / number.sqrt()
    };
    VOICE_LEVEL * swell * (1..=24).map(harmonic).sum::<f64>()
}
