//! Joins buffer, delay estimate, decoder and concealment into one source of PCM.
//!
//! Owns the order of events at a pull: what is decoded, recovered, made up or given as noise. How long packets wait is
//! judged in [`waits`], what fills a gap is made in [`gaps`]. The delay is corrected by cutting out or doubling pitch
//! periods, by longer and shorter gaps, and for free in silence.

mod gaps;
mod waits;

use std::time::Instant;

use super::buffer::{Buffer, Entry, Refused};
use super::delay::Estimator;
use super::queue::Queue;
use super::tracker::{Tracker, Verdict};
use super::{Config, Content, Inserted, Packet, Signal, Stats};
use crate::codecs::{Decoder, MAX_PACKET_MS};
use crate::dsp::cn;
use crate::dsp::timescale::{Likeness, Period};
use gaps::Filler;
use waits::{Correction, Waits};

/// How far above the highest delay a packet may be before it is dropped.
const TOLERANCE_US: i64 = 15_000;

/// Output between two splices, or two looks for a place for one, unless it is urgent.
const SPLICE_INTERVAL_MS: u32 = 40;

/// Longest pull that is judged as one.
const PULL_MS: u32 = 60;

/// What remains in the queue for a splice: the longest period.
const PERIOD_MS: u32 = 15;

/// Timestamps of neighbouring packets may disagree by so much with their length.
const TIMESTAMP_SLOP_US: i64 = 10_000;

/// What is heard at the end of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing; the next packet is waited for.
    Idle,
    /// Packets that follow each other.
    Speech,
    /// Concealment of a gap, so many samples of it.
    Gap(usize),
    /// Comfort noise: the sender has said that it is silent.
    Noise,
}

/// One received stream's way from packets to PCM. Allocates at construction only.
pub struct Playout {
    decoder: Box<dyn Decoder>,
    rate_hz: u32,
    filler: Filler,
    tracker: Tracker,
    estimator: Estimator,
    buffer: Buffer,
    queue: Queue,
    config: Config,
    stats: Stats,
    /// Sum of the lags of all packets decoded, for the mean.
    lags_us: i64,
    /// All times are microseconds since the first call.
    epoch: Option<Instant>,
    phase: Phase,
    /// Of the packet decoded last; anything up to it is late.
    last_seq: Option<i64>,
    /// Where the packet decoded last ends, if something may follow it.
    next_timestamp: Option<i64>,
    waits: Waits,
    /// Length of the present pull.
    step_us: i64,
    /// Output until the next splice may come.
    splice_pause: usize,
    last_signal: Signal,
}

impl Playout {
    /// A playout that waits for its first packet.
    #[must_use]
    pub fn new(config: Config, mut decoder: Box<dyn Decoder>) -> Self {
        let rate_hz = decoder.sample_rate_hz();
        Self {
            filler: Filler::new(&mut *decoder, config.clock_rate_hz),
            decoder,
            rate_hz,
            tracker: Tracker::new(config.clock_rate_hz),
            estimator: Estimator::new(config.min_delay_ms, config.max_delay_ms),
            buffer: Buffer::new(config.slots, config.buffer_bytes.max(config.max_payload_bytes)),
            // A pull, a longest packet more for time-scaling, a period left and one put in.
            queue: Queue::new(samples(rate_hz, PULL_MS + MAX_PACKET_MS + 2 * PERIOD_MS)),
            config,
            stats: Stats::default(),
            lags_us: 0,
            epoch: None,
            phase: Phase::Idle,
            last_seq: None,
            next_timestamp: None,
            waits: Waits::default(),
            step_us: 0,
            splice_pause: 0,
            last_signal: Signal::Silence,
        }
    }

    /// Rate of the PCM that comes out: the decoder's.
    #[must_use]
    pub fn sample_rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Takes a packet that arrived at `now`; the payload is copied if it is kept.
    pub fn insert(&mut self, now: Instant, packet: &Packet<'_>) -> Inserted {
        let now_us = self.since_epoch(now);
        let is_sound = match packet.content {
            Content::Speech => self.decoder.packet_samples(packet.payload).is_some(),
            Content::ComfortNoise => cn::Description::parse(packet.payload).is_some(),
        };
        if !is_sound || packet.payload.len() > self.config.max_payload_bytes {
            self.stats.malformed += 1;
            return Inserted::Malformed;
        }
        let newest = self.tracker.newest();
        let (seq, timestamp) = match self.tracker.judge(now_us, self.estimator.base_us(), packet.seq, packet.timestamp)
        {
            Verdict::Member { seq, timestamp } => (seq, timestamp),
            Verdict::First { seq, timestamp } => {
                self.restart();
                (seq, timestamp)
            }
            Verdict::Duplicate => {
                self.stats.duplicate += 1;
                return Inserted::Duplicate;
            }
            Verdict::Stray => {
                self.stats.stray += 1;
                return Inserted::Stray;
            }
        };
        self.estimator.observe(now_us, self.tracker.media_us(timestamp));
        if let Some((newest_seq, newest_timestamp)) = newest
            && seq == newest_seq + 2
            && self.decoder.has_redundancy(packet.payload)
        {
            // The lost packet's copy came in this one: a delay that waits for it saves the packet.
            self.estimator.observe(now_us, self.tracker.media_us(newest_timestamp.midpoint(timestamp)));
        }
        if self.last_seq.is_some_and(|last| seq <= last) {
            self.stats.late += 1;
            return Inserted::Late;
        }
        while self.buffer.insert(seq, timestamp, packet.content, packet.payload) == Err(Refused::Full) {
            self.flush_head();
        }
        self.stats.kept += 1;
        Inserted::Kept
    }

    /// Fills the whole of `pcm` (mono, one packet time of the other leg) with what is to be heard at `now`. Call it once
    /// per packet time, at an even pace.
    pub fn pull(&mut self, now: Instant, pcm: &mut [i16]) -> Signal {
        let mut now_us = self.since_epoch(now);
        let mut signal = Signal::Silence;
        for piece in pcm.chunks_mut(samples(self.rate_hz, PULL_MS)) {
            self.step_us = self.duration_us(piece.len());
            signal = signal.max(self.pull_piece(now_us, piece));
            now_us += self.step_us;
        }
        signal
    }

    /// Starts anew with the next packet: the SSRC has changed. Counters go on.
    pub fn reset(&mut self) {
        self.decoder.reset();
        self.tracker.reset();
        self.restart();
    }

    /// Counters and delays.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let ms = |us: i64| u32::try_from(us / 1_000).unwrap_or(0);
        let decoded = i64::try_from(self.stats.decoded).unwrap_or(i64::MAX).max(1);
        Stats {
            target_delay_ms: ms(self.estimator.target_us()),
            playout_delay_ms: ms(self.waits.lag_us().unwrap_or(0)),
            mean_playout_delay_ms: ms(self.lags_us / decoded),
            ..self.stats
        }
    }

    fn pull_piece(&mut self, now_us: i64, pcm: &mut [i16]) -> Signal {
        let mut signal = if self.queue.len() > 0 { self.last_signal } else { Signal::Silence };
        while self.queue.len() < pcm.len() {
            self.last_signal = self.produce(now_us, pcm.len());
            signal = signal.max(self.last_signal);
        }
        self.splice_pause = self.splice_pause.saturating_sub(pcm.len());
        if self.phase == Phase::Speech {
            self.correct(now_us, pcm.len());
        }
        self.queue.take(pcm);
        self.stats.played_samples += pcm.len() as u64;
        signal
    }

    /// Lets the queue grow, or the buffer shrink, by one step.
    fn produce(&mut self, now_us: i64, needed: usize) -> Signal {
        self.flush_stale(now_us);
        match self.buffer.head() {
            Some(entry) if self.is_due(now_us, &entry) => self.play(now_us, &entry),
            Some(entry) if self.recover(&entry) => Signal::Speech,
            _ => self.fill(needed),
        }
    }

    /// Whether a packet, the first one that waits, is to be played next.
    fn is_due(&self, now_us: i64, entry: &Entry) -> bool {
        let is_ripe = || self.slack_us(now_us, entry.timestamp) >= self.estimator.target_us();
        match (self.phase, self.waits.lag_us()) {
            (Phase::Idle | Phase::Noise, _) | (Phase::Gap(_), None) => is_ripe(),
            (Phase::Speech, _) => self.follows(entry),
            (Phase::Gap(_), Some(lag_us)) => {
                let shift_us = || self.waits.wanted_shift_us(&self.estimator, self.step_us);
                self.follows(entry) || self.lag_at(now_us, entry.timestamp) >= lag_us + shift_us()
            }
        }
    }

    /// Whether a packet follows the one decoded last without a gap.
    fn follows(&self, entry: &Entry) -> bool {
        let (Some(next), Some(last_seq)) = (self.next_timestamp, self.last_seq) else { return false };
        if entry.timestamp <= next {
            return true;
        }
        let gap_us = self.tracker.media_us(entry.timestamp) - self.tracker.media_us(next);
        entry.seq == last_seq + 1 && gap_us <= TIMESTAMP_SLOP_US
    }

    /// Decodes a packet into the queue, or takes its noise level over.
    fn play(&mut self, now_us: i64, entry: &Entry) -> Signal {
        let slack_us = self.slack_us(now_us, entry.timestamp);
        let lag_us = slack_us + self.duration_us(self.queue.len());
        let Self { decoder, filler, queue, buffer, .. } = self;
        let payload = buffer.payload(entry);
        let is_silence = entry.content == Content::ComfortNoise || decoder.is_silence(payload);
        let decoded = match entry.content {
            Content::ComfortNoise => {
                filler.set_noise(payload);
                Ok(0)
            }
            Content::Speech => {
                let mut result = Ok(0);
                queue.append(|free| {
                    result = decoder.decode(payload, free);
                    let length = result.unwrap_or(0);
                    if let Some(pcm) = free.get_mut(..length) {
                        filler.receive(pcm);
                    }
                    length
                });
                result
            }
        };
        self.buffer.drop_head();
        self.last_seq = Some(entry.seq);
        let Ok(length) = decoded else {
            self.stats.malformed += 1;
            return self.fill(0);
        };
        self.next_timestamp = Some(entry.timestamp + self.timestamp_units(length));
        self.filler.follow(length);
        self.waits.note(lag_us, slack_us);
        self.count_lag(lag_us);
        self.phase = if is_silence { Phase::Noise } else { Phase::Speech };
        if is_silence { Signal::Noise } else { Signal::Speech }
    }

    fn count_lag(&mut self, lag_us: i64) {
        self.stats.decoded += 1;
        self.lags_us = self.lags_us.saturating_add(lag_us);
        let lag_ms = u32::try_from(lag_us / 1_000).unwrap_or(0);
        self.stats.longest_playout_delay_ms = self.stats.longest_playout_delay_ms.max(lag_ms);
    }

    /// Moves the slack towards the target by one pitch period, if it is off and the signal allows.
    fn correct(&mut self, now_us: i64, needed: usize) {
        let correction = self.waits.correction(&self.estimator, self.step_us);
        match correction {
            Correction::ShrinkNow(excess_us) => self.accelerate(now_us, needed, excess_us, Likeness::Loose),
            _ if self.splice_pause > 0 => {}
            Correction::None => {}
            Correction::Shrink(excess_us) => self.accelerate(now_us, needed, excess_us, Likeness::Strict),
            Correction::Trim(surplus_us) => {
                if let Some(cut_us) = self.cut(needed, surplus_us, Likeness::Strict) {
                    self.waits.trim(cut_us);
                }
            }
            Correction::Stretch => self.stretch(),
        }
    }

    fn accelerate(&mut self, now_us: i64, needed: usize, excess_us: i64, likeness: Likeness) {
        // What remains must fill this pull, so one more packet is decoded if it is here; it has waited long enough.
        if self.queue.len() < needed + samples(self.rate_hz, PERIOD_MS)
            && let Some(entry) = self.buffer.head()
            && entry.content == Content::Speech
            && self.follows(&entry)
            && self.queue.room() >= samples(self.rate_hz, MAX_PACKET_MS)
        {
            self.play(now_us, &entry);
        }
        if let Some(cut_us) = self.cut(needed, excess_us, likeness) {
            self.waits.shift(-cut_us);
        }
    }

    /// Cuts one period out of what is queued beyond this pull, at most so much. Returns its length in microseconds.
    fn cut(&mut self, needed: usize, longest_us: i64, likeness: Likeness) -> Option<i64> {
        let longest = self.sample_count_us(longest_us).min(self.queue.len().saturating_sub(needed));
        let window = self.queue.len().min(samples(self.rate_hz, 40));
        let period = self.find_period(window, longest, likeness)?;
        self.queue.edit(|samples, length| period.remove(&mut samples[..length]));
        self.stats.accelerated_samples += period.samples() as u64;
        Some(self.duration_us(period.samples()))
    }

    fn stretch(&mut self) {
        let window = self.queue.len().min(samples(self.rate_hz, 40));
        if let Some(period) = self.find_period(window, self.queue.room(), Likeness::Strict) {
            self.queue.edit(|samples, length| period.insert(samples, length));
            self.stats.stretched_samples += period.samples() as u64;
            self.waits.shift(self.duration_us(period.samples()));
        }
    }

    fn find_period(&mut self, window: usize, longest: usize, likeness: Likeness) -> Option<Period> {
        let found = Period::find(&self.queue.samples()[..window], self.rate_hz, longest, likeness);
        self.splice_pause = samples(self.rate_hz, SPLICE_INTERVAL_MS);
        found
    }

    /// Drops packets that would come out later than the configured bound, down to the target.
    fn flush_stale(&mut self, now_us: i64) {
        if self.buffer.len() < 2 {
            return;
        }
        let head_slack = |playout: &Self| {
            let entry = playout.buffer.head()?;
            (playout.buffer.len() > 1).then(|| playout.slack_us(now_us, entry.timestamp))
        };
        let bound_us = i64::from(self.config.max_delay_ms) * 1_000 + TOLERANCE_US;
        if head_slack(self).is_some_and(|slack| slack > bound_us) {
            while head_slack(self).is_some_and(|slack| slack > self.estimator.target_us() + TOLERANCE_US) {
                self.flush_head();
            }
        }
    }

    fn flush_head(&mut self) {
        if let Some(entry) = self.buffer.head() {
            self.last_seq = Some(entry.seq);
            self.buffer.drop_head();
            self.stats.flushed += 1;
        }
    }

    /// Forgets timing and what waits, and conceals until the stream goes on.
    fn restart(&mut self) {
        if self.estimator.base_us().is_some() {
            self.stats.restarts += 1;
        }
        self.estimator.reset();
        self.buffer.clear();
        self.last_seq = None;
        self.next_timestamp = None;
        self.waits.forget();
    }

    fn since_epoch(&mut self, now: Instant) -> i64 {
        let since = now.saturating_duration_since(*self.epoch.get_or_insert(now));
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX / 4_000_000).min(i64::MAX / 4_000_000);
        seconds * 1_000_000 + i64::from(since.subsec_micros())
    }

    /// Slack that a packet has if it is decoded now.
    fn slack_us(&self, now_us: i64, timestamp: i64) -> i64 {
        now_us - self.tracker.media_us(timestamp) - self.estimator.base_us().unwrap_or(0)
    }

    /// Lag that a packet has if it is decoded now: it is played when the queue before it is.
    fn lag_at(&self, now_us: i64, timestamp: i64) -> i64 {
        self.slack_us(now_us, timestamp) + self.duration_us(self.queue.len())
    }

    fn duration_us(&self, samples: usize) -> i64 {
        if samples == 0 {
            return 0;
        }
        i64::try_from(samples).unwrap_or(i64::MAX / 2_000_000) * 1_000_000 / i64::from(self.rate_hz)
    }

    fn sample_count_us(&self, us: i64) -> usize {
        usize::try_from(us * i64::from(self.rate_hz) / 1_000_000).unwrap_or(0)
    }

    /// Timestamp units in samples of ours; 0 if negative.
    fn sample_count(&self, units: i64) -> usize {
        let samples = units.saturating_mul(i64::from(self.rate_hz)) / i64::from(self.config.clock_rate_hz.max(1));
        usize::try_from(samples).unwrap_or(0)
    }

    /// Samples of ours in timestamp units.
    fn timestamp_units(&self, samples: usize) -> i64 {
        let samples = i64::try_from(samples).unwrap_or(0);
        if self.config.clock_rate_hz == self.rate_hz {
            return samples;
        }
        samples * i64::from(self.config.clock_rate_hz) / i64::from(self.rate_hz)
    }
}

const fn samples(rate_hz: u32, ms: u32) -> usize {
    rate_hz as usize / 1_000 * ms as usize
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod codec_tests;

#[cfg(test)]
mod loss_tests;

#[cfg(test)]
mod traces;
