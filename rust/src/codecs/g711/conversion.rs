//! From one law to the other, byte by byte, by tables 3 and 4 of the Recommendation.
//!
//! A byte becomes that of the level nearest to it in dBm0, but for two: so that a conversion there and back changes no more
//! than the last bit, mu-law's 80 becomes A-law's 81 and A-law's 80 mu-law's 79 (note 3 to the tables). ITU-T G.711.

use super::Law;

/// Table 3: A-law's decoder output value numbers (1 to 128), by mu-law's (0 to 127). Signs go over as they are.
#[rustfmt::skip]
const TABLE_3: [u8; 128] = [
    1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8,
    9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
    25, 27, 29, 31, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44,
    46, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
    64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79,
    81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96,
    97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112,
    113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128,
];

/// Table 4: mu-law's decoder output value numbers, by A-law's from 1 on.
#[rustfmt::skip]
const TABLE_4: [u8; 128] = [
    1, 3, 5, 7, 9, 11, 13, 15, 16, 17, 18, 19, 20, 21, 22, 23,
    24, 25, 26, 27, 28, 29, 30, 31, 32, 32, 33, 33, 34, 34, 35, 35,
    36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 48, 49, 49,
    50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 64,
    65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 79,
    80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95,
    96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111,
    112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127,
];

/// The bits of a positive byte that differ from its number: from 0 in mu-law, from 1 in A-law.
const ULAW_ZERO: u8 = Law::Ulaw.silence();
const ALAW_ONE: u8 = Law::Alaw.silence();
const SIGN: u8 = 0x80;

/// The table of all bytes of a law, negative ones among them.
const fn whole(from: Law) -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte: usize = 0;
    while byte < table.len() {
        let [low, ..] = byte.to_le_bytes();
        let sign = low & SIGN;
        table[byte] = sign
            | match from {
                Law::Ulaw => ((TABLE_3[((low ^ ULAW_ZERO) & !SIGN) as usize] - 1) ^ ALAW_ONE) & !SIGN,
                Law::Alaw => (TABLE_4[((low ^ ALAW_ONE) & !SIGN) as usize] ^ ULAW_ZERO) & !SIGN,
            };
        byte += 1;
    }
    table
}

static ALAW_TO_ULAW: [u8; 256] = whole(Law::Alaw);
static ULAW_TO_ALAW: [u8; 256] = whole(Law::Ulaw);

/// The mu-law byte for an A-law byte.   Table 4.
#[must_use]
pub fn alaw_to_ulaw(byte: u8) -> u8 {
    ALAW_TO_ULAW[usize::from(byte)]
}

/// The A-law byte for a mu-law byte.   Table 3.
#[must_use]
pub fn ulaw_to_alaw(byte: u8) -> u8 {
    ULAW_TO_ALAW[usize::from(byte)]
}

impl Law {
    /// Writes `payload`, of this law, into the front of `converted` in the [other](Law::other) one. None if it does not fit.
    pub fn convert<'a>(self, payload: &[u8], converted: &'a mut [u8]) -> Option<&'a [u8]> {
        let converted = converted.get_mut(..payload.len())?;
        let table = match self {
            Self::Alaw => &ALAW_TO_ULAW,
            Self::Ulaw => &ULAW_TO_ALAW,
        };
        for (to, &from) in converted.iter_mut().zip(payload) {
            *to = table[usize::from(from)];
        }
        Some(converted)
    }
}
