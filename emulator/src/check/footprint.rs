//! What asynchronous operations touch: bytes of shared memory and rectangles of tensor memory.

use crate::engine::descriptor::{CtaGroup, Format, SharedMatrix};
use crate::engine::mma::format::element_bytes;
use crate::engine::mma::wgmma::Wgmma;
use crate::engine::mma::{AOperand, Mma};
use crate::engine::operand::{k_major_units, mn_major_units};
use crate::engine::tensor_memory::{
    Access, AccessShape, AccumulatorBlock, ScaleSource, accumulator_blocks, split,
};
use crate::machine::{BoxMode, CancelResponse, SharedAddress, Work, masked_runs, targets};

/// Bytes of a row of A or B along K.
pub(super) const ROW: usize = 32;
const UNIT: u32 = 16;

/// A part of a footprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    Shared {
        at: SharedAddress,
        len: u32,
        write: bool,
    },
    Tensor {
        rank: u32,
        /// One bit per lane.
        lanes: u128,
        column: u32,
        columns: u32,
        write: bool,
    },
}

/// The ranks of the CTAs that take part.
pub(super) fn ranks(group: CtaGroup, rank: u32) -> std::ops::Range<u32> {
    match group {
        CtaGroup::One => rank..rank + 1,
        CtaGroup::Two => rank & !1..(rank | 1) + 1,
    }
}

/// Consecutive lanes.
fn lanes(first: usize, count: usize) -> u128 {
    let all = if count >= 128 {
        u128::MAX
    } else {
        (1 << count) - 1
    };
    all.checked_shl(first as u32).unwrap_or(0)
}

/// Shared memory of a copy: the destinations in the order of the barriers that they signal, then what it reads there.
pub(super) fn copy_footprint(work: &Work) -> Vec<Touch> {
    let shared = |at, len, write| Touch::Shared { at, len, write };
    match work {
        Work::TensorLoad {
            map,
            mode,
            dst,
            mask,
            ..
        } => {
            let len = image_bytes(map, *mode);
            targets(*dst, *mask)
                .map(|to| shared(to, len, true))
                .collect()
        }
        Work::TensorStore { map, mode, src, .. } => {
            vec![shared(*src, image_bytes(map, *mode), false)]
        }
        Work::BulkLoad {
            dst, bytes, mask, ..
        } => targets(*dst, *mask)
            .map(|to| shared(to, *bytes, true))
            .collect(),
        Work::BulkShared {
            dst, src, bytes, ..
        } => vec![shared(*dst, *bytes, true), shared(*src, *bytes, false)],
        Work::BulkStore {
            src, bytes, mask, ..
        } => masked_runs(*bytes, *mask)
            .into_iter()
            .map(|(offset, len)| shared(src.offset_by(offset), len, false))
            .collect(),
        Work::Cancel { dst, mask, .. } => targets(*dst, *mask)
            .map(|to| shared(to, CancelResponse::BYTES, true))
            .collect(),
        Work::Deposit(deposit) => vec![shared(deposit.dst, deposit.len, true)],
        Work::Small { dst, size, .. } => vec![shared(*dst, *size, true)],
        _ => Vec::new(),
    }
}

/// Bytes of a box in shared memory, with those between narrow rows.
fn image_bytes(map: &crate::TensorMap, mode: BoxMode) -> u32 {
    let rows = match mode {
        BoxMode::Tile | BoxMode::Im2col(_) => map.rows(),
        BoxMode::FourRows => 4,
    };
    map.row_pitch() * rows
}

/// tcgen05.cp and shift.
pub(super) fn tensor_copy_footprint(work: &Work, rank: u32) -> Vec<Touch> {
    let Work::TensorCopy {
        group,
        shape,
        address,
        matrix,
        ..
    } = work
    else {
        return Vec::new();
    };
    let Ok(matrix) = SharedMatrix::decode_sm100(*matrix) else {
        return Vec::new();
    };
    let (rows, row_bytes) = shape.source();
    let (lane, column) = split(*address);
    let written = (0..rows)
        .flat_map(|row| shape.lanes(row))
        .fold(0, |all, l| all | lanes(lane as usize + l, 1));
    let mut touches = Vec::new();
    for rank in ranks(*group, rank) {
        touches
            .extend(k_major_units(&matrix, rows, row_bytes).map(|(_, offset)| read(rank, offset)));
        touches.push(Touch::Tensor {
            rank,
            lanes: written,
            column,
            columns: row_bytes as u32 / 4,
            write: true,
        });
    }
    touches
}

fn read(rank: u32, offset: u32) -> Touch {
    Touch::Shared {
        at: SharedAddress { rank, offset },
        len: UNIT,
        write: false,
    }
}

/// The units of an operand in shared memory: rows that each one holds part of, and its offset.
pub(super) fn operand_units(
    matrix: &SharedMatrix,
    rows: usize,
    format: Format,
    transpose: bool,
    row_bytes: usize,
) -> Vec<(std::ops::Range<usize>, u32)> {
    let bytes = element_bytes(format);
    if transpose {
        let per_unit = UNIT as usize / bytes;
        let units = mn_major_units(matrix, rows, row_bytes / bytes, bytes);
        units
            .map(|(first, offset)| (first..(first + per_unit).min(rows), offset))
            .collect()
    } else {
        k_major_units(matrix, rows, row_bytes)
            .map(|(row, offset)| (row..row + 1, offset))
            .collect()
    }
}

/// One tcgen05.mma: A and B in shared memory, A, scales and D in tensor memory. Operands that cannot be decoded are
/// reported when it happens.
pub(super) fn multiply_footprint(mma: &Mma, rank: u32) -> Vec<Touch> {
    let Ok(instruction) = mma.decode() else {
        return Vec::new();
    };
    let mut touches = Vec::new();
    let ranks = ranks(mma.group, rank);
    let ctas = ranks.len();
    let Ok(sources) = mma.rows_of_b(&instruction) else {
        return Vec::new();
    };
    let held = sources.iter().flatten().max().map_or(0, |last| last + 1);
    let (rows_a, rows_b) = (instruction.m / ctas, held.max(instruction.n) / ctas);
    let blocks = accumulator_blocks(&instruction);
    for rank in ranks {
        let mut units = |descriptor, rows, format, transpose| {
            let matrix = SharedMatrix::decode_sm100(descriptor).ok();
            let units = matrix
                .map(|m| operand_units(&m, rows, format, transpose, ROW))
                .unwrap_or_default();
            touches.extend(units.into_iter().map(|(_, offset)| read(rank, offset)));
        };
        if let AOperand::Shared(descriptor) = mma.a {
            units(descriptor, rows_a, instruction.a, instruction.transpose_a);
        }
        units(mma.b, rows_b, instruction.b, instruction.transpose_b);
        let columns = ScaleSource::of_b(0, &instruction).run();
        touches.extend(tensor_reads(mma, &blocks, (rows_a, columns), rank));
        let (lane, column) = split(mma.d);
        for block in &blocks {
            let lanes = lanes(lane as usize + block.lane, block.rows.len());
            touches.push(Touch::Tensor {
                rank,
                lanes,
                column,
                columns: block.width(),
                write: true,
            });
        }
    }
    touches
}

/// A in tensor memory, and scale factors: their copies, and the halves of B's where it is halved, fill all lanes.
fn tensor_reads(
    mma: &Mma,
    blocks: &[AccumulatorBlock],
    (rows_a, n): (usize, usize),
    rank: u32,
) -> Vec<Touch> {
    let read = |address: u32, lanes, columns: usize| {
        let (_, column) = split(address & 0x3FFF_FFFF);
        Touch::Tensor {
            rank,
            lanes,
            column,
            columns: columns as u32,
            write: false,
        }
    };
    let mut touches = Vec::new();
    if let AOperand::Tensor(address) = mma.a {
        let (lane, _) = split(address);
        let all = blocks.iter().fold(0, |all, block| {
            all | lanes(lane as usize + block.lane, block.rows.len())
        });
        touches.push(read(address, all, ROW / 4));
    }
    if let Some(scales) = mma.scales {
        for (address, rows) in [(scales.a, rows_a), (scales.b, n)] {
            let whole = rows / 32;
            touches.push(read(address, u128::MAX, whole));
            if rows % 32 != 0 {
                let part = (0..4).fold(0, |all, group| all | lanes(32 * group, rows % 32));
                touches.push(read(address + whole as u32, part, 1));
            }
        }
    }
    touches
}

/// tcgen05.ld and st: each shape fills a rectangle, or two.
pub(super) fn transfer_footprint(
    access: &Access,
    address: u32,
    rank: u32,
    write: bool,
) -> Vec<Touch> {
    let (lane, column) = split(address);
    let lanes = lanes(lane as usize, access.shape.lanes() as usize);
    let touch = |column| Touch::Tensor {
        rank,
        lanes,
        column,
        columns: access.columns(),
        write,
    };
    match access.shape {
        AccessShape::S16x32bx2 { offset } if offset != 0 => {
            vec![touch(column), touch(column.saturating_add(offset))]
        }
        _ => vec![touch(column)],
    }
}

/// The operands of a wgmma in shared memory.
pub(crate) fn warpgroup_footprint(
    operation: &Wgmma,
    a: Option<u64>,
    b: u64,
    rank: u32,
) -> Vec<Touch> {
    let mut touches = Vec::new();
    let mut units = |descriptor, rows, format, transpose, row_bytes| {
        let matrix = SharedMatrix::decode_sm90(descriptor).ok();
        let units = matrix
            .map(|m| operand_units(&m, rows, format, transpose, row_bytes))
            .unwrap_or_default();
        touches.extend(units.into_iter().map(|(_, offset)| read(rank, offset)));
    };
    if let Some(a) = a {
        units(a, 64, operation.a, operation.transpose_a, ROW);
    }
    let row_of_b = operation.row_of_b();
    units(b, operation.n, operation.b, operation.transpose_b, row_of_b);
    touches
}
