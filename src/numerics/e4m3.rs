//! UE4M3, the scale type: E4M3 (FN) read as unsigned. Codes 0x00 to 0x7E are finite, 0x7F is NaN.
//!
//! The tensor core ignores bit 7, and so do the decoders here. Data with the bit set inside the logical range is
//! refused before it gets this far (see [`first_signed`]).

/// Fraction bits of the exact integer form: every value is a multiple of 2^-9.
pub const FRACTION_BITS: u32 = 9;

/// The code of the largest finite value, 448.
pub const MAX_CODE: u8 = 0x7E;

/// The code of NaN.
pub const NAN: u8 = 0x7F;

/// Whether the code is NaN; the sign bit is ignored.
pub fn is_nan(code: u8) -> bool {
    code & 0x7F == NAN
}

/// The exact value in units of 2^-9, at most 229,376; `None` for NaN. The sign bit is ignored.
pub fn units(code: u8) -> Option<u32> {
    let (field, mantissa) = (u32::from(code >> 3 & 15), u32::from(code & 7));
    match field {
        _ if is_nan(code) => None,
        0 => Some(mantissa),
        _ => Some((8 + mantissa) << (field - 1)),
    }
}

/// The value as a float, NaN for 0x7F. The sign bit is ignored.
pub fn decode(code: u8) -> f32 {
    units(code).map_or(f32::NAN, |units| {
        units as f32 / (1u32 << FRACTION_BITS) as f32
    })
}

/// The code nearest to a number: ties to even, 0 for what is not above 0, the largest finite value for what is beyond it.
pub fn encode(value: f32) -> u8 {
    if value.is_nan() || value <= 0.0 {
        return 0;
    }
    if value >= decode(MAX_CODE) {
        return MAX_CODE;
    }
    // Neighbours are one unit in the last place apart: 2^-9 for subnormals, 2^(exponent - 3) else. Codes count them, so
    // a carry into the exponent is right by itself.
    let exponent = ((value.to_bits() >> 23) as i32 - 127).max(-6);
    let units = (f64::from(value) * f64::from(2f32.powi(3 - exponent))).round_ties_even();
    (units as i32 + (exponent + 6) * 8) as u8
}

/// The exponent as the tensor core sees it: -6 for all subnormals, `None` for zero and NaN.
///
/// The value is the significand times 2^exponent, where the significand is below 2, and at least 1 unless subnormal.
pub fn exponent(code: u8) -> Option<i32> {
    let field = i32::from(code >> 3 & 15);
    (!is_nan(code) && code & 0x7F != 0).then(|| field.max(1) - 7)
}

/// The index of the first byte whose sign bit is set.
pub fn first_signed(scales: &[u8]) -> Option<usize> {
    scales.iter().position(|code| code & 0x80 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_agrees_with_an_independent_decoder() {
        for code in 0..=255u8 {
            let expected = float8::F8E4M3::from_bits(code & 0x7F).to_f32();
            if is_nan(code) {
                assert!(
                    expected.is_nan() && decode(code).is_nan() && units(code).is_none(),
                    "code {code:#x}"
                );
            } else {
                assert_eq!(decode(code), expected, "code {code:#x}");
                assert_eq!(
                    units(code).map(|units| units as f32),
                    Some(expected * 512.0),
                    "code {code:#x}"
                );
            }
        }
    }

    #[test]
    fn every_code_and_what_lies_between_is_encoded_as_by_an_independent_encoder() {
        for code in 0..MAX_CODE {
            let (low, high) = (decode(code), decode(code + 1));
            let halfway = (low + high) / 2.0;
            for value in [
                low,
                low.next_up(),
                halfway.next_down(),
                halfway,
                halfway.next_up(),
            ] {
                assert_eq!(
                    encode(value),
                    float8::F8E4M3::from_f32(value).to_bits(),
                    "{value:e}"
                );
            }
        }
        assert_eq!([448.0, 1e9, f32::INFINITY].map(encode), [MAX_CODE; 3]);
        assert_eq!([0.0, -1.0, f32::NAN, 1e-30].map(encode), [0; 4]);
    }

    #[test]
    fn landmarks() {
        assert_eq!(
            [0x00, 0x01, 0x08, 0x38, MAX_CODE].map(decode),
            [0.0, 1.0 / 512.0, 1.0 / 64.0, 1.0, 448.0]
        );
        assert_eq!(units(MAX_CODE), Some(229_376));
        assert_eq!(
            (0..=255).filter(|&code| is_nan(code)).collect::<Vec<u8>>(),
            [0x7F, 0xFF]
        );
    }

    #[test]
    fn significand_is_below_two_and_at_least_one_unless_subnormal() {
        for code in 1..=MAX_CODE {
            let exponent = exponent(code).expect("finite and not zero");
            let significand = decode(code) / 2f32.powi(exponent);
            assert!(significand < 2.0, "code {code:#x}");
            assert_eq!(significand >= 1.0, code >= 8, "code {code:#x}");
        }
        assert_eq!([0x00, 0x80, 0x7F, 0xFF].map(exponent), [None; 4]);
    }

    #[test]
    fn signed_bytes_are_found() {
        assert_eq!(first_signed(&[0, 0x7F, 0x80, 0xFF]), Some(2));
        assert_eq!(first_signed(&[0, 0x7F]), None);
    }
}
