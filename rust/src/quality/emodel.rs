//! The E-model for narrow-band telephony.   ITU-T G.107 (06/2015).
//!
//! Symbols and their order are the Recommendation's. Telephones are those of its Table 2 (default values), since nobody
//! tells us theirs; what a gateway knows is the codec, the loss and the delay. Equations are named in brackets.

/// What a codec does to speech.   G.113 Appendix I.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impairment {
    /// Equipment impairment factor without loss.
    pub ie: f64,
    /// Packet-loss robustness factor.
    pub bpl: f64,
}

/// G.711 with concealment: Table I.4 (the receiver, ours or the far side's, is taken to conceal).
pub const G711: Impairment = Impairment { ie: 0.0, bpl: 25.1 };

/// L16 loses nothing of what G.711 leaves, and is concealed alike.
pub const L16: Impairment = G711;

/// G.729 with Annex A: Table I.4.
pub const G729A: Impairment = Impairment { ie: 11.0, bpl: 19.0 };

/// Opus has no entry in Appendix I. Taken as G.711 with concealment on the narrow-band scale: an estimate of ours, which
/// says nothing of the wider band.
pub const OPUS: Impairment = G711;

/// Speex has no entry in Appendix I; a CELP codec of like rate: an estimate of ours.
pub const SPEEX: Impairment = G729A;

/// G.722 is measured on the wide-band scale only (Appendix IV): the same estimate.
pub const G722: Impairment = G711;

/// One direction of a call, as far as a gateway knows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Path {
    /// Of the codec.
    pub impairment: Impairment,
    /// Packets lost and discarded, of those expected: 0 to 100.
    pub loss_percent: f64,
    /// Mean length of a run of losses, against that of random loss at the same rate; 1 is random.
    pub burst_ratio: f64,
    /// From mouth to ear.
    pub one_way_ms: f64,
}

// Table 2, default values.
const SLR: f64 = 8.0;
const RLR: f64 = 2.0;
const STMR: f64 = 15.0;
const LSTR: f64 = 18.0;
const DS: f64 = 3.0;
const TELR: f64 = 65.0;
const WEPL: f64 = 110.0;
const QDU: f64 = 1.0;
const NC: f64 = -70.0;
const NFOR: f64 = -64.0;
const PS: f64 = 35.0;
const PR: f64 = 35.0;

/// Delay below which nobody minds (mT), and how much users mind above it (sT).
const MT_MS: f64 = 100.0;
const ST: f64 = 1.0;

impl Path {
    /// The transmission rating R, 0 to 100.   [7-1], with the advantage factor A at 0.
    #[must_use]
    pub fn rating(&self) -> f64 {
        let no = noise();
        let ro = 15.0 - 1.5 * (SLR + no); // [7-2]
        let rating = ro - simultaneous(ro, no) - delayed(ro, no, self.one_way_ms.max(0.0)) - self.effective_equipment();
        rating.clamp(0.0, 100.0)
    }

    /// Ie-eff.   [7-29]
    fn effective_equipment(&self) -> f64 {
        let Impairment { ie, bpl } = self.impairment;
        let ppl = self.loss_percent.clamp(0.0, 100.0);
        ie + (95.0 - ie) * ppl / (ppl / self.burst_ratio.max(1.0) + bpl)
    }
}

/// Mean opinion score of a rating, 1 to 4.5.   Annex B, [B-4]
#[must_use]
pub fn mos(r: f64) -> f64 {
    if r >= 100.0 {
        return 4.5;
    }
    let r = r.max(0.0);
    // The cubic dips below 1 for ratings under 6.5.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0)
}

/// No: all circuit noise, at the 0 dBr point.   [7-3] to [7-7]
fn noise() -> f64 {
    let nos = PS - SLR - DS - 100.0 + 0.004 * (PS - (SLR + RLR) - DS - 14.0).powi(2);
    let pre = PR + 10.0 * (1.0 + power((10.0 - LSTR) / 10.0)).log10();
    let nor = RLR - 121.0 + pre + 0.008 * (pre - 35.0).powi(2);
    let nfo = NFOR + RLR;
    let sum: f64 = [NC, nos, nor, nfo].into_iter().map(|level| power(level / 10.0)).sum();
    10.0 * sum.log10()
}

/// Is: what comes with the voice.   [7-8] to [7-17]
fn simultaneous(ro: f64, no: f64) -> f64 {
    let xolr = SLR + RLR + 0.2 * (64.0 + no - RLR);
    let iolr = 20.0 * (norm(xolr / 8.0, 8.0) - xolr / 8.0);
    let q = 37.0 - 15.0 * QDU.log10();
    let g = 1.07 + 0.258 * q + 0.0602 * q * q;
    let y = (ro - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0;
    let z = 46.0 / 30.0 - g / 40.0;
    let iq = 15.0 * (1.0 + power(y) + power(z)).log10();
    iolr + sidetone(STMR) + iq
}

/// Ist.   [7-11], without the echo that talkers hear as sidetone: at -TELR it is far below.
fn sidetone(stmro: f64) -> f64 {
    12.0 * norm((stmro - 13.0) / 6.0, 8.0)
        - 28.0 * norm((stmro + 1.0) / 19.4, 35.0)
        - 13.0 * norm((stmro - 3.0) / 33.0, 13.0)
        + 29.0
}

/// Id: what comes late, for a mean one-way delay of `t` ms and a round trip of twice that.   [7-18] to [7-28]
fn delayed(ro: f64, no: f64, t: f64) -> f64 {
    let idte = if t < 1.0 {
        0.0
    } else {
        let terv = TELR - 40.0 * ((1.0 + t / 10.0) / (1.0 + t / 150.0)).log10() + 6.0 * (-0.3 * t * t).exp();
        let (roe, re) = (-1.5 * (no - RLR), 80.0 + 2.5 * (terv - 14.0));
        let half = (roe - re) / 2.0;
        (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-t).exp())
    };
    let half = (ro - 10.5 * (WEPL + 7.0) * (2.0 * t + 1.0).powf(-0.25)) / 2.0;
    let idle = half + (half * half + 169.0).sqrt();
    let idd = if t <= MT_MS {
        0.0
    } else {
        let x = (t / MT_MS).log2();
        25.0 * (norm(x, 6.0 * ST) - 3.0 * norm(x / 3.0, 6.0 * ST) + 2.0)
    };
    idte + idle + idd
}

fn power(exponent: f64) -> f64 {
    10.0_f64.powf(exponent)
}

/// (1 + x^n)^(1/n), which the Recommendation bends its curves with.
fn norm(x: f64, n: f64) -> f64 {
    (1.0 + x.powf(n)).powf(1.0 / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAN: Path = Path { impairment: G711, loss_percent: 0.0, burst_ratio: 1.0, one_way_ms: 0.0 };

    #[track_caller]
    fn assert_near(value: f64, expected: f64, tolerance: f64) {
        assert!((value - expected).abs() <= tolerance, "{value} is not {expected}");
    }

    /// G.107 clause 7.7: all parameters at their default values give R = 93.2; Annex B makes MOS 4.41 of it.
    #[test]
    fn default_values_give_the_rating_that_the_recommendation_names() {
        assert_near(CLEAN.rating(), 93.2, 0.05);
        assert_near(mos(CLEAN.rating()), 4.41, 0.005);
    }

    /// G.107 Annex B, Table B.1: the lower limits of the classes of users' satisfaction. Its second digit is rounded up.
    #[test]
    fn ratings_become_the_opinion_scores_of_table_b_1() {
        for (r, expected) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert_near(mos(r), expected, 0.01);
        }
        assert_near(mos(0.0), 1.0, 0.0);
        assert_near(mos(3.0), 1.0, 0.0);
        assert_near(mos(100.0), 4.5, 0.0);
    }

    /// G.113 Appendix I: impairments that were measured under random loss, which Ie-eff must come back to.
    #[test]
    fn equipment_impairment_under_loss_is_that_of_the_measured_table() {
        let g723_1 = Impairment { ie: 15.0, bpl: 16.1 };
        let measured = [
            (G729A, &[(0.0, 11.0), (1.0, 15.0), (2.0, 19.0), (4.0, 26.0), (8.0, 36.0), (16.0, 49.0)][..]),
            (g723_1, &[(0.0, 15.0), (1.0, 19.0), (2.0, 24.0), (8.0, 41.0), (16.0, 55.0)]),
            (G711, &[(0.0, 0.0), (2.0, 7.0)]),
        ];
        for (impairment, points) in measured {
            for &(loss_percent, expected) in points {
                let path = Path { impairment, loss_percent, ..CLEAN };
                assert_near(path.effective_equipment(), expected, 0.7);
            }
        }
    }

    #[test]
    fn losses_in_bursts_hurt_more_than_the_same_at_random() {
        let random = Path { loss_percent: 3.0, ..CLEAN };
        assert!(Path { burst_ratio: 2.0, ..random }.rating() < random.rating() - 0.5);
    }

    #[test]
    fn rating_falls_with_delay_and_loss_and_stays_within_its_scale() {
        let mut last = f64::INFINITY;
        for one_way_ms in [0.0, 50.0, 100.0, 150.0, 200.0, 300.0, 400.0, 600.0, 5_000.0] {
            let rating = Path { one_way_ms, ..CLEAN }.rating();
            assert!(rating < last && rating >= 0.0, "{one_way_ms} ms: {rating}");
            last = rating;
        }
        let hopeless = Path { loss_percent: 1e9, burst_ratio: f64::INFINITY, one_way_ms: 1e9, ..CLEAN };
        assert_near(hopeless.rating(), 0.0, 0.0);
    }
}
