//! How long packets wait, and what follows from it: shall the delay grow or shrink?
//!
//! Two measures rule everything. The *lag* of a packet is the time from the moment when the fastest packet's first sample
//! could have been played to the moment when this packet's first sample is played. Its *slack* is how long it waited to be
//! decoded, on the same scale; lag exceeds slack by the samples queued ahead of it, its *surplus*. A packet is in time if
//! its lateness does not exceed its slack, so slack is held at the target. It moves in steps of a pull, since shortening
//! the queue changes nothing until one more packet is needed a pull earlier; so an excess of less than a pull is left
//! alone, or it would turn into a lack. A surplus that every packet has helps none of them, and may go; but what a stretch
//! puts in is at first a surplus, and stays until the waits that came of it have been seen.

use super::super::delay::Estimator;

/// Packets whose least slack counts: packets that do not fit the pull evenly have slacks that go up and down.
const RECENT: usize = 8;

/// Packets after which the least slack is believed.
const ENOUGH: usize = RECENT / 2;

/// Slack below the target that is left alone: timers are late by less than this.
const SHORTFALL_US: i64 = 3_000;

/// Slack above the target that is always left alone: about one period of a voice.
const LEAST_EXCESS_US: i64 = 10_000;

/// Surplus that is left alone.
const LEAST_SURPLUS_US: i64 = 5_000;

/// Excess at which less perfect splices are taken.
const URGENT_US: i64 = 80_000;

/// What a gap may be made longer by, to raise the slack.
const LONGEST_EXTENSION_US: i64 = 20_000;

/// What is to be done about the delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Correction {
    /// It is right.
    None,
    /// It should grow.
    Stretch,
    /// It should shrink, by so many microseconds at most.
    Shrink(i64),
    /// It should shrink soon, be it heard.
    ShrinkNow(i64),
    /// It is right, but so much of the queue is of no use to anyone.
    Trim(i64),
}

/// One packet's.
#[derive(Debug, Clone, Copy, Default)]
struct Wait {
    slack_us: i64,
    surplus_us: i64,
}

/// The waits of the packets decoded last.
#[derive(Debug, Clone, Default)]
pub(super) struct Waits {
    /// Of the packet decoded last; None after silence.
    lag_us: Option<i64>,
    /// Written round and round.
    recent: [Wait; RECENT],
    next: usize,
    count: usize,
    /// Packets since the last splice.
    settled: usize,
}

impl Waits {
    /// Lag of the packet decoded last; None after silence.
    pub(super) const fn lag_us(&self) -> Option<i64> {
        self.lag_us
    }

    /// Notes how long a packet waited. What earlier packets would wait now has changed with the lag.
    pub(super) fn note(&mut self, lag_us: i64, slack_us: i64) {
        if let Some(before) = self.lag_us.filter(|before| *before != lag_us) {
            self.recent.iter_mut().for_each(|wait| wait.slack_us += lag_us - before);
        }
        self.lag_us = Some(lag_us);
        self.recent[self.next] = Wait { slack_us, surplus_us: lag_us - slack_us };
        self.next = (self.next + 1) % RECENT;
        self.count = (self.count + 1).min(RECENT);
        self.settled = (self.settled + 1).min(RECENT);
    }

    /// Takes a splice into account before the next packet shows it.
    pub(super) fn shift(&mut self, change_us: i64) {
        self.settled = 0;
        self.lag_us = self.lag_us.map(|lag| lag + change_us);
        for wait in &mut self.recent {
            wait.slack_us += change_us;
            wait.surplus_us += change_us;
        }
    }

    /// Takes into account that so much of a surplus has gone: no packet is decoded earlier for it.
    pub(super) fn trim(&mut self, cut_us: i64) {
        self.settled = 0;
        self.lag_us = self.lag_us.map(|lag| lag - cut_us);
        for wait in &mut self.recent {
            wait.surplus_us -= cut_us;
        }
    }

    /// Starts anew, after silence or a jump.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// What the next splice should do. `step_us`: the length of a pull.
    pub(super) fn correction(&self, estimator: &Estimator, step_us: i64) -> Correction {
        let Some(excess_us) = self.excess_us(estimator).filter(|_| self.count >= ENOUGH) else {
            return Correction::None;
        };
        if excess_us > URGENT_US.max(step_us) {
            Correction::ShrinkNow(excess_us)
        } else if excess_us >= step_us.max(LEAST_EXCESS_US) {
            Correction::Shrink(excess_us)
        } else if excess_us < -SHORTFALL_US {
            Correction::Stretch
        } else if let Some(surplus_us) = self.surplus_us().filter(|&surplus| surplus >= LEAST_SURPLUS_US) {
            Correction::Trim(surplus_us)
        } else {
            Correction::None
        }
    }

    /// How much the lag should grow (positive) or may shrink (negative) when a gap ends.
    pub(super) fn wanted_shift_us(&self, estimator: &Estimator, step_us: i64) -> i64 {
        match self.excess_us(estimator) {
            None => 0,
            Some(excess_us) if excess_us < -SHORTFALL_US => (-excess_us).min(LONGEST_EXTENSION_US),
            Some(excess_us) => (step_us - excess_us).min(0),
        }
    }

    /// Least recent slack above the target.
    fn excess_us(&self, estimator: &Estimator) -> Option<i64> {
        let least = self.recent[..self.count].iter().map(|wait| wait.slack_us).min()?;
        Some(least - estimator.target_us())
    }

    /// What all of the last packets had queued ahead of them. None soon after a splice: what a stretch has put in is a
    /// surplus until it has grown to a pull, and would be taken out again before that.
    fn surplus_us(&self) -> Option<i64> {
        (self.settled == RECENT).then_some(())?;
        self.recent.iter().map(|wait| wait.surplus_us).min()
    }
}
