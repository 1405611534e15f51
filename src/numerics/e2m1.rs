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
