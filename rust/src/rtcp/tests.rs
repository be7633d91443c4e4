//! Reading, building, and one against the other.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::error::DropReason;
use crate::net::Ssrc;

const US: Ssrc = Ssrc(0x0a0b_0c0d);
const THEM: Ssrc = Ssrc(0x0102_0304);

fn block() -> ReportBlock {
    ReportBlock {
        ssrc: THEM,
        fraction_lost: 64,
        cumulative_lost: -3,
        extended_highest_seq: 0x1_0005,
        jitter_ts: 80,
        last_sr: 0xaabb_ccdd,
        delay_since_last_sr: 65_536,
    }
}

fn build(out: &mut [u8], step: impl FnOnce(Builder<'_>) -> Result<Builder<'_>, DropReason>) -> &[u8] {
    let len = step(Builder::new(out)).unwrap().finish();
    &out[..len]
}

#[test]
fn sender_report_with_cname_and_bye_reads_back() {
    let info = SenderInfo { ntp: NtpTime(0x1122_3344_5566_7788), rtp_timestamp: 960, packets: 50, payload_bytes: 8000 };
    let mut out = [0xff; 256];
    let data = build(&mut out, |b| b.sender_report(US, &info, &[block()])?.cname(US, "a@trunkline")?.bye(US));
    let packets: Vec<_> = Compound::parse(data).unwrap().packets().collect();
    let [Packet::SenderReport(report), Packet::Sdes(sdes), Packet::Bye(bye)] = &packets[..] else {
        panic!("{packets:?}")
    };
    assert_eq!((report.ssrc, report.ntp, report.rtp_timestamp), (US, info.ntp, 960));
    assert_eq!((report.packets, report.payload_bytes), (50, 8000));
    assert_eq!(report.reports.clone().collect::<Vec<_>>(), [block()]);
    assert_eq!(sdes.cnames().collect::<Vec<_>>(), [(US, &b"a@trunkline"[..])]);
    assert_eq!(bye.sources().collect::<Vec<_>>(), [US]);
}

#[test]
fn every_length_of_cname_ends_on_a_word() {
    for len in 0..=255 {
        let cname = "x".repeat(len);
        let mut out = [0; 300];
        let data = build(&mut out, |b| b.receiver_report(US, &[])?.cname(US, &cname));
        assert_eq!(data.len() % 4, 0);
        let packets: Vec<_> = Compound::parse(data).unwrap().packets().collect();
        let [_, Packet::Sdes(sdes)] = &packets[..] else { panic!("{packets:?}") };
        assert_eq!(sdes.cnames().collect::<Vec<_>>(), [(US, cname.as_bytes())]);
    }
}

#[test]
fn unknown_packets_are_skipped() {
    let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 9, 0, 0];
    let mut out = [0; 64];
    let mut data = nack.to_vec();
    data.extend(build(&mut out, |b| b.bye(THEM)));
    let packets: Vec<_> = Compound::parse(&data).unwrap().packets().collect();
    assert!(matches!(packets[..], [Packet::Bye(_)]), "{packets:?}");
}

fn metrics() -> VoipMetrics {
    VoipMetrics {
        ssrc: THEM,
        loss_rate: 12,
        discard_rate: 3,
        burst_density: 128,
        gap_density: 1,
        burst_duration_ms: 180,
        gap_duration_ms: 2_000,
        round_trip_delay_ms: 95,
        end_system_delay_ms: 60,
        signal_level_dbm0: -18,
        noise_level_dbm0: -62,
        rerl_db: VoipMetrics::UNKNOWN,
        gmin: 16,
        r_factor: 88,
        ext_r_factor: VoipMetrics::UNKNOWN,
        mos_lq: 43,
        mos_cq: 42,
        rx_config: VoipMetrics::STANDARD_PLC_ADAPTIVE_JB,
        jb_nominal_ms: 40,
        jb_maximum_ms: 80,
        jb_abs_max_ms: 400,
    }
}

#[test]
fn extended_report_lies_on_the_wire_as_the_rfc_draws_it_and_reads_back() {
    let mut out = [0; 128];
    let answer = Dlrr { ssrc: THEM, last_rr: 0x1122_3344, delay: 65_536 };
    let data = build(&mut out, |b| b.extended_report(US, Some(answer), Some(&metrics())));
    assert_eq!(data[..8], [0x80, 207, 0, 14, 0x0a, 0x0b, 0x0c, 0x0d]);
    assert_eq!(data[8..24], [5, 0, 0, 3, 1, 2, 3, 4, 0x11, 0x22, 0x33, 0x44, 0, 1, 0, 0]);
    assert_eq!(data[24..28], [7, 0, 0, 8]);
    assert_eq!(data[28..44], [1, 2, 3, 4, 12, 3, 128, 1, 0, 180, 7, 208, 0, 95, 0, 60]);
    assert_eq!(data[44..], [238, 194, 127, 16, 88, 127, 43, 42, 0xf0, 0, 0, 40, 0, 80, 1, 144]);
    let Some(Packet::ExtendedReport(report)) = Compound::parse(data).unwrap().packets().next() else { panic!() };
    assert_eq!(report.ssrc, US);
    assert_eq!(report.blocks().collect::<Vec<_>>(), [Block::VoipMetrics(metrics())]);
}

#[test]
fn extended_report_without_blocks_is_none() {
    let mut out = [0; 16];
    assert_eq!(Builder::new(&mut out).extended_report(US, None, None).unwrap().finish(), 0);
}

#[test]
fn blocks_of_other_types_are_skipped_and_times_are_read() {
    let data = [0x80, 207, 0, 7, 0, 0, 0, 1, 1, 0, 0, 2, 9, 9, 9, 9, 9, 9, 9, 9, 4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];
    let Some(Packet::ExtendedReport(report)) = Compound::parse(&data).unwrap().packets().next() else { panic!() };
    let time = NtpTime(0x0102_0304_0506_0708);
    assert_eq!(report.blocks().collect::<Vec<_>>(), [Block::ReceiverReferenceTime(time)]);
}

#[test]
fn blocks_with_lying_lengths_are_dropped() {
    for data in [
        &[0x80, 207, 0, 0][..],
        &[0x80, 207, 0, 2, 0, 0, 0, 1, 1, 0, 0, 1],
        &[0x80, 207, 0, 2, 0, 0, 0, 1, 1, 0, 255, 255],
        &[0x80, 207, 0, 3, 0, 0, 0, 1, 4, 0, 0, 1, 0, 0, 0, 0],
        &[0x80, 207, 0, 3, 0, 0, 0, 1, 7, 0, 0, 1, 0, 0, 0, 0],
        &[0x80, 207, 0, 5, 0, 0, 0, 1, 4, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        assert_eq!(Compound::parse(data).unwrap_err(), DropReason::RtcpMalformed, "{data:?}");
    }
}

#[test]
fn bye_may_give_a_reason_and_leave_several_sources() {
    let data = [0x82, 203, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 4, b'd', b'o', b'n', b'e', 0, 0, 0];
    let Some(Packet::Bye(bye)) = Compound::parse(&data).unwrap().packets().next() else { panic!() };
    assert_eq!(bye.sources().collect::<Vec<_>>(), [Ssrc(1), Ssrc(2)]);
}

#[test]
fn padding_is_cut_off_the_last_packet_only() {
    let padded = [0xa0, 201, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4];
    assert_eq!(Compound::parse(&padded).unwrap().packets().count(), 1);
    let mut not_last = padded.to_vec();
    not_last.extend([0x80, 201, 0, 1, 0, 0, 0, 1]);
    assert_eq!(Compound::parse(&not_last).unwrap_err(), DropReason::RtcpMalformed);
}

#[test]
fn short_packets_are_dropped() {
    for data in [
        &[][..],
        &[0x80, 201, 0],
        &[0x80, 201, 0, 1],
        &[0x80, 201, 0, 0],
        &[0x81, 201, 0, 1, 0, 0, 0, 1],
        &[0x80, 200, 0, 1, 0, 0, 0, 1],
        &[0x40, 201, 0, 1, 0, 0, 0, 1],
        &[0x81, 203, 0, 0],
        &[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 9, b'x', 0],
        &[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 2, b'x', b'y'],
        &[0xa0, 201, 0, 1, 0, 0, 0, 0],
        &[0xa0, 201, 0, 1, 0, 0, 0, 9],
    ] {
        assert_eq!(Compound::parse(data).unwrap_err(), DropReason::RtcpMalformed, "{data:?}");
    }
}

#[test]
fn builder_refuses_a_buffer_that_is_too_small() {
    for size in 0..52 {
        let mut out = [0; 52];
        let built = Builder::new(&mut out[..size]).sender_report(US, &SenderInfo::default(), &[block()]);
        assert_eq!(built.err(), Some(DropReason::BufferTooSmall), "{size}");
    }
}

#[test]
fn wall_clock_maps_instants_to_ntp() {
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    let anchor = Instant::now();
    let clock = WallClock::new(anchor, Duration::from_millis(500));
    let ntp = clock.ntp(anchor + Duration::from_millis(1250));
    assert_eq!(ntp.0 >> 32, 2_208_988_801);
    assert_eq!(ntp.0 & 0xffff_ffff, 3 << 30);
    assert_eq!(ntp.middle(), 0x7e81_c000);
}

proptest! {
    #[test]
    fn any_bytes_end_in_packets_or_a_drop(data in prop::collection::vec(any::<u8>(), 0..128)) {
        if let Ok(compound) = Compound::parse(&data) {
            read_all(&compound);
        }
    }

    #[test]
    fn mutated_compounds_end_in_packets_or_a_drop(at in 0_usize..132, value: u8, cut in 0_usize..132) {
        let mut out = [0; 256];
        let len = Builder::new(&mut out)
            .sender_report(US, &SenderInfo::default(), &[block()])
            .and_then(|b| b.cname(US, "someone@example"))
            .and_then(|b| b.extended_report(US, None, Some(&metrics())))
            .and_then(|b| b.bye(US))
            .unwrap()
            .finish();
        out[at.min(len - 1)] = value;
        if let Ok(compound) = Compound::parse(&out[..len.saturating_sub(cut)]) {
            read_all(&compound);
        }
    }

    #[test]
    fn report_blocks_read_back(
        ssrc: u32, fraction_lost: u8, cumulative_lost in -0x80_0000_i32..0x80_0000, extended_highest_seq: u32,
        jitter_ts: u32, last_sr: u32, delay_since_last_sr: u32,
    ) {
        let block = ReportBlock {
            ssrc: Ssrc(ssrc), fraction_lost, cumulative_lost, extended_highest_seq, jitter_ts, last_sr, delay_since_last_sr,
        };
        let mut out = [0; 64];
        let data = build(&mut out, |b| b.receiver_report(US, &[block]));
        let Some(Packet::ReceiverReport { reports, .. }) = Compound::parse(data).unwrap().packets().next() else {
            panic!()
        };
        prop_assert_eq!(reports.collect::<Vec<_>>(), [block]);
    }
}

fn read_all(compound: &Compound<'_>) {
    for packet in compound.packets() {
        match packet {
            Packet::SenderReport(SenderReport { reports, .. }) | Packet::ReceiverReport { reports, .. } => {
                assert!(reports.count() <= 31);
            }
            Packet::Sdes(sdes) => assert!(sdes.cnames().count() <= 31),
            Packet::Bye(bye) => assert!(bye.sources().count() <= 31),
            Packet::ExtendedReport(report) => assert!(report.blocks().count() <= 32),
        }
    }
}
