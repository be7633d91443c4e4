//! Packet times that differ or change, codecs that change, silence that only one side suppresses, losses, and payloads that
//! should not come: always the sound, and never noise.

use proptest::prelude::*;
use trunkline_media::codecs::{Codec, Kind};
use trunkline_media::net::Pt;
use trunkline_media::pipeline::Format;

use crate::support::talk::{B, Ear, Talker, joined, pass, with_ptime};
use crate::support::{asked, g722, g729, l16, name, opus, pcma, pcmu, speech, speex, stream};

const TONE_HZ: f64 = 440.0;
const TONE_DBM0: f64 = -10.0;

/// Every codec that carries sound, as it is negotiated.
fn all() -> Vec<Format> {
    let formats = Kind::ALL.into_iter().filter(|kind| kind.is_speech()).zip(96..).map(|(kind, pt)| {
        let clocks = [8_000, 16_000, 48_000];
        // A tone is noise to Annex B of G.729, which would have little to lose.
        let made = clocks.iter().find_map(|hz| Codec::new(kind.name(), *hz, 1, [("annexb", "no")]).ok());
        let codec = made.unwrap();
        Format { pt: Pt(pt), codec }
    });
    formats.collect()
}

/// Packet times from 10 to 60 ms that a codec can have.
fn ptimes_ms(format: Format) -> impl Iterator<Item = u32> {
    [10, 20, 30, 40, 60].into_iter().filter(move |ms| format.codec.possible_ptime_ms(*ms) == *ms)
}

/// Every two packet times.
fn every_two((from, to): (Format, Format)) -> Vec<(u32, u32)> {
    ptimes_ms(from).flat_map(|come| ptimes_ms(to).map(move |go| (come, go))).collect()
}

/// Each packet time of either side, beside one of the other's.
fn some_two(pair: (Format, Format)) -> Vec<(u32, u32)> {
    let some = [(10, 60), (10, 10), (20, 30), (30, 20), (40, 10), (60, 40)];
    every_two(pair).into_iter().filter(|two| some.contains(two)).collect()
}

#[test]
fn packets_of_any_length_become_packets_of_any_other() {
    let others = speech().into_iter().filter(|format| ![opus(), pcmu(), pcma()].contains(format));
    let every = [(opus(), pcma()), (pcmu(), opus()), (g729(), opus())].map(|pair| (pair, every_two(pair)));
    let some = others.flat_map(|other| [(other, pcma()), (pcmu(), other)]).map(|pair| (pair, some_two(pair)));
    for ((from, to), ptimes_ms) in every.into_iter().chain(some) {
        assert!(!ptimes_ms.is_empty());
        for (come_ms, go_ms) in ptimes_ms {
            let (mut lab, a, _) = joined(&with_ptime(&[from], come_ms), &with_ptime(&[to], go_ms));
            let (mut talker, mut ear) = (Talker::new(from, TONE_HZ), Ear::new(B.rtp, to));
            for _ in 0..1_200 / come_ms {
                pass(&mut lab, (a, talker.packet(come_ms, false)), &mut ear, come_ms);
            }
            let told = format!("{} {come_ms} ms to {} {go_ms} ms", name(from), name(to));
            assert!(ear.lengths_ms.iter().all(|ms| *ms == go_ms), "{told}: {:?}", ear.lengths_ms);
            assert_eq!(ear.gap_units, 0, "{told}");
            assert_tone(&ear, 500, &told);
        }
    }
}

#[test]
fn a_sender_that_changes_its_packet_time_unannounced_is_heard_without_a_gap() {
    for (from, to) in [(pcmu(), opus()), (opus(), pcmu()), (g729(), pcma()), (g722(), pcmu()), (l16(8_000), g722())] {
        let (mut lab, a, _) = joined(&stream(&[from]), &stream(&[to]));
        let (mut talker, mut ear) = (Talker::new(from, TONE_HZ), Ear::new(B.rtp, to));
        for come_ms in [20, 40, 10, 60, 20] {
            for _ in 0..600 / come_ms {
                pass(&mut lab, (a, talker.packet(come_ms, false)), &mut ear, come_ms);
            }
        }
        assert_eq!(ear.gap_units, 0);
        assert_tone(&ear, 500, &format!("{:?} to {:?}", from.codec.kind(), to.codec.kind()));
    }
}

#[test]
fn a_new_description_changes_packet_time_and_codec_without_a_gap() {
    let (mut lab, a, b) = joined(&stream(&[opus()]), &stream(&[pcmu()]));
    let mut talker = Talker::new(opus(), TONE_HZ);
    let narrow = [(pcmu(), 20), (pcmu(), 40), (pcma(), 40), (g729(), 10), (pcmu(), 60)];
    let wide = [(g722(), 30), (l16(16_000), 30), (l16(48_000), 10), (l16(8_000), 60)];
    let known = speech();
    let speex = [(speex(16_000), 40), (speex(8_000), 60)].into_iter().filter(|(format, _)| known.contains(format));
    for (format, go_ms) in narrow.into_iter().chain(wide).chain(speex) {
        lab.describe_anew(b, &with_ptime(&[format], go_ms));
        let mut ear = Ear::new(B.rtp, format);
        for _ in 0..60 {
            pass(&mut lab, (a, talker.packet(20, false)), &mut ear, 20);
        }
        assert!(ear.lengths_ms.iter().all(|ms| *ms == go_ms), "{:?}", ear.lengths_ms);
        assert_eq!(ear.gap_units, 0);
        assert_tone(&ear, 400, &format!("{:?} in {go_ms} ms", format.codec.kind()));
    }
}

#[test]
fn a_payload_type_that_changes_in_mid_stream_is_the_same_voice() {
    let known = [pcmu(), g722(), pcma(), l16(8_000), g729()];
    let (mut lab, a, _) = joined(&stream(&known), &stream(&[opus()]));
    let (mut talker, mut ear) = (Talker::new(pcmu(), TONE_HZ), Ear::new(B.rtp, opus()));
    for format in known.into_iter().cycle().take(12) {
        talker.switch(format);
        for _ in 0..20 {
            pass(&mut lab, (a, talker.packet(20, false)), &mut ear, 20);
        }
    }
    assert_eq!(ear.gap_units, 0);
    // A change begins a new buffer, which is filled first.
    assert!(ear.heard.share_of(TONE_HZ) > 0.8, "{}", ear.heard.share_of(TONE_HZ));
    assert!(ear.loudest_dbm0() < TONE_DBM0 + 3.0, "{} dBm0", ear.loudest_dbm0());
}

/// Opus that stops sending in silence.
fn opus_with_dtx() -> Format {
    asked(opus(), &[("usedtx", "1")])
}

#[test]
fn silence_that_one_side_suppresses_is_audio_to_the_other() {
    for (from, to) in [(opus_with_dtx(), pcmu()), (g729(), pcma())] {
        let (mut lab, a, _) = joined(&stream(&[from]), &stream(&[to]));
        let (mut talker, mut ear) = (Talker::new(from, TONE_HZ), Ear::new(B.rtp, to));
        let mut sent = 0;
        for step in 0..250 {
            let packet = talker.packet(20, (50..200).contains(&step));
            sent += usize::from(packet.is_some());
            pass(&mut lab, (a, packet), &mut ear, 20);
        }
        assert!(sent < 200, "{sent} packets of 250: nothing was suppressed");
        assert_eq!(ear.gap_units, 0, "a leg without suppression is sent every packet");
        let part = |from_ms: usize, to_ms: usize| crate::support::sound::Heard {
            samples: ear.heard.samples[from_ms * 8..to_ms * 8].to_vec(),
            ..ear.heard
        };
        let (before, pause, after) = (part(500, 950), part(2_000, 3_800), part(4_400, 4_800));
        assert!(pause.level_dbm0() < -45.0, "{:?}: {} dBm0 in the pause", from.codec.kind(), pause.level_dbm0());
        assert!(before.share_of(TONE_HZ) > 0.9 && after.share_of(TONE_HZ) > 0.9, "{:?}", from.codec.kind());
    }
}

#[test]
fn silence_is_suppressed_towards_the_side_that_wants_it() {
    for to in [opus_with_dtx(), g729()] {
        let (mut lab, a, _) = joined(&stream(&[pcmu()]), &stream(&[to]));
        let (mut talker, mut ear) = (Talker::new(pcmu(), TONE_HZ), Ear::new(B.rtp, to));
        let mut sent = [0, 0, 0];
        for step in 0..300 {
            let packet = talker.packet(20, (100..200).contains(&step));
            sent[step / 100] += pass(&mut lab, (a, packet), &mut ear, 20);
        }
        // Opus takes a tone for no speech now and then.
        assert!(2 * sent[1] < sent[0] && sent[2] >= 90, "{:?}: {sent:?} packets", to.codec.kind());
    }
}

#[test]
fn bursts_of_loss_up_to_a_half_are_never_louder_than_the_voice() {
    for from in all() {
        // What is only converted, or relayed, is as lost on the other side.
        let to = if matches!(from.codec.kind(), Kind::Pcmu | Kind::Pcma) { opus() } else { pcmu() };
        let (mut lab, a, _) = joined(&stream(&[from]), &stream(&[to]));
        let (mut talker, mut ear) = (Talker::new(from, TONE_HZ), Ear::new(B.rtp, to));
        for step in 0..400_u32 {
            let packet = talker.packet(20, false);
            // From step 100 on, 8 of 16 packets, in bursts of 1, 2 and 5.
            let is_lost = step >= 100 && matches!(step % 16, 2 | 5 | 6 | 9..=13);
            if is_lost && packet.is_none() {
                talker.lose();
            }
            pass(&mut lab, (a, packet.filter(|_| !is_lost)), &mut ear, 20);
        }
        let loudest = ear.loudest_dbm0();
        assert!(loudest < TONE_DBM0 + 3.0, "{:?}: {loudest} dBm0", from.codec.kind());
        // G.729 lets its gain sink with each frame that is lost, and finds it again slowly.
        assert!(ear.heard.after_ms(2_500).level_dbm0() > -35.0, "{:?} falls silent", from.codec.kind());
        assert_eq!(ear.gap_units, 0, "{:?}", from.codec.kind());
    }
}

#[test]
fn what_is_no_frame_of_its_codec_is_never_louder_than_the_voice() {
    // Too short, a description of silence that nobody agreed to, too long, nothing at all.
    for from in [opus(), g729()] {
        let (mut lab, a, _) = joined(&stream(&[from]), &stream(&[pcmu()]));
        let (mut talker, mut ear) = (Talker::new(from, TONE_HZ), Ear::new(B.rtp, pcmu()));
        for step in 0..400_usize {
            let good = talker.packet(20, false);
            let bad = match step % 40 {
                10 => Some(vec![]),
                15 => Some(vec![0xff; 1]),
                20 => Some(vec![0x55; 2]),
                25 => Some(vec![0xfc; 11]),
                30 => Some(vec![0xff; 1_400]),
                35 => Some(vec![0x00; 131]),
                _ => None,
            };
            let packet = bad.map(|payload| talker.wrap(&payload)).or(good);
            pass(&mut lab, (a, packet), &mut ear, 20);
        }
        let loudest = ear.loudest_dbm0();
        assert!(loudest < TONE_DBM0 + 6.0, "{:?}: {loudest} dBm0", from.codec.kind());
        assert!(ear.heard.after_ms(500).share_of(TONE_HZ) > 0.7, "{:?}: no voice is left", from.codec.kind());
    }
}

#[test]
fn numbers_that_jump_back_at_packets_of_no_use_silence_nobody() {
    let (mut lab, a, _) = joined(&stream(&[pcmu(), g729()]), &stream(&[pcmu()]));
    let mut talker = Talker::new(pcmu(), TONE_HZ);
    let mut ear = Ear::new(B.rtp, pcmu());
    for round in 0..200 {
        if round == 50 {
            // So many ahead are 300 behind.
            (0..u16::MAX - 299).for_each(|_| talker.lose());
            ear = Ear::new(B.rtp, pcmu());
        }
        let mut packet = talker.packet(20, false);
        if (50..53).contains(&round) {
            // No frame of G.729 has so many bytes.
            packet.as_mut().unwrap()[1] = g729().pt.0;
            packet.as_mut().unwrap().truncate(12 + 13);
        }
        pass(&mut lab, (a, packet), &mut ear, 20);
    }
    assert!(ear.heard.seconds() > 2.8, "only {:.2} s heard", ear.heard.seconds());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_payload_of_any_codec_is_decoded_or_dropped(
        packets in prop::collection::vec((0_usize..8, any::<u16>(), prop::collection::vec(any::<u8>(), 0..400)), 1..60),
    ) {
        let known = all();
        for to in [pcmu(), opus()] {
            let (mut lab, a, _) = joined(&stream(&known), &stream(&[to]));
            let speech = *known.iter().find(|format| format.codec.kind() == Kind::Pcmu).unwrap();
            let mut talker = Talker::new(speech, TONE_HZ);
            let mut sent = 0;
            for (which, jump, payload) in &packets {
                let mut data = talker.wrap(payload);
                data[1] = known.get(*which).map_or(13, |format| format.pt.0);
                if jump % 5 == 0 {
                    data[2..4].copy_from_slice(&jump.to_be_bytes());
                }
                if jump % 7 == 0 {
                    data[4..6].copy_from_slice(&jump.to_be_bytes());
                }
                let _ = lab.rtp_datagram(a, &mut data);
                lab.advance(std::time::Duration::from_millis(20));
                lab.events();
                sent += lab.sent_through(B.rtp).len();
            }
            prop_assert!(sent <= 2 * packets.len() + 20, "{} packets out of {}", sent, packets.len());
            // Who speaks well afterwards is heard.
            let mut ear = Ear::new(B.rtp, to);
            for _ in 0..150 {
                pass(&mut lab, (a, talker.packet(20, false)), &mut ear, 20);
            }
            let share = ear.heard.after_ms(1_500).share_of(TONE_HZ);
            prop_assert!(share > 0.8, "{} Hz has only {} of the power towards {:?}", TONE_HZ, share, to.codec.kind());
        }
    }
}

/// Fails unless one tone was heard all the while after its first `skip_ms`.
#[track_caller]
fn assert_tone(ear: &Ear, skip_ms: u32, told: &str) {
    let heard = ear.heard.after_ms(skip_ms);
    let (share, level) = (heard.share_of(TONE_HZ), heard.level_dbm0());
    assert!(share > 0.85, "{told}: {TONE_HZ} Hz has only {share:.2} of the power");
    assert!((level - TONE_DBM0).abs() < 2.5, "{told}: {level:.1} dBm0");
}
