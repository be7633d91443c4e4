//! `make bench-srtp`: what it costs to protect a packet and to take it in again, alone and side by side with others.
//!
//! Packets of 172 bytes (20 ms of G.711), 64 sources under a key each, a packet of every source in a turn. Beside ours
//! stands libsrtp, if it is installed, in the same run. A repetition is some thousand packets and takes about a
//! millisecond; the ways take turns, and the table has each one's fastest repetition, which is the one that nobody else on
//! the machine has disturbed, in nanoseconds a packet.

#![expect(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used, reason = "a bench measures and tells")]

#[expect(dead_code, reason = "tests use more of it")]
#[path = "../tests/media/support/libsrtp.rs"]
mod libsrtp;

use std::time::Instant;

use trunkline_media::mac::{self, Backend};
use trunkline_media::srtp::{Context, Forecast, MAX_TRAILER_BYTES, Profile};

use libsrtp::{Library, Operation, ROOM_BYTES, Sources, Theirs};

const SOURCES: u8 = 64;
const TURNS: u16 = 50;
const REPETITIONS: usize = 25;
const PACKET_BYTES: usize = 172;
const BUFFER_BYTES: usize = PACKET_BYTES + MAX_TRAILER_BYTES + ROOM_BYTES;

/// A packet, its trailer, and the room that libsrtp wants.
type Buffer = [u8; BUFFER_BYTES];

/// One way to do the work.
#[derive(Clone, Copy)]
enum Way {
    /// Each packet by itself.
    Alone,
    /// The tags of a turn together.
    Together(Backend),
    Libsrtp(&'static Library),
}

/// What each source's direction is made of.
enum Session {
    Ours(Box<Context>),
    Theirs(Theirs),
}

impl Session {
    fn all(profile: Profile, way: Way, sources: Sources) -> Vec<Self> {
        let session = |source: u8| {
            let material: Vec<u8> = (source..).take(profile.key_bytes() + profile.salt_bytes()).collect();
            let (key, salt) = material.split_at(profile.key_bytes());
            match way {
                Way::Libsrtp(library) => Self::Theirs(Theirs::new(library, profile, &material, sources)),
                _ => Self::Ours(Box::new(Context::new(profile, key, salt).unwrap())),
            }
        };
        (0..SOURCES).map(session).collect()
    }
}

/// A turn's packets: one of each source.
fn packets(turn: u16) -> Vec<Buffer> {
    let packet = |source: u8| {
        let mut buf = [source; BUFFER_BYTES];
        buf[..2].copy_from_slice(&[0x80, 0]);
        buf[2..4].copy_from_slice(&turn.to_be_bytes());
        buf[8..12].copy_from_slice(&u32::from(source).to_be_bytes());
        buf
    };
    (0..SOURCES).map(packet).collect()
}

/// Protects the packets of a turn in place; the length that they now have.
fn protect(sessions: &mut [Session], packets: &mut [Buffer], way: Way) -> usize {
    let mut len = 0;
    let sealed = sessions.iter_mut().zip(packets).filter_map(|(session, buf)| match session {
        Session::Ours(context) => {
            let pending = if let Way::Together(_) = way {
                let (sealed, pending) = context.encrypt_rtp(buf, PACKET_BYTES).unwrap();
                len = sealed;
                pending
            } else {
                len = context.protect_rtp(buf, PACKET_BYTES).unwrap();
                None
            };
            pending?.message(&mut buf[..len])
        }
        Session::Theirs(session) => {
            len = session.run(Operation::Protect, buf, PACKET_BYTES).unwrap();
            None
        }
    });
    mac::sign(if let Way::Together(backend) = way { backend } else { Backend::Single }, sealed);
    len
}

/// Takes in the packets of a turn in place.
fn unprotect(sessions: &mut [Session], packets: &mut [Buffer], len: usize, way: Way) {
    let mut forecasts = [const { None::<Forecast> }; SOURCES as usize];
    if let Way::Together(backend) = way {
        for ((session, buf), forecast) in sessions.iter().zip(&*packets).zip(&mut forecasts) {
            if let Session::Ours(context) = session {
                *forecast = context.foresee_rtp(&buf[..len]);
            }
        }
        let messages = forecasts.iter_mut().zip(&*packets);
        mac::sign(backend, messages.filter_map(|(forecast, buf)| forecast.as_mut()?.message(&buf[..len])));
    }
    for ((session, buf), forecast) in sessions.iter_mut().zip(packets).zip(&forecasts) {
        let opened = match session {
            Session::Ours(context) => context.unprotect_rtp_foreseen(&mut buf[..len], forecast.as_ref()).unwrap(),
            Session::Theirs(session) => session.run(Operation::Unprotect, buf, len).unwrap(),
        };
        assert_eq!(opened, PACKET_BYTES);
    }
}

/// Nanoseconds a packet to protect and to take in.
fn repetition(profile: Profile, way: Way) -> [f64; 2] {
    let mut turns: Vec<Vec<Buffer>> = (0..TURNS).map(packets).collect();
    let mut senders = Session::all(profile, way, Sources::AnyOutbound);
    let mut receivers = Session::all(profile, way, Sources::AnyInbound);
    // The first turn makes sources known, and is not counted.
    let len = protect(&mut senders, &mut turns[0], way);
    unprotect(&mut receivers, &mut turns[0], len, way);
    let counted = &mut turns[1..];
    let packets = counted.len() * usize::from(SOURCES);
    let mut work = |work: &mut dyn FnMut(&mut [Buffer])| {
        let begin = Instant::now();
        for turn in &mut *counted {
            work(turn);
        }
        begin.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(packets).unwrap())
    };
    let sealing = work(&mut |turn| _ = protect(&mut senders, turn, way));
    let opening = work(&mut |turn| unprotect(&mut receivers, turn, len, way));
    [sealing, opening]
}

fn main() {
    let mut ways = vec![("alone".to_owned(), Way::Alone)];
    ways.extend(Backend::all().map(|backend| (format!("{backend:?}"), Way::Together(backend))));
    ways.extend(Library::load().map(|library| ("libsrtp".to_owned(), Way::Libsrtp(library))));
    let names: Vec<&str> = ways.iter().map(|(name, _)| name.as_str()).collect();
    println!("| ns a packet: protect / unprotect | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(ways.len()));
    for profile in Profile::ALL {
        let mut fastest = vec![[f64::INFINITY; 2]; ways.len()];
        for _ in 0..REPETITIONS {
            for ([protect, unprotect], (_, way)) in fastest.iter_mut().zip(&ways) {
                let [sealing, opening] = repetition(profile, *way);
                (*protect, *unprotect) = (protect.min(sealing), unprotect.min(opening));
            }
        }
        let cells = fastest.iter().map(|[protect, unprotect]| format!("{protect:.0} / {unprotect:.0}"));
        println!("| {} | {} |", profile.sdes_name(), cells.collect::<Vec<_>>().join(" | "));
    }
}
