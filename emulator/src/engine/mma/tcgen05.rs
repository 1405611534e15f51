//! One `tcgen05.mma`: gathers the operands of the CTA or pair, multiplies, writes D (brief, 1.6 and 2).

use std::borrow::Cow;

use super::super::Error;
use super::super::descriptor::{
    Accumulator, CtaGroup, Format, Instruction, Kind, ScaleFormat, SharedMatrix,
};
use super::super::tensor_memory::{COLUMNS, ScaleSource, accumulator_blocks, split};
use super::fused::Output;
use super::operands::{ROW, group_scales, pack_containers, row_scales, shared_rows, tensor_rows};
use super::{AOperand, Cta, Mma, MmaError, block_scaled, fused, integer};

pub(super) fn execute(mma: &Mma, ctas: &mut [Cta<'_>]) -> Result<(), Error> {
    let instruction = mma.decode()?;
    check(mma, &instruction, ctas)?;
    let b = gather_b(mma, &instruction, ctas)?;
    let halves: Vec<Half> = ctas
        .iter()
        .map(|cta| gather_half(mma, &instruction, cta))
        .collect::<Result<_, Error>>()?;
    for ((index, cta), half) in ctas.iter_mut().enumerate().zip(halves) {
        let kept = disabled_rows(mma, cta, index);
        multiply(mma, &instruction, &half, &b, cta);
        for (lane, cells) in kept {
            cta.tensor.row_mut(lane, 0).copy_from_slice(&cells);
        }
    }
    Ok(())
}

/// What one CTA contributes besides its part of B.
struct Half {
    a: Vec<u8>,
    scales: HalfScales,
}

/// Scales of the rows of A of this CTA, and of all rows of B.
enum HalfScales {
    None,
    Groups {
        format: ScaleFormat,
        a: Vec<[u8; 4]>,
        b: Vec<[u8; 4]>,
    },
    Rows {
        a: Vec<Option<i32>>,
        b: Vec<Option<i32>>,
    },
}

fn check(mma: &Mma, instruction: &Instruction, ctas: &[Cta<'_>]) -> Result<(), Error> {
    let needed = if mma.group == CtaGroup::One { 1 } else { 2 };
    if ctas.len() != needed {
        return Err(MmaError::CtaCount {
            given: ctas.len(),
            group: mma.group,
        }
        .into());
    }
    let kind = mma.kind;
    if mma.scale_input_d > 15 || mma.scale_input_d > 0 && !matches!(kind, Kind::F16 | Kind::Tf32) {
        return Err(MmaError::ScaleInputD {
            kind,
            value: mma.scale_input_d,
        }
        .into());
    }
    if kind.is_block_scaled() && mma.disabled_lanes != [0; 8] {
        return Err(MmaError::DisabledLanes(kind).into());
    }
    let a_is_in_tensor_memory = matches!(mma.a, AOperand::Tensor(_));
    if let Some(what) = unsupported(instruction, a_is_in_tensor_memory) {
        return Err(MmaError::Unsupported(what.into()).into());
    }
    if matches!(mma.a, AOperand::Tensor(_)) && instruction.transpose_a {
        return Err(MmaError::TransposeTensorA.into());
    }
    check_accumulator(mma, instruction, ctas)
}

/// What this instruction descriptor asks for that is not implemented: nothing says where the bytes would be.
pub(super) fn unsupported(
    instruction: &Instruction,
    a_is_in_tensor_memory: bool,
) -> Option<&'static str> {
    let six_bits = matches!(instruction.a, Format::E2m3 | Format::E3m2);
    if a_is_in_tensor_memory && six_bits {
        return Some("A of 6 bits per byte in tensor memory");
    }
    None
}

fn check_accumulator(mma: &Mma, instruction: &Instruction, ctas: &[Cta<'_>]) -> Result<(), Error> {
    let (lane, column) = split(mma.d);
    let half = !instruction.stationary && mma.group == CtaGroup::One && instruction.m == 64;
    if lane != 0 && !(half && lane == 16) {
        return Err(MmaError::AccumulatorLane(lane).into());
    }
    let columns = accumulator_blocks(instruction)[0].width();
    for cta in ctas {
        cta.tensor.check_columns(column, columns)?;
    }
    Ok(())
}

/// A row of B for each column of D: each CTA of a pair holds half of them at the same shared address.
fn gather_b(mma: &Mma, instruction: &Instruction, ctas: &[Cta<'_>]) -> Result<Vec<u8>, Error> {
    let matrix = SharedMatrix::decode_sm100(mma.b)?;
    let sources = mma.rows_of_b(instruction)?;
    let held = sources.iter().flatten().max().map_or(0, |last| last + 1);
    let mut b = Vec::with_capacity(instruction.n * ROW);
    for cta in ctas {
        let rows = held.max(instruction.n) / ctas.len();
        shared_rows(
            cta.shared,
            &matrix,
            rows,
            instruction.b,
            instruction.transpose_b,
            &mut b,
        )?;
    }
    if mma.stationary.is_none() {
        return Ok(b);
    }
    let row = |source: Option<usize>| source.map_or(&[0; ROW][..], |n| &b[n * ROW..][..ROW]);
    Ok(sources.into_iter().flat_map(row).copied().collect())
}

fn gather_half(mma: &Mma, instruction: &Instruction, cta: &Cta<'_>) -> Result<Half, Error> {
    let rows = if mma.group == CtaGroup::One {
        instruction.m
    } else {
        instruction.m / 2
    };
    let mut a = Vec::new();
    match mma.a {
        AOperand::Tensor(address) => {
            let blocks = accumulator_blocks(instruction);
            let lanes = blocks.iter().map(|block| block.rows_of_a(true).end).max();
            a = tensor_rows(cta.tensor, address, lanes.unwrap_or(0))?;
            if instruction.k == 32 && instruction.a == Format::E2m1 {
                pack_containers(&mut a);
            }
        }
        AOperand::Shared(descriptor) => {
            let matrix = SharedMatrix::decode_sm100(descriptor)?;
            shared_rows(
                cta.shared,
                &matrix,
                rows,
                instruction.a,
                instruction.transpose_a,
                &mut a,
            )?;
        }
    }
    Ok(Half {
        a,
        scales: gather_scales(mma, instruction, cta, rows)?,
    })
}

fn gather_scales(
    mma: &Mma,
    instruction: &Instruction,
    cta: &Cta<'_>,
    rows: usize,
) -> Result<HalfScales, Error> {
    let (Some(scales), Some(operands)) = (instruction.scales, mma.scales) else {
        return Ok(HalfScales::None);
    };
    let a = ScaleSource::of_a(operands.a, rows);
    let b = ScaleSource::of_b(operands.b, instruction);
    Ok(match mma.kind {
        Kind::Mxf8f6f4 => HalfScales::Rows {
            a: row_scales(cta.tensor, a, scales.a_id)?,
            b: row_scales(cta.tensor, b, scales.b_id)?,
        },
        _ => HalfScales::Groups {
            format: scales.format,
            a: group_scales(cta.tensor, a, scales.vector, scales.a_id)?,
            b: group_scales(cta.tensor, b, scales.vector, scales.b_id)?,
        },
    })
}

/// The lanes of D that the mask protects, as they are now.
fn disabled_rows(mma: &Mma, cta: &Cta<'_>, index: usize) -> Vec<(usize, Vec<u32>)> {
    let mask = |lane: usize| mma.disabled_lanes[4 * index + lane / 32] >> (lane % 32) & 1;
    (0..128)
        .filter(|&lane| mask(lane) == 1)
        .map(|lane| (lane, cta.tensor.row(lane, 0).to_vec()))
        .collect()
}

fn multiply(mma: &Mma, instruction: &Instruction, half: &Half, b: &[u8], cta: &mut Cta<'_>) {
    let (lane, column) = split(mma.d);
    let a = signed_a(instruction, half);
    for block in accumulator_blocks(instruction) {
        let held = block.rows_of_a(matches!(mma.a, AOperand::Tensor(_)));
        let (rows, columns) = (block.rows, block.columns);
        let (a, b) = (
            &a[held.start * ROW..held.end * ROW],
            &b[columns.start * ROW..columns.end * ROW],
        );
        let d = cta.tensor.cells_from(lane as usize + block.lane, column);
        let fused = |scales_a, scales_b, d: &mut [u32]| {
            fused_product(mma, instruction, a, b, scales_a, scales_b).multiply(
                d,
                COLUMNS,
                mma.accumulate,
            )
        };
        match &half.scales {
            HalfScales::Groups {
                format,
                a: scales_a,
                b: scales_b,
            } => {
                let (scales_a, scales_b) = (&scales_a[rows], &scales_b[columns]);
                let tile = block_scaled::Tile {
                    a,
                    b,
                    scales_a,
                    scales_b,
                    format: *format,
                };
                tile.multiply(d, COLUMNS, mma.accumulate);
            }
            HalfScales::Rows {
                a: scales_a,
                b: scales_b,
            } => fused(&scales_a[rows], &scales_b[columns], d),
            HalfScales::None if mma.kind == Kind::I8 => {
                let (a_format, b_format) = (instruction.a, instruction.b);
                let product = integer::Product {
                    a,
                    a_format,
                    b,
                    b_format,
                    saturate: instruction.saturate,
                };
                product.multiply(d, COLUMNS, mma.accumulate);
            }
            HalfScales::None => fused(
                &[Some(0); 128][..rows.len()],
                &[Some(0); 256][..columns.len()],
                d,
            ),
        }
    }
}

/// The rows of A; packed E2M1 carries the negation of A or B itself.
fn signed_a<'a>(instruction: &Instruction, half: &'a Half) -> Cow<'a, [u8]> {
    match instruction.negate_a != instruction.negate_b
        && matches!(half.scales, HalfScales::Groups { .. })
    {
        true => half.a.iter().map(|byte| byte ^ 0x88).collect(),
        false => Cow::Borrowed(&half.a),
    }
}

fn fused_product<'a>(
    mma: &Mma,
    instruction: &Instruction,
    a: &'a [u8],
    b: &'a [u8],
    scales_a: &'a [Option<i32>],
    scales_b: &'a [Option<i32>],
) -> fused::Product<'a> {
    fused::Product {
        a,
        a_format: instruction.a,
        b,
        b_format: instruction.b,
        scales_a,
        scales_b,
        negate: instruction.negate_a != instruction.negate_b,
        fraction: fused::FRACTION,
        output: if instruction.d == Accumulator::F16 {
            Output::F16
        } else {
            Output::F32
        },
        scale_c: mma.scale_input_d,
    }
}
