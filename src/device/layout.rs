//! Where the elements of the operands lie in their buffers.

use std::fmt;

use crate::artifact::{Operand, Sizes};
use crate::numerics::{BLOCK, scales};

/// All operands, inputs first.
pub const OPERANDS: [Operand; 5] = [
    Operand::A,
    Operand::B,
    Operand::Sfa,
    Operand::Sfb,
    Operand::C,
];

/// One operand of one group: what its buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Index of the group in the set.
    pub group: usize,
    /// Which operand.
    pub operand: Operand,
    /// Rows of elements or of scales.
    pub rows: usize,
    /// Elements or scales in a row.
    pub columns: usize,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Two elements a byte.
    Packed,
    /// Scales in blocks of 128 x 4.
    Blocked,
    /// Elements of this many bytes.
    Plain(usize),
}

impl Layout {
    /// The layout of an operand of a set of these sizes. `None` if there is no such group or output type.
    pub fn of(sizes: &Sizes, group: usize, operand: Operand) -> Option<Self> {
        let size = |list: &[u32]| list.get(group).map(|size| *size as usize);
        let (m, n, k) = (size(&sizes.m)?, size(&sizes.n)?, size(&sizes.k)?);
        let (rows, columns, form) = match operand {
            Operand::A => (m, k, Form::Packed),
            Operand::B => (n, k, Form::Packed),
            Operand::Sfa => (m, k / BLOCK, Form::Blocked),
            Operand::Sfb => (n, k / BLOCK, Form::Blocked),
            Operand::C => (m, n, Form::Plain(output_bytes(&sizes.output)?)),
        };
        Some(Layout {
            group,
            operand,
            rows,
            columns,
            form,
        })
    }

    /// Size of the buffer.
    pub fn bytes(&self) -> usize {
        match self.form {
            Form::Packed => self.rows * self.columns / 2,
            Form::Blocked => scales::blocked_len(self.rows, self.columns),
            Form::Plain(size) => self.rows * self.columns * size,
        }
    }

    /// The element that would lie at byte `offset` if the rows went on for ever.
    fn element(&self, offset: usize) -> (usize, usize) {
        let columns = self.columns.max(1);
        match self.form {
            Form::Packed => (2 * offset / columns, 2 * offset % columns),
            Form::Plain(size) => (offset / size / columns, offset / size % columns),
            Form::Blocked => {
                let (block, byte) = (offset / scales::BLOCK_BYTES, offset % scales::BLOCK_BYTES);
                let blocks = columns.div_ceil(scales::BLOCK_COLUMNS);
                let row = block / blocks * scales::BLOCK_ROWS + byte % 16 / 4 * 32 + byte / 16;
                (row, block % blocks * scales::BLOCK_COLUMNS + byte % 4)
            }
        }
    }
}

fn output_bytes(output: &str) -> Option<usize> {
    match output {
        "f16" | "bf16" => Some(2),
        "f32" => Some(4),
        _ => None,
    }
}

/// An address, said in terms of the nearest operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The operand in or near which the address lies.
    pub layout: Layout,
    /// Bytes from the start of its buffer; may be negative, or beyond the end.
    pub offset: i64,
}

impl Place {
    /// Bytes between the address and the buffer; 0 if it lies inside.
    pub fn distance(&self) -> u64 {
        let last = self.layout.bytes() as i64 - 1;
        if self.offset < 0 {
            self.offset.unsigned_abs()
        } else {
            (self.offset - last).max(0).unsigned_abs()
        }
    }

    /// Row and column of the element at the address, also where the padding or the next row beyond the end would be.
    /// `None` before the start.
    pub fn element(&self) -> Option<(usize, usize)> {
        usize::try_from(self.offset)
            .ok()
            .map(|offset| self.layout.element(offset))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Layout {
            group,
            operand,
            rows,
            columns,
            ..
        } = self.layout;
        write!(
            out,
            "group {group}, {} [{rows}, {columns}]",
            operand_name(operand)
        )?;
        if let Some((row, column)) = self.element() {
            write!(out, ", row {row}, column {column}")?;
        }
        let past = self.offset - self.layout.bytes() as i64;
        match self.offset {
            ..0 => write!(out, " ({} bytes before its start)", -self.offset),
            _ if past == 0 => write!(out, " (right behind its end)"),
            _ if past > 0 => write!(out, " ({past} bytes behind its end)"),
            _ => Ok(()),
        }
    }
}

/// The operand as the formulas write it.
pub fn operand_name(operand: Operand) -> &'static str {
    match operand {
        Operand::A => "A",
        Operand::B => "B",
        Operand::Sfa => "SFA",
        Operand::Sfb => "SFB",
        Operand::C => "C",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> Sizes {
        Sizes {
            m: vec![40, 0],
            n: vec![136, 8],
            k: vec![192, 64],
            output: "f16".into(),
            weights: "dynamic".into(),
        }
    }

    fn place(operand: Operand, offset: i64) -> String {
        Place {
            layout: Layout::of(&sizes(), 0, operand).unwrap(),
            offset,
        }
        .to_string()
    }

    #[test]
    fn sizes_in_bytes() {
        let bytes =
            |group| OPERANDS.map(|operand| Layout::of(&sizes(), group, operand).unwrap().bytes());
        assert_eq!(
            bytes(0),
            [40 * 96, 136 * 96, 3 * 512, 2 * 3 * 512, 40 * 136 * 2]
        );
        assert_eq!(bytes(1), [0, 8 * 32, 0, 512, 0]);
        assert_eq!(Layout::of(&sizes(), 2, Operand::A), None);
    }

    #[test]
    fn places_inside() {
        assert_eq!(
            place(Operand::A, 97),
            "group 0, A [40, 192], row 1, column 2"
        );
        assert_eq!(
            place(Operand::C, 2 * 136 * 39 + 2 * 135),
            "group 0, C [40, 136], row 39, column 135"
        );
    }

    #[test]
    fn places_outside() {
        assert_eq!(
            place(Operand::B, -16),
            "group 0, B [136, 192] (16 bytes before its start)"
        );
        assert_eq!(
            place(Operand::C, 2 * 136 * 40),
            "group 0, C [40, 136], row 40, column 0 (right behind its end)"
        );
    }

    #[test]
    fn places_of_scales_invert_the_blocked_form() {
        let layout = Layout::of(&sizes(), 0, Operand::Sfb).unwrap();
        for (row, column) in [(0, 0), (31, 3), (32, 0), (127, 11), (128, 4), (135, 7)] {
            let offset = scales::blocked_offset(row, column, layout.columns);
            assert_eq!(layout.element(offset), (row, column));
        }
    }
}
