//! Sound from any codec to any other: what one far side says is what the other one hears, as wide as both can carry it.

use std::time::Duration;

use trunkline_media::codecs::Kind;
use trunkline_media::endpoint::SocketIds;
use trunkline_media::net::{Pt, SeqNo, Ssrc};
use trunkline_media::outbox::SocketId;
use trunkline_media::pipeline::Format;
use trunkline_media::rtp::Header;

use crate::support::memory::Lab;
use crate::support::sound::{Heard, Listener, Speaker};
use crate::support::{g722, opus, pcmu, speech, stream};

const A: SocketIds = SocketIds { rtp: SocketId(1), rtcp: SocketId(2) };
const B: SocketIds = SocketIds { rtp: SocketId(3), rtcp: SocketId(4) };
const FRAME: Duration = Duration::from_millis(20);
const FRAMES: u16 = 75;

/// A tone said by one far side in packets of 20 ms, as the other one hears it. `is_lost`: which of the packets.
fn call(from: Format, to: Format, frequency_hz: f64, is_lost: impl Fn(u16) -> bool) -> Heard {
    let mut lab = Lab::new();
    let a = lab.rtp_leg_on(A, &stream(&[from]));
    let b = lab.rtp_leg_on(B, &stream(&[to]));
    lab.bridge.join(a, b).unwrap();
    let mut speaker = Speaker::new(from, frequency_hz);
    let mut listener = Listener::new(to);
    // Of 10 ms: L16 at its higher rates goes in packets of that length.
    let step = |format: Format| format.codec.clock_rate_hz() / 100;
    let mut newest: Option<u32> = None;
    for number in 0..FRAMES {
        let timestamp = 7_000 + u32::from(number) * 2 * step(from);
        let mut packet = vec![0; 12];
        Header::new(from.pt, SeqNo(65_500_u16.wrapping_add(number)), timestamp, Ssrc(77)).write(&mut packet).unwrap();
        packet.extend(speaker.payload());
        if !is_lost(number) {
            // Early packets may be refused: the far side's address is being learned.
            let _ = lab.rtp_datagram(a, &mut packet);
        }
        lab.advance(FRAME);
        for data in lab.sent_through(B.rtp) {
            let header = Header::parse(&data).unwrap();
            assert_eq!(header.pt, to.pt);
            let advance = newest.map_or(step(to), |newest| header.timestamp.wrapping_sub(newest));
            assert!(advance.is_multiple_of(step(to)) && advance > 0, "{advance} of {}", step(to));
            newest = Some(header.timestamp);
            listener.hear(header.payload_of(&data));
        }
    }
    listener.heard
}

fn is_wide(format: Format) -> bool {
    format.codec.native_sample_rate_hz() > 8_000
}

#[test]
fn a_tone_crosses_between_every_two_codecs() {
    for from in speech() {
        for to in speech() {
            let heard = call(from, to, 1_000.0, |_| false);
            heard.after_ms(500).assert_tone(1_000.0, -10.0, 0.8);
        }
    }
}

#[test]
fn what_only_wide_codecs_carry_crosses_between_them_and_vanishes_beside_narrow_ones() {
    // Above 4 kHz, Speex sends the outline of the sound and makes up the rest, out of what lies below: no tone, and
    // nothing out of nothing. G.722 leaves some noise there.
    let is_exact = |format: &Format| format.codec.kind() != Kind::Speex;
    for from in speech().into_iter().filter(|format| is_wide(*format) && is_exact(format)) {
        for to in speech() {
            let heard = call(from, to, 5_000.0, |_| false).after_ms(500);
            if is_wide(to) && is_exact(&to) {
                heard.assert_tone(5_000.0, -10.0, 0.8);
            } else if is_wide(to) && from == g722() {
                assert!(heard.level_dbm0() > -20.0, "{:?} to {:?}: {} dBm0", from.pt, to.pt, heard.level_dbm0());
            } else if !is_wide(to) {
                assert!(heard.level_dbm0() < -40.0, "{:?} to {:?}: {} dBm0", from.pt, to.pt, heard.level_dbm0());
            }
        }
    }
}

#[test]
fn losses_are_concealed_at_the_decoders_rate_and_never_loud() {
    for to in speech() {
        for lost_of_ten in [1, 3, 5] {
            let heard = call(g722(), to, 440.0, |number| number * 7 % 10 < lost_of_ten).after_ms(500);
            let loudest = heard
                .samples
                .chunks(heard.samples.len() / 40)
                .map(|samples| Heard { samples: samples.to_vec(), rate_hz: heard.rate_hz }.level_dbm0());
            let loudest = loudest.fold(f64::NEG_INFINITY, f64::max);
            assert!(loudest < -6.0, "{lost_of_ten} of ten lost, to {:?}: {loudest} dBm0", to.pt);
            // What is made up for every other packet is no pure tone any more.
            let share = if lost_of_ten > 3 { 0.2 } else { 0.5 };
            assert!(heard.share_of(440.0) > share, "{lost_of_ten} of ten lost, to {:?}", to.pt);
        }
    }
}

#[test]
fn an_encoder_widens_for_the_codec_that_is_really_spoken() {
    let mut lab = Lab::new();
    let a = lab.rtp_leg_on(A, &stream(&[pcmu(), g722()]));
    let b = lab.rtp_leg_on(B, &stream(&[opus()]));
    lab.bridge.join(a, b).unwrap();
    let mut listener = Listener::new(opus());
    let mut seq = 0_u16;
    for format in [pcmu(), g722()] {
        let mut speaker = Speaker::new(format, if format.pt == Pt(0) { 1_000.0 } else { 5_000.0 });
        for _ in 0..FRAMES {
            let mut packet = vec![0; 12];
            Header::new(format.pt, SeqNo(seq), u32::from(seq) * 160, Ssrc(77)).write(&mut packet).unwrap();
            seq += 1;
            packet.extend(speaker.payload());
            let _ = lab.rtp_datagram(a, &mut packet);
            lab.advance(FRAME);
            for data in lab.sent_through(B.rtp) {
                listener.hear(Header::parse(&data).unwrap().payload_of(&data));
            }
        }
    }
    listener.heard.after_ms(2_000).assert_tone(5_000.0, -10.0, 0.8);
}
