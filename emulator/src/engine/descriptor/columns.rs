//! The zero-column mask descriptor of `tcgen05.mma.ws` (PTX ISA, 9.7.16.4.3).

use super::error::DescriptorError;
use super::{Instruction, reserved};

/// Which column of B each column of the product is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnMask {
    bits: u64,
    /// Columns of a sub-mask: there are as many sub-masks as D has parts side by side in the lanes.
    part: usize,
}

impl ColumnMask {
    /// Decodes and checks the 64 bits; `instruction_bits` are those of the instruction descriptor, whose upper two limit
    /// the shift.
    pub fn decode(
        bits: u64,
        instruction: &Instruction,
        instruction_bits: u32,
    ) -> Result<Self, DescriptorError> {
        reserved(bits, &[(36, 3), (62, 2)])?;
        let part = instruction.n * instruction.m / 128;
        let mask = ColumnMask { bits, part };
        let of_instruction = [0, 8, 16, 32][(instruction_bits >> 30) as usize];
        let of_shape = if instruction.m == 32 { 16 } else { 32 };
        if mask.shift() > of_instruction.min(of_shape) {
            return Err(DescriptorError::ColumnShift {
                shift: mask.shift(),
                limit: of_instruction.min(of_shape),
            });
        }
        let starts_late = |i| mask.start(i) >= mask.span(mask.starts_with_zeros(i));
        if mask.generates() && (0..instruction.n / part).any(starts_late) {
            return Err(DescriptorError::Unsupported(
                "a zero-column mask that starts behind its first span".into(),
            ));
        }
        Ok(mask)
    }

    /// The column of B behind a column of D, or none where zeros take its place.
    pub fn source(&self, column: usize) -> Option<usize> {
        (!self.is_zero(column)).then_some(column + self.shift())
    }

    fn is_zero(&self, column: usize) -> bool {
        if !self.generates() {
            return false;
        }
        let (part, inside) = (column / self.part, column % self.part);
        let zeros_first = self.starts_with_zeros(part);
        let at = (self.start(part) + inside) % (self.span(true) + self.span(false));
        (at < self.span(zeros_first)) == zeros_first
    }

    fn field(&self, shift: usize, width: usize) -> usize {
        (self.bits >> shift & ((1 << width) - 1)) as usize
    }

    fn generates(&self) -> bool {
        self.field(39, 1) == 1
    }

    fn start(&self, part: usize) -> usize {
        self.field(8 * part, 8)
    }

    fn starts_with_zeros(&self, part: usize) -> bool {
        self.field(32 + part, 1) == 1
    }

    /// Columns in a row that are zero, or are not. The table of the ISA has the two fields the other way round than its
    /// four examples, which are followed here.
    fn span(&self, zeros: bool) -> usize {
        1 + self.field(if zeros { 40 } else { 48 }, 8)
    }

    fn shift(&self) -> usize {
        self.field(56, 6)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    /// Example 2 to 4 of the ISA: skip span 2, use span 3.
    const SPANS: u64 = 1 << 39 | 2 << 40 | 3 << 48;

    fn mask(m: u32, fields: u64) -> ColumnMask {
        let bits = (m >> 4) << 24 | (128 >> 3) << 17 | 1 << 4 | 1 << 30;
        let instruction = Instruction::decode_stationary(bits, Kind::F16).unwrap();
        ColumnMask::decode(fields, &instruction, bits).unwrap()
    }

    /// The lowest bits of a sub-mask, the first column last, as the ISA writes them.
    fn written(mask: &ColumnMask, part: usize, count: usize) -> String {
        let bit = |i| u8::from(mask.source(part * mask.part + i).is_none()).to_string();
        (0..count).rev().map(bit).collect()
    }

    #[test]
    fn examples_of_the_isa() {
        let all = mask(128, 2 << 40 | 3 << 48);
        assert!((0..128).all(|n| all.source(n) == Some(n)), "example 1");
        assert_eq!(written(&mask(128, SPANS), 0, 14), "11100001110000");
        let two = mask(64, SPANS | 1 << 32);
        assert_eq!(written(&two, 0, 10), "1110000111");
        assert_eq!(written(&two, 1, 14), "11100001110000");
        let four = mask(32, SPANS | 3 << 32 | 1 << 8 | 2 << 16 | 1 << 24 | 2 << 56);
        assert_eq!(written(&four, 0, 14), "00001110000111");
        assert_eq!(written(&four, 1, 13), "0000111000011");
        assert_eq!(written(&four, 2, 12), "111000011100");
        assert_eq!(written(&four, 3, 13), "1110000111000");
        assert_eq!(four.source(126), Some(128));
        assert_eq!(four.source(127), None);
    }

    #[test]
    fn limits() {
        let bits = 2 << 24 | 16 << 17 | 1 << 4;
        let instruction = Instruction::decode_stationary(bits, Kind::F16).unwrap();
        let decode =
            |fields, code: u32| ColumnMask::decode(fields, &instruction, bits | code << 30);
        assert!(matches!(
            decode(8 << 56, 0),
            Err(DescriptorError::ColumnShift { .. })
        ));
        assert!(decode(8 << 56, 1).is_ok() && decode(16 << 56, 3).is_ok());
        assert!(decode(17 << 56, 3).is_err(), "M = 32 has at most 16");
        assert!(decode(1 << 36, 0).is_err(), "reserved");
        assert!(matches!(
            decode(SPANS | 4, 0),
            Err(DescriptorError::Unsupported(_))
        ));
    }
}
