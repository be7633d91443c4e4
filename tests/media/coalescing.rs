//! One wake-up for many packets.

use std::time::Duration;

use trunkline_media::engine::Totals;

use crate::support::phone::Phone;
use crate::support::stalls::in_real_time;
use crate::support::{Rig, new_call, now, sleep_until};

/// Datagrams of the load below.
const DATAGRAMS: u64 = 2_000;

/// What the worker counted, and its longest pause, while ten ports had a datagram each in turn, 5,000 a second in all.
fn under_load(longest_pause: Duration) -> Totals {
    let mut rig = Rig::with(|config| config.longest_pause = longest_pause);
    let call = new_call();
    let ports: Vec<_> = (0..10).map(|_| rig.rtp_port(call)).collect();
    let sender = Phone::new(rig.ip).rtp;
    let before = rig.engine.totals();
    let mut due = now();
    let mut longest_us = 0;
    for port in ports.iter().cycle().take(usize::try_from(DATAGRAMS).unwrap()) {
        sender.send_to(&[0x80; 172], port.rtp).unwrap();
        due += Duration::from_micros(200);
        sleep_until(due);
        longest_us = longest_us.max(rig.engine.totals().pause_us);
    }
    rig.settle(call, before.datagrams_received + DATAGRAMS);
    let mut after = rig.engine.totals();
    assert_eq!(after.datagrams_received - before.datagrams_received, DATAGRAMS);
    after.turns -= before.turns;
    after.pause_us = longest_us;
    after
}

#[test]
fn a_busy_worker_takes_several_packets_a_turn_and_says_what_delay_that_adds() {
    in_real_time(|| {
        let totals = under_load(Duration::from_millis(4));
        assert!(totals.turns < DATAGRAMS / 3, "{} turns for {DATAGRAMS} packets", totals.turns);
        assert!((1..=4_000).contains(&totals.pause_us), "{}", totals.pause_us);
        let mean_delay_us = totals.pause_delay_us / DATAGRAMS;
        assert!((100..=2_000).contains(&mean_delay_us), "{mean_delay_us}");
    });
}

#[test]
fn a_worker_that_may_not_pause_adds_no_delay() {
    in_real_time(|| {
        let totals = under_load(Duration::ZERO);
        assert_eq!((totals.pause_us, totals.pause_delay_us), (0, 0));
    });
}

#[test]
fn what_is_over_a_turns_share_is_taken_although_nothing_follows_it() {
    in_real_time(|| {
        const BURST: u64 = 150;
        let mut rig = Rig::new();
        let call = new_call();
        let ports = [rig.rtp_port(call), rig.rtp_port(call)];
        let sender = Phone::new(rig.ip).rtp;
        let before = rig.taken();
        for port in ports {
            for _ in 0..BURST {
                sender.send_to(&[0x80; 172], port.rtp).unwrap();
            }
        }
        rig.await_taken(before + 2 * BURST);
        assert_eq!(rig.taken(), before + 2 * BURST);
    });
}
