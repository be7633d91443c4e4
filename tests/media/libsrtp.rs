//! Our SRTP against libsrtp 2, packet by packet, in both directions.

use trunkline_media::error::DropReason;
use trunkline_media::mac::{self, Backend};
use trunkline_media::srtp::{Context, MAX_TRAILER_BYTES, Profile};

use crate::support::libsrtp::{Library, Operation, ROOM_BYTES, Sources, Theirs};

/// Master key and salt behind each other.
fn material(profile: Profile) -> Vec<u8> {
    (1..=u8::MAX).take(profile.key_bytes() + profile.salt_bytes()).collect()
}

fn theirs(library: &'static Library, profile: Profile, sources: Sources) -> Theirs {
    Theirs::new(library, profile, &material(profile), sources)
}

/// The packet as libsrtp changes it, or its error.
fn run(session: &mut Theirs, operation: Operation, packet: &[u8]) -> Result<Vec<u8>, i32> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + ROOM_BYTES, 0);
    let len = session.run(operation, &mut buf, packet.len())?;
    buf.truncate(len);
    Ok(buf)
}

fn ours(profile: Profile) -> Context {
    let material = material(profile);
    let (key, salt) = material.split_at(profile.key_bytes());
    Context::new(profile, key, salt).unwrap()
}

type Protect = fn(&mut Context, &mut [u8], usize) -> Result<usize, DropReason>;

fn protect_with(context: &mut Context, packet: &[u8], operation: Protect) -> Vec<u8> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + MAX_TRAILER_BYTES, 0);
    let len = operation(context, &mut buf, packet.len()).unwrap();
    buf.truncate(len);
    buf
}

fn protect(context: &mut Context, packet: &[u8]) -> Vec<u8> {
    protect_with(context, packet, Context::protect_rtp)
}

fn unprotect(context: &mut Context, packet: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut buf = packet.to_vec();
    let len = context.unprotect_rtp(&mut buf)?;
    buf.truncate(len);
    Ok(buf)
}

/// RTP of two sources, of all lengths from none to 1,200 bytes of payload, with CSRCs and extensions, across a rollover.
fn stream() -> Vec<Vec<u8>> {
    let packet = |n: u16| {
        let csrcs = n % 3;
        let has_extension = n.is_multiple_of(5);
        let mut packet = vec![0x80 | u8::from(has_extension) << 4 | csrcs.to_be_bytes()[1], 0];
        packet.extend((65_300_u16.wrapping_add(n / 2)).to_be_bytes());
        packet.extend((u32::from(n) * 160).to_be_bytes());
        packet.extend((0xcafe_0000 + u32::from(n % 2)).to_be_bytes());
        packet.extend(vec![0xc5; 4 * usize::from(csrcs)]);
        if has_extension {
            packet.extend([0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
        }
        packet.extend((0..n * 7 % 1_201).map(|at| (at ^ n).to_be_bytes()[1]));
        packet
    };
    (0..1_000).map(packet).collect()
}

/// Neighbours change places, and some packets are lost.
fn shuffled<T>(mut packets: Vec<T>) -> Vec<T> {
    packets.chunks_mut(7).for_each(<[_]>::reverse);
    packets.into_iter().enumerate().filter(|(number, _)| number % 11 != 3).map(|(_, packet)| packet).collect()
}

#[test]
fn every_packet_is_protected_as_libsrtp_does() {
    let Some(library) = Library::load() else { return };
    for profile in Profile::ALL {
        let (mut theirs, mut ours) = (theirs(library, profile, Sources::AnyOutbound), ours(profile));
        for packet in stream() {
            assert_eq!(
                protect(&mut ours, &packet),
                run(&mut theirs, Operation::Protect, &packet).unwrap(),
                "{profile:?}"
            );
        }
    }
}

#[test]
fn libsrtp_takes_ours_once() {
    let Some(library) = Library::load() else { return };
    for profile in Profile::ALL {
        let (mut ours, mut theirs) = (ours(profile), theirs(library, profile, Sources::AnyInbound));
        let sealed = stream().into_iter().map(|packet| (protect(&mut ours, &packet), packet)).collect();
        for (sealed, packet) in shuffled(sealed) {
            let mut forged = sealed.clone();
            *forged.last_mut().unwrap() ^= 1;
            assert!(run(&mut theirs, Operation::Unprotect, &forged).is_err(), "{profile:?}");
            assert_eq!(run(&mut theirs, Operation::Unprotect, &sealed), Ok(packet), "{profile:?}");
            assert!(run(&mut theirs, Operation::Unprotect, &sealed).is_err(), "{profile:?}: a replay");
        }
    }
}

#[test]
fn we_take_libsrtps_once() {
    let Some(library) = Library::load() else { return };
    for profile in Profile::ALL {
        let (mut theirs, mut ours) = (theirs(library, profile, Sources::AnyOutbound), ours(profile));
        let sealed = stream()
            .into_iter()
            .map(|packet| (run(&mut theirs, Operation::Protect, &packet).unwrap(), packet))
            .collect();
        for (sealed, packet) in shuffled(sealed) {
            let mut forged = sealed.clone();
            *forged.last_mut().unwrap() ^= 1;
            assert_eq!(unprotect(&mut ours, &forged), Err(DropReason::SrtpAuthentication), "{profile:?}");
            assert_eq!(unprotect(&mut ours, &sealed), Ok(packet), "{profile:?}");
            assert_eq!(unprotect(&mut ours, &sealed), Err(DropReason::SrtpReplay), "{profile:?}");
        }
    }
}

#[test]
fn we_take_libsrtps_by_turns() {
    let Some(library) = Library::load() else { return };
    for (profile, backend) in Profile::ALL.into_iter().flat_map(|profile| Backend::all().map(move |b| (profile, b))) {
        let (mut theirs, mut ours) = (theirs(library, profile, Sources::AnyOutbound), ours(profile));
        let sealed: Vec<_> = stream()
            .into_iter()
            .map(|packet| (run(&mut theirs, Operation::Protect, &packet).unwrap(), packet))
            .collect();
        for turn in shuffled(sealed).chunks_mut(13) {
            let mut forecasts: Vec<_> = turn.iter().map(|(sealed, _)| ours.foresee_rtp(sealed)).collect();
            let messages = forecasts.iter_mut().zip(&*turn);
            let messages = messages.filter_map(|(forecast, (sealed, _))| forecast.as_mut()?.message(sealed));
            mac::sign(backend, messages);
            for ((sealed, packet), forecast) in turn.iter_mut().zip(forecasts) {
                let len = ours.unprotect_rtp_foreseen(sealed, forecast.as_ref()).unwrap();
                assert_eq!(sealed[..len], packet[..], "{profile:?} {backend:?}");
            }
        }
    }
}

#[test]
fn reports_go_both_ways_once() {
    let Some(library) = Library::load() else { return };
    for profile in Profile::ALL {
        let (mut inbound, mut outbound) =
            (theirs(library, profile, Sources::AnyInbound), theirs(library, profile, Sources::AnyOutbound));
        let (mut sender, mut receiver) = (ours(profile), ours(profile));
        for count in 0..300_u16 {
            // A receiver report, and a name of changing length.
            let mut report = vec![0x80, 201, 0, 1, 0xca, 0xfe, 0xba, 0xbe, 0x81, 202, 0, count.to_be_bytes()[1]];
            report.resize(12 + 4 * usize::from(count), 0x61);

            let sealed = protect_with(&mut sender, &report, Context::protect_rtcp);
            assert_eq!(run(&mut inbound, Operation::UnprotectRtcp, &sealed).as_ref(), Ok(&report), "{profile:?}");
            assert!(run(&mut inbound, Operation::UnprotectRtcp, &sealed).is_err(), "{profile:?}: a replay");

            let mut sealed = run(&mut outbound, Operation::ProtectRtcp, &report).unwrap();
            let mut replayed = sealed.clone();
            let len = receiver.unprotect_rtcp(&mut sealed).unwrap();
            assert_eq!(sealed[..len], report, "{profile:?}");
            assert_eq!(receiver.unprotect_rtcp(&mut replayed), Err(DropReason::SrtpReplay), "{profile:?}");
        }
    }
}
