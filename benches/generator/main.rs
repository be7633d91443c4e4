//! Load generator of the benches: both far sides of many calls, in one thread that never sleeps.
//!
//! `calls.py` starts it, learns its sockets from the lines it prints, gives it the relay's addresses by standard input
//! and reads its figures. Each call has leg A and leg B; what A sends should arrive at B, and the other way round.
//! Every packet that comes back is checked. A relayed payload carries its time of sending; where the relay transcodes,
//! marks in the sound are timed instead, from the first sample put in to the first sample heard.
//!
//! Leg A speaks DTLS-SRTP if it is given the relay's credentials, else plain RTP as leg B does. Where the legs of a call
//! are told to send to each other, what is measured is the generator itself.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program of the benches may ask for the time, print, and end on the first surprise"
)]

mod figures;
mod leg;
mod sound;
mod webrtc;

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trunkline_media::io::{Poller, Readiness};

use figures::Figures;
use leg::Leg;
use sound::Sound;
use webrtc::{Identity, Session};

/// What `calls.py` asks for.
struct Plan {
    calls: usize,
    is_transcoded: bool,
    warm_up: Duration,
    measure: Duration,
}

/// Where in the run we are. Only packets sent in the window count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Window,
    /// Packets on their way at the end of the window may still arrive.
    Rest,
}

/// How long the rest is.
const REST: Duration = Duration::from_millis(500);
const PTIME: Duration = Duration::from_millis(20);

impl Plan {
    fn from_args() -> Option<Self> {
        let mut args = std::env::args().skip(1);
        let calls = args.next()?.parse().ok().filter(|calls| *calls > 0)?;
        let is_transcoded = match args.next()?.as_str() {
            "opus-pcmu" => true,
            "pcmu" => false,
            _ => return None,
        };
        let mut seconds = || args.next()?.parse().ok().map(Duration::from_secs_f64);
        Some(Self { calls, is_transcoded, warm_up: seconds()?, measure: seconds()? })
    }
}

fn main() {
    let Some(plan) = Plan::from_args() else {
        println!("usage: generator CALLS pcmu|opus-pcmu WARM_UP_S MEASURE_S");
        std::process::exit(2);
    };
    let poller = Poller::new().unwrap();
    let identity = Identity::generate();
    let mut legs = open_legs(&plan, &poller);
    say(&format!("identity {} {} {}", identity.ufrag(), identity.pwd(), identity.fingerprint()));
    for (index, pair) in legs.chunks(2).enumerate() {
        say(&format!("call {index} {} {}", pair[0].local(), pair[1].local()));
    }
    for pair in legs.chunks_exact_mut(2) {
        read_targets(pair, &identity);
    }
    for leg in &mut legs {
        leg.connect();
    }
    say("ready");
    run(&plan, &poller, &mut legs).print();
}

/// Legs 2i and 2i+1 are A and B of call i.
fn open_legs(plan: &Plan, poller: &Poller) -> Vec<Leg> {
    let open = |index: usize| {
        let sound = match (plan.is_transcoded, index % 2) {
            (false, _) => Sound::stamped(),
            (true, 0) => Sound::opus(),
            (true, _) => Sound::pcmu(),
        };
        let leg = Leg::open(u32::try_from(index).unwrap(), sound);
        poller.add(leg.socket(), u64::try_from(index).unwrap()).unwrap();
        leg
    };
    (0..plan.calls * 2).map(open).collect()
}

/// Reads where the legs of one call should send: `A_ADDRESS B_ADDRESS [UFRAG PWD FINGERPRINT]`.
fn read_targets(pair: &mut [Leg], identity: &Identity) {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let target = |index: usize| words[index].parse::<SocketAddr>().unwrap();
    let session = match words[2..] {
        [ufrag, pwd, fingerprint] => Some(Session::new(identity.clone(), ufrag, pwd, fingerprint)),
        _ => None,
    };
    pair[0].set_target(target(0), session);
    pair[1].set_target(target(1), None);
}

/// Sends every stream's packets evenly over each 20 ms, and receives all the while.
///
/// Prints `measuring` and `measured` at the ends of the window that counts, for `calls.py` to sample the relay's CPU.
fn run(plan: &Plan, poller: &Poller, legs: &mut [Leg]) -> Figures {
    let mut readiness = Readiness::new();
    let mut figures = Figures::new(Instant::now());
    let step = PTIME / u32::try_from(legs.len()).unwrap();
    let window_start = figures.start + plan.warm_up;
    let window_end = window_start + plan.measure;
    let (mut due, mut next, mut phase) = (figures.start, 0, Phase::WarmUp);
    loop {
        let now = Instant::now();
        if phase == Phase::WarmUp && now >= window_start {
            phase = Phase::Window;
            say("measuring");
        } else if phase == Phase::Window && now >= window_end {
            phase = Phase::Rest;
            say("measured");
        } else if now >= window_end + REST {
            return figures;
        }
        figures.is_counting = phase == Phase::Window;
        // To the last, so that the relay is at work when it is asked for its memory.
        while due <= now {
            figures.note_slip(now - due);
            legs[next].send(&mut figures);
            next = (next + 1) % legs.len();
            due += step;
        }
        poller.wait(&mut readiness, Some(Duration::ZERO)).unwrap();
        for token in (0..readiness.len()).filter_map(|index| readiness.token(index)) {
            let index = usize::try_from(token).unwrap();
            if let Some(heard) = legs[index].receive(&mut figures) {
                // The other leg of the same call made the sound.
                figures.note_mark(legs[index ^ 1].take_mark(), heard);
            }
        }
    }
}

fn say(words: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{words}").unwrap();
    out.flush().unwrap();
}
