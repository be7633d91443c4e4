//! One unbroken run of numbers, whatever the source does with its own.
//!
//! A far side may change its source, jump in its sequence, or set its timestamps anew. Whoever listens behind a relay must
//! not hear of it: numbers go on by one, and timestamps by the packets that fitted into the time that went by. Loss and
//! disorder stay as they are.   RFC 3550 sections 5.1 and 8.2, A.1.

use std::time::{Duration, Instant};

use crate::error::DropReason;
use crate::net::{SeqNo, Ssrc};

use super::Inbound;
use super::output::units;

/// Timestamps may run ahead of the time that went by: so much is jitter of the source, more is a jump.
const SLACK: Duration = Duration::from_millis(250);

/// A gap of up to so many packets is loss. A longer one must agree with the time that went by.
const LONGEST_LOSS: u32 = 50;

/// Packet time of a source of which one packet is known.
const USUAL_PACKET: Duration = Duration::from_millis(20);

/// The longest packet time that a source is believed.
const LONGEST_PACKET: Duration = Duration::from_millis(120);

/// Maps a source's numbers to a stream's.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    course: Option<Course>,
}

/// Where a packet belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) seq: SeqNo,
    pub(super) timestamp: u32,
    /// The source broke with what it had sent before.
    pub(super) is_break: bool,
}

#[derive(Debug, Clone, Copy)]
struct Course {
    source: Ssrc,
    clock_rate_hz: u32,
    /// Earlier ones belong to what was before.
    first_extended_seq: u32,
    newest: Newest,
    /// Timestamp units of a packet.
    packet_ts: u32,
    seq_offset: u16,
    timestamp_offset: u32,
}

/// The newest packet, under the source's numbers.
#[derive(Debug, Clone, Copy)]
struct Newest {
    seq: SeqNo,
    extended_seq: u32,
    timestamp: u32,
    at: Instant,
}

impl Continuity {
    /// Places a packet of the stream. The first of all keeps its own numbers.
    ///
    /// Drops `Late` a packet from before a break, whose place is taken.
    pub(super) fn place(
        &mut self,
        now: Instant,
        packet: &Inbound<'_>,
        clock_rate_hz: u32,
    ) -> Result<Placed, DropReason> {
        let header = packet.header;
        let Some(course) = &mut self.course else {
            return Ok(self.begin(now, packet, clock_rate_hz, (header.seq, header.timestamp)));
        };
        if course.source == header.ssrc && course.clock_rate_hz == clock_rate_hz && !packet.is_restart {
            let ahead = packet.extended_seq.wrapping_sub(course.newest.extended_seq);
            if ahead.cast_signed() <= 0 {
                return if packet.extended_seq.wrapping_sub(course.first_extended_seq).cast_signed() < 0 {
                    Err(DropReason::Late)
                } else {
                    Ok(course.place(packet))
                };
            }
            if course.goes_on(now, ahead, header.timestamp) {
                course.newest = Newest::of(now, packet);
                return Ok(course.place(packet));
            }
        }
        let next = course.next(now, clock_rate_hz);
        Ok(self.begin(now, packet, clock_rate_hz, next))
    }

    /// Places a packet at these numbers, and those that follow it behind.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        packet: &Inbound<'_>,
        clock_rate_hz: u32,
        (seq, timestamp): (SeqNo, u32),
    ) -> Placed {
        let header = packet.header;
        let known = self.course.filter(|course| course.clock_rate_hz == clock_rate_hz).map(|course| course.packet_ts);
        self.course = Some(Course {
            source: header.ssrc,
            clock_rate_hz,
            first_extended_seq: packet.extended_seq,
            newest: Newest::of(now, packet),
            packet_ts: known.unwrap_or_else(|| units(USUAL_PACKET, clock_rate_hz)),
            seq_offset: seq.0.wrapping_sub(header.seq.0),
            timestamp_offset: timestamp.wrapping_sub(header.timestamp),
        });
        Placed { seq, timestamp, is_break: true }
    }

    /// The timestamp that a packet of any source would have, as if nothing had come between. None before the first.
    pub(super) fn timestamp_of(&self, timestamp: u32) -> Option<u32> {
        self.course.map(|course| timestamp.wrapping_add(course.timestamp_offset))
    }
}

impl Course {
    fn place(&self, packet: &Inbound<'_>) -> Placed {
        Placed {
            seq: SeqNo(packet.header.seq.0.wrapping_add(self.seq_offset)),
            timestamp: packet.header.timestamp.wrapping_add(self.timestamp_offset),
            is_break: false,
        }
    }

    /// Whether a packet so many numbers ahead, with this timestamp, may be the source's own next.
    fn goes_on(&mut self, now: Instant, ahead: u32, timestamp: u32) -> bool {
        let advance = timestamp.wrapping_sub(self.newest.timestamp);
        if ahead <= LONGEST_LOSS && advance == self.packet_ts.wrapping_mul(ahead) {
            return true;
        }
        let elapsed = now.saturating_duration_since(self.newest.at);
        // Going back is a timestamp from the far half of the circle, and so far ahead as well.
        if advance > units(elapsed + SLACK, self.clock_rate_hz) {
            return false;
        }
        if ahead == 1 && (1..=units(LONGEST_PACKET, self.clock_rate_hz)).contains(&advance) {
            self.packet_ts = advance;
        }
        // Numbers that jumped while the time did not.
        ahead <= LONGEST_LOSS || u64::from(advance) * 2 >= u64::from(self.packet_ts) * u64::from(ahead)
    }

    /// The numbers behind the newest, by the whole packets that fit into the time since.
    fn next(&self, now: Instant, clock_rate_hz: u32) -> (SeqNo, u32) {
        let packet_ts =
            if clock_rate_hz == self.clock_rate_hz { self.packet_ts } else { units(USUAL_PACKET, clock_rate_hz) };
        let elapsed_ts = units(now.saturating_duration_since(self.newest.at), clock_rate_hz);
        let packets = (u64::from(elapsed_ts) + u64::from(packet_ts / 2)) / u64::from(packet_ts.max(1));
        let step = packet_ts.wrapping_mul(u32::try_from(packets.max(1)).unwrap_or(1));
        let timestamp = self.newest.timestamp.wrapping_add(self.timestamp_offset).wrapping_add(step);
        (SeqNo(self.newest.seq.0.wrapping_add(self.seq_offset)).next(), timestamp)
    }
}

impl Newest {
    fn of(now: Instant, packet: &Inbound<'_>) -> Self {
        let header = packet.header;
        Self { seq: header.seq, extended_seq: packet.extended_seq, timestamp: header.timestamp, at: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Pt;
    use crate::rtp::Header;

    struct Scene {
        continuity: Continuity,
        start: Instant,
    }

    impl Scene {
        /// A stream of 20 ms from number 1,000 and timestamp 0 on, of which ten packets have come.
        fn running() -> Self {
            #[expect(clippy::disallowed_methods, reason = "a test needs some first instant")]
            let mut scene = Self { continuity: Continuity::default(), start: Instant::now() };
            for number in 0..10 {
                assert!(scene.packet(20 * u64::from(number), 1, 1_000 + number, number * 160).is_ok());
            }
            scene
        }

        fn packet(&mut self, at_ms: u64, ssrc: u32, seq: u32, timestamp: u32) -> Result<(u16, u32, bool), DropReason> {
            #[expect(clippy::cast_possible_truncation, reason = "the wire number is the lower half")]
            let header = Header::new(Pt(0), SeqNo(seq as u16), timestamp, Ssrc(ssrc));
            let now = self.start + Duration::from_millis(at_ms);
            let packet =
                Inbound { arrived_at: now, header: &header, extended_seq: seq, is_restart: false, payload: &[] };
            let placed = self.continuity.place(now, &packet, 8_000)?;
            Ok((placed.seq.0, placed.timestamp, placed.is_break))
        }
    }

    #[test]
    fn loss_disorder_pauses_and_a_stalled_network_stay_as_they_are() {
        let mut scene = Scene::running();
        assert_eq!(scene.packet(240, 1, 1_012, 1_920), Ok((1_012, 1_920, false)), "loss");
        assert_eq!(scene.packet(241, 1, 1_011, 1_760), Ok((1_011, 1_760, false)), "disorder");
        assert_eq!(scene.packet(2_000, 1, 1_013, 16_000), Ok((1_013, 16_000, false)), "a pause");
        assert_eq!(scene.packet(5_000, 1, 1_014, 16_160), Ok((1_014, 16_160, false)), "a stall");
        assert_eq!(scene.packet(5_000, 1, 1_015, 16_320), Ok((1_015, 16_320, false)));
        assert_eq!(scene.packet(8_000, 1, 1_115, 32_480), Ok((1_115, 32_480, false)), "two seconds of loss");
    }

    #[test]
    fn timestamps_set_anew_go_on_by_the_packets_of_the_time_that_went_by() {
        for timestamp in [0x8000_0000, 1_440 + 8_000, 1_440 - 160, 0xffff_0000] {
            let mut scene = Scene::running();
            assert_eq!(scene.packet(200, 1, 1_010, timestamp), Ok((1_010, 1_600, true)), "{timestamp:#x}");
            assert_eq!(scene.packet(220, 1, 1_011, timestamp.wrapping_add(160)), Ok((1_011, 1_760, false)));
            assert_eq!(scene.packet(221, 1, 1_009, 1_440), Err(DropReason::Late), "from before");
        }
    }

    #[test]
    fn jitter_at_a_break_moves_nothing_by_parts_of_a_packet() {
        for (at_ms, expected) in [(183, 1_600), (206, 1_600), (215, 1_760), (228, 1_760)] {
            let mut scene = Scene::running();
            assert_eq!(scene.packet(at_ms, 2, 5, 77), Ok((1_010, expected, true)), "at {at_ms} ms");
        }
    }

    #[test]
    fn numbers_that_jump_without_the_time_go_on_by_one() {
        let mut scene = Scene::running();
        assert_eq!(scene.packet(200, 1, 2_009, 1_600), Ok((1_010, 1_600, true)), "the number alone");
        assert_eq!(scene.packet(220, 1, 3_009, 161_600), Ok((1_011, 1_760, true)), "the timestamp with it");
    }

    #[test]
    fn another_packet_time_is_no_break() {
        let mut scene = Scene::running();
        for number in 0..5_u32 {
            let placed = scene.packet(200 + 60 * u64::from(number), 1, 1_010 + number, 1_600 + 480 * number);
            assert!(placed.is_ok_and(|(.., is_break)| !is_break));
        }
    }
}
