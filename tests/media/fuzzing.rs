//! The bodies of the fuzz targets, compiled and run on the stable compiler.

use std::sync::LazyLock;

use proptest::prelude::*;
use trunkline_media::dsp::tone::Oscillator;
use trunkline_media::dtls::Certificate;

use crate::support::now;

#[path = "../../rust/fuzz/bodies.rs"]
mod bodies;

static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| Certificate::generate().unwrap());

/// Bytes that begin as the protocol does, so that they get past the first check.
fn beginning_with(start: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(move |rest| [start, &rest].concat())
}

proptest! {
    #[test]
    fn any_bytes_into_any_parser_end_in_a_value_or_a_drop(data in prop::collection::vec(any::<u8>(), 0..300)) {
        bodies::rtp(now(), &data);
        bodies::rtcp(&data);
        bodies::stun_message(now(), &data);
        bodies::srtp(&data);
        bodies::dtmf(now(), &data);
    }

    #[test]
    fn likely_rtp(data in beginning_with(&[0xb2, 0x80])) {
        bodies::rtp(now(), &data);
        bodies::srtp(&data);
    }

    #[test]
    fn likely_rtcp(data in beginning_with(&[0x81, 200, 0, 12])) {
        bodies::rtcp(&data);
        bodies::srtp(&data);
    }

    #[test]
    fn likely_extended_reports(mut data in beginning_with(&[0x80, 207, 0, 0, 0, 0, 0, 1, 7, 0, 0, 8])) {
        data.truncate(data.len() & !3);
        data[3] = u8::try_from(data.len() / 4 - 1).unwrap();
        bodies::rtcp(&data);
    }

    #[test]
    fn likely_stun(data in beginning_with(b"\0\x01\0\x40\x21\x12\xa4\x42aaaaaaaaaaaa\0\x06\0\x08")) {
        bodies::stun_message(now(), &data);
    }

    #[test]
    fn likely_dtmf(
        digit in 0_usize..16,
        damage in prop::collection::vec((0_usize..4_000, any::<u8>()), 0..60),
    ) {
        let mut pcm = [0; 4_000];
        let digit = char::from(b"0123456789*#ABCD"[digit]);
        Oscillator::dtmf(digit, 8_000).unwrap().with_cadence([500, 400]).fill(&mut pcm);
        let mut data: Vec<u8> = pcm.iter().map(|sample| sample.to_be_bytes()[0]).collect();
        for (place, byte) in damage {
            data[place] = byte;
        }
        bodies::dtmf(now(), &data);
    }

    #[test]
    fn likely_dtls(data in beginning_with(&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1, 0, 0, 48, 0, 0])) {
        bodies::dtls(now(), &CERTIFICATE, &data);
    }
}
