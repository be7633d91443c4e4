//! The search of the algebraic codebook: four pulses of either sign, each on a track of its own.
//!
//! Clause A.3.8, depth-first: two pulses at a time, the first of each pair among the two strongest places of its track.

use super::L_SUBFR;
use super::bitstream::Code;
use super::operators::{
    add, extract_h, extract_l, l_mac, mult, norm_l, round, saturated_energy, shl, sub, wide_energy,
};

/// Tracks of places five samples apart; the last pulse may stand on either of the last two.
const TRACKS: usize = 5;
/// Places on a track.
const NB_POS: usize = 8;

/// Correlations computed at a time.
const LANES: usize = 8;
/// Room for whole lanes from any place of a subframe on.
const PADDED: usize = L_SUBFR + LANES;

/// A value for each place of a track.
type Track<T> = [T; NB_POS];

/// `rr`: correlations of the impulse response with itself, for pulses with their signs.
struct Correlations {
    /// Of the pulses at `later` and `later - distance`, by these two; of one pulse with itself at distance 0.
    by_distance: [[i16; PADDED]; L_SUBFR],
}

impl Correlations {
    /// Of each pulse of a track with itself.
    fn energies(&self, track: usize) -> Track<i16> {
        let mut energies = [0; NB_POS];
        for (place, energy) in energies.iter_mut().enumerate() {
            *energy = self.by_distance[place * TRACKS + track][0];
        }
        energies
    }

    /// Of the pulse at a place of one track with each of another track.
    fn crossed(&self, track: usize, place: usize, other: usize) -> Track<i16> {
        let position = place * TRACKS + track;
        let mut crossed = [0; NB_POS];
        for (place, crossed) in crossed.iter_mut().enumerate() {
            let other = place * TRACKS + other;
            *crossed = self.by_distance[position.max(other)][position.abs_diff(other)];
        }
        crossed
    }
}

/// What the search found: places as track-wise indices, and the criterion as a fraction.
#[derive(Clone, Copy)]
struct Found {
    square: i16,
    energy: i16,
    places: [usize; 4],
}

impl Found {
    const NOTHING: Self = Self { square: -1, energy: 1, places: [0; 4] };

    /// Whether `square / energy` is greater than ours.   Equation 58.
    fn is_below(&self, square: i16, energy: i16) -> bool {
        // Neither square is -32,768, so the products fit and the operators would not saturate.
        i32::from(self.energy) * i32::from(square) > i32::from(self.square) * i32::from(energy)
    }
}

/// `Cor_h`, and the signs of `D4i40_17_fast`.   Equations 51, 56 and 57.
fn correlations(h: &[i16; L_SUBFR], is_negative: &[bool; L_SUBFR]) -> Correlations {
    let total = saturated_energy(0, h);
    let shift = if extract_h(total) > 32_000 { -1 } else { norm_l(total) >> 1 };
    // Zeros behind the response: what they add to sums is never looked at.
    let mut scaled = [0; PADDED];
    let mut signs = [0_i16; PADDED];
    for (at, (scaled, sign)) in scaled.iter_mut().zip(&mut signs).enumerate().take(L_SUBFR) {
        *scaled = shl(h[at], shift);
        *sign = -i16::from(is_negative[L_SUBFR - 1 - at]);
    }
    // Then no partial sum saturates; else an extreme filter takes the operators.
    let is_bounded = wide_energy(&scaled) < 1 << 30;
    let mut correlations = Correlations { by_distance: [[0; PADDED]; L_SUBFR] };
    // sums[d]: of h[n] h[n + d] up to n = m, the correlation of the places 39 - m - d and 39 - m.
    let mut sums = [0_i32; PADDED];
    for (m, row) in correlations.by_distance.iter_mut().rev().enumerate() {
        let first = scaled[m];
        for start in (0..L_SUBFR - m).step_by(LANES) {
            let (Some(sums), Some(row), Some(later), Some(signs_of_earlier)) = (
                sums[start..].first_chunk_mut::<LANES>(),
                row[start..].first_chunk_mut::<LANES>(),
                scaled[m + start..].first_chunk::<LANES>(),
                signs[m + start..].first_chunk::<LANES>(),
            ) else {
                break;
            };
            let mut upper = [0; LANES];
            if is_bounded {
                for lane in 0..LANES {
                    sums[lane] = sums[lane].wrapping_add(i32::from(first).wrapping_mul(i32::from(later[lane])));
                    upper[lane] = extract_l(sums[lane] >> 15);
                }
            } else {
                for lane in 0..LANES {
                    sums[lane] = l_mac(sums[lane], first, later[lane]);
                    upper[lane] = extract_h(sums[lane]);
                }
            }
            for lane in 0..LANES {
                // Times 32,767 or -32,768 as fractions.
                let same = upper[lane].max(-i16::MAX) - i16::from(upper[lane] > 0);
                let opposite = 0_i16.saturating_sub(upper[lane]);
                let is_opposite = signs[m] ^ signs_of_earlier[lane];
                row[lane] = (opposite & is_opposite) | (same & !is_opposite);
            }
        }
        row[0] = if is_bounded { extract_l(sums[0] >> 15) } else { extract_h(sums[0]) };
    }
    correlations
}

/// One order of tracks in which the pulses are looked for.
struct Search<'a> {
    rr: &'a Correlations,
    /// Magnitudes of the backward-filtered target, by track.
    dn: &'a [Track<i16>; TRACKS],
}

impl Search<'_> {
    /// Places on four tracks, in this order.
    fn run(&self, tracks: [usize; 4]) -> Found {
        let [first, second, third, fourth] = tracks;
        let (pair, sum) = self.first_pair(first, second);
        let [i, j, ..] = pair.places;
        let rr = self.rr;
        let (third_of_i, third_of_j) = (rr.crossed(first, i, third), rr.crossed(second, j, third));
        let (fourth_of_i, fourth_of_j) = (rr.crossed(first, i, fourth), rr.crossed(second, j, fourth));
        let (thirds, fourths) = (rr.energies(third), rr.energies(fourth));
        // The weights of the ten terms of the energy sum up to one, so that no sum leaves 32 bits.
        let mut with_fourth = [0_i16; NB_POS];
        for (k, with_fourth) in with_fourth.iter_mut().enumerate() {
            let crossed = i32::from(fourth_of_i[k]) + i32::from(fourth_of_j[k]);
            *with_fourth = round((crossed << 14) + (i32::from(fourths[k]) << 13));
        }
        let base = i32::from(pair.energy) << 14;
        let mut found = Found::NOTHING;
        for k in 0..NB_POS {
            let sum = add(sum, self.dn[third][k]);
            let crossed = i32::from(third_of_i[k]) + i32::from(third_of_j[k]);
            let base = base + (crossed << 13) + (i32::from(thirds[k]) << 12);
            let (squares, energies) =
                candidates(sum, &self.dn[fourth], base, &rr.crossed(third, k, fourth), 13, &with_fourth, 15);
            for l in 0..NB_POS {
                if found.is_below(squares[l], energies[l]) {
                    found = Found { square: squares[l], energy: energies[l], places: [i, j, k, l] };
                }
            }
        }
        found
    }

    /// Places on two tracks, of the first only the two strongest. Returns the sum of their magnitudes, too.
    fn first_pair(&self, a: usize, b: usize) -> (Found, i16) {
        let mut found = Found::NOTHING;
        let mut sum = 0;
        let strongest = strongest(&self.dn[a], None);
        let (firsts, seconds) = (self.rr.energies(a), self.rr.energies(b));
        for i in [strongest, self::strongest(&self.dn[a], Some(strongest))] {
            let base = i32::from(firsts[i]) << 14;
            let crossed = self.rr.crossed(a, i, b);
            let (squares, energies) = candidates(self.dn[a][i], &self.dn[b], base, &crossed, 15, &seconds, 14);
            for j in 0..NB_POS {
                if found.is_below(squares[j], energies[j]) {
                    found = Found { square: squares[j], energy: energies[j], places: [i, j, 0, 0] };
                    sum = add(self.dn[a][i], self.dn[b][j]);
                }
            }
        }
        (found, sum)
    }
}

/// Numerator and denominator of the criterion for every place of a track: the squares of `sum + dn`, and
/// `base + x 2^x_shift + y 2^y_shift`, rounded.
fn candidates(
    sum: i16,
    dn: &Track<i16>,
    base: i32,
    x: &Track<i16>,
    x_shift: u32,
    y: &Track<i16>,
    y_shift: u32,
) -> (Track<i16>, Track<i16>) {
    let (mut squares, mut energies) = ([0; NB_POS], [0; NB_POS]);
    for k in 0..NB_POS {
        let sum = add(sum, dn[k]);
        squares[k] = mult(sum, sum);
        let energy = base.wrapping_add(i32::from(x[k]) << x_shift).wrapping_add(i32::from(y[k]) << y_shift);
        energies[k] = extract_h(energy.wrapping_add(0x8000));
    }
    (squares, energies)
}

/// The place of the greatest value, the first of equals, but for one.
fn strongest(values: &Track<i16>, except: Option<usize>) -> usize {
    let mut best = (-1, 0);
    for (place, &value) in values.iter().enumerate() {
        if value > best.0 && except != Some(place) {
            best = (value, place);
        }
    }
    best.1
}

/// What the codebook gives to a subframe.
pub(super) struct Innovation {
    pub(super) code: Code,
    /// The pulses, +-1 in Q13.
    pub(super) pulses: [i16; L_SUBFR],
    /// The pulses through the weighted synthesis filter.
    pub(super) filtered: [i16; L_SUBFR],
}

/// `ACELP_Code_A` without pitch sharpening. `h`: impulse response; `dn`: the target filtered backwards through it.
pub(super) fn search(h: &[i16; L_SUBFR], dn: &[i16; L_SUBFR]) -> Innovation {
    let is_negative = dn.map(|value| value < 0);
    let mut magnitudes = [[0; NB_POS]; TRACKS];
    for (position, &value) in dn.iter().enumerate() {
        magnitudes[position % TRACKS][position / TRACKS] = value.saturating_abs();
    }
    let rr = correlations(h, &is_negative);
    let search = Search { rr: &rr, dn: &magnitudes };
    let mut best = Found::NOTHING;
    let mut positions = [0, 1, 2, 3];
    for last in [3, 4] {
        for tracks in [[2, last, 0, 1], [last, 0, 1, 2]] {
            let found = search.run(tracks);
            if best.is_below(found.square, found.energy) {
                best = found;
                for (track, place) in tracks.into_iter().zip(found.places) {
                    positions[track.min(3)] = place * TRACKS + track;
                }
            }
        }
    }
    innovation(h, positions, &is_negative)
}

/// The pulses at these positions, as code, signal and filtered signal.
fn innovation(h: &[i16; L_SUBFR], positions: [usize; 4], is_negative: &[bool; L_SUBFR]) -> Innovation {
    let mut pulses = [0; L_SUBFR];
    let mut filtered = [0; L_SUBFR];
    let mut signs = 0;
    for (track, &position) in positions.iter().enumerate() {
        let response = filtered[position..].iter_mut().zip(h);
        if is_negative[position] {
            pulses[position] = -8_192;
            response.for_each(|(sample, &h)| *sample = sub(*sample, h));
        } else {
            pulses[position] = 8_191;
            signs |= 1 << track;
            response.for_each(|(sample, &h)| *sample = add(*sample, h));
        }
    }
    let [p0, p1, p2, p3] = positions.map(|position| u16::try_from(position / TRACKS).unwrap_or(0));
    let last = p3 << 1 | u16::from(positions[3] % TRACKS == 4);
    Innovation { code: Code { positions: p0 | p1 << 3 | p2 << 6 | last << 9, signs }, pulses, filtered }
}
