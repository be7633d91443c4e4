//! A call between G.711's two laws: every packet goes on at once, with its bytes converted.

use std::time::Duration;

use trunkline_media::bridge::{Muted, StreamParameters, Voice};
use trunkline_media::codecs::{alaw_to_ulaw, ulaw_to_alaw};
use trunkline_media::endpoint::SocketIds;
use trunkline_media::net::{SeqNo, Ssrc};
use trunkline_media::outbox::SocketId;
use trunkline_media::pipeline::Format;
use trunkline_media::rtp::Header;

use crate::support::memory::Lab;
use crate::support::sound::{Listener, Speaker};
use crate::support::{opus, pcma, pcmu, stream};

const A: SocketIds = SocketIds { rtp: SocketId(1), rtcp: SocketId(2) };
const B: SocketIds = SocketIds { rtp: SocketId(3), rtcp: SocketId(4) };

/// A leg that sends in A's format, joined to one that takes `formats`.
fn call(from: Format, formats: &[Format], ptime_ms: u32) -> (Lab, [trunkline_media::bridge::LegIndex; 2]) {
    let mut lab = Lab::new();
    let a = lab.rtp_leg_on(A, &stream(&[from]));
    let b = lab.rtp_leg_on(B, &StreamParameters { ptime_ms, ..stream(formats) });
    lab.bridge.join(a, b).unwrap();
    (lab, [a, b])
}

fn packet(format: Format, number: u16, payload: &[u8]) -> Vec<u8> {
    let header = Header::new(format.pt, SeqNo(65_530_u16.wrapping_add(number)), u32::from(number) * 160, Ssrc(77));
    let mut data = vec![0; 12];
    header.write(&mut data).unwrap();
    data.extend(payload);
    data
}

#[test]
fn each_packet_goes_on_at_once_by_the_tables_of_the_recommendation() {
    for (from, to, convert) in
        [(pcma(), pcmu(), alaw_to_ulaw as fn(u8) -> u8), (pcmu(), pcma(), ulaw_to_alaw as fn(u8) -> u8)]
    {
        // Opus would be liked better there, but says nothing that the other law does not.
        let (mut lab, [a, _]) = call(from, &[opus(), to], 20);
        let mut last: Option<Header> = None;
        // The third packet is lost, and its place stays empty; one is as long as none of ours is.
        for (number, length) in [(0, 160), (1, 160), (3, 160), (4, 37)] {
            let payload: Vec<u8> = (0..length).map(|place: u16| (place + 31 * number).to_le_bytes()[0]).collect();
            lab.rtp_datagram(a, &mut packet(from, number, &payload)).unwrap();
            let sent = lab.sent_through(B.rtp);
            assert_eq!(sent.len(), 1, "one packet for one, and no wait");
            let header = Header::parse(&sent[0]).unwrap();
            let expected: Vec<u8> = payload.iter().map(|&byte| convert(byte)).collect();
            assert_eq!((header.pt, header.payload_of(&sent[0])), (to.pt, &expected[..]));
            if let Some(last) = last {
                let packets = if number == 3 { 2 } else { 1 };
                assert_eq!(header.seq, SeqNo(last.seq.0 + packets));
                assert_eq!(header.timestamp - last.timestamp, u32::from(packets) * 160);
            }
            last = Some(header);
            lab.advance(Duration::from_millis(20));
            assert!(lab.sent_through(B.rtp).is_empty(), "nothing is made up");
        }
        let too_long = vec![0x55; 1_501];
        assert!(lab.rtp_datagram(a, &mut packet(from, 5, &too_long)).is_err());
        assert!(lab.sent_through(B.rtp).is_empty());
    }
}

#[test]
fn a_muted_voice_is_silence_in_the_law_that_leaves() {
    let (mut lab, [a, _]) = call(pcma(), &[pcmu()], 20);
    lab.bridge.mute(a, Voice::Says, Muted::Audio).unwrap();
    lab.rtp_datagram(a, &mut packet(pcma(), 0, &[0x2a; 160])).unwrap();
    let sent = lab.sent_through(B.rtp);
    assert_eq!(Header::parse(&sent[0]).unwrap().payload_of(&sent[0]), [0xff; 160]);
}

#[test]
fn another_packet_time_takes_the_way_through_the_jitter_buffer() {
    let (mut lab, [a, _]) = call(pcma(), &[pcmu()], 30);
    let (mut voice, mut listener) = (Speaker::new(pcma(), 700.0), Listener::new(pcmu()));
    let mut packets = 0;
    for number in 0..100 {
        lab.rtp_datagram(a, &mut packet(pcma(), number, &voice.payload())).unwrap();
        lab.advance(Duration::from_millis(20));
        for data in lab.sent_through(B.rtp) {
            let payload = Header::parse(&data).unwrap().payload_of(&data).to_vec();
            assert_eq!(payload.len(), 240);
            listener.hear(&payload);
            packets += 1;
        }
    }
    assert!((60..=68).contains(&packets), "{packets} packets of 30 ms in two seconds");
    listener.heard.after_ms(200).assert_tone(700.0, -10.0, 1.5);
}
