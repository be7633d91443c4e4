use std::path::PathBuf;

use proptest::prelude::*;

use super::{Decoder, Encoder, MAX_PACKET_BYTES, SAMPLE_RATE_HZ, SILENCE, is_sent};
use crate::codecs::{CodecError, Decoder as _, Encoded, Encoder as _};
use crate::dsp::testing::{level_dbm0, tone_level_dbm0};
use crate::dsp::tone::Oscillator;

/// The test sequences of the ITU's Software Tool Library, which are not ours to give away: a folder that holds `itu-g722`.
fn sequences() -> Option<PathBuf> {
    let folder =
        std::env::var_os("TRUNKLINE_VECTORS").map_or_else(|| PathBuf::from("../shared/vectors"), PathBuf::from);
    let folder = folder.join("itu-g722");
    if !folder.is_dir() {
        eprintln!("skipped: {} is missing; github.com/openitu/STL has them in src/g722/test_data", folder.display());
        return None;
    }
    Some(folder)
}

#[expect(clippy::disallowed_methods, reason = "a test reads its vectors")]
fn words(path: PathBuf) -> Vec<i16> {
    let bytes = std::fs::read(path).unwrap();
    bytes.as_chunks().0.iter().map(|&pair| i16::from_le_bytes(pair)).collect()
}

/// The codes of a file in which each fills a word.
fn codes(path: PathBuf) -> Vec<u8> {
    words(path).into_iter().map(|word| u8::try_from(word).unwrap()).collect()
}

fn encode(pcm: &[i16]) -> Vec<u8> {
    let mut encoder = Encoder::new(SAMPLE_RATE_HZ).unwrap();
    let packets = pcm.chunks(320).map(|pcm| {
        let mut payload = [0; 160];
        let Ok(Encoded::Payload(len)) = encoder.encode(pcm, &mut payload) else { panic!("no payload") };
        payload[..len].to_vec()
    });
    packets.flatten().collect()
}

fn decode(codes: &[u8]) -> Vec<i16> {
    let mut decoder = Decoder::new(SAMPLE_RATE_HZ).unwrap();
    let packets = codes.chunks(160).map(|payload| {
        let mut pcm = [0; 320];
        let samples = decoder.decode(payload, &mut pcm).unwrap();
        pcm[..samples].to_vec()
    });
    packets.flatten().collect()
}

#[test]
fn encodes_the_sequence_bit_by_bit() {
    let Some(folder) = sequences() else { return };
    let coded = encode(&words(folder.join("inpsp.bin")));
    let expected = codes(folder.join("codspw.cod"));
    assert_eq!(coded.len(), expected.len());
    assert_eq!(coded.iter().zip(&expected).position(|(one, other)| one != other), None);
}

#[test]
fn decodes_the_sequence_bit_by_bit() {
    let Some(folder) = sequences() else { return };
    let decoded = decode(&codes(folder.join("codspw.cod")));
    let expected = words(folder.join("outsp1.bin"));
    assert_eq!(decoded.len(), expected.len());
    assert_eq!(decoded.iter().zip(&expected).position(|(one, other)| one != other), None);
}

/// FNV-1a, by which results are known again.
fn checksum(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A second each of a sweep, noise that swells to full scale, and clicks in silence; from integers alone.
fn signal() -> Vec<i16> {
    let mut seed = 1_u32;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i32::from(i16::from_le_bytes([seed.to_le_bytes()[2], seed.to_le_bytes()[3]]))
    };
    let triangle = |n: i32| ((n * n / 96) % 1_024 - 512).abs() * 96 - 24_576;
    let sample = |n: i32| match n {
        0..16_000 => triangle(n),
        16_000..32_000 => noise() * (n - 16_000) / 16_000,
        _ if n % 1_000 < 3 => i32::from(i16::MIN) * (n % 2) + 32_767 * (n % 2 - 1).abs(),
        _ => 0,
    };
    (0..48_000).map(sample).map(super::band::saturate).collect()
}

/// What the code that reproduces the ITU's sequences made of the signal: holds where those are missing.
#[test]
fn codes_a_synthetic_signal_as_ever() {
    let coded = encode(&signal());
    let decoded = decode(&coded);
    let sums = (checksum(coded), checksum(decoded.iter().flat_map(|sample| sample.to_le_bytes())));
    assert_eq!(sums, (0xa4cf_fc50_6c1a_3c76, 0x1c79_149c_756f_9404), "{sums:#x?}");
}

fn tone(frequency_hz: f64, ms: usize) -> Vec<i16> {
    let mut pcm = vec![0; 16 * ms];
    Oscillator::new(&[frequency_hz], -10.0, SAMPLE_RATE_HZ).fill(&mut pcm);
    pcm
}

#[test]
fn tones_of_both_bands_come_through_at_their_level() {
    for frequency_hz in [300.0, 1_000.0, 3_400.0, 5_000.0, 6_500.0] {
        let heard = decode(&encode(&tone(frequency_hz, 500)));
        let level = tone_level_dbm0(&heard[1_600..], frequency_hz, SAMPLE_RATE_HZ);
        assert!((level + 10.0).abs() < 0.6, "{level} dBm0 at {frequency_hz} Hz");
    }
}

#[test]
fn silence_stays_silent_and_has_a_byte_of_its_own() {
    assert!(decode(&encode(&[0; 3_200])).iter().all(|sample| sample.abs() <= 4));
    // As a payload that takes the place of a voice's: the step sizes fall by 10 dB in 7 ms.
    let mut coded = encode(&tone(440.0, 100));
    coded.extend([SILENCE; 1_600]);
    let heard = decode(&coded);
    let loudest: Vec<i16> = heard[1_600..].chunks(320).map(|ms| ms.iter().map(|s| s.abs()).max().unwrap()).collect();
    assert!(loudest[5..].iter().all(|sample| *sample <= 40), "{loudest:?}");
}

#[test]
fn takes_any_packet_up_to_120_ms_and_no_other() {
    let mut decoder = Decoder::new(SAMPLE_RATE_HZ).unwrap();
    let mut pcm = [0; 2 * MAX_PACKET_BYTES];
    assert_eq!(decoder.decode(&[], &mut pcm), Err(CodecError::Malformed));
    assert_eq!(decoder.decode(&[0; MAX_PACKET_BYTES + 1], &mut pcm), Err(CodecError::Malformed));
    assert_eq!(decoder.decode(&[0; MAX_PACKET_BYTES], &mut pcm), Ok(pcm.len()));
    assert_eq!(decoder.decode(&[0; 2], &mut pcm[..3]), Err(CodecError::OutputTooSmall));
    let mut encoder = Encoder::new(SAMPLE_RATE_HZ).unwrap();
    assert_eq!(encoder.encode(&[0; 321], &mut [0; 200]), Err(CodecError::BadFrameLength));
    assert_eq!(encoder.encode(&[0; 320], &mut [0; 100]), Err(CodecError::OutputTooSmall));
    assert_eq!(Decoder::new(8_000).err(), Some(CodecError::BadSampleRate));
    assert_eq!(Encoder::new(48_000).err(), Some(CodecError::BadSampleRate));
}

/// What is heard of a stream of packets of 20 ms of which some are lost.
fn heard_with_losses(pcm: &[i16], is_lost: impl Fn(usize) -> bool) -> Vec<i16> {
    let coded = encode(pcm);
    let mut decoder = Decoder::new(SAMPLE_RATE_HZ).unwrap();
    let mut heard = Vec::new();
    for (number, payload) in coded.chunks(160).enumerate() {
        let mut pcm = [0; 320];
        if is_lost(number) {
            assert!(decoder.conceal(&mut pcm));
        } else {
            decoder.decode(payload, &mut pcm).unwrap();
        }
        heard.extend(pcm);
    }
    heard
}

#[test]
fn a_lost_packet_of_a_tone_is_not_noticed() {
    for frequency_hz in [440.0, 1_000.0, 5_000.0] {
        let whole = tone(frequency_hz, 600);
        let heard = heard_with_losses(&whole, |number| number == 15);
        for (number, packet) in heard.chunks(320).enumerate().skip(5) {
            let level = level_dbm0(packet);
            let range = if number == 15 { -13.0..-8.5 } else { -11.5..-8.5 };
            assert!(range.contains(&level), "{frequency_hz} Hz: {level} dBm0 in packet {number}");
        }
    }
}

#[test]
fn losses_of_half_the_packets_are_never_louder_than_the_speech() {
    let mut seed = 7_u32;
    let speech: Vec<i16> = tone(220.0, 2_000).iter().zip(tone(2_900.0, 2_000)).map(|(a, b)| a / 2 + b / 2).collect();
    let losses: Vec<bool> = (0..100)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 31 == 1
        })
        .collect();
    let heard = heard_with_losses(&speech, |number| losses[number]);
    let loudest = heard.chunks(160).map(level_dbm0).fold(f64::NEG_INFINITY, f64::max);
    let own = level_dbm0(&speech);
    assert!(loudest < own + 3.0, "{loudest} dBm0 of {own} dBm0");
}

#[test]
fn random_bytes_are_as_loud_as_the_voice_and_so_is_what_follows() {
    let coded = encode(&tone(700.0, 2_000));
    let mut state = 9_u32;
    for burst in [1, 2, 40] {
        let mut decoder = Decoder::new(SAMPLE_RATE_HZ).unwrap();
        let mut loudest = f64::NEG_INFINITY;
        for (number, good) in coded.chunks(160).enumerate() {
            let mut payload = good.to_vec();
            if (20..60).contains(&number) && number % (2 * burst) < burst {
                payload.fill_with(|| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    state.to_be_bytes()[0]
                });
            }
            let mut pcm = [0; 320];
            decoder.decode(&payload, &mut pcm).unwrap();
            loudest = f64::max(loudest, level_dbm0(&pcm));
        }
        assert!((-10.2..-6.9).contains(&loudest), "{burst} at a time: {loudest:.1} dBm0 beside -10");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_packets_and_any_losses_end_in_samples(
        packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), any::<bool>()), 1..20),
    ) {
        let mut decoder = Decoder::new(SAMPLE_RATE_HZ).unwrap();
        let mut pcm = [0; 2 * MAX_PACKET_BYTES];
        for (payload, is_lost) in packets {
            if is_lost {
                prop_assert!(decoder.conceal(&mut pcm[..320]));
            } else {
                prop_assert_eq!(decoder.decode(&payload, &mut pcm).ok(), decoder.packet_samples(&payload));
            }
        }
    }

    #[test]
    fn any_samples_are_coded_without_a_zero_byte(pcm in prop::collection::vec(any::<i16>(), 160)) {
        // RFC 3551 has nothing of it, but the Recommendation wants no all-zero octets (section 1.4.4).
        prop_assert!(encode(&pcm).into_iter().all(is_sent));
    }
}
