use proptest::prelude::*;

use super::packing::contents;
use super::{
    Decoder, Encoder, MAX_FRAME_SAMPLES, MAX_PAYLOAD_BYTES, Parameters, Rate, frame_samples, is_available,
    write_silence,
};
use crate::codecs::{Codec, CodecError, Decoder as _, Encoded, Encoder as _, EncoderSettings};
use crate::dsp::testing::{level_dbm0, tone_level_dbm0};
use crate::dsp::tone::Oscillator;

const INSTALL: &str = "sudo apt-get install --no-install-recommends libspeex1";
const RATES_HZ: [u32; 2] = [8_000, 16_000];

/// Whether libspeex is there; where CI is set, it must be.
fn has_library() -> bool {
    if !is_available() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "CI runs every test: {INSTALL}");
        eprintln!("skipped, since libspeex is missing: {INSTALL}");
    }
    is_available()
}

fn encoder(rate_hz: u32, asked: Parameters) -> Encoder {
    let settings = EncoderSettings { sample_rate_hz: rate_hz, ..EncoderSettings::default() };
    Encoder::new(rate_hz, &settings, asked).unwrap()
}

fn decoder(rate_hz: u32) -> Decoder {
    Decoder::new(rate_hz, rate_hz).unwrap()
}

/// Payloads of so many frames each; empty where nothing is sent.
fn encode(rate_hz: u32, asked: Parameters, frames: usize, pcm: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = encoder(rate_hz, asked);
    let packets = pcm.chunks_exact(frames * frame_samples(rate_hz)).map(|pcm| {
        let mut payload = [0; MAX_PAYLOAD_BYTES];
        match encoder.encode(pcm, &mut payload).unwrap() {
            Encoded::Payload(len) => payload[..len].to_vec(),
            Encoded::Silence => Vec::new(),
        }
    });
    packets.collect()
}

fn tone(frequency_hz: f64, rate_hz: u32, ms: u32) -> Vec<i16> {
    let mut pcm = vec![0; usize::try_from(rate_hz / 1_000 * ms).unwrap()];
    Oscillator::new(&[frequency_hz], -10.0, rate_hz).fill(&mut pcm);
    pcm
}

#[test]
fn a_tone_comes_through_in_packets_of_any_number_of_frames() {
    if !has_library() {
        return;
    }
    for rate_hz in RATES_HZ {
        for frames in 1..=6 {
            let mut decoder = decoder(rate_hz);
            let mut heard = Vec::new();
            for payload in encode(rate_hz, Parameters::default(), frames, &tone(440.0, rate_hz, 1_200)) {
                let mut pcm = vec![0; frames * frame_samples(rate_hz)];
                assert_eq!(contents(&payload).map(|contents| contents.frames), Some(frames));
                assert_eq!(decoder.decode(&payload, &mut pcm), Ok(pcm.len()));
                heard.extend(pcm);
            }
            let level = tone_level_dbm0(&heard[heard.len() / 2..], 440.0, rate_hz);
            assert!((level + 10.0).abs() < 3.0, "{rate_hz} Hz, {frames} frames: {level} dBm0");
        }
    }
}

#[test]
fn modes_and_variable_rates_are_what_the_receiver_asked_for() {
    if !has_library() {
        return;
    }
    let bytes = |rate_hz: u32, asked: Parameters| -> usize {
        encode(rate_hz, asked, 1, &tone(440.0, rate_hz, 1_000)).iter().skip(10).map(Vec::len).max().unwrap()
    };
    let of_mode = |mode: u8| Parameters { mode: Some(mode), ..Parameters::default() };
    // 119, 160 and 492 bits, in whole bytes.
    assert_eq!([2, 3, 7].map(|mode| bytes(8_000, of_mode(mode))), [15, 20, 62]);
    assert!(bytes(16_000, of_mode(3)) < bytes(16_000, of_mode(10)));
    let variable = Parameters { rate: Rate::Variable, ..Parameters::default() };
    let coded = encode(8_000, variable, 1, &[tone(440.0, 8_000, 500), vec![0; 8_000]].concat());
    assert!(coded.last().unwrap().len() < coded[10].len());
}

#[test]
fn silence_is_sent_to_nobody_who_makes_comfort_noise() {
    if !has_library() {
        return;
    }
    for rate_hz in RATES_HZ {
        let mut seed = 1_u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            i16::from_le_bytes([seed.to_le_bytes()[2], seed.to_le_bytes()[3]]) / 2_000
        };
        let quiet: Vec<i16> = (0..rate_hz * 3).map(|_| noise()).collect();
        let asked = Parameters { comfort_noise: true, ..Parameters::default() };
        let coded = encode(rate_hz, asked, 1, &quiet);
        let unsent = coded[75..].iter().filter(|payload| payload.is_empty()).count();
        assert!(unsent > 30, "{unsent} of 75 frames at {rate_hz} Hz");
        let all = encode(rate_hz, Parameters::default(), 1, &quiet);
        assert!(all.iter().all(|payload| !payload.is_empty()));
        let decoder = decoder(rate_hz);
        let described = coded.iter().rfind(|payload| !payload.is_empty()).unwrap();
        assert!(decoder.is_silence(described), "{described:x?}");
    }
}

#[test]
fn losses_are_concealed_and_never_louder_than_the_speech() {
    if !has_library() {
        return;
    }
    for rate_hz in RATES_HZ {
        let coded = encode(rate_hz, Parameters::default(), 1, &tone(440.0, rate_hz, 2_000));
        let mut decoder = decoder(rate_hz);
        for (number, payload) in coded.iter().enumerate() {
            let mut pcm = vec![0; frame_samples(rate_hz)];
            if number > 10 && number * 7 % 10 < 5 {
                let (first, second) = pcm.split_at_mut(frame_samples(rate_hz) / 2);
                assert!(decoder.conceal(first) && decoder.conceal(second), "by 10 ms");
            } else {
                decoder.decode(payload, &mut pcm).unwrap();
            }
            let level = level_dbm0(&pcm);
            assert!(level < -5.0, "{rate_hz} Hz, packet {number}: {level} dBm0");
        }
    }
}

#[test]
fn a_steady_tone_does_not_grow_behind_a_loss_nor_where_it_is_heard_from_its_midst() {
    if !has_library() {
        return;
    }
    for rate_hz in [8_000, 16_000] {
        let payloads = encode(rate_hz, Parameters::default(), 1, &tone(600.0, rate_hz, 7_000));
        for missing in [&[][..], &[0], &[1], &[7], &[60, 61, 62, 63, 64], &[20, 70, 120, 170]] {
            let mut decoder = decoder(rate_hz);
            let mut heard = Vec::new();
            for (number, payload) in payloads.iter().enumerate() {
                let mut pcm = vec![0; frame_samples(rate_hz)];
                if missing.contains(&number) {
                    decoder.conceal(&mut pcm);
                } else {
                    decoder.decode(payload, &mut pcm).unwrap();
                }
                heard.push(level_dbm0(&pcm));
            }
            // A tone of -10 dBm0, which would be at +6.
            let loudest = heard.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert!(loudest < -5.5, "{rate_hz} Hz without {missing:?}: {loudest:.1} dBm0");
            let last = heard[heard.len() - 1];
            // Who never heard it whole takes it for no louder than speech.
            let least = if missing == [0] { -21.0 } else { -16.0 };
            assert!(last > least, "{rate_hz} Hz without {missing:?}: {last:.1} dBm0 at last");
        }
    }
}

#[test]
fn a_stream_that_begins_anew_or_with_a_gap_is_decoded_as_any_other() {
    if !has_library() {
        return;
    }
    for rate_hz in RATES_HZ {
        let mut decoder = decoder(rate_hz);
        let mut pcm = [0; MAX_FRAME_SAMPLES];
        let pcm = &mut pcm[..frame_samples(rate_hz)];
        for round in 0..3 {
            assert!(decoder.conceal(pcm));
            assert!(level_dbm0(pcm) < -60.0, "nothing was there to go on from");
            let mut heard = Vec::new();
            for payload in encode(rate_hz, Parameters::default(), 1, &tone(1_000.0, rate_hz, 600)) {
                decoder.decode(&payload, pcm).unwrap();
                heard.extend_from_slice(pcm);
            }
            let (level, of_tone) =
                (level_dbm0(&heard[heard.len() / 2..]), tone_level_dbm0(&heard[heard.len() / 2..], 1_000.0, rate_hz));
            assert!(
                (of_tone + 10.0).abs() < 1.0 && level - of_tone < 0.5,
                "{rate_hz} Hz, {round}: {of_tone} of {level} dBm0"
            );
            decoder.reset();
        }
    }
}

#[test]
fn the_receivers_wishes_are_read_and_nonsense_is_left_out() {
    let read = |pairs: &[(&str, &str)]| Parameters::from_fmtp(pairs.iter().copied());
    assert_eq!(read(&[]), Parameters::default());
    assert_eq!(
        read(&[("mode", "\"7,any\""), ("vbr", "vad"), ("cng", "on"), ("ptime", "40")]),
        Parameters { mode: Some(7), rate: Rate::SpeechOnly, comfort_noise: true }
    );
    assert_eq!(read(&[("mode", "\"any,4\"")]), Parameters::default());
    assert_eq!(read(&[("mode", "\"77,4\"")]).mode, Some(4));
    assert_eq!(read(&[("mode", "any"), ("vbr", "perhaps"), ("cng", "1")]), Parameters::default());
}

#[test]
fn takes_packets_of_speex_and_no_others() {
    // Nothing, nothing but a terminator, an unknown mode, a frame that is cut off.
    for payload in [&[][..], &[0x7f], &[0x50, 0, 0], &[0x08, 1, 2]] {
        assert_eq!(contents(payload), None, "{payload:x?}");
    }
    if !has_library() {
        return;
    }
    let mut pcm = [0; 1_920];
    assert_eq!(decoder(8_000).decode(&[0x7f], &mut pcm), Err(CodecError::Malformed));
    assert_eq!(encoder(8_000, Parameters::default()).encode(&[0; 80], &mut [0; 100]), Err(CodecError::BadFrameLength));
    assert_eq!(encoder(8_000, Parameters::default()).encode(&[0; 160], &mut [0; 9]), Err(CodecError::OutputTooSmall));
    let codec = Codec::new("Speex", 16_000, 1, []).unwrap();
    assert_eq!(codec.decoder(8_000).err(), Some(CodecError::BadSampleRate));
    assert_eq!(Codec::new("speex", 32_000, 1, []).err(), Some(CodecError::BadFormat));
}

#[test]
fn frames_of_nothing_are_silent_and_as_many_as_asked() {
    for frames in 1..=6 {
        let mut payload = [0; 8];
        let len = write_silence(frames, &mut payload).unwrap();
        assert_eq!(contents(&payload[..len]).map(|contents| contents.frames), Some(frames));
        if has_library() {
            let mut pcm = [9; 1_920];
            assert_eq!(decoder(16_000).decode(&payload[..len], &mut pcm), Ok(frames * 320));
            assert!(pcm[..frames * 320].iter().all(|sample| sample.abs() <= 8));
        }
    }
    assert_eq!(write_silence(6, &mut [0; 2]), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_and_any_losses_end_in_samples(
        packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..120), any::<bool>()), 1..12),
        rate_hz in prop::sample::select(RATES_HZ.to_vec()),
    ) {
        if has_library() {
            let mut decoder = decoder(rate_hz);
            let mut pcm = [0; 1_920];
            for (payload, is_lost) in packets {
                if is_lost {
                    prop_assert!(decoder.conceal(&mut pcm[..frame_samples(rate_hz)]));
                } else {
                    prop_assert_eq!(decoder.decode(&payload, &mut pcm).ok(), decoder.packet_samples(&payload));
                }
            }
        }
    }

    #[test]
    fn the_library_finds_every_frame_that_we_count(
        payload in prop::collection::vec(any::<u8>(), 1..120),
        rate_hz in prop::sample::select(RATES_HZ.to_vec()),
    ) {
        if has_library() && let Some(samples) = decoder(rate_hz).packet_samples(&payload) {
            let mut decoder = decoder(rate_hz);
            let frames = samples / frame_samples(rate_hz);
            let mut pcm = vec![0; frame_samples(rate_hz)];
            decoder.raw.begin(&payload);
            for number in 0..frames {
                // What it refuses, it complains of on the standard error output, which nobody wants from the network.
                prop_assert!(decoder.raw.next(&mut pcm, false), "frame {} of {}", number, frames);
            }
        }
    }
}
