//! The block-scaled kinds of `mma.sync` (sm_120a): E2M1 with K = 64 and FP8 with K = 32 (PTX ISA, 9.7.14.5; brief, 6).
//!
//! A scale operand is a register of four bytes and a selector {byte, thread}. For A, lane t with `t / 2 % 2` equal to the
//! thread selector gives the scales of row `t / 4 + 8 (t % 2)`; for B, lane t with `t % 4` equal to it those of column
//! `t / 4`.

use super::Src;
use super::form::Form;
use super::mma::{M, N};
use super::types::Ty;
use crate::engine::descriptor::{Format, ScaleFormat, ScaleVector};
use crate::engine::mma::block_scaled::Tile;
use crate::engine::mma::fused::{self, Output};
use crate::engine::mma::scalar;
use crate::error::LoadError;
use crate::machine::{FaultKind, Step};

/// Scales of one operand.
struct Source {
    data: Src,
    byte: u32,
    thread: usize,
}

/// A block-scaled product.
pub(super) struct Scaled {
    a: Format,
    b: Format,
    vector: ScaleVector,
    format: ScaleFormat,
    scales_a: Source,
    scales_b: Source,
}

/// Takes `.kind`, `.block_scale` and `.scale_vec`, if this is a scaled form.
pub(super) fn vector(f: &mut Form<'_>) -> Result<Option<ScaleVector>, LoadError> {
    let kinds = [
        ("kind::mxf8f6f4", ScaleVector::X1),
        ("kind::mxf4", ScaleVector::X2),
        ("kind::mxf4nvf4", ScaleVector::X4),
    ];
    let Some(kind) = f.choose(&kinds) else {
        return Ok(None);
    };
    f.require("`.block_scale`", &[("block_scale", ())])?;
    let vectors = [
        ("scale_vec::1X", ScaleVector::X1),
        ("scale_vec::2X", ScaleVector::X2),
        ("scale_vec::4X", ScaleVector::X4),
    ];
    let vector = match f.choose(&vectors) {
        None if kind == ScaleVector::X4 => return Err(f.invalid("needs a `.scale_vec`")),
        None => kind,
        Some(vector) if vector == kind => vector,
        Some(ScaleVector::X2) if kind == ScaleVector::X4 => ScaleVector::X2,
        Some(_) => return Err(f.invalid("this kind has no such scale vector")),
    };
    Ok(Some(vector))
}

/// Reads the rest of a scaled form.
pub(super) fn decode(
    f: &mut Form<'_>,
    vector: ScaleVector,
    a: Format,
    b: Format,
) -> Result<Scaled, LoadError> {
    use Format::*;
    let legal = match vector {
        ScaleVector::X1 => matches!((a, b), (E4m3 | E5m2, E4m3 | E5m2)),
        _ => (a, b) == (E2m1, E2m1),
    };
    if !legal {
        return Err(f.unsupported("these types together are not implemented"));
    }
    let formats = [("ue8m0", ScaleFormat::Ue8m0), ("ue4m3", ScaleFormat::Ue4m3)];
    let format = f.require("a scale type", &formats)?;
    if format == ScaleFormat::Ue4m3 && vector != ScaleVector::X4 {
        return Err(f.invalid("ue4m3 scales need `.scale_vec::4X`"));
    }
    Ok(Scaled {
        a,
        b,
        vector,
        format,
        scales_a: source(f, 4, vector, 2)?,
        scales_b: source(f, 6, vector, 4)?,
    })
}

/// `data, {byte, thread}` at operand i.
fn source(
    f: &mut Form<'_>,
    i: usize,
    vector: ScaleVector,
    threads: u64,
) -> Result<Source, LoadError> {
    let data = f.src(i, Ty::B32)?;
    let selector = f.srcs(i + 1, Ty::B16)?;
    let [Src::Imm(byte), Src::Imm(thread)] = selector[..] else {
        return Err(f.unsupported("scale selectors must be constants {byte, thread}"));
    };
    let byte_is_legal = match vector {
        ScaleVector::X1 => byte < 4,
        ScaleVector::X2 => byte == 0 || byte == 2,
        ScaleVector::X4 => byte == 0,
    };
    if !byte_is_legal || thread >= threads {
        return Err(f.invalid("the scale selector is out of range"));
    }
    Ok(Source {
        data,
        byte: byte as u32,
        thread: thread as usize,
    })
}

impl Scaled {
    /// `d += a * b`, rows of 32 bytes, scales from the registers of the warp.
    pub fn multiply(
        &self,
        step: &Step<'_>,
        a: &[u8],
        b: &[u8],
        d: &mut [u32],
    ) -> Result<(), FaultKind> {
        let (of_a, of_b) = (&self.scales_a, &self.scales_b);
        let (words_a, words_b) = (step.get(of_a.data), step.get(of_b.data));
        let lane_a = |row: usize| 4 * (row % 8) + row / 8 + 2 * of_a.thread;
        let words_a: [u32; M] = std::array::from_fn(|row| words_a[lane_a(row)] as u32);
        let words_b: [u32; N] = std::array::from_fn(|n| words_b[4 * n + of_b.thread] as u32);
        if self.vector == ScaleVector::X1 {
            self.multiply_fp8((a, words_a), (b, words_b), d);
        } else {
            Tile {
                a,
                b,
                scales_a: &words_a.map(|w| groups(w >> (8 * of_a.byte), self.vector)),
                scales_b: &words_b.map(|w| groups(w >> (8 * of_b.byte), self.vector)),
                format: self.format,
            }
            .multiply(d, N, true);
        }
        Ok(())
    }

    fn multiply_fp8(&self, a: (&[u8], [u32; M]), b: (&[u8], [u32; N]), d: &mut [u32]) {
        let exponent = |word: u32, byte: u32| {
            scalar::scale((word >> (8 * byte)) as u8, self.format).map(|(_, exponent)| exponent)
        };
        fused::Product {
            a: a.0,
            a_format: self.a,
            b: b.0,
            b_format: self.b,
            scales_a: &a.1.map(|word| exponent(word, self.scales_a.byte)),
            scales_b: &b.1.map(|word| exponent(word, self.scales_b.byte)),
            negate: false,
            fraction: fused::FRACTION,
            output: Output::F32,
            scale_c: 0,
        }
        .multiply(d, N, true);
    }
}

/// The scales of the four groups of 16.
fn groups(word: u32, vector: ScaleVector) -> [u8; 4] {
    match (vector, word.to_le_bytes()) {
        (ScaleVector::X4, bytes) => bytes,
        (_, [first, second, ..]) => [first, first, second, second],
    }
}
