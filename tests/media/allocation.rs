//! No packet allocates, once a call is set up.

#![expect(unsafe_code, reason = "an allocator that counts is an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use trunkline_media::bridge::{Dtmf, Event, LegIndex, Muted, StreamParameters, Voice};
use trunkline_media::codecs::EncoderSettings;
use trunkline_media::dsp::tone::Oscillator;
use trunkline_media::dtmf::Kind;
use trunkline_media::endpoint::{Remote, Security, SocketIds};
use trunkline_media::jitter::{Config, Playout};
use trunkline_media::mac::{self, Backend};
use trunkline_media::net::{Pt, SeqNo, Ssrc};
use trunkline_media::outbox::{Destination, Outbox, SocketId};
use trunkline_media::pipeline::{Format, tap};
use trunkline_media::rtp::Header;
use trunkline_media::srtp::{Context, Forecast, Profile};

use crate::support::memory::{Lab, RTCP, RTP, WEB};
use crate::support::secure::{contexts, keys, protect};
use crate::support::sound::Speaker;
use crate::support::{events, opus, pcma, pcmu, speech, stream};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// Bytes allocated less bytes freed.
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread-local of plain data only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as promised by our own caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = LIVE_BYTES.try_with(|live| live.set(live.get() - layout.size().cast_signed()));
        // SAFETY: as promised by our own caller.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: as promised by our own caller.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count(bytes: isize) {
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
    let _ = LIVE_BYTES.try_with(|live| live.set(live.get() + bytes));
}

/// How many bytes more this thread holds after `work` than before.
pub(crate) fn kept_bytes(work: impl FnOnce()) -> isize {
    let before = LIVE_BYTES.with(Cell::get);
    work();
    LIVE_BYTES.with(Cell::get) - before
}

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

fn sent(lab: &mut Lab, socket: SocketId) -> usize {
    lab.outbox.iter().filter(|transmit| transmit.destination.socket == socket).count()
}

fn plain_packet(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut data = vec![0; 12];
    Header::new(Pt(0), SeqNo(number), u32::from(number) * 160, Ssrc(5)).write(&mut data).unwrap();
    data.extend(payload);
    data
}

/// Runs 20 ms steps with one packet from each side; how many packets left to the browser and to the phone, and how
/// often memory was allocated after the first `warm_up` steps.
fn run(web: Format, steps: usize, warm_up: usize) -> (usize, usize, usize) {
    run_in(Lab::new(), |_, _, _| (), (web, steps, warm_up))
}

/// The same, after `prepare` has done something to the bridge and its two legs.
fn run_in(
    mut lab: Lab,
    prepare: impl FnOnce(&mut Lab, LegIndex, LegIndex),
    (web, steps, warm_up): (Format, usize, usize),
) -> (usize, usize, usize) {
    let (browser, mut client) = lab.web_leg(&[web]);
    let phone = lab.rtp_leg(&[pcmu()]);
    lab.bridge.join(browser, phone).unwrap();
    prepare(&mut lab, browser, phone);
    lab.events();

    let mut voices = (Speaker::new(web, 440.0), Speaker::new(pcmu(), 1_000.0));
    let step_ts = web.codec.clock_rate_hz() / 50;
    let packets: Vec<(Vec<u8>, Vec<u8>)> = (0..steps)
        .map(|step| {
            let number = u16::try_from(step).unwrap();
            let from_web = client.packet(web.pt, (u32::from(number) * step_ts, false), &voices.0.payload());
            (from_web, plain_packet(number, &voices.1.payload()))
        })
        .collect();

    let (mut to_web, mut to_phone, mut allocated) = (0, 0, 0);
    for (step, (mut from_web, mut from_phone)) in packets.into_iter().enumerate() {
        lab.outbox.clear();
        let count = allocations(|| {
            let _ = lab.web_datagram(browser, &mut from_web);
            let _ = lab.rtp_datagram(phone, &mut from_phone);
            lab.advance(Duration::from_millis(20));
            while lab.bridge.poll_event().is_some() {}
        });
        if step >= warm_up {
            allocated += count;
            to_web += sent(&mut lab, WEB);
            to_phone += sent(&mut lab, RTP);
        }
    }
    (to_web, to_phone, allocated)
}

#[test]
fn a_relayed_packet_allocates_nothing() {
    let (to_web, to_phone, allocated) = run(pcmu(), 600, 50);
    assert!(to_web >= 550 && to_phone >= 550, "{to_web} and {to_phone} packets");
    assert_eq!(allocated, 0);
}

#[test]
fn a_transcoded_packet_allocates_nothing() {
    let is_transcoded = |format: &Format| ![pcmu(), pcma()].contains(format);
    // In packets of 20 ms, as those of the phone.
    let is_fit = |format: &Format| is_transcoded(format) && format.codec.possible_ptime_ms(20) == 20;
    for web in speech().into_iter().filter(is_fit) {
        let (to_web, to_phone, allocated) = run(web, 600, 50);
        assert!(to_web >= 545 && to_phone >= 545, "{web:?}: {to_web} and {to_phone} packets");
        assert_eq!(allocated, 0, "{web:?}");
    }
}

/// A leg that is listened to presses keys as tones; the other one is told by events.
#[test]
fn listening_for_digits_allocates_nothing() {
    let mut lab = Lab::new();
    let heard = StreamParameters { dtmf: Dtmf { sent: Kind::Inband, hears_tones: true }, ..stream(&[pcmu()]) };
    let from = lab.rtp_leg_on(SocketIds { rtp: SocketId(3), rtcp: SocketId(4) }, &heard);
    let to = lab.rtp_leg(&[pcmu(), events(101, 8_000)]);
    lab.bridge.join(from, to).unwrap();
    let mut keys = Oscillator::dtmf('5', 8_000).unwrap().with_cadence([800, 800]);
    let settings = EncoderSettings::default();
    let mut encoder = pcmu().codec.encoder(&settings).unwrap();
    let (mut digits, mut allocated) = (0, 0);
    for step in 0..400 {
        let (mut pcm, mut payload) = ([0; 160], [0; 160]);
        keys.fill(&mut pcm);
        encoder.encode(&pcm, &mut payload).unwrap();
        let mut packet = plain_packet(step, &payload);
        lab.outbox.clear();
        let count = allocations(|| {
            let _ = lab.rtp_datagram(from, &mut packet);
            lab.advance(Duration::from_millis(20));
            while let Some(event) = lab.bridge.poll_event() {
                digits += usize::from(matches!(event, Event::Digit { .. }));
            }
        });
        if step >= 50 {
            allocated += count;
        }
    }
    assert!(digits >= 38, "{digits} digits");
    assert_eq!(allocated, 0);
}

#[test]
fn a_packet_of_the_other_law_allocates_nothing() {
    let (to_web, to_phone, allocated) = run(pcma(), 600, 50);
    assert!(to_web >= 545 && to_phone >= 545, "{to_web} and {to_phone} packets");
    assert_eq!(allocated, 0);
}

#[test]
fn a_jitter_buffer_takes_at_most_18_kib() {
    // Without the decoder's own state, which libopus allocates by itself.
    for format in [opus(), pcmu()] {
        let config = Config::new(format.codec.clock_rate_hz(), format.codec.max_payload_bytes());
        let mut playout = None;
        let bytes = kept_bytes(|| playout = Some(Playout::new(config, format.codec.decoder(8_000).unwrap())));
        assert!(bytes > 0 && bytes <= 18 * 1_024, "{:?}: {bytes} bytes", format.codec.kind());
    }
}

#[test]
fn a_turn_of_srtp_allocates_nothing() {
    for profile in Profile::ALL {
        let (key, salt) = (vec![1; profile.key_bytes()], vec![2; profile.salt_bytes()]);
        let mut sender = Context::new(profile, &key, &salt).unwrap();
        let mut receiver = Context::new(profile, &key, &salt).unwrap();
        let packets: Vec<Vec<u8>> = (0..40).map(|number| plain_packet(number, &[7; 160])).collect();
        let mut outbox = Outbox::new(packets.len());
        let mut taken = 0;
        let count = allocations(|| {
            for packet in &packets {
                let destination = Destination { socket: RTP, remote: Lab::far_rtp() };
                let written = outbox.push_unsigned(destination, |buffer| {
                    buffer[..packet.len()].copy_from_slice(packet);
                    sender.encrypt_rtp(buffer, packet.len())
                });
                assert_eq!(written, Ok(()));
            }
            let mut forecasts = [const { None::<Forecast> }; 40];
            for (forecast, transmit) in forecasts.iter_mut().zip(outbox.iter()) {
                *forecast = receiver.foresee_rtp(transmit.data);
            }
            let messages = forecasts.iter_mut().zip(outbox.iter());
            let messages = messages.filter_map(|(forecast, transmit)| forecast.as_mut()?.message(transmit.data));
            mac::sign(Backend::detect(), messages);
            for ((transmit, forecast), packet) in outbox.iter().zip(&forecasts).zip(&packets) {
                let mut buf = [0; 256];
                let buf = &mut buf[..transmit.data.len()];
                buf.copy_from_slice(transmit.data);
                let len = receiver.unprotect_rtp_foreseen(buf, forecast.as_ref());
                taken += usize::from(len.is_ok_and(|len| buf[..len] == packet[..]));
            }
        });
        assert_eq!((count, taken), (0, packets.len()), "{profile:?}");
    }
}

#[test]
fn a_packet_of_a_leg_with_keys_of_the_signalling_allocates_nothing() {
    for profile in Profile::ALL {
        let mut lab = Lab::new();
        let keys = keys(profile, 3);
        let leg = lab.rtp_leg(&[pcmu()]);
        let security = Security::Sdes(keys.clone());
        let remote = Remote::Rtp { rtp: Lab::far_rtp(), rtcp: Lab::far_rtcp(), is_muxed: false, security };
        lab.bridge.set_remote(lab.now, leg, remote, &stream(&[pcmu()]), &mut lab.outbox).unwrap();
        lab.bridge.join(leg, leg).unwrap();
        let (mut outbound, _) = contexts(&keys);
        let packets: Vec<_> =
            (0..600).map(|number| protect(&mut outbound, plain_packet(number, &[0x55; 160]))).collect();
        let (mut came_back, mut reports, mut allocated) = (0, 0, 0);
        for (step, mut packet) in packets.into_iter().enumerate() {
            lab.outbox.clear();
            let count = allocations(|| {
                let _ = lab.rtp_datagram(leg, &mut packet);
                lab.advance(Duration::from_millis(20));
                while lab.bridge.poll_event().is_some() {}
            });
            if step >= 50 {
                allocated += count;
                came_back += sent(&mut lab, RTP);
                reports += sent(&mut lab, RTCP);
            }
        }
        assert!(came_back == 550 && reports >= 1, "{profile:?}: {came_back} packets and {reports} reports");
        assert_eq!(allocated, 0, "{profile:?}");
    }
}

#[test]
fn a_muted_packet_allocates_nothing() {
    let mute = |lab: &mut Lab, browser, _| lab.bridge.mute(browser, Voice::Says, Muted::Audio).unwrap();
    for web in [pcmu(), opus()] {
        let (_, to_phone, allocated) = run_in(Lab::new(), mute, (web, 300, 50));
        assert!(to_phone >= 245, "{to_phone} packets");
        assert_eq!(allocated, 0);
    }
}

/// The recorder is as slow as can be: it reads nothing at all.
#[test]
fn a_recorded_packet_allocates_nothing_and_goes_on_when_the_recorder_does_not() {
    for web in [pcmu(), opus()] {
        let mut readers = Vec::new();
        let record = |lab: &mut Lab, browser, phone| {
            for leg in [browser, phone] {
                let (tap, reader) = tap();
                lab.bridge.start_tap(lab.now, leg, tap).unwrap();
                readers.push(reader);
            }
        };
        let (to_web, to_phone, allocated) = run_in(Lab::new(), record, (web, 600, 50));
        assert!(to_web >= 545 && to_phone >= 545, "{to_web} and {to_phone} packets");
        assert_eq!(allocated, 0);

        let mut phone = readers.pop().unwrap();
        let mut payload = Vec::new();
        let kept = std::iter::from_fn(|| phone.read(&mut payload)).count();
        let lost = usize::try_from(phone.dropped().as_millis()).unwrap() / 20;
        assert!(kept > 300 && lost > 300, "{kept} kept, {lost} left out");
        assert!((1_180..=1_200).contains(&(kept + lost)), "{kept} kept, {lost} left out");
    }
}
