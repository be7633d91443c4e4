//! The vectors of RFC 5769, then misuse by the network.

use proptest::prelude::*;

use super::*;

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn key() -> IntegrityKey {
    IntegrityKey::new(PASSWORD).unwrap()
}

/// Make the header's length fit the message.
fn set_length(data: &mut [u8]) {
    let len = u16::try_from(data.len() - HEADER_BYTES).unwrap();
    data[2..4].copy_from_slice(&len.to_be_bytes());
}

/// RFC 5769 section 2.1.
fn sample_request() -> Vec<u8> {
    unhex(
        "00 01 00 58 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
         80 22 00 10 53 54 55 4e 20 74 65 73 74 20 63 6c 69 65 6e 74
         00 24 00 04 6e 00 01 ff
         80 29 00 08 93 2f f9 b1 51 26 3b 36
         00 06 00 09 65 76 74 6a 3a 68 36 76 59 20 20 20
         00 08 00 14 9a ea a7 0c bf d8 cb 56 78 1e f2 b5 b2 d3 f2 49 c1 b5 71 a2
         80 28 00 04 e5 7a 3b cf",
    )
}

#[test]
fn test_rfc5769_2_1_request() {
    let data = sample_request();
    let message = Message::parse(&data).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Request, BINDING));
    assert_eq!(message.transaction()[..4], [0xb7, 0xe7, 0xa7, 0x01]);
    assert_eq!(message.username(), Some(&b"evtj:h6vY"[..]));
    assert_eq!(message.priority(), Some(0x6e00_01ff));
    assert!(message.is_from_controlled() && !message.is_nominating());
    assert!(message.unknown().is_empty());
    assert_eq!(message.verify(&key()), Ok(()));
    assert_eq!(message.verify(&IntegrityKey::new("another").unwrap()), Err(DropReason::StunIntegrity));
    assert_eq!(local_ufrag(&data), Some("evtj"));
}

#[test]
fn test_rfc5769_2_2_ipv4_response() {
    let data = unhex(
        "01 01 00 3c 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
         80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
         00 20 00 08 00 01 a1 47 e1 12 a6 43
         00 08 00 14 2b 91 f5 99 fd 9e 90 c3 8c 74 89 f9 2a f9 ba 53 f0 6b e7 d7
         80 28 00 04 c0 7d 4c 96",
    );
    let message = Message::parse(&data).unwrap();
    assert_eq!(message.class(), Class::Success);
    assert_eq!(message.mapped_address(), Some("192.0.2.1:32853".parse().unwrap()));
    assert_eq!(message.verify(&key()), Ok(()));
    assert_eq!(local_ufrag(&data), None, "not a request");
}

#[test]
fn test_rfc5769_2_3_ipv6_response() {
    let data = unhex(
        "01 01 00 48 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
         80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
         00 20 00 14 00 02 a1 47 01 13 a9 fa a5 d3 f1 79 bc 25 f4 b5 be d2 b9 d9
         00 08 00 14 a3 82 95 4e 4b e6 7b f1 17 84 c9 7c 82 92 c2 75 bf e3 ed 41
         80 28 00 04 c8 fb 0b 4c",
    );
    let message = Message::parse(&data).unwrap();
    assert_eq!(message.mapped_address(), Some("[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap()));
    assert_eq!(message.verify(&key()), Ok(()));
}

#[test]
fn built_message_reads_back_and_verifies() {
    let mut out = [0; 256];
    let len = Builder::new(&mut out, Class::Request, [9; 12])
        .and_then(|b| b.username("local:remote"))
        .and_then(|b| b.priority(77))
        .and_then(|b| b.controlling(5))
        .and_then(Builder::use_candidate)
        .and_then(|b| b.finish(&key()))
        .unwrap();
    let message = Message::parse(&out[..len]).unwrap();
    assert_eq!((message.class(), message.transaction()), (Class::Request, [9; 12]));
    assert_eq!((message.username(), message.priority()), (Some(&b"local:remote"[..]), Some(77)));
    assert!(message.is_nominating() && !message.is_from_controlled());
    assert_eq!(message.verify(&key()), Ok(()));
    assert_eq!(local_ufrag(&out[..len]), Some("local"));
}

#[test]
fn built_addresses_read_back() {
    for address in ["192.0.2.1:32853", "0.0.0.0:0", "[2001:db8::1]:65535", "[::]:8466"] {
        let address = address.parse().unwrap();
        let mut out = [0; 128];
        let builder = Builder::new(&mut out, Class::Success, [3; 12]).unwrap().mapped_address(address).unwrap();
        let len = builder.finish(&key()).unwrap();
        assert_eq!(Message::parse(&out[..len]).unwrap().mapped_address(), Some(address));
    }
}

#[test]
fn built_errors_read_back() {
    for code in [
        ErrorCode::BAD_REQUEST,
        ErrorCode::UNAUTHENTICATED,
        ErrorCode::UNKNOWN_ATTRIBUTE,
        ErrorCode::ROLE_CONFLICT,
        ErrorCode(500),
    ] {
        let mut out = [0; 128];
        let builder = Builder::new(&mut out, Class::Error, [3; 12]).unwrap().error(code).unwrap();
        let len = builder.unknown_attributes(&[1, 2, 3]).unwrap().finish(&key()).unwrap();
        let message = Message::parse(&out[..len]).unwrap();
        assert_eq!((message.class(), message.error()), (Class::Error, Some(code)));
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let sound = sample_request();
    // The header of FINGERPRINT itself may change: nothing vouches for it, and nothing depends on it.
    let fingerprint = sound.len() - FINGERPRINT_ATTRIBUTE_BYTES;
    for at in (0..fingerprint).chain(fingerprint + 4..sound.len()) {
        let mut data = sound.clone();
        data[at] ^= 0x04;
        let judged = Message::parse(&data).and_then(|message| message.verify(&key()));
        assert!(judged.is_err(), "byte {at}");
    }
}

#[test]
fn every_class_and_method_has_its_own_type() {
    for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
        for method in 0..0x1000 {
            assert_eq!(Class::of(class.with_method(method)), (class, method));
        }
    }
    assert_eq!(Class::Error.with_method(BINDING), 0x0111);
}

#[test]
fn malformed_messages_are_dropped() {
    let sound = sample_request();
    let malformed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut data = sound.clone();
        change(&mut data);
        assert_eq!(Message::parse(&data).err(), Some(DropReason::StunMalformed));
    };
    malformed(&|data| data.truncate(19));
    malformed(&|data| data.truncate(60));
    malformed(&|data| data.push(0));
    malformed(&|data| data[0] |= 0x80);
    malformed(&|data| data[4] = 0);
    malformed(&|data| data[23] = 0xff);
    malformed(&|data| {
        data.truncate(20);
        data.extend([0x80, 0x50, 0, 0].repeat(MAX_ATTRIBUTES + 1));
        set_length(data);
    });
}

#[test]
fn attributes_behind_the_integrity_do_not_count() {
    let mut out = [0; 256];
    let len = Builder::new(&mut out, Class::Request, [9; 12])
        .and_then(|b| b.username("local:remote"))
        .and_then(|b| b.finish(&key()))
        .unwrap();
    // Put USE-CANDIDATE in place of the fingerprint, where nothing authenticates it.
    let mut data = out[..len - 8].to_vec();
    data.extend([0, 0x25, 0, 0]);
    set_length(&mut data);
    let message = Message::parse(&data).unwrap();
    assert_eq!(message.verify(&key()), Ok(()));
    assert!(!message.is_nominating());
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_message_or_a_drop(
        data in prop::collection::vec(any::<u8>(), 0..200), is_framed: bool
    ) {
        let mut data = data;
        if is_framed && data.len() >= 20 {
            data[0] &= 0x3f;
            set_length(&mut data);
            data[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        }
        let _ = local_ufrag(&data);
        if let Ok(message) = Message::parse(&data) {
            prop_assert_eq!(message.verify(&key()), Err(DropReason::StunIntegrity));
            let _ = (message.mapped_address(), message.unknown());
        }
    }

    #[test]
    fn mutated_messages_end_in_a_message_or_a_drop(
        changes in prop::collection::vec((0_usize..108, any::<u8>()), 0..6), cut in 0_usize..108
    ) {
        let mut data = sample_request();
        for (at, value) in changes {
            data[at] = value;
        }
        data.truncate(108 - cut);
        let _ = local_ufrag(&data);
        let _ = Message::parse(&data).map(|message| message.verify(&key()));
    }
}
