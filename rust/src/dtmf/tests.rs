//! Sender and receiver by themselves and against each other over a network that loses, repeats and reorders.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

#[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
fn instant() -> Instant {
    Instant::now()
}

fn digit(character: char) -> Digit {
    Digit::from_char(character).unwrap()
}

/// All packets of the digits that wait, one poll each 20 ms, with the milliseconds at which each is sent.
fn packets(sender: &mut Sender, clock_rate_hz: u32, first_timestamp: u32) -> Vec<(u64, Outgoing)> {
    let mut sent = Vec::new();
    for tick in 0_u32.. {
        if !sender.is_active() {
            break;
        }
        let timestamp = first_timestamp.wrapping_add(tick * clock_rate_hz / 50);
        sent.extend(sender.poll(timestamp).map(|packet| (u64::from(tick) * 20, packet)));
    }
    sent
}

/// A sender's packets for one digit of `duration_ms`.
fn one_digit(clock_rate_hz: u32, duration_ms: u32) -> Vec<(u64, Outgoing)> {
    let mut sender = Sender::new(clock_rate_hz, 20);
    sender.push(digit('5'), duration_ms, 0).unwrap();
    packets(&mut sender, clock_rate_hz, 1_000)
}

/// What a receiver makes of packets that arrive in this order; the clock runs on for a second after the last one.
fn receive(clock_rate_hz: u32, arrivals: &[(u64, Outgoing)]) -> Vec<Received> {
    let mut receiver = Receiver::new(clock_rate_hz);
    let began = instant();
    let mut events = Vec::new();
    for (ms, packet) in arrivals {
        let now = began + Duration::from_millis(*ms);
        receiver.handle_timeout(now);
        events.extend(std::iter::from_fn(|| receiver.poll_event()));
        receiver.handle_packet(now, packet.timestamp, packet.marker, &packet.event.to_bytes()).unwrap();
        events.extend(std::iter::from_fn(|| receiver.poll_event()));
    }
    if let Some(deadline) = receiver.poll_timeout() {
        receiver.handle_timeout(deadline);
        events.extend(std::iter::from_fn(|| receiver.poll_event()));
    }
    assert_eq!(receiver.poll_timeout(), None);
    events
}

/// The digits that ended, and how long they lasted.
fn digits(events: &[Received]) -> Vec<(char, u32)> {
    events
        .iter()
        .filter_map(|event| match event {
            Received::Ended { digit, duration_ms } => Some((digit.as_char(), *duration_ms)),
            Received::Began { .. } => None,
        })
        .collect()
}

#[test]
fn digits_and_event_codes_match_in_both_directions() {
    for (code, character) in "0123456789*#ABCD".chars().enumerate() {
        let digit = Digit::from_char(character.to_ascii_lowercase()).unwrap();
        assert_eq!((usize::from(digit.code()), digit.as_char()), (code, character));
        assert_eq!(Digit::from_code(digit.code()), Some(digit));
    }
    assert_eq!((Digit::from_code(16), Digit::from_char('E')), (None, None));
}

#[test]
fn sends_an_update_each_packet_time_and_the_end_three_times() {
    let sent = one_digit(8_000, 100);
    let summary: Vec<_> = sent.iter().map(|(ms, p)| (*ms, p.marker, p.event.is_end, p.event.duration_ts)).collect();
    assert_eq!(
        summary,
        [
            (0, true, false, 160),
            (20, false, false, 320),
            (40, false, false, 480),
            (60, false, false, 640),
            (80, false, true, 800),
            (100, false, true, 800),
            (120, false, true, 800),
        ]
    );
    assert!(sent.iter().all(|(_, packet)| packet.timestamp == 1_000 && packet.event.code == 5));
}

#[test]
fn ends_at_the_length_asked_for_even_between_two_packets() {
    assert_eq!(one_digit(8_000, 90).last().unwrap().1.event.duration_ts, 720);
    assert_eq!(one_digit(48_000, 120).last().unwrap().1.event.duration_ts, 5_760);
    assert_eq!(one_digit(8_000, 1).len(), 3, "shorter than a packet: only end packets");
}

#[test]
fn keeps_the_gap_between_digits() {
    let mut sender = Sender::new(8_000, 20);
    sender.push(digit('1'), 100, 100).unwrap();
    sender.push(digit('1'), 100, 100).unwrap();
    let sent = packets(&mut sender, 8_000, 0);
    let starts: Vec<_> = sent.iter().filter(|(_, packet)| packet.marker).map(|(_, p)| p.timestamp).collect();
    assert_eq!(starts, [0, 1_600]);
    assert_eq!(digits(&receive(8_000, &sent)), [('1', 100), ('1', 100)]);
}

#[test]
fn a_held_key_lasts_until_it_is_released() {
    let mut sender = Sender::new(8_000, 20);
    sender.press(digit('#')).unwrap();
    let mut last = None;
    for tick in 0..10 {
        last = sender.poll(tick * 160);
        assert!(!last.unwrap().event.is_end);
    }
    sender.release(210);
    assert_eq!(last.unwrap().event.duration_ts, 1_600);
    let end = sender.poll(1_600).unwrap().event;
    assert_eq!((end.is_end, end.duration_ts), (true, 1_680));
}

#[test]
fn a_key_released_before_its_turn_keeps_its_length() {
    let mut sender = Sender::new(8_000, 20);
    sender.push(digit('1'), 60, 40).unwrap();
    sender.press(digit('2')).unwrap();
    sender.poll(0);
    sender.release(100);
    let mut sent = packets(&mut sender, 8_000, 160);
    sent.retain(|(_, packet)| packet.event.code == 2);
    assert_eq!(digits(&receive(8_000, &sent)), [('2', 100)]);
}

#[test]
fn long_events_are_cut_into_segments_and_heard_as_one_digit() {
    for clock_rate_hz in [8_000, 48_000] {
        let sent = one_digit(clock_rate_hz, 20_000);
        let segments: std::collections::BTreeSet<_> = sent.iter().map(|(_, packet)| packet.timestamp).collect();
        assert_eq!(segments.len(), clock_rate_hz as usize * 20 / 65_535 + 1);
        assert_eq!(sent.iter().filter(|(_, packet)| packet.marker).count(), 1);
        assert_eq!(digits(&receive(clock_rate_hz, &sent)), [('5', 20_000)]);
        let thinned: Vec<_> = sent.into_iter().step_by(3).collect();
        assert_eq!(digits(&receive(clock_rate_hz, &thinned)).len(), 1);
    }
}

#[test]
fn a_duration_that_wraps_belongs_to_the_same_digit() {
    let began = one_digit(8_000, 60)[0].1;
    let mut wrapping = Vec::new();
    for tick in 0_u16..600 {
        let event = Event { duration_ts: tick.wrapping_mul(160), is_end: tick == 599, ..began.event };
        wrapping.push((u64::from(tick) * 20, Outgoing { event, ..began }));
    }
    assert_eq!(digits(&receive(8_000, &wrapping)), [('5', 599 * 20)]);
}

#[test]
fn a_digit_is_heard_once_whichever_of_its_packets_arrive() {
    let sent = one_digit(8_000, 100);
    for arriving in 1_u32..1 << sent.len() {
        let arrivals: Vec<_> = (0..sent.len()).filter(|n| arriving >> n & 1 == 1).map(|n| sent[n]).collect();
        let events = receive(8_000, &arrivals);
        assert_eq!(events.len(), 2, "{arriving:#b}: {events:?}");
        assert!(matches!(events[0], Received::Began { volume: 10, .. }));
    }
}

#[test]
fn a_digit_without_its_end_packets_ends_by_itself_150_ms_after_the_last_one() {
    let mut receiver = Receiver::new(8_000);
    let began = instant();
    let event = Event { code: 7, is_end: false, volume: 0, duration_ts: 400 };
    receiver.handle_packet(began, 0, true, &event.to_bytes()).unwrap();
    assert!(matches!(receiver.poll_event(), Some(Received::Began { .. })));
    assert_eq!(receiver.poll_timeout(), Some(began + Duration::from_millis(150)));
    receiver.handle_timeout(began + Duration::from_millis(149));
    assert_eq!(receiver.poll_event(), None);
    receiver.handle_timeout(began + Duration::from_millis(150));
    assert_eq!(receiver.poll_event(), Some(Received::Ended { digit: digit('7'), duration_ms: 50 }));
    // A straggler of the same key press does not press it again.
    receiver.handle_packet(began + Duration::from_millis(160), 0, false, &event.to_bytes()).unwrap();
    assert_eq!(receiver.poll_event(), None);
}

#[test]
fn the_next_digit_ends_the_one_before() {
    let first =
        Outgoing { timestamp: 0, marker: true, event: Event { code: 1, is_end: false, volume: 0, duration_ts: 160 } };
    let second = Outgoing { timestamp: 800, event: Event { code: 2, ..first.event }, ..first };
    let events = receive(8_000, &[(0, first), (100, second)]);
    assert_eq!(digits(&events), [('1', 20), ('2', 20)]);
    assert!(matches!(events[1], Received::Ended { .. }), "ends before the next begins");
}

#[test]
fn a_digit_of_which_only_the_end_arrives_follows_one_that_never_ended() {
    let first =
        Outgoing { timestamp: 0, marker: true, event: Event { code: 1, is_end: false, volume: 0, duration_ts: 160 } };
    let second = Outgoing { timestamp: 800, event: Event { code: 2, is_end: true, ..first.event }, ..first };
    let events = receive(8_000, &[(0, first), (100, second)]);
    assert_eq!(events.len(), 4);
    assert_eq!(digits(&events), [('1', 20), ('2', 20)]);
}

#[test]
fn a_thousand_events_a_second_are_bounded() {
    let mut receiver = Receiver::new(8_000);
    let began = instant();
    let (mut heard, mut limited) = (0, 0);
    for number in 0..2_000 {
        let event = Event { code: 1, is_end: true, volume: 0, duration_ts: 8 };
        let result = receiver.handle_packet(
            began + Duration::from_millis(number),
            u32::try_from(number).unwrap() * 8,
            true,
            &event.to_bytes(),
        );
        limited += u32::from(result == Err(DtmfError::RateLimited));
        heard += digits(&std::iter::from_fn(|| receiver.poll_event()).collect::<Vec<_>>()).len();
    }
    assert!((50..=60).contains(&heard), "{heard} digits in two seconds");
    assert_eq!(heard + limited as usize, 2_000);
}

#[test]
fn what_is_no_digit_is_refused() {
    let mut receiver = Receiver::new(8_000);
    let now = instant();
    assert_eq!(receiver.handle_packet(now, 0, true, &[1, 0, 0]), Err(DtmfError::Malformed));
    assert_eq!(receiver.handle_packet(now, 0, true, &[16, 0, 0, 160]), Err(DtmfError::NotDigit));
    assert_eq!(receiver.poll_event(), None);
    assert!(!receiver.is_active());
}

#[test]
fn a_new_source_may_begin_at_any_timestamp() {
    let mut receiver = Receiver::new(8_000);
    let began = instant();
    let event = Event { code: 1, is_end: true, volume: 0, duration_ts: 800 };
    receiver.handle_packet(began, 1_000_000, true, &event.to_bytes()).unwrap();
    let mut heard = digits(&std::iter::from_fn(|| receiver.poll_event()).collect::<Vec<_>>());
    receiver.restart(1_000_000);
    receiver.handle_packet(began, 1_000_000, true, &event.to_bytes()).unwrap();
    receiver.restart(999_000);
    receiver.handle_packet(began + Duration::from_secs(1), 999_000, true, &event.to_bytes()).unwrap();
    heard.extend(digits(&std::iter::from_fn(|| receiver.poll_event()).collect::<Vec<_>>()));
    assert_eq!(heard.len(), 2, "the repetition of the first is no other");
}

#[test]
fn the_queue_is_bounded_and_can_be_cleared() {
    let mut sender = Sender::new(8_000, 20);
    for _ in 0..QUEUE_DIGITS {
        sender.push(digit('1'), 100, 50).unwrap();
    }
    assert_eq!(sender.push(digit('1'), 100, 50), Err(DtmfError::QueueFull));
    sender.clear();
    assert!(!sender.is_active());
    assert_eq!(sender.poll(0), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn event_payloads_survive_writing_and_reading(payload: [u8; 4]) {
        let event = Event::parse(&payload).unwrap();
        prop_assert_eq!(Event::parse(&event.to_bytes()), Some(event));
        prop_assert_eq!(event.to_bytes()[1] | 0x40, payload[1] | 0x40);
    }

    #[test]
    fn every_digit_arrives_once_and_in_order_over_a_bad_network(
        codes in prop::collection::vec((0_u8..16, 40_u32..400, 60_u32..200), 1..12),
        clock_rate_hz in prop::sample::select(vec![8_000_u32, 16_000, 48_000]),
        first_timestamp: u32,
        fates in prop::collection::vec(0_u8..100, 400),
    ) {
        let mut sender = Sender::new(clock_rate_hz, 20);
        for &(code, duration_ms, gap_ms) in &codes {
            sender.push(Digit::from_code(code).unwrap(), duration_ms, gap_ms).unwrap();
        }
        let mut arrivals = Vec::new();
        let mut arrived = std::collections::BTreeSet::new();
        for (number, (ms, packet)) in packets(&mut sender, clock_rate_hz, first_timestamp).into_iter().enumerate() {
            let fate = fates[number % fates.len()];
            // A third is lost, some come twice, some one packet late.
            if fate >= 33 {
                arrivals.push((ms + if fate % 7 == 0 { 25 } else { 0 }, packet));
                arrived.insert(packet.timestamp.wrapping_sub(first_timestamp));
            }
            if fate >= 90 {
                arrivals.push((ms + 45, packet));
            }
        }
        arrivals.sort_by_key(|(ms, _)| *ms);
        let heard = digits(&receive(clock_rate_hz, &arrivals));
        prop_assert_eq!(heard.len(), arrived.len());
        let mut sent = codes.iter().map(|(code, ..)| Digit::from_code(*code).unwrap().as_char());
        for (character, _) in heard {
            prop_assert!(sent.any(|next| next == character), "{character} out of order");
        }
    }

    #[test]
    fn any_packets_leave_the_receiver_in_order(
        packets in prop::collection::vec((any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..8), 0_u64..300), 0..200),
    ) {
        let mut receiver = Receiver::new(8_000);
        let mut now = instant();
        let mut is_down = false;
        for (timestamp, marker, payload, ms) in packets {
            now += Duration::from_millis(ms);
            receiver.handle_timeout(now);
            let mut events: Vec<_> = std::iter::from_fn(|| receiver.poll_event()).collect();
            let _ = receiver.handle_packet(now, timestamp, marker, &payload);
            events.extend(std::iter::from_fn(|| receiver.poll_event()));
            for event in events {
                prop_assert_eq!(matches!(event, Received::Ended { .. }), is_down, "{:?}", event);
                is_down = !is_down;
            }
        }
    }
}
