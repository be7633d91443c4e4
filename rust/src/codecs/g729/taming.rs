//! Taming: an estimate of how far a mistaken excitation could grow through the adaptive codebook, kept below a limit.
//!
//! Clause 3.9.2, end ("taming procedure"); the estimate is kept for four zones of past excitation.

use super::L_SUBFR;
use super::adaptive_codebook::{L_INTER10, Lag};
use super::operators::{Dpf, l_shl};
use super::tables::TAB_ZONE;

/// One, in Q14.
const ONE: i32 = 0x4000;
/// 60,000 in Q14.
const L_THRESH_ERR: i32 = 983_040_000;
/// Greatest pitch gain while tamed: 0.95, Q14.
pub(super) const GPCLIP: i16 = 15_564;

#[derive(Debug, Clone)]
pub(super) struct Taming {
    error: [i32; 4],
}

impl Taming {
    pub(super) fn new() -> Self {
        Self { error: [ONE; 4] }
    }

    /// `test_err`: whether the gain of this lag must be limited.
    pub(super) fn is_needed(&self, lag: Lag) -> bool {
        let whole = lag.whole + usize::from(lag.thirds > 0);
        let zone1 = usize::from(TAB_ZONE[whole.saturating_sub(L_SUBFR + L_INTER10)]);
        let zone2 = usize::from(TAB_ZONE[whole + L_INTER10 - 2]);
        self.error[zone1..=zone2].iter().any(|&error| error > L_THRESH_ERR)
    }

    /// `update_exc_err`. `gain`: of the adaptive codebook, Q14; `lag`: whole.
    pub(super) fn update(&mut self, gain: i16, lag: usize) {
        let grown = |error: i32| l_shl(Dpf::extract(error).mpy_32_16(gain), 1).saturating_add(ONE);
        let worst = if lag < L_SUBFR {
            let once = grown(self.error[0]);
            once.max(grown(once))
        } else {
            let zone1 = usize::from(TAB_ZONE[lag - L_SUBFR]);
            let zone2 = usize::from(TAB_ZONE[lag - 1]);
            self.error[zone1..=zone2].iter().map(|&error| grown(error)).fold(-1, i32::max)
        };
        self.error.rotate_right(1);
        self.error[0] = worst.max(-1);
    }
}
