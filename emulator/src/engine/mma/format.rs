//! Element formats: bits to integer significand and alignment exponent, and how a 32-byte row holds its elements.

use super::super::descriptor::Format;
use super::scalar::{Term, ZERO_EXPONENT};

/// One element of A or B.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Element {
    /// A finite value; zero has the alignment exponent -126 whatever the format.
    Finite(Term),
    /// Plus or minus infinity.
    Infinite(f64),
    /// Not a number.
    Nan,
}

impl Element {
    /// The value as f64 (exact).
    pub fn value(self) -> f64 {
        match self {
            Element::Finite(t) => t.significand as f64 * power_of_two(t.exponent - t.fraction),
            Element::Infinite(value) => value,
            Element::Nan => f64::NAN,
        }
    }

    /// The alignment exponent; one that never decides for special values.
    pub fn exponent(self) -> i32 {
        match self {
            Element::Finite(t) => t.exponent,
            _ => ZERO_EXPONENT,
        }
    }
}

/// `2^exponent` for exponents of normal f64.
pub fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// What the top exponent field of a format means.
#[derive(Clone, Copy, PartialEq)]
enum Top {
    /// Infinities and NaNs, as in IEEE 754.
    Ieee,
    /// NaN with all mantissa bits set, else ordinary (E4M3).
    OneNan,
    /// Ordinary.
    Finite,
}

/// Exponent bits, mantissa bits, meaning of the top exponent.
fn fields(format: Format) -> (u32, u32, Top) {
    match format {
        Format::F16 => (5, 10, Top::Ieee),
        Format::Bf16 => (8, 7, Top::Ieee),
        Format::Tf32 => (8, 10, Top::Ieee),
        Format::E5m2 => (5, 2, Top::Ieee),
        Format::E4m3 => (4, 3, Top::OneNan),
        Format::E3m2 => (3, 2, Top::Finite),
        Format::E2m3 => (2, 3, Top::Finite),
        // Integers are not decoded through fields.
        Format::E2m1 | Format::U8 | Format::S8 => (2, 1, Top::Finite),
    }
}

/// Decodes the bits of an element. Tf32 is given as f32 bits, of which the low 13 are ignored.
pub fn decode(format: Format, bits: u32) -> Element {
    let integer = |significand| {
        Element::Finite(Term {
            significand,
            fraction: 0,
            exponent: 0,
        })
    };
    let bits = match format {
        Format::U8 => return integer(i64::from(bits as u8)),
        Format::S8 => return integer(i64::from(bits as i8)),
        Format::Tf32 => bits >> 13,
        _ => bits,
    };
    let (exponent_bits, mantissa_bits, top) = fields(format);
    let (mantissa_mask, exponent_mask) = ((1 << mantissa_bits) - 1, (1 << exponent_bits) - 1);
    let (mantissa, field) = (bits & mantissa_mask, bits >> mantissa_bits & exponent_mask);
    let is_negative = bits >> (mantissa_bits + exponent_bits) & 1 == 1;
    if field == exponent_mask {
        match top {
            Top::Ieee if mantissa == 0 => {
                return Element::Infinite(if is_negative {
                    f64::NEG_INFINITY
                } else {
                    f64::INFINITY
                });
            }
            Top::Ieee => return Element::Nan,
            Top::OneNan if mantissa == mantissa_mask => return Element::Nan,
            _ => {}
        }
    }
    let bias = (exponent_mask >> 1) as i32;
    let (significand, exponent) = match field {
        0 if mantissa == 0 => (0, ZERO_EXPONENT),
        0 => (mantissa, 1 - bias),
        _ => (mantissa | 1 << mantissa_bits, field as i32 - bias),
    };
    let significand = if is_negative {
        -i64::from(significand)
    } else {
        i64::from(significand)
    };
    Element::Finite(Term {
        significand,
        fraction: mantissa_bits as i32,
        exponent,
    })
}

/// Bytes per element in shared memory; sub-byte formats of kind f8f6f4 are padded to one.
pub fn element_bytes(format: Format) -> usize {
    match format {
        Format::F16 | Format::Bf16 => 2,
        Format::Tf32 => 4,
        _ => 1,
    }
}

/// Bits of the elements of a 32-byte row. Sub-byte formats hold 16 packed elements at the start of each 16-byte unit, as
/// TMA's padded element types write them.
pub fn elements(format: Format, row: &[u8]) -> Vec<u32> {
    let packed = |bits: usize| {
        row.chunks_exact(16).flat_map(move |unit| {
            let word = u128::from_le_bytes(unit.try_into().unwrap_or_default());
            (0..16).map(move |i| (word >> (bits * i)) as u32 & ((1 << bits) - 1))
        })
    };
    match format {
        Format::E2m1 => packed(4).collect(),
        Format::E2m3 | Format::E3m2 => packed(6).collect(),
        _ => row
            .chunks_exact(element_bytes(format))
            .map(little_endian)
            .collect(),
    }
}

fn little_endian(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, &byte| word << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bit_formats_agree_with_half() {
        for bits in 0..=u16::MAX {
            let f16 = half::f16::from_bits(bits).to_f64();
            let bf16 = half::bf16::from_bits(bits).to_f64();
            for (format, expected) in [(Format::F16, f16), (Format::Bf16, bf16)] {
                let value = decode(format, u32::from(bits)).value();
                assert!(
                    value == expected || value.is_nan() && expected.is_nan(),
                    "{format:?} {bits:#x}"
                );
            }
        }
    }

    #[test]
    fn small_formats() {
        let value = |format, bits| decode(format, bits).value();
        assert_eq!(
            [1, 2, 3, 7, 9].map(|b| value(Format::E2m1, b)),
            [0.5, 1.0, 1.5, 6.0, -0.5]
        );
        assert_eq!(
            [0x7E, 0x08, 0x01, 0xB8].map(|b| value(Format::E4m3, b)),
            [448.0, 2f64.powi(-6), 2f64.powi(-9), -1.0]
        );
        assert!(value(Format::E4m3, 0xFF).is_nan());
        assert_eq!(
            [0x7B, 0x7C, 0x01].map(|b| value(Format::E5m2, b)),
            [57344.0, f64::INFINITY, 2f64.powi(-16)]
        );
        assert_eq!(
            [0x1F, 0x01, 0x20].map(|b| value(Format::E2m3, b)),
            [7.5, 0.125, 0.0]
        );
        assert_eq!(
            [0x1F, 0x01, 0x3F].map(|b| value(Format::E3m2, b)),
            [28.0, 0.0625, -28.0]
        );
        assert_eq!(value(Format::Tf32, 1.0f32.to_bits() | 0x1FFF), 1.0);
        assert_eq!(decode(Format::F16, 0).exponent(), ZERO_EXPONENT);
        assert_eq!(decode(Format::F16, 1).exponent(), -14);
    }

    #[test]
    fn packed_rows() {
        let mut row = [0; 32];
        row[..8].copy_from_slice(&[0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE]);
        row[16..28].copy_from_slice(&[0x41, 0x30, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0xFC]);
        assert_eq!(
            elements(Format::E2m1, &row)[..16],
            std::array::from_fn::<u32, 16, _>(|i| i as u32)
        );
        let six = elements(Format::E3m2, &row);
        assert_eq!(six[16..20], [1, 1, 3, 4]);
        assert_eq!(six[31], 0x3F);
        assert_eq!(elements(Format::F16, &row)[1], 0x7654_3210 >> 16);
    }
}
