//! What a listener has of a stream: arrivals in bursts and gaps, playout, sound, and one rating of it all.
//!
//! Owns the counts that the quality figures are made of, each kept by a few additions a packet, and the E-model that
//! turns them into R and MOS when somebody asks. Must not know a header, a codec's bytes or a clock.
//! RFC 3611 section 4.7 (metrics), ITU-T G.107 and G.113 (rating).

mod arrivals;
mod burst;
pub mod emodel;
mod sound;

use std::time::Duration;

pub use arrivals::{ArrivalFigures, Arrivals};
pub use burst::{BurstFigures, Bursts, GMIN};
pub use sound::{Meter, SoundFigures};

/// How a decoded stream was played. Times are of audio.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlayoutFigures {
    /// Milliseconds that were given to the listener.
    pub played_ms: u64,
    /// Milliseconds of them that were made up for lost or late packets.
    pub concealed_ms: u64,
    /// Packets thrown away because the buffer was full or its delay over the bound.
    pub flushed: u64,
    /// How long audio waits, at last.
    pub delay_ms: u32,
    /// The longest that it waited when somebody asked.
    pub max_delay_ms: u32,
    /// The longest that it may wait.
    pub bound_ms: u32,
}

impl PlayoutFigures {
    /// These figures with those of a later buffer of the same stream.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            played_ms: self.played_ms + later.played_ms,
            concealed_ms: self.concealed_ms + later.concealed_ms,
            flushed: self.flushed + later.flushed,
            delay_ms: if later.played_ms > 0 { later.delay_ms } else { self.delay_ms },
            max_delay_ms: self.max_delay_ms.max(later.max_delay_ms),
            bound_ms: self.bound_ms.max(later.bound_ms),
        }
    }
}

/// What came out of the buffers of one stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct Played {
    /// How.
    pub playout: PlayoutFigures,
    /// What.
    pub meter: Meter,
}

impl Played {
    /// This, and what came out of a later buffer.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self { playout: self.playout.then(later.playout), meter: self.meter.then(later.meter) }
    }
}

/// What is known of a received stream beyond its packets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Heard {
    /// What its codec does to it; None before the first packet of speech.
    pub impairment: Option<emodel::Impairment>,
    /// Milliseconds of audio in a packet.
    pub ptime_ms: u32,
    /// How it was played; None if it was never decoded here.
    pub playout: Option<PlayoutFigures>,
    /// What was in it; None if nothing here could read it.
    pub sound: Option<SoundFigures>,
}

/// The E-model's view of one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rating {
    /// Transmission rating, 0 to 100.
    pub r_factor: f64,
    /// Listening quality: without delay.
    pub mos_lq: f64,
    /// Conversational quality: with delay.
    pub mos_cq: f64,
}

impl Heard {
    /// What is known once so much was played.
    #[must_use]
    pub fn new(impairment: Option<emodel::Impairment>, ptime_ms: u32, played: Played) -> Self {
        let playout = (played.playout.played_ms > 0).then_some(played.playout);
        Self { impairment, ptime_ms, playout, sound: played.meter.figures() }
    }

    /// The same with the delays of an earlier look at it: a delay is known only while something plays.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        if let (Some(playout), Some(before)) = (&mut self.playout, earlier.playout) {
            if playout.delay_ms == 0 {
                playout.delay_ms = before.delay_ms;
            }
            playout.max_delay_ms = playout.max_delay_ms.max(before.max_delay_ms);
        }
        self
    }

    /// Rates the stream; None before its first packet of speech.
    #[must_use]
    pub fn rating(&self, arrivals: &ArrivalFigures, round_trip: Option<Duration>) -> Option<Rating> {
        let impairment = self.impairment?;
        let flushed = self.playout.map_or(0, |playout| playout.flushed);
        let one_way_ms =
            round_trip.map_or(0.0, |time| time.as_secs_f64() * 500.0) + f64::from(self.end_system_delay_ms());
        let heard = emodel::Path {
            impairment,
            loss_percent: arrivals.missing_percent(flushed),
            burst_ratio: arrivals.burst_ratio,
            one_way_ms,
        };
        let r_factor = heard.rating();
        let r_listening = emodel::Path { one_way_ms: 0.0, ..heard }.rating();
        Some(Rating { r_factor, mos_lq: emodel::mos(r_listening), mos_cq: emodel::mos(r_factor) })
    }

    /// What this gateway adds to the delay: a packet's audio and its wait in the buffer, if it is decoded at all.
    #[must_use]
    pub fn end_system_delay_ms(&self) -> u32 {
        self.playout.map_or(0, |playout| playout.delay_ms + self.ptime_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_rated_before_speech() {
        assert_eq!(Heard::default().rating(&ArrivalFigures::default(), None), None);
    }

    #[test]
    fn delay_lowers_the_conversation_and_not_the_listening() {
        let heard = Heard { impairment: Some(emodel::G711), ptime_ms: 20, ..Heard::default() };
        let far = heard.rating(&ArrivalFigures::default(), Some(Duration::from_millis(600))).unwrap();
        let near = heard.rating(&ArrivalFigures::default(), None).unwrap();
        assert!((far.mos_lq - near.mos_lq).abs() < 1e-9);
        assert!(far.mos_cq < near.mos_cq - 0.3, "{far:?} {near:?}");
    }

    #[test]
    fn figures_of_several_buffers_add_up_and_the_latest_delay_stands() {
        let first =
            PlayoutFigures { played_ms: 100, concealed_ms: 20, delay_ms: 60, max_delay_ms: 80, ..Default::default() };
        let idle = PlayoutFigures::default();
        let last = PlayoutFigures { played_ms: 50, flushed: 1, delay_ms: 30, max_delay_ms: 40, ..Default::default() };
        let sum = first.then(idle).then(last);
        assert_eq!((sum.played_ms, sum.concealed_ms, sum.flushed), (150, 20, 1));
        assert_eq!((sum.delay_ms, sum.max_delay_ms, first.then(idle).delay_ms), (30, 80, 60));
    }
}
