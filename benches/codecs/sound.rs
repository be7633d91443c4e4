//! Speech-like sound at any rate: pulses of a moving pitch through three resonances that move, hiss, and pauses.

use trunkline_media::dsp::to_i16;

/// `seconds` of it.
pub(crate) fn speech(sample_rate_hz: u32, seconds: usize) -> Vec<i16> {
    let rate = f64::from(sample_rate_hz);
    let mut seed = 1_u32;
    let mut noise = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(seed >> 16) / 32_768.0 - 1.0
    };
    let mut filters = [[0.0_f64; 2]; 3];
    let mut phase = 0.0;
    let samples = u32::try_from(seconds).unwrap() * sample_rate_hz;
    let sample = |n: u32| {
        let at = f64::from(n) / rate;
        let turn = std::f64::consts::TAU;
        phase += (120.0 + 30.0 * (turn * 0.7 * at).sin() + 10.0 * (turn * 3.1 * at).sin()) / rate;
        let is_pulse = phase >= 1.0;
        phase -= phase.floor();
        // Syllables, a pause of a quarter of each two seconds, and a hiss in place of the voice now and then.
        let syllable = (turn * 2.0 * at).sin().abs();
        let loudness = if at % 2.0 > 1.5 { 0.01 } else { 0.2 + 0.8 * syllable };
        let is_hiss = at % 0.5 > 0.42;
        let pulse = if is_pulse { (rate / 120.0).sqrt() } else { 0.0 };
        let source = loudness * if is_hiss { 0.25 * noise() } else { pulse + 0.02 * noise() };
        let formants = [
            (500.0 + 250.0 * (turn * 2.3 * at).sin(), 80.0),
            (1_500.0 + 500.0 * (turn * 1.7 * at).cos(), 120.0),
            (2_600.0 + 300.0 * (turn * 1.1 * at).sin(), 200.0),
        ];
        let voice: f64 = formants
            .iter()
            .zip(&mut filters)
            .map(|((hz, width_hz), past)| {
                let radius = (-std::f64::consts::PI * width_hz / rate).exp();
                let next = source * (1.0 - radius) + 2.0 * radius * (turn * hz / rate).cos() * past[0]
                    - radius * radius * past[1];
                *past = [next, past[0]];
                next
            })
            .sum();
        to_i16(voice * 9_000.0)
    };
    (0..samples).map(sample).collect()
}
