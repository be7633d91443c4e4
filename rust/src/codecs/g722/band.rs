//! One band: a quantizer whose step follows the signal, and a predictor that follows its spectrum.
//!
//! Encoder and decoder run the same predictor over the same quantized differences and so stay alike. The functions in
//! capitals are the Recommendation's blocks (sections 6.2.1 and 6.2.2).

/// Coefficients of the part of the predictor that has zeros only.
const ZEROS: usize = 6;

/// 2,048 times the powers of 2^(1/32): what a logarithmic step size means (table ILB).
const ILB: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656, 2_714, 2_774, 2_834,
    2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520, 3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];

/// State of one band.
#[derive(Debug, Clone)]
pub(super) struct Band {
    /// Step size, and its logarithm.
    det: i16,
    nb: i16,
    /// What the next sample is expected to be; the share of the zeros in it.
    s: i16,
    sz: i16,
    /// Coefficients of the poles and of the zeros.
    a: [i16; 2],
    b: [i16; ZEROS],
    /// The newest quantized differences, partly and wholly reconstructed signals, newest first.
    d: [i16; ZEROS],
    p: [i16; 2],
    r: [i16; 2],
}

impl Band {
    /// As at the start of a stream.
    pub(super) const fn low() -> Self {
        Self::new(32)
    }

    /// As at the start of a stream.
    pub(super) const fn high() -> Self {
        Self::new(8)
    }

    const fn new(det: i16) -> Self {
        Self { det, nb: 0, s: 0, sz: 0, a: [0; 2], b: [0; ZEROS], d: [0; ZEROS], p: [0; 2], r: [0; 2] }
    }

    /// LOGSC and SCALE: the next step size. shift: by how much the band's scale is smaller than the table's.
    fn scale(&mut self, weight: i16, highest: i16, shift: i16) {
        self.nb = add(mult(self.nb, 32_512), weight).clamp(0, highest);
        let power = ILB[usize::from((self.nb >> 6).cast_unsigned() & 31)];
        let shift = shift - (self.nb >> 11);
        self.det = saturate((if shift < 0 { power << -shift } else { power >> shift }) << 2);
    }

    /// PARREC, RECONS, UPZERO, UPPOL, FILTEZ, FILTEP, PREDIC: takes a quantized difference.
    /// Returns the reconstructed sample.
    fn predict(&mut self, d: i16) -> i16 {
        let p = add(d, self.sz);
        let r = add(self.s, d);
        self.update_zeros(d);
        self.update_poles(p);
        self.sz = self.d.iter().zip(&self.b).rev().fold(0, |sum, (&d, &b)| add(sum, mult(add(d, d), b)));
        self.r = [r, self.r[0]];
        let poles = add(mult(self.a[0], add(r, r)), mult(self.a[1], add(self.r[1], self.r[1])));
        self.s = add(poles, self.sz);
        r
    }

    /// UPZERO: each coefficient moves towards the sign of what it has predicted.
    fn update_zeros(&mut self, d: i16) {
        let step = if d == 0 { 0 } else { 128 };
        for (b, &past) in self.b.iter_mut().zip(&self.d) {
            *b = add(if is_same_sign(d, past) { step } else { -step }, mult(*b, 32_640));
        }
        self.d.copy_within(..ZEROS - 1, 1);
        self.d[0] = d;
    }

    /// UPPOL2 and UPPOL1.
    fn update_poles(&mut self, p: i16) {
        let [a1, a2] = self.a;
        let same = [is_same_sign(p, self.p[0]), is_same_sign(p, self.p[1])];
        let four = saturate(i32::from(a1) << 2);
        let turn = if same[0] { saturate(-i32::from(four)) } else { four } >> 7;
        let a2 = add(add(turn, if same[1] { 128 } else { -128 }), mult(a2, 32_512)).clamp(-12_288, 12_288);
        // The poles stay within the circle; a2 is at most 12,288, so the limit is positive.
        let limit = 15_360 - a2;
        let a1 = add(if same[0] { 192 } else { -192 }, mult(a1, 32_640)).clamp(-limit, limit);
        self.a = [a1, a2];
        self.p = [p, self.p[0]];
    }
}

/// The lower band: six bits.
pub(super) mod low {
    use super::{Band, LIMITS, add, mult, sub};

    /// Decision levels (table Q6) and levels in the middle of 64 and of 16 intervals (OQ6, OQ4), times eight.
    const Q6: [i16; 30] = eightfold([
        0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023, 1_121, 1_219,
        1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
    ]);
    const OQ6: [i16; 31] = eightfold([
        0, 17, 54, 91, 130, 170, 211, 254, 300, 347, 396, 447, 501, 558, 618, 682, 750, 822, 899, 982, 1_072, 1_170,
        1_279, 1_399, 1_535, 1_689, 1_873, 2_088, 2_376, 2_738, 3_101,
    ]);
    const OQ4: [i16; 8] = eightfold([0, 150, 323, 530, 786, 1_121, 1_612, 2_557]);

    /// What an interval does to the logarithm of the step size (table WL).
    const WL: [i16; 8] = [-60, -30, 58, 172, 334, 538, 1_198, 3_042];

    /// Highest logarithm of the step size.
    const HIGHEST: i16 = 18_432;

    const fn eightfold<const N: usize>(mut table: [i16; N]) -> [i16; N] {
        let mut at = 0;
        while at < N {
            table[at] *= 8;
            at += 1;
        }
        table
    }

    /// SUBTRA, QUANTL and what follows the quantized difference. Returns the code.
    pub(in super::super) fn encode(band: &mut Band, x: i16) -> u8 {
        let code = quantize(sub(x, band.s), band.det);
        advance(band, code);
        code
    }

    /// Decodes a code of six bits.
    pub(in super::super) fn decode(band: &mut Band, code: u8) -> i16 {
        let fine = add(band.s, mult(band.det, level_64(code)));
        advance(band, code);
        fine.clamp(LIMITS.0, LIMITS.1)
    }

    /// QUANTL. Codes 0 to 3 are never sent, so that no byte is ever zero.
    fn quantize(difference: i16, det: i16) -> u8 {
        let magnitude = if difference < 0 { !difference } else { difference };
        let levels = Q6.iter().take_while(|&&level| mult(level, det) <= magnitude).count();
        // From 1 to 30: the first level is 0.
        let interval = u8::try_from(levels).unwrap_or(0);
        match (difference < 0, interval) {
            (true, ..=2) => 64 - interval,
            (true, _) => 34 - interval,
            (false, _) => 62 - interval,
        }
    }

    /// INVQAL and all that follows.
    fn advance(band: &mut Band, code: u8) {
        let (level, interval) = level_16(code >> 2);
        let d = mult(band.det, level);
        band.scale(WL[interval], HIGHEST, 8);
        band.predict(d);
    }

    /// Interval and signed level of a code's four high bits.
    fn level_16(code: u8) -> (i16, usize) {
        match usize::from(code & 15) {
            code @ (1..=7) => (-OQ4[8 - code], 8 - code),
            0 => (0, 0),
            code => (OQ4[15 - code], 15 - code),
        }
    }

    /// Signed level of a whole code.
    fn level_64(code: u8) -> i16 {
        match usize::from(code & 63) {
            code @ (4..=31) => -OQ6[34 - code],
            code @ (32..=61) => OQ6[62 - code],
            62 => -OQ6[2],
            _ => -OQ6[1],
        }
    }
}

/// The upper band: two bits.
pub(super) mod high {
    use super::{Band, LIMITS, mult, sub};

    /// Decision level (Q2), levels in the middle of the intervals (OQ2), both times eight, and table WH.
    const Q2: i16 = 564 * 8;
    const OQ2: [i16; 2] = [202 * 8, 926 * 8];
    const WH: [i16; 2] = [-214, 798];

    /// Highest logarithm of the step size.
    const HIGHEST: i16 = 22_528;

    /// SUBTRA, QUANTH and what follows the quantized difference. Returns the code.
    pub(in super::super) fn encode(band: &mut Band, x: i16) -> u8 {
        let difference = sub(x, band.s);
        let magnitude = if difference < 0 { !difference } else { difference };
        let is_outer = magnitude >= mult(Q2, band.det);
        let code = u8::from(!is_outer) | u8::from(difference >= 0) << 1;
        decode(band, code);
        code
    }

    /// Decodes a code of two bits.
    pub(in super::super) fn decode(band: &mut Band, code: u8) -> i16 {
        let outer = usize::from(code & 1 == 0);
        let level = if code & 2 == 0 { -OQ2[outer] } else { OQ2[outer] };
        let d = mult(level, band.det);
        band.scale(WH[outer], HIGHEST, 10);
        band.predict(d).clamp(LIMITS.0, LIMITS.1)
    }
}

/// LIMIT: a band has 15 bits.
pub(super) const LIMITS: (i16, i16) = (-16_384, 16_383);

fn is_same_sign(one: i16, other: i16) -> bool {
    (one < 0) == (other < 0)
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to the type's range")]
pub(super) fn saturate(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

fn add(a: i16, b: i16) -> i16 {
    a.saturating_add(b)
}

fn sub(a: i16, b: i16) -> i16 {
    a.saturating_sub(b)
}

/// The upper bits of a product, as of two fractions.
fn mult(a: i16, b: i16) -> i16 {
    saturate((i32::from(a) * i32::from(b)) >> 15)
}
