//! Sample rate conversion: of streams, block by block with a known delay, and of whole recordings with none.
//!
//! Both are windowed-sinc filters evaluated at the rational positions of the new samples, their taps computed once for
//! each phase. [`Resampler`] runs on the packet path: it neither allocates nor branches on the signal. [`resample`] is
//! for files, and takes any rates.

mod design;
mod stream;
mod whole;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use design::{RATES_HZ, UnknownRate};
pub use stream::Resampler;
pub use whole::{Ends, resample};

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn sinc(x: f64) -> f64 {
    let turn = std::f64::consts::PI * x;
    if x == 0.0 { 1.0 } else { turn.sin() / turn }
}

#[expect(clippy::cast_precision_loss, reason = "filter lengths and phases are far below 2^52")]
fn as_float(number: usize) -> f64 {
    number as f64
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
