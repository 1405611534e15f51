//! `mma` of 4-bit integers and of single bits (PTX ISA, 9.7.14.5.14): exact sums in 32 bits.

use super::form::Form;
use crate::error::LoadError;

/// What the elements are, and what is done with two of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Elements {
    /// Of A and of B; true if signed.
    Nibbles(bool, bool),
    /// Single bits, with `.xor.popc`.
    Xor,
    /// Single bits, with `.and.popc`.
    And,
}

/// A product of narrow elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Narrow {
    pub elements: Elements,
    /// Clamp to i32 instead of wrapping.
    pub saturate: bool,
}

const TYPES: [(&str, Option<bool>); 3] = [("u4", Some(false)), ("s4", Some(true)), ("b1", None)];

/// Takes the types of A and B if they are narrow. The operation of single bits is a modifier of its own, in front.
pub(super) fn elements(f: &mut Form<'_>) -> Result<Option<Elements>, LoadError> {
    let operation = f.choose(&[("xor", Elements::Xor), ("and", Elements::And)]);
    if operation.is_some() {
        f.require("`.popc`", &[("popc", ())])?;
    }
    let Some(a) = f.choose(&TYPES) else {
        return match operation {
            None => Ok(None),
            Some(_) => Err(f.invalid("`.popc` is for .b1")),
        };
    };
    let b = f.require("the type of B", &TYPES)?;
    match (a, b, operation) {
        (Some(a), Some(b), None) => Ok(Some(Elements::Nibbles(a, b))),
        (None, None, Some(operation)) => Ok(Some(operation)),
        _ => Err(f.invalid("these types do not go together")),
    }
}

impl Elements {
    pub fn bits(self) -> usize {
        if matches!(self, Elements::Nibbles(..)) {
            4
        } else {
            1
        }
    }

    /// The sum over two bytes' elements.
    fn product(self, a: u8, b: u8) -> i64 {
        let nibble = |byte: u8, signed: bool| match signed {
            true => i64::from((byte << 4) as i8 >> 4),
            false => i64::from(byte & 0xF),
        };
        match self {
            Elements::Nibbles(signed_a, signed_b) => {
                nibble(a, signed_a) * nibble(b, signed_b)
                    + nibble(a >> 4, signed_a) * nibble(b >> 4, signed_b)
            }
            Elements::Xor => (a ^ b).count_ones().into(),
            Elements::And => (a & b).count_ones().into(),
        }
    }
}

impl Narrow {
    /// `d[m][n] += a[m] . b[n]` for rows of `width` bytes.
    pub fn multiply(&self, a: &[u8], b: &[u8], width: usize, d: &mut [u32], stride: usize) {
        for (a, cells) in a.chunks_exact(width).zip(d.chunks_mut(stride)) {
            for (b, cell) in b.chunks_exact(width).zip(cells) {
                let products = a.iter().zip(b).map(|(&a, &b)| self.elements.product(a, b));
                let sum = i64::from(*cell as i32) + products.sum::<i64>();
                *cell = match self.saturate {
                    true => sum.clamp(i32::MIN.into(), i32::MAX.into()) as u32,
                    false => sum as u32,
                };
            }
        }
    }
}
