//! Replays recorded packet delays (tests/vectors/jitter), on a simulated clock: every run is the same.

use super::tests::{Arrival, CLEAN, Network, run};

/// Packets of the beginning that do not count: the first 2 s, in which the network is not known yet.
const WARM_UP: u32 = 100;

/// Delay of each packet beyond the fastest one's, in microseconds; None if it never came. SOURCE.md has the format.
fn read(trace: &str) -> Vec<Option<i64>> {
    let mut delay_us = 0;
    let words = trace.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    words
        .map(|word| {
            (word != "x").then(|| {
                delay_us += word.parse::<i64>().unwrap() * 100;
                delay_us
            })
        })
        .collect()
}

fn arrivals(delays_us: &[Option<i64>]) -> Vec<Arrival> {
    let numbered = (0..).zip(delays_us);
    let mut arrivals: Vec<Arrival> =
        numbered.filter_map(|(number, delay)| Some((CLEAN.sent_us(number) + (*delay)?, number))).collect();
    arrivals.sort_unstable();
    arrivals
}

#[test]
fn recorded_networks_are_bridged_at_the_delay_that_they_are_worth() {
    // (trace, mean delay in ms, per mille concealed): about a tenth above what was reached when this was written.
    for (name, trace, greatest_mean_ms, most_concealed_permille) in [
        ("web", include_str!("../../../../tests/vectors/jitter/web.trace"), 200, 28),
        ("bloat", include_str!("../../../../tests/vectors/jitter/bloat.trace"), 360, 28),
        ("cellular", include_str!("../../../../tests/vectors/jitter/cellular.trace"), 370, 70),
        ("wireless", include_str!("../../../../tests/vectors/jitter/wireless.trace"), 60, 4),
    ] {
        let delays_us = read(trace);
        let network = Network { pull_ms: 10, ..CLEAN };
        let run = run(&network, &arrivals(&delays_us));
        assert!(run.is_in_order(), "{name}");
        let delays: Vec<i64> =
            run.delays_ms(&network).iter().filter(|(number, _)| *number >= WARM_UP).map(|(_, ms)| *ms).collect();
        let mean_ms = delays.iter().sum::<i64>() / i64::try_from(delays.len()).unwrap();
        assert!(mean_ms <= greatest_mean_ms, "{name}: {mean_ms} ms of delay");
        let concealed_permille = run.stats.concealed_samples * 1_000 / run.stats.played_samples;
        assert!(concealed_permille <= most_concealed_permille, "{name}: {concealed_permille} per mille concealed");
        let came = u64::try_from(delays_us.iter().flatten().count()).unwrap();
        assert_eq!(run.stats.kept + run.stats.late, came, "{name}: {:?}", run.stats);
        assert!(run.stats.discarded() * 100 <= came, "{name}: {:?}", run.stats);
        // A packet that comes alone is played however late it is; a second one would throw it out.
        let beyond = delays.iter().filter(|&&ms| ms > 400 + 60).count();
        assert!(beyond * 100 <= delays.len(), "{name}: {beyond} packets out of bounds");
        let (mean, longest) = (run.stats.mean_playout_delay_ms, run.stats.longest_playout_delay_ms);
        assert!(mean > 0 && mean <= longest, "{name}: {:?}", run.stats);
    }
}

#[test]
fn the_same_trace_always_plays_alike() {
    let delays_us = read(include_str!("../../../../tests/vectors/jitter/cellular.trace"));
    let [first, second] = [(); 2].map(|()| run(&CLEAN, &arrivals(&delays_us)));
    assert_eq!((first.stats, first.decoded), (second.stats, second.decoded));
}
