//! What each fuzz target does with its bytes. Any bytes must end in a value or a drop.
//!
//! Plain functions, so that the crate's tests compile and run them on the stable compiler with every change; the
//! targets beside this file hand them to libFuzzer.

use std::time::{Duration, Instant};

use trunkline_media::dtls::{Certificate, Handshake, Role};
use trunkline_media::dtmf::{Detector, Received, Receiver};
use trunkline_media::ice::{Agent, Credentials, stun};
use trunkline_media::mac::{self, Backend};
use trunkline_media::net::{Path, SrtpProfile};
use trunkline_media::rtcp::{Compound, Packet};
use trunkline_media::rtp::{Header, Source};
use trunkline_media::sip;
use trunkline_media::srtp::Context;

/// An RTP packet, and the source that it would belong to.
pub(super) fn rtp(now: Instant, data: &[u8]) {
    let Ok(header) = Header::parse(data) else { return };
    assert!(header.payload.end <= data.len());
    let mut source = Source::new(8_000, 0);
    let _ = source.receive(now, &header);
    let _ = source.report();
}

/// A compound RTCP packet, or one of reduced size, read to its last block.
pub(super) fn rtcp(data: &[u8]) {
    let Ok(compound) = Compound::parse(data) else { return };
    for packet in compound.packets() {
        match packet {
            Packet::SenderReport(report) => drop(report.reports.count()),
            Packet::ReceiverReport { reports, .. } => drop(reports.count()),
            Packet::Sdes(names) => drop(names.cnames().count()),
            Packet::Bye(bye) => drop(bye.sources().count()),
            Packet::ExtendedReport(report) => drop(report.blocks().count()),
            _ => {}
        }
    }
}

/// A STUN message, read and judged by an agent.
pub(super) fn stun_message(now: Instant, data: &[u8]) {
    let _ = stun::local_ufrag(data);
    let mut agent = Agent::new(Credentials::from_random(&[7; Credentials::RANDOM_BYTES]), Duration::from_secs(30));
    let address = ([127, 0, 0, 1], 1).into();
    let answer = agent.handle_datagram(now, Path::new(address, address), data, &mut [0; 256]);
    assert!(answer.is_err() || agent.selected().is_none(), "nobody knows the password");
}

/// DTLS records at a server. certificate: made once, since that is slow.
pub(super) fn dtls(now: Instant, certificate: &Certificate, data: &[u8]) {
    let mut handshake = Handshake::new(now, certificate, Role::Server, Duration::from_secs(10));
    let _ = handshake.handle_datagram(now, data);
    let mut out = [0; 2_048];
    while handshake.poll_transmit(&mut out).is_some() {}
    while handshake.poll_event().is_some() {}
}

/// SRTP and SRTCP under each profile: the bytes as one packet, and cut into the packets of a turn.
///
/// Packets of a turn must fare as each would alone, and nothing may authenticate, unless somebody guesses 32 bits.
pub(super) fn srtp(data: &[u8]) {
    let cut = data.first().map_or(1, |first| 12 + usize::from(*first));
    let packets: Vec<&[u8]> = std::iter::once(data).chain(data.chunks(cut)).collect();
    for profile in SrtpProfile::ALL {
        let key = vec![1; profile.key_bytes()];
        let salt = vec![2; profile.salt_bytes()];
        let make = || Context::new(profile, &key, &salt);
        let (Ok(mut together), Ok(mut alone)) = (make(), make()) else { continue };
        let mut forecasts: Vec<_> = packets.iter().map(|packet| together.foresee_rtp(packet)).collect();
        let messages = forecasts.iter_mut().zip(&packets);
        mac::sign(Backend::detect(), messages.filter_map(|(forecast, packet)| forecast.as_mut()?.message(packet)));
        for (packet, forecast) in packets.iter().zip(&forecasts) {
            let outcome = together.unprotect_rtp_foreseen(&mut packet.to_vec(), forecast.as_ref());
            assert_eq!(outcome, alone.unprotect_rtp(&mut packet.to_vec()));
            assert!(outcome.is_err() || profile.rtp_tag_bytes() == 4);
            assert!(alone.unprotect_rtcp(&mut packet.to_vec()).is_err());
        }
    }
}

/// Telephone-event payloads: each chunk of eight bytes is a timestamp and an event. And the same bytes as audio.
pub(super) fn dtmf(now: Instant, data: &[u8]) {
    let mut receiver = Receiver::new(8_000);
    for chunk in data.chunks(8) {
        let (timestamp, payload) =
            chunk.split_first_chunk::<4>().map_or((0, chunk), |(four, rest)| (u32::from_be_bytes(*four), rest));
        let _ = receiver.handle_packet(now, timestamp, timestamp % 2 == 0, payload);
        while receiver.poll_event().is_some() {}
    }
    tones(data);
}

/// G.711-like audio: each byte is the upper half of a sample; one in 64 is a loss of so many samples. Keys that went
/// down must come up.
fn tones(data: &[u8]) {
    let Some(mut detector) = Detector::new(8_000) else { return };
    let mut is_down = false;
    let mut pcm = [0; 160];
    for chunk in data.chunks(pcm.len()) {
        for (sample, byte) in pcm.iter_mut().zip(chunk) {
            *sample = i16::from_be_bytes([*byte, 0]);
        }
        match chunk {
            [first, second, ..] if first % 64 == 0 => detector.lose(u32::from(*second) * 8),
            _ => detector.hear(&pcm[..chunk.len()]),
        }
        while let Some(event) = detector.poll_event() {
            assert_eq!(matches!(event, Received::Ended { .. }), is_down);
            is_down = !is_down;
        }
    }
    detector.finish();
    assert_eq!(detector.poll_event().is_some(), is_down);
}

/// A SIP message, and the same bytes as a value of each header. What is taken can be written and read again.
pub(super) fn sip_message(data: &[u8]) {
    let _ = (sip::Uri::parse(data).is_ok(), sip::CSeq::parse(data).is_ok(), sip::Via::parse(data).is_ok());
    if let Ok(address) = sip::NameAddr::parse(data) {
        assert!(address.parameters.iter().all(|(name, _)| sip::is_token(name)));
    }
    let Ok(message) = sip::read(data) else { return };
    assert!(message.headers.len() <= sip::MAX_HEADERS);
    let start_line = match &message.start {
        sip::Start::Status(status, reason) => [format!("SIP/2.0 {status} ").as_bytes(), reason].concat(),
        sip::Start::Request(method, uri) => [method, &b" "[..], uri, b" SIP/2.0"].concat(),
    };
    let written = message.headers.write(&start_line, message.body);
    let again = sip::read(&written);
    // Near the limits on lines and fields, names in full and a Content-Length of ours may be too much.
    if message.trouble.is_none() && data.len() <= sip::MAX_LINE_BYTES / 2 && message.headers.len() < sip::MAX_HEADERS {
        assert!(
            again.is_ok_and(|again| again.trouble.is_none() && again.body == message.body),
            "what we write can be read"
        );
    }
    drop(sip::Headers::of_response(&message.headers, Some(b"tag"), true).write(b"SIP/2.0 400 Bad Request", b""));
}
