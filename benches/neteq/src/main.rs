//! Our jitter buffer beside the crate `neteq`, on the same traces: delay and concealment.
//!
//! `cargo run --release -- TRACE...`. Time is simulated, so a run always gives the same figures. The samples of each
//! packet are all its number: the delay of what is heard can be read off the output, and a splice is allowed anywhere,
//! so that what is compared is when audio is played and not how well it is patched.

mod ours;
mod theirs;
mod trace;

use trace::Trace;

/// 10 ms, the rhythm in which both are asked for audio.
pub const FRAME_US: i64 = 10_000;

/// Samples of both per second.
pub const RATE_HZ: u32 = 8_000;

/// Seconds at the start that do not count: neither knows the network yet.
const WARM_UP_US: i64 = 2_000_000;

/// What is heard.
pub struct Heard {
    /// Each packet that was heard, and how long after its sending its first sample was, in microseconds.
    pub delays_us: Vec<(usize, i64)>,
    /// Share of the output that was made up.
    pub concealed: f64,
    /// Packets that came and were thrown away.
    pub discarded: u64,
}

/// Figures of one run, milliseconds and per cent.
struct Figures {
    mean_ms: f64,
    p95_ms: f64,
    concealed_percent: f64,
    unheard_percent: f64,
}

fn figures(trace: &Trace, heard: &Heard) -> Figures {
    let settled = |number: usize| trace.sent_us(number) >= WARM_UP_US;
    let mut delays: Vec<i64> =
        heard.delays_us.iter().filter(|(number, _)| settled(*number)).map(|(_, delay)| *delay).collect();
    delays.sort_unstable();
    let came = trace.arrivals().iter().filter(|(_, number)| settled(*number)).count();
    let ms = |us: i64| us as f64 / 1_000.0;
    Figures {
        mean_ms: delays.iter().copied().map(ms).sum::<f64>() / delays.len() as f64,
        p95_ms: ms(delays[delays.len() * 95 / 100]),
        concealed_percent: heard.concealed * 100.0,
        unheard_percent: (came as f64 - delays.len() as f64) * 100.0 / trace.delays_us.len() as f64,
    }
}

fn main() {
    println!(
        "| trace | lost, % | jitter p95, ms | | delay mean, ms | delay p95, ms | concealed, % | came, unheard, % |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for path in std::env::args().skip(1) {
        let trace = Trace::parse(&std::fs::read_to_string(&path).expect("a trace file"));
        let name = std::path::Path::new(&path).file_stem().and_then(|stem| stem.to_str()).unwrap_or("?");
        let lost = trace.delays_us.iter().filter(|delay| delay.is_none()).count() as f64;
        let mut delays: Vec<i64> = trace.delays_us.iter().flatten().copied().collect();
        delays.sort_unstable();
        for (who, heard) in [("trunkline", ours::listen(&trace)), ("neteq", theirs::listen(&trace))] {
            let figures = figures(&trace, &heard);
            println!(
                "| {name} | {:.2} | {:.0} | {who} | {:.1} | {:.1} | {:.2} | {:.2} |",
                lost * 100.0 / trace.delays_us.len() as f64,
                delays[delays.len() * 95 / 100] as f64 / 1_000.0,
                figures.mean_ms,
                figures.p95_ms,
                figures.concealed_percent,
                figures.unheard_percent,
            );
        }
    }
}
