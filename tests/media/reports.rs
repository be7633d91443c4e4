//! What RTCP tells each side of the other: extended reports, reduced size, goodbyes, and the figures made of them.

use std::net::SocketAddr;
use std::time::Duration;

use trunkline_media::bridge::{LegIndex, Stats, StreamParameters};
use trunkline_media::codecs::Codec;
use trunkline_media::endpoint::{Lane, Remote, RtcpParameters, Security, SocketIds};
use trunkline_media::error::DropReason;
use trunkline_media::net::{Pt, SeqNo, Ssrc};
use trunkline_media::outbox::SocketId;
use trunkline_media::pipeline::Format;
use trunkline_media::quality::SoundFigures;
use trunkline_media::rtcp::{Block, Builder, Compound, Packet, ReportBlock, SenderInfo, VoipMetrics};
use trunkline_media::rtp::Header;

use crate::support::memory::{Lab, RTCP, RTP};
use crate::support::sound::Speaker;
use crate::support::{opus, pcma, pcmu, stream};

/// Our own source on the leg of `Lab::rtp_leg`.
const US: Ssrc = Ssrc(11);
const THEM: Ssrc = Ssrc(77);
/// Sockets of a second phone.
const OPUS_RTP: SocketId = SocketId(3);
const OPUS_RTCP: SocketId = SocketId(4);
const FRAME: Duration = Duration::from_millis(20);

fn packet(seq: u16, payload: &[u8]) -> Vec<u8> {
    let mut data = vec![0; 12];
    Header::new(Pt(0), SeqNo(seq), u32::from(seq) * 160, THEM).write(&mut data).unwrap();
    data.extend(payload);
    data
}

fn remote(rtcp: SocketAddr, is_muxed: bool) -> Remote {
    Remote::Rtp { rtp: Lab::far_rtp(), rtcp, is_muxed, security: Security::Clear }
}

/// A phone whose reports were negotiated so, joined to itself.
fn phone(rtcp: RtcpParameters) -> (Lab, LegIndex) {
    let mut lab = Lab::new();
    let leg = lab.rtp_leg(&[pcmu()]);
    negotiate(&mut lab, leg, pcmu(), rtcp);
    lab.bridge.join(leg, leg).unwrap();
    (lab, leg)
}

fn negotiate(lab: &mut Lab, leg: LegIndex, format: Format, rtcp: RtcpParameters) {
    let remote = remote(Lab::far_rtcp(), false);
    let audio = StreamParameters { rtcp, ..stream(&[format]) };
    lab.bridge.set_remote(lab.now, leg, remote, &audio, &mut lab.outbox).unwrap();
}

/// The phone speaks for so many frames, of which some are lost. What our RTCP said meanwhile.
fn speak(lab: &mut Lab, leg: LegIndex, frames: u16, is_lost: impl Fn(u16) -> bool) -> Vec<Vec<u8>> {
    let mut voice = Speaker::new(pcmu(), 440.0);
    let mut told = Vec::new();
    for frame in 0..frames {
        let payload = voice.payload();
        if !is_lost(frame) {
            let _ = lab.rtp_datagram(leg, &mut packet(1_000 + frame, &payload));
        }
        lab.advance(FRAME);
        told.extend(lab.sent_through(RTCP));
        lab.events();
    }
    told
}

fn hear(lab: &mut Lab, leg: LegIndex, data: &mut [u8]) -> Result<(), DropReason> {
    lab.bridge.handle_datagram(lab.now, (leg, Lane::Rtcp), Lab::far_rtcp(), data, &mut lab.outbox)
}

fn metrics_in(data: &[u8]) -> Option<VoipMetrics> {
    Compound::parse(data).unwrap().packets().find_map(|packet| match packet {
        Packet::ExtendedReport(report) => report.blocks().find_map(|block| match block {
            Block::VoipMetrics(metrics) => Some(metrics),
            _ => None,
        }),
        _ => None,
    })
}

fn has_name(data: &[u8]) -> bool {
    Compound::parse(data).unwrap().packets().any(|packet| matches!(packet, Packet::Sdes(_)))
}

fn figures(lab: &mut Lab, leg: LegIndex) -> Stats {
    lab.bridge.stats(leg).unwrap()
}

#[test]
fn a_far_side_that_asks_for_voip_metrics_is_told_how_it_sounds() {
    let (mut lab, leg) = phone(RtcpParameters { sends_voip_metrics: true, ..RtcpParameters::default() });
    // Every two seconds a burst of nine frames, of which every second is lost.
    let told = speak(&mut lab, leg, 1_500, |frame| frame % 100 < 9 && frame % 100 % 2 == 0);
    let metrics = told.iter().rev().find_map(|data| metrics_in(data)).unwrap();
    assert_eq!((metrics.ssrc, metrics.gmin), (THEM, 16));
    assert!((11..=14).contains(&metrics.loss_rate), "5 % in 1/256: {metrics:?}");
    assert_eq!(metrics.discard_rate, 0);
    assert!((125..=165).contains(&metrics.burst_density), "a half: {metrics:?}");
    assert!((140..=200).contains(&metrics.burst_duration_ms), "nine frames: {metrics:?}");
    assert!((1_700..=2_000).contains(&metrics.gap_duration_ms), "{metrics:?}");
    assert_eq!((metrics.gap_density, metrics.rx_config), (0, 0), "a relay knows nothing of the receiver");
    assert!((70..=85).contains(&metrics.r_factor), "{metrics:?}");
    assert!((35..=42).contains(&metrics.mos_lq) && metrics.mos_cq <= metrics.mos_lq, "{metrics:?}");
    assert!((-12..=-8).contains(&metrics.signal_level_dbm0), "{metrics:?}");
    assert!(told.iter().all(|data| has_name(data)), "whole compounds");
}

/// What is known of the sound of a relayed leg after it sent these payloads.
fn sound_of(format: Format, payloads: &[Vec<u8>]) -> Option<SoundFigures> {
    let mut lab = Lab::new();
    let leg = lab.rtp_leg(&[format]);
    lab.bridge.join(leg, leg).unwrap();
    for (number, payload) in (1_000..).zip(payloads) {
        let mut data = packet(number, payload);
        data[1] = format.pt.0;
        lab.rtp_datagram(leg, &mut data).unwrap();
        lab.advance(FRAME);
        lab.outbox.clear();
    }
    figures(&mut lab, leg).received.heard.sound
}

#[test]
fn a_dead_or_overdriven_microphone_shows_where_g711_is_relayed_and_opus_stays_unknown() {
    for (format, loudest, silent) in [(pcmu(), [0x80, 0x00], 0xff), (pcma(), [0xaa, 0x2a], 0xd5)] {
        let mut voice = Speaker::new(format, 440.0);
        let speech: Vec<_> = (0..200).map(|_| voice.payload()).collect();
        let sound = sound_of(format, &speech).unwrap();
        assert!(!sound.is_silent() && !sound.is_clipped(), "{sound:?}");
        assert!((sound.signal_dbm0.unwrap() + 10.0).abs() < 1.0, "{sound:?}");
        assert!(sound_of(format, &vec![vec![silent; 160]; 200]).unwrap().is_silent());
        assert!(sound_of(format, &vec![loudest.repeat(80); 200]).unwrap().is_clipped());
    }
    let mut voice = Speaker::new(opus(), 440.0);
    assert_eq!(sound_of(opus(), &[voice.payload(), voice.payload()]), None);
}

#[test]
fn nobody_else_is_sent_metrics() {
    let (mut lab, leg) = phone(RtcpParameters::default());
    let told = speak(&mut lab, leg, 800, |_| false);
    assert!(told.len() >= 2);
    assert!(told.iter().all(|data| metrics_in(data).is_none()));
}

#[test]
fn metrics_of_a_decoded_stream_tell_of_the_buffer_and_the_level() {
    let mut lab = Lab::new();
    let (browser, _) = lab.web_leg(&[opus()]);
    let leg = lab.rtp_leg(&[pcmu()]);
    negotiate(&mut lab, leg, pcmu(), RtcpParameters { sends_voip_metrics: true, ..RtcpParameters::default() });
    lab.bridge.join(browser, leg).unwrap();
    let told = speak(&mut lab, leg, 800, |frame| frame % 50 == 40);
    let metrics = told.iter().rev().find_map(|data| metrics_in(data)).unwrap();
    assert_eq!(metrics.rx_config, VoipMetrics::STANDARD_PLC_ADAPTIVE_JB);
    assert!((-12..=-8).contains(&metrics.signal_level_dbm0), "{metrics:?}");
    assert!(metrics.end_system_delay_ms >= 20, "{metrics:?}");
    assert!(metrics.jb_nominal_ms > 0 && metrics.jb_maximum_ms >= metrics.jb_nominal_ms, "{metrics:?}");
    assert!(metrics.jb_abs_max_ms >= metrics.jb_maximum_ms, "{metrics:?}");

    let received = figures(&mut lab, leg).received;
    let playout = received.heard.playout.unwrap();
    assert_eq!(received.arrivals.lost, 16);
    assert!((200..=480).contains(&playout.concealed_ms), "16 frames of 20 ms: {playout:?}");
    let sound = received.heard.sound.unwrap();
    assert!(!sound.is_silent() && !sound.is_clipped(), "{sound:?}");

    lab.bridge.part(leg);
    let parted = figures(&mut lab, leg).received.heard.playout.unwrap();
    assert_eq!(parted.concealed_ms, playout.concealed_ms, "what was heard stays known when the call is parted");
}

#[test]
fn every_other_report_is_of_reduced_size_where_that_was_agreed() {
    let (mut lab, leg) = phone(RtcpParameters { is_reduced_size: true, ..RtcpParameters::default() });
    let told = speak(&mut lab, leg, 2_000, |_| false);
    let named: Vec<bool> = told.iter().map(|data| has_name(data)).collect();
    assert!(named.len() >= 6, "{named:?}");
    assert!(named.iter().enumerate().all(|(place, is_named)| *is_named == (place % 2 == 0)), "{named:?}");
    assert!(told.iter().all(|data| data[1] == 200), "each is a report");

    lab.bridge.remove(lab.now, leg, &mut lab.outbox);
    let goodbye = lab.sent_through(RTCP).pop().unwrap();
    assert!(has_name(&goodbye), "a goodbye is a whole compound");
}

#[test]
fn reports_and_goodbyes_of_reduced_size_are_read() {
    let (mut lab, leg) = phone(RtcpParameters::default());
    speak(&mut lab, leg, 10, |_| false);
    let mut out = [0; 256];
    let len = Builder::new(&mut out).extended_report(THEM, None, Some(&told_metrics(US, 64))).unwrap().finish();
    assert_eq!(hear(&mut lab, leg, &mut out[..len]), Ok(()));
    let mut goodbye = [0x81, 203, 0, 1, 0, 0, 0, 77];
    assert_eq!(hear(&mut lab, leg, &mut goodbye), Ok(()));
    let sent = figures(&mut lab, leg).sent;
    assert_eq!((sent.metrics.unwrap().loss_rate, sent.mos), (64, Some(3.8)));
}

fn told_metrics(ssrc: Ssrc, loss_rate: u8) -> VoipMetrics {
    VoipMetrics {
        ssrc,
        loss_rate,
        discard_rate: 0,
        burst_density: 0,
        gap_density: 0,
        burst_duration_ms: 0,
        gap_duration_ms: 0,
        round_trip_delay_ms: 0,
        end_system_delay_ms: 0,
        signal_level_dbm0: VoipMetrics::UNKNOWN_LEVEL,
        noise_level_dbm0: VoipMetrics::UNKNOWN_LEVEL,
        rerl_db: VoipMetrics::UNKNOWN,
        gmin: 16,
        r_factor: VoipMetrics::UNKNOWN,
        ext_r_factor: VoipMetrics::UNKNOWN,
        mos_lq: 40,
        mos_cq: 38,
        rx_config: 0,
        jb_nominal_ms: 0,
        jb_maximum_ms: 0,
        jb_abs_max_ms: 0,
    }
}

#[test]
fn a_report_about_us_yields_loss_jitter_and_the_round_trip_to_the_millisecond() {
    let (mut lab, leg) = phone(RtcpParameters::default());
    let mut reports = Vec::new();
    while reports.is_empty() {
        reports = speak(&mut lab, leg, 1, |_| false);
    }
    let Some(Packet::SenderReport(ours)) = Compound::parse(&reports[0]).unwrap().packets().next() else {
        panic!("no SR")
    };
    // It came up to a frame ago. The phone has it for half a second, and the way back and forth takes the rest.
    let last_sr = ours.ntp.middle();
    lab.advance(Duration::from_millis(580));
    let block = ReportBlock {
        ssrc: US,
        last_sr,
        delay_since_last_sr: 65_536 / 2,
        cumulative_lost: 3,
        jitter_ts: 80,
        ..ReportBlock::default()
    };
    let mut out = [0; 256];
    let len = Builder::new(&mut out).sender_report(THEM, &SenderInfo::default(), &[block]).unwrap().finish();
    assert_eq!(hear(&mut lab, leg, &mut out[..len]), Ok(()));
    let stats = figures(&mut lab, leg);
    let round_trip = stats.round_trip.unwrap();
    assert!((80..=101).contains(&round_trip.as_millis()), "{round_trip:?}");
    assert_eq!((stats.sent.lost, stats.sent.jitter_ms), (Some(3), Some(10.0)));
    assert!(stats.sent.mos.is_some_and(|mos| mos < 4.4));

    let absurd = ReportBlock { delay_since_last_sr: 1 << 30, ..block };
    let len = Builder::new(&mut out).sender_report(THEM, &SenderInfo::default(), &[absurd]).unwrap().finish();
    assert_eq!(hear(&mut lab, leg, &mut out[..len]), Ok(()));
    assert_eq!(figures(&mut lab, leg).round_trip, Some(round_trip), "a negative one is none");
}

/// Packets with a copy of the one before (RFC 6716 section 2.1.7), of so many frames that the far side gets as Opus.
fn redundant(lab: &mut Lab, speaker: LegIndex, frames: u16, seq: u16) -> usize {
    let decoder = opus().codec.decoder(48_000).unwrap();
    let mut count = 0;
    let mut voice = Speaker::new(pcmu(), 440.0);
    for number in 0..frames {
        // Opus takes a tone that goes on and on for noise, which it does not protect.
        let payload = if number % 10 < 6 { voice.payload() } else { vec![0xff; 160] };
        let mut data = packet(seq + number, &payload);
        lab.rtp_datagram(speaker, &mut data).unwrap();
        lab.advance(FRAME);
        let sent = lab.sent_through(OPUS_RTP);
        count += sent.iter().filter(|data| decoder.has_redundancy(&data[12..])).count();
    }
    count
}

#[test]
fn opus_carries_redundancy_while_the_far_side_reports_loss() {
    let mut lab = Lab::new();
    let fec = [("useinbandfec", "1")];
    let format = Format { pt: Pt(111), codec: Codec::new("opus", 48_000, 2, fec).unwrap() };
    let listener = lab.rtp_leg_on(SocketIds { rtp: OPUS_RTP, rtcp: OPUS_RTCP }, &stream(&[format]));
    let speaker = lab.rtp_leg(&[pcmu()]);
    lab.bridge.join(listener, speaker).unwrap();
    assert!(redundant(&mut lab, speaker, 50, 0) > 20, "nobody knows yet");
    let report = |lab: &mut Lab, fraction_lost| {
        let ssrc = lab.bridge.endpoint(listener).unwrap().ssrc();
        let block = ReportBlock { ssrc, fraction_lost, ..ReportBlock::default() };
        let mut out = [0; 256];
        let len = Builder::new(&mut out).receiver_report(Ssrc(5), &[block]).unwrap().finish();
        hear(lab, listener, &mut out[..len]).unwrap();
    };
    let calm = |lab: &mut Lab, seq| {
        (0..20).for_each(|_| report(lab, 0));
        redundant(lab, speaker, 5, seq);
        assert_eq!(redundant(lab, speaker, 50, seq + 5), 0, "nothing has been lost for a long time");
    };
    calm(&mut lab, 50);
    report(&mut lab, 51);
    let fifth = redundant(&mut lab, speaker, 50, 105);
    assert!(fifth > 20, "only {fifth} though a fifth is lost");
    // A liar hurts its own audio only, and not for good.
    report(&mut lab, 255);
    let all = redundant(&mut lab, speaker, 50, 155);
    assert!(all > 20, "only {all}");
    calm(&mut lab, 205);
}

#[test]
fn a_far_side_that_only_receives_is_told_its_own_round_trip() {
    let (mut lab, leg) = phone(RtcpParameters::default());
    let mut asked = [0x80, 207, 0, 4, 0, 0, 0, 77, 4, 0, 0, 2, 0, 0, 0x11, 0x22, 0x33, 0x44, 0, 0];
    assert_eq!(hear(&mut lab, leg, &mut asked), Ok(()));
    lab.outbox.clear();
    lab.advance(Duration::from_secs(20));
    let told = lab.sent_through(RTCP);
    let answer = [5, 0, 0, 3, 0, 0, 0, 77, 0x11, 0x22, 0x33, 0x44];
    let answers = told.iter().filter(|data| data.windows(answer.len()).any(|part| part == answer)).count();
    assert_eq!(answers, 1, "once");
}

#[test]
fn after_a_goodbye_another_source_is_taken_at_once_and_a_forged_one_changes_nothing() {
    let goodbye = [0x80, 201, 0, 1, 0, 0, 0, 77, 0x81, 203, 0, 1, 0, 0, 0, 77];
    let (mut lab, leg) = phone(RtcpParameters::default());
    speak(&mut lab, leg, 50, |_| false);
    assert_eq!(hear(&mut lab, leg, &mut goodbye.clone()), Ok(()));
    assert_eq!(lab.rtp_datagram(leg, &mut packet(1_050, &[0; 160])), Ok(()), "the source goes on after all");
    let mut other = packet(9, &[0; 160]);
    other[11] = 78;
    assert_eq!(lab.rtp_datagram(leg, &mut other.clone()), Err(DropReason::RtpProbation));

    assert_eq!(hear(&mut lab, leg, &mut goodbye.clone()), Ok(()));
    lab.outbox.clear();
    lab.advance(Duration::from_secs(8));
    let told = lab.sent_through(RTCP);
    let Some(Packet::SenderReport(report)) = Compound::parse(&told[0]).unwrap().packets().next() else { panic!() };
    assert_eq!(report.reports.count(), 0, "nothing to report of who has left");
    assert_eq!(lab.rtp_datagram(leg, &mut other), Ok(()));
}

#[test]
fn our_own_reports_that_come_back_are_dropped() {
    let (mut lab, leg) = phone(RtcpParameters::default());
    let mut told = speak(&mut lab, leg, 500, |_| false);
    assert_eq!(hear(&mut lab, leg, &mut told[0]), Err(DropReason::RtcpLoop));
    assert_eq!(figures(&mut lab, leg).drops.get(DropReason::RtcpLoop), 1);
}

#[test]
fn reports_that_lie_about_their_lengths_are_counted_and_change_nothing() {
    let (mut lab, leg) = phone(RtcpParameters::default());
    speak(&mut lab, leg, 10, |_| false);
    let before = figures(&mut lab, leg);
    for data in [
        &[0x9f, 201, 0, 1, 0, 0, 0, 77][..],
        &[0x80, 201, 255, 255, 0, 0, 0, 77],
        &[0x9f, 203, 0, 1, 0, 0, 0, 77],
        &[0x9f, 202, 0, 1, 0, 0, 0, 77],
        &[0x80, 207, 0, 2, 0, 0, 0, 77, 7, 0, 255, 255],
        &[0x80, 207, 0, 3, 0, 0, 0, 77, 7, 0, 0, 1, 0, 0, 0, 11],
    ] {
        assert_eq!(hear(&mut lab, leg, &mut data.to_vec()), Err(DropReason::RtcpMalformed), "{data:?}");
    }
    let after = figures(&mut lab, leg);
    assert_eq!(after.drops.get(DropReason::RtcpMalformed), 6);
    assert_eq!((after.sent, after.received), (before.sent, before.received));
}

#[test]
fn reports_share_the_port_of_rtp_where_that_was_agreed() {
    let mut lab = Lab::new();
    let leg = lab.rtp_leg(&[pcmu()]);
    let remote = remote(Lab::far_rtp(), true);
    lab.bridge.set_remote(lab.now, leg, remote, &stream(&[pcmu()]), &mut lab.outbox).unwrap();
    lab.outbox.clear();
    lab.advance(Duration::from_secs(8));
    let told = lab.sent_through(RTP);
    assert!(!told.is_empty() && told.iter().all(|data| has_name(data)));
    let mut goodbye = [0x80, 201, 0, 1, 0, 0, 0, 77, 0x81, 203, 0, 1, 0, 0, 0, 77];
    assert_eq!(lab.rtp_datagram(leg, &mut goodbye), Ok(()));
}
