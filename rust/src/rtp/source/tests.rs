//! Packets of one and of several sources, in and out of order.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::net::Pt;

const MINE: Ssrc = Ssrc(0x1111);
const OTHER: Ssrc = Ssrc(0x2222);

/// The `n`-th packet of a 20 ms stream at 8 kHz.
fn packet(ssrc: Ssrc, seq: u16, n: u32) -> Header {
    Header::new(Pt(0), SeqNo(seq), n.wrapping_mul(160), ssrc)
}

#[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
fn start() -> Instant {
    Instant::now()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn authenticated_source_counts_from_its_first_packet() {
    let mut source = Source::new(8000, 0);
    let first = source.receive(start(), &packet(MINE, 7, 0)).unwrap();
    assert!(first.is_restart);
    assert_eq!(first.extended_seq & 0xffff, 7);
    assert_eq!(source.ssrc(), Some(MINE));
}

#[test]
fn first_source_counts_from_its_first_packet_and_another_must_show_two_in_sequence() {
    let mut source = Source::new(8000, Source::UNAUTHENTICATED_PROBATION);
    let now = start();
    assert!(source.receive(now, &packet(MINE, 7, 0)).unwrap().is_restart);
    assert_eq!(source.receive(now, &packet(OTHER, 7, 0)), Err(DropReason::RtpProbation));
    assert_eq!(source.receive(now, &packet(OTHER, 9, 2)), Err(DropReason::RtpProbation));
    assert!(source.receive(now, &packet(OTHER, 10, 3)).unwrap().is_restart);
    assert!(!source.receive(now, &packet(OTHER, 11, 4)).unwrap().is_restart);
}

#[test]
fn after_a_change_of_the_far_side_the_first_packet_counts() {
    let mut source = Source::new(8000, Source::UNAUTHENTICATED_PROBATION);
    for seq in [1, 3] {
        source.receive(start(), &packet(MINE, seq, 0)).unwrap();
    }
    source.renew();
    assert_eq!((source.ssrc(), source.report()), (None, None));
    assert!(source.receive(start(), &packet(OTHER, 500, 0)).unwrap().is_restart);
}

#[test]
fn extended_seq_goes_on_over_the_wrap_and_back_for_late_packets() {
    let mut source = Source::new(8000, 0);
    let now = start();
    let a = source.receive(now, &packet(MINE, 65_534, 0)).unwrap().extended_seq;
    let b = source.receive(now, &packet(MINE, 1, 3)).unwrap().extended_seq;
    let late = source.receive(now, &packet(MINE, 65_535, 1)).unwrap().extended_seq;
    assert_eq!((b - a, late - a), (3, 1));
    let report = source.report().unwrap();
    assert_eq!((report.cumulative_lost, report.extended_highest_seq), (1, 0x1_0001));
}

#[test]
fn packet_reordered_before_the_first_has_a_number() {
    let mut source = Source::new(8000, 0);
    let first = source.receive(start(), &packet(MINE, 0, 1)).unwrap().extended_seq;
    assert_eq!(source.receive(start(), &packet(MINE, 65_535, 0)).unwrap().extended_seq, first - 1);
}

#[test]
fn jump_is_taken_when_its_second_packet_confirms_it() {
    let mut source = Source::new(8000, 0);
    let now = start();
    source.receive(now, &packet(MINE, 100, 0)).unwrap();
    assert_eq!(source.receive(now, &packet(MINE, 20_000, 1)), Err(DropReason::RtpSequence));
    assert!(!source.receive(now, &packet(MINE, 101, 1)).unwrap().is_restart, "one stray packet changes nothing");
    assert_eq!(source.receive(now, &packet(MINE, 20_001, 2)), Err(DropReason::RtpSequence));
    assert!(source.receive(now, &packet(MINE, 20_002, 3)).unwrap().is_restart);
    assert_eq!(source.report().unwrap().cumulative_lost, 0, "a jump is not loss");
}

#[test]
fn other_source_takes_over_after_its_probation_only() {
    let mut source = Source::new(8000, 2);
    let now = start();
    source.receive(now, &packet(MINE, 1, 0)).unwrap();
    source.receive(now, &packet(MINE, 2, 1)).unwrap();
    assert_eq!(source.receive(now, &packet(OTHER, 500, 0)), Err(DropReason::RtpProbation));
    source.receive(now, &packet(MINE, 3, 2)).unwrap();
    assert_eq!(source.receive(now, &packet(OTHER, 501, 1)), Err(DropReason::RtpProbation), "interleaved");
    assert!(source.receive(now, &packet(OTHER, 502, 2)).unwrap().is_restart);
    assert_eq!(source.ssrc(), Some(OTHER));
}

#[test]
fn a_report_block_is_about_one_source() {
    let mut source = Source::new(8000, 0);
    for seq in [1, 2, 5] {
        source.receive(start(), &packet(MINE, seq, u32::from(seq))).unwrap();
    }
    for seq in [9, 11] {
        source.receive(start(), &packet(OTHER, seq, u32::from(seq))).unwrap();
    }
    assert_eq!(source.report().unwrap().cumulative_lost, 1);
}

#[test]
fn a_sequence_that_begins_anew_a_little_lower_is_a_jump_and_late_packets_are_none() {
    let mut source = Source::new(8000, 0);
    for seq in 100..150 {
        source.receive(start(), &packet(MINE, seq, u32::from(seq))).unwrap();
    }
    for seq in [153, 151, 152, 150] {
        assert!(source.receive(start(), &packet(MINE, seq, u32::from(seq))).is_ok(), "only late: {seq}");
    }
    assert_eq!(source.receive(start(), &packet(MINE, 100, 154)), Err(DropReason::RtpSequence));
    assert!(source.receive(start(), &packet(MINE, 101, 155)).unwrap().is_restart);
    assert!(!source.receive(start(), &packet(MINE, 102, 156)).unwrap().is_restart);
}

#[test]
fn after_a_goodbye_another_source_takes_over_at_once_and_nothing_is_reported() {
    let mut source = Source::new(8000, Source::UNAUTHENTICATED_PROBATION);
    source.receive(start(), &packet(MINE, 1, 0)).unwrap();
    source.leave(OTHER);
    assert!(source.report().is_some(), "a goodbye of somebody else");
    source.leave(MINE);
    assert_eq!(source.report(), None);
    assert!(source.receive(start(), &packet(OTHER, 500, 0)).unwrap().is_restart);
    assert_eq!(source.report().unwrap().ssrc, OTHER);
}

#[test]
fn a_source_that_goes_on_after_its_goodbye_is_as_before() {
    let mut source = Source::new(8000, Source::UNAUTHENTICATED_PROBATION);
    source.receive(start(), &packet(MINE, 1, 0)).unwrap();
    source.leave(MINE);
    assert!(!source.receive(start(), &packet(MINE, 2, 1)).unwrap().is_restart);
    assert!(source.report().is_some());
    assert_eq!(source.receive(start(), &packet(OTHER, 500, 0)), Err(DropReason::RtpProbation));
}

#[test]
fn fraction_lost_is_of_the_interval() {
    let mut source = Source::new(8000, 0);
    for seq in [0, 1, 2, 3] {
        source.receive(start(), &packet(MINE, seq, 0)).unwrap();
    }
    assert_eq!(source.report().unwrap().fraction_lost, 0);
    for seq in [4, 7] {
        source.receive(start(), &packet(MINE, seq, 0)).unwrap();
    }
    let report = source.report().unwrap();
    assert_eq!((report.fraction_lost, report.cumulative_lost), (128, 2));
    assert_eq!(source.report().unwrap().fraction_lost, 0, "nothing expected, nothing lost");
}

#[test]
fn jitter_of_an_even_stream_is_zero_and_of_an_uneven_one_is_its_deviation() {
    let mut even = Source::new(8000, 0);
    let mut uneven = Source::new(8000, 0);
    let begin = start();
    for n in 0..500_u16 {
        let due = begin + ms(20 * u64::from(n));
        even.receive(due, &packet(MINE, n, u32::from(n))).unwrap();
        uneven.receive(due + ms(10 * u64::from(n % 2)), &packet(MINE, n, u32::from(n))).unwrap();
    }
    assert_eq!(even.jitter(), JitterFigures::default());
    let jitter = uneven.jitter();
    assert!((9.4..=10.6).contains(&jitter.last_ms), "{jitter:?}");
    assert!(jitter.mean_ms < jitter.last_ms && jitter.max_ms >= jitter.last_ms, "it rose from zero: {jitter:?}");
}

#[test]
fn jitter_ignores_timestamp_jumps_and_repeated_timestamps() {
    let mut source = Source::new(8000, 0);
    let begin = start();
    source.receive(begin, &packet(MINE, 0, 0)).unwrap();
    let jumped = Header::new(Pt(0), SeqNo(1), 1 << 31, MINE);
    source.receive(begin + ms(20), &jumped).unwrap();
    for n in 0..10_u16 {
        let event = Header::new(Pt(101), SeqNo(2 + n), 1 << 31, MINE);
        source.receive(begin + ms(40 + 20 * u64::from(n)), &event).unwrap();
    }
    assert_eq!(source.jitter(), JitterFigures::default());
}

#[test]
fn jitter_is_in_milliseconds_over_a_change_of_the_clock_rate() {
    let mut source = Source::new(8000, 0);
    let begin = start();
    for n in 0..400_u16 {
        source.receive(begin + ms(20 * u64::from(n) + 10 * u64::from(n % 2)), &packet(MINE, n, u32::from(n))).unwrap();
    }
    let before = source.jitter();
    source.set_clock_rate(48_000);
    let after = source.jitter();
    assert_eq!((after.last_ms, after.max_ms), (0.0, before.max_ms));
    assert!((after.mean_ms - before.mean_ms).abs() < 1e-9);
}

proptest! {
    #[test]
    fn any_packets_are_accepted_or_dropped_and_keep_the_wire_number(
        packets in prop::collection::vec((0_u32..3, any::<u16>(), any::<u32>(), 0_u64..100), 0..200),
        probation in 0_u8..4,
    ) {
        let mut source = Source::new(48_000, probation);
        let mut now = start();
        for (ssrc, seq, timestamp, wait_ms) in packets {
            now += ms(wait_ms);
            if let Ok(accepted) = source.receive(now, &Header::new(Pt(0), SeqNo(seq), timestamp, Ssrc(ssrc))) {
                prop_assert_eq!(accepted.extended_seq & 0xffff, u32::from(seq));
                prop_assert_eq!(source.ssrc(), Some(Ssrc(ssrc)));
            }
            source.report();
        }
    }
}
