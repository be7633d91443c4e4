//! Relay: a packet of the other leg goes on with its payload untouched and its header rewritten.
//!
//! No jitter buffer and no copy of its own. Loss and disorder of the source stay visible to the listener, whose jitter
//! buffer deals with them; jumps of the source do not.   RFC 7667 section 3.5 (media translator).

use std::time::{Duration, Instant};

use crate::error::DropReason;
use crate::net::Pt;
use crate::rtp::Header;

use super::Inbound;
use super::continuity::Continuity;
use super::output::{Output, units};

/// Timestamps may differ so much from the time that went by before they are moved: jitter of the source, not a gap.
const TIMESTAMP_SLACK: Duration = Duration::from_millis(250);

/// Maps one source's numbers to the outgoing stream's.
#[derive(Debug, Default)]
pub(super) struct Relay {
    continuity: Continuity,
    /// Packets of other feeds as of the last one of ours; None before the first.
    paced_packets: Option<u64>,
}

impl Relay {
    /// The outgoing header of `packet`, with payload type `pt` of the same clock rate.
    ///
    /// The first packet of a source, and the first after another feed had the stream, continues the numbers and
    /// carries the marker. Drops `Late` a packet from before that point, whose number is taken.
    pub(super) fn rewrite(
        &mut self,
        now: Instant,
        packet: &Inbound<'_>,
        (pt, clock_rate_hz): (Pt, u32),
        output: &mut Output,
    ) -> Result<Header, DropReason> {
        let placed = if self.paced_packets == Some(output.paced_packets()) {
            self.continuity.place(now, packet, clock_rate_hz)?
        } else {
            let timestamp = self.timestamp_behind(now, packet.header.timestamp, clock_rate_hz, output);
            self.continuity.begin(now, packet, clock_rate_hz, (output.next_seq(), timestamp))
        };
        self.paced_packets = Some(output.paced_packets());
        Ok(output.relayed(now, pt, placed.seq, placed.timestamp, packet.header.marker || placed.is_break))
    }

    /// Where the relay takes the stream up again after another feed: as if it had never stopped, if that agrees with the
    /// time that went by.
    fn timestamp_behind(&self, now: Instant, timestamp: u32, clock_rate_hz: u32, output: &Output) -> u32 {
        let due = output.timestamp_at(now, clock_rate_hz);
        let slack = units(TIMESTAMP_SLACK, clock_rate_hz);
        let kept = self.continuity.timestamp_of(timestamp);
        kept.filter(|kept| kept.wrapping_sub(due).wrapping_add(slack) <= 2 * slack).unwrap_or(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{SeqNo, Ssrc};

    const PT: (Pt, u32) = (Pt(8), 8_000);

    struct Scene {
        relay: Relay,
        output: Output,
        start: Instant,
    }

    impl Scene {
        fn new() -> Self {
            #[expect(clippy::disallowed_methods, reason = "a test needs some first instant")]
            let start = Instant::now();
            Self { relay: Relay::default(), output: Output::new(Ssrc(7), SeqNo(65_534), 1_000), start }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        fn packet(&mut self, at_ms: u64, ssrc: u32, seq: u32, timestamp: u32) -> Result<(u16, u32, bool), DropReason> {
            #[expect(clippy::cast_possible_truncation, reason = "the wire number is the lower half")]
            let header = Header::new(Pt(0), SeqNo(seq as u16), timestamp, Ssrc(ssrc));
            let now = self.at(at_ms);
            let packet =
                Inbound { arrived_at: now, header: &header, extended_seq: seq, is_restart: false, payload: &[] };
            let sent = self.relay.rewrite(now, &packet, PT, &mut self.output)?;
            assert_eq!((sent.ssrc, sent.pt), (Ssrc(7), Pt(8)));
            Ok((sent.seq.0, sent.timestamp, sent.marker))
        }
    }

    #[test]
    fn loss_and_disorder_stay_visible_across_the_wrap() {
        let mut scene = Scene::new();
        assert_eq!(scene.packet(0, 1, 100, 50_000), Ok((65_534, 1_000, true)));
        assert_eq!(scene.packet(20, 1, 101, 50_160), Ok((65_535, 1_160, false)));
        assert_eq!(scene.packet(60, 1, 104, 50_640), Ok((2, 1_640, false)));
        assert_eq!(scene.packet(61, 1, 103, 50_480), Ok((1, 1_480, false)));
        assert_eq!(scene.packet(80, 1, 105, 50_800), Ok((3, 1_800, false)));
    }

    #[test]
    fn another_source_continues_the_numbers_with_the_time_that_went_by() {
        let mut scene = Scene::new();
        assert_eq!(scene.packet(0, 1, 100, 50_000), Ok((65_534, 1_000, true)));
        assert_eq!(scene.packet(500, 2, 9, 4_000_000_000), Ok((65_535, 5_000, true)));
        assert_eq!(scene.packet(520, 2, 10, 4_000_000_160), Ok((0, 5_160, false)));
    }

    #[test]
    fn packets_of_another_feed_push_the_numbers_on_but_not_the_clock() {
        let mut scene = Scene::new();
        assert_eq!(scene.packet(0, 1, 100, 50_000), Ok((65_534, 1_000, true)));
        let now = scene.at(20);
        assert_eq!(scene.output.next(now, 1_160, Pt(101), (1_160, true)).seq, SeqNo(65_535));
        assert_eq!(scene.output.next(now, 1_320, Pt(101), (1_160, false)).seq, SeqNo(0));
        assert_eq!(scene.packet(43, 1, 102, 50_320), Ok((1, 1_320, true)));
        assert_eq!(scene.packet(44, 1, 101, 50_160), Err(DropReason::Late));
    }

    #[test]
    fn a_long_pause_of_the_relay_moves_the_clock() {
        let mut scene = Scene::new();
        assert_eq!(scene.packet(0, 1, 100, 50_000), Ok((65_534, 1_000, true)));
        let now = scene.at(1_000);
        scene.output.next(now, 9_000, Pt(0), (9_000, true));
        assert_eq!(scene.packet(2_000, 1, 101, 50_160), Ok((0, 17_000, true)));
    }
}
