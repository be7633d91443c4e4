//! Load generator of the benches: both far sides of many calls, in one thread that never sleeps.
//!
//! The bench starts it, learns its sockets from the lines it prints, gives it the relay's addresses by standard input
//! and reads its figures. Each call has leg A and leg B; what A sends should arrive at B, and the other way round.
//! Every packet that comes back is checked. A relayed payload carries its time of sending; where the relay transcodes,
//! marks in the sound are timed instead, from the first sample put in to the first sample heard.
//!
//! A leg is plain RTP, SRTP with given keys, or a browser that does ICE and DTLS. Where the legs of a call are told to
//! send to each other, what is measured is the generator itself. Browsers without a call make the storm: they connect
//! all at once after the window, while the calls go on.

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
mod wire;

use std::io::{BufRead, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use trunkline_media::net::SrtpProfile;
use trunkline_media::srtp;

use figures::{Figures, Part};
use leg::{Contexts, Leg, Security};
use sound::{Sound, Sounds};
use webrtc::{Identity, Session};
use wire::Inbox;

/// What the bench asks for.
struct Plan {
    host: IpAddr,
    calls: usize,
    sounds: Sounds,
    warm_up: Duration,
    measure: Duration,
    /// Browsers that connect after the window.
    storm: usize,
}

/// Packets on their way at the end may still arrive for so long.
const REST: Duration = Duration::from_millis(500);
const PTIME: Duration = Duration::from_millis(20);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const STORM_LIMIT: Duration = Duration::from_secs(20);

impl Plan {
    fn from_args() -> Option<Self> {
        let mut args = std::env::args().skip(1);
        let host = args.next()?.parse().ok()?;
        let calls = args.next()?.parse().ok().filter(|calls| *calls > 0)?;
        let sounds = match args.next()?.as_str() {
            "pcmu" => Sounds { a: Sound::stamped(), b: Sound::stamped() },
            "opus-pcmu" => Sounds { a: Sound::opus(), b: Sound::pcmu() },
            "pcma-pcmu" => Sounds { a: Sound::pcma(), b: Sound::pcmu() },
            "g729-pcmu" => Sounds { a: Sound::g729(), b: Sound::pcmu() },
            _ => return None,
        };
        let mut seconds = || args.next()?.parse().ok().map(Duration::from_secs_f64);
        let (warm_up, measure) = (seconds()?, seconds()?);
        Some(Self { host, calls, sounds, warm_up, measure, storm: args.next()?.parse().ok()? })
    }

    /// Packets of a window of this length.
    fn packets(&self, length: Duration) -> usize {
        self.calls * 2 * (usize::try_from(length.as_millis() / PTIME.as_millis()).unwrap() + 2)
    }
}

fn main() {
    let Some(plan) = Plan::from_args() else {
        println!("usage: generator HOST CALLS pcmu|opus-pcmu|pcma-pcmu|g729-pcmu WARM_UP_S MEASURE_S STORM");
        std::process::exit(2);
    };
    let identity = Identity::generate();
    let open = |index: usize| {
        let sound = if index.is_multiple_of(2) { &plan.sounds.a } else { &plan.sounds.b };
        Leg::open(plan.host, u32::try_from(index).unwrap(), sound.clone())
    };
    // Legs 2i and 2i+1 are A and B of call i; those of the storm follow.
    let mut legs: Vec<Leg> = (0..plan.calls * 2 + plan.storm).map(open).collect();
    say(&format!("identity {} {} {}", identity.ufrag(), identity.pwd(), identity.fingerprint()));
    for leg in &legs {
        say(&format!("leg {}", leg.local()));
    }
    for leg in &mut legs {
        read_target(leg, &identity);
    }
    let storm = legs.split_off(plan.calls * 2);
    connect(&mut legs);
    say("ready");
    std::thread::spawn(|| {
        let _ = std::io::stdin().lock().read_line(&mut String::new());
        std::process::exit(0);
    });
    run(&plan, &mut legs, storm);
}

/// Reads where a leg should send: `ADDRESS`, `ADDRESS sdes SUITE SEND_KEY RECEIVE_KEY` with keys and salts in hex, or
/// `ADDRESS webrtc UFRAG PWD FINGERPRINT`.
fn read_target(leg: &mut Leg, identity: &Identity) {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let target: SocketAddr = words[0].parse().unwrap();
    let security = match words[1..] {
        [] => Security::None,
        ["sdes", suite, send, receive] => {
            let context = |key: &str| sdes_context(suite, &from_hex(key));
            Security::Sdes(Box::new(Contexts { send: context(send), receive: context(receive) }))
        }
        ["webrtc", ufrag, pwd, fingerprint] => {
            Security::Browser(Box::new(Session::new(identity.clone(), target, [ufrag, pwd, fingerprint])))
        }
        _ => panic!("not a target: {line}"),
    };
    leg.set_target(target, security);
}

fn sdes_context(suite: &str, key: &[u8]) -> srtp::Context {
    let profile = match suite {
        "AES_CM_128_HMAC_SHA1_80" => SrtpProfile::Aes128CmSha1_80,
        "AEAD_AES_128_GCM" => SrtpProfile::AeadAes128Gcm,
        _ => panic!("no such suite here: {suite}"),
    };
    let (key, salt) = key.split_at(profile.key_bytes());
    srtp::Context::new(profile, key, salt).unwrap()
}

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Does ICE and DTLS, where legs have them, to the end.
fn connect(legs: &mut [Leg]) {
    let mut inbox = Inbox::new();
    let deadline = Instant::now() + CONNECT_LIMIT;
    while legs.iter().any(|leg| !leg.is_connected()) {
        assert!(Instant::now() < deadline, "not all browsers connect");
        for leg in legs.iter_mut() {
            leg.connect(&mut inbox);
        }
    }
    // In DTLS 1.3 the client's last flight is still to go.
    for leg in legs {
        leg.connect(&mut inbox);
    }
}

/// Sends every stream's packets evenly over each 20 ms, and looks at each socket whenever its own turn to send comes.
///
/// Prints `measuring` and `measured` at the ends of the window, for the bench to sample the relay's CPU, `connected
/// COUNT SECONDS` at the end of a storm, and then the figures. Goes on for ever: a relay that is asked what it concealed
/// must not have heard its far sides fall silent.
fn run(plan: &Plan, legs: &mut [Leg], mut storm: Vec<Leg>) -> ! {
    let mut inbox = Inbox::new();
    let mut figures = Figures::new(plan.packets(plan.measure));
    let start = Instant::now();
    let step = PTIME / u32::try_from(legs.len()).unwrap();
    let window_start = start + plan.warm_up;
    let window_end = window_start + plan.measure;
    let (mut due, mut next) = (start, 0);
    let (mut has_begun, mut end, mut storm_turn) = (false, None, 0);
    loop {
        let now = Instant::now();
        if !has_begun && now >= window_start {
            has_begun = true;
            figures.part = Part::Window;
            say("measuring");
        } else if figures.part == Part::Window && now >= window_end {
            say("measured");
            figures.part = if storm.is_empty() { Part::None } else { Part::Storm };
            end = storm.is_empty().then_some(now + REST);
        } else if figures.part == Part::Storm && (storm.is_empty() || now >= window_end + STORM_LIMIT) {
            let took = now - window_end;
            say(&format!("connected {} {:.3}", plan.storm - storm.len(), took.as_secs_f64()));
            figures.part = Part::None;
            end = Some(now + REST);
        } else if end.is_some_and(|end| now >= end) {
            end = None;
            say(&format!("figures {}", figures.line(Part::Window)));
            say(&format!("storm {}", figures.line(Part::Storm)));
        }
        // To the last, so that the relay is at work when it is asked for its memory.
        if due <= now {
            figures.note_slip(u32::try_from((now - due).as_nanos()).unwrap_or(u32::MAX));
            if let Some(heard) = legs[next].receive(&mut inbox, &mut figures)
                // The other leg of the same call made the sound.
                && let Some((made, part)) = legs[next ^ 1].take_mark()
            {
                figures.note_delay(part, heard.since(made));
            }
            legs[next].send(&mut figures);
            next = (next + 1) % legs.len();
            due += step;
        } else if figures.part == Part::Storm && !storm.is_empty() {
            storm_turn = (storm_turn + 1) % storm.len();
            storm[storm_turn].connect(&mut inbox);
            if storm[storm_turn].is_connected() {
                storm[storm_turn].connect(&mut inbox);
                storm.swap_remove(storm_turn);
            }
        }
    }
}

fn say(words: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{words}").unwrap();
    out.flush().unwrap();
}
