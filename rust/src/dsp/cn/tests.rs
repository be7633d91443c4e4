use proptest::prelude::*;

use super::*;
use crate::dsp::testing::{level_dbm0, tone_level_dbm0};
use crate::dsp::tone::Oscillator;

fn noise(description: &Description, samples: usize) -> Vec<i16> {
    let mut generator = Generator::new(1);
    generator.set(description);
    let mut pcm = vec![0; samples + 4_000];
    generator.fill(&mut pcm);
    pcm.split_off(4_000)
}

/// Level of a band in dBm0, by tones that probe it.
fn band_dbm0(pcm: &[i16], from_hz: u32, to_hz: u32) -> f64 {
    let probes = (from_hz..to_hz).step_by(20).map(|hz| tone_level_dbm0(pcm, f64::from(hz), 8_000));
    let power: f64 = probes.map(|level| 10_f64.powf(level / 10.0)).sum();
    10.0 * power.log10()
}

#[test]
fn makes_noise_of_the_level_that_the_packet_names() {
    for below_overload_db in [30, 45, 60] {
        let description = Description::parse(&[below_overload_db]).unwrap();
        let mut generator = Generator::new(1);
        generator.set(&description);
        let made = level_dbm0(&noise(&description, 12_000));
        assert!((made - generator.level_dbm0()).abs() < 1.0, "{made} dBm0 for -{below_overload_db} dBov");
        // 0 dBov is 3.01 dB above a full-scale sine, which is +3.14 dBm0.
        assert!((made - (6.15 - f64::from(below_overload_db))).abs() < 1.0);
    }
}

#[test]
fn makes_noise_of_the_colour_that_the_packet_names() {
    // A(z) = 1 - 0.9 z^-1: low frequencies; and its mirror image.
    for (index, is_low) in [(13, true), (241, false)] {
        let pcm = noise(&Description::parse(&[40, index]).unwrap(), 16_000);
        let (low, high) = (band_dbm0(&pcm, 100, 1_000), band_dbm0(&pcm, 3_000, 3_900));
        assert!(if is_low { low > high + 10.0 } else { high > low + 10.0 }, "{low} dBm0 low, {high} dBm0 high");
        assert!((level_dbm0(&pcm) - (6.15 - 40.0)).abs() < 1.0, "the level stays: {}", level_dbm0(&pcm));
    }
}

#[test]
fn is_silent_before_the_first_packet_and_at_level_127() {
    let mut generator = Generator::new(1);
    let mut pcm = vec![1; 160];
    generator.fill(&mut pcm);
    assert!(pcm.iter().all(|&sample| sample == 0));
    generator.set(&Description::parse(&[127, 13, 200]).unwrap());
    generator.fill(&mut pcm);
    assert!(pcm.iter().all(|&sample| sample == 0));
}

#[test]
fn reads_the_level_and_ignores_what_is_reserved() {
    assert_eq!(Description::parse(&[0xc5, 127, 255]), Some(Description::white(0x45)));
    assert_eq!(Description::parse(&[]), None);
}

#[test]
fn a_description_of_noise_is_what_the_noise_was_made_of() {
    for payload in [&[50, 13][..], &[35, 60, 180, 100], &[60]] {
        let described = Description::parse(payload).unwrap();
        let mut describer = Describer::default();
        for frame in noise(&described, 16_000).chunks(160) {
            describer.hear(frame);
        }
        let mut written = [0; Description::MAX_BYTES];
        let length = describer.describe().write(&mut written).unwrap();
        assert!(written[0].abs_diff(payload[0]) <= 1, "{written:?} for {payload:?}");
        for (place, &index) in payload.iter().enumerate().skip(1) {
            assert!(written[..length][place].abs_diff(index) <= 16, "{written:?} for {payload:?}");
        }
    }
}

#[test]
fn silence_and_a_pure_tone_have_descriptions_too() {
    let mut describer = Describer::default();
    assert_eq!(describer.describe(), Description::white(127));
    describer.hear(&[0; 160]);
    assert_eq!(describer.describe(), Description::white(127));
    let mut pcm = [0; 160];
    Oscillator::new(&[1_000.0], -40.0, 8_000).fill(&mut pcm);
    for _ in 0..20 {
        describer.hear(&pcm);
    }
    let level = level_dbm0(&noise(&describer.describe(), 16_000));
    assert!((level - -40.0).abs() < 2.0, "{level} dBm0");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_packet_makes_noise_louder_than_speech(payload in prop::collection::vec(any::<u8>(), 1..40)) {
        let description = Description::parse(&payload).unwrap();
        let pcm = noise(&description, 8_000);
        prop_assert!(level_dbm0(&pcm) < -15.0, "{} dBm0", level_dbm0(&pcm));
        let mut written = [0; 40];
        if let Some(length) = description.write(&mut written) {
            prop_assert_eq!(Description::parse(&written[..length]), Some(description));
        }
    }

    #[test]
    fn any_frames_have_a_description(frames in prop::collection::vec(prop::collection::vec(any::<i16>(), 0..500), 0..5)) {
        let mut describer = Describer::default();
        for frame in &frames {
            describer.hear(frame);
        }
        let mut written = [0; Description::MAX_BYTES];
        prop_assert!(describer.describe().write(&mut written).is_some());
    }
}
