//! How far a kernel's element may be from the exact sum.
//!
//! Kernels accumulate in f32 on the tensor core and round once to the output type. Write `s` for the exact running sum,
//! `c` for the accumulator, which starts as 0, `d` for a bound of |c - s|, and `D` for `d` at the end: the drift. What a
//! step loses depends on the tensor core, so there is a law for each [`Arithmetic`].
//!
//! # [`Arithmetic::BlockScaled`]
//! **One step** of 64 (brief, 2.7) adds five addends: `c`, and for each of the four blocks of 16 the exact dot product
//! times both scales. `E` is the largest of the exponent of `c` and those of the four scale products. Each addend is
//! truncated to a multiple of 2^(E-35), so loses less than that; the five are added exactly; the result `x` is
//! truncated to 24 bits, which loses less than 2^-23 |x|. (`x` is never subnormal: a scale product that is not zero
//! has an exponent of at least -12, so that `x` is a multiple of 2^-47; and if all are zero, `x` is `c`.)
//!
//! **All steps.** Let `T` be the number of steps, `R` the largest |s|, `G` the largest exponent of a scale product, and
//! `H = max(R, 2^G)`. As 2^E is at most max(|c|, 2^G) <= H + d, and |x| is at most R + d + 5 * 2^(E-35), a step leads
//! from `d` to at most
//!
//! ```text
//! d + 5 * 2^-35 (H + d) + 2^-23 (R + d + 5 * 2^-35 (H + d))
//! ```
//!
//! Starting from 0, after T <= 4096 steps (K <= 2^18) this is below
//!
//! ```text
//! D = (1 + 2^-10) * T * (2^-23 R + 5 * 2^-35 H)
//! ```
//!
//! because d grows by a factor of less than 1 + 2^-22.99 a step, which makes exp(2^-10.99) over all. `R` and `G` are
//! facts of the data, and the exact reference reports both for every element: where terms cancel, `R` is far above
//! the final sum, and so may be the error.
//!
//! **Without cancellation** R is |s|, and 2^G is at most 4 R unless all elements of the block with the largest scales
//! multiply to 0. For K = 7168, T is 112 and D is below 0.028 ulp of f16: the bound is about 0.53 ulp.
//!
//! **Split K.** If the sum is cut into P parts along K, each part starts from 0 and runs over its own steps. A running sum
//! of part i is `s - s_i`, with `s_i` the exact sum before the part, so it is at most 2 R in magnitude (R itself in the
//! first part), and the derivation above holds for each part with 2 R in place of R and its own number of steps; the parts'
//! drifts add up, as their steps do. Then the parts are added in f32, in order and rounded to nearest: P - 1 additions,
//! whose results are at most R + D' in magnitude when D' bounds the drift so far; each loses at most 2^-24 of that. So
//!
//! ```text
//! D = (1 + 2^-10) * (T * (2^-23 * 2 R + 5 * 2^-35 * max(2 R, 2^G)) + (P - 1) * 2^-24 * R)
//! ```
//!
//! wherever the cuts are, where the factor in front covers (P - 1) * 2^-24 * D' as well, P being at most 4096. For P = 1
//! it is the formula above, with R in place of 2 R.
//!
//! # [`Arithmetic::DequantisedF16`]
//! The operands are value * scale * 2^-7 in f16, exactly. **One step** of 16 adds 17 addends, `c` and sixteen exact
//! products. `E` is the largest of the exponent of `c` and those of the products, which are sums of the factors'
//! exponents, not normalised; a zero factor does not count. Each addend is truncated to a multiple of 2^(E-25); the 17
//! are added exactly; the result is truncated to 24 bits (brief, 2.7; an H100 gives the model's bits, see the emulator's
//! README). The common factor 2^-14 of all sums changes nothing: the smallest addend is a multiple of 2^-34, far above
//! f32's subnormals, and the kernel takes the factor back exactly before it rounds.
//!
//! A factor's exponent is at most 3 above its scale's (6 * 1.875 < 2^4), also where the factor is subnormal in f16, whose
//! exponent -14 is -7 without the factor and so below that of the smallest scale, -6, plus 3. So 2^E is at most
//! max(|c|, 2^(G+6)).
//!
//! Within 128 of K the kernel adds in an order of its own, so its running sums are not the reference's. But each is one of
//! those at a multiple of 128 plus a sum over some of the 128 products that follow, which is at most the product of the
//! two norms (Cauchy and Schwarz): the [swing](super::swing::Swings). With `R` the largest |s| of the reference plus the
//! largest swing, `H = max(R, 2^(G+6))` and `T` = K / 16 steps, in the same way
//!
//! ```text
//! D = (1 + 2^-6) * T * (2^-23 R + 17 * 2^-25 H)
//! ```
//!
//! since d grows by a factor of less than 1 + 2^-20.6 a step, which makes exp(2^-6.6) over 2^14 steps.
//!
//! **Without cancellation** and for K = 7168, D is about 0.3 ulp of f16: the tensor core's 25 bits cost up to ten times
//! what Blackwell's 35 do.
//!
//! # The output
//! The kernel stores `c` rounded to nearest. Let `u` be the output type's ulp at the exact sum. If D <= u/2, the stored
//! value is within u/2 + D of the exact sum; this holds even if `c` is in the next binade, for then the power of two
//! between them is both the result and within D. Otherwise the ulp is taken at |s| + D.
//!
//! The bound knows nothing of other orders of accumulation; sums of dequantised operands are not cut along K.

use crate::numerics::reference::Element;
use crate::numerics::round::FloatFormat;
use crate::numerics::{BLOCK, STEP, UNIT};

/// How a kernel's tensor core adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// Blackwell's block-scaled FP4 MMAs: steps of 64 along K, in order, 35 fraction bits.
    BlockScaled,
    /// Hopper's f16 MMAs on operands that were dequantised: steps of 16 in any order within 128 of K, 25 fraction bits.
    DequantisedF16,
}

/// How a kernel sums up one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summation {
    /// What its tensor core does.
    pub arithmetic: Arithmetic,
    /// Parts that the sum over K is cut into, at most.
    pub parts: u32,
}

impl Summation {
    /// On block-scaled MMAs, in so many parts.
    pub fn block_scaled(parts: u32) -> Self {
        Summation {
            arithmetic: Arithmetic::BlockScaled,
            parts,
        }
    }

    /// On dequantised operands, in one part.
    pub fn dequantised() -> Self {
        Summation {
            arithmetic: Arithmetic::DequantisedF16,
            parts: 1,
        }
    }
}

/// How far a stored element may be from the exact sum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// `D`: how far the f32 accumulator may be from the exact sum.
    pub drift: f64,
    /// Half an ulp of the output type.
    pub half_ulp: f64,
}

impl Bound {
    /// The bound for one element of a product over `k`, stored in `format`. `swing` is what
    /// [`Swings`](super::swing::Swings) says of the element; [`Arithmetic::BlockScaled`] has no need of it.
    pub fn of(
        summation: Summation,
        element: &Element,
        swing: f64,
        k: usize,
        format: FloatFormat,
    ) -> Self {
        let drift = match summation.arithmetic {
            Arithmetic::BlockScaled => block_scaled(element, k, summation.parts),
            Arithmetic::DequantisedF16 => dequantised(element, swing, k),
        };
        let exact = element.sum.unsigned_abs() as f64 * UNIT;
        let near = format.ulp(exact) / 2.0;
        let half_ulp = if drift <= near {
            near
        } else {
            format.ulp(exact + drift) / 2.0
        };
        Self { drift, half_ulp }
    }

    /// The largest permitted distance from the exact sum.
    pub fn total(&self) -> f64 {
        self.drift + self.half_ulp
    }
}

/// `D` of five addends a step, aligned to 35 bits.
fn block_scaled(element: &Element, k: usize, parts: u32) -> f64 {
    let steps = (k / STEP) as f64;
    let peak = element.peak as f64 * UNIT;
    let of_part = if parts > 1 { 2.0 * peak } else { peak };
    let highest = of_part.max(2f64.powi(element.exponent));
    let feedback = 1.0 + 2f64.powi(-10);
    let of_parts = steps * (2f64.powi(-23) * of_part + 5.0 * 2f64.powi(-35) * highest);
    let additions = f64::from(parts.saturating_sub(1)) * 2f64.powi(-24) * peak;
    feedback * (of_parts + additions)
}

/// `D` of 17 addends a step, aligned to 25 bits.
fn dequantised(element: &Element, swing: f64, k: usize) -> f64 {
    let steps = (k / BLOCK) as f64;
    let peak = element.peak as f64 * UNIT + swing;
    let highest = peak.max(2f64.powi(element.exponent + 6));
    let feedback = 1.0 + 2f64.powi(-6);
    feedback * steps * (2f64.powi(-23) * peak + 17.0 * 2f64.powi(-25) * highest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::round::{F16, F32};

    const ONE: i64 = 1 << 20;

    fn bound_of(summation: Summation, sum: i64, peak: i64, exponent: i32, k: usize) -> Bound {
        let element = Element {
            sum,
            peak,
            exponent,
        };
        Bound::of(summation, &element, 0.0, k, F16)
    }

    fn bound(sum: i64, peak: i64, exponent: i32, k: usize) -> Bound {
        bound_of(Summation::block_scaled(1), sum, peak, exponent, k)
    }

    #[test]
    fn hopper_may_lose_more_and_grows_with_everything() {
        let of =
            |peak, exponent, k| bound_of(Summation::dequantised(), ONE, peak, exponent, k).drift;
        assert!(of(ONE, 0, 7168) > 5.0 * bound(ONE, ONE, 0, 7168).drift);
        assert!(of(ONE, -10, 7168) < 0.35 * F16.ulp(1.0));
        assert!(of(2 * ONE, -10, 7168) > 1.9 * of(ONE, -10, 7168));
        assert!(of(ONE, 10, 64) > 100.0 * of(ONE, 0, 64));
        let element = Element {
            sum: ONE,
            peak: ONE,
            exponent: -10,
        };
        let swinging = Bound::of(Summation::dequantised(), &element, 9.0, 7168, F16);
        assert!(swinging.drift > 9.0 * of(ONE, -10, 7168));
    }

    #[test]
    fn without_cancellation_it_stays_near_half_an_ulp() {
        for sum in [1, 3 * ONE / 2, 1000 * ONE - 1, 2048 * ONE, 65_504 * ONE] {
            let bound = bound(sum, sum, -10, 7168);
            let ulp = F16.ulp(sum as f64 * UNIT);
            assert!(bound.total() <= 0.528 * ulp, "{sum}: {bound:?}");
            assert!(bound.total() > 0.5 * ulp);
        }
    }

    #[test]
    fn it_grows_with_the_peak_the_scales_and_the_steps() {
        let calm = bound(ONE, ONE, 0, 64).total();
        assert!(bound(ONE, 60_000 * ONE, 0, 64).total() > calm);
        assert!(bound(ONE, ONE, 16, 64).total() > calm);
        assert!(bound(ONE, ONE, 0, 128).total() > calm);
    }

    #[test]
    fn it_grows_with_the_parts() {
        let drift =
            |parts| bound_of(Summation::block_scaled(parts), ONE, 60_000 * ONE, 0, 7168).drift;
        assert!(drift(2) > 1.9 * drift(1) && drift(2) < 2.2 * drift(1));
        assert!(drift(8) > drift(2));
    }

    #[test]
    fn after_heavy_cancellation_the_drift_rules() {
        let bound = bound(0, 30_000 * ONE, 16, 7168);
        assert!(bound.drift > 100.0 * F16.ulp(0.0));
        assert_eq!(bound.half_ulp, F16.ulp(bound.drift) / 2.0);
    }

    #[test]
    fn a_single_step_costs_f32_less_than_two_ulps() {
        let element = Element {
            sum: ONE,
            peak: ONE,
            exponent: 0,
        };
        let bound = Bound::of(Summation::block_scaled(1), &element, 0.0, 64, F32);
        assert!(bound.total() < 2.0 * F32.ulp(1.0));
    }
}
