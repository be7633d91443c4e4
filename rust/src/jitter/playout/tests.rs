//! A simulated sender, network and clock around a playout. Nothing here waits; every run is repeatable.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::codecs::CodecError;

const RATE_HZ: u32 = 8_000;

/// A decoder whose samples are all the number of their packet, so that the delay can be read off the output, and which
/// keeps a log of the packets that it was given. Concealment is silence.
struct Counting {
    samples: usize,
    log: Arc<Mutex<Vec<i16>>>,
}

impl Decoder for Counting {
    fn sample_rate_hz(&self) -> u32 {
        RATE_HZ
    }

    fn packet_samples(&self, payload: &[u8]) -> Option<usize> {
        (payload.len() == 2).then_some(self.samples)
    }

    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        let number = i16::from_be_bytes([payload[0], payload[1]]);
        self.log.lock().unwrap().push(number);
        pcm[..self.samples].fill(number);
        Ok(self.samples)
    }

    fn conceal(&mut self, pcm: &mut [i16]) -> bool {
        pcm.fill(0);
        true
    }

    fn reset(&mut self) {}
}

/// What lies between the sender and us.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network {
    pub(super) ptime_ms: u32,
    pub(super) pull_ms: u32,
    pub(super) loss_percent: u32,
    pub(super) jitter_ms: u32,
    /// How much slower (positive) the sender's clock runs than ours.
    pub(super) drift_ppm: i64,
    pub(super) repeats_percent: u32,
    pub(super) seed: u64,
}

pub(super) const CLEAN: Network =
    Network { ptime_ms: 20, pull_ms: 20, loss_percent: 0, jitter_ms: 0, drift_ppm: 0, repeats_percent: 0, seed: 1 };

/// One arrival: microseconds of our clock, number of the packet.
pub(super) type Arrival = (i64, u32);

impl Network {
    fn arrivals(&self, packets: u32) -> Vec<Arrival> {
        let mut state = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |below: u32| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u32::try_from((state >> 33) % u64::from(below.max(1))).unwrap()
        };
        let mut arrivals = Vec::new();
        for number in 0..packets {
            let delay_us = i64::from(random(self.jitter_ms * 1_000));
            let at = self.sent_us(number) + 30_000 + delay_us;
            if random(100) >= self.loss_percent {
                arrivals.push((at, number));
            }
            if random(100) < self.repeats_percent {
                arrivals.push((at + i64::from(random(40_000)), number));
            }
        }
        arrivals.sort_unstable();
        arrivals
    }

    pub(super) fn sent_us(&self, number: u32) -> i64 {
        let nominal = i64::from(number) * i64::from(self.ptime_ms) * 1_000;
        nominal + nominal * self.drift_ppm / 1_000_000
    }
}

/// Longest delay on an even network: 30 ms on the way, the lowest target, the tolerance, and up to a pull and a half of
/// samples queued because packets and pulls are not in step.
const EVEN_DELAY_MS: i64 = 30 + 10 + 15 + 30;

/// What came of a run with [`Counting`].
pub(super) struct Run {
    /// Time in microseconds and samples of each pull.
    pulls: Vec<(i64, Vec<i16>)>,
    /// Packets in the order in which they were decoded.
    pub(super) decoded: Vec<i16>,
    pub(super) stats: Stats,
}

fn timestamp(network: &Network, number: u32) -> u32 {
    4_294_960_000_u32.wrapping_add(number * network.ptime_ms * RATE_HZ / 1_000)
}

pub(super) fn run(network: &Network, arrivals: &[Arrival]) -> Run {
    let samples = (network.ptime_ms * RATE_HZ / 1_000) as usize;
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut playout = Playout::new(Config::new(RATE_HZ, 16), Box::new(Counting { samples, log: Arc::clone(&log) }));
    let began = instant();
    let at = |us: i64| began + Duration::from_micros(u64::try_from(us).unwrap());
    let mut pulls = Vec::new();
    let mut arrivals = arrivals.iter().peekable();
    let mut now_us = 3_000;
    while arrivals.peek().is_some() {
        while let Some(&&(us, number)) = arrivals.peek().filter(|&&&(us, _)| us <= now_us) {
            let [.., high, low] = (number + 1).to_be_bytes();
            let [.., a, b] = (number + 65_500).to_be_bytes();
            let packet = Packet {
                seq: u16::from_be_bytes([a, b]),
                timestamp: timestamp(network, number),
                content: Content::Speech,
                payload: &[high, low],
            };
            playout.insert(at(us), &packet);
            arrivals.next();
        }
        let mut pcm = vec![0; samples_of(network.pull_ms)];
        playout.pull(at(now_us), &mut pcm);
        pulls.push((now_us, pcm));
        now_us += i64::from(network.pull_ms) * 1_000;
    }
    let decoded = log.lock().unwrap().clone();
    Run { pulls, decoded, stats: playout.stats() }
}

#[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
fn instant() -> Instant {
    Instant::now()
}

fn samples_of(ms: u32) -> usize {
    (ms * RATE_HZ / 1_000) as usize
}

impl Run {
    /// For each packet heard: when its first sample was, minus when it was sent, in milliseconds.
    pub(super) fn delays_ms(&self, network: &Network) -> Vec<(u32, i64)> {
        let mut delays = Vec::new();
        let mut newest = 0;
        for (now_us, pcm) in &self.pulls {
            for (place, &sample) in pcm.iter().enumerate() {
                if sample > newest && self.decoded.binary_search(&sample).is_ok() {
                    newest = sample;
                    let number = u32::try_from(sample).unwrap() - 1;
                    let played_us = now_us + i64::try_from(place).unwrap() * 125;
                    delays.push((number, (played_us - network.sent_us(number)) / 1_000));
                }
            }
        }
        delays
    }

    fn longest_delay_ms(&self, network: &Network, after_packet: u32) -> i64 {
        self.delays_ms(network).iter().filter(|(number, _)| *number >= after_packet).map(|(_, ms)| *ms).max().unwrap()
    }

    /// Whether each packet was decoded after those sent before it, and none twice.
    pub(super) fn is_in_order(&self) -> bool {
        self.decoded.is_sorted_by(|a, b| a < b)
    }

    fn concealed_percent(&self) -> u64 {
        self.stats.concealed_samples * 100 / self.stats.played_samples
    }
}

#[test]
fn plays_everything_within_a_packet_time_or_two_on_a_clean_network() {
    for (ptime_ms, pull_ms) in [(20, 20), (10, 20), (10, 10), (30, 20), (40, 20), (60, 20), (20, 10), (60, 60)] {
        let network = Network { ptime_ms, pull_ms, ..CLEAN };
        let run = run(&network, &network.arrivals(500));
        assert_eq!(run.stats.concealed_samples, 0, "{ptime_ms}/{pull_ms}");
        assert_eq!(run.stats.target_delay_ms, 10);
        // 30 ms on the way, 10 ms target, and what the pulls and the search for a period leave.
        let delay = run.longest_delay_ms(&network, 100);
        assert!(delay <= 30 + 10 + 15 + i64::from(pull_ms), "{ptime_ms}/{pull_ms}: {delay} ms");
        let heard = run.decoded.last().unwrap();
        assert!(*heard >= 495, "{ptime_ms}/{pull_ms}: {heard} of 500 packets");
    }
}

#[test]
fn adapts_to_jitter_and_comes_back() {
    let rough = Network { jitter_ms: 80, ..CLEAN };
    let mut arrivals = rough.arrivals(1_000);
    arrivals.extend(CLEAN.arrivals(4_000).into_iter().skip(1_000));
    let run = run(&CLEAN, &arrivals);
    assert!(run.concealed_percent() <= 3, "{} % concealed", run.concealed_percent());
    let delays = run.delays_ms(&CLEAN);
    let during = delays.iter().filter(|(number, _)| (500..1_000).contains(number)).map(|(_, ms)| *ms).max().unwrap();
    assert!((30 + 70..=30 + 80 + 60).contains(&during), "{during} ms under jitter");
    // Half a minute later the jitter is forgotten.
    assert!(run.longest_delay_ms(&CLEAN, 2_500) <= EVEN_DELAY_MS, "{}", run.longest_delay_ms(&CLEAN, 2_500));
}

#[test]
fn conceals_what_was_lost_and_no_more() {
    for loss_percent in [1, 5, 20] {
        let network = Network { loss_percent, ..CLEAN };
        let arrivals = network.arrivals(2_000);
        let run = run(&network, &arrivals);
        let lost = 2_000 - u64::try_from(arrivals.len()).unwrap();
        let concealed = run.stats.concealed_samples / 160;
        assert!(concealed.abs_diff(lost) <= lost / 5 + 2, "{lost} packets lost, {concealed} concealed");
        assert!(run.longest_delay_ms(&network, 100) <= EVEN_DELAY_MS);
    }
}

#[test]
fn puts_packets_in_order() {
    let network = Network { jitter_ms: 100, repeats_percent: 10, ..CLEAN };
    let arrivals = network.arrivals(2_000);
    assert!(arrivals.windows(2).any(|pair| pair[1].1 < pair[0].1), "the trace has no reordering");
    let run = run(&network, &arrivals);
    assert!(run.is_in_order());
    assert!(run.stats.duplicate > 100);
    assert!(run.stats.late < 2_000 / 25, "{} late", run.stats.late);
}

#[test]
fn follows_a_sender_whose_clock_is_off() {
    for drift_ppm in [-200, 200] {
        let network = Network { drift_ppm, ..CLEAN };
        let run = run(&network, &network.arrivals(15_000));
        let delay = run.longest_delay_ms(&network, 1_000);
        assert!(delay <= EVEN_DELAY_MS, "{drift_ppm} ppm: {delay} ms");
        assert!(run.stats.concealed_samples <= 400, "{drift_ppm} ppm: {:?}", run.stats);
    }
}

#[test]
fn recovers_its_delay_after_the_network_stood_still() {
    let mut arrivals = CLEAN.arrivals(1_500);
    for (at, number) in &mut arrivals {
        if (500..540).contains(number) {
            *at = CLEAN.sent_us(540) + 30_000;
        }
    }
    let run = run(&CLEAN, &arrivals);
    assert!(run.is_in_order());
    assert!(run.longest_delay_ms(&CLEAN, 600) <= 30 + 400 + 20);
    assert!(run.longest_delay_ms(&CLEAN, 1_000) <= EVEN_DELAY_MS, "{}", run.longest_delay_ms(&CLEAN, 1_000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_reorders_and_stays_within_its_bounds(
        ptime_ms in prop::sample::select(vec![10, 20, 30, 40, 60]),
        pull_ms in prop::sample::select(vec![10, 20, 30]),
        loss_percent in 0_u32..=20,
        jitter_ms in 0_u32..=100,
        drift_ppm in -200_i64..=200,
        repeats_percent in 0_u32..=5,
        seed in any::<u64>(),
    ) {
        let network = Network { ptime_ms, pull_ms, loss_percent, jitter_ms, drift_ppm, repeats_percent, seed };
        let run = run(&network, &network.arrivals(30_000 / ptime_ms));
        prop_assert!(run.is_in_order(), "packets were reordered");
        let delay = run.longest_delay_ms(&network, 6_000 / ptime_ms);
        let bound = 30 + i64::from(jitter_ms + 2 * ptime_ms.max(pull_ms)) + 60;
        prop_assert!(delay <= bound, "{} ms of delay, {} allowed", delay, bound);
        let concealed = run.concealed_percent();
        prop_assert!(concealed <= u64::from(loss_percent) * 3 / 2 + 6, "{} % concealed", concealed);
        prop_assert!(run.stats.flushed == 0, "{:?}", run.stats);
    }
}
