//! Whole contexts: against packets that libsrtp 2 protected, and against misuse by the network.

use proptest::prelude::*;

use super::testing::unhex;
use super::*;
use crate::error::DropReason;
use crate::mac::{self, Backend};

const PROFILES: [Profile; 6] = Profile::ALL;
const SSRC: u32 = 0xcafe_babe;

/// Master key and salt are the bytes 1, 2, 3 and so on.
fn context(profile: Profile) -> Context {
    let material: Vec<u8> = (1..=u8::MAX).take(profile.key_bytes() + profile.salt_bytes()).collect();
    let (key, salt) = material.split_at(profile.key_bytes());
    Context::new(profile, key, salt).unwrap()
}

fn rtp_from(ssrc: u32, seq: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0xef];
    packet.extend(seq.to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend(0..20);
    packet
}

fn rtp(seq: u16) -> Vec<u8> {
    rtp_from(SSRC, seq)
}

fn rtp_with_extension(seq: u16) -> Vec<u8> {
    let mut packet = rtp(seq);
    packet[0] = 0x90;
    packet.splice(12..12, [0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]);
    packet
}

/// A receiver report and a CNAME.
fn rtcp() -> Vec<u8> {
    unhex("80c90001cafebabe81ca0003cafebabe0104746573740000")
}

type Operation = fn(&mut Context, &mut [u8], usize) -> Result<usize, DropReason>;

fn protect_with(context: &mut Context, packet: &[u8], operation: Operation) -> Result<Vec<u8>, DropReason> {
    let mut buf = packet.to_vec();
    buf.resize(packet.len() + MAX_TRAILER_BYTES, 0xee);
    let len = operation(context, &mut buf, packet.len())?;
    buf.truncate(len);
    Ok(buf)
}

fn protect(context: &mut Context, packet: &[u8]) -> Result<Vec<u8>, DropReason> {
    protect_with(context, packet, Context::protect_rtp)
}

fn protect_rtcp(context: &mut Context, packet: &[u8]) -> Result<Vec<u8>, DropReason> {
    protect_with(context, packet, Context::protect_rtcp)
}

fn unprotect(context: &mut Context, packet: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut buf = packet.to_vec();
    let len = context.unprotect_rtp(&mut buf)?;
    buf.truncate(len);
    Ok(buf)
}

fn unprotect_rtcp(context: &mut Context, packet: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut buf = packet.to_vec();
    let len = context.unprotect_rtcp(&mut buf)?;
    buf.truncate(len);
    Ok(buf)
}

/// For each profile: a packet with an extension, the first packet after a rollover, the second SRTCP packet.
const LIBSRTP: [(Profile, [&str; 3]); 3] = [
    (
        Profile::Aes128CmSha1_80,
        [
            "90ef123401020304cafebabebede000110ff0000f006539a694c852a29a19f9c5359e0c250647851d16b173725d1401e85fb",
            "80ef000001020304cafebabedb959f720546984494902db18e65a33b6b58df661db544d53c71ddff3967",
            "80c90001cafebabe2991095bff830743309d6763f00578d180000001fcc2f56cd1e5bafbf97d",
        ],
    ),
    (
        Profile::AeadAes128Gcm,
        [
            "90ef123401020304cafebabebede000110ff00008d204fc62be6d9fdf31a34a5a5de00ee039f1e492d3eba37b98c80a0b26e03e0\
             c410125a",
            "80ef000001020304cafebabee6f99682eb838e699b9a252f227ec8cb0f788154d73835a65cac84c65b62ab1ce2eb03f9",
            "80c90001cafebabef11dc81c126e354ab11cd00932b4ee235d12922ef68c1a5ff7bbe1c94a4f780580000001",
        ],
    ),
    (
        Profile::AeadAes256Gcm,
        [
            "90ef123401020304cafebabebede000110ff0000c1e5eeec8809779f607a79404e395abc0e0208e5041aa54e6d8de15207f70b19\
             a296cef5",
            "80ef000001020304cafebabe81ce014bb9f575c5cba474476acae0cb61afc7d978d1eebc88f8a89f666b29ba00c2f741",
            "80c90001cafebabeaf994aa3d34eeb2fb2939e3fe1985a970a5d1360843f601a79c147a115a9bdee80000001",
        ],
    ),
];

#[test]
fn protects_as_libsrtp_does() {
    for (profile, [extension, rollover, report]) in LIBSRTP {
        assert_eq!(protect(&mut context(profile), &rtp_with_extension(0x1234)).unwrap(), unhex(extension));
        let mut sender = context(profile);
        for seq in 65_530..=65_535 {
            protect(&mut sender, &rtp(seq)).unwrap();
        }
        assert_eq!(protect(&mut sender, &rtp(0)).unwrap(), unhex(rollover));
        // libsrtp counts SRTCP packets from 1, we from 0 as the RFC does.
        protect_rtcp(&mut sender, &rtcp()).unwrap();
        assert_eq!(protect_rtcp(&mut sender, &rtcp()).unwrap(), unhex(report));
    }
}

#[test]
fn unprotects_what_libsrtp_protected() {
    for (profile, [extension, rollover, report]) in LIBSRTP {
        assert_eq!(unprotect(&mut context(profile), &unhex(extension)).unwrap(), rtp_with_extension(0x1234));
        let mut sender = context(profile);
        let mut receiver = context(profile);
        unprotect(&mut receiver, &protect(&mut sender, &rtp(65_530)).unwrap()).unwrap();
        assert_eq!(unprotect(&mut receiver, &unhex(rollover)).unwrap(), rtp(0));
        assert_eq!(unprotect_rtcp(&mut receiver, &unhex(report)).unwrap(), rtcp());
    }
}

#[test]
fn any_flipped_bit_is_noticed() {
    for profile in PROFILES {
        let sealed = protect(&mut context(profile), &rtp_with_extension(7)).unwrap();
        let sealed_rtcp = protect_rtcp(&mut context(profile), &rtcp()).unwrap();
        let mut receiver = context(profile);
        for bit in 0..8 * sealed.len() {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(unprotect(&mut receiver, &forged).is_err(), "{profile:?} bit {bit}");
        }
        for bit in 0..8 * sealed_rtcp.len() {
            let mut forged = sealed_rtcp.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(unprotect_rtcp(&mut receiver, &forged).is_err(), "{profile:?} bit {bit}");
        }
        assert_eq!(unprotect(&mut receiver, &sealed).unwrap(), rtp_with_extension(7), "forgeries left no trace");
        assert_eq!(unprotect_rtcp(&mut receiver, &sealed_rtcp).unwrap(), rtcp());
    }
}

#[test]
fn replayed_packets_are_dropped() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = (context(profile), context(profile));
        let packets: Vec<_> = (0..200).map(|seq| protect(&mut sender, &rtp(seq)).unwrap()).collect();
        for packet in &packets {
            unprotect(&mut receiver, packet).unwrap();
        }
        for (seq, packet) in packets.iter().enumerate() {
            let expected = if seq < 72 { DropReason::SrtpTooOld } else { DropReason::SrtpReplay };
            assert_eq!(unprotect(&mut receiver, packet), Err(expected), "{seq}");
        }
        let report = protect_rtcp(&mut sender, &rtcp()).unwrap();
        unprotect_rtcp(&mut receiver, &report).unwrap();
        assert_eq!(unprotect_rtcp(&mut receiver, &report), Err(DropReason::SrtpReplay));
    }
}

#[test]
fn sender_never_uses_an_index_twice() {
    for profile in PROFILES {
        let mut sender = context(profile);
        protect(&mut sender, &rtp(500)).unwrap();
        assert_eq!(protect(&mut sender, &rtp(500)), Err(DropReason::SrtpReplay));
        assert!(protect(&mut sender, &rtp(450)).is_ok(), "late, but not sent before");
        assert_eq!(protect(&mut sender, &rtp(300)), Err(DropReason::SrtpTooOld));
        let reports = [(); 3].map(|()| protect_rtcp(&mut sender, &rtcp()).unwrap());
        assert!(reports[0] != reports[1] && reports[1] != reports[2]);
    }
}

#[test]
fn rollover_survives_loss_and_reordering() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = (context(profile), context(profile));
        // Two of three numbers are missing, which makes two rollovers of 50,000 packets.
        let seqs = (0..50_000).map(|n: u16| 65_000_u16.wrapping_add(n.wrapping_mul(3)));
        let mut sealed: Vec<_> = seqs.map(|seq| (seq, protect(&mut sender, &rtp(seq)).unwrap())).collect();
        sealed.chunks_mut(5).for_each(<[_]>::reverse);
        for (seq, packet) in &sealed {
            assert_eq!(unprotect(&mut receiver, packet).unwrap(), rtp(*seq), "{profile:?}");
        }
    }
}

#[test]
fn long_silence_of_less_than_half_a_cycle_is_bridged() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = (context(profile), context(profile));
        for n in 0..10_u16 {
            let packet = protect(&mut sender, &rtp(n.wrapping_mul(30_000))).unwrap();
            unprotect(&mut receiver, &packet).unwrap();
        }
    }
}

#[test]
fn early_jump_of_more_than_half_a_cycle_stays_in_the_first_one() {
    let (mut sender, mut receiver) = (context(Profile::AeadAes128Gcm), context(Profile::AeadAes128Gcm));
    for seq in [100, 60_000] {
        let packet = protect(&mut sender, &rtp(seq)).unwrap();
        assert_eq!(unprotect(&mut receiver, &packet).unwrap(), rtp(seq));
    }
}

#[test]
fn forged_sources_take_no_room_and_authentic_ones_are_bounded() {
    for profile in PROFILES {
        let (mut sender, mut receiver) = (context(profile), context(profile));
        for ssrc in 0..1000 {
            let mut forged = rtp_from(ssrc, 1);
            forged.extend([0; 16]);
            assert_eq!(unprotect(&mut receiver, &forged), Err(DropReason::SrtpAuthentication));
        }
        for ssrc in (0..).take(MAX_SOURCES) {
            let packet = protect(&mut sender, &rtp_from(ssrc, 1)).unwrap();
            unprotect(&mut receiver, &packet).unwrap();
        }
        assert_eq!(protect(&mut sender, &rtp_from(999, 1)), Err(DropReason::SrtpSources));
        let packet = protect(&mut context(profile), &rtp_from(999, 1)).unwrap();
        assert_eq!(unprotect(&mut receiver, &packet), Err(DropReason::SrtpSources));
        let known = protect(&mut sender, &rtp_from(0, 2)).unwrap();
        assert!(unprotect(&mut receiver, &known).is_ok(), "known sources go on");
    }
}

/// Unprotects packets of one turn: all tags together, then each packet in its order.
fn unprotect_together(context: &mut Context, packets: &[Vec<u8>]) -> Vec<Result<Vec<u8>, DropReason>> {
    let mut forecasts: Vec<_> = packets.iter().map(|packet| context.foresee_rtp(packet)).collect();
    let messages = forecasts.iter_mut().zip(packets);
    mac::sign(Backend::detect(), messages.filter_map(|(forecast, packet)| forecast.as_mut()?.message(packet)));
    let unprotect = |(packet, forecast): (&Vec<u8>, Option<Forecast>)| {
        let mut buf = packet.clone();
        let len = context.unprotect_rtp_foreseen(&mut buf, forecast.as_ref())?;
        buf.truncate(len);
        Ok(buf)
    };
    packets.iter().zip(forecasts).map(unprotect).collect()
}

#[test]
fn packets_of_a_turn_are_judged_as_if_each_came_alone() {
    for profile in PROFILES {
        let mut sender = context(profile);
        let (mut together, mut alone) = (context(profile), context(profile));
        // Rolls over within a turn, in disorder; every third packet is forged, and every fourth comes twice.
        let seqs = (0..400_u16).map(|n| 65_400_u16.wrapping_add(n));
        let mut packets: Vec<_> = seqs.map(|seq| protect(&mut sender, &rtp(seq)).unwrap()).collect();
        packets.chunks_mut(7).for_each(<[_]>::reverse);
        for (number, packet) in packets.iter_mut().enumerate().filter(|(number, _)| number % 3 == 0) {
            let at = number % packet.len();
            packet[at] ^= 0x10;
        }
        packets = packets.iter().enumerate().flat_map(|(n, packet)| vec![packet.clone(); 1 + (n % 4) / 3]).collect();
        let mut taken = 0;
        for turn in packets.chunks(30) {
            let outcomes = unprotect_together(&mut together, turn);
            taken += outcomes.iter().filter(|outcome| outcome.is_ok()).count();
            for (packet, outcome) in turn.iter().zip(outcomes) {
                assert_eq!(outcome, unprotect(&mut alone, packet), "{profile:?}");
            }
        }
        assert_eq!(taken, 266, "{profile:?}");
    }
}

#[test]
fn forecast_under_other_keys_or_of_another_cycle_is_not_believed() {
    let profile = Profile::Aes128CmSha1_80;
    let sealed = protect(&mut context(profile), &rtp(20_000)).unwrap();
    let mut forecast = context(profile).foresee_rtp(&sealed).unwrap();
    mac::sign(Backend::detect(), forecast.message(&sealed));

    let mut rekeyed = Context::new(profile, &[9; 16], &[9; 14]).unwrap();
    let outcome = rekeyed.unprotect_rtp_foreseen(&mut sealed.clone(), Some(&forecast));
    assert_eq!(outcome, Err(DropReason::SrtpAuthentication), "keys were replaced since");

    let (mut sender, mut receiver) = (context(profile), context(profile));
    for seq in [30_000, 60_000, 10_000] {
        unprotect(&mut receiver, &protect(&mut sender, &rtp(seq)).unwrap()).unwrap();
    }
    let outcome = receiver.unprotect_rtp_foreseen(&mut sealed.clone(), Some(&forecast));
    assert_eq!(outcome, Err(DropReason::SrtpAuthentication), "the source has rolled over since");
    // A forecast that nobody computed is nothing but wrong.
    let empty = context(profile).foresee_rtp(&sealed);
    let outcome = context(profile).unprotect_rtp_foreseen(&mut sealed.clone(), empty.as_ref());
    assert_eq!(outcome, Err(DropReason::SrtpAuthentication));
}

#[test]
fn tags_may_be_left_to_be_computed_together() {
    for profile in PROFILES {
        let (mut sender, mut alone) = (context(profile), context(profile));
        let mut buf = [0xee; 200];
        for seq in 0..10 {
            let packet = rtp(seq);
            buf[..packet.len()].copy_from_slice(&packet);
            let (len, pending) = sender.encrypt_rtp(&mut buf, packet.len()).unwrap();
            assert_eq!(pending.is_some(), !profile.is_aead());
            mac::sign(Backend::detect(), pending.and_then(|pending| pending.message(&mut buf[..len])));
            assert_eq!(buf[..len], protect(&mut alone, &packet).unwrap(), "{profile:?}");
        }
    }
}

#[test]
fn unencrypted_srtcp_is_dropped() {
    let mut packet = protect_rtcp(&mut context(Profile::Aes128CmSha1_80), &rtcp()).unwrap();
    let flag = packet.len() - 14;
    packet[flag] &= 0x7f;
    assert_eq!(unprotect_rtcp(&mut context(Profile::Aes128CmSha1_80), &packet), Err(DropReason::SrtcpNotEncrypted));
}

#[test]
fn keys_of_other_lengths_are_refused() {
    for profile in PROFILES {
        let (key, salt) = (vec![0; profile.key_bytes()], vec![0; profile.salt_bytes()]);
        assert!(Context::new(profile, &key, &salt).is_ok());
        assert_eq!(Context::new(profile, &key[1..], &salt).err(), Some(Error::KeyLength));
        assert_eq!(Context::new(profile, &key, &salt[1..]).err(), Some(Error::KeyLength));
    }
}

#[test]
fn debug_output_holds_no_key() {
    for profile in PROFILES {
        let text = format!("{:?}", context(profile));
        assert!(!text.contains("1, 2, 3"), "{text}");
    }
}

#[test]
fn buffer_without_room_for_the_trailer_is_refused() {
    for profile in PROFILES {
        let mut packet = rtp(1);
        let len = packet.len();
        assert_eq!(context(profile).protect_rtp(&mut packet, len), Err(DropReason::BufferTooSmall));
        assert_eq!(context(profile).protect_rtp(&mut packet, len + 1), Err(DropReason::SrtpMalformed));
        let mut packet = rtcp();
        let len = packet.len();
        assert_eq!(context(profile).protect_rtcp(&mut packet, len), Err(DropReason::BufferTooSmall));
    }
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_drop(data in prop::collection::vec(any::<u8>(), 0..100), rtp_like: bool) {
        let mut data = data;
        if let (true, Some(first)) = (rtp_like, data.first_mut()) {
            *first = 0x80 | (*first & 0x3f);
        }
        for profile in PROFILES {
            let mut receiver = context(profile);
            prop_assert!(unprotect(&mut receiver, &data).is_err());
            prop_assert!(unprotect_rtcp(&mut receiver, &data).is_err());
        }
    }

    #[test]
    fn whatever_is_protected_unprotects(
        payload in prop::collection::vec(any::<u8>(), 0..1200), seq: u16, csrcs in 0_u8..16, profile in 0_usize..6
    ) {
        let mut packet = rtp(seq);
        packet[0] |= csrcs;
        packet.truncate(12);
        packet.extend(vec![0x55; 4 * usize::from(csrcs)]);
        packet.extend(payload);
        let sealed = protect(&mut context(PROFILES[profile]), &packet).unwrap();
        prop_assert_eq!(unprotect(&mut context(PROFILES[profile]), &sealed).unwrap(), packet);
    }
}
