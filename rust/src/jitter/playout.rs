//! Joins buffer, delay estimate, decoder and concealment into one source of PCM.
//!
//! Two measures rule everything. The *lag* of a packet is the time from the moment when the fastest packet's first sample
//! could have been played to the moment when this packet's first sample is played. Its *slack* is how long it waited to be
//! decoded, on the same scale; lag exceeds slack by the samples queued ahead of it. A packet is in time if its lateness
//! does not exceed its slack, so slack is held at the estimator's target: by cutting out pitch periods when it is higher,
//! by doubling some when it is lower, and for free in silence.

use std::time::Instant;

use super::buffer::{Buffer, Entry, Refused};
use super::delay::Estimator;
use super::queue::Queue;
use super::tracker::{Tracker, Verdict};
use super::{Config, Content, Inserted, Packet, Signal, Stats};
use crate::codecs::{Decoder, MAX_PACKET_MS};
use crate::dsp::timescale::{Likeness, Period};
use crate::dsp::{cn, plc};

/// Slack above the target that is left alone: more than one period of any voice, so that corrections do not alternate.
const TOLERANCE_US: i64 = 15_000;

/// Slack above the target at which less perfect splices are taken.
const URGENT_US: i64 = 80_000;

/// What a gap may be made longer by, to raise the slack.
const LONGEST_EXTENSION_US: i64 = 20_000;

/// Output between two splices, unless urgent.
const SPLICE_INTERVAL_MS: u32 = 60;

/// Concealment after which the stream counts as silent.
const LONGEST_CONCEALMENT_MS: u32 = 120;

/// Timestamps of neighbouring packets may disagree by so much with their length.
const TIMESTAMP_SLOP_US: i64 = 10_000;

/// Packets whose least slack counts: packets that do not fit the pull evenly have slacks that go up and down.
const SLACKS: usize = 8;

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
    /// Whether `decoder` conceals by itself, else `concealer` does.
    decoder_conceals: bool,
    concealer: plc::Concealer,
    noise: cn::Generator,
    tracker: Tracker,
    estimator: Estimator,
    buffer: Buffer,
    queue: Queue,
    config: Config,
    stats: Stats,
    /// All times are microseconds since the first call.
    epoch: Option<Instant>,
    phase: Phase,
    /// Of the packet decoded last; anything up to it is late.
    last_seq: Option<i64>,
    /// Where the packet decoded last ends, if something may follow it.
    next_timestamp: Option<i64>,
    /// What is concealed at a time.
    chunk: usize,
    /// Of the packet decoded last; None after silence.
    lag_us: Option<i64>,
    slacks_us: [i64; SLACKS],
    slacks: usize,
    /// Output until the next splice may come.
    splice_pause: usize,
    last_signal: Signal,
}

impl Playout {
    /// A playout that waits for its first packet.
    #[must_use]
    pub fn new(config: Config, mut decoder: Box<dyn Decoder>) -> Self {
        let rate_hz = decoder.sample_rate_hz();
        let mut probe = [0; 480];
        let chunk = samples(rate_hz, 10).min(probe.len());
        let decoder_conceals = decoder.conceal(&mut probe[..chunk]);
        decoder.reset();
        Self {
            decoder,
            decoder_conceals,
            concealer: plc::Concealer::new(),
            noise: cn::Generator::new(u64::from(rate_hz)),
            tracker: Tracker::new(config.clock_rate_hz),
            estimator: Estimator::new(config.min_delay_ms, config.max_delay_ms),
            buffer: Buffer::new(config.slots.max(1), config.max_payload_bytes),
            // A pull of the longest packet, a longest packet more for time-scaling, a period put in.
            queue: Queue::new(samples(rate_hz, 3 * MAX_PACKET_MS)),
            config,
            stats: Stats::default(),
            epoch: None,
            phase: Phase::Idle,
            last_seq: None,
            next_timestamp: None,
            chunk: samples(rate_hz, 10),
            lag_us: None,
            slacks_us: [0; SLACKS],
            slacks: 0,
            splice_pause: 0,
            last_signal: Signal::Silence,
        }
    }

    /// Rate of the PCM that comes out: the decoder's.
    #[must_use]
    pub fn sample_rate_hz(&self) -> u32 {
        self.decoder.sample_rate_hz()
    }

    /// Takes a packet that arrived at `now`; the payload is copied if it is kept.
    pub fn insert(&mut self, now: Instant, packet: &Packet<'_>) -> Inserted {
        let now_us = self.since_epoch(now);
        let is_sound = match packet.content {
            Content::Speech => self.decoder.packet_samples(packet.payload).is_some(),
            Content::ComfortNoise => cn::level(packet.payload).is_some(),
        };
        if !is_sound || packet.payload.len() > self.config.max_payload_bytes {
            self.stats.malformed += 1;
            return Inserted::Malformed;
        }
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
        if self.last_seq.is_some_and(|last| seq <= last) {
            self.stats.late += 1;
            return Inserted::Late;
        }
        if self.buffer.insert(seq, timestamp, packet.content, packet.payload) == Err(Refused::Full) {
            self.flush_head();
            // Cannot be refused again: a slot is free, and repeats and long packets are gone by now.
            let _ = self.buffer.insert(seq, timestamp, packet.content, packet.payload);
        }
        self.stats.kept += 1;
        Inserted::Kept
    }

    /// Fills the whole of `pcm` (mono, one packet time of the other leg) with what is to be heard at `now`. Call it once
    /// per packet time, at an even pace.
    pub fn pull(&mut self, now: Instant, pcm: &mut [i16]) -> Signal {
        let mut now_us = self.since_epoch(now);
        let mut signal = Signal::Silence;
        for piece in pcm.chunks_mut(samples(self.sample_rate_hz(), MAX_PACKET_MS)) {
            signal = signal.max(self.pull_piece(now_us, piece));
            now_us += self.duration_us(piece.len());
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
        Stats {
            target_delay_ms: ms(self.estimator.target_us()),
            playout_delay_ms: ms(self.lag_us.unwrap_or(0)),
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
        match self.buffer.head().map(|(entry, _)| entry) {
            Some(entry) if self.is_due(now_us, &entry) => self.play(now_us, &entry),
            Some(entry) if self.recover(&entry) => Signal::Speech,
            _ => self.fill(needed),
        }
    }

    /// Whether a packet, the first one that waits, is to be played next.
    fn is_due(&self, now_us: i64, entry: &Entry) -> bool {
        let is_ripe = self.slack_us(now_us, entry.timestamp) >= self.estimator.target_us();
        match (self.phase, self.lag_us) {
            (Phase::Idle | Phase::Noise, _) | (Phase::Gap(_), None) => is_ripe,
            (Phase::Speech, _) => self.follows(entry),
            (Phase::Gap(_), Some(lag_us)) => {
                self.follows(entry) || self.lag_at(now_us, entry.timestamp) >= lag_us + self.wanted_shift_us()
            }
        }
    }

    /// Whether a packet follows the one decoded last without a gap.
    fn follows(&self, entry: &Entry) -> bool {
        let (Some(next), Some(last_seq)) = (self.next_timestamp, self.last_seq) else { return false };
        let gap_us = self.tracker.media_us(entry.timestamp) - self.tracker.media_us(next);
        gap_us <= 0 || (entry.seq == last_seq + 1 && gap_us <= TIMESTAMP_SLOP_US)
    }

    /// How much the lag should grow (positive) or may shrink at the next opportunity.
    fn wanted_shift_us(&self) -> i64 {
        let Some(slack_us) = self.least_slack_us() else { return 0 };
        let lacking = self.estimator.target_us() - slack_us;
        if lacking > 0 { lacking.min(LONGEST_EXTENSION_US) } else { (lacking + TOLERANCE_US).min(0) }
    }

    /// Decodes a packet into the queue, or takes its noise level over.
    fn play(&mut self, now_us: i64, entry: &Entry) -> Signal {
        let (lag_us, slack_us) = (self.lag_at(now_us, entry.timestamp), self.slack_us(now_us, entry.timestamp));
        let Some((_, payload)) = self.buffer.head() else { return self.fill(0) };
        let mut is_silence = true;
        let decoded = match entry.content {
            Content::ComfortNoise => {
                self.noise.set_level(cn::level(payload).unwrap_or(u8::MAX));
                Ok(0)
            }
            Content::Speech => {
                is_silence = self.decoder.is_silence(payload);
                let mut result = Ok(0);
                self.queue.append(|free| {
                    result = self.decoder.decode(payload, free);
                    let length = result.unwrap_or(0);
                    if !self.decoder_conceals {
                        self.concealer.receive(&mut free[..length]);
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
        // A decoder fades with each call, so it should conceal in frames like its own.
        self.chunk = samples(self.sample_rate_hz(), if length < samples(self.sample_rate_hz(), 20) { 10 } else { 20 });
        self.note_slack(lag_us, slack_us);
        self.phase = if is_silence { Phase::Noise } else { Phase::Speech };
        if is_silence { Signal::Noise } else { Signal::Speech }
    }

    /// Fills the gap of one lost packet from the redundancy in the packet after it, if that is possible.
    fn recover(&mut self, entry: &Entry) -> bool {
        let (Phase::Speech, Some(last_seq), Some(next)) = (self.phase, self.last_seq, self.next_timestamp) else {
            return false;
        };
        let Some((_, payload)) = self.buffer.head() else { return false };
        let gap = self.sample_count(entry.timestamp - next);
        let unit = samples(self.decoder.sample_rate_hz(), 10) / 4;
        let is_possible = entry.seq == last_seq + 2
            && gap > 0
            && gap <= samples(self.decoder.sample_rate_hz(), MAX_PACKET_MS).min(self.queue.room())
            && gap.is_multiple_of(unit.max(1))
            && self.decoder.has_redundancy(payload);
        if !is_possible {
            return false;
        }
        let decoder = &mut self.decoder;
        let recovered = self.queue.append(|free| {
            let is_recovered = decoder.decode_redundancy(payload, &mut free[..gap]).is_ok();
            if is_recovered { gap } else { 0 }
        });
        if recovered > 0 {
            self.next_timestamp = Some(entry.timestamp);
            self.stats.recovered_samples += recovered as u64;
        }
        recovered > 0
    }

    /// Appends 10 or 20 ms of what is heard when no packet is, or as much silence as is `needed`.
    fn fill(&mut self, needed: usize) -> Signal {
        let rate_hz = self.sample_rate_hz();
        let chunk = if self.decoder_conceals { self.chunk } else { samples(rate_hz, 10) };
        let signal = match self.phase {
            Phase::Idle if self.decoder_conceals => {
                let missing = needed.saturating_sub(self.queue.len()).max(1);
                self.queue.append(|free| {
                    let length = missing.min(free.len());
                    free[..length].fill(0);
                    length
                });
                return Signal::Silence;
            }
            Phase::Idle => Signal::Silence,
            Phase::Noise => Signal::Noise,
            Phase::Speech => {
                self.stats.concealments += 1;
                self.phase = Phase::Gap(0);
                Signal::Concealed
            }
            Phase::Gap(_) => Signal::Concealed,
        };
        let Self { decoder, concealer, noise, .. } = self;
        let has_own_noise = self.decoder_conceals;
        let is_noise = self.phase == Phase::Noise;
        let filled = self.queue.append(|free| {
            let length = chunk.min(free.len());
            let free = &mut free[..length];
            if has_own_noise {
                if !decoder.conceal(free) {
                    free.fill(0);
                }
            } else if is_noise {
                noise.fill(free);
                concealer.receive(free);
            } else {
                conceal(concealer, free);
            }
            length
        });
        if let Phase::Gap(before) = self.phase {
            self.stats.concealed_samples += filled as u64;
            self.phase = Phase::Gap(before + filled);
            if before + filled >= samples(rate_hz, LONGEST_CONCEALMENT_MS) {
                self.fall_silent(filled);
            }
        }
        signal
    }

    /// Ends a concealment that nobody relieves, fading out its last `length` samples.
    fn fall_silent(&mut self, length: usize) {
        self.queue.edit(|samples, queued| {
            let begin = queued.saturating_sub(length);
            for (left, sample) in (0..).zip(samples[begin..queued].iter_mut().rev()) {
                let share = f64::from(left) / f64::from(u32::try_from(length).unwrap_or(u32::MAX));
                *sample = crate::dsp::to_i16(f64::from(*sample) * share);
            }
            queued
        });
        self.phase = Phase::Idle;
        self.forget_lag();
    }

    /// Moves the slack towards the target by one pitch period, if it is off and the signal allows.
    fn correct(&mut self, now_us: i64, needed: usize) {
        let Some(slack_us) = self.least_slack_us().filter(|_| self.slacks >= SLACKS / 2) else { return };
        let excess_us = slack_us - self.estimator.target_us();
        let is_urgent = excess_us > URGENT_US;
        if self.splice_pause > 0 && !is_urgent {
            return;
        }
        if excess_us > TOLERANCE_US {
            self.accelerate(now_us, needed, excess_us, if is_urgent { Likeness::Loose } else { Likeness::Strict });
        } else if excess_us < 0 {
            self.stretch();
        }
    }

    fn accelerate(&mut self, now_us: i64, needed: usize, excess_us: i64, likeness: Likeness) {
        let rate_hz = self.sample_rate_hz();
        // What remains must fill this pull, so one more packet is decoded if it is here; it has waited long enough.
        if self.queue.len() < needed + samples(rate_hz, 15)
            && let Some((entry, _)) = self.buffer.head()
            && entry.content == Content::Speech
            && self.follows(&entry)
            && self.queue.room() >= samples(rate_hz, MAX_PACKET_MS)
        {
            self.play(now_us, &entry);
        }
        let longest = self.sample_count_us(excess_us).min(self.queue.len().saturating_sub(needed));
        let window = self.queue.len().min(samples(rate_hz, 40));
        if let Some(period) = Period::find(&self.queue.samples()[..window], rate_hz, longest, likeness) {
            self.queue.edit(|samples, length| period.remove(&mut samples[..length]));
            self.stats.accelerated_samples += period.samples() as u64;
            self.spliced(-self.duration_us(period.samples()));
        }
    }

    fn stretch(&mut self) {
        let rate_hz = self.sample_rate_hz();
        let window = self.queue.len().min(samples(rate_hz, 40));
        let found = Period::find(&self.queue.samples()[..window], rate_hz, self.queue.room(), Likeness::Strict);
        if let Some(period) = found {
            self.queue.edit(|samples, length| period.insert(samples, length));
            self.stats.stretched_samples += period.samples() as u64;
            self.spliced(self.duration_us(period.samples()));
        }
    }

    /// Takes a change of the lag into account before the next packet shows it.
    fn spliced(&mut self, change_us: i64) {
        self.lag_us = self.lag_us.map(|lag| lag + change_us);
        self.slacks_us.iter_mut().for_each(|slack| *slack += change_us);
        self.splice_pause = samples(self.sample_rate_hz(), SPLICE_INTERVAL_MS);
    }

    /// Notes how long a packet waited. What earlier packets would wait now has changed with the lag.
    fn note_slack(&mut self, lag_us: i64, slack_us: i64) {
        if let Some(before) = self.lag_us {
            self.slacks_us.iter_mut().for_each(|slack| *slack += lag_us - before);
        }
        self.lag_us = Some(lag_us);
        self.slacks_us.rotate_right(1);
        self.slacks_us[0] = slack_us;
        self.slacks = (self.slacks + 1).min(SLACKS);
    }

    fn least_slack_us(&self) -> Option<i64> {
        self.slacks_us[..self.slacks].iter().copied().min()
    }

    fn forget_lag(&mut self) {
        self.lag_us = None;
        self.slacks = 0;
    }

    /// Drops packets that would come out later than the configured bound, down to the target.
    fn flush_stale(&mut self, now_us: i64) {
        let head_slack = |playout: &Self| {
            let (entry, _) = playout.buffer.head()?;
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
        if let Some((entry, _)) = self.buffer.head() {
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
        self.forget_lag();
    }

    fn since_epoch(&mut self, now: Instant) -> i64 {
        let epoch = *self.epoch.get_or_insert(now);
        i64::try_from(now.saturating_duration_since(epoch).as_micros()).unwrap_or(i64::MAX / 4)
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
        i64::try_from(samples).unwrap_or(i64::MAX / 2_000_000) * 1_000_000 / i64::from(self.sample_rate_hz())
    }

    fn sample_count_us(&self, us: i64) -> usize {
        usize::try_from(us * i64::from(self.sample_rate_hz()) / 1_000_000).unwrap_or(0)
    }

    /// Timestamp units in samples of ours; 0 if negative.
    fn sample_count(&self, units: i64) -> usize {
        let samples =
            units.saturating_mul(i64::from(self.sample_rate_hz())) / i64::from(self.config.clock_rate_hz.max(1));
        usize::try_from(samples).unwrap_or(0)
    }

    /// Samples of ours in timestamp units.
    fn timestamp_units(&self, samples: usize) -> i64 {
        let samples = i64::try_from(samples).unwrap_or(0);
        samples * i64::from(self.config.clock_rate_hz) / i64::from(self.sample_rate_hz())
    }
}

const fn samples(rate_hz: u32, ms: u32) -> usize {
    rate_hz as usize / 1_000 * ms as usize
}

/// Conceals a stretch of whole 10 ms frames; what is left over becomes silence.
fn conceal(concealer: &mut plc::Concealer, pcm: &mut [i16]) {
    let (frames, rest) = pcm.as_chunks_mut::<{ plc::FRAME_SAMPLES }>();
    for frame in frames {
        concealer.conceal(frame);
    }
    rest.fill(0);
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod codec_tests;
