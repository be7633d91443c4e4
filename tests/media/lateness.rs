//! A worker that is late, because it is busy or because the machine stands still, beside a network that is.

use std::time::Duration;

use trunkline_media::bridge::{Arrival, LegIndex};
use trunkline_media::endpoint::Lane;
use trunkline_media::pipeline::Format;
use trunkline_media::quality::PlayoutFigures;

use crate::support::memory::Lab;
use crate::support::talk::{A, B, Talker, joined, with_ptime};
use crate::support::{g729, opus, pcmu};

const SECONDS: u64 = 6;
const PTIME_MS: u32 = 20;

/// Whether something is so in a millisecond.
type When = fn(u64) -> bool;

/// In each fifth of a second, somewhere in it, 18 ms in which nothing gets through.
fn often(ms: u64) -> bool {
    let begin = (60 + ms / 200 * 37) % 180;
    (begin..begin + 18).contains(&(ms % 200))
}

/// In each second, 70 ms in which nothing gets through.
fn for_long(ms: u64) -> bool {
    (500..570).contains(&(ms % 1_000))
}

/// When the first packets come, which is when there is most to do.
fn at_first(ms: u64) -> bool {
    (0..33).contains(&ms)
}

fn never(_: u64) -> bool {
    false
}

/// A far side's packets through a call that is transcoded. Its worker has a turn each millisecond but when it `is_late`;
/// packets are held up on their way while the network `is_slow`. Returns how they were played, and the longest time from
/// one sent packet to the next.
fn call(far: Format, is_late: When, is_slow: When) -> (PlayoutFigures, u64) {
    let (mut lab, a, _) = joined(&with_ptime(&[far], PTIME_MS), &with_ptime(&[other(far)], PTIME_MS));
    let mut talker = Talker::new(far, 440.0);
    let (mut under_way, mut unread) = (Vec::new(), Vec::new());
    let (mut sent, mut sent_at_ms, mut longest_ms) = (0, 0, 0);
    let began = lab.now;
    for ms in 0..SECONDS * 1_000 {
        lab.now = began + Duration::from_millis(ms);
        if ms.is_multiple_of(PTIME_MS.into()) {
            under_way.extend(talker.packet(PTIME_MS, false));
        }
        if !is_slow(ms) {
            unread.extend(under_way.drain(..).map(|packet| (lab.now, packet)));
        }
        if is_late(ms) {
            continue;
        }
        for (at, mut packet) in unread.drain(..) {
            read(&mut lab, a, at, &mut packet);
        }
        let now = lab.now;
        lab.bridge.handle_timeout(now, &mut lab.outbox);
        let count = lab.sent_through(B.rtp).len();
        if count > 0 {
            longest_ms = longest_ms.max(if sent > 0 { ms - sent_at_ms } else { 0 });
            (sent, sent_at_ms) = (sent + count, ms);
        }
    }
    assert!(sent + 3 > usize::try_from(SECONDS * 50).unwrap(), "{sent} packets");
    assert_eq!(lab.sent_through(A.rtp).len(), 0);
    (lab.bridge.stats(a).unwrap().received.heard.playout.unwrap(), longest_ms)
}

/// Reads a packet now that came earlier.
fn read(lab: &mut Lab, leg: LegIndex, at: std::time::Instant, packet: &mut [u8]) {
    let whence = (leg, Lane::Rtp, Lab::far_rtp());
    let arrival = Arrival { at, forecast: None };
    lab.bridge.handle_arrival(lab.now, whence, (packet, arrival), &mut lab.outbox).unwrap();
}

/// What the other side speaks.
fn other(far: Format) -> Format {
    if far == pcmu() { g729() } else { pcmu() }
}

#[test]
fn a_late_worker_makes_nobody_wait_longer_and_a_slow_network_does() {
    for far in [pcmu(), opus()] {
        let (even, _) = call(far, never, never);
        for (is_late, least_ms) in [(often as When, 25), (for_long, 70), (at_first, 0)] {
            let (late, longest_ms) = call(far, is_late, never);
            assert!(longest_ms >= least_ms, "{far:?}: packets left late: {longest_ms} ms");
            assert_eq!(late, even, "{far:?}: as if it had not been late");
        }
        let (slow, _) = call(far, never, often);
        assert!(slow.delay_ms >= even.delay_ms + 5, "{far:?}: {slow:?} beside {even:?}");
    }
}
