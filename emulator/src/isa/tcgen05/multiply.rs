//! `tcgen05.mma` (PTX ISA, 9.7.16.10).

use super::{Decoded, group};
use crate::engine::descriptor::{CtaGroup, Kind, ScaleVector};
use crate::engine::mma::{AOperand, Mma, ScaleOperands};
use crate::error::LoadError;
use crate::isa::form::{Addr, Form};
use crate::isa::types::Ty;
use crate::isa::{Execute, Src};
use crate::machine::{FaultKind, Flow, Step, Work};

enum A {
    Shared(Src),
    Tensor(Addr),
}

struct Multiply {
    kind: Kind,
    group: CtaGroup,
    d: Addr,
    a: A,
    b: Src,
    instruction: Src,
    scales: Option<(ScaleVector, Addr, Addr)>,
    disabled: Vec<Src>,
    accumulate: (Src, bool),
    scale_input_d: u32,
    /// `.ws`, with the zero-column mask descriptor.
    stationary: Option<Src>,
}

impl Execute for Multiply {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        for lane in step.lanes() {
            let mma = self.operands(step, lane);
            step.issue(lane, Work::Multiply(Box::new(mma)))?;
        }
        Ok(Flow::Next)
    }

    fn refusal(&self, constant: &dyn Fn(Src) -> Option<u64>) -> Option<&'static str> {
        let instruction = constant(self.instruction)? as u32;
        let vector = self.scales.map(|(vector, ..)| vector);
        let in_tensor_memory = matches!(self.a, A::Tensor(_));
        Mma::unsupported(
            instruction,
            self.kind,
            self.group,
            vector,
            in_tensor_memory,
            self.stationary.is_some(),
        )
    }
}

impl Multiply {
    fn operands(&self, step: &Step<'_>, lane: usize) -> Mma {
        let address = |a: Addr| step.addresses(a)[lane] as u32;
        let mut disabled_lanes = [0; 8];
        for (mask, src) in disabled_lanes.iter_mut().zip(&self.disabled) {
            *mask = step.get(*src)[lane] as u32;
        }
        Mma {
            kind: self.kind,
            group: self.group,
            d: address(self.d),
            a: match self.a {
                A::Shared(src) => AOperand::Shared(step.get(src)[lane]),
                A::Tensor(addr) => AOperand::Tensor(address(addr)),
            },
            b: step.get(self.b)[lane],
            instruction: step.get(self.instruction)[lane] as u32,
            scales: self.scales.map(|(vector, a, b)| ScaleOperands {
                vector,
                a: address(a),
                b: address(b),
            }),
            accumulate: (step.get(self.accumulate.0)[lane] & 1 != 0) != self.accumulate.1,
            disabled_lanes,
            scale_input_d: self.scale_input_d,
            stationary: self.stationary.map(|mask| step.get(mask)[lane]),
        }
    }
}

const KINDS: [(&str, Kind); 7] = [
    ("kind::f16", Kind::F16),
    ("kind::tf32", Kind::Tf32),
    ("kind::f8f6f4", Kind::F8f6f4),
    ("kind::i8", Kind::I8),
    ("kind::mxf8f6f4", Kind::Mxf8f6f4),
    ("kind::mxf4", Kind::Mxf4),
    ("kind::mxf4nvf4", Kind::Mxf4nvf4),
];

fn scale_vector(f: &mut Form<'_>, kind: Kind) -> Result<ScaleVector, LoadError> {
    let wide = if kind == Kind::Mxf8f6f4 {
        ScaleVector::X1
    } else {
        ScaleVector::X2
    };
    let vectors = [
        ("scale_vec::1X", ScaleVector::X1),
        ("scale_vec::2X", ScaleVector::X2),
        ("scale_vec::4X", ScaleVector::X4),
        ("block16", ScaleVector::X4),
        ("block32", wide),
    ];
    match (f.choose(&vectors), kind) {
        (Some(vector), _) => Ok(vector),
        (None, Kind::Mxf4nvf4) => Err(f.invalid("kind::mxf4nvf4 needs a scale vector size")),
        (None, _) => Ok(wide),
    }
}

/// `.collector::bN::op`: what to keep of B, for other MMAs to read again (PTX ISA, 9.7.16.10.9.3).
fn collector_of_b(word: &str) -> Option<()> {
    let (buffer, operation) = word.strip_prefix("collector::b")?.split_once("::")?;
    let known = matches!(buffer, "0" | "1" | "2" | "3")
        && matches!(operation, "fill" | "use" | "lastuse" | "discard");
    known.then_some(())
}

pub(super) fn mma(f: &mut Form<'_>) -> Decoded {
    if f.take("sp") {
        return Err(f.unsupported("sparse operands are not implemented"));
    }
    let stationary = f.take("ws");
    let group = group(f)?;
    let kind = f.require("a kind", &KINDS)?;
    if stationary && (group == CtaGroup::Two || kind.is_block_scaled()) {
        return Err(f.invalid("`.ws` needs one CTA and has no block scales"));
    }
    let scaled = f.take("block_scale");
    if scaled != matches!(kind, Kind::Mxf8f6f4 | Kind::Mxf4 | Kind::Mxf4nvf4) {
        return Err(f.invalid("`.block_scale` belongs to the mx kinds, and they need it"));
    }
    let vector = if scaled {
        Some(scale_vector(f, kind)?)
    } else {
        None
    };
    // The collector only saves reads of A; results do not change (brief, 1.2).
    f.ignore(&[
        "collector::a::fill",
        "collector::a::use",
        "collector::a::lastuse",
        "collector::a::discard",
    ]);
    if stationary {
        f.take_map(collector_of_b);
    }
    let d = f.addr(0)?;
    let a = if f.is_address(1) {
        A::Tensor(f.addr(1)?)
    } else {
        A::Shared(f.src(1, Ty::B64)?)
    };
    let (b, instruction) = (f.src(2, Ty::B64)?, f.src(3, Ty::B32)?);
    let mut next = 4;
    let scales = match vector {
        Some(vector) => {
            next = 6;
            Some((vector, f.addr(4)?, f.addr(5)?))
        }
        None => None,
    };
    let disabled = if f.is_vector(next) && !stationary {
        next += 1;
        f.srcs(next - 1, Ty::B32)?
    } else {
        Vec::new()
    };
    let accumulate = f.pred(next)?;
    let stationary = match (stationary, f.count() > next + 1) {
        (false, _) => None,
        (true, false) => Some(Src::Imm(0)),
        (true, true) => Some(f.src(next + 1, Ty::B64)?),
    };
    let scale_input_d = if stationary.is_none() && f.count() > next + 1 {
        f.immediate(next + 1)? as u32
    } else {
        0
    };
    Ok(Box::new(Multiply {
        kind,
        group,
        d,
        a,
        b,
        instruction,
        scales,
        disabled,
        accumulate,
        scale_input_d,
        stationary,
    }))
}
