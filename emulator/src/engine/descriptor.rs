//! Shared-memory matrix descriptors (sm_100 and sm_90) and instruction descriptors (brief, 1.3, 1.4, 5.1).

mod columns;
mod error;
mod matrix;

pub use columns::ColumnMask;
pub use error::DescriptorError;
pub use matrix::SharedMatrix;
use matrix::reserved;

/// `.cta_group::1` or `.cta_group::2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum CtaGroup {
    One,
    Two,
}

/// `.kind` of `tcgen05.mma`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    F16,
    Tf32,
    F8f6f4,
    I8,
    Mxf8f6f4,
    Mxf4,
    Mxf4nvf4,
}

impl Kind {
    /// Whether A and B carry scale factors.
    pub fn is_block_scaled(self) -> bool {
        matches!(self, Kind::Mxf8f6f4 | Kind::Mxf4 | Kind::Mxf4nvf4)
    }

    /// K of one dense MMA: always 32 bytes per row.
    pub fn k(self) -> usize {
        match self {
            Kind::Tf32 => 8,
            Kind::F16 => 16,
            Kind::F8f6f4 | Kind::I8 | Kind::Mxf8f6f4 => 32,
            Kind::Mxf4 | Kind::Mxf4nvf4 => 64,
        }
    }
}

/// Scale factors per row and MMA: `.scale_vec::1X/2X/4X` (`.block16` is `X4`; `.block32` is `X1` for mxf8f6f4, else `X2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ScaleVector {
    X1,
    X2,
    X4,
}

/// Element format of A or B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Format {
    F16,
    Bf16,
    Tf32,
    E4m3,
    E5m2,
    E2m3,
    E3m2,
    E2m1,
    U8,
    S8,
}

/// Format of D.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Accumulator {
    F16,
    F32,
    S32,
}

/// Format of scale factors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ScaleFormat {
    Ue4m3,
    Ue8m0,
}

/// A decoded instruction descriptor: what one `tcgen05.mma` computes. M and N are those of the CTA pair for
/// `CtaGroup::Two`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Instruction {
    pub kind: Kind,
    pub group: CtaGroup,
    /// `.ws`: D is spread over all lanes whatever M is.
    pub stationary: bool,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Format,
    pub b: Format,
    pub d: Accumulator,
    pub negate_a: bool,
    pub negate_b: bool,
    /// A is MN-major.
    pub transpose_a: bool,
    /// B is MN-major.
    pub transpose_b: bool,
    /// i8 only: saturate.
    pub saturate: bool,
    /// Block-scaled kinds only.
    pub scales: Option<Scales>,
}

/// The scale part of a block-scaled instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Scales {
    pub format: ScaleFormat,
    pub vector: ScaleVector,
    /// Which byte (1X) or half word (2X: 0 or 2) of a scale word of A is used.
    pub a_id: u32,
    /// The same for B.
    pub b_id: u32,
}

impl Instruction {
    /// Decodes and checks the 32 bits. `vector` is given for block-scaled kinds and only for those.
    pub fn decode(
        bits: u32,
        kind: Kind,
        group: CtaGroup,
        vector: Option<ScaleVector>,
    ) -> Result<Self, DescriptorError> {
        Self::decode_as(bits, kind, group, vector, false)
    }

    /// The same for `tcgen05.mma.ws`: one CTA, no scales; bits 30-31 limit the shift of B's columns (see [`ColumnMask`]).
    pub fn decode_stationary(bits: u32, kind: Kind) -> Result<Self, DescriptorError> {
        Self::decode_as(bits & 0x3FFF_FFFF, kind, CtaGroup::One, None, true)
    }

    fn decode_as(
        bits: u32,
        kind: Kind,
        group: CtaGroup,
        vector: Option<ScaleVector>,
        stationary: bool,
    ) -> Result<Self, DescriptorError> {
        check_reserved(bits, kind).map_err(DescriptorError::of_instruction)?;
        let field = |shift: u32, width: u32| bits >> shift & ((1 << width) - 1);
        let flag = |shift: u32| field(shift, 1) == 1;
        if flag(2) {
            return Err(DescriptorError::Sparse);
        }
        let m = match kind {
            _ if kind.is_block_scaled() => field(27, 2) << 7,
            _ => field(24, 5) << 4,
        };
        let b_width = if matches!(kind, Kind::Mxf4 | Kind::Mxf4nvf4) {
            2
        } else {
            3
        };
        let this = Instruction {
            kind,
            group,
            stationary,
            m: m as usize,
            n: (field(17, 6) << 3) as usize,
            k: kind.k(),
            a: format(kind, field(7, 3))?,
            b: format(kind, field(10, b_width))?,
            d: accumulator(kind, field(4, 2))?,
            negate_a: flag(13),
            negate_b: flag(14),
            transpose_a: flag(15),
            transpose_b: flag(16),
            saturate: kind == Kind::I8 && flag(3),
            scales: decode_scales(bits, kind, vector)?,
        };
        this.check_shape()?;
        this.check_major()?;
        Ok(this)
    }

    /// PTX ISA, tcgen05.mma, table of shapes: with one CTA, block-scaled kinds and M = 64 take N in steps of 8, the dense
    /// kinds with M = 128 in steps of 16; `.ws` has three sizes of either.
    fn check_shape(&self) -> Result<(), DescriptorError> {
        if self.stationary && [32, 64, 128].contains(&self.m) && [64, 128, 256].contains(&self.n) {
            return Ok(());
        }
        let legal_m = match (self.group, self.kind.is_block_scaled()) {
            (CtaGroup::One, false) => [64, 128].contains(&self.m),
            (CtaGroup::One, true) => self.m == 128,
            (CtaGroup::Two, _) => [128, 256].contains(&self.m),
        };
        let step = match (self.group, self.kind) {
            (CtaGroup::One, Kind::I8) if self.n > 32 => 16,
            (CtaGroup::One, kind) if !kind.is_block_scaled() && self.m == 128 => 16,
            (CtaGroup::One, _) => 8,
            (CtaGroup::Two, Kind::I8) => 32,
            (CtaGroup::Two, _) => 16,
        };
        if !self.stationary
            && legal_m
            && (step..=256).contains(&self.n)
            && self.n.is_multiple_of(step)
        {
            return Ok(());
        }
        Err(DescriptorError::Shape {
            kind: self.kind,
            group: self.group,
            m: self.m,
            n: self.n,
        })
    }

    /// Only 8-bit and wider elements can be MN-major, and only where the kind has transpose bits.
    fn check_major(&self) -> Result<(), DescriptorError> {
        let packed = |f: Format| matches!(f, Format::E2m3 | Format::E3m2 | Format::E2m1);
        if self.transpose_a && packed(self.a) || self.transpose_b && packed(self.b) {
            return Err(DescriptorError::TransposePacked {
                a: self.a,
                b: self.b,
            });
        }
        Ok(())
    }
}

fn check_reserved(bits: u32, kind: Kind) -> Result<(), DescriptorError> {
    let bits64 = u64::from(bits);
    match kind {
        Kind::Mxf4 | Kind::Mxf4nvf4 => {
            if bits >> 31 == 1 {
                return Err(DescriptorError::OnlySm103 {
                    what: "K = 96 (bit 31)",
                    matrix: false,
                });
            }
            // Bits 15 and 16 are the transpose bits, which these kinds do not have.
            reserved(bits64, &[(0, 2), (3, 1), (6, 1), (12, 1), (15, 2), (24, 3)])
        }
        Kind::Mxf8f6f4 => reserved(bits64, &[(0, 2), (3, 1), (6, 1), (24, 3), (31, 1)]),
        Kind::I8 => reserved(bits64, &[(0, 2), (6, 1), (13, 2), (23, 1), (29, 3)]),
        _ => reserved(bits64, &[(0, 2), (3, 1), (6, 1), (23, 1), (29, 3)]),
    }
}

fn format(kind: Kind, code: u32) -> Result<Format, DescriptorError> {
    Ok(match (kind, code) {
        (Kind::F16, 0) => Format::F16,
        (Kind::F16, 1) => Format::Bf16,
        (Kind::Tf32, 2) => Format::Tf32,
        (Kind::I8, 0) => Format::U8,
        (Kind::I8, 1) => Format::S8,
        (Kind::Mxf4 | Kind::Mxf4nvf4, 1) => Format::E2m1,
        (Kind::F8f6f4 | Kind::Mxf8f6f4, 0) => Format::E4m3,
        (Kind::F8f6f4 | Kind::Mxf8f6f4, 1) => Format::E5m2,
        (Kind::F8f6f4 | Kind::Mxf8f6f4, 3) => Format::E2m3,
        (Kind::F8f6f4 | Kind::Mxf8f6f4, 4) => Format::E3m2,
        (Kind::F8f6f4 | Kind::Mxf8f6f4, 5) => Format::E2m1,
        _ => return Err(DescriptorError::ElementFormat { kind, code }),
    })
}

/// Block-scaled kinds have only f32; bits 4-5 are the scale id of B there.
fn accumulator(kind: Kind, code: u32) -> Result<Accumulator, DescriptorError> {
    Ok(match (kind, code) {
        _ if kind.is_block_scaled() => Accumulator::F32,
        (Kind::F16 | Kind::F8f6f4, 0) => Accumulator::F16,
        (Kind::F16 | Kind::F8f6f4 | Kind::Tf32, 1) => Accumulator::F32,
        (Kind::I8, 2) => Accumulator::S32,
        _ => return Err(DescriptorError::AccumulatorFormat { kind, code }),
    })
}

fn decode_scales(
    bits: u32,
    kind: Kind,
    vector: Option<ScaleVector>,
) -> Result<Option<Scales>, DescriptorError> {
    let Some(vector) = vector else {
        return if kind.is_block_scaled() {
            Err(DescriptorError::ScaleVector { kind, vector })
        } else {
            Ok(None)
        };
    };
    let format = if bits >> 23 & 1 == 1 {
        ScaleFormat::Ue8m0
    } else {
        ScaleFormat::Ue4m3
    };
    use {Kind::*, ScaleFormat::*, ScaleVector::*};
    match (kind, vector, format) {
        (Mxf8f6f4, X1, Ue8m0) | (Mxf4, X2, Ue8m0) | (Mxf4nvf4, X2, Ue8m0) | (Mxf4nvf4, X4, _) => {}
        (Mxf8f6f4, X1, _) | (Mxf4 | Mxf4nvf4, X2, _) => {
            return Err(DescriptorError::ScaleFormat { kind, format });
        }
        _ => {
            return Err(DescriptorError::ScaleVector {
                kind,
                vector: Some(vector),
            });
        }
    }
    let scales = Scales {
        format,
        vector,
        a_id: bits >> 29 & 3,
        b_id: bits >> 4 & 3,
    };
    for id in [scales.a_id, scales.b_id] {
        let legal = match vector {
            X1 => true,
            X2 => id.is_multiple_of(2),
            X4 => id == 0,
        };
        if !legal {
            return Err(DescriptorError::ScaleId { vector, id });
        }
    }
    Ok(Some(scales))
}

#[cfg(test)]
#[path = "descriptor_tests.rs"]
mod tests;
