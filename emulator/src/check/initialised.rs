//! Which bytes of shared memory and which cells of tensor memory have been written with defined values, and what an MMA
//! makes of undefined operands.

use super::footprint::{ROW, operand_units, ranks};
use super::{GRANULE, granules};
use crate::engine::descriptor::{Format, Kind, SharedMatrix};
use crate::engine::mma::{AOperand, Mma};
use crate::engine::operand::k_major_units;
use crate::engine::tensor_memory::{
    Access, COLUMNS, CopyShape, ScaleSource, accumulator_blocks, split,
};

/// The state of one CTA.
#[derive(Default)]
pub(crate) struct Initialised {
    /// A bit per byte, by granule.
    shared: Vec<u16>,
    /// A bit per lane, four words per column.
    tensor: Vec<u32>,
    /// The line that left a column's 32 lanes undefined, or 0.
    origin: Vec<u32>,
}

impl Initialised {
    pub fn new(shared: u32) -> Self {
        Initialised {
            shared: vec![0; shared.div_ceil(GRANULE) as usize],
            tensor: Vec::new(),
            origin: Vec::new(),
        }
    }

    // ---- shared memory

    pub fn set(&mut self, offset: u32, len: u32, defined: bool) {
        for (granule, mask) in granules(offset.into(), len.into()) {
            if let Some(bits) = self.shared.get_mut(granule as usize) {
                *bits = if defined {
                    *bits | mask as u16
                } else {
                    *bits & !(mask as u16)
                };
            }
        }
    }

    /// True if all of these bytes are defined.
    pub fn is_set(&self, offset: u32, len: u32) -> bool {
        let defined = |granule: u64, mask: u32| {
            self.shared
                .get(granule as usize)
                .is_none_or(|bits| mask & !u32::from(*bits) == 0)
        };
        granules(offset.into(), len.into()).all(|(granule, mask)| defined(granule, mask))
    }

    // ---- tensor memory

    fn prepare(&mut self) {
        if self.tensor.is_empty() {
            self.tensor = vec![0; COLUMNS * 4];
            self.origin = vec![0; COLUMNS * 4];
        }
    }

    /// Freshly allocated columns hold what others have left.
    pub fn forget_columns(&mut self, first: u32, columns: u32) {
        self.prepare();
        let range = first as usize * 4..(first + columns) as usize * 4;
        self.tensor[range.clone()].fill(0);
        self.origin[range].fill(0);
    }

    fn put(&mut self, lane: usize, column: usize, defined: bool, line: u32) {
        let index = column * 4 + lane / 32;
        let Some(bits) = self.tensor.get_mut(index) else {
            return;
        };
        *bits = *bits & !(1 << (lane % 32)) | u32::from(defined) << (lane % 32);
        if !defined {
            self.origin[index] = line;
        }
    }

    fn defined(&self, lane: usize, column: usize) -> bool {
        self.tensor
            .get(column * 4 + lane / 32)
            .is_some_and(|bits| bits >> (lane % 32) & 1 != 0)
    }

    /// The lanes of a column in which a group of 32 is defined.
    fn column(&self, group: usize, column: u32) -> u32 {
        self.tensor
            .get(column as usize * 4 + group)
            .copied()
            .unwrap_or(0)
    }

    /// tcgen05.ld: for each register the lanes of the warp that receive something undefined, and the line behind that.
    pub fn load(&self, access: &Access, address: u32) -> Vec<(u32, u32)> {
        let (lane, column) = split(address);
        let one = |register: usize| {
            let mut result = (0, 0);
            for thread in 0..32 {
                let (l, c) = access.cell(register, thread);
                let (l, c) = (lane as usize + l, column as usize + c);
                if !self.defined(l, c) || access.packed && !self.defined(l, c + 1) {
                    result.0 |= 1 << thread;
                    result.1 = self.origin.get(c * 4 + l / 32).copied().unwrap_or(0);
                }
            }
            result
        };
        (0..access.registers()).map(one).collect()
    }

    /// tcgen05.st of registers with undefined lanes.
    pub fn store(&mut self, access: &Access, address: u32, undefined: &[u32], line: u32) {
        self.prepare();
        let (lane, column) = split(address);
        for (register, lanes) in undefined.iter().enumerate() {
            for thread in 0..32 {
                let (l, c) = access.cell(register, thread);
                let (l, c) = (lane as usize + l, column as usize + c);
                let defined = lanes >> thread & 1 == 0;
                self.put(l, c, defined, line);
                if access.packed {
                    self.put(l, c + 1, defined, line);
                }
            }
        }
    }

    /// tcgen05.cp.
    pub fn copy(
        &mut self,
        (shape, expands): (CopyShape, bool),
        address: u32,
        matrix: &SharedMatrix,
        line: u32,
    ) {
        let bytes = if expands { 2 } else { 4 };
        self.prepare();
        let (lane, column) = split(address);
        let (rows, row_bytes) = shape.source();
        let per_row = row_bytes / GRANULE as usize;
        for (i, (row, offset)) in k_major_units(matrix, rows, row_bytes).enumerate() {
            for word in 0..4 {
                let defined = self.is_set(offset + word * bytes, bytes);
                let column = column as usize + i % per_row * 4 + word as usize;
                shape
                    .lanes(row)
                    .for_each(|l| self.put(lane as usize + l, column, defined, line));
            }
        }
    }
}

/// One tcgen05.mma: rows of D whose row of A or scales are undefined are undefined, and so are columns of D with B.
pub(crate) fn multiply(ctas: &mut [Initialised], mma: &Mma, rank: u32, line: u32) {
    let Ok(instruction) = mma.decode() else {
        return;
    };
    let ranks = ranks(mma.group, rank);
    let count = ranks.len();
    let Ok(sources) = mma.rows_of_b(&instruction) else {
        return;
    };
    let held = sources.iter().flatten().max().map_or(0, |last| last + 1);
    let (rows_a, rows_b) = (instruction.m / count, held.max(instruction.n) / count);
    let undefined_b: Vec<usize> = ranks
        .clone()
        .flat_map(|rank| {
            let first = (rank - ranks.start) as usize * rows_b;
            let rows = shared_rows(
                &ctas[rank as usize],
                mma.b,
                rows_b,
                (instruction.kind, instruction.b),
                instruction.transpose_b,
            );
            rows.into_iter().map(move |row| first + row)
        })
        .collect();
    for rank in ranks {
        let cta = &mut ctas[rank as usize];
        cta.prepare();
        // Of A: its rows, or its lanes in tensor memory.
        let (mut rows, mut lanes) = ([true; 128], [true; 128]);
        let mut columns = [true; 256];
        for (column, source) in columns.iter_mut().zip(&sources) {
            *column = source.is_none_or(|row| !undefined_b.contains(&row));
        }
        match mma.a {
            AOperand::Shared(a) => {
                let undefined = shared_rows(
                    cta,
                    a,
                    rows_a,
                    (instruction.kind, instruction.a),
                    instruction.transpose_a,
                );
                undefined.into_iter().for_each(|row| rows[row] = false);
            }
            AOperand::Tensor(address) => {
                let (lane, column) = split(address);
                let defined = |lane: usize| (0..8).all(|c| cta.defined(lane, column as usize + c));
                (lane as usize..128).for_each(|l| lanes[l - lane as usize] = defined(l));
            }
        }
        if let Some(scales) = mma.scales {
            let b = ScaleSource::of_b(scales.b, &instruction);
            for (source, flags) in [
                (ScaleSource::of_a(scales.a, rows_a), &mut rows[..rows_a]),
                (b, &mut columns[..instruction.n]),
            ] {
                let (_, column) = split(source.address & 0x3FFF_FFFF);
                for (row, flag) in flags.iter_mut().enumerate() {
                    let (behind, mut lanes) = source.copies(row);
                    *flag &= lanes.all(|lane| cta.defined(lane, (column + behind) as usize));
                }
            }
        }
        mark_result(cta, mma, &instruction, (&rows, &lanes), &columns, line);
    }
}

fn mark_result(
    cta: &mut Initialised,
    mma: &Mma,
    instruction: &crate::engine::descriptor::Instruction,
    (rows, lanes): (&[bool; 128], &[bool; 128]),
    columns: &[bool; 256],
    line: u32,
) {
    let (lane, column) = split(mma.d);
    for block in accumulator_blocks(instruction) {
        let (mut touched, mut good) = ([0u32; 4], [0u32; 4]);
        for (i, row) in block.rows.clone().enumerate() {
            let l = lane as usize + block.lane + i;
            touched[(l / 32) & 3] |= 1 << (l % 32);
            let good_row = rows[row] && lanes[block.lane + i];
            good[(l / 32) & 3] |= u32::from(good_row) << (l % 32);
        }
        for (i, n) in block.columns.clone().enumerate() {
            let c = column + i as u32;
            for group in 0..4 {
                let before = cta.column(group, c);
                let result = if columns[n] { good[group] } else { 0 };
                let result = if mma.accumulate {
                    result & before
                } else {
                    result
                };
                let index = c as usize * 4 + group;
                let Some(bits) = cta.tensor.get_mut(index) else {
                    continue;
                };
                *bits = before & !touched[group] | result & touched[group];
                if *bits & touched[group] != touched[group] {
                    cta.origin[index] = line;
                }
            }
        }
    }
}

/// Bytes of a unit that hold elements: in the kinds that mix formats, narrow elements are padded to 16 bytes for each 16
/// (PTX ISA, packing formats of tcgen05.mma).
fn used_bytes(kind: Kind, format: Format) -> u32 {
    match (kind, format) {
        (Kind::F8f6f4 | Kind::Mxf8f6f4, Format::E2m1) => 8,
        (Kind::F8f6f4 | Kind::Mxf8f6f4, Format::E2m3 | Format::E3m2) => 12,
        _ => GRANULE,
    }
}

/// The rows of an operand in shared memory that are not wholly defined.
fn shared_rows(
    cta: &Initialised,
    descriptor: u64,
    rows: usize,
    (kind, format): (Kind, Format),
    transpose: bool,
) -> Vec<usize> {
    let Ok(matrix) = SharedMatrix::decode_sm100(descriptor) else {
        return Vec::new();
    };
    let units = operand_units(&matrix, rows, format, transpose, ROW);
    let undefined = units
        .into_iter()
        .filter(|(_, offset)| !cta.is_set(*offset, used_bytes(kind, format)));
    undefined.flat_map(|(rows, _)| rows).collect()
}
