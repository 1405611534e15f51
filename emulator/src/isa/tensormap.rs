//! `tensormap.replace` and `tensormap.cp_fenceproxy` (PTX ISA, 9.7.9.28 and 9.7.13.14; brief, 3.4).

use super::form::{Addr, Form};
use super::types::Ty;
use super::{Collective, Execute, Op, Src};
use crate::check::Fence;
use crate::engine::tensor_map::{Field, replace};
use crate::error::LoadError;
use crate::machine::{AccessKind, FaultKind, Flow, Space, Step};

type Decoded = Result<Op, LoadError>;

pub(super) fn decode(f: &mut Form<'_>) -> Decoded {
    if f.take("replace") {
        replace_field(f)
    } else {
        copy_with_fence(f)
    }
}

struct Replace {
    addr: Addr,
    space: Space,
    field: Field,
    value: Src,
}

impl Execute for Replace {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (addresses, values) = (step.addresses(self.addr), step.get(self.value));
        for lane in step.lanes() {
            let mut bytes = [0; 128];
            step.read_bytes(
                lane,
                self.space,
                addresses[lane],
                AccessKind::Load,
                &mut bytes,
            )?;
            replace(&mut bytes, self.field, values[lane])
                .map_err(|e| FaultKind::engine(e.into()))?;
            step.write_bytes(lane, self.space, addresses[lane], AccessKind::Store, &bytes)?;
        }
        Ok(Flow::Next)
    }
}

fn replace_field(f: &mut Form<'_>) -> Decoded {
    type Make = fn(u32) -> Field;
    let fields: [(&str, (bool, Make)); 11] = [
        ("global_address", (false, |_| Field::GlobalAddress)),
        ("rank", (false, |_| Field::Rank)),
        ("box_dim", (true, Field::BoxDim)),
        ("global_dim", (true, Field::GlobalDim)),
        ("global_stride", (true, Field::GlobalStride)),
        ("element_stride", (true, Field::ElementStride)),
        ("elemtype", (false, |_| Field::ElementType)),
        ("interleave_layout", (false, |_| Field::Interleave)),
        ("swizzle_mode", (false, |_| Field::Swizzle)),
        ("swizzle_atomicity", (false, |_| Field::SwizzleAtomicity)),
        ("fill_mode", (false, |_| Field::Fill)),
    ];
    f.require("`.tile`", &[("tile", ())])?;
    let (ordinal, make) = f.require("a field", &fields)?;
    let spaces = [("global", Space::Global), ("shared::cta", Space::Shared)];
    let space = f.choose(&spaces).unwrap_or(Space::Generic);
    f.require("`.b1024`", &[("b1024", ())])?;
    let ty = f.ty()?;
    let addr = f.addr(0)?;
    let field = make(if ordinal { f.immediate(1)? as u32 } else { 0 });
    let value = f.src(
        1 + usize::from(ordinal),
        if ty.bits() == 64 { Ty::B64 } else { Ty::B32 },
    )?;
    Ok(Box::new(Replace {
        addr,
        space,
        field,
        value,
    }))
}

struct CopyWithFence {
    dst: Addr,
    src: Addr,
}

impl Execute for CopyWithFence {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let (dst, src) = (step.addresses(self.dst), step.addresses(self.src));
        let Some(lane) = step.lanes().next() else {
            return Ok(Flow::Next);
        };
        let mut bytes = [0; 128];
        step.read_bytes(lane, Space::Shared, src[lane], AccessKind::Load, &mut bytes)?;
        step.write_bytes(lane, Space::Global, dst[lane], AccessKind::Store, &bytes)?;
        // Triton lets copies reuse the source: it relies on this fence to have read it, whatever the proxy.
        if !step.state.check.strict {
            step.fence(Fence::Proxy {
                shared: true,
                global: false,
            });
        }
        Ok(Flow::Next)
    }

    fn collective(&self) -> Collective {
        Collective::Warp
    }
}

fn copy_with_fence(f: &mut Form<'_>) -> Decoded {
    for part in [
        "cp_fenceproxy",
        "global",
        "shared::cta",
        "tensormap::generic",
        "release",
        "sync",
        "aligned",
    ] {
        if !f.take(part) {
            return Err(f.unsupported(format!("needs `.{part}`")));
        }
    }
    super::memory::scope(f);
    let (dst, src) = (f.addr(0)?, f.addr(1)?);
    if f.immediate(2)? != 128 {
        return Err(f.invalid("a tensor map has 128 bytes"));
    }
    Ok(Box::new(CopyWithFence { dst, src }))
}
