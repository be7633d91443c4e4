mod agreement;
mod doubts;

use std::path::PathBuf;

use proptest::prelude::*;

use super::bitstream::{Frame, SID_BYTES, SPEECH_BYTES, Sid, Speech};
use super::frame_decoder::FrameDecoder;
use super::frame_encoder::FrameEncoder;
use super::{L_FRAME, SILENT_FRAME, frame_count};
use crate::codecs::{Codec, CodecError, Encoded, EncoderSettings};

/// The test sequences of the Recommendation, which are not ours to give away: a folder that holds `itu-g729a`.
fn sequences() -> Option<PathBuf> {
    let folder =
        std::env::var_os("TRUNKLINE_VECTORS").map_or_else(|| PathBuf::from("../shared/vectors"), PathBuf::from);
    let folder = folder.join("itu-g729a");
    if !folder.is_dir() {
        eprintln!("skipped: {} is missing; ITU-T G.729 Release 2 has the sequences of Annex A", folder.display());
        return None;
    }
    Some(folder)
}

#[expect(clippy::disallowed_methods, reason = "a test reads its vectors")]
fn words(path: PathBuf) -> Vec<i16> {
    let bytes = std::fs::read(path).unwrap();
    bytes.as_chunks().0.iter().map(|&pair| i16::from_le_bytes(pair)).collect()
}

/// Frames of the Recommendation's serial format: a word for a bit, after a word for synchronization and one for the size.
fn frames(serial: &[i16]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut rest = serial;
    while let [sync, size, tail @ ..] = rest {
        let (bits, tail) = tail.split_at(usize::try_from(*size).unwrap());
        rest = tail;
        let mut bytes = [0; SPEECH_BYTES];
        for (at, &bit) in bits.iter().enumerate() {
            bytes[at / 8] |= u8::from(bit == 0x81) << (7 - at % 8);
        }
        frames.push(match (bits.len(), *sync) {
            (80, _) if !bits.contains(&0) => Frame::Speech(Speech::read(&bytes)),
            (16, _) if !bits.contains(&0) => Frame::Sid(Sid::read([bytes[0], bytes[1]])),
            (0, 0x6b21) => Frame::Untransmitted,
            _ => Frame::Lost,
        });
    }
    frames
}

#[test]
fn decodes_the_sequences_of_annex_a_bit_by_bit() {
    let Some(folder) = sequences() else { return };
    for name in ["ALGTHM", "ERASURE", "FIXED", "LSP", "OVERFLOW", "PARITY", "PITCH", "SPEECH", "TAME", "TEST"] {
        let extension = if name == "TEST" { "pst" } else { "PST" };
        let expected = words(folder.join(name).with_extension(extension));
        let serial = frames(&words(folder.join(name).with_extension("BIT")));
        assert_eq!(serial.len() * L_FRAME, expected.len(), "{name}");
        let mut decoder = FrameDecoder::new();
        for (number, (frame, expected)) in serial.into_iter().zip(expected.as_chunks().0).enumerate() {
            let mut pcm = [0; L_FRAME];
            decoder.decode(frame, &mut pcm);
            assert_eq!(pcm, *expected, "{name}, frame {number}");
        }
    }
}

#[test]
fn encodes_the_sequences_of_annex_a_bit_by_bit() {
    let Some(folder) = sequences() else { return };
    for name in ["ALGTHM", "FIXED", "LSP", "PITCH", "SPEECH", "TAME", "TEST"] {
        let expected = frames(&words(folder.join(name).with_extension("BIT")));
        let speech = words(folder.join(name).with_extension("IN"));
        let speech = speech.as_chunks().0;
        assert_eq!(speech.len(), expected.len(), "{name}");
        let mut encoder = FrameEncoder::new(false);
        for (number, (pcm, expected)) in speech.iter().zip(expected).enumerate() {
            assert_eq!(encoder.encode(pcm), expected, "{name}, frame {number}");
        }
    }
}

/// Four seconds that begin with speech-like pulses, then have background noise, clipping, silence and noise again.
fn sample() -> Vec<i16> {
    let mut seed = 1_u32;
    let mut past = [0_i32; 2];
    let sound = |n: i32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = i32::try_from(seed >> 16).unwrap() - 32_768;
        let pulse = if n % (50 + n / 400) == 0 { 12_000 } else { noise / 64 };
        // A resonance near 600 Hz.
        let voice = pulse + (past[0] * 1_700 - past[1] * 950) / 1_024;
        past = [voice.clamp(-60_000, 60_000), past[0]];
        let sample = match n / 800 % 40 {
            0..12 | 22..26 => voice / 2,
            12..18 | 34..40 => noise / 256,
            18..22 => voice * 4,
            _ => 0,
        };
        i16::try_from(sample.clamp(-32_768, 32_767)).unwrap()
    };
    (0..32_000).map(sound).collect()
}

fn codec(annex_b: &str) -> Codec {
    Codec::new("G729", 8_000, 1, [("annexb", annex_b)]).unwrap()
}

/// Payloads of packets of so many frames; None where nothing is sent.
fn encode(pcm: &[i16], codec: &Codec, frames: usize) -> Vec<Option<Vec<u8>>> {
    let mut encoder = codec.encoder(&EncoderSettings::default()).unwrap();
    pcm.chunks_exact(frames * L_FRAME)
        .map(|pcm| {
            let mut payload = [0; 120];
            match encoder.encode(pcm, &mut payload).unwrap() {
                Encoded::Payload(len) => Some(payload[..len].to_vec()),
                Encoded::Silence => None,
            }
        })
        .collect()
}

fn checksum(bytes: impl IntoIterator<Item = u8>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    bytes.into_iter().for_each(|byte| hasher.update(&[byte]));
    hasher.finalize()
}

/// What comes out where each `lost`-th packet is lost.
fn decode(packets: &[Option<Vec<u8>>], codec: &Codec, frames: usize, lost: usize) -> Vec<i16> {
    let mut decoder = codec.decoder(8_000).unwrap();
    let mut pcm = vec![0; packets.len() * frames * L_FRAME];
    for (number, (packet, pcm)) in packets.iter().zip(pcm.chunks_exact_mut(frames * L_FRAME)).enumerate() {
        let decoded = match packet {
            Some(payload) if number % lost != lost - 1 => decoder.decode(payload, pcm).unwrap(),
            _ => 0,
        };
        decoder.conceal(&mut pcm[decoded..]);
    }
    pcm
}

/// The checksums are those of the Recommendation's own program.
#[test]
fn gives_the_same_bits_as_the_recommendation() {
    let sample = sample();
    for (annex_b, coded, decoded, concealed) in PINNED {
        let packets = encode(&sample, &codec(annex_b), 1);
        let bytes = packets.iter().flatten().flatten().copied();
        assert_eq!(checksum(bytes), coded, "annexb={annex_b}: coded");
        let checksum_of =
            |lost| checksum(decode(&packets, &codec(annex_b), 1, lost).iter().flat_map(|s| s.to_le_bytes()));
        assert_eq!(checksum_of(usize::MAX), decoded, "annexb={annex_b}: decoded");
        assert_eq!(checksum_of(7), concealed, "annexb={annex_b}: concealed");
    }
}

const PINNED: [(&str, u32, u32, u32); 2] =
    [("no", 0x4038_f401, 0x319f_971f, 0x2c42_fa87), ("yes", 0x0003_86cc, 0x702c_1dd4, 0x4d5c_a4a7)];

#[test]
fn packs_silence_behind_speech_and_says_nothing_of_steady_noise() {
    let sample = sample();
    for frames in [1, 2, 3, 6] {
        let packets = encode(&sample, &codec("yes"), frames);
        let sizes: Vec<usize> = packets.iter().flatten().map(Vec::len).collect();
        assert!(sizes.iter().all(|len| matches!(len % SPEECH_BYTES, 0 | SID_BYTES) && *len <= frames * SPEECH_BYTES));
        assert!(sizes.iter().any(|len| len % SPEECH_BYTES == SID_BYTES), "{frames}: described");
        assert!(packets.iter().filter(|packet| packet.is_none()).count() > packets.len() / 8, "{frames}: left out");
        let decoder = codec("yes").decoder(8_000).unwrap();
        for payload in packets.iter().flatten() {
            assert_eq!(decoder.is_silence(payload), payload.len() % SPEECH_BYTES == SID_BYTES);
        }
        // Speech that begins amid a packet is all there: the packet is as long as its time.
        let begins = packets.windows(2).filter(|pair| pair[0].is_none()).filter_map(|pair| pair[1].as_ref());
        for payload in begins.filter(|payload| payload.len() >= SPEECH_BYTES) {
            assert!(payload.len() > (frames - 1) * SPEECH_BYTES, "{frames}: {}", payload.len());
        }
    }
}

#[test]
fn sends_every_frame_to_who_forbids_silence() {
    for packet in encode(&sample(), &codec("no"), 2) {
        assert_eq!(packet.map(|payload| payload.len()), Some(2 * SPEECH_BYTES));
    }
}

#[test]
fn noise_goes_on_at_its_level_where_nothing_is_sent() {
    let mut seed = 7_u32;
    let noise: Vec<i16> = (0..24_000)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            i16::try_from((seed >> 16) % 600).unwrap() - 300
        })
        .collect();
    let packets = encode(&noise, &codec("yes"), 2);
    assert!(packets[100..].iter().flatten().count() < 20, "mostly nothing is sent");
    let heard = decode(&packets, &codec("yes"), 2, usize::MAX);
    let level = |pcm: &[i16]| pcm.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>().sqrt();
    let ratio = level(&heard[16_000..]) / level(&noise[16_000..]);
    assert!((0.4..1.6).contains(&ratio), "{ratio}");
}

#[test]
fn half_the_packets_lost_fade_and_never_roar() {
    let sample = sample();
    for frames in [1, 2, 6] {
        let packets = encode(&sample[..9_600], &codec("no"), frames);
        let loud = |pcm: &[i16]| pcm.iter().map(|s| s.unsigned_abs()).max().unwrap();
        let whole = decode(&packets, &codec("no"), frames, usize::MAX);
        let torn = decode(&packets, &codec("no"), frames, 2);
        assert!(u32::from(loud(&torn)) <= u32::from(loud(&whole)) * 2, "{} {}", loud(&torn), loud(&whole));
    }
    let mut decoder = codec("no").decoder(8_000).unwrap();
    let packets = encode(&sample[..9_600], &codec("no"), 1);
    let mut pcm = [0; L_FRAME];
    for payload in packets.iter().flatten() {
        decoder.decode(payload, &mut pcm).unwrap();
    }
    let mut long = [0; 100 * L_FRAME];
    decoder.conceal(&mut long);
    assert!(long[80 * L_FRAME..].iter().all(|sample| sample.abs() < 100), "a long loss has faded");
}

#[test]
fn the_silent_frame_is_silent_after_speech() {
    let packets = encode(&sample()[..9_600], &codec("no"), 1);
    let mut decoder = codec("no").decoder(8_000).unwrap();
    let mut pcm = [0; L_FRAME];
    for payload in packets.iter().flatten() {
        decoder.decode(payload, &mut pcm).unwrap();
    }
    for _ in 0..8 {
        decoder.decode(&SILENT_FRAME, &mut pcm).unwrap();
    }
    assert!(pcm.iter().all(|sample| sample.abs() <= 8), "{pcm:?}");
}

#[test]
fn refuses_what_is_no_packet_and_no_frame() {
    let mut decoder = codec("yes").decoder(8_000).unwrap();
    let mut pcm = [0; 12 * L_FRAME];
    for len in [0, 1, 3, 9, 11, 13, 15, 121, 122, 130, 1_400] {
        assert_eq!(decoder.decode(&vec![0x55; len], &mut pcm), Err(CodecError::Malformed), "{len}");
    }
    assert_eq!(decoder.decode(&[0; 12], &mut pcm[..100]), Err(CodecError::OutputTooSmall));
    assert_eq!(decoder.decode(&[0; 12], &mut pcm), Ok(2 * L_FRAME));
    assert_eq!(decoder.decode(&[0; 112], &mut pcm), Ok(12 * L_FRAME));
    let mut encoder = codec("yes").encoder(&EncoderSettings::default()).unwrap();
    assert_eq!(encoder.encode(&[0; 81], &mut [0; 100]), Err(CodecError::BadFrameLength));
    assert_eq!(encoder.encode(&[0; 160], &mut [0; 19]), Err(CodecError::OutputTooSmall));
    assert_eq!(codec("no").decoder(16_000).err(), Some(CodecError::BadSampleRate));
}

/// A quarter of a second of anything: full-scale noise, rectangles, constants, silence.
fn any_sound() -> impl Strategy<Value = Vec<i16>> {
    let stretch = prop_oneof![
        prop::collection::vec(any::<i16>(), 160..400),
        (any::<i16>(), 1_usize..200).prop_map(|(level, period)| {
            (0..400).map(|n| if n / period % 2 == 0 { level } else { !level }).collect()
        }),
        any::<i16>().prop_map(|level| vec![level; 300]),
        Just(vec![0; 400]),
    ];
    prop::collection::vec(stretch, 6).prop_map(|stretches| stretches.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_bytes_are_decoded_or_refused(packets in prop::collection::vec(
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            prop::collection::vec(any::<u8>(), 10),
            prop::collection::vec(any::<u8>(), 22),
            Just(Vec::new()),
        ],
        1..40,
    )) {
        let mut decoder = codec("yes").decoder(8_000).unwrap();
        let mut pcm = [0; 12 * L_FRAME];
        for packet in packets {
            let samples = frame_count(&packet).map(|frames| frames * L_FRAME).ok_or(CodecError::Malformed);
            prop_assert_eq!(decoder.decode(&packet, &mut pcm), samples);
            decoder.conceal(&mut pcm[..L_FRAME]);
        }
    }

    #[test]
    fn any_sound_is_coded_and_decoded(pcm in any_sound(), frames in 1_usize..4) {
        for annex_b in ["yes", "no"] {
            let packets = encode(&pcm, &codec(annex_b), frames);
            decode(&packets, &codec(annex_b), frames, 3);
        }
    }

    #[test]
    fn frames_are_read_as_they_were_written(bytes: [u8; SPEECH_BYTES], sid: [u8; SID_BYTES]) {
        let mut written = [0; SPEECH_BYTES];
        Speech::read(&bytes).write(&mut written);
        prop_assert_eq!(written, bytes);
        prop_assert_eq!(Sid::read(sid).write(), [sid[0], sid[1] & 0xfe]);
    }
}
