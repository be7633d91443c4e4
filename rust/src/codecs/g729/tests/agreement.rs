//! What others made of the same sounds: checksums of their bits, which ours must have.
//!
//! Compared frame by frame, over these signals and 33 more (the sequences of Annex A, tones, DTMF, chords, sweeps, noise,
//! speech that is faint and that clips, silence), without loss, with 10 % and with bursts of it:
//!
//! - the program of the Recommendation (Annex A, Release 2 of 2006), coder and decoder: the same bits everywhere;
//! - the crate `rvoip_g729ab` of 2026: the same bits, but for two things. Its decoder mutes a gap of some frames unless it is
//!   told not to, which the Recommendation does not know. And where the filter of a frame of noise is unstable it describes
//!   no energy at all, while `Levinson` of Annex B leaves the energy of the frame before, as ours does;
//! - libbcg729 1.1.1 and the decoder of ffmpeg 8 are bit-exact with neither, from the first frames on. They understand all
//!   that we code: 20 to 43 dB of signal to difference over speech, music and tones without loss, ffmpeg 15 to 32 dB. With
//!   full-scale squares both of them wrap around where the basic operators saturate.

use super::{Frame, FrameDecoder, FrameEncoder, L_FRAME};

const FRAMES: usize = 400;

/// Whole numbers only, so that the signals are the same on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Faint,
    Noise,
    FullScaleNoise,
    Square,
    Silence,
    Chords,
    Clicks,
    Talk,
}

/// Checksums of: the bits of Annex A; what they decode to whole, and with losses; the bits with Annex B; what those decode
/// to with losses.
const AGREED: [(Signal, [u32; 5]); 8] = [
    (Signal::Faint, [0x5de0_5a34, 0x0426_2ecc, 0x6170_7aee, 0x545f_629a, 0x354d_7e28]),
    (Signal::Noise, [0x3ce7_9a1a, 0xb84b_7ddc, 0x6ec3_7c71, 0x6969_e769, 0x85d1_2813]),
    (Signal::FullScaleNoise, [0x0cec_fb9a, 0x1234_ebde, 0xeaff_73eb, 0xa2e2_09bf, 0x22bb_cf26]),
    (Signal::Square, [0xfaca_3fe1, 0x67f0_d388, 0xa61b_00c2, 0x3709_95f5, 0xef48_74d7]),
    (Signal::Silence, [0x4ed5_93db, 0x2522_1021, 0x6d1b_28a9, 0x06f1_1cbf, 0x7dc2_91ab]),
    (Signal::Chords, [0x0373_61b1, 0x763e_a6e9, 0xdc34_cc50, 0xdd25_7b1b, 0x5998_afb1]),
    (Signal::Clicks, [0xf3c6_ca26, 0x6cf5_0282, 0x5fe1_fc05, 0xd680_a6f0, 0xd8c5_414d]),
    (Signal::Talk, [0xec70_d554, 0x24e7_3526, 0x7878_1ac0, 0x9edd_2535, 0x197d_47fc]),
];

impl Signal {
    fn pcm(self) -> Vec<i16> {
        let mut seed = 7_u32;
        (0..i32::try_from(FRAMES * L_FRAME).unwrap())
            .map(|n| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let [high, low, ..] = seed.to_be_bytes();
                let noise = i32::from(i16::from_be_bytes([high, low]));
                let sample = match self {
                    Self::Faint => (noise * 30) >> 15,
                    Self::Noise => (noise * 3_000) >> 15,
                    Self::FullScaleNoise => noise,
                    Self::Square if n / 37 % 2 == 0 => 32_767,
                    Self::Square => -32_767,
                    Self::Silence => 0,
                    Self::Chords => chord(n),
                    Self::Clicks => i32::from(n % 800 == 0) * 32_767,
                    Self::Talk => ((noise * 150) >> 15) + if n / 8_000 % 2 == 0 { chord(n) } else { 0 },
                };
                i16::try_from(sample).unwrap()
            })
            .collect()
    }
}

/// Three triangles, higher or lower every half second, louder or softer every quarter.
fn chord(n: i32) -> i32 {
    let triangle = |period: i32| (n % period * 4_000 / period - 2_000).abs() - 1_000;
    let period = [30, 27, 33][usize::try_from(n / 4_000 % 3).unwrap()];
    let loudness = [1, 3, 7, 0][usize::try_from(n / 2_000 % 4).unwrap()];
    (triangle(period) + triangle(period * 4 / 5) + triangle(period * 2 / 3)) * loudness
}

fn coded(pcm: &[i16], has_annex_b: bool) -> Vec<Frame> {
    let mut encoder = FrameEncoder::new(has_annex_b);
    pcm.as_chunks().0.iter().map(|pcm| encoder.encode(pcm)).collect()
}

/// Each frame behind its length in bytes.
fn checksum_of_bits(frames: &[Frame]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for frame in frames {
        match frame {
            Frame::Speech(speech) => {
                let mut bytes = [0; 10];
                speech.write(&mut bytes);
                hasher.update(&[10]);
                hasher.update(&bytes);
            }
            Frame::Sid(sid) => {
                hasher.update(&[2]);
                hasher.update(&sid.write());
            }
            Frame::Untransmitted | Frame::Lost => hasher.update(&[0]),
        }
    }
    hasher.finalize()
}

fn checksum_of_sound(frames: &[Frame], is_lost: impl Fn(usize) -> bool) -> u32 {
    let mut decoder = FrameDecoder::new();
    let mut hasher = crc32fast::Hasher::new();
    for (number, &frame) in frames.iter().enumerate() {
        let mut pcm = [0; L_FRAME];
        // A receiver cannot tell what was not sent from what was lost.
        let is_missing = is_lost(number) || frame == Frame::Untransmitted;
        decoder.decode(if is_missing { Frame::Lost } else { frame }, &mut pcm);
        for sample in pcm {
            hasher.update(&sample.to_le_bytes());
        }
    }
    hasher.finalize()
}

/// Single frames and bursts of four.
fn is_lost(number: usize) -> bool {
    number % 7 == 3 || (10..14).contains(&(number % 20))
}

#[test]
fn has_the_bits_of_the_recommendation_and_of_another_author() {
    for (signal, [annex_a, sound, sound_with_losses, annex_b, noise_with_losses]) in AGREED {
        let pcm = signal.pcm();
        let frames = coded(&pcm, false);
        assert_eq!(checksum_of_bits(&frames), annex_a, "{signal:?}: coded");
        assert_eq!(checksum_of_sound(&frames, |_| false), sound, "{signal:?}: decoded");
        assert_eq!(checksum_of_sound(&frames, is_lost), sound_with_losses, "{signal:?}: decoded with losses");
        let frames = coded(&pcm, true);
        assert!(frames.iter().any(|frame| matches!(frame, Frame::Sid(_))), "{signal:?}");
        assert_eq!(checksum_of_bits(&frames), annex_b, "{signal:?}: coded with Annex B");
        assert_eq!(checksum_of_sound(&frames, is_lost), noise_with_losses, "{signal:?}: Annex B, decoded with losses");
    }
}
