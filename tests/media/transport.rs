//! RTCP, consent and set-up limits on a virtual clock.

use std::net::SocketAddr;
use std::time::Duration;

use trunkline_media::bridge::Event;
use trunkline_media::endpoint::{CloseReason, Direction, EndpointId, Event as EndpointEvent, Lane, Remote, Security};
use trunkline_media::error::DropReason;
use trunkline_media::net::{Pt, SeqNo, Ssrc};
use trunkline_media::rtcp::{Builder, Compound, NtpTime, Packet, ReportBlock, SenderInfo};
use trunkline_media::rtp::Header;

use crate::support::memory::{Lab, RTCP, RTP, WEB};
use crate::support::{opus, pcmu, stream};

fn packet(seq: u16) -> Vec<u8> {
    let mut data = vec![0; 172];
    Header::new(Pt(0), SeqNo(seq), u32::from(seq) * 160, Ssrc(77)).write(&mut data).unwrap();
    data
}

/// What one of our compounds says: kind of report, report blocks, goodbye.
fn read(data: &[u8]) -> (bool, Vec<ReportBlock>, bool) {
    let mut is_sender = false;
    let mut blocks = Vec::new();
    let mut is_goodbye = false;
    let mut has_name = false;
    for packet in Compound::parse(data).unwrap().packets() {
        match packet {
            Packet::SenderReport(report) => {
                is_sender = true;
                blocks.extend(report.reports);
            }
            Packet::ReceiverReport { reports, .. } => blocks.extend(reports),
            Packet::Sdes(names) => has_name = names.cnames().any(|(_, name)| name == b"us"),
            Packet::Bye(_) => is_goodbye = true,
            _ => {}
        }
    }
    assert!(has_name, "every compound names its source");
    (is_sender, blocks, is_goodbye)
}

#[test]
fn reports_go_out_every_few_seconds_and_tell_of_loss() {
    let mut lab = Lab::new();
    let leg = lab.rtp_leg(&[pcmu()]);
    lab.bridge.join(leg, leg).unwrap();
    for seq in (0..50).filter(|seq| *seq != 20 && *seq != 21) {
        let _ = lab.rtp_datagram(leg, &mut packet(seq));
        lab.advance(Duration::from_millis(20));
        lab.outbox.clear();
    }
    lab.advance(Duration::from_secs(60));
    let reports = lab.sent_through(RTCP);
    assert!((7..=20).contains(&reports.len()), "{} in a minute", reports.len());
    let (is_sender, blocks, _) = read(&reports[0]);
    assert!(is_sender, "we sent since");
    assert_eq!((blocks[0].ssrc, blocks[0].cumulative_lost), (Ssrc(77), 2));
    assert!(!read(&reports[1]).0, "nothing was sent since the first");
}

#[test]
fn a_report_of_the_far_side_yields_the_round_trip_time() {
    let mut lab = Lab::new();
    let leg = lab.rtp_leg(&[pcmu()]);
    lab.bridge.join(leg, leg).unwrap();
    for seq in 0..10 {
        let _ = lab.rtp_datagram(leg, &mut packet(seq));
    }
    lab.outbox.clear();
    lab.advance(Duration::from_secs(8));
    let reports = lab.sent_through(RTCP);
    let Some(Packet::SenderReport(ours)) = Compound::parse(&reports[0]).unwrap().packets().next() else {
        panic!("no SR")
    };
    // It was sent within those eight seconds; the far side says how long ago it got it, less 80 ms on the way.
    let before = lab.now;
    let block = ReportBlock { ssrc: Ssrc(11), last_sr: ours.ntp.middle(), ..ReportBlock::default() };
    let mut out = [0; 256];
    let len = Builder::new(&mut out)
        .sender_report(Ssrc(77), &SenderInfo { ntp: NtpTime(1 << 40), ..SenderInfo::default() }, &[block])
        .and_then(|compound| compound.cname(Ssrc(77), "them"))
        .unwrap()
        .finish();
    let accepted =
        lab.bridge.handle_datagram(before, (leg, Lane::Rtcp), Lab::far_rtcp(), &mut out[..len], &mut lab.outbox);
    assert_eq!(accepted, Ok(()));
    let round_trip = lab.bridge.stats(leg).unwrap().round_trip.unwrap();
    assert!(round_trip < Duration::from_secs(8), "{round_trip:?}");

    lab.outbox.clear();
    lab.advance(Duration::from_secs(8));
    let reports = lab.sent_through(RTCP);
    let (_, blocks, _) = read(&reports[0]);
    assert_eq!(blocks[0].last_sr, NtpTime(1 << 40).middle());
    assert!(blocks[0].delay_since_last_sr > 0);
}

#[test]
fn a_strangers_goodbye_is_dropped_and_our_own_is_sent_at_the_end() {
    let mut lab = Lab::new();
    let leg = lab.rtp_leg(&[pcmu()]);
    let mut goodbye = [0x80, 201, 0, 1, 0, 0, 0, 77, 0x81, 203, 0, 1, 0, 0, 0, 77];
    let stranger = "127.0.0.66:4001".parse().unwrap();
    let result = lab.bridge.handle_datagram(lab.now, (leg, Lane::Rtcp), stranger, &mut goodbye, &mut lab.outbox);
    assert_eq!(result, Err(DropReason::UnverifiedSource));

    lab.bridge.remove(lab.now, leg, &mut lab.outbox);
    let sent = lab.sent_through(RTCP);
    assert!(read(&sent[0]).2, "BYE");
    assert!(lab.bridge.is_empty());
}

#[test]
fn a_browser_that_stops_its_checks_is_gone_after_the_consent_time() {
    let mut lab = Lab::new();
    let (_, mut client) = lab.web_leg(&[opus()]);
    lab.events();
    let mut data = client.check();
    lab.advance(Duration::from_secs(20));
    let leg = lab.bridge.find(trunkline_media::endpoint::EndpointId(12)).unwrap();
    lab.web_datagram(leg, &mut data).unwrap();
    lab.advance(Duration::from_millis(29_900));
    assert!(lab.bridge.endpoint(leg).unwrap().can_send());
    assert!(!lab.events().iter().any(|event| matches!(event, Event::Endpoint(_, EndpointEvent::Closed(_)))));

    lab.outbox.clear();
    lab.advance(Duration::from_millis(200));
    let ends: Vec<Event> = lab.events();
    let is_end =
        |event: &Event| matches!(event, Event::Endpoint(_, EndpointEvent::Closed(CloseReason::ConsentExpired)));
    assert!(ends.iter().any(is_end), "{ends:?}");
    assert!(!lab.bridge.endpoint(leg).unwrap().can_send(), "nothing may be sent without consent");
}

#[test]
fn media_from_an_unproven_address_is_dropped_even_with_the_right_keys() {
    let mut lab = Lab::new();
    let (leg, mut client) = lab.web_leg(&[pcmu()]);
    let mut data = client.packet(Pt(0), (160, false), &[1; 160]);
    let elsewhere = "192.0.2.1:50001".parse().unwrap();
    let result = lab.bridge.handle_datagram(lab.now, (leg, Lane::Rtp), elsewhere, &mut data, &mut lab.outbox);
    assert_eq!(result, Err(DropReason::UnverifiedSource));
    assert_eq!(lab.web_datagram(leg, &mut data), Err(DropReason::NotBridged), "taken from the proven one");
}

#[test]
fn every_packet_of_a_phone_is_heard_from_the_first_one_also_of_one_that_takes_its_place() {
    let mut lab = Lab::new();
    let leg = lab.rtp_leg(&[pcmu()]);
    lab.bridge.join(leg, leg).unwrap();
    for seq in 500..503 {
        lab.rtp_datagram(leg, &mut packet(seq)).unwrap();
    }
    assert_eq!(lab.sent_through(RTP).len(), 3);

    let mut intruding = packet(900);
    intruding[11] = 78;
    assert_eq!(
        lab.rtp_datagram(leg, &mut intruding),
        Err(DropReason::RtpProbation),
        "one stray packet changes nothing"
    );

    let moved: SocketAddr = "198.51.100.2:4000".parse().unwrap();
    let remote = Remote::Rtp { rtp: moved, rtcp: Lab::far_rtcp(), is_muxed: false, security: Security::Clear };
    lab.bridge.set_remote(lab.now, leg, remote, &stream(&[pcmu()]), &mut lab.outbox).unwrap();
    let mut other = packet(9);
    other[11] = 79;
    let result = lab.bridge.handle_datagram(lab.now, (leg, Lane::Rtp), moved, &mut other, &mut lab.outbox);
    assert_eq!((result, lab.sent_through(RTP).len()), (Ok(()), 1));
}

#[test]
fn a_call_on_hold_may_be_silent_much_longer_and_live_by_its_reports() {
    let silences = |lab: &mut Lab| {
        let is_silence = |event: &Event| matches!(event, Event::Endpoint(_, EndpointEvent::MediaInactive(_)));
        lab.events().iter().filter(|event| is_silence(event)).count()
    };
    for direction in [Direction::RecvOnly, Direction::SendOnly, Direction::Inactive] {
        let mut lab = Lab::new();
        let leg = lab.rtp_leg(&[pcmu()]);
        lab.bridge.set_direction(lab.now, leg, direction).unwrap();
        lab.advance(Duration::from_secs(1_700));
        let mut report = [0x80, 201, 0, 1, 0, 0, 0, 77];
        lab.bridge.handle_datagram(lab.now, (leg, Lane::Rtcp), Lab::far_rtcp(), &mut report, &mut lab.outbox).unwrap();
        lab.advance(Duration::from_secs(1_700));
        assert_eq!(silences(&mut lab), 0, "{direction:?}");
        lab.advance(Duration::from_secs(200));
        assert_eq!(silences(&mut lab), 1, "{direction:?}");

        lab.bridge.set_direction(lab.now, leg, Direction::SendRecv).unwrap();
        lab.advance(Duration::from_secs(59));
        assert_eq!(silences(&mut lab), 0, "{direction:?}");
        lab.advance(Duration::from_secs(2));
        assert_eq!(silences(&mut lab), 1, "{direction:?}");
    }
}

#[test]
fn a_payload_type_that_was_not_negotiated_is_dropped() {
    let mut lab = Lab::new();
    let leg = lab.rtp_leg(&[pcmu()]);
    let mut data = packet(1);
    data[1] = 97;
    assert_eq!(lab.rtp_datagram(leg, &mut data), Err(DropReason::RtpPayloadType));
    assert_eq!(lab.sent_through(RTP), Vec::<Vec<u8>>::new());
}

#[test]
fn a_browsers_reports_are_encrypted() {
    let mut lab = Lab::new();
    lab.web_leg(&[pcmu()]);
    lab.outbox.clear();
    lab.advance(Duration::from_secs(8));
    let sent = lab.sent_through(WEB);
    assert!(!sent.is_empty());
    for data in sent {
        assert!(!data.windows(2).any(|text| text == b"us"), "the name is not readable");
    }
}

#[test]
fn a_far_side_that_never_sends_is_missed_once_the_call_is_answered() {
    let told = |lab: &mut Lab| {
        let is_silence = |event: &Event| {
            matches!(event, Event::Endpoint(_, EndpointEvent::MediaInactive(_) | EndpointEvent::FirstPacketMissing(_)))
        };
        lab.events().into_iter().filter(is_silence).collect::<Vec<_>>()
    };
    let mut lab = Lab::new();
    let leg = lab.rtp_leg(&[pcmu()]);
    lab.advance(Duration::from_secs(59));
    assert_eq!(told(&mut lab), [], "a callee may ring in silence");
    lab.advance(Duration::from_secs(2));
    assert_eq!(told(&mut lab).len(), 1, "which is told, and is the call's to judge");

    lab.bridge.expect_media(lab.now, leg).unwrap();
    lab.advance(Duration::from_secs(29));
    assert_eq!(told(&mut lab), []);
    lab.bridge.set_direction(lab.now, leg, Direction::RecvOnly).unwrap();
    lab.advance(Duration::from_secs(600));
    assert_eq!(told(&mut lab), [], "on hold it owes nothing");
    lab.bridge.set_direction(lab.now, leg, Direction::SendRecv).unwrap();
    lab.advance(Duration::from_secs(31));
    let missing = Event::Endpoint(EndpointId(11), EndpointEvent::FirstPacketMissing(Duration::from_secs(30)));
    assert_eq!(told(&mut lab), [missing]);
    lab.advance(Duration::from_secs(600));
    assert_eq!(told(&mut lab), [], "once");
}

#[test]
fn a_far_side_that_has_sent_may_be_silent_for_the_longer_time() {
    let mut lab = Lab::new();
    let leg = lab.rtp_leg(&[pcmu()]);
    lab.bridge.expect_media(lab.now, leg).unwrap();
    lab.advance(Duration::from_secs(29));
    lab.rtp_datagram(leg, &mut packet(1)).unwrap_err();
    lab.events();
    lab.advance(Duration::from_secs(59));
    assert_eq!(lab.events(), []);
    lab.advance(Duration::from_secs(2));
    let told = lab.events();
    assert!(matches!(told[..], [Event::Endpoint(_, EndpointEvent::MediaInactive(_))]), "{told:?}");
}

#[test]
fn silence_after_the_first_packet_is_told_in_its_own_time_however_long_that_packet_might_have_taken() {
    let mut lab = Lab::new();
    lab.limits.first_packet = Duration::from_secs(100);
    let leg = lab.rtp_leg(&[pcmu()]);
    lab.bridge.expect_media(lab.now, leg).unwrap();
    lab.rtp_datagram(leg, &mut packet(1)).unwrap_err();
    lab.events();
    lab.advance(Duration::from_secs(61));
    let told = lab.events();
    assert!(matches!(told[..], [Event::Endpoint(_, EndpointEvent::MediaInactive(_))]), "{told:?}");
}
