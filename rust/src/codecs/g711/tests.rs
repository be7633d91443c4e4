use proptest::prelude::*;

use super::*;
use crate::codecs::{Codec, EncoderSettings};
use crate::dsp::testing::{tone_level_dbm0, vector_samples};
use crate::dsp::tone::Oscillator;

const LAWS: [Law; 2] = [Law::Alaw, Law::Ulaw];

fn all_bytes() -> impl Iterator<Item = u8> {
    0..=u8::MAX
}

/// Half the widest interval around a level: either law halves its resolution with each doubling of the level.
fn half_interval(linear: i16) -> i32 {
    i32::from(linear).abs() / 32 + 20
}

#[test]
fn agrees_bit_by_bit_with_the_sweeps_of_the_itu() {
    for (law, compressed, expanded, both) in
        [(Law::Alaw, "sweep-r.a", "sweep-r.rea", "sweep-r.a-a"), (Law::Ulaw, "sweep-r.u", "sweep-r.reu", "sweep-r.u-u")]
    {
        let read = |name: &str| vector_samples(&format!("itu-g711/{name}"));
        let Some(sweep) = read("sweep.src") else { return };
        let (Some(compressed), Some(expanded), Some(both)) = (read(compressed), read(expanded), read(both)) else {
            return;
        };
        assert_eq!(sweep.len(), 65_536);
        for (place, &linear) in sweep.iter().enumerate() {
            let byte = law.compress(linear);
            assert_eq!(i16::from(byte), compressed[place], "{law:?} of {linear}");
            assert_eq!(law.expand(byte), expanded[place], "{law:?} {byte:#04x}");
            assert_eq!(law.expand(byte), both[place], "{law:?} {linear} and back");
        }
    }
}

#[test]
fn knows_the_corner_values_of_the_recommendation() {
    // Table 1: the last positive interval ends at 4,096 of 13 bits; its level is 4,032. Table 2: 8,031 of 14 bits.
    assert_eq!((Law::Alaw.compress(i16::MAX), Law::Alaw.expand(0xaa)), (0xaa, 4_032 * 8));
    assert_eq!((Law::Alaw.compress(i16::MIN), Law::Alaw.expand(0x2a)), (0x2a, -4_032 * 8));
    assert_eq!((Law::Ulaw.compress(i16::MAX), Law::Ulaw.expand(0x80)), (0x80, 8_031 * 4));
    assert_eq!((Law::Ulaw.compress(i16::MIN), Law::Ulaw.expand(0x00)), (0x00, -8_031 * 4));
    assert_eq!((Law::Alaw.compress(0), Law::Ulaw.compress(0)), (Law::Alaw.silence(), Law::Ulaw.silence()));
    assert_eq!(Law::Ulaw.expand(0x7f), 0, "mu-law has a negative zero");
}

#[test]
fn every_byte_survives_expansion_and_compression() {
    for byte in all_bytes() {
        assert_eq!(Law::Alaw.compress(Law::Alaw.expand(byte)), byte);
        if byte != 0x7f {
            assert_eq!(Law::Ulaw.compress(Law::Ulaw.expand(byte)), byte);
        }
    }
}

#[test]
fn every_sample_becomes_a_level_near_it() {
    for law in LAWS {
        for linear in (i16::MIN..=i16::MAX).step_by(7) {
            let off = (i32::from(law.expand(law.compress(linear))) - i32::from(linear)).abs();
            assert!(off <= half_interval(linear), "{law:?} {linear}: {off} off");
        }
    }
}

#[test]
fn direct_conversion_keeps_the_level_and_settles_after_one_step() {
    for byte in all_bytes() {
        for (from, to, there, back) in [
            (Law::Alaw, Law::Ulaw, alaw_to_ulaw as fn(u8) -> u8, ulaw_to_alaw as fn(u8) -> u8),
            (Law::Ulaw, Law::Alaw, ulaw_to_alaw, alaw_to_ulaw),
        ] {
            let level = from.expand(byte);
            let off = (i32::from(to.expand(there(byte))) - i32::from(level)).abs();
            assert!(off <= half_interval(level), "{from:?} {byte:#04x}: {off} off");
            let settled = there(byte);
            assert_eq!(there(back(settled)), settled, "{from:?} {byte:#04x} keeps changing on its way");
            let mut payload = [byte; 3];
            convert_in_place(from, &mut payload);
            assert_eq!(payload, [settled; 3]);
        }
    }
    assert_eq!(alaw_to_ulaw(0xd5), 0xfe, "A-law has no zero: its lowest level is the lowest above mu-law's zero");
    assert_eq!(ulaw_to_alaw(0xff), 0xd5);
}

#[test]
fn carries_a_tone_at_its_level() {
    for name in ["PCMA", "PCMU"] {
        let codec = Codec::new(name, 8_000, 1, []).unwrap();
        let mut encoder = codec.encoder(&EncoderSettings::default()).unwrap();
        let mut decoder = codec.decoder(8_000).unwrap();
        let mut pcm = [0; 960];
        let mut payload = [0; 960];
        Oscillator::new(&[1_000.0], -10.0, 8_000).fill(&mut pcm);
        assert_eq!(encoder.encode(&pcm, &mut payload), Ok(Encoded::Payload(960)));
        assert_eq!(decoder.decode(&payload, &mut pcm), Ok(960));
        assert!((tone_level_dbm0(&pcm, 1_000.0, 8_000) - -10.0).abs() < 0.1);
    }
}

#[test]
fn refuses_frames_that_do_not_fit() {
    let mut coder = Coder::new(Law::Alaw, 8_000).unwrap();
    assert_eq!(coder.decode(&[], &mut [0; 4]), Err(CodecError::Malformed));
    assert_eq!(coder.decode(&[0; 961], &mut [0; 961]), Err(CodecError::Malformed));
    assert_eq!(coder.decode(&[0; 5], &mut [0; 4]), Err(CodecError::OutputTooSmall));
    assert_eq!(coder.encode(&[0; 5], &mut [0; 4]), Err(CodecError::OutputTooSmall));
    assert_eq!(coder.encode(&[], &mut [0; 4]), Err(CodecError::BadFrameLength));
    assert_eq!(Coder::new(Law::Alaw, 16_000).err(), Some(CodecError::BadSampleRate));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compression_never_changes_the_order_of_samples(a: i16, b: i16) {
        for law in LAWS {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(law.expand(law.compress(low)) <= law.expand(law.compress(high)));
        }
    }
}
