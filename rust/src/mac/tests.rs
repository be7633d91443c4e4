//! Vectors of RFC 2202, and every backend against the `hmac` crate.

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha1::Sha1;

use super::compress::single;
use super::*;

fn reference(key: &[u8], data: &[u8]) -> [u8; CODE_BYTES] {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().into()
}

fn code(backend: Backend, key: &[u8], body: &[u8]) -> [u8; CODE_BYTES] {
    let mut code = [0; CODE_BYTES];
    sign(backend, [Message { key: Key::new(key), body, suffix: None, code: &mut code }]);
    code
}

#[test]
fn test_rfc2202_hmac_sha1() {
    let counting: Vec<u8> = (1..=25).collect();
    let cases: [(&[u8], &[u8], u128, u32); 7] = [
        (&[0x0b; 20], b"Hi There", 0xb617_3186_5505_7264_e28b_c0b6_fb37_8c8e, 0xf146_be00),
        (b"Jefe", b"what do ya want for nothing?", 0xeffc_df6a_e5eb_2fa2_d274_16d5_f184_df9c, 0x259a_7c79),
        (&[0xaa; 20], &[0xdd; 50], 0x125d_7342_b9ac_11cd_91a3_9af4_8aa1_7b4f, 0x63f1_75d3),
        (&counting, &[0xcd; 50], 0x4c90_07f4_0262_50c6_bc84_14f9_bf50_c86c, 0x2d72_35da),
        (&[0x0c; 20], b"Test With Truncation", 0x4c1a_0342_4b55_e07f_e7f2_7be1_d58b_b932, 0x4a9a_5a04),
        (
            &[0xaa; 80],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            0xaa4a_e5e1_5272_d00e_9570_5637_ce8a_3b55,
            0xed40_2112,
        ),
        (
            &[0xaa; 80],
            b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data",
            0xe8e9_9d0f_4523_7d78_6d6b_baa7_965c_7808,
            0xbbff_1a91,
        ),
    ];
    for (key, data, front, back) in cases {
        let expected = [&front.to_be_bytes()[..], &back.to_be_bytes()].concat();
        for backend in Backend::all() {
            assert_eq!(code(backend, key, data)[..], expected, "{backend:?}");
        }
    }
}

#[test]
fn the_fastest_backend_is_chosen() {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("sha") {
        assert_eq!(Backend::detect(), Backend::ShaNi);
    }
    assert!(Backend::all().any(|backend| backend == Backend::Single));
}

#[test]
fn debug_output_holds_no_key() {
    assert_eq!(format!("{:?}", Key::new(&[1; 20])), "Key { .. }");
}

proptest! {
    /// The fast backends and their safe twin.
    #[test]
    fn every_backend_compresses_alike(
        states in prop::collection::vec(any::<[u32; 5]>(), 0..20), seed in prop::collection::vec(any::<u8>(), 64)
    ) {
        let blocks: Vec<[u8; 64]> = (0..20_u8)
            .map(|lane| std::array::from_fn(|at| seed[at].wrapping_mul(lane | 1).wrapping_add(lane)))
            .collect();
        let blocks: Vec<&Block> = blocks.iter().take(states.len()).collect();
        let mut expected = states.clone();
        single(&mut expected, &blocks);
        for backend in Backend::all() {
            let mut compressed = states.clone();
            backend.compress(&mut compressed, &blocks);
            prop_assert_eq!(&compressed, &expected, "{:?}", backend);
        }
    }

    /// Messages of all lengths side by side, each under its own key, with and without suffix, codes cut as one likes.
    #[test]
    fn each_message_has_the_code_that_it_has_alone(
        messages in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..300), any::<[u8; 20]>(), any::<Option<[u8; 4]>>(), 0..=CODE_BYTES),
            0..30,
        )
    ) {
        for backend in Backend::all() {
            let mut codes = vec![[0; CODE_BYTES]; messages.len()];
            sign(backend, messages.iter().zip(&mut codes).map(|((body, key, suffix, length), code)| {
                Message { key: Key::new(key), body, suffix: *suffix, code: &mut code[..*length] }
            }));
            for ((body, key, suffix, length), code) in messages.iter().zip(codes) {
                let data = [&body[..], suffix.as_ref().map_or(&[][..], |suffix| suffix)].concat();
                prop_assert_eq!(&code[..*length], &reference(key, &data)[..*length]);
                prop_assert!(code[*length..].iter().all(|byte| *byte == 0));
            }
        }
    }
}
