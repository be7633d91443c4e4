//! The bodies of the fuzz targets, compiled and run on the stable compiler.

use std::sync::LazyLock;

use proptest::prelude::*;
use trunkline_media::dsp::tone::Oscillator;
use trunkline_media::dtls::Certificate;

use crate::support::now;

#[path = "../../rust/fuzz/bodies.rs"]
mod bodies;
#[path = "../../rust/fuzz/sound.rs"]
mod sound;

static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| Certificate::generate().unwrap());

/// A script for the bodies of sound: any bytes, and lines whose payloads are as long as packets are.
fn script() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..255),
        prop::sample::select(vec![1_usize, 2, 10, 12, 20, 22, 80, 160, 240])
            .prop_flat_map(|len| prop::collection::vec(any::<u8>(), len)),
        // Opus, any mode, frames of one size, and no more than a frame of G.729.
        (any::<u8>(), prop::collection::vec(any::<u8>(), 1..80))
            .prop_map(|(toc, rest)| [&[toc & 0xfc][..], &rest].concat()),
    ];
    let line = (any::<u8>(), any::<u8>(), payload).prop_map(|(verb, number, payload)| {
        [&[verb, number, u8::try_from(payload.len()).unwrap()][..], &payload].concat()
    });
    prop::collection::vec(line, 0..24).prop_map(|lines| lines.concat())
}

/// Coding sound takes longer than parsing.
fn a_quarter() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: (usual.cases / 4).max(1), failure_persistence: None, ..usual }
}

/// Bytes that begin as the protocol does, so that they get past the first check.
fn beginning_with(start: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(move |rest| [start, &rest].concat())
}

const INVITE: &[u8] = b"INVITE sip:+4969@gateway.example:5060;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bKa1;rport\r\n\
    v: SIP / 2.0 / TCP [2001:db8::1];branch=z9hG4bKb2 , SIP/2.0/UDP h\r\n\
    Max-Forwards: 69\r\n\
    From: \"Alice \\\"A\\\" Example\" <sip:alice:secret@example.com;user=phone>;tag=as1\r\n\
    To: <tel:+4969>\r\n\
    Call-ID: 1@203.0.113.20\r\n\
    CSeq: 102 INVITE\r\n\
    m: Alice <sip:alice@203.0.113.20?Subject=x%20y>;q=0.7,\r\n sip:b@h;expires=1\r\n\
    Record-Route: <sip:198.51.100.7;lr;ftag=as1>\r\n\
    Content-Length: 3\r\n\
    \r\n\
    v=0";

/// What may stand in a SIP message, above all where it should not.
fn sip_piece() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(vec![
        &b""[..],
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b"\t",
        b";",
        b",",
        b"<",
        b">",
        b"\"",
        b"\\",
        b"\0",
        b"@",
        b":",
        b"%41",
        b"%4",
        b"?",
        b"=",
        b"\xff",
        b"\r\n ",
        b"[::",
        b"99999999999999999999",
        b"SIP/2.0 200 OK\r\n",
        b"l: 0\r\n",
        b"To: <sip:a@b>\r\n",
    ])
}

proptest! {
    #[test]
    fn any_bytes_into_any_parser_end_in_a_value_or_a_drop(data in prop::collection::vec(any::<u8>(), 0..300)) {
        bodies::rtp(now(), &data);
        bodies::rtcp(&data);
        bodies::stun_message(now(), &data);
        bodies::srtp(&data);
        bodies::dtmf(now(), &data);
        bodies::sip_message(&data);
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
    fn likely_sip(damage in prop::collection::vec((0_usize..INVITE.len(), 0_usize..3, sip_piece()), 0..6)) {
        let mut data = INVITE.to_vec();
        for (place, removed, piece) in damage {
            let place = place.min(data.len());
            data.splice(place..(place + removed).min(data.len()), piece.iter().copied());
        }
        bodies::sip_message(&data);
    }

    #[test]
    fn likely_dtls(data in beginning_with(&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 60, 1, 0, 0, 48, 0, 0])) {
        bodies::dtls(now(), &CERTIFICATE, &data);
    }
}

proptest! {
    #![proptest_config(a_quarter())]

    #[test]
    fn any_packets_into_any_decoder_are_sound_or_refused(choice: u8, script in script()) {
        sound::decoder(&[&[choice][..], &script].concat());
    }

    #[test]
    fn any_packets_at_any_time_leave_a_jitter_buffer_in_order(choice: u8, script in script()) {
        sound::playout(now(), &[&[choice][..], &script].concat());
    }

    #[test]
    fn any_packets_between_any_two_codecs_become_sound_packets(from: u8, to: u8, script in script()) {
        sound::pipeline(now(), &[&[from, to][..], &script].concat());
    }
}
