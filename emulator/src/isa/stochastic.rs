//! `cvt.rs`: rounding by random bits (PTX ISA, 9.7.9.21). What is cut off is added to the bits, and the sum is cut.

use super::convert::{Style, narrow, stride};
use super::form::{Dst, Form};
use super::minifloat::{BF16, E2M1, E2M3, E3M2, E4M3, E5M2, F16, Format};
use super::rounding::Rounding;
use super::types::{Ty, Value};
use super::{Execute, Op, Src, lanes};
use crate::error::LoadError;
use crate::machine::{FaultKind, Flow, Step};

const TARGETS: [(&str, (Format, bool)); 7] = [
    ("f16x2", (F16, false)),
    ("bf16x2", (BF16, false)),
    ("e4m3x4", (E4M3, true)),
    ("e5m2x4", (E5M2, true)),
    ("e3m2x4", (E3M2, true)),
    ("e2m3x4", (E2M3, true)),
    ("e2m1x4", (E2M1, true)),
];

pub(super) fn decode(f: &mut Form<'_>) -> Result<Op, LoadError> {
    let style = Style::with_limits(f.take("satfinite"), f.take("relu"));
    let (format, four) = f.require("a narrow type", &TARGETS)?;
    if f.ty()? != Ty::F32 {
        return Err(f.invalid("converts .f32 only"));
    }
    if four {
        return decode_four(f, format, style);
    }
    let (d, a, b, bits) = (
        f.dst_as(0, Ty::B32)?,
        f.src(1, Ty::F32)?,
        f.src(2, Ty::F32)?,
        f.src(3, Ty::B32)?,
    );
    // Of each half of the bits as many count as the mantissa loses.
    let lost = 23 - format.mantissa;
    let round = move |value: f32, half: u32| {
        let rounding = Rounding::Stochastic(half << (32 - lost));
        narrow(format, value.into(), rounding, style)
    };
    Ok(lanes::map3(
        d,
        a,
        b,
        bits,
        move |a: f32, b: f32, bits: u32| round(a, bits >> 16) << 16 | round(b, bits & 0xFFFF),
    ))
}

fn decode_four(f: &mut Form<'_>, format: Format, style: Style) -> Result<Op, LoadError> {
    let width = stride(format);
    let register = if width == 4 { Ty::B16 } else { Ty::B32 };
    let d = f.dst_as(0, register)?;
    let values = f.srcs(1, Ty::F32)?;
    let [a, b, e, g] = values[..] else {
        return Err(f.invalid("needs a list of four values"));
    };
    Ok(Box::new(Four {
        d,
        values: [a, b, e, g],
        bits: f.src(2, Ty::B32)?,
        format,
        style,
    }))
}

/// Four values, the first in the highest place.
struct Four {
    d: Dst,
    values: [Src; 4],
    bits: Src,
    format: Format,
    style: Style,
}

impl Four {
    /// The 16 bits for the first two values, and those for the last two.
    fn shares(&self, bits: u32) -> [u32; 2] {
        match self.format {
            E2M1 => {
                let upper = bits >> 16 & 0xFF00 | bits >> 8 & 0xFF;
                let lower = bits >> 8 & 0xFF00 | bits & 0xFF;
                [upper, lower]
            }
            _ => [bits >> 16, bits & 0xFFFF],
        }
    }
}

impl Execute for Four {
    fn execute(&self, step: &mut Step<'_>) -> Result<Flow, FaultKind> {
        let values = self.values.map(|v| step.get(v));
        let bits = step.get(self.bits);
        let packed = |lane: usize| {
            let shares = self.shares(bits[lane] as u32);
            (0..4).fold(0u64, |word, i| {
                let rounding = Rounding::Stochastic(shares[i / 2] << 16);
                let value = f32::from_word(values[i][lane]).into();
                let code = narrow(self.format, value, rounding, self.style);
                word << stride(self.format) | u64::from(code)
            })
        };
        step.set(self.d.slot, &std::array::from_fn(packed));
        Ok(Flow::Next)
    }
}
