use proptest::prelude::*;

use super::*;
use crate::codecs::{Codec, Decoder as _, Encoder as _};
use crate::dsp::testing::{level_dbm0, tone_level_dbm0};
use crate::dsp::tone::Oscillator;

fn encoder(settings: EncoderSettings, fmtp: &[(&str, &str)]) -> Encoder {
    Encoder::new(&settings, &Parameters::from_fmtp(fmtp.iter().copied())).unwrap()
}

fn at(sample_rate_hz: u32) -> EncoderSettings {
    EncoderSettings { sample_rate_hz, ..EncoderSettings::default() }
}

/// Payloads of a tone in frames of `frame_ms`.
fn payloads(encoder: &mut Encoder, frequency_hz: f64, frame_ms: u32, frames: usize) -> Vec<Vec<u8>> {
    let rate_hz = encoder.sample_rate_hz;
    let mut oscillator = Oscillator::new(&[frequency_hz], -10.0, rate_hz);
    let mut pcm = vec![0; (rate_hz / 1_000 * frame_ms) as usize];
    let mut packets = Vec::new();
    for _ in 0..frames {
        oscillator.fill(&mut pcm);
        let mut payload = vec![0; 1_460];
        let Encoded::Payload(length) = encoder.encode(&pcm, &mut payload).unwrap() else { panic!("no payload") };
        payload.truncate(length);
        packets.push(payload);
    }
    packets
}

#[test]
fn carries_a_tone_at_every_rate_and_between_rates() {
    for encoder_hz in SAMPLE_RATES_HZ {
        let packets = payloads(&mut encoder(at(encoder_hz), &[]), 440.0, 20, 50);
        for decoder_hz in SAMPLE_RATES_HZ {
            let mut decoder = Decoder::new(decoder_hz).unwrap();
            let mut heard = Vec::new();
            for payload in &packets {
                let mut pcm = [0; 5_760];
                let samples = decoder.decode(payload, &mut pcm).unwrap();
                assert_eq!(samples, decoder_hz as usize / 50);
                heard.extend(&pcm[..samples]);
            }
            let level = tone_level_dbm0(&heard[heard.len() / 2..], 440.0, decoder_hz);
            assert!((level - -10.0).abs() < 1.5, "{encoder_hz} to {decoder_hz} Hz: {level} dBm0");
        }
    }
}

#[test]
fn codes_and_decodes_all_packet_lengths_up_to_120_ms() {
    for units in [1, 2] {
        // SILK has none of 2.5 and 5 ms; at 48 kHz there is the other layer.
        let mut encoder = encoder(at(48_000), &[]);
        let (mut pcm, mut payload) = (vec![9; samples(48_000, units)], [0; 1_460]);
        let Ok(Encoded::Payload(len)) = encoder.encode(&pcm, &mut payload) else { panic!("no payload") };
        for rate_hz in SAMPLE_RATES_HZ {
            pcm.resize(samples(rate_hz, units), 0);
            assert_eq!(Decoder::new(rate_hz).unwrap().decode(&payload[..len], &mut pcm), Ok(pcm.len()));
        }
    }
    for (units, ms) in [(4, 10), (8, 20), (16, 40), (24, 60), (32, 80), (40, 100), (48, 120)] {
        let packets = payloads(&mut encoder(at(8_000), &[]), 440.0, ms, 3);
        let mut decoder = Decoder::new(8_000).unwrap();
        let mut pcm = [0; 960];
        assert_eq!(decoder.packet_samples(&packets[0]), Some(samples(8_000, units)));
        assert_eq!(decoder.decode(&packets[0], &mut pcm), Ok(samples(8_000, units)), "{ms} ms");
    }
    let mut encoder = encoder(at(8_000), &[]);
    assert_eq!(encoder.encode(&[0; 161], &mut [0; 1_460]), Err(CodecError::BadFrameLength));
    assert!(encoder.is_frame_length(80) && !encoder.is_frame_length(0) && !encoder.is_frame_length(240 + 1));
    assert!(!encoder.is_frame_length(40), "SILK has no frame of 5 ms");
}

/// Packets of 20 ms with one tone on the left and another on the right.
fn stereo_payloads(left_hz: f64, right_hz: f64, packets: usize) -> Vec<Vec<u8>> {
    let mut error = ffi::OPUS_OK;
    // SAFETY: any arguments are allowed; `error` outlives the call.
    let state = unsafe { ffi::opus_encoder_create(48_000, 2, ffi::OPUS_APPLICATION_AUDIO, &raw mut error) };
    assert!(!state.is_null());
    let mut sides = [left_hz, right_hz].map(|hz| Oscillator::new(&[hz], -10.0, 48_000));
    let made = (0..packets)
        .map(|_| {
            let [mut left, mut right] = [[0; 960]; 2];
            sides[0].fill(&mut left);
            sides[1].fill(&mut right);
            let pcm: Vec<i16> = left.iter().zip(&right).flat_map(|(&left, &right)| [left, right]).collect();
            let mut payload = vec![0; 1_460];
            // SAFETY: the state is live and stereo, so it reads twice 960 samples and writes at most 1,460 bytes.
            let len = unsafe { ffi::opus_encode(state, pcm.as_ptr(), 960, payload.as_mut_ptr(), 1_460) };
            payload.truncate(usize::try_from(len).unwrap());
            payload
        })
        .collect();
    // SAFETY: made above, and not used again.
    unsafe { ffi::opus_encoder_destroy(state) };
    made
}

#[test]
fn both_sides_of_stereo_are_heard_at_every_rate() {
    let packets = stereo_payloads(440.0, 1_200.0, 50);
    assert!(packets.iter().all(|payload| payload[0] & 0x04 != 0), "the stereo bit (RFC 6716 section 3.1)");
    for rate_hz in SAMPLE_RATES_HZ {
        let mut decoder = Decoder::new(rate_hz).unwrap();
        let (mut heard, mut pcm) = (Vec::new(), [0; 5_760]);
        for payload in &packets {
            let samples = decoder.decode(payload, &mut pcm).unwrap();
            heard.extend(&pcm[..samples]);
        }
        for frequency_hz in [440.0, 1_200.0] {
            let level = tone_level_dbm0(&heard[heard.len() / 2..], frequency_hz, rate_hz);
            // The mean of both sides: 6 dB less of each.
            assert!((level - -16.0).abs() < 1.5, "{frequency_hz} Hz at {rate_hz} Hz: {level} dBm0");
        }
    }
}

#[test]
fn mixes_stereo_down_to_mono() {
    // TOC 31 (CELT, fullband, 20 ms, one frame): the stereo bit (0x04) changes nothing about the samples that come out.
    let mut decoder = Decoder::new(48_000).unwrap();
    for toc in [0xf8, 0xf8 | 0x04] {
        let payload = [toc, 0xff, 0xfe];
        assert_eq!(decoder.packet_samples(&payload), Some(960));
        assert_eq!(decoder.decode(&payload, &mut [0; 960]), Ok(960));
    }
}

#[test]
fn conceals_a_lost_packet() {
    let packets = payloads(&mut encoder(at(8_000), &[]), 300.0, 20, 50);
    let mut decoder = Decoder::new(8_000).unwrap();
    let mut pcm = [0; 160];
    for payload in &packets {
        assert_eq!(decoder.decode(payload, &mut pcm), Ok(160));
    }
    assert!(decoder.conceal(&mut pcm));
    // Opus fades at once.
    let level = level_dbm0(&pcm);
    assert!((-18.0..-9.0).contains(&level), "{level} dBm0");
}

#[test]
fn concealment_is_never_louder_than_what_it_replaces() {
    // Dial tone at 8 kHz: the case in which the library rings at full scale.
    for frequencies_hz in [&[350.0, 440.0][..], &[150.0, 300.0, 450.0, 600.0]] {
        let mut encoder = encoder(at(8_000), &[]);
        let mut oscillator = Oscillator::new(frequencies_hz, -26.0, 8_000);
        let mut decoder = Decoder::new(8_000).unwrap();
        let (mut pcm, mut payload, mut before) = ([0; 160], [0; 1_460], 0.0);
        for number in 0..300 {
            oscillator.fill(&mut pcm);
            let Ok(Encoded::Payload(length)) = encoder.encode(&pcm, &mut payload) else { panic!("no payload") };
            if number % 13 == 12 {
                assert!(decoder.conceal(&mut pcm));
                let level = level_dbm0(&pcm);
                assert!(level <= before + 0.1, "{level} dBm0 after {before}");
            } else {
                decoder.decode(&payload[..length], &mut pcm).unwrap();
                before = level_dbm0(&pcm);
            }
        }
    }
}

#[test]
fn recovers_a_lost_packet_from_the_next_one() {
    let settings = EncoderSettings { expected_loss_percent: 20, ..at(16_000) };
    let mut encoder = encoder(settings, &[("useinbandfec", "1")]);
    // One tone after the other, and the packet that is lost is the first of the second one.
    let mut packets = payloads(&mut encoder, 300.0, 20, 40);
    packets.extend(payloads(&mut encoder, 900.0, 20, 2));
    let level_of_second_tone = |fill_gap: &dyn Fn(&mut Decoder, &mut [i16])| {
        let mut decoder = Decoder::new(16_000).unwrap();
        let mut pcm = [0; 320];
        for payload in &packets[..40] {
            decoder.decode(payload, &mut pcm).unwrap();
        }
        fill_gap(&mut decoder, &mut pcm);
        tone_level_dbm0(&pcm, 900.0, 16_000)
    };
    let concealed = level_of_second_tone(&|decoder, pcm| assert!(decoder.conceal(pcm)));
    let recovered = level_of_second_tone(&|decoder, pcm| {
        assert!(decoder.has_redundancy(&packets[41]));
        assert_eq!(decoder.decode_redundancy(&packets[41], pcm), Ok(()));
    });
    assert!(concealed < -30.0 && recovered > -18.0, "900 Hz: {concealed} concealed, {recovered} recovered");
}

#[test]
fn adds_no_redundancy_for_a_receiver_that_did_not_ask() {
    let settings = EncoderSettings { expected_loss_percent: 20, ..at(16_000) };
    let packets = payloads(&mut encoder(settings, &[]), 300.0, 20, 40);
    let decoder = Decoder::new(16_000).unwrap();
    assert!(packets.iter().all(|payload| !decoder.has_redundancy(payload)));
}

#[test]
fn stops_sending_in_silence_only_if_asked_to() {
    for (fmtp, stops) in [(&[("usedtx", "1")][..], true), (&[], false)] {
        let mut encoder = encoder(at(8_000), fmtp);
        let mut payload = [0; 1_460];
        let silent = (0..100).filter(|_| encoder.encode(&[0; 160], &mut payload) == Ok(Encoded::Silence)).count();
        assert_eq!(silent > 50, stops, "{silent} of 100 frames not sent");
    }
}

#[test]
fn keeps_to_the_bitrate_that_the_receiver_allows() {
    let bytes = |fmtp: &[(&str, &str)]| {
        let settings = EncoderSettings { bitrate_bps: 64_000, ..at(48_000) };
        payloads(&mut encoder(settings, fmtp), 440.0, 20, 100).iter().map(Vec::len).sum::<usize>()
    };
    let limited = bytes(&[("maxaveragebitrate", "16000"), ("cbr", "1")]);
    assert!(limited <= 2 * 16_000 / 8 * 11 / 10, "{limited} bytes in 2 s");
    assert!(bytes(&[("maxaveragebitrate", "nonsense")]) > limited);
}

#[test]
fn refuses_rates_that_opus_does_not_have() {
    assert_eq!(Decoder::new(44_100).err(), Some(CodecError::BadSampleRate));
    assert_eq!(Codec::new("opus", 48_000, 2, []).unwrap().encoder(&at(11_025)).err(), Some(CodecError::BadSampleRate));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_decode_or_fail_and_leave_the_decoder_usable(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
        is_lost: u32,
    ) {
        let mut decoder = Decoder::new(8_000).unwrap();
        let mut pcm = [0; 960];
        for (number, payload) in packets.iter().enumerate() {
            if is_lost >> number & 1 == 1 {
                decoder.conceal(&mut pcm[..80]);
            }
            let expected = decoder.packet_samples(payload);
            let decoded = decoder.decode(payload, &mut pcm);
            prop_assert!(decoded.is_err() || decoded.ok() == expected);
            if decoder.has_redundancy(payload) {
                let _ = decoder.decode_redundancy(payload, &mut pcm[..160]);
            }
        }
        let good = &payloads(&mut encoder(at(8_000), &[]), 440.0, 20, 1)[0];
        prop_assert_eq!(decoder.decode(good, &mut pcm), Ok(160));
    }
}

#[test]
fn complexity_is_chosen_by_the_sample_rate_unless_it_is_given() {
    let complexity_of = |encoder: &Encoder| {
        let mut value = 0;
        // SAFETY: the state is live, and the request writes one integer.
        let answer =
            unsafe { ffi::opus_encoder_ctl(encoder.state.as_ptr(), ffi::OPUS_GET_COMPLEXITY_REQUEST, &raw mut value) };
        assert_eq!(answer, ffi::OPUS_OK);
        value
    };
    let asked =
        |sample_rate_hz, complexity| complexity_of(&encoder(EncoderSettings { complexity, ..at(sample_rate_hz) }, &[]));
    assert_eq!([8_000, 16_000, 48_000].map(|rate_hz| asked(rate_hz, None)), [0, 2, 5]);
    assert_eq!([8_000, 48_000].map(|rate_hz| asked(rate_hz, Some(7))), [7, 7]);
    // With less there would be no redundancy.
    let mut encoder = encoder(EncoderSettings { expected_loss_percent: 5, ..at(8_000) }, &[("useinbandfec", "1")]);
    let complexities = [5, 0, 1].map(|percent| {
        encoder.set_expected_loss(percent);
        complexity_of(&encoder)
    });
    assert_eq!(complexities, [2, 0, 2]);
}
