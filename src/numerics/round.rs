//! One rounding, ties to even, from an exact sum to an output type.

use super::{UNIT, UNIT_EXPONENT};
use half::{bf16, f16};

/// A binary floating-point format, as far as rounding to it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloatFormat {
    /// Bits of the significand, the hidden one included.
    pub precision: u32,
    /// Exponent of the smallest normal number.
    pub min_exponent: i32,
    /// Exponent of the largest finite number.
    pub max_exponent: i32,
}

/// IEEE binary16.
pub const F16: FloatFormat = FloatFormat {
    precision: 11,
    min_exponent: -14,
    max_exponent: 15,
};

/// bfloat16.
pub const BF16: FloatFormat = FloatFormat {
    precision: 8,
    min_exponent: -126,
    max_exponent: 127,
};

/// IEEE binary32.
pub const F32: FloatFormat = FloatFormat {
    precision: 24,
    min_exponent: -126,
    max_exponent: 127,
};

impl FloatFormat {
    /// The distance between neighbours in the binade of `x`, without regard to overflow.
    pub fn ulp(self, x: f64) -> f64 {
        exp2(exponent_of(x).max(self.min_exponent) - (self.precision as i32 - 1))
    }

    /// The smallest magnitude that rounds to infinity: half an ulp above the largest finite number.
    pub fn overflow_threshold(self) -> f64 {
        exp2(self.max_exponent) * (2.0 - exp2(-(self.precision as i32)))
    }

    /// The exact sum `sum` * 2^-20, rounded once to this format, ties to even; infinite on overflow.
    ///
    /// The result is a value of the format, so narrowing the `f64` to it is exact.
    pub fn round(self, sum: i64) -> f64 {
        let rounded = round_integer(sum.unsigned_abs(), self.dropped_bits(sum)) as f64 * UNIT;
        let magnitude = if rounded >= self.overflow_threshold() {
            f64::INFINITY
        } else {
            rounded
        };
        if sum < 0 { -magnitude } else { magnitude }
    }

    /// How many low bits of `sum`'s magnitude this format has no room for.
    fn dropped_bits(self, sum: i64) -> u32 {
        let length = 64 - sum.unsigned_abs().leading_zeros();
        let subnormal = self.min_exponent - (self.precision as i32 - 1) - UNIT_EXPONENT;
        length
            .saturating_sub(self.precision)
            .max(subnormal.max(0) as u32)
    }
}

/// The exact sum rounded to f16.
pub fn to_f16(sum: i64) -> f16 {
    f16::from_f64(F16.round(sum))
}

/// The exact sum rounded to bf16.
pub fn to_bf16(sum: i64) -> bf16 {
    bf16::from_f64(BF16.round(sum))
}

/// The exact sum rounded to f32.
pub fn to_f32(sum: i64) -> f32 {
    F32.round(sum) as f32
}

/// `magnitude` rounded to a multiple of 2^`bits`, ties to even.
fn round_integer(magnitude: u64, bits: u32) -> u64 {
    if bits == 0 {
        return magnitude;
    }
    let (quotient, remainder) = (magnitude >> bits, magnitude & ((1 << bits) - 1));
    let half = 1 << (bits - 1);
    let up = remainder > half || (remainder == half && quotient & 1 == 1);
    (quotient + u64::from(up)) << bits
}

/// floor(log2(|x|)); far below any format's range for zero and subnormal `f64`s.
fn exponent_of(x: f64) -> i32 {
    ((x.to_bits() >> 52) & 0x7FF) as i32 - 1023
}

/// 2^`exponent`, exactly, for the range of normal `f64`s.
fn exp2(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i64 = 1 << 20;

    /// All finite f16 from 0 up that are multiples of the unit, as exact integers.
    fn f16_lattice() -> Vec<(u16, i64)> {
        let exact = |bits: u16| f16::from_bits(bits).to_f64() / UNIT;
        (0..0x7C00)
            .map(|bits| (bits, exact(bits)))
            .filter(|(_, x)| x.fract() == 0.0)
            .map(|(b, x)| (b, x as i64))
            .collect()
    }

    #[test]
    fn every_f16_on_the_lattice_is_itself() {
        for (bits, sum) in f16_lattice() {
            assert_eq!(to_f16(sum).to_bits(), bits);
            assert_eq!(to_f16(-sum).to_f64(), -f16::from_bits(bits).to_f64());
        }
    }

    #[test]
    fn between_f16_neighbours_the_nearer_wins_and_ties_go_to_even() {
        for pair in f16_lattice().windows(2) {
            let ((low_bits, low), (high_bits, high)) = (pair[0], pair[1]);
            if (high - low) % 2 != 0 {
                continue; // neighbours one unit apart have nothing between them
            }
            let middle = (low + high) / 2;
            let even = if low_bits % 2 == 0 {
                low_bits
            } else {
                high_bits
            };
            assert_eq!(to_f16(middle).to_bits(), even);
            if high - low > 2 {
                assert_eq!(to_f16(middle - 1).to_bits(), low_bits);
                assert_eq!(to_f16(middle + 1).to_bits(), high_bits);
            }
        }
    }

    #[test]
    fn f16_overflows_at_half_an_ulp_above_the_largest() {
        assert_eq!(F16.overflow_threshold(), 65520.0);
        assert_eq!(to_f16(65520 * ONE - 1), f16::MAX);
        assert_eq!(to_f16(65520 * ONE), f16::INFINITY);
        assert_eq!(to_f16(-65520 * ONE), f16::NEG_INFINITY);
        assert_eq!(to_f16(i64::MIN), f16::NEG_INFINITY);
    }

    /// A sum that rounds to a tie in f32 or f64 first would go the wrong way if it were rounded twice.
    #[test]
    fn no_double_rounding() {
        let tie = 32784 * ONE; // halfway between the f16 neighbours 32768 and 32800
        assert_eq!(to_f16(tie).to_f64(), 32768.0);
        assert_eq!(to_f16(tie + 1).to_f64(), 32800.0);
        assert_eq!(
            (((tie + 1) as f32) * UNIT as f32),
            32784.0,
            "f32 would have lost the odd unit"
        );
        let tie = (1 << 60) + (1 << 36); // halfway between f32 neighbours
        assert_eq!(to_f32(tie) as f64, (1u64 << 40) as f64);
        assert_eq!(to_f32(tie + 1) as f64, ((1u64 << 40) + (1 << 17)) as f64);
        assert_eq!(
            (tie + 1) as f64,
            tie as f64,
            "f64 would have lost the odd unit"
        );
    }

    #[test]
    fn bf16_and_f32_agree_with_the_library_where_it_rounds_once() {
        let mut sum: i64 = 1;
        for step in 0..200_000i64 {
            sum = (sum.wrapping_mul(6364136223846793005).wrapping_add(step)) >> (step % 40);
            let small = sum % (1 << 53); // exact in f64
            assert_eq!(to_f32(small), (small as f64 * UNIT) as f32);
            let tiny = sum % (1 << 24); // exact in f32
            assert_eq!(to_bf16(tiny), bf16::from_f32(tiny as f32 * UNIT as f32));
        }
    }

    #[test]
    fn ulp_by_binade() {
        assert_eq!(
            [1.0, 1.999, 2.0, 65504.0].map(|x| F16.ulp(x)),
            [exp2(-10), exp2(-10), exp2(-9), 32.0]
        );
        assert_eq!([0.0, 1e-7, exp2(-14)].map(|x| F16.ulp(x)), [exp2(-24); 3]);
        assert_eq!(F32.ulp(-1.5), exp2(-23));
        assert_eq!(BF16.ulp(1.0), exp2(-7));
    }
}
