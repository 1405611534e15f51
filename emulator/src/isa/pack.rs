//! `cvt.pack`: integers saturated and packed into one register (PTX ISA, 9.7.9.22).

use super::form::Form;
use super::types::{Ty, truncate};
use super::{Op, lanes};
use crate::error::LoadError;

/// An element: bits and whether it is signed.
type Element = (u32, bool);

const TARGETS: [(&str, Element); 8] = [
    ("u16", (16, false)),
    ("s16", (16, true)),
    ("u8", (8, false)),
    ("s8", (8, true)),
    ("u4", (4, false)),
    ("s4", (4, true)),
    ("u2", (2, false)),
    ("s2", (2, true)),
];

fn saturate(value: i32, (bits, signed): Element) -> u32 {
    let (low, high) = match signed {
        true => (-(1i32 << (bits - 1)), (1i32 << (bits - 1)) - 1),
        false => (0, (1i32 << bits) - 1),
    };
    truncate(value.clamp(low, high) as u32 as u64, bits) as u32
}

/// `cvt.pack.sat.u8.s32.b32 d, a, b, c`: the low half of what c has moves up to make room for a and b. Without c only
/// a and b are packed, as 16 bits each.
pub(super) fn decode(f: &mut Form<'_>) -> Result<Op, LoadError> {
    f.require("`.sat`", &[("sat", ())])?;
    let element = f.require("a type to pack", &TARGETS)?;
    if f.ty()? != Ty::S32 {
        return Err(f.invalid("packs .s32 only"));
    }
    let bits = element.0;
    let pair = move |a: i32, b: i32| saturate(a, element) << bits | saturate(b, element);
    match (bits, f.optional_ty()) {
        (16, None) => f.map2(pair),
        (16, Some(_)) | (_, None) => {
            Err(f.invalid("packs 16-bit elements without `.b32`, and narrower ones with it"))
        }
        (_, Some(Ty::B32)) => {
            let (d, a, b, c) = (
                f.dst_as(0, Ty::B32)?,
                f.src(1, Ty::S32)?,
                f.src(2, Ty::S32)?,
                f.src(3, Ty::B32)?,
            );
            Ok(lanes::map3(d, a, b, c, move |a: i32, b: i32, c: u32| {
                c << (2 * bits) | pair(a, b)
            }))
        }
        _ => Err(f.invalid("the third operand is .b32")),
    }
}
