//! Seeded inputs for one group. The same seed gives the same bytes on every machine and with any number of threads.
//!
//! Elements are uniform over all 16 codes. Scales cover the whole UE4M3 range, subnormals, 0 and 448 included, which
//! takes care: if both operands drew freely, f16 would overflow. So each scale column gets an exponent for A and one
//! for B whose sum hardly varies: where A's scales are huge, B's are tiny. A kernel that takes a scale from the wrong
//! column multiplies huge by huge, and is far off.
//!
//! The output cannot overflow, by construction. With `x` and `y` the exponents of a column, its scales are below
//! 2^(x+1) and 2^(y+1), and sixteen products of elements sum to at most 576; so the magnitude of every (running) sum
//! is at most the sum over columns of 576 * 2^(x+y+2), which `column_codes` keeps within 65,504.
//!
//! The padding of the blocked scales is NaN, in both codes: a kernel that lets padding reach a stored element stores
//! NaN.

use crate::numerics::reference::Operand;
use crate::numerics::{BLOCK, NumericsError, check_depth, e4m3, scales};
use crate::problem::Group;
use rayon::prelude::*;

/// What kind of data to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// All codes everywhere: terms cancel.
    FullRange,
    /// All codes, but A and B have the same sign at every k: all products are positive or zero, nothing cancels.
    NoCancellation,
}

/// The operands of one group, as a kernel's caller hands them over, and with scales in plain form as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInputs {
    /// A: [M, K/2] bytes, two E2M1 codes each.
    pub a: Vec<u8>,
    /// B: [N, K/2] bytes, two E2M1 codes each.
    pub b: Vec<u8>,
    /// Scales of A in plain form: [M, K/16].
    pub sfa: Vec<u8>,
    /// Scales of B in plain form: [N, K/16].
    pub sfb: Vec<u8>,
    /// Scales of A in blocked form.
    pub sfa_blocked: Vec<u8>,
    /// Scales of B in blocked form.
    pub sfb_blocked: Vec<u8>,
}

impl GroupInputs {
    /// Both operands as the reference takes them.
    ///
    /// # Errors
    /// If a buffer does not fit the sizes, or a scale has its sign bit set.
    pub fn operands(&self, group: &Group) -> Result<(Operand<'_>, Operand<'_>), NumericsError> {
        let [m, n, k] = [group.m, group.n, group.k].map(|size| size as usize);
        Ok((
            Operand::new(m, k, &self.a, &self.sfa)?,
            Operand::new(n, k, &self.b, &self.sfb)?,
        ))
    }
}

/// Draws the inputs of group number `index` of a set.
///
/// # Errors
/// If K is out of the range of the reference; no [`crate::problem::ShapeFile`] has such a group.
pub fn group(
    group: &Group,
    index: usize,
    seed: u64,
    data: Data,
) -> Result<GroupInputs, NumericsError> {
    let [m, n, k] = [group.m, group.n, group.k].map(|size| size as usize);
    check_depth(k)?;
    let columns = k / BLOCK;
    let source = Source {
        seed,
        group: index as u64,
    };
    let signs = source.signs(k, data);
    let codes = column_codes(columns, &mut source.stream(Part::Columns, 0));
    let (for_a, for_b): (Vec<Codes>, Vec<Codes>) = codes.into_iter().unzip();
    let sfa = source.scales(Part::ScalesA, m, &for_a);
    let sfb = source.scales(Part::ScalesB, n, &for_b);
    let inputs = GroupInputs {
        a: source.elements(Part::A, m, k, signs.as_deref()),
        b: source.elements(Part::B, n, k, signs.as_deref()),
        sfa_blocked: scales::to_blocked(&sfa, m, columns, nan_padding)?,
        sfb_blocked: scales::to_blocked(&sfb, n, columns, nan_padding)?,
        sfa,
        sfb,
    };
    Ok(inputs)
}

/// Both codes of NaN, in turn.
fn nan_padding(offset: usize) -> u8 {
    if offset.is_multiple_of(2) { 0x7F } else { 0xFF }
}

/// The largest exponent of a UE4M3 value, that of 448.
const TOP: i32 = 8;
/// The exponent of the smallest subnormal, 2^-9.
const BOTTOM: i32 = -9;
/// 65,504, the largest f16, over 576, the largest sum of sixteen products of elements.
const BUDGET: f64 = 65_504.0 / 576.0;

/// The codes, from first to last, that a column of scales draws from.
type Codes = (u8, u8);

/// The codes that A's and B's scales draw from in each column.
///
/// In two columns the largest scales of one operand, up to 448, meet the smallest subnormal of the other. They take
/// 2 * 448 * 2^-9 < 4 of the budget. All other columns share the rest evenly: their exponents add up to the same
/// `sum`, their scales are below 2^(x+1) and 2^(sum-x+1).
fn column_codes(columns: usize, random: &mut Random) -> Vec<(Codes, Codes)> {
    let others = columns.saturating_sub(2).max(1);
    let sum = ((BUDGET - 4.0) / others as f64).log2().floor() as i32 - 2;
    let (low, high) = ((sum - TOP).max(BOTTOM), (sum - BOTTOM).min(TOP));
    let mut codes: Vec<_> = (0..columns)
        .map(|_| {
            let x = low + random.below((high - low + 1) as u64) as i32;
            (codes_around(x), codes_around(sum - x))
        })
        .collect();
    if columns >= 2 {
        let extremes = (codes_from((high + 1).min(TOP - 1)), codes_around(BOTTOM));
        let first = random.below(columns as u64) as usize;
        let distance = 1 + random.below(columns as u64 - 1) as usize;
        codes[first] = extremes;
        codes[(first + distance) % columns] = (extremes.1, extremes.0);
    }
    codes
}

/// The codes of all values from 2^(exponent - 1) to below 2^(exponent + 1), zero and NaN excluded.
fn codes_around(exponent: i32) -> Codes {
    let last = first_code(exponent + 1) - 1;
    (first_code(exponent - 1), last.min(e4m3::MAX_CODE))
}

/// The codes of all finite values from 2^exponent up.
fn codes_from(exponent: i32) -> Codes {
    (first_code(exponent), e4m3::MAX_CODE)
}

/// The code of 2^exponent, or of the smallest value if that is larger. For exponents up to 9, which would be 512.
fn first_code(exponent: i32) -> u8 {
    match exponent {
        ..BOTTOM => 1,
        BOTTOM..-6 => 1 << (exponent - BOTTOM),
        _ => (exponent as u8).wrapping_add(7) << 3,
    }
}

/// What a stream of random numbers is for: each row of each has a stream of its own.
#[derive(Clone, Copy)]
enum Part {
    A,
    B,
    ScalesA,
    ScalesB,
    Columns,
    Signs,
}

struct Source {
    seed: u64,
    group: u64,
}

impl Source {
    fn stream(&self, part: Part, row: usize) -> Random {
        let words = [self.group, part as u64, row as u64];
        Random(
            words
                .iter()
                .fold(self.seed, |state, word| Random(state ^ word).next()),
        )
    }

    /// The sign bits that A and B share at every k, as packed codes; `None` if they are to differ.
    fn signs(&self, k: usize, data: Data) -> Option<Vec<u8>> {
        let mut random = self.stream(Part::Signs, 0);
        let shared = || (0..k / 2).map(|_| random.next() as u8 & 0x88).collect();
        (data == Data::NoCancellation).then(shared)
    }

    fn elements(&self, part: Part, rows: usize, k: usize, signs: Option<&[u8]>) -> Vec<u8> {
        let mut packed = vec![0; rows * k / 2];
        packed
            .par_chunks_mut(k / 2)
            .enumerate()
            .for_each(|(row, bytes)| {
                let mut random = self.stream(part, row);
                for chunk in bytes.chunks_mut(8) {
                    chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
                }
                for (byte, sign) in bytes.iter_mut().zip(signs.unwrap_or_default()) {
                    *byte = (*byte & 0x77) | sign;
                }
            });
        packed
    }

    fn scales(&self, part: Part, rows: usize, columns: &[Codes]) -> Vec<u8> {
        let mut plain = vec![0; rows * columns.len()];
        plain
            .par_chunks_mut(columns.len())
            .enumerate()
            .for_each(|(row, codes)| {
                let mut random = self.stream(part, row);
                for (code, &(first, last)) in codes.iter_mut().zip(columns) {
                    let zero = random.below(32) == 0;
                    let drawn = first + random.below(u64::from(last - first) + 1) as u8;
                    *code = if zero { 0 } else { drawn };
                }
            });
        plain
    }
}

/// SplitMix64: small, fast, and good enough to have no visible pattern.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, by its share of the 64-bit range.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::e2m1;

    const WIDE: Group = Group {
        m: 130,
        n: 264,
        k: 7168,
    };

    fn draw(k: u32, data: Data) -> GroupInputs {
        group(&Group { k, ..WIDE }, 3, 1, data).unwrap()
    }

    #[test]
    fn all_codes_and_the_whole_scale_range_occur() {
        let inputs = draw(WIDE.k, Data::FullRange);
        for packed in [&inputs.a, &inputs.b] {
            let seen: std::collections::BTreeSet<u8> = e2m1::unpack(packed).collect();
            assert_eq!(seen.len(), 16);
        }
        for plain in [&inputs.sfa, &inputs.sfb] {
            let mut seen = plain.clone();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen, (0..=e4m3::MAX_CODE).collect::<Vec<u8>>());
        }
    }

    /// The largest sum that any signs and elements could give under the drawn scales.
    #[test]
    fn no_sum_can_overflow_f16() {
        for k in [64, 128, 192, 2048, 7168, 1 << 18] {
            let small = Group { m: 9, n: 16, k };
            let inputs = group(&small, 0, u64::from(k), Data::FullRange).unwrap();
            let columns = k as usize / BLOCK;
            let largest = |plain: &[u8], column: usize| {
                plain
                    .iter()
                    .skip(column)
                    .step_by(columns)
                    .map(|&s| e4m3::decode(s))
                    .fold(0.0, f32::max)
            };
            let worst: f64 = (0..columns)
                .map(|c| {
                    576.0 * f64::from(largest(&inputs.sfa, c)) * f64::from(largest(&inputs.sfb, c))
                })
                .sum();
            assert!(worst <= 65_504.0, "K = {k}: {worst}");
            assert!(
                worst > 2_000.0,
                "K = {k}: {worst} leaves most of the range unused"
            );
        }
    }

    #[test]
    fn without_cancellation_every_product_is_positive_and_all_codes_occur() {
        let inputs = draw(320, Data::NoCancellation);
        let row = 320 / 2;
        for b in inputs.b.chunks(row) {
            for (x, y) in e2m1::unpack(&inputs.a[..row]).zip(e2m1::unpack(b)) {
                assert!(e2m1::decode(x) * e2m1::decode(y) >= 0.0);
            }
        }
        let seen: std::collections::BTreeSet<u8> = e2m1::unpack(&inputs.a).collect();
        assert_eq!(seen.len(), 16);
    }

    #[test]
    fn padding_is_nan_and_the_rest_is_the_plain_form() {
        let inputs = draw(192, Data::FullRange);
        assert_eq!(
            scales::to_plain(&inputs.sfa_blocked, 130, 12).unwrap(),
            inputs.sfa
        );
        let nans = |code| {
            inputs
                .sfa_blocked
                .iter()
                .filter(|&&byte| byte == code)
                .count()
        };
        assert_eq!(
            nans(0x7F) + nans(0xFF),
            inputs.sfa_blocked.len() - inputs.sfa.len()
        );
        assert!(nans(0x7F) > 0 && nans(0xFF) > 0);
        assert_eq!(inputs.sfa.iter().filter(|&&code| code >= 0x7F).count(), 0);
    }

    #[test]
    fn seeds_and_groups_draw_differently_and_each_the_same_again() {
        let small = Group { m: 3, n: 8, k: 64 };
        let of = |index, seed| group(&small, index, seed, Data::FullRange).unwrap();
        assert_eq!(of(0, 1), of(0, 1));
        assert_ne!(of(0, 1).a, of(1, 1).a);
        assert_ne!(of(0, 1).a, of(0, 2).a);
        assert_ne!(of(0, 1).a, of(0, 1).b[..96]);
    }

    #[test]
    fn code_ranges_by_exponent() {
        let values = |x| {
            let (first, last) = codes_around(x);
            (e4m3::decode(first), e4m3::decode(last))
        };
        assert_eq!(values(TOP), (128.0, 448.0));
        assert_eq!(values(0), (0.5, 1.875));
        assert_eq!(values(-6), (4.0 / 512.0, 15.0 / 512.0));
        assert_eq!(values(-7), (2.0 / 512.0, 7.0 / 512.0));
        assert_eq!(values(BOTTOM), (1.0 / 512.0, 1.0 / 512.0));
    }

    #[test]
    fn empty_groups_are_drawn_too() {
        let inputs = group(&Group { m: 0, n: 8, k: 64 }, 0, 0, Data::FullRange).unwrap();
        assert_eq!(
            (
                inputs.a.len(),
                inputs.sfa_blocked.len(),
                inputs.sfb_blocked.len()
            ),
            (0, 0, 512)
        );
    }
}
