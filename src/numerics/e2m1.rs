//! E2M1, the 4-bit data type: magnitudes 0, 0.5, 1, 1.5, 2, 3, 4, 6 by the low three bits, bit 3 the sign.
//!
//! Two codes share a byte: element 2j in the low nibble of byte j, element 2j + 1 in the high one.

/// Twice the value of each of the 16 codes: an integer. Negative zero (code 8) is 0 here.
pub const DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The value of a code; bits above the low four are ignored.
pub fn decode(code: u8) -> f32 {
    let magnitude = f32::from(DOUBLED[usize::from(code & 7)]) / 2.0;
    if code & 8 == 0 { magnitude } else { -magnitude }
}

/// The code nearest to a number: ties to even, magnitudes beyond 6 and infinities to 6, NaN to 0.
pub fn encode(value: f32) -> u8 {
    // Halfway between neighbours; a tie goes to the code whose last bit is 0, that is, up from odd codes.
    const UP_FROM: [f32; 7] = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0];
    let magnitude = value.abs();
    let above = |(code, halfway): (usize, &f32)| {
        magnitude > *halfway || (magnitude == *halfway && code % 2 == 1)
    };
    let code = UP_FROM
        .iter()
        .enumerate()
        .filter(|&step| above(step))
        .count() as u8;
    code | u8::from(value.is_sign_negative() && !value.is_nan()) << 3
}

/// Packs codes (low four bits each) two per byte. An odd last element gets a zero high nibble.
pub fn pack(codes: &[u8]) -> Vec<u8> {
    codes
        .chunks(2)
        .map(|pair| (pair[0] & 15) | (pair.get(1).copied().unwrap_or(0) << 4))
        .collect()
}

/// The codes of packed bytes, in element order.
pub fn unpack(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().flat_map(|&byte| [byte & 15, byte >> 4])
}

/// The code of one element of packed bytes.
pub fn code_at(bytes: &[u8], element: usize) -> u8 {
    (bytes[element / 2] >> (4 * (element % 2))) & 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, bit by bit: bias 1, subnormal at exponent field 0.
    fn from_fields(code: u8) -> f32 {
        let (sign, exponent, mantissa) = (code >> 3, i32::from(code >> 1 & 3), f32::from(code & 1));
        let magnitude = match exponent {
            0 => mantissa * 0.5,
            _ => (1.0 + mantissa * 0.5) * 2f32.powi(exponent - 1),
        };
        if sign == 1 { -magnitude } else { magnitude }
    }

    #[test]
    fn every_code_decodes_by_its_fields() {
        for code in 0..16 {
            assert_eq!(
                decode(code).to_bits(),
                from_fields(code).to_bits(),
                "code {code}"
            );
            assert_eq!(
                f32::from(DOUBLED[usize::from(code)]),
                2.0 * from_fields(code),
                "code {code}"
            );
        }
    }

    #[test]
    fn every_value_encodes_to_itself_and_every_tie_to_even() {
        for code in 0..16 {
            assert_eq!(encode(decode(code)), code);
        }
        for code in 0..7u8 {
            let (low, high) = (decode(code), decode(code + 1));
            let halfway = (low + high) / 2.0;
            assert_eq!(encode(halfway), code + code % 2, "{halfway}");
            assert_eq!(encode(-halfway.next_up()), (code + 1) | 8);
            assert_eq!(encode(halfway.next_down()), code);
        }
        assert_eq!(
            [f32::MAX, f32::NEG_INFINITY, f32::NAN].map(encode),
            [7, 15, 0]
        );
    }

    #[test]
    fn every_byte_survives_packing_and_holds_the_even_element_low() {
        for byte in 0..=255u8 {
            let codes: Vec<u8> = unpack(&[byte]).collect();
            assert_eq!(codes, [byte % 16, byte / 16]);
            assert_eq!([code_at(&[0, byte], 2), code_at(&[0, byte], 3)], codes[..]);
            assert_eq!(pack(&codes), [byte]);
        }
        assert_eq!(pack(&[1, 2, 3]), [0x21, 0x03]);
    }
}
