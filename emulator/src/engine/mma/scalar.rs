//! One output element at a time, in integers: the definition that the fast paths are tested against.
//!
//! The model is that of brief, 2.7: every term has an alignment exponent; all terms are truncated toward zero to a
//! multiple of `2^(E - F)`, E being the largest alignment exponent and F the fraction bits of the unit; the integers are
//! added exactly and the sum is rounded once. Beyond that model, and not confirmed on hardware: infinities follow
//! IEEE 754, and a finite sum of magnitude 2^128 or more becomes an infinity.

use super::super::descriptor::ScaleFormat;

/// The NaN that the tensor cores write.
pub const NAN: u32 = 0x7FFF_FFFF;
/// Fraction bits of a K = 64 block-scaled sum.
pub const BLOCK_SCALED_FRACTION: i32 = 35;
/// Alignment exponent of a zero.
pub const ZERO_EXPONENT: i32 = -126;

/// `significand * 2^(exponent - fraction)`, aligned by `exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Signed integer significand.
    pub significand: i64,
    /// Fraction bits of the significand.
    pub fraction: i32,
    /// Alignment exponent.
    pub exponent: i32,
}

/// Aligns, truncates and adds. The result counts units of `2^unit`: (sum, unit).
pub fn fused_sum(terms: &[Term], fraction: i32) -> (i128, i32) {
    let largest = terms
        .iter()
        .map(|t| t.exponent)
        .max()
        .unwrap_or(ZERO_EXPONENT);
    let unit = largest - fraction;
    let sum = terms
        .iter()
        .map(|t| shifted(t.significand, t.exponent - t.fraction - unit))
        .sum();
    (sum, unit)
}

/// `significand * 2^shift`, truncated toward zero.
fn shifted(significand: i64, shift: i32) -> i128 {
    let magnitude = i128::from(significand.unsigned_abs());
    let magnitude = match shift {
        0.. => magnitude << shift,
        -126..0 => magnitude >> -shift,
        _ => 0,
    };
    if significand < 0 {
        -magnitude
    } else {
        magnitude
    }
}

/// `sum * 2^unit` as f32, rounded toward zero, subnormals kept. Zero is +0.
pub fn f32_toward_zero(sum: i128, unit: i32) -> u32 {
    if sum == 0 {
        return 0;
    }
    let sign = if sum < 0 { 1 << 31 } else { 0 };
    let magnitude = sum.unsigned_abs();
    let exponent = 127 - magnitude.leading_zeros() as i32 + unit;
    if exponent > 127 {
        return sign | 0x7F80_0000;
    }
    let last_bit = exponent.max(-126) - 23;
    let significand = match last_bit - unit {
        drop @ 0..128 => magnitude >> drop,
        drop @ -128..0 => magnitude << -drop,
        _ => 0,
    } as u32;
    // The implicit bit carries into the exponent field, which is one less than the exponent asks for.
    sign | ((((exponent.max(-126) + 126) as u32) << 23) + significand)
}

/// `sum * 2^unit` as f16, rounded to nearest even, subnormals kept. Zero is +0.
pub fn f16_nearest(sum: i128, unit: i32) -> u32 {
    if sum == 0 {
        return 0;
    }
    let sign = if sum < 0 { 1 << 15 } else { 0 };
    let magnitude = sum.unsigned_abs();
    let exponent = 127 - magnitude.leading_zeros() as i32 + unit;
    if exponent > 15 {
        return sign | 0x7C00;
    }
    let last_bit = exponent.max(-14) - 10;
    let significand = match last_bit - unit {
        drop @ 1..128 => nearest_even(magnitude, drop),
        drop @ -128..1 => magnitude << -drop,
        _ => 0,
    } as u32;
    // A carry out of the significand moves on into the exponent, up to infinity.
    sign | ((((exponent.max(-14) + 14) as u32) << 10) + significand)
}

/// `magnitude / 2^drop`, ties to even.
fn nearest_even(magnitude: u128, drop: i32) -> u128 {
    let (kept, rest, half) = (
        magnitude >> drop,
        magnitude & ((1 << drop) - 1),
        1 << (drop - 1),
    );
    kept + u128::from(rest > half || rest == half && kept & 1 == 1)
}

/// A finite f32 as a term; none for infinities and NaNs.
pub fn f32_term(bits: u32) -> Option<Term> {
    let field = (bits >> 23 & 0xFF) as i32;
    let mantissa = i64::from(bits & 0x7F_FFFF);
    let (significand, exponent) = match field {
        0xFF => return None,
        0 if mantissa == 0 => (0, ZERO_EXPONENT),
        0 => (mantissa, -126),
        _ => (mantissa | 1 << 23, field - 127),
    };
    let significand = if bits >> 31 == 1 {
        -significand
    } else {
        significand
    };
    Some(Term {
        significand,
        fraction: 23,
        exponent,
    })
}

/// Twice the value of an E2M1 code (low four bits).
pub const fn e2m1_doubled(code: u8) -> i16 {
    let magnitude = [0, 1, 2, 3, 4, 6, 8, 12][(code & 7) as usize];
    if code & 8 == 0 { magnitude } else { -magnitude }
}

/// A scale factor as eighths and exponent, `eighths / 8 * 2^exponent`; none for NaN. The sign bit of UE4M3 is ignored.
pub fn scale(byte: u8, format: ScaleFormat) -> Option<(i64, i32)> {
    match (format, byte & 0x7F, byte) {
        (ScaleFormat::Ue8m0, _, 0xFF) | (ScaleFormat::Ue4m3, 0x7F, _) => None,
        (ScaleFormat::Ue8m0, _, _) => Some((8, i32::from(byte) - 127)),
        (ScaleFormat::Ue4m3, 0, _) => Some((0, ZERO_EXPONENT)),
        (ScaleFormat::Ue4m3, code @ 1..8, _) => Some((i64::from(code), -6)),
        (ScaleFormat::Ue4m3, code, _) => Some((i64::from(code & 7) + 8, i32::from(code >> 3) - 7)),
    }
}

/// Element n of a packed row of E2M1.
fn nibble(row: &[u8], n: usize) -> u8 {
    row[n / 2] >> (4 * (n % 2)) & 15
}

/// One element of a K = 64 block-scaled MMA: rows of 32 bytes of E2M1 and a scale for each group of 16 (brief, 2.7).
pub fn block_scaled(
    a: &[u8],
    b: &[u8],
    scale_a: [u8; 4],
    scale_b: [u8; 4],
    format: ScaleFormat,
    c: u32,
) -> u32 {
    let mut terms = Vec::with_capacity(5);
    for group in 0..4 {
        let k = 16 * group..16 * (group + 1);
        let dot: i64 = k
            .map(|k| i64::from(e2m1_doubled(nibble(a, k)) * e2m1_doubled(nibble(b, k))))
            .sum();
        let (Some((sig_a, exp_a)), Some((sig_b, exp_b))) =
            (scale(scale_a[group], format), scale(scale_b[group], format))
        else {
            return NAN;
        };
        // Quarters from the codes, eighths from either scale.
        terms.push(Term {
            significand: dot * sig_a * sig_b,
            fraction: 2 + 3 + 3,
            exponent: exp_a + exp_b,
        });
    }
    let Some(term) = f32_term(c) else {
        return if c & 0x7F_FFFF == 0 { c } else { NAN };
    };
    terms.push(term);
    let (sum, unit) = fused_sum(&terms, BLOCK_SCALED_FRACTION);
    f32_toward_zero(sum, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_toward_zero_agrees_with_exact_values() {
        let cases: [(i128, i32, f32); 9] = [
            (3, 0, 3.0),
            (-5, -1, -2.5),
            ((1 << 24) + 1, 0, 16777216.0),
            (-((1 << 40) + 1), -40, -1.0),
            ((1 << 25) - 1, 0, 33554430.0),
            (1, -149, f32::from_bits(1)),
            (7, -150, f32::from_bits(3)),
            (1, 127, f32::from_bits(0x7F00_0000)),
            ((1 << 24) - 1, -149, f32::from_bits(0x00FF_FFFF)),
        ];
        for (sum, unit, expected) in cases {
            assert_eq!(
                f32_toward_zero(sum, unit),
                expected.to_bits(),
                "{sum} * 2^{unit}"
            );
        }
        assert_eq!(f32_toward_zero(0, 5), 0);
        assert_eq!(f32_toward_zero(-1, 128), f32::NEG_INFINITY.to_bits());
        assert_eq!(f32_toward_zero(1, -150), 0);
    }

    #[test]
    fn f16_rounds_to_nearest_even() {
        let cases: [(i128, i32, f64); 8] = [
            (2049, 0, 2048.0),
            (2051, 0, 2052.0),
            (-2049, -11, -1.0),
            (4097, -12, 1.0),
            (3, -25, 2f64.powi(-23)),
            (1, -25, 0.0),
            (65519, 0, 65504.0),
            (65520, 0, f64::INFINITY),
        ];
        for (sum, unit, expected) in cases {
            assert_eq!(
                half::f16::from_bits(f16_nearest(sum, unit) as u16).to_f64(),
                expected,
                "{sum} * 2^{unit}"
            );
        }
        for bits in (1..0x7C00u16).chain(0x8001..0xFC00) {
            let value = half::f16::from_bits(bits).to_f64() * 2f64.powi(24);
            assert_eq!(f16_nearest(value as i128, -24), u32::from(bits));
        }
    }

    #[test]
    fn every_f32_survives_as_a_term() {
        for bits in (0..0x7F80_0000u32)
            .step_by(7919)
            .chain([1, 0x7F_FFFF, 0x80_0000, 0x7F7F_FFFF])
        {
            let term = f32_term(bits).unwrap();
            let unit = term.exponent - term.fraction;
            assert_eq!(f32_toward_zero(i128::from(term.significand), unit), bits);
            let negative = f32_term(bits | 1 << 31).unwrap();
            assert_eq!(negative.significand, -term.significand);
        }
    }

    fn one(codes: u8, scales: [u8; 4], c: f32) -> f32 {
        let row = [codes; 32];
        f32::from_bits(block_scaled(
            &row,
            &row,
            scales,
            [0x38; 4],
            ScaleFormat::Ue4m3,
            c.to_bits(),
        ))
    }

    #[test]
    fn exact_sums() {
        assert_eq!(one(0x77, [0x38; 4], 0.0), 36.0 * 64.0);
        assert_eq!(one(0x22, [0x38, 0x40, 0x30, 0x00], 1.0), 16.0 * 3.5 + 1.0);
        assert_eq!(one(0x11, [0x01; 4], 0.0), 64.0 * 0.25 / 512.0);
        assert_eq!(one(0x22, [0xB8; 4], 0.0), 64.0);
        assert_eq!(one(0x22, [0x38, 0x7F, 0x38, 0x38], 0.0).to_bits(), NAN);
        assert_eq!(one(0x00, [0x38, 0xFF, 0x38, 0x38], 0.0).to_bits(), NAN);
        assert_eq!(one(0x22, [0x38; 4], f32::NAN).to_bits(), NAN);
        assert_eq!(one(0x22, [0x38; 4], f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert_eq!(one(0x00, [0x38; 4], -0.0).to_bits(), 0);
    }

    /// Scales of 256 align the sum to 2^(8 - 35) at least, so a small C loses what lies below 2^-27.
    #[test]
    fn c_is_truncated_to_the_unit_of_the_largest_scale() {
        let c = 2f32.powi(-10) + 2f32.powi(-30);
        assert_eq!(one(0x00, [0x38; 4], c), c);
        assert_eq!(one(0x00, [0x78; 4], c), 2f32.powi(-10));
        assert_eq!(one(0x00, [0x78; 4], -c), -(2f32.powi(-10)));
    }
}
