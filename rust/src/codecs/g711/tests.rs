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

/// The decision values of table 1 or 2 for one sign, in sixteen-bit units: intervals of one width after the other.
fn decision_values(law: Law) -> Vec<i32> {
    let (unit, intervals) = match law {
        // Number and width of the intervals, columns 1 and 2 of the tables.
        Law::Alaw => (8, [(0, 0), (32, 2), (16, 4), (16, 8), (16, 16), (16, 32), (16, 64), (16, 128)]),
        Law::Ulaw => (4, [(1, 1), (15, 2), (16, 4), (16, 8), (16, 16), (16, 32), (16, 64), (16, 128)]),
    };
    let last = if law == Law::Ulaw { (16, 256) } else { (0, 0) };
    let mut values = vec![0];
    for (number, width) in intervals.into_iter().chain([last]) {
        for _ in 0..number {
            values.push(values.last().unwrap() + width * unit);
        }
    }
    values
}

#[test]
fn every_sample_becomes_the_byte_that_the_recommendation_defines() {
    for law in LAWS {
        let decisions = decision_values(law);
        assert_eq!(decisions.len(), 129);
        for linear in i16::MIN..=i16::MAX {
            let (magnitude, is_positive) = (i32::from(linear).abs(), linear >= 0);
            // Which interval a decision value itself belongs to is left open; away from zero, as in the ITU's tools.
            let inside = |limit: &&i32| if is_positive { **limit <= magnitude } else { **limit < magnitude };
            let number = decisions[1..].iter().take_while(inside).count().min(127);
            let number_bits = u8::try_from(number).unwrap() | if is_positive { 0x80 } else { 0 };
            // Column 6 of the tables, and the note on inverted bits: even ones in A-law, all of the number in mu-law.
            let byte = number_bits ^ if law == Law::Alaw { 0x55 } else { 0x7f };
            assert_eq!(law.compress(linear), byte, "{law:?} of {linear}");
            let level = match law {
                // Column 7: zero for the first interval of mu-law, the middle of any other.
                Law::Ulaw if number == 0 => 0,
                Law::Alaw | Law::Ulaw => i32::midpoint(decisions[number], decisions[number + 1]),
            };
            assert_eq!(i32::from(law.expand(byte)), if is_positive { level } else { -level }, "{law:?} {byte:#04x}");
        }
    }
}

#[test]
fn whatever_the_processor_can_gives_the_bits_of_the_tables() {
    let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    let bytes: Vec<u8> = (0..8).flat_map(|_| all_bytes()).collect();
    for law in LAWS {
        for offset in 0..33 {
            let samples = &samples[offset..];
            let (mut fast, mut safe) = (vec![0; samples.len()], vec![0; samples.len()]);
            compress_all(law, samples, &mut fast);
            compress_by_table(law, samples, &mut safe);
            assert!(fast == safe, "{law:?} from {offset}");
            let bytes = &bytes[offset..];
            let (mut fast, mut safe) = (vec![0; bytes.len()], vec![0; bytes.len()]);
            expand_all(law, bytes, &mut fast);
            expand_by_table(law, bytes, &mut safe);
            assert_eq!(fast, safe, "{law:?} from {offset}");
        }
    }
}

/// Decoder output value numbers, which count the levels of one sign: mu-law's from 0, A-law's from 1.
fn ulaw_number(byte: u8) -> u8 {
    !byte & 0x7f
}

fn alaw_number(byte: u8) -> u8 {
    (byte & 0x7f ^ 0x55) + 1
}

#[test]
fn direct_conversion_changes_what_the_recommendation_says_and_no_more() {
    for byte in all_bytes() {
        // Note 2 to tables 3 and 4: there and back, these numbers change, and of them the last bit alone.
        let (there_and_back, before) = (ulaw_number(alaw_to_ulaw(ulaw_to_alaw(byte))), ulaw_number(byte));
        let is_changed = before <= 14 && before.is_multiple_of(2);
        assert_eq!(there_and_back, before + u8::from(is_changed), "mu-law {byte:#04x}");
        let (there_and_back, before) = (ulaw_to_alaw(alaw_to_ulaw(byte)), byte);
        let is_changed = [26, 28, 30, 32, 45, 47, 63, 80].contains(&alaw_number(byte));
        assert_eq!(there_and_back ^ before, u8::from(is_changed), "A-law {byte:#04x}");
        assert_eq!(((alaw_to_ulaw(byte) ^ byte) | (ulaw_to_alaw(byte) ^ byte)) & 0x80, 0, "the sign stays");
    }
}

#[test]
fn direct_conversion_keeps_the_level() {
    for byte in all_bytes() {
        for (from, converted) in [(Law::Alaw, alaw_to_ulaw(byte)), (Law::Ulaw, ulaw_to_alaw(byte))] {
            let level = from.expand(byte);
            let off = (i32::from(from.other().expand(converted)) - i32::from(level)).abs();
            assert!(off <= half_interval(level), "{from:?} {byte:#04x}: {off} off");
        }
        let mut converted = [0; 3];
        assert_eq!(Law::Alaw.convert(&[byte; 3], &mut converted), Some(&[alaw_to_ulaw(byte); 3][..]));
        assert_eq!(Law::Ulaw.convert(&[byte; 3], &mut converted), Some(&[ulaw_to_alaw(byte); 3][..]));
        assert_eq!(Law::Ulaw.convert(&[byte; 4], &mut converted), None);
    }
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
    fn runs_of_any_length_come_out_as_by_the_tables(
        samples in prop::collection::vec(any::<i16>(), 0..200), room in 0_usize..200, is_alaw: bool
    ) {
        let law = if is_alaw { Law::Alaw } else { Law::Ulaw };
        let (mut fast, mut safe) = (vec![1; room], vec![1; room]);
        compress_all(law, &samples, &mut fast);
        compress_by_table(law, &samples, &mut safe);
        prop_assert_eq!(&fast, &safe);
        let (mut pcm, mut pcm_safe) = (samples.clone(), samples);
        expand_all(law, &fast, &mut pcm);
        expand_by_table(law, &safe, &mut pcm_safe);
        prop_assert_eq!(pcm, pcm_safe);
    }

    #[test]
    fn compression_never_changes_the_order_of_samples(a: i16, b: i16) {
        for law in LAWS {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(law.expand(law.compress(low)) <= law.expand(law.compress(high)));
        }
    }
}
